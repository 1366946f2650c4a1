"""A primer: the derivative as a limit, partial derivatives, and the chain rules."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.explain.layout import SPACE, Fraction, name, row, sign
from kokuban.expr import Expr
from kokuban.formula import compare
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.figures import COLOURS, GREY
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function, fitted_slope

STEPS = (1.0, 0.1, 0.01, 0.001)
AT = 1.2
POINT: dict[str, Any] = {"x": [[0.8]], "y": [[1.5]]}
DIRECTION = {"x": 0.6, "y": -0.8}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "All that backpropagation needs of calculus: what a slope is, and how slopes "
        "combine where one quantity feeds the next.",
        "誤差逆伝播法に必要な微分の知識は、傾きとは何か、そして量が次の量へ流れ込むとき傾きが"
        "どう組み合わさるか、の二つである。",
    )
    yield from _limit(t)
    yield from _one_variable(t)
    yield from _partial(t)
    yield from _total(t)
    yield from _many(t)
    yield from _inner(t)
    yield from _number(t)


# ---------------------------------------------------------------- one variable


def _limit(t: Teller) -> Iterator[Part]:
    own = t.board("curve")
    both = Function(own.y, grad(own.y, own.x))
    y, slope = both.numbers(x=AT)
    secants = [(both.numbers(x=AT + h)[0] - y) / h for h in STEPS]
    yield t.heading("The derivative: a limit of slopes", "微分: 傾きの極限")
    yield t.say(
        "The slope of the line through two points of a curve, as the second point comes "
        "close to the first. For y = {} at x = {}:",
        "曲線上の 2 点を通る直線の傾きを考え、2 点目を 1 点目に近づける。y = {} の x = {} では:",
        own.y,
        AT,
    )
    yield t.table(
        ["h", t.pick("slope of the line", "直線の傾き"), t.pick("gap", "差")],
        [
            [t.box(h), t.box(s, ".6f"), t.box(s - slope, ".6f")]
            for h, s in zip(STEPS, secants, strict=True)
        ],
        t.words(
            "The gap to the derivative {:.6f} falls like h.",
            "微分係数 {:.6f} との差は h に比例して小さくなる。",
            slope,
        ),
    )
    yield t.derive(own.y, own.x, names={own.y: "y"})
    yield t.checked(check(own.y, {"x": [[AT]]}))
    at = np.linspace(0.2, 2.5, 81)
    curve = [both.numbers(x=x)[0] for x in at]

    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        axes.plot(at, curve, color=GREY)
        for h, colour in zip((1.0, 0.5, 0.2), COLOURS[1:], strict=False):
            end = both.numbers(x=AT + h)[0]
            axes.plot(
                at,
                y + (end - y) / h * (at - AT),
                color=colour,
                linewidth=1,
                label=f"h = {h}",
            )
            axes.plot(AT + h, end, "o", color=colour, markersize=5)
        tangent = words("derivative", "微分係数")
        axes.plot(at, y + slope * (at - AT), color=COLOURS[0], label=tangent)
        axes.plot(AT, y, "o", color=COLOURS[0])
        axes.set(ylim=(-2, 8), xlabel="x", ylabel="y")
        axes.legend()

    yield t.figure(
        "secants",
        draw,
        t.words(
            "Lines through the point at x = {} and points h further: they turn into the "
            "tangent as h shrinks.",
            "x = {} の点と、h だけ先の点を通る直線。h を小さくすると接線に近づく。",
            AT,
        ),
        (5.6, 3.4),
    )


def _one_variable(t: Teller) -> Iterator[Part]:
    own = t.board("chain")
    all_three = Function(own.y, own.z, grad(own.z, own.x))
    y, z, slope = all_three.numbers(x=AT)
    rows = []
    for h in STEPS:
        y_h, z_h, _ = all_three.numbers(x=AT + h)
        inner, outer = (y_h - y) / h, (z_h - z) / (y_h - y)
        rows.append([t.box(h), *(t.box(v, ".6f") for v in (inner, outer, outer * inner))])
    d = sign("Δ")
    quotients = [
        Fraction(row(d, name(a)), row(d, name(b))) for a, b in ("zx", "zy", "yx")
    ]
    yield t.heading("The chain rule and its limit", "連鎖律とその極限")
    yield t.say(
        "x moves y, and y moves z. For any step the quotients multiply, because Δy "
        "cancels; each tends to its derivative, and so their product does.",
        "x が y を動かし、y が z を動かす。どのような刻みでも Δy が約分されて比は積になる。"
        "それぞれの比は微分係数に近づくから、積もそうなる。",
    )
    yield t.show("chain")
    yield t.formulas(
        t.line(quotients[0], row(quotients[1], "·", quotients[2])),
        t.line(t.partial("z", "x"), row(t.partial("z", "y"), "·", t.partial("y", "x"))),
    )
    yield t.table(
        ["h = Δx", "Δy/Δx", "Δz/Δy", t.pick("their product", "積")],
        rows,
        t.words(
            "At x = {}; the derivative is {:.6f}.",
            "x = {}。微分係数は {:.6f}。",
            AT,
            slope,
        ),
    )
    yield t.derive(own.z, own.x, names={own.y: "y", own.z: "z"})
    yield t.checked(check(own.z, {"x": [[AT]]}))


# ---------------------------------------------------------------- several variables


def _partial(t: Teller) -> Iterator[Part]:
    own = t.board("two")
    yield t.heading("Partial derivatives", "偏微分")
    yield t.say(
        "Of several variables one moves, and the others are held.",
        "複数の変数のうち一つだけを動かし、ほかは固定する。",
    )
    yield t.formulas(
        t.line("z", own.z),
        t.line(t.partial("z", "x"), grad(own.z, own.x)),
        t.line(t.partial("z", "y"), grad(own.z, own.y)),
    )
    yield t.checked(check(own.z, POINT))


def _total(t: Teller) -> Iterator[Part]:
    own = t.board("two")
    every = Function(own.z, grad(own.z, own.x), grad(own.z, own.y))
    z, by_x, by_y = every.numbers(**POINT)
    steps = 2.0 ** -np.arange(2, 11)
    rows, gaps = [], []
    for h in steps:
        moved = {k: v[0][0] + h * DIRECTION[k] for k, v in POINT.items()}
        true = every.numbers(**moved)[0] - z
        linear = h * (by_x * DIRECTION["x"] + by_y * DIRECTION["y"])
        gaps.append(abs(true - linear))
        rows.append(
            [t.box(float(h), ".2g"), *(t.box(v, ".6f") for v in (true, linear, gaps[-1]))]
        )
    slope = fitted_slope(steps, gaps)
    yield t.heading("The total differential", "全微分")
    yield t.say(
        "If both move a little, their shares add: the change of z is that through x plus "
        "that through y, up to something smaller.",
        "両方が少し動くとき、z の変化は x を通した分と y を通した分の和である。ただし、より"
        "小さい項を除く。",
    )
    d = name("d")
    yield t.formulas(
        t.line(
            row(d, name("z")),
            row(
                row(t.partial("z", "x"), SPACE, d, name("x")),
                "+",
                row(t.partial("z", "y"), SPACE, d, name("y")),
            ),
        )
    )
    yield t.table(
        ["h", t.pick("true Δz", "実際の Δz"), "dz", t.pick("gap", "差")],
        rows[::2],
        t.words(
            "dx = {} h and dy = {} h, at x = {} and y = {}.",
            "x = {2}, y = {3} で、dx = {0} h, dy = {1} h とした。",
            DIRECTION["x"], DIRECTION["y"], POINT["x"][0][0], POINT["y"][0][0],
        ),
    )  # fmt: skip
    yield t.verdict(
        abs(slope - 2) < 0.1,
        t.words(
            "the gap falls like h to the power {:.2f}: what was left out is of second order",
            "差は h の {:.2f} 乗に比例して小さくなる。省いたのは 2 次の項である",
            slope,
        ),
    )


def _many(t: Teller) -> Iterator[Part]:
    own = t.board("many")
    yield t.heading("n variables", "n 変数の場合")
    yield t.say(
        "Any number of variables stand in one row x. Their partial derivatives are a row "
        "of the same shape, and the total differential is the sum of the products, entry "
        "by entry.",
        "変数がいくつあっても、一つの行ベクトル x にまとめられる。偏微分は同じ形の行ベクトルに"
        "なり、全微分は成分ごとの積の和である。",
    )
    yield t.show("many")
    yield t.derive(own.z, own.x, form="entries", names={own.z: "z"})
    yield t.checked(check(own.z, {"x": [[0.5, -1.0, 2.0]], "a": [[1.0, 2.0, -0.5]]}))


# ---------------------------------------------------------------- several inner variables


def _inner(t: Teller) -> Iterator[Part]:
    own = t.board("paths")
    yield t.heading("Several inner variables", "中間の変数が複数ある場合")
    yield t.say(
        "x moves u and v, and both move z. By the total differential the shares through "
        "u and through v add. This one rule carries all of backpropagation: whatever is "
        "used more than once adds what comes back from each use.",
        "x が u と v の両方を動かし、その両方が z を動かす。全微分により、u を通した分と v を"
        "通した分を足せばよい。逆伝播のすべてはこの規則に尽きる。複数回使われるものは、それぞれの"
        "使用から戻る勾配を足し合わせる。",
    )
    yield t.show("paths")
    yield t.formulas(
        t.line(
            t.partial("z", "x"),
            row(
                row(t.partial("z", "u"), "·", t.partial("u", "x")),
                "+",
                row(t.partial("z", "v"), "·", t.partial("v", "x")),
            ),
        )
    )
    yield t.derive(own.z, own.x, names={own.u: "u", own.v: "v", own.z: "z"})
    yield t.checked(check(own.z, {"x": [[AT]]}))
    through: list[Expr] = [grad(own.u, own.x), grad(own.v, own.x)]
    shares = [own.v * through[0], own.u * through[1]]
    values = Function(*shares, grad(own.z, own.x)).numbers(x=AT)
    yield t.verdict(
        compare(shares[0] + shares[1], grad(own.z, own.x)).equal,
        t.words(
            "at x = {}: {:.4f} through u and {:.4f} through v, together {:.4f}",
            "x = {} では、u を通して {:.4f}、v を通して {:.4f}、合わせて {:.4f}",
            AT,
            *values,
        ),
    )


def _number(t: Teller) -> Iterator[Part]:
    own = t.board("number")
    given = {"x": [[2.0]], "w": [[0.5]], "b": [[-0.25]], "t": [[1.0]]}
    yield t.heading("Backpropagation of a number", "実数の逆伝播")
    yield t.say(
        "The smallest layer: y = {}. Its gradient from above, {}, is known. The "
        "chain rule gives those by w and b, which are learned, and that by x, which is "
        "the gradient from above for the layer before.",
        "最小の層 y = {} を考える。上流の勾配 {} は既知とする。連鎖律により、学習される "
        "w と b による勾配と、x による勾配が求まる。後者は、一つ前の層にとっての上流の勾配になる。",
        own.y,
        t.partial("L", "y"),
    )
    yield t.show("number")
    yield t.derive(
        own.L, [own.w, own.b, own.x], form="numbers", at=given, names={own.y: "y"}
    )
    yield t.checked(check(own.L, given))


LESSON = Lesson(
    "chain-rule",
    ("Derivatives and chain rules: a primer", "微分と連鎖律の準備"),
    "001; 002, 3.3.2",
    tell,
    {
        "curve": "x: 1 x 1 parameter\ny = x^3 / 2 - x",
        "chain": "x: 1 x 1 parameter\ny = x^2\nz = sin(y)",
        "two": "x: 1 x 1 parameter\ny: 1 x 1 parameter\nz = x^2 y + sin(y)",
        "many": "x: 1 x n parameter\na: 1 x n input\nz = Σ a ⊙ x^2",
        "paths": "x: 1 x 1 parameter\nu = x^2\nv = sin(x)\nz = u v",
        "number": """
            x: 1 x 1 parameter
            t: 1 x 1 target
            w: 1 x 1 parameter
            b: 1 x 1 parameter
            y = w x + b
            L = mse(y, t)
        """,
    },
)
