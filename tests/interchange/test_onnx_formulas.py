"""Every operation and every composite gives in onnxruntime what it gives here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_every_op import CASES, Case

import kokuban as kb
from kokuban.errors import DataError, ExpressionError, InterchangeError, ShapeError
from kokuban.expr import order, substitute, symbol
from kokuban.interchange.export import onnx_bytes
from kokuban.interchange.operations import REFUSED, ROWS
from kokuban.op import operations

DTYPES = [np.float32, np.float64]
X = kb.input("X", ("N", 3))

# The values' type is the run's; without values it is float64.
OF_TYPE: dict[Any, Any] = {
    np.float32: {kb.input("Z", (1, 1)): np.zeros((1, 1), np.float32)},
    np.float64: None,
}


def is_refused(case: Case) -> bool:
    return any(
        n.op is not None and n.op.name in REFUSED for n in order([case.expression])
    )


EXPORTED = [case for case in CASES if not is_refused(case)]


def test_every_operation_has_a_row_or_a_reason() -> None:
    assert {op.name for op in operations()} == set(ROWS) | set(REFUSED)
    assert set(ROWS) & set(REFUSED) == set()


def as_inputs(case: Case) -> Any:
    """The case's formula with an input for each of its symbols."""
    (formula,) = substitute(
        [case.expression], {s: kb.input(s.name, s.shape) for s in case.at}
    )
    return formula


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", EXPORTED, ids=str)
def test_a_sample_gives_the_same(case: Case, dtype: Any, through_onnx: Any) -> None:
    given = {s.name: a.astype(dtype) for s, a in case.at.items()}
    found = through_onnx(as_inputs(case), given, OF_TYPE[dtype])["value"]
    assert found.dtype == dtype
    assert found.shape == case.expression.shape
    expected = case.oracle(case.at)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    if dtype == np.float64 and "erf" not in case.name and "gelu" not in case.name:
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", EXPORTED, ids=str)
def test_a_sample_kept_in_the_file_gives_the_same(case: Case, through_onnx: Any) -> None:
    found = through_onnx(case.expression, {}, case.at)["value"]
    np.testing.assert_allclose(found, case.oracle(case.at), rtol=1e-5, atol=1e-6)


Y, W = kb.input("Y", ("N", 3)), kb.input("W", (3, "M"))
NAMED = {
    "size": kb.sum(X) / kb.ops.mean(kb.ops.ones(("N", 1))) / 1.0,
    "mean": kb.mean(X, over="rows"),
    "broadcast to named": kb.broadcast(kb.mean(X, over="rows"), ("N", 3)),
    "broadcast both": kb.broadcast(kb.sum(X), ("N", 3)),
    "alone": kb.ops.ones(("N", 3)) @ X.T,
    "two names": X @ W,
    "transposed": (X @ W).T @ Y,
    "softmax": kb.softmax(X @ W),
    "log_softmax": kb.log_softmax(X @ W),
    "row_max": kb.row_max(X) + kb.logsumexp(Y),
    "columns": X[:, 1:3] @ Y[:, 0:2].T,
    "rows": X[0:2, :] * 2.0,
    "join": kb.join(X, Y, kb.tanh(X)),
    "gradient": kb.grad(kb.sum(kb.softmax(X @ W) ** 2), W),
    "gradient of rows": kb.grad(kb.sum(X[1:2, :] ** 3), X),
    "mse": kb.mse(X, Y),
    "distribution": kb.softmax(X) * kb.distribution(kb.softmax(Y)),
    "the input itself": X,
    "a number": kb.constant(2.0) * kb.ops.ones((1, 1)),
}


@pytest.mark.parametrize("rows", [2, 7])
@pytest.mark.parametrize("name", NAMED)
def test_named_dimensions_have_any_size(name: str, rows: int, through_onnx: Any) -> None:
    rng = np.random.default_rng(rows)
    formula, shapes = NAMED[name], {"X": (rows, 3), "Y": (rows, 3), "W": (3, rows + 2)}
    wanted = {s.name for s in kb.expr.symbols([formula])}
    given = {n: rng.normal(size=shapes[n]) for n in wanted}
    found = through_onnx(formula, given)["value"]
    np.testing.assert_allclose(found, kb.evaluate(formula, given), rtol=1e-12, atol=1e-13)


def test_values_tell_a_dimension_too(through_onnx: Any) -> None:
    w = kb.parameter("W", ("D", 2))
    formula = kb.sum(w) / kb.expr.size("D") + kb.ops.zeros(("D", 1))
    value = np.arange(8.0).reshape(4, 2)
    found = through_onnx(formula, {}, {w: value})["value"]
    np.testing.assert_array_equal(found, np.full((4, 1), 7.0))


def test_names_that_the_graph_has_already(through_onnx: Any) -> None:
    x, w = kb.input("value", ("N", 2)), kb.parameter("MatMul_1", (2, 2))
    b = kb.parameter("constant", (1, 2))
    at = {"value": np.ones((3, 2))}
    values = {w: np.eye(2), b: np.ones((1, 2))}
    found = through_onnx((x @ w) * 2.0 + b, at, values)
    assert list(found) == ["value_2"]
    np.testing.assert_array_equal(found["value_2"], np.full((3, 2), 3.0))


@pytest.mark.parametrize("dtype", DTYPES)
def test_small_and_large_numbers(dtype: Any, through_onnx: Any) -> None:
    x = kb.input("X", (1, 9))
    z = OF_TYPE[dtype]
    at = np.array([[-1e30, -100, -40, -1e-6, 0, 1e-6, 40, 80, 1e30]], dtype)
    for f in (
        kb.sigmoid,
        kb.softplus,
        kb.tanh,
        kb.softmax,
        kb.logsumexp,
        kb.elu,
        kb.silu,
    ):
        found = through_onnx(f(x), {"X": at}, z)["value"]
        expected = kb.evaluate(f(x), {x: at.astype(np.float64)})
        np.testing.assert_allclose(found, expected, rtol=2e-6, atol=2e-7)
    small = through_onnx(kb.expm1(x), {"X": at[:, :8] @ np.eye(8, 9, dtype=dtype)}, z)
    assert small["value"][0, 5] == pytest.approx(1e-6, rel=1e-5)


def test_a_mask_is_refused_by_name() -> None:
    draw = symbol("draw", (1, 2), "counter")
    with pytest.raises(InterchangeError, match="'dropout_mask': its numbers are drawn"):
        onnx_bytes(X * kb.dropout_mask(draw, 0.5, ("N", 3)))


def test_wrong_values_are_told() -> None:
    w = kb.parameter("W", (3, 2))
    with pytest.raises(DataError, match="lacks W"):
        onnx_bytes(X @ w)
    with pytest.raises(ShapeError, match="W is 3×2; its value is 2×3"):
        onnx_bytes(X @ w, {w: np.ones((2, 3))})
    with pytest.raises(ShapeError, match="'K' is not known"):
        onnx_bytes(kb.ops.ones(("K", 2)))
    with pytest.raises(kb.errors.UnknownNameError, match="'V'"):
        onnx_bytes(X @ w, {"V": np.ones((3, 2))})
    with pytest.raises(kb.errors.SettingError, match="float32 or float64, not float16"):
        onnx_bytes(X @ w, {w: np.ones((3, 2), np.float16)})
    twice = X @ w + kb.parameter("X", (1, 2))
    with pytest.raises(ExpressionError, match="Two symbols are called 'X'"):
        onnx_bytes(twice, {w: np.ones((3, 2))})
