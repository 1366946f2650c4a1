"""MLPClassifier and MLPRegressor: scikit-learn's settings and attributes, and more."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import copy
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Self, final

import numpy as np
from sklearn.base import (
    ClassifierMixin,
    ClassNamePrefixFeaturesOutMixin,
    RegressorMixin,
    TransformerMixin,
)
from sklearn.callback import with_callbacks
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils._set_output import _wrap_data_with_container
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from kokuban.errors import DataError, SettingError
from kokuban.estimators.base import Given, NetworkEstimator, is_stochastic
from kokuban.estimators.network import Problem, perceptron, slope_by_input
from kokuban.estimators.outputs import ACTIVATIONS, REGRESSION, Activation, Loss
from kokuban.estimators.rows import in_blocks, rows_of
from kokuban.estimators.settings import Settings
from kokuban.expr import input


class Perceptron(ClassNamePrefixFeaturesOutMixin, NetworkEstimator):
    """Affine layers with an activation between them: what the two MLPs share."""

    loss: Loss
    _layer = -1  # the hidden layer whose output `transform` gives

    @with_callbacks
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit to the samples X, N×d, and y: labels, (N,), or N×k of 0 and 1; or numbers.

        `sample_weight` (N,) says how much each sample counts. X_val, y_val and
        sample_weight_val are data to validate with in place of a part of X: early
        stopping watches them, and history_ has their loss and score. Returns the
        estimator.
        """
        self._fit(Given(X, y, sample_weight), Given(X_val, y_val, sample_weight_val))
        return self

    def transform(self, X: Any, layer: int = -1) -> Any:
        """What a hidden layer gives for each sample: N×d to N×h.

        `layer` counts as in hidden_layer_sizes: 0 is the first hidden layer, -1 the last.
        SettingError where there is none.
        """
        problem, rows = self._ready(X)
        count = len(problem.hidden)
        if layer not in range(-count, count):
            raise SettingError(
                f"layer counts the hidden layers as hidden_layer_sizes does, from 0 to "
                f"{count - 1} or back from -1; it cannot be {layer!r}."
                if count
                else "There is no hidden layer whose output could be given."
            )
        asked = copy(self)
        asked._layer = int(layer)  # for the names of the columns
        hidden = self._run(problem, problem.hidden[asked._layer], rows)
        return _wrap_data_with_container("transform", hidden, X, asked)

    def _input_gradient(self, X: Any, chosen: np.ndarray) -> np.ndarray:
        """The slope of one output by X for each row, N×d; `chosen` is its column."""
        problem, rows = self._ready(X)
        picked = np.zeros((rows.shape[0], self.n_outputs_), self._dtype)
        picked[np.arange(len(picked)), chosen] = 1
        data = {
            problem.x: rows_of(rows, self._dtype),
            input("P", problem.output.shape): picked,
        }
        values = self._values(problem, self._dtype)
        return in_blocks(slope_by_input(problem), data, values, self._dtype)

    def _samples(self, given: Given, reset: bool, **how: Any) -> tuple[Any, np.ndarray]:
        """The samples and their targets, (N,) or N×k with k > 1."""
        X, y = self._matrix(given.X, y=given.y, multi_output=True, reset=reset, **how)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    @property
    def _n_features_out(self) -> int:
        """The size of a hidden layer, for the names of its columns."""
        return len(self.coefs_[1:][self._layer])

    def _problem(self, units: tuple[int, ...], weighted: bool) -> Problem:
        inputs, *hidden, outputs = units
        return perceptron(self._design(inputs, hidden, outputs, self.loss, weighted))

    def _units(self) -> tuple[int, ...]:
        return (len(self.coefs_[0]), *(coef.shape[1] for coef in self.coefs_))


@final
@dataclass(eq=False, repr=False)
class MLPClassifier(TransformerMixin, ClassifierMixin, Perceptron):
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
                          another of Kokuban's, such as "gelu" or "mish"; a function of
                          an expression; or a list, one for each hidden layer
    solver                "adam", "sgd", or "lbfgs", which takes all samples at once; or
                          an optimizer of kokuban.optim, such as AdamW, with its own rate
    alpha                 α, the strength of the L2 penalty
    batch_size            samples in a batch; "auto" is min(200, N)
    learning_rate         for sgd: "constant"; "invscaling", learning_rate_init over
                          (samples seen + 1)^power_t; "adaptive", a fifth of itself when
                          nothing improves. For sgd and adam: a schedule of kokuban.optim
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

    and Kokuban's own, which scikit-learn has not:

    dropout               the share of a hidden layer's outputs that is 0 in a training
                          step, the rest scaled up; or a list, one for each hidden layer.
                          Srivastava et al., JMLR 15 (2014)
    normalization         "batch" or "layer": what stands between a hidden layer's W, b
                          and its f. arXiv:1502.03167, arXiv:1607.06450
    scoring               what held-out data are scored by: None, accuracy (R² for
                          numbers); "loss"; the name of a scorer of scikit-learn; or a
                          scorer(estimator, X, y). Larger is better
    dtype                 "float32" or "float64", in which everything runs, whatever X is
                          in; None for the type of X
    loss                  "log_loss", or a function (y, t) of the probabilities and the
                          targets, N×k or N×1 of 0 and 1, as expressions: it gives the
                          losses, N×k or N×1, whose mean is minimised, or one number
    class_weight          how much a sample of a class counts, {class: weight}, times
                          sample_weight; "balanced" gives each class the same sum

    Fitted attributes: classes_, coefs_ (W of each layer) and intercepts_ (b), which may
    be changed; loss_, best_loss_, loss_curve_, validation_scores_,
    best_validation_score_, n_iter_, t_ (samples seen), n_layers_, n_outputs_,
    out_activation_, n_features_in_, feature_names_in_; norms_, the normalisations' rows
    by name; but for lbfgs history_, loss, rate, seconds, and with held-out data val_loss
    (without the penalty) and val_score, epoch by epoch.

    Callbacks of scikit-learn (set_callbacks) hear of each epoch of fit, or of each
    iteration of lbfgs, and may end it; they get the rows that are trained on.

    Everything runs in the type of X, float32 or float64, or in `dtype`, but lbfgs, which
    works in float64 and keeps its result in that type. A sparse X is made dense a few
    rows at a time (a batch, or a block of at most 512), never as a whole. Labels of a
    single class can be learned, as in scikit-learn: that class is then always predicted.

    Raises DataError (an entry of X that is not finite, labels unseen before, a batch
    whose sample weights are all 0), UnknownNameError, SettingError, NonFiniteError, and
    scikit-learn's own errors; all of them are ValueErrors.
    """

    _: KW_ONLY
    loss: Loss = "log_loss"
    class_weight: str | Mapping[Any, float] | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Settings._parameter_constraints,
        "loss": [str, callable],
        "class_weight": [str, dict, None],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        **Settings._known_names,
        "loss": ("log_loss",),
        "class_weight": ("balanced",),
    }

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
        self._fit(Given(X, y, sample_weight), Given(), incremental=True)
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
        if self._label_binarizer.y_type_ == "multiclass":  # as inverse_transform does
            most: np.ndarray = self.classes_[y.argmax(axis=1)]
            return most
        outputs = y.ravel() if self.n_outputs_ == 1 else y
        labels: np.ndarray = self._label_binarizer.inverse_transform(outputs)
        return labels

    def input_gradient(self, X: Any, output: Any = None) -> np.ndarray:
        """The slope of each sample's probability of a class by its columns, N×d.

        `output` is the class's label (the column of a label, for several labels a
        sample); by default it is the class that is predicted. DataError for a label that
        is none of classes_. Simonyan et al., "Deep inside convolutional networks" (2014),
        arXiv:1312.6034, section 3, where the slope is of the score before softmax.
        """
        y = self._outputs(X)
        if output is None and self._several:
            raise DataError("Several labels a sample: say the output's column, output=.")
        if output is None:
            chosen = (y[:, 0] > 0.5) * 1 if y.shape[1] == 1 else np.argmax(y, axis=1)
        else:
            chosen = np.full(len(y), self._class(output))
        if y.shape[1] > 1:
            return self._input_gradient(X, chosen)
        slope = self._input_gradient(X, np.zeros_like(chosen))
        return np.where(chosen[:, None] == 1, slope, -slope)  # of 1 - y for the first

    @property
    def _several(self) -> bool:
        return bool(self._label_binarizer.y_type_.startswith("multilabel"))

    def _class(self, label: Any) -> int:
        """The place of a label among classes_."""
        found = np.flatnonzero(self.classes_ == label)
        if len(found) != 1:
            raise DataError(f"output={label!r} is none of the classes {self.classes_}.")
        return int(found[0])

    def _score_of(self, t: np.ndarray, y: np.ndarray, weights: Any) -> float:
        labels = self._labels(y)
        return float(accuracy_score(self._truth(t), labels, sample_weight=weights))

    def _truth(self, t: np.ndarray) -> np.ndarray:
        truth: np.ndarray = self._label_binarizer.inverse_transform(t)
        return truth

    def _class_weights(
        self, t: np.ndarray, weights: np.ndarray | None, incremental: bool
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return None
        if self._several:
            raise SettingError(
                "class_weight is for one class a sample; with several labels a sample "
                "use sample_weight."
            )
        if incremental and self.class_weight == "balanced":
            raise SettingError(
                "class_weight='balanced' counts the classes of all samples, and "
                "partial_fit sees a part; give the weights by class, {class: weight}."
            )
        balanced, labels = self.class_weight == "balanced", self._truth(t)
        if weights is not None:  # a sample of weight 0 is as if it were not there
            labels, weights = labels[weights > 0], weights[weights > 0]
        counted = np.isin(self.classes_, labels) | (not balanced)
        by_class = np.ones(len(self.classes_))
        by_class[counted] = compute_class_weight(
            self.class_weight,
            classes=self.classes_[counted],
            y=labels,
            sample_weight=weights if balanced else None,
        )
        return by_class

    def _output_name(self) -> str:
        many = self._label_binarizer.y_type_ == "multiclass"
        return "softmax" if many else "logistic"

    def _validated(
        self, given: Given, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        X, y = self._samples(given, reset)
        if hasattr(self, "classes_") and (self.warm_start or incremental):
            self._require_known_labels(unique_labels(y))
        else:
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        return X, self._label_binarizer.transform(y).astype(bool)

    def _validated_more(self, given: Given) -> tuple[Any, np.ndarray]:
        X, y = self._samples(given, reset=False)
        unseen = np.setdiff1d(unique_labels(y), self.classes_)
        if unseen.size:
            raise DataError(
                f"y_val has the labels {unseen}, which are none of those of y, "
                f"{self.classes_}."
            )
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

    def _own_description(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        if not all(isinstance(label, str | bool | int | float) for label in labels):
            raise SettingError(
                "A file without code holds classes that are text or numbers, not "
                f"{self.classes_!r:.60}."
            )
        kind = self.classes_.dtype
        return {
            "classes": labels,
            "dtype": "object" if kind.hasobject else kind.str,
            "several": self._several,
        }

    def _restore(self, about: Mapping[str, Any]) -> None:
        classes = np.array(about["classes"], dtype=about["dtype"])
        several = about["several"]
        known = np.eye(len(classes), dtype=int) if several else classes
        self._label_binarizer = LabelBinarizer().fit(known)
        self.classes_ = classes

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


@dataclass(eq=False, repr=False)
class LossFirst:
    """MLPRegressor's first setting: a dataclass begins with its last base's fields."""

    loss: Loss = "squared_error"


@final
@dataclass(eq=False, repr=False)
class MLPRegressor(TransformerMixin, RegressorMixin, Perceptron, LossFirst):
    """A dense network for numbers: drop-in for scikit-learn's MLPRegressor.

    Layers h ← f(h W + 1b), the last of them without f. With `loss="squared_error"` that
    is the prediction, and 1/2 Σ (y - t)² a sample is minimised (loss_ shows the mean over
    the outputs in place of the sum, as scikit-learn does); with `loss="poisson"` the
    prediction is its exponential, and half the Poisson deviance, Σ t ln(t/y) - t + y, is
    minimised, t >= 0. Kokuban's own are the means over all entries of "mae" (also called
    "absolute_error"), "huber" (with δ = 1) and "quantile" (the median), and a function
    (y, t) of expressions as in MLPClassifier: `partial(kokuban.quantile, level=0.9)`.

    output_activation     what becomes of the last layer: None for what the loss wants,
                          or any of MLPClassifier's activations

    The mean over samples, the penalty, all other settings and attributes, float32 and
    float64, sparse data, and the errors are as in MLPClassifier; early stopping watches
    R² unless `scoring` says something else.
    """

    _: KW_ONLY
    output_activation: Activation | None = None

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **Settings._parameter_constraints,
        "loss": [str, callable],
        "output_activation": [str, callable, None],
    }
    _known_names: ClassVar[dict[str, Collection[str]]] = {
        **Settings._known_names,
        "loss": REGRESSION,
        "output_activation": ACTIVATIONS,
    }

    @available_if(is_stochastic)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> MLPRegressor:
        """One epoch over the samples given, from the values there are."""
        self._fit(Given(X, y, sample_weight), Given(), incremental=True)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """The predicted numbers, (N,) for one output and N×k for more."""
        y = self._outputs(X)
        return y.ravel() if y.shape[1] == 1 else y

    def input_gradient(self, X: Any, output: int | None = None) -> np.ndarray:
        """The slope of each sample's prediction by its columns, N×d.

        `output` is the column of the prediction where there are several; DataError
        without it, and where there is no such column.
        """
        check_is_fitted(self, "coefs_")
        if output is None and self.n_outputs_ == 1:
            output = 0
        if output not in range(self.n_outputs_):
            raise DataError(
                f"output is a column of the prediction, 0 to {self.n_outputs_ - 1}, not "
                f"{output!r}."
            )
        return self._input_gradient(X, np.asarray(output))

    def _score_of(self, t: np.ndarray, y: np.ndarray, weights: Any) -> float:
        return float(r2_score(t, y, sample_weight=weights))

    def _truth(self, t: np.ndarray) -> np.ndarray:
        return t.ravel() if t.shape[1] == 1 else t

    def _output_name(self) -> Activation:
        if self.loss == "poisson":
            return "exp"
        return "identity" if self.output_activation is None else self.output_activation

    def _require_together(self) -> None:
        super()._require_together()
        if self.loss == "poisson" and self.output_activation is not None:
            raise SettingError(
                "loss='poisson' predicts the exponential of the last layer; leave "
                "output_activation=None."
            )

    def _validated(
        self, given: Given, incremental: bool, reset: bool
    ) -> tuple[Any, np.ndarray]:
        return self._numbers(given, reset)

    def _validated_more(self, given: Given) -> tuple[Any, np.ndarray]:
        return self._numbers(given, reset=False)

    def _numbers(self, given: Given, reset: bool) -> tuple[Any, np.ndarray]:
        X, y = self._samples(given, reset, y_numeric=True)
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
