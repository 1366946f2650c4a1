"""How right predictions are, beside the best guess that knows no input."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import Coding, Rows, TableCoding

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ClassScore:
    """Right and wrong classes.

    labels     the classes, as text
    confusion  (classes, classes) how many rows of class i were taken for class j
    guess      the commonest class of the training rows
    """

    labels: tuple[str, ...]
    confusion: NDArray[np.int64]
    guess: int

    @property
    def rows(self) -> int:
        """How many rows were judged."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """The share of right rows."""
        return float(np.trace(self.confusion) / self.rows)

    @property
    def baseline(self) -> float:
        """The accuracy of always guessing the commonest class."""
        return float(self.confusion[self.guess].sum() / self.rows)

    def __add__(self, other: ClassScore) -> ClassScore:
        return ClassScore(self.labels, self.confusion + other.confusion, self.guess)

    def to_dict(self) -> dict[str, Any]:
        """The score as plain JSON."""
        return {
            "rows": self.rows,
            "accuracy": self.accuracy,
            "baseline_accuracy": self.baseline,
            "labels": list(self.labels),
            "confusion": self.confusion.tolist(),
        }

    def told(self, linear: float | None = None) -> str:
        """The score in words, beside the accuracy of a `linear` model."""
        beside = "" if linear is None else f"; a linear model: {linear:.4f}"
        return (
            f"accuracy {self.accuracy:.4f}  ({count(self.rows)}; always guessing the "
            f"commonest class: {self.baseline:.4f}{beside})"
        )

    def __str__(self) -> str:
        return self.told()


@dataclass(frozen=True)
class QuantityScore:
    """Errors of a quantity, in its own unit, as sums over the rows.

    squares    of actual - predicted
    sizes      of |actual - predicted|
    shifts     of actual - mean, where mean is the training rows'
    spreads    of (actual - mean)²
    unit       the target's name, where it has one
    """

    rows: int
    squares: float
    sizes: float
    shifts: float
    spreads: float
    unit: str

    @classmethod
    def of(
        cls, actual: Numbers, predicted: Numbers, mean: float, unit: str
    ) -> QuantityScore:
        """The score of predictions, (rows,)."""
        error, shift = actual - predicted, actual - mean
        return cls(
            len(actual),
            float(error @ error),
            float(np.abs(error).sum()),
            float(shift.sum()),
            float(shift @ shift),
            unit,
        )

    def __add__(self, other: QuantityScore) -> QuantityScore:
        return QuantityScore(
            self.rows + other.rows,
            self.squares + other.squares,
            self.sizes + other.sizes,
            self.shifts + other.shifts,
            self.spreads + other.spreads,
            self.unit,
        )

    @property
    def rmse(self) -> float:
        """The root of the mean squared error."""
        return math.sqrt(self.squares / self.rows)

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return self.sizes / self.rows

    @property
    def baseline(self) -> float:
        """The RMSE of always guessing the training rows' mean."""
        return math.sqrt(self.spreads / self.rows)

    @property
    def r2(self) -> float:
        """1 - squared error / variance; NaN where the rows do not vary."""
        around = self.spreads - self.shifts**2 / self.rows
        varies = around > 1e-12 * self.spreads
        return 1 - self.squares / around if varies else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The score as plain JSON."""
        return {
            "rows": self.rows,
            "r2": None if math.isnan(self.r2) else self.r2,
            "rmse": self.rmse,
            "mae": self.mae,
            "baseline_rmse": self.baseline,
        }

    def told(self, linear: float | None = None) -> str:
        """The score in words, beside the RMSE of a `linear` model."""
        unit = f" {self.unit}" if self.unit else ""
        beside = "" if linear is None else f"; a linear model: {linear:.4g}"
        r2 = "R² undefined" if math.isnan(self.r2) else f"R² {self.r2:.4f}"
        return (
            f"{r2}, RMSE {self.rmse:.4g}{unit}  ({count(self.rows)}; always guessing the "
            f"mean: RMSE {self.baseline:.4g}{beside})"
        )

    def __str__(self) -> str:
        return self.told()


Score = ClassScore | QuantityScore


def count(rows: int) -> str:
    """A number of rows in words."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def score(coding: Coding, y: NDArray[np.float32], rows: Rows, guess: int) -> Score:
    """The score of a network's output y, (rows, outputs); `guess` as in `Data.guess`."""
    t = rows.targets()
    if isinstance(coding, TableCoding) and not coding.labels:
        scale = coding.quantity
        unit = coding.target.name if coding.header else ""
        predicted = scale.decode(y)
        return QuantityScore.of(t.astype(np.float64), predicted, scale.centre, unit)
    size = coding.outputs
    cells = np.bincount(t.astype(np.int64) * size + y.argmax(axis=1), minlength=size**2)
    labels = tuple(str(label) for label in coding.labels)
    return ClassScore(labels, cells.reshape(size, size), guess)
