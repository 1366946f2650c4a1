#include "pool.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <algorithm>
#include <new>
#include <utility>

namespace kb {

namespace {
constexpr int kFirst = 4;          // steps of which the last one counts only: caches are cold
constexpr int kLate = 16;          // steps over which a mean goes back, about
constexpr double kHeldUp = 8;      // times the mean: no step counts for more, or one would decide
constexpr int kTrial = 3;          // steps of a trial; the first wakes the threads up
constexpr int kBetween = 10;       // steps from one trial to the next, at least
constexpr double kShare = 0.01;    // of the time, that trials may cost
constexpr double kAtFirst = 3e-3;  // seconds that they may cost before any is saved

// How many forks lie between this process and the first; to ask the system each time for
// the process's number would take longer than the work of a short step.
unsigned forks = 0;
#if !defined(_WIN32)  // which has none
[[maybe_unused]] const int asked_to_count = pthread_atfork(nullptr, nullptr, [] { ++forks; });
#endif
}  // namespace

void Barrier::release() {
  arrived_.store(0, std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_seq_cst);
  if (sleepers_.load(std::memory_order_seq_cst) > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    awake_.notify_all();
  }
}

void Barrier::sleep(unsigned round) {
  std::unique_lock<std::mutex> lock(mutex_);
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  awake_.wait(lock, [&] { return round_.load(std::memory_order_seq_cst) != round; });
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

int Units::take(bool next) {
  Left old = left_.load(std::memory_order_acquire);
  while (old.next < old.end) {
    Left now = old;
    const int number = next ? now.next++ : --now.end;
    if (left_.compare_exchange_weak(old, now, std::memory_order_acq_rel)) return number;
  }
  return -1;
}

Pace::Pace() : budget_(kAtFirst) {}

double Pace::since() {
  const Clock::time_point before = std::exchange(last_, Clock::now());
  return std::chrono::duration<double>(last_ - before).count();
}

void Pace::begin() { since(); }

void Pace::step() {
  double seconds = since();
  if (trying_ > 0) return tried(seconds);
  double& mean = mean_[all_];
  const double other = mean_[!all_];
  if (mean == 0 || (other == 0 && steps_ < kFirst)) mean = seconds;
  seconds = std::min(seconds, kHeldUp * mean);
  mean += (seconds - mean) / kLate;
  if (other == 0) cost_ = kTrial * mean;  // as if the other way took twice the time
  budget_ = std::min(budget_ + kShare * seconds, kAtFirst + cost_);
  if (other > 0 && other < 0.95 * mean) all_ = !all_;
  if (++steps_ < kBetween || budget_ < cost_) return;
  trying_ = kTrial;
  tried_ = cost_ = 0;
}

void Pace::tried(double seconds) {
  if (trying_ < kTrial) tried_ += seconds / (kTrial - 1);
  cost_ += std::clamp(seconds - mean_[all_], 0.0, 2 * mean_[all_]);  // the rest is others' doing
  if (--trying_ > 0) return;
  mean_[!all_] = tried_;
  budget_ -= cost_;
  steps_ = 0;
}

void Team::run(const std::function<void(int)>& work) {
  if (size_ == 1) return work(0);
  if (!threads_.empty() && forks_ != forks) forget();
  forks_ = forks;
  while (static_cast<int>(threads_.size()) + 1 < size_) {
    int number = static_cast<int>(threads_.size()) + 1;
    threads_.emplace_back([this, number] { member(number); });
  }
  work_ = &work;
  start_.wait();
  work(0);
  finish_.wait();
}

void Team::forget() {
  // Their handles cannot be joined or destroyed in this process: they are left behind.
  new std::vector<std::thread>(std::move(threads_));
  threads_.clear();
  for (Barrier* barrier : {&start_, &finish_}) new (barrier) Barrier(size_);
}

void Team::member(int number) {
  for (;;) {
    start_.wait();
    if (ending_) return;
    (*work_)(number);
    finish_.wait();
  }
}

Team::~Team() {
  if (threads_.empty()) return;
  if (forks_ != forks) {
    forget();
    return;
  }
  ending_ = true;
  start_.wait(size_ - static_cast<int>(threads_.size()));  // for those never had, too
  for (auto& thread : threads_) thread.join();
}

}  // namespace kb
