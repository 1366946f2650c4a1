"""Random expressions: values and gradients against HIPS/autograd, and what must survive
simplification. A program is a list of instructions, built once as an expression and once
as an autograd function; later instructions use earlier results, so parts are shared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import autograd.numpy as anp
import numpy as np
from autograd import value_and_grad
from autograd.scipy import special as asp
from graphs import (
    AT,
    ONE,
    TWO,
    A,
    Instruction,
    algebra,
    algebraic,
    back,
    r,
    s,
    starts,
    steady,
)
from hypothesis import assume, given, settings, strategies as st

import kokuban as kb
from kokuban.expr import Expr, Symbol, order
from kokuban.run import Program

Array = Any

# ---------------------------------------------------------------- against autograd


def _softmax(x: Array) -> Array:
    e = anp.exp(x - anp.max(x, axis=1, keepdims=True))
    return e / anp.sum(e, axis=1, keepdims=True)


def _logsumexp(x: Array) -> Array:
    return asp.logsumexp(x, axis=1, keepdims=True)


def _softplus(x: Array) -> Array:
    return anp.logaddexp(0.0, x)


def _expit(x: Array) -> Array:
    return 0.5 * (anp.tanh(x / 2) + 1)


def _layer_norm(x: Array) -> Array:
    centred = x - anp.mean(x, axis=1, keepdims=True)
    return centred / anp.sqrt(anp.mean(centred**2, axis=1, keepdims=True) + 0.1)


def _where_positive(x: Array, y: Array) -> Array:
    return anp.where(x > 0, x, y)


# The same as ONE and TWO of graphs.py, in autograd.
AUTOGRAD: dict[str, Callable[..., Array]] = {
    "negate": lambda x: -x,
    "tanh": anp.tanh,
    "sigmoid": _expit,
    "softplus": _softplus,
    "sin": anp.sin,
    "cos": anp.cos,
    "exp": lambda x: anp.exp(anp.sin(x)),
    "expm1": lambda x: anp.expm1(anp.cos(x)),
    "log": lambda x: anp.log(x**2 + 1),
    "sqrt": lambda x: anp.sqrt(x**2 + 0.5),
    "power": lambda x: (x**2 + 1) ** -1.5,
    "square": lambda x: anp.sin(x) ** 2,
    "abs": anp.abs,
    "relu": lambda x: _where_positive(x, 0 * x),
    "step": lambda x: x * (x >= 0),
    "sign": lambda x: x * anp.sign(x),
    "leaky_relu": lambda x: _where_positive(x, 0.1 * x),
    "elu": lambda x: anp.where(x > 0, x, anp.expm1(anp.minimum(x, 0))),
    "selu": lambda x: (
        1.0507009873554805
        * anp.where(x > 0, x, 1.6732632423543772 * anp.expm1(anp.minimum(x, 0)))
    ),
    "gelu": lambda x: x * (1 + asp.erf(x / np.sqrt(2))) / 2,
    "silu": lambda x: x * _expit(x),
    "mish": lambda x: x * anp.tanh(_softplus(x)),
    "clip": lambda x: anp.clip(x, -0.71, 0.93),
    "softmax": _softmax,
    "log_softmax": lambda x: x - _logsumexp(x),
    "logsumexp": _logsumexp,
    "row_max": lambda x: anp.max(x, axis=1, keepdims=True),
    "layer_norm": _layer_norm,
    "transpose": lambda x: x.T,
    "rows": lambda x: x[:1, :],
    "last column": lambda x: x[:, -1:],
    "sum": lambda x: anp.sum(x, keepdims=True),
    "sum rows": lambda x: anp.sum(x, axis=0, keepdims=True),
    "mean columns": lambda x: anp.mean(x, axis=1, keepdims=True),
    "half": lambda x: 0.5 * x,
    "shift": lambda x: 1 - x,
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b**2 + 1),
    "matmul": lambda a, b: a @ b,
    "maximum": lambda a, b: anp.maximum(a, b + 0.01),
    "minimum": lambda a, b: anp.minimum(a - 0.01, b),
    "join": lambda a, b: anp.concatenate([a, b], axis=1),
    "stack": lambda a, b: anp.concatenate([a, b], axis=0),
}
LEAVES = {
    kb.input("X", (3, 2)): [[0.3, -1.2], [0.8, 0.5], [-0.6, 1.1]],
    kb.parameter("W", (2, 2)): [[0.7, -0.4], [0.2, 0.9]],
    kb.parameter("r", (1, 2)): [[1.3, -0.8]],
    kb.parameter("c", (3, 1)): [[0.4], [-1.1], [0.9]],
    kb.parameter("s", (1, 1)): [[0.75]],
}


instructions = st.builds(Instruction, st.sampled_from([*ONE, *TWO]), back, back)


def expression_of(
    program: Sequence[Instruction],
) -> tuple[Expr, list[tuple[str, int, int | None]]]:
    """The program as an expression, leaving out what does not fit; and what was kept."""
    nodes, kept = list[Expr](LEAVES), list[tuple[str, int, int | None]]()
    for step in program:
        i, j = (len(nodes) - 1 - k % len(nodes) for k in (step.first, step.second))
        two = step.name in TWO
        try:
            made = TWO[step.name](nodes[i], nodes[j]) if two else ONE[step.name](nodes[i])
        except kb.errors.ShapeError:
            continue
        if max(made.shape) > 12:
            continue
        nodes.append(made)
        kept.append((step.name, i, j if two else None))
    return kb.mean(nodes[-1] * 1.7), kept


def run_in_autograd(
    kept: Sequence[tuple[str, int, int | None]], leaves: Sequence[Array]
) -> Array:
    nodes = list(leaves)
    for name, i, j in kept:
        nodes.append(
            AUTOGRAD[name](nodes[i]) if j is None else AUTOGRAD[name](nodes[i], nodes[j])
        )
    return anp.mean(nodes[-1]) * 1.7


@settings(steady, max_examples=1000)
@given(st.lists(instructions, min_size=2, max_size=14))
def test_value_and_gradient_against_autograd(program: list[Instruction]) -> None:
    expression, kept = expression_of(program)
    assume(len(kept) > 1)
    leaves = [np.array(v) for v in LEAVES.values()]
    value, slopes = value_and_grad(lambda given: run_in_autograd(kept, given))(leaves)
    assume(abs(value) < 1e3 and max(abs(g).max() for g in slopes) < 1e3)
    outputs = [expression, *kb.grad(expression, list(LEAVES), simplify=False)]
    for simplified in (False, True):
        ours = kb.evaluate(outputs, LEAVES, simplify=simplified)
        for found, expected in zip(ours, [value, *slopes], strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_every_kind_of_instruction_is_met() -> None:
    """Each instruction on leaves that fit, so that none is always left out."""
    names = [*ONE, *TWO]
    fits = {"matmul": (4, 3), "join": (0, 2), "stack": (3, 2)}
    for name in names:
        first, second = fits.get(name, (4, 4))
        _, kept = expression_of([Instruction(name, first, second)])
        assert [k[0] for k in kept] == [name]


# ---------------------------------------------------------------- simplification


def _largest(values: Sequence[Array]) -> float:
    """The largest entry met on the way, which rounding is measured by.

    Only examples that are well conditioned are kept: no entry tiny, huge or undefined.
    """
    entries = abs(np.concatenate([v.ravel() for v in values]))
    assume(np.isfinite(entries).all() and entries.max() < 1e4)
    assume(entries[entries != 0].min(initial=1) > 1e-4)
    return float(entries.max())


@settings(steady, max_examples=1500)
@given(st.lists(algebra, min_size=2, max_size=20), starts)
def test_simplify_keeps_values_and_is_idempotent(
    program: list[Instruction], start: list[int]
) -> None:
    expression = algebraic(program, start)
    simple = kb.simplify(expression)
    assert simple.shape == expression.shape
    assert kb.simplify(simple) is simple
    with np.errstate(all="ignore"):
        nodes = order([expression])
        every = Program(nodes)(AT, sizes={"N": 4})
        largest = _largest(every)
        found = kb.evaluate(simple, AT, simplify=False, sizes={"N": 4})
    np.testing.assert_allclose(found, every[-1], rtol=1e-9, atol=1e-11 * largest**2)


@settings(steady, max_examples=400)
@given(st.lists(algebra, min_size=2, max_size=12), starts)
def test_gradients_simplify_to_the_same_value(
    program: list[Instruction], start: list[int]
) -> None:
    expression = algebraic(program, start)
    total = kb.sum(kb.tanh(expression))
    by: list[Symbol] = [s, r, A]
    plain = kb.grad(total, by, simplify=False)
    simple = [kb.simplify(g) for g in plain]
    assert all(kb.simplify(g) is g for g in simple)
    assert all(a is b for a, b in zip(kb.grad(total, by), simple, strict=True))
    with np.errstate(all="ignore"):
        every = Program(order(plain))(AT, sizes={"N": 4})
        largest = _largest(every)
        before = kb.evaluate(plain, AT, simplify=False, sizes={"N": 4})
        after = kb.evaluate(simple, AT, simplify=False, sizes={"N": 4})
    for b, a in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-11 * largest**2)
