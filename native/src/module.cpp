// The binding: checks what Python gives before native code runs on it.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <utility>

#include "plan.h"
#include "sets.h"

namespace nb = nanobind;

namespace kb {

std::vector<std::string> names_of_codes() {
  return {
#define KB_TEXT(name) #name,
      KB_INSTRUCTIONS(KB_TEXT)
#undef KB_TEXT
  };
}
std::vector<std::string> names_of_micros() {
  return {
#define KB_TEXT(name, arity, row) #name,
      KB_MICRO(KB_TEXT)
#undef KB_TEXT
  };
}

// An argument: (place, index, value). A target: (stored, index).
using ArgumentTuple = std::tuple<int, int, double>;
using TargetTuple = std::tuple<bool, int>;
// (micro, tall, arguments, target, value)
using StepTuple = std::tuple<int, bool, std::vector<ArgumentTuple>, TargetTuple, double>;
// (code, results, operands, ints, numbers, steps, fed, start, rows, cols, barrier, guarded,
//  chain, by columns)
using ItemTuple =
    std::tuple<int, std::vector<int>, std::vector<int>, std::vector<int64_t>,
               std::vector<double>, std::vector<StepTuple>, TargetTuple, int, int64_t, int64_t,
               bool, bool, int, bool>;
using BufferTuple = std::tuple<int64_t, int64_t, int>;  // rows, columns, memory

Argument argument_of(const ArgumentTuple& t) {
  auto [place, index, value] = t;
  if (place < 0 || place > static_cast<int>(Place::number)) throw Refused("a place");
  return {static_cast<Place>(place), index, value};
}

Target target_of(const TargetTuple& t) { return {std::get<0>(t), std::get<1>(t)}; }

Instruction instruction_of(const ItemTuple& t) {
  Instruction item;
  std::vector<StepTuple> steps;
  int code = 0;
  TargetTuple fed;
  std::tie(code, item.results, item.operands, item.ints, item.numbers, steps, fed, item.start,
           item.rows, item.cols, item.barrier, item.guarded, item.chain, item.by_columns) = t;
  item.code = static_cast<Code>(code);
  item.fed = target_of(fed);
  for (const auto& [micro, tall, args, to, value] : steps) {
    Step& step = item.steps.emplace_back();
    step = {static_cast<Micro>(micro), tall, {}, target_of(to), value};
    for (const ArgumentTuple& a : args) step.args.push_back(argument_of(a));
  }
  return item;
}

// One thread of Python at a time works with an engine: native code runs without Python's
// own lock.
class Turn {
 public:
  explicit Turn(std::mutex& mutex) : mutex_(mutex) {
    if (mutex_.try_lock()) return;
    nb::gil_scoped_release release;  // or who has the engine could not give it back
    mutex_.lock();
  }
  ~Turn() { mutex_.unlock(); }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  std::mutex& mutex_;
};

// Rows to take, some thousands of them copied at a time, since who gave them may change them.
class Order {
 public:
  Order(const int64_t* from, int64_t many) : from_(from), many_(many) {}
  // The next batch: `rows` of them from `at`, and what is known of those after them.
  void give(Batch& batch, int64_t at, int64_t rows) {
    if (at + rows > end_) {
      begin_ = at;
      end_ = std::min(many_, at + std::max(rows, kCopied));
      copy_.assign(from_ + begin_, from_ + end_);
    }
    batch.order = copy_.data() + (at - begin_);
    batch.rows = rows;
    batch.known = end_ - at;
  }

 private:
  static constexpr int64_t kCopied = 4096;
  const int64_t* from_;
  int64_t many_, begin_ = 0, end_ = 0;
  std::vector<int64_t> copy_;
};

constexpr double kHeard = 0.025;  // seconds from one look for Ctrl-C to the next

// Whether a time is over, without a look at the clock every time it is asked.
class Watch {
 public:
  explicit Watch(double seconds) : end_(now() + seconds), last_(now()) {}
  bool over() {
    if (++asked_ < every_) return false;
    asked_ = 0;
    double time = now();
    every_ = time - last_ < 1e-3 ? std::min(2 * every_, 256) : 1;
    last_ = time;
    return time > end_;
  }

 private:
  static double now() {
    std::chrono::duration<double> t = std::chrono::steady_clock::now().time_since_epoch();
    return t.count();
  }
  double end_, last_;
  int asked_ = 0, every_ = 1;
};

// What ends a run early: a signal, such as that of Ctrl-C, whose handler in Python raises.
class Signals {
 public:
  // Whether one has come, or `asked` says True or raises.
  bool end(PyObject* asked = nullptr) {
    nb::gil_scoped_acquire acquire;
    raised_ = raised_ || PyErr_CheckSignals() != 0;
    if (raised_ || asked == nullptr) return raised_;
    PyObject* answer = PyObject_CallNoArgs(asked);
    raised_ = answer == nullptr;
    const bool yes = answer == Py_True;
    Py_XDECREF(answer);
    return raised_ || yes;
  }
  void pass_on() const {
    if (raised_) nb::raise_python_error();
  }

 private:
  bool raised_ = false;
};

template <class T>
class Engine {
 public:
  using Array = nb::ndarray<const T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
  using Output = nb::ndarray<T, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
  using Indices = nb::ndarray<const int64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
  using Numbers = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

  Engine(const std::string& isa, const std::vector<BufferTuple>& buffers,
         const std::vector<ItemTuple>& code, int guard, int64_t most_rows, int threads,
         double work_a_row)
      : plan_(kernels_checked(isa), buffers_of(buffers), code_of(code), guard, most_rows,
              threads, work_a_row) {}

  void set(int id, const Array& values) {
    Turn turn(mutex_);
    fits(id, values.shape(0), values.shape(1));
    plan_.set(id, values.data());
  }
  void get(int id, const Output& values) {
    Turn turn(mutex_);
    fits(id, values.shape(0), values.shape(1));
    plan_.get(id, values.data());
  }
  void end(const std::vector<int>& kept) {
    Turn turn(mutex_);
    plan_.end(kept);
    held_.clear();
  }
  // With `columns` the data are the column of each row's 1, of so many.
  void source(int number, Array data, int64_t columns) {
    Turn turn(mutex_);
    const bool ones = columns > 0;
    if (ones && data.shape(1) != 1) throw Refused("more than one 1 a row");
    plan_.source(number, data.data(), data.shape(0), ones ? columns : data.shape(1), ones);
    if (held_.size() <= static_cast<size_t>(number)) held_.resize(number + 1);
    held_[number] = std::move(data);  // alive as long as the engine may read it
  }
  void batch_rows(int64_t rows) {
    Turn turn(mutex_);
    plan_.batch_rows(rows);
  }

  // One run of the plan on the rows as they are set. Raises what a signal's handler does.
  void once(int64_t rows) {
    Turn turn(mutex_);
    Signals signals;
    Batch batch;
    batch.rows = rows;
    {
      nb::gil_scoped_release release;
      plan_.step(batch, [&] { return signals.end(); });
    }
    signals.pass_on();
  }

  // Steps over the batches `first` to `last` of `order`, `size` rows each, until `seconds`
  // are over, a loss is not finite, or `asked` says True within a long step; the last two
  // steps change nothing. settings: the buffers of the rate, the step's number, the batch's
  // size (-1: none), and the loss. Returns how many steps are done, `total` with their
  // losses added, each times its rows, and the last loss.
  std::tuple<int64_t, double, double> run(const Indices& order, int64_t size, int64_t first,
                                          int64_t last, const Numbers& rates, int64_t step,
                                          uint64_t seed, const std::vector<int>& settings,
                                          double seconds, double total,
                                          const nb::object& asked) {
    Turn turn(mutex_);
    int64_t rows = static_cast<int64_t>(order.shape(0));
    if (size < 1 || first < 0 || last <= first || last - 1 > (rows - 1) / size || rows < 1)
      throw Refused("batches");
    if (static_cast<int64_t>(rates.shape(0)) < last - first) throw Refused("rates");
    if (settings.size() != 4) throw Refused("settings");
    if (step < 0 || step > kLastStep) throw Refused("the step's number");
    Signals signals;
    std::function<bool()> stop;
    if (!asked.is_none()) stop = [&] { return signals.end(asked.ptr()); };
    double loss = 0;
    int64_t k = first;
    bool under_way = false;
    Order taken(order.data(), rows);
    Watch watch(seconds);
    auto next = [&](Batch& batch) {
      if (std::exchange(under_way, true)) {
        if (plan_.stopped()) return false;
        loss = static_cast<double>(plan_.number(settings[3]));
        if (!std::isfinite(loss)) return false;
        total += loss * static_cast<double>(batch.rows);
        if (++k == last || watch.over()) return false;
      }
      taken.give(batch, k * size, std::min(size, rows - k * size));
      batch.seed = seed;
      batch.draw = static_cast<uint64_t>(step + (k - first));
      number(settings[0], rates.data()[k - first]);
      number(settings[1], static_cast<double>(step + (k - first) + 1));
      number(settings[2], static_cast<double>(batch.rows));
      return true;
    };
    {
      nb::gil_scoped_release release;
      plan_.run(next, stop);
    }
    signals.pass_on();
    return {k - first, total, loss};
  }

  // All rows of x through the plan, as many at a time as it holds: x goes into the buffer
  // `in`, `out` is copied to y. `size` is the buffer of the number of rows, or -1.
  // Returns the first row of x that is not finite, or -1. Raises what a signal's handler does.
  int64_t forward(int in, const Array& x, int out, const Output& y, int size) {
    Turn turn(mutex_);
    int64_t rows = static_cast<int64_t>(x.shape(0)), cols = static_cast<int64_t>(x.shape(1));
    int64_t outputs = static_cast<int64_t>(y.shape(1));
    if (static_cast<int64_t>(y.shape(0)) != rows || cols != plan_.cols_of(in) ||
        outputs != plan_.cols_of(out))
      throw Refused("an array's shape is not its buffer's");
    Signals signals;
    std::optional<Watch> watch;  // one block of rows is not worth a look at the clock
    if (rows > plan_.most_rows()) watch.emplace(kHeard);
    for (int64_t first = 0; first < rows; first += plan_.most_rows()) {
      Batch batch;
      batch.rows = std::min(rows - first, plan_.most_rows());
      const T* from = x.data() + first * cols;
      T check = 0;
      for (int64_t k = 0; k < batch.rows * cols; ++k) check += from[k] * T(0);
      if (check != T(0)) return first_not_finite(from, batch.rows, cols) + first;
      plan_.batch_rows(batch.rows);
      number(size, static_cast<double>(batch.rows));
      if (plan_.rows_of(in) != batch.rows) throw Refused("an input without a row a sample");
      plan_.set(in, from);
      if (rows > 64) {
        nb::gil_scoped_release release;
        plan_.step(batch, [&] { return signals.end(); });
      } else {
        plan_.step(batch);
      }
      if (watch && watch->over()) {
        signals.end();
        watch.emplace(kHeard);
      }
      signals.pass_on();
      if (plan_.rows_of(out) != batch.rows) throw Refused("an output without a row a sample");
      plan_.get(out, y.data() + first * outputs);
    }
    return -1;
  }

  size_t bytes() const { return plan_.bytes(); }

 private:
  static const Kernels<T>& kernels_checked(const std::string& isa) {
    if (!machine_has(isa)) throw Refused("this machine does not have " + isa);
    return kernels_of<T>(isa);
  }
  static std::vector<Buffer> buffers_of(const std::vector<BufferTuple>& from) {
    std::vector<Buffer> buffers;
    for (auto [rows, cols, memory] : from) buffers.push_back({rows, cols, memory});
    return buffers;
  }
  static std::vector<Instruction> code_of(const std::vector<ItemTuple>& from) {
    std::vector<Instruction> code;
    for (const auto& item : from) code.push_back(instruction_of(item));
    return code;
  }
  void fits(int id, size_t rows, size_t cols) const {
    if (static_cast<int64_t>(rows) != plan_.rows_of(id) ||
        static_cast<int64_t>(cols) != plan_.cols_of(id))
      throw Refused("an array's shape is not its buffer's");
  }
  static int64_t first_not_finite(const T* from, int64_t rows, int64_t cols) {
    for (int64_t k = 0; k < rows * cols; ++k)
      if (!std::isfinite(from[k])) return k / cols;
    return 0;
  }
  void number(int id, double value) {
    if (id >= 0) plan_.set_number(id, static_cast<T>(value));
  }

  static constexpr int64_t kLastStep = int64_t{1} << 62;

  Plan<T> plan_;
  std::vector<Array> held_;
  std::mutex mutex_;
};

template <class T>
void bind_engine(nb::module_& m, const char* name) {
  using E = Engine<T>;
  nb::class_<E>(m, name)
      .def(nb::init<const std::string&, const std::vector<BufferTuple>&,
                    const std::vector<ItemTuple>&, int, int64_t, int, double>())
      .def("set", &E::set, nb::arg("id"), nb::arg("values").noconvert())
      .def("get", &E::get, nb::arg("id"), nb::arg("values").noconvert())
      .def("end", &E::end)
      .def("source", &E::source, nb::arg("number"), nb::arg("data").noconvert(),
           nb::arg("columns") = 0)
      .def("batch_rows", &E::batch_rows)
      .def("once", &E::once)
      .def("run", &E::run, nb::arg("order").noconvert(), nb::arg("size"), nb::arg("first"),
           nb::arg("last"), nb::arg("rates").noconvert(), nb::arg("step"), nb::arg("seed"),
           nb::arg("settings"), nb::arg("seconds"), nb::arg("total"), nb::arg("asked").none())
      .def("forward", &E::forward, nb::arg("in"), nb::arg("x").noconvert(), nb::arg("out"),
           nb::arg("y").noconvert(), nb::arg("size"))
      .def_prop_ro("bytes", &E::bytes);
}

}  // namespace kb

// By this symbol threadpoolctl tells this library from others of its file's name.
extern "C" __attribute__((visibility("default"))) int kokuban_engine() { return 1; }

NB_MODULE(_native, m) {
  nb::set_leak_warnings(false);  // engines that caches hold live to the process's end
  nb::register_exception_translator([](const std::exception_ptr& p, void*) {
    try {
      std::rethrow_exception(p);
    } catch (const kb::Refused& e) {
      PyErr_SetString(PyExc_ValueError, e.what());
    }
  });
  m.def("instruction_sets", &kb::instruction_sets);
  m.def("codes", &kb::names_of_codes);
  m.def("micros", &kb::names_of_micros);
  kb::bind_engine<float>(m, "Engine32");
  kb::bind_engine<double>(m, "Engine64");
}
