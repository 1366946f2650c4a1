// Instructions that move entries, and those that make them: taken rows, dropout masks.
#pragma once
#include "shuffles.h"

namespace kb::KB_ISA {

// C n×m = Aᵀ, rows lo to hi of C, block by block. Rows are whole vectors, so a block at the
// edge reads and writes padding.
template <class T>
void transpose(const Operation<T>& op, const Batch&) {
  const Call<T>& call = *op.call;
  const int64_t lo = op.row, hi = op.row + op.rows;
  const Matrix<T>&a = call.operands[0], &c = call.results[0];
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = lo / n * n; i < hi; i += n) {
    const int64_t from_step = width(a, i / kPanel<T>), first = i < lo ? lo - i : 0;
    for (int64_t j = 0; j < c.cols; j += n)
      transpose_block<T>(place_of(a, j, i), from_step, least(n, c.cols - j),
                         place_of(c, i, j), width(c, j / kPanel<T>), first, least(n, hi - i));
  }
}

template <class T>
void slice(const Operation<T>& op, const Batch&) {
  const Call<T>& call = *op.call;
  const int64_t lo = op.row, hi = op.row + op.rows;
  const Matrix<T>&a = call.operands[0], &c = call.results[0];
  int64_t row = call.ints[0], col = call.ints[1];
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) *place_of(c, i, j) = *place_of(a, row + i, col + j);
}

template <class T>
void place(const Operation<T>& op, const Batch&) {
  const Call<T>& call = *op.call;
  const int64_t lo = op.row, hi = op.row + op.rows;
  const Matrix<T>&a = call.operands[0], &c = call.results[0];
  int64_t row = call.ints[0], col = call.ints[1];
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      bool inside = i >= row && i < row + a.rows && j >= col && j < col + a.cols;
      *place_of(c, i, j) = inside ? *place_of(a, i - row, j - col) : T(0);
    }
}

// Fetches row i of the data into the first or second cache; harmless wherever that is. Inlined,
// since GCC may take a function that only fetches for one without effects, and leave out its calls.
template <int cache>
[[gnu::always_inline]] inline void fetch_row(const void* data, int64_t i, int64_t bytes) {
  constexpr int64_t line = 64;
  const uintptr_t row = reinterpret_cast<uintptr_t>(data) + static_cast<uintptr_t>(i * bytes);
  for (int64_t k = 0; k < bytes; k += line) {
    const uintptr_t place = row + static_cast<uintptr_t>(k);
    __builtin_prefetch(reinterpret_cast<const void*>(place), 0, 4 - cache);
  }
}

// Rows of C, each with a 1 where the data say, else zeros; or only where, if that is enough.
template <class T>
void take_ones(const Operation<T>& op, const Batch& batch) {
  const Matrix<T>& c = op.call->results[0];
  const T* const data = op.call->data;
  const int64_t* const order = batch.order + op.row;
  if (c.ones != nullptr) {
    for (int64_t i = 0; i < op.rows; ++i) c.ones[op.row + i] = data[order[i]];
    return;
  }
  vec<T> columns;
  for (int k = 0; k < kLanes<T>; ++k) columns[k] = static_cast<T>(k);
  for (int64_t p = 0; p < panels(c); ++p) {
    const int64_t w = width(c, p);
    T* to = at_panel(c, p) + op.row * w;
    for (int64_t i = 0; i < op.rows; ++i, to += w) {
      const T one = data[order[i]] - static_cast<T>(p * kPanel<T>);
      for (int64_t k = 0; k < w; k += kLanes<T>)
        store(to + k, select(all<T>(one - static_cast<T>(k)) == columns, all<T>(T(1)),
                             all<T>(T(0))));
    }
  }
}

// Row i of C is row order[i] of the row-major data, C.cols wide; where rows are read in place, C
// says where it begins. Unless rows were fetched before by others, that of row i + `ahead` is
// fetched meanwhile.
template <class T, bool fetched>
void take(const Operation<T>& op, const Batch& batch) {
  const Call<T>& call = *op.call;
  const Matrix<T>& c = call.results[0];
  if (call.ones) return take_ones(op, batch);
  if (c.taken != nullptr) {
    for (int64_t i = op.row; i < op.row + op.rows; ++i)
      c.taken[i] = call.data + batch.order[i] * c.cols;
    return;
  }
  const int64_t bytes = c.cols * static_cast<int64_t>(sizeof(T)), last = panels(c) - 1;
  const int64_t rest = c.cols - last * kPanel<T>, rest_width = width(c, last);
  T* const rest_at = at_panel(c, last);
  for (int64_t i = op.row; i < op.row + op.rows; ++i) {
    const T* from = call.data + batch.order[i] * c.cols;
    if (!fetched && i + call.ahead < batch.known)
      fetch_row<2>(call.data, batch.order[i + call.ahead], bytes);
    for (int64_t p = 0; p < last; ++p, from += kPanel<T>)
      KB_UNROLLED for (int v = 0; v < kVectors; ++v)
        store(at_panel(c, p) + i * kPanel<T> + v * kLanes<T>, load(from + v * kLanes<T>));
    T* to = rest_at + i * rest_width;
    if (from + rest_width <= call.data_end)  // what is read beyond the row goes into padding
      for (int64_t k = 0; k < rest_width; k += kLanes<T>) store(to + k, load(from + k));
    else
      memcpy(to, from, sizeof(T) * static_cast<size_t>(rest));
  }
}

// Fetches what `take` reads of some rows; those of the next batch are counted on from this one's.
template <class T>
void fetch(const Operation<T>& op, const Batch& batch) {
  const Call<T>& call = *op.call;
  const int64_t bytes = call.stride * static_cast<int64_t>(sizeof(T));
  for (int64_t i = op.row; i < least(op.row + op.rows, batch.known); ++i)
    fetch_row<1>(call.data, batch.order[i], bytes);
}

// The marks of some rows of C, in which rows were taken.
template <class T>
void mark(const Operation<T>& op, const Batch&) {
  const Matrix<T>& c = op.call->results[0];
  for (int64_t first = 0; first < c.cols; first += kMarked) {
    const int64_t beyond = first + kMarked - c.cols;
    uint64_t* const marks = c.marks + first / kMarked * c.rows;
    for (int64_t i = op.row; i < op.row + op.rows; ++i) {
      uint64_t there = 0;
      for (int64_t k = 0; k < least(kMarked, c.cols - first); k += kLanes<T>)
        there |= nonzero(load(place_of(c, i, first + k))) << k;
      marks[i] = beyond > 0 ? there << beyond >> beyond : there;
    }
  }
}

// Philox4x64-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (2011),
// section 4.3 and table 2 for the constants.
inline void philox(uint64_t counter[4], uint64_t key0, uint64_t key1) {
  for (int round = 0; round < 10; ++round) {
    unsigned __int128 a = static_cast<unsigned __int128>(counter[0]) * 0xD2E7470EE14C6C93ull;
    unsigned __int128 b = static_cast<unsigned __int128>(counter[2]) * 0xCA5A826395121157ull;
    uint64_t one = static_cast<uint64_t>(b >> 64) ^ counter[1] ^ key0;
    uint64_t three = static_cast<uint64_t>(a >> 64) ^ counter[3] ^ key1;
    counter[0] = one;
    counter[1] = static_cast<uint64_t>(b);
    counter[2] = three;
    counter[3] = static_cast<uint64_t>(a);
    key0 += 0x9E3779B97F4A7C15ull;
    key1 += 0xBB67AE8584CAA73Bull;
  }
}

// Entry e, row by row, takes the e-th half word of the stream, the low half first, as
// NumPy's Philox gives it: its first block has the counter 1.
template <class T>
void mask(const Operation<T>& op, const Batch& batch) {
  const Call<T>& call = *op.call;
  const int64_t lo = op.row, hi = op.row + op.rows;
  const Matrix<T>& c = call.results[0];
  uint64_t stream = static_cast<uint64_t>(call.ints[0]);
  uint32_t threshold = static_cast<uint32_t>(call.ints[1]);
  T kept = static_cast<T>(call.constants[0]);
  uint64_t words[4] = {0, 0, 0, 0};
  int64_t have = -1;
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      int64_t e = i * c.cols + j, block = e / 8;
      if (block != have) {
        words[0] = static_cast<uint64_t>(block) + 1;
        words[1] = batch.draw;
        words[2] = words[3] = 0;
        philox(words, batch.seed, stream);
        have = block;
      }
      uint64_t word = words[(e % 8) / 2];
      uint32_t half = static_cast<uint32_t>(e % 2 ? word >> 32 : word);
      *place_of(c, i, j) = half >= threshold ? kept : T(0);
    }
}

// Rows lo to hi of a row-major m×n into panels.
template <class T>
void pack(const T* rows, Matrix<T> to, int64_t lo, int64_t hi) {
  for (int64_t p = 0; p < panels(to); ++p) {
    int64_t w = width(to, p), many = least(to.cols - p * kPanel<T>, kPanel<T>);
    for (int64_t i = lo; i < hi; ++i)
      memcpy(at_panel(to, p) + i * w, rows + i * to.cols + p * kPanel<T>, sizeof(T) * many);
  }
}

// And back.
template <class T>
void unpack(Matrix<T> from, T* rows, int64_t lo, int64_t hi) {
  for (int64_t p = 0; p < panels(from); ++p) {
    int64_t w = width(from, p), many = least(from.cols - p * kPanel<T>, kPanel<T>);
    for (int64_t i = lo; i < hi; ++i)
      memcpy(rows + i * from.cols + p * kPanel<T>, at_panel(from, p) + i * w, sizeof(T) * many);
  }
}

// Rows lo to hi of such an instruction, as one operation.
template <class T, void (*run)(const Operation<T>&, const Batch&)>
void moving(const Call<T>& call, const Desk<T>& desk, int64_t lo, int64_t hi) {
  Operation<T> op;
  op.run = run;
  op.call = &call;
  op.row = lo;
  op.rows = hi - lo;
  perform(desk, op);
}

template <class T>
void taking(const Call<T>& call, const Desk<T>& desk, int64_t lo, int64_t hi) {
  moving<T, take<T, false>>(call, desk, lo, hi);
  if (call.results[0].marks != nullptr) moving<T, mark<T>>(call, desk, lo, hi);
}

}  // namespace kb::KB_ISA
