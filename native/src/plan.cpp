#include "plan.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <exception>
#include <memory>
#include <new>
#include <utility>

#include "flushing.h"

namespace kb {

namespace {

constexpr double kSmall = 4e5;   // operations a step below which one thread is faster
constexpr double kLong = 5e8;    // above which it asks whether to stop, and is not noted
constexpr std::chrono::milliseconds kAskEvery{25};
constexpr int kMostThreads = 256;
constexpr int64_t kMostNoted = 5000;  // operations of a thread
constexpr int64_t kFetched = 1 << 15;  // bytes of rows that may lie in the first cache before time
constexpr int64_t kNear = 1 << 19;  // bytes of data that stay in the second cache anyway
constexpr int64_t kFetchedAhead = 1 << 13;  // or from a row that is taken to one that is fetched
constexpr int64_t kInPlace = 1 << 20;  // bytes of a batch's rows that products may read in place
constexpr int64_t kLanesOfOne = 4;  // for each column of a product that is turned
constexpr int64_t kNumbers = 64;  // rows whose numbers are worked out together
constexpr int64_t kBlock = 48;   // rows that go through a chain together
constexpr int64_t kShared = 12;  // rows of a panel, at most, that no threads share
constexpr int64_t kChunk = 768;  // numbers of a register: some of them fit the first cache
constexpr int64_t kDeepChunk = 64;  // rows of one where the product is deep, at least
constexpr size_t kHugePage = size_t{1} << 21;  // bytes
constexpr int64_t kMuch = 1 << 20;  // numbers to copy, so that threads divide them
constexpr int64_t kLookedAt = 1 << 16;  // entries of the data, to see how many are 0
constexpr double kFew = 0.4;  // of the data's entries, so that others are left out of products

}  // namespace

template <class T>
Plan<T>::Plan(const Kernels<T>& kernels, std::vector<Buffer> buffers,
              std::vector<Instruction> code, int guard, int64_t most_rows, int threads,
              double work_a_row)
    : kernels_(kernels), buffers_(std::move(buffers)), code_(std::move(code)), guard_(guard),
      most_rows_(most_rows), batch_rows_(most_rows), work_a_row_(work_a_row),
      team_(std::min(threads, kMostThreads)), barrier_(team_.size()) {
  validate(buffers_, code_, guard_, most_rows_);
  std::vector<size_t> numbers;  // of each piece of memory
  for (const Buffer& buffer : buffers_) {
    auto place = static_cast<size_t>(buffer.memory);
    if (numbers.size() <= place) numbers.resize(place + 1);
    const int64_t many = kernels_.layout.size(sized(buffer.rows), buffer.cols);
    numbers[place] = std::max(numbers[place], static_cast<size_t>(many));
  }
  marks_.resize(buffers_.size());
  find_readable();
  takes_ = std::any_of(code_.begin(), code_.end(),
                       [](const Instruction& item) { return item.code == Code::take; });
  std::vector<T*> pieces;
  for (size_t count : numbers) pieces.push_back(allocated(count));
  for (const Buffer& buffer : buffers_) base_.push_back(pieces[buffer.memory]);
  repeat_constants();
  int64_t most = 0;
  for (const Instruction& item : code_) most = std::max(most, scratch_of(item, nullptr));
  for (int k = 0; k < team_.size(); ++k) scratch_.push_back(allocated(most));
  parts_ = std::make_unique<Part<T>[]>(static_cast<size_t>(team_.size()));
  for (size_t k = 0; k < code_.size(); ++k) {
    if (code_[k].barrier) asking_ends_ = k;
    if (code_[k].guarded) break;
  }
}

// Zeros, from a cache line on, or a huge page where one is filled; large pieces take memory
// when they are first written. bad_alloc reaches Python as MemoryError.
template <class T>
T* Plan<T>::allocated(size_t numbers) {
  const size_t bytes = std::max<size_t>(numbers, 1) * sizeof(T);
  const size_t line = bytes < kHugePage ? 64 : kHugePage;
  void* place = std::calloc(bytes + line, 1);
  if (place == nullptr) throw std::bad_alloc();
  memory_.emplace_back(place, std::free);
  size_t room = bytes + line;
  std::align(line, bytes, place, room);
#if defined(__linux__)
  // A wish, which the system may pass over; the rest of the last page stays in small ones.
  if (bytes >= kHugePage) madvise(place, bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
  bytes_ += bytes;
  return static_cast<T*>(place);
}

template <class T>
int Plan<T>::check(int id) const {
  if (id < 0 || id >= static_cast<int>(buffers_.size())) throw Refused("no such buffer");
  if (ended_ && base_[id] == nullptr) throw Refused("the plan has ended");
  return id;
}

// Each constant of the programs, in all lanes of a vector.
template <class T>
void Plan<T>::repeat_constants() {
  for (const Instruction& item : code_)
    for (const Step& step : item.steps)
      for (const Argument& a : step.args)
        if (a.place == Place::number) constants_[std::bit_cast<uint64_t>(a.value)] = nullptr;
  const int lanes = kernels_.layout.lanes;
  T* next = allocated(constants_.size() * static_cast<size_t>(lanes));
  for (auto& [bits, vector] : constants_) {
    vector = next;
    next = std::fill_n(vector, lanes, static_cast<T>(std::bit_cast<double>(bits)));
  }
}

// ---------------------------------------------------------------- calls made ready

// Whether it is a product of so many terms that they are summed up part by part.
template <class T>
bool Plan<T>::deep(const Instruction& item) const {
  if (item.code < Code::matmul || item.code > Code::matmul_tb) return false;
  const Buffer& left = buffers_[item.operands[0]];
  return sized(item.code == Code::matmul_ta ? left.rows : left.cols) > kernels_.layout.deep();
}

// Lays out the scratch memory of a program, in a call where one is given: registers, a place
// for each argument of a step that is repeated, a panel of a transposed factor, a register for
// each operand 1×n or to turn, a vector for each 1×1.
// Returns how many numbers that takes.
template <class T>
int64_t Plan<T>::scratch_of(const Instruction& item, Ready<T>* call) const {
  if (!has_program(item.code)) return 0;
  const int64_t lanes = kernels_.layout.lanes;
  const bool whole = takes_whole_rows(item), turned = turns(item);
  const bool numbers = item.code == Code::entries && !turned &&
                       std::all_of(item.steps.begin(), item.steps.end(),
                                   [](const Step& step) { return step.tall; });
  const int64_t together = numbers ? kNumbers : 1;  // rows: they lie in no register
  const int64_t tall = std::max({kChunk, whole ? kernels_.layout.size(together, item.cols) : 0,
                                 deep(item) ? kDeepChunk * kernels_.layout.panel : 0});
  int registers = 0;
  auto count = [&](const Target& to) {
    if (!to.stored) registers = std::max(registers, to.index + 1);
  };
  if (has_feed(item.code)) count(item.fed);
  for (const Step& step : item.steps) count(step.to);
  int64_t next = (registers + kMostArguments) * tall;
  if (item.code == Code::matmul_tb) {
    if (call != nullptr) call->packed = next;
    const int64_t depth = buffers_[item.operands[1]].cols;
    const bool all = whole && !turned;
    next += all ? kernels_.layout.size(depth, item.cols) : depth * kernels_.layout.panel;
  }
  std::vector<int64_t> row_at(item.operands.size(), -1), turned_at(item.operands.size(), -1);
  auto written = [&](int operand) {  // anew by a step of this program, and read after that
    const int id = item.operands[operand];
    return std::find(item.results.begin(), item.results.end(), id) != item.results.end();
  };
  auto where = [&](const Argument& a, int side) {
    Where<T> x;
    x.place = a.place;
    if (a.place == Place::temporary || a.place == Place::tall) x.at = a.index * tall;
    else if (a.place == Place::number) x.data = constants_.at(std::bit_cast<uint64_t>(a.value));
    else if (call != nullptr) {
      x.matrix = &call->operands_[a.index];
      x.data = x.matrix->data;
      x.rows = x.matrix->rows;
    }
    if (a.place == Place::tall || a.place == Place::column || a.place == Place::full)
      x.spread = (registers + side) * tall;
    if (a.place == Place::full && turned &&
        (!written(a.index) || sources_of_[item.operands[a.index]] >= 0)) {
      int64_t& at = turned_at[a.index];
      const bool seen = at >= 0;
      if (!seen) at = next, next += tall;
      x.at = at;
      if (!seen && call != nullptr) call->turns_.push_back(x);
      x.place = Place::temporary;
      x.data = nullptr;
    }
    if (a.place == Place::scalar) {
      x.spread = next;
      next += lanes;
      if (call != nullptr) call->numbers_.push_back(x);
    }
    if (a.place == Place::row) {
      int64_t& at = row_at[a.index];
      bool seen = at >= 0;
      if (!seen) {
        at = next;
        next += tall;
      }
      x.spread = at;
      if (!seen && call != nullptr) call->rows_.push_back(x);
    }
    return x;
  };
  auto result = [&](const Target& to) {
    Where<T> x;
    x.place = to.stored ? Place::full : Place::temporary;
    x.at = to.index * tall;
    x.spread = registers * tall;  // where its first argument may be: entries are read before
    if (to.stored && call != nullptr) {
      x.data = call->results_[to.index].data;
      x.rows = call->results_[to.index].rows;
    }
    return x;
  };
  if (call != nullptr) {
    call->tall = tall;
    call->whole = whole;
    call->turned = turned;
    if (has_feed(item.code)) call->fed = result(item.fed);
  }
  for (const Step& step : item.steps) {
    ReadyStep<T> ready{step.micro, step.tall, static_cast<int>(step.args.size()), {},
                       result(step.to), static_cast<T>(step.value)};
    for (int k = 0; k < ready.arity; ++k) ready.args[k] = where(step.args[k], k);
    if (call != nullptr) call->steps_.push_back(ready);
  }
  return next;
}

// Whether a product's tiles do the first step of its program while they hold their sums, which
// nothing else needs then: see `finish` in kernels/products.h.
template <class T>
bool Plan<T>::on_sums(const Ready<T>& call) const {
  const Code code = call.item->code;
  const bool rows = code == Code::matmul || code == Code::matmul_tb;
  const bool columns = code == Code::matmul_ta;
  if (!(rows || columns) || call.whole || call.turned || call.fed.data != nullptr) return false;
  const Matrix<T>& left = call.operands_[0];
  if (rows && left.marks != nullptr) return false;
  auto sum = [&](const Where<T>& x) {
    return x.place == Place::temporary && x.at == call.fed.at;
  };
  auto full = [](const Where<T>& x) { return x.place == Place::full; };
  auto number = [](const Where<T>& x) {
    return x.place == Place::scalar || x.place == Place::number;
  };
  auto can = [&](const ReadyStep<T>& s) {
    const Where<T>&a = s.args[0], &b = s.args[1], &c = s.args[2];
    switch (s.micro) {
      case Micro::relu: return rows && sum(a);
      case Micro::multiply_step: return rows && full(a) && sum(b) && s.value == T(0);
      case Micro::multiply_add:
        return columns && sum(c) && ((full(a) && number(b)) || (number(a) && full(b)));
      case Micro::subtract_multiple:
        return columns && full(c) && ((sum(a) && number(b)) || (number(a) && sum(b)));
      default: return false;
    }
  };
  auto first = call.steps_.begin();
  if (first == call.steps_.end() || !can(*first)) return false;
  return sum(first->to) || std::none_of(first + 1, call.steps_.end(), [&](const auto& step) {
           return std::any_of(step.args, step.args + step.arity, sum);
         });
}

template <class T>
void Plan<T>::make_ready(const Instruction& item, Ready<T>& call) {
  auto some = [](const auto& from) {
    using X = std::decay_t<decltype(from[0])>;
    return Some<X>{from.data(), static_cast<int64_t>(from.size())};
  };
  call.item = &item;
  for (int id : item.operands) call.operands_.push_back(matrix(id));
  for (int id : item.results) call.results_.push_back(matrix(id));
  call.frame = {nullptr, sized(item.rows), item.cols};
  if (item.by_columns) call.blocks = (call.frame.rows + kShared - 1) / kShared;
  call.deep = deep(item);
  if (item.code == Code::matmul_ta && !takes_whole_rows(item))
    call.together = call.deep ? kDeepChunk : kernels_.layout.together();
  scratch_of(item, &call);
  call.operands = some(call.operands_);
  call.results = some(call.results_);
  call.steps = some(call.steps_);
  if (on_sums(call)) {
    call.first = call.steps_.data();
    call.steps = {call.first + 1, call.steps.many - 1};
  }
  call.numbers = some(call.numbers_);
  call.rows = some(call.rows_);
  call.turns = some(call.turns_);
  call.ints = some(item.ints);
  call.constants = some(item.numbers);
  if (item.start >= 0) {
    call.start_ = call.operands_[item.start];
    call.start = &call.start_;
    call.start_each_row = buffers_[item.operands[item.start]].rows != 1;
  }
  if (item.code == Code::take) {
    size_t number = static_cast<size_t>(item.ints[0]);
    bool there = number < sources_.size() && sources_[number].data != nullptr;
    require(there && sources_[number].cols == item.cols, item, "no such data");
    const Source& from = sources_[number];
    call.data = from.data;
    call.stride = from.stride();
    call.ones = from.ones;
    const int64_t bytes = call.stride * static_cast<int64_t>(sizeof(T));
    call.ahead = std::max(kFetchedAhead / bytes, int64_t{1});
    call.data_end = call.data + from.rows * call.stride;
  }
}

// Makes the calls for the present batch's size, unless they are there.
template <class T>
void Plan<T>::prepare() {
  for (int k : {current_, 1 - current_})
    if (programs_[k].batch_rows == batch_rows_) {
      current_ = k;
      return;
    }
  Program<T>& program = programs_[1 - current_];
  program = Program<T>();
  for (size_t id = 0; id < buffers_.size(); ++id)
    if (!in_place(static_cast<int>(id))) {
      continue;
    } else if (sources_[sources_of_[id]].ones) {
      const auto numbers = static_cast<size_t>(most_rows_);
      if (ones_[id] == nullptr) ones_[id] = std::make_unique<T[]>(numbers);
    } else if (begins_[id] == nullptr) {
      begins_[id] = std::make_unique<const T*[]>(static_cast<size_t>(most_rows_));
      // where a plan reads rows before it takes them, these are rows of the data too
      std::fill_n(begins_[id].get(), most_rows_, sources_[sources_of_[id]].data);
    }
  program.calls = std::vector<Ready<T>>(code_.size());
  for (size_t k = 0; k < code_.size(); ++k) make_ready(code_[k], program.calls[k]);
  program.batch_rows = batch_rows_;
  current_ = 1 - current_;
}

// ---------------------------------------------------------------- values

// A thread's share of some rows or panels: a function of their number alone.
static std::pair<int64_t, int64_t> share_of(int64_t many, int thread, int threads) {
  return {many * thread / threads, many * (thread + 1) / threads};
}

// Some rows at a time, since in panels rows lie far from what follows them in row-major order;
// and by all threads, where there is much to copy.
template <class T>
template <class Copy>
void Plan<T>::by_rows(int64_t rows, int64_t cols, const Copy& copy) {
  auto part = [&](int thread, int threads) {
    auto [low, high] = share_of(rows, thread, threads);
    for (; low < high; low += kBlock) copy(low, std::min(high, low + kBlock));
  };
  if (rows * cols < kMuch) return part(0, 1);
  team_.run([&](int thread) { part(thread, team_.size()); });
}

template <class T>
void Plan<T>::set(int id, const T* values) {
  const Matrix<T> to = matrix(check(id));
  by_rows(to.rows, to.cols, [&](int64_t lo, int64_t hi) { kernels_.pack(values, to, lo, hi); });
}

template <class T>
void Plan<T>::get(int id, T* values) {
  const Matrix<T> from = matrix(check(id));
  by_rows(from.rows, from.cols,
          [&](int64_t lo, int64_t hi) { kernels_.unpack(from, values, lo, hi); });
}

template <class T>
void Plan<T>::end(const std::vector<int>& kept) {
  std::vector<bool> stays(memory_.size(), false);  // the pieces, then constants and scratch
  for (int id : kept) stays[buffers_[check(id)].memory] = true;
  ended_ = true;
  for (size_t id = 0; id < buffers_.size(); ++id)
    if (!stays[buffers_[id].memory]) base_[id] = nullptr;
  for (size_t k = 0; k < memory_.size(); ++k)
    if (!stays[k]) memory_[k].reset();
}

// The share of the entries that are not 0, by a look at some of the rows.
template <class T>
static double filled_share(const T* data, int64_t rows, int64_t cols) {
  if (rows < 1 || cols < 1) return 1;
  const int64_t some = std::max<int64_t>(16, kLookedAt / cols), apart = (rows + some - 1) / some;
  int64_t seen = 0, found = 0;
  for (int64_t i = 0; i < rows; i += apart, seen += cols)
    found += std::count_if(data + i * cols, data + (i + 1) * cols, [](T x) { return x != T(0); });
  return static_cast<double>(found) / static_cast<double>(seen);
}

// Rows taken into a buffer are marked where few entries differ from 0 and a product reads them.
template <class T>
void Plan<T>::mark(int id, double filled) {
  marks_[id] = {};
  if (!factors_[id] || filled >= kFew) return;
  const int64_t words = (cols_of(id) + kMarked - 1) / kMarked * most_rows_;
  marks_[id] = {filled, std::make_unique<uint64_t[]>(static_cast<size_t>(words))};
}

// Rows of the data can be read where they lie, and need not be taken, by products, as their left
// factor, and by programs that turn them.
template <class T>
void Plan<T>::find_readable() {
  sources_of_.assign(buffers_.size(), -1);
  begins_.resize(buffers_.size());
  ones_.resize(buffers_.size());
  factors_.resize(buffers_.size());
  for (const Instruction& item : code_)
    for (int id : item.results)
      sources_of_[id] = item.code == Code::take ? static_cast<int>(item.ints[0]) : -1;
  for (const Instruction& item : code_) {
    auto taken = [&](int operand) { sources_of_[item.operands[operand]] = -1; };
    const bool left = item.code == Code::matmul || item.code == Code::matmul_ta;
    if (left) factors_[item.operands[0]] = true;
    const bool sum = item.code == Code::sum_rows || item.code == Code::sum_all;
    const int many = static_cast<int>(item.operands.size());
    const int whole = sum ? 1 : has_feed(item.code) ? 2 : has_program(item.code) ? 0 : many;
    for (int k = left ? 1 : 0; k < whole; ++k) taken(k);
    if (item.start >= 0) taken(item.start);
    const bool turned = turns(item);
    for (const Step& step : item.steps)
      for (const Argument& a : step.args) {
        const bool operand = a.place > Place::tall && a.place != Place::number;
        if (operand && !(turned && a.place == Place::full)) taken(a.index);
      }
  }
}

// Whether rows go through its program as vectors of columns: see kernels/turning.h. That is where
// they go through it whole, and from a product that gives its columns so, if most of a vector of a
// row were padding.
template <class T>
bool Plan<T>::turns(const Instruction& item) const {
  const int64_t lanes = kernels_.layout.lanes;
  if (takes_whole_rows(item)) return item.cols <= lanes;
  return item.code == Code::matmul_tb && !item.fed.stored && kLanesOfOne * item.cols <= lanes;
}

template <class T>
bool Plan<T>::in_place(int id) const {
  const auto source = static_cast<size_t>(sources_of_[id]);
  return sources_of_[id] >= 0 && source < sources_.size() && marks_[id].words == nullptr &&
         !(sources_[source].ones && factors_[id]) &&
         rows_of(id) * cols_of(id) * static_cast<int64_t>(sizeof(T)) <= kInPlace;
}

template <class T>
Matrix<T> Plan<T>::matrix(int id) const {
  Matrix<T> m{base_[id], rows_of(id), cols_of(id), marks_[id].filled, marks_[id].words.get()};
  if (in_place(id)) {
    const Source& from = sources_[sources_of_[id]];
    if (from.ones) {
      m.ones = ones_[id].get();
      return m;
    }
    m.taken = begins_[id].get();
    m.taken_end = from.data + from.rows * from.cols;
  }
  return m;
}

template <class T>
void Plan<T>::source(int number, const T* data, int64_t rows, int64_t cols, bool ones) {
  if (number < 0 || number >= 64) throw Refused("no such source");
  for (int64_t k = 0; ones && k < rows; ++k)
    if (!(data[k] >= T(0) && data[k] < static_cast<T>(cols) && data[k] == std::floor(data[k])))
      throw Refused("a 1 in a column that the data do not have");
  if (static_cast<size_t>(number) >= sources_.size()) sources_.resize(number + 1);
  const Source& old = sources_[number];
  if (old.data == data && old.rows == rows && old.cols == cols && old.ones == ones) return;
  const double filled = ones ? 1 / static_cast<double>(cols) : filled_share(data, rows, cols);
  sources_[number] = {data, rows, cols, ones};
  for (auto& begins : begins_) begins.reset();
  for (const Instruction& item : code_)
    if (item.code == Code::take && item.ints[0] == number) mark(item.results[0], filled);
  source_rows_ = rows;
  for (const Source& s : sources_)
    if (s.data != nullptr) source_rows_ = std::min(source_rows_, s.rows);
  for (Program<T>& program : programs_) program.batch_rows = 0;
}

template <class T>
void Plan<T>::batch_rows(int64_t rows) {
  if (rows < 1 || rows > most_rows_) throw Refused("rows of a batch");
  batch_rows_ = rows;
}

// ---------------------------------------------------------------- a step

template <class T>
void Plan<T>::check_rows(const Batch& batch) const {
  if (!takes_) return;
  if (batch.order == nullptr) throw Refused("no rows to take from the data");
  const auto many = static_cast<uint64_t>(source_rows_);
  bool bad = false;  // a negative number is a large one
  for (int64_t k = 0; k < batch.rows; ++k) bad |= static_cast<uint64_t>(batch.order[k]) >= many;
  if (bad) throw Refused("a row that the data do not have");
}

template <class T>
int Plan<T>::threads_for(const Batch& batch) const {
  return operations(batch) < kSmall || !pace_.all() ? 1 : team_.size();
}

// Whatever steps like the one to come need.
template <class T>
void Plan<T>::ready(const Batch& batch, const std::function<bool()>& stop) {
  batch_rows(batch.rows);
  prepare();
  check_rows(batch);
  active_ = threads_for(batch);
  stop_ = stop && operations(batch) > kLong ? &stop : nullptr;
  noted_ = operations(batch) <= kLong ? noted(batch) : nullptr;
}

template <class T>
void Plan<T>::run(const std::function<bool(Batch&)>& next, const std::function<bool()>& stop) {
  if (ended_) throw Refused("the plan has ended");
  const bool trains = guard_ >= 0;  // moments and weights that fade away pass through such numbers
  const Flushing flushing(trains);
  Batch batch;
  std::exception_ptr error;
  bool more = next(batch), same = true;
  while (more) {
    stopped_.store(false, std::memory_order_relaxed);
    ready(batch, stop);
    const bool paced = team_.size() > 1 && operations(batch) >= kSmall;
    if (paced) pace_.begin();
    auto proceed = [&]() noexcept {
      if (paced) pace_.step();
      try {
        more = next(batch);
        same = more && batch.rows == batch_rows_ && threads_for(batch) == active_;
        if (same) check_rows(batch);
      } catch (...) {  // maybe on another thread than the caller's
        error = std::current_exception();
        more = same = false;
      }
      if (more) stopped_.store(false, std::memory_order_relaxed);
    };
    if (active_ == 1) {
      do part(0, batch), proceed();
      while (same);
    } else {
      team_.run([&](int thread) {
        const Flushing own(trains);  // threads may not begin as their maker is
        auto meanwhile = [&] { return noted_ == nullptr && help(batch, thread); };
        do part(thread, batch), barrier_.wait(1, proceed, meanwhile);
        while (same);
      });
    }
  }
  if (error) std::rethrow_exception(error);
}

template <class T>
void Plan<T>::step(const Batch& batch, const std::function<bool()>& stop) {
  bool done = false;
  auto once = [&](Batch& given) {
    given = batch;
    return !std::exchange(done, true);
  };
  run(once, stop);
}

// The first thread asks whether to stop, before the last barrier at which all can hear it.
template <class T>
void Plan<T>::ask(size_t place) {
  if (stop_ == nullptr || place >= asking_ends_ || stopped_.load()) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - asked_ < kAskEvery) return;
  asked_ = now;
  const Flushing none(false);  // in a signal's handler
  if ((*stop_)()) stopped_.store(true);
}

// One thread's part in a step.
template <class T>
void Plan<T>::part(int thread, const Batch& batch) {
  if (noted_ != nullptr) work_noted((*noted_)[static_cast<size_t>(thread)], batch);
  else work(thread, batch);
}

template <class T>
void Plan<T>::work(int thread, const Batch& batch) {
  const std::vector<Ready<T>>& calls = programs_[current_].calls;
  const Ready<T>* const end = calls.data() + calls.size();
  for (const Ready<T>* first = calls.data(); first < end;) {
    const Ready<T>* last = first;
    if (first->item->barrier && active_ > 1) {
      // what has one part only is done by the last thread to come
      while (last < end && last->item->barrier && !last->item->guarded && parts(*last) == 1)
        ++last;
      auto once = [&] {
        if (stopped_.load(std::memory_order_relaxed)) return;
        for (const Ready<T>* call = first; call < last; ++call)
          execute(*call, batch, thread, 0, 1);
      };
      if (noting_ == nullptr) {
        barrier_.wait(1, once, [&] { return help(batch, thread); });
      } else {
        const int64_t before = notes_->many;
        once();
        noting_->stops.push_back({before, true, false, notes_->many - before});
      }
      first = last;
      if (first == end) return;
    }
    const Instruction& item = *first->item;
    if (item.guarded && noting_ != nullptr)
      noting_->stops.push_back({notes_->many, false, true, 0});
    else if (item.guarded && !finite())
      return;
    const size_t place = static_cast<size_t>(first - calls.data());
    if (place >= asking_ends_ && stopped_.load(std::memory_order_relaxed)) return;
    if (thread == 0) ask(place);
    last = first + 1;
    while (last < end && !last->item->barrier && item.chain != 0 &&
           last->item->chain == item.chain)
      ++last;
    share(first, last, batch, thread);
    first = last;
  }
}

// What each thread has to do, noted at the first call for a batch's size; null if too much.
template <class T>
const std::vector<Noted<T>>* Plan<T>::noted(const Batch& batch) {
  Program<T>& program = programs_[current_];
  auto& [tried, threads] = active_ == 1 ? program.alone : program.together;
  if (tried) return threads.empty() ? nullptr : &threads;
  tried = true;
  std::vector<Noted<T>> all(static_cast<size_t>(active_));
  for (int thread = 0; thread < active_; ++thread) {
    Noted<T>& one = all[static_cast<size_t>(thread)];
    for (int64_t room : {int64_t{0}, kMostNoted}) {  // they are counted first
      Notes<T> notes{one.operations.data(), 0, room};
      one.stops.clear();
      notes_ = &notes, noting_ = &one;
      work(thread, batch);
      notes_ = nullptr, noting_ = nullptr;
      if (notes.many > kMostNoted) return nullptr;
      one.operations.resize(static_cast<size_t>(notes.many));
    }
    fetch_meanwhile(one);
  }
  threads = std::move(all);
  return &threads;
}

// Rows of the data come from far: those to be taken next, in this batch or the one after it, are
// fetched a few at a time, before each product on the way there, since the processor waits for
// so many lines at a time only. Small data are near anyway.
template <class T>
void Plan<T>::fetch_meanwhile(Noted<T>& noted) const {
  struct Part {  // of a step, from where rows are taken
    std::vector<size_t> takes, products;
    int64_t rows = 0, bytes = 0;
  };
  auto near = [](const Call<T>& take) {
    return (take.data_end - take.data) * static_cast<int64_t>(sizeof(T)) <= kNear;
  };
  std::vector<Operation<T>> old = std::move(noted.operations);
  std::vector<Part> parts;
  for (size_t k = 0; k < old.size(); ++k) {
    if (old[k].run == kernels_.take) {
      if (parts.empty() || !parts.back().products.empty()) parts.emplace_back();
      if (near(*old[k].call)) continue;
      parts.back().takes.push_back(k);
      parts.back().rows += old[k].rows;
      parts.back().bytes +=
          old[k].rows * old[k].call->stride * static_cast<int64_t>(sizeof(T));
    } else if (old[k].depth > 0 && !parts.empty()) {
      parts.back().products.push_back(k);
    }
  }
  std::vector<std::vector<Operation<T>>> before(old.size());
  for (size_t part = 0; part < parts.size(); ++part) {
    const std::vector<size_t>& products = parts[part].products;
    const bool last = part + 1 == parts.size();
    const Part& next = parts[last ? 0 : part + 1];
    if (next.bytes > kFetched || products.empty()) continue;
    size_t row = 0;
    for (size_t number : next.takes) {
      Operation<T>& take = old[number];
      take.run = kernels_.take_fetched;
      for (int64_t k = 0; k < take.rows; ++k, ++row) {
        auto& here = before[products[row * products.size() / static_cast<size_t>(next.rows)]];
        if (here.empty() || here.back().call != take.call) {
          here.push_back(take);
          here.back().run = kernels_.fetch;
          here.back().row += k + (last ? batch_rows_ : 0);
          here.back().rows = 0;
        }
        ++here.back().rows;
      }
    }
  }
  noted.operations.clear();
  auto stop = noted.stops.begin();
  size_t once = 0;  // until here one thread does what comes, and it stays together
  for (size_t k = 0; k <= old.size(); ++k) {
    if (k >= once && k < old.size())
      noted.operations.insert(noted.operations.end(), before[k].begin(), before[k].end());
    for (; stop != noted.stops.end() && stop->at == static_cast<int64_t>(k); ++stop) {
      stop->at = static_cast<int64_t>(noted.operations.size());
      once = k + static_cast<size_t>(stop->once);
    }
    if (k < old.size()) noted.operations.push_back(old[k]);
  }
}

template <class T>
void Plan<T>::work_noted(const Noted<T>& noted, const Batch& batch) {
  const Operation<T>*const first = noted.operations.data(), *op = first;
  for (const typename Noted<T>::Stop& stop : noted.stops) {
    for (; op < first + stop.at; ++op) op->run(*op, batch);
    const Operation<T>* const after = op + stop.once;
    if (stop.waits)
      barrier_.wait(1, [&] {
        for (const Operation<T>* o = op; o < after; ++o) o->run(*o, batch);
      });
    op = after;
    if (stop.looks && !finite()) return;
  }
  for (const Operation<T>*const end = first + noted.operations.size(); op < end; ++op)
    op->run(*op, batch);
}

template <class T>
int64_t Plan<T>::parts(const Ready<T>& call) const {
  return call.blocks > 0 ? kernels_.layout.panels(call.frame.cols) * call.blocks
                         : call.frame.rows;
}

// How a thread's part of some calls is cut into units: of neighbours some rows go through all of
// them while they are in cache; a product alone is cut where that reads nothing twice.
template <class T>
typename Plan<T>::Cut Plan<T>::cut(const Ready<T>* first, const Ready<T>* last,
                                   int thread) const {
  auto [low, high] = share_of(parts(*first), thread, active_);
  Cut cut{low, high, low, std::max<int64_t>(high - low, 1), false, 0};
  if (last - first > 1) {
    cut.step = kBlock;
  } else if (noting_ == nullptr && !first->whole) {
    if (const int64_t some = first->blocks > 0 ? first->blocks : first->together; some > 0) {
      cut.step = some;
      cut.base = low / some * some;
    } else if (first->item->code == Code::matmul_tb && low < high) {
      return {low, high, 0, 1, true, kernels_.layout.panels(first->frame.cols)};
    }
  }
  cut.units = (high - cut.base + cut.step - 1) / cut.step;
  return cut;
}

// One unit of a part of some calls, by a thread that may be another than whose part it is.
template <class T>
void Plan<T>::unit(const Ready<T>* first, const Ready<T>* last, const Batch& batch,
                   const Cut& cut, int64_t number, int thread) {
  const size_t place = static_cast<size_t>(first - programs_[current_].calls.data());
  const int64_t low = std::max(cut.low, cut.base + number * cut.step);
  const int64_t high = std::min(cut.high, cut.base + (number + 1) * cut.step);
  for (const Ready<T>* call = first; call < last; ++call) {
    if (stopped_.load(std::memory_order_relaxed)) return;  // what is left is not used
    if (cut.panels) {
      const Desk<T> desk{batch, scratch_[thread], notes_};
      kernels_.transposed_panels(*call, desk, number, number + 1, cut.low, cut.high);
    } else {
      execute(*call, batch, thread, low, high);
    }
    if (thread == 0) ask(place);
  }
}

// A thread's part of a call, or of neighbours whose row i needs only row i of each other.
template <class T>
void Plan<T>::share(const Ready<T>* first, const Ready<T>* last, const Batch& batch,
                    int thread) {
  const Cut cut = this->cut(first, last, thread);
  if (active_ == 1 || noting_ != nullptr || cut.units == 1) {
    for (int64_t k = 0; k < cut.units; ++k) unit(first, last, batch, cut, k, thread);
    return;
  }
  Part<T>& part = parts_[thread];
  part.first = first;
  part.last = last;
  part.units.each(static_cast<int>(cut.units),
                  [&](int k) { unit(first, last, batch, cut, k, thread); });
}

// Does a unit of another thread's part; false where there is none.
template <class T>
bool Plan<T>::help(const Batch& batch, int thread) {
  for (int other = 0; other < active_; ++other) {
    Part<T>& part = parts_[other];
    const auto one = [&](int k) {
      unit(part.first, part.last, batch, cut(part.first, part.last, other), k, thread);
    };
    if (part.units.help(one)) return true;
  }
  return false;
}

template class Plan<float>;
template class Plan<double>;

}  // namespace kb
