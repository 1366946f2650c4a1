"""MLPClassifier and MLPRegressor, with scikit-learn's settings and attributes."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Collection
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels

from kokuban.errors import DataError
from kokuban.estimators.base import NetworkEstimator, Raw, is_stochastic
from kokuban.estimators.network import Problem, perceptron
from kokuban.estimators.settings import Settings, keep
from kokuban.train.loop import Arrays
from kokuban.train.network import WEIGHTS


class Perceptron(NetworkEstimator):
    """Affine layers with an activation between them: what the two MLPs share."""

    @abstractmethod
    def _score_of(self, t: np.ndarray, y: np.ndarray, weights: Any) -> float:
        """The score of outputs y for targets t, larger is better."""

    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        return perceptron(units, self.activation, self.out_activation_, weighted)

    def _units(self) -> tuple[int, ...]:
        return (len(self.coefs_[0]), *(coef.shape[1] for coef in self.coefs_))

    def _validation_score(self, problem: Problem, held_out: Raw, values: Arrays) -> float:
        assert problem.t is not None
        y = self._run(problem, problem.output, held_out[problem.x], values)
        if not np.isfinite(y).all():
            return math.nan
        weights = held_out[WEIGHTS].ravel() if WEIGHTS in held_out else None
        with np.errstate(over="ignore"):  # a score of -inf is no news
            return self._score_of(held_out[problem.t], y, weights)


@final
class MLPClassifier(ClassifierMixin, Perceptron):
    """A dense network for classes: drop-in for scikit-learn's MLPClassifier.

    Layers h ← f(h W + 1b), then softmax for more than two classes, the logistic function
    for two classes or for several labels a sample. The loss is the (weighted) mean over
    samples of the cross-entropy, plus α/(2N) Σ w² over all weights (not the biases), N
    the number of samples in a batch or the sum of their weights. With the same
    `random_state` the start values, the batches and so the loss curve are
    scikit-learn's. Kingma and Ba (2015), arXiv:1412.6980; Sutskever et al. (2013).

    Parameters, with scikit-learn's defaults:

    hidden_layer_sizes    the sizes of the hidden layers, (100,)
    activation            f: "identity", "logistic", "tanh", "relu" (slope 0 at 0), or
                          another of Kokuban's, such as "gelu" or "mish"
    solver                "adam", "sgd", or "lbfgs", which takes all samples at once
    alpha                 α, the strength of the L2 penalty
    batch_size            samples in a batch; "auto" is min(200, N)
    learning_rate         for sgd: "constant"; "invscaling", learning_rate_init over
                          (samples seen + 1)^power_t; "adaptive", a fifth of itself when
                          nothing improves
    learning_rate_init    η for sgd and adam
    power_t               the exponent of "invscaling"
    max_iter              the most epochs, or iterations of lbfgs
    shuffle               whether to shuffle the samples in each epoch
    random_state          a seed or a numpy.random.RandomState
    tol, n_iter_no_change training ends when the loss or the validation score has not
                          improved by tol for more than so many epochs; lbfgs ends when
                          no entry of the gradient is above tol
    verbose               whether to print each epoch's loss
    warm_start            whether fit goes on from the last fit's weights
    momentum, nesterovs_momentum   μ for sgd, and which form of it
    early_stopping, validation_fraction   whether to hold out this share of the samples,
                          watch its accuracy, and keep the weights of the best epoch
    beta_1, beta_2, epsilon   adam's settings; ε is added to √v before its correction
    max_fun               the most evaluations of the loss by lbfgs

    Fitted attributes: classes_, coefs_ (W of each layer) and intercepts_ (b), which may
    be changed; loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_ (samples seen), n_layers_, n_outputs_,
    out_activation_, n_features_in_, feature_names_in_.

    Everything runs in the type of X, float32 or float64, but lbfgs, which works in
    float64 and keeps its result in the type of X. A sparse X is made dense a few rows at
    a time (a batch, or a block of at most 512), never as a whole. Labels of a single
    class can be learned, as in scikit-learn: that class is then always predicted.

    Raises DataError (an entry of X that is not finite, labels unseen before, a batch
    whose sample weights are all 0), UnknownNameError, SettingError, NonFiniteError, and
    scikit-learn's own errors; all of them are ValueErrors.
    """

    classes_: np.ndarray
    _label_binarizer: Any

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPClassifier:
        """Fit to the samples X, N×d, and their labels y, (N,) or N×k of 0 and 1.

        `sample_weight` (N,) says how much each sample counts. Returns the estimator.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(is_stochastic)
    def partial_fit(
        self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None
    ) -> MLPClassifier:
        """One epoch over the samples given, from the values there are.

        `classes` are all labels there will be; the first call needs them. DataError for
        labels that are not among them.
        """
        if self._first_classes(classes):
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else classes)
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def _first_classes(self, classes: Any) -> bool:
        """Take the classes at the first partial fit, and hold later ones to them."""
        known = getattr(self, "classes_", None)
        if known is None and classes is None:
            raise DataError("The first partial_fit needs classes=, all labels to come.")
        if classes is None:
            return False
        given = unique_labels(classes)
        if known is None:
            self.classes_ = given
            return True
        if not np.array_equal(known, given):
            raise DataError(
                f"classes={given} differ from those of the first partial_fit, {known}."
            )
        return False

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each sample, (N,), or N×k of 0 and 1."""
        return self._labels(self._outputs(X))

    def predict_proba(self, X: Any) -> np.ndarray:
        """Each class's probability, N×k, in the order of classes_."""
        y = self._outputs(X)
        return np.hstack([1 - y, y]) if y.shape[1] == 1 else y

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of predict_proba; -inf where a probability is 0."""
        with np.errstate(divide="ignore"):
            logarithm: np.ndarray = np.log(self.predict_proba(X))
        return logarithm

    def _labels(self, y: np.ndarray) -> np.ndarray:
        outputs = y.ravel() if self.n_outputs_ == 1 else y
        labels: np.ndarray = self._label_binarizer.inverse_transform(outputs)
        return labels

    def _score_of(self, t: np.ndarray, y: np.ndarray, weights: Any) -> float:
        truth = self._label_binarizer.inverse_transform(t)
        return float(accuracy_score(truth, self._labels(y), sample_weight=weights))

    def _output_name(self) -> str:
        many = self._label_binarizer.y_type_ == "multiclass"
        return "softmax" if many else "logistic"

    def _validated(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        X, y = self._matrix(X, y=y, multi_output=True, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if hasattr(self, "classes_") and (self.warm_start or incremental):
            self._require_known_labels(unique_labels(y))
        else:
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        return X, self._label_binarizer.transform(y).astype(bool)

    def _require_known_labels(self, labels: np.ndarray) -> None:
        if self.warm_start and set(labels) != set(self.classes_):
            raise DataError(
                "warm_start can only be used where `y` has the same classes as in the "
                f"previous call to fit. Previously got {self.classes_}, `y` has {labels}"
            )
        unseen = np.setdiff1d(labels, self.classes_)
        if unseen.size:
            raise DataError(
                f"y has the labels {unseen}, which are none of the classes given to the "
                f"first partial_fit or fit, {self.classes_}."
            )

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@final
class MLPRegressor(RegressorMixin, Perceptron):
    """A dense network for numbers: drop-in for scikit-learn's MLPRegressor.

    Layers h ← f(h W + 1b), the last of them without f. With `loss="squared_error"` that
    is the prediction, and 1/2 Σ (y - t)² a sample is minimised (loss_ shows the mean over
    the outputs in place of the sum, as scikit-learn does); with `loss="poisson"` the
    prediction is its exponential, and half the Poisson deviance, Σ t ln(t/y) - t + y, is
    minimised, t >= 0. The mean over samples, the penalty, all other settings and
    attributes, float32 and float64, sparse data, and the errors are as in MLPClassifier;
    early stopping watches R².
    """

    loss: str

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Settings._parameter_constraints,
        "loss": [str],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        **Settings._known_names,
        "loss": ("squared_error", "poisson"),
    }

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
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

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """Fit to the samples X, N×d, and their numbers y, (N,) or N×k.

        `sample_weight` (N,) says how much each sample counts. Returns the estimator.
        """
        self._fit(X, y, sample_weight)
        return self

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over the samples given, from the values there are."""
        self._fit(X, y, sample_weight, incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (N,) for one output and N×k for more."""
        y = self._outputs(X)
        return y.ravel() if y.shape[1] == 1 else y

    def _score_of(self, t: np.ndarray, y: np.ndarray, weights: Any) -> float:
        return float(r2_score(t, y, sample_weight=weights))

    def _output_name(self) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _validated(
        self, X: Any, y: Any, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        X, y = self._matrix(X, y=y, multi_output=True, y_numeric=True, reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and np.any(y < 0):
            raise DataError(
                f"The Poisson loss is for counts, y >= 0; y has {np.min(y):g} in row "
                f"{np.argwhere(y < 0)[0][0]} (counted from 0)."
            )
        return X, y if y.ndim == 2 else y[:, None]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self.loss == "poisson"
        return tags
