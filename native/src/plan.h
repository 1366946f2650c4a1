// A plan: buffers, and the instructions that one step runs over them.
#pragma once
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "instruction.h"
#include "pool.h"
#include "validate.h"

namespace kb {

// A call, and what it points to.
template <class T>
struct Ready : Call<T> {
  std::vector<Matrix<T>> operands_, results_;
  std::vector<ReadyStep<T>> steps_;
  std::vector<Where<T>> numbers_, rows_, turns_;
  Matrix<T> start_{};
  const Instruction* item = nullptr;
};

// What a thread does in a step: its operations, and where, between them, it waits for the
// others or looks whether the loss is finite. The next `once` operations where it waits are
// for the thread that comes last.
template <class T>
struct Noted {
  struct Stop {
    int64_t at;
    bool waits, looks;
    int64_t once;
  };
  std::vector<Operation<T>> operations;
  std::vector<Stop> stops;
};

// A thread's part of some neighbouring calls, while it is under way; those that wait for the
// thread at a barrier help.
template <class T>
struct Part {
  const Ready<T>*first = nullptr, *last = nullptr;
  Units units;
};

// Every call of a plan, for batches of one size, and what they come down to in short steps:
// noted the first time, and done from there.
template <class T>
struct Program {
  int64_t batch_rows = 0;  // 0: none yet
  std::vector<Ready<T>> calls;
  struct {
    bool tried = false;
    std::vector<Noted<T>> threads;  // none where their operations would be too many
  } alone, together;                // on one thread, on all
};

template <class T>
class Plan {
 public:
  // `guard` is the buffer of the loss that guarded instructions wait for, or -1;
  // `work_a_row` the operations of the products, for each row of a batch.
  Plan(const Kernels<T>& kernels, std::vector<Buffer> buffers, std::vector<Instruction> code,
       int guard, int64_t most_rows, int threads, double work_a_row);

  int64_t rows_of(int id) const { return sized(buffers_[check(id)].rows); }
  int64_t cols_of(int id) const { return buffers_[check(id)].cols; }
  void set(int id, const T* values);            // row-major; the buffer's present shape
  void get(int id, T* values);                  // row-major
  void end(const std::vector<int>& kept);       // frees the rest; these can still be read
  // The data whose rows are taken, row-major; or, with `ones`, the column of each row's 1, where
  // rows hold one of them and else zeros.
  void source(int number, const T* data, int64_t rows, int64_t cols, bool ones = false);
  void batch_rows(int64_t rows);                // the N of what follows
  // Runs every instruction once a step. `next` gives each step's batch, or says false; some
  // thread asks it when the step before is done. In long steps `stop` is asked a few times
  // a second; where it says so, the step is broken off before its first guarded instruction.
  void run(const std::function<bool(Batch&)>& next, const std::function<bool()>& stop = nullptr);
  void step(const Batch& batch, const std::function<bool()>& stop = nullptr);
  bool stopped() const { return stopped_.load(); }  // whether the last step was broken off
  T number(int id) const { return base_[check(id)][0]; }
  void set_number(int id, T value) { base_[check(id)][0] = value; }
  int64_t most_rows() const { return most_rows_; }
  size_t bytes() const { return bytes_; }

 private:
  struct Source {
    const T* data = nullptr;
    int64_t rows = 0, cols = 0;
    bool ones = false;
    int64_t stride() const { return ones ? 1 : cols; }  // numbers a row
  };
  struct Cut {  // of a thread's part: rows or panels low to high, `step` to a unit, from `base`
    int64_t low, high, base, step;
    bool panels;  // a unit is a panel of the rows
    int64_t units;
  };
  struct Marks {  // see matrix.h
    double filled = 1;
    std::unique_ptr<uint64_t[]> words;
  };

  int check(int id) const;
  int64_t sized(int64_t dimension) const { return dimension < 0 ? batch_rows_ : dimension; }
  Matrix<T> matrix(int id) const;
  bool in_place(int id) const;
  bool turns(const Instruction& item) const;
  T* allocated(size_t numbers);
  void repeat_constants();
  void prepare();
  void make_ready(const Instruction& item, Ready<T>& call);
  bool on_sums(const Ready<T>& call) const;
  void mark(int id, double filled);
  void find_readable();
  bool deep(const Instruction& item) const;
  int64_t scratch_of(const Instruction& item, Ready<T>* call) const;
  template <class Copy>
  void by_rows(int64_t rows, int64_t cols, const Copy& copy);
  void check_rows(const Batch& batch) const;
  double operations(const Batch& batch) const {
    return work_a_row_ * static_cast<double>(batch.rows);
  }
  int threads_for(const Batch& batch) const;
  void ready(const Batch& batch, const std::function<bool()>& stop);
  void part(int thread, const Batch& batch);
  void work(int thread, const Batch& batch);
  const std::vector<Noted<T>>* noted(const Batch& batch);
  void fetch_meanwhile(Noted<T>& noted) const;
  void work_noted(const Noted<T>& noted, const Batch& batch);
  bool finite() const { return guard_ < 0 || std::isfinite(base_[guard_][0]); }
  void ask(size_t place);
  int64_t parts(const Ready<T>& call) const;
  Cut cut(const Ready<T>* first, const Ready<T>* last, int thread) const;
  void share(const Ready<T>* first, const Ready<T>* last, const Batch& batch, int thread);
  void unit(const Ready<T>* first, const Ready<T>* last, const Batch& batch, const Cut& cut,
            int64_t number, int thread);
  bool help(const Batch& batch, int thread);
  void execute(const Ready<T>& call, const Batch& batch, int thread, int64_t lo, int64_t hi) {
    const Desk<T> desk{batch, scratch_[thread], notes_};
    kernels_.execute[static_cast<int>(call.item->code)](call, desk, lo, hi);
  }

  const Kernels<T>& kernels_;
  std::vector<Buffer> buffers_;
  std::vector<Instruction> code_;
  int guard_;
  int64_t most_rows_, batch_rows_;
  double work_a_row_;
  int active_ = 1;  // threads that take part in the present step
  const std::vector<Noted<T>>* noted_ = nullptr;  // what they do, in short steps
  size_t asking_ends_ = 0;  // the instruction at whose barrier all threads agree to stop
  const std::function<bool()>* stop_ = nullptr;  // of a long step
  std::chrono::steady_clock::time_point asked_;
  std::atomic<bool> stopped_{false};
  std::vector<std::unique_ptr<void, void (*)(void*)>> memory_;
  std::vector<T*> base_;     // of the buffers
  std::vector<T*> scratch_;  // of the threads
  std::map<uint64_t, T*> constants_;  // of the programs, by their bits: each in a vector
  std::vector<Source> sources_;
  std::vector<Marks> marks_;  // of the buffers
  std::vector<int> sources_of_;  // of the buffers whose rows could be read in place, or -1
  std::vector<std::unique_ptr<const T*[]>> begins_;  // of rows in the data, for buffers so read
  std::vector<std::unique_ptr<T[]>> ones_;  // of their rows, where that is all that is read
  std::vector<bool> factors_;  // whether a product reads a buffer as its left factor
  int64_t source_rows_ = 0;
  bool ended_ = false;
  bool takes_ = false;  // whether some instruction takes rows of the data
  size_t bytes_ = 0;
  Notes<T>* notes_ = nullptr;  // where operations are noted at present
  Noted<T>* noting_ = nullptr; // whose notes these are
  Program<T> programs_[2];  // of the two sizes met last: whole batches and the rest
  int current_ = 0;
  std::unique_ptr<Part<T>[]> parts_;  // of the threads
  Team team_;
  Pace pace_;
  Barrier barrier_;
};

}  // namespace kb
