"""Optimizers over batches, epoch by epoch, in the way of scikit-learn's solvers."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from kokuban.errors import DataError, NonFiniteError
from kokuban.estimators.callbacks import Tasks
from kokuban.estimators.fitted import Solver, attributes
from kokuban.estimators.network import Problem, trainer
from kokuban.estimators.rows import Data
from kokuban.estimators.settings import Settings
from kokuban.estimators.validation import HeldOut
from kokuban.expr import Symbol
from kokuban.optim import InverseScaling, Optimizer, Progress, Schedule
from kokuban.run.onehot import compact_targets
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Pass, Trainer, batches
from kokuban.train.network import WEIGHTS
from kokuban.train.state import State

SMALLEST_RATE = 1e-6  # where the adaptive learning rate ends


@dataclass(slots=True)
class Descent:
    """A stochastic fit under way; the estimator's records are filled as it goes.

    The validation score is watched by early stopping, otherwise the training loss is.
    Without `tasks` it is a partial fit: one epoch, to which no callback listens.
    """

    estimator: Settings
    problem: Problem
    data: Mapping[Symbol, Data]
    held_out: HeldOut | None
    tasks: Tasks | None
    rule: Optimizer
    run: Trainer

    def go(self) -> None:
        """Train for max_iter epochs at most; fewer if nothing improves any more.

        Ctrl-C ends training after the step under way, or within a validation, and keeps
        what was learned. Raises NonFiniteError where the loss or a weight is no longer
        finite, and DataError where a batch's sample weights are 0.
        """
        fitted, history = self.estimator, self.estimator.history_
        fitted.n_iter_, history.stopped = 0, "epochs"
        try:
            with Interrupt() as interrupt:
                self._epochs(interrupt)
        except KeyboardInterrupt:
            history.stopped = "interrupted"
            warnings.warn(
                f"Training was interrupted after {fitted.n_iter_} whole epochs; the "
                "estimator keeps what it has learned.",
                stacklevel=6,
            )
        finally:
            self._store()
        if fitted.early_stopping:
            fitted._take(fitted._best)
        else:
            self.run.require_finite(self.run.values)
        # a schedule plans for its end
        planned = self.tasks is None or isinstance(self.rule.rate, Schedule)
        if history.stopped == "epochs" and not planned:
            solver = fitted.solver
            name = solver if isinstance(solver, str) else type(solver).__name__
            warnings.warn(
                f"{name} did not converge in max_iter={fitted.max_iter} epochs.",
                ConvergenceWarning,
                stacklevel=6,
            )

    def _epochs(self, interrupt: Interrupt) -> None:
        """Epoch after epoch, until one says that training ends."""
        rows = self.data[self.problem.x].shape[0]
        size, order = self._batch_size(rows), np.arange(rows)
        epochs = 1 if self.tasks is None else self.estimator.max_iter
        for _ in range(epochs):
            if self.tasks is not None:
                self.tasks.begin("epoch")
            if self.estimator.shuffle:
                # the order of sklearn.utils.shuffle, whose checks cost as much as steps
                order = order[self.estimator._random_state.permutation(rows)]
            ended = self._epoch(order, size, interrupt)
            stopped = self.tasks is not None and self.tasks.end(self.estimator._learned)
            if ended or stopped:
                self.estimator.history_.stopped = ended or "callback"
                return

    def _epoch(self, order: np.ndarray, size: int, interrupt: Interrupt) -> str:
        """One epoch with its records; why training ends with it, or nothing."""
        fitted, began = self.estimator, time.perf_counter()
        loss = self._pass(order, size, interrupt)
        if self._looked_at:
            self._store()
        val_loss, score = self._measured(loss, interrupt)
        fitted.loss_ = loss
        fitted.loss_curve_.append(loss)
        fitted.n_iter_, fitted.t_ = fitted.n_iter_ + 1, fitted.t_ + len(order)
        fitted._optimizer.epoch += 1
        self._say(f"Iteration {fitted.n_iter_}, loss = {loss:.8f}")
        self._record(began, val_loss, score)
        finite = self._watch(score)
        self._schedule()
        if not finite:
            return "diverged"
        return "early stopping" if self._out_of_patience() else ""

    @property
    def _looked_at(self) -> bool:
        """Whether somebody looks at the estimator after each epoch."""
        watched = self.estimator.early_stopping or self.held_out is not None
        return watched or (self.tasks is not None and self.tasks.heard)

    def _batch_size(self, rows: int) -> int:
        wanted = self.estimator.batch_size
        if isinstance(wanted, str):  # "auto"
            return min(200, rows)
        if wanted > rows:
            warnings.warn(
                f"batch_size={wanted} is more than the {rows} samples there are; all of "
                "them make one batch.",
                stacklevel=8,
            )
        return min(int(wanted), rows)

    def _pass(self, order: np.ndarray, size: int, interrupt: Interrupt) -> float:
        """One pass in this order: the mean loss, or NaN where early stopping goes on."""
        self._require_weights(order, size)
        try:
            return Pass(
                self.run,
                self.data,
                order,
                size,
                self._rate(len(order), size),
                after_step=lambda done, total: interrupt.here(),
                asked=interrupt.asked,
            ).go()
        except NonFiniteError:
            if not self.estimator.early_stopping:
                raise
            return math.nan

    def _rate(self, rows: int, size: int) -> float | Callable[[int], float]:
        """The learning rate of this epoch, or that of each step in it."""
        solver = self.estimator._optimizer
        if not isinstance(self.rule.rate, Schedule):
            return solver.learning_rate
        planned = self.estimator.max_iter * len(batches(rows, size))
        total = None if self.tasks is None else planned

        def rate(step: int) -> float:
            at = Progress(step, solver.epoch, solver.epoch * rows, total)
            solver.learning_rate = self.rule.rate_at(at)
            return solver.learning_rate

        return rate

    def _require_weights(self, order: np.ndarray, size: int) -> None:
        """DataError where a batch's weights sum to 0, so that it has no mean loss."""
        if WEIGHTS not in self.data:
            return
        starts = [start for start, _ in batches(len(order), size)]
        sums = np.add.reduceat(self.data[WEIGHTS][order][:, 0], starts)
        if np.any(sums == 0):
            raise DataError(
                "The sample weights of a whole batch are zero. Leave out the samples of "
                f"weight 0, or raise batch_size (now {size})."
            )

    def _store(self) -> None:
        """Keep what a whole number of steps has left in the estimator."""
        state, fitted = self.run.state, self.estimator
        fitted._take(attributes(self.problem, state.values))
        fitted._optimizer.step = state.step
        fitted._optimizer.slots = {s: state.values[s] for s in self.run.slots}

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            print(text)

    def _measured(self, loss: float, interrupt: Interrupt) -> tuple[float, float]:
        """The loss and the score of the held-out data, NaN where there are none.

        Ctrl-C breaks it off; the epoch is then not whole.
        """
        if self.held_out is None or math.isnan(loss):
            return math.nan, math.nan
        values = self.estimator._values(self.problem, self.estimator._dtype)
        with interrupt.at_once():
            return self.held_out.measured(values)

    def _watch(self, score: float) -> bool:
        """Whether the epoch was an improvement is noted; was it finite at all?"""
        fitted = self.estimator
        if not fitted.early_stopping:
            assert fitted.best_loss_ is not None
            self._count(fitted.loss_ <= fitted.best_loss_ - fitted.tol)
            fitted.best_loss_ = min(fitted.best_loss_, fitted.loss_)
            return True
        assert fitted.validation_scores_ is not None
        assert fitted.best_validation_score_ is not None
        fitted.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        self._count(score >= fitted.best_validation_score_ + fitted.tol)
        if score > fitted.best_validation_score_:
            fitted.best_validation_score_ = score
            fitted._best = fitted._learned()
            fitted.history_.best_epoch = len(fitted.history_)
        if not math.isnan(score):
            return True
        warnings.warn(
            f"Training diverged in epoch {fitted.n_iter_}; the estimator keeps the epoch "
            "with the best validation score. A smaller learning_rate_init usually helps.",
            ConvergenceWarning,
            stacklevel=9,
        )
        return False

    def _record(self, began: float, val_loss: float, val_score: float) -> None:
        """Add the epoch to the history."""
        fitted = self.estimator
        record = {
            "epoch": len(fitted.history_) + 1.0,
            "loss": fitted.loss_,
            "rate": fitted._optimizer.learning_rate,
        }
        if self.held_out is not None:
            record |= {"val_loss": val_loss, "val_score": val_score}
        record["seconds"] = time.perf_counter() - began
        fitted.history_.epochs.append(record)

    def _count(self, improved: bool) -> None:
        fitted = self.estimator
        fitted._no_improvement_count = 0 if improved else fitted._no_improvement_count + 1

    def _schedule(self) -> None:
        """The learning rate after an epoch, where it follows the samples seen."""
        fitted = self.estimator
        if fitted.solver == "sgd" and fitted.learning_rate == "invscaling":
            schedule = InverseScaling(fitted.learning_rate_init, fitted.power_t, "sample")
            at = Progress(self.run.steps, samples=fitted.t_)
            fitted._optimizer.learning_rate = schedule(at)

    def _out_of_patience(self) -> bool:
        """Whether to end; while it can, the adaptive learning rate falls instead."""
        fitted = self.estimator
        if fitted._no_improvement_count <= fitted.n_iter_no_change:
            return False
        watched = "validation score" if fitted.early_stopping else "training loss"
        self._say(
            f"No {watched} better by tol={fitted.tol:g} in more than "
            f"{fitted.n_iter_no_change} epochs."
        )
        solver = fitted._optimizer
        adaptive = fitted.solver == "sgd" and fitted.learning_rate == "adaptive"
        if not adaptive or solver.learning_rate <= SMALLEST_RATE:
            return True
        solver.learning_rate /= 5
        fitted._no_improvement_count = 0
        self._say(f"The learning rate is now {solver.learning_rate:g}.")
        return False


def descent(
    estimator: Settings,
    problem: Problem,
    data: Mapping[Symbol, Data],
    held_out: HeldOut | None,
    tasks: Tasks | None,
) -> Descent:
    """A fit from the estimator's values on; a partial one keeps the solver's state."""
    rule = estimator._rule()
    if tasks is not None or not hasattr(estimator, "_optimizer"):
        first = estimator.learning_rate_init
        rate = first if isinstance(rule.rate, Schedule) else rule.rate
        dropped = any(h.dropout for h in estimator._hidden(estimator._hidden_sizes()))
        seed = estimator._random_state.randint(1 << 31) if dropped else 0
        estimator._optimizer = Solver(float(rate), seed)
    before, dtype = estimator._optimizer, estimator._dtype
    run = trainer(problem, rule, np.dtype(dtype).name, before.seed)
    slots = {**run.state.values, **before.slots}
    run.state = State(before.step, {**slots, **estimator._values(problem, dtype)})
    compact = compact_targets(data)
    return Descent(estimator, problem, compact, held_out, tasks, rule, run)
