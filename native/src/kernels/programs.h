// Instructions that end in programs, as operations.
#pragma once
#include "products.h"
#include "rows.h"
#include "turning.h"

namespace kb::KB_ISA {

// A panel of Bᵀ, for B n×k: its k rows, `cols` wide, of `rows` rows of B from `row` on.
template <class T>
void pack_transposed(const Operation<T>& op, const Batch&) {
  constexpr int64_t n = kLanes<T>;
  const Matrix<T>& b = *op.matrix;
  const int64_t w = op.cols;
  for (int64_t i = 0; i < b.cols; i += n)
    for (int64_t j = 0; j < w; j += n) {
      const int64_t row = op.row + j, from_step = width(b, i / kPanel<T>);
      const T* const from = place_of(b, row, i);
      T* const to = op.y + i * w + j;
      const int64_t many = least(n, op.rows - j), last = least(n, b.cols - i);
      if (many == n && last == n) transpose_block<T>(from, from_step, n, to, w, 0, n);
      else transpose_block<T>(from, from_step, many, to, w, 0, last);
    }
}

// A part of a frame that goes through a program together: panels `first` to `last`, `rows`
// rows from `row`; the panels are gone through for those from `begin` to `end`. Registers hold
// `most` rows of every panel.
struct Chunk {
  int64_t first, last, row, rows, most, begin, end;
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
      case Place::scalar: return {scratch() + x.spread, 0};
      case Place::number: return {x.data, 0};
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
      case Place::scalar: return {to, 0};
      case Place::number: return {x.data, 0};
      case Place::full: perform(turn_in<T>, to, from, 0, cols()); break;
      case Place::tall: perform(turn_numbers<T>, to, scratch() + x.at, 0, cols()); break;
      case Place::column: perform(turn_column<T>, to, from, 0, cols()); break;
    }
    return {to, 1};
  }

  // An argument of a step over numbers for each row, which registers hold side by side.
  Entries<T> tall(const Where<T>& x) const {
    if (x.place == Place::number) return {x.data, 0};
    if (x.place == Place::scalar) return {scratch() + x.spread, 0};
    if (x.place == Place::tall) return {scratch() + x.at, 1};
    T* to = scratch() + x.spread;
    move(to, 1, x.data + chunk.row * kLanes<T>, kLanes<T>);
    return {to, 1};
  }

  // A panel, `columns` wide, of a transposed factor: of rows `row` to `end`.
  void pack(T* to, const Matrix<T>& from, int64_t row, int64_t end, int64_t columns) const {
    Operation<T> op;
    op.run = pack_transposed<T>;
    op.y = to;
    op.matrix = &from;
    op.row = row;
    op.rows = end - row;
    op.cols = columns;
    KB_ISA::perform(desk, op);
  }

  // The packed panel q of a product's transposed factor.
  T* packed(int64_t q) const {
    return scratch() + call.packed + (q - chunk.first) * kPanel<T> * call.operands[1].cols;
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

// Whether a turned program finds the sums of a product A Bᵀ turned, so that they need not be.
template <class T, Code code>
inline bool gives_turned(const Call<T>& call) {
  return code == Code::matmul_tb && call.turned && call.fed.data == nullptr &&
         !call.start_each_row;
}

// The product A Bᵀ of a chunk as a turned program holds it: of some rows of A at a time B Aᵀ, whose
// rows are columns of A Bᵀ. Each number is the same sum in the same order. A program holds columns
// of a vector's rows beside each other; a single column goes on, so there more rows go at a time.
template <class T>
inline void feed_turned(const Work<T>& work) {
  constexpr int64_t n = kLanes<T>;
  const Call<T>& call = work.call;
  const Chunk& chunk = work.chunk;
  const int64_t whole = (chunk.rows + n - 1) / n * n, end = chunk.row + chunk.rows;
  const int64_t some = work.cols() == 1 ? least(kPanel<T>, whole) : n;
  Product<T> op;
  op.matrix = &call.operands[1];
  op.b = work.packed(0);
  op.depth = op.matrix->cols;
  op.rows = work.cols();
  if (call.start != nullptr) {
    Operation<T> start;
    start.run = turn_row<T>;
    start.y = work.scratch() + call.fed.spread;
    start.a = call.start->data;
    start.rows = some;
    start.cols = work.cols();
    perform(work.desk, start);
    op.c = start.y;
    op.c_step = n;
  }
  for (int64_t i = 0; i < whole; i += some) {
    op.cols = least(some, whole - i);
    op.y = work.scratch() + call.fed.at + i * work.cols();
    work.pack(work.packed(0), call.operands[0], chunk.row + i, end, op.cols);
    product<T, false>(work.desk, op);
  }
}

// The product or sum of a chunk, in panel q.
template <class T, Code code>
inline void feed(const Work<T>& work, int64_t q) {
  const Call<T>& call = work.call;
  const int64_t w = width(call.frame, q);
  const bool turns = call.turned && call.fed.data == nullptr;
  Product<T> op;
  const Where<T>& to = call.first == nullptr ? call.fed : call.first->to;
  op.y = turns ? work.scratch() + call.fed.spread : begin_of(to, work.scratch(), q, w, work.chunk);
  op.matrix = &call.operands[0];
  op.cols = w;
  if constexpr (code == Code::sum_rows || code == Code::sum_all) {
    op.run = code == Code::sum_all ? add_all<T> : rows_added<T>(w / kLanes<T>);
    op.row = q;
    perform<T>(work.desk, op);
  } else {
    const Matrix<T>& b = call.operands[1];
    constexpr bool packed = code == Code::matmul_tb;
    op.b = packed ? work.packed(q) : at_panel(b, q);
    op.b_step = least(w, work.cols() - q * kPanel<T>);
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
    // What comes next, in the order in which panels_of and program go through rows and panels.
    constexpr bool columns = code == Code::matmul_ta;
    const bool all = q + 1 == panels(call.frame), again = all && (columns || call.whole);
    if (!packed && is_long<T>(op.depth, w) && (!all || again))
      op.next_b = at_panel(b, again ? 0 : q + 1);
    const int64_t row = op.row + op.rows, left = work.chunk.end - row;
    op.beyond = call.whole ? 0 : left;
    op.after = call.whole && !all ? op.row : left > 0 ? row : work.chunk.begin;
    op.further = all ? call.together : 0;
    op.sums = in_scratch(work.scratch(), call.fed.at, q, work.chunk);
    product<T, columns>(work.desk, op);
  }
  if (turns) work.perform(turn_in<T>, work.scratch() + call.fed.at,
                          work.scratch() + call.fed.spread, 0, work.cols());
}

// The 1×1 matrices that a program takes, each repeated in a vector.
template <class T>
void spread_numbers(const Call<T>& call, const Desk<T>& desk) {
  for (const Where<T>& x : call.numbers) {
    Operation<T> op;
    op.run = spread_number<T>;
    op.y = desk.scratch + x.spread;
    op.a = x.data;
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
  const bool sums = call.deep && call.first != nullptr;  // of parts, in registers
  const bool direct =
      code != Code::entries && call.steps.many == 0 && fed.data != nullptr && !sums;
  for (int64_t p = first; p < last; p += step) {
    Work<T> work{call, desk, {p, p + step, lo, 0, 0, lo, hi}};
    Chunk& chunk = work.chunk;
    int64_t wide = 0;
    for (int64_t q = chunk.first; q < chunk.last; ++q) wide += width(call.frame, q);
    chunk.most = hi - lo;
    if (!direct && chunk.most * wide > call.tall) {  // registers are not that tall
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
    if constexpr (code == Code::matmul_tb)
      for (int64_t q = chunk.first; q < chunk.last && !gives_turned<T, code>(call); ++q)
        work.pack(work.packed(q), call.operands[1], q * kPanel<T>, call.frame.cols,
                  width(call.frame, q));
    for (; chunk.row < hi; chunk.row += chunk.rows) {
      chunk.rows = least(chunk.most, hi - chunk.row);
      for (const Where<T>& x : call.turns) {
        Operation<T> op;
        op.run = x.matrix->ones != nullptr    ? turn_ones<T>
                 : x.matrix->taken != nullptr ? turn_taken<T>
                                              : turn_in<T>;
        op.y = scratch + x.at;
        op.a = x.data + chunk.row * kLanes<T>;
        op.matrix = x.matrix;
        op.row = chunk.row;
        op.rows = chunk.rows;
        op.cols = work.cols();
        perform(desk, op);
      }
      if constexpr (code != Code::entries) {
        if (gives_turned<T, code>(call)) feed_turned<T>(work);
        else
          for (int64_t q = chunk.first; q < chunk.last; ++q) feed<T, code>(work, q);
      }
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
  const int64_t some = call.together > 0 ? call.together : hi;
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

}  // namespace kb::KB_ISA
