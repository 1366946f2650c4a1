"""Where answers are read: a sheet's board, its names, and values to try them with."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.expr import Expr, Symbol, apply, substitute
from kokuban.formula import board, distributions, parse
from kokuban.formula.trial import Sizes, Trial
from kokuban.run import Program
from kokuban.shape import Shape
from kokuban.worksheets.mirror import mirrored, turned

Matrix = NDArray[np.float64]
POINTS = 3


@dataclass(frozen=True, slots=True)
class Point:
    """A random point: every name's matrix as the sheet shows it, and the sizes."""

    matrices: dict[str, Matrix]
    values: dict[Symbol, Matrix]
    sizes: Sizes


class Desk:
    """One board of a sheet, to read answers about it."""

    def __init__(self, text: str, columns: bool) -> None:
        self.board, self.columns = board(text), columns
        marked = distributions(self.board.values())
        self._marks: dict[Expr, Expr] = {s: apply("distribution", s) for s in marked}

    def read(self, text: str, known: Iterable[str]) -> Expr:
        """A formula about the names in `known`, samples in rows whatever it was.

        Raises FormulaError, which shows the place, for what is none.
        """
        names: dict[str, Expr] = {n: self.board[n] for n in known}
        if not self.columns:
            return parse(text, names)
        leaves = {n: turned(n, e) for n, e in names.items()}
        back = {leaf: names[n] for n, leaf in leaves.items()}
        return mirrored(parse(text, dict(leaves)), back)

    def marked(self, formula: Expr) -> Expr:
        """The formula, knowing which symbols' rows sum to 1."""
        return substitute([formula], self._marks)[0]

    def shape(self, name: str) -> Shape:
        """A matrix's shape as the sheet shows it."""
        shape = self.board[name].shape
        return shape[::-1] if self.columns else shape

    @cached_property
    def points(self) -> tuple[Point, ...]:
        """Random points, with all named dimensions unequal."""
        names, formulas = list(self.board), list(self.board.values())
        trial = Trial(formulas, formulas, 0)
        program = Program(formulas)
        return tuple(self._point(k, trial, program, names) for k in range(POINTS))

    def _point(self, k: int, trial: Trial, program: Program, names: list[str]) -> Point:
        sizes = trial.sizes(k)

        def draw(shape: tuple[int, int]) -> Any:
            return trial.rng.normal(size=shape) if k else trial.rng.uniform(0.1, 1, shape)

        values = trial.values(sizes, draw, 1.0)
        with np.errstate(all="ignore"):
            found = program(values, np, np.float64, sizes)
        shown = [np.asarray(f.T if self.columns else f) for f in found]
        return Point(dict(zip(names, shown, strict=True)), values, sizes)
