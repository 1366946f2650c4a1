"""How good a prediction is, on rows that were held out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

Floats = NDArray[np.float64]
# A probability of 0 counts as this, the step of float32 at 1: -log of it is 15.9.
LEAST = float(np.finfo(np.float32).eps)
BINS = 15


def of_classes(t: NDArray[np.intp], p: Floats) -> dict[str, float]:
    """Measures of probabilities p, a row a sample, a column a class; t class numbers."""
    p = p.astype(np.float64)
    p = p / p.sum(axis=1, keepdims=True)
    chosen = p.argmax(axis=1)
    own = p[np.arange(len(t)), t]
    return {
        "error": float(np.mean(chosen != t)),
        "log_loss": float(-np.mean(np.log(np.clip(own, LEAST, 1)))),
        "auc": _auc(t, p),
        "ece": calibration_error(chosen == t, p.max(axis=1)),
    }


def _auc(t: NDArray[np.intp], p: Floats) -> float:
    """Of the second of two classes; of more, the mean of each one against the rest."""
    if p.shape[1] == 2:
        return float(roc_auc_score(t == 1, p[:, 1]))
    there = [k for k in range(p.shape[1]) if 0 < np.sum(t == k) < len(t)]
    return float(np.mean([roc_auc_score(t == k, p[:, k]) for k in there]))


def calibration_error(right: NDArray[np.bool_], p: Floats) -> float:
    """The expected calibration error: how far the highest probabilities are from being
    right as often as they say, bin by bin, each bin by its share of the rows.

    Guo et al., On calibration of modern neural networks, 2017, equation 3.
    """
    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.bincount(bins, right - p, BINS)
    return float(np.abs(gaps).sum() / len(p))


def of_numbers(t: Floats, y: Floats) -> dict[str, float]:
    """The root of the mean square error, over the target's standard deviation."""
    y = np.asarray(y, np.float64).reshape(t.shape)
    return {"nrmse": float(np.sqrt(np.mean((y - t) ** 2)) / np.std(t))}
