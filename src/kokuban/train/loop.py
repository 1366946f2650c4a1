"""The training loop: one step over a batch, one pass over the data.

A step runs one program, the loss and every new value, all expressions of the old
values, and then takes the new values in one assignment, so that an interruption at any
moment leaves either the old values or the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from kokuban.errors import NonFiniteError
from kokuban.expr import Expr, Symbol, order, symbols
from kokuban.gradient import grad
from kokuban.nn.build import DRAW
from kokuban.optim import Optimizer
from kokuban.rewrite import simplify_all
from kokuban.run import Program
from kokuban.run.onehot import OneHot
from kokuban.run.plan import Plan
from kokuban.train.native import BOUT, Native, native_for, training_plan
from kokuban.train.state import State

Arrays = dict[Symbol, np.ndarray]
PIECE = 1 << 22  # entries of sparse data that are made dense at a time


class Rows(Protocol):
    """Data whose rows can be taken as a dense matrix, such as an array itself."""

    def __getitem__(self, rows: np.ndarray, /) -> np.ndarray: ...


class Trainer:
    """A loss, its gradients and an optimizer's updates as one program.

    `state` holds the parameters', states' and slots' values and the number of steps;
    it is replaced as a whole after each step. `reported` is the number that a step
    returns where that is not the loss whose gradients are followed.
    """

    def __init__(
        self,
        loss: Expr,
        optimizer: Optimizer,
        values: Mapping[Symbol, np.ndarray],
        *,
        updates: Mapping[Symbol, Expr] | None = None,
        reported: Expr | None = None,
        layers: Sequence[tuple[str, Expr]] = (),
        dtype: Any = np.float32,
        seed: int = 0,
        engine: str = "auto",
    ) -> None:
        self.parameters = symbols([loss], "parameter")
        self.layers, self.dtype, self.seed = layers, dtype, seed
        simple: dict[Expr, Expr] = {}
        stable, shown = simplify_all(
            [loss, loss if reported is None else reported], simple
        )
        raw = grad(stable, self.parameters, simplify=False)  # the new values will be
        rule = optimizer.updates(self.parameters, raw)
        assigned = {**rule.assignments, **(updates or {})}
        self._assigned = list(assigned)
        self._rate, self._step = rule.rate, rule.step
        self.loss = stable
        self._outputs = simplify_all([shown, *assigned.values()], simple)
        self.engine = engine
        self._native: Native | None = None
        slots = {s: np.zeros(_sizes(s), dtype) for s in rule.slots}
        start = {s: np.asarray(v, dtype) for s, v in values.items()}
        self.slots = rule.slots
        self._state: State | None = State(0, {**slots, **start})

    @cached_property
    def _program(self) -> Program:
        return Program(self._outputs)

    @property
    def state(self) -> State:
        """Where training stands; a copy while the native engine has the values."""
        if self._state is not None:
            return self._state
        assert self._native is not None
        return self._native.state()

    @state.setter
    def state(self, state: State) -> None:
        self._state = state

    @property
    def steps(self) -> int:
        """How many steps are done."""
        if self._state is not None:
            return self._state.step
        assert self._native is not None
        return self._native.steps

    @property
    def values(self) -> Mapping[Symbol, np.ndarray]:
        """The values without the optimizer's slots."""
        if self._state is not None:
            slots = set(self.slots)
            return {s: v for s, v in self._state.values.items() if s not in slots}
        assert self._native is not None
        return self._native.values(self._learned)

    def end(self) -> Mapping[Symbol, np.ndarray]:
        """The values without the slots, which are given up: no step can follow."""
        if self._native is not None and self._state is None:
            values = self._native.end(self._learned)
            self._state = State(self._native.steps, values)
        return self.values

    @property
    def engine_used(self) -> str:
        """What has run the steps so far: native, or numpy."""
        return "numpy" if self._native is None else "native"

    def native(self, data: Mapping[Symbol, Rows], size: int) -> Native | None:
        """The native engine for batches of `size` rows of the data, or None for NumPy.

        It takes the values over, so that there is one copy of them.
        """
        if self._native is None or not self._native.fits(data, size):
            self._state = self.state
            settings = (self._rate, self._step, self._outputs[0])
            assigned = dict(zip(self._assigned, self._outputs[1:], strict=True))
            self._native = native_for(
                self.engine, assigned, settings, data, size, self.dtype, self.seed
            )
            if self._native is None:
                self.engine = "numpy"
        if self._native is not None and self._state is not None:
            self._learned = [s for s in self._state.values if s not in set(self.slots)]
            self._native.load(self._state)
            self._state = None
        return self._native

    def plan(self, sources: Sequence[Symbol], size: int) -> Plan:
        """The instructions of a step whose batches are `size` rows of `sources`."""
        assigned = zip(self._assigned, self._outputs[1:], strict=True)
        return training_plan(self._outputs[0], tuple(sources), tuple(assigned), size)

    def step(self, batch: Mapping[Symbol, np.ndarray], rate: float) -> float:
        """One update from one batch; the loss before it.

        Raises NonFiniteError, with the layer and the step, where the loss is not finite.
        """
        now = self.state
        given = self._given(batch, rate)
        with np.errstate(all="ignore"):  # what overflows is found in the loss
            loss, *new = self._program(given, np, self.dtype)
        value = float(loss[0, 0])
        if not np.isfinite(value):
            raise NonFiniteError(self._diagnosis(given, now.step + 1, value))
        # in one memory order, since products round by it and a checkpoint keeps one
        rows_first = (np.ascontiguousarray(v) for v in new)
        changed = dict(zip(self._assigned, rows_first, strict=True))
        self._state = State(now.step + 1, {**now.values, **changed})
        return value

    def _given(self, batch: Mapping[Symbol, np.ndarray], rate: float) -> Arrays:
        now, one = self.state, (1, 1)
        return {
            **now.values,
            **batch,
            self._rate: np.full(one, rate, self.dtype),
            self._step: np.full(one, now.step + 1, self.dtype),
            DRAW: np.array([[self.seed, now.step]], dtype=np.int64),
        }

    def require_finite(self, values: Mapping[Symbol, np.ndarray]) -> None:
        """NonFiniteError naming a parameter that is no longer finite, if there is one."""
        for s in self.parameters:
            if not np.isfinite(values[s]).all():
                raise NonFiniteError(
                    f"{s.name} is no longer finite after step {self.steps}. "
                    "A smaller learning rate, or clip_norm in the optimizer, usually "
                    "helps."
                )

    def _diagnosis(self, given: Arrays, step: int, loss: float) -> str:
        """Which layer first gave NaN or infinity, and how large values were before."""
        layers = self.layers or [(repr(n), n) for n in order([self.loss]) if n.args]
        with np.errstate(all="ignore"):
            outputs = Program([e for _, e in layers])(given, np, self.dtype)
        data = {s.name: v for s, v in given.items() if s.role in ("input", "target")}
        name, largest = _largest(data)
        found = f"the loss became {loss}"
        for (layer, _), y in zip(layers, outputs, strict=True):
            if not np.isfinite(y).all():
                found = f"{layer} gave {y[~np.isfinite(y)][0]}"
                break
            name, largest = max(
                (name, largest), _largest({layer: y}), key=lambda found: found[1]
            )
        advice = "A smaller learning rate, or clip_norm in the optimizer, usually helps"
        if (cause := self._cause(given)) is not None:
            operation, x, y = cause
            found += f", since {operation}({x:.3g}) is {y}"
            if np.isfinite(x) and np.isnan(y):
                advice = f"See what goes into {operation}, which has no value there"
        weight = _largest({s.name: given[s] for s in self.parameters})
        return (
            f"Training stopped at step {step}: {found}. The largest activation before it "
            f"is {largest:.3g}, in {name}; the largest weight {weight[1]:.3g}, in "
            f"{weight[0]}. {advice}; the model keeps the last finite values it had."
        )

    def _cause(self, given: Arrays) -> tuple[str, float, float] | None:
        """The entrywise operation that first gave NaN or infinity, from what, and which.

        None where it was another operation, or one of several arguments.
        """
        nodes = [n for n in order([self.loss]) if n.op is not None]
        with np.errstate(all="ignore"):
            values = dict(zip(nodes, Program(nodes)(given, np, self.dtype), strict=True))
        node = next((n for n in nodes if not np.isfinite(values[n]).all()), self.loss)
        x = values.get(node.args[0]) if len(node.args) == 1 else None
        y = values[node]
        bad = ~np.isfinite(y)
        if node.op is None or x is None or x.shape != y.shape or not bad.any():
            return None
        return node.op.name, float(x[bad][0]), float(y[bad][0])


def _largest(arrays: Mapping[str, np.ndarray]) -> tuple[str, float]:
    """The name of the array with the entry of largest size, and that size."""
    with np.errstate(invalid="ignore"):
        sizes = {name: float(np.max(np.abs(a))) for name, a in arrays.items()}
    name = max(sizes, key=lambda n: sizes[n])
    return name, sizes[name]


def _sizes(symbol: Symbol) -> tuple[int, int]:
    """The shape of a symbol whose dimensions are numbers."""
    rows, columns = symbol.shape
    assert isinstance(rows, int)
    assert isinstance(columns, int)
    return rows, columns


def batches(rows: int, size: int) -> list[tuple[int, int]]:
    """The starts and stops of the batches of one pass; the last may be smaller."""
    return [(start, min(start + size, rows)) for start in range(0, rows, size)]


@dataclass(slots=True)
class Pass:
    """A pass over the given rows, in their order.

    rate        the learning rate, or what gives a step's from the number of steps done
    done        batches of it that are done, and
    total       their summed loss
    after_step  hears of both: after each step on NumPy, a few times a second on the
                engine, and in any case when the number of steps is a multiple of `every`
    asked       where it says so, a long step on the engine is broken off without a trace,
                and `after_step` called to end the pass
    left        the seconds after which `after_step` must be called again at the latest
    """

    trainer: Trainer
    data: Mapping[Symbol, Rows]
    rows: np.ndarray
    size: int
    rate: float | Callable[[int], float]
    done: int = 0
    total: float = 0.0
    after_step: Callable[[int, float], None] | None = None
    every: int | None = None
    asked: Callable[[], bool] | None = None
    left: Callable[[], float] | None = None

    def go(self) -> float:
        """Do what is left of it; the mean loss over all rows."""
        native = None
        if self.trainer.engine != "numpy":
            native = self.trainer.native(self.data, self.size)
        if native is not None:
            self._on_native(native)
        else:
            self._on_numpy()
        return self.total / len(self.rows)

    def _on_numpy(self) -> None:
        while self.done * self.size < len(self.rows):
            self._step(self._rates(self.done + 1)[0])
            self._tell()

    def _on_native(self, native: Native) -> None:
        """In bouts of a few steps or many."""
        for first, last, part, places in _pieces(
            self.data, self.rows, self.size, self.done
        ):
            native.begin(part, places)
            while self.done < last:
                rates, now = self._rates(last), self.done - first
                done, self.total, loss = native.bout(
                    now,
                    now + len(rates),
                    rates,
                    self.total,
                    self.asked,
                    BOUT if self.left is None else self.left(),
                )
                self.done += done
                if not np.isfinite(loss):
                    # raises with the layer, unless NumPy's rounding stays finite
                    self._step(rates[done])
                    self.trainer.native(self.data, self.size)  # takes the values back
                self._tell()

    def _rates(self, last: int) -> np.ndarray:
        """Of the steps up to batch `last`, or to the next one to tell of."""
        step, many = self.trainer.steps, last - self.done
        if self.every:
            many = min(many, self.every - step % self.every)
        if not callable(self.rate):
            return np.full(many, self.rate, float)
        return np.array([self.rate(k) for k in range(step, step + many)], float)

    def _step(self, rate: float) -> None:
        """The next batch on NumPy."""
        chosen = self.rows[self.done * self.size : (self.done + 1) * self.size]
        batch = {s: v[chosen] for s, v in self.data.items()}
        self.total += self.trainer.step(batch, float(rate)) * len(chosen)
        self.done += 1

    def _tell(self) -> None:
        if self.after_step is not None:
            self.after_step(self.done, self.total)


def _pieces(
    data: Mapping[Symbol, Rows], rows: np.ndarray, size: int, done: int
) -> Iterator[tuple[int, int, Mapping[Symbol, Rows], np.ndarray]]:
    """The batches to come: first and last, the data, and which of their rows.

    Arrays are taken as they are, in one piece; other data, such as sparse matrices, are
    made dense some batches at a time.
    """
    many = -(-len(rows) // size)
    if all(isinstance(v, np.ndarray | OneHot) for v in data.values()):
        yield 0, many, data, rows
        return
    columns = sum(int(s.shape[1]) for s in data)
    together = max(1, PIECE // (columns * size))
    for first in range(done, many, together):
        last = min(many, first + together)
        chosen = rows[first * size : last * size]
        part = {s: v[chosen] for s, v in data.items()}
        yield first, last, part, np.arange(len(chosen))


class Shuffle:
    """The orders of so many rows, each a function of the seed and the epoch alone."""

    def __init__(self, rows: int, seed: int) -> None:
        self._rows = rows
        self._bits = np.random.Philox(key=[seed, 1 << 32])
        self._generator = np.random.Generator(self._bits)
        self._state = self._bits.state  # made once: a new generator takes 10 µs

    def of(self, epoch: int) -> np.ndarray:
        """The rows' numbers, in the order of an epoch."""
        self._state["state"]["counter"][0] = epoch
        self._bits.state = self._state
        return self._generator.permutation(self._rows)


def shuffled(rows: int, seed: int, epoch: int) -> np.ndarray:
    """The order of the rows in one epoch."""
    return Shuffle(rows, seed).of(epoch)
