"""Constant factors between a claim and what is right: 2, N, 1/N and the like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Final

from kokuban.expr import Expr, Size, order

MOST: Final = 3  # factors at once, a sign not counted
SIZES: Final = 4  # plain numbers among the dimensions that are tried


@dataclass(frozen=True, slots=True)
class Factor:
    """A product of powers of 2, of named dimensions, and of sizes that are numbers."""

    negative: bool
    powers: Mapping[str | int, int]

    @property
    def cost(self) -> int:
        """How many factors it has, each power counted, and the sign."""
        return self.negative + sum(abs(p) for p in self.powers.values())

    @property
    def samples(self) -> bool:
        """Whether a named dimension is in it."""
        return any(isinstance(base, str) for base in self.powers)

    def value(self, sizes: Mapping[str, int]) -> float:
        """The number it is where the named dimensions have these sizes."""
        parts = (
            float(sizes[b] if isinstance(b, str) else b) ** p
            for b, p in self.powers.items()
        )
        return float(prod(parts)) * (-1 if self.negative else 1)

    @property
    def parts(self) -> tuple[Factor, ...]:
        """Without the sign: the power of 2 apart from what holds a named dimension."""
        if not self.samples:
            return (Factor(False, self.powers),)
        two: dict[str | int, int] = {b: p for b, p in self.powers.items() if b == 2}
        rest = {b: p for b, p in self.powers.items() if b != 2}
        return Factor(False, two), Factor(False, rest)

    def __str__(self) -> str:
        above = _written({b: p for b, p in self.powers.items() if p > 0})
        below = {b: -p for b, p in self.powers.items() if p < 0}
        sign = "-" if self.negative else ""
        if not below:
            return f"{sign}{above}"
        under = _written(below)
        return f"{sign}{above}/{under}" if len(below) == 1 else f"{sign}{above}/({under})"


def _written(powers: Mapping[str | int, int]) -> str:
    parts = [f"{base}" + ("²" if p == 2 else "") for base, p in powers.items()]
    return " ".join(parts) or "1"


def factors(formulas: Sequence[Expr]) -> Iterator[Factor]:
    """Every factor that is tried, the likeliest first: fewer parts, 2 before sizes."""
    nodes = order(formulas)
    named = {d for n in nodes for d in n.shape if isinstance(d, str)}
    named |= {n.dim for n in nodes if isinstance(n, Size)}
    numbers = {
        d
        for n in nodes
        if n.op is not None and n.op.name == "sum"
        for d in n.args[0].shape
        if isinstance(d, int) and d > 2
    }
    bases: list[str | int] = [2, *sorted(named), *sorted(numbers)[:SIZES]]
    found = []
    wide = [isinstance(b, str) or b == 2 for b in bases]
    reach = [range(-2, 3) if w else range(-1, 2) for w in wide]
    for powers in product(*reach):
        if sum(map(abs, powers)) <= MOST:
            own = {b: p for b, p in zip(bases, powers, strict=True) if p}
            found += [Factor(False, own), Factor(True, own)]
    ranked = sorted(found, key=lambda f: f.cost)
    yield from (f for f in ranked if f.cost)
