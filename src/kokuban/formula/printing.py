"""Expressions as text that is read back to the same expressions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from kokuban.errors import FormulaError
from kokuban.expr import Expr, Size, Symbol, form, shown
from kokuban.formula.functions import reserved
from kokuban.formula.notation import quoted, stands
from kokuban.op import ATOM

LONGEST: Final = 20_000  # characters


def text(expression: Expr, names: Mapping[Expr, str] | None = None) -> str:
    """The formula in full; `kokuban.formula.parse` reads it back to the same object.

    `names` gives names to write for expressions within this one; a board's formulas are
    written with those above them. Parts that are used twice are written twice.

    Raises FormulaError where the text would be longer than parse reads, or where a
    symbol's name cannot be written in a formula.
    """
    known = names or {}
    done: dict[Expr, tuple[str, int]] = {}
    stack = [expression]
    while stack:
        node = stack[-1]
        parts = () if node is not expression and node in known else shown(node)
        waiting = [p for p in parts if p not in done]
        if waiting:
            stack += waiting
            continue
        stack.pop()
        done[node] = _form(node, expression, known, [done[p] for p in parts])
        if len(done[node][0]) > LONGEST:
            raise FormulaError(
                f"The formula is longer than {LONGEST:,} characters; give names to parts "
                "of it on a board."
            )
    return done[expression][0]


def _form(
    node: Expr, top: Expr, known: Mapping[Expr, str], parts: list[tuple[str, int]]
) -> tuple[str, int]:
    if node is not top and node in known:
        return known[node], ATOM
    if not isinstance(node, Symbol | Size):
        return form(node, parts)
    return name_text(node.name if isinstance(node, Symbol) else node.dim), ATOM


def name_text(name: str) -> str:
    """A name as formulas write it, in backticks if need be.

    Raises FormulaError where that is not enough.
    """
    if stands(name) and not reserved(name):
        return name
    written = quoted(name)
    if written is None:
        raise FormulaError(f"{name!r} cannot be written as a name in a formula.")
    return written
