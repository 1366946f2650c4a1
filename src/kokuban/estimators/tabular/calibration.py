"""How sure the probabilities may be, learned from samples that training did not see."""

from __future__ import annotations

import numpy as np

STEPS = 30
FLATTEST, SHARPEST = 0.05, 50.0


def log_softmax(u: np.ndarray) -> np.ndarray:
    """ln softmax(u), row by row."""
    shifted = u - u.max(axis=1, keepdims=True)
    found: np.ndarray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return found


def log_loss(
    u: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None
) -> float:
    """The mean of -ln softmax(u) at each row's label (rows,), weighted where asked."""
    found = -log_softmax(u)[np.arange(len(u)), labels]
    return float(np.average(found, weights=weights))


def sharpness(
    u: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    start: float = 1.0,
    steps: int = STEPS,
) -> float:
    """The β > 0 for which softmax(β u) has the least log-loss on rows with these labels.

    1/β is the temperature of Guo et al., "On calibration of modern neural networks"
    (2017), arXiv:1706.04599, section 4.2. The log-loss is convex in β: Newton's method,
    kept inside an interval that is narrowed by the slope's sign.

    u: (rows, classes) scores; labels: (rows,) column numbers; weights: (rows,)
    """
    u = np.asarray(u, np.float64)
    u = u - u.max(axis=1, keepdims=True)
    right = u[np.arange(len(u)), labels]
    w = np.full(len(u), 1 / len(u)) if weights is None else weights / weights.sum()
    low, high = FLATTEST, SHARPEST
    beta = min(max(start, low), high)
    for _ in range(steps):
        p = np.exp(beta * u)
        p /= p.sum(axis=1, keepdims=True)
        mean = (p * u).sum(axis=1)
        slope = float(w @ (mean - right))
        if slope == 0:
            break
        bend = float(w @ ((p * u * u).sum(axis=1) - mean**2))
        low, high = (low, beta) if slope > 0 else (beta, high)
        guess = beta - slope / bend if bend > 0 else np.inf
        if not low < guess < high:
            guess = np.sqrt(low * high)
        if abs(guess - beta) <= 1e-9 * beta:
            break
        beta = float(guess)
    return beta


def floor(rows: int) -> float:
    """φ = 1/(rows + 1): what is left for the unseen after so many samples.

    The prediction (1 - φ)·p + φ/K is never 0, as with Laplace's rule of succession, and
    for many samples it is p.
    """
    return 1 / (rows + 1)
