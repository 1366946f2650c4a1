"""Activations: sigmoid, tanh and ReLU, their slopes, and the gradient through depth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.expr import Expr, symbols
from kokuban.formula import Board, compare
from kokuban.gradcheck import check, differences
from kokuban.gradient import grad
from kokuban.lessons.figures import COLOURS
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import METHODS, Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.train import Model

KINDS = ("sigmoid", "tanh", "relu")
DEPTH, WIDTH, ROWS = 10, 16, 64
NAMES = {
    "sigmoid": ("sigmoid", "シグモイド関数"),
    "tanh": ("tanh", "tanh"),
    "relu": ("ReLU", "ReLU"),
}


def deep(activation: str) -> str:
    """The board of a deep net of one activation."""
    lines = [f"X: N x {WIDTH}", f"T: N x {WIDTH}"]
    lines += [f"W_{k}: {WIDTH} x {WIDTH}" for k in range(1, DEPTH + 1)]
    before = "X"
    for k in range(1, DEPTH + 1):
        lines.append(f"H_{k} = {activation}({before} W_{k})")
        before = f"H_{k}"
    return "\n".join([*lines, f"L = mse({before}, T)"])


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "The step gives 0 or 1 and has no slope to learn by. What takes its place is a "
        "function that grows with its input and has a slope.",
        "ステップ関数の出力は 0 か 1 であり、学習に使える傾きがない。代わりに、入力とともに増え、"
        "傾きをもつ関数を用いる。",
    )
    for kind in KINDS:
        own = t.board(kind)
        yield t.heading(*NAMES[kind])
        yield t.show(kind)
        yield t.derive(own.y, own.x, names={own.y: "y"})
        yield t.checked(check(own.y, {"x": [[0.8]]}))
        if kind == "sigmoid":
            yield from _spelt_out(t)
    yield from _backward(t)
    yield from _corner(t)
    yield from _curves(t)
    yield from _vanishing(t)
    yield from _training(t)


def _spelt_out(t: Teller) -> Iterator[Part]:
    own, spelt = t.board("sigmoid"), t.board("sigmoid spelt out")
    slope, known = grad(spelt.y, spelt.x), grad(own.y, own.x)
    yield t.say(
        "The slope from the definition y = {}, and in the function itself:",
        "定義 y = {} から求めた傾きと、関数自身で表した傾き:",
        spelt.y,
    )
    yield t.formulas(
        t.line(t.partial("y", "x"), slope), t.line(t.partial("y", "x"), known)
    )
    yield t.verdict(
        compare(slope, known).equal,
        t.words("both are the same, for every x", "両者はすべての x で等しい"),
    )


def _backward(t: Teller) -> Iterator[Part]:
    own = t.board("relu in a net")
    yield t.heading("ReLU, backwards", "ReLU の逆伝播")
    yield t.say(
        "On a matrix ReLU acts entry by entry, and so does its way back: the gradient "
        "from above, entry by entry, times 1 or 0. That factor Γ must not be forgotten.",
        "行列に対して ReLU は成分ごとに働き、逆伝播もまた成分ごとである。上流の勾配 Γ の各成分に "
        "1 または 0 を掛ける。上流の勾配を掛け忘れてはならない。",
    )
    yield t.show("relu in a net")
    yield t.derive(own.L, own.U, form="entries", names={own.Y: "Y"})
    rng = np.random.default_rng(0)
    u, target = rng.normal(size=(2, 3, 4))
    yield t.checked(check(own.L, {"U": u, "T": target}))


# ---------------------------------------------------------------- at 0


def _corner(t: Teller) -> Iterator[Part]:
    own = t.board("relu")
    value = Function(own.y)
    found = {
        m: differences(lambda x: value(x=x)[0], [[0.0]], m)[0, 0]
        for m in ("backward", "central", "forward")
    }
    taken = Function(grad(own.y, own.x)).numbers(x=0.0)[0]
    other = Function(grad(t.board("relu at 0").y, t.board("relu at 0").x)).numbers(x=0.0)[
        0
    ]
    yield t.heading("ReLU at 0", "0 での ReLU")
    yield t.say(
        "At 0 ReLU has no derivative: the differences do not agree. The note takes {} "
        "there, and so does this lesson; scikit-learn and PyTorch take {}, and so do "
        "Kokuban's estimators. Both are subgradients, and a choice to be stated.",
        "ReLU は 0 で微分できない。差分の値が一致しないのがその証拠である。ノートはここで傾きを "
        "{} とし、このレッスンもそれに従う。scikit-learn と PyTorch は {} とし、Kokuban の"
        "推定器もそうする。どちらも劣勾配であり、どちらを選ぶかは明示しなければならない。",
        taken,
        other,
    )
    yield t.table(
        [t.pick("at 0", "0 での値"), t.pick("slope", "傾き")],
        [[t.pick(*METHODS[m]), v] for m, v in found.items()],
    )
    kinks = check(own.y, {"x": [[0.0]]}).results[0].kinks
    yield t.verdict(
        bool(kinks) and len(set(found.values())) == 3,
        t.words(
            "the checker finds the corner at 0 and gives no verdict there",
            "勾配確認も 0 の角を見つけ、そこでは判定しない",
        ),
    )


# ---------------------------------------------------------------- curves


def _curves(t: Teller) -> Iterator[Part]:
    at = np.linspace(-5, 5, 201)
    curves = {}
    for kind in KINDS:
        own = t.board(kind)
        both = Function(own.y, grad(own.y, own.x))
        curves[kind] = np.array([both.numbers(x=x) for x in at])
    sigmoid = Function(grad(t.board("sigmoid").y, t.board("sigmoid").x))
    peak, far = sigmoid.numbers(x=0.0)[0], sigmoid.numbers(x=10.0)[0]
    yield t.heading("Side by side", "三つを並べる")
    yield t.say(
        "Sigmoid's slope is {} at its steepest, at 0, and {:.1e} at 10: where the input "
        "is large either way, next to nothing comes back.",
        "シグモイド関数の傾きは、最も急な 0 でも {} であり、10 では {:.1e} にすぎない。入力の"
        "絶対値が大きいところでは、勾配がほとんど戻らない。",
        peak,
        far,
    )

    def draw(figure: Any, words: Words) -> None:
        left, right = figure.subplots(1, 2)
        for kind, colour in zip(KINDS, COLOURS, strict=False):
            left.plot(at, curves[kind][:, 0], color=colour, label=words(*NAMES[kind]))
            right.plot(at, curves[kind][:, 1], color=colour, label=words(*NAMES[kind]))
        left.set(ylim=(-1.2, 3), xlabel="x", title=words("value", "値"))
        right.set(xlabel="x", title=words("slope", "傾き"))
        left.legend()

    yield t.figure(
        "curves",
        draw,
        t.words(
            "The three functions and their slopes. Sigmoid's slope never passes {}, that "
            "of tanh reaches {}, ReLU's is {} wherever x is positive.",
            "三つの関数とその傾き。シグモイド関数の傾きは {} を超えず、tanh の傾きは最大 {}、"
            "ReLU の傾きは x が正であるかぎり {} である。",
            *(float(np.max(curves[kind][:, 1])) for kind in KINDS),
        ),
    )


# ---------------------------------------------------------------- through depth


def _sizes(own: Board, weights: dict[str, Any], rows: dict[str, Any]) -> NDArray[Any]:
    """The root mean square of ∂L/∂W of each layer, from the first."""
    learned = symbols([own.L], "parameter")
    gradients: list[Expr] = grad(own.L, learned)
    by_name = {
        s.name: float(np.sqrt(np.mean(g**2)))
        for s, g in zip(learned, Function(*gradients)(**weights, **rows), strict=True)
    }
    return np.array([by_name[f"W_{k}"] for k in range(1, DEPTH + 1)])


def _start(activation: str) -> dict[str, Any]:
    """Weights of the deviation 1/√n, and √2 times that for ReLU, which drops a half."""
    rng = np.random.default_rng(0)
    scale = np.sqrt((2.0 if activation == "relu" else 1.0) / WIDTH)
    return {
        f"W_{k}": scale * rng.normal(size=(WIDTH, WIDTH)) for k in range(1, DEPTH + 1)
    }


def _vanishing(t: Teller) -> Iterator[Part]:
    rng = np.random.default_rng(3)
    rows = {"X": rng.normal(size=(ROWS, WIDTH)), "T": rng.uniform(size=(ROWS, WIDTH))}
    sizes = {}
    for kind in KINDS:
        own = t.board(f"deep {kind}")
        sizes[kind] = _sizes(own, _start(kind), rows)
    yield t.heading("The vanishing gradient", "勾配消失")
    yield t.say(
        "On its way back the gradient is multiplied by the slope of every layer it "
        "passes. In a net of {} layers of {} units, weights drawn to keep the size of "
        "the signal, how large is the gradient by each layer's weights?",
        "勾配は、逆伝播の途中で各層の傾きを掛けられる。{} 層、各層 {} ユニットのネットワークで、"
        "信号の大きさを保つように重みを乱数で選んだとき、各層の重みによる勾配の大きさはどう"
        "なるか。",
        DEPTH,
        WIDTH,
    )
    yield t.table(
        [t.pick("layer", "層"), *(t.pick(*NAMES[kind]) for kind in KINDS)],
        [
            [k, *(t.box(sizes[kind][k - 1], ".1e") for kind in KINDS)]
            for k in (1, 4, 7, DEPTH)
        ],
        t.words(
            "The root mean square of the entries of the gradient by each layer's weights; "
            "layer 1 is the one next to the input.",
            "各層の重みによる勾配の成分の二乗平均平方根。1 層目が入力に最も近い。",
        ),
    )
    ratios = {k: (sizes[k][0] / sizes[k][-1]) ** (1 / (DEPTH - 1)) for k in KINDS}
    yield t.verdict(
        ratios["sigmoid"] < 0.25 < 0.5 < min(ratios["tanh"], ratios["relu"]),
        t.words(
            "each layer further back, the gradient is multiplied by {:.2f} with sigmoid, "
            "{:.2f} with tanh, {:.2f} with ReLU (on average)",
            "1 層戻るごとに勾配は平均して、シグモイド関数では {:.2f} 倍、tanh では {:.2f} 倍、"
            "ReLU では {:.2f} 倍になる",
            *(ratios[kind] for kind in KINDS),
        ),
    )

    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        for kind, colour in zip(KINDS, COLOURS, strict=False):
            axes.semilogy(
                range(1, DEPTH + 1),
                sizes[kind],
                "o-",
                color=colour,
                label=words(*NAMES[kind]),
            )
        axes.set_xlabel(words("layer, from the input", "入力から数えた層"))
        axes.set_ylabel(words("size of the gradient", "勾配の大きさ"))
        axes.legend()

    yield t.figure(
        "vanishing",
        draw,
        t.words(
            "The size of the gradient by each layer's weights. With sigmoid it falls by "
            "the same factor from layer to layer towards the input.",
            "各層の重みによる勾配の大きさ。シグモイド関数では、入力に近づくにつれて層ごとに"
            "同じ割合で小さくなる。",
        ),
        (5.6, 3.2),
    )


# ---------------------------------------------------------------- trained


def _training(t: Teller) -> Iterator[Part]:
    rng = np.random.default_rng(5)
    x = rng.normal(size=(256, 2))
    inside = (np.sum(x**2, axis=1) < 1.4).astype(int)
    yield t.heading("Trained", "学習")
    yield t.show("classifier relu")
    last = {}
    for kind in ("sigmoid", "relu"):
        model = Model(loss=t.board(f"classifier {kind}").L)
        history = model.fit(
            x, np.eye(2)[inside], optimizer=SGD(0.2), epochs=60, engine="numpy"
        )
        last[kind] = history["loss"][-1]
        yield t.trained(
            history,
            "{}, SGD, learning rate 0.2",
            "{}、SGD、学習率 0.2",
            t.pick(*NAMES[kind]),
        )
    yield t.verdict(
        last["relu"] < 0.5 * last["sigmoid"],
        t.words(
            "the same net learns with ReLU and hardly with sigmoid",
            "同じ構造でも、ReLU では学習が進み、シグモイド関数ではほとんど進まない",
        ),
    )


def classifier(activation: str) -> str:
    """The board of a classifier of five hidden layers."""
    lines = ["X: N x 2", "T: N x 2", "W_1: 2 x 12", "b_1: 1 x 12"]
    for k in range(2, 6):
        lines += [f"W_{k}: 12 x 12", f"b_{k}: 1 x 12"]
    lines += ["W_6: 12 x 2", "b_6: 1 x 2"]
    before = "X"
    for k in range(1, 6):
        lines.append(f"H_{k} = {activation}({before} W_{k} + b_{k})")
        before = f"H_{k}"
    return "\n".join([*lines, "Y = softmax(H_5 W_6 + b_6)", "L = cross_entropy(Y, T)"])


LESSON = Lesson(
    "activations",
    ("Activation functions", "活性化関数"),
    "002, 2.3, 2.5, 3.3.4",
    tell,
    {
        "sigmoid": "x: 1 x 1 parameter\ny = sigmoid(x)",
        "sigmoid spelt out": "x: 1 x 1 parameter\ny = 1 / (1 + e^{-x})",
        "tanh": "x: 1 x 1 parameter\ny = tanh(x)",
        "relu": "x: 1 x 1 parameter\ny = relu(x, 1)",
        "relu in a net": "U: N x 4 parameter\nT: N x 4 target\nY = relu(U, 1)\nL = mse(Y, T)",
        "relu at 0": "x: 1 x 1 parameter\ny = relu(x, 0)",
        **{f"deep {kind}": deep(kind) for kind in KINDS},
        **{f"classifier {kind}": classifier(kind) for kind in ("sigmoid", "relu")},
    },
)
