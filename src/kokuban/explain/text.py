"""A layout tree as text for a terminal: one line, or several where a matrix stands.

A block of text is its lines, all equally wide, and the number of the line it rests on.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from itertools import zip_longest

from kokuban.explain.layout import (
    TOP,
    Box,
    Fence,
    Fraction,
    Gap,
    Grid,
    Root,
    Row,
    Script,
    Struck,
    Term,
    Text,
)

_UP = dict(zip("0123456789-−n()", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁻ⁿ⁽⁾", strict=True))
_DOWN = dict(zip("0123456789", "₀₁₂₃₄₅₆₇₈₉", strict=True))
STROKE = "\u0336"  # combines with the letter before it


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of equal width, and which of them is the formula's own line."""

    lines: tuple[str, ...]
    base: int = 0


def text(box: Box) -> str:
    """The formula as text, without blanks at the ends of lines."""
    return "\n".join(line.rstrip() for line in block(box).lines)


def width(line: str) -> int:
    """How many columns of a terminal a line takes: Japanese letters take two."""
    return sum(
        0
        if unicodedata.combining(c)
        else 2
        if unicodedata.east_asian_width(c) in "WF"
        else 1
        for c in line
    )


def padded(line: str, to: int, right: bool = False) -> str:
    """A line with blanks to the width `to`."""
    blanks = " " * (to - width(line))
    return blanks + line if right else line + blanks


def block(box: Box) -> Block:
    """The formula as a block of lines."""
    match box:
        case Text(letters, kind):
            return _one(
                f" {letters} "
                if kind in ("binary", "relation")
                else f"{letters} "
                if letters == ","
                else {"−": "-", "∑": "Σ", "⊤": "ᵀ"}.get(letters, letters)
            )
        case Row(items):
            return beside([block(i) for i in items])
        case Fraction(over, under, loose):
            parts = [
                fenced("(", block(b), ")") if brackets else block(b)
                for b, brackets in zip((over, under), loose, strict=True)
            ]
            return beside([parts[0], _one("/"), parts[1]])
        case Script(base, lower, upper):
            return _script(block(base), lower, upper)
        case Root(body):
            inner = block(body)
            plain = isinstance(body, Text)
            return beside([_one("√"), inner if plain else fenced("(", inner, ")")])
        case Fence(left, body, right):
            return fenced(left, block(body), right)
        case Grid(rows):
            return fenced("[", _grid(rows), "]")
        case Term(_, body):
            return block(body)
        case Struck(body):
            inner = block(body)
            return Block(tuple(_struck(line) for line in inner.lines), inner.base)
        case Gap(count, width, answer):
            if answer is None:
                return _one(f"({count}) " + "_" * width)
            return fenced("[", beside([_one(f"({count}) "), block(answer)]), "]")
    raise TypeError(f"no box: {box!r}")


def _one(line: str) -> Block:
    return Block((line,))


def _struck(line: str) -> str:
    return "".join(c + STROKE if not unicodedata.combining(c) else c for c in line)


def beside(blocks: list[Block]) -> Block:
    """Blocks side by side, resting on one line."""
    blocks = [b for b in blocks if b.lines != ("",)]
    if all(len(b.lines) == 1 for b in blocks):
        return _one("".join(b.lines[0] for b in blocks))
    above = max(b.base for b in blocks)
    below = max(len(b.lines) - b.base for b in blocks)
    lines = [""] * (above + below)
    for b in blocks:
        wide = max(width(line) for line in b.lines)
        start = above - b.base
        for k in range(len(lines)):
            own = b.lines[k - start] if 0 <= k - start < len(b.lines) else ""
            lines[k] += padded(own, wide)
    return Block(tuple(lines), above)


_ENDS = {
    "[": "⎡⎢⎣", "]": "⎤⎥⎦", "(": "⎛⎜⎝", ")": "⎞⎟⎠", "|": "│││",
}  # fmt: skip


def fenced(left: str, inner: Block, right: str) -> Block:
    """A block in brackets as tall as it is."""
    tall = len(inner.lines)
    if tall == 1:
        return _one(f"{left}{inner.lines[0]}{right}")

    def end(bracket: str) -> Block:
        top, middle, bottom = tuple(_ENDS[bracket])
        return Block((top, *[middle] * (tall - 2), bottom), inner.base)

    return beside([end(left), inner, end(right)])


def _grid(rows: tuple[tuple[Box, ...], ...]) -> Block:
    cells = [[block(c).lines[0] for c in line] for line in rows]
    wide = [max(width(c) for c in column) for column in zip(*cells, strict=True)]
    formulas = any(" " in c for line in cells for c in line)
    lines = [
        ("   " if formulas else " ").join(
            padded(c, w, right=not formulas) for c, w in zip(line, wide, strict=True)
        )
        for line in cells
    ]
    return Block(tuple(lines), (len(lines) - 1) // 2)


def _script(base: Block, lower: Box | None, upper: Box | None) -> Block:
    below = "" if lower is None else _lowered(lower)
    above = "" if upper is None else _raised(upper)
    if len(base.lines) == 1:
        return _one(base.lines[0] + below + above)
    first = padded(above, max(width(above), width(below)))
    rest = [first] + [padded("", width(first))] * (len(base.lines) - 1)
    rest[-1] = padded(below, width(first))
    lines = zip_longest(base.lines, rest, fillvalue="")
    return Block(tuple(a + b for a, b in lines), base.base)


def _lowered(box: Box) -> str:
    inner = block(box).lines[0]
    if all(c in _DOWN for c in inner):
        return "".join(_DOWN[c] for c in inner)
    return f"_{inner}" if inner.isalnum() else f"_({inner})"


def _raised(box: Box) -> str:
    if box == TOP:
        return "ᵀ"
    inner = block(box).lines[0]
    if all(c in _UP for c in inner):
        return "".join(_UP[c] for c in inner)
    return f"^{inner}" if inner.isalnum() or len(inner) == 2 else f"^({inner})"
