"""Simplification: every rewrite by itself, what they come to together, and their end."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import Instruction, algebra, algebraic, starts, steady
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban import rewrite
from kokuban.errors import ExpressionError, InternalError
from kokuban.expr import Expr, apply, size, substitute
from kokuban.rewrite import LONGEST, TABLE, Rewrite, simplify, simplify_all

N = size("N")
A, B, C = (kb.input(n, ("N", 3)) for n in "ABC")
M = kb.parameter("M", (3, 3))
r, q = kb.parameter("r", (1, 3)), kb.parameter("q", (1, 3))
c = kb.input("c", ("N", 1))
s, t = kb.parameter("s", (1, 1)), kb.parameter("t", (1, 1))
T = kb.distribution(kb.target("T", ("N", 3)))
_rng = np.random.default_rng(11)
AT = {
    x: _rng.uniform(0.5, 2.0, [4 if d == "N" else d for d in x.shape])
    for x in (A, B, C, M, r, q, c, s, t)
} | {T.args[0]: np.eye(3)[[0, 2, 1, 1]]}


def copies(x: Expr) -> Expr:
    return kb.broadcast(x, ("N", 3))


def two(a: float, b: float, name: str = "add") -> Expr:
    return apply(name, kb.constant(a), kb.constant(b))


def minus(x: Expr) -> Expr:
    return apply("negate", x)


# By the rewrite's name: an expression it changes, and what it makes of it in one step.
EXAMPLES: dict[str, list[tuple[Expr, str]]] = {
    "transpose twice": [
        (A.T.T, "A"),
        (s.T, "s"),
        (kb.broadcast(s, (3, "N")).T, "dup(s, N×3)"),
    ],
    "transpose of a product": [((A.T @ B).T, "B.T @ A"), ((M.T @ M.T).T, "M.T.T @ M")],
    "broadcast twice": [(copies(kb.broadcast(s, (1, 3))), "dup(s, N×3)")],
    "sum of copies": [
        (kb.sum(c, over="columns"), "c"),
        (kb.sum(copies(r), over="rows"), "r * N"),
        (kb.sum(copies(c), over="columns"), "c * 3"),
        (kb.sum(copies(s)), "s * (N * 3)"),
        (kb.sum(copies(s), over="rows"), "dup(s * N, 1×3)"),
    ],
    "sum of sums": [
        (kb.sum(kb.sum(A, over="rows")), "sum(A, over=all)"),
        (kb.sum(kb.sum(A, over="columns")), "sum(A, over=all)"),
        (kb.sum(kb.sum(A, over="columns"), over="rows"), "sum(A, over=all)"),
    ],
    "block of a placed block": [
        (apply("slice", A, axis=1, start=0, stop=3), "A"),
        (apply("place", c, axis=1, start=2, total=5)[:, 2], "c"),
    ],
    "once for all copies": [
        (copies(s) * copies(t), "dup(s * t, N×3)"),
        (copies(r) / copies(s), "dup(r / s, N×3)"),
        (-copies(c), "dup(-c, N×3)"),
        (kb.sqrt(copies(c)), "dup(sqrt(c), N×3)"),
    ],
    "sign of a linear form": [
        ((-A) @ M, "-(A @ M)"),
        (A @ -M, "-(A @ M)"),
        ((-A) @ -M, "A @ M"),
        (kb.sum(-A), "-sum(A, over=all)"),
        ((-A).T, "-A.T"),
    ],
    "arithmetic": [
        (two(2, 3), "5"),
        (two(2, 4, "divide"), "0.5"),
        (two(4, 6, "divide"), "2 / 3"),
        (two(0.1, 3, "divide"), repr(0.1 / 3)),
        (kb.exp(kb.constant(0)), "1"),
        (kb.constant(3) ** 2, "9"),
    ],
    "adding zero": [(A + 0, "A"), (0 + A, "A"), (A - 0, "A"), (0 - A, "-A")],
    "a term minus itself": [(A - A, "dup(0, N×3)")],
    "signs of a sum": [
        (A - -B, "A + B"),
        (A + -B, "A - B"),
        (-A + B, "B - A"),
        (-A - B, "-(A + B)"),
        (A + -2 * B, "A - 2 * B"),
        (A - copies(-r), "A + dup(r, N×3)"),
        (A + -1 / N * B, "A - B / N"),
        (-(A - B), "B - A"),
        (minus(-A), "A"),
        (A + -3, "A - 3"),
    ],
    "times one, times zero": [
        (1 * A, "A"),
        (A * 1, "A"),
        (A / 1, "A"),
        (A * 0, "dup(0, N×3)"),
        (0 / A, "dup(0, N×3)"),
    ],
    "nothing in, nothing out": [
        (copies(kb.constant(0)) @ M, "dup(0, N×3)"),
        (kb.sum(copies(kb.constant(0))), "0"),
    ],
    "simple powers": [(A**1, "A"), (A**0, "dup(1, N×3)")],
    "cancel and collect factors": [
        (A * B / A, "B"),
        (A / B * B, "A"),
        (2 * (3 * A), "6 * A"),
        (2 * A / 3, "2 / 3 * A"),
        (A / 2 / N, "A / (2 * N)"),
        (s * A * t, "s * t * A"),
        (A / s / N, "A / (s * N)"),
        (1 / N * A, "A / N"),
        (-(2 * A), "-2 * A"),
        (-(A / N), "-1 / N * A"),
        (s * -A, "-s * A"),
        (A * A / A, "A"),
        (s / t * t, "s"),
    ],
    "signs of a product": [
        (A * -B, "-(A * B)"),
        (-A * B, "-(A * B)"),
        (-A / -B, "A / B"),
        (A / -B, "-(A / B)"),
    ],
    "collect terms": [
        (A + A, "2 * A"),
        (2 * A + 3 * A, "5 * A"),
        (A + B - A, "B"),
        (A / N + 2 * B + A / N, "2 * (A / N) + 2 * B"),
        (2 * A - B - 2 * A + B, "dup(0, N×3)"),
        (A * B + 2 * B * A, "3 * A * B"),
    ],
    "multiply out where it cancels": [
        (B * (A / B + C), "A + C * B"),
        (B * (A / B - s), "A - s * B"),
    ],
    "a common scale": [
        (A / N + B / N, "(A + B) / N"),
        (2 * A - 2 * B, "2 * (A - B)"),
        (A * copies(c) - copies(c) * B, "dup(c, N×3) * (A - B)"),
    ],
    "a product's two complements": [
        (A * (1 - B) - B * (1 - A), "A - B"),
        ((1 - B) * A - (1 - A) * B, "A - B"),
    ],
    "log of softmax": [(kb.log(kb.softmax(A)), "A - dup(logsumexp(A), N×3)")],
    "log of sigmoid": [
        (kb.log(kb.sigmoid(A)), "-softplus(-A)"),
        (kb.log(1 - kb.sigmoid(A)), "-softplus(A)"),
    ],
    "log of exp": [(kb.log(kb.exp(A)), "A")],
    "log of 1 + exp": [
        (kb.log(1 + kb.exp(A)), "softplus(A)"),
        (kb.log(kb.exp(A) + 1), "softplus(A)"),
    ],
    "log of a sum of exp": [(kb.log(kb.sum(kb.exp(A), over="columns")), "logsumexp(A)")],
    "exp over its row's sum": [
        (kb.exp(A) / kb.sum(kb.exp(A), over="columns"), "softmax(A)"),
    ],
    "exp of log-softmax": [(kb.exp(A - kb.logsumexp(A)), "softmax(A)")],
    "exp minus one": [(kb.exp(A) - 1, "expm1(A)")],
    "exp minus one plus one": [(kb.expm1(A) + 1, "exp(A)")],
    "rows that sum to 1": [
        (kb.sum(kb.softmax(A), over="columns"), "dup(1, N×1)"),
        (kb.sum(-2 / N * T, over="columns"), "dup(-2 / N, N×1)"),
        (kb.sum(copies(c) * T / s, over="columns"), "c / s"),
    ],
}
STEPS = [
    pytest.param(name, before, after, id=f"{name}: {before!r}")
    for name, examples in EXAMPLES.items()
    for before, after in examples
]


def test_every_rewrite_has_an_example_a_name_and_a_reason() -> None:
    names = [entry.name for entry in TABLE]
    assert len(set(names)) == len(names)
    assert set(EXAMPLES) == set(names)
    assert all(entry.reason and entry.operations for entry in TABLE)


@pytest.mark.parametrize(("name", "before", "after"), STEPS)
def test_each_rewrite_by_itself(name: str, before: Expr, after: str) -> None:
    (entry,) = [entry for entry in TABLE if entry.name == name]
    assert before.op is not None
    assert before.op.name in entry.operations
    found = entry.apply(before)
    assert found is not None
    assert repr(found) == after
    assert found.shape == before.shape
    values = kb.evaluate([before, found], AT, simplify=False)
    np.testing.assert_allclose(values[1], values[0], rtol=1e-13, atol=1e-14)
    assert simplify(before) is simplify(found)


# What the rewrites come to together, or leave alone.
FORMS: dict[Expr, str] = {
    A + B: "A + B",
    (A @ M).T: "(A @ M).T",
    (M @ A.T).T: "(M @ A.T).T",
    A * (B * C): "A * (B * C)",
    A * (B + C): "A * (B + C)",
    r + c: "dup(r, N×3) + dup(c, N×3)",
    A / (B + C): "A / (B + C)",
    s * t * A: "s * t * A",
    kb.sum(copies(r)): "sum(dup(r, N×3), over=all)",
    kb.sum(copies(r), over="columns"): "sum(dup(r, N×3), over=columns)",
    kb.sum(copies(c), over="rows"): "sum(dup(c, N×3), over=rows)",
    apply("place", c, axis=1, start=2, total=5)[:, 1]: (
        "slice(place(c, axis=1, start=2, total=5), axis=1, start=1, stop=2)"
    ),
    apply("place", c, axis=1, start=2, total=5)[2:3, :]: (
        "slice(place(c, axis=1, start=2, total=5), axis=0, start=2, stop=3)"
    ),
    -7 * A: "-7 * A",
    A - 7 * B: "A - 7 * B",
    -(s * A): "-s * A",
    A / 3: "A / 3",
    A / 4: "A / 4",
    A * 2 / 6: "A / 3",
    0.1 * A * 3: f"{0.1 * 3!r} * A",
    A * kb.constant(2 / 3): f"A * {2 / 3!r}",
    A / 0: "A / 0",
    kb.constant(1) / kb.constant(0): "1 / 0",
    kb.log(kb.constant(-1)): "log(-1)",
    kb.exp(kb.constant(1000)): "exp(1000)",
    1e200 * (1e200 * A): "1e+200 * (1e+200 * A)",
    1e-200 * (1e-200 * A): "1e-200 * (1e-200 * A)",
    kb.sum(kb.target("T", ("N", 3)), over="columns"): "sum(T, over=columns)",
    kb.sum(T * A, over="columns"): "sum(T * A, over=columns)",
    kb.sum(T**2, over="columns"): "sum(T ** 2, over=columns)",
    kb.sum(T * T, over="columns"): "sum(T * T, over=columns)",
    kb.sum(A / T, over="columns"): "sum(A / T, over=columns)",
    kb.sum(T * copies(r), over="columns"): "sum(T * dup(r, N×3), over=columns)",
    kb.sum(T, over="rows"): "sum(T, over=rows)",
    kb.log(kb.softmax(A) + 1e-9): "log(softmax(A) + 1e-09)",
    kb.exp(A) / kb.sum(kb.exp(A)): "exp(A) / sum(exp(A), over=all)",
    A * (1 - B) - C * (1 - A): "A * (1 - B) - C * (1 - A)",
    A * (1 - B) - B * (1 - C): "A * (1 - B) - B * (1 - C)",
    A / (1 - B) - B * (1 - A): "A / (1 - B) - B * (1 - A)",
    minus(minus(-A)): "-A",
    A - (B - (A - B)): "2 * (A - B)",
    (A + B) - (A - B): "2 * B",
    A @ M - A @ M: "dup(0, N×3)",
    kb.sum(A @ M).T.T: "sum(A @ M, over=all)",
    kb.mean(copies(s)): "s",
    kb.mean(copies(r), over="rows"): "r",
    kb.sum(A * 1 + 0): "sum(A, over=all)",
    kb.relu(A + 0, at_zero=1.0): "relu(A, at_zero=1)",
    kb.gelu(A * 1): "0.5 * A * (1 + erf(A / 1.4142135623730951))",
    kb.cross_entropy(kb.softmax(A), T): (
        "-(sum(T * (A - dup(logsumexp(A), N×3)), over=all) / N)"
    ),
}


@pytest.mark.parametrize("before", FORMS, ids=repr)
def test_simple_forms(before: Expr) -> None:
    found = simplify(before)
    assert repr(found) == FORMS[before]
    assert simplify(found) is found


def test_zero_and_infinity_are_not_worked_out_wrongly() -> None:
    """Numbers are worked out only where the result is finite, so none is lost."""
    with np.errstate(all="ignore"):
        assert kb.evaluate(kb.constant(1) / kb.constant(0), {})[0, 0] == np.inf
        assert np.isnan(kb.evaluate(kb.log(kb.constant(-1)), {})[0, 0])
        assert kb.evaluate(kb.exp(kb.constant(1000)), {})[0, 0] == np.inf


@settings(steady, max_examples=300)
@given(st.lists(algebra, min_size=2, max_size=15), starts)
def test_extreme_numbers_are_no_obstacle(
    program: list[Instruction], start: list[int]
) -> None:
    """An overflow or an underflow of the numbers ends no rewrite in an error."""
    big, small = kb.constant(1e200), kb.constant(-1e-200)
    (expression,) = substitute([algebraic(program, start)], {s: big, t: small})
    simple = simplify(expression)
    assert simplify(simple) is simple


def test_common_parts_are_simplified_together() -> None:
    y = kb.tanh(A * 1)
    first, second = simplify_all([y + 0, y * 1])
    assert first is second is kb.tanh(A)
    assert simplify_all([]) == []


def test_only_expressions_are_simplified() -> None:
    with pytest.raises(
        ExpressionError, match=r"What is simplified is an expression, not 3"
    ):
        simplify(3)  # type: ignore[arg-type]


def test_long_sums_and_products_are_read_in_part() -> None:
    """Beyond LONGEST parts nothing is collected; within, everything is."""
    near, far = A, A
    for k in range(LONGEST - 2):
        near = near + kb.tanh(A * (k + 2))
    for k in range(2 * LONGEST):
        far = far + kb.tanh(A * (k + 2))
    assert "- A" not in repr(simplify(near - A))
    assert simplify(near - A) is simplify(near.args[0] + near.args[1] - A)
    np.testing.assert_allclose(
        *(kb.evaluate(e, AT, simplify=False) for e in (far - A, simplify(far - A))),
        rtol=1e-13,
    )


# ---------------------------------------------------------------- termination


def _with_rules(monkeypatch: pytest.MonkeyPatch, *rules: Rewrite) -> None:
    table = {name: list(entries) for name, entries in rewrite._by_operation.items()}
    for rule in rules:
        for operation in rule.operations:
            table.setdefault(operation, []).insert(0, rule)
    monkeypatch.setattr(rewrite, "_by_operation", table)


def test_a_circle_of_rewrites_is_an_internal_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Rewrite("there", "x·y = y·x", ("multiply",), lambda n: n.args[1] * n.args[0])
    _with_rules(monkeypatch, there)
    with pytest.raises(
        InternalError, match=r"goes in a circle, by: there\. Please report"
    ):
        simplify(kb.tanh(A * B) + C)


def test_a_circle_of_two_rewrites_names_both(monkeypatch: pytest.MonkeyPatch) -> None:
    to_exp = Rewrite("up", "no reason", ("tanh",), lambda n: kb.sin(n.args[0]))
    to_tanh = Rewrite("down", "no reason", ("sin",), lambda n: kb.tanh(n.args[0]))
    _with_rules(monkeypatch, to_exp, to_tanh)
    with pytest.raises(InternalError, match=r"by: up, down\."):
        simplify(kb.tanh(A))


def test_rewrites_that_grow_without_end_are_an_internal_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    around = Rewrite("around", "no reason", ("tanh",), lambda n: kb.tanh(kb.sin(n)))
    inside = Rewrite("inside", "no reason", ("cos",), lambda n: kb.cos(kb.exp(n.args[0])))
    for rule, start in ((around, kb.tanh(A)), (inside, kb.cos(A))):
        with monkeypatch.context() as patched:
            _with_rules(patched, rule)
            with pytest.raises(InternalError, match=f"by: {rule.name}"):
                simplify(start)


def test_the_table_has_no_circle_where_scalars_repeat() -> None:
    """Products of scalars, their copies, signs and quotients in every order."""
    parts = [s, -t, copies(s * t), A, -A / N, copies(r), -2 / N * A]
    for a in parts:
        for b in parts:
            for d in parts:
                for e in (a * b * d, a / b * d, a * (b + d), a / (b * d) - b / d):
                    simple = simplify(e)
                    assert simplify(simple) is simple
                    values = kb.evaluate([e, simple], AT, simplify=False)
                    np.testing.assert_allclose(
                        values[1], values[0], rtol=1e-11, atol=1e-12
                    )
