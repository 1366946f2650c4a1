"""SGD and Adam over batches, epoch by epoch, in the way of scikit-learn's solvers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import shuffle

from kokuban.errors import DataError, NonFiniteError
from kokuban.estimators.network import Problem, trainer
from kokuban.estimators.rows import Data
from kokuban.estimators.settings import Settings, Solver
from kokuban.expr import Symbol
from kokuban.optim import InverseScaling, Progress
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Arrays, Trainer, batches, one_pass
from kokuban.train.network import WEIGHTS
from kokuban.train.state import State

SMALLEST_RATE = 1e-6  # where the adaptive learning rate ends
Score = Callable[[Arrays], float]


@dataclass(slots=True)
class Descent:
    """A stochastic fit under way; the estimator's records are filled as it goes.

    `score` gives the validation score of the values there are, larger is better, where
    early stopping watches it; otherwise the training loss is watched.
    """

    estimator: Settings
    problem: Problem
    data: Mapping[Symbol, Data]
    score: Score | None
    run: Trainer

    def go(self, epochs: int, *, partial: bool) -> None:
        """Train for so many epochs at most; fewer if nothing improves any more.

        Ctrl-C ends training after the step under way and keeps what was learned. Raises
        NonFiniteError where the loss or a weight is no longer finite, and DataError where
        a batch's sample weights are 0.
        """
        fitted = self.estimator
        fitted.n_iter_ = 0
        try:
            with Interrupt() as interrupt:
                ended = self._epochs(epochs, interrupt)
        except KeyboardInterrupt:
            self._store()
            warnings.warn(
                f"Training was interrupted after {fitted.n_iter_} whole epochs; the "
                "estimator keeps what it has learned.",
                stacklevel=5,
            )
            ended = True
        if self.score is not None:
            fitted.coefs_, fitted.intercepts_ = fitted._best
        else:
            self.run.require_finite(self.run.values)
        if not ended and not partial:
            warnings.warn(
                f"{fitted.solver} did not converge in max_iter={epochs} epochs.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _epochs(self, epochs: int, interrupt: Interrupt) -> bool:
        """Whether training ended by itself, before the number of epochs."""
        fitted = self.estimator
        rows = self.data[self.problem.x].shape[0]
        size, order = self._batch_size(rows), np.arange(rows)
        for _ in range(epochs):
            if fitted.shuffle:
                order = shuffle(order, random_state=fitted._random_state)
            fitted.loss_ = self._pass(order, size, interrupt)
            fitted.loss_curve_.append(fitted.loss_)
            fitted.n_iter_, fitted.t_ = fitted.n_iter_ + 1, fitted.t_ + rows
            self._store()
            self._say(f"Iteration {fitted.n_iter_}, loss = {fitted.loss_:.8f}")
            finite = self._watch()
            self._schedule()
            if not finite or self._out_of_patience():
                return True
        return False

    def _batch_size(self, rows: int) -> int:
        wanted = self.estimator.batch_size
        if isinstance(wanted, str):  # "auto"
            return min(200, rows)
        if wanted > rows:
            warnings.warn(
                f"batch_size={wanted} is more than the {rows} samples there are; all of "
                "them make one batch.",
                stacklevel=7,
            )
        return min(int(wanted), rows)

    def _pass(self, order: np.ndarray, size: int, interrupt: Interrupt) -> float:
        """One pass in this order: the mean loss, or NaN where early stopping goes on."""
        self._require_weights(order, size)
        rate = self.estimator._optimizer.learning_rate
        try:
            return one_pass(
                self.run,
                self.data,
                order,
                size,
                rate,
                after_step=lambda done, total: interrupt.here(),
            )
        except NonFiniteError:
            if self.score is None:
                raise
            return math.nan

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
        fitted._store(self.problem, state.values)
        fitted._optimizer.step = state.step
        fitted._optimizer.slots = {s: state.values[s] for s in self.run.slots}

    def _say(self, text: str) -> None:
        if self.estimator.verbose:
            print(text)

    def _watch(self) -> bool:
        """Note whether the epoch was an improvement; whether it was finite at all."""
        fitted = self.estimator
        if self.score is None:
            assert fitted.best_loss_ is not None
            self._count(fitted.loss_ <= fitted.best_loss_ - fitted.tol)
            fitted.best_loss_ = min(fitted.best_loss_, fitted.loss_)
            return True
        assert fitted.validation_scores_ is not None
        assert fitted.best_validation_score_ is not None
        diverged = math.isnan(fitted.loss_)
        score = math.nan if diverged else self.score(dict(self.run.values))
        fitted.validation_scores_.append(score)
        self._say(f"Validation score: {score:f}")
        self._count(score >= fitted.best_validation_score_ + fitted.tol)
        if score > fitted.best_validation_score_:
            fitted.best_validation_score_ = score
            fitted._best = (fitted.coefs_, fitted.intercepts_)
        if not math.isnan(score):
            return True
        warnings.warn(
            f"Training diverged in epoch {fitted.n_iter_}; the estimator keeps the epoch "
            "with the best validation score. A smaller learning_rate_init usually helps.",
            ConvergenceWarning,
            stacklevel=7,
        )
        return False

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
        watched = "training loss" if self.score is None else "validation score"
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
    score: Score | None,
    partial: bool,
) -> Descent:
    """A fit from the estimator's values on; a partial one keeps the solver's state."""
    if not (partial and hasattr(estimator, "_optimizer")):
        estimator._optimizer = Solver(float(estimator.learning_rate_init))
    before, dtype = estimator._optimizer, estimator._dtype
    run = trainer(problem, estimator._rule(), np.dtype(dtype).name)
    slots = {**run.state.values, **before.slots}
    run.state = State(before.step, {**slots, **estimator._values(problem, dtype)})
    return Descent(estimator, problem, data, score, run)
