"""What the machine can do at most: ceiling.cpp, or the best large product of NumPy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType

from benchmarks.instructions import COMPILED
from benchmarks.team import environment

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ("-O2", "-ffp-contract=fast", "-std=c++20", "-pthread", "-w")
SECONDS = 0.05
PRODUCT = """
import sys, time, numpy as np
side, rows, ended = 2048, np.random.default_rng(0), time.perf_counter() + 0.3
a, b = rows.random((side, side), np.float32), rows.random((side, side), np.float32)
best, first = float("inf"), True
while first or time.perf_counter() < ended:
    began = time.perf_counter()
    a @ b
    best, first = min(best, time.perf_counter() - began), False
print(2 * side**3 / best / 1e9)
"""


class Ceiling:
    """Measures in processes of its own.

    name     what it measures
    isa      by what instructions
    highest  GFLOP/s found so far, by the number of threads: a capacity, so that other
             programs can only make it look lower, and shares of it higher
    """

    def __init__(self, isa: str | None = None) -> None:
        self.isa = isa
        self.highest: dict[int, float] = {}
        self._folder = TemporaryDirectory()
        self._loop = _compiled(Path(self._folder.name) / "ceiling", COMPILED[isa])
        self.name = (
            "a loop of multiply-adds in registers"
            if self._loop
            else "NumPy's best product of two 2048×2048 matrices (no C++ compiler)"
        )

    def gflops(self, threads: int) -> float:
        """Float32 operations in a nanosecond, of so many threads together."""
        command = [sys.executable, "-c", PRODUCT]
        if self._loop:
            command = [str(self._loop), str(threads), str(SECONDS)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment(threads)
        )
        found = float(done.stdout)
        if found > 1000 * threads:
            raise RuntimeError(
                f"{found:.0f} GFLOP/s on {threads} of today's cores is not possible: "
                f"the compiler has left out the loop of {SOURCE.name}."
            )
        self.highest[threads] = max(found, self.highest.get(threads, 0.0))
        return found

    def __enter__(self) -> Ceiling:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._folder.cleanup()


def _compiled(program: Path, machine: str) -> Path | None:
    names = (os.environ.get("CXX"), "c++", "g++", "clang++")
    compilers = [found for name in names if name and (found := shutil.which(name))]
    for compiler in compilers:
        command = [compiler, machine, *FLAGS, str(SOURCE), "-o", str(program)]
        if subprocess.run(command, capture_output=True, check=False).returncode == 0:
            return program
    return None
