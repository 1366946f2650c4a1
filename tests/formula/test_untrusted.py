"""Text from anywhere: an expression or a typed error, never more."""

from __future__ import annotations

import contextlib
import inspect
import string
import sys
from pathlib import Path

import pytest
from graphs import steady
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.errors import FormulaError
from kokuban.expr import Expr
from kokuban.formula import parse

DEEP = 1000
LONG: dict[str, str] = {
    "ten megabytes of a name": "x" * 10**7,
    "ten megabytes of brackets": "(" * 10**7,
    "ten megabytes of lines": "\n" * 10**7,
    "brackets": "(" * DEEP + "X" + ")" * DEEP,
    "square brackets": "[" * DEEP + "1" + "]" * DEEP,
    "braces": "{" * DEEP + "X" + "}" * DEEP,
    "calls": "exp(" * DEEP + "X" + ")" * DEEP,
    "exponents": "X^{" * DEEP + "2" + "}" * DEEP,
    "fractions": r"\frac{1}{" * DEEP + "X" + "}" * DEEP,
    "unclosed": "(" * 150,
    "closed": ")" * 15000,
    "operators": "^" * 15000,
    "powers": "2^" * 9000 + "2",
    "bars": "|" * 15000,
    "unknown commands": r"\a" * 9000,
    "one unknown name": "a" * 15000,
    "unknown names": "ab " * 6000,
}
ACCEPTED: dict[str, str] = {
    "minus signs": "-" * 5000 + "X",
    "transposes": "X" + "^T" * 5000,
    "sums": "Σ" * 4000 + "X",
    "bare functions": "exp " * 4000 + "X",
    "terms": "X + " * 4000 + "X",
    "quotients": "1 / " * 4000 + "X",
    "nested as deep as may be": "(" * 199 + "X" + ")" * 199,
    "square brackets as deep as may be": "[" * 199 + "1" + "]" * 199,
    "transposes in brackets": "(" * 199 + "X" + ")^T" * 199,
    "powers in powers": "1^{" * 199 + "2" + "}" * 199,
    "derivatives": "tanh'(" * 60 + "X" + ")" * 60,
}


@pytest.mark.parametrize("name", LONG)
def test_what_is_long_or_deep_is_refused(name: str, names: dict[str, Expr]) -> None:
    for read in (lambda: parse(LONG[name], names), lambda: kb.board(f"Y = {LONG[name]}")):
        with pytest.raises(FormulaError) as caught:
            read()
        assert len(str(caught.value)) < 700


def test_reading_does_not_use_up_the_stack(names: dict[str, Expr]) -> None:
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 120)
    try:
        for text in ACCEPTED.values():
            parse(text, names)
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_long_but_sound_is_read(name: str, names: dict[str, Expr]) -> None:
    assert isinstance(parse(ACCEPTED[name], names), Expr)


def test_nothing_is_evaluated(names: dict[str, Expr]) -> None:
    for text in (
        "__import__('os').system('true')",
        "X.__class__",
        "().__class__.__bases__",
        "eval(X)",
        "X.shape",
        "lambda: X",
        "{X!r}",
        "X if X else Y",
        "kb.softmax(X)",
        "COMPOSITES(X)",
        "count(X)",
        "composite(X)",
        "define(X)",
    ):
        with pytest.raises(FormulaError):
            parse(text, names)


def test_large_shapes_cost_nothing(names: dict[str, Expr]) -> None:
    made = parse("Σ ones(999999999×999999999)", names)
    assert made.shape == (1, 1)
    with pytest.raises(FormulaError, match="a plain number"):
        parse("X^{Σ ones(999999999×999999999)}", names)
    with pytest.raises(FormulaError, match="a whole number below 10⁹"):
        kb.board("X: 99999999999 x 3")


@pytest.mark.parametrize("wrong", [None, 3, b"X", ["X"], kb.constant(1)])
def test_what_is_no_text_is_refused(wrong: object) -> None:
    with pytest.raises(FormulaError, match="is text, not"):
        parse(wrong, {})  # type: ignore[arg-type]
    with pytest.raises(FormulaError, match="is text, not"):
        kb.board(wrong)  # type: ignore[arg-type]


# ---------------------------------------------------------------- noise

GOLDEN = Path(__file__).parents[1] / "golden" / "formulas.txt"
LINES = GOLDEN.read_text("utf-8").splitlines()
SOUND = [line.split("  ->  ")[0].rstrip() for line in LINES if "  ->  " in line]
TOKENS = [
    *"XWTYVbcsηΔNU()[]{}+-*/^_=,.:;|'`#@·×⊙⊘ΣΔσ√‖²⁻ᵀ½&$\\ \n",
    *("exp", "softmax", "sum", "over=", "rows", "1", "2.5", "1e9", "^T", ".T", "'", "**"),
    *("N×3", "dup(", "Dup_N", "\\frac{", "\\left(", "\\mathrm{", "\\sum", "\\hat", "W_1"),
    *("\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "1_N", "1^T", "e^", "||", "W^{(2)T}"),
]


def _harmless(text: str, names: dict[str, Expr]) -> None:
    for read in (lambda: parse(text, names), lambda: kb.board(f"X: N x 4\nB = {text}")):
        with contextlib.suppress(FormulaError):
            str(read())


@settings(steady, max_examples=400)
@given(st.lists(st.sampled_from(TOKENS), max_size=12))
def test_words_in_any_order(words: list[str]) -> None:
    _harmless("".join(words), NAMES)


@settings(steady, max_examples=200)
@given(st.text(max_size=20))
def test_any_text(text: str) -> None:
    _harmless(text, NAMES)


@settings(steady, max_examples=300)
@given(
    st.sampled_from(SOUND),
    st.integers(0, 30),
    st.integers(0, 3),
    st.sampled_from([*TOKENS, *string.printable, "\u3000", "\x00", "\u200b", "é", "😀"]),
)
def test_sound_formulas_with_a_piece_changed(
    text: str, place: int, cut: int, put: str
) -> None:
    _harmless(text[:place] + put + text[place + cut :], NAMES)


NAMES: dict[str, Expr] = {
    **{n: kb.input(n, ("N", 4)) for n in "XY"},
    "T": kb.target("T", ("N", 3)),
    "W": kb.parameter("W", (4, 3)),
    "V": kb.parameter("V", (3, 3)),
    "b": kb.parameter("b", (1, 3)),
    "s": kb.parameter("s", (1, 1)),
}
