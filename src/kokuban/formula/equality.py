"""Whether two formulas are equal, whatever form they are written in.

By shape; then, where both are rational, by their values modulo a prime at random points,
which decides as surely as one could wish (Schwartz, "Fast probabilistic algorithms for
verification of polynomial identities", JACM 27 (1980), lemma 1); else by their values in
float64 at random points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np

from kokuban.errors import DataError
from kokuban.expr import Expr, order, require, substitute
from kokuban.formula import modulo
from kokuban.formula.trial import Array, Sizes, Trial, Values
from kokuban.rewrite import simplify_all
from kokuban.run import Program
from kokuban.shape import show

SCALES: Final = (1.0, 0.2, 3.0, None)  # of the values in each round; None: all positive
RTOL: Final = 1e-9  # of the largest entry; two formulas that differ do so by far more
CONDITION: Final = 1e-6  # of what float32 gets wrong: 2^-29 of it and a margin


@dataclass(frozen=True, slots=True)
class Comparison:
    """Whether two formulas are equal, and how that was seen. True where they are.

    how     "identity", "shape", "exact" (modulo a prime) or "numbers" (float64)
    reason  what was seen, in a sentence
    """

    equal: bool
    how: str
    reason: str

    def __bool__(self) -> bool:
        return self.equal


def compare(a: Expr, b: Expr, *, seed: int = 0) -> Comparison:
    """Whether two formulas have the same value, wherever both have one.

    What an operation's record leaves to convention, such as the slope at a corner, is met
    by no random point and makes no difference. `seed` draws the points.

    Raises ExpressionError for what is no expression, and DataError where the formulas
    are too large to evaluate or have no value at any point tried.
    """
    a, b = require(a, "What is compared"), require(b, "What is compared")
    if a.shape != b.shape:
        reason = f"One is {show(a.shape)}, the other {show(b.shape)}."
        return Comparison(False, "shape", reason)
    one, other = (_unmarked(e) for e in simplify_all([a, b]))
    if one is other:
        return Comparison(True, "identity", "Both simplify to the same formula.")
    trial = Trial([a, b], [one, other], seed)
    same = modulo.agree(trial)
    if same:
        return Comparison(True, "exact", "They agree exactly, at random points.")
    if same is None or modulo.rounded(trial.nodes):
        return _in_numbers(trial)
    return Comparison(False, "exact", _entry_that_differs(trial))


def _entry_that_differs(trial: Trial) -> str:
    """Where formulas that differ do so visibly, if numbers show it."""
    try:
        seen = _in_numbers(trial)
    except DataError:
        return "They differ."
    return "They differ." if seen else seen.reason


def _unmarked(e: Expr) -> Expr:
    """Without the marks that rows sum to 1: the values drawn have such rows."""
    marks = {n: n.args[0] for n in order([e]) if n.op and n.op.name == "distribution"}
    return substitute([e], marks)[0]


def _in_numbers(trial: Trial) -> Comparison:
    """Whether they agree to rounding, at points of several scales."""
    program = Program(trial.formulas)
    judged = lacking = False
    for round_, scale in enumerate(SCALES):
        sizes = trial.sizes(round_)
        values = trial.values(sizes, partial(_drawn, trial.rng, scale), 1.0)
        one, other = _run(program, values, sizes, np.float64)
        coarse = _run(program, values, sizes, np.float32)
        both = np.isfinite(one) & np.isfinite(other)
        lacking |= bool(np.any(np.isfinite(one) != np.isfinite(other)))
        allowed = _allowed((one, other), coarse, both)
        judged |= bool(np.any(both & np.isfinite(allowed)))
        gap = np.abs(np.subtract(one, other, where=both, out=np.zeros(both.shape)))
        if np.any(gap > allowed):
            place = np.unravel_index(int(np.argmax(gap / allowed)), gap.shape)
            return _differing(sizes, place, float(one[place]), float(other[place]))
    if not judged and not lacking:
        raise DataError("The formulas have no finite value at any point tried.")
    if not judged:
        return Comparison(False, "numbers", "One has values where the other has none.")
    return Comparison(True, "numbers", "They agree to rounding, at random points.")


def _drawn(
    rng: np.random.Generator, scale: float | None, shape: tuple[int, int]
) -> Array:
    """Normal numbers of a scale, or positive ones: small, so that rows can sum to 1."""
    if scale is None:
        return rng.uniform(0.1, 1.0, shape) / shape[1]
    return rng.normal(scale=scale, size=shape)


def _run(program: Program, values: Values, sizes: Sizes, dtype: Any) -> list[Array]:
    given = {s: v if s.role == "counter" else v.astype(dtype) for s, v in values.items()}
    with np.errstate(all="ignore"):
        found = program(given, np, dtype, sizes)
    return [f.astype(np.float64) for f in found]


def _allowed(values: Sequence[Array], coarse: Sequence[Array], both: Array) -> Array:
    """How far apart rounding may put them: what float32 gets wrong tells how far."""
    found = np.full(both.shape, 1e-300)
    with np.errstate(invalid="ignore"):
        for value, short in zip(values, coarse, strict=True):
            largest = np.max(np.abs(value), where=both, initial=0.0)
            error = np.abs(value - short)
            error[~np.isfinite(error)] = np.inf
            found += RTOL * largest + CONDITION * error
    return found


def _differing(sizes: Sizes, place: Any, one: float, other: float) -> Comparison:
    row, column = place
    said = ", ".join(f"{name} = {n}" for name, n in sizes.items())
    reason = (
        f"At a random point{f' with {said}' if said else ''}, entry ({row + 1},"
        f"{column + 1}) is {one:.4g} in one, {other:.4g} in the other."
    )
    return Comparison(False, "numbers", reason)
