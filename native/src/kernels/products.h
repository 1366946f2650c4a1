// Matrix products, in tiles whose sums stay in registers.
#pragma once
#include "entries.h"
#include "shuffles.h"

namespace kb::KB_ISA {

template <class T>
constexpr int64_t kLine = 64 / static_cast<int64_t>(sizeof(T));  // numbers in a cache line
// A tile that goes through a long part of B, more than kLong bytes, fetches meanwhile what comes
// next, a line of B with every two rows, and little by little what the next tile takes of A and its
// own rows of C: faster it would wait for lines that it needs itself. So many tiles fetch a panel.
// Of samples in the rows of A it fetches that of so many later.
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

// A number that the compiler knows.
template <int64_t number>
struct Constant {
  constexpr operator int64_t() const { return number; }
};

// Rows of a tile of V vectors: as many accumulators as there are registers for.
constexpr int kMostTileRows = 12;
constexpr int tile_rows(int vectors) {
  int fit = kRows * kVectors / vectors;
  return fit < kMostTileRows ? fit : kMostTileRows;
}

// How a product reads its left factor A: m×k or, stored as k×m, Aᵀ; or rows of the data where
// they lie, as the batch's order has them; or of marked rows what is not 0.
enum class Left { rows, columns, taken_rows, taken_columns, few_columns };

// A tile's sums go through the step `micro`, if it is one of these, and to y, or so many numbers
// after it. It may take a, a matrix of C's shape from the tile's first row on, and d, a vector of
// one number.
template <class T, int R, int V, Left left>
inline void finish(const Operation<T>& op, vec<T> (&sum)[R][V], int64_t after = 0) {
  T* const y = op.y + after;
  const T* const a = op.a + after;
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
// what lies from `ahead` on (null: nothing) and R rows of A (columns, where Aᵀ is stored) from
// next_row on, next_panel panels later, into the second cache, and its rows of C to write them.
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
  // in its first half, since lines take their time; then those of the next tile
  const int64_t own_step = 4 * R * bw * static_cast<int64_t>(sizeof(T)) / (op.depth + 1) + 1;
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
      const T* coming = at_panel(a, p + op.next_panel) + op.next_row * w;  // w·R in a row
      each(many, [&](int64_t k) KB_INLINED { __builtin_prefetch(coming + R * k, 0, 2); },
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
    auto fetch = [&](int64_t k) KB_INLINED {
      __builtin_prefetch(sample(least(k + kSamplesAhead, op.depth - 1)), 0, 3);
      __builtin_prefetch(from[k] + op.next_row, 0, 2);
    };
    each(op.depth, fetch, [&](int64_t k) { return [x = sample(k)](int i) { return x[i]; }; });
  } else {
    auto from_row = [&](int64_t row, int64_t w) {
      const int64_t p = row / kPanel<T>;
      return at_panel(a, p) + op.a_step * w + (row - p * kPanel<T>);
    };
    const int64_t w = width(a, op.row / kPanel<T>), next_w = width(a, op.next_row / kPanel<T>);
    const T *from = from_row(op.row, w), *coming = from_row(op.next_row, next_w);
    auto fetch = [&](int64_t k) KB_INLINED {
      __builtin_prefetch(from + (k + kSamplesAhead) * w, 0, 3);
      __builtin_prefetch(coming + k * next_w, 0, 2);
    };
    each(op.depth, fetch, [&](int64_t k) { return [x = from + k * w](int i) { return x[i]; }; });
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

// Where B is one vector wide, and few of its columns are there, tiles of C are turned: C columns of
// B by V vectors of columns of A, so that no lane is idle. The same sums in the same order.
// Turning back costs something: with more columns of B, or fewer rows, more than is saved.
constexpr int kMostTurned = kRows * kVectors;  // accumulators
template <class T>
constexpr int kTurned = kLanes<T> * 3 / 4;  // columns of B
template <class T>
constexpr int kLeastTurned = 2 * kLanes<T>;  // rows

// Sums of such a tile, those of a column of B in `vectors` vectors, from C's start,
template <class T>
[[gnu::noinline]] void begin_turned(const Operation<T>& op, T* sums, int columns, int vectors) {
  constexpr int n = kLanes<T>;
  for (int v = 0; v < vectors; ++v)
    transpose_rows<T>([&](int64_t i) { return op.c + (v * n + i) * op.c_step; }, n, sums + v * n,
                      vectors * n, 0, columns);
}

// and to C.
template <class T, Left left>
[[gnu::noinline]] void finish_turned(const Operation<T>& op, const T* sums, int columns,
                                     int vectors) {
  constexpr int n = kLanes<T>;
  for (int v = 0; v < vectors; ++v) {
    vec<T> block[n], rows[n][1];
    KB_UNROLLED for (int j = 0; j < n; ++j)
      block[j] = j < columns ? load(sums + (j * vectors + v) * n) : all<T>(T(0));
    turn<T>(block);
    KB_UNROLLED for (int i = 0; i < n; ++i) rows[i][0] = block[i];
    finish<T, n, 1, left>(op, rows, v * n * n);
  }
}

// Fields as for a tile; its rows are V vectors of columns of A, all of them there.
template <class T, int C, int V, Left left>
void turned_tile(const Operation<T>& op, const Batch&) {
  constexpr int n = kLanes<T>;
  const Matrix<T>& a = *op.matrix;
  T sums[C * V * n];
  vec<T> sum[C][V];
  if (op.c != nullptr) begin_turned<T>(op, sums, C, V);
  KB_UNROLLED for (int j = 0; j < C; ++j)
    KB_UNROLLED for (int v = 0; v < V; ++v)
      sum[j][v] = op.c != nullptr ? load(sums + (j * V + v) * n) : all<T>(T(0));
  const T* b = op.b;
  auto each = [&](auto sample) KB_INLINED {
    for (int64_t k = 0; k < op.depth; ++k, b += n) {
      const T *x = sample(k), *later = sample(least(k + kSamplesAhead, op.depth - 1));
      vec<T> line[V];
      KB_UNROLLED for (int v = 0; v < V; ++v) line[v] = load(x + v * n);
      KB_UNROLLED for (int v = 0; v < V * n; v += kLine<T>) __builtin_prefetch(later + v, 0, 3);
      KB_UNROLLED for (int j = 0; j < C; ++j)
        KB_UNROLLED for (int v = 0; v < V; ++v) sum[j][v] = fma(all<T>(b[j]), line[v], sum[j][v]);
    }
  };
  if constexpr (left == Left::taken_columns) {
    const T* const* const from = a.taken + op.a_step;
    each([from, row = op.row](int64_t k) { return from[k] + row; });
  } else {
    const int64_t p = op.row / kPanel<T>, w = width(a, p);
    const T* const from = at_panel(a, p) + op.a_step * w + (op.row - p * kPanel<T>);
    each([from, w](int64_t k) { return from + k * w; });
  }
  KB_UNROLLED for (int j = 0; j < C; ++j)
    KB_UNROLLED for (int v = 0; v < V; ++v) store(sums + (j * V + v) * n, sum[j][v]);
  finish_turned<T, left>(op, sums, C, V);
}

// Those for one column of B, and for even numbers of them, by half of these.
template <class T, int V, Left left>
struct TurnedTiles {
  static constexpr int fit = kMostTurned / V < kTurned<T> ? kMostTurned / V : kTurned<T>;
  void (*of[fit / 2 + 1])(const Operation<T>&, const Batch&) = {};
  template <int half>
  constexpr void fill() {
    of[half] = turned_tile<T, half == 0 ? 1 : 2 * half, V, left>;
    if constexpr (half > 0) fill<half - 1>();
  }
  constexpr TurnedTiles() { fill<fit / 2>(); }
};
template <class T, int V, Left left>
constexpr TurnedTiles<T, V, left> kTurnedTiles{};

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

// Goes on to the rows of C after the first `tall`.
template <class T>
inline void skip(Operation<T>& op, int64_t tall) {
  op.y += tall * op.cols;
  op.a += op.a == nullptr ? 0 : tall * op.cols;
  op.c += op.c == nullptr ? 0 : tall * op.c_step;
  op.row += tall;
  op.rows -= tall;
}

// A product, or what is left of it, and what its tiles fetch. Before `next_b`, a panel or a part of
// one (null: nothing), B is taken for `beyond` more rows than these; the last tiles fetch it, so
// that it is still there. Of A read as rows each tile fetches those after its own, the last one
// those from row `after` on, `after_panel` panels later; of A read as columns those so many columns
// `further`. Where a step is done on sums, those of a part of a deep product go to `sums`.
template <class T>
struct Product : Operation<T> {
  const T* next_b = nullptr;
  T* sums = nullptr;
  int64_t beyond = 0, after = 0, after_panel = 0, further = 0;
};

// Does its first `tall` rows, by a tile of `most` rows at most.
template <class T, Left kind>
inline void first_rows(const Desk<T>& desk, Product<T>& op, int64_t tall, int64_t most) {
  const bool last = tall == op.rows;
  const int64_t tiles = (op.rows + op.beyond + most - 1) / most;
  op.ahead = nullptr;
  if (op.next_b != nullptr && tiles <= kFetchingTiles<T>)
    op.ahead = op.next_b + (kFetchingTiles<T> - tiles) * op.depth * kFetched<T>;
  int64_t next = op.row + tall;
  if (kind == Left::rows || kind == Left::taken_rows) next = last ? op.after : next;
  else next = op.row + (op.row + op.further < op.matrix->cols ? op.further : 0);
  op.next_row = static_cast<int32_t>(next);
  op.next_panel = static_cast<int32_t>(last ? op.after_panel : 0);
  perform<T>(desk, op);
  skip(op, tall);
}

// `rows` rows of one panel of C from `row`, in tiles of nearly the same height.
template <class T, int V, Left kind>
inline void rows_of_panel(const Desk<T>& desk, Product<T> op) {
  const auto* const of = is_long<T>(op.depth, op.cols) ? kTiles<T, V, kind, true>.of
                                                       : kTiles<T, V, kind, false>.of;
  while (op.rows > 0) {
    int64_t left = op.rows;
    if (kind == Left::columns || kind == Left::few_columns)  // a tile reads one panel of A
      left = least(left, kPanel<T> - op.row % kPanel<T>);
    for (int64_t tiles = (left + tile_rows(V) - 1) / tile_rows(V); tiles > 0; --tiles) {
      int64_t tall = (left + tiles - 1) / tiles;
      op.run = of[tall - 1];
      first_rows<T, kind>(desk, op, tall, tile_rows(V));
      left -= tall;
    }
  }
}

// The same of a panel one vector wide, of which b_step columns are there: rows of C by turned
// tiles, as many vectors at once as can be, and what is left of them.
template <class T, Left kind>
inline void rows_of_narrow_panel(const Desk<T>& desk, Product<T> op) {
  if constexpr (kind == Left::columns || kind == Left::taken_columns) {
    const int64_t half = (op.b_step + 1) / 2 * (op.b_step > 1);
    const bool worth = op.b_step <= kTurned<T> && op.depth >= kLeastTurned<T>;
    while (worth && op.rows >= kLanes<T>) {
      int64_t rows = op.rows;
      if (kind == Left::columns) rows = least(rows, kPanel<T> - op.row % kPanel<T>);
      auto turned = [&](auto vectors) {
        const auto& tiles = kTurnedTiles<T, vectors, kind>;
        if (vectors * kLanes<T> > rows || half > tiles.fit / 2) return false;
        op.run = tiles.of[half];
        first_rows<T, kind>(desk, op, vectors * kLanes<T>, vectors * kLanes<T>);
        return true;
      };
      if (turned(Constant<kVectors>()) || turned(Constant<kVectors / 2>())) continue;
      if (turned(Constant<1>())) continue;
      Product<T> rest = op;  // of a panel of A
      rest.rows = rows;
      rows_of_panel<T, 1, kind>(desk, rest);
      skip(op, rows);
    }
  }
  rows_of_panel<T, 1, kind>(desk, op);
}

template <class T, Left left>
inline void in_tiles(const Desk<T>& desk, const Product<T>& op) {
  switch (op.cols / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: return rows_of_panel<T, 4, left>(desk, op);
    case 3: return rows_of_panel<T, 3, left>(desk, op);
#endif
    case 2: return rows_of_panel<T, 2, left>(desk, op);
    default: return rows_of_narrow_panel<T, left>(desk, op);
  }
}

// A deep product is summed up part by part, so that all its rows use a part of B while that is
// in the cache, and fetch the next part. Each entry is still summed over k in order.
template <class T, Left left>
void part_by_part(const Desk<T>& desk, const Product<T>& whole) {
  Product<T> op = whole;
  for (int64_t depth = op.depth; depth > 0; depth -= op.depth) {
    op.depth = least(depth, kLayout<T>.deep());
    const bool last = depth == op.depth, parts = whole.depth > op.depth;
    if (parts) {
      const bool again = last && whole.beyond > 0;  // from the first part, with more rows
      op.next_b = again ? whole.b : last ? whole.next_b : op.b + op.depth * op.cols;
      op.beyond = 0;
      op.after = last ? whole.after : op.row;
      op.after_panel = (last ? -op.a_step : op.depth) / kPanel<T>;
      const bool on_sums = whole.micro != Micro::copy;
      op.micro = last ? whole.micro : Micro::copy;
      op.y = on_sums && !last ? whole.sums : whole.y;
    }
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
inline void few_in_rows(const Desk<T>& desk, Product<T> op) {
  switch (op.cols / kLanes<T>) {
#if defined(__AVX512F__) || defined(__aarch64__)
    case 4: op.run = product_of_few<T, 4>; break;
    case 3: op.run = product_of_few<T, 3>; break;
#endif
    case 2: op.run = product_of_few<T, 2>; break;
    default: op.run = product_of_few<T, 1>;
  }
  perform<T>(desk, op);
}

// C = start + A B, or start + Aᵀ B. Terms of zeros in A are left out where that is quicker:
// in rows, one vector of sums waits for itself.
template <class T, bool TA>
inline void product(const Desk<T>& desk, const Product<T>& op) {
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

}  // namespace kb::KB_ISA
