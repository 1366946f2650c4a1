"""Sums, the largest entry, and what is built on them row by row."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kokuban.entry import Index, Largest, Sum, call
from kokuban.errors import SettingError
from kokuban.expr import Expr, Value, apply, as_expr, spread
from kokuban.op import ATOM, LOOSE, Operation, Sample, define
from kokuban.ops.elementwise import step
from kokuban.shape import Shape

OVER = ("all", "rows", "columns")


def sum(x: Value, over: str = "all") -> Expr:
    """The sum over `"all"` entries (1×1), the `"rows"` (1×n) or the `"columns"` (m×1)."""
    return apply("sum", as_expr(x), over=over)


def _summed_shape(a: Shape, over: str) -> Shape:
    if over not in OVER:
        raise SettingError(f"over is one of {', '.join(OVER)}, not {over!r}.")
    return 1 if over != "columns" else a[0], 1 if over != "rows" else a[1]


def _summed_entry(i: Index, j: Index, x: Any, over: str) -> Any:
    k, m = Index("k", x.shape[0]), Index("m", x.shape[1])
    if over == "rows":
        return Sum(k, x[k, j])
    if over == "columns":
        return Sum(m, x[i, m])
    return Sum(k, Sum(m, x[k, m]))


AXIS = {"all": None, "rows": 0, "columns": 1}

define(
    Operation(
        name="sum",
        arity=1,
        shape=_summed_shape,
        numpy=lambda xp, x, over: xp.sum(x, axis=AXIS[over], keepdims=True),
        vjp=(lambda g, y, x, over: spread(g, x.shape),),
        entry=_summed_entry,
        text="sum({0}, over={over})",
        latex=r"\textstyle\sum {0}",
        binds=(ATOM, LOOSE),
        native="sum",
        samples=tuple(Sample(((4, 3),), attrs={"over": over}) for over in OVER),
        kinks=None,
    )
)


def _per_row(
    name: str,
    numpy: Callable[..., Any],
    vjp: Callable[..., Any],
    entry: Callable[..., Any],
    latex: str,
    to_column: bool,
    kinks: Callable[..., tuple[Any, ...]] | None = None,
) -> None:
    define(
        Operation(
            name=name,
            arity=1,
            shape=lambda a: (a[0], 1) if to_column else a,
            numpy=numpy,
            vjp=(vjp,),
            entry=entry,
            text=f"{name}({{0}})",
            latex=latex,
            binds=(ATOM, LOOSE),
            native=name,
            samples=(Sample(((4, 3),)), Sample(((2, 1),))),
            kinks=kinks,
        )
    )


def row_max(x: Value) -> Expr:
    """The largest entry of each row: m×n to m×1; ties share the gradient equally."""
    return apply("row_max", as_expr(x))


def _row_max_rule(g: Expr, y: Expr, x: Expr) -> Expr:
    largest = step(x - y)  # 1 where x reaches its row's maximum
    return g / sum(largest, over="columns") * largest


def _row_max_gap(x: Expr) -> Expr:
    """How far the second largest entry of a row lies below the largest: 0 at a tie."""
    largest = step(x - row_max(x))
    alone = step(1.5 - sum(largest, over="columns"))
    below = x - largest * 1e30
    return (row_max(x) - row_max(below)) * alone


_per_row(
    "row_max",
    lambda xp, x: xp.max(x, axis=1, keepdims=True),
    _row_max_rule,
    lambda i, j, x: Largest(k := Index("k", x.shape[1]), x[i, k]),
    r"\max_j {0}",
    to_column=True,
    kinks=lambda x: (_row_max_gap(x),),
)


def logsumexp(x: Value) -> Expr:
    """ln of the sum of e^x over each row, without overflow: m×n to m×1."""
    return apply("logsumexp", as_expr(x))


def _shift(xp: Any, x: Any) -> Any:
    """The largest (real) entry of each row: what may be subtracted without a change."""
    real = xp.real(x) if xp.isdtype(x.dtype, "complex floating") else x
    return xp.max(real, axis=1, keepdims=True)


def _logsumexp(xp: Any, x: Any) -> Any:
    shift = _shift(xp, x)
    return xp.log(xp.sum(xp.exp(x - shift), axis=1, keepdims=True)) + shift


_per_row(
    "logsumexp",
    _logsumexp,
    lambda g, y, x: g * softmax(x),
    lambda i, j, x: call("log", Sum(k := Index("k", x.shape[1]), call("exp", x[i, k]))),
    r"\operatorname{{logsumexp}}({0})",
    to_column=True,
)


def softmax(x: Value) -> Expr:
    """e^x over its row's sum, row by row: m×n to m×n, each row sums to 1."""
    return apply("softmax", as_expr(x))


def _softmax(xp: Any, x: Any) -> Any:
    e = xp.exp(x - _shift(xp, x))
    return e / xp.sum(e, axis=1, keepdims=True)


_per_row(
    "softmax",
    _softmax,
    lambda g, y, x: y * (g - sum(g * y, over="columns")),
    lambda i, j, x: (
        call("exp", x[i, j]) / Sum(k := Index("k", x.shape[1]), call("exp", x[i, k]))
    ),
    r"\operatorname{{softmax}}({0})",
    to_column=False,
)

__all__ = ["logsumexp", "row_max", "softmax", "sum"]
