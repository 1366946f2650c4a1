"""A formula's entries in letters: one at any place, or the whole matrix written out."""

from __future__ import annotations

from dataclasses import replace
from functools import reduce

from kokuban.entry import Call, Index, Largest, Sum, Term
from kokuban.explain.calculus import Calculus, replaced
from kokuban.explain.entries import Entries, index, matrices
from kokuban.explain.layout import Box, elided
from kokuban.explain.notation import Notation
from kokuban.expr import Expr


def every_entry(
    formula: Expr, columns: bool = False, sums: bool = False, over: str = "k"
) -> Box:
    """The matrix of a formula with each entry in letters, as `one_entry` writes it.

    Its dimensions are numbers. Large matrices have their middle left out.
    """
    rows, many = ([str(k + 1) for k in range(int(d))] for d in formula.shape)
    boxes = [[one_entry(formula, i + j, columns, sums, over) for j in many] for i in rows]
    if formula.shape == (1, 1):
        return boxes[0][0]
    return elided([*zip(*boxes, strict=True)] if columns else boxes)


def one_entry(
    formula: Expr, places: str, columns: bool = False, sums: bool = False, over: str = "k"
) -> Box:
    """The entry at the places of two letters or digits, its row's and its column's.

    A place along a dimension of 1 is not written. Sums run over the letters of `over`, or
    with `sums` are written term by term, where the dimension's size is known.
    """
    i, j = (index(x, d) for x, d in zip(places, formula.shape, strict=True))
    term = Calculus(over).in_order(formula, i, j, columns)
    shown = _without_sums(term) if sums else term
    return Entries(Notation({}, columns), matrices(formula)).term(shown)[0]


def _without_sums(t: Term) -> Term:
    """The term with each sum over a dimension of known size written term by term."""
    match t:
        case Sum(own, _) if isinstance(own.over, int):
            return reduce(lambda a, b: Call("+", (a, b)), _terms(t))
        case Sum(own, body) | Largest(own, body):
            return replace(t, body=_without_sums(body))
        case Call(function, arguments):
            return Call(function, tuple(_without_sums(a) for a in arguments))
    return t


def _terms(t: Term) -> list[Term]:
    """The terms of a sum, and of the sums directly under it."""
    if not (isinstance(t, Sum) and isinstance(t.index.over, int)):
        return [_without_sums(t)]
    places = (Index(str(k + 1), t.index.over) for k in range(t.index.over))
    return [x for place in places for x in _terms(replaced(t.body, t.index, place))]
