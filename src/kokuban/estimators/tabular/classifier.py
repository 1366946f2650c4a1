"""TabularClassifier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.metrics import accuracy_score
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets

from kokuban.errors import DataError, SettingError
from kokuban.estimators.tabular.base import Held, TabularEstimator, TabularSettings
from kokuban.estimators.tabular.calibration import floor, log_loss, sharpness
from kokuban.estimators.tabular.frame import is_missing
from kokuban.estimators.tabular.network import FLOOR, SHARPNESS
from kokuban.estimators.tabular.training import Criterion, Rows
from kokuban.expr import Symbol

NEWTON = 3  # steps an epoch, from the epoch before
MANY_CLASSES = 20  # from which on a class for every row is a mistake


@final
@dataclass(eq=False, repr=False)
class TabularClassifier(ClassifierMixin, TabularEstimator):
    """Classes of the rows of a table, with calibrated probabilities.

    Encoded columns z ∈ (-3, 3) (see `columns_`), Γ their learned gains:
    H₀ = z ⊙ Γ; Hᵢ = selu(Hᵢ₋₁ Wᵢ/√dᵢ + bᵢ); U = H Wₗ/√dₗ + bₗ + z S/√d;
    P = softmax(β U).
    Trained on softmax cross-entropy with smoothed labels; the epoch is kept whose
    log-loss on held-out rows is least at the best β, and β is then fitted on them. So
    nothing remains of the smoothing in the probabilities. Source of the recipe:
    Holzmüller, Grinsztajn, Steinwart, "Better by default" (2024), arXiv:2407.04491
    (RealMLP-TD-S); of choosing the epoch so: Berta, Holzmüller, Jordan, Bach, "Rethinking
    early stopping: refine, then calibrate" (2025), arXiv:2501.19195.

    preset                "default"; "fast": smaller, fewer epochs, stops early;
                          "realmlp": sizes and epochs as published
    hidden_layer_sizes    the hidden layers' sizes
    activation            "selu" or "mish"
    embedding             "periodic": cosines of each number beside it; "none"; None:
                          periodic where many rows hold few numbers
    learning_rate_init    the rate at the top of the schedule's waves
    batch_size, max_iter  rows a step, and epochs
    n_iter_no_change      end after so many epochs without a better one
    max_time              seconds after which the best so far is taken
    validation_fraction   of the rows, held out to choose the epoch and β
    n_ens                 networks trained together in one pass, averaged
    n_folds               of bagging: each fold is held out by a run of its own, and all
                          runs' networks are averaged
    refit                 after that, train on all rows for as many epochs
    categorical_features  names or positions of columns that hold categories, besides
                          those that are text or say so themselves
    label_smoothing       in training
    class_weight          "balanced" or {class: weight}
    random_state          decides everything that is random

    Fitted: classes_, columns_, encoder_, model_, temperature_, history_, histories_,
    best_epochs_, n_iter_, n_features_in_, feature_names_in_.
    """

    _: KW_ONLY
    label_smoothing: float = 0.1
    class_weight: Any = None

    _task: ClassVar[str] = "classification"
    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **TabularSettings._parameter_constraints,
        "label_smoothing": [Interval(Real, 0, 1, closed="left")],
        "class_weight": [StrOptions({"balanced"}), dict, None],
    }

    def predict_proba(self, X: Any) -> np.ndarray:
        """(rows, classes) the probabilities, in the order of classes_."""
        p = self._network_output(X).astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        return p

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """(rows, classes) their logarithms."""
        found: np.ndarray = np.log(self.predict_proba(X))
        return found

    def predict(self, X: Any) -> np.ndarray:
        """(rows,) the most probable class."""
        best = self._network_output(X).argmax(axis=1)
        found: np.ndarray = self.classes_[best]
        return found

    @property
    def temperature_(self) -> float:
        """1/β: above 1 the networks were too sure, below 1 not sure enough."""
        return 1 / float(self.model_.values[SHARPNESS][0, 0])

    # ------------------------------------------------------------ the target

    def _learn_target(self, y: Any) -> np.ndarray:
        labels = _labels(y)
        self.classes_, found = np.unique(labels, return_inverse=True)
        count = len(self.classes_)
        if count < 2:
            raise DataError(
                f"y holds one class only ({self.classes_[0]!r}); a classifier learns "
                "from two classes or more."
            )
        if count == len(labels) and count >= MANY_CLASSES:
            raise DataError(
                f"y has another class in each of the {count:,} rows: it looks like an "
                "identifier, or continuous. For numbers use TabularRegressor."
            )
        check_classification_targets(labels)
        return found

    def _more_target(self, y: Any) -> np.ndarray:
        labels = _labels(y)
        unseen = sorted(set(labels.tolist()) - set(self.classes_.tolist()))
        if unseen:
            raise DataError(f"y_val holds {unseen[0]!r}, a class that y has not.")
        return np.searchsorted(self.classes_, labels)

    def _as_matrix(self, keys: np.ndarray) -> np.ndarray:
        return np.asarray(np.eye(len(self.classes_), dtype=np.float32)[keys])

    def _weights(self, keys: np.ndarray, given: np.ndarray | None) -> np.ndarray | None:
        if self.class_weight is None:
            return given
        here = np.unique(keys)
        found = np.ones(len(self.classes_))
        found[here] = compute_class_weight(
            self.class_weight, classes=self.classes_[here], y=self.classes_[keys]
        )
        return np.asarray(found[keys] if given is None else given * found[keys])

    def _never_alone(self, keys: np.ndarray, fold: np.ndarray) -> np.ndarray:
        alone = np.bincount(keys, minlength=len(self.classes_)) == 1
        return np.where(alone[keys], -1, fold)

    def _outputs(self) -> tuple[int, str, float, tuple[float, ...]]:
        return len(self.classes_), "log_loss", self.label_smoothing, ()

    # ------------------------------------------------------------ held-out rows

    def _judge(self, held: Rows) -> Criterion:
        labels, weights = held.t.argmax(axis=1), _flat(held)
        last: dict[int, float] = {}

        def judge(scores: np.ndarray, member: int) -> float:
            beta = sharpness(scores, labels, weights, last.get(member, 1.0), NEWTON)
            last[member] = beta
            return log_loss(beta * scores, labels, weights)

        return judge

    def _calibrate(self, held: Sequence[Held]) -> dict[Symbol, np.ndarray]:
        beta, rows = 1.0, 0
        if held:
            scores = np.concatenate([u for h in held for u in h.scores])
            labels = np.concatenate(
                [h.rows.t.argmax(axis=1) for h in held for _ in h.scores]
            )
            weights = None
            if held[0].rows.weights is not None:
                weights = np.concatenate([_flat(h.rows) for h in held for _ in h.scores])
            beta = sharpness(scores, labels, weights)
            rows = sum(len(h.rows.x) for h in held)
        one = np.ones((1, 1), np.float32)
        return {SHARPNESS: beta * one, FLOOR: floor(rows) * one}

    def _score_encoded(self, x: np.ndarray, y: Any, sample_weight: Any) -> float:
        found = self.classes_[self.model_.predict(x).argmax(axis=1)]
        return float(accuracy_score(_labels(y), found, sample_weight=sample_weight))

    # ------------------------------------------------------------ files

    def _own_description(self) -> dict[str, Any]:
        labels = self.classes_.tolist()
        if not all(isinstance(label, str | bool | int | float) for label in labels):
            raise SettingError(
                "A file without code holds classes that are text or numbers, not "
                f"{self.classes_!r:.60}."
            )
        kind = self.classes_.dtype
        return {"classes": labels, "dtype": "object" if kind.hasobject else kind.str}

    def _take(self, about: Mapping[str, Any]) -> None:
        self.classes_ = np.array(about["classes"], dtype=about["dtype"])


def _labels(y: Any) -> np.ndarray:
    """The labels (rows,); DataError where one is missing."""
    labels: np.ndarray = column_or_1d(np.asarray(y), warn=True)
    if labels.dtype.kind in "fO":
        for row, label in enumerate(labels.tolist()):
            if is_missing(label) or label in (np.inf, -np.inf):
                raise DataError(
                    f"Input y contains NaN, infinity or a missing value: {label!r} in "
                    f"row {row} (counted from 0). Leave out rows without a target."
                )
    return labels


def _flat(rows: Rows) -> np.ndarray | None:
    return None if rows.weights is None else rows.weights[:, 0].astype(np.float64)
