// The kernels, compiled once for each instruction set (KB_ISA names it). No templates of
// the standard library here: the linker keeps one copy of such a function, perhaps the one
// that an older processor cannot run.
#include <math.h>
#include <string.h>

#include "instruction.h"
#include "vecmath.h"

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
#define KB_UNROLLED _Pragma("GCC unroll 8")

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

// ---------------------------------------------------------------- matrix products

// R rows of C times V vectors of one panel. b: the panel of B, k-th row at b + k·bw.
// A is read through two strides, for A m×k and for Aᵀ stored as k×m alike; each entry of
// C is summed over k in order, so it does not depend on R, on threads or on the batch.
template <class T, int R, int V, bool TA>
inline void tile(const Matrix<T>& a, int64_t row, const T* b, int64_t bw, T* c, int64_t cw,
                 int64_t depth) {
  vec<T> sum[R][V];
  KB_UNROLLED for (int i = 0; i < R; ++i)
    KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = all<T>(T(0));
  auto segment = [&](const T* from, int64_t along_k, int64_t along_row, int64_t many) {
    for (int64_t k = 0; k < many; ++k, from += along_k, b += bw) {
      vec<T> line[V];
      KB_UNROLLED for (int v = 0; v < V; ++v) line[v] = load(b + v * kLanes<T>);
      KB_UNROLLED for (int i = 0; i < R; ++i) {
        vec<T> x = all<T>(from[i * along_row]);
        KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = fma(x, line[v], sum[i][v]);
      }
    }
  };
  if constexpr (TA) {
    int64_t p = row / kPanel<T>;
    segment(at_panel(a, p) + (row - p * kPanel<T>), width(a, p), 1, depth);
  } else {
    for (int64_t p = 0, done = 0; done < depth; ++p, done += kPanel<T>) {
      int64_t w = width(a, p);
      segment(at_panel(a, p) + row * w, 1, w, least(kPanel<T>, depth - done));
    }
  }
  KB_UNROLLED for (int i = 0; i < R; ++i)
    KB_UNROLLED for (int v = 0; v < V; ++v) store(c + i * cw + v * kLanes<T>, sum[i][v]);
}

template <class T, int V, bool TA>
inline void rows_of_panel(const Matrix<T>& a, const T* b, int64_t bw, T* c, int64_t cw,
                          int64_t depth, int64_t lo, int64_t hi) {
  for (int64_t row = lo; row < hi;) {
    int64_t left = hi - row;
    if (TA) left = least(left, kPanel<T> - row % kPanel<T>);  // a tile reads one panel of A
    T* to = c + row * cw;
    switch (least(left, kRows)) {
      case 6: tile<T, 6, V, TA>(a, row, b, bw, to, cw, depth); row += 6; break;
      case 5: tile<T, 5, V, TA>(a, row, b, bw, to, cw, depth); row += 5; break;
      case 4: tile<T, 4, V, TA>(a, row, b, bw, to, cw, depth); row += 4; break;
      case 3: tile<T, 3, V, TA>(a, row, b, bw, to, cw, depth); row += 3; break;
      case 2: tile<T, 2, V, TA>(a, row, b, bw, to, cw, depth); row += 2; break;
      default: tile<T, 1, V, TA>(a, row, b, bw, to, cw, depth); row += 1; break;
    }
  }
}

// C m×n = A B or Aᵀ B, rows lo to hi of C. B k×n and C have the same panels.
template <class T, bool TA>
void product(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &b = call.operands[1], &c = call.result;
  int64_t depth = b.rows;
  for (int64_t p = 0; p < panels(c); ++p) {
    int64_t w = width(c, p);
    const T* from = at_panel(b, p);
    T* to = at_panel(c, p);
    switch (w / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
      case 4: rows_of_panel<T, 4, TA>(a, from, w, to, w, depth, lo, hi); break;
      case 3: rows_of_panel<T, 3, TA>(a, from, w, to, w, depth, lo, hi); break;
#endif
      case 2: rows_of_panel<T, 2, TA>(a, from, w, to, w, depth, lo, hi); break;
      default: rows_of_panel<T, 1, TA>(a, from, w, to, w, depth, lo, hi); break;
    }
  }
}

// ---------------------------------------------------------------- elementwise programs

constexpr int kChunk = 256;  // entries that go through a program together

// y[k] = f(a[k]) or f(a[k], b[k]), n entries; an argument's step is 0 where it is one
// vector of the same number, else 1.
template <class T>
struct Entries {
  const T* from;
  int64_t step;
  vec<T> operator[](int64_t k) const { return load(from + k * step); }
};
template <class T, class F>
inline void each(T* y, Entries<T> a, int64_t n, F f) {
  for (int64_t k = 0; k < n; k += kLanes<T>) store(y + k, f(a[k]));
}
template <class T, class F>
inline void each(T* y, Entries<T> a, Entries<T> b, int64_t n, F f) {
  for (int64_t k = 0; k < n; k += kLanes<T>) store(y + k, f(a[k], b[k]));
}

template <class T>
inline void micro(Micro what, T* y, Entries<T> a, Entries<T> b, int64_t n, T value) {
  using V = vec<T>;
  const V zero = all<T>(T(0)), one = all<T>(T(1)), given = all<T>(value);
  switch (what) {
    case Micro::copy: return each(y, a, n, [](V x) { return x; });
    case Micro::add: return each(y, a, b, n, [](V x, V z) { return x + z; });
    case Micro::subtract: return each(y, a, b, n, [](V x, V z) { return x - z; });
    case Micro::multiply: return each(y, a, b, n, [](V x, V z) { return x * z; });
    case Micro::divide: return each(y, a, b, n, [](V x, V z) { return x / z; });
    case Micro::maximum:  // NaN of either argument stays
      return each(y, a, b, n, [](V x, V z) { return select(x != x, x, select(x > z, x, z)); });
    case Micro::minimum:
      return each(y, a, b, n, [](V x, V z) { return select(x != x, x, select(x < z, x, z)); });
    case Micro::negate: return each(y, a, n, [](V x) { return -x; });
    case Micro::exp: return each(y, a, n, [](V x) { return exp(x); });
    case Micro::expm1: return each(y, a, n, [](V x) { return expm1(x); });
    case Micro::log: return each(y, a, n, [](V x) { return log(x); });
    case Micro::sqrt: return each(y, a, n, [](V x) { return sqrt(x); });
    case Micro::abs: return each(y, a, n, [](V x) { return abs(x); });
    case Micro::sign:
      return each(y, a, n, [=](V x) { return select(x > zero, one, select(x < zero, -one, x)); });
    case Micro::step:
      return each(y, a, n, [=](V x) {
        return select(x > zero, one, select(x == zero, given, zero));
      });
    case Micro::relu:
      return each(y, a, n, [=](V x) { return select(x != x, x, select(x > zero, x, zero)); });
    case Micro::sin: return each(y, a, n, [](V x) { return sin(x); });
    case Micro::cos: return each(y, a, n, [](V x) { return cos(x); });
    case Micro::sigmoid: return each(y, a, n, [](V x) { return sigmoid(x); });
    case Micro::tanh: return each(y, a, n, [](V x) { return tanh(x); });
    case Micro::softplus: return each(y, a, n, [](V x) { return softplus(x); });
    case Micro::erf: return each(y, a, n, [](V x) { return erf(x); });
    case Micro::power:
      if (value == T(2)) return each(y, a, n, [](V x) { return x * x; });
      if (value == T(-1)) return each(y, a, n, [=](V x) { return one / x; });
      for (int64_t k = 0; k < n; ++k)
        y[k] = static_cast<T>(::pow(double(a.from[k * a.step]), double(value)));
      return;
    case Micro::count: return;
  }
}

// An argument of a program, and where its entries are found: a number or a 1×1 operand is
// one vector, a 1×n operand is repeated once a panel, an m×1 operand once a chunk.
template <class T>
struct Source {
  Place place = Place::temporary;
  const Matrix<T>* operand = nullptr;
  T* slot = nullptr;  // the register, or where it is repeated

  // Before the first panel.
  void begin(T number) const {
    if (place == Place::scalar) number = operand->data[0];
    if (place == Place::scalar || place == Place::number) store(slot, all<T>(number));
  }
  void at_panel_begin(int64_t p, int64_t w, int64_t tall) const {
    if (place != Place::row) return;
    for (int64_t i = 0; i < tall; ++i)
      for (int64_t k = 0; k < w; k += kLanes<T>)
        store(slot + i * w + k, load(at_panel(*operand, p) + k));
  }
  Entries<T> at_rows(int64_t p, int64_t w, int64_t row, int64_t rows) const {
    if (place == Place::full) return {at_panel(*operand, p) + row * w, 1};
    if (place == Place::scalar || place == Place::number) return {slot, 0};
    if (place == Place::column)
      for (int64_t i = 0; i < rows; ++i) {
        vec<T> x = all<T>(operand->data[(row + i) * kLanes<T>]);
        for (int64_t k = 0; k < w; k += kLanes<T>) store(slot + i * w + k, x);
      }
    return {slot, 1};
  }
};

inline bool takes_two(Micro micro) { return micro >= Micro::add && micro <= Micro::minimum; }

// Rows lo to hi of a program over entries: chunks that stay in the first cache, through
// all steps. Operands: see Place.
template <class T>
void elementwise(const Call<T>& call, int64_t lo, int64_t hi) {
  alignas(64) static thread_local T slots[(kMostRegisters + 2 * kMostSteps) * kChunk];
  static thread_local Source<T> sources[2 * kMostSteps];
  const Instruction& item = *call.instruction;
  const int steps = static_cast<int>(item.steps.size());
  T* spare = slots + int64_t(item.registers) * kChunk;
  auto resolve = [&](const Argument& a, Source<T>& to) {
    bool held = a.place == Place::temporary;
    bool repeated = !held && a.place != Place::full;
    bool operand = !held && a.place != Place::number;
    to = {a.place, operand ? call.operands + a.index : nullptr,
          held ? slots + int64_t(a.index) * kChunk : spare};
    to.begin(static_cast<T>(a.value));
    if (repeated) spare += kChunk;
  };
  for (int k = 0; k < steps; ++k) {
    resolve(item.steps[k].a, sources[2 * k]);
    if (takes_two(item.steps[k].micro)) resolve(item.steps[k].b, sources[2 * k + 1]);
  }
  for (int64_t p = 0; p < panels(call.result); ++p) {
    const int64_t w = width(call.result, p), tall = kChunk / w;
    const int64_t most = least(tall, hi - lo);
    for (int k = 0; k < steps; ++k) {
      sources[2 * k].at_panel_begin(p, w, most);
      if (takes_two(item.steps[k].micro)) sources[2 * k + 1].at_panel_begin(p, w, most);
    }
    for (int64_t row = lo; row < hi; row += tall) {
      const int64_t rows = least(tall, hi - row);
      for (int k = 0; k < steps; ++k) {
        const kb::Step& step = item.steps[k];
        Entries<T> a = sources[2 * k].at_rows(p, w, row, rows), b = a;
        if (takes_two(step.micro)) b = sources[2 * k + 1].at_rows(p, w, row, rows);
        T* y = step.result < 0 ? at_panel(call.result, p) + row * w
                               : slots + int64_t(step.result) * kChunk;
        micro<T>(step.micro, y, a, b, rows * w, static_cast<T>(step.value));
      }
    }
  }
}

// ---------------------------------------------------------------- rows and their sums

// Index vectors, read at an offset: `inside` + lanes - n is a mask of the first n lanes,
// `places` + n the lanes rotated by n.
template <class T>
struct Tables {
  using Int = decltype(ints<vec<T>>{}[0] + 0);
  Int inside[2 * kLanes<T>] = {}, places[2 * kLanes<T>] = {};
  constexpr Tables() {
    for (int k = 0; k < kLanes<T>; ++k) {
      inside[k] = -1;
      places[k] = places[k + kLanes<T>] = k;
    }
  }
};
template <class T>
constexpr Tables<T> kTables{};

template <class T>
inline ints<vec<T>> loaded(const typename Tables<T>::Int* from) {
  ints<vec<T>> x;
  memcpy(&x, from, sizeof x);
  return x;
}

// A vector of a row of which only the first `valid` entries are columns: `fill` beyond.
template <class T>
inline vec<T> tail(const T* from, int64_t valid, T fill) {
  return select(loaded<T>(kTables<T>.inside + kLanes<T> - valid), load(from), all<T>(fill));
}

// f of each vector of a row of X, in order; entries beyond the last column are `fill`.
template <class T, class F>
inline void along_row(const Matrix<T>& x, int64_t row, T fill, F f) {
  for (int64_t p = 0; p < panels(x); ++p) {
    int64_t w = width(x, p), valid = least(x.cols - p * kPanel<T>, w);
    const T* from = at_panel(x, p) + row * w;
    for (int64_t k = 0; k < w; k += kLanes<T>)
      f(k + kLanes<T> <= valid ? load(from + k) : tail(from + k, valid - k, fill));
  }
}

template <class T>
inline vec<T> rotated(vec<T> x, int by) {
#if defined(__clang__)
  vec<T> y;
  for (int k = 0; k < kLanes<T>; ++k) y[k] = x[(k + by) % kLanes<T>];
  return y;
#else
  return __builtin_shuffle(x, loaded<T>(kTables<T>.places + by));
#endif
}

template <class T>
inline T added(vec<T> x) {
  for (int by = kLanes<T> / 2; by > 0; by /= 2) x += rotated<T>(x, by);
  return x[0];
}

// The largest entry of a row, NaN aside.
template <class T>
inline T row_largest(const Matrix<T>& x, int64_t row) {
  vec<T> most = all<T>(-T(INFINITY));
  along_row(x, row, -T(INFINITY), [&](vec<T> v) { most = select(v > most, v, most); });
  for (int by = kLanes<T> / 2; by > 0; by /= 2) {
    vec<T> other = rotated<T>(most, by);
    most = select(other > most, other, most);
  }
  return most[0];
}

template <class T>
inline T row_exp_sum(const Matrix<T>& x, int64_t row, T shift) {
  vec<T> total = all<T>(T(0)), by = all<T>(shift);
  along_row(x, row, -T(INFINITY), [&](vec<T> v) { total += exp(v - by); });
  return added<T>(total);
}

template <class T>
inline void put(const Matrix<T>& y, int64_t row, T value) {
  y.data[row * kLanes<T>] = value;
}

template <class T>
void row_max(const Call<T>& call, int64_t lo, int64_t hi) {
  for (int64_t i = lo; i < hi; ++i) {
    T nan = T(0);  // 0, or NaN where the row has one
    along_row(call.operands[0], i, T(0), [&](vec<T> v) {
      vec<T> there = select(v != v, v, all<T>(T(0)));
      nan += added<T>(there);
    });
    put(call.result, i, row_largest(call.operands[0], i) + nan);
  }
}

template <class T>
void logsumexp(const Call<T>& call, int64_t lo, int64_t hi) {
  for (int64_t i = lo; i < hi; ++i) {
    T shift = row_largest(call.operands[0], i);
    T total = row_exp_sum(call.operands[0], i, shift);
    put(call.result, i, T(log(all<T>(total))[0] + shift));
  }
}

template <class T>
void softmax(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>&x = call.operands[0], &y = call.result;
  for (int64_t i = lo; i < hi; ++i) {
    vec<T> shift = all<T>(row_largest(x, i)), total = all<T>(T(0));
    for (int64_t p = 0; p < panels(x); ++p) {
      int64_t w = width(x, p), valid = least(x.cols - p * kPanel<T>, w);
      const T* from = at_panel(x, p) + i * w;
      T* to = at_panel(y, p) + i * w;
      for (int64_t k = 0; k < w; k += kLanes<T>) {
        vec<T> v = k + kLanes<T> <= valid ? load(from + k)
                                          : tail(from + k, valid - k, -T(INFINITY));
        vec<T> e = exp(v - shift);
        store(to + k, e);
        total += e;
      }
    }
    vec<T> sum = all<T>(added<T>(total));
    for (int64_t p = 0; p < panels(y); ++p) {
      T* to = at_panel(y, p) + i * width(y, p);
      each(to, Entries<T>{to, 1}, width(y, p), [=](vec<T> e) { return e / sum; });
    }
  }
}

template <class T>
void sum_columns(const Call<T>& call, int64_t lo, int64_t hi) {
  for (int64_t i = lo; i < hi; ++i) {
    vec<T> total = all<T>(T(0));
    along_row(call.operands[0], i, T(0), [&](vec<T> v) { total += v; });
    put(call.result, i, added<T>(total));
  }
}

// y 1×n: the rows of X m×n added in order.
template <class T>
void sum_rows(const Call<T>& call, int64_t, int64_t) {
  const Matrix<T>& x = call.operands[0];
  for (int64_t p = 0; p < panels(x); ++p) {
    int64_t w = width(x, p);
    T* to = at_panel(call.result, p);
    for (int64_t k = 0; k < w; k += kLanes<T>) {
      vec<T> total = all<T>(T(0));
      const T* from = at_panel(x, p) + k;
      for (int64_t i = 0; i < x.rows; ++i, from += w) total += load(from);
      store(to + k, total);
    }
  }
}

template <class T>
void sum_all(const Call<T>& call, int64_t, int64_t) {
  vec<T> total = all<T>(T(0));
  for (int64_t i = 0; i < call.operands[0].rows; ++i)
    along_row(call.operands[0], i, T(0), [&](vec<T> v) { total += v; });
  put(call.result, 0, added<T>(total));
}

// ---------------------------------------------------------------- moving entries

template <class T>
inline T* place_of(const Matrix<T>& m, int64_t row, int64_t col) {
  int64_t p = col / kPanel<T>;
  return at_panel(m, p) + row * width(m, p) + (col - p * kPanel<T>);
}

// C n×m = Aᵀ, rows lo to hi of C; a panel of C is written while its rows of A are read.
template <class T>
void transpose(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &c = call.result;
  for (int64_t p = 0; p < panels(c); ++p) {
    int64_t w = width(c, p), first = p * kPanel<T>;
    int64_t many = least(c.cols - first, kPanel<T>);
    for (int64_t i = lo; i < hi; ++i) {
      const T* from = place_of(a, first, i);
      int64_t stride = width(a, i / kPanel<T>);
      T* to = at_panel(c, p) + i * w;
      for (int64_t j = 0; j < many; ++j) to[j] = from[j * stride];
    }
  }
}

template <class T>
void slice(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &c = call.result;
  int64_t row = call.instruction->ints[0], col = call.instruction->ints[1];
  if (row + c.rows > a.rows) hi = lo;  // a short batch: the caller checks before
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) *place_of(c, i, j) = *place_of(a, row + i, col + j);
}

template <class T>
void place(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &c = call.result;
  int64_t row = call.instruction->ints[0], col = call.instruction->ints[1];
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      bool inside = i >= row && i < row + a.rows && j >= col && j < col + a.cols;
      *place_of(c, i, j) = inside ? *place_of(a, i - row, j - col) : T(0);
    }
}

// Row i of C is row order[i] of the row-major data, C.cols wide.
template <class T>
void take(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>& c = call.result;
  for (int64_t i = lo; i < hi; ++i) {
    const T* from = call.data + call.order[i] * c.cols;
    for (int64_t p = 0; p < panels(c); ++p) {
      int64_t many = least(c.cols - p * kPanel<T>, kPanel<T>);
      memcpy(at_panel(c, p) + i * width(c, p), from + p * kPanel<T>, sizeof(T) * many);
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
void mask(const Call<T>& call, int64_t lo, int64_t hi) {
  const Matrix<T>& c = call.result;
  uint64_t stream = static_cast<uint64_t>(call.instruction->ints[0]);
  uint32_t threshold = static_cast<uint32_t>(call.instruction->ints[1]);
  T kept = static_cast<T>(call.instruction->numbers[0]);
  uint64_t words[4] = {0, 0, 0, 0};
  int64_t have = -1;
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      int64_t e = i * c.cols + j, block = e / 8;
      if (block != have) {
        words[0] = static_cast<uint64_t>(block) + 1;
        words[1] = call.draw;
        words[2] = words[3] = 0;
        philox(words, call.seed, stream);
        have = block;
      }
      uint64_t word = words[(e % 8) / 2];
      uint32_t half = static_cast<uint32_t>(e % 2 ? word >> 32 : word);
      *place_of(c, i, j) = half >= threshold ? kept : T(0);
    }
}

template <class T>
void pack(const T* rows, Matrix<T> to) {
  for (int64_t p = 0; p < panels(to); ++p) {
    int64_t w = width(to, p), many = least(to.cols - p * kPanel<T>, kPanel<T>);
    for (int64_t i = 0; i < to.rows; ++i)
      memcpy(at_panel(to, p) + i * w, rows + i * to.cols + p * kPanel<T>, sizeof(T) * many);
  }
}

template <class T>
void unpack(Matrix<T> from, T* rows) {
  for (int64_t p = 0; p < panels(from); ++p) {
    int64_t w = width(from, p), many = least(from.cols - p * kPanel<T>, kPanel<T>);
    for (int64_t i = 0; i < from.rows; ++i)
      memcpy(rows + i * from.cols + p * kPanel<T>, at_panel(from, p) + i * w, sizeof(T) * many);
  }
}

template <class T>
constexpr Kernels<T> kKernels{
    kLayout<T>,
    {product<T, false>, product<T, true>, elementwise<T>, softmax<T>, logsumexp<T>, row_max<T>,
     sum_columns<T>, sum_rows<T>, sum_all<T>, transpose<T>, slice<T>, place<T>, take<T>,
     mask<T>},
    pack<T>,
    unpack<T>};

extern const Kernels<float> kernels32;
extern const Kernels<double> kernels64;
const Kernels<float> kernels32 = kKernels<float>;
const Kernels<double> kernels64 = kKernels<double>;

}  // namespace kb::KB_ISA
