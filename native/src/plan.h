// A plan: buffers, and the instructions that one step runs over them.
#pragma once
#include <atomic>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "instruction.h"
#include "pool.h"

namespace kb {

// Why a plan or a value is refused.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The shape of a buffer; -1 is the number of samples in the batch.
struct Shape {
  int64_t rows, cols;
};

// One step's place in a run of many.
struct Batch {
  const int64_t* order = nullptr;  // the rows of the data sources to take
  int64_t rows = 0;                // how many
  uint64_t seed = 0, draw = 0;     // of dropout
};

template <class T>
class Plan {
 public:
  Plan(const Kernels<T>& kernels, std::vector<Shape> shapes, std::vector<Instruction> code,
       std::vector<std::pair<int, int>> swaps, int64_t most_rows, int threads,
       double work_a_row);

  int64_t rows_of(int id) const { return sized(shapes_[check(id)].rows); }
  int64_t cols_of(int id) const { return sized(shapes_[check(id)].cols); }
  void set(int id, const T* values);            // row-major; the buffer's present shape
  void get(int id, T* values) const;            // row-major
  void source(int number, const T* data, int64_t rows, int64_t cols);
  void batch_rows(int64_t rows);                // the N of what follows
  void step(const Batch& batch);                // run every instruction once, then swap
  T number(int id) const { return base_[check(id)][0]; }
  void set_number(int id, T value) { base_[check(id)][0] = value; }
  int64_t source_rows() const { return source_rows_; }
  int64_t most_rows() const { return most_rows_; }
  size_t bytes() const { return bytes_; }

 private:
  struct Source {
    const T* data = nullptr;
    int64_t rows = 0, cols = 0;
  };

  int check(int id) const;
  int64_t sized(int64_t dimension) const { return dimension < 0 ? batch_rows_ : dimension; }
  Matrix<T> matrix(int id) const { return {base_[id], rows_of(id), cols_of(id)}; }
  void validate() const;
  void validate_shapes(const Instruction& item) const;
  void work(int thread, const Batch& batch);
  void share(const Instruction& item, const Call<T>& call, int thread) const;
  void chain(size_t first, size_t last, int thread, const Batch& batch);
  Call<T> call(const Instruction& item, std::vector<Matrix<T>>& operands,
               const Batch& batch) const;

  const Kernels<T>& kernels_;
  std::vector<Shape> shapes_;
  std::vector<Instruction> code_;
  std::vector<std::pair<int, int>> swaps_;
  int64_t most_rows_, batch_rows_;
  double work_a_row_;  // operations of the products, for each row of a batch
  int active_ = 1;     // threads that take part in the present step
  std::vector<std::unique_ptr<char[]>> memory_;
  std::vector<T*> base_;
  std::vector<Source> sources_;
  int64_t source_rows_ = 0;
  size_t bytes_ = 0;
  std::vector<std::vector<Matrix<T>>> scratch_;  // a thread's operands
  Team team_;
  Barrier barrier_;
};

}  // namespace kb
