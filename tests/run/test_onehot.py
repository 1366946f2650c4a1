"""Rows with a 1 each, given to the engine as the columns of the 1s: the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import kokuban as kb
from kokuban.expr import Expr, Symbol
from kokuban.gradient import grad
from kokuban.run.lower import lower
from kokuban.run.onehot import OneHot, compact, compact_targets
from kokuban.run.vm import Machine, native

ROWS = 61


def targets(columns: int, dtype: Any = np.float64) -> np.ndarray:
    labels = np.random.default_rng(columns).integers(0, columns, ROWS)
    return np.eye(columns, dtype=dtype)[labels]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 3, 10, 100])
def test_rows_come_back(columns: int, dtype: Any) -> None:
    dense = targets(columns, dtype)
    found = compact(dense)
    assert isinstance(found, OneHot)
    assert (found.shape, found.dtype, len(found)) == (dense.shape, dtype, ROWS)
    for rows in (slice(None), slice(5, 9), np.array([7, 7, 0]), np.arange(0)):
        assert_array_equal(found[rows], dense[rows])
        assert found[rows].dtype == dtype


@pytest.mark.parametrize(
    "rows",
    [
        [[1, 0], [0.5, 0.5]],
        [[1, 0], [1, 1]],
        [[1, 0], [0, 0]],
        [[1, 0], [0, 2]],
        [[1, 0], [0, -1]],
        [[1, 1], [0, 0]],
        [[1], [1]],
    ],
)
def test_what_is_more_than_places_of_ones_stays(rows: list[list[float]]) -> None:
    matrix = np.array(rows, float)
    assert compact(matrix) is matrix


def test_only_targets_become_compact() -> None:
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 3))
    dense = targets(3)
    found = compact_targets({x: dense, t: dense})
    assert found[x] is dense
    assert isinstance(found[t], OneHot)


def cross_entropy(x: Symbol, t: Symbol, w: Symbol) -> Expr:
    return kb.softmax_cross_entropy(x @ w, t)


def squares(x: Symbol, t: Symbol, w: Symbol) -> Expr:
    return kb.mse(x @ w, t)


def factor(x: Symbol, t: Symbol, w: Symbol) -> Expr:
    """T is read by a product, as its left factor, too."""
    return kb.mse(t @ w.T, x)


@pytest.mark.skipif(native() is None, reason="built without a compiler")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("columns", [2, 3, 7, 10, 16, 17, 70])
@pytest.mark.parametrize("loss", [cross_entropy, squares, factor])
def test_the_engine_finds_the_same_bits(loss: Any, columns: int, dtype: Any) -> None:
    x, t = kb.input("X", ("N", 5)), kb.target("T", ("N", columns))
    w = kb.parameter("W", (5, columns))
    number = loss(x, t, w)
    (slope,) = grad(number, [w])
    plan = lower([number], [x, t], {w: w - 0.1 * slope}, 8)
    rng = np.random.default_rng(0)
    rows, dense = rng.normal(size=(ROWS, 5)).astype(dtype), targets(columns, dtype)
    order, start = rng.permutation(ROWS), rng.normal(size=(5, columns))
    settings = kb.parameter("rate", (1, 1)), kb.parameter("step", (1, 1)), number
    found = []
    for given in (dense, compact(dense)):
        for threads in (1, 3):
            machine = Machine(plan, dtype, 8, threads)
            machine.set({w: start})
            machine.sources([rows, given])
            done = machine.steps(order, 8, (0, 8), np.ones(8), 0, 0, settings, 60.0, 0.0)
            assert done[0] == 8
            found.append((done, machine.get([w])[w]))
    for other in found[1:]:
        assert other[0] == found[0][0]
        assert_array_equal(other[1], found[0][1])


def test_a_model_learns_the_same_from_labels_and_from_rows() -> None:
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(90, 4)), rng.integers(0, 5, 90)
    weights = []
    for t in (labels, np.eye(5)[labels]):
        for engine in ("auto", "numpy"):
            model = kb.Model(
                kb.nn.Sequential(kb.nn.Affine(4, 8), kb.nn.Tanh(), kb.nn.Affine(8, 5)),
                loss="softmax_cross_entropy",
                dtype=np.float64,
            )
            model.fit(x, t, epochs=3, batch_size=16, engine=engine)
            weights.append(model["W1"])
    assert_array_equal(weights[0], weights[2])
    assert_array_equal(weights[1], weights[3])
    np.testing.assert_allclose(weights[0], weights[1], rtol=1e-9)
