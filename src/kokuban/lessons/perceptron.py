"""The step neuron, gates made of it, why XOR is none, and XOR from two layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import numpy as np

from kokuban.explain.layout import row
from kokuban.expr import Expr, constant, parameter
from kokuban.formula import compare
from kokuban.gradcheck import check
from kokuban.lessons.figures import BLUE, GREY, ORANGE
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function, Matrix, drawn
from kokuban.optim import SGD
from kokuban.rewrite import simplify
from kokuban.train import Model

Gate = Callable[[Matrix], Matrix]  # points in rows: for each what the gate gives

CORNERS = np.array(list(product((0.0, 1.0), repeat=2)))
WANTED = np.array([[0.0], [1.0], [1.0], [0.0]])  # XOR, in that order
AND: dict[str, Any] = {"w": [[1.0], [1.0]], "b": -1.5}
OR: dict[str, Any] = {"w": [[1.0], [1.0]], "b": -0.5}
NOT: dict[str, Any] = {"w": [[-1.0]], "b": 0.5}
AS_IN_NOTE: dict[str, Any] = {"w": [[-1.0]], "b": -0.5}
TWO_LAYERS: dict[str, Any] = {
    "W_1": [[1.0, -1.0], [1.0, -1.0]],  # OR; NOT AND
    "b_1": [[-0.5, 1.5]],
    "w_2": [[1.0], [1.0]],  # AND
    "b_2": -1.5,
}
FAR = 1.6  # how far a picture reaches


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield from _neuron(t)
    yield from _gates(t)
    yield from _impossible(t)
    yield from _two_layers(t)
    yield from _trained(t)


# ---------------------------------------------------------------- gates


def _neuron(t: Teller) -> Iterator[Part]:
    own = t.board("neuron")
    yield t.heading("The neuron", "ニューロン")
    yield t.say(
        "A neuron adds its inputs, each with a weight, and a bias; it gives 1 where the "
        "sum u is not negative, else 0. At the jump itself it gives 1.",
        "ニューロンは、入力に重みを掛けたものとバイアスを足し合わせ、その総入力 u が"
        "負でなければ 1 を、そうでなければ 0 を出力する。ちょうど 0 のときは 1 とする。",
    )
    yield t.show("neuron")
    yield t.formulas(t.line("u", own.u), t.line("z", own.z))


def _gates(t: Teller) -> Iterator[Part]:
    neuron, one = t.board("neuron"), _gate(t.board("one input").z, NOT)
    both = [_gate(neuron.z, values) for values in (AND, OR)]
    yield t.heading("Gates", "論理ゲート")
    given = zip(("AND", "OR", "NOT"), (AND, OR, NOT), strict=True)
    yield t.say(
        "Three gates, their weights w and bias b, and what the neuron gives for each input:",
        "三つの論理ゲートの重み w とバイアス b、および各入力に対するニューロンの出力:",
    )
    yield t.table(
        [t.pick("gate", "ゲート"), "w", "b"],
        [[label, t.box(np.array(g["w"]).T), g["b"]] for label, g in given],
    )
    yield t.table(
        ["x", "y", "x AND y", "x OR y", "NOT x"],
        [
            [int(p[0]), int(p[1]), *(int(g(p[None])[0, 0]) for g in both), int(last)]
            for p, last in zip(CORNERS, one(CORNERS[:, :1])[:, 0], strict=True)
        ],
    )
    printed = _gate(t.board("one input").z, AS_IN_NOTE)(np.array([[0.0], [1.0]]))
    yield t.verdict(
        bool(np.all(one(np.array([[0.0], [1.0]])) == [[1.0], [0.0]])),
        t.words(
            "NOT is right with b = {}. The note has b = {}: that neuron gives {} for 0 "
            "and {} for 1, and never fires.",
            "NOT は b = {} で正しい。ノートの b = {} では、0 に対して {}、1 に対して {} となり、"
            "決して発火しない。",
            NOT["b"],
            AS_IN_NOTE["b"],
            int(printed[0, 0]),
            int(printed[1, 0]),
        ),
    )

    def draw(figure: Any, words: Words) -> None:
        for axes, gate, line, label in zip(
            figure.subplots(1, 2), both, (AND, OR), ("AND", "OR"), strict=True
        ):
            _plane(axes, gate, gate(CORNERS), label)
            _line(axes, line)

    yield t.figure(
        "boundaries",
        draw,
        t.words(
            "The plane of the inputs for AND and OR: filled points give 1, hollow ones 0. "
            "The neuron fires in the shaded half; a straight line, {}, bounds it.",
            "AND と OR の入力平面。塗りつぶした点の出力は 1、白抜きの点は 0。ニューロンは"
            "色の付いた半平面で発火し、その境界は直線 {} である。",
            row(t.box(neuron.u), "=", t.box(0)),
        ),
        (6.4, 3.2),
    )


def _gate(z: Expr, values: dict[str, Any]) -> Gate:
    ready = Function(z)
    return lambda points: ready(X=points, **values)[0]


def _plane(axes: Any, gate: Gate | None, values: Matrix, title: str) -> None:
    """The four corners with their values, and where a gate fires."""
    axis = np.linspace(-FAR + 1, FAR, 221)
    if gate is not None:
        points = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
        fires = gate(points).reshape(len(axis), len(axis))
        axes.contourf(axis, axis, fires, levels=[0.5, 1.5], colors=[ORANGE], alpha=0.18)
    for (x, y), value in zip(CORNERS, values[:, 0], strict=True):
        colour, inside = (ORANGE, ORANGE) if value else (BLUE, "white")
        axes.plot(x, y, "o", markersize=11, color=colour, mfc=inside, mew=2)
    axes.set(xlim=(1 - FAR, FAR), ylim=(1 - FAR, FAR), aspect="equal", title=title)
    axes.set_xticks([0, 1])
    axes.set_yticks([0, 1])
    axes.set_xlabel("x")
    axes.set_ylabel("y")


def _line(axes: Any, neuron: dict[str, Any]) -> None:
    """Where a neuron's sum is 0."""
    (a,), (b,) = neuron["w"]
    ends = np.array([1 - FAR, FAR])
    axes.plot(ends, -(a * ends + neuron["b"]) / b, color=GREY, linewidth=1.2)


# ---------------------------------------------------------------- XOR


def _impossible(t: Teller) -> Iterator[Part]:
    w1, w2, b, x, y = (parameter(n, (1, 1)) for n in ("w_1", "w_2", "b", "x", "y"))

    def u(at_x: float, at_y: float) -> Expr:
        return simplify(w1 * constant(at_x) + w2 * constant(at_y) + b)

    yield t.heading("XOR is no single neuron", "XOR は一つのニューロンでは作れない")
    yield t.say(
        "XOR gives 1 where exactly one input is 1. A neuron with the sum u = {} that "
        "gives XOR would have to satisfy, corner by corner:",
        "XOR は入力のちょうど一方が 1 のとき 1 を出力する。総入力 u = {} のニューロンが XOR を"
        "与えるならば、四つの入力のそれぞれで次が成り立たなければならない。",
        w1 * x + w2 * y + b,
    )
    yield t.formulas(
        *(
            t.line(u(i, j), ("≥" if value else "<", 0))
            for (i, j), (value,) in zip(CORNERS.tolist(), WANTED.tolist(), strict=True)
        )
    )
    outer, inner = simplify(u(0, 0) + u(1, 1)), simplify(u(0, 1) + u(1, 0))
    yield t.say(
        "Added, the first and the last say that {} is negative; the other two say that "
        "{} is not.",
        "第 1 式と第 4 式を足すと {} は負であり、第 2 式と第 3 式を足すと {} は負でない。",
        outer,
        inner,
    )
    yield t.verdict(
        compare(outer, inner).equal,
        t.words(
            "{} and {} are the same number, whatever the weights. So no weights give XOR: "
            "it is not linearly separable.",
            "{} と {} は重みによらず同じ数である。したがって XOR を与える重みは存在しない。"
            "XOR は線形分離可能でない。",
            outer,
            inner,
        ),
    )


def _two_layers(t: Teller) -> Iterator[Part]:
    own = t.board("two layers")
    both, gate = Function(own.H, own.Z), _gate(own.Z, TWO_LAYERS)
    hidden, found = both(X=CORNERS, **TWO_LAYERS)
    yield t.heading("XOR from two layers", "2 層で作る XOR")
    yield t.say(
        "XOR is (x OR y) AND NOT (x AND y). OR and NOT AND make a hidden layer, AND the "
        "output layer. NOT AND is AND with every sign changed, which is one neuron.",
        "XOR は (x OR y) AND NOT (x AND y) である。OR と NOT AND を中間層に、AND を出力層に"
        "置く。NOT AND は AND の重みとバイアスの符号をすべて変えた一つのニューロンである。",
    )
    yield t.show("two layers")
    yield t.formulas(*(t.line(own[n], np.atleast_2d(v)) for n, v in TWO_LAYERS.items()))
    yield t.table(
        ["x", "y", "x OR y", "NOT (x AND y)", "x XOR y"],
        [
            [int(v) for v in (*p, *h, *z)]
            for p, h, z in zip(CORNERS, hidden, found, strict=True)
        ],
    )
    yield t.verdict(
        bool(np.array_equal(found, WANTED)),
        t.words("all four corners are right", "四つの入力すべてで正しい"),
    )

    def draw(figure: Any, words: Words) -> None:
        left, right = figure.subplots(1, 2)
        _plane(left, None, WANTED, words("XOR: no line", "XOR: 直線では分けられない"))
        _plane(right, gate, gate(CORNERS), words("two layers", "2 層"))
        for line in (AND, OR):
            _line(left, line)
            _line(right, line)

    yield t.figure(
        "xor",
        draw,
        t.words(
            "Left: the corners of XOR; the line of OR and the line of AND each leave one "
            "corner on the wrong side. Right: two layers fire in the strip between both.",
            "左: XOR の四つの点。OR の直線も AND の直線も、一点を誤った側に残す。"
            "右: 2 層のネットワークは二つの直線に挟まれた帯で発火する。",
        ),
        (6.4, 3.2),
    )


# ---------------------------------------------------------------- trained


def _trained(t: Teller) -> Iterator[Part]:
    yield t.heading("Trained", "学習")
    yield t.say(
        "The step has the slope 0 wherever it has one, so nothing can be learned through "
        "it. With smooth functions in its place, gradient descent finds such weights.",
        "ステップ関数の傾きは、定義できるところではすべて 0 であり、学習に使えない。"
        "滑らかな関数に置き換えれば、勾配降下法がこのような重みを見つける。",
    )
    yield t.show("one smooth")
    yield t.show("smooth")
    own = t.board("smooth")
    yield t.checked(check(own.L, drawn(own, X=CORNERS, T=WANTED)))
    lowest = []
    for board in ("one smooth", "smooth"):
        model = Model(loss=t.board(board).L)
        history = model.fit(
            CORNERS, WANTED, optimizer=SGD(0.5), epochs=2000, seed=2, engine="numpy"
        )
        lowest.append(history["loss"][-1])
        if board == "smooth":
            yield t.trained(history, "XOR, two layers, SGD", "XOR、2 層、SGD")
    yield t.verdict(
        abs(lowest[0] - np.log(2)) < 1e-3 < 0.1 < lowest[0] - lowest[1],
        t.words(
            "one smooth neuron stays at the loss {:.4f}, that of answering 1/2 each time",
            "滑らかなニューロン一つでは損失 {:.4f} で止まる。常に 1/2 と答えるのと同じである",
            lowest[0],
        ),
    )


LESSON = Lesson(
    "perceptron",
    ("The perceptron and gates", "パーセプトロンと論理ゲート"),
    "002, 2.1–2.2",
    tell,
    {
        "neuron": """
            X: N x 2
            w: 2 x 1
            b: 1 x 1
            u = X w + b
            z = step(u, 1)
        """,
        "one input": """
            X: N x 1
            w: 1 x 1
            b: 1 x 1
            z = step(X w + b, 1)
        """,
        "two layers": """
            X: N x 2
            W_1: 2 x 2
            b_1: 1 x 2
            w_2: 2 x 1
            b_2: 1 x 1
            H = step(X W_1 + b_1, 1)
            Z = step(H w_2 + b_2, 1)
        """,
        "one smooth": """
            X: N x 2
            T: N x 1
            w: 2 x 1
            b: 1 x 1
            Y = sigmoid(X w + b)
            L = binary_cross_entropy(Y, T)
        """,
        "smooth": """
            X: N x 2
            T: N x 1
            W_1: 2 x 4
            b_1: 1 x 4
            w_2: 4 x 1
            b_2: 1 x 1
            H = tanh(X W_1 + b_1)
            Y = sigmoid(H w_2 + b_2)
            L = binary_cross_entropy(Y, T)
        """,
    },
)
