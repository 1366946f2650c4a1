"""Functions of one matrix, entry by entry.

Rules: g is the gradient from above, y the output, x the input. The numpy forms are
written so that they neither overflow nor leave the complex plane where the function
is analytic, since the complex-step difference runs them on complex numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from kokuban.entry import call
from kokuban.expr import Expr, Value, apply, as_expr
from kokuban.op import ATOM, LOOSE, Operation, Sample, define

MATRIX = ((4, 3),)
SMOOTH = Sample(MATRIX)
OFF_ZERO = Sample(MATRIX, gap=0.1)
POSITIVE = Sample(MATRIX, low=0.2, high=3.0)


def _function(
    name: str,
    numpy: Callable[..., Any],
    vjp: Callable[..., Any] | None,
    latex: str = "",
    sample: Sample = SMOOTH,
    kinks: Callable[..., tuple[Any, ...]] | None = None,
    entry: Callable[..., Any] | None = None,
) -> None:
    """Define an entrywise function; its index form is itself of the entry."""
    if entry is None:
        entry = lambda i, j, x, **attrs: call(name, x[i, j], *attrs.values())  # noqa: E731
    operation = Operation(
        name=name,
        arity=1,
        shape=lambda a, **_: a,
        numpy=numpy,
        vjp=(vjp,),
        entry=entry,
        text=f"{name}({{0}})",
        latex=latex or rf"\operatorname{{{{{name}}}}}({{0}})",
        binds=(ATOM, LOOSE),
        native=name,
        samples=(sample,),
        kinks=kinks,
    )
    define(operation)


def _right(xp: Any, x: Any) -> Any:
    """Where x lies to the right of zero (its real part, if x is complex)."""
    return xp.real(x) >= 0 if xp.isdtype(x.dtype, "complex floating") else x >= 0


def _magnitude(xp: Any, x: Any) -> Any:
    """|x| continued analytically from the real line: x or -x by the sign of Re x."""
    return xp.where(_right(xp, x), x, -x)


# ---------------------------------------------------------------- exponentials


def exp(x: Value) -> Expr:
    """e^x, entry by entry."""
    return apply("exp", as_expr(x))


_function("exp", lambda xp, x: xp.exp(x), lambda g, y, x: g * y, r"\exp({0})")


def expm1(x: Value) -> Expr:
    """e^x - 1, entry by entry, accurate for small x."""
    return apply("expm1", as_expr(x))


_function(
    "expm1", lambda xp, x: xp.expm1(x), lambda g, y, x: g * (y + 1), r"(e^{{{0}}} - 1)"
)


def log(x: Value) -> Expr:
    """The natural logarithm, entry by entry."""
    return apply("log", as_expr(x))


_function(
    "log", lambda xp, x: xp.log(x), lambda g, y, x: g / x, r"\ln {0}", sample=POSITIVE
)


def sqrt(x: Value) -> Expr:
    """The square root, entry by entry."""
    return apply("sqrt", as_expr(x))


_function(
    "sqrt",
    lambda xp, x: xp.sqrt(x),
    lambda g, y, x: g / (2 * y),
    r"\sqrt{{{0}}}",
    sample=POSITIVE,
)


# ---------------------------------------------------------------- corners and jumps


def abs(x: Value) -> Expr:
    """|x|, entry by entry; its slope at 0 is taken as 0."""
    return apply("abs", as_expr(x))


_function(
    "abs",
    lambda xp, x: xp.abs(x),
    lambda g, y, x: g * sign(x),
    r"\left|{0}\right|",
    sample=OFF_ZERO,
    kinks=lambda x: (x,),
)


def sign(x: Value) -> Expr:
    """-1, 0 or 1, entry by entry. Its derivative is 0 wherever it has one."""
    return apply("sign", as_expr(x))


_function("sign", lambda xp, x: xp.sign(x), None, sample=OFF_ZERO, kinks=lambda x: (x,))


def step(x: Value, at_zero: float = 1.0) -> Expr:
    """The step function: 1 for x > 0, 0 for x < 0, and `at_zero` at 0.

    The notes take 1 at 0. Its derivative is 0 wherever it has one.
    """
    return apply("step", as_expr(x), at_zero=float(at_zero))


def _step(xp: Any, x: Any, at_zero: float) -> Any:
    one = xp.astype(x > 0, x.dtype)
    return one + at_zero * xp.astype(x == 0, x.dtype) if at_zero else one


_function(
    "step",
    _step,
    None,
    sample=Sample(MATRIX, gap=0.1, attrs={"at_zero": 1.0}),
    kinks=lambda x, at_zero: (x,),
)


def relu(x: Value, at_zero: float = 0.0) -> Expr:
    """max(x, 0), entry by entry, with slope `at_zero` at 0.

    The corner has no derivative. scikit-learn and PyTorch take 0 there, the lecture
    notes 1; both are subgradients.
    """
    return apply("relu", as_expr(x), at_zero=float(at_zero))


_function(
    "relu",
    lambda xp, x, at_zero: xp.maximum(x, xp.zeros_like(x)),
    lambda g, y, x, at_zero: g * step(x, at_zero),
    sample=Sample(MATRIX, gap=0.1, attrs={"at_zero": 0.0}),
    kinks=lambda x, at_zero: (x,),
    entry=lambda i, j, x, at_zero: call("relu", x[i, j]),
)


# ---------------------------------------------------------------- waves


def sin(x: Value) -> Expr:
    """The sine, entry by entry, x in radians."""
    return apply("sin", as_expr(x))


def cos(x: Value) -> Expr:
    """The cosine, entry by entry, x in radians."""
    return apply("cos", as_expr(x))


_function("sin", lambda xp, x: xp.sin(x), lambda g, y, x: g * cos(x), r"\sin({0})")
_function("cos", lambda xp, x: xp.cos(x), lambda g, y, x: -(g * sin(x)), r"\cos({0})")


# ---------------------------------------------------------------- smooth activations


def sigmoid(x: Value) -> Expr:
    """1 / (1 + e^-x), entry by entry."""
    return apply("sigmoid", as_expr(x))


def _sigmoid(xp: Any, x: Any) -> Any:
    small = xp.exp(-_magnitude(xp, x))
    return xp.where(_right(xp, x), xp.ones_like(x), small) / (1 + small)


_function(
    "sigmoid",
    _sigmoid,
    lambda g, y, x: g * y * (1 - y),
    r"\sigma({0})",
    entry=lambda i, j, x: call("/", 1, call("+", 1, call("exp", -x[i, j]))),
)


def tanh(x: Value) -> Expr:
    """The hyperbolic tangent, entry by entry."""
    return apply("tanh", as_expr(x))


_function("tanh", lambda xp, x: xp.tanh(x), lambda g, y, x: g * (1 - y**2), r"\tanh({0})")


def softplus(x: Value) -> Expr:
    """ln(1 + e^x), entry by entry."""
    return apply("softplus", as_expr(x))


def _softplus(xp: Any, x: Any) -> Any:
    above = xp.where(_right(xp, x), x, xp.zeros_like(x))
    return above + xp.log1p(xp.exp(-_magnitude(xp, x)))


_function(
    "softplus",
    _softplus,
    lambda g, y, x: g * sigmoid(x),
    entry=lambda i, j, x: call("log", call("+", 1, call("exp", x[i, j]))),
)


def erf(x: Value) -> Expr:
    """The error function 2/√π ∫₀ˣ e^(-t²) dt, entry by entry."""
    return apply("erf", as_expr(x))


def _erf(xp: Any, x: Any) -> Any:
    from scipy.special import erf as scipy_erf

    if xp.__name__ == "numpy":
        return scipy_erf(x)
    import numpy as np  # the array standard has no erf: to NumPy and back

    return xp.asarray(np.asarray(scipy_erf(np.from_dlpack(x))), dtype=x.dtype)


_function("erf", _erf, lambda g, y, x: g * (2 / math.sqrt(math.pi) * exp(-(x**2))))

__all__ = [
    "abs",
    "cos",
    "erf",
    "exp",
    "expm1",
    "log",
    "relu",
    "sigmoid",
    "sign",
    "sin",
    "softplus",
    "sqrt",
    "step",
    "tanh",
]
