"""Chains of equations whose every sign of equality is tested."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

from kokuban.explain.layout import Box
from kokuban.explain.page import Line, Part as Side, Prose
from kokuban.expr import Expr
from kokuban.formula import compare
from kokuban.lessons.lesson import Formulas, Part
from kokuban.lessons.teller import Teller


def chain(
    t: Teller,
    left: Box,
    *steps: tuple[Expr, Prose],
    names: Mapping[Expr, str] | None = None,
) -> Iterator[Part]:
    """left = formula = formula …, each with its reason, and that they are equal."""
    sides = tuple(Side(t.formula(f, names), reason) for f, reason in steps)
    yield Formulas((Line(left, sides),))
    formulas = [f for f, _ in steps]
    equal = [compare(a, b).equal for a, b in pairwise(formulas)]
    yield t.verdict(
        all(equal),
        t.words(
            "each of the {} equalities holds, whatever the values",
            "{} 個の等号は、値によらずすべて成り立つ",
            len(equal),
        )
        if len(equal) > 1
        else t.words(
            "the equality holds, whatever the values", "等号は、値によらず成り立つ"
        ),
    )
