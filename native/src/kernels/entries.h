// Entrywise operations: a step of a program over some entries.
#pragma once
#include "common.h"

namespace kb::KB_ISA {

template <class T>
inline vec<T> relu(vec<T> x) {  // NaN stays
  return at_least(x, all<T>(T(0)));
}
// y step(x), for a step that is 0 at 0.
template <class T>
inline vec<T> times_step(vec<T> x, vec<T> y) {
  return y * select(x > all<T>(T(0)), all<T>(T(1)), all<T>(T(0)));
}

// An argument's vector for entry k on; its step is 0 where it is one vector of the same number,
// else 1.
template <class T>
struct Entries {
  const T* from;
  int64_t step;
  vec<T> operator[](int64_t k) const { return load(from + k * step); }
};
// a b and a b - c, entry by entry.
template <class T>
struct Products {
  Entries<T> a, b;
  vec<T> operator[](int64_t k) const { return a[k] * b[k]; }
};
template <class T>
struct Excesses {
  Entries<T> a, b, c;
  vec<T> operator[](int64_t k) const { return fma(a[k], b[k], -c[k]); }
};

// y = f(a, b, c, d) entry by entry, `cols` of them, f the operation `what`.
template <class T, Micro what>
void entry_by_entry(const Operation<T>& op, const Batch&) {
  using V = vec<T>;
  T* const y = op.y;
  const Entries<T> a{op.a, op.a_step}, b{op.b, op.b_step}, c{op.c, op.c_step}, d{op.d, op.d_step};
  const T value = op.value;
  const auto each = [y, n = op.cols](auto f, auto... from) {
    for (int64_t k = 0; k < n; k += kLanes<T>) store(y + k, f(from[k]...));
  };
  const Products<T> product{a, b};
  const Excesses<T> excess{a, b, c};
  const V zero = all<T>(T(0)), one = all<T>(T(1)), given = all<T>(value);
  const auto quotient = [=](auto x, auto z, auto f, auto... from) {  // f(x/z, ...)
    if (z.step == 0) {  // by one number: it is inverted once
      const V inverse = one / z[0];
      return each([=](V p, auto... rest) { return f(p * inverse, rest...); }, x, from...);
    }
    return each([=](V p, V q, auto... rest) { return f(divide(p, q), rest...); }, x, z, from...);
  };
  switch (what) {
    case Micro::copy: return each([](V x) { return x; }, a);
    case Micro::add: return each([](V x, V z) { return x + z; }, a, b);
    case Micro::subtract: return each([](V x, V z) { return x - z; }, a, b);
    case Micro::multiply: return each([](V x, V z) { return x * z; }, a, b);
    case Micro::divide: return quotient(a, b, [](V x) { return x; });
    case Micro::maximum:  // NaN of either argument stays
      return each([](V x, V z) { return select(x != x, x, select(x > z, x, z)); }, a, b);
    case Micro::minimum:
      return each([](V x, V z) { return select(x != x, x, select(x < z, x, z)); }, a, b);
    case Micro::negate: return each([](V x) { return -x; }, a);
    case Micro::exp: return each([](V x) { return exp(x); }, a);
    case Micro::expm1: return each([](V x) { return expm1(x); }, a);
    case Micro::log: return each([](V x) { return log(x); }, a);
    case Micro::sqrt: return each([](V x) { return sqrt(x); }, a);
    case Micro::abs: return each([](V x) { return abs(x); }, a);
    case Micro::sign:
      return each([=](V x) { return select(x > zero, one, select(x < zero, -one, x)); }, a);
    case Micro::step:
      return each([=](V x) {
        return select(x > zero, one, select(x == zero, given, zero));
      }, a);
    case Micro::relu:
      return each([](V x) { return relu<T>(x); }, a);
    case Micro::sin: return each([](V x) { return sin(x); }, a);
    case Micro::cos: return each([](V x) { return cos(x); }, a);
    case Micro::sigmoid: return each([](V x) { return sigmoid(x); }, a);
    case Micro::tanh: return each([](V x) { return tanh(x); }, a);
    case Micro::softplus: return each([](V x) { return softplus(x); }, a);
    case Micro::erf: return each([](V x) { return erf(x); }, a);
    case Micro::square: return each([](V x) { return x * x; }, a);
    case Micro::power:
      if (value == T(-1)) return each([=](V x) { return one / x; }, a);
      return each([=](V x) { return pow(x, value); }, a);
    case Micro::multiply_add:
      return each([](V x, V z, V t) { return fma(x, z, t); }, a, b, c);
    case Micro::multiply_subtract:
      return each([](V x, V z, V t) { return fma(x, z, -t); }, a, b, c);
    case Micro::subtract_multiple:
      return each([](V x, V z, V t) { return fma(-x, z, t); }, a, b, c);
    case Micro::multiply_square:
      return each([](V x, V z) { return x * x * z; }, a, b);
    case Micro::multiply_square_add:
      return each([](V x, V z, V t) { return fma(x * x, z, t); }, a, b, c);
    case Micro::add_products:
      return each([](V x, V z, V t, V u) { return fma(t, u, x * z); }, a, b, c, d);
    case Micro::add_product_of_square:
      return each([](V x, V z, V t, V u) { return fma(t, u, x * x * z); }, a, b, c, d);
    case Micro::root_add: return each([](V x, V z) { return sqrt(x) + z; }, a, b);
    case Micro::part: return quotient(product, c, [](V x) { return x; });
    case Micro::add_part: return quotient(product, c, [](V x, V z) { return x + z; }, d);
    case Micro::subtract_part: return quotient(product, c, [](V x, V z) { return z - x; }, d);
    case Micro::exp_difference: return each([](V x, V z) { return exp(x - z); }, a, b);
    case Micro::difference_multiple:
      return each([](V x, V z, V t) { return (x - z) * t; }, a, b, c);
    case Micro::multiply_subtract_part: return quotient(excess, d, [](V x) { return x; });
    case Micro::multiply_step:
      if (value == T(0))
        return each([](V x, V z) { return times_step<T>(x, z); }, a, b);
      return each([=](V x, V z) {
        return z * select(x > zero, one, select(x == zero, given, zero));
      }, a, b);
    case Micro::row_max:
    case Micro::row_sum:
    case Micro::row_sum_of_squares:
    case Micro::count: return;
  }
}
template <class T>
constexpr void (*kEntries[])(const Operation<T>&, const Batch&) = {
#define KB_ENTRY(name, arity, row) entry_by_entry<T, Micro::name>,
    KB_MICRO(KB_ENTRY)
#undef KB_ENTRY
};

}  // namespace kb::KB_ISA
