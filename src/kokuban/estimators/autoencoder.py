"""Autoencoder: a transformer that learns a short code for its data."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.callback import with_callbacks
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
)

from kokuban.errors import DataError, SettingError
from kokuban.estimators.base import Given, NetworkEstimator, is_stochastic
from kokuban.estimators.network import Problem, autoencoder, program
from kokuban.estimators.outputs import ACTIVATIONS, OF_NUMBERS, Activation, Loss
from kokuban.estimators.rows import blocks, rows_of
from kokuban.estimators.settings import Settings
from kokuban.expr import symbols


@final
@dataclass(eq=False, repr=False)
class Autoencoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, NetworkEstimator):
    """A network that learns its own input through a narrow layer, the code.

    Down: h ← f(h W + 1b) through `hidden_layer_sizes`, whose last is the code's. Up
    again: h ← f(h Wᵀ + 1c) with the same weights where `tied`, or weights of its own; the
    last layer has `output_activation` in place of f. 1/2 Σ (y - x)² a sample is minimised
    (loss_ shows the mean over the columns), with the penalty α/(2N) Σ w² over all
    weights, each counted once. A tied weight's gradient is the sum of its two uses.
    Rumelhart et al., "Learning internal representations by error propagation" (1986).

    Parameters: hidden_layer_sizes, (32,); activation f, and output_activation, any of
    MLPClassifier's; tied; loss, "squared_error" or one of MLPRegressor's others; all
    others as in MLPClassifier. What is set for a hidden layer on the way down holds for
    the one of its size on the way up. Early stopping watches the score, minus the mean
    squared error of held-out samples, unless `scoring` says something else.

    Fitted attributes: coefs_ (the weights down, and those up unless tied), intercepts_
    (all biases b, then c); loss_, loss_curve_ (the reconstruction's loss, epoch by
    epoch) and the others of MLPRegressor.

    X is N×d, dense or sparse, and stays in float32 or float64 unless `dtype` says
    otherwise; a sparse X is made dense a batch of rows at a time. The errors are those
    of MLPClassifier.
    """

    hidden_layer_sizes: Any = (32,)
    _: KW_ONLY
    tied: bool = True
    output_activation: Activation = "identity"
    loss: Loss = "squared_error"

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Settings._parameter_constraints,
        "tied": ["boolean"],
        "output_activation": [str, callable],
        "loss": [str, callable],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        **Settings._known_names,
        "output_activation": ACTIVATIONS,
        "loss": ("squared_error", *OF_NUMBERS),
    }

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Autoencoder:
        """Fit to the samples X, N×d; y is ignored. Returns the estimator.

        X_val and sample_weight_val are data to validate with, as in MLPClassifier.
        """
        self._fit(Given(X, None, sample_weight), Given(X_val, None, sample_weight_val))
        return self

    @available_if(is_stochastic)
    def partial_fit(
        self, X: Any, y: Any = None, sample_weight: Any = None
    ) -> Autoencoder:
        """One epoch over the samples given, from the values there are; y is ignored."""
        self._fit(Given(X, None, sample_weight), Given(), incremental=True)
        return self

    def transform(self, X: Any) -> np.ndarray:
        """The codes of the samples: N×d to N×h."""
        problem, X = self._ready(X)
        assert problem.code is not None
        return self._run(problem, problem.code, X)

    def inverse_transform(self, X: Any) -> np.ndarray:
        """The samples that codes stand for: N×h to N×d."""
        check_is_fitted(self, "coefs_")
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
        problem, X = self._ready(X)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        y = self._run(problem, problem.output, X)
        return self._score_of(X, y, sample_weight)

    @property
    def _n_features_out(self) -> int:
        """The size of the code, for the names of its columns."""
        return self._units()[-1]

    def _validated(
        self, given: Given, incremental: bool, reset: bool
    ) -> tuple[Any, None]:
        if not self._hidden_sizes():
            raise SettingError("An autoencoder needs a hidden layer: that is its code.")
        return self._matrix(given.X, reset=reset), None

    def _validated_more(self, given: Given) -> tuple[Any, None]:
        return self._matrix(given.X, reset=False), None

    def _output_name(self) -> Activation:
        return self.output_activation

    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        inputs, *hidden = units
        design = self._design(inputs, hidden, inputs, self.loss, weighted)
        return autoencoder(design, self.tied)

    def _units(self) -> tuple[int, ...]:
        down = self.coefs_ if self.tied else self.coefs_[: len(self.coefs_) // 2]
        return (len(down[0]), *(coef.shape[1] for coef in down))

    def _score_of(self, t: Any, y: np.ndarray, weights: Any) -> float:
        rows = rows_of(t, self._dtype)
        parts = (np.mean((y[part] - rows[part]) ** 2, axis=1) for part in blocks(rows))
        return -float(np.average(np.concatenate([*parts]), weights=weights))

    def _truth(self, t: Any) -> None:
        """A scorer finds the target in X."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags
