"""Weights of few columns that a small network's plan keeps transposed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.run import narrow
from kokuban.run.vm import native
from kokuban.train.native import training_plan

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

ROWS = 24
OPTIMIZERS = [
    kb.optim.SGD(0.05, weight_decay=0.01),
    kb.optim.Nesterov(0.02),
    kb.optim.RMSprop(0.003),
    kb.optim.Adagrad(0.02),
    kb.optim.Adam(0.003),
    kb.optim.AdamW(0.003, clip_value=0.1),
]


@pytest.fixture(autouse=True)
def _plans_made_anew() -> Iterator[None]:
    training_plan.cache_clear()
    yield
    training_plan.cache_clear()


def two_layers(
    outputs: int = 3, hidden: int = 17, loss: Any = "mse", dtype: Any = np.float64
) -> kb.Model:
    first, second = kb.nn.Affine(4, hidden), kb.nn.Affine(hidden, outputs)
    return kb.Model(kb.nn.Sequential(first, kb.nn.Tanh(), second), loss=loss, dtype=dtype)


def kept(
    model: kb.Model, optimizer: kb.optim.Optimizer | None = None, rows: int = ROWS
) -> dict[str, str]:
    twins = model.plan(optimizer, rows).twins
    return {s.name: twin.name for s, twin in twins.items()}


@pytest.mark.parametrize("outputs", [1, 3, 8])
def test_the_weight_and_its_moments(outputs: int) -> None:
    assert kept(two_layers(outputs)) == {"W2": "W2ᵀ"}
    names = ("W2", "Adam.m(W2)", "Adam.v(W2)")
    assert kept(two_layers(outputs), kb.optim.Adam()) == {n: f"{n}ᵀ" for n in names}
    (line,) = (s for s in str(two_layers(outputs).plan()).splitlines() if " W2ᵀ " in s)
    assert line.endswith(f"{outputs}×17")


def test_what_is_left_as_it_is() -> None:
    assert kept(two_layers(outputs=9)) == {}  # too few rows for its columns
    assert kept(two_layers(outputs=13, hidden=60)) == {}  # hardly any padding
    assert kept(two_layers(hidden=300), rows=500) == {}  # a long step
    # the norm of all gradients takes the gradient as it is
    assert kept(two_layers(), kb.optim.Adam(clip_norm=0.5)) == {}


def test_a_tied_weight() -> None:
    """Its gradient has two parts, and it is the right factor of both products."""
    first = kb.nn.Affine(9, 4)
    layers = (first, kb.nn.Sigmoid(), kb.nn.TiedAffine(first))

    def model() -> kb.Model:
        return kb.Model(kb.nn.Sequential(*layers), loss="mse", dtype=np.float64)

    assert kept(model()) == {"W1": "W1ᵀ"}
    same_values(model, kb.optim.Adam(0.01), 9, 9)


def test_a_weight_that_is_read_elsewhere() -> None:
    x, t = kb.input("X", ("N", 4)), kb.target("T", ("N", 2))
    w = kb.parameter("W", (4, 2))
    error = kb.sum((x @ w - t) ** 2)
    for loss, found in (
        (error, {"W": "Wᵀ"}),
        (error + kb.sum(w**2), {}),  # W itself, not a product by it
        (error + kb.sum((w.T @ kb.ones((4, 1))) ** 2), {}),  # as a left factor
    ):
        assert kept(kb.Model(loss=loss)) == found


def same_values(
    model: Callable[[], kb.Model],
    optimizer: kb.optim.Optimizer,
    inputs: int,
    outputs: int,
) -> None:
    """Bit for bit the values that are there without transposed weights."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(55, inputs)), rng.dirichlet(np.ones(outputs), 55)
    if outputs == 1:
        t = rng.integers(0, 2, (55, 1))
    found = []
    for most in (narrow.FEW, 0):
        training_plan.cache_clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(narrow, "FEW", most)
            trained = model()
            for s in trained.values:
                trained[s.name] = np.random.default_rng(1).normal(size=s.shape)
            assert bool(kept(trained, optimizer)) == (most > 0)
            fit = {"epochs": 3, "batch_size": ROWS, "seed": 1, "engine": "native"}
            trained.fit(x, t, optimizer=optimizer, **fit)
            trained.fit(x, t, optimizer=optimizer, **fit)  # goes on with the moments
            found.append(dict(trained.values))
    for s, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][s])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy"])
@pytest.mark.parametrize(
    ("outputs", "hidden"),
    [(1, 2), (1, 65), (1, 1500), (2, 17), (3, 64), (4, 129), (5, 16), (8, 33), (12, 127)],
)
def test_sums_that_come_in_columns_are_the_same(
    outputs: int, hidden: int, loss: str, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(narrow, "SMALL", np.inf)
    if loss == "cross_entropy":
        loss = "sigmoid_" + loss if outputs == 1 else "softmax_" + loss
    same_values(
        lambda: two_layers(outputs, hidden, loss, dtype), kb.optim.SGD(0.01), 4, outputs
    )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_the_same_bits(optimizer: kb.optim.Optimizer, dtype: Any) -> None:
    same_values(lambda: two_layers(dtype=dtype), optimizer, 4, 3)
