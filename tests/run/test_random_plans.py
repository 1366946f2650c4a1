"""The native engine against the reference: random graphs, and layers of every size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from graphs import SIZES, graph, reference, rounding, rows_of

import kokuban as kb
from kokuban.expr import Expr, Symbol
from kokuban.gradient import grad
from kokuban.rewrite import simplify_all
from kokuban.run import schedule
from kokuban.run.lower import NotLowered, lower
from kokuban.run.plan import Plan
from kokuban.run.vm import Machine, native

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

TYPES = (np.float64, np.float32)
EACH = 50  # graphs of one test


def compare(
    plan: Plan, outputs: Sequence[Expr], values: dict[Symbol, np.ndarray]
) -> bool:
    """Hold the engine to the reference in both types; False where rounding decides."""
    near = {s: v.astype(np.float32).astype(float) for s, v in values.items()}
    slack = rounding(outputs, near)
    if slack is None:
        return False
    rows = rows_of(near)
    exact = reference(outputs, near, np.float64)
    for dtype in TYPES:
        given = {s: v.astype(dtype) for s, v in near.items()}
        machine = Machine(plan, dtype, rows)
        found, again = machine.once(given, rows), machine.once(given, rows)
        for mine, second, wanted, most in zip(found, again, exact, slack, strict=True):
            off = float(np.finfo(dtype).eps) * most
            np.testing.assert_allclose(mine, wanted, rtol=0, atol=off)
            np.testing.assert_array_equal(mine, second)
    return True


@pytest.mark.parametrize("part", range(1000 // EACH))
def test_a_thousand_graphs(part: int) -> None:
    """Values and gradients of graphs with several outputs, as written and simplified.

    In every third plan all products of the batch are divided by columns.
    """
    compared = 0
    for seed in count(part * 10 * EACH):
        assert seed < (part + 1) * 10 * EACH, "too few graphs can be compared"
        drawn = graph(seed)
        outputs = simplify_all(drawn.outputs) if seed % 2 else drawn.outputs
        try:
            with patch.multiple(schedule, WEIGHT=1, MOST_ROWS=999):
                plan = lower(outputs, rows=int(seed % 3 == 0))
            compared += compare(plan, outputs, drawn.values)
        except NotLowered:
            continue
        if compared == EACH:
            return


def test_the_graphs_meet_every_instruction() -> None:
    met = set[str]()
    for seed in range(400):
        try:
            plan = lower(graph(seed).outputs)
        except NotLowered:
            continue
        met |= {item.code for item in plan.instructions}
        met |= {step.micro for item in plan.instructions for step in item.steps}
    of_training = {"take", "mask"}
    squares = {"multiply_square", "multiply_square_add", "add_product_of_square"}
    # see test_steps_that_become_one
    rare = {*squares, "root_add", "multiply_subtract_part"}
    assert {*native().codes(), *native().micros()} - met == of_training | rare


# ---------------------------------------------------------------- layers

nn = kb.nn
LAYERS: dict[str, Callable[[int], Sequence[nn.Layer]]] = {
    **{
        name: lambda _, kind=kind: [kind()]
        for name, kind in sorted(nn.activations.BY_NAME.items())
        if name != "step"
    },
    "batch norm": lambda n: [nn.BatchNorm(n)],
    "layer norm": lambda n: [nn.LayerNorm(n)],
    "residual": lambda n: [nn.Residual(nn.Affine(n, n), nn.Sigmoid())],
    "scalar": lambda _: [nn.ScalarAffine(), nn.Tanh()],
    "tied": lambda n: _tied(n),
}


def _tied(n: int) -> Sequence[nn.Layer]:
    inner = nn.Affine(n, 7)
    return [inner, nn.Tanh(), nn.TiedAffine(inner)]


@pytest.mark.parametrize("name", LAYERS)
def test_layers_of_every_size(name: str) -> None:
    """Rows, inputs, width and outputs each take every size; the loss and gradients."""
    many = len(SIZES)
    for k in range(many):
        rows, inputs, width, outputs = (
            SIZES[i % many] for i in (k, 5 * k + 3, 7 * k + 1, 11 * k + 2)
        )
        if name == "layer norm":  # of one column it is constant
            width = max(width, 2)
        net = nn.Sequential(
            nn.Affine(inputs, width), *LAYERS[name](width), nn.Affine(width, outputs)
        )
        model = kb.Model(net, loss="mse")
        network = model.network
        model.initialise(k)
        parameters = [s for s in model.values if s.role == "parameter"]
        (loss,) = simplify_all([network.loss])
        asked = simplify_all([loss, *grad(loss, parameters), *network.updates.values()])
        plan = lower(asked)
        assert any(compare(plan, asked, _drawn(model, rows, seed)) for seed in range(20))


def _drawn(model: kb.Model, rows: int, seed: int) -> dict[Symbol, np.ndarray]:
    rng = np.random.default_rng(seed)
    data = [*model.network.inputs, *model.network.targets]
    values: dict[Symbol, Any] = {s: rng.normal(size=(rows, s.shape[1])) for s in data}
    around = {s: v + 0.1 * rng.normal(size=v.shape) for s, v in model.values.items()}
    return values | {s: np.abs(v) if s.role == "state" else v for s, v in around.items()}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("width", SIZES)
def test_dropout_of_every_width(width: int, dtype: Any) -> None:
    """The same masks, seen through the weights after a few steps, one of few rows."""
    net = nn.Sequential(nn.Affine(3, width), nn.Dropout(0.4), nn.Affine(width, 2))
    rng = np.random.default_rng(width)
    data, targets = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    values = []
    for engine in ("numpy", "native"):
        model = kb.Model(net, loss="mse", dtype=dtype)
        model.fit(data, targets, epochs=2, batch_size=17, seed=5, engine=engine)
        values.append(list(model.values.values()))
    close = 1e-10 if dtype == np.float64 else 1e-4
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=close, atol=close)
