"""Every operation on its samples, and every composite, through every reader.

The cases come from the registry, so a new operation is tested with no test of its own;
what it must give stands in oracles.py, and one without an oracle fails.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import array_api_strict
import numpy as np
import oracles
import pytest
from reading import parsed, unmarked

import kokuban as kb
from kokuban.expr import (
    Expr,
    Symbol,
    apply,
    from_records,
    order,
    symbol,
    to_records,
)
from kokuban.op import DIMENSIONS, Operation, operations
from kokuban.ops import COMPOSITES
from kokuban.run import Program

Array = np.ndarray
COUNTERS = (
    "dropout_mask",
)  # whose arguments are counters, not numbers to differentiate by
NO_INDEX_FORM = ("dropout_mask",)  # random: no formula in entries


@dataclass(frozen=True, eq=False)
class Case:
    """An expression, values for its symbols, and what it should give."""

    name: str
    expression: Expr
    at: dict[Symbol, Array]
    by: tuple[Symbol, ...]
    oracle: Callable[[dict[Symbol, Array]], Array]
    op: Operation | None = None

    def __str__(self) -> str:
        return self.name


def _operation_cases() -> list[Case]:
    cases = []
    for op in operations():
        for k, sample in enumerate(op.samples):
            role = "counter" if op.name in COUNTERS else "parameter"
            args = [
                symbol(n, s, role) for n, s in zip("ABC", sample.shapes, strict=False)
            ]
            arrays = [
                np.round(a) if op.name in COUNTERS else a for a in oracles.draw(sample)
            ]

            def oracle(
                at: dict[Symbol, Array],
                op: Operation = op,
                args: Sequence[Symbol] = args,
                attrs: dict[str, Any] = sample.attrs,
            ) -> Array:
                return oracles.ORACLES[op.name](*(at[a] for a in args), **attrs)

            by = tuple(
                a for a, rule in zip(args, op.vjp, strict=True) if role != "counter"
            )
            expression = apply(op.name, *args, **sample.attrs)
            at = dict(zip(args, arrays, strict=True))
            cases.append(Case(f"{op.name}-{k}", expression, at, by, oracle, op))
    return cases


def _composite_cases() -> list[Case]:
    cases = []
    for name in COMPOSITES:
        for k, case in enumerate(oracles.COMPOSITES[name]):
            args = [
                symbol(n, a.shape, "parameter")
                for n, a in zip("ABC", case.arrays, strict=False)
            ]
            at = dict(zip(args, case.arrays, strict=True))
            extra: dict[str, Any] = dict(case.attrs)
            if case.weights is not None:
                weights = symbol("w", case.weights.shape, "input")
                at[weights] = extra["weights"] = case.weights
                expression = COMPOSITES[name](*args, **case.attrs, weights=weights)
            else:
                expression = COMPOSITES[name](*args, **case.attrs)

            def oracle(
                at: dict[Symbol, Array],
                f: Callable[..., Array] = case.oracle,
                args: Sequence[Symbol] = args,
                extra: dict[str, Any] = extra,
            ) -> Array:
                return f(*(at[a] for a in args), **extra)

            by = tuple(args[i] for i in case.by)
            cases.append(Case(f"{name}-{k}", expression, at, by, oracle))
    return cases


OPERATIONS = _operation_cases()
CASES = [*OPERATIONS, *_composite_cases()]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_operation = pytest.mark.parametrize("case", OPERATIONS, ids=str)


def test_every_operation_and_composite_has_an_oracle() -> None:
    assert {op.name for op in operations()} == set(oracles.ORACLES)
    assert set(COMPOSITES) == set(oracles.COMPOSITES)


def as_it_stands(e: Expr, at: dict[Symbol, Array], **how: Any) -> Array:
    return kb.evaluate(e, at, simplify=False, **how)


@cache
def first_order(case: Case) -> tuple[Expr, tuple[Expr, ...]]:
    """Σ G ⊙ Y with fixed numbers G, and its gradients as the rules give them."""
    total = kb.sum(case.expression * _numbers(case.expression, 1))
    return total, tuple(kb.grad(total, case.by, simplify=False))


@cache
def second_order(case: Case) -> tuple[Expr, tuple[Expr, ...]]:
    """Σ over the gradients of H ⊙ gradient with fixed numbers H, and its gradients."""
    _, gradients = first_order(case)
    total = kb.constant(0.0)
    for k, g in enumerate(gradients):
        total = total + kb.sum(g * _numbers(g, 2 + k))
    return total, tuple(kb.grad(total, case.by, simplify=False))


def _numbers(like: Expr, seed: int) -> Expr:
    shape = tuple(int(n) for n in like.shape)
    return kb.constant(np.random.default_rng(seed).uniform(0.5, 1.5, shape))


def _moved(at: dict[Symbol, Array], s: Symbol, value: Array) -> dict[Symbol, Array]:
    return {**at, s: value}


@every_case
def test_reference_against_the_oracle(case: Case) -> None:
    value = as_it_stands(case.expression, case.at)
    assert value.dtype == np.float64
    assert value.shape == case.expression.shape
    np.testing.assert_allclose(value, case.oracle(case.at), rtol=1e-13, atol=1e-14)


@every_operation
def test_index_form_entry_by_entry(case: Case) -> None:
    op = case.op
    assert op is not None
    if op.entry is None:
        assert op.name in NO_INDEX_FORM
        return
    attrs = dict(case.expression.attrs)
    found = oracles.entries(op, case.at.values(), attrs)
    np.testing.assert_allclose(
        found, as_it_stands(case.expression, case.at), rtol=1e-13, atol=1e-14
    )


@every_case
def test_gradient_against_differences_of_the_oracle(case: Case) -> None:
    _, gradients = first_order(case)
    above = np.random.default_rng(1).uniform(0.5, 1.5, case.expression.shape)
    for s, g in zip(case.by, gradients, strict=True):
        slope = oracles.differences(
            lambda x, s=s: (above * case.oracle(_moved(case.at, s, x))).sum(), case.at[s]
        )
        assert g.shape == s.shape
        found = as_it_stands(g, case.at, sizes=None)
        np.testing.assert_allclose(found, slope, rtol=1e-6, atol=1e-9)


@every_case
def test_second_order_against_differences_of_the_gradient(case: Case) -> None:
    total, gradients = second_order(case)
    program = Program([total])
    for s, g in zip(case.by, gradients, strict=True):
        slope = oracles.differences(
            lambda x, s=s: float(program(_moved(case.at, s, x))[0][0, 0]), case.at[s]
        )
        np.testing.assert_allclose(as_it_stands(g, case.at), slope, rtol=1e-6, atol=1e-8)


@every_case
def test_simplify_keeps_the_value(case: Case) -> None:
    outputs = [case.expression, *first_order(case)[1], *second_order(case)[1]]
    before = as_it_stands(outputs, case.at)
    after = kb.evaluate(outputs, case.at)
    for b, a in zip(before, after, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-12)


@every_case
def test_float32_stays_float32(case: Case) -> None:
    small = {
        s: a if s.role == "counter" else a.astype(np.float32) for s, a in case.at.items()
    }
    outputs = [case.expression, *first_order(case)[1]]
    dtype = np.float32 if case.op and case.op.name in COUNTERS else None
    for simplified in (False, True):
        found = kb.evaluate(outputs, small, simplify=simplified, dtype=dtype)
        assert {str(f.dtype) for f in found} == {"float32"}
        for f, whole in zip(found, as_it_stands(outputs, case.at), strict=True):
            np.testing.assert_allclose(f, whole, rtol=2e-4, atol=2e-5)


@every_case
def test_records_round_trip(case: Case) -> None:
    outputs = [case.expression, *first_order(case)[1]]
    text = json.dumps(to_records(outputs), allow_nan=False)
    again = from_records(json.loads(text))
    assert all(a is b for a, b in zip(again, outputs, strict=True))


@every_case
def test_written_form_gives_the_expression_back(case: Case) -> None:
    again = parsed(repr(case.expression), case.at)
    assert unmarked(again) is unmarked(case.expression)


@every_operation
def test_templates_are_filled(case: Case) -> None:
    op = case.op
    assert op is not None
    for template in (op.text, op.latex):
        fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
        arguments = {str(k) for k in range(op.arity)}
        assert fields <= arguments | set(op.samples[0].attrs)
    assert {str(k) for k in range(op.arity)} <= set(re.findall(r"{(\d)}", op.text))
    attrs = {
        k: "4×3" if k in DIMENSIONS else v for k, v in dict(case.expression.attrs).items()
    }
    latex = op.latex.format(*"ABC"[: op.arity], **attrs)
    assert latex.count("{") == latex.count("}")


@every_operation
def test_samples_have_the_same_attributes(case: Case) -> None:
    assert case.op is not None
    usual = case.op.samples[0].attrs
    attrs = dict(case.expression.attrs)
    assert {k: type(v) for k, v in attrs.items()} == {
        k: type(v) for k, v in usual.items()
    }


def is_analytic(case: Case) -> bool:
    return all(n.op is None or n.op.kinks is None for n in order([case.expression]))


@pytest.mark.parametrize("case", [c for c in CASES if c.by and is_analytic(c)], ids=str)
def test_without_kinks_it_is_analytic(case: Case) -> None:
    """The complex step: Im f(x + ih)/h is the derivative, to rounding."""
    total, gradients = first_order(case)
    program = Program([total])
    h = 1e-30
    for s, g in zip(case.by, gradients, strict=True):
        exact = as_it_stands(g, case.at)
        for place in np.ndindex(*case.at[s].shape):
            moved = {k: v.astype(complex) for k, v in case.at.items()}
            moved[s][place] += 1j * h
            slope = program(moved, np, np.complex128)[0][0, 0].imag / h
            np.testing.assert_allclose(slope, exact[place], rtol=1e-10, atol=1e-12)


# ---------------------------------------------------------------- other namespaces


@every_case
def test_in_the_strictest_array_namespace(case: Case) -> None:
    at = {s: array_api_strict.asarray(a) for s, a in case.at.items()}
    outputs = [case.expression, *first_order(case)[1]]
    for simplified in (False, True):
        found = kb.evaluate(outputs, at, simplify=simplified)
        for f, expected in zip(found, as_it_stands(outputs, case.at), strict=True):
            assert type(f) is type(array_api_strict.zeros(1))
            np.testing.assert_allclose(np.asarray(f), expected, rtol=1e-11, atol=1e-12)


@pytest.mark.torch
@every_case
def test_in_torch(case: Case) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    for dtype, gap in ((torch.float64, 1e-11), (torch.float32, 2e-4)):
        at = {
            s: torch.as_tensor(a)
            if s.role == "counter"
            else torch.as_tensor(a, dtype=dtype)
            for s, a in case.at.items()
        }
        outputs = [case.expression, *first_order(case)[1]]
        found = kb.evaluate(outputs, at, dtype=dtype)
        for f, expected in zip(found, as_it_stands(outputs, case.at), strict=True):
            assert f.dtype == dtype
            np.testing.assert_allclose(f.numpy(), expected, rtol=gap, atol=gap / 10)


# ---------------------------------------------------------------- corners

A, B = kb.parameter("A", (1, 4)), kb.parameter("B", (1, 4))
CORNER = np.array([[-1.0, 0.0, 0.0, 2.0]])
CORNERS = {
    "abs": (kb.abs(A), {A: CORNER}, [[-1, 0, 0, 1]], [[0, 1, 1, 0]]),
    "sign": (kb.sign(A), {A: CORNER}, [[0, 0, 0, 0]], [[0, 1, 1, 0]]),
    "step": (kb.step(A), {A: CORNER}, [[0, 0, 0, 0]], [[0, 1, 1, 0]]),
    "relu": (kb.relu(A), {A: CORNER}, [[0, 0, 0, 1]], [[0, 1, 1, 0]]),
    "relu-1": (kb.relu(A, at_zero=1.0), {A: CORNER}, [[0, 1, 1, 1]], [[0, 1, 1, 0]]),
    "relu-half": (kb.relu(A, 0.5), {A: CORNER}, [[0, 0.5, 0.5, 1]], [[0, 1, 1, 0]]),
    "maximum": (
        kb.maximum(A, B),
        {A: CORNER, B: np.zeros((1, 4))},
        [[0, 0.5, 0.5, 1]],
        [[0, 1, 1, 0]],
    ),
    "minimum": (
        kb.minimum(A, B),
        {A: CORNER, B: np.zeros((1, 4))},
        [[1, 0.5, 0.5, 0]],
        [[0, 1, 1, 0]],
    ),
    "row_max": (kb.row_max(A), {A: CORNER}, [[0, 0, 0, 1]], [[0]]),
    "row_max-tie": (kb.row_max(A), {A: -abs(CORNER)}, [[0, 0.5, 0.5, 0]], [[1]]),
    "row_max-all": (kb.row_max(A), {A: CORNER * 0}, [[0.25] * 4], [[1]]),
}


@pytest.mark.parametrize("name", CORNERS)
def test_slopes_and_kinks_at_corners(name: str) -> None:
    expression, at, slope, kink = CORNERS[name]
    gradient = kb.grad(kb.sum(expression), A)
    np.testing.assert_array_equal(kb.evaluate(gradient, at), slope)
    assert expression.op is not None
    assert expression.op.kinks is not None
    (gap,) = expression.op.kinks(*expression.args, **dict(expression.attrs))
    np.testing.assert_array_equal(as_it_stands(gap, at) == 0, np.array(kink, dtype=bool))


def test_row_max_of_one_column_has_no_kink() -> None:
    x = kb.parameter("x", (3, 1))
    node = kb.row_max(x)
    assert node.op is not None
    assert node.op.kinks is not None
    (gap,) = node.op.kinks(x)
    assert (kb.evaluate(gap, {x: np.zeros((3, 1))}) != 0).all()


def test_every_kinked_operation_has_its_corner_tested() -> None:
    kinked = {op.name for op in operations() if op.kinks is not None}
    assert kinked == {name.split("-")[0] for name in CORNERS}


# ---------------------------------------------------------------- extreme values

EXTREME = np.array([[-1e300, -1000.0, -40.0, -1e-20, 0.0, 1e-20, 40.0, 1000.0, 1e300]])
STABLE = {
    "sigmoid": (kb.sigmoid, [[0, 0, 4.248354255291589e-18, 0.5, 0.5, 0.5, 1, 1, 1]]),
    "softplus": (
        kb.softplus,
        [[0, 0, 4.248354255291589e-18, *[np.log(2)] * 3, 40, 1000, 1e300]],
    ),
    "tanh": (kb.tanh, [[-1, -1, -1, -1e-20, 0, 1e-20, 1, 1, 1]]),
    "erf": (
        kb.erf,
        [[-1, -1, -1, -1.1283791670955126e-20, 0, 1.1283791670955126e-20, 1, 1, 1]],
    ),
    "softmax": (kb.softmax, [[0, 0, 0, 0, 0, 0, 0, 0, 1]]),
    "logsumexp": (kb.logsumexp, [[1e300]]),
    "elu": (kb.elu, [[-1, -1, -1, -1e-20, 0, 1e-20, 40, 1000, 1e300]]),
    "gelu": (kb.gelu, [[0, 0, 0, -5e-21, 0, 5e-21, 40, 1000, 1e300]]),
    "silu": (
        kb.silu,
        [[0, 0, -40 * 4.248354255291589e-18, -5e-21, 0, 5e-21, 40, 1000, 1e300]],
    ),
    "log_softmax": (kb.log_softmax, [[-2e300, *[-1e300] * 7, 0]]),
}


@pytest.mark.parametrize("name", STABLE)
@pytest.mark.filterwarnings("error")
def test_extreme_values_neither_overflow_nor_warn(name: str) -> None:
    function, expected = STABLE[name]
    x = kb.input("x", (1, 9))
    np.testing.assert_allclose(
        kb.evaluate(function(x), {x: EXTREME}), expected, rtol=1e-14, atol=1e-300
    )


# ---------------------------------------------------------------- second opinions


def test_losses_are_scikit_learns() -> None:
    from sklearn import metrics

    y, t = kb.input("y", (5, 3)), kb.target("t", (5, 3))
    w = kb.input("w", (5, 1))
    plain = oracles.WEIGHTS[:, 0]
    cases = [
        (kb.mse, metrics.mean_squared_error, oracles.X, oracles.Y, {}),
        (kb.mae, metrics.mean_absolute_error, oracles.X, oracles.Y, {}),
        (kb.quantile, metrics.mean_pinball_loss, oracles.X, oracles.Y, {"level": 0.2}),
        (kb.cross_entropy, metrics.log_loss, oracles.P, oracles.ONE_HOT, {}),
    ]
    for loss, theirs, given, target, attrs in cases:
        at = {y: given, t: target, w: oracles.WEIGHTS}
        settings = {"alpha": attrs["level"]} if attrs else {}
        for weights, sample_weight in ((None, None), (w, plain)):
            ours = kb.evaluate(loss(y, t, weights=weights, **attrs), at)
            expected = theirs(target, given, sample_weight=sample_weight, **settings)
            np.testing.assert_allclose(ours[0, 0], expected, rtol=1e-12)


def test_poisson_is_half_the_deviance_but_for_a_constant() -> None:
    from sklearn.metrics import mean_poisson_deviance

    y, t = kb.input("y", (5, 3)), kb.target("t", (5, 3))
    counts = oracles.COUNTS + 1

    def gap(scores: Array) -> float:
        ours = kb.evaluate(kb.poisson(y, t), {y: scores, t: counts})[0, 0]
        return float(
            ours - mean_poisson_deviance(counts.ravel(), np.exp(scores).ravel()) / 2
        )

    np.testing.assert_allclose(gap(oracles.X), gap(oracles.Y), rtol=1e-12)


def test_the_mask_is_philox() -> None:
    """The oracle's own generator is NumPy's, and the mask is scaled to keep the mean."""
    raw = np.random.Philox(key=np.array([5, 3], np.uint64), counter=[0, 7, 0, 0])
    assert oracles.philox(5, 3, 7, 8) == raw.random_raw(8).tolist()
    draw = symbol("draw", (1, 2), "counter")
    mask = kb.dropout_mask(draw, 0.25, (300, 100), stream=3)
    value = kb.evaluate(mask, {draw: [[5, 7]]})
    assert set(np.unique(value)) == {0.0, 1 / 0.75}
    assert abs(value.mean() - 1) < 0.01
    other = kb.evaluate(mask, {draw: [[5, 8]]})
    assert (value != other).any()
    # dropped below the threshold, kept at it
    first = oracles.philox(5, 3, 7, 1)[0] & 0xFFFFFFFF
    for drop, rate in ((False, first / 2**32), (True, (first + 1) / 2**32)):
        one = kb.evaluate(kb.dropout_mask(draw, rate, (1, 1), stream=3), {draw: [[5, 7]]})
        assert bool(one[0, 0] == 0) is drop
