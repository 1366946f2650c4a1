// Written by native/tools/minimax.py, which says how; change it there.
#pragma once
#include <stdint.h>

namespace kb::KB_ISA {

template <class T>
struct coefficients;

template <>
struct coefficients<float> {
  // e^r = 1 + r + r^2 p(r), |r| <= ln(2)/2; error relative to e^r - 1
  // degree 5, relative error 2^-28.7
  static constexpr float exp[] = {
      0x1p-1f, 0x1.555554p-3f, 0x1.5554bp-5f, 0x1.11118ap-7f, 0x1.6d7296p-10f,
      0x1.a032bap-13f};
  // ln(1 + f) = f + f^2 (-1/2 + f p(f)), |f| <= 1/3
  // degree 7, relative error 2^-27.4
  static constexpr float log[] = {
      0x1.555506p-2f, -0x1.fffefp-3f, 0x1.99d028p-3f, -0x1.559dcep-3f, 0x1.1ed716p-3f,
      -0x1.f310e8p-4f, 0x1.1e66c2p-3f, -0x1.080646p-3f};
  // sin r = r + r t p(t), t = r^2, |r| <= pi/4
  // degree 3, relative error 2^-28.0
  static constexpr float sin[] = {
      -0x1.555556p-3f, 0x1.111108p-7f, -0x1.a00f6ap-13f, 0x1.6cccc6p-19f};
  // cos r = 1 - t/2 + t^2 p(t), t = r^2, |r| <= pi/4
  // degree 2, relative error 2^-32.3
  static constexpr float cos[] = {
      0x1.55554ap-5f, -0x1.6c0c1ep-10f, 0x1.99e538p-16f};
  // erf x = x + x p(x^2), |x| <= 1
  // degree 6, relative error 2^-27.8
  static constexpr float erf[] = {
      0x1.06eba8p-3f, -0x1.81273ep-2f, 0x1.ce2cf8p-4f, -0x1.b7f90cp-6f, 0x1.5405bp-8f,
      -0x1.a3f6f6p-11f, 0x1.496a16p-14f};
  // erfc x = e^p(x - 1), 1 <= x <= 4; error relative to erf x
  // degree 6, relative error 2^-26.7
  static constexpr float erfc[] = {
      -0x1.d97fcp+0f, -0x1.51c9aap+1f, -0x1.afad1cp-1f, -0x1.53ff24p-5f,
      0x1.44411cp-7f, -0x1.df8f96p-10f, 0x1.86dcf4p-13f};
  // ln2, cut into parts, largest first
  static constexpr float ln2[] = {
      0x1.62e4p-1f, 0x1.7f7d1cp-20f};
  // half_pi, cut into parts, largest first
  static constexpr float half_pi[] = {
      0x1.92p+0f, 0x1.fb4p-12f, 0x1.444p-24f, 0x1.68cp-39f, 0x1.1a6264p-54f};
  // half_pi_fused, cut into parts, largest first
  static constexpr float half_pi_fused[] = {
      0x1.921fb4p+0f, 0x1.4442dp-24f, 0x1.84698ap-48f};
};

template <>
struct coefficients<double> {
  // e^r = 1 + r + r^2 p(r), |r| <= ln(2)/2; error relative to e^r - 1
  // degree 10, relative error 2^-59.7
  static constexpr double exp[] = {
      0x1p-1, 0x1.5555555555559p-3, 0x1.555555555553ep-5, 0x1.111111110f6aap-7,
      0x1.6c16c16c1f175p-10, 0x1.a01a01afe9a82p-13, 0x1.a01a017b91e86p-16,
      0x1.71ddf841ff433p-19, 0x1.27e53666d1456p-22, 0x1.af5ee8514195cp-26,
      0x1.1ee87edc28056p-29};
  // ln((1 + s)/(1 - s)) = 2 s + s z p(z), z = s^2 <= 1/25
  // degree 7, relative error 2^-61.1
  static constexpr double log[] = {
      0x1.555555555554fp-1, 0x1.999999999c0ccp-2, 0x1.24924921ee4d9p-2,
      0x1.c71c74870d208p-3, 0x1.745c4cdd16323p-3, 0x1.3b358028da6c6p-3,
      0x1.0dcfc72906bddp-3, 0x1.1b6580d6773d4p-3};
  // ln((1 + s)/(1 - s)) = 2 s + s z (2/3 + z p(z)), z = s^2 <= 1/25
  // degree 8, relative error 2^-66.2
  static constexpr double log_fine[] = {
      0x1.999999999999ap-2, 0x1.24924924922e2p-2, 0x1.c71c71c75297dp-3,
      0x1.745d172939626p-3, 0x1.3b13ba2c9a571p-3, 0x1.110f530f970fp-3,
      0x1.e24f1de39b08ap-4, 0x1.a70311a1f1c91p-4, 0x1.db9d813f546abp-4};
  // sin r = r + r t p(t), t = r^2, |r| <= pi/4
  // degree 6, relative error 2^-57.1
  static constexpr double sin[] = {
      -0x1.5555555555555p-3, 0x1.111111111110bp-7, -0x1.a01a01a0189fcp-13,
      0x1.71de3a53274cep-19, -0x1.ae64528148b97p-26, 0x1.61208465ac7ffp-33,
      -0x1.aa9e51807f5f6p-41};
  // cos r = 1 - t/2 + t^2 p(t), t = r^2, |r| <= pi/4
  // degree 6, relative error 2^-59.5
  static constexpr double cos[] = {
      0x1.5555555555555p-5, -0x1.6c16c16c16c0fp-10, 0x1.a01a01a018c65p-16,
      -0x1.27e4fb75e4cc8p-22, 0x1.1eed8c8936346p-29, -0x1.93931b86e65d6p-37,
      0x1.aab938787c856p-45};
  // erf x = x + x p(x^2), |x| <= 1
  // degree 12, relative error 2^-56.3
  static constexpr double erf[] = {
      0x1.06eba8214db69p-3, -0x1.812746b0379e6p-2, 0x1.ce2f21a042b2p-4,
      -0x1.b82ce3128499cp-6, 0x1.565bcd0db02dfp-8, -0x1.c02db3d8ed0c1p-11,
      0x1.f9a321a11a6p-14, -0x1.f4d1df390133ap-17, 0x1.b9def199fd13ep-20,
      -0x1.5f1d369f69977p-23, 0x1.f7a410af277fap-27, -0x1.386abc164720fp-30,
      0x1.05799df6f7734p-34};
  // erfc x = e^p(x - 1), 1 <= x <= 6; error relative to erf x
  // degree 17, relative error 2^-55.9
  static constexpr double erfc[] = {
      -0x1.d97fbf27aa2a1p+0, -0x1.51c9b0006c21ep+1, -0x1.afabc11a2acf2p-1,
      -0x1.5477f099ef35p-5, 0x1.48c9d3889062bp-7, -0x1.033f5ae399671p-9,
      0x1.f1b07c5d0165dp-13, 0x1.b929cde42d8bfp-16, -0x1.c84b411f492c5p-16,
      0x1.4470d2e3ccee1p-17, -0x1.1dd8fb0ec3d1bp-19, 0x1.b47909426a39bp-23,
      0x1.f9423c9c2b95bp-25, -0x1.2169e27a302ddp-25, 0x1.276534ea44374p-27,
      -0x1.6e4eb7270c4ecp-30, 0x1.0971cc6628ee4p-33, -0x1.5ad286ff8f452p-38};
  // ln2, cut into parts, largest first
  static constexpr double ln2[] = {
      0x1.62e42fefa38p-1, 0x1.ef35793c7673p-45};
  // half_pi, cut into parts, largest first
  static constexpr double half_pi[] = {
      0x1.921fb544p+0, 0x1.0b4611a6p-34, 0x1.3198a2ep-69, 0x1.b839a252049c1p-104};
  // half_pi_fused, cut into parts, largest first
  static constexpr double half_pi_fused[] = {
      0x1.921fb54442d18p+0, 0x1.1a62633145c06p-54, 0x1.c1cd129024e09p-107};
};

// 2/pi after the binary point, 64 bits a word, the highest first.
inline constexpr uint64_t two_over_pi[] = {
    0xa2f9836e4e441529, 0xfc2757d1f534ddc0, 0xdb6295993c439041, 0xfe5163abdebbc561,
    0xb7246e3a424dd2e0, 0x06492eea09d1921c, 0xfe1deb1cb129a73e, 0xe88235f52ebb4484,
    0xe99c7026b45f7e41, 0x3991d639835339f4, 0x9c845f8bbdf9283b, 0x1ff897ffde05980f,
    0xef2f118b5a0a6d1f, 0x6d367ecf27cb09b7, 0x4f463f669e5fea2d, 0x7527bac7ebe5f17b,
    0x3d0739f78a5292ea, 0x6bfb5fb11f8d5d08, 0x56033046fc7b6bab};

}  // namespace kb::KB_ISA
