"""Operations in ONNX: one row for each, by its name.

A row takes the graph, the arguments' tensors and the operation's attributes, adds nodes
and gives the result's tensor. Operators without a float64 kernel in common runtimes are
written in others; only erf has none to be written in, and is float32's there.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kokuban.errors import InterchangeError
from kokuban.interchange.graph import Graph, Tensor
from kokuban.shape import Dim

Row = Callable[..., Tensor]

REFUSED = {
    "dropout_mask": "its numbers are drawn by Philox4x64-10, which ONNX has not; export "
    "the prediction, which drops nothing",
}


def _same(kind: str) -> Row:
    """The operator of ONNX that is the operation."""
    return lambda g, *args: g.node(kind, *args)


def _power(g: Graph, x: Tensor, exponent: float) -> Tensor:
    return g.node("Mul", x, x) if exponent == 2 else g.node("Pow", x, g.number(exponent))


def _expm1(g: Graph, x: Tensor) -> Tensor:
    """tanh(x/2) (e^x + 1), which keeps the digits of a small x."""
    half = g.node("Tanh", g.node("Mul", x, g.number(0.5)))
    return g.node("Mul", half, g.node("Add", g.node("Exp", x), g.number(1)))


def _step(g: Graph, x: Tensor, at_zero: float) -> Tensor:
    zero, one = g.number(0), g.number(1)
    elsewhere = g.node("Where", g.node("Equal", x, zero), g.number(at_zero), zero)
    return g.node("Where", g.node("Greater", x, zero), one, elsewhere)


def _softplus(g: Graph, x: Tensor) -> Tensor:
    """max(x, 0) + ln(1 + e^-|x|)."""
    small = g.node("Exp", g.node("Neg", g.node("Abs", x)))
    log1p = g.node("Log", g.node("Add", small, g.number(1)))
    return g.node("Add", g.node("Max", x, g.number(0)), log1p)


def _erf(g: Graph, x: Tensor) -> Tensor:
    if g.dtype == np.float32:
        return g.node("Erf", x)
    return g.cast(g.node("Erf", g.cast(x, np.float32)), g.dtype)


def _sum(g: Graph, x: Tensor, over: str) -> Tensor:
    axes = {"all": (0, 1), "rows": (0,), "columns": (1,)}[over]
    return g.node("ReduceSum", x, g.whole(*axes), keepdims=1)


def _row_max(g: Graph, x: Tensor) -> Tensor:
    return g.node("ReduceMax", x, g.whole(1), keepdims=1)


def _logsumexp(g: Graph, x: Tensor) -> Tensor:
    """ln Σ e^(x - m) + m, m the row's largest entry."""
    largest = _row_max(g, x)
    total = _sum(g, g.node("Exp", g.node("Sub", x, largest)), "columns")
    return g.node("Add", g.node("Log", total), largest)


def _slice(g: Graph, x: Tensor, axis: int, start: int, stop: int) -> Tensor:
    return g.node("Slice", x, g.whole(start), g.whole(stop), g.whole(axis))


def _place(g: Graph, x: Tensor, axis: int, start: int, total: Dim) -> Tensor:
    have = g.node("Shape", x, start=axis, end=axis + 1)
    after = g.node("Sub", g.node("Sub", g.size(total), have), g.whole(start))
    pads = g.node("Concat", g.whole(start), after, axis=0)
    zero = g.constant(np.zeros((), g.dtype))
    return g.node("Pad", x, pads, zero, g.whole(axis))


ROWS: dict[str, Row] = {
    "add": _same("Add"),
    "subtract": _same("Sub"),
    "multiply": _same("Mul"),
    "divide": _same("Div"),
    "negate": _same("Neg"),
    "power": _power,
    "maximum": _same("Max"),
    "minimum": _same("Min"),
    "exp": _same("Exp"),
    "expm1": _expm1,
    "log": _same("Log"),
    "sqrt": _same("Sqrt"),
    "abs": _same("Abs"),
    "sign": _same("Sign"),
    "step": _step,
    "relu": lambda g, x, at_zero: g.node("Relu", x),
    "sin": _same("Sin"),
    "cos": _same("Cos"),
    "sigmoid": _same("Sigmoid"),
    "tanh": _same("Tanh"),
    "softplus": _softplus,
    "erf": _erf,
    "matmul": _same("MatMul"),
    "transpose": lambda g, x: g.node("Transpose", x, perm=[1, 0]),
    "sum": _sum,
    "row_max": _row_max,
    "logsumexp": _logsumexp,
    "softmax": lambda g, x: g.node("Softmax", x, axis=1),
    "broadcast": lambda g, x, to: g.node("Expand", x, g.shape(to)),
    "slice": _slice,
    "place": _place,
    "distribution": lambda g, x: x,  # the mark of a target; ONNX cannot hold data to it
}


def row(name: str) -> Row:
    """The row of an operation; InterchangeError, with the reason, where it has none."""
    if name in ROWS:
        return ROWS[name]
    why = REFUSED.get(name, "it has no row in kokuban.interchange.operations")
    raise InterchangeError(f"ONNX cannot hold the operation {name!r}: {why}.")
