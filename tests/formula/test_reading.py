"""Formulas as people write them, and the expressions that they are."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import kokuban as kb
from kokuban.errors import FormulaError
from kokuban.expr import Expr, apply, size
from kokuban.formula import equation, namespace, parse
from kokuban.op import Operation, operations

GOLDEN = Path(__file__).parents[1] / "golden"


def golden() -> list[tuple[str, str]]:
    lines = (GOLDEN / "formulas.txt").read_text("utf-8").splitlines()
    pairs = [line.split("  ->  ") for line in lines if line and line[0] != "#"]
    return [(formula.strip(), code.strip()) for formula, code in pairs]


@pytest.mark.parametrize(("formula", "code"), golden(), ids=[f for f, _ in golden()])
def test_it_is_the_expression(formula: str, code: str, names: dict[str, Expr]) -> None:
    python = {**names, "W1": names["W₁"], "W2": names["W^(2)"], "kb": kb, "math": math}
    assert parse(formula, names) is eval(code, python)


# Their LaTeX leaves out what it takes to be them, or is a formula of other operations.
NOT_IN_LATEX = {"distribution", "dropout_mask", "expm1", "place", "row_max", "slice"}


@pytest.mark.parametrize(
    "op",
    [op for op in operations() if op.name not in NOT_IN_LATEX],
    ids=lambda op: op.name,
)
def test_the_latex_of_operations_is_read(op: Operation) -> None:
    sample = op.samples[0]
    args = [kb.parameter(n, s) for n, s in zip("AB", sample.shapes, strict=False)]
    attrs = {k: "4×3" if isinstance(v, tuple) else v for k, v in sample.attrs.items()}
    latex = op.latex.format(*"AB"[: op.arity], **attrs)
    made = apply(op.name, *args, **sample.attrs)
    assert parse(latex, namespace(*args)) is made


def test_names_win_over_what_they_could_be() -> None:
    e, sigma, x = (kb.parameter(n, (3, 3)) for n in ("e", "σ", "XW"))
    names = {"e": e, "σ": sigma, "XW": x, "X": e, "W": sigma, "max": e}
    assert parse("e^2 σ (XW)", names) is e**2 @ sigma @ x
    assert parse("max (X)", names) is e @ e


def test_a_functions_own_name_stays_its_own() -> None:
    w = kb.parameter("softmax", (3, 3))
    assert parse("softmax(`softmax`)", {"softmax": w}) is kb.softmax(w)
    with pytest.raises(FormulaError, match="The matrix called so is written `softmax`"):
        parse("softmax + 1", {"softmax": w})


def test_newlines_are_spaces_in_one_formula(names: dict[str, Expr]) -> None:
    text = "X^T\n  (Y - T)  # the error signal\r\n/ N"
    assert parse(text, names) is parse("X^T (Y - T) / N", names)


def test_an_equation_has_a_name(names: dict[str, Expr]) -> None:
    name, made = equation("Γ_{1} = (Y - T) / N", names)
    assert (name, made) == ("Γ_1", (names["Y"] - names["T"]) / size("N"))
    assert equation("W^{(1)} := X", names)[0] == "W^(1)"
    with pytest.raises(FormulaError, match="'=' is missing"):
        equation("X W", names)


def test_nothing_is_known_of_no_names() -> None:
    assert parse("1 + 2", {}) is kb.constant(1) + kb.constant(2)
    with pytest.raises(FormulaError, match=r"There is no 'X' here\.\n"):
        parse("X", {})


def test_the_namespace_of_a_loss() -> None:
    x, t = kb.input("X", ("N", 4)), kb.target("D", ("N", 3))
    w = kb.parameter("W", (4, 3))
    y = kb.softmax(x @ w)
    loss = kb.cross_entropy(y, t) + 0.1 * kb.l2(w)
    known = namespace(loss)
    assert known == {"X": x, "W": w, "D": t, "Y": y, "T": t, "N": size("N")}
    scores = namespace(kb.softmax_cross_entropy(x @ w, t))
    assert scores["U"] is x @ w
    assert "Y" not in scores
    two = namespace(kb.mse(x @ w, t) + kb.mse(2 * (x @ w), t))
    assert "Y" not in two  # it could be either
    assert two["T"] is t
    own = kb.input("Y", ("N", 3))
    assert namespace(kb.mse(x @ w, own))["Y"] is own


def test_two_symbols_of_one_name_are_refused() -> None:
    one, other = kb.input("X", (3, 3)), kb.parameter("X", (3, 3))
    with pytest.raises(FormulaError, match="Two symbols are called 'X'"):
        namespace(one @ other)
