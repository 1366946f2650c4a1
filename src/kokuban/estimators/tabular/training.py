"""Training the members of one run, and keeping the best epoch of each."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from kokuban.errors import NonFiniteError
from kokuban.estimators.tabular.network import (
    Design,
    Nets,
    begin,
    folded,
    nets,
    scoring,
)
from kokuban.estimators.tabular.recipe import BETA2, EMBEDDING, FACTORS
from kokuban.expr import Symbol
from kokuban.optim import Adam, LogCosine, Progress
from kokuban.run.onehot import compact_targets
from kokuban.train.history import History, Record
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Arrays, Pass, Trainer, shuffled
from kokuban.train.network import WEIGHTS
from kokuban.train.state import State

BLOCK = 512  # rows that are scored at a time

Clock = Callable[[], float]
INTERRUPTED = "interrupted"


class Criterion(Protocol):
    """How scores of held-out rows are judged; smaller is better."""

    def __call__(self, scores: np.ndarray, member: int, /) -> float:
        """The loss of a member's scores (rows, outputs)."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """Rows of a matrix in a file; only those that are asked for come into memory."""

    matrix: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, chosen: np.ndarray | slice, /) -> np.ndarray:
        places = self.rows[chosen]
        order = np.argsort(places)  # as they lie in the file
        found = np.empty((len(places), self.matrix.shape[1]), self.matrix.dtype)
        found[order] = self.matrix[places[order]]
        return found


Data = np.ndarray | Mapped


@dataclass(frozen=True, slots=True)
class Rows:
    """Encoded rows: x (rows, d), t (rows, k), and weights (rows, 1) or None."""

    x: Data
    t: np.ndarray
    weights: np.ndarray | None

    def take(self, rows: np.ndarray) -> Rows:
        """Some of them."""
        weights = None if self.weights is None else self.weights[rows]
        x = Mapped(self.x, rows) if isinstance(self.x, np.memmap) else self.x[rows]
        return Rows(x, self.t[rows], weights)

    def by_symbol(self, made: Nets) -> dict[Symbol, Data]:
        """As a trainer takes them."""
        data = {made.x: self.x, made.t: self.t}
        return data if self.weights is None else {**data, WEIGHTS: self.weights}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a run is made.

    epochs      planned
    stop        the epoch that it ends with, where that is earlier
    batch_size  rows a step; the last, incomplete batch of an epoch waits for the next
    rate        η at the top of the schedule's waves
    patience    epochs without a better one before it ends, or None
    seed        of start values and order
    deadline    on the clock, or None
    clock       in seconds
    verbose     whether each epoch is printed
    watch       hears the record of each epoch
    """

    epochs: int
    batch_size: int
    rate: float
    seed: int
    patience: int | None = None
    stop: int | None = None
    deadline: float | None = None
    clock: Clock = time.perf_counter
    verbose: bool = False
    watch: Callable[[Record], None] | None = None


@dataclass(slots=True)
class Learned:
    """What a run has found.

    values   of each member
    epochs   that they are of
    scores   of each member for the rows that it is judged by, (rows, outputs)
    history  of the run
    """

    values: list[Arrays]
    epochs: list[int]
    scores: list[np.ndarray]
    history: History


class _TimeIsUp(Exception):
    """The deadline was reached inside an epoch."""


@lru_cache(maxsize=32)
def _template(design: Design, weighted: bool, rate: float) -> Trainer:
    made = nets(design)
    factors = {k: f for k, f in FACTORS.items() if design.embedded or k not in EMBEDDING}
    optimizer = Adam(
        LogCosine(rate),
        beta2=BETA2,
        groups={name: {"rate_factor": f} for name, f in factors.items()},
    )
    return Trainer(made.loss(weighted), optimizer, {}, layers=made.layers)


@dataclass(slots=True)
class Run:
    """One training under way.

    design   of the networks
    train    the rows they learn from
    held     rows they are judged by, or None: then the last epoch is kept
    judge    the criterion for those
    plan     how
    """

    design: Design
    train: Rows
    held: Rows | None
    judge: Criterion
    plan: Plan
    _data: Mapping[Symbol, Any] = field(default_factory=dict)
    _began: float = 0.0
    _noted: float = 0.0  # when the last epoch ended
    _best: list[float] = field(default_factory=list)
    _judging: float = 0.0  # seconds that it takes
    _judged: int = -1  # the number of steps done before it, the last time

    def go(self) -> Learned:
        """Train to the end of the plan, or of the patience, the time or the user's.

        Raises NonFiniteError where training fails before the first epoch is kept.
        """
        self._began = self._noted = self.plan.clock()
        self._data = compact_targets(self.train.by_symbol(nets(self.design)))
        trainer, learned = self._start()
        with Interrupt() as interrupt:
            try:
                for epoch in range(self.plan.stop or self.plan.epochs):
                    self._epoch(trainer, learned, epoch, interrupt)
                    if self._waited_enough(learned, epoch + 1):
                        learned.history.stopped = "early stopping"
                        break
            except _TimeIsUp:
                self._end(trainer, learned, "max_time")
            except KeyboardInterrupt:
                self._end(trainer, learned, INTERRUPTED)
                warnings.warn(
                    "Training was interrupted; the estimator keeps the best so far.",
                    stacklevel=4,
                )
            except NonFiniteError as error:
                if not any(learned.epochs):
                    raise
                learned.history.stopped = "diverged"
                warnings.warn(f"The best epoch before is kept. {error}", stacklevel=4)
        learned.history.best_epoch = max(learned.epochs)
        return learned

    def _start(self) -> tuple[Trainer, Learned]:
        """The start values in a trainer, and as what is known so far."""
        made, members = nets(self.design), range(self.design.members)
        start = [begin(m, self.plan.seed, k) for k, m in enumerate(made.members)]
        trainer = copy(
            _template(self.design, self.train.weights is not None, self.plan.rate)
        )
        every = {s: v for values in start for s, v in values.items()}
        trainer.state = State(0, {**trainer.state.values, **every})
        history = History()
        history.stopped = "epochs"
        learned = Learned(start, [0 for _ in members], [], history)
        self._best = [math.inf for _ in members]
        if self.held is not None:
            before = self.plan.clock()
            learned.scores = run_scores(self.design, every, self.held.x)
            for k, scores in enumerate(learned.scores):
                self.judge(scores, k)
            self._judging = self.plan.clock() - before
        return trainer, learned

    def _end(self, trainer: Trainer, learned: Learned, why: str) -> None:
        learned.history.stopped = why
        if trainer.steps != self._judged:
            self._keep(trainer, learned, math.nan)

    def _left(self) -> float:
        """Seconds until training must end, so that there is time to judge."""
        if self.plan.deadline is None:
            return math.inf
        return self.plan.deadline - self._judging - self.plan.clock()

    def _late(self) -> bool:
        return self._left() <= 0

    def _epoch(
        self, trainer: Trainer, learned: Learned, epoch: int, interrupt: Interrupt
    ) -> None:
        rows = len(self.train.x)
        size = min(self.plan.batch_size, rows)
        order = shuffled(rows, self.plan.seed, epoch)[: rows - rows % size]

        def after(done: int, total: float) -> None:
            interrupt.here()
            if self._late():
                raise _TimeIsUp

        if self._late():
            raise _TimeIsUp
        loss = Pass(
            trainer,
            self._data,
            order,
            size,
            self._rate(len(order) // size),
            after_step=after,
            asked=lambda: interrupt.asked() or self._late(),
            left=self._left,
        ).go()
        self._keep(trainer, learned, loss)

    def _rate(self, steps: int) -> Callable[[int], float]:
        """The learning rate by the step; time that runs out sooner counts instead."""
        total = steps * self.plan.epochs
        schedule, deadline = LogCosine(self.plan.rate), self.plan.deadline

        def rate(step: int) -> float:
            done = step / total
            if deadline is not None:
                gone = self.plan.clock() - self._began
                done = max(done, min(1.0, gone / (deadline - self._began)))
            return schedule(Progress(round(done * 1_000_000), total=1_000_000))

        return rate

    def _keep(self, trainer: Trainer, learned: Learned, loss: float) -> None:
        """Judge the values there are, keep each member that is better, note the epoch."""
        values, made = trainer.values, nets(self.design)
        self._judged, before = trainer.steps, self.plan.clock()
        epoch = len(learned.history) + 1
        record = {"epoch": float(epoch), "loss": loss / self.design.members}
        found, scores = [math.nan] * self.design.members, learned.scores.copy()
        if self.held is not None:
            scores = run_scores(self.design, values, self.held.x)
            found = [self.judge(u, k) for k, u in enumerate(scores)]
            record["val_loss"] = float(np.mean(found))
        for k, score in enumerate(found):
            # without held-out rows the last epoch is the one to keep
            if self.held is None or score < self._best[k]:
                self._best[k] = score
                learned.epochs[k] = epoch
                learned.values[k] = {s: values[s] for s in made.members[k]}
                learned.scores[k : k + 1] = scores[k : k + 1]
        now = self.plan.clock()
        self._judging, record["seconds"] = now - before, now - self._noted
        self._noted = now
        learned.history.epochs.append(record)
        if self.plan.watch is not None:
            self.plan.watch(record)
        if self.plan.verbose:
            shown = ", ".join(f"{k} {v:.4g}" for k, v in record.items() if k != "epoch")
            print(f"Epoch {epoch}: {shown}")

    def _waited_enough(self, learned: Learned, epoch: int) -> bool:
        patience = self.plan.patience
        return patience is not None and epoch - max(learned.epochs) >= patience


def run_scores(
    design: Design, values: Mapping[Symbol, np.ndarray], x: Data
) -> list[np.ndarray]:
    """Each member's scores for rows x, (rows, outputs)."""
    made, program = nets(design), scoring(design)
    parts: list[list[np.ndarray]] = []
    for start in range(0, len(x), BLOCK):
        block = np.ascontiguousarray(x[start : start + BLOCK])
        parts.append(program({**values, made.x: block}, np, np.float32))
    return [np.concatenate(each) for each in zip(*parts, strict=True)]


def folds(keys: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """(rows,) each row's fold, 0 to count - 1, so that the folds have alike keys.

    Of every `count` rows that follow each other in the order of the keys, which ties are
    drawn into by chance, each fold gets one.
    """
    rows = len(keys)
    chance = rng.permutation(rows)
    order = chance[np.argsort(keys[chance], kind="stable")]
    blocks = -(-rows // count)
    drawn = rng.permuted(np.tile(np.arange(count), (blocks, 1)), axis=1)
    found = np.empty(rows, np.intp)
    found[order] = drawn.ravel()[:rows]
    return found


def merged(design: Design, every: Sequence[Sequence[Arrays]]) -> Arrays:
    """The values of all members of several runs, for the folded design of them all."""
    made = nets(design)
    values: Arrays = {}
    theirs = [member for members in every for member in members]
    for mine, member in zip(made.members, theirs, strict=True):
        whole = folded(member) if design.embedded else member.values()
        values |= dict(zip(mine, whole, strict=True))
    return values
