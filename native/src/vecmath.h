// Elementary functions of vectors of floats and doubles, at most 2 ulp from the exact
// value for every argument: zeros keep their sign, infinities and NaN go where C's
// <math.h> sends them, and results in the subnormal range are right. No rounding mode
// but to nearest, and no errno or exception flags.
//
// Methods: reduction to a short interval and a minimax polynomial there, as in
// W. J. Cody, W. Waite, Software Manual for the Elementary Functions (1980), and
// J.-M. Muller, Elementary Functions, 3rd ed. (2016). Coefficients and their errors are
// in coefficients.h. native/tests/test_vecmath.cpp measures the ulps.
#pragma once

#include "coefficients.h"
#include "simd.h"

namespace kb::KB_ISA {

// Bounds beyond which a result no longer changes, and the like.
template <class T>
struct bounds;

template <>
struct bounds<float> {
  static constexpr float infinity = __builtin_inff(), nan = __builtin_nanf("");
  static constexpr float least_normal = 0x1p-126f, half_ulp = 0x1p-24f;
  static constexpr float exp_zero = -104, exp_infinite = 89;  // e^x rounds to 0, inf
  static constexpr float expm1_minus_one = -18, tanh_one = 10, erf_one = 4;
  static constexpr float cody_waite = 12000;  // 2/pi of it is below 2^13
};

template <>
struct bounds<double> {
  static constexpr double infinity = __builtin_inf(), nan = __builtin_nan("");
  static constexpr double least_normal = 0x1p-1022, half_ulp = 0x1p-53;
  static constexpr double exp_zero = -746, exp_infinite = 710;
  static constexpr double expm1_minus_one = -38, tanh_one = 20, erf_one = 6;
  static constexpr double cody_waite = 1.6e6;  // 2/pi of it is below 2^20
};

template <class V>
using bound = bounds<entry<V>>;
template <class V>
using coefficient = coefficients<entry<V>>;

// c[I] + c[I + Step] x + c[I + 2 Step] x^2 + ... by Horner's rule.
template <int I, int Step, class V, int N>
KB_INLINE V horner(V x, const entry<V> (&c)[N]) {
  if constexpr (I + Step >= N)
    return splat<V>(c[I]);
  else
    return fma(x, horner<I + Step, Step>(x, c), c[I]);
}

// c[0] + c[1] x + ...: even and odd powers apart, which halves the chain of dependences.
template <class V, int N>
KB_INLINE V polynomial(V x, const entry<V> (&c)[N]) {
  const V x2 = x * x;
  return fma(x, horner<1, 2>(x2, c), horner<0, 2>(x2, c));
}

// ---- e^x and what is made of it

// x = n ln 2 + high + low with |high| <= ln(2)/2, low far smaller, and n integral;
// shifted = n + rounder.
template <class V>
struct power_of_two {
  V n, shifted, high, low;
};

template <class V>
KB_INLINE power_of_two<V> split_exponent(V x) {
  using T = entry<V>;
  constexpr auto &ln2 = coefficient<V>::ln2;
  constexpr T log2e = T(0x1.71547652b82fep+0);
  const V shifted = fma(x, log2e, splat<V>(rounder<V>));
  const V n = shifted - rounder<V>;
  return {n, shifted, fma(n, -ln2[0], x), n * -ln2[1]};
}

// e^(high + low) - 1; high, which is exact, comes in last.
template <class V>
KB_INLINE V expm1_reduced(power_of_two<V> s) {
  const V r = s.high + s.low;
  return fma(r * r, polynomial(r, coefficient<V>::exp), s.low) + s.high;
}

// 2^n for normal results.
template <class V>
KB_INLINE V two_to(power_of_two<V> s) {
  return from_bits((bits(s.shifted) << simd<V>::mantissa_bits) + simd<V>::one_bits);
}

// e^x for x not so large that it overflows.
template <class V>
KB_INLINE V exp_below(V x) {
  const auto s = split_exponent(at_least(x, splat<V>(bound<V>::exp_zero)));
  return scale(1 + expm1_reduced(s), s.n, s.shifted);
}

template <class V>
KB_INLINE V exp(V x) {
  return exp_below(at_most(x, splat<V>(bound<V>::exp_infinite)));
}

// 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)), r = high + low; 2^n itself may overflow.
template <class V>
KB_INLINE V expm1(V x) {
  const V below = at_most(x, splat<V>(bound<V>::exp_infinite));
  const auto s = split_exponent(at_least(below, splat<V>(bound<V>::expm1_minus_one)));
  constexpr auto one = typename simd<V>::word(1);
  const V half = from_bits(bits(two_to(s)) - (one << simd<V>::mantissa_bits));
  const V y = fma(half, expm1_reduced(s), half - entry<V>(0.5));
  return select<V>(abs(x) < bound<V>::half_ulp, x, y + y);
}

// (1 - e^(-2|x|)) / (1 + e^(-2|x|)), with e^(-2|x|) = w + w (e^r - 1), w = 2^n: 1 - w and
// w times anything are exact, so nothing cancels near 0. Where 1 + w rounds to 1, b - 2 w
// is still right to first order. The last two lines make good what the roundings of
// numerator and denominator lost; (1 + y)/2 is 1 over the denominator.
template <class V>
KB_INLINE V tanh(V x) {
  constexpr entry<V> half = 0.5;
  const auto s = split_exponent(-2 * at_most(abs(x), splat<V>(bound<V>::tanh_one)));
  const V w = two_to(s), part = w * expm1_reduced(s);
  const V b = 1 + w, a = b - 2 * w, above = a - part, below = b + part;
  const V y = divide(above, below);
  const V lost = fma(-y, part - (below - b), (a - above) - part);
  return with_sign_of(fma(lost, fma(y, half, half), y), x);
}

// e/(1 + e) with e = e^-|x|, for negative x; 1 less that for the others. The correction
// is for what the roundings of e and of 1 + e lost, to first order; 1 - y is 1/(1 + e).
template <class V>
KB_INLINE V sigmoid(V x) {
  const auto s = split_exponent(at_least(-abs(x), splat<V>(bound<V>::exp_zero)));
  const V p = expm1_reduced(s), h = 1 + p, e = scale(h, s.n, s.shifted), below = 1 + e;
  const V lost = (p - (h - 1)) - (e - (below - 1));
  const V ratio = divide(e, below), y = fma(ratio * (1 - ratio), lost, ratio);
  return select<V>(x < 0, y, 1 - y);
}

// ---- Logarithms

// x = 2^k m with 2/3 <= m < 4/3, for normal positive x; exponent is k + the bias.
template <class V>
struct binary {
  V k, m;
  words<V> exponent;
};

template <class V>
KB_INLINE binary<V> split_binary(V x) {
  using W = typename simd<V>::word;
  constexpr int bits_below = simd<V>::mantissa_bits;
  constexpr W one = simd<V>::one_bits, bias = one >> bits_below;
  constexpr W two_thirds = sizeof(W) == 4 ? W(0x3f2aaaab) : W(0x3fe5555555555555);
  constexpr entry<V> whole = entry<V>(W(1) << bits_below);
  const words<V> exponent = (bits(x) + (one - two_thirds)) >> bits_below;
  // The exponent in the low bits of 2^mantissa_bits, which is then taken away.
  const V k = from_bits(exponent | bits(splat<V>(whole))) - (whole + bias);
  return {k, from_bits(bits(x) - (exponent << bits_below) + one), exponent};
}

// ln(1 + f) - f for -1/3 <= f <= 1/3.
KB_INLINE floats log1p_tail(floats f) {
  return f * f * fma(f, polynomial(f, coefficients<float>::log), -0.5f);
}

// With s = f/(2 + f), 1 + f = (1 + s)/(1 - s) and 2 s = f - s f: P. T. P. Tang, ACM
// Transactions on Mathematical Software 16 (1990), 378-400.
KB_INLINE doubles log1p_tail(doubles f) {
  const doubles s = f / (2 + f), z = s * s;
  return -s * (f - z * polynomial(z, coefficients<double>::log));
}

// ln(2^k (1 + f)) + low.
template <class V>
KB_INLINE V log_of(V k, V f, V low = V{}) {
  constexpr auto &ln2 = coefficient<V>::ln2;
  return fma(k, ln2[0], f + (fma(k, ln2[1], log1p_tail(f)) + low));
}

template <class V>
KB_INLINE V log(V x) {
  using B = bound<V>;
  constexpr entry<V> up = entry<V>(int64_t(2) << simd<V>::mantissa_bits);
  const auto small = x < B::least_normal;
  const auto s = split_binary(select(small, x * up, x));
  const V k = s.k - select(small, splat<V>(simd<V>::mantissa_bits + 1), V{});
  const V y = log_of(k, s.m - 1);
  const V outside = select<V>(x == 0, splat<V>(-B::infinity), splat<V>(B::nan));
  return select<V>(x < B::infinity, select<V>(x > 0, y, outside), x);
}

// ln(1 + x) for finite x > -1. With u = 1 + x rounded and c what rounding lost,
// 1 + x = 2^k (m + 2^-k c); where k = 0 this gives back x itself, and elsewhere nearly
// 2^k (1 + f) e^(what f's rounding lost).
template <class V>
KB_INLINE V log1p_inside(V x) {
  constexpr int bits_below = simd<V>::mantissa_bits;
  const V u = 1 + x, c = x - (u - 1);
  const auto s = split_binary(u);
  const V shrink = from_bits(2 * simd<V>::one_bits - (s.exponent << bits_below));
  const V low = select<V>(s.k > 2 * bits_below, V{}, c * shrink);
  const V high = s.m - 1, f = high + low;
  return log_of(s.k, f, low - (f - high));
}

template <class V>
KB_INLINE V log1p(V x) {
  using B = bound<V>;
  const V y = with_sign_of(abs(log1p_inside(x)), x);
  const V outside = select<V>(x == -1, splat<V>(-B::infinity), splat<V>(B::nan));
  return select<V>(x < B::infinity, select<V>(x > -1, y, outside), x);
}

// ln(1 + e^x) = max(x, 0) + ln(1 + e^-|x|).
template <class V>
KB_INLINE V softplus(V x) {
  return at_least(x, V{}) + log1p_inside(exp_below(-abs(x)));
}

// ---- Sine and cosine

// An angle as k pi/2 + r, |r| <= pi/4; only k's two lowest bits count.
struct angle {
  double r;
  uint64_t k;
};

// 192 bits of 2/pi from the one after `skip`, the highest word first; skip >= -64.
KB_INLINE void two_over_pi_bits(int skip, uint64_t (&w)[3]) {
  const int word = (skip + 64) / 64 - 1, shift = (skip + 64) % 64;
  uint64_t high = word < 0 ? 0 : two_over_pi[word];
  for (int i = 0; i < 3; i++) {
    const uint64_t low = two_over_pi[word + 1 + i];
    w[i] = shift ? high << shift | low >> (64 - shift) : high;
    high = low;
  }
}

// For one finite |x| >= 2^13, in integers: M. H. Payne, R. N. Hanek, ACM SIGNUM
// Newsletter 18 (1983), 19-24. Bits of 2/pi that make multiples of 4 are left out.
KB_INLINE angle reduce_large(double x) {
  __extension__ typedef unsigned __int128 wide;
  uint64_t b, w[3];
  memcpy(&b, &x, sizeof b);
  const int exponent = int(b >> 52 & 0x7ff) - 1075;
  const uint64_t m = (b & 0xfffffffffffff) | 0x10000000000000;
  two_over_pi_bits(exponent - 2, w);
  // m w mod 2^192, in units of 2^-190 quarter turns: the two highest bits are whole.
  const wide low = wide(m) * w[2], middle = wide(m) * w[1] + uint64_t(low >> 64);
  uint64_t high = m * w[0] + uint64_t(middle >> 64), next = uint64_t(middle);
  const uint64_t k = (high + (uint64_t(1) << 61)) >> 62;
  high = high << 2 | next >> 62, next = next << 2 | uint64_t(low) >> 62;
  const bool below = high >> 63;  // the fraction is at least 1/2: round up, turn round
  if (below) high = ~high, next = ~next;
  // A double is never so near to a multiple of pi/2 that high is 0.
  const int zeros = __builtin_clzll(high | 1);
  const uint64_t top = zeros ? high << zeros | next >> (64 - zeros) : high;
  const uint64_t half_pi = 0xc90fdaa22168c235;  // times 2^-63
  const double r = double(uint64_t(wide(top) * half_pi >> 64)) *
                   __builtin_bit_cast(double, uint64_t(1023 - 63 - zeros) << 52);
  const bool negative = b >> 63;
  return {below != negative ? -r : r, negative ? -k : k};
}

template <class V>
struct angles {
  V r;
  words<V> k;
};

// Lanes that subtract_half_pis does not reach, one by one; infinite ones become NaN.
template <class V>
__attribute__((noinline)) angles<V> reduce_lanes(V x, angles<V> a) {
  for (int i = 0; i < lanes<V>; i++) {
    const entry<V> xi = x[i];
    if (!(__builtin_fabs(xi) > bound<V>::cody_waite)) continue;
    if (xi - xi != 0) {
      a.r[i] = bound<V>::nan;
      continue;
    }
    const angle large = reduce_large(xi);
    a.r[i] = entry<V>(large.r);
    a.k[i] = typename simd<V>::word(large.k);
  }
  return a;
}

// x - n pi/2 by Cody and Waite's method: pi/2 in parts, n times each of which is exact.
template <class V>
KB_INLINE V subtract_half_pis(V x, V n) {
  using C = coefficient<V>;
  V r = x;
#if KB_FUSED
  for (entry<V> part : C::half_pi_fused) r = fma(n, -part, r);
  return r;
#else
  V lost{};  // by the roundings of the differences
  for (entry<V> part : C::half_pi) {
    const V multiple = n * part, next = r - multiple;
    lost += (r - next) - multiple;
    r = next;
  }
  return r + lost;
#endif
}

template <class V>
KB_INLINE angles<V> reduce(V x) {
  constexpr entry<V> two_over_pi = entry<V>(0x1.45f306dc9c883p-1);
  const V shifted = fma(x, two_over_pi, splat<V>(rounder<V>));
  const angles<V> a = {subtract_half_pis(x, shifted - rounder<V>), bits(shifted)};
  const auto far = abs(x) > bound<V>::cody_waite;
  return __builtin_expect(any(far), 0) ? reduce_lanes(x, a) : a;
}

// The sine of k pi/2 + r: sin r, cos r, -sin r, -cos r.
template <class V>
KB_INLINE V sin_of(V r, words<V> k) {
  using C = coefficient<V>;
  const V t = r * r;
  const V s = fma(r * t, polynomial(t, C::sin), r);
  const V c = fma(t, fma(t, polynomial(t, C::cos), entry<V>(-0.5)), entry<V>(1));
  constexpr int top = 8 * sizeof(entry<V>) - 1;
  const V y = select<V>((k << top) != 0, c, s);
  return from_bits(bits(y) ^ (k >> 1 << top));
}

template <class V>
KB_INLINE V sin(V x) {
  const auto a = reduce(x);
  return select<V>(x == 0, x, sin_of(a.r, a.k));
}

template <class V>
KB_INLINE V cos(V x) {
  const auto a = reduce(x);
  return sin_of(a.r, a.k + 1);
}

// ---- The error function

// Below 1 a polynomial, above it 1 - erfc x, erfc x the exponential of a polynomial.
template <class V>
KB_INLINE V erf(V x) {
  using C = coefficient<V>;
  const V a = abs(x), near = fma(a, polynomial(a * a, C::erf), a);
  const V b = at_most(a, splat<V>(bound<V>::erf_one)) - 1;
  const auto s = split_exponent(polynomial(b, C::erfc));
  const V erfc = two_to(s) * (1 + expm1_reduced(s));
  return with_sign_of(select<V>(a < 1, near, 1 - erfc), x);
}

// ---- Powers

// A number as an unevaluated sum, |low| <= ulp(high)/2.
struct twofold {
  doubles high, low;
};

// a + b exactly where |a| >= |b| or a = 0: T. J. Dekker, Numerische Mathematik 18
// (1971), 224-242.
KB_INLINE twofold sum(doubles a, doubles b) {
  const doubles s = a + b;
  return {s, b - (s - a)};
}

// a b exactly, where it neither overflows nor gets near to underflow.
KB_INLINE twofold product(doubles a, doubles b) {
  const doubles p = a * b;
#if KB_FUSED
  return {p, fma(a, b, -p)};
#else
  const doubles ca = a * 0x8000001p0, cb = b * 0x8000001p0;
  const doubles ah = ca - (ca - a), al = a - ah, bh = cb - (cb - b), bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
#endif
}

KB_INLINE twofold product(twofold a, twofold b) {
  const twofold p = product(a.high, b.high);
  return sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// ln x to 2^-65 or so, x positive and finite; the series of log1p_tail, with the terms
// up to s^3 in twofold numbers.
KB_INLINE twofold log_twofold(doubles x) {
  using C = coefficients<double>;
  const auto small = x < bounds<double>::least_normal;
  const auto b = split_binary(select(small, x * 0x1p54, x));
  const doubles k = b.k - select(small, splat<doubles>(54), doubles{});
  const doubles f = b.m - 1, d = 2 + f, d_low = f - (d - 2), inverse = 1 / d;
  const doubles s0 = f * inverse;
  const twofold back = product(s0, d);
  const doubles rest = ((f - back.high) - back.low) - s0 * d_low;
  const twofold s = sum(s0, rest * inverse), z = product(s, s);
  constexpr double third = 0x1.5555555555555p-1, third_low = 0x1.5555555555555p-55;
  twofold w = sum(splat<doubles>(third), z.high * polynomial(z.high, C::log_fine));
  w.low += third_low;
  const twofold cubic = product(s, product(z, w));
  twofold y = sum(2 * s.high, cubic.high);
  y.low += 2 * s.low + cubic.low;
  const twofold whole = sum(k * C::ln2[0], y.high);
  return sum(whole.high, whole.low + (y.low + k * C::ln2[1]));
}

// x^y for positive finite x and a y too small to make infinities on the way.
KB_INLINE doubles positive_power(doubles x, double y) {
  using B = bounds<double>;
  const twofold l = log_twofold(x), p = product(l.high, splat<doubles>(y));
  const doubles low = p.low + l.low * y;
  const doubles bounded = at_least(at_most(p.high, splat<doubles>(B::exp_infinite)),
                                   splat<doubles>(B::exp_zero));
  auto s = split_exponent(bounded);
  s.low += select(bounded == p.high, low, doubles{});
  return scale(1 + expm1_reduced(s), s.n, s.shifted);
}

// Double precision is ample for floats, whose subnormals are normal doubles.
KB_INLINE floats positive_power(floats x, double y) {
  const auto one = [y](doubles x) {
    const auto b = split_binary(x);
    return exp(log_of(b.k, b.m - 1) * y);
  };
  const pair wide = widen(x);
  return narrow({one(wide.first), one(wide.rest)});
}

// Small exponents by products and roots, which are as exact and quicker.
template <class V>
KB_INLINE bool simple_power(V x, double y, V &out) {
  using B = bound<V>;
  // C's pow(-0, 1/2) is +0 and pow(-inf, 1/2) is inf.
  const auto root = [](V x) {
    return select<V>(x == -B::infinity, splat<V>(B::infinity), sqrt(x) + 0);
  };
  if (y == 0) return out = splat<V>(1), true;
  if (y == 1) return out = x, true;
  if (y == 2) return out = x * x, true;
  if (y == 3) return out = x * x * x, true;
  if (y == -1) return out = 1 / x, true;
  if (y == 0.5) return out = root(x), true;
  if (y == -0.5) return out = 1 / root(x), true;
  if (y == 1.5) return out = abs(x) * root(x), true;
  return false;
}

// x^y as C's pow, for one exponent y.
template <class V>
KB_INLINE V pow(V x, entry<V> y) {
  using B = bound<V>;
  V out;
  if (simple_power(x, y, out)) return out;
  if (y != y) return select<V>(x == 1, splat<V>(1), splat<V>(y));
  // From 2^66 on, every x but 1 gives 0 or infinity; and such a y is even.
  const double limit = 0x1p66, z = y > limit ? limit : y < -limit ? -limit : y;
  const bool huge = z >= 0x1p53 || z <= -0x1p53;
  const bool whole = huge || double(int64_t(z)) == z, odd = !huge && int64_t(z) & 1;
  const V a = abs(x);
  const auto ordinary = (a > 0) & (a < B::infinity);
  const V power = positive_power(select<V>(ordinary, a, splat<V>(1)), z);
  const V y0 = select<V>(ordinary, power, z > 0 ? a : 1 / a);
  if (whole) return odd ? with_sign_of(y0, x) : y0;
  const auto undefined = (x < 0) & (a < B::infinity);
  return select<V>(undefined, splat<V>(B::nan), y0);
}

}  // namespace kb::KB_ISA
