"""The native engine from Python: a plan's buffers, and its runs."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from operator import is_
from threading import Lock
from typing import Any

import numpy as np

from kokuban.errors import DataError, SettingError, ShapeError
from kokuban.expr import Const, Expr, Size, Symbol
from kokuban.run.onehot import OneHot
from kokuban.run.plan import Instruction, Plan, sized
from kokuban.run.threads import obey_threadpoolctl

LARGE = 1 << 20  # bytes that are worth giving back to the system
PLACES = ("temporary", "tall", "full", "row", "column", "scalar", "number")


@cache
def native() -> Any:
    """The compiled module, or None where the package was built without a compiler."""
    try:
        module = import_module("kokuban._native")
    except ImportError:
        return None
    obey_threadpoolctl()
    return module


@cache
def instruction_set() -> str:
    """The instruction set in use: the best the machine has, or KOKUBAN_ISA.

    Raises SettingError if KOKUBAN_ISA names one that is not there.
    """
    have: list[str] = native().instruction_sets()
    wanted = os.environ.get("KOKUBAN_ISA", have[-1])
    if wanted not in have:
        raise SettingError(
            f"KOKUBAN_ISA is {wanted!r}; this build on this machine has "
            f"{', '.join(have)}."
        )
    return wanted


@cache
def _trim() -> Any:
    """The C library's call that gives freed memory back, or None where it has none."""
    try:
        trim = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    trim.argtypes = (ctypes.c_size_t,)
    return trim


def give_back(size: int) -> None:
    """Let the system have memory again of which `size` bytes were freed.

    glibc keeps a block for later unless it was of a size it had not met before; a large
    one would lie beside its copy for the whole of a training run.
    """
    if size >= LARGE and (trim := _trim()) is not None:
        trim(0)


class Machine:
    """A plan on the native engine: its buffers hold values between steps."""

    def __init__(self, plan: Plan, dtype: Any, most_rows: int, threads: int = 1) -> None:
        self.plan, self.dtype, self.threads = plan, np.dtype(dtype), threads
        module = native()
        kind = module.Engine32 if self.dtype == np.float32 else module.Engine64
        codes = {name: k for k, name in enumerate(module.codes())}
        micros = {name: k for k, name in enumerate(module.micros())}
        code = [_encoded(item, codes, micros) for item in plan.instructions]
        self._engine = kind(
            instruction_set(),
            [(*s, m) for s, m in zip(plan.shapes, plan.memory, strict=True)],
            code,
            plan.guard,
            most_rows,
            threads,
            plan.work_a_row(most_rows),
        )
        self._place = plan.places
        sizes = [k for n, k in self._place.items() if isinstance(n, Size)]
        self._size = sizes[0] if sizes else -1
        self._columns = plan.shapes[plan.outputs[0]][1] if plan.outputs else 0
        self._sources: Sequence[np.ndarray | OneHot] = ()
        self._lock = Lock()  # native code runs without Python's own lock
        for node, place in self._place.items():
            if isinstance(node, Const):
                self._engine.set(place, np.array(node.value, self.dtype, ndmin=2))

    def set(self, values: Mapping[Symbol, np.ndarray]) -> None:
        """Give symbols their values; those that the plan does not have are left out."""
        for s, value in values.items():
            if s in self._place:
                array = np.ascontiguousarray(self.plan.kept(s, value), self.dtype)
                self._engine.set(self._place[s], array)

    def get(self, symbols: Sequence[Symbol]) -> dict[Symbol, np.ndarray]:
        """The values that symbols have now."""
        found, shapes = dict[Symbol, np.ndarray](), self.plan.shapes
        for s in symbols:
            kept = np.empty(shapes[self._place[s]], self.dtype)
            self._engine.get(self._place[s], kept)
            found[s] = np.ascontiguousarray(self.plan.kept(s, kept))
        return found

    def end(self, symbols: Sequence[Symbol]) -> None:
        """Free all memory but that of symbols, whose values can still be had."""
        self._engine.end([self._place[s] for s in symbols])
        self._sources = ()

    @property
    def bytes(self) -> int:
        """What the buffers take, and the threads' scratch memory."""
        found: int = self._engine.bytes
        return found

    def forward(self, symbol: Symbol, x: np.ndarray) -> np.ndarray:
        """The first output for all rows of x, as many at a time as the plan holds.

        x is C-contiguous and of the machine's type. Raises DataError at a row that is
        not finite.
        """
        out = self.plan.outputs[0]
        y = np.empty((len(x), self._columns), self.dtype)
        with self._lock:
            bad = self._engine.forward(self._place[symbol], x, out, y, self._size)
        if bad >= 0:
            column = int(np.flatnonzero(~np.isfinite(x[bad]))[0])
            raise DataError(
                f"{symbol.name} holds {x[bad, column]} in row {bad}, column {column} "
                "(counted from 0); every entry must be a finite number."
            )
        return y

    def sources(self, data: Sequence[np.ndarray | OneHot]) -> None:
        """The data whose rows the plan takes, in the order of its sources."""
        if len(data) == len(self._sources) and all(map(is_, data, self._sources)):
            return
        rows = {len(d) for d in data}
        if len(rows) > 1:
            raise ShapeError(f"The data have different numbers of rows: {sorted(rows)}.")
        taken = []
        for number, given in enumerate(data):
            array, columns = given, 0
            if isinstance(given, OneHot):
                array, columns = given.ones, given.columns
            whole = np.require(array, self.dtype, ["C_CONTIGUOUS", "ALIGNED"])
            self._engine.source(number, whole, columns)
            taken.append(given if whole is array else whole)
        self._sources = taken  # another array is a copy, to be made anew

    def once(self, values: Mapping[Symbol, np.ndarray], rows: int) -> list[np.ndarray]:
        """One run with the given values, for a batch of `rows`; the outputs' values."""
        with self._lock:
            self._engine.batch_rows(rows)
            if self._size >= 0:
                self._engine.set(self._size, np.full((1, 1), rows, self.dtype))
            self.set(values)
            self._engine.once(rows)
            return [self._value(k, rows) for k in self.plan.outputs]

    def _value(self, place: int, rows: int) -> np.ndarray:
        shape = tuple(rows if d < 0 else d for d in self.plan.shapes[place])
        value = np.empty(shape, self.dtype)
        self._engine.get(place, value)
        return value

    def steps(
        self,
        order: np.ndarray,
        size: int,
        batches: tuple[int, int],
        rates: np.ndarray,
        step: int,
        seed: int,
        settings: tuple[Expr, Expr, Expr],
        seconds: float,
        total: float,
        asked: Callable[[], bool] | None = None,
    ) -> tuple[int, float, float]:
        """Steps over batches of `order`, `batches` from and to.

        `settings` are the rate, the step's number and the loss. Gives how many steps are
        done, `total` with their losses added, each times its rows, and the last loss. It
        comes back early when `seconds` are over, so that Ctrl-C is heard, at a loss that
        is not finite, and where `asked` says so within a long step; such steps change
        nothing.
        """
        rate, number, _ = settings
        places = [
            self._place.get(rate, -1),
            self._place.get(number, -1),
            self._size,
            self.plan.outputs[0],
        ]
        done: tuple[int, float, float] = self._engine.run(
            order, size, *batches, rates, step, seed, places, seconds, total, asked
        )
        return done


def _encoded(
    item: Instruction, codes: Mapping[str, int], micros: Mapping[str, int]
) -> tuple[Any, ...]:
    def argument(a: tuple[str, int, float]) -> tuple[int, int, float]:
        return PLACES.index(a[0]), a[1], a[2]

    steps = [
        (micros[s.micro], s.tall, list(map(argument, s.args)), s.to, s.value)
        for s in item.steps
    ]
    rows, columns = item.frame
    return (
        codes[item.code],
        list(item.results),
        list(item.operands),
        list(item.ints),
        list(item.numbers),
        steps,
        item.fed,
        item.start,
        sized(rows),
        sized(columns),
        item.barrier,
        item.guarded,
        item.chain,
        item.by_columns,
    )
