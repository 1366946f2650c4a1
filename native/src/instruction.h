// What a plan is made of: instructions over numbered buffers.
#pragma once
#include <stdint.h>

#include <vector>

#include "matrix.h"

namespace kb {

// One row a kind of instruction. The first six end in a program over the entries of their
// frame m×n, into which the product or sum goes without a way through memory.
#define KB_INSTRUCTIONS(X)                                                              \
  X(entries)   /* the program alone                                                 */  \
  X(matmul)    /* A B     A m×k, B k×n                                              */  \
  X(matmul_ta) /* Aᵀ B    A k×m, B k×n                                              */  \
  X(matmul_tb) /* A Bᵀ    A m×k, B n×k                                              */  \
  X(sum_rows)  /* 1ᵀ A    A k×n; m = 1                                              */  \
  X(sum_all)   /* Σ A     A k×l; m = n = 1                                          */  \
  X(transpose) /* C n×m from A m×n                                                  */  \
  X(slice)     /* C = a block of A from (ints[0], ints[1])                          */  \
  X(place)     /* C = 0 but for A at (ints[0], ints[1])                             */  \
  X(take)      /* C = rows of data source ints[0], in the batch's order             */  \
  X(mask)      /* C = dropout mask; ints: stream, threshold; number: 1/(1-p)        */

enum class Code : int {
#define KB_CODE(name) name,
  KB_INSTRUCTIONS(KB_CODE)
#undef KB_CODE
      count
};

// One row an operation of the programs: its name, its number of arguments, and whether it
// takes a row together.
#define KB_MICRO(X)                                                                     \
  X(copy, 1, false) X(add, 2, false) X(subtract, 2, false) X(multiply, 2, false)        \
  X(divide, 2, false) X(maximum, 2, false) X(minimum, 2, false) X(negate, 1, false)     \
  X(exp, 1, false) X(expm1, 1, false) X(log, 1, false) X(sqrt, 1, false)                \
  X(abs, 1, false) X(sign, 1, false) X(step, 1, false) X(relu, 1, false)                \
  X(sin, 1, false) X(cos, 1, false) X(sigmoid, 1, false) X(tanh, 1, false)              \
  X(softplus, 1, false) X(erf, 1, false) X(square, 1, false) X(power, 1, false)         \
  X(multiply_add, 3, false)          /* a b + c        */                               \
  X(multiply_subtract, 3, false)     /* a b - c        */                               \
  X(subtract_multiple, 3, false)     /* c - a b        */                               \
  X(multiply_step, 2, false)         /* b step(a)      */                               \
  X(multiply_square, 2, false)       /* a² b           */                               \
  X(multiply_square_add, 3, false)   /* a² b + c       */                               \
  X(add_products, 4, false)          /* a b + c d      */                               \
  X(add_product_of_square, 4, false) /* a² b + c d     */                               \
  X(root_add, 2, false)              /* √a + b         */                               \
  X(part, 3, false)                  /* a b/c          */                               \
  X(add_part, 4, false)              /* a b/c + d      */                               \
  X(subtract_part, 4, false)         /* d - a b/c      */                               \
  X(exp_difference, 2, false)        /* exp(a - b)     */                               \
  X(difference_multiple, 3, false)   /* (a - b) c      */                               \
  X(multiply_subtract_part, 4, false) /* (a b - c)/d   */                               \
  X(row_max, 1, true) X(row_sum, 1, true) X(row_sum_of_squares, 1, true)

enum class Micro : int {
#define KB_NAME(name, arity, row) name,
  KB_MICRO(KB_NAME)
#undef KB_NAME
      count
};

// Where an argument of a step lives. A step is `tall` where its result is m×1, a number a
// row of the frame.
enum class Place : int {
  temporary,  // a register of m×n
  tall,       // a register of m×1
  full,       // an operand of the step's own shape
  row,        // a 1×n operand, the same in every row
  column,     // an m×1 operand, the same in every column
  scalar,     // a 1×1 operand
  number      // a constant of the program
};

constexpr int kMostRegisters = 32;
constexpr int kMostSteps = 64;
constexpr int kMostArguments = 4;

struct Argument {
  Place place = Place::number;
  int index = 0;       // register or operand
  double value = 0.0;  // a constant
};

// Where a step's result goes: the register `index`, or the instruction's result `index`.
struct Target {
  bool stored = false;
  int index = 0;
};

struct Step {
  Micro micro = Micro::copy;
  bool tall = false;
  std::vector<Argument> args;
  Target to;
  double value = 0.0;  // at_zero of step, exponent of power
};

struct Instruction {
  Code code = Code::entries;
  std::vector<int> results;
  std::vector<int> operands;  // of a product or sum first A, then B
  std::vector<int64_t> ints;
  std::vector<double> numbers;
  std::vector<Step> steps;
  Target fed;                   // where the product or sum goes
  int start = -1;               // the operand that a product is added to, 1×n or m×n
  int64_t rows = 0, cols = 0;   // the frame; the batch as -1
  bool barrier = false;         // all threads wait before it
  bool guarded = false;         // it and all after it run only if the loss is finite
  int chain = 0;                // neighbours of one chain go through their rows together
  bool by_columns = false;      // threads divide its columns, not its rows
};

inline bool has_program(Code code) { return code <= Code::sum_all; }
inline bool has_feed(Code code) { return code > Code::entries && code <= Code::sum_all; }

// One step's place in a run of many.
struct Batch {
  const int64_t* order = nullptr;  // the rows of the data sources to take; nobody changes it
  int64_t rows = 0;                // how many
  int64_t known = 0;               // how many are in `order`: after them those to take next
  uint64_t seed = 0, draw = 0;     // of dropout
};

// An argument or a result with its address. What is not read in place (a 1×1, 1×n or m×1 operand)
// is first repeated in the scratch memory, a constant once for all.
template <class T>
struct Where {
  Place place = Place::number;
  const Matrix<T>* matrix = nullptr;  // of an operand
  T* data = nullptr;   // of an operand, result or constant
  int64_t rows = 0;    // of that matrix
  int64_t at = 0;      // of a register, in the scratch memory
  int64_t spread = 0;  // where it is repeated, in the scratch memory
};

template <class T>
struct ReadyStep {
  Micro micro;
  bool tall;
  int arity;
  Where<T> args[kMostArguments];
  Where<T> to;
  T value;
};

// Some things in a row that somebody else owns.
template <class X>
struct Some {
  const X* first = nullptr;
  int64_t many = 0;
  const X& operator[](int64_t k) const { return first[k]; }
  const X* begin() const { return first; }
  const X* end() const { return first + many; }
};

// An instruction with its matrices, for batches of one size.
template <class T>
struct Call {
  Some<Matrix<T>> operands, results;
  Some<ReadyStep<T>> steps;
  Some<Where<T>> numbers, rows;   // the arguments to repeat once a call, once a panel
  Some<Where<T>> turns;           // the operands to turn into registers, once a chunk
  Where<T> fed;                   // where the product or sum goes
  const ReadyStep<T>* first = nullptr;  // the step done on it before, which is none of `steps`
  const Matrix<T>* start = nullptr;  // what a product is added to
  bool start_each_row = false;       // it is m×n, not 1×n
  int64_t packed = 0;                // matmul_tb: where a panel of Bᵀ, or Aᵀ, goes, in the scratch
  Matrix<T> frame{};              // its shape only
  bool whole = false;             // the program takes whole rows together
  bool turned = false;            // and its registers hold columns, not rows, as vectors
  bool deep = false;              // a product that is summed up part by part
  int64_t blocks = 0;             // by columns: the blocks of rows that a panel is cut into
  int64_t together = 0;           // matmul_ta: rows that go through all panels of B together
  int64_t tall = 0;               // numbers in a full register of the program
  const T *data = nullptr, *data_end = nullptr;  // take: the source, row-major,
  int64_t stride = 0;             // with so many numbers a row: all of them or, with
  bool ones = false;              // `ones`, the column of the row's 1
  int64_t ahead = 0;              // take: how many rows ahead others are fetched
  Some<int64_t> ints;
  Some<double> constants;
};

// What calls come down to: one operation on addresses. What the fields are for, the kernels
// say, each for itself.
template <class T>
struct Operation {
  void (*run)(const Operation&, const Batch&) = nullptr;
  T* y = nullptr;
  const T *a = nullptr, *b = nullptr, *c = nullptr, *d = nullptr;
  int64_t a_step = 0, b_step = 0, c_step = 0, d_step = 0;
  const T* ahead = nullptr;
  int64_t rows = 0, cols = 0, row = 0, depth = 0;
  T value = T(0);
  Micro micro = Micro::copy;
  int32_t next_row = 0, next_panel = 0;
  const Matrix<T>* matrix = nullptr;
  const Call<T>* call = nullptr;
};

// Operations in the order in which they are to be done, as far as there is room for them.
template <class T>
struct Notes {
  Operation<T>* first;
  int64_t many, room;
};

// Where a thread works. With `notes` operations are noted there, not done.
template <class T>
struct Desk {
  const Batch& batch;
  T* scratch;
  Notes<T>* notes;
};

// The kernels of one instruction set for one type; `lo` and `hi` are rows of the frame or, by
// columns, blocks of its panels, those of a panel in a row.
template <class T>
struct Kernels {
  Layout layout;
  void (*execute[static_cast<int>(Code::count)])(const Call<T>&, const Desk<T>&, int64_t lo,
                                                 int64_t hi);
  // Panels `first` to `last` of rows lo to hi, of a product with a transposed factor.
  void (*transposed_panels)(const Call<T>&, const Desk<T>&, int64_t first, int64_t last, int64_t lo,
                            int64_t hi);
  // Rows lo to hi, row-major into panels and back.
  void (*pack)(const T* rows, Matrix<T> to, int64_t lo, int64_t hi);
  void (*unpack)(Matrix<T> from, T* rows, int64_t lo, int64_t hi);
  // The operation that rows are taken by, the same for rows that were fetched, and to fetch them.
  void (*take)(const Operation<T>&, const Batch&);
  void (*take_fetched)(const Operation<T>&, const Batch&);
  void (*fetch)(const Operation<T>&, const Batch&);
};

}  // namespace kb
