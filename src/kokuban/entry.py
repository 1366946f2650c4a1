"""The index form: what an operation does, entry by entry.

`matmul` is (i, j) -> Sum over k of a[i, k] b[k, j]. These few records are the
whole vocabulary; the derivation in entries reads them, and a test evaluates them
against the reference, entry by entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from kokuban.shape import Dim, Shape


@dataclass(frozen=True, slots=True)
class Index:
    """An index running over a dimension; `shift` is added to it where it is used."""

    name: str
    over: Dim
    shift: int = 0

    def __add__(self, shift: int) -> Index:
        return Index(self.name, self.over, self.shift + shift)


class Term:
    """A scalar formula in entries. Final forms: the records below."""

    __slots__ = ()

    def __add__(self, other: Term | float) -> Term:
        return Call("+", (self, term(other)))

    def __sub__(self, other: Term | float) -> Term:
        return Call("-", (self, term(other)))

    def __neg__(self) -> Term:
        return Call("neg", (self,))

    def __mul__(self, other: Term | float) -> Term:
        return Call("*", (self, term(other)))

    def __truediv__(self, other: Term | float) -> Term:
        return Call("/", (self, term(other)))


@dataclass(frozen=True, slots=True)
class Number(Term):
    """A number."""

    value: float


@dataclass(frozen=True, slots=True)
class Entry(Term):
    """One entry of a matrix; the place of an index may be 0, the only row or column."""

    matrix: str
    row: Index | int
    column: Index | int


@dataclass(frozen=True, slots=True)
class Delta(Term):
    """Kronecker's delta: 1 where the two indices agree, else 0."""

    left: Index
    right: Index


@dataclass(frozen=True, slots=True)
class Sum(Term):
    """The sum of `body` over all values of `index`."""

    index: Index
    body: Term


@dataclass(frozen=True, slots=True)
class Largest(Term):
    """The largest value of `body` over all values of `index`."""

    index: Index
    body: Term


@dataclass(frozen=True, slots=True)
class Call(Term):
    """A scalar function, named as its operation, of scalar formulas."""

    function: str
    arguments: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix whose entries can be named: `a[i, k]`."""

    name: str
    shape: Shape

    def __getitem__(self, place: tuple[Index | int, Index | int]) -> Entry:
        return Entry(self.name, *place)


def term(value: Term | float) -> Term:
    """`value` as a formula; a plain number becomes a Number."""
    return value if isinstance(value, Term) else Number(float(value))


def call(function: str, *arguments: Term | float) -> Call:
    """A scalar function of formulas or numbers."""
    return Call(function, tuple(term(a) for a in arguments))
