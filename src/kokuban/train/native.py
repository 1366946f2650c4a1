"""Training on the native engine: the same programs, whole epochs in native code."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from kokuban.errors import SettingError
from kokuban.expr import Expr, Symbol
from kokuban.run.compiled import NO_COMPILER, say_on_numpy
from kokuban.run.lower import NotLowered, lower
from kokuban.run.plan import Plan
from kokuban.run.threads import num_threads
from kokuban.run.vm import Machine, give_back, native
from kokuban.train.state import State

Arrays = dict[Symbol, np.ndarray]
BOUT = 0.05  # seconds in native code between two looks at Ctrl-C


@lru_cache(maxsize=32)
def training_plan(
    loss: Expr,
    sources: tuple[Symbol, ...],
    assigned: tuple[tuple[Symbol, Expr], ...],
    size: int,
) -> Plan:
    """The plan of a training program, kept for the next fit of the same network."""
    return lower([loss], sources, dict(assigned), size)


def native_for(
    engine: str,
    assigned: Mapping[Symbol, Expr],
    settings: tuple[Expr, Expr, Expr],
    data: Mapping[Symbol, Any],
    size: int,
    dtype: Any,
    seed: int,
) -> Native | None:
    """The native engine for a training program, or None where NumPy must do.

    With engine "auto" the reason is said as a warning, with "native" it is an error.
    """
    reason = None
    if native() is None:
        reason = NO_COMPILER
    else:
        try:
            plan = training_plan(settings[2], tuple(data), tuple(assigned.items()), size)
            return Native(plan, list(assigned), settings, data, size, dtype, seed)
        except NotLowered as error:
            reason = str(error)
    if engine == "native":
        raise SettingError(f"engine='native' cannot run this: {reason}.")
    say_on_numpy("Training", reason)
    return None


class Native:
    """A training program on the native engine, which holds its values meanwhile."""

    def __init__(
        self,
        plan: Plan,
        assigned: Sequence[Symbol],
        settings: tuple[Expr, Expr, Expr],
        data: Mapping[Symbol, Any],
        size: int,
        dtype: Any,
        seed: int,
    ) -> None:
        self.plan, self.seed = plan, seed
        self._assigned, self._settings = assigned, settings
        self._key = (tuple(data), size)
        self._machine = Machine(plan, dtype, size, num_threads())
        self._size = size
        self._rest: dict[Symbol, np.ndarray] = {}  # values that no step changes
        self._order = np.zeros(0, np.int64)
        self.steps = 0

    def fits(self, data: Mapping[Symbol, Any], size: int) -> bool:
        """Whether it was made for such batches and as many threads as there are now."""
        return self._key == (tuple(data), size) and self._machine.threads == num_threads()

    def load(self, state: State) -> None:
        """Take over from where training stands.

        Each value that steps change is taken out of `state` once the engine has it, so
        that no second copy of all is there. If this is broken off they are put back.
        """
        values, changing = state.values, set(self._assigned)
        self._rest = {s: v for s, v in values.items() if s not in changing}
        self._machine.set(self._rest)
        try:
            for s in self._assigned:
                self._machine.set({s: values[s]})
                give_back(values.pop(s).nbytes)
        except BaseException:
            values |= self._machine.get([s for s in self._assigned if s not in values])
            raise
        self.steps = state.step

    def values(self, symbols: Iterable[Symbol]) -> Arrays:
        """Copies of the values that symbols have now."""
        asked = list(symbols)
        found = self._machine.get([s for s in asked if s not in self._rest])
        return {s: self._rest[s] if s in self._rest else found[s] for s in asked}

    def end(self, symbols: Iterable[Symbol]) -> Arrays:
        """The values that symbols have now; no step can follow.

        The engine's memory is freed before, and of each value once it is taken out.
        """
        asked = list(symbols)
        left = [s for s in asked if s not in self._rest]
        self._machine.end(left)
        give_back(self._machine.bytes)
        while left:
            self._rest |= self._machine.get(left[:1])
            self._machine.end(left[1:])
            give_back(self._rest[left.pop(0)].nbytes)
        return self.values(asked)

    def state(self) -> State:
        """Where training stands now."""
        return State(self.steps, self.values([*self._rest, *self._assigned]))

    def begin(self, data: Mapping[Symbol, Any], order: np.ndarray) -> None:
        """Before a pass: the data, and the order of their rows."""
        self._machine.sources(list(data.values()))
        self._order = np.ascontiguousarray(order, np.int64)

    def bout(
        self,
        first: int,
        last: int,
        rates: np.ndarray,
        total: float,
        asked: Callable[[], bool] | None = None,
        seconds: float = BOUT,
    ) -> tuple[int, float, float]:
        """Steps over batches `first` to `last`, for a moment, or until `asked` to stop.

        Gives how many are done, the total with their losses, and the last loss.
        """
        done, total, loss = self._machine.steps(
            self._order,
            self._size,
            (first, last),
            rates,
            self.steps,
            self.seed,
            self._settings,
            min(seconds, BOUT),
            total,
            asked,
        )
        self.steps += done
        return done, total, loss
