"""Values: expressions at many points, random parameters, slopes of power laws."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kokuban.expr import Expr, Symbol
from kokuban.formula import Board
from kokuban.rewrite import simplify_all
from kokuban.run import Program

Matrix = NDArray[np.float64]


class Function:
    """Expressions as a function of their symbols, in float64.

    ``Function(L, dW)(X=x, W=w)`` gives their matrices in order; a number stands for a
    1×1 matrix, a list for one row.
    """

    def __init__(self, *outputs: Expr) -> None:
        self._program = Program(simplify_all(outputs))

    def __call__(self, **values: ArrayLike) -> list[Matrix]:
        """The values of the expressions, each a matrix."""
        given = {
            s: np.atleast_2d(np.asarray(values[s.name], np.float64))
            for s in self._program.symbols
        }
        found: list[Any] = self._program(given)
        return [np.array(value) for value in found]

    def numbers(self, **values: ArrayLike) -> list[float]:
        """The values of expressions that are 1×1, as numbers."""
        return [float(value[0, 0]) for value in self(**values)]


def drawn(own: Board, seed: int = 0, **given: ArrayLike) -> dict[Symbol, Matrix]:
    """Values for a board's symbols: those given by name, random parameters else."""
    rng = np.random.default_rng(seed)
    found: dict[Symbol, Matrix] = {}
    for s in own.symbols:
        if s.name in given:
            found[s] = np.atleast_2d(np.asarray(given[s.name], np.float64))
        elif s.role == "parameter":
            rows, columns = (d for d in s.shape if isinstance(d, int))
            found[s] = rng.uniform(-1, 1, (rows, columns))
    return found


def fitted_slope(x: ArrayLike, y: ArrayLike) -> float:
    """The slope of the straight line through the points on log-log paper."""
    return float(np.polyfit(np.log(np.asarray(x)), np.log(np.asarray(y)), 1)[0])
