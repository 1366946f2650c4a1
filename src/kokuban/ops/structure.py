"""Operations that move entries without computing: broadcast, blocks, and a mark."""

from __future__ import annotations

from typing import Any

from kokuban.entry import Delta, Index, Matrix, Sum, Term
from kokuban.errors import DataError, ShapeError
from kokuban.expr import Expr, Value, apply, as_expr
from kokuban.op import ATOM, LOOSE, Operation, Sample, define
from kokuban.shape import Dim, Shape, shape_of, show


def broadcast(x: Value, to: Shape) -> Expr:
    """A row, a column or a number repeated to the shape `to` (the notes' Dup).

    Shapes: 1×n, m×1 or 1×1 to m×n. Raises ShapeError for any other.
    """
    x, to = as_expr(x), shape_of(to)
    return x if x.shape == to else apply("broadcast", x, to=to)


def ones(shape: Shape) -> Expr:
    """A matrix of ones."""
    return broadcast(1.0, shape)


def zeros(shape: Shape) -> Expr:
    """A matrix of zeros."""
    return broadcast(0.0, shape)


LINES = ("rows", "columns")


def _repeated(shape: Shape, to: Shape) -> str:
    """Which of its dimensions a broadcast repeats: "rows", "columns" or "all"."""
    rows, columns = (s != t for s, t in zip(shape, to, strict=True))
    return "all" if rows and columns else "rows" if rows else "columns"


def _broadcast_shape(a: Shape, to: Shape) -> Shape:
    if any(s not in (1, t) for s, t in zip(a, to, strict=True)) or a == to:
        raise ShapeError(f"Only a dimension of 1 is repeated; {show(a)} to {show(to)}.")
    return to


def _only(x: Matrix, axis: int, index: Index) -> Index | int:
    """The index, or 0 where there is only one row or column to take."""
    return 0 if x.shape[axis] == 1 else index


define(
    Operation(
        name="broadcast",
        arity=1,
        shape=_broadcast_shape,
        numpy=lambda xp, x, to: xp.broadcast_to(x, to),
        vjp=(lambda g, y, x, to: apply("sum", g, over=_repeated(x.shape, to)),),
        entry=lambda i, j, x, to: x[_only(x, 0, i), _only(x, 1, j)],
        text="dup({0}, {to})",
        latex=r"\operatorname{{Dup}}_{{{to}}}({0})",
        binds=(ATOM, LOOSE),
        native="copy",
        samples=(
            Sample(((1, 3),), attrs={"to": (4, 3)}),
            Sample(((4, 1),), attrs={"to": (4, 3)}),
            Sample(((1, 1),), attrs={"to": (4, 3)}),
        ),
        kinks=None,
    )
)


def _slice_shape(a: Shape, axis: int, start: int, stop: int) -> Shape:
    length = a[_known(axis)]
    if not 0 <= start < stop or (isinstance(length, int) and stop > length):
        raise ShapeError(f"There are no {LINES[axis]} {start}:{stop} in {show(a)}.")
    return (stop - start, a[1]) if axis == 0 else (a[0], stop - start)


def _known(axis: int) -> int:
    if axis not in (0, 1):
        raise ShapeError(f"axis is 0 (rows) or 1 (columns), not {axis!r}.")
    return axis


def _shifted(i: Index, j: Index, axis: int, by: int) -> tuple[Index, Index]:
    return (i + by, j) if axis == 0 else (i, j + by)


def _cut(x: Any, axis: int, start: int, stop: int) -> Any:
    have, what = x.shape[axis], LINES[axis]
    if stop > have:
        raise ShapeError(
            f"There are no {what} {start}:{stop} in a value of {have} {what}."
        )
    return x[start:stop, :] if axis == 0 else x[:, start:stop]


define(
    Operation(
        name="slice",
        arity=1,
        shape=_slice_shape,
        numpy=lambda xp, x, axis, start, stop: _cut(x, axis, start, stop),
        vjp=(
            lambda g, y, x, axis, start, stop: apply(
                "place", g, axis=axis, start=start, total=x.shape[axis]
            ),
        ),
        entry=lambda i, j, x, axis, start, stop: x[_shifted(i, j, axis, start)],
        text="slice({0}, axis={axis}, start={start}, stop={stop})",
        latex=r"\left[{0}\right]_{{{start}:{stop}}}",
        binds=(ATOM, LOOSE),
        native="slice",
        samples=(
            Sample(((4, 3),), attrs={"axis": 0, "start": 1, "stop": 3}),
            Sample(((4, 3),), attrs={"axis": 1, "start": 0, "stop": 2}),
        ),
        kinks=None,
    )
)


def _place_shape(a: Shape, axis: int, start: int, total: Dim) -> Shape:
    have = a[_known(axis)]
    fits = isinstance(have, int) and (isinstance(total, str) or start + have <= total)
    if start < 0 or not fits:
        raise ShapeError(
            f"{show(a)} cannot be placed at {start} among {total} {LINES[axis]}."
        )
    return (total, a[1]) if axis == 0 else (a[0], total)


def _placed(xp: Any, x: Any, axis: int, start: int, total: int) -> Any:
    before, after = list(x.shape), list(x.shape)
    before[axis], after[axis] = start, total - start - x.shape[axis]
    if after[axis] < 0:
        have, what = x.shape[axis], LINES[axis]
        raise ShapeError(f"{have} {what} at {start} do not fit into {total} {what}.")
    parts = [xp.zeros(tuple(before), dtype=x.dtype), x]
    return xp.concat([*parts, xp.zeros(tuple(after), dtype=x.dtype)], axis=axis)


def _placed_entry(
    i: Index, j: Index, x: Matrix, axis: int, start: int, total: Dim
) -> Term:
    k = Index("k", x.shape[axis])
    inner = (k, j) if axis == 0 else (i, k)
    return Sum(k, Delta((i, j)[axis], k + start) * x[inner])


define(
    Operation(
        name="place",
        arity=1,
        shape=_place_shape,
        numpy=_placed,
        vjp=(
            lambda g, y, x, axis, start, total: apply(
                "slice", g, axis=axis, start=start, stop=start + x.shape[axis]
            ),
        ),
        entry=_placed_entry,
        text="place({0}, axis={axis}, start={start}, total={total})",
        latex=r"\operatorname{{place}}_{{{start}}}({0})",
        binds=(ATOM, LOOSE),
        native="place",
        samples=(
            Sample(((2, 3),), attrs={"axis": 0, "start": 1, "total": 5}),
            Sample(((2, 3),), attrs={"axis": 1, "start": 0, "total": 4}),
        ),
        kinks=None,
    )
)


def join(*parts: Value, axis: int = 1) -> Expr:
    """Matrices side by side (`axis=1`, columns) or one below the other (`axis=0`).

    Shapes: m×n1, m×n2, … to m×(n1 + n2 + …). The joined sizes must be numbers.
    """
    blocks = [as_expr(p) for p in parts]
    sizes = [b.shape[_known(axis)] for b in blocks]
    named = [s for s in sizes if not isinstance(s, int)]
    if not blocks or named:
        raise ShapeError(f"Joined dimensions need known sizes, not {named or 'none'}.")
    if len({b.shape[1 - axis] for b in blocks}) > 1:
        shapes = " and ".join(f"{b!r} is {show(b.shape)}" for b in blocks)
        raise ShapeError(
            f"Blocks joined along the {LINES[axis]} need equal {LINES[1 - axis]}; "
            f"{shapes}."
        )
    total, start = sum(s for s in sizes if isinstance(s, int)), 0
    result: Expr | None = None
    for block, length in zip(blocks, sizes, strict=True):
        assert isinstance(length, int)
        if length == total:
            return block
        placed = apply("place", block, axis=axis, start=start, total=total)
        result = placed if result is None else apply("add", result, placed)
        start += length
    assert result is not None
    return result


def _distribution(xp: Any, t: Any) -> Any:
    gap = xp.abs(xp.sum(t, axis=1) - 1.0)
    tolerance = 1e-6 if xp.finfo(t.dtype).bits >= 64 else 1e-3
    bad = ~(gap <= tolerance)  # so that NaN is bad as well
    if bool(xp.any(bad)):
        row = int(xp.argmax(xp.astype(bad, xp.int8)))
        raise DataError(
            f"Row {row} of the targets sums to {complex(xp.sum(t[row, :])).real:g}; with "
            "cross-entropy each row is a distribution over the classes and sums to 1."
        )
    return t


def distribution(t: Value) -> Expr:
    """`t` itself, with the mark that each of its rows sums to 1.

    The run holds the data to it (DataError names the row), so that the simplifier may
    use it: softmax under cross-entropy is (Y - T)/N for such rows only.
    """
    return apply("distribution", as_expr(t))


define(
    Operation(
        name="distribution",
        arity=1,
        shape=lambda a: a,
        numpy=_distribution,
        vjp=(lambda g, y, t: g,),
        entry=lambda i, j, t: t[i, j],
        text="distribution({0})",
        latex="{0}",
        binds=(ATOM, ATOM),
        native="copy",
        # one column, all its entries 1: the only uniform draw whose rows sum to 1
        samples=(Sample(((4, 1),), low=1.0, high=1.0),),
        kinks=None,
    )
)

__all__ = ["broadcast", "distribution", "join", "ones", "zeros"]
