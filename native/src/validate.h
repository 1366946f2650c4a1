// Whether a plan may run: what native code relies on, it is held to before.
#pragma once
#include <stdexcept>
#include <vector>

#include "instruction.h"

namespace kb {

// Why a plan or a value is refused.
struct Refused : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A buffer: its shape, the number of samples in the batch as -1, and the piece of memory
// it lives in, which buffers share whose lives do not overlap.
struct Buffer {
  int64_t rows, cols;
  int memory;
};

// Throws Refused unless every buffer, place and shape holds for batches of up to `most_rows`.
void validate(const std::vector<Buffer>& buffers, const std::vector<Instruction>& code, int guard,
              int64_t most_rows);

void require(bool holds, const Instruction& item, const char* what);  // or throws Refused

bool takes_whole_rows(const Instruction& item);  // whether a step of its program does

}  // namespace kb
