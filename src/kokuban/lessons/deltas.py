"""A delta as its own term and the sum over the others: δ_k = (r = k) + Σ_{r ≠ k}."""

from __future__ import annotations

from dataclasses import dataclass

from kokuban.entry import Delta, Entry, Index, Term
from kokuban.explain.backward import Gradient, Tape
from kokuban.explain.calculus import (
    Calculus,
    Monomial,
    Polynomial,
    collected,
    inserted,
    replaced,
)
from kokuban.explain.entries import Entries, prove
from kokuban.explain.layout import SPACE, Box, Fraction, Script, name, row, sign
from kokuban.explain.notation import Notation

LETTERS = ("r", "k")  # the outputs summed over; the one that is differentiated by


@dataclass(frozen=True, slots=True)
class Split:
    """∂E/∂u_k in two parts, each in letters.

    chain    ∂E/∂y_r ∂y_r/∂u_k, once for r = k and once under the sum over r ≠ k
    slopes   ∂y_r/∂u_k for r = k and for r ≠ k; None where it is 0
    terms    the two parts with ∂E/∂y_r written out; the second is None where it is 0
    """

    chain: tuple[Box, Box]
    slopes: tuple[Box, Box | None]
    terms: tuple[Box, Box | None]


def split(found: Tape, g: Gradient) -> Split:
    """The gradient by the output layer's total input, as own term and others.

    Of one sample, with samples in columns.
    """
    (share,) = g.shares
    q = share.through
    (above,) = (other.value for other in found.gradients if other.of is q.symbol)
    proof = prove(share, g.of, above, columns=True)
    s, p = proof.y.column, proof.by.column
    assert isinstance(s, Index)
    assert isinstance(p, Index)
    r, k = (Index(x, s.over) for x in LETTERS)

    def renamed(p_: Polynomial) -> Polynomial:
        return [_with(_with(m, s, r), p, k) for m in p_]

    gradient = q.gradient.name
    upstream = Entry(gradient, 0, r)
    slopes = renamed(proof.slopes)
    chained = [Monomial(m.number, m.sums, ((upstream, 1), *m.factors)) for m in slopes]
    put_in = collected(inserted(Calculus(), chained, gradient, above))
    write = Entries(Notation({}, True), {**proof.leaves, q.symbol.name: q.symbol})
    loss = write.entry(Entry(found.quantities[-1].symbol.name, 0, 0))

    def parts(p_: Polynomial) -> tuple[Box, Box | None]:
        own = collected([_with(_without_deltas(m), r, k) for m in p_])
        others = [m for m in p_ if not _has_delta(m)]
        return write.polynomial(own), write.polynomial(others) if others else None

    def step(at: Index) -> Box:
        y = write.entry(Entry(q.symbol.name, 0, at))
        by = write.entry(Entry(g.of.name, 0, k))
        return row(_partial(loss, y), SPACE, _partial(y, by))

    own, others = parts(put_in)
    return Split(
        (step(k), row(over_others(), SPACE, step(r))),
        parts(slopes),
        (own, None if others is None else row(over_others(), SPACE, others)),
    )


def slopes(found: Tape, g: Gradient) -> tuple[Box, Box]:
    """∂y_r/∂u_k of one sample, and what it is, with Kronecker's delta."""
    (share,) = g.shares
    proof = prove(share, g.of, None)
    s, p = proof.y.column, proof.by.column
    assert isinstance(s, Index)
    assert isinstance(p, Index)
    r, k = (Index(x, s.over) for x in LETTERS)
    write = Entries(Notation(), proof.leaves)
    y = write.entry(Entry(proof.y.matrix, 0, r))
    by = write.entry(Entry(proof.by.matrix, 0, k))
    found_slopes = [_with(_with(m, s, r), p, k) for m in proof.slopes]
    return _partial(y, by), write.polynomial(found_slopes)


def over_others() -> Box:
    """Σ over r ≠ k."""
    r, k = LETTERS
    return Script(sign("∑"), lower=row(name(r), "≠", name(k)))


def _partial(over: Box, by: Box) -> Box:
    d = sign("∂")
    return Fraction(row(d, over), row(d, by))


def _with(m: Monomial, old: Index, new: Index) -> Monomial:
    """The monomial with one index put for another."""
    powers: dict[Term, int] = {}
    for f, n in m.factors:
        f = replaced(f, old, new)
        powers[f] = powers.get(f, 0) + n
    return Monomial(m.number, m.sums, tuple((f, n) for f, n in powers.items() if n))


def _has_delta(m: Monomial) -> bool:
    return any(isinstance(f, Delta) for f, _ in m.factors)


def _without_deltas(m: Monomial) -> Monomial:
    return Monomial(
        m.number, m.sums, tuple(x for x in m.factors if not isinstance(x[0], Delta))
    )
