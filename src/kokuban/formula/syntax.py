"""From text to the tree that the grammar gives it, or an error that shows the place."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Final

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken

from kokuban.errors import FormulaError
from kokuban.formula.notation import NAME
from kokuban.formula.place import Source


@cache
def _grammar() -> Lark:
    text = files("kokuban.formula").joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        text.replace("NAME_PATTERN", NAME),
        start=["board", "definition", "sum"],
        parser="lalr",
        propagate_positions=True,
    )


def tree_of(source: Source, start: str) -> Tree[Token]:
    """The tree of a text in the plain notation; FormulaError where it is none."""
    try:
        return _grammar().parse(source.text, start=start)
    except UnexpectedInput as error:
        raise _syntax_error(source, error) from None


def _syntax_error(source: Source, error: UnexpectedInput) -> FormulaError:
    found, at, allowed = "", len(source.text), set[str]()
    if isinstance(error, UnexpectedCharacters):
        place: Any = error.pos_in_stream  # lark's types say None
        at, allowed = place, error.allowed
        found = source.text[at]
    elif isinstance(error, UnexpectedToken):
        allowed = error.accepts or error.expected
        if error.token.type == "_NEWLINE":
            at = error.token.start_pos or 0
        elif error.token.type != "$END":
            found, at = str(error.token), error.token.start_pos or 0
    missing = _missing(allowed)
    if not found:
        at = len(source.text[:at].rstrip())
        return source.error(f"The line ends too early: {missing}.", at, at + 1)
    hint = f". {_HINTS[found]}" if found in _HINTS else f": {missing}."
    return source.error(f"'{found}' does not fit here{hint}", at, at + len(found))


_HINTS: Final = {
    ".": "The transpose is written X^T or X.T, a half 0.5.",
    ",": "Commas stand between a function's arguments.",
    '"': "Names are written without quotation marks.",
    "=": "A line gives one name one meaning: Y = softmax(X W + b).",
    "x": "A shape has two dimensions: X: N x 4.",
    "×": "A shape has two dimensions: X: N x 4.",
    ":": "A shape line is a name, a colon and two dimensions: X: N x 4.",
}
_EXPECTED: Final = {
    "EQUAL": "'='",
    "COLON": "':'",
    "BY": "'x' between two dimensions",
    "NAME": "a name",
    "NUMBER": "a number",
}


def _missing(allowed: set[str]) -> str:
    """What could stand there, in words."""
    if "ONES" in allowed:
        return "a name, a number or a bracket is missing"
    words = [text for name, text in _EXPECTED.items() if name in allowed]
    if not words:
        words = ["'{'" if "LBRACE" in allowed else "an operator"]
    return f"{' or '.join(words)} is missing"


def bounded(text: str, what: str, longest: int, name: str = "") -> Source:
    """The text as a source; FormulaError where it is too long, or no text."""
    if not isinstance(text, str):
        raise FormulaError(f"{what} is text, not {text!r:.60}.")
    if len(text) > longest:
        raise FormulaError(
            f"{what} has {longest:,} characters at most; this text has {len(text):,}."
        )
    return Source(text, name)
