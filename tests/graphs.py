"""Random programs: lists of instructions whose later steps use earlier results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import HealthCheck, Phase, settings, strategies as st

import kokuban as kb
from kokuban.expr import Const, Expr, size

steady = settings(
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    phases=[Phase.generate, Phase.shrink],
)


@dataclass(frozen=True)
class Instruction:
    name: str
    first: int
    second: int


# which arguments: counted from the last result, so that chains are common
back = st.one_of(st.integers(0, 2), st.integers(0, 20))
s, t = kb.parameter("s", (1, 1)), kb.parameter("t", (1, 1))
r, q = kb.parameter("r", (1, 3)), kb.parameter("q", (1, 3))
c = kb.parameter("c", ("N", 1))
A, B = kb.input("A", ("N", 3)), kb.input("B", ("N", 3))
T = kb.distribution(kb.target("T", ("N", 3)))
NUMBERS = (0.0, 1.0, -1.0, 2.0, -2.0, 3.0, 0.5, 0.1, -7.0)
ATOMS = [s, t, r, q, c, A, B, T, size("N"), *map(kb.constant, NUMBERS)]
_rng = np.random.default_rng(3)
AT = {
    x: _rng.uniform(0.5, 2.0, [4 if d == "N" else d for d in x.shape])
    for x in (s, t, r, q, c, A, B)
} | {T.args[0]: np.eye(3)[[0, 2, 1, 1]]}
ALGEBRA: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a, _: -a,
    "square": lambda a, _: a**2,
    "inverse": lambda a, _: a**-1,
    "first power": lambda a, _: a**1,
    "sum": lambda a, _: kb.sum(a),
    "sum rows": lambda a, _: kb.sum(a, over="rows"),
    "sum columns": lambda a, _: kb.sum(a, over="columns"),
    "broadcast": lambda a, b: kb.broadcast(a, b.shape),
    "transpose": lambda a, _: a.T,
    "matmul": lambda a, b: a @ b,
    "matmul transposed": lambda a, b: a.T @ b,
    "exp": lambda a, _: kb.exp(a),
    "log": lambda a, _: kb.log(a),
    "sqrt": lambda a, _: kb.sqrt(a),
    "softmax": lambda a, _: kb.softmax(a),
    "sigmoid": lambda a, _: kb.sigmoid(a),
}
FREQUENT = ("add", "subtract", "multiply", "divide", "negate")
algebra = st.builds(
    Instruction,
    st.one_of(st.sampled_from(FREQUENT), st.sampled_from([*ALGEBRA])),
    back,
    back,
)


def algebraic(
    program: Sequence[Instruction], start: Sequence[int], numbers_alone: bool = True
) -> Expr:
    """The program as an expression, leaving out what does not fit."""
    nodes = [ATOMS[k] for k in start]
    for step in program:
        i, j = (len(nodes) - 1 - k % len(nodes) for k in (step.first, step.second))
        try:
            made = ALGEBRA[step.name](nodes[i], nodes[j])
        except kb.errors.ShapeError:
            continue
        if numbers_alone or not any(_is_of_numbers(n) for n in (made, *made.args)):
            nodes.append(made)
    return nodes[-1]


def _is_of_numbers(node: Expr) -> bool:
    return node.op is not None and all(isinstance(a, Const) for a in node.args)


starts = st.lists(st.integers(0, len(ATOMS) - 1), min_size=2, max_size=6)
