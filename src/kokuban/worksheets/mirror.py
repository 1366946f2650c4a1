"""Formulas as they are written where samples are columns: every matrix transposed.

There `W x + b` stands for `x W + b`, softmax goes down a column, and a loss takes its
samples as columns. Mirroring goes from either to the other; twice, it changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kokuban.entry import Call as Call_, Entry, Index, Matrix, Number
from kokuban.errors import KokubanError
from kokuban.expr import (
    COMPOSITES,
    Call,
    Const,
    Expr,
    apply,
    constant,
    order,
    symbol,
    symbols,
)
from kokuban.op import Operation

# Of a sample each, and of the same shape: what a column is to them a row is here.
PER_SAMPLE: Final = ("softmax", "distribution")
TURNED: Final = {"rows": "columns", "columns": "rows", "all": "all"}


def mirrored(formula: Expr, leaves: Mapping[Expr, Expr]) -> Expr:
    """The transpose of a formula, each symbol being what `leaves` has for it.

    Raises ShapeError where a formula does not fit its mirrored parts.
    """
    new: dict[Expr, Expr] = dict(leaves)
    for node in order([formula], known=leaves):
        new[node] = _node(node, new)
    return new[formula]


def in_columns(formula: Expr) -> Expr:
    """A formula in symbols as it is written where samples are columns."""
    leaves: dict[Expr, Expr] = {s: turned(s.name, s) for s in symbols([formula])}
    return mirrored(formula, leaves)


def turned(name: str, e: Expr) -> Expr:
    """A symbol of the transposed shape."""
    return symbol(name, e.shape[::-1], "state")


def _node(node: Expr, new: dict[Expr, Expr]) -> Expr:
    if isinstance(node, Const) and isinstance(node.value, tuple):
        return constant(tuple(zip(*node.value, strict=True)))
    if node.op is None:
        return node
    if isinstance(node, Call):
        return _call(node, new)
    args = [new[a] for a in node.args]
    attrs = dict(node.attrs)
    match node.op.name:
        case "matmul":
            return args[1] @ args[0]
        case "sum":
            attrs["over"] = TURNED[attrs["over"]]
        case "broadcast":
            attrs["to"] = attrs["to"][::-1]
        case "slice" | "place":
            attrs["axis"] = 1 - attrs["axis"]
        case "transpose":
            pass
        case name if name not in PER_SAMPLE and not _entrywise(node.op, attrs, node):
            return apply(name, *(a.T for a in args), **attrs).T
    return apply(node.op.name, *args, **attrs)


def _call(node: Call, new: dict[Expr, Expr]) -> Expr:
    """A composite of its mirrored arguments, by its name where the name is true of it."""
    body = new[node.args[0]]
    shapes = {a.shape for a in node.arguments}
    attrs: dict[str, Any] = dict(node.attrs)
    if "over" in attrs:
        attrs["over"] = TURNED[attrs["over"]]
    if len(shapes) > 1 or node.shape not in ((1, 1), *shapes):
        return body
    try:
        return COMPOSITES[node.name](*(new[a] for a in node.arguments), **attrs)
    except (KokubanError, KeyError):
        return body


def _entrywise(op: Operation, attrs: Mapping[str, Any], node: Expr) -> bool:
    """Whether entry (i, j) of the result needs entries (i, j) only."""
    if op.entry is None:
        return False
    i, j = Index("i", "rows"), Index("j", "columns")
    slots = [Matrix(f"a{k}", ("rows", "columns")) for k in range(op.arity)]
    return _only_at(op.entry(i, j, *slots, **attrs), i, j)


def _only_at(t: Any, i: Index, j: Index) -> bool:
    match t:
        case Entry(_, row, column):
            return (row, column) == (i, j)
        case Call_(_, arguments):
            return all(_only_at(a, i, j) for a in arguments)
    return isinstance(t, Number)
