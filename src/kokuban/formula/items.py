"""What a formula's tree is made of, on the way to an expression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lark import Token, Tree

from kokuban.expr import Expr


@dataclass(frozen=True, slots=True)
class Item:
    """A factor as it stands, before it is known what its name is.

    what      a number, a name, arguments in brackets, a row of numbers, dimensions
              joined by ×, a norm, or an expression
    scripts   what is written behind it: transposes and powers
    negated   how many minus signs stand before it
    """

    what: float | Token | Arguments | Row | Dims | Norm | Expr
    start: int
    end: int
    scripts: tuple[Script, ...] = ()
    negated: int = 0

    @property
    def bare(self) -> bool:
        """Whether nothing is written before or behind it."""
        return not (self.scripts or self.negated)

    @property
    def word(self) -> str | None:
        """The name that it is, and nothing else."""
        return str(self.what) if isinstance(self.what, Token) and self.bare else None


@dataclass(frozen=True, slots=True)
class Argument:
    """What stands between commas, and the setting that it names."""

    name: str | None
    item: Item


@dataclass(frozen=True, slots=True)
class Arguments:
    """What stands in brackets."""

    items: tuple[Argument, ...]

    @property
    def alone(self) -> Item | None:
        """What is in the brackets, where they are brackets around one formula."""
        if len(self.items) != 1 or self.items[0].name is not None:
            return None
        return self.items[0].item


@dataclass(frozen=True, slots=True)
class Row:
    """Numbers in square brackets."""

    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Dims:
    """Two names or numbers joined by ×: a shape, or a product."""

    left: Item
    right: Item


@dataclass(frozen=True, slots=True)
class Norm:
    """‖A‖, the root of the sum of the squares; squared it is that sum."""

    squares: Expr


@dataclass(frozen=True, slots=True)
class Transposed:
    """A transpose, ^T; where it is a name that is raised, that."""

    start: int
    end: int
    raised: Token | None = None


@dataclass(frozen=True, slots=True)
class Power:
    """A power, ^2."""

    exponent: Item
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Part:
    """An expression and its place in the text."""

    expr: Expr
    start: int
    end: int


Script = Transposed | Power
Link = Item | Token  # of the row that a term is: a factor or an operator
Place = Item | Part | Script | Token | Tree[Token]


def span(place: Place) -> tuple[int, int]:
    """Where something starts and ends."""
    at: Any = place.meta if isinstance(place, Tree) else place
    if isinstance(place, Token | Tree):
        return at.start_pos, at.end_pos
    return at.start, at.end
