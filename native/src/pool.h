// A team of threads that run the same function, and the barrier between its parts.
#pragma once
#include <atomic>
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
  void wait(int members = 1);  // on behalf of so many of them
  int members() const { return members_; }

 private:
  const int members_;
  std::atomic<int> arrived_{0};
  std::atomic<unsigned> round_{0};
  std::atomic<int> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable awake_;
};

// Whether one thread or the whole team is quicker at a step, tried again and again, as
// other processes come and go. Results do not depend on it.
class Pace {
 public:
  bool all() const { return trying_ > 0 ? !all_ : all_; }  // who takes the next step
  void took(double seconds);                               // that step's time

 private:
  bool all_ = true;
  int steps_ = 0;               // since the last trial
  int trying_ = 0;              // steps of a trial to come
  double usual_ = 0;            // the least time of late
  double tried_ = 0, cost_ = 0; // of the trial: the least time, and all of it
  double until_ = 0;            // seconds of work before the next trial
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
  long process_ = 0;
  std::vector<std::thread> threads_;
  const std::function<void(int)>* work_ = nullptr;
  bool ending_ = false;
  Barrier start_, finish_;
};

}  // namespace kb
