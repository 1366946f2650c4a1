"""Arithmetic entry by entry. Rules: g the gradient from above, y the output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kokuban.entry import call
from kokuban.errors import SettingError, ShapeError
from kokuban.expr import Expr, Value, apply, entrywise
from kokuban.op import (
    ATOM,
    LOOSE,
    NEGATION,
    POWER,
    PRODUCT,
    SUM,
    Operation,
    Sample,
    define,
)
from kokuban.shape import Shape, show

BOTH = Sample(((4, 3), (4, 3)))
TWO = ((4, 3), (4, 3))


def same_shape(a: Shape, b: Shape, **_: Any) -> Shape:
    """The shape of an entrywise operation of two."""
    if a != b:
        raise ShapeError(
            f"Entry by entry needs equal shapes, or a dimension of 1 that can be "
            f"repeated; {show(a)} and {show(b)} are neither."
        )
    return a


def step_of(x: Expr, at_zero: float) -> Expr:
    """1 where x > 0, 0 where x < 0, `at_zero` between: the slope of a corner."""
    return apply("step", x, at_zero=at_zero)


def _infix(
    name: str,
    sign: str,
    latex: str,
    strength: int,
    numpy: Callable[..., Any],
    vjp: tuple[Callable[..., Any], Callable[..., Any]],
    sample: Sample = BOTH,
) -> Operation:
    return Operation(
        name=name,
        arity=2,
        shape=same_shape,
        numpy=numpy,
        vjp=vjp,
        entry=lambda i, j, a, b: call(sign, a[i, j], b[i, j]),
        text=f"{{0}} {sign} {{1}}",
        latex=latex,
        binds=(strength, strength, strength + 1),
        native=name,
        samples=(sample,),
        kinks=None,
    )


define(
    _infix(
        "add",
        "+",
        "{0} + {1}",
        SUM,
        numpy=lambda xp, a, b: a + b,
        vjp=(lambda g, y, a, b: g, lambda g, y, a, b: g),
    )
)
define(
    _infix(
        "subtract",
        "-",
        "{0} - {1}",
        SUM,
        numpy=lambda xp, a, b: a - b,
        vjp=(lambda g, y, a, b: g, lambda g, y, a, b: -g),
    )
)
define(
    _infix(
        "multiply",
        "*",
        r"{0} \odot {1}",
        PRODUCT,
        numpy=lambda xp, a, b: a * b,
        vjp=(lambda g, y, a, b: g * b, lambda g, y, a, b: g * a),
    )
)
define(
    _infix(
        "divide",
        "/",
        r"{0} \oslash {1}",
        PRODUCT,
        numpy=lambda xp, a, b: a / b,
        vjp=(lambda g, y, a, b: g / b, lambda g, y, a, b: -(g * y) / b),
        sample=Sample(TWO, gap=0.3),
    )
)
define(
    Operation(
        name="negate",
        arity=1,
        shape=lambda a: a,
        numpy=lambda xp, a: -a,
        vjp=(lambda g, y, a: -g,),
        entry=lambda i, j, a: -a[i, j],
        text="-{0}",
        latex="-{0}",
        binds=(NEGATION, NEGATION),
        native="negate",
        samples=(Sample(((4, 3),)),),
        kinks=None,
    )
)


def _power_rule(g: Expr, y: Expr, a: Expr, exponent: float) -> Expr:
    """g p a^(p-1), without 0^-1 where p is 0 or 1."""
    scaled = g * exponent
    return scaled if exponent in (0.0, 1.0) else scaled * a ** (exponent - 1)


define(
    Operation(
        name="power",
        arity=1,
        shape=lambda a, exponent: a,
        numpy=lambda xp, a, exponent: a * a if exponent == 2 else a**exponent,
        vjp=(_power_rule,),
        entry=lambda i, j, a, exponent: call("**", a[i, j], exponent),
        text="{0} ** {exponent}",
        latex="{{{0}}}^{{{exponent:g}}}",
        binds=(POWER, ATOM),
        native="power",
        samples=(
            Sample(((4, 3),), attrs={"exponent": 2.0}),
            Sample(((4, 3),), gap=0.3, attrs={"exponent": -1.0}),
            Sample(((4, 3),), low=0.2, attrs={"exponent": 1.5}),
        ),
        kinks=None,
    )
)


def maximum(a: Value, b: Value) -> Expr:
    """The larger of two, entry by entry; at a tie each gets half of the gradient."""
    return entrywise("maximum", a, b)


def minimum(a: Value, b: Value) -> Expr:
    """The smaller of two, entry by entry; at a tie each gets half of the gradient."""
    return entrywise("minimum", a, b)


def _choice(name: str, short: str, sign: float) -> Operation:
    """maximum (sign 1) or minimum (sign -1): the argument that wins takes all of g."""
    return Operation(
        name=name,
        arity=2,
        shape=same_shape,
        numpy=lambda xp, a, b: getattr(xp, name)(a, b),
        vjp=(
            lambda g, y, a, b: g * step_of(a - b if sign > 0 else b - a, 0.5),
            lambda g, y, a, b: g * step_of(b - a if sign > 0 else a - b, 0.5),
        ),
        entry=lambda i, j, a, b: call(name, a[i, j], b[i, j]),
        text=f"{name}({{0}}, {{1}})",
        latex=rf"\{short}({{0}}, {{1}})",
        binds=(ATOM, LOOSE, LOOSE),
        native=name,
        samples=(BOTH,),
        kinks=lambda a, b: (a - b,),
    )


define(_choice("maximum", "max", 1.0))
define(_choice("minimum", "min", -1.0))


def clip(x: Value, low: float, high: float) -> Expr:
    """x held between two numbers: min(max(x, low), high)."""
    if not low < high:
        raise SettingError(f"clip needs low < high, not {low} and {high}.")
    return minimum(maximum(x, low), high)


__all__ = ["clip", "maximum", "minimum"]
