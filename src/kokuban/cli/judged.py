"""What the held-out rows say of a model beyond its score."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import Matrix, Rows, TableCoding
from kokuban.cli.score import Numbers, Score, score
from kokuban.cli.source import Data
from kokuban.train import Model

BINS = 10
MAX_ROWS = 2000  # that are shuffled to measure a column's importance
MAX_COLUMNS = 1000  # that are measured
REPEATS = 5  # of the shuffling, where there are few columns
FEW = 100  # columns
MAX_ENTRIES = 2e7  # of a matrix, times the classes, that a linear model is fitted to


@dataclass(frozen=True)
class Bin:
    """Held-out rows of like prediction: how many, the mean predicted, and the true one.

    Of classes, the mean probability that was predicted, and the share that it came true.
    """

    rows: int
    predicted: float
    actual: float


@dataclass(frozen=True)
class Importance:
    """How much the loss rises with a column shuffled: mean and deviation of repeats."""

    name: str
    rise: float
    deviation: float


@dataclass(frozen=True, eq=False)
class Judged:
    """Held-out rows, what was predicted for them, and what that shows.

    actual       (rows,) the numbers of classes, or quantities
    predicted    (rows, classes) probabilities, or (rows,) quantities
    loss         of classes the log loss, the mean of -log of the probability of what is
                 right; of quantities the RMSE
    bins         of predictions from small to large
    importances  of the table's columns, the largest first; none for images
    linear       the accuracy or the RMSE of a linear model; None where it takes long
    """

    score: Score
    actual: Numbers
    predicted: Numbers
    loss: float
    bins: tuple[Bin, ...]
    importances: tuple[Importance, ...]
    linear: float | None = None

    @property
    def calibration_error(self) -> float:
        """The mean distance of predicted and true means over the bins, by their rows.

        Naeini, Cooper, Hauskrecht, "Obtaining well calibrated probabilities using
        Bayesian binning", AAAI 2015, eq. 3.
        """
        off = sum(b.rows * abs(b.predicted - b.actual) for b in self.bins)
        return off / self.score.rows

    def to_dict(self) -> dict[str, Any]:
        """What was found, as plain JSON."""
        rises = [{"column": i.name, "rise": i.rise} for i in self.importances]
        bins = [[b.rows, b.predicted, b.actual] for b in self.bins]
        return {
            "linear_model": self.linear,
            "loss": self.loss,
            "calibration_error": self.calibration_error,
            "calibration_bins": bins,
            "importances": rises,
        }


def judged(model: Model, data: Data, seed: int, deep: bool) -> Judged:
    """Predict held-out rows, and see what that shows; `deep`: importances too."""
    coding, held = data.coding, data.held
    assert held is not None
    y, t = model.predict(held.x), held.targets()

    def answers(y: NDArray[Any]) -> Numbers:
        if isinstance(coding, TableCoding) and not coding.labels:
            return coding.quantity.decode(y)
        return y.astype(np.float64)

    actual, predicted = t.astype(np.float64), answers(y)

    def loss_of(x: Matrix, rows: NDArray[np.intp]) -> float:
        return _loss(actual[rows], answers(model.predict(x)))

    found: tuple[Importance, ...] = ()
    if deep and isinstance(coding, TableCoding):
        found = importances(loss_of, held.x, coding.parts, seed)
    return Judged(
        score(coding, y, held, data.guess),
        actual,
        predicted,
        _loss(actual, predicted),
        bins(actual, predicted),
        found,
        linear(data.learn, held, bool(coding.labels)),
    )


def linear(learn: Rows, held: Rows, classes: bool) -> float | None:
    """The accuracy or the RMSE of a linear model on held-out rows.

    Logistic regression or ridge regression by scikit-learn; None where there are too many
    entries for it to be done in seconds.
    """
    t = learn.targets()
    if learn.x.size * (len(np.unique(t)) if classes else 1) > MAX_ENTRIES:
        return None
    from sklearn.linear_model import LogisticRegression, Ridge

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of steps that were too few, or too large
        model = LogisticRegression(max_iter=200) if classes else Ridge()
        found = model.fit(learn.x, t).predict(held.x)
    if classes:
        return float(np.mean(found == held.targets()))
    return float(np.sqrt(np.mean((found - held.targets()) ** 2)))


def _loss(actual: Numbers, predicted: NDArray[Any]) -> float:
    if predicted.ndim == 1:
        return float(np.sqrt(np.mean((actual - predicted) ** 2)))
    right = predicted[np.arange(len(actual)), actual.astype(np.int64)]
    return float(-np.log(np.maximum(right, np.finfo(np.float32).tiny)).mean())


def bins(actual: Numbers, predicted: Numbers) -> tuple[Bin, ...]:
    """Predictions from small to large in ten groups of as many rows.

    Of two classes, the probability of the second; of more, that of the predicted one.
    """
    if predicted.ndim == 2 and predicted.shape[1] == 2:
        p, came = predicted[:, 1], actual
    elif predicted.ndim == 2:
        p, came = predicted.max(axis=1), predicted.argmax(axis=1) == actual
    else:
        p, came = predicted, actual
    groups = np.array_split(np.argsort(p, kind="stable"), min(BINS, len(p)))
    return tuple(Bin(len(g), float(p[g].mean()), float(came[g].mean())) for g in groups)


def importances(
    loss_of: Callable[[Matrix, NDArray[np.intp]], float],
    x: Matrix,
    parts: Sequence[tuple[str, slice]],
    seed: int,
) -> tuple[Importance, ...]:
    """How much the loss rises when a column's values change places among the rows.

    parts: the columns' names and where each stands in x; `loss_of` gives the loss of
    rows of x, which are named by number. Breiman, "Random forests", Machine Learning 45
    (2001), section 10.
    """
    measured = [(name, part) for name, part in parts if part.start < part.stop]
    if len(measured) > MAX_COLUMNS:
        return ()
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(x))[:MAX_ROWS])
    usual, found = loss_of(x[rows], rows), []
    for name, part in measured:
        rises = []
        for _ in range(REPEATS if len(measured) <= FEW else 1):
            shuffled = x[rows]
            shuffled[:, part] = shuffled[rng.permutation(len(rows)), part]
            rises.append(loss_of(shuffled, rows) - usual)
        found.append(Importance(name, float(np.mean(rises)), float(np.std(rises))))
    return tuple(sorted(found, key=lambda importance: -importance.rise))
