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
#define KB_UNROLLED _Pragma("GCC unroll 16")

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

// Rows of a tile of V vectors: as many accumulators as there are registers for.
constexpr int kMostTileRows = 12;
constexpr int tile_rows(int vectors) {
  int fit = kRows * kVectors / vectors;
  return fit < kMostTileRows ? fit : kMostTileRows;
}

// The rows of a tile of C, and what is added to the product there (stride 0: one row for
// all; null: nothing).
template <class T>
struct Tile {
  const Matrix<T>* a;
  const T* b;         // the panel of B, its k-th row at b + k·width
  T* c;               // the tile's first row, rows at c + i·width
  const T* start;
  int64_t start_step, width, depth;
};

// R rows of C times V vectors of one panel. A is read through two strides, for A m×k and
// for Aᵀ stored as k×m alike; each entry of C is summed over k in order, so it does not
// depend on R, on threads or on the batch.
template <class T, int R, int V, bool TA>
void tile(const Tile<T>& t, int64_t row) {
  vec<T> sum[R][V];
  if (t.start != nullptr) {
    KB_UNROLLED for (int i = 0; i < R; ++i)
      KB_UNROLLED for (int v = 0; v < V; ++v)
        sum[i][v] = load(t.start + i * t.start_step + v * kLanes<T>);
  } else {
    KB_UNROLLED for (int i = 0; i < R; ++i)
      KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = all<T>(T(0));
  }
  const T* b = t.b;
  const int64_t bw = t.width;
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
  const Matrix<T>& a = *t.a;
  if constexpr (TA) {
    int64_t p = row / kPanel<T>;
    segment(at_panel(a, p) + (row - p * kPanel<T>), width(a, p), 1, t.depth);
  } else {
    for (int64_t p = 0, done = 0; done < t.depth; ++p, done += kPanel<T>) {
      int64_t w = width(a, p);
      segment(at_panel(a, p) + row * w, 1, w, least(kPanel<T>, t.depth - done));
    }
  }
  KB_UNROLLED for (int i = 0; i < R; ++i)
    KB_UNROLLED for (int v = 0; v < V; ++v) store(t.c + i * bw + v * kLanes<T>, sum[i][v]);
}

// The tiles of V vectors by their number of rows.
template <class T, int V, bool TA>
struct Tiles {
  using Function = void (*)(const Tile<T>&, int64_t);
  Function of[kMostTileRows] = {};
  template <int R>
  constexpr void fill() {
    of[R - 1] = tile<T, R, V, TA>;
    if constexpr (R > 1) fill<R - 1>();
  }
  constexpr Tiles() { fill<tile_rows(V)>(); }
};
template <class T, int V, bool TA>
constexpr Tiles<T, V, TA> kTiles{};

// Rows `row` to `row` + `rows` of one panel of C, in tiles of nearly the same height.
template <class T, int V, bool TA>
inline void rows_of_panel(Tile<T> t, int64_t row, int64_t rows) {
  while (rows > 0) {
    int64_t left = rows;
    if (TA) left = least(left, kPanel<T> - row % kPanel<T>);  // a tile reads one panel of A
    for (int64_t tiles = (left + tile_rows(V) - 1) / tile_rows(V); tiles > 0; --tiles) {
      int64_t tall = (left + tiles - 1) / tiles;
      kTiles<T, V, TA>.of[tall - 1](t, row);
      t.c += tall * t.width;
      t.start += t.start == nullptr ? 0 : tall * t.start_step;
      row += tall;
      rows -= tall;
      left -= tall;
    }
  }
}

template <class T, bool TA>
inline void product(const Tile<T>& t, int64_t row, int64_t rows) {
  switch (t.width / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: return rows_of_panel<T, 4, TA>(t, row, rows);
    case 3: return rows_of_panel<T, 3, TA>(t, row, rows);
#endif
    case 2: return rows_of_panel<T, 2, TA>(t, row, rows);
    default: return rows_of_panel<T, 1, TA>(t, row, rows);
  }
}

// ---------------------------------------------------------------- entry by entry

// y[k] = f(a[k], ...) of one to three arguments, n entries; an argument's step is 0 where it is one
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
template <class T, class F>
inline void each(T* y, Entries<T> a, Entries<T> b, Entries<T> c, int64_t n, F f) {
  for (int64_t k = 0; k < n; k += kLanes<T>) store(y + k, f(a[k], b[k], c[k]));
}

template <class T>
inline void micro(Micro what, T* y, Entries<T> a, Entries<T> b, Entries<T> c, int64_t n,
                  T value) {
  using V = vec<T>;
  const V zero = all<T>(T(0)), one = all<T>(T(1)), given = all<T>(value);
  switch (what) {
    case Micro::copy: return each(y, a, n, [](V x) { return x; });
    case Micro::add: return each(y, a, b, n, [](V x, V z) { return x + z; });
    case Micro::subtract: return each(y, a, b, n, [](V x, V z) { return x - z; });
    case Micro::multiply: return each(y, a, b, n, [](V x, V z) { return x * z; });
    case Micro::divide:
      if (b.step == 0 && a.step != 0) {  // by one number: it is inverted once
        const V inverse = one / b[0];
        return each(y, a, n, [=](V x) { return x * inverse; });
      }
      return each(y, a, b, n, [](V x, V z) { return x / z; });
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
      return each(y, a, n, [=](V x) { return pow(x, value); });
    case Micro::multiply_add:
      return each(y, a, b, c, n, [](V x, V z, V t) { return fma(x, z, t); });
    case Micro::multiply_subtract:
      return each(y, a, b, c, n, [](V x, V z, V t) { return fma(x, z, -t); });
    case Micro::subtract_multiple:
      return each(y, a, b, c, n, [](V x, V z, V t) { return fma(-x, z, t); });
    case Micro::row_max:
    case Micro::row_sum:
    case Micro::count: return;
  }
}

// ---------------------------------------------------------------- rows

// Index vectors, some read at an offset: `inside` + lanes - n is a mask of the first n
// lanes, `places` + n the lanes rotated by n, `upper[half]` and `lower[half]` the blocks of
// two vectors that a transposition puts together.
template <class T>
struct Tables {
  using Int = decltype(ints<vec<T>>{}[0] + 0);
  Int inside[2 * kLanes<T>] = {}, places[2 * kLanes<T>] = {};
  Int upper[kLanes<T>][kLanes<T>] = {}, lower[kLanes<T>][kLanes<T>] = {};  // by the half
  constexpr Tables() {
    for (int k = 0; k < kLanes<T>; ++k) {
      inside[k] = -1;
      places[k] = places[k + kLanes<T>] = k;
      for (int half = 1; half < kLanes<T>; ++half) {
        upper[half][k] = (k & half) == 0 ? k : kLanes<T> + k - half;
        lower[half][k] = (k & half) == 0 ? k + half : kLanes<T> + k;
      }
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
inline void exchange(vec<T> x, vec<T> y, int half, vec<T>& upper, vec<T>& lower) {
#if defined(__clang__)
  for (int k = 0; k < kLanes<T>; ++k) {
    upper[k] = (k & half) == 0 ? x[k] : y[k - half];
    lower[k] = (k & half) == 0 ? x[k + half] : y[k];
  }
#else
  upper = __builtin_shuffle(x, y, loaded<T>(kTables<T>.upper[half]));
  lower = __builtin_shuffle(x, y, loaded<T>(kTables<T>.lower[half]));
#endif
}

template <class T>
inline T added(vec<T> x) {
  for (int by = kLanes<T> / 2; by > 0; by /= 2) x += rotated<T>(x, by);
  return x[0];
}

// The larger, or NaN where one of them is.
template <class T>
KB_INLINE vec<T> larger(vec<T> x, vec<T> y) {
  return select(x != x, x, select(x > y, x, y));
}

// ---------------------------------------------------------------- transposition

template <class T>
inline T* place_of(const Matrix<T>& m, int64_t row, int64_t col) {
  int64_t p = col / kPanel<T>;
  return at_panel(m, p) + row * width(m, p) + (col - p * kPanel<T>);
}

// A block of lanes × lanes entries, of which `many` rows are there, transposed in registers;
// rows first to last of the result are stored. After the pass of `half`, vectors i and
// i + half have exchanged their off-diagonal blocks.
template <class T>
inline void transpose_block(const T* from, int64_t from_step, int64_t many, T* to,
                            int64_t to_step, int64_t first, int64_t last) {
  constexpr int n = kLanes<T>;
  vec<T> rows[n];
  KB_UNROLLED for (int i = 0; i < n; ++i)
    rows[i] = i < many ? load(from + i * from_step) : all<T>(T(0));
  KB_UNROLLED for (int half = n / 2; half > 0; half /= 2)
    KB_UNROLLED for (int i = 0; i < n; ++i) if ((i & half) == 0) {
      vec<T> upper, lower;
      exchange<T>(rows[i], rows[i + half], half, upper, lower);
      rows[i] = upper;
      rows[i + half] = lower;
    }
  KB_UNROLLED for (int i = 0; i < n; ++i)
    if (i >= first && i < last) store(to + i * to_step, rows[i]);
}

// Panel p of Bᵀ, for B n×k: its k rows, w wide.
template <class T>
inline void pack_transposed(const Matrix<T>& b, int64_t p, T* to, int64_t w) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < b.cols; i += n)
    for (int64_t j = 0; j < w; j += n) {
      const int64_t row = p * kPanel<T> + j;
      transpose_block<T>(place_of(b, row, i), width(b, i / kPanel<T>), least(n, b.rows - row),
                         to + i * w + j, w, 0, least(n, b.cols - i));
    }
}

// ---------------------------------------------------------------- programs

// A part of a frame that goes through a program together: panels `first` to `last`, `rows`
// rows from `row`. Registers hold `most` rows of every panel.
struct Chunk {
  int64_t first, last, row, rows, most;
};

template <class T>
inline T* in_scratch(T* scratch, int64_t at, int64_t p, const Chunk& chunk) {
  return scratch + at + (p - chunk.first) * kPanel<T> * chunk.most;
}

// Where a result, or a full argument, begins in panel p.
template <class T>
inline T* begin_of(const Where<T>& x, T* scratch, int64_t p, int64_t w, const Chunk& chunk) {
  if (x.data != nullptr) return x.data + p * kPanel<T> * x.rows + chunk.row * w;
  return in_scratch(scratch, x.at, p, chunk);
}

// A row w wide, again and again.
template <class T>
inline void spread_row(T* to, const T* from, int64_t w, int64_t rows) {
  for (int64_t k = 0; k < w; k += kLanes<T>) {
    vec<T> x = load(from + k);
    for (int64_t i = 0; i < rows; ++i) store(to + i * w + k, x);
  }
}

// A number for each row, `step` apart, repeated in rows w wide.
template <class T>
inline void spread_column(T* to, const T* from, int64_t step, int64_t w, int64_t rows) {
  for (int64_t i = 0; i < rows; ++i) {
    vec<T> x = all<T>(from[i * step]);
    for (int64_t k = 0; k < w; k += kLanes<T>) store(to + i * w + k, x);
  }
}

// An argument of a step over the entries of panel p.
template <class T>
inline Entries<T> argument(const Where<T>& x, T* scratch, int64_t p, int64_t w,
                           const Chunk& chunk) {
  switch (x.place) {
    case Place::temporary:
    case Place::full: return {begin_of(x, scratch, p, w, chunk), 1};
    case Place::row: return {in_scratch(scratch, x.spread, p, chunk), 1};
    case Place::scalar:
    case Place::number: return {scratch + x.spread, 0};
    case Place::tall:
    case Place::column: break;
  }
  T* to = in_scratch(scratch, x.spread, p, chunk);
  if (x.place == Place::tall) spread_column(to, scratch + x.at, 1, w, chunk.rows);
  else spread_column(to, x.data + chunk.row * kLanes<T>, kLanes<T>, w, chunk.rows);
  return {to, 1};
}

// An argument of a step over numbers for each row, which registers hold side by side.
template <class T>
inline Entries<T> tall_argument(const Where<T>& x, T* scratch, const Chunk& chunk) {
  if (x.place == Place::scalar || x.place == Place::number) return {scratch + x.spread, 0};
  if (x.place == Place::tall) return {scratch + x.at, 1};
  T* to = scratch + x.spread;
  for (int64_t i = 0; i < chunk.rows; ++i) to[i] = x.data[(chunk.row + i) * kLanes<T>];
  return {to, 1};
}

// One vector from lanes of them: its entry k is all of the k-th put together, each in the
// same order.
template <class T, class F>
inline vec<T> across(vec<T>* of, F together) {
  KB_UNROLLED for (int half = kLanes<T> / 2; half > 0; half /= 2)
    KB_UNROLLED for (int i = 0; i < half; ++i) {
      vec<T> upper, lower;
      exchange<T>(of[i], of[i + half], half, upper, lower);
      of[i] = together(upper, lower);
    }
  return of[0];
}

// y, a number for each row, from the rows of X, m×n; what X holds beyond its columns is
// replaced by `none`.
template <class T, class F>
inline void each_row(const Where<T>& x, T* scratch, T* y, int64_t cols, const Chunk& chunk,
                     T none, F together) {
  for (int64_t i = 0; i < chunk.rows; i += kLanes<T>) {
    vec<T> found[kLanes<T>];
    KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j) found[j] = all<T>(none);
    for (int64_t p = chunk.first; p < chunk.last; ++p) {
      const int64_t w = kLayout<T>.width(cols, p), valid = least(cols - p * kPanel<T>, w);
      const T* from = begin_of(x, scratch, p, w, chunk) + i * w;
      for (int64_t k = 0; k < w; k += kLanes<T>) {
        const auto inside = loaded<T>(kTables<T>.inside + kLanes<T> - least(valid - k, kLanes<T>));
        KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j) if (i + j < chunk.rows)
          found[j] = together(found[j], select(inside, load(from + j * w + k), all<T>(none)));
      }
    }
    store(y + i, across<T>(found, together));
  }
}

// All steps over one chunk of the frame, whose entries stay in the first cache.
template <class T>
inline void run_steps(const Call<T>& call, T* scratch, const Chunk& chunk) {
  for (const ReadyStep<T>& step : call.steps) {
    if (!step.tall) {
      for (int64_t p = chunk.first; p < chunk.last; ++p) {
        const int64_t w = width(call.frame, p);
        const Entries<T> a = argument(step.a, scratch, p, w, chunk);
        const Entries<T> b = step.arity > 1 ? argument(step.b, scratch, p, w, chunk) : a;
        const Entries<T> c = step.arity > 2 ? argument(step.c, scratch, p, w, chunk) : a;
        micro<T>(step.micro, begin_of(step.to, scratch, p, w, chunk), a, b, c,
                 chunk.rows * w, step.value);
      }
      continue;
    }
    T* y = scratch + (step.to.data != nullptr ? step.to.spread : step.to.at);
    if (step.micro == Micro::row_sum) {
      each_row(step.a, scratch, y, call.frame.cols, chunk, T(0),
               [](vec<T> s, vec<T> v) { return s + v; });
    } else if (step.micro == Micro::row_max) {
      each_row(step.a, scratch, y, call.frame.cols, chunk, -T(INFINITY),
               [](vec<T> m, vec<T> v) { return larger<T>(m, v); });
    } else {
      const Entries<T> a = tall_argument(step.a, scratch, chunk);
      const Entries<T> b = step.arity > 1 ? tall_argument(step.b, scratch, chunk) : a;
      const Entries<T> c = step.arity > 2 ? tall_argument(step.c, scratch, chunk) : a;
      micro<T>(step.micro, y, a, b, c, chunk.rows, step.value);
    }
    if (step.to.data != nullptr)
      for (int64_t i = 0; i < chunk.rows; ++i)
        step.to.data[(chunk.row + i) * kLanes<T>] = y[i];
  }
}

// y 1×w: the rows of a panel of A added, four sums taking turns.
template <class T>
inline void add_rows(const Matrix<T>& a, int64_t p, T* y) {
  const int64_t w = width(a, p);
  for (int64_t k = 0; k < w; k += kLanes<T>) {
    vec<T> sum[4] = {all<T>(T(0)), all<T>(T(0)), all<T>(T(0)), all<T>(T(0))};
    const T* from = at_panel(a, p) + k;
    int64_t i = 0;
    for (; i + 4 <= a.rows; i += 4)
      KB_UNROLLED for (int j = 0; j < 4; ++j) sum[j] += load(from + (i + j) * w);
    for (; i < a.rows; ++i) sum[0] += load(from + i * w);
    store(y + k, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
}

template <class T>
inline T add_all(const Matrix<T>& a) {
  vec<T> sum[4] = {all<T>(T(0)), all<T>(T(0)), all<T>(T(0)), all<T>(T(0))};
  for (int64_t i = 0; i < a.rows; ++i)
    along_row(a, i, T(0), [&](vec<T> v) { sum[i % 4] += v; });
  return added<T>((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

// Lets a product or sum flow into the instruction's program, chunk by chunk of its frame
// m×n: by panels and some rows, or by whole rows. Operands: see instruction.h.
template <class T, Code code>
void program(const Call<T>& call, const Batch&, T* scratch, int64_t lo, int64_t hi) {
  for (const Where<T>& x : call.numbers)
    store(scratch + x.spread, all<T>(x.data != nullptr ? x.data[0] : x.number));
  const bool by_panels = call.by_panels;
  const int64_t first = by_panels ? lo : 0, last = by_panels ? hi : panels(call.frame);
  if (by_panels) lo = 0, hi = 1;
  const int64_t step = call.whole ? last - first : 1;
  for (int64_t p = first; p < last; p += step) {
    Chunk chunk{p, p + step, lo, 0, 0};
    int64_t wide = 0;
    for (int64_t q = chunk.first; q < chunk.last; ++q) wide += width(call.frame, q);
    chunk.most = hi - lo;
    if (chunk.most * wide > call.tall) {
      const int64_t fit = call.tall / wide, parts = (hi - lo + fit - 1) / fit;
      chunk.most = (hi - lo + parts - 1) / parts;  // as even as can be
    }
    for (const Where<T>& x : call.rows)
      for (int64_t q = chunk.first; q < chunk.last; ++q)
        spread_row(in_scratch(scratch, x.spread, q, chunk), x.data + q * kPanel<T>,
                   width(call.frame, q), chunk.most);
    if constexpr (code == Code::matmul_tb)
      pack_transposed(call.operands[1], p, scratch + call.packed, width(call.frame, p));
    for (; chunk.row < hi; chunk.row += chunk.rows) {
      chunk.rows = least(chunk.most, hi - chunk.row);
      if constexpr (code != Code::entries)
        for (int64_t q = chunk.first; q < chunk.last; ++q) {
          const int64_t w = width(call.frame, q);
          T* to = begin_of(call.fed, scratch, q, w, chunk);
          if constexpr (code == Code::sum_rows) add_rows(call.operands[0], q, to);
          if constexpr (code == Code::sum_all) store(to, all<T>(add_all(call.operands[0])));
          if constexpr (code >= Code::matmul && code <= Code::matmul_tb) {
            const Matrix<T>& b = call.operands[1];
            Tile<T> t{&call.operands[0], at_panel(b, q), to, nullptr, 0, w, b.rows};
            if constexpr (code == Code::matmul_tb) t.b = scratch + call.packed, t.depth = b.cols;
            if (call.start != nullptr) {
              t.start_step = call.start_each_row ? w : 0;
              t.start = at_panel(*call.start, q) + chunk.row * t.start_step;
            }
            product<T, code == Code::matmul_ta>(t, chunk.row, chunk.rows);
          }
        }
      run_steps(call, scratch, chunk);
    }
  }
}

// ---------------------------------------------------------------- moving entries

// C n×m = Aᵀ, rows lo to hi of C, block by block. Rows are whole vectors, so a block at the
// edge reads and writes padding.
template <class T>
void transpose(const Call<T>& call, const Batch&, T*, int64_t lo, int64_t hi) {
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
void slice(const Call<T>& call, const Batch&, T*, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &c = call.results[0];
  int64_t row = call.ints[0], col = call.ints[1];
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) *place_of(c, i, j) = *place_of(a, row + i, col + j);
}

template <class T>
void place(const Call<T>& call, const Batch&, T*, int64_t lo, int64_t hi) {
  const Matrix<T>&a = call.operands[0], &c = call.results[0];
  int64_t row = call.ints[0], col = call.ints[1];
  for (int64_t i = lo; i < hi; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      bool inside = i >= row && i < row + a.rows && j >= col && j < col + a.cols;
      *place_of(c, i, j) = inside ? *place_of(a, i - row, j - col) : T(0);
    }
}

constexpr int64_t kAhead = 8;  // rows that are fetched before they are taken

// Row i of C is row order[i] of the row-major data, C.cols wide.
template <class T>
void take(const Call<T>& call, const Batch& batch, T*, int64_t lo, int64_t hi) {
  const Matrix<T>& c = call.results[0];
  for (int64_t p = 0; p < panels(c); ++p) {
    const int64_t w = width(c, p), many = least(c.cols - p * kPanel<T>, kPanel<T>);
    T* to = at_panel(c, p) + lo * w;
    for (int64_t i = lo; i < hi; ++i, to += w) {
      const T* from = call.data + batch.order[i] * c.cols + p * kPanel<T>;
      if (i + kAhead < hi)
        __builtin_prefetch(call.data + batch.order[i + kAhead] * c.cols + p * kPanel<T>);
      if (from + w <= call.data_end)  // what is read beyond the row goes into the padding
        for (int64_t k = 0; k < w; k += kLanes<T>) store(to + k, load(from + k));
      else
        memcpy(to, from, sizeof(T) * static_cast<size_t>(many));
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
void mask(const Call<T>& call, const Batch& batch, T*, int64_t lo, int64_t hi) {
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
    {program<T, Code::entries>, program<T, Code::matmul>, program<T, Code::matmul_ta>,
     program<T, Code::matmul_tb>, program<T, Code::sum_rows>, program<T, Code::sum_all>, transpose<T>, slice<T>, place<T>,
     take<T>, mask<T>},
    pack<T>,
    unpack<T>};

extern const Kernels<float> kernels32;
extern const Kernels<double> kernels64;
const Kernels<float> kernels32 = kKernels<float>;
const Kernels<double> kernels64 = kKernels<double>;

}  // namespace kb::KB_ISA
