"""Equality: any algebraic form of the right formula, and no other."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import AT, ATOMS, Instruction, algebra, algebraic, starts, steady
from hypothesis import assume, given, settings, strategies as st

import kokuban as kb
from kokuban.errors import DataError, ExpressionError
from kokuban.expr import Expr, order, rebuild, symbol
from kokuban.formula import Comparison, board, compare, parse

BOARD = board("""
X: N x 4
T: N x 3
W: 4 x 3
b: 1 x 3
V: 3 x 3
A, B: N x 3
s, t: 1 x 1
U = X W + b
Y = softmax(U)
L = cross_entropy(Y, T)
D = (Y - T) / N
""")


def are(one: str, other: str) -> Comparison:
    return compare(parse(one, BOARD), parse(other, BOARD))


EQUAL = [  # and how that is seen
    ("X W", "(W^T X^T)^T", "identity exact"),
    ("A + B", "B + A", "identity exact"),
    ("(A + B)^2", "A^2 + 2 A ⊙ B + B^2", "exact"),
    ("(A + B) V", "A V + B V", "identity exact"),
    ("A ⊙ (B / s)", "A ⊙ B / s", "identity exact"),
    ("A / B", "A ⊙ B^-1", "identity exact"),
    ("1/s + 1/t", "(s + t)/(s t)", "exact"),
    ("Σ A", "1^T A [[1], [1], [1]]", "exact"),
    ("Σ A ⊙ B", "Σ Σ_columns B ⊙ A", "identity exact"),
    ("mean(A)", "Σ A / (3 N)", "identity exact"),
    ("mse(A, B)", "1/(3N) Σ (B - A)²", "exact"),
    ("0.1 A + 0.2 A", "0.3 A", "identity exact numbers"),
    ("A / 10", "0.1 A", "identity exact"),
    ("A / 3", "A ⊙ 0.3333333333333333", "numbers"),
    ("0.1 (3 A)", "0.3 A", "identity exact numbers"),
    ("exp(A + B)", "exp(A) ⊙ exp(B)", "numbers"),
    ("ln(A^2)", "2 ln|A|", "numbers"),
    ("sqrt(A)^2", "A", "identity exact numbers"),
    ("σ(A)", "1/(1 + e^{-A})", "identity numbers"),
    ("σ(A)", "½ (1 + tanh(A/2))", "numbers"),
    ("σ'(A)", "σ(A) ⊙ (1 - σ(A))", "identity numbers"),
    ("tanh'(A)", "1 - tanh(A)^2", "identity numbers"),
    ("relu(A)", "max(A, 0)", "identity numbers"),
    ("relu(A)", "(A + |A|)/2", "numbers"),
    ("softmax(A)", "softmax(A - row_max(A))", "identity numbers"),
    ("softmax(A)", "e^A / Σ_columns e^A", "identity numbers"),
    ("L", "-1/N Σ T ⊙ ln Y", "identity numbers"),
    ("X^T (Y - T) / N", "X^T D", "identity numbers"),
    ("1^T (Y - T) / N", "mean(Y - T, over=rows)", "identity"),
    ("step(A)", "step(A, at_zero=0)", "numbers"),
    ("slice(A, axis=1, start=1, stop=3)", "A [[0, 0], [1, 0], [0, 1]]", "exact"),
    ("ones(N×3) V", "1_N (1^T V)", "identity exact"),
]


@pytest.mark.parametrize(("one", "other", "how"), EQUAL, ids=str)
def test_equal(one: str, other: str, how: str) -> None:
    for found in (are(one, other), are(other, one)):
        assert found, found.reason
        assert found.how in how.split()


DIFFERENT = [
    ("X W", "X W V", "exact"),
    ("A V", "A V^T", "exact"),
    ("A ⊙ B", "A + B", "exact"),
    ("A - B", "B - A", "exact"),
    ("A", "2 A", "exact"),
    ("A / N", "A / 3", "exact"),
    ("A / N", "A", "exact"),
    ("A / N", "N A", "exact"),
    ("Σ A / N", "mean(A)", "exact"),
    ("A^2", "A^3", "exact"),
    ("V V^T", "V^T V", "exact"),
    ("V W^T", "V^T W^T", "exact"),
    ("A", "A + 1e-6", "numbers"),
    ("A", "1.000001 A", "numbers"),
    ("0.1 A", "0.1000001 A", "numbers"),
    ("σ(A)", "tanh(A)", "numbers"),
    ("σ'(A)", "A ⊙ (1 - A)", "numbers"),
    ("σ'(A)", "1", "shape"),
    ("X^T (Y - T) / N", "X^T (Y - T)", "numbers"),
    ("X^T (Y - T) / N", "X^T (T - Y) / N", "numbers"),
    ("X^T (Y - T) / N", "(Y - T)^T X / N", "shape"),
    ("Y - T", "Y ⊙ (1 - Y)", "numbers"),
    ("relu'(A)", "1 + 0 A", "numbers"),
    ("relu(A)", "leaky_relu(A)", "numbers"),
    ("layer_norm(A, 1, 0)", "layer_norm(A, 1, 0, epsilon=1e-6)", "numbers"),
    ("huber(A, B)", "huber(A, B, delta=1.01)", "numbers"),
    ("ln A", "ln(-A)", "numbers"),
    ("dup(s, N×3)", "dup(s, 3×3)", "shape"),
    ("A^T A", "A^T A / N", "exact"),
]


@pytest.mark.parametrize(("one", "other", "how"), DIFFERENT, ids=str)
def test_different(one: str, other: str, how: str) -> None:
    for found in (are(one, other), are(other, one)):
        assert not found
        assert found.how == how
        assert found.reason


def test_the_reason_names_shapes_or_an_entry() -> None:
    assert are("X W", "W^T X^T").reason == "One is N×3, the other 3×N."
    reason = are("A V", "A V^T").reason
    assert reason.startswith("At a random point with N = 4, entry (")
    assert are("1 A", "A").reason == "Both simplify to the same formula."


def test_rows_that_sum_to_one_are_taken_into_account() -> None:
    """The gradient of cross-entropy by softmax's input is (Y - T)/N for such T only."""
    scores = kb.input("U", ("N", 3))
    t = kb.target("T", ("N", 3))
    loss = kb.cross_entropy(kb.softmax(scores), t)
    short = (kb.softmax(scores) - t) / parse("N", BOARD)
    long = parse("(Y ⊙ Σ_columns T - T) / N", {"Y": kb.softmax(scores), "T": t})
    assert compare(kb.grad(loss, scores), short)
    assert compare(kb.grad(loss, scores), long)
    assert not compare(short, long)  # where nothing says that they do
    smooth = kb.cross_entropy(kb.softmax(scores), kb.label_smoothing(t))
    gradient = (kb.softmax(scores) - kb.label_smoothing(t)) / parse("N", BOARD)
    assert compare(kb.grad(smooth, scores), gradient)


def test_dimensions_are_unequal_to_each_other_and_to_numbers() -> None:
    x, y = kb.input("x", ("N", "M")), kb.input("y", ("M", "N"))
    assert compare(kb.sum(x @ y), kb.sum(y.T @ x.T))
    n, m = parse("N", {"x": x}), parse("M", {"x": x})
    for one, other in ((n, m), (n, kb.constant(3)), (m, kb.constant(4)), (n * m, n * n)):
        assert not compare(one, other)
    for k in range(1, 40):
        assert not compare(n, kb.constant(k) + 0 * kb.sum(kb.input(f"z{k}", (k, k))))


def test_blocks_of_named_dimensions_have_room() -> None:
    x = kb.input("x", ("N", 3))
    block = x[10:40, :]
    assert compare(2 * block, block + block)
    assert not compare(block, x[11:41, :])


def test_draws_are_compared_by_their_counters() -> None:
    draw = symbol("draw", (1, 2), "counter")
    a = parse("A", BOARD)
    mask = kb.dropout_mask(draw, 0.5, ("N", 3))
    assert compare(mask * a, a * mask)
    assert not compare(mask * a, a * kb.dropout_mask(draw, 0.5, ("N", 3), stream=1))


def test_formulas_without_values_are_not_judged() -> None:
    with pytest.raises(DataError, match="no finite value at any point"):
        are("ln(-1 - A^2)", "ln(-2 - A^2)")
    found = are("A", "ln(-1 - A^2)")
    assert not found
    assert found.reason == "One has values where the other has none."


def test_what_is_too_large_is_refused() -> None:
    huge = parse("Σ tanh(dup(s, 9999999×9999999))", BOARD)
    with pytest.raises(DataError, match="can be compared"):
        compare(huge, huge * 2)


def test_only_expressions_are_compared() -> None:
    with pytest.raises(ExpressionError, match="What is compared is an expression"):
        compare(kb.constant(1), 1)  # type: ignore[arg-type]


# ---------------------------------------------------------------- random formulas


def valued(e: Expr) -> np.ndarray:
    with np.errstate(all="ignore"):
        return kb.evaluate(e, AT, sizes={"N": 4})


def shuffled(e: Expr, rng: np.random.Generator) -> Expr:
    """Another form of the same formula: factors and terms turned round, signs moved."""
    made: dict[Expr, Expr] = {}
    for node in order([e]):
        args = [made[a] for a in node.args]
        name = node.op.name if node.op else ""
        flip = bool(rng.integers(2))
        if name in ("add", "multiply") and flip:
            new = args[1] + args[0] if name == "add" else args[1] * args[0]
        elif name == "subtract" and flip:
            new = -(args[1] - args[0])
        elif name == "matmul" and flip:
            new = (args[1].T @ args[0].T).T
        elif name == "divide" and flip:
            new = args[0] * (1 / args[1])
        elif name == "negate" and flip:
            new = args[0] * -1
        elif name == "sum" and dict(node.attrs)["over"] == "all" and flip:
            new = kb.sum(kb.sum(args[0], over="rows"))
        else:
            new = rebuild(node, tuple(args))
        made[node] = new
    return made[e]


@settings(steady, max_examples=300)
@given(st.lists(algebra, min_size=1, max_size=10), starts, st.integers(0, 9))
def test_other_forms_are_equal(
    program: list[Instruction], start: list[int], seed: int
) -> None:
    e = algebraic(program, start)
    assume(np.isfinite(valued(e)).all())
    other = shuffled(e, np.random.default_rng(seed))
    try:
        found = compare(e, other, seed=seed)
    except DataError:
        assume(False)
    assert found, found.reason


@settings(steady, max_examples=300)
@given(st.lists(algebra, min_size=1, max_size=10), starts, st.integers(0, 9))
def test_what_differs_in_value_is_not_equal(
    program: list[Instruction], start: list[int], seed: int
) -> None:
    e = algebraic(program, start)
    value = valued(e)
    assume(np.isfinite(value).all() and np.abs(value).max() > 1e-6)
    for wrong in (2 * e, -e, e * ATOMS[8], e + kb.abs(e)):
        if not np.allclose(valued(wrong), value):
            assert not compare(e, wrong, seed=seed)


def test_what_overflows_is_told_apart_exactly() -> None:
    one = "(" * 150 + "A" + " + 1)^2" * 150
    found = are(one, f"{one} + A")
    assert (found.equal, found.how, found.reason) == (False, "exact", "They differ.")
    assert are(f"{one} + A", f"A + {one}")
