"""The tied autoencoder: where the chain rule through the output alone is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from kokuban.explain import derive
from kokuban.explain.layout import Script, bracketed
from kokuban.expr import Expr, symbols
from kokuban.formula import Board
from kokuban.gradcheck import check
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.train import Model

AT: dict[str, Any] = {
    "X": np.array([[1.0, 0.0]]),
    "W": np.array([[1.0], [2.0]]),
    "θ_2": np.array([[0.0]]),
    "θ_3": np.array([[0.0, 0.0]]),
}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    own = t.board("autoencoder")
    yield t.say(
        "An autoencoder learns to give its input back through a narrow layer. Tied means "
        "that the decoder's weight is the encoder's, transposed: one matrix W, used twice. "
        "The thresholds θ, weights from a unit that is always 1 with the sign changed, are "
        "not tied.",
        "自己符号化器は、狭い中間層を通して入力をそのまま出力する恒等変換を学習する。重みの結合"
        "とは、復号側の重みを符号化側の重みの転置とすること、すなわち一つの行列 W を二度使う"
        "ことである。閾値 θ (常に 1 を出すユニットからの重みの符号を変えたもの) は結合しない。",
    )
    yield t.show("autoencoder")
    yield t.heading("Each use has its share", "使用ごとの寄与")
    yield t.say(
        "The tempting way differentiates through the output's total input alone, as if the "
        "hidden layer did not depend on the weight. It does. The gradient is the sum of "
        "the two shares; the tempting formula is struck out below, with the numbers by "
        "which it fails.",
        "中間層が重みに依存しないかのように、出力層の総入力だけを通して微分したくなるが、"
        "中間層も重みに依存している。勾配は二つの寄与の和である。誤った式は、どれだけ違うかの"
        "数値とともに取り消し線で示す。",
    )
    yield t.derive(
        own.E, own.W, form="entries", layout="columns", names=_names(own), at=AT
    )
    yield t.heading("In numbers", "数値例")
    yield t.derive(
        own.E, own.W, form="numbers", layout="columns", names=_names(own), at=AT
    )
    yield from _shares(t, "autoencoder", AT, columns=True)
    yield from _general(t)
    yield from _trained(t)


def _names(own: Board) -> dict[Expr, str]:
    return {node: name for name, node in own.definitions.items()}


def _shares(
    t: Teller, name: str, at: dict[str, Any], columns: bool = False
) -> Iterator[Part]:
    """The share of each use, their sum, and numerical differentiation."""
    own = t.board(name)
    found = derive(own.E, own.W, names=_names(own)).tape
    (g,) = [g for g in found.gradients if g.of is own.W]
    parts = [found.whole(share.value) for share in g.shares]
    total = found.whole(g.value)
    known = {s.name for f in (*parts, total) for s in symbols([f])}
    values = Function(*parts, total)(**{n: v for n, v in at.items() if n in known})
    (result,) = check(own.E, at, "W").results
    whole = t.partial("E", "W")
    lefts = [
        Script(bracketed(whole), lower=t.box(share.through.symbol)) for share in g.shares
    ]
    yield t.formulas(
        *(
            t.line(left, v.T if columns else v)
            for left, v in zip([*lefts, whole], values, strict=True)
        )
    )
    alone = max(float(np.abs(v - values[-1]).max()) for v in values[:1])
    yield t.verdict(
        result.ok and alone > 1e-3,
        t.words(
            "central differences agree with the sum in all {} entries, worst relative gap "
            "{:.0e}; the first share alone is off by {:.4f}",
            "和は {} 成分すべてで中心差分と一致し、相対的なずれは最大 {:.0e}。最初の寄与だけでは "
            "{:.4f} ずれる",
            result.entries,
            result.gap,
            alone,
        ),
    )


def _general(t: Teller) -> Iterator[Part]:
    yield t.heading("Used three times", "三度使う場合")
    yield t.say(
        "The rule holds for any network in which a weight stands in more than one place: "
        "as many shares as uses.",
        "同じことは、一つの重みを複数か所で使うどのネットワークでも成り立つ。使う回数だけの寄与が"
        "ある。",
    )
    yield t.show("three")
    own = t.board("three")
    rng = np.random.default_rng(0)
    at = {s.name: np.round(rng.uniform(-1, 1, (2, 2)), 1) for s in own.symbols}
    yield t.derive(own.E, own.W, names=_names(own), at=at)
    yield from _shares(t, "three", at)


def _trained(t: Teller) -> Iterator[Part]:
    yield t.heading("Trained", "学習")
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, (60, 1)) * np.array([[0.8, -0.8]]) + np.array([[0.1, 0.9]])
    history = Model(loss=t.board("autoencoder").E).fit(
        x, optimizer=SGD(0.05), epochs=100, batch_size=20, seed=0, engine="numpy"
    )
    yield t.trained(
        history,
        "tied autoencoder, {} samples, SGD, learning rate {}",
        "重みを結合した自己符号化器、{} サンプル、SGD、学習率 {}",
        len(x),
        0.05,
    )


LESSON = Lesson(
    "tied-autoencoder",
    ("The tied autoencoder", "重みを結合した自己符号化器"),
    "003",
    tell,
    {
        "autoencoder": """
            X: N x 2
            W: 2 x 1
            θ_2: 1 x 1
            θ_3: 1 x 2
            net_2 = X W - θ_2
            o_2 = sigmoid(net_2)
            net_3 = o_2 W^T - θ_3
            o_3 = sigmoid(net_3)
            E = half_sum_of_squares(o_3, X)
        """,
        "three": """
            X: N x 2
            T: N x 2
            W: 2 x 2
            h_1 = tanh(X W)
            h_2 = tanh(h_1 W)
            y = h_2 W
            E = half_sum_of_squares(y, T)
        """,
    },
)
