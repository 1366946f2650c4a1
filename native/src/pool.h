// A team of threads that run the same function, and the barrier between its parts.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kb {

// Waits for all members of a team. It spins for a bounded time and then sleeps, so that
// a busy machine costs a little speed and not the whole of it.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait(int members = 1) { wait(members, [] {}); }  // on behalf of so many of them
  // The last one to come does `work` before all go on.
  template <class Work>
  void wait(int members, const Work& work) {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(members, std::memory_order_acq_rel) + members != members_)
      return rest(round);
    work();
    release();
  }
  int members() const { return members_; }

 private:
  void rest(unsigned round);
  void release();

  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable awake_;
};

// Whether one thread or the whole team is quicker at a step: whichever took less time on
// average of late. The other is tried again and again, as other processes come and go.
// Results do not depend on it.
class Pace {
 public:
  Pace();
  bool all() const { return trying_ > 0 ? !all_ : all_; }  // who takes the next step
  void begin();  // of a run of steps
  void step();   // it is done; its time is counted from the end of the one before

 private:
  using Clock = std::chrono::steady_clock;
  double since();
  void tried(double seconds);

  bool all_ = true;
  double mean_[2] = {0, 0};      // seconds of a step of late: of one thread's, of all threads'
  int steps_ = 0;                // since the last trial
  int trying_ = 0;               // steps of a trial to come
  double tried_ = 0, cost_ = 0;  // of the trial: the mean, and what it took above the usual
  double budget_;                // seconds that trials may cost by now
  Clock::time_point last_;
};

// `size` threads, the caller being the first. Threads start at the first use.
class Team {
 public:
  explicit Team(int size) : size_(size < 1 ? 1 : size), start_(size_), finish_(size_) {}
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return size_; }
  void run(const std::function<void(int)>& work);  // work(0) on the caller
  // run() throws std::system_error where a thread cannot be had; it may be tried again.

 private:
  void member(int number);

  void forget();  // after a fork, when the other threads are not there any more

  const int size_;
  unsigned forks_ = 0;  // before the threads were started
  std::vector<std::thread> threads_;
  const std::function<void(int)>* work_ = nullptr;
  bool ending_ = false;
  Barrier start_, finish_;
};

}  // namespace kb
