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
template <class T>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));  // numbers in a cache line
// A tile that goes through a long part of B, more than kLong bytes, fetches meanwhile what comes
// next, a line of B with every two rows, and little by little the next tile's rows of A and its own
// of C: faster it would wait for lines that it needs itself. So many tiles fetch a panel. Of
// samples in the rows of A it fetches that of so many later.
constexpr int64_t kLong = 1 << 13;
constexpr int64_t kSamplesAhead = 16;
template <class T>
constexpr int64_t kFetched = kLine<T> / 2;  // of B, with a row
template <class T>
constexpr int64_t kFetchingTiles = kPanel<T> / kFetched<T>;
template <class T>
inline bool is_long(int64_t rows, int64_t width) {
  return rows * width * static_cast<int64_t>(sizeof(T)) > kLong;
}
// Loops over registers: unrolled early, or their arrays pass through memory.
#define KB_UNROLLED _Pragma("GCC unroll 16")
// Of a lambda: else sums pass through memory, and GCC leaves out calls that only fetch.
#define KB_INLINED __attribute__((always_inline))

// A number that the compiler knows.
template <int64_t number>
struct Constant {
  constexpr operator int64_t() const { return number; }
};

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

// ---------------------------------------------------------------- matrix products

// Rows of a tile of V vectors: as many accumulators as there are registers for.
constexpr int kMostTileRows = 12;
constexpr int tile_rows(int vectors) {
  int fit = kRows * kVectors / vectors;
  return fit < kMostTileRows ? fit : kMostTileRows;
}

// How a product reads its left factor A: m×k or, stored as k×m, Aᵀ; or rows of the data where
// they lie, as the batch's order has them; or of marked rows what is not 0.
enum class Left { rows, columns, taken_rows, taken_columns, few_columns };

template <class T>
inline vec<T> relu(vec<T> x) {  // NaN stays
  return at_least(x, all<T>(T(0)));
}
// y step(x), for a step that is 0 at 0.
template <class T>
inline vec<T> times_step(vec<T> x, vec<T> y) {
  return y * select(x > all<T>(T(0)), all<T>(T(1)), all<T>(T(0)));
}

// A tile's sums go through the step `micro`, if it is one of these, and to y. It may take a, a
// matrix of C's shape from the tile's first row on, and d, a vector of one number.
template <class T, int R, int V, Left left>
inline void finish(const Operation<T>& op, vec<T> (&sum)[R][V]) {
  T* const y = op.y;
  const T* const a = op.a;
  auto each_sum = [&](auto f) {
    KB_UNROLLED for (int i = 0; i < R; ++i)
      KB_UNROLLED for (int v = 0; v < V; ++v) {
        const int64_t at = (i * V + v) * kLanes<T>;
        store(y + at, f(sum[i][v], at));
      }
  };
  if (left == Left::rows || left == Left::taken_rows) {
    if (op.micro == Micro::relu)
      return each_sum([&](vec<T> x, int64_t) { return relu<T>(x); });
    if (op.micro == Micro::multiply_step)
      return each_sum([&](vec<T> x, int64_t at) { return times_step<T>(load(a + at), x); });
  } else if (op.micro == Micro::subtract_multiple) {
    const vec<T> number = load(op.d);
    return each_sum([&](vec<T> x, int64_t at) { return fma(-x, number, load(a + at)); });
  } else if (op.micro == Micro::multiply_add) {
    const vec<T> number = load(op.d);
    return each_sum([&](vec<T> x, int64_t at) { return fma(number, load(a + at), x); });
  }
  each_sum([](vec<T> x, int64_t) { return x; });
}

// `rows` R of C times V vectors of one panel: C = start + A B, the tile's first row `row`.
// A is `matrix`, read as `left` says, from its column a_step on. Rows of the panels
// are V vectors: the k-th of B at b + k·V, `depth` of them, the i-th of C at y + i·V, of the
// start at c + i·c_step (c null: there is none). Each entry of C is summed over k in order, so
// it does not depend on R, on threads or on the batch. Meanwhile a tile that `fetches` does so with
// what lies from `ahead` on (null: nothing) and the rows of A after its own, into the second cache,
// and its rows of C to write them.
template <class T, int R, int V, Left left, bool fetches>
void tile(const Operation<T>& op, const Batch&) {
  vec<T> sum[R][V];
  if (op.c != nullptr) {
    KB_UNROLLED for (int i = 0; i < R; ++i)
      KB_UNROLLED for (int v = 0; v < V; ++v)
        sum[i][v] = load(op.c + i * op.c_step + v * kLanes<T>);
  } else {
    KB_UNROLLED for (int i = 0; i < R; ++i)
      KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = all<T>(T(0));
  }
  constexpr int64_t bw = V * kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  const T* b = op.b;
  auto add = [&](auto entry) KB_INLINED {  // the product of a column of R entries and a row of B
    vec<T> line[V];
    KB_UNROLLED for (int v = 0; v < V; ++v) line[v] = load(b + v * kLanes<T>);
    KB_UNROLLED for (int i = 0; i < R; ++i) {
      const vec<T> x = all<T>(entry(i));
      KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = fma(x, line[v], sum[i][v]);
    }
    b += bw;
  };
  const T* next = op.ahead != nullptr ? op.ahead : op.y;
  const int64_t next_step = op.ahead != nullptr ? 2 * kFetched<T> : 0;
  const char* own = reinterpret_cast<const char*>(op.y);
  const int64_t own_step = 2 * R * bw * static_cast<int64_t>(sizeof(T)) / (op.depth + 1) + 1;
  // The products of `many` columns of A; those that fetch two by two, since lines are fetched
  // once for both. `of_a(k)` fetches what column k of A is followed by.
  auto each = [&](auto many, auto of_a, auto column) KB_INLINED {
    int64_t k = 0;
    if constexpr (fetches)
      for (; k + 2 <= many; k += 2) {
        __builtin_prefetch(next, 0, 2);
        next += next_step;
        __builtin_prefetch(own, 1, 3);
        own += own_step;
        of_a(k);
        add(column(k));
        of_a(k + 1);
        add(column(k + 1));
      }
    for (; k < many; ++k) add(column(k));
  };
  if constexpr (left == Left::rows) {
    int64_t p = op.a_step / kPanel<T>, rest = op.depth;
    auto panel = [&](auto many, auto w) KB_INLINED {
      const T* from = at_panel(a, p) + op.row * w;
      // of the next R rows, which are w·R numbers in a row, entry R·k
      each(many, [&](int64_t k) KB_INLINED { __builtin_prefetch(from + R * (w + k), 0, 2); },
           [&](int64_t k) { return [x = from + k, w](int i) { return x[i * w]; }; });
    };
    constexpr Constant<kPanel<T>> full;  // one address leads to all rows then
    for (; rest >= full; rest -= full, ++p) panel(full, full);
    if (rest > 0) panel(rest, width(a, p));
  } else if constexpr (left == Left::taken_rows) {
    const T* from[R];
    KB_UNROLLED for (int i = 0; i < R; ++i)
      from[i] = a.taken[op.row + i] + op.a_step;
    each(op.depth, [](int64_t) {},
         [&](int64_t k) { return [&from, k](int i) { return from[i][k]; }; });
  } else if constexpr (left == Left::taken_columns) {
    const T* const* const from = a.taken + op.a_step;
    auto sample = [&](int64_t k) {
      const T* x = from[k] + op.row;
      asm("" : "+r"(x));  // else GCC adds op.row to each entry's place, in a register apiece
      return x;
    };
    auto later = [&](int64_t k) { return sample(least(k + kSamplesAhead, op.depth - 1)); };
    each(op.depth, [&](int64_t k) KB_INLINED { __builtin_prefetch(later(k), 0, 3); },
         [&](int64_t k) { return [x = sample(k)](int i) { return x[i]; }; });
  } else {
    const int64_t p = op.row / kPanel<T>, w = width(a, p);
    const T* from = at_panel(a, p) + op.a_step * w + (op.row - p * kPanel<T>);
    auto later = [&](int64_t k) { return from + (k + kSamplesAhead) * w; };
    each(op.depth, [&](int64_t k) KB_INLINED { __builtin_prefetch(later(k), 0, 3); },
         [&](int64_t k) { return [x = from + k * w](int i) { return x[i]; }; });
  }
  finish<T, R, V, left>(op, sum);
}

// The same for Aᵀ stored as k×m, of whose rows only those are taken that are not 0 in all of
// the tile's columns.
template <class T, int R, int V>
void tile_of_few(const Operation<T>& op, const Batch&) {
  static_assert(kMarked % kPanel<T> == 0, "a tile's columns have their marks in one word");
  constexpr int64_t kListed = 256, bw = V * kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  const int64_t p = op.row / kPanel<T>, w = width(a, p);
  const T* from = at_panel(a, p) + op.a_step * w + (op.row - p * kPanel<T>);
  const uint64_t* marks = a.marks + op.row / kMarked * a.rows + op.a_step;
  const uint64_t own = ((uint64_t{1} << R) - 1) << op.row % kMarked;
  vec<T> sum[R][V];
  KB_UNROLLED for (int i = 0; i < R; ++i)
    KB_UNROLLED for (int v = 0; v < V; ++v)
      sum[i][v] = op.c == nullptr ? all<T>(T(0)) : load(op.c + i * op.c_step + v * kLanes<T>);
  int32_t listed[kListed];
  for (int64_t begin = 0; begin < op.depth; begin += kListed) {
    const int64_t end = least(op.depth, begin + kListed);
    int64_t found = 0;
    for (int64_t k = begin; k < end; ++k) {
      listed[found] = static_cast<int32_t>(k - begin);
      found += (marks[k] & own) != 0;
    }
    for (int64_t j = 0; j < found; ++j) {
      const int64_t k = begin + listed[j];
      const T *x = from + k * w, *b = op.b + k * bw;
      vec<T> line[V];
      KB_UNROLLED for (int v = 0; v < V; ++v) line[v] = load(b + v * kLanes<T>);
      KB_UNROLLED for (int i = 0; i < R; ++i)
        KB_UNROLLED for (int v = 0; v < V; ++v) sum[i][v] = fma(all<T>(x[i]), line[v], sum[i][v]);
    }
  }
  finish<T, R, V, Left::few_columns>(op, sum);
}

template <class T, int R, int V, Left left, bool fetches>
constexpr auto tile_for() {
  if constexpr (left == Left::few_columns) return tile_of_few<T, R, V>;
  else return tile<T, R, V, left, fetches>;
}

// The tiles of V vectors by their number of rows.
template <class T, int V, Left left, bool fetches>
struct Tiles {
  using Function = void (*)(const Operation<T>&, const Batch&);
  Function of[kMostTileRows] = {};
  template <int R>
  constexpr void fill() {
    of[R - 1] = tile_for<T, R, V, left, fetches>();
    if constexpr (R > 1) fill<R - 1>();
  }
  constexpr Tiles() { fill<tile_rows(V)>(); }
};
template <class T, int V, Left left, bool fetches>
constexpr Tiles<T, V, left, fetches> kTiles{};

// `rows` rows of one panel of C from `row`, in tiles of nearly the same height. The first
// `ahead_tiles` of them fetch what comes next, each a part.
template <class T, int V, Left kind>
inline void rows_of_panel(const Desk<T>& desk, Operation<T> op) {
  const auto* const of = is_long<T>(op.depth, op.cols) ? kTiles<T, V, kind, true>.of
                                                       : kTiles<T, V, kind, false>.of;
  while (op.rows > 0) {
    int64_t left = op.rows;
    if (kind == Left::columns || kind == Left::few_columns)  // a tile reads one panel of A
      left = least(left, kPanel<T> - op.row % kPanel<T>);
    for (int64_t tiles = (left + tile_rows(V) - 1) / tile_rows(V); tiles > 0; --tiles) {
      int64_t tall = (left + tiles - 1) / tiles;
      op.run = of[tall - 1];
      perform(desk, op);
      op.y += tall * op.cols;
      op.a += op.a == nullptr ? 0 : tall * op.cols;
      op.c += op.c == nullptr ? 0 : tall * op.c_step;
      op.row += tall;
      op.rows -= tall;
      left -= tall;
      if (op.ahead != nullptr)
        op.ahead = --op.ahead_tiles > 0 ? op.ahead + op.depth * kFetched<T> : nullptr;
    }
  }
}

template <class T, Left left>
inline void in_tiles(const Desk<T>& desk, const Operation<T>& op) {
  switch (op.cols / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: return rows_of_panel<T, 4, left>(desk, op);
    case 3: return rows_of_panel<T, 3, left>(desk, op);
#endif
    case 2: return rows_of_panel<T, 2, left>(desk, op);
    default: return rows_of_panel<T, 1, left>(desk, op);
  }
}

// A deep product is summed up part by part, so that all its rows use a part of B while that is
// in the cache, and fetch the next part. Each entry is still summed over k in order.
template <class T, Left left>
void part_by_part(const Desk<T>& desk, Operation<T> op) {
  const T* const ahead = op.ahead;
  const int64_t ahead_tiles = op.ahead_tiles;
  for (int64_t depth = op.depth; depth > 0; depth -= op.depth) {
    op.depth = least(depth, kLayout<T>.deep());
    const bool last = depth == op.depth;
    op.ahead = last ? ahead : op.b + op.depth * op.cols;
    op.ahead_tiles = last ? ahead_tiles : kFetchingTiles<T>;
    in_tiles<T, left>(desk, op);
    op.a_step += op.depth;
    op.b += op.depth * op.cols;
    op.c = op.y;
    op.c_step = op.cols;
  }
}

// The product of `rows` rows of A m×k from `row`, of which only entries that are not 0 are
// taken; all rows use a part of B while it is in the first cache. Fields as for a tile.
template <class T, int V>
void product_of_few(const Operation<T>& op, const Batch&) {
  constexpr int64_t some = kMarked / kPanel<T>;  // panels that a word of marks goes through
  constexpr int64_t bw = V * kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  const T *b = op.b, *c = op.c;
  int64_t c_step = op.c_step;
  for (int64_t first = 0; first < op.depth; first += kMarked, b += kMarked * bw) {
    const uint64_t* marks = a.marks + first / kMarked * a.rows + op.row;
    const T* at[some];  // the entry of column `first` of a row, were its panel that wide
    int64_t w[some];
    for (int64_t p = 0; p < some; ++p) {
      w[p] = width(a, least(first / kPanel<T> + p, panels(a) - 1));
      at[p] = at_panel(a, first / kPanel<T> + p) + op.row * w[p] - p * kPanel<T>;
    }
    for (int64_t i = 0; i < op.rows; ++i) {
      vec<T> sum[V];
      KB_UNROLLED for (int v = 0; v < V; ++v)
        sum[v] = c == nullptr ? all<T>(T(0)) : load(c + i * c_step + v * kLanes<T>);
      for (uint64_t there = marks[i]; there != 0; there &= there - 1) {
        const int k = __builtin_ctzll(there);
        const vec<T> x = all<T>(at[k / kPanel<T>][k]);
        const T* line = b + k * bw;
        KB_UNROLLED for (int v = 0; v < V; ++v)
          sum[v] = fma(x, load(line + v * kLanes<T>), sum[v]);
      }
      KB_UNROLLED for (int v = 0; v < V; ++v)
        store(op.y + i * bw + v * kLanes<T>, sum[v]);
      for (int64_t p = 0; p < some; ++p) at[p] += w[p];
    }
    c = op.y;
    c_step = bw;
  }
}

template <class T>
inline void few_in_rows(const Desk<T>& desk, Operation<T> op) {
  switch (op.cols / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: op.run = product_of_few<T, 4>; break;
    case 3: op.run = product_of_few<T, 3>; break;
#endif
    case 2: op.run = product_of_few<T, 2>; break;
    default: op.run = product_of_few<T, 1>;
  }
  perform(desk, op);
}

// C = start + A B, or start + Aᵀ B. Terms of zeros in A are left out where that is quicker:
// in rows, one vector of sums waits for itself.
template <class T, bool TA>
inline void product(const Desk<T>& desk, const Operation<T>& op) {
  const double filled = op.matrix->filled;
  if constexpr (TA) {
    if (filled < 0.35) return part_by_part<T, Left::few_columns>(desk, op);
    if (op.matrix->taken != nullptr) return part_by_part<T, Left::taken_columns>(desk, op);
    part_by_part<T, Left::columns>(desk, op);
  } else {
    if (filled < 0.1 * static_cast<double>(op.cols / kLanes<T>)) return few_in_rows(desk, op);
    if (op.matrix->taken != nullptr) return part_by_part<T, Left::taken_rows>(desk, op);
    part_by_part<T, Left::rows>(desk, op);
  }
}

// ---------------------------------------------------------------- entry by entry

// An argument's vector for entry k on; its step is 0 where it is one vector of the same number,
// else 1.
template <class T>
struct Entries {
  const T* from;
  int64_t step;
  vec<T> operator[](int64_t k) const { return load(from + k * step); }
};
// a b, entry by entry.
template <class T>
struct Products {
  Entries<T> a, b;
  vec<T> operator[](int64_t k) const { return a[k] * b[k]; }
};

// y = f(a, b, c, d) entry by entry, `cols` of them, f the operation `what`.
template <class T, Micro what>
void entry_by_entry(const Operation<T>& op, const Batch&) {
  using V = vec<T>;
  T* const y = op.y;
  const Entries<T> a{op.a, op.a_step}, b{op.b, op.b_step}, c{op.c, op.c_step}, d{op.d, op.d_step};
  const T value = op.value;
  const auto each = [y, n = op.cols](auto f, auto... from) {
    for (int64_t k = 0; k < n; k += kLanes<T>) store(y + k, f(from[k]...));
  };
  const Products<T> product{a, b};
  const V zero = all<T>(T(0)), one = all<T>(T(1)), given = all<T>(value);
  const auto quotient = [=](auto x, auto z, auto f, auto... from) {  // f(x/z, ...)
    if (z.step == 0) {  // by one number: it is inverted once
      const V inverse = one / z[0];
      return each([=](V p, auto... rest) { return f(p * inverse, rest...); }, x, from...);
    }
    return each([=](V p, V q, auto... rest) { return f(p / q, rest...); }, x, z, from...);
  };
  switch (what) {
    case Micro::copy: return each([](V x) { return x; }, a);
    case Micro::add: return each([](V x, V z) { return x + z; }, a, b);
    case Micro::subtract: return each([](V x, V z) { return x - z; }, a, b);
    case Micro::multiply: return each([](V x, V z) { return x * z; }, a, b);
    case Micro::divide: return quotient(a, b, [](V x) { return x; });
    case Micro::maximum:  // NaN of either argument stays
      return each([](V x, V z) { return select(x != x, x, select(x > z, x, z)); }, a, b);
    case Micro::minimum:
      return each([](V x, V z) { return select(x != x, x, select(x < z, x, z)); }, a, b);
    case Micro::negate: return each([](V x) { return -x; }, a);
    case Micro::exp: return each([](V x) { return exp(x); }, a);
    case Micro::expm1: return each([](V x) { return expm1(x); }, a);
    case Micro::log: return each([](V x) { return log(x); }, a);
    case Micro::sqrt: return each([](V x) { return sqrt(x); }, a);
    case Micro::abs: return each([](V x) { return abs(x); }, a);
    case Micro::sign:
      return each([=](V x) { return select(x > zero, one, select(x < zero, -one, x)); }, a);
    case Micro::step:
      return each([=](V x) {
        return select(x > zero, one, select(x == zero, given, zero));
      }, a);
    case Micro::relu:
      return each([](V x) { return relu<T>(x); }, a);
    case Micro::sin: return each([](V x) { return sin(x); }, a);
    case Micro::cos: return each([](V x) { return cos(x); }, a);
    case Micro::sigmoid: return each([](V x) { return sigmoid(x); }, a);
    case Micro::tanh: return each([](V x) { return tanh(x); }, a);
    case Micro::softplus: return each([](V x) { return softplus(x); }, a);
    case Micro::erf: return each([](V x) { return erf(x); }, a);
    case Micro::square: return each([](V x) { return x * x; }, a);
    case Micro::power:
      if (value == T(-1)) return each([=](V x) { return one / x; }, a);
      return each([=](V x) { return pow(x, value); }, a);
    case Micro::multiply_add:
      return each([](V x, V z, V t) { return fma(x, z, t); }, a, b, c);
    case Micro::multiply_subtract:
      return each([](V x, V z, V t) { return fma(x, z, -t); }, a, b, c);
    case Micro::subtract_multiple:
      return each([](V x, V z, V t) { return fma(-x, z, t); }, a, b, c);
    case Micro::multiply_square:
      return each([](V x, V z) { return x * x * z; }, a, b);
    case Micro::multiply_square_add:
      return each([](V x, V z, V t) { return fma(x * x, z, t); }, a, b, c);
    case Micro::add_products:
      return each([](V x, V z, V t, V u) { return fma(t, u, x * z); }, a, b, c, d);
    case Micro::add_product_of_square:
      return each([](V x, V z, V t, V u) { return fma(t, u, x * x * z); }, a, b, c, d);
    case Micro::root_add: return each([](V x, V z) { return sqrt(x) + z; }, a, b);
    case Micro::part: return quotient(product, c, [](V x) { return x; });
    case Micro::add_part: return quotient(product, c, [](V x, V z) { return x + z; }, d);
    case Micro::subtract_part: return quotient(product, c, [](V x, V z) { return z - x; }, d);
    case Micro::multiply_step:
      if (value == T(0))
        return each([](V x, V z) { return times_step<T>(x, z); }, a, b);
      return each([=](V x, V z) {
        return z * select(x > zero, one, select(x == zero, given, zero));
      }, a, b);
    case Micro::row_max:
    case Micro::row_sum:
    case Micro::row_sum_of_squares:
    case Micro::count: return;
  }
}
template <class T>
constexpr void (*kEntries[])(const Operation<T>&, const Batch&) = {
#define KB_ENTRY(name, arity, row) entry_by_entry<T, Micro::name>,
    KB_MICRO(KB_ENTRY)
#undef KB_ENTRY
};

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

// A block of lanes × lanes entries, of which `many` rows are there, at `row`(i), transposed in
// registers; rows first to last of the result are stored. After the pass of `half`, vectors i
// and i + half have exchanged their off-diagonal blocks.
template <class T, class Row>
inline void transpose_rows(Row row, int64_t many, T* to, int64_t to_step, int64_t first,
                           int64_t last) {
  constexpr int n = kLanes<T>;
  vec<T> rows[n];
  KB_UNROLLED for (int i = 0; i < n; ++i) rows[i] = i < many ? load(row(i)) : all<T>(T(0));
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

template <class T>
inline void transpose_block(const T* from, int64_t from_step, int64_t many, T* to,
                            int64_t to_step, int64_t first, int64_t last) {
  transpose_rows([=](int64_t i) { return from + i * from_step; }, many, to, to_step, first, last);
}

// Panel `row` of Bᵀ, for B n×k: its k rows, `cols` wide.
template <class T>
void pack_transposed(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  const Matrix<T>& b = *op.matrix;
  const int64_t w = op.cols;
  for (int64_t i = 0; i < b.cols; i += n)
    for (int64_t j = 0; j < w; j += n) {
      const int64_t row = op.row * kPanel<T> + j, from_step = width(b, i / kPanel<T>);
      const T* const from = place_of(b, row, i);
      T* const to = op.y + i * w + j;
      const int64_t many = least(n, b.rows - row), last = least(n, b.cols - i);
      if (many == n && last == n) transpose_block<T>(from, from_step, n, to, w, 0, n);
      else transpose_block<T>(from, from_step, many, to, w, 0, last);
    }
}

// ---------------------------------------------------------------- programs

// A part of a frame that goes through a program together: panels `first` to `last`, `rows`
// rows from `row`; `begin` is the first that the panels are gone through for. Registers hold
// `most` rows of every panel.
struct Chunk {
  int64_t first, last, row, rows, most, begin;
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

// A number, repeated in a vector: of a 1×1 matrix a, or `value` where a is null.
template <class T>
void spread_number(const Operation<T>& op, const Batch&) {
  store(op.y, all<T>(op.a != nullptr ? op.a[0] : op.value));
}

// A row a, `cols` wide, repeated in `rows` rows.
template <class T>
void spread_row(const Operation<T>& op, const Batch&) {
  for (int64_t k = 0; k < op.cols; k += kLanes<T>) {
    const vec<T> x = load(op.a + k);
    for (int64_t i = 0; i < op.rows; ++i) store(op.y + i * op.cols + k, x);
  }
}

// A number for each of `rows` rows, a_step apart, repeated in rows `cols` wide.
template <class T>
void spread_column(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; ++i, y += op.cols) {
    const vec<T> x = all<T>(op.a[i * op.a_step]);
    for (int64_t k = 0; k < op.cols; k += kLanes<T>) store(y + k, x);
  }
}

// `rows` numbers, from and to steps of a_step and b_step.
template <class T>
void move_numbers(const Operation<T>& op, const Batch&) {
  for (int64_t i = 0; i < op.rows; ++i) op.y[i * op.b_step] = op.a[i * op.a_step];
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

template <class T, Micro what>
inline vec<T> together(vec<T> x, vec<T> y) {
  if constexpr (what == Micro::row_max) return larger<T>(x, y);
  else return x + y;
}

// What a row's number begins with, which changes nothing.
template <class T, Micro what>
inline vec<T> of_none() {
  return all<T>(what == Micro::row_max ? -T(INFINITY) : T(0));
}

// What a row's number goes on to, given one more of the row's entries.
template <class T, Micro what>
inline vec<T> with_entry(vec<T> found, vec<T> x) {
  if constexpr (what == Micro::row_sum_of_squares) return fma(x, x, found);
  else return together<T, what>(found, x);
}

// y, a number for each of `rows` rows, from those of X, which has `cols` columns: its panels
// lie a_step apart at a, and `row` rows of each come before. What lies beyond the columns is
// replaced by a number that changes nothing.
template <class T, Micro what>
void each_row(const Operation<T>& op, const Batch&) {
  const vec<T> none = of_none<T, what>();
  const int64_t many = kLayout<T>.panels(op.cols);
  auto block = [&](int64_t i, auto row) {
    vec<T> found[kLanes<T>];
    KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j) found[j] = none;
    for (int64_t p = 0; p < many; ++p) {
      const int64_t w = kLayout<T>.width(op.cols, p), valid = least(op.cols - p * kPanel<T>, w);
      const T* from = op.a + p * op.a_step + (op.row + i) * w;
      int64_t k = 0;
      for (; k + kLanes<T> <= valid; k += kLanes<T>)
        KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j)
          found[j] = with_entry<T, what>(found[j], load(from + row(j) * w + k));
      if (k == valid) continue;
      const auto inside = loaded<T>(kTables<T>.inside + kLanes<T> - (valid - k));
      KB_UNROLLED for (int j = 0; j < kLanes<T>; ++j)
        found[j] = with_entry<T, what>(found[j], select(inside, load(from + row(j) * w + k), none));
    }
    store(op.y + i, across<T>(found, together<T, what>));
  };
  int64_t i = 0;
  for (; i + kLanes<T> <= op.rows; i += kLanes<T>) block(i, [](int64_t j) { return j; });
  const int64_t last = op.rows - 1 - i;  // rows beyond it are read as this one
  if (last >= 0) block(i, [=](int64_t j) { return least(j, last); });
}

// ---------------------------------------------------------------- programs, turned

// Where rows are taken together and have no more columns than a vector has lanes, registers
// hold vectors of a column each: of each `lanes` rows first their first column, then their
// second, and so on. Rows are then taken together without a shuffle, and no lane is idle.

// `rows` rows of a panel, lanes apart, as a register of `cols` columns holds them.
template <class T>
void turn_in(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < op.rows; i += n)
    transpose_block<T>(op.a + i * n, n, least(n, op.rows - i), op.y + i * op.cols, n, 0, op.cols);
}

// The same from rows of the data, where `matrix` says that they are read.
template <class T>
void turn_taken(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  T last[n] = {};
  for (int64_t i = 0; i < op.rows; i += n) {
    auto row = [&](int64_t k) {
      const T* from = a.taken[op.row + i + k];
      if (from + n <= a.taken_end) return from;  // what is read beyond the row counts nothing
      memcpy(last, from, sizeof(T) * static_cast<size_t>(a.cols));
      return static_cast<const T*>(last);
    };
    transpose_rows(row, least(n, op.rows - i), op.y + i * op.cols, n, 0, op.cols);
  }
}

// And back.
template <class T>
void turn_out(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  for (int64_t i = 0; i < op.rows; i += n)
    transpose_block<T>(op.a + i * op.cols, n, op.cols, op.y + i * n, n, 0, least(n, op.rows - i));
}

// Each number of a row a, repeated in a column of `rows` rows.
template <class T>
void turn_row(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>)
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, all<T>(op.a[j]));
}

// A number for each of `rows` rows, repeated in `cols` columns.
template <class T>
void turn_numbers(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    const vec<T> x = load(op.a + i);
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, x);
  }
}

// The same for an m×1 operand, whose numbers are lanes apart.
template <class T>
void turn_column(const Operation<T>& op, const Batch&) {
  T* y = op.y;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    vec<T> x{};
    for (int64_t j = 0; j < least(kLanes<T>, op.rows - i); ++j) x[j] = op.a[(i + j) * kLanes<T>];
    for (int64_t j = 0; j < op.cols; ++j, y += kLanes<T>) store(y, x);
  }
}

// y, a number for each of `rows` rows, from the `cols` columns of a register.
template <class T, Micro what>
void each_turned_row(const Operation<T>& op, const Batch&) {
  const T* from = op.a;
  for (int64_t i = 0; i < op.rows; i += kLanes<T>) {
    vec<T> found = of_none<T, what>();
    for (int64_t j = 0; j < op.cols; ++j, from += kLanes<T>)
      found = with_entry<T, what>(found, load(from));
    store(op.y + i, found);
  }
}

// ---------------------------------------------------------------- programs as operations

// A call under way on a part of its frame.
template <class T>
struct Work {
  const Call<T>& call;
  const Desk<T>& desk;
  Chunk chunk;

  using Function = void (*)(const Operation<T>&, const Batch&);

  T* scratch() const { return desk.scratch; }
  int64_t cols() const { return call.frame.cols; }
  bool stored(const Where<T>& x) const { return x.data != nullptr; }

  // Does the operation `run` on rows of the chunk.
  void perform(Function run, T* y, const T* a, int64_t a_step, int64_t columns) const {
    Operation<T> op;
    op.run = run;
    op.y = y;
    op.a = a;
    op.a_step = a_step;
    op.rows = chunk.rows;
    op.cols = columns;
    KB_ISA::perform(desk, op);
  }

  // An argument of a step over the entries of panel p.
  Entries<T> wide(const Where<T>& x, int64_t p, int64_t w) const {
    switch (x.place) {
      case Place::temporary:
      case Place::full: return {begin_of(x, scratch(), p, w, chunk), 1};
      case Place::row: return {in_scratch(scratch(), x.spread, p, chunk), 1};
      case Place::scalar:
      case Place::number: return {scratch() + x.spread, 0};
      case Place::tall:
      case Place::column: break;
    }
    T* to = in_scratch(scratch(), x.spread, p, chunk);
    const bool tall = x.place == Place::tall;
    const T* from = tall ? scratch() + x.at : x.data + chunk.row * kLanes<T>;
    perform(spread_column<T>, to, from, tall ? 1 : kLanes<T>, w);
    return {to, 1};
  }

  // An argument of a turned step.
  Entries<T> turned(const Where<T>& x) const {
    T* to = scratch() + x.spread;
    const T* from = x.data + chunk.row * kLanes<T>;
    switch (x.place) {
      case Place::temporary: return {scratch() + x.at, 1};
      case Place::row: return {to, 1};
      case Place::scalar:
      case Place::number: return {to, 0};
      case Place::full: perform(turn_in<T>, to, from, 0, cols()); break;
      case Place::tall: perform(turn_numbers<T>, to, scratch() + x.at, 0, cols()); break;
      case Place::column: perform(turn_column<T>, to, from, 0, cols()); break;
    }
    return {to, 1};
  }

  // An argument of a step over numbers for each row, which registers hold side by side.
  Entries<T> tall(const Where<T>& x) const {
    if (x.place == Place::scalar || x.place == Place::number) return {scratch() + x.spread, 0};
    if (x.place == Place::tall) return {scratch() + x.at, 1};
    T* to = scratch() + x.spread;
    move(to, 1, x.data + chunk.row * kLanes<T>, kLanes<T>);
    return {to, 1};
  }

  void move(T* to, int64_t to_step, const T* from, int64_t from_step) const {
    Operation<T> op;
    op.run = move_numbers<T>;
    op.y = to;
    op.b_step = to_step;
    op.a = from;
    op.a_step = from_step;
    op.rows = chunk.rows;
    KB_ISA::perform(desk, op);
  }

  // A step over n entries; `of` gives its arguments.
  template <class F>
  void entries(const ReadyStep<T>& step, T* y, int64_t n, F of) const {
    Operation<T> op;
    const T** const from[] = {&op.a, &op.b, &op.c, &op.d};
    int64_t* const steps[] = {&op.a_step, &op.b_step, &op.c_step, &op.d_step};
    for (int k = 0; k < step.arity; ++k) {
      const Entries<T> x = of(step.args[k]);
      *from[k] = x.from;
      *steps[k] = x.step;
    }
    op.run = kEntries<T>[static_cast<int>(step.micro)];
    op.y = y;
    op.cols = n;
    op.value = step.value;
    KB_ISA::perform(desk, op);
  }

  void wide_step(const ReadyStep<T>& step) const {
    for (int64_t p = chunk.first; p < chunk.last; ++p) {
      const int64_t w = width(call.frame, p);
      entries(step, begin_of(step.to, scratch(), p, w, chunk), chunk.rows * w,
              [&](const Where<T>& x) { return wide(x, p, w); });
    }
  }

  void turned_step(const ReadyStep<T>& step) const {
    constexpr int64_t n = kLanes<T>;
    T* y = scratch() + (stored(step.to) ? step.to.spread : step.to.at);
    entries(step, y, (chunk.rows + n - 1) / n * n * cols(),
            [&](const Where<T>& x) { return turned(x); });
    if (stored(step.to)) perform(turn_out<T>, step.to.data + chunk.row * n, y, 0, cols());
  }

  // A number for each row of X.
  template <Micro what>
  void row_step(const Where<T>& x, T* y) const {
    if (call.turned) return perform(each_turned_row<T, what>, y, turned(x).from, 0, cols());
    Operation<T> op;
    op.run = each_row<T, what>;
    op.y = y;
    op.a = stored(x) ? x.data : scratch() + x.at;
    op.a_step = kPanel<T> * (stored(x) ? x.rows : chunk.most);
    op.row = stored(x) ? chunk.row : 0;
    op.rows = chunk.rows;
    op.cols = cols();
    KB_ISA::perform(desk, op);
  }

  void tall_step(const ReadyStep<T>& step) const {
    T* y = scratch() + (stored(step.to) ? step.to.spread : step.to.at);
    if (step.micro == Micro::row_sum) row_step<Micro::row_sum>(step.args[0], y);
    else if (step.micro == Micro::row_max) row_step<Micro::row_max>(step.args[0], y);
    else if (step.micro == Micro::row_sum_of_squares)
      row_step<Micro::row_sum_of_squares>(step.args[0], y);
    else entries(step, y, chunk.rows, [&](const Where<T>& x) { return tall(x); });
    if (stored(step.to)) move(step.to.data + chunk.row * kLanes<T>, kLanes<T>, y, 1);
  }

  // All steps over the chunk, whose entries stay in the first cache.
  void steps() const {
    for (const ReadyStep<T>& step : call.steps) {
      if (step.tall) tall_step(step);
      else if (call.turned) turned_step(step);
      else wide_step(step);
    }
  }
};

// y 1×w: the rows of panel `row` of A added, four sums taking turns.
template <class T>
void add_rows(const Operation<T>& op, const Batch&) {
  const Matrix<T>& a = *op.matrix;
  const int64_t w = width(a, op.row);
  for (int64_t k = 0; k < w; k += kLanes<T>) {
    vec<T> sum[4] = {all<T>(T(0)), all<T>(T(0)), all<T>(T(0)), all<T>(T(0))};
    const T* from = at_panel(a, op.row) + k;
    int64_t i = 0;
    for (; i + 4 <= a.rows; i += 4)
      KB_UNROLLED for (int j = 0; j < 4; ++j) sum[j] += load(from + (i + j) * w);
    for (; i < a.rows; ++i) sum[0] += load(from + i * w);
    store(op.y + k, (sum[0] + sum[1]) + (sum[2] + sum[3]));
  }
}

// A vector of the sum of A's entries, four sums taking turns.
template <class T>
void add_all(const Operation<T>& op, const Batch&) {
  const Matrix<T>& a = *op.matrix;
  const vec<T> zero = all<T>(T(0));
  vec<T> sum[4] = {zero, zero, zero, zero};
  for (int64_t p = 0; p < panels(a); ++p) {
    const int64_t w = width(a, p), valid = least(a.cols - p * kPanel<T>, w);
    for (int64_t k = 0; k < w; k += kLanes<T>) {
      const auto inside = loaded<T>(kTables<T>.inside + kLanes<T> - least(valid - k, kLanes<T>));
      const T* from = at_panel(a, p) + k;
      int64_t i = 0;
      for (; i + 4 <= a.rows; i += 4)
        KB_UNROLLED for (int j = 0; j < 4; ++j)
          sum[j] += select(inside, load(from + (i + j) * w), zero);
      for (; i < a.rows; ++i) sum[0] += select(inside, load(from + i * w), zero);
    }
  }
  store(op.y, all<T>(added<T>((sum[0] + sum[1]) + (sum[2] + sum[3]))));
}

// The product or sum of a chunk, in panel q.
template <class T, Code code>
inline void feed(const Work<T>& work, int64_t q) {
  const Call<T>& call = work.call;
  const int64_t w = width(call.frame, q);
  const bool turns = call.turned && call.fed.data == nullptr;
  Operation<T> op;
  const Where<T>& to = call.first == nullptr ? call.fed : call.first->to;
  op.y = turns ? work.scratch() + call.fed.spread : begin_of(to, work.scratch(), q, w, work.chunk);
  op.matrix = &call.operands[0];
  op.cols = w;
  if constexpr (code == Code::sum_rows || code == Code::sum_all) {
    op.run = code == Code::sum_rows ? add_rows<T> : add_all<T>;
    op.row = q;
    perform(work.desk, op);
  } else {
    const Matrix<T>& b = call.operands[1];
    constexpr bool packed = code == Code::matmul_tb;
    op.b = packed ? work.scratch() + call.packed : at_panel(b, q);
    op.depth = packed ? b.cols : b.rows;
    op.row = work.chunk.row;
    op.rows = work.chunk.rows;
    if (call.start != nullptr) {
      op.c_step = call.start_each_row ? w : 0;
      op.c = at_panel(*call.start, q) + work.chunk.row * op.c_step;
    }
    if (call.first != nullptr) {
      const ReadyStep<T>& first = *call.first;
      op.micro = first.micro;
      for (int k = 0; k < first.arity; ++k) {
        const Where<T>& x = first.args[k];
        if (x.place == Place::full) op.a = work.wide(x, q, w).from;
        if (x.place == Place::scalar || x.place == Place::number) op.d = work.wide(x, q, w).from;
      }
    }
    const int64_t tiles = (work.chunk.row - work.chunk.begin) / kRows;  // before, at least
    if (!packed && is_long<T>(op.depth, w) && tiles < kFetchingTiles<T> && q + 1 < panels(b)) {
      op.ahead = at_panel(b, q + 1) + tiles * op.depth * kFetched<T>;
      op.ahead_tiles = kFetchingTiles<T> - tiles;
    }
    product<T, code == Code::matmul_ta>(work.desk, op);
  }
  if (turns) work.perform(turn_in<T>, work.scratch() + call.fed.at,
                          work.scratch() + call.fed.spread, 0, work.cols());
}

// The numbers that a program takes, each repeated in a vector.
template <class T>
void spread_numbers(const Call<T>& call, const Desk<T>& desk) {
  for (const Where<T>& x : call.numbers) {
    Operation<T> op;
    op.run = spread_number<T>;
    op.y = desk.scratch + x.spread;
    op.a = x.data;
    op.value = x.number;
    perform(desk, op);
  }
}

// Panels `first` to `last` of rows lo to hi.
template <class T, Code code>
void panels_of(const Call<T>& call, const Desk<T>& desk, int64_t first, int64_t last, int64_t lo,
               int64_t hi) {
  T* const scratch = desk.scratch;
  const int64_t step = call.whole ? last - first : 1;
  const Where<T>& fed = call.first == nullptr ? call.fed : call.first->to;
  const bool direct = code != Code::entries && call.steps.many == 0 && fed.data != nullptr;
  for (int64_t p = first; p < last; p += step) {
    Work<T> work{call, desk, {p, p + step, lo, 0, 0, lo}};
    Chunk& chunk = work.chunk;
    int64_t wide = 0;
    for (int64_t q = chunk.first; q < chunk.last; ++q) wide += width(call.frame, q);
    chunk.most = hi - lo;
    if (!direct && chunk.most * wide > call.tall) {  // it passes through registers
      const int64_t fit = call.tall / wide, parts = (hi - lo + fit - 1) / fit;
      chunk.most = (hi - lo + parts - 1) / parts;  // as even as can be
      if (call.turned) chunk.most = (chunk.most + kLanes<T> - 1) / kLanes<T> * kLanes<T>;
    }
    chunk.rows = chunk.most;
    for (const Where<T>& x : call.rows)
      if (call.turned) work.perform(turn_row<T>, scratch + x.spread, x.data, 0, work.cols());
      else
        for (int64_t q = chunk.first; q < chunk.last; ++q)
          work.perform(spread_row<T>, in_scratch(scratch, x.spread, q, chunk),
                       x.data + q * kPanel<T>, 0, width(call.frame, q));
    if constexpr (code == Code::matmul_tb) {
      Operation<T> op;
      op.run = pack_transposed<T>;
      op.y = scratch + call.packed;
      op.matrix = &call.operands[1];
      op.row = p;
      op.cols = width(call.frame, p);
      perform(desk, op);
    }
    for (; chunk.row < hi; chunk.row += chunk.rows) {
      chunk.rows = least(chunk.most, hi - chunk.row);
      for (const Where<T>& x : call.turns) {
        Operation<T> op;
        op.run = x.matrix->taken != nullptr ? turn_taken<T> : turn_in<T>;
        op.y = scratch + x.at;
        op.a = x.data + chunk.row * kLanes<T>;
        op.matrix = x.matrix;
        op.row = chunk.row;
        op.rows = chunk.rows;
        op.cols = work.cols();
        perform(desk, op);
      }
      if constexpr (code != Code::entries)
        for (int64_t q = chunk.first; q < chunk.last; ++q) feed<T, code>(work, q);
      work.steps();
    }
  }
}

// Lets a product or sum flow into the instruction's program, chunk by chunk of its frame
// m×n: by panels and some rows, or by whole rows. Operands: see instruction.h.
template <class T, Code code>
void program(const Call<T>& call, const Desk<T>& desk, int64_t lo, int64_t hi) {
  spread_numbers(call, desk);
  if (call.blocks > 0) {
    for (int64_t at = lo, next; at < hi; at = next) {
      const int64_t p = at / call.blocks, begin = p * call.blocks;
      next = least(hi, begin + call.blocks);
      panels_of<T, code>(call, desk, p, p + 1, (at - begin) * call.frame.rows / call.blocks,
                         (next - begin) * call.frame.rows / call.blocks);
    }
    return;
  }
  // Of Xᵀ Δ some rows take all panels of Δ, while their columns of X are in the cache.
  const int64_t some = code == Code::matmul_ta && !call.whole ? kLayout<T>.together() : hi;
  for (int64_t from = lo, to; from < hi; from = to) {
    to = least(hi, (from / some + 1) * some);
    panels_of<T, code>(call, desk, 0, panels(call.frame), from, to);
  }
}

template <class T>
void transposed_panels(const Call<T>& call, const Desk<T>& desk, int64_t first, int64_t last,
                       int64_t lo, int64_t hi) {
  spread_numbers(call, desk);
  panels_of<T, Code::matmul_tb>(call, desk, first, last, lo, hi);
}

// ---------------------------------------------------------------- moving entries

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

// Row i of C is row order[i] of the row-major data, C.cols wide; where rows are read in place, C
// says where it begins. Unless rows were fetched before by others, that of row i + `ahead` is
// fetched meanwhile.
template <class T, bool fetched>
void take(const Operation<T>& op, const Batch& batch) {
  const Call<T>& call = *op.call;
  const Matrix<T>& c = call.results[0];
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
  const int64_t bytes = call.results[0].cols * static_cast<int64_t>(sizeof(T));
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

template <class T>
constexpr Kernels<T> kKernels{
    kLayout<T>,
    {program<T, Code::entries>, program<T, Code::matmul>, program<T, Code::matmul_ta>,
     program<T, Code::matmul_tb>, program<T, Code::sum_rows>, program<T, Code::sum_all>,
     moving<T, transpose<T>>, moving<T, slice<T>>, moving<T, place<T>>, taking<T>,
     moving<T, mask<T>>},
    transposed_panels<T>,
    pack<T>,
    unpack<T>,
    take<T, false>,
    take<T, true>,
    fetch<T>};

extern const Kernels<float> kernels32;
extern const Kernels<double> kernels64;
const Kernels<float> kernels32 = kKernels<float>;
const Kernels<double> kernels64 = kKernels<double>;

}  // namespace kb::KB_ISA
