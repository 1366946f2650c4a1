"""Gradient descent: the two slopes of a loss curve, steps on it, the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, size, symbols
from kokuban.formula import Board, compare
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.figures import COLOURS, GREY, ORANGE
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function, drawn
from kokuban.optim import SGD
from kokuban.train import Model

# Points near t = 1.5 x.
POINTS = {
    "X": np.array([[0.5], [1.0], [1.5], [2.0]]),
    "T": np.array([[0.8], [1.4], [2.4], [2.9]]),
}
LEFT, RIGHT = 0.3, 2.4  # of the two slopes
RATES = (0.05, 0.25, 0.48, 0.55)
START, STEPS = 0.0, 12


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield from _slopes(t)
    yield from _update(t)
    yield from _reduction(t)
    yield from _samples(t)


def _slopes(t: Teller) -> Iterator[Part]:
    own = t.board("line")
    both = Function(own.L, grad(own.L, own.p))
    (loss1, slope1), (loss2, slope2) = (
        both.numbers(p=p, **POINTS) for p in (LEFT, RIGHT)
    )
    yield t.heading("A loss curve and two slopes", "損失の曲線と二つの傾き")
    yield t.say(
        "The loss as a function of one parameter p. Nobody sees the whole curve; the "
        "slope where p stands can be had.",
        "損失を一つのパラメータ p の関数とみる。曲線の全体は見えないが、現在の p での傾きは"
        "求められる。",
    )
    yield t.show("line")
    yield t.derive(own.L, own.p)
    yield t.checked(check(own.L, {**POINTS, "p": [[LEFT]]}))
    yield t.say(
        "At p = {} the slope is {:.4f}: negative, so a larger p lowers the loss. At "
        "p = {} it is {:.4f}: positive, so a smaller p does. Either way one goes against "
        "the slope.",
        "p = {} での傾きは {:.4f} で負だから、p を増やすと損失が減る。p = {} での傾きは "
        "{:.4f} で正だから、p を減らすと損失が減る。いずれも傾きと逆の向きに進めばよい。",
        LEFT, slope1, RIGHT, slope2,
    )  # fmt: skip
    at = np.linspace(-0.2, 3.0, 81)
    curve = [both.numbers(p=p, **POINTS)[0] for p in at]
    path = _descend(own, 0.1, 8)

    def draw(figure: Any, words: Words) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for axes in (left, right):
            axes.plot(at, curve, color=GREY)
            axes.set_xlabel("p")
        left.set_ylabel(words("loss L", "損失 L"))
        left.set_title(words("two slopes", "二つの傾き"))
        for k, (p, loss, slope) in enumerate(
            ((LEFT, loss1, slope1), (RIGHT, loss2, slope2))
        ):
            ends = np.array([p - 0.35, p + 0.35])
            left.plot(ends, loss + slope * (ends - p), color=COLOURS[k])
            left.plot(p, loss, "o", color=COLOURS[k])
            left.annotate(
                f"$p_{k + 1}$", (p, loss), xytext=(10, 4), textcoords="offset points"
            )
        right.plot(
            path, [both.numbers(p=p, **POINTS)[0] for p in path], "o-",
            color=ORANGE, markersize=4, linewidth=1,
        )  # fmt: skip
        right.set_title(words("steps of gradient descent", "勾配降下法の各ステップ"))

    yield t.figure(
        "curve",
        draw,
        t.words(
            "Left: the loss by p, with the slopes at {} and {}. Right: {} steps from "
            "p = {}, each against the slope; they grow short as the slope does.",
            "左: p に対する損失と、{} および {} での傾き。右: p = {3} から傾きと逆向きに {2} 回"
            "進んだ様子。傾きが小さくなると歩幅も小さくなる。",
            LEFT, RIGHT, len(path) - 1, START,
        ),
    )  # fmt: skip


# ---------------------------------------------------------------- the update


def _update_of(own: Board) -> tuple[Symbol, Expr]:
    """The learning rate, and what the optimizer makes of p."""
    (p,) = symbols([own.L], "parameter")
    updates = SGD().updates([p], [grad(own.L, p)])
    return updates.rate, updates.assignments[p]


def _descend(own: Board, rate: float, steps: int) -> list[float]:
    """p after each step."""
    eta, new = _update_of(own)
    step, path = Function(new), [START]
    for _ in range(steps):
        path += step.numbers(p=path[-1], **POINTS, **{eta.name: rate})
    return path


def _update(t: Teller) -> Iterator[Part]:
    own = t.board("line")
    eta, new = _update_of(own)
    yield t.heading("The learning rate", "学習率")
    yield t.say(
        "The update, and the same with this loss:", "更新式と、この損失での更新式:"
    )
    general = {eta: "η", grad(own.L, own.p): t.partial("L", "p")}
    yield t.formulas(
        t.line(own.p, ("←", t.formula(new, general))),
        t.line(own.p, ("←", t.formula(new, {eta: "η"}))),
    )
    best = float(np.sum(POINTS["X"] * POINTS["T"]) / np.sum(POINTS["X"] ** 2))
    paths = [_descend(own, rate, STEPS) for rate in RATES]
    yield t.table(
        [t.pick("step", "ステップ"), *(f"η = {rate}" for rate in RATES)],
        [[k, *(t.box(path[k], ".4f") for path in paths)] for k in (0, 1, 2, 3, 4, STEPS)],
        t.words(
            "p after each step; the lowest loss is at p = {:.4f}.",
            "各ステップ後の p。損失が最小になるのは p = {:.4f} である。",
            best,
        ),
    )
    ends = [abs(path[-1] - best) for path in paths]
    yield t.verdict(
        ends[1] < 1e-4 < ends[0] < abs(START - best) < ends[3],
        t.words(
            "a rate of {} has not arrived after {} steps, {} has, {} swings from side to "
            "side, and {} goes further away with each step",
            "学習率 {} では {} ステップ後もまだ着かず、{} では着く。{} では左右に振れ、{} では"
            "一歩ごとに遠ざかる",
            RATES[0], STEPS, *RATES[1:],
        ),
    )  # fmt: skip


# ---------------------------------------------------------------- η or η/N


def _reduction(t: Teller) -> Iterator[Part]:
    mean, total = t.board("line"), t.board("sum")
    by_mean, by_sum = grad(mean.L, mean.p), grad(total.L, total.p)
    yield t.heading("η or η/N", "η か η/N か")
    yield t.say(
        "Some add the samples' losses, others take the mean. The gradients are {} and {}.",
        "サンプルごとの損失を足す流儀と、平均する流儀がある。勾配はそれぞれ {} と {} である。",
        by_sum,
        by_mean,
    )
    yield t.verdict(
        compare(by_sum / size("N"), by_mean).equal,
        t.words(
            "the first, divided by N, is the second: η/N with the sum is η with the mean",
            "前者を N で割ると後者になる。和に対する η/N は、平均に対する η と同じである",
        ),
    )


# ---------------------------------------------------------------- some samples at a time


def _samples(t: Teller) -> Iterator[Part]:
    own = t.board("samples")
    rng = np.random.default_rng(1)
    x = rng.normal(size=(64, 3))
    target = x @ np.array([[1.0], [-2.0], [0.5]]) + 0.3 * rng.normal(size=(64, 1))
    yield t.heading(
        "Stochastic: some samples at a time", "確率的: 一部のサンプルで更新する"
    )
    yield t.say(
        "Stochastic gradient descent takes each step with a few samples. An epoch, one "
        "pass over all of them, then holds many steps.",
        "確率的勾配降下法は、一部のサンプルだけで 1 回の更新を行う。全サンプルを一巡する "
        "1 エポックの間に、何回も更新することになる。",
    )
    yield t.show("samples")
    yield t.checked(check(own.L, drawn(own, X=x, T=target)))
    sizes, curves = (64, 16, 4), []
    for batch in sizes:
        history = Model(loss=own.L).fit(
            x, target, optimizer=SGD(0.05), epochs=15, batch_size=batch, engine="numpy"
        )
        curves.append(history["loss"])
        yield t.trained(
            history,
            "SGD, learning rate 0.05, batches of {}",
            "SGD、学習率 0.05、バッチサイズ {}",
            batch,
        )

    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        for batch, curve, colour in zip(sizes, curves, COLOURS, strict=False):
            label = words(f"batches of {batch}", f"バッチサイズ {batch}")
            axes.semilogy(range(1, len(curve) + 1), curve, color=colour, label=label)
        axes.set_xlabel(words("epoch", "エポック"))
        axes.set_ylabel(words("loss", "損失"))
        axes.legend()

    yield t.figure(
        "epochs",
        draw,
        t.words(
            "The loss by epoch at the same learning rate: smaller batches make more steps "
            "an epoch, and then waver at a level that the rate sets.",
            "同じ学習率での、エポックごとの損失。バッチが小さいほど 1 エポックの更新回数が多く、"
            "速く下がったあとは学習率で決まる水準で揺れる。",
        ),
        (5.6, 3.2),
    )


LESSON = Lesson(
    "sgd",
    ("Stochastic gradient descent", "確率的勾配降下法"),
    "002, 3.2",
    tell,
    {
        "line": """
            X: N x 1
            T: N x 1
            p: 1 x 1
            L = mse(X p, T)
        """,
        "sum": """
            X: N x 1
            T: N x 1
            p: 1 x 1
            L = ‖X p - T‖²
        """,
        "samples": """
            X: N x 3
            T: N x 1
            W: 3 x 1
            b: 1 x 1
            L = mse(X W + b, T)
        """,
    },
)
