"""Expressions prepared for many runs, on the best engine there is for them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol
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

    Native buffers are made for the largest number of rows met so far. `on_numpy` says why
    NumPy must do, or nothing.
    """

    def __init__(self, outputs: Sequence[Expr]) -> None:
        self.outputs = tuple(outputs)
        self._program = Program(outputs)
        self._plan: Plan | None = None
        self.on_numpy = "" if native() is not None else NO_COMPILER
        if not self.on_numpy:
            try:
                self._plan = lower(outputs)
            except NotLowered as error:
                self.on_numpy = str(error)
        self._machines: dict[np.dtype[Any], tuple[int, Machine]] = {}

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
        if self._plan is None:
            return None, 0
        batches = [len(values[s]) for s in self._program.symbols if s.shape[0] == BATCH]
        rows = max(batches, default=1)
        most, machine = self._machines.get(dtype, (0, None))
        if machine is None or rows > most:
            machine = Machine(self._plan, dtype, rows, num_threads())
            self._machines[dtype] = rows, machine
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
        self._machine = Machine(lower([output]), dtype, BLOCK, num_threads())
        self._machine.set(values)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The output for rows x, a C-contiguous matrix of the type."""
        return self._machine.forward(self._x, x)
