"""The part of a worksheet to calculate: small matrices, with an entry missing in each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final, Protocol

import numpy as np

from kokuban.errors import SettingError
from kokuban.explain.backward import Tape
from kokuban.explain.forward import in_order
from kokuban.explain.layout import (
    SHOWN,
    Box,
    Gap,
    Grid,
    Row,
    Script,
    Text,
    bracketed,
    number,
    row,
    sign,
)
from kokuban.explain.notation import Notation
from kokuban.explain.numbers import Matrix, Numbers, Values
from kokuban.explain.page import Line, Part
from kokuban.expr import Expr, Symbol, symbols
from kokuban.formula import distributions
from kokuban.formula.trial import shape_at
from kokuban.worksheets.sheet import Item, Section

SAMPLES: Final = 2  # what a named dimension has
TOLERANCE: Final = 0.01  # of a number
LEAST: Final = 0.01  # size of an entry asked for, where there is one so large
WIDE: Final = 24

Words = Mapping[str, str]


class Gaps(Protocol):
    """What makes gaps and keeps their blanks."""

    def gap(self, width: int, shown: Box, **about: Any) -> Gap:
        """A further blank."""


def numbers_section(
    found: Tape, at: Notation, gaps: Gaps, rng: Random, words: Words
) -> Section:
    """Values for all symbols, then each quantity and gradient with an entry missing.

    Raises SettingError where a matrix is too large to calculate with.
    """
    values = drawn(found.loss, rng)
    given = Numbers(found, values, at, None)
    items = [Item((), (words["numbers says"],), tuple(_given(given, at, found.loss)))]
    for q in found.quantities:
        left = at.formula(q.symbol)
        lines = _asked(found, values, at, gaps, rng, q.symbol.name, q.body, left)
        items.append(Item((), (), tuple(lines)))
    loss = found.quantities[-1].symbol
    for g in found.gradients:
        own = f"d{loss.name}/d{g.of.name}"
        left = row(sign("∂"), at.formula(loss), sign("/"), sign("∂"), at.formula(g.of))
        if g.quantity is not None:
            left = row(at.formula(g.quantity.gradient))
        lines = _asked(found, values, at, gaps, rng, own, g.value, left)
        items.append(Item((), (), tuple(lines)))
    return Section((words["numbers"],), items=tuple(items))


def drawn(loss: Expr, rng: Random) -> Values:
    """Halves from -1 to 1 for each symbol, and a class for each row of a distribution.

    Raises SettingError where a matrix has more rows or columns than are written out.
    """
    leaves = symbols([loss])
    sizes = {d: SAMPLES for s in leaves for d in s.shape if isinstance(d, str)}
    classes = distributions([loss])
    found: Values = {}
    for s in leaves:
        rows, columns = shape_at(s, sizes)
        if max(rows, columns) > SHOWN:
            raise SettingError(
                f"{s.name} is {rows}×{columns}: too large to calculate with by hand. "
                f"Numbers need at most {SHOWN} rows and columns."
            )
        halves = [[rng.randint(-2, 2) / 2 for _ in range(columns)] for _ in range(rows)]
        found[s] = np.array(halves) + 0.0
        if s in classes:
            found[s] = np.eye(columns)[[rng.randrange(columns) for _ in range(rows)]]
    return found


def _given(given: Numbers, at: Notation, loss: Expr) -> Iterator[Line]:
    for s in in_order(symbols([loss])):
        yield Line(at.formula(s), (Part(given.grid(given.values[s])),))


def _asked(
    found: Tape,
    values: Values,
    at: Notation,
    gaps: Gaps,
    rng: Random,
    own: str,
    formula: Expr,
    left: Box,
) -> Iterator[Line]:
    """A matrix with an entry missing, and below it the entry, term by term."""
    given: Mapping[Symbol, Matrix] = values
    value = Numbers(found, given, at, None).value(formula)
    value = value.T if at.columns else value
    if not np.all(np.isfinite(value)):
        return
    i, j = _place(value, rng)
    numbers = Numbers(found, given, at, (i + 1, j + 1))
    whole = numbers.grid(value.T if at.columns else value)
    if isinstance(whole, Grid):
        cells = [list(line) for line in whole.rows]
        cells[i][j] = Text("?", "words")
        yield Line(left, (Part(Grid(tuple(tuple(line) for line in cells))),))
        place = row(number(i + 1), sign(","), number(j + 1))
        left, own = Script(bracketed(left), lower=place), f"{own}({i + 1},{j + 1})"
    else:
        own = f"{own}(1,1)"
    shown: Box = numbers.grid(value[i : i + 1, j : j + 1])
    if formula.op is not None:
        _, terms, result = numbers.arithmetic(formula)
        long = value.size == 1 and formula is found.quantities[-1].body
        shown = result.box if long else row(terms.box, "=", result.box)
    gap = gaps.gap(
        WIDE, shown, name=own, kind="number", board=0,
        answer=repr(float(value[i, j])), tolerance=TOLERANCE,
    )  # fmt: skip
    yield Line(left, (Part(Row((gap,))),))


def _place(value: Matrix, rng: Random) -> tuple[int, int]:
    """A place at random, preferably of an entry that is not nearly zero."""
    places = [(int(i), int(j)) for i, j in np.argwhere(np.abs(value) >= LEAST)]
    places = places or [(0, 0)]
    return rng.choice(places)
