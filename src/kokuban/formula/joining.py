"""Operations of two, and what to say where the shapes do not fit."""

from __future__ import annotations

import re
from typing import Final

from kokuban.errors import ShapeError
from kokuban.expr import Expr, apply, entrywise
from kokuban.formula.items import Part
from kokuban.formula.names import Names
from kokuban.formula.place import Source
from kokuban.shape import SCALAR, show

ENTRYWISE: Final = {
    "+": "add",
    "-": "subtract",
    "*": "multiply",
    "⊙": "multiply",
    "/": "divide",
    "⊘": "divide",
}
SIDE_BY_SIDE: Final = ("", "·", "×")  # a number times a matrix, or the matrix product


def joined(sign: str, left: Part, right: Part, source: Source, names: Names) -> Part:
    """`left sign right`; FormulaError with both shapes where they do not fit."""
    if sign in SIDE_BY_SIDE:
        sign = "*" if SCALAR in (left.expr.shape, right.expr.shape) else "@"
    try:
        return Part(_made(sign, left.expr, right.expr), left.start, right.end)
    except ShapeError:
        message = _misfit(sign, left, right, source, names)
        raise source.error(message, left.start, right.end) from None


def _made(sign: str, a: Expr, b: Expr) -> Expr:
    return apply("matmul", a, b) if sign == "@" else entrywise(ENTRYWISE[sign], a, b)


def _misfit(sign: str, left: Part, right: Part, source: Source, names: Names) -> str:
    told = []
    for part in (left, right):
        origin = names.origin.get(part.expr)
        text = f"{_text(part, source)} is {show(part.expr.shape)}"
        told.append(f"{text} ({origin})" if origin else text)
    if sign == "@":
        why = (
            "in a matrix product the left has as many columns as the right has rows, "
            f"here {left.expr.shape[1]} and {right.expr.shape[0]}"
        )
    else:
        why = (
            f"'{sign}' takes two of the same shape, or a 1 in the place of a dimension "
            "that is then repeated"
        )
    return f"{' and '.join(told)}: {why}.{_fitting(sign, left, right, source)}"


def _fitting(sign: str, left: Part, right: Part, source: Source) -> str:
    """A sentence with what would fit in its place, or nothing."""
    a, b = left.expr.shape, right.expr.shape
    x, y = (_bracketed(_text(p, source)) for p in (left, right))
    if sign == "@":
        tried = {
            f"{_turned(x)} {y}": a[0] == b[0],
            f"{x} {_turned(y)}": a[1] == b[1],
            f"{y} {x}": b[1] == a[0],
        }
    else:
        times = sign in ("*", "⊙")
        tried = {
            f"The matrix product {x} {y}": times and a[1] == b[0],
            f"{x} {sign} {_turned(y)}": a == b[::-1],
            f"The matrix product {_turned(x)} {y}": times and a[0] == b[0],
        }
    found = [text for text, fits in tried.items() if fits]
    return f" {found[0]} would fit." if found else ""


def _text(part: Part, source: Source) -> str:
    text = source.excerpt(part.start, part.end)
    return text if len(text) <= 60 else text[:59] + "…"


def _bracketed(text: str) -> str:
    closed = text[0] == "(" and text.find(")") == len(text) - 1
    return f"({text})" if " " in text and not closed else text


def _turned(text: str) -> str:
    """The transpose, as text."""
    stem = re.sub(r"(\^\{?[Tt⊤]\}?|ᵀ|\.T)$", "", text)
    return stem if stem != text else f"{text}^T"
