// The instruction sets that the kernels are compiled for, and those that this machine has.
#pragma once
#include <string>
#include <type_traits>
#include <vector>

#include "plan.h"

namespace kb {

// The sets that sets.cmake compiles the kernels for, the least demanding first.
#if defined(__x86_64__) && !defined(KB_BASELINE_ONLY)
#define KB_SETS(X) X(baseline) X(avx2) X(avx512)
#else
#define KB_SETS(X) X(baseline)
#endif

#define KB_SET(name)                     \
  namespace name {                       \
  extern const Kernels<float> kernels32;    \
  extern const Kernels<double> kernels64;  \
  }
KB_SETS(KB_SET)
#undef KB_SET

template <class T>
const Kernels<T>& kernels_of(const std::string& isa) {
#define KB_PICK(set)                                        \
  if (isa == #set) {                                        \
    if constexpr (std::is_same_v<T, float>) return set::kernels32; \
    else return set::kernels64;                               \
  }
  KB_SETS(KB_PICK)
#undef KB_PICK
  throw Refused("unknown instruction set " + isa);
}

inline bool machine_has(const std::string& isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (isa == "avx2") return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (isa == "avx512")
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#endif
  return isa == "baseline";
}

inline std::vector<std::string> instruction_sets() {
  std::vector<std::string> found;
#define KB_NAME(name) \
  if (machine_has(#name)) found.push_back(#name);
  KB_SETS(KB_NAME)
#undef KB_NAME
  return found;
}

}  // namespace kb
