"""Gradients: the formulas of the blackboard, uses told apart, second order, depth."""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest

import kokuban as kb
from kokuban import gradient as gradient_module, ops
from kokuban.errors import ExpressionError, ShapeError
from kokuban.expr import Expr, Symbol, order
from kokuban.run import Program

Array = np.ndarray

X, T = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
W, b = kb.parameter("W", (2, 3)), kb.parameter("b", (1, 3))
AT = {
    X: np.array([[1.0, 0.0], [2.0, 1.0]]),
    W: np.array([[0.5, -0.5, 0.0], [0.0, 0.5, 0.5]]),
    b: np.array([[0.0, 0.0, 0.5]]),
    T: np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
}
U = X @ W + b
Y = kb.softmax(U)
L = kb.cross_entropy(Y, T)


def slopes(loss: Expr, wrt: Symbol, at: dict[Symbol, Array], **how: Any) -> Array:
    """The loss's numerical gradient, as it stands: without simplification."""
    program = Program([loss])
    return oracles.differences(
        lambda v: float(program({**at, wrt: v}, **how)[0][0, 0]), at[wrt]
    )


# ---------------------------------------------------------------- the blackboard


def test_the_blackboards_numbers() -> None:
    delta, dW, db = kb.evaluate([(Y - T) / 2, *kb.grad(L, [W, b])], AT)
    np.testing.assert_allclose(
        kb.evaluate(Y, AT),
        [[0.4223, 0.1554, 0.4223], [0.4498, 0.1004, 0.4498]],
        atol=5e-5,
    )
    np.testing.assert_allclose(
        delta, [[-0.2888, 0.0777, 0.2112], [0.2249, 0.0502, -0.2751]], atol=5e-5
    )
    np.testing.assert_allclose(
        dW, [[0.1610, 0.1780, -0.3390], [0.2249, 0.0502, -0.2751]], atol=5e-5
    )
    np.testing.assert_allclose(db, delta.sum(axis=0, keepdims=True), atol=1e-15)
    np.testing.assert_allclose(dW, slopes(L, W, AT), rtol=1e-9)


def test_the_blackboards_formulas() -> None:
    assert repr(kb.grad(L, W)) == "X.T @ ((softmax(X @ W + dup(b, N×3)) - T) / N)"
    assert repr(kb.grad(L, b)) == "sum((softmax(X @ W + dup(b, N×3)) - T) / N, over=rows)"
    assert repr(kb.grad(L, U)) == "(softmax(X @ W + dup(b, N×3)) - T) / N"
    assert repr(kb.grad(L, Y)) == "-1 / N * T / softmax(X @ W + dup(b, N×3))"
    assert repr(kb.simplify(L)) == (
        "-(sum(T * (X @ W + dup(b, N×3) - dup(logsumexp(X @ W + dup(b, N×3)), N×3)), "
        "over=all) / N)"
    )


V = kb.parameter("V", (2, 1))
TIED_AT = {X: np.array([[1.0, 0.0], [0.0, 2.0]]), V: np.array([[0.5], [1.0]])}
HIDDEN = kb.sigmoid(X @ V)
E = kb.mse(HIDDEN @ V.T, X)


def test_a_weight_used_twice() -> None:
    uses = kb.grad(E, V, by_use=True)
    by_user = {use.user: kb.evaluate(use.gradient, TIED_AT) for use in uses}
    assert [(use.user, use.place) for use in uses] == [(V.T, 0), (X @ V, 1)]
    np.testing.assert_allclose(by_user[V.T], [[-0.0204], [-0.2992]], atol=5e-5)
    np.testing.assert_allclose(by_user[X @ V], [[0.0327], [-0.0944]], atol=5e-5)
    total = kb.evaluate(kb.grad(E, V), TIED_AT)
    np.testing.assert_allclose(total, [[0.0123], [-0.3936]], atol=5e-5)
    np.testing.assert_allclose(total, sum(by_user.values()), atol=1e-16)
    np.testing.assert_allclose(total, slopes(E, V, TIED_AT), rtol=1e-9)


def test_shares_of_many_uses_sum_to_the_gradient() -> None:
    s = kb.parameter("s", (1, 1))
    y = kb.tanh(s * X) @ W + s * b - s
    loss = kb.mse(y * s, T) + s * s
    at = {**AT, s: np.array([[0.7]])}
    shares, others = kb.grad(loss, [s, W], by_use=True)
    # both places of s·s, s·b, s·X, and the copies of s that are subtracted and multiplied
    assert [repr(share.user) for share in shares] == [
        "s * s",
        "s * s",
        "dup(s, N×3)",
        "dup(s, 1×3)",
        "dup(s, N×2)",
    ]
    assert len(others) == 1
    total = kb.evaluate(kb.grad(loss, s), at)
    parts = kb.evaluate([share.gradient for share in shares], at)
    np.testing.assert_allclose(total, np.sum(parts, axis=0), rtol=1e-14)
    np.testing.assert_allclose(total, slopes(loss, s, at), rtol=1e-9)
    plain = kb.grad(loss, s, by_use=True, simplify=False)
    for share, bare in zip(shares, plain, strict=True):
        assert kb.simplify(bare.gradient) is share.gradient


# ---------------------------------------------------------------- residuals

w = kb.input("w", ("N", 1))
RESIDUALS = {
    "cross-entropy of softmax": (kb.cross_entropy(Y, T), "(softmax({U}) - T) / N"),
    "softmax cross-entropy": (
        kb.softmax_cross_entropy(U, T),
        "(softmax({U}) - T) / N",
    ),
    "binary cross-entropy of sigmoid": (
        kb.binary_cross_entropy(kb.sigmoid(U), T),
        "(sigmoid({U}) - T) / N",
    ),
    "sigmoid cross-entropy": (
        kb.sigmoid_cross_entropy(U, T),
        "(sigmoid({U}) - T) / N",
    ),
    "half a sum of squares": (kb.half_sum_of_squares(U, T), "{U} - T"),
    "mean square": (kb.mse(U, T), "2 / (3 * N) * ({U} - T)"),
    "poisson": (kb.poisson(U, T), "(exp({U}) - T) / (3 * N)"),
    "cross-entropy of softmax, weighted": (
        kb.cross_entropy(Y, T, weights=w),
        "dup(w / sum(w, over=all), N×3) * (softmax({U}) - T)",
    ),
    "softmax cross-entropy, weighted": (
        kb.softmax_cross_entropy(U, T, weights=w),
        "dup(w / sum(w, over=all), N×3) * (softmax({U}) - T)",
    ),
    "binary cross-entropy of sigmoid, weighted": (
        kb.binary_cross_entropy(kb.sigmoid(U), T, weights=w),
        "dup(w / sum(w, over=all), N×3) * (sigmoid({U}) - T)",
    ),
    "sigmoid cross-entropy, weighted": (
        kb.sigmoid_cross_entropy(U, T, weights=w),
        "dup(w / sum(w, over=all), N×3) * (sigmoid({U}) - T)",
    ),
    "smoothed labels": (
        kb.softmax_cross_entropy(U, kb.label_smoothing(T)),
        "(softmax({U}) - (0.9 * T + 0.03333333333333333)) / N",
    ),
}


@pytest.mark.parametrize("name", RESIDUALS)
def test_losses_simplify_to_their_residual(name: str) -> None:
    loss, residual = RESIDUALS[name]
    text = residual.format(U="X @ W + dup(b, N×3)")
    assert repr(kb.grad(loss, U)) == text
    assert repr(kb.grad(loss, W)) == f"X.T @ ({text})"
    at = {**AT, w: np.array([[0.5], [2.0]])}
    soft = {**at, T: np.array([[0.2, 0.5, 0.3], [0.0, 1.0, 0.0]])}
    for given in (at, soft):
        found = kb.evaluate(kb.grad(loss, W), given)
        np.testing.assert_allclose(found, slopes(loss, W, given), rtol=1e-8, atol=1e-10)


def test_soft_targets_need_rows_that_sum_to_one() -> None:
    """(Y - T)/N holds for such rows only, and the run says so instead of being wrong."""
    off = {**AT, T: np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])}
    for output in (L, kb.grad(L, W), kb.simplify(L)):
        with pytest.raises(kb.errors.DataError, match="Row 0 of the targets sums to 2"):
            kb.evaluate(output, off)


@pytest.mark.parametrize(
    "loss",
    [kb.cross_entropy(Y, T), kb.binary_cross_entropy(kb.sigmoid(U), T)],
    ids=["softmax", "sigmoid"],
)
@pytest.mark.filterwarnings("error")
def test_scores_of_a_thousand_stay_finite(loss: Expr) -> None:
    at = {**AT, W: 1000 * np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, -1.0]])}
    value, slope = kb.evaluate([loss, kb.grad(loss, W)], at)
    assert np.isfinite(value).all()
    assert np.isfinite(slope).all()
    assert value[0, 0] > 100


# ---------------------------------------------------------------- any output, any node


def test_upstream_weighs_the_outputs() -> None:
    above = kb.input("G", ("N", 3))
    at = {**AT, above: np.array([[1.0, -2.0, 0.5], [0.0, 3.0, 1.0]])}
    direct = kb.grad(Y, W, upstream=above)
    through = kb.grad(kb.sum(above * Y), W)
    np.testing.assert_allclose(
        *(kb.evaluate(g, at) for g in (direct, through)), rtol=1e-14, atol=1e-16
    )


def test_jacobian_row_by_row() -> None:
    """The rows of softmax's Jacobian: diag(y) - yᵀy."""
    u = kb.parameter("u", (1, 4))
    y = kb.softmax(u)
    at = {u: np.array([[0.1, -0.4, 0.9, 0.0]])}
    rows = [kb.grad(y, u, upstream=kb.constant([row])) for row in np.eye(4).tolist()]
    value = kb.evaluate(y, at)
    np.testing.assert_allclose(
        np.vstack(kb.evaluate(rows, at)), np.diag(value[0]) - value.T @ value, atol=1e-15
    )


def test_what_does_not_matter_has_gradient_zero() -> None:
    other = kb.parameter("other", ("N", 2))
    assert kb.grad(L, other) is kb.zeros(("N", 2))
    assert kb.grad(kb.sum(kb.step(X)), X) is kb.zeros(("N", 2))
    assert kb.grad(kb.sum(kb.sign(X) + 1), X) is kb.zeros(("N", 2))
    assert kb.grad(L, other, by_use=True) == []
    assert kb.grad(L, []) == []


def test_the_output_itself() -> None:
    assert kb.grad(L, L) is kb.constant(1.0)
    assert kb.grad(L, [W, L, W])[0] is kb.grad(L, W)


def test_only_the_nodes_between_are_worked_on() -> None:
    """The gradient by the last weight does not go through the layers before it."""
    h: Expr = X
    for k in range(20):
        h = kb.tanh(h @ kb.parameter(f"W{k}", (2, 2)))
    last = kb.parameter("last", (2, 3))
    g = kb.grad(kb.mse(h @ last, T), last, simplify=False)
    backward = set(order([g])) - set(order([h @ last]))
    assert sum(n.op is not None and n.op.name == "matmul" for n in backward) == 1


ERRORS = {
    "not one number": (lambda: kb.grad(Y, W), ShapeError, "N×3, not a single number"),
    "upstream's shape": (
        lambda: kb.grad(Y, W, upstream=b),
        ShapeError,
        "upstream is 1×3; it needs the output's shape, N×3.",
    ),
    "upstream's kind": (
        lambda: kb.grad(Y, W, upstream=AT[b]),  # type: ignore[call-overload]
        ExpressionError,
        "upstream is an expression, not array",
    ),
    "by a name": (
        lambda: kb.grad(L, "W"),  # type: ignore[call-overload]
        ExpressionError,
        "taken by is an expression, not 'W'",
    ),
    "by a number": (
        lambda: kb.grad(L, 3),  # type: ignore[call-overload]
        ExpressionError,
        "taken by is an expression, not 3",
    ),
    "by names": (
        lambda: kb.grad(L, [W, "b"]),  # type: ignore[list-item]
        ExpressionError,
        "not 'b'",
    ),
    "of a number": (
        lambda: kb.grad(3.0, W),  # type: ignore[call-overload]
        ExpressionError,
        "taken of is an expression, not 3.0",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_wrong_input_is_refused(name: str) -> None:
    make, error, message = ERRORS[name]
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


# ---------------------------------------------------------------- second order


def network(kind: str) -> tuple[Expr, Symbol, dict[Symbol, Array]]:
    """A loss, a weight to differentiate twice by, and values."""
    rng = np.random.default_rng(5)
    W1, W2 = kb.parameter("W1", (2, 4)), kb.parameter("W2", (4, 3))
    at = {**AT, W1: rng.normal(size=(2, 4)), W2: rng.normal(size=(4, 3))}
    hidden = {
        "tanh": kb.tanh,
        "gelu": kb.gelu,
        "mish": kb.mish,
        "layer_norm": lambda u: kb.layer_norm(u, 1, 0, epsilon=0.1),
        "batch_norm": lambda u: kb.batch_norm(u, 1, 0, epsilon=0.1),
        "relu": kb.relu,
        "softmax": kb.softmax,
    }[kind]
    return kb.softmax_cross_entropy(hidden(X @ W1) @ W2, T) + 0.1 * kb.l2(W1), W1, at


KINDS = ["tanh", "gelu", "mish", "layer_norm", "batch_norm", "relu", "softmax"]


@pytest.mark.parametrize("kind", KINDS)
def test_hessian_vector_products_against_differences(kind: str) -> None:
    loss, weight, at = network(kind)
    direction = np.random.default_rng(9).normal(size=(2, 4))
    first = kb.grad(loss, weight)
    product = kb.grad(kb.sum(first * direction), weight)
    program = Program([kb.grad(loss, weight, simplify=False)])

    def slope(step: float) -> Array:
        return program({**at, weight: at[weight] + step * direction})[0]

    h = 1e-3
    expected = (8 * (slope(h) - slope(-h)) - slope(2 * h) + slope(-2 * h)) / (12 * h)
    np.testing.assert_allclose(kb.evaluate(product, at), expected, rtol=1e-7, atol=1e-9)


def test_a_hessian_is_symmetric() -> None:
    loss, weight, at = network("tanh")
    first = kb.grad(loss, weight)
    basis = np.eye(8).reshape(8, 2, 4)
    rows = [kb.grad(kb.sum(first * e), weight) for e in basis]
    hessian = np.array(kb.evaluate(rows, at)).reshape(8, 8)
    np.testing.assert_allclose(hessian, hessian.T, atol=1e-14)
    assert abs(hessian).min() > 0


def test_third_order() -> None:
    x = kb.parameter("x", (1, 1))
    y: Expr = kb.exp(kb.sin(x))
    for _ in range(3):
        y = kb.grad(y, x)
    v = 0.6
    s, c = np.sin(v), np.cos(v)
    expected = np.exp(s) * (c**3 - 3 * s * c - c)
    np.testing.assert_allclose(kb.evaluate(y, {x: v})[0, 0], expected, rtol=1e-13)


def test_squares_have_second_derivatives_at_zero() -> None:
    x = kb.parameter("x", (1, 1))
    for exponent, expected in ((0, 0.0), (1, 0.0), (2, 2.0), (3, 0.0)):
        second = kb.grad(kb.grad(x**exponent, x, simplify=False), x, simplify=False)
        assert kb.evaluate(second, {x: 0.0}, simplify=False)[0, 0] == expected


# ---------------------------------------------------------------- depth


def deep_net(layers: int, residual: bool = False) -> tuple[Expr, list[Symbol]]:
    h: Expr = kb.input("X", ("N", 3))
    parameters: list[Symbol] = []
    for k in range(layers):
        weight, bias = kb.parameter(f"W{k}", (3, 3)), kb.parameter(f"b{k}", (1, 3))
        parameters += [weight, bias]
        inner = kb.relu(h @ weight + bias)
        h = h + inner if residual else inner
    return kb.softmax_cross_entropy(h, T), parameters


class Counter:
    """Counts the calls of a function it stands in for."""

    def __init__(self, function: Any) -> None:
        self.function, self.calls = function, 0

    def __call__(self, *args: Any, **attrs: Any) -> Any:
        self.calls += 1
        return self.function(*args, **attrs)


@pytest.mark.parametrize("residual", [False, True], ids=["chain", "residual"])
def test_work_grows_with_the_depth_only(
    residual: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules, nodes made and rewrites tried, a layer: the same at every depth."""
    from kokuban import expr, rewrite

    made = Counter(expr._intern)
    monkeypatch.setattr(expr, "_intern", made)
    tried = Counter(rewrite._product)
    monkeypatch.setattr(rewrite, "_product", tried)
    settled = Counter(rewrite._changed)
    monkeypatch.setattr(rewrite, "_changed", settled)
    counts = []
    for layers in (50, 100, 200, 400):
        loss, parameters = deep_net(layers, residual)
        made.calls = tried.calls = settled.calls = 0
        gradients = kb.grad(loss, parameters)
        size = len(order(gradients))
        counts.append([made.calls, tried.calls, settled.calls, size])
    growth = np.diff(np.array(counts), axis=0) / np.array([[50], [100], [200]])
    # the first difference is the work of a layer: it must not grow with the depth
    np.testing.assert_allclose(growth[1:], growth[:1].repeat(2, axis=0), rtol=0.05)


def test_a_chain_of_5000_operations() -> None:
    x = kb.parameter("x", (1, 2))
    y: Expr = x
    for _ in range(5000):
        y = kb.sin(y)
    at = {x: np.array([[0.5, -1.0]])}
    loss = kb.sum(y)
    slope = kb.grad(loss, x)
    assert kb.simplify(slope) is slope
    value, found = kb.evaluate([loss, slope], at)
    v, expected = at[x], np.ones((1, 2))
    for _ in range(5000):
        v, expected = np.sin(v), expected * np.cos(v)
    np.testing.assert_allclose(value, v.sum(keepdims=True), rtol=1e-12)
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    assert len(repr(slope)) <= 400


@pytest.mark.parametrize("sign", ["+", "-", "*", "/"])
def test_chains_of_5000_terms_or_factors(sign: str) -> None:
    """Sums and products are flattened a bounded number of parts at a time."""
    x, s = kb.parameter("x", (1, 2)), kb.parameter("s", (1, 1))
    y: Expr = kb.sin(x)
    for k in range(5000):
        part = kb.tanh(x + 1e-4 * k) if k % 7 else kb.broadcast(s, (1, 2))
        y = {
            "+": lambda a, b: a + b,
            "-": lambda a, b: a - b,
            "*": lambda a, b: a * b,
            "/": lambda a, b: a / b,
        }[sign](y, part)
    simple = kb.simplify(y)
    assert kb.simplify(simple) is simple
    at = {x: np.array([[0.9, -0.3]]), s: 1.01}
    if sign in "+-":
        before, after = (kb.evaluate(e, at, simplify=False) for e in (y, simple))
        np.testing.assert_allclose(after, before, rtol=1e-11)


def test_a_parameter_used_1000_times() -> None:
    x = kb.parameter("x", (1, 1))
    y: Expr = kb.constant(0.0)
    for k in range(1000):
        y = kb.tanh(y * 0.5 + x) if k % 2 else kb.sin(y + x)
    found = kb.evaluate(kb.grad(y, x), {x: 0.3})
    np.testing.assert_allclose(found, slopes(y, x, {x: np.array([[0.3]])}), rtol=1e-8)


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("tied", [False, True], ids=["free", "tied"])
@pytest.mark.parametrize("layers", [1, 5, 700])
def test_linear_layers_cost_no_second_products(layers: int, tied: bool) -> None:
    """The transpose of a layer's output is taken, not worked out again."""
    h: Expr = X
    weights = [kb.parameter(f"W{k}", (2, 2)) for k in range(layers)]
    for weight in weights:
        h = h @ weight
    for weight in weights[::-1] if tied else ():
        h = h @ weight.T
    gradients = kb.grad(kb.mse(h, X), weights)
    products = [n for n in order(gradients) if n.op and n.op.name == "matmul"]
    # forward, the gradient by the weight, and by the input of all layers but the first
    assert len(products) == 3 * len(weights) * (1 + tied) - 1


NETS = ["layer_norm", "batch_norm", "gelu", "mish", "silu", "elu", "selu", "softmax"]
LOSSES = ["mse", "softmax_cross_entropy", "sigmoid_cross_entropy", "huber", "poisson"]


def operations_of(outputs: list[Expr]) -> int:
    """How many operations a run computes; copies are left to the arithmetic."""
    return len([n for n in order(outputs) if n.op and n.op.name != "broadcast"])


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("kind", NETS)
def test_simplifying_never_makes_a_net_larger(kind: str, loss: str) -> None:
    W1, W2 = kb.parameter("W1", (2, 5)), kb.parameter("W2", (5, 3))
    parameters: list[Expr] = [W1, W2]
    function = getattr(ops, kind)
    u: Expr = X @ W1
    if kind.endswith("norm"):
        scale, shift = kb.parameter("scale", (1, 5)), kb.parameter("shift", (1, 5))
        u, parameters = kb.tanh(function(u, scale, shift)), [*parameters, scale, shift]
    else:
        u = function(u)
    total = getattr(ops, loss)(u @ W2 + b, T)
    plain = kb.grad(total, parameters, simplify=False)
    second = kb.grad(kb.sum(plain[0] ** 2), parameters, simplify=False)
    for outputs in ([total, *plain], second):
        simple = gradient_module.simplify_all(outputs)
        assert operations_of(simple) <= operations_of(outputs)
        assert operations_of(simple) > 10
