"""What the estimators share: checks, start values, the two ways to fit, predictions."""

from __future__ import annotations

import math
import os
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.callback import CallbackSupportMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.validation import (
    _check_sample_weight,
    check_is_fitted,
    validate_data,
)

from kokuban.errors import DataError, NonFiniteError, SettingError
from kokuban.estimators.callbacks import Tasks
from kokuban.estimators.explaining import explained
from kokuban.estimators.fitted import attributes
from kokuban.estimators.lbfgs import minimise
from kokuban.estimators.network import Problem, program
from kokuban.estimators.rows import in_blocks, require_finite, rows_of
from kokuban.estimators.saving import KEY, description, model_of
from kokuban.estimators.settings import Settings
from kokuban.estimators.stochastic import descent
from kokuban.estimators.validation import HeldOut, Raw, by_symbol, held_out, rows_at
from kokuban.explain import Derivation
from kokuban.expr import Expr, Symbol
from kokuban.train.history import History
from kokuban.train.loop import Arrays
from kokuban.train.model import Model

# scikit-learn's own words, which its users' programs and its tests look for.
NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large "
    "values and need to be preprocessed."
)


class Given(NamedTuple):
    """Data as a user gives them; X is None where there are none."""

    X: Any = None
    y: Any = None
    sample_weight: Any = None


def is_stochastic(estimator: Any) -> bool:
    """True; AttributeError where the solver takes no batches."""
    if estimator.solver == "lbfgs":
        raise AttributeError(
            "partial_fit needs a solver that takes batches: 'sgd', 'adam' or an "
            "optimizer of kokuban.optim; this one is 'lbfgs'."
        )
    return True


class NetworkEstimator(CallbackSupportMixin, Settings):
    """A dense network fitted by the gradients of its loss.

    Random numbers are drawn in scikit-learn's order (start values, the validation
    split, then a permutation an epoch), so that its runs can be repeated.
    """

    @abstractmethod
    def _validated(self, given: Given, incremental: bool, reset: bool) -> tuple[Any, Any]:
        """X and the targets as matrices, N×d and N×k; None where X is its own target."""

    @abstractmethod
    def _validated_more(self, given: Given) -> tuple[Any, Any]:
        """The same of validation data, for what the training data have fixed."""

    @abstractmethod
    def _output_name(self) -> Any:
        """The output activation."""

    @abstractmethod
    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        """The network of the sizes `units`, inputs first, and its loss."""

    @abstractmethod
    def _units(self) -> tuple[int, ...]:
        """The sizes for `_problem`, read off the fitted weights."""

    @abstractmethod
    def _score_of(self, t: Any, y: np.ndarray, weights: Any) -> float:
        """The score of outputs y for targets t, larger is better."""

    @abstractmethod
    def _truth(self, t: Any) -> Any:
        """The targets t as they were given, for scorers."""

    def _class_weights(
        self, t: Any, weights: np.ndarray | None, incremental: bool
    ) -> np.ndarray | None:
        """How much each class counts, in the order of the classes; None if alike."""
        return None

    # ------------------------------------------------------------ fitting

    def _fit(self, given: Given, validation: Given, incremental: bool = False) -> Any:
        self._require_settings()
        self._require_possible(validation, incremental)
        hidden = self._hidden_sizes()
        first = not (hasattr(self, "coefs_") and (self.warm_start or incremental))
        X, t = self._validated(given, incremental, first)
        own = _sample_weights(given, X)
        by_class = self._class_weights(t, own, incremental)
        weights = _times_class(own, t, by_class)
        if first:
            self.out_activation_ = self._output_name()
        units = (X.shape[1], *hidden) if t is None else (X.shape[1], *hidden, t.shape[1])
        problem = self._problem(units, weights is not None)
        dtype = X.dtype if first else self._dtype
        watched = self._held_out(validation, units, by_class, dtype)
        self._random_state = check_random_state(self.random_state)
        if first:
            self._initialise(problem, X.dtype)
        else:
            self._require_same_network(problem)
        tasks = None if incremental else self._tasks(given)
        try:
            raw = by_symbol(problem, X, t, weights)
            if self.solver == "lbfgs":
                self._fit_lbfgs(problem, raw, tasks)
            else:
                self._open_records(first)
                self._fit_stochastic(problem, raw, watched, tasks)
        except NonFiniteError as error:
            raise NonFiniteError(f"{NOT_FINITE} {error}") from None
        if tasks is not None:
            tasks.close()
        return self

    def _require_possible(self, validation: Given, incremental: bool) -> None:
        """SettingError for what this way of fitting has not."""
        if incremental and self.early_stopping:
            raise SettingError(
                "partial_fit does not support early_stopping=True: it makes one pass, "
                "which nothing could stop."
            )
        if validation.X is not None and self.solver == "lbfgs":
            raise SettingError(
                "X_val is watched epoch by epoch, and solver='lbfgs' has no epochs; use "
                "a solver that has, such as 'adam'."
            )

    def _tasks(self, given: Given) -> Tasks:
        context = self._init_callback_context(max_subtasks=self.max_iter)
        tasks = Tasks(self, context, *given)
        tasks.open()
        return tasks

    def _initialise(self, problem: Problem, dtype: Any) -> None:
        """Start values as scikit-learn draws them.

        Uniform on [-a, a], a² = 6/(fan_in + fan_out), or 2/(…) for the logistic
        activation: Glorot and Bengio, "Understanding the difficulty of training deep
        feedforward neural networks" (2010), eq. 16. Biases have their weight's a.
        """
        self.coefs_, self.intercepts_ = [], []
        kinds = problem.activations or (self.activation,)
        for kind, (inputs, outputs) in zip(kinds, pairwise(problem.sizes), strict=True):
            factor = 2.0 if kind == "logistic" else 6.0
            bound = np.sqrt(factor / (inputs + outputs))
            if len(self.coefs_) < len(problem.weights):  # a tied decoder has none
                start = self._random_state.uniform(-bound, bound, (inputs, outputs))
                self.coefs_.append(start.astype(dtype, copy=False))
            start = self._random_state.uniform(-bound, bound, outputs)
            self.intercepts_.append(start.astype(dtype, copy=False))
        fixed = np.random.default_rng(0)  # zeros and ones need no chance
        self.norms_ = {s.name: b(fixed, s.shape, dtype) for s, b in problem.norms}
        self.n_iter_ = self.t_ = 0
        self.n_layers_, self.n_outputs_ = len(problem.sizes), problem.sizes[-1]

    def _open_records(self, anew: bool) -> None:
        """Empty records of training, where there are none of this kind to go on with."""
        watched = self.early_stopping
        if anew or not hasattr(self, "history_"):
            self.history_ = History()
        if anew or not hasattr(self, "loss_curve_"):
            self.loss_, self.loss_curve_ = math.nan, []
        elif (self.best_loss_ is None) == watched:
            return
        self._no_improvement_count = 0
        self._best = self._learned()
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
        norms = {s.name for s, _ in problem.norms}
        if norms != set(self._learned()["norms_"]):
            raise SettingError(
                "The fitted values are those of a network with another normalization "
                f"than {self.normalization!r}. Fit a new estimator, or set "
                "warm_start=False."
            )

    def _fit_lbfgs(self, problem: Problem, raw: Raw, tasks: Tasks | None) -> None:
        dtype = self._dtype
        assert tasks is not None
        self.n_iter_ = 0
        tasks.begin("iteration")

        def listen(values: Arrays, objective: float) -> bool:
            self.n_iter_ += 1
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {objective:.8f}")
            rounded = {s: v.astype(dtype) for s, v in values.items()}
            stop = tasks.end(lambda: attributes(problem, rounded))
            if not stop and self.n_iter_ < self.max_iter:
                tasks.begin("iteration")
            return stop

        found = minimise(
            problem,
            {s: rows_of(v, np.float64) for s, v in raw.items()},
            self._values(problem, np.float64),
            max_iter=self.max_iter,
            max_fun=self.max_fun,
            tol=self.tol,
            listen=listen,
        )
        unknown = found.interrupted and found.iterations == 0
        if not math.isfinite(found.loss) and not unknown:
            raise NonFiniteError(f"The loss is {found.loss} where lbfgs ended.")
        rounded = {s: v.astype(dtype) for s, v in found.values.items()}
        self._take(attributes(problem, rounded))
        self.n_iter_, self.loss_ = found.iterations, found.loss
        if found.interrupted:
            warnings.warn(
                f"Training was interrupted after {self.n_iter_} iterations; the "
                "estimator keeps what it has learned.",
                stacklevel=5,
            )
        elif found.complaint and not found.stopped:
            warnings.warn(
                f"lbfgs did not converge in {self.n_iter_} iterations: "
                f"{found.complaint}. Raise max_iter (now {self.max_iter}) or max_fun "
                f"({self.max_fun}), or bring the features to one scale.",
                ConvergenceWarning,
                stacklevel=5,
            )

    def _fit_stochastic(
        self, problem: Problem, raw: Raw, validation: HeldOut | None, tasks: Tasks | None
    ) -> None:
        if self.early_stopping and validation is None:
            rows, others = self._split(problem, raw)
            validation = held_out(self, problem, rows_at(raw, others), self._dtype)
            raw = rows_at(raw, rows)
            if tasks is not None:
                tasks.only(rows)
        data = {s: rows_of(v, self._dtype) for s, v in raw.items()}
        descent(self, problem, data, validation, tasks).go()

    def _held_out(
        self,
        given: Given,
        units: tuple[int, ...],
        by_class: np.ndarray | None,
        dtype: Any,
    ) -> HeldOut | None:
        """The validation data that were given to fit."""
        if given.X is None:
            if given.y is not None or given.sample_weight is not None:
                raise DataError("y_val and sample_weight_val need X_val, their samples.")
            return None
        X, t = self._validated_more(given)
        if t is not None and t.shape[1] != units[-1]:
            raise DataError(f"y_val has {t.shape[1]} columns; y has {units[-1]}.")
        weights = _times_class(_sample_weights(given, X), t, by_class)
        problem = self._problem(units, weights is not None)
        return held_out(self, problem, by_symbol(problem, X, t, weights), dtype)

    def _split(self, problem: Problem, raw: Raw) -> tuple[np.ndarray, np.ndarray]:
        """The rows to train on and those held out; a column of classes is stratified."""
        one_column = is_classifier(self) and self.n_outputs_ == 1
        train, others = train_test_split(
            np.arange(raw[problem.x].shape[0]),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=raw[problem.t] if one_column and problem.t is not None else None,
        )
        if len(others) < 2:
            raise SettingError(
                "The validation set is too small: it needs 2 samples. Raise "
                f"validation_fraction (now {self.validation_fraction}), or give more "
                "data."
            )
        return train, others

    # ------------------------------------------------------------ predicting

    def _matrix(self, X: Any, **how: Any) -> Any:
        """X (and y, where given) as scikit-learn checks them, with X's entries finite."""
        with np.errstate(over="ignore"):  # what float32 cannot hold is found below
            checked = validate_data(
                self,
                X,
                accept_sparse="csr",
                dtype=self.dtype or (np.float64, np.float32),
                ensure_all_finite=False,
                **how,
            )
        require_finite(checked[0] if "y" in how else checked, "X")
        return checked

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs for new data, N×k."""
        problem, X = self._ready(X)
        return self._run(problem, problem.output, X)

    def _ready(self, X: Any) -> tuple[Problem, Any]:
        """The fitted network, and new data for it."""
        if "coefs_" not in vars(self):  # check_is_fitted takes longer than one row
            check_is_fitted(self, "coefs_")
        if self._is_checked(X):
            require_finite(X, "X")
        else:
            X = self._matrix(X, reset=False)
        return self._problem(self._units(), False), X

    def _is_checked(self, X: Any) -> bool:
        """Whether scikit-learn's check would find nothing to do or say."""
        return (
            type(X) is np.ndarray
            and X.ndim == 2
            and X.dtype in (np.float64, np.float32)
            and X.shape[0] > 0
            and X.shape[1] == self.n_features_in_
            and "feature_names_in_" not in vars(self)
        )

    def _run(self, problem: Problem, what: Expr, X: Any) -> np.ndarray:
        data = {problem.x: rows_of(X, self._dtype)}
        values = self._values(problem, self._dtype)
        return in_blocks(program(what), data, values, self._dtype)

    # ------------------------------------------------------------ explaining

    def explain(
        self,
        X: Any = None,
        y: Any = None,
        *,
        wrt: Any = None,
        form: str = "matrix",
        lang: str = "en",
        layout: str = "rows",
        detail: str = "steps",
        entry: tuple[int, int] | None = None,
    ) -> Derivation:
        """The derivation of the gradients of what `fit` minimised, as `kokuban.derive`.

        X and y are rows to put in for form="numbers", at the fitted weights; an
        autoencoder has no y. `wrt` names what the gradients are by ("W1", or several);
        all parameters, if None. Dropout's masks are those of the first draw.

        Raises SettingError for form="numbers" without rows, UnknownNameError for a name
        that the loss does not have.
        """
        check_is_fitted(self, "coefs_")
        problem = self._problem(self._units(), False)
        at: dict[Symbol, Any] | None = None
        if X is not None:
            raw = by_symbol(problem, *self._validated_more(Given(X, y)), None)
            at = {s: rows_of(v, np.float64)[:] for s, v in raw.items()}
        settings = {
            "form": form,
            "lang": lang,
            "layout": layout,
            "detail": detail,
            "entry": entry,
        }
        return explained(problem, wrt, at, self._values(problem, np.float64), settings)

    # ------------------------------------------------------------ files

    def to_model(self) -> Model:
        """The fitted network as a `kokuban.Model`, with copies of its values.

        Its formulas can then be read, checked and trained on like any other's.
        """
        check_is_fitted(self, "coefs_")
        return model_of(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted estimator as one safetensors file, atomically.

        `kokuban.estimators.load` gives it back and runs no code; `kokuban.load` reads
        the same file as a model. Raises StorageError where the file cannot be written,
        and SettingError for a setting that only code could hold, such as a scorer.
        """
        check_is_fitted(self, "coefs_")
        model_of(self).save(path, extra={KEY: description(self)})

    def _own_description(self) -> dict[str, Any]:
        """What this kind of estimator has learned beside the network, as JSON values."""
        return {}

    def _restore(self, about: Mapping[str, Any]) -> None:
        """Take it back."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _sample_weights(given: Given, X: Any) -> np.ndarray | None:
    """How much each sample counts, where that was given."""
    if given.sample_weight is None:
        return None
    weights: np.ndarray = _check_sample_weight(given.sample_weight, X, dtype=X.dtype)
    return weights


def _times_class(
    weights: np.ndarray | None, t: Any, by_class: np.ndarray | None
) -> np.ndarray | None:
    """The samples' weights, each times the weight of its class."""
    if by_class is None:
        return weights
    labels = t[:, 0].astype(int) if t.shape[1] == 1 else np.argmax(t, axis=1)
    found: np.ndarray = by_class[labels]
    return found if weights is None else (weights * found).astype(weights.dtype)
