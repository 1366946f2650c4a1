// Programs, turned.
//
// Where rows are taken together and have no more columns than a vector has lanes, registers
// hold vectors of a column each: of each `lanes` rows first their first column, then their
// second, and so on. Rows are then taken together without a shuffle, and no lane is idle.
#pragma once
#include "rows.h"

namespace kb::KB_ISA {

// `rows` rows of a panel, lanes apart, as a register of `cols` columns holds them.
template <class T>
void turn_in(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < op.rows; i += n)
    transpose_block<T>(op.a + i * n, n, least(n, op.rows - i), op.y + i * op.cols, n, 0, op.cols);
}

// The same from rows of the data, where `matrix` says that they are read.
template <class T>
void turn_taken(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  T last[n] = {};
  for (int64_t i = 0; i < op.rows; i += n) {
    auto row = [&](int64_t k) {
      const T* from = a.taken[op.row + i + k];
      if (from + n <= a.taken_end) return from;  // what is read beyond the row counts nothing
      memcpy(last, from, sizeof(T) * static_cast<size_t>(a.cols));
      return static_cast<const T*>(last);
    };
    transpose_rows(row, least(n, op.rows - i), op.y + i * op.cols, n, 0, op.cols);
  }
}

// The same of rows with a 1 each, where `matrix` says.
template <class T>
void turn_ones(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  const T* from = op.matrix->ones + op.row;
  T last[kLanes<T>] = {};
  for (int64_t i = 0; i < op.rows; i += kLanes<T>, from += kLanes<T>) {
    if (const int64_t left = op.rows - i; left < kLanes<T>)  // others may write what follows
      from = static_cast<const T*>(memcpy(last, from, sizeof(T) * static_cast<size_t>(left)));
    const vec<T> ones = load(from);
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>)
      store(y, select(ones == all<T>(static_cast<T>(j)), all<T>(T(1)), all<T>(T(0))));
  }
}

// And back.
template <class T>
void turn_out(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < op.rows; i += n)
    transpose_block<T>(op.a + i * op.cols, n, op.cols, op.y + i * n, n, 0, least(n, op.rows - i));
}

// Each number of a row a, repeated in a column of `rows` rows.
template <class T>
void turn_row(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>)
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, all<T>(op.a[j]));
}

// A number for each of `rows` rows, repeated in `cols` columns.
template <class T>
void turn_numbers(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    const vec<T> x = load(op.a + i);
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, x);
  }
}

// The same for an m×1 operand, whose numbers are lanes apart.
template <class T>
void turn_column(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    vec<T> x{};
    for (int64_t j = 0; j < least(kLanes<T>, op.rows - i); ++j) x[j] = op.a[(i + j) * kLanes<T>];
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, x);
  }
}

// y, a number for each of `rows` rows, from the `cols` columns of a register.
template <class T, Micro what>
void each_turned_row(const Operation<T>& op, const Batch&) {
  const T* from = op.a;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    vec<T> found = of_none<T, what>();
    for (int64_t j = 0; j < op.cols; ++j, from += kLanes<T>)
      found = with_entry<T, what>(found, load(from));
    store(op.y + i, found);
  }
}

}  // namespace kb::KB_ISA
