"""The settings that all estimators share, under scikit-learn's names."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import Interval, Options, StrOptions

from kokuban.errors import SettingError, unknown
from kokuban.estimators.fitted import Fitted
from kokuban.estimators.network import ALPHA, NORMALIZATIONS, Design, Hidden, Problem
from kokuban.estimators.outputs import ACTIVATIONS, EPSILON, Activation, Loss
from kokuban.optim import Adam, Momentum, Nesterov, Optimizer, Schedule
from kokuban.train.loop import Arrays

SOLVERS = ("sgd", "adam", "lbfgs")  # the last one takes all samples at once
RATES = ("constant", "invscaling", "adaptive")

AT_LEAST_0 = Interval(Real, 0, None, closed="left")
ABOVE_0 = Interval(Real, 0, None, closed="neither")
FROM_0_BELOW_1 = Interval(Real, 0, 1, closed="left")
AT_LEAST_1 = Interval(Integral, 1, None, closed="left")


@dataclass(eq=False, repr=False)
class Settings(Fitted, BaseEstimator, ABC):
    """A network's settings: those of scikit-learn's MLP in its order, then our own.

    A dataclass, so that this list is the constructor's, which scikit-learn reads.
    """

    hidden_layer_sizes: Any = (100,)
    activation: Activation | Sequence[Activation] = "relu"
    _: KW_ONLY
    solver: str | Optimizer = "adam"
    alpha: float = 0.0001
    batch_size: int | str = "auto"
    learning_rate: str | Schedule = "constant"
    learning_rate_init: float = 0.001
    power_t: float = 0.5
    max_iter: int = 200
    shuffle: bool = True
    random_state: Any = None
    tol: float = 1e-4
    verbose: bool | int = False
    warm_start: bool = False
    momentum: float = 0.9
    nesterovs_momentum: bool = True
    early_stopping: bool = False
    validation_fraction: float = 0.1
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    n_iter_no_change: float = 10
    max_fun: int = 15000
    dropout: float | Sequence[float] = 0.0
    normalization: str | None = None
    scoring: str | Callable[..., float] | None = None
    dtype: str | None = None

    # The ranges are scikit-learn's; _require_settings knows the names.
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "hidden_layer_sizes": ["array-like", AT_LEAST_1],
        "activation": [str, callable, list, tuple],
        "solver": [str, Optimizer],
        "alpha": [AT_LEAST_0],
        "batch_size": [StrOptions({"auto"}), AT_LEAST_1],
        "learning_rate": [str, Schedule],
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
        "dropout": [FROM_0_BELOW_1, list, tuple],
        "normalization": [str, None],
        "scoring": [str, callable, None],
        "dtype": [str, None],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        "activation": ACTIVATIONS,
        "solver": SOLVERS,
        "learning_rate": RATES,
        "normalization": NORMALIZATIONS,
        "scoring": ("loss", *get_scorer_names()),
        "dtype": ("float32", "float64"),
    }

    def _require_settings(self) -> None:
        """InvalidParameterError, UnknownNameError or SettingError for what cannot be."""
        self._validate_params()
        for name, known in self._known_names.items():
            value = getattr(self, name)
            for part in value if isinstance(value, list | tuple) else [value]:
                if isinstance(part, str) and part not in known:
                    raise unknown(name, part, known)
        self._require_together()

    def _require_together(self) -> None:
        """SettingError for settings that exclude each other."""
        own_rate = isinstance(self.solver, Optimizer)
        if own_rate and self.learning_rate != "constant":
            raise SettingError(
                "solver is an optimizer, which has its own learning rate; leave "
                "learning_rate at 'constant', and give the schedule to the optimizer."
            )
        if self.solver != "lbfgs":
            return
        for name, given in (
            ("dropout", np.any(self.dropout)),
            ("normalization='batch'", self.normalization == "batch"),
            ("a schedule as learning_rate", isinstance(self.learning_rate, Schedule)),
        ):
            if given:
                raise SettingError(
                    "solver='lbfgs' takes all samples at once, without batches or "
                    f"steps; {name} needs a solver that has them, such as 'adam'."
                )

    def _hidden_sizes(self) -> tuple[int, ...]:
        sizes = np.atleast_1d(self.hidden_layer_sizes).tolist()
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise SettingError(
                "hidden_layer_sizes must be > 0 and whole, one for each hidden layer; "
                f"got {self.hidden_layer_sizes!r}."
            )
        return tuple(sizes)

    def _hidden(self, sizes: Sequence[int]) -> tuple[Hidden, ...]:
        """The hidden layers of these sizes, each with its own settings."""
        kinds = self._each("activation", len(sizes))
        rates = self._each("dropout", len(sizes))
        for kind in kinds:
            _require_function("activation", kind)
        for rate in rates:
            if isinstance(rate, str | bool) or not FROM_0_BELOW_1.is_satisfied_by(rate):
                raise SettingError(
                    f"A dropout rate is at least 0 and below 1, not {rate!r}."
                )
        return tuple(map(Hidden, sizes, kinds, map(float, rates)))

    def _each(self, name: str, count: int) -> list[Any]:
        """A setting for each of so many hidden layers."""
        value = getattr(self, name)
        if not isinstance(value, list | tuple):
            return [value] * count
        if len(value) != count:
            raise SettingError(
                f"{name} holds {len(value)} values, one for each hidden layer; there are "
                f"{count}: hidden_layer_sizes={self.hidden_layer_sizes!r}."
            )
        return list(value)

    def _design(
        self,
        inputs: int,
        hidden: Sequence[int],
        outputs: int,
        loss: Loss,
        weighted: bool,
    ) -> Design:
        """The network of these sizes, and its loss."""
        _require_function("loss", loss)
        _require_function("output_activation", self.out_activation_)
        return Design(
            inputs,
            self._hidden(hidden),
            outputs,
            self.out_activation_,
            loss,
            self.normalization,
            weighted,
        )

    def _rule(self) -> Optimizer:
        """The stochastic solver as an optimizer."""
        if isinstance(self.solver, Optimizer):
            return self.solver
        scheduled = isinstance(self.learning_rate, Schedule)
        rate: Any = self.learning_rate if scheduled else self.learning_rate_init
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

    def _values(self, problem: Problem, dtype: Any) -> Arrays:
        """All that a problem's expressions need but the data."""
        return {
            **self._parameters(problem, dtype),
            ALPHA: np.full((1, 1), self.alpha, dtype),
            EPSILON: np.full((1, 1), np.finfo(dtype).eps, dtype),
        }


def _require_function(name: str, value: object) -> None:
    """SettingError unless a value is a name or a function that can be a key."""
    if isinstance(value, str) or (callable(value) and isinstance(value, Hashable)):
        return
    raise SettingError(
        f"{name} must be a name or a function of expressions, and a function that is an "
        f"object must be hashable, as a frozen dataclass is; got {value!r:.60}."
    )
