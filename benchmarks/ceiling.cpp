// What the processor's multiply-add units can do at most, in float32:
//
//     ceiling THREADS SECONDS      prints GFLOP/s of all threads together
//
// Twelve sums that do not wait for one another are enough for two units with a latency
// of four cycles; with the two factors they stay in the sixteen registers of AVX.

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif
constexpr int kSums = 12;
constexpr long kRepeats = 100000;

typedef float Vector __attribute__((vector_size(kBytes)));
using Clock = std::chrono::steady_clock;

// kRepeats times twelve multiply-adds of a vector; the sums tend to add / (1 - factor).
__attribute__((noinline)) Vector chunk(Vector factor, Vector add) {
  Vector s0 = add, s1 = add, s2 = add, s3 = add, s4 = add, s5 = add;
  Vector s6 = add, s7 = add, s8 = add, s9 = add, s10 = add, s11 = add;
  for (long k = 0; k < kRepeats; ++k) {
    s0 = s0 * factor + add, s1 = s1 * factor + add, s2 = s2 * factor + add;
    s3 = s3 * factor + add, s4 = s4 * factor + add, s5 = s5 * factor + add;
    s6 = s6 * factor + add, s7 = s7 * factor + add, s8 = s8 * factor + add;
    s9 = s9 * factor + add, s10 = s10 * factor + add, s11 = s11 * factor + add;
// Without these, twelve equal sums would be worked out once, and the same chunk never
// again: volatile keeps the function from being a pure one.
#if defined(__x86_64__)
    asm volatile("" : "+x"(s0), "+x"(s1), "+x"(s2), "+x"(s3), "+x"(s4), "+x"(s5));
    asm volatile("" : "+x"(s6), "+x"(s7), "+x"(s8), "+x"(s9), "+x"(s10), "+x"(s11));
#elif defined(__aarch64__)
    asm volatile("" : "+w"(s0), "+w"(s1), "+w"(s2), "+w"(s3), "+w"(s4), "+w"(s5));
    asm volatile("" : "+w"(s6), "+w"(s7), "+w"(s8), "+w"(s9), "+w"(s10), "+w"(s11));
#else
#error "no name is known here for the vector registers"
#endif
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11;
}

// One thread's GFLOP/s over the time.
double speed(double seconds, std::atomic<int>& waiting) {
  Vector factor, add;
  for (unsigned k = 0; k < kBytes / sizeof(float); ++k) factor[k] = 0.5f, add[k] = 1.0f;
  volatile float sink = chunk(factor, add)[0];  // and the clock is up
  for (--waiting; waiting > 0;) {
  }
  long chunks = 0;
  auto began = Clock::now();
  double passed = 0;
  for (; passed < seconds; ++chunks) {
    sink = chunk(factor, add)[0];
    passed = std::chrono::duration<double>(Clock::now() - began).count();
  }
  (void)sink;
  return 2.0 * kSums * (kBytes / sizeof(float)) * kRepeats * chunks / passed / 1e9;
}

int main(int, char** arguments) {
  int threads = std::atoi(arguments[1]);
  double seconds = std::atof(arguments[2]);
  std::atomic<int> waiting{threads};
  std::vector<double> speeds(threads);
  std::vector<std::thread> team;
  for (int k = 0; k < threads; ++k)
    team.emplace_back([&, k] { speeds[k] = speed(seconds, waiting); });
  double sum = 0;
  for (int k = 0; k < threads; ++k) team[k].join(), sum += speeds[k];
  std::printf("%.2f\n", sum);
}
