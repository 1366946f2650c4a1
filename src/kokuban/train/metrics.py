"""Metrics by name: functions of the targets t and the predictions y, both matrices."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kokuban.errors import unknown

Metric = Callable[[np.ndarray, np.ndarray], float]


def accuracy(t: np.ndarray, y: np.ndarray) -> float:
    """The share of rows whose most probable class is right (one column: y > 1/2)."""
    if y.shape[1] == 1:
        return float(np.mean((y > 0.5) == (t > 0.5)))
    return float(np.mean(np.argmax(t, axis=1) == np.argmax(y, axis=1)))


def mse(t: np.ndarray, y: np.ndarray) -> float:
    """The mean squared error over all entries."""
    return float(np.mean((y - t) ** 2))


def rmse(t: np.ndarray, y: np.ndarray) -> float:
    """The root of the mean squared error over all entries."""
    return float(np.sqrt(mse(t, y)))


def mae(t: np.ndarray, y: np.ndarray) -> float:
    """The mean absolute error over all entries."""
    return float(np.mean(np.abs(y - t)))


def r2(t: np.ndarray, y: np.ndarray) -> float:
    """1 - squared error / variance, the mean over columns; 0 for a constant column."""
    error = np.sum((t - y) ** 2, axis=0, dtype=np.float64)
    spread = np.sum((t - np.mean(t, axis=0)) ** 2, axis=0, dtype=np.float64)
    share = np.divide(error, spread, out=np.ones_like(error), where=spread > 0)
    return float(np.mean(1 - share))


METRICS: dict[str, Metric] = {f.__name__: f for f in (accuracy, mse, rmse, mae, r2)}


def metric(kind: str | Metric) -> tuple[str, Metric]:
    """A metric's name and function; UnknownNameError with the nearest name otherwise."""
    if callable(kind):
        return getattr(kind, "__name__", "metric"), kind
    if kind not in METRICS:
        raise unknown("metric", kind, METRICS)
    return kind, METRICS[kind]
