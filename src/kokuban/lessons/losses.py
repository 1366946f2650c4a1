"""Losses: squared error and cross-entropy, their values, their slopes, their reduction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kokuban.formula import Board, compare
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.figures import BLUE, ORANGE
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.run import evaluate
from kokuban.train import Model

ONE_SAMPLE = """
Y: 1 x C parameter
T: 1 x C target
"""
GIVEN: dict[Any, Any] = {
    "Y": np.array([[0.7, 0.2, 0.1]]),
    "T": np.array([[0.0, 1.0, 0.0]]),
}
RATE = 0.5


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "A loss is one number that says how far the output Y lies from the target T. "
        "Its gradient by Y is where backpropagation begins.",
        "損失は、出力 Y が教師データ T からどれだけ離れているかを表す一つの数である。"
        "Y による損失の勾配が、逆伝播の出発点になる。",
    )
    yield t.heading("Mean squared error", "平均二乗誤差")
    yield t.say(
        "For outputs that are quantities: the squared differences, averaged.",
        "出力が連続的な量であるときに用いる。差の二乗の平均である。",
    )
    yield from _one_loss(t, "squares")
    yield t.heading("Cross-entropy", "交差エントロピー誤差")
    yield t.say(
        "For outputs that are probabilities. Where one class is right, one term of the "
        "sum is left: the logarithm of the probability that this class was given.",
        "出力が確率であるときに用いる。正解のクラスが一つならば、和には一つの項、"
        "すなわち正解のクラスに与えた確率の対数だけが残る。",
    )
    yield from _one_loss(t, "entropy")
    yield from _side_by_side(t)
    yield from _reduction(t)
    yield from _training(t)


def _one_loss(t: Teller, name: str) -> Iterator[Part]:
    own = t.board(name)
    yield t.show(name)
    yield t.derive(own.L, own.Y, form="numbers", at=GIVEN)
    yield t.checked(check(own.L, GIVEN))


# ---------------------------------------------------------------- both by one probability


def _along(own: Board, at: Sequence[float]) -> list[tuple[float, float]]:
    """A loss at (y, 1 - y) against (1, 0), and its slope by the first entry."""
    both = Function(own.L, grad(own.L, own.Y))
    found = (both(Y=[y, 1 - y], T=[1, 0]) for y in at)
    return [(float(loss[0, 0]), float(slope[0, 0])) for loss, slope in found]


def _side_by_side(t: Teller) -> Iterator[Part]:
    both = (t.board("squares"), t.board("entropy"))
    slope = t.pick("slope by y", "y による傾き")
    few = (0.9, 0.5, 0.1, 0.01)
    told = zip(few, *(_along(own, few) for own in both), strict=True)
    yield t.table(
        ["y", "MSE", slope, t.pick("cross-entropy", "交差エントロピー"), slope],
        [
            [t.box(y), *(t.box(v, ".4f") for v in (*squares, *entropy))]
            for y, squares, entropy in told
        ],
        t.words(
            "Two classes, outputs y and 1 - y, of which the first is right; the slope is "
            "that by the first output.",
            "2 クラス、出力は y と 1 - y、正解は 1 番目。傾きは 1 番目の出力によるもの。",
        ),
    )

    at = np.linspace(0.02, 0.99, 98)
    curves = [np.array(_along(own, at.tolist())) for own in both]

    def draw(figure: Any, words: Words) -> None:
        titles = words("loss", "損失"), words("slope by y", "y による傾き")
        names = (
            words("mean squared error", "平均二乗誤差"),
            words("cross-entropy", "交差エントロピー誤差"),
        )
        for k, axes in enumerate(figure.subplots(1, 2)):
            for curve, colour, name in zip(curves, (BLUE, ORANGE), names, strict=True):
                axes.plot(at, curve[:, k], color=colour, label=name)
            axes.set_xlabel(words("probability y of the right class", "正解の確率 y"))
            axes.set_title(titles[k])
        figure.axes[0].legend()
        figure.axes[1].set_ylim(-12, 1)

    yield t.figure(
        "curves",
        draw,
        t.words(
            "Both losses by the probability y of the right one of two classes. "
            "Cross-entropy grows without bound where y nears 0, and so does its slope; "
            "the squared error and its slope stay bounded.",
            "2 クラスのうち正解のクラスの確率 y に対する二つの損失。交差エントロピー誤差は "
            "y が 0 に近づくと傾きとともに限りなく大きくなるが、平均二乗誤差とその傾きは"
            "有界である。",
        ),
    )


# ---------------------------------------------------------------- 1/C or not


def _reduction(t: Teller) -> Iterator[Part]:
    own, other = t.board("entropy"), t.board("by classes")
    yield t.heading("With 1/C or without", "1/C を付けるか付けないか")
    yield t.say(
        "The note defines cross-entropy as {} and later differentiates {}. Either can be "
        "used, but one of them throughout: the gradients differ.",
        "ノートは交差エントロピー誤差を {} と定義し、後で {} を微分している。どちらを使っても"
        "よいが、どちらか一方に統一しなければならない。勾配が異なるからである。",
        own.L,
        other.L,
    )
    gradients = [evaluate(grad(b.L, b.Y), GIVEN) for b in (own, other)]
    left = t.partial("L", "Y")
    yield t.formulas(
        t.line(left, grad(own.L, own.Y), gradients[0]),
        t.line(left, grad(other.L, other.Y), gradients[1]),
    )
    yield t.verdict(
        not compare(grad(own.L, own.Y), grad(other.L, other.Y)).equal,
        t.words(
            "the formulas differ; at Y = {} and T = {} the first gradient is {:.4g} times "
            "the second: C = {}",
            "二つの式は等しくない。Y = {}、T = {} では、前者の勾配は後者の {:.4g} 倍である"
            " (C = {})",
            GIVEN["Y"],
            GIVEN["T"],
            gradients[0][0, 1] / gradients[1][0, 1],
            GIVEN["Y"].shape[1],
        ),
    )
    yield t.say(
        "In training a constant factor of the loss is a factor of the learning rate. "
        "Kokuban's cross_entropy is the mean over the samples, and its mse the mean over "
        "all entries; each derivation says so in its first lines.",
        "学習では、損失にかかる定数倍は学習率の定数倍にあたる。Kokuban の cross_entropy は"
        "サンプルについての平均、mse は全成分についての平均であり、各導出の冒頭に明記される。",
    )


# ---------------------------------------------------------------- trained


def _training(t: Teller) -> Iterator[Part]:
    own = t.board("batch")
    yield t.heading("Trained", "学習")
    yield t.show("batch")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    labels = np.argmax(x @ np.array([[2.0, 0.0, -2.0], [0.0, 2.0, -1.0]]), axis=1)
    given = {"X": x, "T": np.eye(3)[labels], "W": np.zeros((2, 3)), "b": np.zeros((1, 3))}
    yield t.checked(check(own.L, given))
    history = Model(loss=own.L).fit(
        x, labels, optimizer=SGD(RATE), epochs=40, batch_size=20, engine="numpy"
    )
    yield t.trained(
        history,
        "cross-entropy, {} samples of 3 classes, SGD, learning rate {}",
        "交差エントロピー誤差、3 クラスの {} サンプル、SGD、学習率 {}",
        len(x),
        RATE,
    )


LESSON = Lesson(
    "losses",
    ("Losses", "損失関数"),
    "002, 3.1",
    tell,
    {
        "squares": ONE_SAMPLE + "L = mse(Y, T)\n",
        "entropy": ONE_SAMPLE + "L = -Σ T ⊙ ln Y\n",
        "by classes": ONE_SAMPLE + "L = -1/C Σ T ⊙ ln Y\n",
        "batch": """
            X: N x 2
            T: N x 3
            W: 2 x 3
            b: 1 x 3
            Y = softmax(X W + b)
            L = cross_entropy(Y, T)
        """,
    },
)
