"""Rational formulas in exact arithmetic: modulo a prime, at random points."""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from typing import Any, Final

import numpy as np

from kokuban.expr import Const, Expr, Size, Symbol
from kokuban.formula.trial import ROUNDS, Array, Sizes, Trial, Values, shape_at
from kokuban.op import DIMENSIONS
from kokuban.shape import size_of

PRIME: Final = 2**61 - 1
POINTS: Final = 3  # each errs with a chance of about the degree over the prime
LARGEST: Final = 10**5  # numbers in all parts together, with the steps of products

# Operations whose NumPy form takes Python's whole numbers as it is.
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


def agree(trial: Trial) -> bool | None:
    """Whether the two formulas agree modulo the prime, at several points.

    None where that cannot be told: they are not rational, or large, or always divide by
    zero.
    """
    if not all(_rational(n) for n in trial.nodes) or _work(trial) > LARGEST:
        return None
    seen = 0
    for round_ in range(ROUNDS):
        sizes = trial.sizes(round_)
        values = trial.values(sizes, partial(_drawn, trial.rng), 1)
        try:
            one, other = _values(trial, sizes, values)
        except ValueError:  # a division by zero: another point
            continue
        if np.any(one != other):
            return False
        seen += 1
        if seen == POINTS:
            return True
    return None


def rounded(nodes: Iterable[Expr]) -> bool:
    """Whether a constant may have been rounded when formulas were put together.

    Whole numbers and short binary fractions add and multiply without.
    """
    return any(isinstance(n, Const) and not _is_short(n) for n in nodes)


def _is_short(node: Const) -> bool:
    return all(float(v * 2**10).is_integer() and abs(v) < 2**20 for v in _entries(node))


def _entries(node: Const) -> list[float]:
    rows = node.value if isinstance(node.value, tuple) else ((node.value,),)
    return [v for row in rows for v in row]


def _rational(node: Expr) -> bool:
    """Whether a node is made from its arguments by + - · / alone."""
    if isinstance(node, Symbol):
        return node.role != "counter"
    if node.op is None or node.op.name in (*_RING, "divide"):
        return True
    return node.op.name == "power" and _exponent(node).is_integer()


def _exponent(node: Expr) -> float:
    return float(dict(node.attrs)["exponent"])


def _work(trial: Trial) -> int:
    sizes = trial.sizes(ROUNDS)
    products = (n for n in trial.nodes if n.op is not None and n.op.name == "matmul")
    steps = (
        math.prod(shape_at(n, sizes)) * shape_at(n.args[0], sizes)[1] for n in products
    )
    return trial.entries + sum(steps)


def _drawn(rng: np.random.Generator, shape: tuple[int, int]) -> Array:
    return _whole(rng.integers(1, PRIME, shape).tolist())


def _whole(rows: list[list[int]]) -> Array:
    return np.array(rows, dtype=object)


def _values(trial: Trial, sizes: Sizes, values: Values) -> list[Array]:
    """The formulas' values; ValueError for a division by zero."""
    done: dict[Expr, Array] = {}
    for node in trial.nodes:
        arguments = [done[a] for a in node.args]
        done[node] = _value(node, arguments, sizes, values) % PRIME
    return [done[f] for f in trial.formulas]


def _value(node: Expr, args: list[Array], sizes: Sizes, values: Values) -> Array:
    if isinstance(node, Symbol):
        return values[node]
    if isinstance(node, Size):
        return _whole([[sizes[node.dim]]])
    if isinstance(node, Const):
        rows, columns = shape_at(node, sizes)
        numbers = [_residue(v) for v in _entries(node)]
        return _whole([numbers[k * columns : (k + 1) * columns] for k in range(rows)])
    assert node.op is not None
    if node.op.name == "divide":
        return np.multiply(args[0], _powers(args[1], -1))
    if node.op.name == "power":
        return _powers(args[0], int(_exponent(node)))
    attrs = {k: _sized(k, v, sizes) for k, v in node.attrs}
    found: Array = node.op.numpy(np, *args, **attrs)
    return found


def _residue(value: float) -> int:
    """A number as its decimal digits say, so that 0.1 is a tenth."""
    exact = Fraction(repr(float(value)))
    return exact.numerator * pow(exact.denominator, -1, PRIME)


def _powers(base: Array, exponent: int) -> Array:
    return _whole([[pow(int(v), exponent, PRIME) for v in row] for row in base])


def _sized(name: str, value: Any, sizes: Sizes) -> Any:
    if name not in DIMENSIONS:
        return value
    if isinstance(value, tuple):
        return tuple(size_of(d, sizes) for d in value)
    return size_of(value, sizes)
