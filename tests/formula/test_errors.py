"""What is refused, and how it is said: the place, the caret, what would be right."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import kokuban as kb
from kokuban.errors import FormulaError, KokubanError
from kokuban.expr import Expr
from kokuban.formula import parse

GOLDEN = Path(__file__).parents[1] / "golden" / "formula_errors.txt"


def golden() -> list[tuple[str, str]]:
    """Pairs of a text and its error; a board where there is a : or ∈, or a formula."""
    blocks = GOLDEN.read_text("utf-8").split("\n\n")[1:]
    pairs = [block.strip("\n").split("\n--\n") for block in blocks]
    return [(text, error) for text, error in pairs]


@pytest.mark.parametrize(("text", "message"), golden(), ids=[t for t, _ in golden()])
def test_the_error(text: str, message: str, names: dict[str, Expr]) -> None:
    with pytest.raises(FormulaError) as caught:
        kb.board(text) if {*text} & {*":∈"} else parse(text, names)
    assert str(caught.value) == message


def test_line_and_column_are_told() -> None:
    with pytest.raises(FormulaError) as caught:
        kb.board("X: N x 4\r\n\r\nY = X + sofmax(X)")
    error = caught.value
    assert (error.line, error.column) == (3, 9)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.line, again.column) == (str(error), 3, 9)
    assert issubclass(FormulaError, KokubanError)


def test_a_long_line_is_cut_around_the_place(names: dict[str, Expr]) -> None:
    with pytest.raises(FormulaError) as caught:
        parse(f"{'X + ' * 100}Z{' + X' * 100}", names)
    _, line, caret = str(caught.value).split("\n")
    assert len(line) < 100
    assert line[caret.index("^")] == "Z"


def test_carets_stand_below_wide_characters(names: dict[str, Expr]) -> None:
    with pytest.raises(FormulaError) as caught:
        parse("入力 + 出力", names)
    assert str(caught.value).endswith("    入力 + 出力\n           ^^^^")
