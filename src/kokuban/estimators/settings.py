"""The settings that all estimators share, and what a fit leaves behind."""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval, Options, StrOptions

from kokuban.errors import SettingError, unknown
from kokuban.estimators.network import ACTIVATIONS, ALPHA, EPSILON, Problem
from kokuban.expr import Symbol
from kokuban.optim import Adam, Momentum, Nesterov, Optimizer
from kokuban.train.loop import Arrays

STOCHASTIC = ("sgd", "adam")  # the solvers that go batch by batch

AT_LEAST_0 = Interval(Real, 0, None, closed="left")
ABOVE_0 = Interval(Real, 0, None, closed="neither")
FROM_0_BELOW_1 = Interval(Real, 0, 1, closed="left")
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


@dataclass(slots=True)
class Solver:
    """What a stochastic solver remembers for the next partial fit.

    learning_rate   η as its schedule has left it
    step            how many updates it has made
    slots           the optimizer's matrices
    """

    learning_rate: float
    step: int = 0
    slots: Arrays = field(default_factory=dict)


def keep(estimator: object, arguments: Mapping[str, Any]) -> None:
    """Keep a constructor's arguments under their names, as scikit-learn wants them."""
    for name, value in arguments.items():
        if name != "self":
            setattr(estimator, name, value)


class Settings(BaseEstimator, ABC):
    """A network's settings, under scikit-learn's names, and its fitted values."""

    hidden_layer_sizes: Any
    activation: str
    solver: str
    alpha: float
    batch_size: int | str
    learning_rate: str
    learning_rate_init: float
    power_t: float
    max_iter: int
    shuffle: bool
    random_state: Any
    tol: float
    verbose: bool | int
    warm_start: bool
    momentum: float
    nesterovs_momentum: bool
    early_stopping: bool
    validation_fraction: float
    beta_1: float
    beta_2: float
    epsilon: float
    n_iter_no_change: float
    max_fun: int

    coefs_: list[np.ndarray]
    intercepts_: list[np.ndarray]
    out_activation_: str
    n_layers_: int
    n_outputs_: int
    n_iter_: int
    t_: int
    loss_: float
    loss_curve_: list[float]
    best_loss_: float | None
    validation_scores_: list[float] | None
    best_validation_score_: float | None
    _no_improvement_count: int
    _best: tuple[list[np.ndarray], list[np.ndarray]]
    _optimizer: Solver
    _random_state: np.random.RandomState

    # The ranges are scikit-learn's; _require_settings knows the names.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", AT_LEAST_1],
        "activation": [str],
        "solver": [str],
        "alpha": [AT_LEAST_0],
        "batch_size": [StrOptions({"auto"}), AT_LEAST_1],
        "learning_rate": [str],
        "learning_rate_init": [ABOVE_0],
        "power_t": [AT_LEAST_0],
        "max_iter": [AT_LEAST_1],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [AT_LEAST_0],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [FROM_0_BELOW_1],
        "beta_1": [FROM_0_BELOW_1],
        "beta_2": [FROM_0_BELOW_1],
        "epsilon": [ABOVE_0],
        "n_iter_no_change": [AT_LEAST_1, Options(Real, {np.inf})],
        "max_fun": [AT_LEAST_1],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        "activation": ACTIVATIONS,
        "solver": (*STOCHASTIC, "lbfgs"),
        "learning_rate": ("constant", "invscaling", "adaptive"),
    }

    def _require_settings(self) -> None:
        """InvalidParameterError or UnknownNameError for a setting that cannot be."""
        self._validate_params()
        for name, known in self._known_names.items():
            if getattr(self, name) not in known:
                raise unknown(name, getattr(self, name), known)

    def _hidden_sizes(self) -> tuple[int, ...]:
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise SettingError(
                "hidden_layer_sizes must be > 0 and whole, one for each hidden layer; "
                f"got {self.hidden_layer_sizes!r}."
            )
        return tuple(sizes)

    def _rule(self) -> Optimizer:
        """The stochastic solver as an optimizer."""
        rate = self.learning_rate_init
        if self.solver == "adam":
            return Adam(
                rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                epsilon_at="raw",
            )
        kind = Nesterov if self.nesterovs_momentum else Momentum
        return kind(rate, momentum=self.momentum)

    @property
    def _dtype(self) -> type[np.floating[Any]]:
        """The type of the weights, float32 or float64, in which everything runs."""
        return np.float32 if self.coefs_[0].dtype == np.float32 else np.float64

    def _values(self, problem: Problem, dtype: Any) -> Arrays:
        """The weights, the biases and the loss's settings, by their symbols."""
        coefs = zip(problem.weights, self.coefs_, strict=True)
        intercepts = zip(problem.biases, self.intercepts_, strict=True)
        return {
            **{w: np.asarray(value, dtype) for w, value in coefs},
            **{b: np.asarray(value, dtype).reshape(1, -1) for b, value in intercepts},
            ALPHA: np.full((1, 1), self.alpha, dtype),
            EPSILON: np.full((1, 1), np.finfo(dtype).eps, dtype),
        }

    def _store(self, problem: Problem, values: Mapping[Symbol, np.ndarray]) -> None:
        """Keep the values of a problem's parameters as coefs_ and intercepts_."""
        self.coefs_ = [values[w] for w in problem.weights]
        self.intercepts_ = [values[b][0] for b in problem.biases]
