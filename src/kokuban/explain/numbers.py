"""Values put in: what every quantity and every gradient of a derivation is at a point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.explain.backward import Gradient, Share, Tape
from kokuban.expr import Expr, Symbol, order, symbols
from kokuban.run import evaluate
from kokuban.shape import bind

Matrix = NDArray[np.float64]
Values = dict[Symbol, Matrix]


def worked_out(found: Tape, at: Mapping[Any, Any]) -> tuple[Values, dict[str, int]]:
    """The values of all symbols, quantities and gradients, and the dimensions' sizes.

    Raises DataError where a value is missing, ShapeError where one does not fit.
    """
    known: dict[str, int] = {}
    values: Values = {}
    from kokuban.run.reference import as_matrix, by_symbol

    leaves = symbols([found.loss])
    for s, value in by_symbol(leaves, at).items():
        values[s] = np.asarray(as_matrix(s, value, np, np.float64))
        bind(known, s.shape, values[s].shape, s.name)
    for q in found.quantities:
        values[q.symbol] = _value(q.body, values, known)
    for g in found.gradients:
        if g.quantity is not None:
            values[g.quantity.gradient] = _value(g.value, values, known)
    return values, known


def _value(formula: Expr, values: Values, known: Mapping[str, int]) -> Matrix:
    needed = symbols([formula])
    given: dict[Symbol | str, Any] = {s: values[s] for s in needed if s in values}
    found: Matrix = evaluate(
        formula, given, dtype=np.float64, simplify=False, sizes=dict(known)
    )
    return found


def worst_entry(
    found: Tape, g: Gradient, share: Share, at: Mapping[Any, Any] | None
) -> tuple[tuple[int, int], tuple[float, float], dict[str, int]] | None:
    """Where one share alone is furthest from the gradient: entry, both, and the sizes.

    At the values given, or at random ones; None where those make nothing finite.
    """
    with np.errstate(all="ignore"):
        values, known = worked_out(found, random_values(found.loss) if at is None else at)
        wrong, right = (_value(f, values, known) for f in (share.value, g.value))
    gap = np.abs(wrong - right)
    if not np.isfinite(gap).all():
        return None
    i, j = np.unravel_index(int(np.argmax(gap)), gap.shape)
    return (int(i), int(j)), (float(wrong[i, j]), float(right[i, j])), known


def random_values(loss: Expr, seed: int = 0, size: int = 2) -> Values:
    """Short numbers for every symbol; rows of distributions are one-hot."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    nodes = order([loss])
    shared = [n.args[0] for n in nodes if n.op and n.op.name == "distribution"]
    values: Values = {}
    for s in symbols([loss]):
        rows, columns = (
            d if isinstance(d, int) else sizes.setdefault(d, size + len(sizes))
            for d in s.shape
        )
        values[s] = np.round(rng.uniform(-1, 1, (rows, columns)), 1) + 0.0
        if s in shared:
            values[s] = np.eye(columns)[rng.integers(columns, size=rows)]
        elif s.role == "counter":
            values[s] = np.zeros((rows, columns))
    return values
