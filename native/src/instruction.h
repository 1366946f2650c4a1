// What a plan is made of: instructions over numbered buffers.
#pragma once
#include <stdint.h>

#include <vector>

#include "matrix.h"

namespace kb {

// One row a kind of instruction: its name, and how its work is divided among threads.
//   rows    each thread takes some rows of the result
//   once    the first thread does all of it
#define KB_INSTRUCTIONS(X)                                                              \
  X(matmul, rows)        /* C = A B                  A m×k, B k×n, C m×n            */   \
  X(matmul_ta, rows)     /* C = Aᵀ B                 A k×m, B k×n, C m×n            */   \
  X(elementwise, rows)   /* a small program over entries, all operands broadcast    */   \
  X(softmax, rows)       /* Y m×n from X m×n, row by row                            */   \
  X(logsumexp, rows)     /* y m×1 from X m×n                                        */   \
  X(row_max, rows)       /* y m×1 from X m×n                                        */   \
  X(sum_columns, rows)   /* y m×1 from X m×n                                        */   \
  X(sum_rows, once)      /* y 1×n from X m×n, rows added in order                   */   \
  X(sum_all, once)       /* y 1×1 from X m×n                                        */   \
  X(transpose, rows)     /* C n×m from A m×n                                        */   \
  X(slice, rows)         /* C = a block of A from (ints[0], ints[1])                */   \
  X(place, rows)         /* C = 0 but for A at (ints[0], ints[1])                   */   \
  X(take, rows)          /* C = rows of data source ints[0], in the batch's order   */   \
  X(mask, rows)          /* C = dropout mask; ints: stream, threshold; imm: 1/(1-p) */

enum class Code : int {
#define KB_CODE(name, split) name,
  KB_INSTRUCTIONS(KB_CODE)
#undef KB_CODE
      count
};
enum class Split : int { rows, once };

// One row an operation of the elementwise programs: its name and number of arguments.
#define KB_MICRO(X)                                                                     \
  X(copy, 1) X(add, 2) X(subtract, 2) X(multiply, 2) X(divide, 2) X(maximum, 2)          \
  X(minimum, 2) X(negate, 1) X(exp, 1) X(expm1, 1) X(log, 1) X(sqrt, 1) X(abs, 1)        \
  X(sign, 1) X(step, 1) X(relu, 1) X(sin, 1) X(cos, 1) X(sigmoid, 1) X(tanh, 1)          \
  X(softplus, 1) X(erf, 1) X(power, 1)

enum class Micro : int {
#define KB_NAME(name, arity) name,
  KB_MICRO(KB_NAME)
#undef KB_NAME
      count
};

// Where a value in an elementwise program lives.
enum class Place : int {
  temporary,  // a register of the program
  full,       // an operand of the result's shape
  row,        // a 1×n operand, the same in every row
  column,     // an m×1 operand, the same in every column
  scalar,     // a 1×1 operand
  number      // a constant of the program
};

constexpr int kMostRegisters = 64;
constexpr int kMostSteps = 64;

struct Argument {
  Place place = Place::temporary;
  int index = 0;       // register or operand
  double value = 0.0;  // a constant
};

struct Step {
  Micro micro = Micro::copy;
  Argument a, b;
  int result = 0;      // register, or -1: the instruction's result
  double value = 0.0;  // at_zero of step, exponent of power
};

struct Instruction {
  Code code = Code::elementwise;
  int result = 0;
  std::vector<int> operands;
  std::vector<int64_t> ints;
  std::vector<double> numbers;
  std::vector<Step> steps;
  int registers = 0;
  bool barrier = false;  // all threads wait before it
  int chain = 0;         // neighbours of one chain go through their rows together
};

// An instruction with its matrices, for one execution.
template <class T>
struct Call {
  const Instruction* instruction;
  Matrix<T> result;
  const Matrix<T>* operands;
  const T* data;            // take: the source, row-major with result.cols columns
  const int64_t* order;     // take: which rows
  uint64_t seed, draw;      // mask
};

// The kernels of one instruction set for one type; `lo` and `hi` are rows of the result.
template <class T>
struct Kernels {
  Layout layout;
  void (*execute[static_cast<int>(Code::count)])(const Call<T>&, int64_t lo, int64_t hi);
  void (*pack)(const T* rows, Matrix<T> to);    // row-major into panels
  void (*unpack)(Matrix<T> from, T* rows);      // panels into row-major
};

}  // namespace kb
