"""A batch update is the sum of its samples' updates; online updates move in between."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, symbols
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.figures import BLUE, GREY, ORANGE
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function, Matrix, drawn, fitted_slope
from kokuban.optim import SGD
from kokuban.train import Model

ROWS, EPOCHS, FIT_RATE = 8, 30, 0.05
RATES = 2.0 ** -np.arange(4, 13)
Values = dict[str, Matrix]


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    own = t.board("layer")
    data = _data()
    start = {s.name: v for s, v in drawn(own).items()}
    yield t.say(
        "An affine layer takes a batch of N samples, one a row. What does one update with "
        "the batch have to do with N updates with a sample each?",
        "Affine 層は、各行を 1 サンプルとする N サンプルのバッチを受け取る。バッチによる 1 回の"
        "更新と、1 サンプルずつ N 回の更新とは、どのような関係にあるか。",
    )
    yield t.show("layer")
    yield t.derive(own.L, [own.W, own.b])
    yield t.checked(check(own.L, {**data, **start}))
    yield from _sum_of_samples(t, data, start)
    yield from _online(t, data, start)
    yield from _trained(t, data)


def _data() -> Values:
    rng = np.random.default_rng(4)
    x = rng.normal(size=(ROWS, 3))
    made = x @ np.array([[1.0, -0.5], [0.5, 1.0], [-1.0, 0.25]])
    return {"X": x, "T": made + 0.2 * rng.normal(size=(ROWS, 2))}


def _parameters(own: Any) -> list[Symbol]:
    return symbols([own.L], "parameter")


def _samples(data: Values) -> list[Values]:
    return [{k: v[n : n + 1] for k, v in data.items()} for n in range(ROWS)]


# ---------------------------------------------------------------- at the same weights


def _sum_of_samples(t: Teller, data: Values, start: Values) -> Iterator[Part]:
    own = t.board("layer")
    gradients = Function(*grad(own.L, _parameters(own)))
    batch = gradients(**data, **start)
    single = [gradients(**one, **start) for one in _samples(data)]
    totals = [np.sum([g[k] for g in single], axis=0) for k in range(len(batch))]
    gap = max(float(np.abs(a - b).max()) for a, b in zip(batch, totals, strict=True))
    by_w = t.partial("L", "W")
    yield t.heading("At the same weights: the sum", "同じ重みでは和に等しい")
    yield t.say(
        "The product Xᵀ Δ sums over the samples. So the gradient of a batch is the sum of "
        "the gradients of its samples, all taken at the same weights.",
        "積 Xᵀ Δ はサンプルについての和である。したがって、バッチの勾配は、同じ重みで求めた"
        "各サンプルの勾配の和に等しい。",
    )
    yield t.table(
        [
            t.pick("sample", "サンプル"),
            *(t.box(f"w_{i}{j}") for i in "123" for j in "12"),
        ],
        [
            *(
                [n, *(t.box(v, ".4f") for v in g[0].ravel())]
                for n, g in enumerate(single, 1)
            ),
            [t.pick("sum", "和"), *(t.box(v, ".4f") for v in totals[0].ravel())],
            [t.pick("batch", "バッチ"), *(t.box(v, ".4f") for v in batch[0].ravel())],
        ],
        t.words(
            "The entries of {}, by one sample at a time and by the batch.",
            "1 サンプルずつ、およびバッチでの {} の成分。",
            by_w,
        ),
    )
    yield t.verdict(
        gap < 1e-12,
        t.words(
            "the sum of the samples' updates is the batch's, for W and for b",
            "各サンプルの更新の和は、W についても b についてもバッチの更新に等しい",
        ),
    )


# ---------------------------------------------------------------- online


def _steps(own: Any) -> tuple[Function, list[str], str]:
    """One update by the optimizer, the names of what it changes, and of the rate."""
    learned = _parameters(own)
    gradients: list[Expr] = grad(own.L, learned)
    updates = SGD().updates(learned, gradients)
    new = [updates.assignments[p] for p in learned]
    return Function(*new), [p.name for p in learned], updates.rate.name


def _after_a_pass(own: Any, parts: list[Values], start: Values, rate: float) -> Values:
    update, names, eta = _steps(own)
    values = dict(start)
    for part in parts:
        values.update(zip(names, update(**part, **values, **{eta: rate}), strict=True))
    return values


def _gap(own: Any, data: Values, start: Values, rate: float) -> float:
    """How far apart the weights are after one pass, the batch's and the online ones."""
    batch = _after_a_pass(own, [data], start, rate)
    online = _after_a_pass(own, _samples(data), start, rate)
    return float(np.sqrt(sum(np.sum((batch[n] - online[n]) ** 2) for n in batch)))


def _online(t: Teller, data: Values, start: Values) -> Iterator[Part]:
    own = t.board("layer")
    gaps = [_gap(own, data, start, float(rate)) for rate in RATES]
    slope = fitted_slope(RATES, gaps)
    yield t.heading("Online: the weights move in between", "オンライン: 途中で重みが動く")
    yield t.say(
        "Online learning updates after each sample, and takes the next gradient at the "
        "new weights. A step moves the weights by the order of η, which changes "
        "the next gradient by the order of η, and the next step by that of η²: so far "
        "apart are the two after one pass.",
        "オンライン学習では 1 サンプルごとに更新し、次の勾配は更新後の重みで求める。1 回の更新は"
        "重みを η 程度動かし、それが次の勾配を η 程度、次の更新幅を η² 程度変える。一巡した後の"
        "両者の差は、この程度になる。",
    )
    yield t.table(
        ["η", t.pick("gap after one pass", "一巡後の差"), t.pick("gap / η²", "差 / η²")],
        [
            [t.box(float(r), ".3g"), t.box(g, ".2e"), t.box(g / r**2, ".2f")]
            for r, g in zip(RATES, gaps, strict=True)
        ][::2],
        t.words(
            "The distance between the weights of both, W and b together.",
            "両者の重みの距離 (W と b を合わせて)。",
        ),
    )
    yield t.verdict(
        abs(slope - 2) < 0.1,
        t.words(
            "the gap falls like η to the power {:.2f}: it vanishes as the rate does, faster",
            "差は η の {:.2f} 乗に比例する。学習率を小さくすると、それより速く消える",
            slope,
        ),
    )

    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        label = words("gap", "差")
        axes.loglog(RATES, gaps, "o", color=BLUE, label=label)
        line = gaps[-1] * (RATES / RATES[-1]) ** slope
        label = words(f"slope {slope:.2f}", f"傾き {slope:.2f}")
        axes.loglog(RATES, line, color=ORANGE, linewidth=1, label=label)
        axes.loglog(RATES, RATES, "--", color=GREY, linewidth=1, label="η")
        axes.set_xlabel(words("learning rate η", "学習率 η"))
        axes.set_ylabel(words("distance of the weights", "重みの距離"))
        axes.legend()

    yield t.figure(
        "gap",
        draw,
        t.words(
            "How far batch and online weights are apart after one pass, by the learning "
            "rate, on log-log paper; η itself for comparison.",
            "一巡した後のバッチとオンラインの重みの距離と学習率の関係 (両対数)。比較のため η "
            "自身も示す。",
        ),
        (5.6, 3.4),
    )


# ---------------------------------------------------------------- trained


def _trained(t: Teller, data: Values) -> Iterator[Part]:
    own = t.board("layer")
    yield t.heading("Trained both ways", "両方で学習する")
    yield t.say(
        "The loss of a step is a sum over its samples, so the two numbers of one row are "
        "to be compared, not those of different rows.",
        "1 回の更新での損失はそのサンプルについての和だから、各行の中で二つの数を比べる。行どうしは"
        "比べられない。",
    )
    for size, en, ja in (
        (ROWS, "batches of all {} samples, η = {}", "全 {} サンプルのバッチ、η = {}"),
        (
            1,
            "online, one of {} samples a step, η = {}",
            "オンライン、{} サンプルを 1 個ずつ、η = {}",
        ),
    ):
        history = Model(loss=own.L).fit(
            data["X"], data["T"], optimizer=SGD(FIT_RATE), epochs=EPOCHS,
            batch_size=size, engine="numpy",
        )  # fmt: skip
        yield t.trained(history, en, ja, ROWS, FIT_RATE)


LESSON = Lesson(
    "batch-and-online",
    ("Batch and online updates", "バッチ更新とオンライン更新"),
    "000; 002, 3.3.3",
    tell,
    {
        "layer": """
            X: N x 3
            T: N x 2
            W: 3 x 2
            b: 1 x 2
            Y = X W + b
            L = half_sum_of_squares(Y, T)
        """,
    },
)
