// Numbers so small that they have no whole mantissa ("subnormal", below 1e-38 in float32).
#pragma once

#include <cstdint>

#if defined(__SSE2__) || defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace kb {

// As long as one lives, its thread takes such numbers for 0 and gives 0 for them, or does not,
// whatever it did before. Many processors take a hundred times as long for each.
class Flushing {
 public:
  explicit Flushing(bool wanted) : before_(read()) {
    write(wanted ? before_ | kFlush : before_ & ~kFlush);
  }
  ~Flushing() { write(before_); }
  Flushing(const Flushing&) = delete;
  Flushing& operator=(const Flushing&) = delete;

 private:
#if defined(__SSE2__) || defined(__x86_64__)
  static constexpr uint64_t kFlush = 0x8040;  // results, and operands
  static uint64_t read() { return _mm_getcsr(); }
  static void write(uint64_t x) { _mm_setcsr(static_cast<unsigned>(x)); }
#elif defined(__aarch64__)
  static constexpr uint64_t kFlush = uint64_t{1} << 24;
  static uint64_t read() {
    uint64_t x;
    asm volatile("mrs %0, fpcr" : "=r"(x));
    return x;
  }
  static void write(uint64_t x) { asm volatile("msr fpcr, %0" : : "r"(x)); }
#else
  static constexpr uint64_t kFlush = 0;
  static uint64_t read() { return 0; }
  static void write(uint64_t) {}
#endif

  uint64_t before_;
};

}  // namespace kb
