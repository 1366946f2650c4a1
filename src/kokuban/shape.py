"""Shapes: two dimensions, each a size or a name.

Everything is a matrix. A scalar is 1 x 1, a row vector 1 x n. A dimension is a
positive int or a name such as "N", whose size the data give at the run.
"""

from __future__ import annotations

from collections.abc import Mapping

from kokuban.errors import ShapeError

Dim = int | str
Shape = tuple[Dim, Dim]

SCALAR: Shape = (1, 1)


def dimension(value: object) -> Dim:
    """`value` as a dimension: a positive int or a name; else ShapeError."""
    if isinstance(value, str) and value.isidentifier():
        return value
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ShapeError(
            f"A dimension is a positive whole number or a name, not {value!r}."
        )
    size = int(value.__index__())
    if size < 1:
        raise ShapeError(f"A dimension is at least 1, not {size}.")
    return size


def shape_of(value: object) -> Shape:
    """`value` as a shape of two dimensions; else ShapeError."""
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise ShapeError(
            f"A shape has two dimensions, such as ('N', 4), not {value!r}: a scalar is "
            "(1, 1), a row vector (1, n)."
        )
    return dimension(value[0]), dimension(value[1])


def show(shape: Shape) -> str:
    """The shape as people write it: `N×4`."""
    return f"{shape[0]}×{shape[1]}"


def size_of(dim: Dim, sizes: Mapping[str, int]) -> int:
    """The number behind a dimension, given the sizes of the named ones."""
    if isinstance(dim, int):
        return dim
    if dim not in sizes:
        raise ShapeError(
            f"The size of dimension {dim!r} is not known: no value given has it. "
            f"Give a value for a symbol with {dim!r} in its shape, or its size as in "
            f"sizes={{{dim!r}: 32}}."
        )
    return sizes[dim]


def bind(sizes: dict[str, int], shape: Shape, actual: tuple[int, ...], who: str) -> None:
    """Match a value's shape with a declared one, noting the named dimensions.

    Raises ShapeError if a size differs or a name would get a second size.
    """
    if len(actual) != 2:
        raise ShapeError(
            f"{who} is {show(shape)}, a matrix; its value has {len(actual)} dimensions "
            f"(shape {actual}). Reshape it to two, such as x[None, :] for a row."
        )
    if min(actual) < 1:
        raise ShapeError(f"{who} is {show(shape)}; its value is empty, {show(actual)}.")
    for dim, size in zip(shape, actual, strict=True):
        expected = sizes.setdefault(dim, size) if isinstance(dim, str) else dim
        if expected != size:
            named = f" ({dim} = {expected} elsewhere)" if isinstance(dim, str) else ""
            raise ShapeError(
                f"{who} is {show(shape)}; its value is {actual[0]}×{actual[1]}{named}."
            )
