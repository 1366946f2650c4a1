#include "plan.h"

#include <algorithm>
#include <cstring>

namespace kb {

namespace {

constexpr Split kSplit[] = {
#define KB_SPLIT(name, split) Split::split,
    KB_INSTRUCTIONS(KB_SPLIT)
#undef KB_SPLIT
};
constexpr const char* kNames[] = {
#define KB_TEXT(name, split) #name,
    KB_INSTRUCTIONS(KB_TEXT)
#undef KB_TEXT
};
constexpr int kArity[] = {
#define KB_ARITY(name, arity) arity,
    KB_MICRO(KB_ARITY)
#undef KB_ARITY
};
constexpr double kSmall = 5e5;  // operations a step below which one thread is faster
constexpr int64_t kBlock = 48;  // rows that go through a chain together

Split split_of(const Instruction& item) { return kSplit[static_cast<int>(item.code)]; }

void require(bool holds, const Instruction& item, const char* what) {
  if (!holds)
    throw Refused(std::string("instruction ") + kNames[static_cast<int>(item.code)] + ": " + what);
}

}  // namespace

template <class T>
Plan<T>::Plan(const Kernels<T>& kernels, std::vector<Shape> shapes,
              std::vector<Instruction> code, std::vector<std::pair<int, int>> swaps,
              int64_t most_rows, int threads, double work_a_row)
    : kernels_(kernels), shapes_(std::move(shapes)), code_(std::move(code)),
      swaps_(std::move(swaps)), most_rows_(most_rows), batch_rows_(most_rows),
      work_a_row_(work_a_row),
      scratch_(threads < 1 ? 1 : threads), team_(threads), barrier_(team_.size()) {
  constexpr int64_t kMost = int64_t{1} << 40;
  if (most_rows < 1 || most_rows > kMost) throw Refused("a batch has at least one row");
  for (const Shape& shape : shapes_) {
    int64_t rows = sized(shape.rows), cols = sized(shape.cols);
    if (rows < 1 || cols < 1 || rows > kMost / cols) throw Refused("a buffer's shape");
    size_t count = static_cast<size_t>(kernels_.layout.size(rows, cols));
    size_t bytes = (count * sizeof(T) + 63) / 64 * 64;
    memory_.emplace_back(new char[bytes + 64]());  // bad_alloc reaches Python as MemoryError
    auto address = reinterpret_cast<uintptr_t>(memory_.back().get());
    base_.push_back(reinterpret_cast<T*>((address + 63) / 64 * 64));
    bytes_ += bytes;
  }
  validate();
}

template <class T>
int Plan<T>::check(int id) const {
  if (id < 0 || id >= static_cast<int>(shapes_.size())) throw Refused("no such buffer");
  return id;
}

template <class T>
void Plan<T>::validate() const {
  for (const Instruction& item : code_) {
    int code = static_cast<int>(item.code);
    if (code < 0 || code >= static_cast<int>(Code::count)) throw Refused("no such instruction");
    check(item.result);
    for (int id : item.operands) {
      check(id);
      require(id != item.result, item, "a result cannot be its own operand");
    }
    validate_shapes(item);
  }
  for (auto [a, b] : swaps_) {
    check(a);
    check(b);
    if (shapes_[a].rows != shapes_[b].rows || shapes_[a].cols != shapes_[b].cols)
      throw Refused("buffers of different shapes cannot be swapped");
  }
}

// Shapes are compared as written, the batch as -1, so that they fit for every batch.
template <class T>
void Plan<T>::validate_shapes(const Instruction& item) const {
  auto operand = [&](size_t k) { return shapes_[item.operands[k]]; };
  auto count = [&](size_t wanted) {
    require(item.operands.size() == wanted, item, "number of operands");
  };
  const Shape y = shapes_[item.result];
  switch (item.code) {
    case Code::matmul:
    case Code::matmul_ta: {
      count(2);
      Shape a = operand(0), b = operand(1);
      if (item.code == Code::matmul_ta) std::swap(a.rows, a.cols);
      require(a.cols == b.rows && y.rows == a.rows && y.cols == b.cols, item, "shapes");
      break;
    }
    case Code::softmax:
      count(1);
      require(operand(0).rows == y.rows && operand(0).cols == y.cols, item, "shapes");
      break;
    case Code::logsumexp:
    case Code::row_max:
    case Code::sum_columns:
      count(1);
      require(operand(0).rows == y.rows && y.cols == 1, item, "shapes");
      break;
    case Code::sum_rows:
      count(1);
      require(operand(0).cols == y.cols && y.rows == 1, item, "shapes");
      break;
    case Code::sum_all:
      count(1);
      require(y.rows == 1 && y.cols == 1, item, "shapes");
      break;
    case Code::transpose:
      count(1);
      require(operand(0).rows == y.cols && operand(0).cols == y.rows, item, "shapes");
      break;
    case Code::slice:
    case Code::place: {
      count(1);
      require(item.ints.size() == 2 && item.ints[0] >= 0 && item.ints[1] >= 0, item, "place");
      Shape small = item.code == Code::slice ? y : operand(0);
      Shape large = item.code == Code::slice ? operand(0) : y;
      auto fits = [&](int64_t inner, int64_t start, int64_t outer) {
        return inner == outer ? start == 0 : inner > 0 && outer > 0 && start <= outer - inner;
      };
      require(fits(small.rows, item.ints[0], large.rows), item, "rows of the block");
      require(fits(small.cols, item.ints[1], large.cols), item, "columns of the block");
      break;
    }
    case Code::take:
      count(0);
      require(item.ints.size() == 1 && item.ints[0] >= 0 && item.ints[0] < 64, item, "source");
      require(y.rows == -1 && y.cols > 0, item, "shapes");
      break;
    case Code::mask:
      count(0);
      require(item.ints.size() == 2 && item.numbers.size() == 1, item, "settings");
      break;
    case Code::elementwise: {
      require(item.registers >= 0 && item.registers <= kMostRegisters, item, "registers");
      require(item.steps.size() <= kMostSteps, item, "number of steps");
      require(!item.steps.empty() && item.steps.back().result == -1, item, "no result");
      auto argument = [&](const Argument& a) {
        if (a.place == Place::number) return;
        require(a.index >= 0, item, "an argument");
        if (a.place == Place::temporary) {
          require(a.index < item.registers, item, "a register");
          return;
        }
        require(a.index < static_cast<int>(item.operands.size()), item, "an operand");
        Shape s = operand(static_cast<size_t>(a.index));
        bool one_row = a.place == Place::row || a.place == Place::scalar;
        bool one_column = a.place == Place::column || a.place == Place::scalar;
        require(s.rows == (one_row ? 1 : y.rows) && s.cols == (one_column ? 1 : y.cols), item,
                "an operand's shape");
      };
      for (const Step& step : item.steps) {
        int micro = static_cast<int>(step.micro);
        require(micro >= 0 && micro < static_cast<int>(Micro::count), item, "a step");
        require(step.result >= -1 && step.result < item.registers, item, "a result");
        argument(step.a);
        if (kArity[micro] == 2) argument(step.b);
      }
      break;
    }
    case Code::count:
      break;
  }
}

template <class T>
void Plan<T>::set(int id, const T* values) {
  kernels_.pack(values, matrix(check(id)));
}

template <class T>
void Plan<T>::get(int id, T* values) const {
  kernels_.unpack(matrix(check(id)), values);
}

template <class T>
void Plan<T>::source(int number, const T* data, int64_t rows, int64_t cols) {
  if (number < 0 || number >= 64) throw Refused("no such source");
  if (static_cast<size_t>(number) >= sources_.size()) sources_.resize(number + 1);
  sources_[number] = {data, rows, cols};
  source_rows_ = rows;
  for (const Source& s : sources_)
    if (s.data != nullptr) source_rows_ = std::min(source_rows_, s.rows);
}

template <class T>
void Plan<T>::batch_rows(int64_t rows) {
  if (rows < 1 || rows > most_rows_) throw Refused("rows of a batch");
  batch_rows_ = rows;
}

template <class T>
void Plan<T>::step(const Batch& batch) {
  for (const Instruction& item : code_) {
    if (item.code != Code::take) continue;
    size_t number = static_cast<size_t>(item.ints[0]);
    bool there = number < sources_.size() && sources_[number].data != nullptr;
    require(there && sources_[number].cols == shapes_[item.result].cols, item, "no such data");
  }
  batch_rows(batch.rows);
  active_ = work_a_row_ * static_cast<double>(batch.rows) < kSmall ? 1 : team_.size();
  if (active_ == 1) {
    work(0, batch);
  } else {
    team_.run([&](int thread) { work(thread, batch); });
  }
  for (auto [a, b] : swaps_) std::swap(base_[a], base_[b]);
}

template <class T>
Call<T> Plan<T>::call(const Instruction& item, std::vector<Matrix<T>>& operands,
                      const Batch& batch) const {
  operands.clear();
  for (int id : item.operands) operands.push_back(matrix(id));
  Call<T> made{&item, matrix(item.result), operands.data(), nullptr, batch.order,
               batch.seed, batch.draw};
  if (item.code == Code::take) made.data = sources_[item.ints[0]].data;
  return made;
}

// The whole of one thread's part in a step.
template <class T>
void Plan<T>::work(int thread, const Batch& batch) {
  for (size_t first = 0; first < code_.size();) {
    if (code_[first].barrier && active_ > 1) barrier_.wait();
    size_t last = first + 1;
    while (last < code_.size() && !code_[last].barrier && code_[last].chain != 0 &&
           code_[last].chain == code_[first].chain)
      ++last;
    if (last - first > 1) {
      chain(first, last, thread, batch);
    } else {
      const Instruction& item = code_[first];
      share(item, call(item, scratch_[thread], batch), thread);
    }
    first = last;
  }
}

// A thread's share of the rows: whole groups, the same for every matrix of that height.
static std::pair<int64_t, int64_t> rows_of_thread(int64_t rows, int thread, int threads) {
  int64_t each = (rows + threads - 1) / threads;
  each = (each + 5) / 6 * 6;  // the product's kernel takes six rows
  int64_t low = std::min(rows, thread * each);
  return {low, std::min(rows, low + each)};
}

template <class T>
void Plan<T>::share(const Instruction& item, const Call<T>& call, int thread) const {
  auto execute = kernels_.execute[static_cast<int>(item.code)];
  int threads = active_;
  if (split_of(item) == Split::once) {
    if (thread == 0) execute(call, 0, 1);
  } else {
    auto [low, high] = rows_of_thread(call.result.rows, thread, threads);
    if (low < high) execute(call, low, high);
  }
}

// Neighbours whose row i needs only row i of each other: a few rows go through all of
// them while they are in cache.
template <class T>
void Plan<T>::chain(size_t first, size_t last, int thread, const Batch& batch) {
  auto [low, high] = rows_of_thread(rows_of(code_[first].result), thread, active_);
  for (int64_t row = low; row < high; row += kBlock) {
    for (size_t k = first; k < last; ++k) {
      const Instruction& item = code_[k];
      Call<T> made = call(item, scratch_[thread], batch);
      kernels_.execute[static_cast<int>(item.code)](made, row, std::min(high, row + kBlock));
    }
  }
}

template class Plan<float>;
template class Plan<double>;

}  // namespace kb
