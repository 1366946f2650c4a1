"""Expressions: interned, frozen, written, recorded; and what cannot be one."""

from __future__ import annotations

import copy
import gc
import json
import math
import pickle
import weakref
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import numpy as np
import pytest
from graphs import Instruction, algebra, algebraic, starts, steady
from hypothesis import given, settings, strategies as st
from reading import parsed, unmarked

import kokuban as kb
from kokuban import expr
from kokuban.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    KokubanError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from kokuban.expr import (
    Call,
    Expr,
    apply,
    from_records,
    order,
    plain,
    size,
    substitute,
    symbol,
    symbols,
    to_records,
    uses,
    written,
)

GOLDEN = Path(__file__).parent / "golden" / "expressions.txt"

X, H = kb.input("X", ("N", 4)), kb.input("H", ("N", 3))
T = kb.target("T", ("N", 3))
W, V = kb.parameter("W", (4, 3)), kb.parameter("V", (3, 3))
b, r, c = kb.parameter("b", (1, 3)), kb.parameter("r", (1, 3)), kb.input("c", ("N", 1))
s, t = kb.parameter("s", (1, 1)), kb.parameter("t", (1, 1))
NAMES = {
    "kb": kb,
    **{e.name: e for e in (X, H, T, W, V, b, r, c, s, t)},
    "N": size("N"),
}

# ---------------------------------------------------------------- identity


def test_the_same_expression_is_the_same_object() -> None:
    assert kb.input("X", ["N", np.int64(4)]) is X
    assert X @ W + b is X @ W + b
    assert kb.relu(H) is kb.relu(H, at_zero=0)
    assert 2 * H is kb.constant(2.0) * H
    assert np.float32(2) * H is 2 * H
    assert H * [[1, 2, 3]] is H * np.array([[1.0, 2.0, 3.0]])
    assert kb.broadcast(b, [np.int64(5), 3]) is kb.broadcast(b, (5, 3))
    assert kb.broadcast(b, (1, 3)) is b


def test_what_differs_is_another_object() -> None:
    different = [
        X,
        kb.input("X", ("M", 4)),
        kb.input("X", ("N", 5)),
        kb.input("x", ("N", 4)),
        kb.parameter("X", ("N", 4)),
        kb.relu(H),
        kb.relu(H, at_zero=1),
        H - T,
        T - H,
        H**2,
        H**3,
        kb.constant(0.0),
        kb.constant(-0.0),
        kb.constant([[0.0, 1.0]]),
        kb.constant([[-0.0, 1.0]]),
        kb.constant([[0.0], [1.0]]),
        size("N"),
        size("M"),
    ]
    assert len(set(different)) == len(different)


def test_a_constant_of_one_by_one_is_a_number() -> None:
    assert kb.constant([[3]]) is kb.constant(3.0) is kb.constant(np.array(3))
    assert size(3) is kb.constant(3)
    assert kb.constant(True) is kb.constant(1)


def test_threads_make_the_same_objects() -> None:
    made: list[list[Expr]] = []
    barrier = Barrier(8)

    def build() -> None:
        barrier.wait()
        x: Expr = kb.input("threads", ("N", 2))
        chain = [x]
        for k in range(300):
            x = x * k + kb.tanh(x)
            chain.append(x)
        made.append(chain)

    threads = [Thread(target=build) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    for nodes in zip(*made, strict=True):
        assert len(set(nodes)) == 1


def test_unused_expressions_are_collected() -> None:
    gc.collect()
    before = len(expr._interned)
    x = kb.input("collected", ("N", 3))
    y = kb.softmax_cross_entropy(kb.mish(x), kb.target("u", ("N", 3)))
    gradient = kb.grad(y, x)
    # those without x may be parts of what other tests hold
    seen = [weakref.ref(n) for n in order([y, gradient]) if x in order([n])]
    assert len(seen) > 20
    del x, y, gradient
    gc.collect()
    assert [n for r in seen if (n := r()) is not None] == []
    assert len(expr._interned) <= before


def test_copies_and_pickles_are_the_object() -> None:
    y = kb.cross_entropy(kb.softmax(X @ W + b), T) + size("N") * 0.1
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(y, protocol)) is y
    assert copy.copy(y) is y
    assert copy.deepcopy([y, X])[0] is y
    data = pickle.dumps((X, kb.constant([[1, 2]]), y))
    assert all(
        a is b
        for a, b in zip(pickle.loads(data), (X, kb.constant([[1, 2]]), y), strict=True)
    )


@pytest.mark.parametrize("name", ["shape", "name", "args", "new"])
def test_expressions_do_not_change(name: str) -> None:
    with pytest.raises(ExpressionError, match=f"cannot set '{name}' of X"):
        setattr(X, name, 3)
    with pytest.raises(ExpressionError, match=f"cannot set '{name}' of X"):
        delattr(X, name)


def test_a_deep_chain_is_an_expression_like_any_other() -> None:
    x: Expr = kb.input("deep", ("N", 2))
    for k in range(5000):
        x = kb.tanh(x) + 0.001 * k
    assert len(repr(x)) <= 400
    assert len(order([x])) > 15_000
    assert from_records(json.loads(json.dumps(to_records([x]))))[0] is x
    assert pickle.loads(pickle.dumps(x)) is x
    assert copy.deepcopy(x) is x
    assert len(list(uses([x]))) > 15_000
    other = kb.input("other", ("N", 2))
    (moved,) = substitute([x], {symbols([x])[0]: other})
    assert symbols([moved]) == [other]
    ref = weakref.ref(x)
    del x, moved
    gc.collect()
    assert ref() is None


# ---------------------------------------------------------------- reading


def test_shapes_of_operators() -> None:
    shapes = {
        X @ W + b: ("N", 3),
        X.T @ H: (4, 3),
        H * c: ("N", 3),
        b * c: ("N", 3),
        s * b: (1, 3),
        kb.sum(H): (1, 1),
        kb.sum(H, over="rows"): (1, 3),
        kb.sum(H, over="columns"): ("N", 1),
        H[:, 1]: ("N", 1),
        H[2:5, :]: (3, 3),
        H[0, 1:]: (1, 2),
        W[-1, -2]: (1, 1),
        W[-3:, :-1]: (3, 2),
        kb.join(c, H, c): ("N", 5),
        kb.join(W, V, axis=0): (7, 3),
        kb.row_max(H): ("N", 1),
    }
    assert {e: e.shape for e in shapes} == shapes


def test_a_whole_block_is_the_matrix_itself() -> None:
    assert W[:, :] is W
    assert kb.join(W) is W


def test_order_symbols_and_uses() -> None:
    y = kb.tanh(X @ W) * 2
    nodes = order([y])
    assert [n.op.name if n.op else repr(n) for n in nodes] == [
        "X",
        "W",
        "matmul",
        "tanh",
        "2",
        "broadcast",
        "multiply",
    ]
    assert order([y], known={X @ W}) == nodes[3:]
    assert order([y, y, X]) == nodes
    assert symbols([y]) == [X, W]
    assert symbols([y], "parameter") == [W]
    tied = H @ V @ V.T
    assert [(p, u.op.name) for u, p, what in uses([tied]) if what is V and u.op] == [
        (1, "matmul"),
        (0, "transpose"),
    ]


def test_substitute_replaces_a_node_everywhere() -> None:
    y = kb.tanh(H @ V) + H @ V
    assert substitute([y], {H @ V: T})[0] is kb.tanh(T) + T
    assert substitute([y, H], {H: T}) == [kb.tanh(T @ V) + T @ V, T]


# ---------------------------------------------------------------- writing


def golden() -> list[tuple[str, str]]:
    lines = GOLDEN.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("->") for line in lines if line and not line.startswith("#")]
    return [(code.strip(), text.strip()) for code, text in pairs]


@pytest.mark.parametrize(("code", "text"), golden(), ids=[code for code, _ in golden()])
def test_written_forms(code: str, text: str) -> None:
    assert repr(eval(code, NAMES)) == text


@settings(steady, max_examples=500)
@given(st.lists(algebra, min_size=1, max_size=12), starts)
def test_the_written_form_is_the_expression(
    program: list[Instruction], start: list[int]
) -> None:
    # without numbers alone, which Python would compute with itself
    made = algebraic(program, start, numbers_alone=False)
    text = written(made, depth=100, length=10**6)
    assert unmarked(parsed(text, symbols([made]))) is unmarked(made)


def test_long_and_deep_forms_are_cut() -> None:
    x: Expr = H
    for _ in range(30):
        x = kb.tanh(x)
    assert repr(x) == "tanh(" * 10 + "…" + ")" * 10
    assert written(x, depth=2) == "tanh(tanh(…))"
    for _ in range(8):
        x = x * (x + 1)
    assert len(repr(x)) == 400
    assert repr(x).endswith("…")


def test_a_composite_keeps_its_name_and_its_settings() -> None:
    y = kb.leaky_relu(H, 0.2)
    assert isinstance(y, Call)
    assert (y.name, y.arguments, y.attrs) == ("leaky_relu", (H,), (("slope", 0.2),))
    assert repr(kb.mse(H, T, weights=None)) == "mse(H, T)"
    assert not isinstance(H + T, Call)
    assert repr(kb.identity(H)) == "H"


def test_a_name_hangs_on_nothing_that_is_alive() -> None:
    """The same formula, once by name and once spelt out, are two ways to write it."""
    by_name, spelt_out = kb.affine(H, V, r), H @ V + r
    assert (repr(by_name), repr(spelt_out)) == ("affine(H, V, r)", "H @ V + dup(r, N×3)")
    assert plain([by_name]) == [spelt_out]
    assert kb.simplify(by_name) is spelt_out
    assert kb.affine(H, V, r) is by_name


def test_a_name_goes_with_its_arguments() -> None:
    y = kb.mish(kb.affine(H, V, r))
    assert repr(substitute([y], {V: V.T})[0]) == "mish(affine(H, V.T, r))"
    (inside,) = substitute([kb.mish(H)], {kb.softplus(H): T})
    assert repr(inside) == "H * tanh(T)"  # no mish any more
    (narrow,) = substitute([kb.mean(H)], {H: H[0:1, :]})
    assert not isinstance(narrow, Call)  # the mean of one row divides by 3, not 3 N


def test_names_in_files() -> None:
    y = kb.huber(kb.affine(H, V, r), T, delta=0.5)
    assert pickle.loads(pickle.dumps(y)) is y
    records = json.loads(json.dumps(to_records([y])))
    assert from_records(records) == [y]
    assert records["nodes"][-1] == ["call", "huber", [3, 4], {"delta": 0.5}]
    for wrong in (["call", "hubert", [3, 4], {}], ["call", "huber", [3, 4], {"d": 1}]):
        with pytest.raises(FileFormatError):
            from_records({"nodes": [*records["nodes"][:-1], wrong], "outputs": [5]})


# ---------------------------------------------------------------- wrong input

WRONG: dict[str, tuple[Callable[[], Any], type[KokubanError], str]] = {
    "product": (
        lambda: X @ V,
        ShapeError,
        "X @ V does not fit: X is N×4, V is 3×3. In a matrix product the inner "
        "dimensions, here 4 and 3, must be equal.",
    ),
    "sum": (
        lambda: X + H,
        ShapeError,
        "X + H does not fit: X is N×4, H is N×3. Entry by entry needs equal shapes, or a "
        "dimension of 1 that can be repeated; N×4 and N×3 are neither.",
    ),
    "names": (lambda: kb.input("A", ("M", 3)) * H, ShapeError, "A is M×3, H is N×3"),
    "name and number": (
        lambda: kb.input("A", (5, 3)) * H,
        ShapeError,
        "A is 5×3, H is N×3",
    ),
    "half": (lambda: c + X.T, ShapeError, "c + X.T does not fit: c is N×1, X.T is 4×N"),
    "inside": (
        lambda: kb.softmax(X @ W + b) @ W,
        ShapeError,
        "softmax(X @ W + dup(b, N×3)) @ W does not fit: "
        "softmax(X @ W + dup(b, N×3)) is N×3, W is 4×3",
    ),
    "affine": (lambda: kb.affine(X, V, b), ShapeError, "X @ V does not fit"),
    "broadcast": (lambda: kb.broadcast(W, (8, 3)), ShapeError, "4×3 to 8×3"),
    "broadcast down": (lambda: kb.broadcast(W, (1, 3)), ShapeError, "4×3 to 1×3"),
    "broadcast to": (lambda: kb.broadcast(s, (0, 3)), ShapeError, "at least 1, not 0"),
    "block": (lambda: W[:, 3], ShapeError, "W is 4×3: it has no columns 3"),
    "block range": (lambda: W[2:9, :][2, :], ShapeError, "it has no rows 2"),
    "empty block": (lambda: W[2:2, :], ShapeError, "it has no rows slice(2, 2, None)"),
    "named end": (lambda: X[1:, :], ShapeError, "Dimension 'N' of X has no known size"),
    "named last": (lambda: X[-1, :], ShapeError, "'N' of X has no known size"),
    "block step": (lambda: W[::2, :], ExpressionError, "neighbouring rows: no step"),
    "block of one": (lambda: W[0], ExpressionError, "A[0:2, :] or A[:, 1]"),
    "block list": (lambda: W[[0, 1], :], ExpressionError, "not [0, 1]"),
    "block float": (lambda: W[:, 0.5], ExpressionError, "column's number or a slice"),
    "block array": (lambda: W[:, np.arange(2)], ExpressionError, "column's number"),
    "join named": (
        lambda: kb.join(X, H, axis=0),
        ShapeError,
        "known sizes, not ['N', 'N']",
    ),
    "join nothing": (lambda: kb.join(), ShapeError, "known sizes, not none"),
    "join rows": (
        lambda: kb.join(W, V),
        ShapeError,
        "joined along the columns need equal rows; W is 4×3 and V is 3×3",
    ),
    "join axis": (lambda: kb.join(W, W, axis=2), ShapeError, "0 (rows) or 1 (columns)"),
    "power": (
        lambda: H**T,
        ExpressionError,
        "must be a plain number, not T; write exp(log",
    ),
    "power nan": (
        lambda: H**math.nan,
        ExpressionError,
        "must be a plain number, not nan",
    ),
    "power of 2": (lambda: 2**H, ExpressionError, "exp(log(2) * …), here with H"),
    "truth": (
        lambda: bool(H),
        ExpressionError,
        "H has no truth value; evaluate it first",
    ),
    "comparison": (lambda: 1 if H else 2, ExpressionError, "has no truth value"),
    "class": (lambda: Expr("X", (1, 1)), ExpressionError, "made with kokuban.input"),
    "symbol's class": (lambda: expr.Symbol(), ExpressionError, "made with kokuban.input"),
    "shape of one": (lambda: kb.input("X", (3,)), ShapeError, "two dimensions"),
    "shape of three": (lambda: kb.input("X", (3, 4, 5)), ShapeError, "not (3, 4, 5)"),
    "no shape": (lambda: kb.input("X", 3), ShapeError, "two dimensions"),  # type: ignore[arg-type]
    "size 0": (lambda: kb.input("X", (0, 3)), ShapeError, "at least 1, not 0"),
    "size -1": (lambda: kb.parameter("X", (-1, 3)), ShapeError, "at least 1, not -1"),
    "size 1.5": (lambda: kb.parameter("X", (1.5, 3)), ShapeError, "not 1.5"),  # type: ignore[arg-type]
    "size True": (lambda: kb.parameter("X", (True, 3)), ShapeError, "not True"),
    "size's name": (lambda: kb.parameter("X", ("3 N", 3)), ShapeError, "not '3 N'"),
    "no name": (
        lambda: kb.input("", (1, 1)),
        ExpressionError,
        "text such as 'X', not ''",
    ),
    "name 3": (lambda: kb.input(3, (1, 1)), ExpressionError, "not 3"),  # type: ignore[arg-type]
    "role": (lambda: symbol("X", (1, 1), "weight"), ExpressionError, "input, target"),
    "list": (lambda: kb.constant([1, 2]), ShapeError, "this one has the shape (2,)"),
    "three dims": (lambda: kb.constant(np.zeros((2, 2, 2))), ShapeError, "(2, 2, 2)"),
    "ragged": (lambda: kb.constant([[1, 2], [3]]), ShapeError, "not [[1, 2], [3]]"),
    "empty": (lambda: kb.constant([[]]), ShapeError, "at least one row and one column"),
    "text": (lambda: kb.constant("12"), ShapeError, "not '12'"),
    "texts": (lambda: kb.constant([["1", "2"]]), ShapeError, "rows of numbers, not"),
    "None": (lambda: kb.constant(None), ShapeError, "not None"),  # type: ignore[arg-type]
    "objects": (lambda: kb.constant([[None, 1]]), ShapeError, "not [[None, 1]]"),
    "complex": (lambda: kb.constant(1j), ShapeError, "not 1j"),
    "expressions": (lambda: kb.constant([[s, t]]), ShapeError, "rows of numbers, not"),  # type: ignore[list-item]
    "NaN": (
        lambda: kb.constant(math.nan),
        DataError,
        "A constant is finite; nan is not.",
    ),
    "infinity": (lambda: H + math.inf, DataError, "inf is not"),
    "NaN within": (lambda: H * [[1, math.nan, 2]], DataError, "A constant is finite"),
    "huge": (lambda: kb.constant(10**400), ShapeError, "number"),
    "operation": (
        lambda: apply("sofmax", H),
        UnknownNameError,
        "Unknown operation 'sofmax'. Did you mean 'softmax'?",
    ),
    "arity": (lambda: apply("add", H), ExpressionError, "add takes 2 arguments, not 1"),
    "over": (
        lambda: kb.sum(H, over="row"),
        SettingError,
        "all, rows, columns, not 'row'",
    ),
    "mean over": (lambda: kb.mean(H, over="cols"), SettingError, "not 'cols'"),
    "clip": (lambda: kb.clip(H, 1, -1), SettingError, "low < high, not 1 and -1"),
    "level": (lambda: kb.quantile(H, T, level=1.0), SettingError, "between 0 and 1"),
    "smoothing": (
        lambda: kb.label_smoothing(T, amount=1),
        SettingError,
        "below 1, not 1",
    ),
    "weights": (
        lambda: kb.mse(H, T, weights=b),
        ShapeError,
        "weights needs one column and a row a sample, N×1; it is 1×3",
    ),
    "rate": (
        lambda: kb.dropout_mask(symbol("d", (1, 2), "counter"), 1.0, (2, 2)),
        SettingError,
        "at least 0 and below 1, not 1.0",
    ),
    "stream": (
        lambda: kb.dropout_mask(symbol("d", (1, 2), "counter"), 0.1, (2, 2), stream=-1),
        SettingError,
        "from 0, not -1",
    ),
    "counter": (
        lambda: kb.dropout_mask(s, 0.5, (2, 2)),
        ShapeError,
        "The counter is 1×2",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_input_is_refused(name: str) -> None:
    make, error, message = WRONG[name]
    with pytest.raises(error) as caught:
        make()
    assert type(caught.value) is error
    assert message in str(caught.value)


@pytest.mark.parametrize("use", [iter, list, len, set, reversed])
def test_an_expression_is_not_a_sequence(use: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError):
        use(W)
    with pytest.raises(TypeError):
        assert 3 in W  # type: ignore[operator]


def test_arrays_leave_operators_to_expressions() -> None:
    a = np.arange(12.0).reshape(4, 3)
    for made in (a + W, a * W, a - W, a / W, a.T @ W, np.float64(2) * W):
        assert isinstance(made, Expr)
    assert a - W is kb.constant(a) - W


# ---------------------------------------------------------------- records

RICH = [
    kb.cross_entropy(kb.softmax(X @ W + r), T) + 0.1 * kb.l2(W),
    kb.join(H[:, 0], kb.relu(H, at_zero=1.0)) / size("N") ** 2,
    H * kb.dropout_mask(symbol("draw", (1, 2), "counter"), 0.5, ("N", 3), stream=2),
    kb.constant([[1.5, -0.0]]) @ kb.constant([[1], [2]]),
]


def test_records_are_plain_json_and_come_back() -> None:
    records = to_records(RICH)
    text = json.dumps(records, allow_nan=False)
    assert all(a is b for a, b in zip(from_records(json.loads(text)), RICH, strict=True))
    assert len(records["nodes"]) == len(order(RICH, by_name=True)) < len(order(RICH))
    assert from_records(to_records([])) == []


SMALL = to_records([kb.relu(X @ W + r) * 2])
BAD_RECORDS: dict[str, Any] = {
    "nothing": None,
    "a list": [],
    "no nodes": {"outputs": []},
    "no outputs": {"nodes": []},
    "nodes of text": {"nodes": "op", "outputs": []},
    "unknown kind": {"nodes": [["node", 1]], "outputs": []},
    "empty record": {"nodes": [[]], "outputs": []},
    "unknown operation": {"nodes": [["op", "eval", [], {}]], "outputs": []},
    "used before made": {
        "nodes": [["op", "exp", [0], {}], ["const", 1.0]],
        "outputs": [],
    },
    "negative place": {"nodes": [["const", 1.0]], "outputs": [-1]},
    "place True": {"nodes": [["const", 1.0], ["const", 2.0]], "outputs": [True]},
    "place 0.0": {"nodes": [["const", 1.0]], "outputs": [0.0]},
    "too far": {"nodes": [["const", 1.0]], "outputs": [1]},
    "NaN": {"nodes": [["const", math.nan]], "outputs": [0]},
    "infinity": {"nodes": [["const", [[1.0, math.inf]]]], "outputs": [0]},
    "text": {"nodes": [["const", "1"]], "outputs": [0]},
    "two values": {"nodes": [["const", 1.0, 2.0]], "outputs": [0]},
    "role": {"nodes": [["symbol", "X", "code", 1, 1]], "outputs": [0]},
    "shape": {"nodes": [["symbol", "X", "input", 1.5, 1]], "outputs": [0]},
    "does not fit": {
        "nodes": [*SMALL["nodes"][:1], ["op", "matmul", [0, 0], {}]],
        "outputs": [1],
    },
    "attribute missing": {
        "nodes": [["const", 1], ["op", "relu", [0], {}]],
        "outputs": [1],
    },
    "attribute added": {
        "nodes": [["const", 1], ["op", "exp", [0], {"out": "f"}]],
        "outputs": [1],
    },
    "attribute's type": {
        "nodes": [["const", 1], ["op", "relu", [0], {"at_zero": "0"}]],
        "outputs": [1],
    },
    "attribute NaN": {
        "nodes": [["const", 1], ["op", "relu", [0], {"at_zero": math.nan}]],
        "outputs": [1],
    },
    "axis": {
        "nodes": [
            ["symbol", "X", "input", 4, 4],
            ["op", "slice", [0], {"axis": 2, "start": 0, "stop": 2}],
        ],
        "outputs": [1],
    },
    "over": {"nodes": [["const", 1], ["op", "sum", [0], {"over": "x"}]], "outputs": [1]},
    "rate": {
        "nodes": [
            ["symbol", "d", "counter", 1, 2],
            ["op", "dropout_mask", [0], {"rate": 2.0, "to": [2, 2], "stream": 0}],
        ],
        "outputs": [1],
    },
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_malformed_records_are_refused(name: str) -> None:
    with pytest.raises(FileFormatError, match="malformed at node"):
        from_records(BAD_RECORDS[name])


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.sampled_from(
        ["op", "const", "symbol", "size", "N", "X", "add", "slice", "axis", ""]
    ),
    st.text(max_size=3),
)
junk = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.text(max_size=5), inner, max_size=3),
    ),
    max_leaves=6,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value
        if isinstance(value, dict)
        else range(len(value))
        if isinstance(value, list)
        else ()
    )
    return [path, *(p for k in keys for p in _places(value[k], (*path, k)))]


GOOD = json.dumps(to_records(RICH))
PLACES = _places(json.loads(GOOD))


@settings(steady, max_examples=400)
@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_damaged_records_raise_nothing_but_their_error(
    changes: list[tuple[tuple[Any, ...], Any]],
) -> None:
    records = json.loads(GOOD)
    for path, value in changes:
        try:
            holder = {"": records}
            *way, last = ("", *path)
            for k in way:
                holder = holder[k]
            holder[last] = value
            records = records if path else value
        except (LookupError, TypeError):  # an earlier change removed the place
            continue
    try:
        found = from_records(records)
    except FileFormatError:
        return
    # what is accepted is sound: it can be written, recorded again and simplified
    assert all(
        a is b for a, b in zip(from_records(to_records(found)), found, strict=True)
    )
    assert [kb.simplify(e).shape for e in found] == [e.shape for e in found]
    repr(found)
