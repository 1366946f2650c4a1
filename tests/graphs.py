"""Random programs: lists of instructions whose later steps use earlier results.

`algebra` and `ONE`, `TWO` are what the steps do; `graph` draws whole graphs of any size,
with their gradients.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings, strategies as st

import kokuban as kb
from kokuban.expr import Const, Expr, Symbol, order, size, symbols
from kokuban.run import Program

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


# Functions of one and of two matrices, kept away from where they are not defined: log,
# sqrt and quotients from 0, exp and products from large values.
ONE: dict[str, Callable[[Expr], Expr]] = {
    "negate": lambda x: -x,
    "tanh": kb.tanh,
    "sigmoid": kb.sigmoid,
    "softplus": kb.softplus,
    "sin": kb.sin,
    "cos": kb.cos,
    "exp": lambda x: kb.exp(kb.sin(x)),
    "expm1": lambda x: kb.expm1(kb.cos(x)),
    "log": lambda x: kb.log(x**2 + 1),
    "sqrt": lambda x: kb.sqrt(x**2 + 0.5),
    "power": lambda x: (x**2 + 1) ** -1.5,
    "square": lambda x: kb.sin(x) ** 2,
    "abs": kb.abs,
    "relu": kb.relu,
    "step": lambda x: x * kb.step(x),
    "sign": lambda x: x * kb.sign(x),
    "leaky_relu": lambda x: kb.leaky_relu(x, 0.1),
    "elu": kb.elu,
    "selu": kb.selu,
    "gelu": kb.gelu,
    "silu": kb.silu,
    "mish": kb.mish,
    "clip": lambda x: kb.clip(x, -0.71, 0.93),
    "softmax": kb.softmax,
    "log_softmax": kb.log_softmax,
    "logsumexp": kb.logsumexp,
    "row_max": kb.row_max,
    "layer_norm": lambda x: kb.layer_norm(x, 1, 0, epsilon=0.1),
    "transpose": lambda x: x.T,
    "rows": lambda x: x[:1, :],
    "last column": lambda x: x[:, -1],
    "sum": kb.sum,
    "sum rows": lambda x: kb.sum(x, over="rows"),
    "mean columns": lambda x: kb.mean(x, over="columns"),
    "half": lambda x: 0.5 * x,
    "shift": lambda x: 1 - x,
}
TWO: dict[str, Callable[[Expr, Expr], Expr]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b**2 + 1),
    "matmul": lambda a, b: a @ b,
    "maximum": lambda a, b: kb.maximum(a, b + 0.01),
    "minimum": lambda a, b: kb.minimum(a - 0.01, b),
    "join": lambda a, b: kb.join(a, b),
    "stack": lambda a, b: kb.join(a, b, axis=0),
}


# ---------------------------------------------------------------- graphs of any size

SIZES = (1, 2, 3, 15, 16, 17, 31, 33, 63, 65, 127, 129)  # about those of vectors
STEPS = {**ONE, **TWO, "matmul transposed": lambda a, b: a.T @ b}
MOST_COLUMNS = 300


@dataclass(frozen=True)
class Graph:
    """Outputs, the first a number and the last its gradients, and the leaves' values."""

    outputs: list[Expr]
    values: dict[Symbol, np.ndarray]


def graph(seed: int) -> Graph:
    """A random graph with N rows in a batch and a few other sizes."""
    rng = random.Random(seed)
    n, c, d = (rng.choice(SIZES) for _ in range(3))
    shapes = {"X": ("N", c), "Y": ("N", c), "Z": ("N", d), "W": (c, d), "V": (d, c)}
    shapes |= {"r": (1, c), "q": (1, d), "k": ("N", 1), "s": (1, 1)}
    leaves = [kb.parameter(name, shape) for name, shape in shapes.items()]
    nodes = list[Expr](leaves)
    for _ in range(rng.randint(3, 10)):
        made = _step(rng, nodes)
        if made is not None:
            nodes.append(made)
    loss = kb.mean(kb.sin(nodes[-1]) * 1.7)
    outputs = [loss, *nodes[-3:], *kb.grad(loss, symbols([loss], "parameter"))]
    numbers = np.random.default_rng(seed)
    draw = {
        s: tuple(n if k == "N" else k for k in s.shape)
        for s in [*leaves[:1], *symbols(outputs)]
    }
    return Graph(outputs, {s: numbers.uniform(-1.5, 1.5, k) for s, k in draw.items()})


def _step(rng: random.Random, nodes: Sequence[Expr]) -> Expr | None:
    """One more node, or None where what was drawn does not fit."""
    name = rng.choice([*STEPS])
    i, j = (
        len(nodes) - 1 - min(rng.choice((0, 1, 2, rng.randrange(20))), len(nodes) - 1)
        for _ in range(2)
    )
    try:
        made = STEPS[name](nodes[i]) if name in ONE else STEPS[name](nodes[i], nodes[j])
    except kb.errors.ShapeError:
        return None
    rows, columns = made.shape
    sized = isinstance(columns, int) and columns <= MOST_COLUMNS
    return made if sized and (rows == "N" or isinstance(rows, int)) else None


def rows_of(values: Mapping[Symbol, np.ndarray]) -> int:
    """The number of samples."""
    return next((len(v) for s, v in values.items() if s.shape[0] == "N"), 1)


def reference(
    outputs: Sequence[Expr], values: Mapping[Symbol, np.ndarray], dtype: Any
) -> list[np.ndarray]:
    """The outputs' values by the reference, in the given type."""
    given = {s: v.astype(dtype) for s, v in values.items()}
    with np.errstate(all="ignore"):
        found: list[np.ndarray] = Program(outputs)(
            given, np, dtype, {"N": rows_of(values)}
        )
    return found


def rounding(
    outputs: Sequence[Expr], values: Mapping[Symbol, np.ndarray]
) -> list[float] | None:
    """How far each output may be off in units of the type's epsilon.

    It is read off the reference's own difference between float32 and float64. None where
    outputs are not smooth enough to be compared: an entry beyond 1e6, or a corner so near
    that rounding decides the side.
    """
    nodes = order(outputs)
    corners = [
        k
        for n in nodes
        if n.op is not None and n.op.kinks is not None
        for k in n.op.kinks(*n.args, **dict(n.attrs))
    ]
    asked = [*outputs, *nodes, *corners]
    exact = reference(asked, values, np.float64)
    rough = reference(asked, values, np.float32)
    smooth = len(outputs) + len(nodes)
    largest = max(float(np.max(np.abs(v))) for v in exact[:smooth])
    if not largest < 1e6:
        return None
    off = [float(np.max(np.abs(a - b))) for a, b in zip(exact, rough, strict=True)]
    if any(
        np.any(abs(a) < 8 * d) for a, d in zip(exact[smooth:], off[smooth:], strict=True)
    ):
        return None
    # rounding in a sum grows like the root of its length
    own = 16 * max(largest, 1.0) * max(v.size for v in exact) ** 0.5
    epsilon = float(np.finfo(np.float32).eps)
    return [8 * d / epsilon + own for d in off[: len(outputs)]]
