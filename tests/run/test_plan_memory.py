"""A plan's buffers and how threads divide it, and that neither changes a result."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.run import schedule
from kokuban.run.plan import Plan
from kokuban.run.vm import Machine, native
from kokuban.train.native import training_plan

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

STEPS = 8  # of an epoch, whose data are held
COPIES = {kb.optim.SGD(0.05): 1, kb.optim.Momentum(0.05): 2, kb.optim.Adam(0.001): 3}
LARGE = [
    ((784, 1024, 1024, 10), 256),
    ((784, 2048, 2048, 10), 1024),
    ((784, 1024, 1024, 1024, 10), 1024),
    ((64, 512, 512, 512, 512, 10), 4096),
    ((100, 3000, 2), 500),
]
SMALL = [
    ((4, 16, 3), 16),
    ((64, 32, 10), 32),
    ((64, 64, 64, 10), 128),
    ((100, 256, 256, 10), 300),
    ((784, 128, 128, 10), 1000),
]


def model(sizes: tuple[int, ...], activation: kb.nn.Layer) -> kb.Model:
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(sizes):
        layers += [kb.nn.Affine(a, b), activation]
    return kb.Model(kb.nn.Sequential(*layers[:-1]), loss="softmax_cross_entropy")


def barriers(plan: Plan) -> int:
    return sum(item.barrier for item in plan.instructions)


# ---------------------------------------------------------------- how much


@pytest.mark.parametrize("optimizer", COPIES, ids=repr)
@pytest.mark.parametrize("activation", [kb.nn.ReLU(), kb.nn.Tanh(), kb.nn.Sigmoid()])
@pytest.mark.parametrize(("sizes", "rows"), LARGE)
def test_large_buffers_are_few(
    sizes: tuple[int, ...],
    rows: int,
    activation: kb.nn.Layer,
    optimizer: kb.optim.Optimizer,
) -> None:
    plan = model(sizes, activation).plan(optimizer, rows)
    weights = COPIES[optimizer] * sum((a + 1) * b for a, b in pairwise(sizes))
    data = STEPS * rows * (sizes[0] + sizes[-1])
    least = 4 * (weights + rows * sum(sizes) + data)
    took = Machine(plan, np.float32, rows).bytes + 4 * data
    assert took <= 1.2 * least


@pytest.mark.parametrize("rows", [64, 1024])
def test_what_follows_lies_where_the_activation_was(rows: int) -> None:
    plan = model((784, 2048, 2048, 10), kb.nn.ReLU()).plan(batch_size=rows)
    wide = {
        m
        for b, m in zip(plan.buffers, plan.memory, strict=True)
        if b.shape == ("N", 2048)
    }
    assert len(wide) == (4 if rows == 64 else 3)


def test_a_derivative_is_taken_on_the_product() -> None:
    plan = model((7, 19, 19, 3), kb.nn.Tanh()).plan()
    wide = {
        m for b, m in zip(plan.buffers, plan.memory, strict=True) if b.shape == ("N", 19)
    }
    assert len(wide) == 4  # an activation and a gradient of each layer, no product


# ---------------------------------------------------------------- barriers


@pytest.mark.parametrize("optimizer", COPIES, ids=repr)
@pytest.mark.parametrize(("sizes", "rows"), SMALL)
def test_small_nets_have_two_barriers(
    sizes: tuple[int, ...], rows: int, optimizer: kb.optim.Optimizer
) -> None:
    assert barriers(model(sizes, kb.nn.ReLU()).plan(optimizer, rows)) == 2


@pytest.mark.parametrize("optimizer", COPIES, ids=repr)
def test_a_step_can_be_broken_off_until_its_last_barrier(
    optimizer: kb.optim.Optimizer,
) -> None:
    plan = model((784, 2048, 2048, 10), kb.nn.ReLU()).plan(optimizer, 1024)
    assert barriers(plan) == 7
    guarded = [item.guarded for item in plan.instructions]
    last = max(k for k, item in enumerate(plan.instructions) if item.barrier)
    assert not any(guarded[:last])


@pytest.mark.parametrize("optimizer", COPIES, ids=repr)
@pytest.mark.parametrize(
    ("sizes", "rows", "early"),
    [
        ((784, 2048, 2048, 10), 1024, []),  # 12 GFLOP in all
        ((784, 256, 10), 60000, [(784, 256)]),  # 24
        ((784, 4096, 4096, 10), 1024, [(4096, 4096)]),  # 41, of which 34
        ((784, 1024, 1024, 10), 20000, [(784, 1024), (1024, 1024)]),  # 75: 32 and 42
    ],
)
def test_little_of_what_takes_long_is_left_for_new_values(
    sizes: tuple[int, ...],
    rows: int,
    early: list[tuple[int, int]],
    optimizer: kb.optim.Optimizer,
) -> None:
    plan = model(sizes, kb.nn.ReLU()).plan(optimizer, rows)
    large = {w for w in pairwise(sizes) if 10 not in w}
    products = {
        i.frame: i.guarded
        for i in plan.instructions
        if i.code == "matmul_ta" and i.frame in large
    }
    assert set(products) == large
    assert sorted(shape for shape in products if not products[shape]) == early


@pytest.mark.parametrize("optimizer", COPIES, ids=repr)
@pytest.mark.parametrize(("rows", "columns"), [(32, 3), (1024, 3), (1025, 0)])
def test_of_large_weights_threads_divide_columns(
    optimizer: kb.optim.Optimizer, rows: int, columns: int
) -> None:
    plan = model((784, 1024, 1024, 10), kb.nn.ReLU()).plan(optimizer, rows)
    code = plan.instructions
    wide = [
        k for k, item in enumerate(code) if item.by_columns and item.frame == ("N", 1024)
    ]
    assert len(wide) == columns  # X W₁, H W₂ and Δ W₂ᵀ
    assert all(code[k].barrier and code[k + 1].barrier for k in wide)
    assert str(plan).count("columns v") == columns


# ---------------------------------------------------------------- results

ALWAYS = {
    "gradients early": {"MANY": 1, "FEWER": 0},
    "long products early": {"LONG": 0},
    "by columns": {"WEIGHT": 1, "MOST_ROWS": 999},
}


@pytest.fixture(params=ALWAYS)
def always(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """What is done for large nets only, however small the net."""
    training_plan.cache_clear()
    for name, value in ALWAYS[request.param].items():
        monkeypatch.setattr(schedule, name, value)
    yield
    training_plan.cache_clear()


NETS: dict[str, list[kb.nn.Layer]] = {
    "relu": [kb.nn.ReLU(), kb.nn.Affine(19, 19), kb.nn.ReLU()],
    "tanh": [kb.nn.Tanh(), kb.nn.Affine(19, 19), kb.nn.Sigmoid()],
    "gelu": [kb.nn.GELU(), kb.nn.Affine(19, 19), kb.nn.ELU()],
    "residual": [kb.nn.Residual(kb.nn.Affine(19, 19), kb.nn.Tanh()), kb.nn.ReLU()],
    "norms": [kb.nn.BatchNorm(19), kb.nn.ReLU(), kb.nn.LayerNorm(19), kb.nn.Tanh()],
    "dropout": [kb.nn.ReLU(), kb.nn.Dropout(0.3)],
}
OPTIMIZERS = [
    kb.optim.SGD(0.05, weight_decay=0.01),
    kb.optim.Momentum(0.02, clip_norm=0.5),
    kb.optim.Adam(0.003),
]


def trained(inner: list[kb.nn.Layer], **how: Any) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(150, 7)), rng.integers(0, 3, 150)
    net = kb.nn.Sequential(kb.nn.Affine(7, 19), *inner, kb.nn.Affine(19, 3))
    made = kb.Model(net, loss="softmax_cross_entropy", dtype=np.float64)
    made.fit(x, t, epochs=5, batch_size=64, seed=3, **how)
    return [made.values[s] for s in made.network.values]


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
@pytest.mark.parametrize("name", NETS)
def test_results_are_the_reference_s(name: str, optimizer: kb.optim.Optimizer) -> None:
    reference = trained(NETS[name], optimizer=optimizer, engine="numpy")
    found = []
    try:
        for threads in (1, 2, 4):
            kb.set_num_threads(threads)
            found.append(trained(NETS[name], optimizer=optimizer, engine="native"))
    finally:
        kb.set_num_threads(None)
    for a, *mine in zip(reference, *found, strict=True):
        np.testing.assert_allclose(mine[0], a, rtol=1e-9, atol=1e-9)
        assert all(np.array_equal(mine[0], b) for b in mine)


@pytest.mark.parametrize("always", ["gradients early"], indirect=True)
@pytest.mark.usefixtures("always")
def test_gradients_do_come_early() -> None:
    sizes, relu = (7, 19, 17, 3), kb.nn.ReLU()
    plan = model(sizes, relu).plan(batch_size=64)
    assert barriers(plan) > 2
    batch = [m for b, m in zip(plan.buffers, plan.memory, strict=True) if "N" in b.shape]
    assert len(set(batch)) < len(batch)
