"""The two-layer network, slide by slide: STEP 2, 1.5, 1, every entry of every gradient."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kokuban.explain import Derivation, derive
from kokuban.explain.layout import Box, row
from kokuban.explain.page import Line
from kokuban.explain.written import every_entry, one_entry
from kokuban.expr import Expr, Symbol, substitute
from kokuban.formula import Board
from kokuban.gradcheck import check
from kokuban.lessons.deltas import split
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.optim import SGD
from kokuban.train import Model

SIZES = "2 x 3", "1 x 3", "3 x 2", "1 x 2"  # of W_1, b_1, W_2, b_2
HIDDEN = {"sigmoid": "sigmoid(u_1)", "relu": "relu(u_1, 1)"}
OUTPUT = {
    "regression": "y_2 = u_2\nE = half_sum_of_squares(y_2, d)",
    "classification": "y_2 = softmax(u_2)\nE = cross_entropy(y_2, d)",
}


def _text(output: str, hidden: str, rows: str = "1") -> str:
    names = zip(("W_1", "b_1", "W_2", "b_2"), SIZES, strict=True)
    leaves = "\n".join(f"{name}: {size}" for name, size in names)
    return (
        f"x: {rows} x 2 input\nd: {rows} x 2 target\n{leaves}\n"
        f"u_1 = x W_1 + b_1\ny_1 = {HIDDEN[hidden]}\nu_2 = y_1 W_2 + b_2\n{OUTPUT[output]}\n"
    )


BOARDS = {
    f"{output}, {hidden}": _text(output, hidden) for output in OUTPUT for hidden in HIDDEN
} | {f"{output}, many": _text(output, "sigmoid", "N") for output in OUTPUT}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield from _forward(t)
    yield from _backward(t)
    yield from _output_deltas(t)
    yield from _hidden_deltas(t)
    yield from _every_entry(t)
    yield from _trained(t)


def _derived(own: Board) -> Derivation:
    """The whole derivation, by the names on the board, in columns as on the slides."""
    return derive(own.E, names=_names(own), layout="columns")


def _names(own: Board) -> dict[Expr, str]:
    return {node: name for name, node in own.definitions.items()}


def _gradients(found: Derivation) -> Mapping[str, Expr]:
    return {g.of.name: g.value for g in found.tape.gradients}


# ---------------------------------------------------------------- the way forward


def _forward(t: Teller) -> Iterator[Part]:
    own = t.board("classification, sigmoid")
    yield t.heading("The way forward", "順伝播")
    yield t.say(
        "One sample x with {} entries, a hidden layer with {} nodes, an output layer with "
        "{} nodes; d is the teacher's answer. A number in brackets above a letter is the "
        "layer's. As on the slides, vectors are columns, and {} leads from node j to "
        "node k.",
        "入力 x は {} 成分の一つのサンプル、中間層は {} ノード、出力層は {} ノード、d は教師信号で"
        "ある。文字の右上の括弧の数は層の番号を表す。スライドと同じく、ベクトルは列ベクトルで、"
        "{} はノード j からノード k への重みである。",
        own.x.shape[1],
        own.b_1.shape[1],
        own.b_2.shape[1],
        one_entry(own.W_2, "jk", columns=True),
    )
    yield t.show("classification, sigmoid")
    quantities = {q.symbol.name: q for q in _derived(own).tape.quantities}
    yield t.formulas(
        *(
            t.line(
                one_entry(quantities[name].symbol, "1" + letter, columns=True),
                one_entry(quantities[name].body, "1" + letter, columns=True, over=over),
            )
            for name, letter, over in (
                ("u_1", "j", "i"),
                ("y_1", "j", "i"),
                ("u_2", "k", "j"),
                ("y_2", "k", "r"),
            )
        ),
        t.line("E", one_entry(quantities["E"].body, "11", columns=True, over="r")),
    )
    other = {
        q.symbol.name: q for q in _derived(t.board("regression, relu")).tape.quantities
    }
    yield t.say(
        "That is classification with the sigmoid. The two other choices of the slides: in "
        "the hidden layer ReLU, {}; for regression the identity as the output's function, "
        "so that y is u, and {}.",
        "以上はシグモイド関数を使う分類問題の場合である。スライドのほかの選択は、中間層では ReLU "
        "関数 {}、回帰問題では出力層の恒等関数 (y は u に等しい) と {} である。",
        row(
            one_entry(other["y_1"].symbol, "1j", columns=True),
            "=",
            one_entry(other["y_1"].body, "1j", columns=True),
        ),
        row(t.box("E"), "=", one_entry(other["E"].body, "11", columns=True, over="r")),
    )


# ---------------------------------------------------------------- the way back


def _backward(t: Teller) -> Iterator[Part]:
    own = t.board("regression, sigmoid")
    yield t.heading("The way back: STEP 2, 1.5, 1", "逆伝播: STEP 2, 1.5, 1")
    yield t.say(
        "STEP 2 is the output layer, STEP 1.5 hands the error on to the hidden layer's "
        "output, STEP 1 is the hidden layer. Each is the chain rule through every entry "
        "that depends on the weight; Kronecker's delta says that only one does. Δ is the "
        "gradient by a layer's total input u: the slides' δ.",
        "STEP 2 は出力層、STEP 1.5 は中間層の出力への誤差の伝搬、STEP 1 は中間層である。どれも、"
        "重みに依存するすべての成分を通る連鎖律であり、クロネッカーのデルタが、実際に依存する成分が"
        "一つだけであることを表す。Δ は層の総入力 u による勾配、すなわちスライドの δ である。",
    )
    yield t.derive(own.E, form="entries", names=_names(own), layout="columns")


def _output_deltas(t: Teller) -> Iterator[Part]:
    yield t.heading("The output layer's delta", "出力層のデルタ")
    own = t.board("classification, sigmoid")
    found = _derived(own)
    quantities = {q.symbol.name: q.symbol for q in found.tape.quantities}
    u, y = quantities["u_2"], quantities["y_2"]
    yield t.say(
        "The error depends on {} through every output {}: the output k itself, and the "
        "others. The own term and the sum over the others are found apart.",
        "誤差は、すべての出力 {1} を通して {0} に依存する。出力 k 自身を通る項と、それ以外の出力を"
        "通る項の和とに分けて求める。",
        one_entry(u, "1k", columns=True),
        one_entry(y, "1r", columns=True),
    )
    (g,) = [g for g in found.tape.gradients if g.of.name == "u_2"]
    apart = split(found.tape, g)
    left = one_entry(g.quantity.gradient, "1k", columns=True) if g.quantity else None
    assert apart.terms[1] is not None
    yield t.formulas(
        t.line(left, row(apart.chain[0], "+", apart.chain[1])),
        t.line(apart.chain[0], apart.terms[0]),
        t.line(apart.chain[1], apart.terms[1]),
        t.line(
            left,
            row(apart.terms[0], "+", apart.terms[1]),
            one_entry(g.value, "1k", columns=True),
            reason=t.words("the entries of d sum to 1", "d の成分の和は 1 である"),
        ),
    )
    slopes = [s for s in apart.slopes if s is not None]
    yield t.say(
        "The slopes used are those of softmax: {} for r = k and {} for r ≠ k. For "
        "regression no output but k depends on u_k, so the second sum is 0, and the delta "
        "is {}: the same.",
        "ここで使った softmax の微分は、r = k のとき {}、r ≠ k のとき {} である。回帰問題では、"
        "k 以外の出力は u_k に依存しないから第 2 の和は 0 で、デルタは {} となる。分類問題と同じ形で"
        "ある。",
        *slopes,
        _regression_delta(t),
    )


def _regression_delta(t: Teller) -> Box:
    gradients = _gradients(_derived(t.board("regression, sigmoid")))
    return one_entry(gradients["y_2"], "1k", columns=True)


def _hidden_deltas(t: Teller) -> Iterator[Part]:
    yield t.heading("The hidden layer's delta", "中間層のデルタ")
    yield t.say(
        "A hidden node's output depends on its own total input only: the sum over the "
        "others is 0. What comes back to that output is the sum of STEP 1.5, so the output "
        "layer's deltas are needed first.",
        "中間層のノードの出力は、そのノード自身の総入力だけの関数であるから、ほかのノードについての"
        "和は 0 になる。その出力に戻ってくるのは STEP 1.5 の和であり、出力層のデルタを先に求めて"
        "おく必要がある。",
    )
    for hidden, en, ja in (
        ("sigmoid", "sigmoid", "シグモイド関数"),
        ("relu", "ReLU", "ReLU 関数"),
    ):
        found = _derived(t.board(f"classification, {hidden}"))
        (g,) = [g for g in found.tape.gradients if g.of.name == "u_1"]
        assert g.quantity is not None
        whole = _until(found, g.value, keep=("Δ2",))
        yield t.formulas(
            t.line(
                one_entry(g.quantity.gradient, "1j", columns=True),
                one_entry(whole, "1j", columns=True, over="k"),
                reason=t.words(en, ja),
            )
        )


def _until(found: Derivation, formula: Expr, keep: tuple[str, ...] = ()) -> Expr:
    """A formula with the gradients in it written out, but for those to keep."""
    values: dict[Expr, Expr] = {
        g.quantity.gradient: g.value
        for g in found.tape.gradients
        if g.quantity is not None and g.quantity.gradient.name not in keep
    }
    while True:
        (after,) = substitute([formula], values)
        if after is formula:
            return formula
        formula = after


# ---------------------------------------------------------------- every entry


def _every_entry(t: Teller) -> Iterator[Part]:
    yield t.heading("Every entry of every gradient", "すべての勾配のすべての成分")
    yield t.say(
        "With deltas, the four matrices look the same for each choice of functions. Row k "
        "belongs to the node k that the weight leads to.",
        "デルタを使えば、四つの行列は関数の選び方によらず同じ形になる。第 k 行は、重みの行き先である"
        "ノード k に対応する。",
    )
    found = _derived(t.board("classification, sigmoid"))
    yield t.formulas(*_matrices(t, found, deltas=True))
    for hidden, en, ja in (
        ("sigmoid", "Written out, with the sigmoid in the hidden layer:",
         "中間層がシグモイド関数のとき、書き下すと:"),
        ("relu", "With ReLU in the hidden layer; [ ] is 1 where the condition holds, else 0:",
         "中間層が ReLU 関数のとき ([ ] は条件が成り立つとき 1、そうでないとき 0):"),
    ):  # fmt: skip
        yield t.say(en, ja)
        yield t.formulas(
            *_matrices(t, _derived(t.board(f"classification, {hidden}")), deltas=False)
        )
    yield t.say(
        "For regression the same matrices result, since y - d is the delta of both.",
        "回帰問題でも同じ行列になる。どちらのデルタも y - d だからである。",
    )
    both = [
        [_until(_derived(b), v) for v in _by_parameter(_derived(b)).values()]
        for b in (t.board(f"{output}, sigmoid") for output in OUTPUT)
    ]
    yield t.verdict(
        [every_entry(f, True) for f in both[0]]
        == [every_entry(f, True) for f in both[1]],
        t.words(
            "entry by entry, the {} matrices of regression are those of classification",
            "回帰問題の {} 個の行列は、成分ごとに分類問題のものと同じである",
            len(both[0]),
        ),
    )
    yield from _checked(t)


def _checked(t: Teller) -> Iterator[Part]:
    """Every gradient of the four networks against numerical differentiation."""
    names = [(output, hidden) for output in OUTPUT for hidden in HIDDEN]
    boards = [t.board(f"{output}, {hidden}") for output, hidden in names]
    checks = [check(own.E, _values(own)) for own in boards]
    yield t.verdict(
        all(checks),
        *(
            t.words(
                "{}, {}: central differences agree in all {} entries of the {} gradients, "
                "worst relative gap {:.0e}",
                "{}、{}: {3} 個の勾配の {2} 成分すべてで中心差分と一致。相対的なずれは最大 {4:.0e}",
                t.pick(output, {"regression": "回帰問題"}.get(output, "分類問題")),
                t.pick(hidden, {"relu": "ReLU 関数"}.get(hidden, "シグモイド関数")),
                sum(r.entries for r in found.results),
                len(found.results),
                max(r.gap for r in found.results),
            )
            for (output, hidden), found in zip(names, checks, strict=True)
        ),
    )


def _by_parameter(found: Derivation) -> dict[Symbol, Expr]:
    return {g.of: g.value for g in found.tape.gradients if g.quantity is None}


def _matrices(t: Teller, found: Derivation, deltas: bool) -> Iterator[Line]:
    for symbol, value in _by_parameter(found).items():
        whole = value if deltas else _until(found, value)
        yield t.line(
            t.partial("E", symbol.name), every_entry(whole, columns=True, over="r")
        )


def _values(own: Board) -> dict[str, Any]:
    """Random short numbers, the target a class."""
    rng = np.random.default_rng(3)
    found: dict[str, Any] = {
        s.name: np.round(rng.uniform(-1, 1, [int(d) for d in s.shape]), 1)
        for s in own.symbols
    }
    return {**found, "d": np.array([[1.0, 0.0]])}


# ---------------------------------------------------------------- trained


def _trained(t: Teller) -> Iterator[Part]:
    yield t.heading("In numbers, and trained", "数値例と学習")
    own = t.board("regression, relu")
    yield t.derive(
        own.E,
        own.W_1,
        form="numbers",
        names=_names(own),
        layout="columns",
        at=_values(own),
    )
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (80, 2))
    product = x[:, 0] * x[:, 1]
    targets = np.stack([product, x[:, 0] ** 2], axis=1)
    labels = (product > 0).astype(int)
    for name, wanted, rate, en, ja in (
        ("regression, many", targets, 0.01, "regression", "回帰問題"),
        ("classification, many", labels, 1.0, "classification", "分類問題"),
    ):
        history = Model(loss=t.board(name).E).fit(
            x,
            wanted,
            optimizer=SGD(rate),
            epochs=200,
            batch_size=20,
            seed=0,
            engine="numpy",
        )
        yield t.trained(
            history,
            f"{en}, {{}} samples, SGD, learning rate {{}}",
            f"{ja}、{{}} サンプル、SGD、学習率 {{}}",
            len(x),
            rate,
        )


LESSON = Lesson(
    "two-layer",
    ("The two-layer network: STEP 2, 1.5, 1", "2 層ネットワーク: STEP 2, 1.5, 1"),
    "001",
    tell,
    BOARDS,
)
