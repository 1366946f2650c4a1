"""Gradients: one reverse sweep, expressions in, expressions out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, overload

from kokuban.errors import ShapeError
from kokuban.expr import Expr, order, require
from kokuban.ops import ones, zeros
from kokuban.rewrite import simplify_all
from kokuban.shape import SCALAR, show


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a node: where it stands, and what that use adds to the gradient."""

    user: Expr
    place: int
    gradient: Expr


def _sweep(
    output: Expr, wrt: Sequence[Expr], upstream: Expr
) -> tuple[dict[Expr, Expr], dict[Expr, list[Use]]]:
    """Each needed node's gradient, and the shares of its uses that sum to it."""
    needed = set(wrt)
    nodes = order([output])
    for node in nodes:
        if any(a in needed for a in node.args):
            needed.add(node)
    gradient, shares = {output: upstream}, {node: list[Use]() for node in nodes}
    for y in reversed(nodes):
        if y not in gradient or y.op is None:
            continue
        for place, (x, rule) in enumerate(zip(y.args, y.op.vjp, strict=True)):
            if x in needed and rule is not None:
                share = rule(gradient[y], y, *y.args, **dict(y.attrs))
                shares[x].append(Use(y, place, share))
                gradient[x] = gradient[x] + share if x in gradient else share
    return gradient, shares


@overload
def grad(
    output: Expr,
    wrt: Expr,
    *,
    by_use: Literal[False] = False,
    upstream: Expr | None = None,
    simplify: bool = True,
) -> Expr: ...
@overload
def grad(
    output: Expr,
    wrt: Sequence[Expr],
    *,
    by_use: Literal[False] = False,
    upstream: Expr | None = None,
    simplify: bool = True,
) -> list[Expr]: ...
@overload
def grad(
    output: Expr,
    wrt: Expr,
    *,
    by_use: Literal[True],
    upstream: Expr | None = None,
    simplify: bool = True,
) -> list[Use]: ...
@overload
def grad(
    output: Expr,
    wrt: Sequence[Expr],
    *,
    by_use: Literal[True],
    upstream: Expr | None = None,
    simplify: bool = True,
) -> list[list[Use]]: ...
def grad(
    output: Expr,
    wrt: Expr | Sequence[Expr],
    *,
    by_use: bool = False,
    upstream: Expr | None = None,
    simplify: bool = True,
) -> Expr | list[Expr] | list[Use] | list[list[Use]]:
    """∂output/∂wrt, of wrt's shape, as an expression; a list of them for a list.

    `wrt` may be any node, a symbol or not. For an output larger than 1×1 give
    `upstream`, of the output's shape: the result is then the gradient of
    Σ upstream ⊙ output. With `by_use=True` each use of the node gives its own share
    (`Use`: the user, the place among its arguments, the share), and the gradient is the
    sum of the shares. `simplify=False` leaves the rules' results as they are.

    Raises ShapeError if `upstream` is missing or of another shape, and ExpressionError
    if `output`, `wrt` or `upstream` is not an expression.
    """
    require(output, "What a gradient is taken of")
    several = wrt if isinstance(wrt, Iterable) else [wrt]
    asked = [require(node, "What a gradient is taken by") for node in several]
    gradient, shares = _sweep(output, asked, _upstream(output, upstream))
    if not by_use:
        found = [gradient.get(node, zeros(node.shape)) for node in asked]
        plain = simplify_all(found) if simplify else found
        return plain[0] if isinstance(wrt, Expr) else plain
    flat = [use.gradient for node in asked for use in shares.get(node, [])]
    tidy = iter(simplify_all(flat) if simplify else flat)
    per_node = [
        [Use(use.user, use.place, next(tidy)) for use in shares.get(node, [])]
        for node in asked
    ]
    return per_node[0] if isinstance(wrt, Expr) else per_node


def _upstream(output: Expr, upstream: Expr | None) -> Expr:
    if upstream is None:
        if output.shape != SCALAR:
            raise ShapeError(
                f"{output!r} is {show(output.shape)}, not a single number: sum it first, "
                "or give upstream=, an expression of its shape (the gradient from above)."
            )
        return ones(SCALAR)
    if require(upstream, "upstream").shape != output.shape:
        raise ShapeError(
            f"upstream is {show(upstream.shape)}; it needs the output's shape, "
            f"{show(output.shape)}."
        )
    return upstream
