// What goes across the lanes of vectors: sums, masks, transposed blocks.
#pragma once
#include "common.h"

namespace kb::KB_ISA {

// Index vectors, some read at an offset: `inside` + lanes - n is a mask of the first n
// lanes, `places` + n the lanes rotated by n, `upper[half]` and `lower[half]` the blocks of
// two vectors that a transposition puts together.
template <class T>
struct Tables {
  using Int = decltype(ints<vec<T>>{}[0] + 0);
  Int inside[2 * kLanes<T>] = {}, places[2 * kLanes<T>] = {};
  Int upper[kLanes<T>][kLanes<T>] = {}, lower[kLanes<T>][kLanes<T>] = {};  // by the half
  constexpr Tables() {
    for (int k = 0; k < kLanes<T>; ++k) {
      inside[k] = -1;
      places[k] = places[k + kLanes<T>] = k;
      for (int half = 1; half < kLanes<T>; ++half) {
        upper[half][k] = (k & half) == 0 ? k : kLanes<T> + k - half;
        lower[half][k] = (k & half) == 0 ? k + half : kLanes<T> + k;
      }
    }
  }
};
template <class T>
constexpr Tables<T> kTables{};

template <class T>
inline ints<vec<T>> loaded(const typename Tables<T>::Int* from) {
  ints<vec<T>> x;
  memcpy(&x, from, sizeof x);
  return x;
}

template <class T>
inline vec<T> rotated(vec<T> x, int by) {
#if defined(__clang__)
  vec<T> y;
  for (int k = 0; k < kLanes<T>; ++k) y[k] = x[(k + by) % kLanes<T>];
  return y;
#else
  return __builtin_shuffle(x, loaded<T>(kTables<T>.places + by));
#endif
}

template <class T>
inline void exchange(vec<T> x, vec<T> y, int half, vec<T>& upper, vec<T>& lower) {
#if defined(__clang__)
  for (int k = 0; k < kLanes<T>; ++k) {
    upper[k] = (k & half) == 0 ? x[k] : y[k - half];
    lower[k] = (k & half) == 0 ? x[k + half] : y[k];
  }
#else
  upper = __builtin_shuffle(x, y, loaded<T>(kTables<T>.upper[half]));
  lower = __builtin_shuffle(x, y, loaded<T>(kTables<T>.lower[half]));
#endif
}

template <class T>
inline T added(vec<T> x) {
  for (int by = kLanes<T> / 2; by > 0; by /= 2) x += rotated<T>(x, by);
  return x[0];
}

// The larger, or NaN where one of them is.
template <class T>
KB_INLINE vec<T> larger(vec<T> x, vec<T> y) {
  return select(x != x, x, select(x > y, x, y));
}

template <class T>
inline T* place_of(const Matrix<T>& m, int64_t row, int64_t col) {
  int64_t p = col / kPanel<T>;
  return at_panel(m, p) + row * width(m, p) + (col - p * kPanel<T>);
}

// A block of lanes × lanes entries, transposed in registers. After the pass of `half`, vectors i
// and i + half have exchanged their off-diagonal blocks.
template <class T>
inline void turn(vec<T> (&rows)[kLanes<T>]) {
  constexpr int n = kLanes<T>;
  KB_UNROLLED for (int half = n / 2; half > 0; half /= 2)
    KB_UNROLLED for (int i = 0; i < n; ++i) if ((i & half) == 0) {
      vec<T> upper, lower;
      exchange<T>(rows[i], rows[i + half], half, upper, lower);
      rows[i] = upper;
      rows[i + half] = lower;
    }
}

// Of such a block `many` rows are there, at `row`(i); rows first to last of the result are stored.
template <class T, class Row>
inline void transpose_rows(Row row, int64_t many, T* to, int64_t to_step, int64_t first,
                           int64_t last) {
  constexpr int n = kLanes<T>;
  vec<T> rows[n];
  KB_UNROLLED for (int i = 0; i < n; ++i) rows[i] = i < many ? load(row(i)) : all<T>(T(0));
  turn<T>(rows);
  KB_UNROLLED for (int i = 0; i < n; ++i)
    if (i >= first && i < last) store(to + i * to_step, rows[i]);
}

template <class T>
inline void transpose_block(const T* from, int64_t from_step, int64_t many, T* to,
                            int64_t to_step, int64_t first, int64_t last) {
  transpose_rows([=](int64_t i) { return from + i * from_step; }, many, to, to_step, first, last);
}

// One vector from lanes of them: its entry k is all of the k-th put together, each in the
// same order.
template <class T, class F>
inline vec<T> across(vec<T>* of, F together) {
  KB_UNROLLED for (int half = kLanes<T> / 2; half > 0; half /= 2)
    KB_UNROLLED for (int i = 0; i < half; ++i) {
      vec<T> upper, lower;
      exchange<T>(of[i], of[i + half], half, upper, lower);
      of[i] = together(upper, lower);
    }
  return of[0];
}

}  // namespace kb::KB_ISA
