// The kernels of one instruction set, which KB_ISA names, as the plan calls them.
#include "kernels/moving.h"
#include "kernels/programs.h"

namespace kb::KB_ISA {

template <class T>
constexpr Kernels<T> kKernels{
    kLayout<T>,
    {program<T, Code::entries>, program<T, Code::matmul>, program<T, Code::matmul_ta>,
     program<T, Code::matmul_tb>, program<T, Code::sum_rows>, program<T, Code::sum_all>,
     moving<T, transpose<T>>, moving<T, slice<T>>, moving<T, place<T>>, taking<T>,
     moving<T, mask<T>>},
    transposed_panels<T>,
    pack<T>,
    unpack<T>,
    take<T, false>,
    take<T, true>,
    fetch<T>};

extern const Kernels<float> kernels32;
extern const Kernels<double> kernels64;
const Kernels<float> kernels32 = kKernels<float>;
const Kernels<double> kernels64 = kKernels<double>;

}  // namespace kb::KB_ISA
