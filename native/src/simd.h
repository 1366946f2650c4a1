// Vectors of one register's width, for the instruction set this file is compiled for.
//
// A source that includes this is compiled once per instruction set, with KB_ISA naming
// the copy (-DKB_ISA=avx512), and the copies are linked together. Hence everything is in
// kb::KB_ISA, and no standard-library template is used: the linker keeps one instance of
// such a template, perhaps the one with instructions this machine lacks.
//
// Arithmetic, comparison, shifts and the choice `mask ? a : b` are those of GCC's and
// Clang's vector types; what they cannot say is here, as intrinsics. Compile with
// -ffp-contract=off: products are fused where fma() says so, and nowhere else.
#pragma once

#include <stdint.h>
#include <string.h>
#if defined __x86_64__
#include <immintrin.h>
#elif defined __aarch64__
#include <arm_neon.h>
#else
#error "kokuban's kernels know x86-64 and AArch64 only"
#endif

#ifndef KB_ISA
#error "name the copy, as in -DKB_ISA=avx2"
#endif
#ifdef __FAST_MATH__
#error "-ffast-math breaks the error bounds of vecmath.h"
#endif

#if defined __AVX512F__ && defined __AVX512DQ__ && defined __AVX512BW__ && \
    defined __AVX512VL__
#define KB_AVX512 1
#define KB_BYTES 64
#elif defined __AVX2__ && defined __FMA__
#define KB_AVX2 1
#define KB_BYTES 32
#else
#define KB_BYTES 16
#endif

// Whether fma() rounds once.
#if defined KB_AVX512 || defined KB_AVX2 || defined __aarch64__
#define KB_FUSED 1
#else
#define KB_FUSED 0
#endif

#define KB_INLINE inline __attribute__((always_inline))

namespace kb::KB_ISA {

typedef float floats __attribute__((vector_size(KB_BYTES)));
typedef double doubles __attribute__((vector_size(KB_BYTES)));
typedef int32_t int32s __attribute__((vector_size(KB_BYTES)));
typedef int64_t int64s __attribute__((vector_size(KB_BYTES)));
typedef uint32_t uint32s __attribute__((vector_size(KB_BYTES)));
typedef uint64_t uint64s __attribute__((vector_size(KB_BYTES)));
typedef float half_floats __attribute__((vector_size(KB_BYTES / 2)));

// What goes with an entry's type, or with a vector type. A comparison of two vectors
// gives `integers` of 0 or -1, the mask; bit patterns are `words`, which may wrap.
template <class T>
struct simd;

template <>
struct simd<float> {
  using scalar = float;
  using vector = floats;
  using integers = int32s;
  using word = uint32_t;
  using words = uint32s;
  static constexpr int mantissa_bits = 23;
  static constexpr uint32_t one_bits = 0x3f800000;
  static constexpr uint32_t sign_bit = 0x80000000;
};

template <>
struct simd<double> {
  using scalar = double;
  using vector = doubles;
  using integers = int64s;
  using word = uint64_t;
  using words = uint64s;
  static constexpr int mantissa_bits = 52;
  static constexpr uint64_t one_bits = 0x3ff0000000000000;
  static constexpr uint64_t sign_bit = 0x8000000000000000;
};

template <>
struct simd<floats> : simd<float> {};
template <>
struct simd<doubles> : simd<double> {};

template <class T>
using vec = typename simd<T>::vector;
template <class T>
using ints = typename simd<T>::integers;
template <class T>
using words = typename simd<T>::words;
template <class T>
using entry = typename simd<T>::scalar;
template <class T>
inline constexpr int lanes = KB_BYTES / int(sizeof(entry<T>));

// All lanes equal to x. Subtracting 0 keeps every x, -0 too, so it costs nothing.
template <class V>
KB_INLINE V splat(entry<V> x) {
  return x - V{};
}

template <class T>
KB_INLINE vec<T> load(const T *from) {
  vec<T> x;
  memcpy(&x, from, sizeof x);
  return x;
}

template <class T>
KB_INLINE void store(T *to, vec<T> x) {
  memcpy(to, &x, sizeof x);
}

KB_INLINE uint32s bits(floats x) { return (uint32s)x; }
KB_INLINE uint64s bits(doubles x) { return (uint64s)x; }
KB_INLINE floats from_bits(uint32s i) { return (floats)i; }
KB_INLINE doubles from_bits(uint64s i) { return (doubles)i; }

template <class V>
KB_INLINE V select(ints<V> mask, V a, V b) {
  return mask ? a : b;
}

template <class V>
KB_INLINE V abs(V x) {
  return from_bits(bits(x) & ~simd<V>::sign_bit);
}

// |x| with y's sign; x is not negative.
template <class V>
KB_INLINE V with_sign_of(V x, V y) {
  return from_bits(bits(x) | (bits(y) & simd<V>::sign_bit));
}

KB_INLINE int32s to_int(floats x) { return __builtin_convertvector(x, int32s); }
KB_INLINE int64s to_int(doubles x) { return __builtin_convertvector(x, int64s); }
KB_INLINE floats to_real(int32s i) { return __builtin_convertvector(i, floats); }
KB_INLINE doubles to_real(int64s i) { return __builtin_convertvector(i, doubles); }

// Floats as doubles, the first half of the lanes and the rest, and back.
struct pair {
  doubles first, rest;
};

KB_INLINE pair widen(floats x) {
  half_floats halves[2];
  memcpy(halves, &x, sizeof x);
  return {__builtin_convertvector(halves[0], doubles),
          __builtin_convertvector(halves[1], doubles)};
}

KB_INLINE floats narrow(pair x) {
  const half_floats halves[2] = {__builtin_convertvector(x.first, half_floats),
                                 __builtin_convertvector(x.rest, half_floats)};
  floats y;
  memcpy(&y, halves, sizeof y);
  return y;
}

// fma is a * b + c, rounded once where KB_FUSED. at_most and at_least bound x, and leave
// a NaN in x as it is. (With maskz, as GCC warns of an unset variable in its own plain
// forms; a full mask costs nothing.)
#if defined KB_AVX512
KB_INLINE floats fma(floats a, floats b, floats c) { return _mm512_fmadd_ps(a, b, c); }
KB_INLINE doubles fma(doubles a, doubles b, doubles c) {
  return _mm512_fmadd_pd(a, b, c);
}

// Lanes with zeros, subnormal numbers, infinities and NaN.
KB_INLINE __mmask16 unusual(floats x) { return _mm512_fpclass_ps_mask(x, 0xbf); }

// Roots and quotients of floats are estimates of 14 bits, put right by the rest that they leave, in
// one multiply-add: 0.56 ulp at most (test_vecmath --all), and quicker than the processor's own,
// which are taken in lanes where something on the way is one of the above. P. W. Markstein, IBM
// Journal of Research and Development 34 (1990), 111-119.
KB_INLINE floats sqrt(floats x) {
  const floats y = _mm512_maskz_rsqrt14_ps(0xffff, x), near = x * y;
  const floats rest = fma(-near, near, x), root = fma(rest, splat<floats>(0.5f) * y, near);
  const __mmask16 odd = unusual(rest);
  return __builtin_expect(odd, 0) ? _mm512_mask_sqrt_ps(root, odd, x) : root;
}
KB_INLINE floats divide(floats a, floats b) {
  const floats y = _mm512_maskz_rcp14_ps(0xffff, b), near = a * y, rest = fma(-b, near, a);
  const floats quotient = fma(rest, y, near);
  const __mmask16 odd = unusual(near) | unusual(rest);
  return __builtin_expect(odd, 0) ? _mm512_mask_div_ps(quotient, odd, a, b) : quotient;
}
KB_INLINE doubles sqrt(doubles x) { return _mm512_maskz_sqrt_pd(0xff, x); }
KB_INLINE floats at_most(floats x, floats bound) {
  return _mm512_maskz_min_ps(0xffff, bound, x);
}
KB_INLINE doubles at_most(doubles x, doubles bound) {
  return _mm512_maskz_min_pd(0xff, bound, x);
}
KB_INLINE floats at_least(floats x, floats bound) {
  return _mm512_maskz_max_ps(0xffff, bound, x);
}
KB_INLINE doubles at_least(doubles x, doubles bound) {
  return _mm512_maskz_max_pd(0xff, bound, x);
}
#elif defined KB_AVX2
KB_INLINE floats fma(floats a, floats b, floats c) { return _mm256_fmadd_ps(a, b, c); }
KB_INLINE doubles fma(doubles a, doubles b, doubles c) {
  return _mm256_fmadd_pd(a, b, c);
}
KB_INLINE floats sqrt(floats x) { return _mm256_sqrt_ps(x); }
KB_INLINE doubles sqrt(doubles x) { return _mm256_sqrt_pd(x); }
KB_INLINE floats at_most(floats x, floats bound) { return _mm256_min_ps(bound, x); }
KB_INLINE doubles at_most(doubles x, doubles bound) { return _mm256_min_pd(bound, x); }
KB_INLINE floats at_least(floats x, floats bound) { return _mm256_max_ps(bound, x); }
KB_INLINE doubles at_least(doubles x, doubles bound) { return _mm256_max_pd(bound, x); }
#elif defined __x86_64__
KB_INLINE floats fma(floats a, floats b, floats c) { return a * b + c; }
KB_INLINE doubles fma(doubles a, doubles b, doubles c) { return a * b + c; }
KB_INLINE floats sqrt(floats x) { return _mm_sqrt_ps(x); }
KB_INLINE doubles sqrt(doubles x) { return _mm_sqrt_pd(x); }
KB_INLINE floats at_most(floats x, floats bound) { return _mm_min_ps(bound, x); }
KB_INLINE doubles at_most(doubles x, doubles bound) { return _mm_min_pd(bound, x); }
KB_INLINE floats at_least(floats x, floats bound) { return _mm_max_ps(bound, x); }
KB_INLINE doubles at_least(doubles x, doubles bound) { return _mm_max_pd(bound, x); }
#else
KB_INLINE floats fma(floats a, floats b, floats c) {
  return (floats)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
}
KB_INLINE doubles fma(doubles a, doubles b, doubles c) {
  return (doubles)vfmaq_f64((float64x2_t)c, (float64x2_t)a, (float64x2_t)b);
}
KB_INLINE floats sqrt(floats x) { return (floats)vsqrtq_f32((float32x4_t)x); }
KB_INLINE doubles sqrt(doubles x) { return (doubles)vsqrtq_f64((float64x2_t)x); }
KB_INLINE floats at_most(floats x, floats bound) {
  return (floats)vminq_f32((float32x4_t)bound, (float32x4_t)x);
}
KB_INLINE doubles at_most(doubles x, doubles bound) {
  return (doubles)vminq_f64((float64x2_t)bound, (float64x2_t)x);
}
KB_INLINE floats at_least(floats x, floats bound) {
  return (floats)vmaxq_f32((float32x4_t)bound, (float32x4_t)x);
}
KB_INLINE doubles at_least(doubles x, doubles bound) {
  return (doubles)vmaxq_f64((float64x2_t)bound, (float64x2_t)x);
}
#endif

template <class V>
KB_INLINE V divide(V a, V b) {
  return a / b;
}

template <class V>
KB_INLINE V fma(V a, V b, entry<V> c) {
  return fma(a, b, splat<V>(c));
}

template <class V>
KB_INLINE V fma(V a, entry<V> b, V c) {
  return fma(a, splat<V>(b), c);
}

template <class V>
KB_INLINE V fma(V a, entry<V> b, entry<V> c) {
  return fma(a, splat<V>(b), splat<V>(c));
}

// The number to add to |x| < 2^(mantissa_bits - 2) so that the sum's low bits are the
// integer nearest to x, in two's complement; its own low half is zero.
template <class V>
inline constexpr entry<V> rounder =
    entry<V>(3) * (int64_t(1) << (simd<V>::mantissa_bits - 1));

// The nearest integral value, ties to even; every x, zero's sign kept.
template <class V>
KB_INLINE V round(V x) {
  constexpr auto whole = entry<V>(int64_t(1) << simd<V>::mantissa_bits);
  const V a = abs(x);
  return with_sign_of(select(a < whole, (a + whole) - whole, a), x);
}

// A bit for each lane of x that is not 0, the first lane's lowest.
#if defined KB_AVX512
KB_INLINE uint64_t nonzero(floats x) {
  return _mm512_cmp_ps_mask(x, floats{}, _CMP_NEQ_UQ);
}
KB_INLINE uint64_t nonzero(doubles x) {
  return _mm512_cmp_pd_mask(x, doubles{}, _CMP_NEQ_UQ);
}
#elif defined KB_AVX2
KB_INLINE uint64_t nonzero(floats x) {
  return uint64_t(_mm256_movemask_ps((floats)(x != floats{})));
}
KB_INLINE uint64_t nonzero(doubles x) {
  return uint64_t(_mm256_movemask_pd((doubles)(x != doubles{})));
}
#elif defined __x86_64__
KB_INLINE uint64_t nonzero(floats x) {
  return uint64_t(_mm_movemask_ps((floats)(x != floats{})));
}
KB_INLINE uint64_t nonzero(doubles x) {
  return uint64_t(_mm_movemask_pd((doubles)(x != doubles{})));
}
#else
KB_INLINE uint64_t nonzero(floats x) {
  return uint64_t(x[0] != 0) | uint64_t(x[1] != 0) << 1 | uint64_t(x[2] != 0) << 2 |
         uint64_t(x[3] != 0) << 3;
}
KB_INLINE uint64_t nonzero(doubles x) {
  return uint64_t(x[0] != 0) | uint64_t(x[1] != 0) << 1;
}
#endif

// Whether a lane of the mask is set.
template <class M>
KB_INLINE bool any(M mask) {
#if defined KB_AVX512
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined KB_AVX2
  return _mm256_testz_si256((__m256i)mask, (__m256i)mask) == 0;
#elif defined __x86_64__
  return _mm_movemask_epi8((__m128i)mask) != 0;
#else
  const int64s m = (int64s)mask;
  return (m[0] | m[1]) != 0;
#endif
}

// x 2^n, rounded once, for x in (1/2, 2) and an integral n up to twice the largest
// exponent; `shifted` is n + rounder, in whose low bits n is.
template <class V>
KB_INLINE V scale(V x, V n, V shifted) {
#if defined KB_AVX512
  (void)shifted;
  if constexpr (sizeof(entry<V>) == 4)
    return _mm512_maskz_scalef_ps(0xffff, x, n);
  else
    return _mm512_maskz_scalef_pd(0xff, x, n);
#else
  // In two steps, each by a normal number wherever x 2^n is not 0 or infinite.
  (void)n;
  constexpr int m = simd<V>::mantissa_bits;
  const words<V> k = bits(shifted), half = k >> 1;
  const V y = x * from_bits((half << m) + simd<V>::one_bits);
  return y * from_bits(((k - half) << m) + simd<V>::one_bits);
#endif
}

}  // namespace kb::KB_ISA
