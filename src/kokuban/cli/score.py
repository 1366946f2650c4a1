"""How right predictions are, beside the best guess that knows no input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import Coding, Rows, TableCoding
from kokuban.train import Model

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

    def __str__(self) -> str:
        return (
            f"accuracy {self.accuracy:.4f}  ({count(self.rows)}; always guessing the "
            f"commonest class: {self.baseline:.4f})"
        )


@dataclass(frozen=True, eq=False)
class QuantityScore:
    """Errors of a quantity, in its own unit.

    actual, predicted  (rows,)
    mean               of the training rows
    unit               the target's name, where it has one
    """

    actual: Numbers
    predicted: Numbers
    mean: float
    unit: str

    @property
    def rows(self) -> int:
        """How many rows were judged."""
        return len(self.actual)

    @property
    def rmse(self) -> float:
        """The root of the mean squared error."""
        return float(np.sqrt(np.mean((self.actual - self.predicted) ** 2)))

    @property
    def mae(self) -> float:
        """The mean absolute error."""
        return float(np.mean(np.abs(self.actual - self.predicted)))

    @property
    def baseline(self) -> float:
        """The RMSE of always guessing the training rows' mean."""
        return float(np.sqrt(np.mean((self.actual - self.mean) ** 2)))

    @property
    def r2(self) -> float:
        """1 - squared error / variance; NaN where the rows do not vary."""
        variance = float(np.var(self.actual))
        return 1 - self.rmse**2 / variance if variance > 0 else float("nan")

    def __str__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        r2 = "R² undefined" if np.isnan(self.r2) else f"R² {self.r2:.4f}"
        return (
            f"{r2}, RMSE {self.rmse:.4g}{unit}  ({count(self.rows)}; always guessing the "
            f"mean: RMSE {self.baseline:.4g})"
        )


Score = ClassScore | QuantityScore


def count(rows: int) -> str:
    """A number of rows in words."""
    return f"{rows:,} row{'' if rows == 1 else 's'}"


def score(coding: Coding, y: NDArray[np.float32], rows: Rows, guess: int) -> Score:
    """The score of a network's output y, (rows, outputs)."""
    t = rows.targets()
    if isinstance(coding, TableCoding) and not coding.labels:
        quantity = coding.quantity
        unit = quantity.name if coding.encoder.header else ""
        actual, predicted = quantity.decode(t), quantity.decode(y)
        return QuantityScore(actual, predicted, quantity.mean, unit)
    size = coding.outputs
    cells = np.bincount(t.astype(np.int64) * size + y.argmax(axis=1), minlength=size**2)
    labels = tuple(str(label) for label in coding.labels)
    return ClassScore(labels, cells.reshape(size, size), guess)


def scored(model: Model, coding: Coding, rows: Rows, guess: int) -> Score:
    """The score of a model on rows that have targets."""
    return score(coding, model.predict(rows.x), rows, guess)
