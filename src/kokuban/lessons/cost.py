"""What a gradient costs: backpropagation against numerical differentiation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, order, symbols
from kokuban.formula import Board
from kokuban.gradcheck import check, differences
from kokuban.gradient import grad
from kokuban.lessons.figures import BLUE, GREY, ORANGE
from kokuban.lessons.lesson import Lesson, Part, Words
from kokuban.lessons.teller import Teller
from kokuban.lessons.timing import seconds
from kokuban.lessons.values import Function, Matrix, drawn, fitted_slope
from kokuban.optim import SGD
from kokuban.rewrite import simplify_all
from kokuban.train import Model

WIDTHS = (2, 4, 8, 16, 24)
SAMPLES = 16
EPOCHS = 40


def net(width: int) -> str:
    """The board of a net of two hidden layers, all of one width."""
    return f"""
        X: N x {width}
        T: N x {width}
        W_1: {width} x {width}
        b_1: 1 x {width}
        W_2: {width} x {width}
        b_2: 1 x {width}
        W_3: {width} x {width}
        b_3: 1 x {width}
        H_1 = tanh(X W_1 + b_1)
        H_2 = tanh(H_1 W_2 + b_2)
        Y = H_2 W_3 + b_3
        L = mse(Y, T)
    """


@dataclass(frozen=True, slots=True)
class Cost:
    """What one gradient of one net costs.

    parameters        how many numbers the net learns
    forward           multiplications of a forward pass, in matrix products
    both              of the forward and the backward pass together
    """

    parameters: int
    forward: int
    both: int

    @property
    def passes(self) -> int:
        """Forward passes of central differences: two a parameter."""
        return 2 * self.parameters

    @property
    def numerical(self) -> int:
        """Multiplications of central differences."""
        return self.passes * self.forward


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "Numerical differentiation moves one parameter at a time, and each move is a "
        "forward pass, or two. Backpropagation finds the whole gradient in one pass "
        "forward and one back. That is why it was invented.",
        "数値微分はパラメータを一つずつ動かし、そのたびに 1 回または 2 回の順伝播を必要とする。"
        "誤差逆伝播法は、順伝播 1 回と逆伝播 1 回で勾配のすべてを求める。それが誤差逆伝播法の"
        "動機である。",
    )
    yield t.show("net 8")
    yield from _same(t)
    yield from _counted(t)
    yield from _timed(t)
    yield from _trained(t)


def _values(own: Board) -> dict[Symbol, Matrix]:
    width = own.X.shape[1]
    assert isinstance(width, int)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(SAMPLES, width))
    return drawn(own, X=x, T=np.sin(x))


def _same(t: Teller) -> Iterator[Part]:
    own = t.board("net 8")
    yield t.derive(own.L, [own.W_1, own.b_1], detail="answer")
    yield t.checked(check(own.L, _values(own), wrt=["W_1", "b_1"]))


# ---------------------------------------------------------------- counted


def _multiplications(outputs: Sequence[Expr], samples: int) -> int:
    """How many numbers are multiplied in the matrix products of some expressions."""
    total = 0
    for node in order(simplify_all(outputs)):
        if node.op is not None and node.op.name == "matmul":
            sizes = (*node.args[0].shape, node.args[1].shape[1])
            total += int(np.prod([samples if d == "N" else int(d) for d in sizes]))
    return total


def _cost(own: Board) -> Cost:
    learned = symbols([own.L], "parameter")
    numbers = sum(int(np.prod([int(d) for d in s.shape])) for s in learned)
    gradients: list[Expr] = grad(own.L, learned)
    return Cost(
        numbers,
        _multiplications([own.L], SAMPLES),
        _multiplications([own.L, *gradients], SAMPLES),
    )


def _counted(t: Teller) -> Iterator[Part]:
    costs = {width: _cost(t.board(f"net {width}")) for width in WIDTHS}
    yield t.heading("Counted", "計算量を数える")
    yield t.say(
        "The multiplications in all matrix products, for {} samples and layers of growing "
        "width; numerical differentiation by central differences.",
        "{} サンプルについて、層の幅を増やしながら、行列の積に含まれる乗算の回数を数える。"
        "数値微分には中心差分を用いる。",
        SAMPLES,
    )
    yield t.table(
        [
            t.pick("width", "幅"),
            t.pick("parameters", "パラメータ数"),
            t.pick("forward pass", "順伝播"),
            t.pick("backpropagation", "逆伝播まで"),
            t.pick("numerical", "数値微分"),
            t.pick("ratio", "比"),
        ],
        [
            [w, c.parameters, c.forward, c.both, c.numerical, t.box(c.numerical / c.both, ".0f")]
            for w, c in costs.items()
        ],
        t.words(
            "Numerical differentiation runs two forward passes a parameter.",
            "数値微分は、パラメータ一つにつき順伝播を 2 回行う。",
        ),
    )  # fmt: skip
    shares = [c.both / c.forward for c in costs.values()]
    yield t.verdict(
        max(shares) < 3 and costs[WIDTHS[-1]].numerical > 500 * costs[WIDTHS[-1]].both,
        t.words(
            "however wide the net, forward and backward together cost at most {:.2f} "
            "forward passes; {} parameters cost numerical differentiation {}",
            "幅によらず、順伝播と逆伝播を合わせても順伝播の {:.2f} 回分を超えない。これに対し、"
            "パラメータが {} 個のとき数値微分は順伝播 {} 回分を要する",
            max(shares),
            costs[WIDTHS[-1]].parameters,
            costs[WIDTHS[-1]].passes,
        ),
    )


# ---------------------------------------------------------------- measured


def _times(own: Board) -> tuple[float, float, float]:
    """Seconds of a forward pass, of backpropagation, of central differences."""
    values = {s.name: v for s, v in _values(own).items()}
    learned = symbols([own.L], "parameter")
    gradients: list[Expr] = grad(own.L, learned)
    forward, both = Function(own.L), Function(own.L, *gradients)

    def by(name: str) -> Matrix:
        rest = {n: v for n, v in values.items() if n != name}
        return differences(lambda w: forward(**{name: w}, **rest)[0], values[name])

    def numerical() -> list[Matrix]:
        return [by(s.name) for s in learned]

    return (
        seconds(lambda: forward(**values)),
        seconds(lambda: both(**values)),
        seconds(numerical, rounds=1),
    )


def _timed(t: Teller) -> Iterator[Part]:
    found = {width: _times(t.board(f"net {width}")) for width in WIDTHS}
    sizes = [_cost(t.board(f"net {width}")).parameters for width in WIDTHS]
    back, numerical = ([times[k] for times in found.values()] for k in (1, 2))
    yield t.heading("Measured", "時間を測る")

    def draw(figure: Any, words: Words) -> None:
        axes = figure.subplots()
        for times, colour, label in (
            (numerical, ORANGE, words("numerical differentiation", "数値微分")),
            (back, BLUE, words("backpropagation", "誤差逆伝播法")),
            (
                [times[0] for times in found.values()],
                GREY,
                words("forward pass", "順伝播"),
            ),
        ):
            axes.loglog(sizes, times, "o-", color=colour, label=label)
        axes.set_xlabel(words("parameters", "パラメータ数"))
        axes.set_ylabel(words("seconds", "秒"))
        axes.legend()

    table = t.table(
        [
            t.pick("parameters", "パラメータ数"),
            t.pick("forward pass", "順伝播"),
            t.pick("backpropagation", "誤差逆伝播法"),
            t.pick("numerical", "数値微分"),
            t.pick("ratio", "比"),
        ],
        [
            [n, *(f"{s * 1e3:.3g} ms" for s in times), f"{times[2] / times[1]:.0f}"]
            for n, times in zip(sizes, found.values(), strict=True)
        ],
    )
    figure = t.figure(
        "times",
        draw,
        t.words(
            "The time of one whole gradient by the number of parameters, on log-log "
            "paper. Numerical differentiation rises with the slope {:.1f}, "
            "backpropagation with {:.1f}.",
            "勾配全体を 1 回求める時間とパラメータ数の関係 (両対数)。数値微分の傾きは {:.1f}、"
            "誤差逆伝播法の傾きは {:.1f} である。",
            fitted_slope(sizes, numerical),
            fitted_slope(sizes, back),
        ),
        (5.6, 3.6),
    )
    yield t.measured(table, figure)


# ---------------------------------------------------------------- trained


def _trained(t: Teller) -> Iterator[Part]:
    own = t.board("net 8")
    values = {s.name: v for s, v in _values(own).items()}
    history = Model(loss=own.L).fit(
        values["X"], values["T"], optimizer=SGD(0.2), epochs=EPOCHS, batch_size=SAMPLES,
        engine="numpy",
    )  # fmt: skip
    cost = _cost(own)
    yield t.heading("Trained", "学習")
    yield t.trained(history, "net of width 8, SGD", "幅 8 のネットワーク、SGD")
    yield t.say(
        "These {} steps took {} backward passes. By central differences they would have "
        "taken {} forward passes.",
        "この {} 回の更新に要した逆伝播は {} 回である。中心差分ならば、順伝播が {} 回必要で"
        "あった。",
        EPOCHS,
        EPOCHS,
        EPOCHS * cost.passes,
    )


LESSON = Lesson(
    "cost",
    ("What a gradient costs", "勾配の計算量"),
    "001; 002, 3.3.1",
    tell,
    {f"net {width}": net(width) for width in WIDTHS},
)
