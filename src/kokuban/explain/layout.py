"""The layout tree: what a formula looks like, before it is LaTeX, MathML or text.

Brackets, the order of factors and the wording are decided when a tree is made; a writer
only spells it. Ten kinds of box are the whole vocabulary.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "name", "number", "function", "sign", "binary", "relation", "words", "bold"
]


class Box:
    """A piece of a formula. Final forms: the records below."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Text(Box):
    """Letters: a name, a number, a function's name, a sign, or plain words."""

    text: str
    kind: Kind = "name"


@dataclass(frozen=True, slots=True)
class Row(Box):
    """Boxes side by side."""

    items: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class Fraction(Box):
    """One box over another; `loose`: which need brackets where both stand in a line."""

    over: Box
    under: Box
    loose: tuple[bool, bool] = (False, False)


@dataclass(frozen=True, slots=True)
class Script(Box):
    """A box with what stands below or above at its right; under a sum, below it."""

    base: Box
    lower: Box | None = None
    upper: Box | None = None


@dataclass(frozen=True, slots=True)
class Root(Box):
    """A square root."""

    body: Box


@dataclass(frozen=True, slots=True)
class Fence(Box):
    """A box in brackets or bars, as tall as it is."""

    left: str
    body: Box
    right: str


@dataclass(frozen=True, slots=True)
class Grid(Box):
    """A matrix, entry by entry, in square brackets."""

    rows: tuple[tuple[Box, ...], ...]


@dataclass(frozen=True, slots=True)
class Term(Box):
    """A box that stands for a named thing: pointing at one lights them all."""

    id: str
    body: Box


@dataclass(frozen=True, slots=True)
class Struck(Box):
    """A box struck out: what is tempting, and wrong."""

    body: Box


@dataclass(frozen=True, slots=True)
class Gap(Box):
    """A place to be filled in, by its number, so many letters wide; on a key, filled."""

    number: int
    width: int
    answer: Box | None = None


SPACE = Text(" ", "words")
TOP = Text("⊤", "sign")
ONE = Text("1", "bold")


def row(*items: Box | str) -> Row:
    """Boxes side by side; a string is a relation or an operator between two."""
    return Row(tuple(sign(i) if isinstance(i, str) else i for i in items))


def sign(text: str) -> Text:
    """A sign with the spaces of its kind."""
    if text in ("=", "≠", ">", "<", "≥", "≤", "≈", ":=", "←"):
        return Text(text, "relation")
    if text in ("+", "-", "⊙", "⊘", "·", "±"):
        return Text(text, "binary")
    return Text(text, "sign")


def number(value: float, digits: int | None = None) -> Box:
    """A number as people write it: 3, 0.5, √2, 1.2·10⁻⁷, 0.26596…

    With `digits`, so many after the point.
    """
    minus, value = str(value).startswith("-"), abs(value)
    if digits is not None:
        box: Box = Text(f"{value:.{digits}f}", "number")
        minus = minus and float(f"{value:.{digits}f}") != 0
    elif value < 1e15 and value == int(value):
        box = Text(str(int(value)), "number")
    elif value < 10 and (square := round(value**2)) and value == square**0.5:
        box = Root(Text(str(square), "number"))
    elif abs(value * math.sqrt(2 * math.pi) - 1) < 1e-15:  # GELU's slope has it
        box = Fraction(Text("1", "number"), Root(row(Text("2", "number"), Text("π"))))
    else:
        mantissa, _, exponent = f"{value:.6g}".partition("e")
        whole = float(f"{value:.6g}") == value
        box = Text(mantissa if whole else f"{mantissa}…", "number")
        if exponent:
            ten = Script(Text("10", "number"), upper=Text(str(int(exponent)), "number"))
            box = ten if mantissa == "1" and whole else row(box, Text("·", "sign"), ten)
    return row(sign("−"), box) if minus else box


def coefficient(value: float) -> Box:
    """A positive number in front of what it multiplies: ½ as a fraction."""
    if value == 0.5:
        return Fraction(Text("1", "number"), Text("2", "number"))
    return number(value)


_NUMBERED = re.compile(r"([^\W_]*[^\W\d_])_?(\d+)")
_RAISED = re.compile(r"(.+)\^\((\w+)\)")
_SUBSCRIPT = re.compile(r"([^\W\d_])_(\w+)")


def name(text: str) -> Box:
    """A name: W1 and W_1 become W with the index 1, W_out W with the index out.

    W^(1) becomes W with (1) raised.
    """
    if found := _RAISED.fullmatch(text):
        kind: Kind = "number" if found[2].isdigit() else "name"
        return Script(name(found[1]), upper=bracketed(Text(found[2], kind)))
    if found := _NUMBERED.fullmatch(text):
        return Script(Text(found[1]), lower=Text(found[2], "number"))
    if found := _SUBSCRIPT.fullmatch(text):
        inner = name(found[2])
        long = isinstance(inner, Text) and len(inner.text) > 1
        return Script(Text(found[1]), lower=Text(found[2], "words") if long else inner)
    return Text(text)


SHOWN = 6  # rows, columns or terms that are written out


def kept(length: int) -> list[int | None]:
    """Which of so many are shown, None for those left out."""
    if length <= SHOWN:
        return list(range(length))
    return [*range(SHOWN - 2), None, length - 1]


def elided(rows: Sequence[Sequence[Box]]) -> Grid:
    """A matrix, its middle left out where it is large."""
    dots = Text("…", "sign")
    return Grid(
        tuple(
            tuple(
                dots if i is None or j is None else rows[i][j] for j in kept(len(rows[0]))
            )
            for i in kept(len(rows))
        )
    )


def bracketed(body: Box) -> Fence:
    """A box in round brackets."""
    return Fence("(", body, ")")


# ---------------------------------------------------------------- reading notation

# The signs and letters that the notation of operations and the phrases use.
SIGNS = {
    "odot": "⊙", "oslash": "⊘", "cdot": "·", "top": "⊤", "ge": "≥", "le": "≤",
    "ne": "≠", "gets": "←", "sum": "∑", "partial": "∂", "infty": "∞", "dots": "…",
    "neg": "−",
}  # fmt: skip
LETTERS = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "sigma": "σ", "Delta": "Δ",
    "Gamma": "Γ", "Phi": "Φ", "phi": "φ", "pi": "π", "varepsilon": "ε", "mu": "μ",
}  # fmt: skip
FUNCTIONS = ("exp", "ln", "tanh", "sin", "cos", "max", "min", "erf", "diag")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\[ ,|]|\d+(?:\.\d+)?|\s+|.", re.DOTALL)


def read(notation: str, *boxes: Box) -> Box:
    r"""A formula in a small part of LaTeX as a tree; `\0`, `\1` … stand for `boxes`.

    Letters, numbers, signs, ^, _, \frac, \sqrt, \operatorname, \text, \mathbf, round and
    square brackets and bars, which grow with what they hold.
    """
    return _Reader(notation, boxes).row(None)


def _spaced(items: list[Box]) -> list[Box]:
    """Signs that begin a formula close to what follows, functions and sums apart."""
    found: list[Box] = []
    for item in items:
        before = found[-1] if found else None
        begins = before is None or (
            isinstance(before, Text) and before.kind in ("binary", "relation")
        )
        if item == Text("-", "binary") and begins:
            item = sign("−")
        named = _is_function(before) and not isinstance(item, Fence) and item != sign("'")
        joined = _is_function(item) and not begins and before != sign("−")
        product = isinstance(item, Fraction) and isinstance(before, Fraction)
        if named or joined or product or (_is_sum(before) and item != SPACE):
            found.append(SPACE)
        found.append(item)
    return found


def _compound(box: Box) -> bool:
    return isinstance(box, Row) and len(box.items) > 1 and box.items[0] != sign("∂")


def _is_function(box: Box | None) -> bool:
    while isinstance(box, Script):
        box = box.base
    return isinstance(box, Text) and box.kind == "function"


def _is_sum(box: Box | None) -> bool:
    return isinstance(box, Script) and box.base == sign(SIGNS["sum"])


class _Reader:
    def __init__(self, notation: str, boxes: tuple[Box, ...]) -> None:
        for k in range(len(boxes)):
            notation = notation.replace(rf"\{k}", chr(0xE000 + k))
        self._tokens = [t for t in _TOKEN.findall(notation) if not t.isspace()]
        self._boxes = boxes

    def row(self, end: str | None) -> Box:
        items: list[Box] = []
        while self._tokens and self._tokens[0] != end:
            items.append(self._scripted(self._one()))
        if end is not None:
            self._tokens.pop(0)
        spaced = _spaced(items)
        return spaced[0] if len(spaced) == 1 else Row(tuple(spaced))

    def _scripted(self, base: Box) -> Box:
        lower = upper = None
        while self._tokens and self._tokens[0] in ("^", "_"):
            if self._tokens.pop(0) == "^":
                upper = self._one()
            else:
                lower = self._one()
        return base if lower is upper is None else Script(base, lower, upper)

    def _one(self) -> Box:
        token = self._tokens.pop(0)
        if token == "{":
            return self.row("}")
        if token in ("(", "["):
            end = {"(": ")", "[": "]"}[token]
            return Fence(token, self.row(end), end)
        if token == r"\left":
            left, _ = self._tokens.pop(0), None
            body = self.row(r"\right")
            return Fence(left, body, self._tokens.pop(0))
        if token.startswith("\\"):
            return self._command(token[1:])
        if 0xE000 <= ord(token[0]) < 0xE000 + len(self._boxes):
            return self._boxes[ord(token) - 0xE000]
        if token[0].isdigit():
            return Text(token, "number")
        return Text(token) if token.isalpha() else sign({"*": "⊙"}.get(token, token))

    def _command(self, word: str) -> Box:
        if word == "frac":
            over, under = self._one(), self._one()
            return Fraction(over, under, (_compound(over), _compound(under)))
        if word == "sqrt":
            return Root(self._one())
        if word in ("operatorname", "text", "mathbf"):
            kinds: dict[str, Kind] = {
                "operatorname": "function", "text": "words", "mathbf": "bold"
            }  # fmt: skip
            return Text(self._letters(), kinds[word])
        if word in FUNCTIONS:
            return Text(word, "function")
        if word in (",", " "):
            return SPACE
        if word in LETTERS:
            return Text(LETTERS[word])
        return sign(SIGNS[word]) if word in SIGNS else Text(word, "function")

    def _letters(self) -> str:
        self._tokens.pop(0)
        end = self._tokens.index("}")
        text = "".join(self._tokens[:end])
        del self._tokens[: end + 1]
        return text
