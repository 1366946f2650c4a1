// How far vecmath.h's functions are from the exact value, in ulp. Fails above 2, and where an entry
// depends on others in its vector.
//
//   test_vecmath [--all] [--time] [name ...]
//
// By default half a million floats and as many doubles per function: every exponent and
// sign, special values, the neighbourhoods where a reduction changes over, and random
// bits. --all takes all 2^32 floats and 2^24 random doubles. --time measures speed
// against the C library instead. The reference for float is the C library in double,
// for double the one in long double (64 bits of mantissa on x86-64, 113 on AArch64).
// With KB_TEST_LIBMVEC --all takes it from glibc's vector library, which is as
// independent and up to ten times as quick.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "vecmath.h"

namespace v = kb::KB_ISA;

namespace {

constexpr double kAllowed = 2;
constexpr int kBlock = 4096;

template <class T>
struct format;
template <>
struct format<float> {
  using word = uint32_t;
  using wider = double;
  static constexpr const char *name = "float";
};
template <>
struct format<double> {
  using word = uint64_t;
  using wider = long double;
  static constexpr const char *name = "double";
};

template <class T>
using word = typename format<T>::word;
template <class T>
using wider = typename format<T>::wider;
template <class T>
using sink = std::function<void(const T *, int)>;

template <class T>
T from_word(word<T> w) {
  return __builtin_bit_cast(T, w);
}

// ---- Errors

template <class R>
R ulp(R exact, int digits, int least) {
  const int exponent = exact == 0 ? least : std::max(std::ilogb(exact), least);
  return std::ldexp(R(1), exponent - digits + 1);
}

// In ulps; an infinity stands for the power of two after the largest number.
template <class T>
double error(T y, wider<T> exact) {
  using R = wider<T>;
  using L = std::numeric_limits<T>;
  const T nearest = T(exact);
  if (std::isnan(y) || std::isnan(nearest))
    return std::isnan(y) && std::isnan(nearest) ? 0 : INFINITY;
  if (std::signbit(y) != std::signbit(nearest)) return INFINITY;
  if (std::isinf(y) && std::isinf(nearest)) return 0;
  const R beyond = std::copysign(std::ldexp(R(1), L::max_exponent), R(y));
  const R got = std::isinf(y) ? beyond : y;
  if (std::isinf(exact)) return INFINITY;
  const R bounded = std::isinf(nearest) ? R(L::max()) : exact;
  return double(std::abs(got - exact) / ulp(bounded, L::digits, L::min_exponent - 1));
}

struct worst {
  double ulps = 0, x = 0, y = 0;
  uint64_t count = 0, not_nearest = 0;
};

// Only results that are not the nearest number are measured; the others are within 1/2.
template <class T>
void compare(worst &w, const T *x, const T *y, const wider<T> *exact, int n) {
  w.count += n;
  for (int i = 0; i < n; i++) {
    const T nearest = T(exact[i]);
    if (memcmp(&nearest, y + i, sizeof nearest) == 0) continue;
    const double e = error(y[i], exact[i]);
    w.not_nearest += e > 0;
    if (!(e > w.ulps)) continue;
    w.ulps = e, w.x = x[i], w.y = y[i];
  }
}

// ---- Arguments

template <class T>
struct collector {
  const sink<T> &out;
  std::vector<T> block = {};
  void add(T x) {
    block.push_back(x);
    if (block.size() == kBlock) flush();
  }
  // Some neighbours of x in both directions.
  void around(T x) {
    T up = x, down = x;
    for (int i = 0; i < 4; i++) {
      add(up), add(-up), add(down), add(-down);
      up = std::nextafter(up, std::numeric_limits<T>::infinity());
      down = std::nextafter(down, -std::numeric_limits<T>::infinity());
    }
  }
  void flush() {
    if (block.empty()) return;
    out(block.data(), int(block.size()));
    block.clear();
  }
};

// Every sign and exponent with mantissas of few bits, which include 0, infinities, NaN.
template <class T>
void every_exponent(collector<T> &c) {
  constexpr int mantissa = std::numeric_limits<T>::digits - 1;
  const word<T> one = word<T>(1) << mantissa;
  for (word<T> e = 0; e < word<T>(1) << (8 * sizeof(T) - mantissa); e++) {
    for (word<T> m : {word<T>(0), word<T>(1), word<T>(2), one - 1, one - 2, one / 2})
      c.add(from_word<T>(e * one + m));
    for (int bit = 0; bit < mantissa; bit += int(sizeof(T)) / 2) {
      c.add(from_word<T>(e * one + (word<T>(1) << bit)));
      c.add(from_word<T>(e * one + one - (word<T>(1) << bit)));
    }
  }
}

template <class T>
void hard_points(collector<T> &c, std::mt19937_64 &random, int count) {
  const double half_pi = std::acos(0.0), ln2 = std::log(2.0);
  for (int k = 0; k < 3000; k++) c.around(T(k * half_pi)), c.around(T(k * half_pi / 2));
  for (int k = 0; k < 2300; k++) c.around(T(k * ln2 / 2)), c.around(T(k * ln2));
  for (int k = 1; k < 400; k++) c.around(T(k / 3.0)), c.around(T(k / 16.0));
  c.around(v::bounds<T>::cody_waite);
  const double ranges[] = {0.01, 0.5, 1, 2, 10, 100, 800, 1e4, 2e6};
  for (double range : ranges)
    for (int i = 0; i < count; i++)
      c.add(T(std::uniform_real_distribution<double>(-range, range)(random)));
  for (int i = 0; i < count; i++) c.around(T(double(random() >> 32) * half_pi));
}

template <class T>
void arguments(bool all, const sink<T> &out) {
  collector<T> c{out};
  std::mt19937_64 random(7);
  if (sizeof(T) == 4) {
    const uint64_t step = all ? 1 : 16381, end = uint64_t(1) << 32;
    for (uint64_t i = 0; i < end; i += step) c.add(from_word<T>(word<T>(i)));
    if (all) return c.flush();
  } else {
    const int count = all ? 1 << 24 : 1 << 16;
    for (int i = 0; i < count; i++) c.add(from_word<T>(word<T>(random())));
  }
  every_exponent(c);
  hard_points(c, random, all ? 1 << 18 : 1 << 13);
  c.flush();
}

// ---- One function

// Writes n numbers to its second argument.
template <class T, class R>
using map = std::function<void(const T *, R *, int)>;

// The last vector is filled up with zeros.
template <class T, class F>
map<T, T> vectorized(F f) {
  return [f](const T *x, T *y, int n) {
    constexpr int width = v::lanes<T>;
    const int whole = n / width * width;
    for (int i = 0; i < whole; i += width) v::store(y + i, f(v::load(x + i)));
    if (whole == n) return;
    T rest[width] = {};
    memcpy(rest, x + whole, (n - whole) * sizeof(T));
    v::store(rest, f(v::load(rest)));
    memcpy(y + whole, rest, (n - whole) * sizeof(T));
  };
}

template <class T, class F>
map<T, wider<T>> scalar(F f) {
  return [f](const T *x, wider<T> *y, int n) {
    for (int i = 0; i < n; i++) y[i] = f(wider<T>(x[i]));
  };
}

// Whether entries stay the same, to the last bit, whatever every second one becomes: a row's values
// must not depend on the rows beside it.
template <class T>
bool alone(const map<T, T> &f, const T *x, const T *y, int n) {
  std::vector<T> others(x, x + n), found(n);
  for (T other : {T(0), std::numeric_limits<T>::infinity(), std::numeric_limits<T>::min() / 2,
                  std::numeric_limits<T>::max()})
    for (int first : {0, 1}) {
      for (int i = 0; i < n; i++) others[i] = i % 2 == first ? other : x[i];
      f(others.data(), found.data(), n);
      for (int i = 1 - first; i < n; i += 2)
        if (memcmp(&found[i], y + i, sizeof(T)) != 0) return false;
    }
  return true;
}

struct options {
  bool all = false, time = false;
  std::vector<std::string> names = {};
};

template <class T>
double seconds_per_entry(const map<T, T> &f) {
  std::vector<T> x(kBlock), y(kBlock);
  std::mt19937_64 random(7);
  for (T &a : x) a = T(std::uniform_real_distribution<double>(0.1, 5)(random));
  double least = 1e9;
  for (int trial = 0; trial < 60; trial++) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < 5; i++) {
      f(x.data(), y.data(), kBlock);
      __asm__ volatile("" : : "r"(y.data()) : "memory");
    }
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
    least = std::min(least, passed.count() / (5 * kBlock));
  }
  return least;
}

template <class T>
bool measure(const char *name, const options &o, const map<T, T> &f,
             const map<T, wider<T>> &reference) {
  worst w;
  bool same = true;
  std::vector<T> y(kBlock);
  std::vector<wider<T>> exact(kBlock);
  arguments<T>(o.all, [&](const T *x, int n) {
    f(x, y.data(), n);
    same = same && alone(f, x, y.data(), n);
    reference(x, exact.data(), n);
    compare(w, x, y.data(), exact.data(), n);
  });
  const bool good = w.ulps <= kAllowed && same;
  printf("%-10s %-6s %11llu  %6.3f ulp at %.17g (%a): %.9g; %.2f %% not nearest%s%s\n",
         name, format<T>::name, (unsigned long long)w.count, std::max(w.ulps, 0.5), w.x,
         w.x, w.y, 100.0 * double(w.not_nearest) / double(w.count), same ? "" : "; not alone",
         good ? "" : "  BAD");
  fflush(stdout);
  return good;
}

template <class T, class F, class G>
bool timed(const char *name, F f, G libm) {
  const double ours = seconds_per_entry<T>(vectorized<T>(f));
  const double theirs = seconds_per_entry<T>([libm](const T *x, T *y, int n) {
    for (int i = 0; i < n; i++) y[i] = libm(x[i]);
  });
  printf("%-10s %-6s %7.3f ns/entry, %5.1f times the C library's speed\n", name,
         format<T>::name, 1e9 * ours, theirs / ours);
  return true;
}

template <class T, class F, class G>
bool test_one(const std::string &name, const options &o, F f, G g,
              const map<float, double> &quick) {
  if (o.time) return timed<T>(name.c_str(), f, g);
  if constexpr (sizeof(T) == 4)
    if (o.all && quick) return measure<T>(name.c_str(), o, vectorized<T>(f), quick);
  return measure<T>(name.c_str(), o, vectorized<T>(f), scalar<T>(g));
}

template <class F, class G>
bool test(const std::string &name, const options &o, F f, G g,
          const map<float, double> &quick = nullptr) {
  bool wanted = o.names.empty();
  for (const std::string &n : o.names) wanted = wanted || n == name;
  if (!wanted) return true;
  const bool floats = test_one<float>(name, o, f, g, quick);
  return test_one<double>(name, o, f, g, nullptr) && floats;
}

// ---- glibc's vector functions, four doubles at a time, within 4 ulp of double

#ifdef KB_TEST_LIBMVEC
#define KB_AVX2_CODE __attribute__((target("avx2,fma")))
typedef double four __attribute__((vector_size(32)));

extern "C" {
four _ZGVdN4v_exp(four);
four _ZGVdN4v_expm1(four);
four _ZGVdN4v_log(four);
four _ZGVdN4v_log1p(four);
four _ZGVdN4v_tanh(four);
four _ZGVdN4v_sin(four);
four _ZGVdN4v_cos(four);
four _ZGVdN4v_erf(four);
four _ZGVdN4vv_pow(four, four);
}

#define KB_QUICK(name, value)                                       \
  KB_AVX2_CODE void name##_quick(const float *x, double *y, int n) { \
    for (int i = 0; i < n; i += 4) {                                \
      const four t = {x[i], x[i + 1], x[i + 2], x[i + 3]};          \
      const four r = value;                                         \
      memcpy(y + i, &r, sizeof r);                                  \
    }                                                               \
  }
KB_QUICK(exp, _ZGVdN4v_exp(t))
KB_QUICK(expm1, _ZGVdN4v_expm1(t))
KB_QUICK(log, _ZGVdN4v_log(t))
KB_QUICK(log1p, _ZGVdN4v_log1p(t))
KB_QUICK(tanh, _ZGVdN4v_tanh(t))
KB_QUICK(sigmoid, _ZGVdN4v_exp(t < 0 ? t : four{}) / (1 + _ZGVdN4v_exp(t < 0 ? t : -t)))
KB_QUICK(softplus, (t < 0 ? four{} : t) + _ZGVdN4v_log1p(_ZGVdN4v_exp(t < 0 ? t : -t)))
KB_QUICK(sin, _ZGVdN4v_sin(t))
KB_QUICK(cos, _ZGVdN4v_cos(t))
KB_QUICK(erf, _ZGVdN4v_erf(t))

KB_AVX2_CODE void pow_block(const float *x, double *y, int n, double p) {
  const four power = {p, p, p, p};
  for (int i = 0; i < n; i += 4) {
    const four t = {x[i], x[i + 1], x[i + 2], x[i + 3]};
    const four r = _ZGVdN4vv_pow(t, power);
    memcpy(y + i, &r, sizeof r);
  }
}
map<float, double> pow_quick(double p) {
  return [p](const float *x, double *y, int n) { pow_block(x, y, n, p); };
}
#define KB_REFERENCE(f) f##_quick
#else
#define KB_REFERENCE(f) nullptr
map<float, double> pow_quick(double) { return nullptr; }
#endif

// ---- The table

template <class R>
R sigmoid(R x) {
  const R e = std::exp(-std::abs(x));
  return (x < 0 ? e : R(1)) / (1 + e);
}

template <class R>
R softplus(R x) {
  return (x < 0 ? R(0) : x) + std::log1p(std::exp(-std::abs(x)));
}

// A number that has little to do with x, of any exponent and sign.
template <class T>
T scrambled(T x) {
  const auto mixed = __builtin_bit_cast(word<T>, x) * word<T>(0x9e3779b97f4a7c15);
  return from_word<T>(mixed ^ mixed >> (4 * sizeof(T)));
}

template <class V>
V each_scrambled(V x) {
  for (int k = 0; k < v::lanes<v::entry<V>>; k++) x[k] = scrambled<v::entry<V>>(x[k]);
  return x;
}
inline double scrambled_exactly(double x) { return scrambled(float(x)); }
inline long double scrambled_exactly(long double x) { return scrambled(double(x)); }

#define KB_TEST(f)                                             \
  good &= test(                                                \
      #f, o, [](auto x) { return v::f(x); },                   \
      [](auto x) { return std::f(x); }, KB_REFERENCE(f))

bool test_all(const options &o) {
  bool good = true;
  KB_TEST(exp);
  KB_TEST(expm1);
  KB_TEST(log);
  KB_TEST(log1p);
  KB_TEST(tanh);
  good &= test("sigmoid", o, [](auto x) { return v::sigmoid(x); },
               [](auto x) { return sigmoid(x); }, KB_REFERENCE(sigmoid));
  good &= test("softplus", o, [](auto x) { return v::softplus(x); },
               [](auto x) { return softplus(x); }, KB_REFERENCE(softplus));
  KB_TEST(sin);
  KB_TEST(cos);
  KB_TEST(erf);
  good &= test("sqrt", o, [](auto x) { return v::sqrt(x); },
               [](auto x) { return std::sqrt(x); });
  good &= test("1/x", o, [](auto x) { return v::divide(v::splat<decltype(x)>(1), x); },
               [](auto x) { return 1 / x; });
  good &= test("x/3", o, [](auto x) { return v::divide(x, v::splat<decltype(x)>(3)); },
               [](auto x) { return x / 3; });
  good &= test("x/y", o, [](auto x) { return v::divide(x, each_scrambled(x)); },
               [](auto x) { return x / scrambled_exactly(x); });
  good &= test("round", o, [](auto x) { return v::round(x); },
               [](auto x) { return std::nearbyint(x); });
  return good;
}

bool test_powers(const options &o) {
  bool good = true;
  const double exponents[] = {0,   1,   2,  3,   -1,    0.5,   -0.5,  1.5,  2.5,
                              4,   5,   -2, -3,  0.25,  -1.75, 10.5,  37,   -101,
                              1e9, 1e19, -1e30, INFINITY, -INFINITY, NAN, 0x1.99999ap-4};
  for (double p : exponents) {
    char name[40];
    snprintf(name, sizeof name, "pow %g", p);
    good &= test(
        name, o,
        [p](auto x) { return v::pow(x, v::entry<decltype(x)>(p)); },
        [p](auto x) { return std::pow(x, decltype(x)(p)); }, pow_quick(p));
  }
  return good;
}

// Whether this machine has the instructions this copy was compiled for.
bool runnable() {
#if defined KB_AVX512
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined KB_AVX2
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

}  // namespace

int main(int count, char **words) {
  if (!runnable()) {
    puts("skipped: this machine lacks the instructions");
    return 77;
  }
  options o;
  for (int i = 1; i < count; i++) {
    const std::string word = words[i];
    if (word == "--all")
      o.all = true;
    else if (word == "--time")
      o.time = true;
    else
      o.names.push_back(word);
  }
  const bool good = test_all(o), powers = test_powers(o);
  return good && powers ? 0 : 1;
}
