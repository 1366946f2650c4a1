"""Composites: names for expressions. Derivatives, index forms and speed come free.

Losses are means over the entries, or over the rows where a row is one sample's
distribution; with `weights` (N×1) they are weighted means, the sum of w·loss over the
sum of w.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import ParamSpec

from kokuban.errors import SettingError, ShapeError
from kokuban.expr import COMPOSITES, Expr, Value, as_expr, call, size
from kokuban.ops.arithmetic import minimum
from kokuban.ops.elementwise import (
    abs,
    erf,
    exp,
    expm1,
    log,
    relu,
    sigmoid,
    softplus,
    sqrt,
    tanh,
)
from kokuban.ops.reduction import logsumexp, sum
from kokuban.ops.structure import distribution
from kokuban.shape import show

P = ParamSpec("P")


def composite(function: Callable[P, Expr]) -> Callable[P, Expr]:
    """Let the expression that `function` builds be a call of it, written by its name.

    Parameters annotated `Value` are expressions (or become them), the others numbers or
    words; an expression among those leaves the result without a name.
    """
    name = function.__name__
    parameters = list(signature(function).parameters.values())
    values = [p for p in parameters if p.annotation == "Value"]

    @wraps(function)
    def named(*args: P.args, **attrs: P.kwargs) -> Expr:
        bound = signature(function).bind(*args, **attrs).arguments
        given = tuple(as_expr(bound.pop(p.name)) for p in values)
        weights = bound.pop("weights", None)
        if weights is not None:
            bound["weights"] = as_expr(weights)
        body = function(*given, **bound)  # type: ignore[arg-type]
        if any(isinstance(v, Expr) for v in bound.values()):
            return body
        return call(name, body, given, bound)

    COMPOSITES[name] = named
    return named


# ---------------------------------------------------------------- means and variances


def count(x: Expr, over: str = "all") -> Expr:
    """How many entries a sum over `over` adds, as an expression in the sizes."""
    rows, columns = size(x.shape[0]), size(x.shape[1])
    if over == "rows":
        return rows
    if over == "columns" or x.shape[0] == 1:
        return columns
    return rows if x.shape[1] == 1 else rows * columns


@composite
def mean(x: Value, over: str = "all") -> Expr:
    """The mean of `"all"` entries (1×1), over the `"rows"` (1×n) or `"columns"` (m×1)."""
    x = as_expr(x)
    return sum(x, over=over) / count(x, over)


# ---------------------------------------------------------------- layers


@composite
def affine(x: Value, w: Value, b: Value) -> Expr:
    """X W + Dup_N(b). Shapes: X N×d, W d×m, b 1×m; the result N×m."""
    return as_expr(x) @ w + b


def identity(x: Value) -> Expr:
    """x itself."""
    return as_expr(x)


@composite
def leaky_relu(x: Value, slope: float = 0.01, at_zero: float = 0.0) -> Expr:
    """x for x > 0, slope·x below.

    Maas et al., "Rectifier nonlinearities improve neural network acoustic models"
    (2013). At 0 the derivative is slope + (1 - slope)·at_zero.
    """
    return slope * as_expr(x) + (1 - slope) * relu(x, at_zero)


@composite
def elu(x: Value, alpha: float = 1.0) -> Expr:
    """x for x > 0, alpha·(e^x - 1) below. Clevert et al., arXiv:1511.07289, eq. 14."""
    positive = relu(x)
    return positive + alpha * expm1(x - positive)


SELU_ALPHA = 1.6732632423543772
SELU_SCALE = 1.0507009873554805


@composite
def selu(x: Value) -> Expr:
    """1.0507·elu(x, 1.6733). Klambauer et al., arXiv:1706.02515, eq. 2 and 14."""
    return SELU_SCALE * elu(x, alpha=SELU_ALPHA)


@composite
def gelu(x: Value) -> Expr:
    """x·Φ(x), Φ the normal distribution function. Hendrycks, Gimpel, arXiv:1606.08415."""
    x = as_expr(x)
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


@composite
def silu(x: Value) -> Expr:
    """x·sigmoid(x). Elfwing et al., arXiv:1702.03118."""
    return as_expr(x) * sigmoid(x)


@composite
def mish(x: Value) -> Expr:
    """x·tanh(softplus(x)). Misra, arXiv:1908.08681, eq. 1."""
    return as_expr(x) * tanh(softplus(x))


@composite
def log_softmax(x: Value) -> Expr:
    """ln softmax(x) = x - logsumexp(x), row by row, without overflow."""
    return as_expr(x) - logsumexp(x)


def _standardised(x: Expr, over: str, epsilon: float) -> Expr:
    centred = x - mean(x, over=over)
    return centred / sqrt(mean(centred**2, over=over) + epsilon)


@composite
def layer_norm(x: Value, scale: Value, shift: Value, epsilon: float = 1e-5) -> Expr:
    """Each row to mean 0 and variance 1, then times `scale` plus `shift` (1×n each).

    Ba et al., arXiv:1607.06450, eq. 4. The variance is the biased one.
    """
    return _standardised(as_expr(x), "columns", epsilon) * scale + shift


@composite
def batch_norm(x: Value, scale: Value, shift: Value, epsilon: float = 1e-5) -> Expr:
    """Each column to mean 0 and variance 1, then times `scale` plus `shift` (1×n each).

    Over the batch's rows: Ioffe and Szegedy, arXiv:1502.03167, algorithm 1. The variance
    is the biased one.
    """
    return _standardised(as_expr(x), "rows", epsilon) * scale + shift


@composite
def l2(w: Value) -> Expr:
    """Half the sum of squares of the entries: its gradient is w itself."""
    return 0.5 * sum(as_expr(w) ** 2)


# ---------------------------------------------------------------- losses


def _weighted(per_row: Expr, weights: Expr) -> Expr:
    """Σ w·loss / Σ w over the rows."""
    if weights.shape != per_row.shape:
        raise ShapeError(
            f"weights needs one column and a row a sample, {show(per_row.shape)}; it is "
            f"{show(weights.shape)}."
        )
    return sum(per_row * weights) / sum(weights)


def _entry_loss(losses: Expr, weights: Expr | None) -> Expr:
    """The mean over all entries; weighted, the mean over rows of each row's mean."""
    if weights is None:
        return sum(losses) / count(losses)
    return _weighted(mean(losses, over="columns"), weights)


def _row_loss(losses: Expr, weights: Expr | None) -> Expr:
    """The mean over rows of each row's sum."""
    per_row = sum(losses, over="columns")
    if weights is None:
        return sum(per_row) / size(losses.shape[0])
    return _weighted(per_row, weights)


@composite
def mse(y: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """Mean squared error over all entries: 1/(N·n) Σ (y - t)²."""
    return _entry_loss((as_expr(y) - t) ** 2, weights)


@composite
def half_sum_of_squares(y: Value, t: Value) -> Expr:
    """1/2 Σ (y - t)² over all entries; the gradient by y is y - t."""
    return 0.5 * sum((as_expr(y) - t) ** 2)


@composite
def mae(y: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """Mean absolute error over all entries; the slope at y = t is taken as 0."""
    return _entry_loss(abs(as_expr(y) - t), weights)


@composite
def huber(y: Value, t: Value, *, delta: float = 1.0, weights: Expr | None = None) -> Expr:
    """r²/2 for |r| <= delta, delta·(|r| - delta/2) beyond, r = y - t; the mean.

    Huber, "Robust estimation of a location parameter" (1964), section 4.
    """
    size_of_r = abs(as_expr(y) - t)
    inner = minimum(size_of_r, delta)  # r²/2 up to delta, then a straight line
    return _entry_loss(inner * (size_of_r - 0.5 * inner), weights)


@composite
def quantile(
    y: Value, t: Value, *, level: float = 0.5, weights: Expr | None = None
) -> Expr:
    """The pinball loss, max(level·r, (level - 1)·r) with r = t - y; the mean.

    Koenker and Bassett, "Regression quantiles" (1978). Its minimum is the quantile at
    `level`, between 0 and 1 (SettingError otherwise).
    """
    if not 0 < level < 1:
        raise SettingError(f"A quantile's level is between 0 and 1, not {level}.")
    r = as_expr(t) - y
    return _entry_loss(level * r + relu(-r), weights)


@composite
def poisson(y: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """Poisson's negative log-likelihood of counts t at the rate e^y: e^y - t·y; the mean.

    Without the term ln t!, which no parameter enters.
    """
    y = as_expr(y)
    return _entry_loss(exp(y) - t * y, weights)


@composite
def gaussian(
    y: Value, log_variance: Value, t: Value, *, weights: Expr | None = None
) -> Expr:
    """The normal negative log-likelihood: (ln 2π + s + (t - y)²·e^-s)/2, s = ln σ²."""
    s = as_expr(log_variance)
    square = (as_expr(t) - y) ** 2
    return _entry_loss(0.5 * (math.log(2 * math.pi) + s + square * exp(-s)), weights)


@composite
def cross_entropy(y: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """-1/N Σ T ⊙ ln Y: the mean over rows, Y and T a distribution in each row.

    T's rows must sum to 1, one-hot or not; the run raises DataError where one does not.
    """
    return _row_loss(-(distribution(t) * log(y)), weights)


@composite
def softmax_cross_entropy(u: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """Cross-entropy of softmax(U) against T, from the scores U, without overflow.

    T's rows must sum to 1, one-hot or not; the run raises DataError where one does not.
    """
    return _row_loss(-(distribution(t) * log_softmax(u)), weights)


@composite
def binary_cross_entropy(y: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """-(t ln y + (1 - t) ln(1 - y)), summed over a row's entries; the mean over rows.

    Each entry is a yes-or-no question of its own, t between 0 and 1.
    """
    y, t = as_expr(y), as_expr(t)
    return _row_loss(-(t * log(y) + (1 - t) * log(1 - y)), weights)


@composite
def sigmoid_cross_entropy(u: Value, t: Value, *, weights: Expr | None = None) -> Expr:
    """Binary cross-entropy of sigmoid(U) against T, from the scores U.

    softplus(u) - t·u, summed over a row's entries; the mean over rows.
    """
    u = as_expr(u)
    return _row_loss(softplus(u) - t * u, weights)


@composite
def label_smoothing(t: Value, *, amount: float = 0.1) -> Expr:
    """(1 - amount)·T + amount/K over K classes. Szegedy et al., arXiv:1512.00567, sec. 7.

    Raises SettingError unless 0 <= amount < 1.
    """
    t = as_expr(t)
    if not 0 <= amount < 1:
        raise SettingError(f"Label smoothing is at least 0 and below 1, not {amount}.")
    return (1 - amount) * t + amount / size(t.shape[1])


__all__ = [
    "COMPOSITES",
    "affine",
    "batch_norm",
    "binary_cross_entropy",
    "count",
    "cross_entropy",
    "elu",
    "gaussian",
    "gelu",
    "half_sum_of_squares",
    "huber",
    "identity",
    "l2",
    "label_smoothing",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "mae",
    "mean",
    "mish",
    "mse",
    "poisson",
    "quantile",
    "selu",
    "sigmoid_cross_entropy",
    "silu",
    "softmax_cross_entropy",
]
