// Whole plans through the engine, without Python.
//
//   test_plan CASES [--stride N] [--fuzz N] [part ...]
//
// Parts, all by default:
//   cases    the plans of make_cases.py, their values against the reference's, and the bits
//            of 2 and 3 threads against those of 1, on every instruction set of the machine
//   team     threads and barriers under load
//   fork     threads after a fork, and where none can be had
//   refused  plans that do not hold
//   fuzz     plans with random numbers in their fields: refused, or run without harm
//
// --stride N takes every N-th plan, --fuzz N tries N plans a type and set. Build it with a
// sanitizer to see harm that changes no value.

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "plan.h"
#include "sets.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KB_SANITIZED 1
// What is too large is refused as elsewhere, not reported.
extern "C" const char* __asan_default_options() {
  return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}
extern "C" const char* __tsan_default_options() {
  return "allocator_may_return_null=1:max_allocation_size_mb=1024";
}
#else
#define KB_SANITIZED 0
#endif
#if defined(__SANITIZE_THREAD__)
#define KB_TSAN 1
#else
#define KB_TSAN 0
#endif

namespace {

using namespace kb;

// Operations of a step's products: so many that every plan is given its threads, and few
// enough that a step is done from notes, on its threads or on one.
constexpr double kLongStep = 1e9, kShortStep = 1e6, kLeastStep = 0;

int failures = 0;

void fail(const std::string& what) {
  if (++failures <= 20) fprintf(stderr, "FAILED %s\n", what.c_str());
}

// ---------------------------------------------------------------- the file

struct Broken : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Reader {
 public:
  explicit Reader(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw Broken("cannot read " + path);
    std::ostringstream all;
    all << file.rdbuf();
    bytes_ = std::move(all).str();
  }
  int64_t whole() { return get<int64_t>(); }
  double real() { return get<double>(); }
  bool yes() {
    int64_t x = whole();
    if (x != 0 && x != 1) throw Broken("neither yes nor no");
    return x == 1;
  }
  int small() {
    int64_t x = whole();
    if (x < INT32_MIN || x > INT32_MAX) throw Broken("a number is too large");
    return static_cast<int>(x);
  }
  // How many things follow, of at least so many bytes each.
  size_t many(size_t bytes) {
    int64_t x = whole();
    if (x < 0 || static_cast<uint64_t>(x) > left() / bytes) throw Broken("too many");
    return static_cast<size_t>(x);
  }
  std::string text() {
    size_t n = many(1);
    std::string found(bytes_.data() + at_, n);
    at_ += n;
    return found;
  }
  std::vector<double> reals(size_t n) {
    if (n > left() / sizeof(double)) throw Broken("the file is too short");
    std::vector<double> found(n);
    memcpy(found.data(), bytes_.data() + at_, n * sizeof(double));
    at_ += n * sizeof(double);
    return found;
  }
  bool at_end() const { return left() == 0; }

 private:
  template <class X>
  X get() {
    if (left() < sizeof(X)) throw Broken("the file is too short");
    X x;
    memcpy(&x, bytes_.data() + at_, sizeof x);
    at_ += sizeof x;
    return x;
  }
  size_t left() const { return bytes_.size() - at_; }

  std::string bytes_;
  size_t at_ = 0;
};

struct Grid {
  int64_t rows = 0, cols = 0;
  std::vector<double> values;
};

struct Value {
  int id;
  Grid grid;
};

struct Run {
  int64_t rows;
  std::vector<int64_t> order;
  uint64_t seed, draw;
  std::vector<Value> values;
};

struct Expected {
  Value value;
  double close64, close32;
};

struct Case {
  std::string name;
  int guard = -1;
  int64_t most_rows = 1;
  std::vector<Buffer> buffers;
  std::vector<Instruction> code;
  std::vector<Grid> sources;
  std::vector<Value> values;
  std::vector<Run> runs;
  std::vector<Expected> expected;
};

constexpr const char* kCodes[] = {
#define KB_TEXT(name) #name,
    KB_INSTRUCTIONS(KB_TEXT)
#undef KB_TEXT
};
constexpr const char* kMicros[] = {
#define KB_TEXT(name, arity, row) #name,
    KB_MICRO(KB_TEXT)
#undef KB_TEXT
};

template <size_t N>
int number_of(const char* const (&names)[N], const std::string& name) {
  for (size_t k = 0; k < N; ++k)
    if (name == names[k]) return static_cast<int>(k);
  throw Broken("no such name: " + name);
}

template <class X, class F>
std::vector<X> each(Reader& from, size_t bytes, F read) {
  std::vector<X> found;
  for (size_t n = from.many(bytes); n > 0; --n) found.push_back(read());
  return found;
}

Grid grid(Reader& from) {
  Grid g;
  g.rows = from.whole();
  g.cols = from.whole();
  if (g.rows < 1 || g.cols < 1 || g.rows > (1 << 20) || g.cols > (1 << 20))
    throw Broken("a matrix's shape");
  g.values = from.reals(static_cast<size_t>(g.rows * g.cols));
  return g;
}

Value value(Reader& from) {
  int id = from.small();
  return {id, grid(from)};
}

Argument argument(Reader& from) {
  int place = from.small(), index = from.small();
  if (place < 0 || place > static_cast<int>(Place::number)) throw Broken("a place");
  return {static_cast<Place>(place), index, from.real()};
}

Target target(Reader& from) {
  bool stored = from.yes();
  return {stored, from.small()};
}

Step step(Reader& from) {
  Step s;
  s.micro = static_cast<Micro>(number_of(kMicros, from.text()));
  s.tall = from.yes();
  s.args = each<Argument>(from, 24, [&] { return argument(from); });
  s.to = target(from);
  s.value = from.real();
  return s;
}

Instruction instruction(Reader& from) {
  Instruction item;
  item.code = static_cast<Code>(number_of(kCodes, from.text()));
  item.results = each<int>(from, 8, [&] { return from.small(); });
  item.operands = each<int>(from, 8, [&] { return from.small(); });
  item.ints = each<int64_t>(from, 8, [&] { return from.whole(); });
  item.numbers = each<double>(from, 8, [&] { return from.real(); });
  item.steps = each<Step>(from, 8, [&] { return step(from); });
  item.fed = target(from);
  item.start = from.small();
  item.rows = from.whole();
  item.cols = from.whole();
  item.barrier = from.yes();
  item.guarded = from.yes();
  item.chain = from.small();
  item.by_columns = from.yes();
  return item;
}

Run run(Reader& from) {
  Run r;
  r.rows = from.whole();
  r.order = each<int64_t>(from, 8, [&] { return from.whole(); });
  r.seed = static_cast<uint64_t>(from.whole());
  r.draw = static_cast<uint64_t>(from.whole());
  r.values = each<Value>(from, 8, [&] { return value(from); });
  return r;
}

Case one_case(Reader& from) {
  Case c;
  c.name = from.text();
  c.guard = from.small();
  c.most_rows = from.whole();
  c.buffers = each<Buffer>(from, 24, [&] {
    int64_t rows = from.whole(), cols = from.whole();
    return Buffer{rows, cols, from.small()};
  });
  c.code = each<Instruction>(from, 8, [&] { return instruction(from); });
  c.sources = each<Grid>(from, 16, [&] { return grid(from); });
  c.values = each<Value>(from, 8, [&] { return value(from); });
  c.runs = each<Run>(from, 8, [&] { return run(from); });
  c.expected = each<Expected>(from, 8, [&] {
    Expected e{value(from), 0, 0};
    e.close64 = from.real();
    e.close32 = from.real();
    return e;
  });
  return c;
}

std::vector<Case> cases_of(const std::string& path) {
  Reader from(path);
  if (from.text() != "kokuban plans 1") throw Broken("not a file of plans");
  std::vector<Case> cases = each<Case>(from, 8, [&] { return one_case(from); });
  if (!from.at_end()) throw Broken("more than was announced");
  return cases;
}

// ---------------------------------------------------------------- a plan's run

template <class T>
std::vector<T> numbers(const Grid& g) {
  return {g.values.begin(), g.values.end()};
}

template <class T>
constexpr const char* kType = sizeof(T) == 4 ? "float" : "double";

int64_t fewest_rows(const Case& c) {
  int64_t fewest = 0;
  for (const Run& r : c.runs) fewest = fewest > 0 ? std::min(fewest, r.rows) : r.rows;
  return std::max<int64_t>(fewest, 1);
}

// The column of each row's 1, where rows hold one of them and else zeros; else nothing.
std::vector<double> ones_of(const Grid& g) {
  std::vector<double> ones;
  for (auto row = g.values.begin(); g.cols > 1 && row < g.values.end(); row += g.cols) {
    const auto one = std::find(row, row + g.cols, 1.0);
    if (std::count(row, row + g.cols, 0.0) != g.cols - 1 || one == row + g.cols) return {};
    ones.push_back(static_cast<double>(one - row));
  }
  return ones;
}

// A plan with what it reads; the data are held for as long as it.
template <class T>
class Ran {
 public:
  // A plan with one thread is done from notes, others where `work` says so. With `ones` data of
  // rows with a 1 each are given as where they are.
  Ran(const Kernels<T>& kernels, const Case& c, int threads, double work = kLongStep,
      bool ones = false)
      : plan_(kernels, c.buffers, c.code, c.guard, c.most_rows, threads,
              (threads == 1 ? kLeastStep : work) / static_cast<double>(fewest_rows(c))) {
    for (const Grid& g : c.sources) {
      std::vector<double> places = ones ? ones_of(g) : std::vector<double>();
      const bool found = !places.empty();
      const auto number = static_cast<int>(data_.size());
      data_.push_back(numbers<T>(found ? Grid{g.rows, 1, std::move(places)} : g));
      plan_.source(number, data_.back().data(), g.rows, g.cols, found);
    }
  }
  // Only a value of the buffer's shape is set.
  bool set(const Value& v) {
    if (plan_.rows_of(v.id) != v.grid.rows || plan_.cols_of(v.id) != v.grid.cols) return false;
    plan_.set(v.id, numbers<T>(v.grid).data());
    return true;
  }
  void rows(int64_t rows) { plan_.batch_rows(rows); }
  void step(const Run& r) {
    Batch batch;
    batch.order = r.order.empty() ? nullptr : r.order.data();
    batch.rows = r.rows;
    batch.seed = r.seed;
    batch.draw = r.draw;
    plan_.step(batch);
  }
  std::vector<T> get(int id) {
    std::vector<T> found(static_cast<size_t>(plan_.rows_of(id) * plan_.cols_of(id)));
    plan_.get(id, found.data());
    return found;
  }

 private:
  std::vector<std::vector<T>> data_;
  Plan<T> plan_;
};

template <class T>
std::vector<std::vector<T>> results(const Kernels<T>& kernels, const Case& c, int threads,
                                    double work = kLongStep, bool ones = false) {
  Ran<T> ran(kernels, c, threads, work, ones);
  auto set = [&](const Value& v) {
    if (!ran.set(v)) throw Broken(c.name + ": a value's shape");
  };
  ran.rows(c.runs.at(0).rows);
  for (const Value& v : c.values) set(v);
  for (const Run& r : c.runs) {
    ran.rows(r.rows);
    for (const Value& v : r.values) set(v);
    ran.step(r);
  }
  std::vector<std::vector<T>> found;
  for (const Expected& e : c.expected) {
    found.push_back(ran.get(e.value.id));
    if (found.back().size() != e.value.grid.values.size())
      throw Broken(c.name + ": an expected value's shape");
  }
  return found;
}

// The largest distance of a value from what is expected, in parts of what is allowed.
template <class T>
double distance(const std::vector<T>& found, const Expected& e) {
  double most = 0, allowed = sizeof(T) == 4 ? e.close32 : e.close64;
  for (size_t k = 0; k < found.size(); ++k) {
    double off = std::abs(static_cast<double>(found[k]) - e.value.grid.values[k]) / allowed;
    most = off >= 0 && most >= 0 ? std::max(most, off) : NAN;
  }
  return most;
}

template <class T>
void test_case(const Kernels<T>& kernels, const std::string& set, const Case& c) {
  const std::string name = c.name + " (" + set + ", " + kType<T> + ")";
  const auto alone = results(kernels, c, 1);
  for (size_t k = 0; k < alone.size(); ++k) {
    double off = distance(alone[k], c.expected[k]);
    if (!(off <= 1)) fail(name + ": value " + std::to_string(k) + " is " + std::to_string(off) +
                          " times as far off as allowed");
  }
  auto hold = [&](const std::vector<std::vector<T>>& other, const std::string& how) {
    for (size_t k = 0; k < alone.size(); ++k)
      if (memcmp(alone[k].data(), other[k].data(), sizeof(T) * alone[k].size()) != 0)
        fail(name + ": other bits with " + how);
  };
  for (double work : {kLongStep, kShortStep})
    for (int threads : {2, 3})
      hold(results(kernels, c, threads, work), std::to_string(threads) + " threads");
  if (std::any_of(c.sources.begin(), c.sources.end(),
                  [](const Grid& g) { return !ones_of(g).empty(); }))
    for (int threads : {1, 2, 3})
      hold(results(kernels, c, threads, kShortStep, true), "places of ones");
}

void test_cases(const std::vector<Case>& cases) {
  for (const std::string& set : instruction_sets())
    for (const Case& c : cases) {
      test_case(kernels_of<float>(set), set, c);
      test_case(kernels_of<double>(set), set, c);
    }
}

// What is put into a buffer comes back, where threads divide the copying too.
template <class T>
void test_copies(const Kernels<T>& kernels) {
  for (auto [rows, cols] : {std::pair<int64_t, int64_t>{1, 1}, {3, 70}, {1100, 1001}, {2, 600'000}})
    for (int threads : {1, 2, 3}) {
      const std::vector<Buffer> buffers{{rows, cols, 0}};
      Plan<T> plan(kernels, buffers, {}, -1, 1, threads, 1);
      std::vector<T> given(static_cast<size_t>(rows * cols)), found(given.size());
      for (size_t k = 0; k < given.size(); ++k) given[k] = static_cast<T>(k % 8191 + 1);
      plan.set(0, given.data());
      plan.get(0, found.data());
      if (given != found)
        fail("copies of " + std::to_string(rows) + " rows by " + std::to_string(threads) +
             " threads");
    }
}

// ---------------------------------------------------------------- threads

// Members pass a barrier again and again, and find the others where they are themselves.
// Some come so late that the others go to sleep.
void test_barrier(int members, int rounds, bool late) {
  Team team(members);
  Barrier barrier(members);
  std::vector<int> at(members, 0);  // not atomic: the barrier orders them
  std::atomic<int> wrong{0};
  team.run([&](int me) {
    for (int k = 1; k <= rounds; ++k) {
      if (late && (k + me) % 5 == 0) std::this_thread::sleep_for(std::chrono::microseconds(300));
      at[me] = k;
      barrier.wait();
      for (int other : at)
        if (other != k) ++wrong;
      barrier.wait();
    }
  });
  if (wrong != 0) fail("a barrier of " + std::to_string(members) + " lets somebody through");
}

// Each run reaches each member once, and is over when run() comes back.
void test_runs(int members, int runs) {
  Team team(members);
  std::vector<int> done(members, 0);
  for (int k = 1; k <= runs; ++k) {
    team.run([&](int me) { ++done[me]; });
    for (int many : done)
      if (many != k) return fail("a run of a team of " + std::to_string(members));
  }
}

// Those at a barrier do the units of who is late: here its first unit lasts until the others
// have begun all the rest. Each is done once, and none is under way when the late one goes on.
void test_help(int members, int rounds) {
  constexpr int kUnits = 50;
  Team team(members);
  Barrier barrier(members);
  Units units;
  std::vector<int> done(kUnits, 0);  // not atomic: who goes on has waited for those that help
  std::atomic<int> round{0}, by_others{0}, wrong{0};
  team.run([&](int me) {
    for (int k = 1; k <= rounds; ++k) {
      if (me == 0) {
        by_others = 0;
        const auto latest = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        units.each(kUnits, [&](int number) {
          ++done[number];
          if (number == 0) round = k;
          while (by_others < kUnits - 1 && std::chrono::steady_clock::now() < latest)
            std::this_thread::yield();
        });
        if (by_others != kUnits - 1) ++wrong;
        for (int many : done)
          if (many != k) ++wrong;
      }
      while (round < k) std::this_thread::yield();
      const auto one = [&](int number) {
        ++by_others;
        if (number == 1) std::this_thread::sleep_for(std::chrono::microseconds(300));
        ++done[number];
      };
      barrier.wait(1, [] {}, [&] { return me != 0 && units.help(one); });
    }
  });
  if (wrong != 0) fail("who is late is not helped by " + std::to_string(members - 1));
}

// A child has none of its parent's threads.
void test_child() {
  Team team(3);
  std::atomic<int> sum{0};
  team.run([&](int me) { sum += me + 1; });
  const pid_t child = fork();
  if (child == 0) {
    sum = 0;
    team.run([&](int me) { sum += me + 1; });
    _exit(sum == 6 ? 0 : 1);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    fail("a team after a fork");
  team.run([&](int me) { sum += me + 1; });
  if (sum != 12) fail("a team after its child");
}

// Where threads cannot be had, a run says so, and the team can still be tried again or let
// go. In a child, which gives itself too little memory for their stacks.
void test_no_threads() {
  const pid_t child = fork();
  if (child == 0) {
    int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    rlimit before{};
    getrlimit(RLIMIT_AS, &before);
    rlimit low = before;
    low.rlim_cur = static_cast<rlim_t>(pages * getpagesize()) + (rlim_t{20} << 20);
    int said = 0;
    std::atomic<int> sum{0};
    auto work = [&](int) { ++sum; };
    {
      Team small(16), never(16);
      setrlimit(RLIMIT_AS, &low);
      for (Team* team : {&never, &small}) try {
          team->run(work);
        } catch (const std::system_error&) {
          ++said;
        }
      setrlimit(RLIMIT_AS, &before);
      small.run(work);
    }
    _exit(said == 2 && sum == 16 ? 0 : 1);
  }
  int status = 1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
    fail("a team whose threads cannot be had");
}

void test_team() {
  const int rounds = KB_TSAN ? 300 : 3000;
  { Team never_used(3); }
  for (int members : {1, 2, 3, 5}) {
    test_runs(members, rounds);
    test_barrier(members, rounds, false);
    test_barrier(members, rounds / 30, true);
    if (members > 1) test_help(members, rounds / 30);
  }
  std::atomic<bool> over{false};  // under load, several teams at once
  std::vector<std::thread> others;
  others.emplace_back([&] { while (!over) {} });
  for (int k = 0; k < 3; ++k) others.emplace_back([=] { test_barrier(3, rounds / 10, k == 1); });
  test_barrier(3, rounds / 10, false);
  over = true;
  for (std::thread& t : others) t.join();
}

// ---------------------------------------------------------------- refused

// Y N×2 = X N×3 · W 3×2 in one chain with Z = exp Y; then the guarded U = 1ᵀ Z.
Case good() {
  Case c;
  c.name = "good";
  c.most_rows = 4;
  c.guard = 5;
  c.buffers = {{-1, 3, 0}, {3, 2, 1}, {-1, 2, 2}, {-1, 2, 3}, {1, 2, 4}, {1, 1, 5}, {2, 3, 6}};
  Instruction y, z, loss, u, t;
  y.code = Code::matmul;
  y.results = {2};
  y.operands = {0, 1};
  y.fed = {true, 0};
  y.rows = z.rows = -1;
  y.cols = z.cols = 2;
  y.chain = z.chain = 1;
  z.results = {3};
  z.operands = {2};
  z.steps = {{Micro::exp, false, {{Place::full, 0, 0}}, {true, 0}, 0}};
  loss.code = Code::sum_all;
  loss.results = {5};
  loss.operands = {3};
  loss.fed = {true, 0};
  loss.rows = loss.cols = 1;
  loss.barrier = true;
  u.code = Code::sum_rows;
  u.results = {4};
  u.operands = {3};
  u.fed = {true, 0};
  u.rows = 1;
  u.cols = 2;
  u.barrier = u.guarded = true;
  t.code = Code::transpose;
  t.results = {6};
  t.operands = {1};
  t.rows = 2;
  t.cols = 3;
  c.code = {y, z, loss, u, t};
  c.runs = {{4, {}, 0, 0, {}}, {1, {}, 0, 0, {}}};
  return c;
}

template <class T>
bool is_refused(const Case& c, int threads = 1) {
  try {
    Ran<T> ran(kernels_of<T>("baseline"), c, threads);
    for (const Run& r : c.runs) ran.step(r);
  } catch (const Refused&) {
    return true;
  }
  return false;
}

void test_refused() {
  if (is_refused<float>(good(), 3)) fail("a good plan is refused");
  struct Change {
    const char* name;
    std::function<void(Case&)> make;
  };
  const int64_t huge = int64_t{1} << 62;
  const Change changes[] = {
      {"no rows in a batch", [](Case& c) { c.most_rows = 0; }},
      {"a guard that is not there", [](Case& c) { c.guard = 9; }},
      {"a guard below", [](Case& c) { c.guard = -2; }},
      {"a buffer without columns", [](Case& c) { c.buffers[1].cols = 0; }},
      {"a buffer of the batch's columns", [](Case& c) { c.buffers[1].cols = -1; }},
      {"a buffer too large", [=](Case& c) { c.buffers[1].rows = huge; }},
      {"a memory that is not there", [](Case& c) { c.buffers[1].memory = 7; }},
      {"a factor's shape", [](Case& c) { c.buffers[1].rows = 4; }},
      {"no such instruction", [](Case& c) { c.code[0].code = static_cast<Code>(99); }},
      {"no operand", [](Case& c) { c.code[0].operands.clear(); }},
      {"an operand that is not there", [](Case& c) { c.code[0].operands[1] = 7; }},
      {"no result", [](Case& c) { c.code[0].results.clear(); }},
      {"a result that is its factor", [](Case& c) { c.buffers[2].memory = 0; }},
      {"a chain of other rows", [](Case& c) { c.code[3].chain = c.code[4].chain = 2; }},
      {"columns of a chain", [](Case& c) { c.code[0].by_columns = true; }},
      {"columns of a transpose", [](Case& c) { c.code[4].by_columns = true; }},
      {"a frame too wide",
       [=](Case& c) {  // with numbers for each row alone, which no result's width holds
         c.code[1].cols = huge;
         c.buffers[3].cols = 1;
         c.code[1].operands.clear();
         c.code[1].steps = {
             {Micro::copy, false, {{Place::number, 0, 1}}, {false, 0}, 0},
             {Micro::row_sum, true, {{Place::temporary, 0, 0}}, {true, 0}, 0}};
         c.code.resize(2);
       }},
      {"rows to take, without an order",
       [](Case& c) {
         Instruction take;
         take.code = Code::take;
         take.results = {0};
         take.ints = {0};
         take.rows = -1;
         take.cols = 3;
         c.code.insert(c.code.begin(), take);
         c.sources = {{4, 3, std::vector<double>(12, 1.0)}};
       }},
      {"a row that the data do not have",
       [](Case& c) {
         Instruction take;
         take.code = Code::take;
         take.results = {0};
         take.ints = {0};
         take.rows = -1;
         take.cols = 3;
         c.code.insert(c.code.begin(), take);
         c.sources = {{4, 3, std::vector<double>(12, 1.0)}};
         c.runs[0].order = {0, 1, 2, 4};
       }},
      {"a loss that is not there when it is looked at",
       [](Case& c) { c.code[3].barrier = false; }},
      {"a loss that changes after it was looked at", [](Case& c) { c.guard = 4; }},
      {"a batch too large", [](Case& c) { c.runs[0].rows = 5; }},
      {"a batch of none", [](Case& c) { c.runs[0].rows = 0; }},
  };
  for (const Change& change : changes) {
    Case c = good();
    change.make(c);
    if (!is_refused<float>(c) || !is_refused<double>(c))
      fail(std::string("not refused: ") + change.name);
  }
}

// ---------------------------------------------------------------- fuzz

class Fuzz {
 public:
  explicit Fuzz(uint64_t seed) : random_(seed) {}

  int below(size_t many) { return static_cast<int>(random_() % many); }

  // Mostly small, sometimes at the ends of what a field can hold.
  int64_t number() {
    static const int64_t ends[] = {INT64_MAX,       INT64_MIN,  int64_t{1} << 40, int64_t{1} << 31,
                                   -(int64_t{1} << 40), INT32_MAX, INT32_MIN,     int64_t{1} << 62};
    int kind = below(12);
    if (kind == 0) return ends[below(std::size(ends))];
    return kind < 9 ? below(12) - 3 : below(90) - 10;
  }

  void change(Case& c) {
    switch (below(8)) {
      case 0: return change(c.buffers[below(c.buffers.size())]);
      case 1: c.guard = some(c.guard); return;
      case 2: {
        Run& r = c.runs[below(c.runs.size())];
        if (below(2) == 0) r.rows = number();
        if (r.order.empty()) return;
        r.order[below(r.order.size())] = number();
        if (r.rows > 0 && r.rows < 100) r.order.resize(static_cast<size_t>(r.rows));
        return;
      }
      case 3:
        if (below(8) == 0) c.most_rows = number();
        return;
      default: return change(c.code[below(c.code.size())]);
    }
  }

 private:
  int some(int) { return static_cast<int>(number()); }
  int64_t some(int64_t) { return number(); }
  bool some(bool) { return below(2) == 1; }

  void change(Buffer& b) {
    switch (below(3)) {
      case 0: b.rows = some(b.rows); return;
      case 1: b.cols = some(b.cols); return;
      default: b.memory = some(b.memory);
    }
  }
  template <class X>
  void change_list(std::vector<X>& list) {
    int kind = below(6);
    if (kind == 0) list.push_back(static_cast<X>(number()));
    else if (kind == 1 && !list.empty()) list.pop_back();
    else if (!list.empty()) list[below(list.size())] = static_cast<X>(number());
  }
  void change(Argument& a) {
    if (below(2) == 0) a.place = static_cast<Place>(below(7));
    else a.index = some(a.index);
  }
  void change(Target& to) {
    if (below(2) == 0) to.stored = !to.stored;
    else to.index = some(to.index);
  }
  void change(Step& s) {
    switch (below(6)) {
      case 0: s.micro = static_cast<Micro>(below(static_cast<int>(Micro::count) + 2)); return;
      case 1: s.tall = !s.tall; return;
      case 2: return change(s.to);
      case 3: s.args.resize(below(kMostArguments + 2)); return;
      default:
        if (!s.args.empty()) change(s.args[below(s.args.size())]);
    }
  }
  void change(Instruction& item) {
    switch (below(15)) {
      case 0: item.code = static_cast<Code>(below(static_cast<int>(Code::count) + 2) - 1); return;
      case 1: return change_list(item.results);
      case 2: return change_list(item.operands);
      case 3: return change_list(item.ints);
      case 4: return change_list(item.numbers);
      case 5: return change(item.fed);
      case 6: item.start = some(item.start); return;
      case 7: item.rows = some(item.rows); return;
      case 8: item.cols = some(item.cols); return;
      case 9: item.barrier = !item.barrier; return;
      case 10: item.guarded = !item.guarded; return;
      case 11: item.chain = some(item.chain); return;
      case 12: item.by_columns = !item.by_columns; return;
      default:
        if (!item.steps.empty()) change(item.steps[below(item.steps.size())]);
    }
  }

  std::mt19937_64 random_;
};

// Runs it if it is not refused. What it gives is of no interest.
template <class T>
bool survives(const Kernels<T>& kernels, const Case& c, int threads) {
  try {
    Ran<T> ran(kernels, c, threads);
    for (const Run& r : c.runs) {
      if (!r.order.empty() && r.rows > static_cast<int64_t>(r.order.size())) return false;
      ran.rows(r.rows);
      for (const Value& v : c.values) ran.set(v);
      for (const Value& v : r.values) ran.set(v);
      ran.step(r);
    }
    for (size_t k = 0; k < c.buffers.size(); ++k) ran.get(static_cast<int>(k));
  } catch (const Refused&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
  return true;
}

template <class T>
void fuzz(const std::vector<const Case*>& small, const std::string& set, int many) {
  Fuzz random(sizeof(T));
  int ran = 0;
  for (int k = 0; k < many; ++k) {
    Case c = *small[random.below(small.size())];
    for (int changes = 1 + random.below(3); changes > 0; --changes) random.change(c);
    // what several threads write at once without a barrier is no harm, but a race
    ran += survives(kernels_of<T>(set), c, KB_TSAN ? 1 : 1 + random.below(3));
  }
  printf("fuzz %s %s: %d of %d plans ran\n", set.c_str(), kType<T>, ran, many);
  if (ran == 0 || ran == many) fail("fuzz refuses all plans, or none");
}

void test_fuzz(const std::vector<Case>& cases, int many) {
  const Case own = good();
  std::vector<const Case*> small{&own};
  for (const Case& c : cases) {
    int64_t size = 0;
    for (const Buffer& b : c.buffers) size += (b.rows < 0 ? c.most_rows : b.rows) * b.cols;
    if (size < 3000 && !c.code.empty()) small.push_back(&c);
  }
  for (const std::string& set : instruction_sets()) {
    fuzz<float>(small, set, many);
    fuzz<double>(small, set, many);
  }
}

}  // namespace

int main(int count, char** words) {
  std::string path;
  std::vector<std::string> parts;
  int stride = 1, many = 4000;
  for (int i = 1; i < count; ++i) {
    const std::string word = words[i];
    if (word == "--stride" && i + 1 < count) stride = std::max(1, atoi(words[++i]));
    else if (word == "--fuzz" && i + 1 < count) many = std::max(1, atoi(words[++i]));
    else if (path.empty()) path = word;
    else parts.push_back(word);
  }
  auto wanted = [&](const char* part) {
    return parts.empty() || std::find(parts.begin(), parts.end(), part) != parts.end();
  };
  if (!KB_SANITIZED) {  // what is too large is refused, also where memory is promised freely
    const rlimit most{rlim_t{8} << 30, rlim_t{8} << 30};
    setrlimit(RLIMIT_AS, &most);
  }
  try {
    std::vector<Case> cases;
    if (wanted("cases") || wanted("fuzz")) {
      std::vector<Case> all = cases_of(path);
      for (size_t k = 0; k < all.size(); k += static_cast<size_t>(stride))
        cases.push_back(std::move(all[k]));
      printf("%zu plans\n", cases.size());
    }
    if (wanted("team")) {
      test_team();
      for (const std::string& set : instruction_sets()) {
        test_copies(kernels_of<float>(set));
        test_copies(kernels_of<double>(set));
      }
    }
    if (wanted("fork")) test_child();
    if (wanted("fork") && !KB_SANITIZED) test_no_threads();
    if (wanted("refused")) test_refused();
    if (wanted("cases")) test_cases(cases);
    if (wanted("fuzz")) test_fuzz(cases, many);
    printf("%d failures\n", failures);
  } catch (const std::exception& e) {
    fail(e.what());
  }
  return failures == 0 ? 0 : 1;
}
