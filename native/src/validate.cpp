#include "validate.h"

#include <algorithm>
#include <string>
#include <utility>

namespace kb {

namespace {

constexpr const char* kNames[] = {
#define KB_TEXT(name) #name,
    KB_INSTRUCTIONS(KB_TEXT)
#undef KB_TEXT
};
constexpr int kArity[] = {
#define KB_ARITY(name, arity, row) arity,
    KB_MICRO(KB_ARITY)
#undef KB_ARITY
};
constexpr bool kTakesRow[] = {
#define KB_ROW(name, arity, row) row,
    KB_MICRO(KB_ROW)
#undef KB_ROW
};
constexpr int64_t kMost = int64_t{1} << 40;  // numbers in a matrix

struct Validation {
  const std::vector<Buffer>& buffers;
  const std::vector<Instruction>& code;
  int guard;
  int64_t most_rows;

  void whole() const;
  void there(int id) const;
  void the_guard() const;
  void shapes(const Instruction& item) const;
  void program(const Instruction& item) const;
};

void Validation::there(int id) const {
  if (id < 0 || id >= static_cast<int>(buffers.size())) throw Refused("no such buffer");
}

void Validation::whole() const {
  if (most_rows < 1 || most_rows > kMost) throw Refused("a batch has at least one row");
  for (const Buffer& buffer : buffers) {
    const int64_t rows = buffer.rows < 0 ? most_rows : buffer.rows, cols = buffer.cols;
    if (rows < 1 || cols < 1 || rows > kMost / cols) throw Refused("a buffer's shape");
    if (buffer.memory < 0 || buffer.memory >= static_cast<int>(buffers.size()))
      throw Refused("a buffer's memory");
  }
  if (guard != -1) there(guard);
  for (const Instruction& item : code) {
    const int number = static_cast<int>(item.code);
    if (number < 0 || number >= static_cast<int>(Code::count)) throw Refused("no such instruction");
    for (int id : item.results) there(id);
    for (int id : item.operands) there(id);
    require(!item.results.empty(), item, "no result");
    require(item.chain == 0 || item.rows == -1, item, "a chain goes through the batch's rows");
    if (has_program(item.code)) {
      program(item);
      const bool apart = !takes_whole_rows(item) && item.chain == 0;
      require(!item.by_columns || apart, item, "its columns cannot be divided");
    } else {
      const Buffer& y = buffers[item.results[0]];
      require(item.results.size() == 1, item, "number of results");
      require(item.start == -1 && item.steps.empty(), item, "no program goes on from it");
      require(!item.by_columns, item, "its columns cannot be divided");
      require(item.rows == y.rows && item.cols == y.cols, item, "shapes");
      for (int id : item.operands)
        require(buffers[id].memory != y.memory, item, "a result cannot be its own operand");
    }
    shapes(item);
  }
  the_guard();
}

// All threads must see the same loss, or they would not meet again: it is written before a
// barrier, and not any more once somebody may have looked at it.
void Validation::the_guard() const {
  if (guard < 0) return;
  bool written = false, seen = false;  // since the last barrier; so far
  for (const Instruction& item : code) {
    if (item.barrier) written = false;
    seen = seen || item.guarded;
    require(!item.guarded || !written, item, "a barrier must stand before the loss is read");
    for (int id : item.results) {
      if (buffers[id].memory != buffers[guard].memory) continue;
      require(!seen, item, "the loss must stay as it is");
      written = true;
    }
  }
}

// Shapes are compared as written, the batch as -1, so that they fit for every batch.
void Validation::shapes(const Instruction& item) const {
  auto operand = [&](size_t k) { return buffers[item.operands[k]]; };
  auto count = [&](size_t wanted) {
    require(item.operands.size() == wanted, item, "number of operands");
  };
  // A product's or sum's factors are read whole: no result may lie where they do.
  auto apart = [&](size_t factors) {
    require(item.operands.size() >= factors, item, "number of operands");
    for (size_t k = 0; k < factors; ++k)
      for (int id : item.results)
        require(buffers[id].memory != operand(k).memory, item, "a result is a factor");
  };
  switch (item.code) {
    case Code::matmul:
    case Code::matmul_ta:
    case Code::matmul_tb: {
      apart(2);
      Buffer a = operand(0), b = operand(1);
      if (item.code == Code::matmul_ta) std::swap(a.rows, a.cols);
      if (item.code == Code::matmul_tb) std::swap(b.rows, b.cols);
      require(a.cols == b.rows && item.rows == a.rows && item.cols == b.cols, item, "shapes");
      break;
    }
    case Code::sum_rows:
      apart(1);
      require(item.rows == 1 && operand(0).cols == item.cols, item, "shapes");
      break;
    case Code::sum_all:
      apart(1);
      require(item.rows == 1 && item.cols == 1, item, "shapes");
      break;
    case Code::transpose:
      count(1);
      require(operand(0).rows == item.cols && operand(0).cols == item.rows, item, "shapes");
      require(item.cols > 0, item, "shapes");
      break;
    case Code::slice:
    case Code::place: {
      count(1);
      require(item.ints.size() == 2 && item.ints[0] >= 0 && item.ints[1] >= 0, item, "place");
      Buffer own = buffers[item.results[0]];
      Buffer small = item.code == Code::slice ? own : operand(0);
      Buffer large = item.code == Code::slice ? operand(0) : own;
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
      require(item.rows == -1 && item.cols > 0, item, "shapes");
      break;
    case Code::mask:
      count(0);
      require(item.ints.size() == 2 && item.numbers.size() == 1, item, "settings");
      break;
    case Code::entries:
    case Code::count:
      break;
  }
}

void Validation::program(const Instruction& item) const {
  enum Kind { unset, wide, tall };
  Kind registers[kMostRegisters] = {};
  std::vector<bool> written(item.results.size(), false);
  require(item.steps.size() <= kMostSteps, item, "number of steps");
  require(item.rows >= -1 && item.rows != 0 && item.cols >= 1, item, "the frame");
  require((item.rows < 0 ? most_rows : item.rows) <= kMost / item.cols, item, "the frame");
  auto target = [&](const Target& to, Kind kind) {
    if (!to.stored) {
      require(to.index >= 0 && to.index < kMostRegisters, item, "a register");
      registers[to.index] = kind;
      return;
    }
    require(to.index >= 0 && to.index < static_cast<int>(item.results.size()), item, "a result");
    const Buffer& y = buffers[item.results[to.index]];
    require(y.rows == item.rows && y.cols == (kind == tall ? 1 : item.cols), item,
            "a result's shape");
    written[to.index] = true;
  };
  auto argument = [&](const Argument& a, bool in_tall) {
    if (a.place == Place::number) return;
    require(a.index >= 0, item, "an argument");
    if (a.place == Place::temporary || a.place == Place::tall) {
      require(a.index < kMostRegisters, item, "a register");
      require(registers[a.index] == (a.place == Place::tall ? tall : wide), item,
              "a register without a value");
      require(a.place == Place::tall || !in_tall, item, "a wide register in a tall step");
      return;
    }
    require(a.index < static_cast<int>(item.operands.size()), item, "an operand");
    require(!in_tall || a.place == Place::column || a.place == Place::scalar, item,
            "a wide operand in a tall step");
    const Buffer& s = buffers[item.operands[a.index]];
    bool one_row = a.place == Place::row || a.place == Place::scalar;
    bool one_column = a.place == Place::column || a.place == Place::scalar;
    require(s.rows == (one_row ? 1 : item.rows) && s.cols == (one_column ? 1 : item.cols), item,
            "an operand's shape");
  };
  if (has_feed(item.code)) target(item.fed, wide);
  if (item.start != -1) {
    require(item.code >= Code::matmul && item.code <= Code::matmul_tb, item, "a start");
    require(item.start >= 2 && item.start < static_cast<int>(item.operands.size()), item,
            "a start");
    const Buffer& s = buffers[item.operands[item.start]];
    require((s.rows == 1 || s.rows == item.rows) && s.cols == item.cols, item,
            "a start's shape");
  }
  for (const Step& step : item.steps) {
    int micro = static_cast<int>(step.micro);
    require(micro >= 0 && micro < static_cast<int>(Micro::count), item, "a step");
    require(!kTakesRow[micro] || step.tall, item, "a row's number is tall");
    require(static_cast<int>(step.args.size()) == kArity[micro], item, "number of arguments");
    if (kTakesRow[micro])
      require(step.args[0].place == Place::temporary || step.args[0].place == Place::full, item,
              "what a row is of");
    for (const Argument& a : step.args) argument(a, step.tall && !kTakesRow[micro]);
    target(step.to, step.tall ? tall : wide);
  }
  for (bool there : written) require(there, item, "a result that nothing writes");
}

}  // namespace

void validate(const std::vector<Buffer>& buffers, const std::vector<Instruction>& code, int guard,
              int64_t most_rows) {
  Validation{buffers, code, guard, most_rows}.whole();
}

void require(bool holds, const Instruction& item, const char* what) {
  if (!holds)
    throw Refused(std::string("instruction ") + kNames[static_cast<int>(item.code)] + ": " + what);
}

bool takes_whole_rows(const Instruction& item) {
  return std::any_of(item.steps.begin(), item.steps.end(),
                     [](const Step& s) { return kTakesRow[static_cast<int>(s.micro)]; });
}

}  // namespace kb
