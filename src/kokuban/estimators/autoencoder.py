"""Autoencoder: a transformer that learns a short code for its data."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
)

from kokuban import ops
from kokuban.errors import DataError, SettingError
from kokuban.estimators.base import NetworkEstimator, Raw, by_symbol, is_stochastic
from kokuban.estimators.network import ACTIVATIONS, Problem, autoencoder, program
from kokuban.estimators.rows import mean_in_blocks, rows_of
from kokuban.estimators.settings import Settings, keep
from kokuban.expr import symbols
from kokuban.train.loop import Arrays
from kokuban.train.network import WEIGHTS


@final
class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """A network that learns its own input through a narrow layer, the code.

    Down: h ← f(h W + 1b) through `hidden_layer_sizes`, whose last is the code's. Up
    again: h ← f(h Wᵀ + 1c) with the same weights where `tied`, or weights of its own; the
    last layer has `output_activation` in place of f. 1/2 Σ (y - x)² a sample is minimised
    (loss_ shows the mean over the columns), with the penalty α/(2N) Σ w² over all
    weights, each counted once. A tied weight's gradient is the sum of its two uses.
    Rumelhart et al., "Learning internal representations by error propagation" (1986).

    Parameters: hidden_layer_sizes, (32,); activation f, and output_activation, any of
    MLPClassifier's; tied; all others as in MLPClassifier. Early stopping watches the
    score, minus the mean squared error of held-out samples.

    Fitted attributes: coefs_ (the weights down, and those up unless tied), intercepts_
    (all biases b, then c); loss_, loss_curve_ (the reconstruction's loss, epoch by
    epoch) and the others of MLPRegressor.

    X is N×d, dense or sparse, and stays in float32 or float64; a sparse X is made dense a
    batch of rows at a time. The errors are those of MLPClassifier.
    """

    output_activation: str
    tied: bool

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Settings._parameter_constraints,
        "tied": ["boolean"],
        "output_activation": [str],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        **Settings._known_names,
        "output_activation": ACTIVATIONS,
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (32,),
        activation: str = "relu",
        *,
        tied: bool = True,
        output_activation: str = "identity",
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: int | str = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
    ) -> None:
        keep(self, locals())

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Autoencoder:
        """Fit to the samples X, N×d; y is ignored. Returns the estimator."""
        self._fit(X, None, sample_weight)
        return self

    @available_if(is_stochastic)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> Autoencoder:
        """One epoch over the samples given, from the values there are; y is ignored."""
        self._fit(X, None, sample_weight, incremental=True)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of the samples: N×d to N×h."""
        check_is_fitted(self)
        X = self._matrix(X, reset=False)
        problem = self._problem(self._units(), False)
        assert problem.code is not None
        return self._run(problem, problem.code, X, self._values(problem, self._dtype))

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for: N×h to N×d."""
        check_is_fitted(self)
        X = check_array(X, dtype=(np.float64, np.float32), input_name="X")
        problem = self._problem(self._units(), False)
        assert problem.decoded is not None
        (code,) = symbols([problem.decoded], "input")
        if X.shape[1] != code.shape[1]:
            raise DataError(f"X has {X.shape[1]} columns; a code has {code.shape[1]}.")
        values = {**self._values(problem, self._dtype), code: X.astype(self._dtype)}
        decoded: np.ndarray = program(problem.decoded)(values, np, self._dtype)[0]
        return decoded

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Minus the mean squared error over all entries; y is ignored."""
        check_is_fitted(self)
        X = self._matrix(X, reset=False)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        problem = self._problem(self._units(), sample_weight is not None)
        raw = by_symbol(problem, X, None, sample_weight)
        return self._validation_score(problem, raw, self._values(problem, self._dtype))

    @property
    def _n_features_out(self) -> int:
        """The size of the code, for the names of its columns."""
        return self._units()[-1]

    def _validated(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, None]:
        if not self._hidden_sizes():
            raise SettingError("An autoencoder needs a hidden layer: that is its code.")
        return self._matrix(X, reset=reset), None

    def _output_name(self) -> str:
        return self.output_activation

    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        return autoencoder(
            units, self.activation, self.out_activation_, self.tied, weighted
        )

    def _units(self) -> tuple[int, ...]:
        down = self.coefs_ if self.tied else self.coefs_[: len(self.coefs_) // 2]
        return (len(down[0]), *(coef.shape[1] for coef in down))

    def _validation_score(self, problem: Problem, held_out: Raw, values: Arrays) -> float:
        weights = WEIGHTS if WEIGHTS in held_out else None
        error = program(ops.mse(problem.output, problem.x, weights=weights))
        data = {s: rows_of(v, self._dtype) for s, v in held_out.items()}
        (found,) = mean_in_blocks(error, data, values, self._dtype)
        return -float(found[0, 0])

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
