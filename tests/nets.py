"""Nets to derive: those of the notes and some that are harder, with values for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

import kokuban as kb
from kokuban.expr import Expr, Symbol, symbols


@dataclass(frozen=True)
class Net:
    """A loss, how it is laid out, and short values for all its symbols."""

    loss: Expr
    layout: str
    at: dict[Symbol, np.ndarray]


X, T = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
W, b = kb.parameter("W", (2, 3)), kb.parameter("b", (1, 3))
W1, b1 = kb.parameter("W1", (2, 4)), kb.parameter("b1", (1, 4))
W2, b2 = kb.parameter("W2", (4, 3)), kb.parameter("b2", (1, 3))


def _affine() -> Expr:
    """Note 000: the affine layer under any gradient from above, here G; X counts too."""
    x = kb.parameter("X", ("N", 2))
    return kb.sum(kb.input("G", ("N", 3)) * kb.affine(x, W, b))


def _softmax() -> Expr:
    return kb.cross_entropy(kb.softmax(X @ W + b), T)


def _two_layers(activation: Callable[[Expr], Expr]) -> Expr:
    return kb.affine(activation(kb.affine(X, W1, b1)), W2, b2)


def _regression() -> Expr:
    return kb.half_sum_of_squares(_two_layers(kb.sigmoid), T)


def _classification() -> Expr:
    scores = _two_layers(lambda u: kb.relu(u, at_zero=1.0))
    return kb.cross_entropy(kb.softmax(scores), T)


def _tied() -> Expr:
    v = kb.parameter("W", (2, 1))
    return kb.mse(kb.sigmoid(X @ v) @ v.T, X)


def _scalar() -> Expr:
    w, s = kb.parameter("w", (1, 1)), kb.parameter("b", (1, 1))
    return kb.mse(w * kb.input("X", (2, 2)) + s, kb.target("T", (2, 2)))


def _decay() -> Expr:
    scores = _two_layers(kb.gelu)
    return kb.softmax_cross_entropy(scores, T) + 0.1 * kb.l2(W1)


def _norm() -> Expr:
    scale, shift = kb.parameter("s", (1, 3)), kb.parameter("c", (1, 3))
    return kb.mse(kb.layer_norm(X @ W, scale, shift), T)


def _residual() -> Expr:
    h = kb.tanh(X @ W + b)
    v = kb.parameter("V", (3, 3))
    return kb.mse(h + kb.relu(h @ v), T)


def _gates() -> Expr:
    y = kb.sigmoid(X @ W + b)
    return kb.binary_cross_entropy(y, T)


MAKERS: dict[str, tuple[Callable[[], Expr], str]] = {
    "affine": (_affine, "rows"),
    "softmax": (_softmax, "rows"),
    "regression": (_regression, "columns"),
    "classification": (_classification, "columns"),
    "tied": (_tied, "columns"),
    "scalar": (_scalar, "rows"),
    "decay": (_decay, "rows"),
    "norm": (_norm, "rows"),
    "residual": (_residual, "rows"),
    "gates": (_gates, "rows"),
}


def _values(loss: Expr, seed: int) -> dict[Symbol, np.ndarray]:
    rng = np.random.default_rng(seed)
    found: dict[Symbol, np.ndarray] = {}
    for s in symbols([loss]):
        shape = [2 if d == "N" else d for d in s.shape]
        found[s] = rng.choice([-1.0, -0.5, 0.5, 1.0, 1.5, 2.0], shape)
        if s is T:
            found[s] = np.eye(3)[[0, 2]]
    return found


NETS = {
    name: Net(loss := make(), layout, _values(loss, seed))
    for seed, (name, (make, layout)) in enumerate(MAKERS.items())
}
# the numbers of the blackboard, and none on ReLU's corner
NETS["softmax"].at.update({
    X: np.array([[1.0, 0], [2, 1]]),
    W: np.array([[0.5, -0.5, 0], [0, 0.5, 0.5]]),
    b: np.array([[0, 0, 0.5]]),
})  # fmt: skip
NETS["tied"].at.update({
    X: np.array([[1.0, 0], [0, 2]]),
    kb.parameter("W", (2, 1)): np.array([[0.5], [1.0]]),
})  # fmt: skip
NETS["classification"].at[b1] = np.array([[-0.5, 0.5, 0.5, 1.0]])
NETS["gates"].at[W] = np.array([[1.0, -0.5, 0.5], [-1.0, 0.5, 1.0]])
