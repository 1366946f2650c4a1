"""The reference run: values in, values out, and what it refuses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import array_api_strict
import numpy as np
import pytest

import kokuban as kb
from kokuban.errors import (
    DataError,
    ExpressionError,
    KokubanError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from kokuban.expr import order, size, symbol
from kokuban.op import operation
from kokuban.run import Program

X, W = kb.input("X", ("N", 2)), kb.parameter("W", (2, 3))
b, s = kb.parameter("b", (1, 3)), kb.parameter("s", (1, 1))
x = np.array([[1.0, 0.0], [2.0, 1.0]])
w = np.array([[0.5, -0.5, 0.0], [0.0, 0.5, 0.5]])
Y = X @ W

# ---------------------------------------------------------------- values


def test_values_by_symbol_or_name_and_of_many_kinds() -> None:
    import pandas as pd
    import polars as pl

    expected = x @ w
    for given in (
        x,
        x.tolist(),
        pd.DataFrame(x),
        pl.DataFrame(x),
        x.astype(int),
        x > 0.5,
    ):
        found = kb.evaluate(Y, {"X": given, W: w})
        np.testing.assert_array_equal(found, np.asarray(given, dtype=float) @ w)
        assert found.dtype == np.float64
    np.testing.assert_array_equal(kb.evaluate(Y, {X: x.view(np.matrix), W: w}), expected)
    np.testing.assert_array_equal(kb.evaluate(X * s, {X: x, s: 3}), 3 * x)
    np.testing.assert_array_equal(kb.evaluate(X * s, {X: x, "s": np.float64(3)}), 3 * x)


def test_symbols_that_the_expression_does_not_have_give_their_sizes() -> None:
    np.testing.assert_array_equal(kb.evaluate(Y, {X: x, W: w, b: [[1, 2, 3]]}), x @ w)
    np.testing.assert_array_equal(kb.evaluate(X - X, {X: x}), np.zeros((2, 2)))
    gradient = kb.grad(kb.sum(X), X)
    np.testing.assert_array_equal(kb.evaluate(gradient, {X: x}), np.ones((2, 2)))
    with pytest.raises(ShapeError, match="N = 2 elsewhere"):
        kb.evaluate(Y, {X: x, W: w, kb.input("Z", ("N", 1)): [[1]]})


def test_several_outputs_at_once() -> None:
    y, x_again, five = kb.evaluate([Y, X, kb.constant(5)], {X: x, W: w})
    np.testing.assert_array_equal(y, x @ w)
    np.testing.assert_array_equal(x_again, x)
    np.testing.assert_array_equal(five, [[5]])
    assert kb.evaluate([], {}) == []


def test_sizes_come_from_values_or_are_given() -> None:
    ones = kb.ones(("N", 2)) * size("N")
    np.testing.assert_array_equal(
        kb.evaluate(ones, {}, sizes={"N": 3}), np.full((3, 2), 3.0)
    )
    np.testing.assert_array_equal(kb.evaluate(kb.sum(X) / size("N"), {X: x}), [[2.0]])
    placed = kb.grad(kb.sum(X[:2, :]), X)
    big = np.arange(10.0).reshape(5, 2)
    expected = np.array([[1.0, 1.0]] * 2 + [[0.0, 0.0]] * 3)
    np.testing.assert_array_equal(kb.evaluate(placed, {X: big}, sizes={"N": 5}), expected)


TYPES: list[tuple[dict[str, Any], Any, str]] = [
    ({"X": x, "W": w}, None, "float64"),
    ({"X": x.astype("f4"), "W": w.astype("f4")}, None, "float32"),
    ({"X": x.astype("f4"), "W": w}, None, "float64"),
    ({"X": x.astype("i8"), "W": w.astype("f4")}, None, "float32"),
    ({"X": x.astype("i8"), "W": w.astype("i8")}, None, "float64"),
    ({"X": x.tolist(), "W": w.astype("f4")}, None, "float32"),
    ({"X": x, "W": w}, np.float32, "float32"),
    ({"X": x, "W": w}, "float32", "float32"),
    ({"X": x.astype("f4"), "W": w}, np.dtype("f8"), "float64"),
    ({"X": x.astype(complex), "W": w}, None, "complex128"),
]


@pytest.mark.parametrize(("given", "dtype", "expected"), TYPES, ids=str)
def test_the_type_of_the_run(given: dict[Any, Any], dtype: Any, expected: str) -> None:
    given = {X: given["X"], W: given["W"]}
    for output in (Y, Y * 2 + size("N"), X, kb.sum(Y), kb.ones((2, 2)) * kb.sum(Y)):
        assert str(kb.evaluate(output, given, dtype=dtype).dtype) == expected


def test_results_own_their_memory() -> None:
    given = {X: x.copy(), W: w}
    outputs = [X, X.T, X[:1, :], kb.broadcast(s, (2, 2)), kb.distribution(X / 1), 2 * X]
    given_t = {**given, s: np.ones((1, 1)), X: np.array([[0.5, 0.5], [1.0, 0.0]])}
    before = given_t[X].copy()
    for result in kb.evaluate(outputs, given_t):
        assert result.flags.writeable
        result += 1
    np.testing.assert_array_equal(given_t[X], before)


def test_the_stable_form_is_what_runs() -> None:
    u, t = kb.input("U", ("N", 3)), kb.target("T", ("N", 3))
    scores = np.array([[1000.0, -1000.0, 0.0], [-1000.0, 0.0, 1000.0]])
    one_hot = np.eye(3)[[1, 2]]
    loss = kb.cross_entropy(kb.softmax(u), t)
    assert kb.evaluate(loss, {u: scores, t: one_hot})[0, 0] == 1000.0
    with np.errstate(all="ignore"):
        as_it_stands = kb.evaluate(loss, {u: scores, t: one_hot}, simplify=False)
    assert not np.isfinite(as_it_stands).all()


def test_rows_that_must_be_distributions() -> None:
    t = kb.target("T", ("N", 2))
    mark = kb.distribution(t)
    good = [[1, 0], [0.3, 0.7], [1 / 3, 0.666667]]
    np.testing.assert_array_equal(kb.evaluate(mark, {t: good}), good)
    for row in ([0.3, 0.6], [1, 1], [np.nan, 1], [0, 0]):
        with pytest.raises(DataError, match=r"Row 1 of the targets sums to .*sums to 1"):
            kb.evaluate(mark, {t: [[1, 0], row]})
    rounded = np.full((1, 2), 0.4999, dtype=np.float32)
    kb.evaluate(mark, {t: rounded})  # float32 is held to three digits
    with pytest.raises(DataError):
        kb.evaluate(mark, {t: rounded.astype(np.float64)})


def test_arrays_of_another_namespace_stay_there() -> None:
    given = {X: array_api_strict.asarray(x), W: w, s: 2.0}
    found = kb.evaluate(X @ W * s, given)
    assert type(found) is type(given[X])
    np.testing.assert_array_equal(np.asarray(found), 2 * (x @ w))


# ---------------------------------------------------------------- programs


def test_a_program_runs_many_times() -> None:
    program = Program([Y, kb.sum(Y)])
    assert program.symbols == [X, W]
    for k in (1.0, 2.0):
        y, total = program({X: k * x, W: w})
        np.testing.assert_array_equal(y, k * x @ w)
        assert total[0, 0] == y.sum()


@contextmanager
def run_by(name: str, numpy: Callable[..., Any]) -> Iterator[None]:
    """The operation computed by another function meanwhile."""
    op = operation(name)
    usual = op.numpy
    object.__setattr__(op, "numpy", numpy)
    try:
        yield
    finally:
        object.__setattr__(op, "numpy", usual)


def test_a_program_computes_common_parts_once_and_lets_go() -> None:
    products: list[weakref.ref[Any]] = []
    alive_at_the_end: list[Any] = []

    def product(xp: Any, a: Any, b: Any) -> Any:
        result = np.matmul(a, b)
        products.append(weakref.ref(result))
        return result

    def total(xp: Any, a: Any, over: str) -> Any:
        alive_at_the_end.extend(r() for r in products)
        return np.sum(a, keepdims=True)

    y = X @ W
    program = Program([kb.sum(kb.exp(kb.tanh(y) + y))])
    with run_by("matmul", product), run_by("sum", total):
        program({X: x, W: w})
    assert len(products) == 1
    assert alive_at_the_end == [None]


def test_copies_are_left_to_the_arithmetic() -> None:
    y = kb.tanh(X @ W + b) * s
    program = Program([y])
    names = [step.node.op.name for step in program._steps if step.node.op]
    assert names == ["matmul", "add", "tanh", "multiply"]
    assert [n.op.name for n in order([y]) if n.op].count("broadcast") == 2
    # but made where something else needs them at full size
    full = kb.broadcast(b, ("N", 3))
    both = Program([X @ W + full, kb.exp(full)])
    assert [st.node.op.name for st in both._steps if st.node.op].count("broadcast") == 1
    given = {X: x, W: w, b: np.array([[1.0, 2.0, 3.0]])}
    first, second = both(given)
    np.testing.assert_array_equal(first, x @ w + given[b])
    np.testing.assert_array_equal(second, np.exp(np.tile(given[b], (2, 1))))


def test_a_row_and_a_column_give_the_full_matrix() -> None:
    c = kb.input("c", ("N", 1))
    value = kb.evaluate(b + c, {b: [[1, 2, 3]], c: [[10], [20]]})
    np.testing.assert_array_equal(value, [[11, 12, 13], [21, 22, 23]])


# ---------------------------------------------------------------- wrong input

draw = symbol("draw", (1, 2), "counter")
WRONG: dict[str, tuple[Callable[[], Any], type[KokubanError], str]] = {
    "missing": (
        lambda: kb.evaluate(Y, {X: x}),
        DataError,
        "No value is given for 'W'; given: X.",
    ),
    "all missing": (lambda: kb.evaluate(Y, {}), DataError, "given: none"),
    "unknown name": (
        lambda: kb.evaluate(kb.parameter("weights", (1, 1)), {"wieghts": 1}),
        UnknownNameError,
        "Unknown symbol 'wieghts'. Did you mean 'weights'?",
    ),
    "strange key": (lambda: kb.evaluate(Y, {3: x}), UnknownNameError, "Unknown symbol 3"),  # type: ignore[dict-item]
    "given twice": (
        lambda: kb.evaluate(X, {X: x, "X": x}),
        DataError,
        "'X' is given twice, by symbol and by name",
    ),
    "two of one name": (
        lambda: kb.evaluate(X @ kb.parameter("X", (2, 2)), {"X": x}),
        ExpressionError,
        "Two symbols are called 'X' (input N×2, parameter 2×2)",
    ),
    "columns": (
        lambda: kb.evaluate(Y, {X: np.ones((4, 3)), W: w}),
        ShapeError,
        "X is N×2; its value is 4×3.",
    ),
    "two sizes": (
        lambda: kb.evaluate(X - kb.input("Z", ("N", 2)), {X: x, "Z": np.ones((3, 2))}),
        ShapeError,
        "Z is N×2; its value is 3×2 (N = 2 elsewhere).",
    ),
    "size given and other": (
        lambda: kb.evaluate(X, {X: x}, sizes={"N": 3}),
        ShapeError,
        "its value is 2×2 (N = 3 elsewhere)",
    ),
    "a row as a list": (
        lambda: kb.evaluate(b, {b: [1, 2, 3]}),
        ShapeError,
        "b is 1×3, a matrix; its value has 1 dimensions (shape (3,)). Reshape it to two",
    ),
    "three dims": (
        lambda: kb.evaluate(X, {X: np.ones((2, 2, 2))}),
        ShapeError,
        "3 dimensions",
    ),
    "a number": (lambda: kb.evaluate(b, {b: 3.0}), ShapeError, "0 dimensions"),
    "no rows": (
        lambda: kb.evaluate(kb.sum(X), {X: np.ones((0, 2))}),
        ShapeError,
        "X is N×2; its value is empty, 0×2",
    ),
    "size unknown": (
        lambda: kb.evaluate(kb.ones(("N", 1)), {}),
        ShapeError,
        "The size of dimension 'N' is not known",
    ),
    "size 0": (
        lambda: kb.evaluate(kb.ones(("N", 1)), {}, sizes={"N": 0}),
        ShapeError,
        "at least 1, not 0",
    ),
    "size of a name": (
        lambda: kb.evaluate(kb.ones(("N", 1)), {}, sizes={"N": "M"}),  # type: ignore[dict-item]
        ShapeError,
        "The size of dimension 'M' is not known",
    ),
    "text": (
        lambda: kb.evaluate(s, {s: [["3"]]}),
        DataError,
        "The value of 's' is not a matrix of numbers: [['3']].",
    ),
    "objects": (
        lambda: kb.evaluate(s, {s: [[None]]}),
        DataError,
        "not a matrix of numbers",
    ),
    "dates": (
        lambda: kb.evaluate(s, {s: np.array([["2020-01-01"]], dtype="M8[D]")}),
        DataError,
        "not a matrix of numbers",
    ),
    "ragged": (lambda: kb.evaluate(X, {X: [[1, 2], [3]]}), DataError, "not a matrix"),
    "an expression": (
        lambda: kb.evaluate(X, {X: W}),
        DataError,
        "not a matrix of numbers: W",
    ),
    "complex in a real run": (
        lambda: kb.evaluate(s, {s: [[1j]]}, dtype=np.float64),
        DataError,
        "The value of 's' is complex; the run is in float64.",
    ),
    "integer run": (lambda: kb.evaluate(s, {s: 1}, dtype=int), SettingError, "not int64"),
    "no expression": (
        lambda: kb.evaluate([x], {}),
        ExpressionError,
        "What is evaluated is",
    ),  # type: ignore[list-item]
    "block beyond the data": (
        lambda: kb.evaluate(X[0:3, :], {X: x}),
        ShapeError,
        "There are no rows 0:3 in a value of 2 rows.",
    ),
    "place beyond the data": (
        lambda: kb.evaluate(kb.grad(kb.sum(X[3:5, :]), X), {X: x}),
        ShapeError,
        "2 rows at 3 do not fit into 2 rows",
    ),
    "half a draw": (
        lambda: kb.evaluate(kb.dropout_mask(draw, 0.5, (2, 2)), {draw: [[1, 0.5]]}),
        DataError,
        "whole numbers from 0, not 0.5",
    ),
    "a negative seed": (
        lambda: kb.evaluate(kb.dropout_mask(draw, 0.5, (2, 2)), {draw: [[-1, 0]]}),
        DataError,
        "whole numbers from 0, not -1",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused(name: str) -> None:
    make, error, message = WRONG[name]
    with pytest.raises(error) as caught:
        make()
    assert type(caught.value) is error
    assert message in str(caught.value)
