"""The affine layer: its three gradients entry by entry, and a batch as its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from kokuban.explain.layout import Box, Grid, Script, Text, row
from kokuban.expr import Expr, Symbol, parameter
from kokuban.gradient import grad
from kokuban.lessons.lesson import Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.optim import SGD
from kokuban.train import Model

AT: dict[str, Any] = {
    "X": np.array([[1.0, 2.0], [0.5, -1.0], [-2.0, 1.0]]),
    "W": np.array([[0.5, -1.0], [1.0, 2.0]]),
    "b": np.array([[0.5, -0.5]]),
    "G": np.array([[1.0, 0.5], [-1.0, 2.0], [0.5, -0.5]]),
}


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    own = t.board("affine")
    yield t.say(
        "The affine layer multiplies the samples, the rows of X, by the weights and adds "
        "the bias to every row. Dup_N(b) is the row b stacked N times. L is any number "
        "that depends on Y; G is its gradient by Y, given from above.",
        "Affine 層は、サンプルを行にもつ X に重みを掛け、各行にバイアスを加える。Dup_N(b) は"
        "行ベクトル b を縦に N 個並べた行列である。L は Y に依存する任意のスカラー、G は Y による"
        "その勾配で、上流から与えられる。",
    )
    yield t.show("affine")
    yield t.heading("The proof, entry by entry", "成分による証明")
    yield t.say(
        "The derivative of a number by a matrix is the matrix of its derivatives by the "
        "entries, of the same shape. L depends on each entry through all of Y.",
        "スカラーの行列による微分とは、各成分による微分を同じ形に並べた行列である。L は、Y の"
        "すべての成分を通して各成分に依存する。",
    )
    yield t.derive(own.L, [own.X, own.W, own.b], form="entries", names={own.Y: "Y"})
    yield from _rows(t)
    yield t.heading("In numbers", "数値例")
    yield t.derive(
        own.L, [own.X, own.W, own.b], form="numbers", names={own.Y: "Y"}, at=AT
    )
    yield from _trained(t)


# ---------------------------------------------------------------- a batch is its rows


def _rows(t: Teller) -> Iterator[Part]:
    own = t.board("affine")
    count, inputs = AT["X"].shape
    outputs = AT["W"].shape[1]
    x = [parameter(f"x_{s + 1}", (1, inputs)) for s in range(count)]
    d = [parameter(f"δ_{s + 1}", (1, outputs)) for s in range(count)]
    weight, bias = parameter("W", (inputs, outputs)), parameter("b", (1, outputs))
    one = [s @ weight + bias for s in x]
    yield t.heading("A batch is its rows", "バッチは行の集まりである")
    yield t.say(
        "Write X as the blocks that its rows are. Block by block, the layer does to the "
        "batch what it does to each sample alone:",
        "X を、各行をブロックとして書く。ブロックごとに計算すると、バッチに対する Affine 層は、"
        "各サンプルに対する Affine 層を並べたものになる。",
    )
    stacked = row(_column(t, x), t.box(weight), "+", t.box(own.B))
    yield t.formulas(t.line("Y", stacked, Grid(tuple((t.box(e),) for e in one))))
    yield t.say(
        "The gradients add up what the samples give one by one, δ_s the row s of Δ:",
        "勾配は、サンプルごとの勾配を足し合わせたものになる。δ_s は Δ の第 s 行である。",
    )
    rank_one = [s.T @ e for s, e in zip(x, d, strict=True)]
    across = Grid((tuple(Script(t.box(s), upper=Text("⊤", "sign")) for s in x),))
    total = rank_one[0]
    shift: Expr = d[0]
    for k in range(1, count):
        total, shift = total + rank_one[k], shift + d[k]
    product = row(across, Text(" ", "words"), _column(t, d))
    yield t.formulas(
        t.line(t.partial("L", "W"), product, total),
        t.line(t.partial("L", "b"), shift),
    )
    values = {
        **{s.name: AT["X"][k] for k, s in enumerate(x)},
        **{s.name: AT["G"][k] for k, s in enumerate(d)},
        "W": AT["W"],
        "b": AT["b"],
    }
    batch = Function(own.Y, grad(own.L, own.W), grad(own.L, own.b))(**AT)
    alone = Function(*one, total, shift)(**values)
    single = [np.concatenate(alone[:count]), *alone[count:]]
    gap = max(float(np.abs(a - b).max()) for a, b in zip(batch, single, strict=True))
    yield t.verdict(
        gap < 1e-12,
        t.words(
            "worked out with {} samples, once as a batch and once row by row: Y, {} and {} "
            "are the same",
            "{} 個のサンプルについて、バッチと行ごとの両方で計算した。Y、{}、{} は一致する",
            count,
            t.partial("L", "W"),
            t.partial("L", "b"),
        ),
    )


def _column(t: Teller, rows: Sequence[Symbol]) -> Box:
    return Grid(tuple((t.box(s),) for s in rows))


# ---------------------------------------------------------------- trained


def _trained(t: Teller) -> Iterator[Part]:
    yield t.heading("Trained", "学習")
    yield t.show("line")
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (60, 2))
    wanted = x @ AT["W"] + AT["b"]
    model = Model(loss=t.board("line").L)
    history = model.fit(
        x, wanted, optimizer=SGD(0.3), epochs=60, batch_size=10, seed=0, engine="numpy"
    )
    yield t.say(
        "The targets are made by the weights and the bias above; training finds them again.",
        "教師データは上の重みとバイアスで作った。学習によって同じ値が得られる。",
    )
    yield t.trained(
        history,
        "mean squared error, {} samples, SGD, learning rate {}",
        "平均二乗誤差、{} サンプル、SGD、学習率 {}",
        len(x),
        0.3,
    )
    found = [model[n] for n in ("W", "b")]
    off = max(float(np.abs(f - AT[n]).max()) for f, n in zip(found, "Wb", strict=True))
    yield t.verdict(
        off < 0.01,
        t.words(
            "the trained weights and bias are off by at most {:.0e}",
            "学習後の重みとバイアスのずれは最大 {:.0e}",
            off,
        ),
    )


LESSON = Lesson(
    "affine-proof",
    ("The affine layer, proven entry by entry", "Affine 層: 成分による証明"),
    "000; 002, 2.4, 3.3.3",
    tell,
    {
        "affine": """
            X: N x D parameter
            W: D x M parameter
            b: 1 x M parameter
            G: N x M
            B = Dup_N(b)
            Y = X W + B
            L = Σ G ⊙ Y
        """,
        "line": """
            X: N x 2
            T: N x 2
            W: 2 x 2
            b: 1 x 2
            Y = X W + b
            L = mse(Y, T)
        """,
    },
)
