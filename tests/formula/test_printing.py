"""Printing and parsing are inverse: what is read back is the same object."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Mapping

import numpy as np
import pytest
from graphs import ALGEBRA, ATOMS, Instruction, algebra, algebraic, back, starts, steady
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.errors import FormulaError, KokubanError
from kokuban.expr import Expr, apply, order, symbol, symbols
from kokuban.formula import namespace, parse, text
from kokuban.op import operations
from kokuban.ops import COMPOSITES

X, H = kb.input("X", ("N", 4)), kb.input("H", ("N", 3))
T = kb.target("T", ("N", 3))
W, V = kb.parameter("W", (4, 3)), kb.parameter("V", (3, 3))
b, r, c = kb.parameter("b", (1, 3)), kb.parameter("r", (1, 3)), kb.input("c", ("N", 1))
s = kb.parameter("s", (1, 1))


def again(e: Expr, names: Mapping[str, Expr] | None = None) -> Expr:
    return parse(text(e), namespace(e) if names is None else names)


# ---------------------------------------------------------------- every operation


@pytest.mark.parametrize(
    ("name", "k"), [(op.name, k) for op in operations() for k in range(len(op.samples))]
)
def test_every_operation_comes_back(name: str, k: int) -> None:
    (op,) = (op for op in operations() if op.name == name)
    sample = op.samples[k]
    role = "counter" if name == "dropout_mask" else "parameter"
    args = [symbol(n, form, role) for n, form in zip("AB", sample.shapes, strict=False)]
    made = apply(name, *args, **sample.attrs)
    assert again(made) is made
    assert again(kb.exp(-made.T) * 2) is kb.exp(-made.T) * 2


CALLS = {
    "mean": [(H,), (H, "rows")],
    "affine": [(H, V, b)],
    "leaky_relu": [(H,), (H, 0.2), (H, 0.2, 1.0)],
    "elu": [(H,), (H, 0.5)],
    "layer_norm": [(H, b, r), (H, 1, 0), (H, b, r, 1e-3)],
    "batch_norm": [(H, b, r)],
    "gaussian": [(H, V[0, :], T)],
}
TWO = ("mse", "half_sum_of_squares", "mae", "huber", "quantile", "poisson")
TWO += ("cross_entropy", "softmax_cross_entropy")
TWO += ("binary_cross_entropy", "sigmoid_cross_entropy")


@pytest.mark.parametrize("name", COMPOSITES)
def test_every_composite_comes_back(name: str) -> None:
    usual = [(H, T), (H @ V + b, T)] if name in TWO else [(H,), (-H,)]
    for args in CALLS.get(name, usual):
        made = COMPOSITES[name](*args)
        assert again(made) is made
        assert text(made).startswith(f"{name}(")
        gradient = kb.grad(made, H, upstream=made)
        assert again(gradient) is gradient


@pytest.mark.parametrize(
    ("made", "written"),
    [
        (kb.constant(-2.0) * H, "-2 * H"),
        (-kb.constant(2.0) * H, "-(2) * H"),
        (-kb.constant(-2.0), "--2"),
        (apply("negate", -kb.constant(2.0)), "--(2)"),
        (kb.constant(-0.0) + s, "-0.0 + s"),
        (kb.constant(2.0) ** 2, "(2) ** 2"),
        (-(kb.constant(2.0) ** 2), "-(2) ** 2"),
        (kb.constant(2.0).T, "(2).T"),
        (kb.constant(1.0).T @ b, "(1).T @ b"),
        (s @ b, "s @ b"),
        (s * b, "s * b"),
        (H * (2 * (s + 1)), "H * (2 * (s + 1))"),
        (kb.constant(1e300) * H, "1e+300 * H"),
        (kb.constant([[1.5, -0.0], [1e-9, 2]]), "[[1.5, -0.0], [1e-09, 2]]"),
        (kb.distribution(T) - H, "distribution(T) - H"),
        (kb.huber(H, T, delta=np.float64(0.5)), "huber(H, T, delta=0.5)"),
        (kb.zeros(("N", 3)), "dup(0, N×3)"),
        (kb.broadcast(s, ("N", "M")), "dup(s, N×M)"),
        (
            apply("place", W, axis=0, start=1, total="N"),
            "place(W, axis=0, start=1, total=N)",
        ),
        (H[:, 0:2], "slice(H, axis=1, start=0, stop=2)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_forms_that_need_care(made: Expr, written: str) -> None:
    assert text(made) == written
    assert again(made) is made


# ---------------------------------------------------------------- random expressions


@settings(steady, max_examples=400)
@given(st.lists(algebra, min_size=1, max_size=12), starts)
def test_random_algebra_comes_back(program: list[Instruction], start: list[int]) -> None:
    made = algebraic(program, start)
    assert again(made) is made
    simple = kb.simplify(made)
    assert again(simple) is simple


def _functions() -> dict[str, object]:
    """Every operation and composite as a function of two expressions."""
    found: dict[str, object] = dict(ALGEBRA)
    for op in operations():
        for k, sample in enumerate(op.samples):
            if op.name != "dropout_mask":
                found[f"{op.name} {k}"] = lambda a, b, op=op, attrs=sample.attrs: apply(
                    op.name, *(a, b)[: op.arity], **attrs
                )
    for name, f in COMPOSITES.items():
        found[name] = lambda a, b, f=f, two=name in TWO: f(a, b) if two else f(a)
    found["affine"] = lambda a, b: kb.affine(a, b.T, 0.5)
    found["layer_norm"] = lambda a, b: kb.layer_norm(a, b, 1)
    found["batch_norm"] = lambda a, b: kb.batch_norm(a, 2, b)
    found["gaussian"] = lambda a, b: kb.gaussian(a, b, a - b)
    found["clip"] = lambda a, b: kb.clip(a, -1, 1)
    found["relu at 1"] = lambda a, b: kb.relu(a, 1)
    found["weights"] = lambda a, b: kb.mae(a, b, weights=ATOMS[4])
    return found


FUNCTIONS = _functions()
steps = st.builds(Instruction, st.sampled_from([*FUNCTIONS]), back, back)


@settings(steady, max_examples=600)
@given(st.lists(steps, min_size=1, max_size=8), starts)
def test_random_expressions_of_the_whole_registry_come_back(
    program: list[Instruction], start: list[int]
) -> None:
    nodes = [ATOMS[k] for k in start]
    for step in program:
        i, j = (len(nodes) - 1 - k % len(nodes) for k in (step.first, step.second))
        try:
            nodes.append(FUNCTIONS[step.name](nodes[i], nodes[j]))  # type: ignore[operator]
        except KokubanError:
            continue
    names = {s.name: s for s in symbols(nodes)}
    for made in (nodes[-1], nodes[len(nodes) // 2]):
        with contextlib.suppress(FormulaError):  # for being too long
            written = text(made)
            assert parse(written, names | {"N": ATOMS[8]}) is made


# ---------------------------------------------------------------- names


NAMES = [
    "W",
    "W1",
    "W_1",
    "W₁",
    "W_out",
    "W^(1)",
    "W⁽¹⁾",
    "Δ",
    "重み",
    "学習率η",
    "ほげ_1",
    "x̂",
    "Ŷ",
    "W'",
    "mean(bn1)",
    "adam.m(W1)",
    "layer 1",
    "Σ",
    "W_{1,2}",
    "e",
    "π",
    "softmax",
    "x",
    "rows",
    "2W",
    "a+b",
    "#",
    "{",
    "\\alpha",
    "Ｗ",
    "ᵀ",
    "W²",
]


@pytest.mark.parametrize("name", NAMES)
def test_symbols_of_any_name_come_back(name: str) -> None:
    w = kb.parameter(name, (3, 3))
    for made in (w, w.T @ w + 2 * w, kb.softmax(w) ** 2, -w, w**-1):
        assert again(made) is made


def test_names_that_look_alike_are_told_apart() -> None:
    one, other = kb.parameter("W₁", (3, 3)), kb.parameter("W_1", (3, 3))
    made = one @ other
    assert again(made) is made


@pytest.mark.parametrize("name", ["`", "a\nb", "a\x00", "\u202e"])
def test_names_that_cannot_be_written_are_refused(name: str) -> None:
    with pytest.raises(FormulaError, match="cannot be written as a name"):
        text(kb.parameter(name, (3, 3)))


@settings(steady, max_examples=300)
@given(st.text(min_size=1, max_size=6))
def test_any_name_comes_back_or_is_refused(name: str) -> None:
    w = kb.parameter(name, (2, 2))
    try:
        written = text(2 * w.T)
    except FormulaError:
        assert not name.isidentifier()
        return
    assert parse(written, {name: w}) is 2 * w.T


# ---------------------------------------------------------------- length and depth


def test_a_long_chain_comes_back() -> None:
    x: Expr = H
    for k in range(150):
        x = kb.tanh(x) + k
    assert again(x) is x


def test_what_is_too_long_is_refused_at_once() -> None:
    x: Expr = H
    for _ in range(200):
        x = x * (x + 1)  # 2^200 characters
    with pytest.raises(FormulaError, match="longer than 20,000 characters; give names"):
        text(x)


def test_parts_with_names_are_written_by_them() -> None:
    u = X @ W + b
    y = kb.softmax(u)
    loss = kb.cross_entropy(y, T)
    assert text(loss, {u: "U", y: "Y"}) == "cross_entropy(Y, T)"
    assert text(y, {u: "U", y: "Y"}) == "softmax(U)"
    assert text(kb.grad(loss, W), {y: "Y"}) == "X.T @ ((Y - distribution(T)) / N)"
    names = {"U": u, "Y": y, "T": T}
    assert parse("cross_entropy(Y, T)", names) is loss


def test_printing_keeps_nothing_alive() -> None:
    gc.collect()
    x = kb.input("printed", ("N", 3))
    y = kb.gelu(x) * 2
    assert again(y) is y
    from weakref import ref

    seen = [ref(n) for n in order([y]) if x in order([n])]
    del x, y
    gc.collect()
    assert [n for n in (s() for s in seen) if n is not None] == []
