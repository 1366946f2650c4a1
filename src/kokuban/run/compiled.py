"""Expressions prepared for many runs, on the best engine there is for them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, symbols
from kokuban.run.lower import NotLowered, lower
from kokuban.run.plan import BATCH, Plan
from kokuban.run.reference import Program
from kokuban.run.threads import num_threads
from kokuban.run.vm import Machine, native

BLOCK = 256  # rows that a prediction takes at a time
NO_COMPILER = "this installation was built without a compiler"


@cache
def say_on_numpy(what: str, reason: str) -> None:
    """Warn, once, that something runs on NumPy and why."""
    warnings.warn(
        f"{what} runs on NumPy, not on the native engine: {reason}", stacklevel=2
    )


class Compiled:
    """Several expressions, run together on the native engine or, without it, on NumPy.

    They are prepared when they are first needed. Native buffers are made for the largest
    number of rows met so far, and anew when the number of threads is set.
    """

    def __init__(self, outputs: Sequence[Expr]) -> None:
        self.outputs = tuple(outputs)
        self._machines: dict[np.dtype[Any], tuple[int, Machine]] = {}  # for so many rows

    @cached_property
    def _program(self) -> Program:
        return Program(self.outputs)

    @cached_property
    def _lowered(self) -> tuple[Plan | None, str]:
        """The plan, or why there is none."""
        if native() is None:
            return None, NO_COMPILER
        try:
            return lower(self.outputs), ""
        except NotLowered as error:
            return None, str(error)

    @cached_property
    def _batches(self) -> list[Symbol]:
        return [s for s in symbols(self.outputs) if s.shape[0] == BATCH]

    @property
    def on_numpy(self) -> str:
        """Why NumPy must do, or nothing."""
        return self._lowered[1]

    def __call__(
        self, values: Mapping[Symbol, np.ndarray], xp: Any = np, dtype: Any = np.float64
    ) -> list[np.ndarray]:
        """The outputs' values, in order; `values` are NumPy arrays of the type."""
        machine, rows = self._machine(values, np.dtype(dtype))
        if machine is None:
            return self._program(values, xp, dtype)
        return machine.once(values, rows)

    def _machine(
        self, values: Mapping[Symbol, np.ndarray], dtype: np.dtype[Any]
    ) -> tuple[Machine | None, int]:
        plan, _ = self._lowered
        if plan is None:
            return None, 0
        batches = [len(values[s]) for s in self._batches]
        rows = max(batches, default=1)
        threads, (most, machine) = num_threads(), self._machines.get(dtype, (0, None))
        if machine is None or rows > most or machine.threads != threads:
            most = max(rows, most)
            machine = Machine(plan, dtype, most, threads)
            self._machines[dtype] = most, machine
        return machine, rows


class Prediction:
    """One output of one input row by row, for given values of everything else."""

    def __init__(
        self, output: Expr, x: Symbol, values: Mapping[Symbol, np.ndarray], dtype: Any
    ) -> None:
        """Raises NotLowered where the native engine cannot take it."""
        if native() is None:
            raise NotLowered("This installation has no native engine.")
        self.values, self._x = values, x
        self._machine = Machine(lower([output], rows=BLOCK), dtype, BLOCK, num_threads())
        self._machine.set(values)

    def serves(self, values: Mapping[Symbol, np.ndarray]) -> bool:
        """Whether it was made for these values and as many threads as there are now."""
        return self.values is values and self._machine.threads == num_threads()

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The output for rows x, a C-contiguous matrix of the type."""
        return self._machine.forward(self._x, x)
