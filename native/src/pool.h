// A team of threads that run the same function, the barrier between its parts, and how one helps
// another there.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace kb {

constexpr int kSpins = 4000;  // some tens of microseconds, before a thread lets others run

// Lets a thread that spins use less of the processor.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Waits for all members of a team. It spins for a bounded time and then sleeps, so that
// a busy machine costs a little speed and not the whole of it.
class Barrier {
 public:
  explicit Barrier(int members) : members_(members) {}
  void wait(int members = 1) { wait(members, [] {}); }  // on behalf of so many of them
  // The last one to come does `work` before all go on. The others do `meanwhile` over and over,
  // and sleep when it has said for a while that there is nothing to do.
  template <class Work>
  void wait(int members, const Work& work) { wait(members, work, [] { return false; }); }
  template <class Work, class Meanwhile>
  void wait(int members, const Work& work, const Meanwhile& meanwhile) {
    const unsigned round = round_.load(std::memory_order_acquire);
    if (arrived_.fetch_add(members, std::memory_order_acq_rel) + members == members_) {
      work();
      return release();
    }
    for (int k = 0; k < kSpins; ++k) {
      if (round_.load(std::memory_order_acquire) != round) return;
      if (meanwhile()) k = 0;
      else relax();
    }
    sleep(round);
  }
  int members() const { return members_; }

 private:
  void sleep(unsigned round);
  void release();

  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable awake_;
};

// Units of one member's work, which do not need each other: others that have nothing to do take
// some of them, from the end.
class alignas(64) Units {
 public:
  // Does units 0 to many - 1, but for those that others take; returns when all are done.
  template <class Unit>
  void each(int many, const Unit& unit) {
    left_.store({0, many}, std::memory_order_release);
    for (int k; (k = take(true)) >= 0;) unit(k);
    for (int k = 0; lent_.load(std::memory_order_acquire) > 0; ++k)
      if (k < kSpins) relax();
      else std::this_thread::yield();
  }
  // Does a unit that nobody has begun, on behalf of the member; false where there is none.
  template <class Unit>
  bool help(const Unit& unit) {
    const Left left = left_.load(std::memory_order_relaxed);
    if (left.next >= left.end) return false;
    lent_.fetch_add(1, std::memory_order_relaxed);  // before one is taken: the member waits
    const int number = take(false);
    if (number >= 0) unit(number);
    lent_.fetch_sub(1, std::memory_order_release);
    return number >= 0;
  }

 private:
  struct Left {  // that nobody has begun
    int32_t next, end;
  };
  int take(bool next);  // or the last one; -1 where there is none

  std::atomic<Left> left_{Left{0, 0}};
  std::atomic<int> lent_{0};  // to others, or about to be
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
