"""What a fit leaves behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kokuban.estimators.network import Problem
from kokuban.expr import Symbol
from kokuban.train.history import History
from kokuban.train.loop import Arrays


@dataclass(slots=True)
class Solver:
    """What a stochastic solver remembers for the next partial fit.

    learning_rate   η of the last update, as its schedule has left it
    seed            of the dropout
    epoch, step     how many of them it has made
    slots           the optimizer's matrices
    """

    learning_rate: float
    seed: int = 0
    epoch: int = 0
    step: int = 0
    slots: Arrays = field(default_factory=dict)


class Fitted:
    """The attributes of a fitted estimator. No setting is among them."""

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    norms_: dict[str, np.ndarray]
    out_activation_: Any
    n_layers_: int
    n_outputs_: int
    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    history_: History
    _no_improvement_count: int
    _best: Mapping[str, Any]
    _optimizer: Solver
    _random_state: np.random.RandomState

    @property
    def _dtype(self) -> type[np.floating[Any]]:
        """The type of the weights, float32 or float64, in which everything runs."""
        return np.float32 if self.coefs_[0].dtype == np.float32 else np.float64

    def _learned(self) -> dict[str, Any]:
        """The attributes that prediction needs, as they are now."""
        norms = getattr(self, "norms_", {})  # absent where coefs_ were set by hand
        return {"coefs_": self.coefs_, "intercepts_": self.intercepts_, "norms_": norms}

    def _take(self, learned: Mapping[str, Any]) -> None:
        """Keep such attributes."""
        for name, value in learned.items():
            setattr(self, name, value)

    def _parameters(self, problem: Problem, dtype: Any) -> Arrays:
        """The values of a problem's parameters and running statistics."""
        learned = self._learned()
        coefs = zip(problem.weights, self.coefs_, strict=True)
        intercepts = zip(problem.biases, self.intercepts_, strict=True)
        return {
            **{w: np.asarray(value, dtype) for w, value in coefs},
            **{b: np.asarray(value, dtype).reshape(1, -1) for b, value in intercepts},
            **{s: np.asarray(learned["norms_"][s.name], dtype) for s, _ in problem.norms},
        }


def attributes(problem: Problem, values: Mapping[Symbol, np.ndarray]) -> dict[str, Any]:
    """The values of a problem's parameters as the attributes that hold them."""
    return {
        "coefs_": [values[w] for w in problem.weights],
        "intercepts_": [values[b][0] for b in problem.biases],
        "norms_": {s.name: values[s] for s, _ in problem.norms},
    }
