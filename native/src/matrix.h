// A matrix in column panels: the one storage format of the engine.
//
// Columns are cut into panels, `panel` wide; the last one is as wide as its columns need,
// rounded up to a whole vector. Inside a panel rows are contiguous. So a row of a panel
// is a few whole vectors, and X W and Xᵀ Δ are both "broadcast one number, multiply a
// panel's row". The columns beyond `cols` hold anything; no result reads them.
#pragma once
#include <stdint.h>

namespace kb {

template <class T>
struct Matrix {
  T* data;
  int64_t rows, cols;
  // Of rows taken from data that are mostly 0: the share that is not, and a bit for each
  // such entry, in words of kMarked columns, of which each is there for all rows before the
  // next one. Of all others 1 and null.
  double filled = 1;
  uint64_t* marks = nullptr;
  // Of rows that are read where they lie in the data, and not taken: where each begins, and where
  // the data end.
  const T **taken = nullptr, *taken_end = nullptr;
  // Of rows that hold a 1 and else zeros, and are not taken either: the column of each row's 1.
  T* ones = nullptr;
};
constexpr int64_t kMarked = 64;

// How an instruction set cuts panels.
struct Layout {
  int lanes;  // numbers in a vector
  int panel;  // numbers in a row of a full panel

  int64_t width(int64_t cols, int64_t p) const {  // numbers in a row of panel p
    int64_t left = cols - p * panel;
    return left >= panel ? panel : (left + lanes - 1) / lanes * lanes;
  }
  int64_t deep() const { return 16 * panel; }  // rows of B after which A B is summed in parts
  int64_t together() const { return 3 * panel; }  // rows of Xᵀ Δ that go through Δ together
  int64_t panels(int64_t cols) const { return (cols + panel - 1) / panel; }
  int64_t size(int64_t rows, int64_t cols) const {  // numbers in the whole matrix
    int64_t full = cols / panel;
    return rows * (full * panel + (full * panel < cols ? width(cols, full) : 0));
  }
};

}  // namespace kb
