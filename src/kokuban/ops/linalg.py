"""The matrix product and the transpose."""

from __future__ import annotations

from kokuban.entry import Index, Sum
from kokuban.errors import ShapeError
from kokuban.expr import Expr, Value, apply, as_expr
from kokuban.op import ATOM, PRODUCT, Operation, Sample, define
from kokuban.shape import Shape


def matmul(a: Value, b: Value) -> Expr:
    """The matrix product: m×k times k×n is m×n. ShapeError if the k differ."""
    return apply("matmul", as_expr(a), as_expr(b))


def _matmul_shape(a: Shape, b: Shape) -> Shape:
    if a[1] != b[0]:
        raise ShapeError(
            f"In a matrix product the inner dimensions, here {a[1]} and {b[0]}, must be "
            "equal."
        )
    return a[0], b[1]


define(
    Operation(
        name="matmul",
        arity=2,
        shape=_matmul_shape,
        numpy=lambda xp, a, b: xp.matmul(a, b),
        vjp=(lambda g, y, a, b: g @ b.T, lambda g, y, a, b: a.T @ g),
        entry=lambda i, j, a, b: Sum(k := Index("k", a.shape[1]), a[i, k] * b[k, j]),
        text="{0} @ {1}",
        latex="{0} {1}",
        binds=(PRODUCT, PRODUCT, PRODUCT + 1),
        native="matmul",
        samples=(Sample(((4, 3), (3, 2))), Sample(((1, 3), (3, 1)))),
        kinks=None,
    )
)


def transpose(a: Value) -> Expr:
    """Rows become columns: m×n to n×m."""
    return apply("transpose", as_expr(a))


define(
    Operation(
        name="transpose",
        arity=1,
        shape=lambda a: (a[1], a[0]),
        numpy=lambda xp, a: a.T,
        vjp=(lambda g, y, a: g.T,),
        entry=lambda i, j, a: a[j, i],
        text="{0}.T",
        latex=r"{0}^{{\top}}",
        binds=(ATOM, ATOM),
        native="transpose",
        samples=(Sample(((4, 3),)),),
        kinks=None,
    )
)

__all__ = ["matmul", "transpose"]
