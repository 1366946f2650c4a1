"""The whole stack in seconds: run before each commit.

One network from its formula to its numbers, through every reader there is.
"""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np

import kokuban as kb
from kokuban.expr import from_records, to_records

X, T = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
W, b = kb.parameter("W", (2, 3)), kb.parameter("b", (1, 3))
Y = kb.softmax(X @ W + b)
L = kb.cross_entropy(Y, T)
AT = {
    X: np.array([[1.0, 0.0], [2.0, 1.0]]),
    W: np.array([[0.5, -0.5, 0.0], [0.0, 0.5, 0.5]]),
    b: np.array([[0.0, 0.0, 0.5]]),
    T: np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}


def test_formula() -> None:
    assert L.shape == (1, 1)
    assert repr(L) == "cross_entropy(softmax(X @ W + dup(b, N×3)), T)"


def test_value() -> None:
    scores = AT[X] @ AT[W] + AT[b]
    y = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(kb.evaluate(Y, AT), y, rtol=1e-14)
    np.testing.assert_allclose(
        kb.evaluate(L, AT)[0, 0], -np.log([y[0, 0], y[1, 2]]).mean(), rtol=1e-14
    )


def test_gradient() -> None:
    dW, db = kb.grad(L, [W, b])
    assert repr(dW) == "X.T @ ((softmax(X @ W + dup(b, N×3)) - T) / N)"
    found, h = kb.evaluate(dW, AT), 1e-6
    for place in np.ndindex(2, 3):
        step = np.zeros((2, 3))
        step[place] = h
        up, down = (kb.evaluate(L, {**AT, W: AT[W] + sign * step}) for sign in (1, -1))
        np.testing.assert_allclose(found[place], (up - down)[0, 0] / (2 * h), rtol=1e-8)
    np.testing.assert_allclose(kb.evaluate(db, AT).sum(), 0, atol=1e-16)


def test_records() -> None:
    outputs = [L, *kb.grad(L, [W, b])]
    again = from_records(json.loads(json.dumps(to_records(outputs))))
    assert all(a is b for a, b in zip(again, outputs, strict=True))


def test_training_by_hand() -> None:
    """Gradient descent with the derived gradients lowers the loss at every step."""
    at, steps = dict(AT), kb.grad(L, [W, b])
    losses = []
    for _ in range(20):
        losses.append(kb.evaluate(L, at)[0, 0])
        for symbol, slope in zip((W, b), kb.evaluate(steps, at), strict=True):
            at[symbol] = at[symbol] - 0.5 * slope
    assert all(later < earlier for earlier, later in pairwise(losses))
    assert losses[-1] < losses[0] / 2
    np.testing.assert_array_equal(kb.evaluate(Y, at).argmax(axis=1), [0, 2])
