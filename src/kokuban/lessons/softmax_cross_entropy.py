"""Softmax with cross-entropy: two rules that cancel to (Y - T)/C, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.formula import compare
from kokuban.gradcheck import check
from kokuban.gradient import grad
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.optim import SGD
from kokuban.rewrite import simplify
from kokuban.train import Model

AT: dict[str, Any] = {
    "X": np.array([[1.0, 0.0], [2.0, 1.0]]),
    "T": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]),
    "W": np.array([[0.5, -0.5, 0.0], [0.0, 0.5, 0.5]]),
    "b": np.array([[0.0, 0.0, 0.5]]),
}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    one, net = t.board("one"), t.board("net")
    yield t.say(
        "Softmax makes probabilities, and cross-entropy judges them. Neither gradient is "
        "simple alone; together nearly everything cancels.",
        "softmax は確率を作り、交差エントロピー誤差はそれを評価する。それぞれの勾配は複雑だが、"
        "組み合わせるとほとんどの項が打ち消し合う。",
    )
    yield t.heading("Step by step", "一歩ずつ")
    yield t.show("one")
    yield t.derive(one.L, one.X, form="entries", names={one.Y: "Y"})
    right = grad(one.L, one.X)
    yield t.verdict(
        compare(right, one.claimed).equal,
        t.words(
            "the note's last formula, {}, is the derived gradient",
            "ノートの最後の式 {} は、導いた勾配に等しい",
            t.formula(one.claimed, {one.Y: "Y"}),
        ),
    )
    yield t.heading(
        "In a network, a mean over the samples", "ネットワークの中で: サンプルの平均"
    )
    yield t.show("net")
    yield t.say(
        "Kokuban's cross_entropy is the mean over the N samples; in place of 1/C there is "
        "1/N: {}.",
        "Kokuban の cross_entropy は N 個のサンプルの平均であり、1/C の代わりに 1/N が付く: {}。",
        t.formula(simplify(net.claimed), {net.Y: "Y"}),
    )
    names = {net.Y: "Y", net.U: "U"}
    yield t.derive(net.L, [net.W, net.b], detail="everything", names=names)
    yield t.derive(net.L, [net.W, net.b], form="numbers", names=names, at=AT)
    yield t.checked(check(net.L, AT))
    yield t.heading("Trained", "学習")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2))
    labels = np.argmax(x @ np.array([[2.0, 0.0, -2.0], [0.0, 2.0, -1.0]]), axis=1)
    history = Model(loss=net.L).fit(
        x, labels, optimizer=SGD(0.5), epochs=40, batch_size=20, seed=0, engine="numpy"
    )
    yield t.trained(
        history,
        "{} samples of 3 classes, SGD, learning rate {}",
        "3 クラスの {} サンプル、SGD、学習率 {}",
        len(x),
        0.5,
    )


LESSON = Lesson(
    "softmax-cross-entropy",
    ("Softmax with cross-entropy", "softmax と交差エントロピー誤差"),
    "002, 3.3.6–3.3.7",
    tell,
    {
        "one": """
            X: 1 x C parameter
            T: 1 x C
            Y = softmax(X)
            L = 1/C cross_entropy(Y, T)
            claimed = 1/C (Y - T)
        """,
        "net": """
            X: N x 2
            T: N x 3
            W: 2 x 3
            b: 1 x 3
            U = X W + b
            Y = softmax(U)
            L = cross_entropy(Y, T)
            claimed = 1/N (Y - T)
        """,
    },
)
