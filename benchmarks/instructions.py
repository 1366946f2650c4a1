"""Holding every library to an older instruction set than the machine's.

Most processors have AVX2 and no AVX-512. What they would give is measured on one that has
both, where each library is told by its own settings to leave AVX-512 alone.
"""

from __future__ import annotations

from collections.abc import Mapping

# What each library reads from its environment.
SETTINGS: Mapping[str, Mapping[str, str]] = {
    "avx2": {
        "KOKUBAN_ISA": "avx2",
        "OPENBLAS_CORETYPE": "Haswell",  # NumPy, scikit-learn
        "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
        "ATEN_CPU_CAPABILITY": "avx2",  # PyTorch
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
    },
}
# The compiler's option for the loop that measures the ceiling.
COMPILED = {"avx2": "-march=x86-64-v3", None: "-march=native"}
# Whose large products take the newest instructions whatever they are told: with XLA's
# --xla_cpu_max_isa=AVX2, JAX still multiplies faster than AVX2 can.
UNHELD = ("jax",)
