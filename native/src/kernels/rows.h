// Rows repeated, rows taken together, and rows added up.
#pragma once
#include "shuffles.h"

namespace kb::KB_ISA {

// The number of a 1×1 matrix a, repeated in a vector.
template <class T>
void spread_number(const Operation<T>& op, const Batch&) {
  store(op.y, all<T>(op.a[0]));
}

// A row a, `cols` wide, repeated in `rows` rows.
template <class T>
void spread_row(const Operation<T>& op, const Batch&) {
  for (int64_t k = 0; k < op.cols; k += kLanes<T>) {
    const vec<T> x = load(op.a + k);
    for (int64_t i = 0; i < op.rows; ++i) store(op.y + i * op.cols + k, x);
  }
}

// A number for each of `rows` rows, a_step apart, repeated in rows `cols` wide.
template <class T>
void spread_column(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; ++i, y += op.cols) {
    const vec<T> x = all<T>(op.a[i * op.a_step]);
    for (int64_t k = 0; k < op.cols; k += kLanes<T>) store(y + k, x);
  }
}

// `rows` numbers, from and to steps of a_step and b_step.
template <class T>
void move_numbers(const Operation<T>& op, const Batch&) {
  for (int64_t i = 0; i < op.rows; ++i) op.y[i * op.b_step] = op.a[i * op.a_step];
}

template <class T, Micro what>
inline vec<T> together(vec<T> x, vec<T> y) {
  if constexpr (what == Micro::row_max) return larger<T>(x, y);
  else return x + y;
}

// What a row's number begins with, which changes nothing.
template <class T, Micro what>
inline vec<T> of_none() {
  return all<T>(what == Micro::row_max ? -T(INFINITY) : T(0));
}

// What a row's number goes on to, given one more of the row's entries.
template <class T, Micro what>
inline vec<T> with_entry(vec<T> found, vec<T> x) {
  if constexpr (what == Micro::row_sum_of_squares) return fma(x, x, found);
  else return together<T, what>(found, x);
}

// y, a number for each of `rows` rows, from those of X, which has `cols` columns: its panels
// lie a_step apart at a, and `row` rows of each come before. What lies beyond the columns is
// replaced by a number that changes nothing.
template <class T, Micro what>
void each_row(const Operation<T>& op, const Batch&) {
  const vec<T> none = of_none<T, what>();
  const int64_t many = kLayout<T>.panels(op.cols);
  auto block = [&](int64_t i, auto row) {
    vec<T> found[kLanes<T>];
    KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j) found[j] = none;
    for (int64_t p = 0; p < many; ++p) {
      const int64_t w = kLayout<T>.width(op.cols, p), valid = least(op.cols - p * kPanel<T>, w);
      const T* from = op.a + p * op.a_step + (op.row + i) * w;
      int64_t k = 0;
      for (; k + kLanes<T> <= valid; k += kLanes<T>)
        KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j)
          found[j] = with_entry<T, what>(found[j], load(from + row(j) * w + k));
      if (k == valid) continue;
      const auto inside = loaded<T>(kTables<T>.inside + kLanes<T> - (valid - k));
      KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j)
        found[j] = with_entry<T, what>(found[j], select(inside, load(from + row(j) * w + k), none));
    }
    store(op.y + i, across<T>(found, together<T, what>));
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= op.rows; i += kLanes<T>) block(i, [](int64_t j) { return j; });
  const int64_t last = op.rows - 1 - i;  // rows beyond it are read as this one
  if (last >= 0) block(i, [=](int64_t j) { return least(j, last); });
}

// y 1×w, w V vectors: the rows of panel `row` of A added, four sums of each column taking turns.
template <class T, int V>
void add_rows(const Operation<T>& op, const Batch&) {
  const Matrix<T>& a = *op.matrix;
  constexpr int64_t w = V * kLanes<T>;
  vec<T> sum[4][V];
  KB_UNROLLED for (int j = 0; j < 4; ++j)
    KB_UNROLLED for (int v = 0; v < V; ++v) sum[j][v] = all<T>(T(0));
  const T* from = at_panel(a, op.row);
  auto add = [&](vec<T> (&to)[V]) KB_INLINED {
    KB_UNROLLED for (int v = 0; v < V; ++v) to[v] += load(from + v * kLanes<T>);
    from += w;
  };
  int64_t i = 0;
  for (; i + 4 <= a.rows; i += 4)
    KB_UNROLLED for (int j = 0; j < 4; ++j) add(sum[j]);
  for (; i < a.rows; ++i) add(sum[0]);
  KB_UNROLLED for (int v = 0; v < V; ++v)
    store(op.y + v * kLanes<T>, (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]));
}

template <class T>
inline auto rows_added(int64_t vectors) {
  switch (vectors) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: return add_rows<T, 4>;
    case 3: return add_rows<T, 3>;
#endif
    case 2: return add_rows<T, 2>;
    default: return add_rows<T, 1>;
  }
}

// A vector of the sum of A's entries, four sums taking turns.
template <class T>
void add_all(const Operation<T>& op, const Batch&) {
  const Matrix<T>& a = *op.matrix;
  const vec<T> zero = all<T>(T(0));
  vec<T> sum[4] = {zero, zero, zero, zero};
  for (int64_t p = 0; p < panels(a); ++p) {
    const int64_t w = width(a, p), valid = least(a.cols - p * kPanel<T>, w);
    for (int64_t k = 0; k < w; k += kLanes<T>) {
      const auto inside = loaded<T>(kTables<T>.inside + kLanes<T> - least(valid - k, kLanes<T>));
      const T* from = at_panel(a, p) + k;
      int64_t i = 0;
      for (; i + 4 <= a.rows; i += 4)
        KB_UNROLLED for (int j = 0; j < 4; ++j)
          sum[j] += select(inside, load(from + (i + j) * w), zero);
      for (; i < a.rows; ++i) sum[0] += select(inside, load(from + i * w), zero);
    }
  }
  store(op.y, all<T>(added<T>((sum[0] + sum[1]) + (sum[2] + sum[3]))));
}

}  // namespace kb::KB_ISA
