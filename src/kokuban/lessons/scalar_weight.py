"""One scalar weight and one bias for every entry, written out for 2×2 matrices."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.explain import derive
from kokuban.explain.written import every_entry
from kokuban.expr import Expr, substitute
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.rewrite import simplify
from kokuban.train import Model

RATE = 0.01
AT: dict[str, Any] = {
    "X": np.array([[1.0, 2.0], [3.0, 4.0]]),
    "T": np.array([[2.0, 5.0], [7.0, 10.0]]),
    "w": np.array([[2.0]]),
    "b": np.array([[1.0]]),
}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    own = t.board("scalar")
    yield t.say(
        "One number w and one number b serve every entry: a 1×1 convolution of one channel. "
        "The loss is the mean squared error over all entries.",
        "すべての成分に一つの数 w と一つの数 b を使う。1 チャネルの 1×1 畳み込みにあたる。損失は"
        "全成分についての平均二乗誤差である。",
    )
    yield t.show("scalar")
    yield t.heading("Written out", "書き下す")
    found = derive(own.L, names={own.Y: "Y"}).tape
    by = {g.of.name: g.value for g in found.gradients}
    upstream: dict[Expr, Expr] = {
        q.gradient: by["Y"] for q in found.quantities if q.symbol.name == "Y"
    }
    whole = dict(zip("wb", substitute([by["w"], by["b"]], upstream), strict=True))
    yield t.formulas(
        t.line("Y", every_entry(own.Y)),
        t.line("L", every_entry(simplify(found.quantities[-1].body), sums=True)),
        *(
            t.line(t.partial("L", name), every_entry(formula, sums=True))
            for name, formula in whole.items()
        ),
    )
    derived = [v.item() for v in Function(grad(own.L, own.w), grad(own.L, own.b))(**AT)]
    yield t.heading("Derived, and in numbers", "導出と数値例")
    yield t.derive(own.L, form="entries", names={own.Y: "Y"})
    yield t.derive(own.L, form="numbers", names={own.Y: "Y"}, at=AT, entry=(2, 2))
    yield t.checked(check(own.L, AT))
    yield t.heading("Updated and trained", "更新と学習")
    after = [AT[n].item() - RATE * g for n, g in zip("wb", derived, strict=True)]
    yield t.say(
        "One step of stochastic gradient descent with the learning rate {} takes w from {} "
        "to {:.4g} and b from {} to {:.4g}.",
        "学習率 {} の確率的勾配降下法の 1 ステップで、w は {} から {:.4g} に、b は {} から {:.4g} に"
        "更新される。",
        RATE,
        AT["w"].item(),
        after[0],
        AT["b"].item(),
        after[1],
    )
    model = Model(loss=own.L)
    how: dict[str, Any] = {"batch_size": 2, "engine": "numpy", "shuffle": False}
    model.values = {s: AT[s.name] for s in own.symbols if s.name in ("w", "b")}
    history = model.fit(AT["X"], AT["T"], optimizer=SGD(RATE), epochs=1, **how)
    off = [abs(model[n].item() - v) for n, v in zip("wb", after, strict=True)]
    yield t.verdict(
        max(off) < 1e-6,
        t.words("training takes the same step", "学習も同じ 1 ステップを行う"),
    )
    history = model.fit(AT["X"], AT["T"], optimizer=SGD(RATE), epochs=200, **how)
    yield t.trained(history, "SGD, learning rate {}", "SGD、学習率 {}", RATE)


LESSON = Lesson(
    "scalar-weight",
    ("One scalar weight for every entry", "すべての成分に一つの重み"),
    "004",
    tell,
    {
        "scalar": """
            X: 2 x 2 input
            T: 2 x 2 target
            w: 1 x 1
            b: 1 x 1
            Y = w X + b
            L = mse(Y, T)
        """,
    },
)
