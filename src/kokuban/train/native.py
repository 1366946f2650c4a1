"""Training on the native engine: the same programs, whole epochs in native code."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from kokuban.errors import SettingError
from kokuban.expr import Expr, Symbol
from kokuban.run.lower import NotLowered, lower
from kokuban.run.plan import Plan
from kokuban.run.threads import num_threads
from kokuban.run.vm import Machine, native
from kokuban.train.state import State

BOUT = 0.05  # seconds in native code between two looks at Ctrl-C


@cache
def _say_once(message: str) -> None:
    warnings.warn(message, stacklevel=2)


@lru_cache(maxsize=32)
def training_plan(
    loss: Expr, sources: tuple[Symbol, ...], assigned: tuple[tuple[Symbol, Expr], ...]
) -> Plan:
    """The plan of a training program, kept for the next fit of the same network."""
    return lower([loss], sources, dict(assigned))


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
    dense = all(isinstance(v, np.ndarray) for v in data.values())
    reason = None
    if native() is None:
        reason = "this installation was built without a compiler"
    elif not dense:
        reason = "sparse data are made dense batch by batch"
    else:
        try:
            plan = training_plan(settings[2], tuple(data), tuple(assigned.items()))
            return Native(plan, list(assigned), settings, data, size, dtype, seed)
        except NotLowered as error:
            reason = str(error)
    if engine == "native":
        raise SettingError(f"engine='native' cannot run this: {reason}.")
    if dense:
        _say_once(f"Training runs on NumPy, not on the native engine: {reason}")
    return None


class Native:
    """A training program on the native engine, and how far it is ahead of the trainer.

    Values stay in native buffers; `fetched` brings them when somebody asks.
    """

    def __init__(
        self,
        plan: Plan,
        assigned: Sequence[Symbol],
        settings: tuple[Expr, Expr, Expr],
        data: Mapping[Symbol, np.ndarray],
        size: int,
        dtype: Any,
        seed: int,
    ) -> None:
        self.plan, self.seed = plan, seed
        self._assigned, self._settings = assigned, settings
        self._key = (tuple(data), size)
        self._machine = Machine(plan, dtype, size, num_threads())
        self._size = size
        self._held: State | None = None  # the state that was given or fetched last
        self._order = np.zeros(0, np.int64)
        self.ahead = 0  # steps done since then

    def fits(self, data: Mapping[Symbol, Any], size: int) -> bool:
        """Whether it was made for such batches."""
        dense = all(isinstance(v, np.ndarray) for v in data.values())
        return dense and self._key == (tuple(data), size)

    def forget(self) -> None:
        """What the buffers hold is no longer wanted."""
        self._held, self.ahead = None, 0

    def begin(self, state: State, data: Mapping[Symbol, Any], order: np.ndarray) -> None:
        """Before a pass: the state to go on from, the data, the order of their rows."""
        if self._held is not state:
            self._machine.set(state.values)
            self._held, self.ahead = state, 0
        self._machine.sources(list(data.values()))
        self._order = np.ascontiguousarray(order, np.int64)

    def bout(
        self, first: int, last: int, rates: np.ndarray, total: float
    ) -> tuple[int, float, float]:
        """Steps over batches `first` to `last`, or for a moment.

        Gives how many are done, the total with their losses, and the last loss.
        """
        assert self._held is not None
        done, total, loss = self._machine.steps(
            self._order,
            self._size,
            (first, last),
            rates,
            self._held.step + self.ahead,
            self.seed,
            self._settings,
            BOUT,
            total,
        )
        self.ahead += done
        return done, total, loss

    def fetched(self, state: State) -> State:
        """The state with the values that the buffers hold now."""
        if self.ahead == 0 or self._held is None:
            return state
        values = {**self._held.values, **self._machine.get(self._assigned)}
        self._held = State(self._held.step + self.ahead, values)
        self.ahead = 0
        return self._held
