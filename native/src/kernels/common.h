// What all kernels share: vectors, panels, and how an operation is done or noted. Kernels are
// compiled once for each instruction set (KB_ISA names it). No templates of the standard library
// in this folder: the linker keeps one copy of such a function, perhaps the one that an older
// processor cannot run.
#pragma once
#include <math.h>
#include <string.h>

#include "../instruction.h"
#include "../vecmath.h"

namespace kb::KB_ISA {

template <class T>
constexpr int kLanes = lanes<T>;
// Accumulators of 6 rows × kVectors vectors, and one row of B, fit the registers: 32 of
// them with AVX-512 and NEON, 16 otherwise.
#if defined(__AVX512F__) || defined(__aarch64__)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif
template <class T>
constexpr int kPanel = kVectors * kLanes<T>;
constexpr int kRows = 6;

// Loops over registers: unrolled early, or their arrays pass through memory.
#define KB_UNROLLED _Pragma("GCC unroll 16")
// Of a lambda: else sums pass through memory, and GCC leaves out calls that only fetch.
#define KB_INLINED __attribute__((always_inline))

template <class T>
constexpr Layout kLayout{kLanes<T>, kPanel<T>};

template <class T>
inline T* at_panel(const Matrix<T>& m, int64_t p) {
  return m.data + p * kPanel<T> * m.rows;
}
template <class T>
inline int64_t width(const Matrix<T>& m, int64_t p) {
  return kLayout<T>.width(m.cols, p);
}
template <class T>
inline int64_t panels(const Matrix<T>& m) {
  return kLayout<T>.panels(m.cols);
}
template <class T>
inline vec<T> all(T x) {
  return splat<vec<T>>(x);
}
inline int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

template <class T>
inline void perform(const Desk<T>& desk, const Operation<T>& op) {
  if (desk.notes == nullptr) return op.run(op, desk.batch);
  Notes<T>& notes = *desk.notes;
  if (notes.many < notes.room) notes.first[notes.many] = op;
  ++notes.many;
}

}  // namespace kb::KB_ISA
