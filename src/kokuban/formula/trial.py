"""Sizes and values to try formulas with, drawn so that nothing agrees by chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError
from kokuban.expr import Expr, Size, Symbol, order, symbols
from kokuban.op import DIMENSIONS
from kokuban.shape import size_of

LARGEST: Final = 10**7  # numbers in all parts of the formulas together
ROUNDS: Final = 6  # at most

Array = NDArray[Any]
Values = dict[Symbol, Array]
Sizes = dict[str, int]


class Trial:
    """Formulas on trial, and what they are tried with.

    The named dimensions have sizes that differ from one another and from all numbers
    among the dimensions, and others in each round, so that no constant stands for one.
    """

    def __init__(
        self, given: Sequence[Expr], formulas: Sequence[Expr], seed: int
    ) -> None:
        self.formulas, self.rng = formulas, np.random.default_rng(seed)
        self.nodes = order(formulas)
        self.symbols = symbols([*given, *formulas])
        self._distributions = distributions(given)
        self._dims, self._taken, self._least = _dimensions([*self.nodes, *self.symbols])
        entries = self.entries
        if entries > LARGEST:
            raise DataError(
                f"The formulas have {entries:.1e} entries in all their parts; up to "
                f"{LARGEST:.0e} can be compared."
            )

    @property
    def entries(self) -> int:
        """How many numbers all parts have together, at most."""
        sizes = self.sizes(ROUNDS)
        return sum(math.prod(shape_at(n, sizes)) for n in (*self.nodes, *self.symbols))

    def sizes(self, round_: int) -> Sizes:
        """The sizes of the named dimensions in one round."""
        found, taken = Sizes(), set(self._taken)
        size = self._least + round_
        for dim in self._dims:
            while size in taken:
                size += 1
            found[dim] = size
            taken.add(size)
        return found

    def values(
        self, sizes: Sizes, draw: Callable[[tuple[int, int]], Array], one: Any
    ) -> Values:
        """A value for each symbol, by `draw`; rows of a distribution sum to `one`."""
        found: Values = {}
        for s in self.symbols:
            shape = shape_at(s, sizes)
            if s.role == "counter":
                found[s] = self.rng.integers(1, 1000, shape)
                continue
            value = draw(shape)
            if s in self._distributions:
                value[:, -1] = one - np.sum(value[:, :-1], axis=1)
            found[s] = value
        return found


def shape_at(node: Expr, sizes: Sizes) -> tuple[int, int]:
    """The shape in numbers."""
    rows, columns = (size_of(d, sizes) for d in node.shape)
    return rows, columns


def distributions(expressions: Iterable[Expr]) -> set[Symbol]:
    """The symbols whose rows must sum to 1: those marked, and targets within a mark."""
    found = set[Symbol]()
    for node in order(expressions):
        if node.op is not None and node.op.name == "distribution":
            (inner,) = node.args
            found.update(symbols([inner], "target"))
            found.update([inner] if isinstance(inner, Symbol) else [])
    return found


def _dimensions(nodes: Iterable[Expr]) -> tuple[list[str], set[int], int]:
    """The named dimensions, the numbers among the others, and the least size to take.

    That leaves room for every block.
    """
    dims, taken, least = dict[str, None](), {1}, 3
    for node in nodes:
        every = [*node.shape]
        attrs = dict(node.attrs)
        for name in DIMENSIONS:
            value = attrs.get(name, ())
            every += value if isinstance(value, tuple) else (value,)
        if isinstance(node, Size):
            every.append(node.dim)
        numbers = [d for d in every if isinstance(d, int)]
        dims.update((d, None) for d in every if isinstance(d, str))
        taken.update(numbers)
        if "start" in attrs:
            end = attrs.get("stop", attrs["start"] + max(numbers, default=0))
            least = max(least, end + 1)
    return list(dims), taken, least
