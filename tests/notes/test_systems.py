"""The systems of the five lecture notes: they run, and their gradients are proven."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.optimize import linprog

import kokuban as kb
from kokuban.expr import Expr, Symbol
from kokuban.run import Program

CORNERS = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


# ---------------------------------------------------------------- 002: gates


def neuron(x: Expr, weights: list[float], bias: float) -> Expr:
    """f_step(x w + b), with the notes' step: 1 at 0."""
    return kb.step(x @ kb.constant([[w] for w in weights]) + bias, at_zero=1.0)


def gate(x: Expr, name: str) -> Expr:
    """The gates of note 002; NOT with the bias that makes it fire (0.5, not -0.5)."""
    if name == "NOT":
        return neuron(x, [-1.0], 0.5)
    return neuron(x, [1.0, 1.0], {"AND": -1.5, "OR": -0.5}[name])


@pytest.mark.parametrize(("name", "table"), [("AND", [0, 0, 0, 1]), ("OR", [0, 1, 1, 1])])
def test_gate_of_two(name: str, table: list[int]) -> None:
    x = kb.input("X", ("N", 2))
    assert kb.evaluate(gate(x, name), {x: CORNERS})[:, 0].tolist() == table


def test_not_gate_and_the_notes_slip() -> None:
    x = kb.input("x", ("N", 1))
    bits = np.array([[0.0], [1.0]])
    assert kb.evaluate(gate(x, "NOT"), {x: bits})[:, 0].tolist() == [1, 0]
    as_printed = neuron(x, [-1.0], -0.5)
    assert kb.evaluate(as_printed, {x: bits})[:, 0].tolist() == [0, 0]  # never fires


@pytest.mark.parametrize("bias", [-1.5, -0.5])
def test_a_gate_gives_no_gradient_to_learn_from(bias: float) -> None:
    """A step is flat wherever it has a slope: zero, and the differences agree."""
    x, t = kb.input("X", ("N", 2)), kb.target("T", ("N", 1))
    w, b = kb.parameter("W", (2, 1)), kb.parameter("b", (1, 1))
    loss = kb.mse(kb.step(x @ w + b, at_zero=1.0), t)
    wrong = np.array([[1.0], [0.0], [0.0], [0.0]])
    at = {x: CORNERS, t: wrong, w: np.ones((2, 1)), b: np.array([[bias]])}
    assert kb.evaluate(loss, at)[0, 0] > 0
    assert not kb.evaluate(kb.grad(loss, w), at).any()
    assert kb.check(loss, at=at, wrt=[w, b]).ok


def test_xor_from_two_layers() -> None:
    x = kb.input("X", ("N", 2))
    nand = gate(gate(x, "AND"), "NOT")
    xor = gate(kb.join(gate(x, "OR"), nand), "AND")
    assert kb.evaluate(xor, {x: CORNERS})[:, 0].tolist() == [0, 1, 1, 0]


def test_xor_is_not_linearly_separable() -> None:
    # a line w1 x + w2 y + b would need b < 0, w1 + b >= 0, w2 + b >= 0 and
    # w1 + w2 + b < 0; the sum of the middle two contradicts the outer two
    assert not separable([0, 1, 1, 0])
    assert separable([0, 1, 1, 1])


def separable(outputs: list[int]) -> bool:
    """Whether a line parts the corners with output 1 from those with 0."""
    side = 2.0 * np.array(outputs) - 1
    rows = -side[:, None] * np.column_stack([CORNERS, np.ones(4)])
    free = [(None, None)] * 3
    return bool(linprog(np.zeros(3), A_ub=rows, b_ub=-np.ones(4), bounds=free).success)


# ---------------------------------------------------------------- 001, 002: two layers


@dataclass
class System:
    """A network's loss, its pre-activations and parameters, and values for all."""

    loss: Expr
    u1: Expr
    u2: Expr
    parameters: list[Symbol]
    at: dict[Symbol, np.ndarray]


def two_layers(hidden: str, kind: str) -> System:
    """The two-layer net of note 001: a hidden activation, and one of two tasks."""
    rng = np.random.default_rng(4)
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 2))
    w1, b1 = kb.parameter("W1", (3, 4)), kb.parameter("b1", (1, 4))
    w2, b2 = kb.parameter("W2", (4, 2)), kb.parameter("b2", (1, 2))
    u1 = kb.affine(x, w1, b1)
    h = kb.sigmoid(u1) if hidden == "sigmoid" else kb.relu(u1, at_zero=1.0)
    u2 = kb.affine(h, w2, b2)
    if kind == "regression":
        loss = kb.half_sum_of_squares(u2, t)
        target = rng.normal(size=(5, 2))
    else:
        loss = kb.cross_entropy(kb.softmax(u2), t)
        target = np.eye(2)[rng.integers(0, 2, 5)]
    at: dict[Symbol, np.ndarray] = {s: rng.normal(size=s.shape) for s in (w1, b1, w2, b2)}
    at |= {x: rng.normal(size=(5, 3)), t: target}
    return System(loss, u1, u2, [w1, b1, w2, b2], at)


@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_two_layer_network(hidden: str, kind: str) -> None:
    system = two_layers(hidden, kind)
    result = kb.check(system.loss, at=system.at, wrt=system.parameters)
    assert result.ok, str(result)


@pytest.mark.parametrize(("kind", "scale"), [("regression", 1), ("classification", 5)])
def test_delta_of_the_output_layer_is_the_residual(kind: str, scale: int) -> None:
    """Note 001: δ⁽²⁾ = y - d for both tasks (over N where the loss is a mean)."""
    system = two_layers("sigmoid", kind)
    y = kb.softmax(system.u2) if kind == "classification" else system.u2
    delta = kb.evaluate(kb.grad(system.loss, system.u2), system.at)
    residual = kb.evaluate(y, system.at) - system.at[kb.target("T", ("N", 2))]
    np.testing.assert_allclose(delta, residual / scale, rtol=1e-12)


@pytest.mark.parametrize("hidden", ["sigmoid", "relu"])
def test_steps_of_the_hidden_layer(hidden: str) -> None:
    """Note 001, steps 1.5 and 1: δ⁽¹⁾ = (δ⁽²⁾ W2ᵀ) ⊙ h'(u⁽¹⁾), ∂E/∂W1 = Xᵀ δ⁽¹⁾."""
    system = two_layers(hidden, "regression")
    w1, b1, w2, _ = system.parameters
    d2, d1, dw1, db1 = (
        kb.evaluate(kb.grad(system.loss, node), system.at)
        for node in (system.u2, system.u1, w1, b1)
    )
    u1 = kb.evaluate(system.u1, system.at)
    y = 1 / (1 + np.exp(-u1))
    slope = y * (1 - y) if hidden == "sigmoid" else (u1 >= 0).astype(float)
    x = system.at[kb.input("X", ("N", 3))]
    np.testing.assert_allclose(d1, (d2 @ system.at[w2].T) * slope, rtol=1e-12)
    np.testing.assert_allclose(dw1, x.T @ d1, rtol=1e-12)
    np.testing.assert_allclose(db1, d1.sum(axis=0, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("kind", ["regression", "classification"])
def test_two_layer_network_trains(kind: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 2))
    inside = (x**2).sum(axis=1) < 1
    net = kb.nn.Sequential(
        kb.nn.Affine(2, 16), kb.nn.Sigmoid(), kb.nn.Affine(16, 1 + (kind != "regression"))
    )
    loss = "mse" if kind == "regression" else "softmax_cross_entropy"
    rate = 0.3 if kind == "regression" else 1.0
    model = kb.Model(net, loss=loss)
    history = model.fit(
        x, inside.astype(int), optimizer=kb.optim.SGD(rate), epochs=150, seed=1
    )
    assert history["loss"][-1] < 0.35 * history["loss"][0]


# ---------------------------------------------------------------- 002: losses, SGD


def test_losses_of_the_notes() -> None:
    y, t = np.array([[0.7, 0.2, 0.1]]), np.array([[1.0, 0.0, 0.0]])
    ys, ts = kb.input("Y", (1, 3)), kb.target("T", (1, 3))
    at = {ys: y, ts: t}
    squared = kb.evaluate(kb.mse(ys, ts), at)[0, 0]
    assert squared == pytest.approx(np.sum((y - t) ** 2) / 3)
    assert kb.evaluate(kb.cross_entropy(ys, ts), at)[0, 0] == pytest.approx(-np.log(0.7))


def test_eta_and_eta_over_n_are_one_step() -> None:
    """A step of η on the mean loss is a step of η/N on the summed loss."""
    rng = np.random.default_rng(3)
    x, t, w = kb.input("X", ("N", 2)), kb.target("T", ("N", 1)), kb.parameter("W", (2, 1))
    square = (x @ w - t) ** 2
    at = {x: rng.normal(size=(8, 2)), t: rng.normal(size=(8, 1)), w: np.ones((2, 1))}
    by_mean = kb.evaluate(w - 0.1 * kb.grad(kb.mean(square), w), at)
    by_sum = kb.evaluate(w - 0.1 / 8 * kb.grad(kb.sum(square), w), at)
    np.testing.assert_allclose(by_mean, by_sum, rtol=1e-12)


# ---------------------------------------------------------------- 000: batch, online


def test_batch_against_online() -> None:
    """The gap after one pass falls like the square of the learning rate."""
    rng = np.random.default_rng(5)
    data, targets = rng.normal(size=(6, 3)), rng.normal(size=(6, 2))
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 2))
    w, b = kb.parameter("W", (3, 2)), kb.parameter("b", (1, 2))
    loss = kb.half_sum_of_squares(kb.sigmoid(x @ w + b), t)
    gradients = Program(kb.grad(loss, [w, b]))
    start = {w: rng.normal(size=(3, 2)), b: rng.normal(size=(1, 2))}

    def update(
        values: dict[Symbol, np.ndarray], rows: slice, rate: float
    ) -> dict[Symbol, np.ndarray]:
        found = gradients({**values, x: data[rows], t: targets[rows]})
        return {s: v - rate * g for (s, v), g in zip(values.items(), found, strict=True)}

    def gap(rate: float) -> float:
        batch, online = update(start, slice(None), rate), start
        for k in range(len(data)):
            online = update(online, slice(k, k + 1), rate)
        return float(sum(np.abs(batch[s] - online[s]).sum() for s in start))

    singles = [update(start, slice(k, k + 1), 1.0)[w] - start[w] for k in range(6)]
    together = update(start, slice(None), 1.0)[w] - start[w]
    np.testing.assert_allclose(sum(singles), together, rtol=1e-12)  # at the same weights
    rates = np.logspace(-4, -2, 9)
    slope = np.polyfit(np.log(rates), np.log([gap(r) for r in rates]), 1)[0]
    assert slope == pytest.approx(2.0, abs=0.05)


# ---------------------------------------------------------------- 003: tied autoencoder


def test_tied_autoencoder_gradient_is_the_sum_of_its_uses() -> None:
    rng = np.random.default_rng(6)
    x, w = kb.input("X", ("N", 4)), kb.parameter("W", (4, 2))
    c, d = kb.parameter("c", (1, 2)), kb.parameter("d", (1, 4))
    hidden = kb.sigmoid(x @ w + c)
    loss = kb.mse(kb.sigmoid(hidden @ w.T + d), x)
    at = {x: rng.uniform(size=(5, 4))} | {s: rng.normal(size=s.shape) for s in (w, c, d)}
    uses = [kb.evaluate(u.gradient, at) for u in kb.grad(loss, w, by_use=True)]
    assert len(uses) == 2
    np.testing.assert_allclose(sum(uses), kb.evaluate(kb.grad(loss, w), at), rtol=1e-12)
    assert kb.check(loss, at=at, wrt=[w, c, d]).ok
    for share in uses:  # the plain chain rule through one use alone is wrong
        assert not kb.check(loss, at=at, wrt=w, claims={w: share}).ok


def test_tied_autoencoder_learns_the_identity() -> None:
    rng = np.random.default_rng(7)
    x = np.eye(8)[rng.integers(0, 8, 400)]
    encoder = kb.nn.Affine(8, 3)
    net = kb.nn.Sequential(
        encoder, kb.nn.Tanh(), kb.nn.TiedAffine(encoder), kb.nn.Softmax()
    )
    model = kb.Model(net, loss="mse")
    history = model.fit(x, x, optimizer=kb.optim.Adam(0.02), epochs=60, seed=0)
    assert history["loss"][-1] < 0.1 * history["loss"][0]
    assert [s.name for s in model.network.values] == ["W1", "b1", "c1"]


# ---------------------------------------------------------------- 004: one scalar weight


def test_scalar_weight_in_numbers() -> None:
    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    t = np.array([[3.0, 5.0], [7.0, 9.0]])
    xs, ts = kb.input("X", (2, 2)), kb.target("T", (2, 2))
    w, b = kb.parameter("w", (1, 1)), kb.parameter("b", (1, 1))
    loss = kb.mse(w * xs + b, ts)
    at = {xs: x, ts: t, w: 1.5, b: 0.5}
    y = 1.5 * x + 0.5
    dw, db = (kb.evaluate(g, at)[0, 0] for g in kb.grad(loss, [w, b]))
    assert dw == pytest.approx(2 / 4 * np.sum((y - t) * x))
    assert db == pytest.approx(2 / 4 * np.sum(y - t))
    assert kb.check(loss, at={**at, w: [[1.5]], b: [[0.5]]}, wrt=[w, b]).ok
    after = kb.evaluate(w - 0.01 * kb.grad(loss, w), at)[0, 0]
    assert after == pytest.approx(1.5 - 0.01 * dw)


def test_scalar_weight_learns_a_line() -> None:
    rng = np.random.default_rng(8)
    x = rng.uniform(-1, 1, size=(100, 3))
    model = kb.Model(kb.nn.Sequential(kb.nn.ScalarAffine()), loss="mse", inputs=3)
    model.fit(x, 2 * x + 1, optimizer=kb.optim.SGD(0.3), epochs=60, seed=0)
    assert model["w1"][0, 0] == pytest.approx(2.0, abs=1e-2)
    assert model["s1"][0, 0] == pytest.approx(1.0, abs=1e-2)
