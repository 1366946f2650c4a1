# The instruction sets that the kernels are compiled for, the least demanding first: the
# first runs on every machine of the architecture. None where there are no kernels.
set(sets)
if(KB_BASELINE_ONLY)
  set(sets baseline)
  add_compile_definitions(KB_BASELINE_ONLY)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
  set(sets baseline avx2 avx512)
  set(options_avx2 -mavx2 -mfma)
  set(options_avx512 -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprfchw
                     -mprefer-vector-width=512)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
  set(sets baseline)
endif()

# Compiles a source for one of the sets. Products are fused where the source says fma, so
# that every compiler agrees.
function(kb_for_set target set)
  target_compile_definitions(${target} PRIVATE KB_ISA=${set})
  target_compile_options(${target} PRIVATE -ffp-contract=off -fno-math-errno
                                           -fno-trapping-math ${options_${set}})
endfunction()
