"""The record of an operation, and the registry of all of them.

One operation, one place: shape, meaning, derivative, index form, notation and
samples stand together in one frozen record. Every field is mandatory, so forgetting
one is an error when the record is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kokuban.errors import ExpressionError, unknown
from kokuban.shape import Shape

# How tightly a written form holds together; an argument that holds less tightly than
# its place asks for is put in brackets. A number is a LITERAL: a minus sign before it
# would become part of it.
LOOSE, SUM, PRODUCT, LITERAL, NEGATION, POWER, ATOM = range(0, 70, 10)

DIMENSIONS = ("to", "total")  # the attributes that hold dimensions, perhaps named ones


@dataclass(frozen=True, slots=True)
class Sample:
    """Inputs on which every reader is tested: shapes and the range of the values.

    Values are drawn uniformly from [low, high] and kept at least `gap` from `around`,
    where an operation has a corner.
    """

    shapes: tuple[tuple[int, int], ...]
    low: float = -2.0
    high: float = 2.0
    gap: float = 0.0
    around: float = 0.0
    attrs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What one operation is; attributes reach the functions as keyword arguments.

    name      as in the registry
    arity     the number of arguments, all matrices
    shape     (*shapes, **attrs) -> the result's shape; raises ShapeError with the reason
    numpy     (xp, *arrays, **attrs) -> array, `xp` any array-API namespace
    vjp       one rule an argument: (g, y, *args, **attrs) -> gradient by that argument,
              g the gradient from above, y the result; None where it is zero everywhere
    entry     (i, j, *matrices, **attrs) -> the index form, or None where there is none
    text      the formula as text, `{0}` and `{1}` the arguments, `{name}` attributes
    latex     the same in LaTeX
    binds     how tightly the form holds together, then what each argument must
    native    its instruction or step in native/src/instruction.h, or None: then what has
              it runs on NumPy, said aloud
    samples   inputs on which every reader is tested; the first one's attributes are the
              usual ones: the written form leaves them out where `text` does not name them
    kinks     (*args, **attrs) -> expressions that are zero where the derivative jumps,
              or None where the operation is smooth (then it is analytic as well)
    """

    name: str
    arity: int
    shape: Callable[..., Shape]
    numpy: Callable[..., Any]
    vjp: tuple[Callable[..., Any] | None, ...]
    entry: Callable[..., Any] | None
    text: str
    latex: str
    binds: tuple[int, ...]
    native: str | None
    samples: tuple[Sample, ...]
    kinks: Callable[..., tuple[Any, ...]] | None

    def __post_init__(self) -> None:
        if len(self.vjp) != self.arity or len(self.binds) != self.arity + 1:
            raise ExpressionError(
                f"Operation {self.name!r} takes {self.arity} arguments: vjp needs as "
                f"many rules (it has {len(self.vjp)}) and binds one number more "
                f"(it has {len(self.binds)})."
            )
        if not self.samples:
            raise ExpressionError(f"Operation {self.name!r} has no samples to test on.")


_registry: dict[str, Operation] = {}


def define(operation: Operation) -> None:
    """Enter an operation into the registry; a second one of the name is an error."""
    if operation.name in _registry:
        raise ExpressionError(f"Operation {operation.name!r} is defined twice.")
    _registry[operation.name] = operation


def operation(name: str) -> Operation:
    """The operation called `name`; UnknownNameError with the nearest name otherwise."""
    try:
        return _registry[name]
    except KeyError:
        raise unknown("operation", name, _registry) from None


def operations() -> Iterator[Operation]:
    """All operations, in the order of their definition."""
    yield from _registry.values()


# A composite's name around its body, see expr.Call: it stands in no registry, since it
# is made by the composites only.
CALL = Operation(
    name="call",
    arity=1,
    shape=lambda a, **_: a,
    numpy=lambda xp, a, **_: a,
    vjp=(lambda g, y, a, **_: g,),
    entry=lambda i, j, a, **_: a[i, j],
    text="{0}",
    latex="{0}",
    binds=(ATOM, ATOM),
    native="copy",
    samples=(Sample(((4, 3),)),),
    kinks=None,
)
