"""Whether two formulas are equal, whatever form they are written in.

By shape; then, where both are rational, by their values modulo a prime at random points,
which decides as surely as one could wish (Schwartz, "Fast probabilistic algorithms for
verification of polynomial identities", JACM 27 (1980), lemma 1); else by their values in
float64 at random points. The named dimensions have sizes that differ from one another and
from all others, so that nothing agrees because two sizes happen to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError
from kokuban.expr import Const, Expr, Size, Symbol, order, require, substitute, symbols
from kokuban.op import DIMENSIONS
from kokuban.rewrite import simplify_all
from kokuban.run import Program
from kokuban.shape import show, size_of

PRIME: Final = 2**61 - 1
POINTS: Final = 3  # in exact arithmetic; each errs with a chance of about degree/PRIME
SCALES: Final = (1.0, 0.2, 3.0)  # of the points in float64; one more is all positive
RTOL: Final = 1e-9  # of the largest entry; two formulas that differ do so by far more
CONDITION: Final = 1e-6  # of what float32 gets wrong: 2^-29 of it and a margin
LARGEST: Final = 10**7  # numbers in all parts of a formula together, in float64
LARGEST_EXACT: Final = 10**5  # and in exact arithmetic, with the steps of products

Array = NDArray[Any]
Values = dict[Symbol, Array]


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
    trial = _Trial([a, b], [one, other], np.random.default_rng(seed))
    exact = _exactly(trial)
    return _in_numbers(trial) if exact is None else exact


def _unmarked(e: Expr) -> Expr:
    """Without the marks that rows sum to 1: the values drawn have such rows."""
    marks = {n: n.args[0] for n in order([e]) if n.op and n.op.name == "distribution"}
    return substitute([e], marks)[0]


class _Trial:
    """Two formulas, and sizes and values to try them with."""

    def __init__(
        self, given: Sequence[Expr], formulas: list[Expr], rng: np.random.Generator
    ) -> None:
        self.formulas, self.rng = formulas, rng
        self.symbols = symbols([*given, *formulas])
        self.distributions = distributions(given)
        self.nodes = order([*given, *formulas])
        self.sizes = _sizes(self.nodes)
        self.entries = sum(math.prod(self.shape(n)) for n in self.nodes)
        if self.entries > LARGEST:
            raise DataError(
                f"The formulas have {self.entries:.1e} entries in all their parts; up to "
                f"{LARGEST:.0e} can be compared."
            )

    def shape(self, node: Expr) -> tuple[int, int]:
        rows, columns = (size_of(d, self.sizes) for d in node.shape)
        return rows, columns

    def values(self, draw: Callable[[tuple[int, int]], Array], one: Any) -> Values:
        """A value for each symbol, by `draw`; rows of a distribution sum to `one`."""
        found: Values = {}
        for s in self.symbols:
            shape = self.shape(s)
            if s.role == "counter":
                found[s] = self.rng.integers(1, 1000, shape)
                continue
            value = draw(shape)
            if s in self.distributions:
                value[:, -1] = one - np.sum(value[:, :-1], axis=1)
            found[s] = value
        return found


def distributions(expressions: Iterable[Expr]) -> set[Symbol]:
    """The symbols whose rows must sum to 1: those marked, and targets within a mark."""
    found = set[Symbol]()
    for node in order(expressions):
        if node.op is not None and node.op.name == "distribution":
            (inner,) = node.args
            found.update(symbols([inner], "target"))
            found.update([inner] if isinstance(inner, Symbol) else [])
    return found


def _sizes(nodes: Iterable[Expr]) -> dict[str, int]:
    """Sizes of the named dimensions: all different, and large enough for every block."""
    taken, dims, least = {1}, dict[str, None](), 3
    for node in nodes:
        for name, value in [("", node.shape), *node.attrs]:
            every = value if isinstance(value, tuple) else (value,)
            if name in ("", *DIMENSIONS):
                taken.update(d for d in every if isinstance(d, int))
                dims.update((d, None) for d in every if isinstance(d, str))
            elif name in ("start", "stop"):
                taken_rows = [d for d in node.shape if isinstance(d, int)]
                least = max(least, int(value) + max(taken_rows, default=0) + 1)
        if isinstance(node, Size):
            dims.setdefault(node.dim)
    found: dict[str, int] = {}
    for dim in dims:
        while least in taken:
            least += 1
        found[dim] = least
        taken.add(least)
    return found


# ---------------------------------------------------------------- modulo a prime

# Operations of NumPy that Python's whole numbers can go through as they are.
_RING: Final = (
    "add",
    "subtract",
    "multiply",
    "negate",
    "matmul",
    "transpose",
    "sum",
    "broadcast",
    "slice",
    "place",
)


def _rational(node: Expr) -> bool:
    """Whether a node is made from its arguments by + - · / alone."""
    if node.op is None or node.op.name in (*_RING, "divide"):
        return True
    return node.op.name == "power" and _exponent(node).is_integer()


def _exponent(node: Expr) -> float:
    return float(dict(node.attrs)["exponent"])


def _exactly(trial: _Trial) -> Comparison | None:
    """Whether they agree modulo the prime; None where that cannot be told."""
    nodes = order(trial.formulas)
    work = trial.entries + sum(
        math.prod(trial.shape(n)) * trial.shape(n.args[0])[1]
        for n in nodes
        if n.op is not None and n.op.name == "matmul"
    )
    if work > LARGEST_EXACT or not all(_rational(n) for n in nodes):
        return None
    if any(s.role == "counter" for s in trial.symbols):
        return None
    seen = 0
    for _ in range(2 * POINTS):
        values = trial.values(partial(_residues, trial.rng), 1)
        try:
            one, other = _modulo(trial, nodes, values)
        except ValueError:  # a division by zero: another point
            continue
        seen += 1
        if np.any(one != other):
            return _differing(trial, nodes)
        if seen == POINTS:
            return Comparison(True, "exact", "They agree exactly, at random points.")
    return None


def _differing(trial: _Trial, nodes: Iterable[Expr]) -> Comparison | None:
    """They differ, for sure if no constant was rounded on the way; else None."""
    rounded = [n for n in nodes if isinstance(n, Const) and not _is_short(n)]
    if rounded:
        return None
    seen = _in_numbers(trial)
    reason = "They differ." if seen.equal else seen.reason
    return Comparison(False, "exact", reason)


def _is_short(node: Const) -> bool:
    """Whether all its numbers are whole or short binary fractions, which add exactly."""
    rows = node.value if isinstance(node.value, tuple) else ((node.value,),)
    return all(float(v * 2**10).is_integer() and abs(v) < 2**20 for r in rows for v in r)


def _residues(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    found = np.empty(shape, object)
    found[...] = rng.integers(1, PRIME, shape).tolist()
    return found


def _modulo(trial: _Trial, nodes: Sequence[Expr], values: Values) -> list[Array]:
    """The formulas' values modulo the prime; ValueError for a division by zero."""
    done: dict[Expr, Array] = {}
    for node in nodes:
        arguments = [done[a] for a in node.args]
        done[node] = _residue(trial, node, arguments, values) % PRIME
    return [done[f] for f in trial.formulas]


def _residue(trial: _Trial, node: Expr, args: list[Array], values: Values) -> Array:
    if isinstance(node, Symbol):
        return values[node]
    if isinstance(node, Size):
        return _whole([[trial.sizes[node.dim]]])
    if isinstance(node, Const):
        rows = node.value if isinstance(node.value, tuple) else ((node.value,),)
        return _whole([[_fraction(v) for v in row] for row in rows])
    assert node.op is not None
    if node.op.name == "divide":
        return np.multiply(args[0], _powers(args[1], -1))
    if node.op.name == "power":
        return _powers(args[0], int(_exponent(node)))
    attrs = {k: _sized(trial, k, v) for k, v in node.attrs}
    found: Array = node.op.numpy(np, *args, **attrs)
    return found


def _whole(rows: list[list[int]]) -> Array:
    return np.array(rows, dtype=object)


def _fraction(value: float) -> int:
    """A number as its decimal digits say, so that 0.1 is a tenth."""
    exact = Fraction(repr(float(value)))
    return exact.numerator * pow(exact.denominator, -1, PRIME)


def _powers(base: Array, exponent: int) -> Array:
    rows = [[pow(int(v), exponent, PRIME) for v in row] for row in base]
    return _whole(rows)


def _sized(trial: _Trial, name: str, value: Any) -> Any:
    if name not in DIMENSIONS:
        return value
    if isinstance(value, tuple):
        return tuple(size_of(d, trial.sizes) for d in value)
    return size_of(value, trial.sizes)


# ---------------------------------------------------------------- in float64


def _in_numbers(trial: _Trial) -> Comparison:
    """Whether they agree to rounding, at points of several scales."""
    program = Program(trial.formulas)
    judged = lacking = False
    for scale in (*SCALES, None):
        values = trial.values(partial(_drawn, trial.rng, scale), 1.0)
        one, other = _run(program, values, trial.sizes, np.float64)
        coarse = _run(program, values, trial.sizes, np.float32)
        both = np.isfinite(one) & np.isfinite(other)
        lacking |= bool(np.any(np.isfinite(one) != np.isfinite(other)))
        gap = np.where(both, np.abs(one - other), 0.0)
        allowed = _allowed((one, other), coarse, both)
        judged |= bool(np.any(both & np.isfinite(allowed)))
        if np.any(gap > allowed):
            return _first_gap(trial, one, other, gap / allowed)
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


def _run(
    program: Program, values: Values, sizes: Mapping[str, int], dtype: Any
) -> list[Array]:
    given = {s: v if s.role == "counter" else v.astype(dtype) for s, v in values.items()}
    with np.errstate(all="ignore"):
        found = program(given, np, dtype, sizes)
    return [f.astype(np.float64) for f in found]


def _allowed(values: Sequence[Array], coarse: Sequence[Array], both: Array) -> Array:
    """How far apart rounding may put them: what float32 gets wrong tells how far."""
    found = np.zeros(both.shape)
    with np.errstate(invalid="ignore"):
        for value, short in zip(values, coarse, strict=True):
            largest = np.max(np.abs(value), where=both, initial=0.0)
            error = np.abs(value - short)
            error[~np.isfinite(error)] = np.inf
            found += RTOL * largest + CONDITION * error + 1e-300
    return found


def _first_gap(trial: _Trial, one: Array, other: Array, excess: Array) -> Comparison:
    row, column = np.unravel_index(int(np.argmax(excess)), excess.shape)
    sizes = ", ".join(f"{name} = {n}" for name, n in trial.sizes.items())
    at = f"At a random point{f' with {sizes}' if sizes else ''}"
    reason = (
        f"{at}, entry ({row + 1},{column + 1}) is {one[row, column]:.4g} in one, "
        f"{other[row, column]:.4g} in the other."
    )
    return Comparison(False, "numbers", reason)
