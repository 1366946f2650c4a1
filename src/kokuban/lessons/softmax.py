"""Softmax: by rows, unchanged by a shift, guarded against overflow, and its Jacobian."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban import ops
from kokuban.explain import derive
from kokuban.explain.written import one_entry
from kokuban.expr import symbol
from kokuban.formula import Board
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.deltas import slopes
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.proofs import chain
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.run import evaluate
from kokuban.train import Model

AT: dict[str, Any] = {
    "U": np.array([[1.0, 2.0, 0.0], [-1.0, 0.5, 0.5]]),
    "G": np.array([[1.0, -1.0, 0.5], [0.0, 2.0, -0.5]]),
}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield from _rows(t)
    yield from _shift(t)
    yield from _jacobian(t)
    yield from _backward(t)
    yield from _trained(t)


def _rows(t: Teller) -> Iterator[Part]:
    own = t.board("softmax")
    yield t.say(
        "Softmax makes probabilities of any numbers, each row for itself: positive, and "
        "with the sum 1.",
        "softmax は、任意の数を行ごとに確率に変える。どの成分も正で、各行の和は 1 である。",
    )
    yield t.show("softmax")
    output = symbol("Y", own.Y.shape, "state")
    yield t.formulas(t.line(one_entry(output, "sk"), one_entry(own.Y, "sk", over="r")))
    (value,) = Function(own.Y)(U=AT["U"])
    yield t.formulas(t.line("U", AT["U"]), t.line("Y", np.round(value, 4)))
    yield t.verdict(
        bool(np.allclose(value.sum(axis=1), 1) and (value > 0).all()),
        t.words("each row sums to 1", "各行の和は 1 である"),
    )


# ---------------------------------------------------------------- a shift, and the guard


def _shift(t: Teller) -> Iterator[Part]:
    own = t.board("shift")
    yield t.heading("A shift changes nothing", "定数を加えても変わらない")
    yield t.say(
        "The same number c added to all entries of a row is a common factor above and "
        "below the fraction bar, and cancels:",
        "一つの行のすべての成分に同じ数 c を加えると、分母と分子に共通の因子が現れ、約分される。",
    )
    yield from chain(
        t,
        t.formula(own.whole),
        (own.shifted, ()),
        (own.factored, t.words("exponents add", "指数法則")),
        (own.common, t.words("the common factor", "共通因子をくくり出す")),
        (own.plain, t.words("cancelled", "約分する")),
    )
    yield t.heading("The overflow guard", "オーバーフロー対策")
    yield t.say(
        "So the largest entry of a row can be subtracted first: then no exponential is "
        "larger than 1. Without that, large entries overflow:",
        "そこで、各行の最大値をあらかじめ引いておく。すると指数関数の値は 1 を超えない。これを"
        "しないと、大きな成分で桁あふれが起こる。",
    )
    rows = []
    for shift in (0.0, 100.0, 1000.0):
        u = np.array([[1.0, 2.0, 3.0]]) + shift
        with np.errstate(all="ignore"):
            plain = evaluate(own.plain, {"u": u}, simplify=False)
        guarded = Function(ops.softmax(own.u))(u=u)[0]
        rows.append((u, plain, guarded))
    overflow = t.words("overflow", "桁あふれ")
    yield t.table(
        ["u", t.pick("as defined", "定義どおり"), t.pick("with the guard", "対策あり")],
        [
            [_numbers(u, 0), _numbers(p, 4) if np.isfinite(p).all() else overflow,
             _numbers(g, 4)]
            for u, p, g in rows
        ],
    )  # fmt: skip
    yield t.verdict(
        not np.isfinite(rows[-1][1]).all()
        and all(np.allclose(g, rows[0][2]) for _, _, g in rows),
        t.words(
            "with the guard all three are the same, as they must be",
            "対策をすれば三つとも同じ値になる",
        ),
    )


def _numbers(value: np.ndarray, digits: int) -> str:
    return ", ".join(f"{v:.{digits}f}" for v in value[0])


# ---------------------------------------------------------------- the way back


def _jacobian(t: Teller) -> Iterator[Part]:
    own = t.board("one")
    found = derive(own.L, own.x, names=_names(own))
    (g,) = [g for g in found.tape.gradients if g.of is own.x]
    yield t.heading("The Jacobian", "ヤコビ行列")
    yield t.say(
        "Every output of a row depends on every input of that row. Kronecker's delta "
        "writes the cases r = k and r ≠ k in one:",
        "行の各出力は、その行のすべての入力に依存する。クロネッカーのデルタを使うと、r = k と "
        "r ≠ k の場合を一つの式に書ける。",
    )
    left, slope = slopes(found.tape, g)
    yield t.formulas(t.line(left, slope))
    at = {"x": AT["U"][:1], "g": AT["G"][:1]}
    units = np.eye(3)
    rows = [Function(grad(own.L, own.x))(x=at["x"], g=e[None])[0][0] for e in units]
    (y,) = Function(own.y)(x=at["x"])
    built = np.diag(y[0]) - y.T @ y
    yield t.say(
        "At x = {} the engine differentiates each output by each input; the result is "
        "diag(y) - yᵀy:",
        "x = {} で各出力を各入力で微分すると、diag(y) - yᵀy になる。",
        at["x"],
    )
    yield t.formulas(t.line(t.partial("y", "x"), np.round(np.array(rows), 4)))
    yield t.verdict(
        bool(np.allclose(rows, built, atol=1e-14)),
        t.words(
            "the {} entries are those of diag(y) - yᵀy",
            "{} 成分すべてが diag(y) - yᵀy のものと一致する",
            built.size,
        ),
    )
    yield from chain(
        t,
        t.partial("L", "x"),
        (grad(own.L, own.x), ()),
        (own.jacobian, t.words("the note's form", "ノートの形")),
        names={own.y: "y"},
    )
    yield t.checked(check(own.L, at, "x"))


def _backward(t: Teller) -> Iterator[Part]:
    own = t.board("softmax")
    yield t.heading("Backwards, entry by entry", "逆伝播を成分で")
    yield t.derive(own.L, own.U, form="entries", names={own.Y: "Y"})
    yield t.derive(own.L, own.U, form="numbers", names={own.Y: "Y"}, at=AT)


def _names(own: Board) -> dict[Any, str]:
    return {own.y: "y"}


def _trained(t: Teller) -> Iterator[Part]:
    yield t.heading("Trained", "学習")
    yield t.show("trained")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    labels = np.argmax(x @ np.array([[2.0, 0.0, -2.0], [0.0, 2.0, -1.0]]), axis=1)
    history = Model(loss=t.board("trained").L).fit(
        x, np.eye(3)[labels], optimizer=SGD(1.0), epochs=60, seed=0, engine="numpy"
    )
    yield t.trained(
        history,
        "softmax under the mean squared error, {} samples, SGD, learning rate {}",
        "softmax と平均二乗誤差、{} サンプル、SGD、学習率 {}",
        len(x),
        1,
    )


LESSON = Lesson(
    "softmax",
    ("Softmax and its Jacobian", "softmax とヤコビ行列"),
    "002, 2.3.3, 3.3.5",
    tell,
    {
        "softmax": """
            U: N x C parameter
            G: N x C
            Y = softmax(U)
            L = Σ G ⊙ Y
        """,
        "shift": """
            u: 1 x C parameter
            c: 1 x 1
            whole = softmax(u + c)
            shifted = exp(u + c) / Σ exp(u + c)
            factored = exp(c) exp(u) / Σ (exp(c) exp(u))
            common = exp(c) exp(u) / (exp(c) Σ exp(u))
            plain = exp(u) / Σ exp(u)
        """,
        "one": """
            x: 1 x 3 parameter
            g: 1 x 3 input
            I = [[1, 0, 0], [0, 1, 0], [0, 0, 1]]
            y = softmax(x)
            L = Σ g ⊙ y
            jacobian = g (I ⊙ dup(y, 3×3) - y^T y)
        """,
        "trained": """
            X: N x 2
            T: N x 3
            W: 2 x 3
            b: 1 x 3
            Y = softmax(X W + b)
            L = mse(Y, T)
        """,
    },
)
