"""What the estimators share: checks, start values, the two ways to fit, predictions."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from itertools import pairwise
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from kokuban.errors import NonFiniteError, SettingError
from kokuban.estimators.lbfgs import minimise
from kokuban.estimators.network import Problem, program
from kokuban.estimators.rows import in_blocks, require_finite, rows_of
from kokuban.estimators.settings import STOCHASTIC, Settings
from kokuban.estimators.stochastic import descent
from kokuban.expr import Expr, Symbol
from kokuban.train.loop import Arrays
from kokuban.train.network import WEIGHTS

Raw = dict[Symbol, Any]  # matrices as they were given, dense or sparse

# scikit-learn's own words, which its users' programs and its tests look for.
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large "
    "values and need to be preprocessed."
)


def is_stochastic(estimator: Any) -> bool:
    """True; AttributeError where the solver takes no batches."""
    if estimator.solver not in STOCHASTIC:
        raise AttributeError(
            f"partial_fit needs a solver that takes batches, {' or '.join(STOCHASTIC)}; "
            f"this one is {estimator.solver!r}."
        )
    return True


class NetworkEstimator(Settings):
    """A dense network fitted by the gradients of its loss.

    Random numbers are drawn in scikit-learn's order (start values, the validation
    split, then a permutation an epoch), so that its runs can be repeated.
    """

    @abstractmethod
    def _validated(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray | None]:
        """X and the targets as matrices, N×d and N×k; None where X is its own target."""

    @abstractmethod
    def _output_name(self) -> str:
        """The name of the output activation."""

    @abstractmethod
    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        """The network of the sizes `units`, inputs first, and its loss."""

    @abstractmethod
    def _units(self) -> tuple[int, ...]:
        """The sizes for `_problem`, read off the fitted weights."""

    @abstractmethod
    def _validation_score(self, problem: Problem, held_out: Raw, values: Arrays) -> float:
        """The score of held-out data, larger is better; NaN where there is none."""

    # ------------------------------------------------------------ fitting

    def _fit(self, X: Any, y: Any, sample_weight: Any, incremental: bool = False) -> Any:
        self._require_settings()
        if incremental and self.early_stopping:
            raise SettingError(
                "partial_fit does not support early_stopping=True: it makes one pass, "
                "which nothing could stop."
            )
        hidden = self._hidden_sizes()
        first = not (hasattr(self, "coefs_") and (self.warm_start or incremental))
        X, t = self._validated(X, y, incremental, first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
        if first:
            self.out_activation_ = self._output_name()
        units = (X.shape[1], *hidden) if t is None else (X.shape[1], *hidden, t.shape[1])
        problem = self._problem(units, sample_weight is not None)
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialise(problem, X.dtype)
        else:
            self._require_same_network(problem)
        try:
            raw = by_symbol(problem, X, t, sample_weight)
            if self.solver == "lbfgs":
                self._fit_lbfgs(problem, raw)
            else:
                self._open_records(first)
                self._fit_stochastic(problem, raw, incremental)
        except NonFiniteError as error:
            raise NonFiniteError(f"{NOT_FINITE} {error}") from None
        return self

    def _initialise(self, problem: Problem, dtype: Any) -> None:
        """Start values as scikit-learn draws them.

        Uniform on [-a, a], a² = 6/(fan_in + fan_out), or 2/(…) for the logistic
        activation: Glorot and Bengio, "Understanding the difficulty of training deep
        feedforward neural networks" (2010), eq. 16. Biases have their weight's a.
        """
        factor = 2.0 if self.activation == "logistic" else 6.0
        self.coefs_, self.intercepts_ = [], []
        for inputs, outputs in pairwise(problem.sizes):
            bound = np.sqrt(factor / (inputs + outputs))
            if len(self.coefs_) < len(problem.weights):  # a tied decoder has none
                start = self._random_state.uniform(-bound, bound, (inputs, outputs))
                self.coefs_.append(start.astype(dtype, copy=False))
            start = self._random_state.uniform(-bound, bound, outputs)
            self.intercepts_.append(start.astype(dtype, copy=False))
        self.n_iter_ = self.t_ = 0
        self.n_layers_, self.n_outputs_ = len(problem.sizes), problem.sizes[-1]

    def _open_records(self, anew: bool) -> None:
        """Empty records of training, where there are none of this kind to go on with."""
        watched = self.early_stopping
        if anew or not hasattr(self, "loss_curve_"):
            self.loss_curve_ = []
        elif (self.best_loss_ is None) == watched:
            return
        self._no_improvement_count = 0
        self._best = (self.coefs_, self.intercepts_)
        self.best_loss_ = None if watched else math.inf
        self.validation_scores_ = [] if watched else None
        self.best_validation_score_ = -math.inf if watched else None

    def _require_same_network(self, problem: Problem) -> None:
        have = [np.shape(c) for c in self.coefs_]
        want = [w.shape for w in problem.weights]
        if have != want:
            raise SettingError(
                f"The fitted weights have the shapes {have}, but these data and "
                f"hidden_layer_sizes={self.hidden_layer_sizes!r} need {want}. Fit a new "
                "estimator, or set warm_start=False."
            )

    def _fit_lbfgs(self, problem: Problem, raw: Raw) -> None:
        dtype = self._dtype
        found = minimise(
            problem,
            {s: rows_of(v, np.float64) for s, v in raw.items()},
            self._values(problem, np.float64),
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
            verbose=bool(self.verbose),
        )
        if not math.isfinite(found.loss):
            raise NonFiniteError(f"The loss is {found.loss} where lbfgs ended.")
        self._store(problem, {s: v.astype(dtype) for s, v in found.values.items()})
        self.n_iter_, self.loss_ = found.iterations, found.loss
        if found.interrupted:
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} iterations; the "
                "estimator keeps what it has learned.",
                stacklevel=4,
            )
        elif found.complaint:
            warnings.warn(
                f"lbfgs did not converge in {self.n_iter_} iterations: "
                f"{found.complaint}. Raise max_iter (now {self.max_iter}) or max_fun "
                f"({self.max_fun}), or bring the features to one scale.",
                ConvergenceWarning,
                stacklevel=4,
            )

    def _fit_stochastic(self, problem: Problem, raw: Raw, incremental: bool) -> None:
        score = None
        if self.early_stopping:
            raw, held_out = self._split(problem, raw)

            def score(values: Arrays) -> float:
                return self._validation_score(problem, held_out, values)

        data = {s: rows_of(v, self._dtype) for s, v in raw.items()}
        epochs = 1 if incremental else self.max_iter
        descent(self, problem, data, score, incremental).go(epochs, partial=incremental)

    def _split(self, problem: Problem, raw: Raw) -> tuple[Raw, Raw]:
        """The rows to train on and those held out; a column of classes is stratified."""
        one_column = is_classifier(self) and self.n_outputs_ == 1
        parts = train_test_split(
            *raw.values(),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=raw[problem.t] if one_column and problem.t is not None else None,
        )
        train = dict(zip(raw, parts[::2], strict=True))
        held_out = dict(zip(raw, parts[1::2], strict=True))
        if held_out[problem.x].shape[0] < 2:
            raise SettingError(
                "The validation set is too small: it needs 2 samples. Raise "
                f"validation_fraction (now {self.validation_fraction}), or give more "
                "data."
            )
        return train, held_out

    # ------------------------------------------------------------ predicting

    def _matrix(self, X: Any, **how: Any) -> Any:
        """X (and y, where given) as scikit-learn checks them, with X's entries finite."""
        checked = validate_data(
            self,
            X,
            accept_sparse="csr",
            dtype=(np.float64, np.float32),
            ensure_all_finite=False,
            **how,
        )
        require_finite(checked[0] if "y" in how else checked, "X")
        return checked

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for new data, N×k."""
        check_is_fitted(self)
        X = self._matrix(X, reset=False)
        problem = self._problem(self._units(), False)
        return self._run(problem, problem.output, X, self._values(problem, self._dtype))

    def _run(self, problem: Problem, what: Expr, X: Any, values: Arrays) -> np.ndarray:
        data = rows_of(X, self._dtype)
        return in_blocks(program(what), problem.x, data, values, self._dtype)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def by_symbol(problem: Problem, X: Any, t: Any, sample_weight: Any) -> Raw:
    """The data by the problem's symbols; sample weights as a column."""
    raw: Raw = {problem.x: X}
    if problem.t is not None:
        raw[problem.t] = t
    if sample_weight is not None:
        raw[WEIGHTS] = sample_weight[:, None]
    return raw
