"""The two-layer network as one long worksheet, in columns and entry by entry.

Forward pass, what a gradient costs, the derivatives that are needed, then step by step
back: the output layer (STEP 2), between the layers (STEP 1.5), the hidden layer (STEP 1),
for regression and classification, sigmoid and ReLU. Here stand the questions; every answer
is made from the engine's derivation of the boards below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

from kokuban.errors import unknown
from kokuban.explain.backward import tape
from kokuban.explain.calculus import (
    Calculus,
    collected,
    scaled,
    times,
)
from kokuban.explain.layout import Box, Grid, Text, read
from kokuban.explain.page import Line, Part
from kokuban.explain.phrases import prose
from kokuban.expr import (
    Expr,
    constant,
    order,
    plain,
    size,
    substitute,
    symbols,
)
from kokuban.formula import Board, board
from kokuban.gradient import grad
from kokuban.ops import ones, sum as total, zeros
from kokuban.rewrite import simplify
from kokuban.run import evaluate
from kokuban.worksheets.asking import Asking, Both, Net, Places, entry_of
from kokuban.worksheets.making import (
    board_text,
    own_names,
)
from kokuban.worksheets.sheet import Section, Sheet, Worksheet

NAMES: Final = ("two-layer",)
SIZES: Final = {"l": 3, "m": 2, "n": 2}  # where every entry is written out
ON, OFF = "[u_j^(1) ≥ 0]", "[u_j^(1) < 0]"  # where ReLU lets its input through, or not
MIDDLE: Final = 18  # letters that a gap for a short answer leaves room for

BOARD: Final = """
x: 1 x l input; d: 1 x n target
W^(1): l x m parameter; B^(1): 1 x m parameter
W^(2): m x n parameter; B^(2): 1 x n parameter
u^(1) = affine(x, W^(1), B^(1))
y^(1) = {activation}
u^(2) = affine(y^(1), W^(2), B^(2))
y^(2) = {output}
E = {loss}
"""
ACTIVATIONS: Final = {"sigmoid": "sigmoid(u^(1))", "relu": "relu(u^(1), at_zero=1)"}
PROBLEMS: Final = {
    "regression": ("u^(2)", "half_sum_of_squares(y^(2), d)"),
    "classification": ("softmax(u^(2))", "cross_entropy(y^(2), d)"),
}
FUNCTIONS: Final = ("{}^2", "{}^3", "exp({})", "sin({})")  # of the primer


def sheet(what: str, *, lang: str = "en", seed: int = 0, id: str = "") -> Worksheet:
    """The worksheet of that name. `seed` chooses the primer's functions.

    Raises UnknownNameError for a name that there is not.
    """
    if what not in NAMES:
        raise unknown("worksheet", what, NAMES)
    return _TwoLayer(lang, seed).made(id or f"{what}-{seed}")


class _TwoLayer:
    """The worksheet under way."""

    def __init__(self, lang: str, seed: int) -> None:
        self.ask, self.seed, self.rng = Asking(lang), seed, Random(seed)

    def made(self, id: str) -> Worksheet:
        """The whole worksheet."""
        parts: list[Callable[[], Section]] = [
            self._forward, self._errors, self._costs, self._one_variable,
            self._several_variables, self._step_2, self._step_1_5, self._step_1,
            self._matrices, self._regression, self._classification, self._hidden,
            self._summary,
        ]  # fmt: skip
        title = self.ask.say("Backpropagation in a two-layer network",
                          "二層ニューラルネットワークの誤差逆伝播法")  # fmt: skip
        sections = tuple(part() for part in parts)
        found = Sheet(
            id, title, self.ask.lang, self.seed, True, tuple(self.ask.boards),
            tuple(self.ask.blanks.found),
        )  # fmt: skip
        return Worksheet(found, (title,), sections)

    # ------------------------------------------------------------ boards

    def _net(
        self, problem: str, activation: str, sizes: Mapping[str, int] | None = None
    ) -> Net:
        """The network as a board of the sheet, derived by all its parameters."""
        output, loss = PROBLEMS[problem]
        typed = BOARD.format(activation=ACTIVATIONS[activation], output=output, loss=loss)
        for dim, length in (sizes or {}).items():
            typed = typed.replace(f"x {dim} ", f"x {length} ").replace(
                f": {dim} x", f": {length} x"
            )
        given = board(typed)
        names = own_names(given)
        same = given["y^(2)"] is given["u^(2)"]
        if same:  # an identity: the output has the name that the error is written with
            names[given["y^(2)"]] = "y^(2)"
        asked = list(symbols([given.loss], "parameter"))
        found = tape(given.loss, asked, names)
        extra = "u^(2) = y^(2)\n" if same else ""
        return self.ask.registered(found, board_text(found) + extra)

    def _identity(self) -> Net:
        """The output of regression alone."""
        typed = "u^(2): 1 x n input\ny^(2) = 1 * u^(2)\nE = sum(y^(2))\n"
        return self._primer(typed)[0]

    # ------------------------------------------------------------ the forward pass

    def _forward(self) -> Section:
        net = self._net("classification", "sigmoid")
        shown = list(symbols([net.tape.loss]))
        shapes = tuple((net.at.formula(s), net.at.shape(s.shape)) for s in shown)
        hidden = [
            self.ask.entry(net, "u1_j", r"u_j^{(1)}", net.body("u^(1)"), ("", "j"),
                        "x W^(1) B^(1)"),
            self.ask.formula(net, "u1", r"u^{(1)}", net.body("u^(1)"), "x W^(1) B^(1)"),
            self.ask.entry(net, "y1_j.sigmoid", r"y_j^{(1)}", net.body("y^(1)"), ("", "j"),
                        "x W^(1) B^(1) u^(1)"),
        ]  # fmt: skip
        relu = self._net("classification", "relu")
        parts = _by_cases(relu.local("y^(1)", "u^(1)") * relu.symbol("u^(1)"))
        cases = [
            self.ask.entry(relu, f"y1_j.relu.{side}", r"y_j^{(1)}", formula, ("", "j"),
                        "x W^(1) B^(1) u^(1)", (test,), MIDDLE)
            for side, test, formula in parts
        ]  # fmt: skip
        identity = self._identity()
        known = "y^(1) W^(2) B^(2)"
        output = [
            self.ask.entry(net, "u2_k", r"u_k^{(2)}", net.body("u^(2)"), ("", "k"), known),
            self.ask.formula(net, "u2", r"u^{(2)}", net.body("u^(2)"), known),
            self.ask.entry(identity, "y2_k.regression", r"y_k^{(2)}",
                        simplify(identity.body("y^(2)")), ("", "k"), "u^(2)"),
            self.ask.entry(net, "y2_k.classification", r"y_k^{(2)}", net.body("y^(2)"),
                        ("", "k"), f"{known} u^(2)"),
        ]  # fmt: skip
        notes: tuple[Both, ...] = (
            ("Input layer $x$: $l$ nodes; hidden layer: $m$ nodes; output layer: $n$ nodes; "
             "teacher $d$. One sample, a column.",
             "入力層 $x$ は $l$ 個、中間層は $m$ 個、出力層は $n$ 個のノードをもつ。教師信号は "
             "$d$。サンプルは一つで、列ベクトルとする。"),
            (r"Answer in entries, such as $\sum_r d_r \, y_r^{(2)}$, where the left side is an "
             r"entry, and in matrices, such as $d \, x^\top$, where it is a matrix.",
             r"左辺が成分ならば $\sum_r d_r \, y_r^{(2)}$ のように成分で、左辺が行列ならば "
             r"$d \, x^\top$ のように行列で答えよ。"),
        )  # fmt: skip
        items = (
            self.ask.item(hidden[:2], "Hidden layer: the pre-activation", "中間層の総入力"),
            self.ask.item(hidden[2:], "Hidden layer, sigmoid", "中間層の出力 (シグモイド関数)"),
            self.ask.item(cases[:1], "Hidden layer, ReLU, where $u_j^{(1)} \\ge 0$",
                       "中間層の出力 (ReLU、$u_j^{(1)} \\ge 0$ のとき)"),
            self.ask.item(cases[1:], "Hidden layer, ReLU, where $u_j^{(1)} < 0$",
                       "中間層の出力 (ReLU、$u_j^{(1)} < 0$ のとき)"),
            self.ask.item(output[:2], "Output layer: the pre-activation", "出力層の総入力"),
            self.ask.item(output[2:3], "Output layer, regression", "出力層の出力 (回帰問題)"),
            self.ask.item(output[3:], "Output layer, classification",
                       "出力層の出力 (分類問題)"),
        )  # fmt: skip
        said = tuple(prose(self.ask.say(*n), (), {}) for n in notes)
        return Section((self.ask.say("Forward pass", "順伝播"),), said, shapes, items)

    def _errors(self) -> Section:
        square, entropy = (self._net(p, "sigmoid") for p in PROBLEMS)
        return self.ask.section(
            ("The error", "誤差関数"),
            self.ask.item([self.ask.entry(square, "E.regression", "E", square.body("E"),
                                    ("", ""), "y^(2) d")],
                       "Regression: half the sum of squares", "回帰問題: 二乗和誤差"),
            self.ask.item([self.ask.entry(entropy, "E.classification", "E", entropy.body("E"),
                                    ("", ""), "y^(2) d")],
                       "Classification: cross-entropy", "分類問題: 交差エントロピー誤差"),
        )  # fmt: skip

    def _costs(self) -> Section:
        net = self._net("classification", "sigmoid")
        weights = symbols([net.tape.loss], "parameter")
        count = simplify(_added([size(s.shape[0]) * size(s.shape[1]) for s in weights]))
        forward = _multiplications([q.body for q in net.tape.quantities])
        backward = _multiplications([g.value for g in net.tape.gradients])
        known = " ".join(s.name for s in weights)
        asked = (
            ("parameters", count, "The number of parameters", "パラメータの個数"),
            ("forward", forward, "Multiplications in the matrix products of one forward "
             "pass", "順伝播 1 回の行列積に必要な乗算の回数"),
            ("numerical", simplify(count * forward), "The same for numerical "
             "differentiation, one forward pass for each parameter",
             "数値微分 (パラメータごとに順伝播 1 回) に必要な乗算の回数"),
            ("backward", backward, "Multiplications in the matrix products of the backward "
             "pass, given all deltas' other factors", "逆伝播の行列積に必要な乗算の回数"),
        )  # fmt: skip
        items = []
        for own, formula, en, ja in asked:
            line = self.ask.formula(net, f"cost.{own}", "c", formula, known)
            (value,) = substitute([formula], _sized({"l": 100, "m": 50, "n": 10}))
            at = float(evaluate(value, {})[0, 0])
            number = self.ask.number(net, f"cost.{own}.number",
                                  r"c (l = 100,\, m = 50,\, n = 10)", at)  # fmt: skip
            items.append(self.ask.item([Line(line.left, line.parts), number], en, ja))
        return self.ask.section(("What a gradient costs", "勾配の計算量"), *items)

    # ------------------------------------------------------------ the primer

    def _primer(self, typed: str) -> tuple[Net, Board]:
        given = board(typed)
        found = tape(given.loss, symbols([given.loss]), own_names(given))
        written = typed if typed.endswith("\n") else f"{typed}\n"
        return self.ask.registered(found, written), given

    def _derived(self, net: Net, own: str, left: str, formula: Expr, known: str) -> Line:
        line = self.ask.formula(net, own, left, simplify(formula), known)
        return Line(line.left, line.parts)

    def _one_variable(self) -> Section:
        f, g = self.rng.sample(FUNCTIONS, 2)
        net, own = self._primer(
            f"x: 1 x 1 input\nΔx: 1 x 1 input\ny = {f.format('x')}\nz = y + Δx\n"
        )
        x, h, y = own["x"], own["Δx"], own["y"]
        (later,) = substitute([y], {x: x + h})
        first = self.ask.item(
            [
                self._derived(net, "primer.slope", r"\frac{f(x + Δx) - f(x)}{Δx}",
                              (later - y) / h, "x Δx"),
                self._derived(net, "primer.derivative", r"\frac{dy}{dx}", grad(y, x), "x"),
            ],
            "$y = f(x) = \\0$: the slope of a chord, and its limit",
            "$y = f(x) = \\0$: 線分の傾きと、その極限",
            net.at.formula(y),
        )  # fmt: skip
        net, own = self._primer(
            f"x: 1 x 1 input\nu = {g.format('x')}\ny = {f.format('u')}\n"
        )
        outer, outer_board = self._primer(f"u: 1 x 1 input\ny = {f.format('u')}\n")
        u = outer.symbol("u")
        second = self.ask.item(
            [
                self._derived(outer, "primer.dy/du", r"\frac{dy}{du}",
                              grad(outer.tape.loss, u), "u"),
                self._derived(net, "primer.du/dx", r"\frac{du}{dx}",
                              grad(own["u"], own["x"]), "x"),
                self._derived(net, "primer.dy/dx", r"\frac{dy}{dx}",
                              grad(own["y"], own["x"]), "x u"),
            ],
            "The chain rule: $y = \\0$, $u = \\1$",
            "連鎖律 (1 変数): $y = \\0$、$u = \\1$",
            outer.at.formula(outer_board["y"]),
            net.at.formula(net.body("u")),
        )  # fmt: skip
        return self.ask.section(
            ("Derivatives: one variable", "微分の基本: 1 変数"), first, second
        )

    def _several_variables(self) -> Section:
        f, g = self.rng.sample(FUNCTIONS, 2)
        z = f"{f.format('x')} * {g.format('y')}"
        net, own = self._primer(
            "x: 1 x 1 input\ny: 1 x 1 input\nΔx: 1 x 1 input\nΔy: 1 x 1 input\n"
            f"z = {z}\nw = z + Δx + Δy\n"
        )
        x, y, dx, dy, value = (own[n] for n in ("x", "y", "Δx", "Δy", "z"))
        (at_x,) = substitute([value], {x: x + dx})
        (at_both,) = substitute([at_x], {y: y + dy})
        along = grad(value, x), grad(value, y)
        first = self.ask.item(
            [
                self._derived(net, "primer.dz/dx", r"\frac{\partial z}{\partial x}",
                              along[0], "x y"),
                self._derived(net, "primer.dz/dy", r"\frac{\partial z}{\partial y}",
                              along[1], "x y"),
                self._derived(net, "primer.Δz_x", r"Δz_x", at_x - value, "x y Δx"),
                self._derived(net, "primer.Δz_y", r"Δz_y", at_both - at_x, "x y Δx Δy"),
                self._derived(net, "primer.dz", r"dz", along[0] * dx + along[1] * dy,
                              "x y Δx Δy"),
            ],
            "$z = \\0$: partial derivatives; the change $Δz_x$ by $x$ alone, then $Δz_y$ by "
            "$y$; the total differential, with $Δx$ and $Δy$ for $dx$ and $dy$",
            "$z = \\0$: 偏微分、$x$ だけを動かしたときの変化 $Δz_x$、続けて $y$ を動かしたときの変化 "
            "$Δz_y$、全微分 ($dx$, $dy$ は $Δx$, $Δy$ と書く)",
            net.at.formula(value),
        )  # fmt: skip
        net, own = self._primer(
            "x: 1 x n input\nΔx: 1 x n input\n"
            f"y = sum({f.format('x')})\nz = y + sum(Δx)\n"
        )
        slope = grad(own["y"], own["x"])
        second = self.ask.item(
            [self._derived(net, "primer.dy", "dy", total(slope * own["Δx"]), "x Δx")],
            "$n$ variables: $y = \\0$, $x$ and $Δx$ columns of $n$ numbers",
            "$n$ 変数の全微分: $y = \\0$ ($x$ と $Δx$ は $n$ 個の成分をもつ列ベクトル)",
            net.at.formula(own["y"]),
        )
        net, own = self._primer(
            f"x: 1 x 1 input\nu = {f.format('x')}\nv = {g.format('x')}\nz = u * v\n"
        )
        third = self.ask.item(
            [self._derived(net, "primer.chain", r"\frac{dz}{dx}", grad(own["z"], own["x"]),
                           "x u v")],
            "The chain rule, two inner variables: $z = u v$, $u = \\0$, $v = \\1$",
            "連鎖律 (中間の変数が 2 個): $z = u v$、$u = \\0$、$v = \\1$",
            net.at.formula(net.body("u")),
            net.at.formula(net.body("v")),
        )  # fmt: skip
        return self.ask.section(
            ("Derivatives: several variables", "微分の基本: 多変数"), first, second, third
        )

    # ------------------------------------------------------------ the steps back

    def _parameters(
        self, layer: str, w: str, b: str, u: str, indices: Places, known: str
    ) -> list[Line]:
        """The slopes of a pre-activation by its parameters, and the error's."""
        net = self._net("classification", "sigmoid")
        inner, outer = indices
        lines = []
        for own, written, at in ((w, rf"w_{{{outer}{inner}}}", (inner, outer)),
                                 (b, f"b_{outer}", ("", outer))):  # fmt: skip
            below = rf"\partial {written}^{{({layer})}}"
            top = rf"\partial u_{outer}^{{({layer})}}"
            label = f"{'w' if own == w else 'b'}{layer}"
            lines.append(self.ask.entry(
                net, f"du{layer}/d{label}", rf"\frac{{{top}}}{{{below}}}",
                self.ask.slope(net, u, own, at), at, known, width=MIDDLE,
            ))  # fmt: skip
            lines.append(self.ask.entry(
                net, f"dE/d{label}", rf"\frac{{\partial E}}{{{below}}}",
                net.gradient(own), at, known, width=MIDDLE,
            ))  # fmt: skip
        return lines

    def _step_2(self) -> Section:
        lines = self._parameters("2", "W^(2)", "B^(2)", "u^(2)", ("j", "k"),
                                 "x W^(1) B^(1) u^(1) y^(1) W^(2) B^(2) δ^(2)")  # fmt: skip
        return self.ask.section(
            (r"STEP 2: the output layer, with $δ_k^{(2)} = \frac{\partial E}{\partial u_k^{(2)}}$",
             r"STEP 2: 出力層 (誤差信号 $δ_k^{(2)} = \frac{\partial E}{\partial u_k^{(2)}}$ を用いる)"),
            self.ask.item(lines[:2], "by the weights", "重みによる偏微分"),
            self.ask.item(lines[2:], "by the biases", "バイアスによる偏微分"),
        )  # fmt: skip

    def _step_1_5(self) -> Section:
        net = self._net("classification", "sigmoid")
        known = "x W^(1) B^(1) u^(1) y^(1) W^(2) B^(2) δ^(2)"
        inner = self.ask.slope(net, "u^(2)", "y^(1)", ("", "j"), "r")
        lines = [
            self.ask.entry(net, "du2_r/dy1_j",
                        r"\frac{\partial u_r^{(2)}}{\partial y_j^{(1)}}", inner,
                        ("", "j"), known, width=MIDDLE),
            self.ask.entry(net, "dE/dy1_j", r"\frac{\partial E}{\partial y_j^{(1)}}",
                        net.gradient("y^(1)"), ("", "j"), known),
        ]  # fmt: skip
        said = ("Every $u_r^{(2)}$ depends on $y_j^{(1)}$: the chain rule sums over all of them.",
                "すべての $u_r^{(2)}$ が $y_j^{(1)}$ に依存するので、連鎖律により和をとる。")  # fmt: skip
        return self.ask.section(
            ("STEP 1.5: between the layers", "STEP 1.5: 層と層の間"),
            self.ask.item(lines, *said),
        )

    def _step_1(self) -> Section:
        lines = self._parameters("1", "W^(1)", "B^(1)", "u^(1)", ("i", "j"),
                                 "x W^(1) B^(1) δ^(1)")  # fmt: skip
        return self.ask.section(
            (r"STEP 1: the hidden layer, with $δ_j^{(1)} = \frac{\partial E}{\partial u_j^{(1)}}$",
             r"STEP 1: 中間層 (誤差信号 $δ_j^{(1)} = \frac{\partial E}{\partial u_j^{(1)}}$ を用いる)"),
            self.ask.item(lines[:2], "by the weights", "重みによる偏微分"),
            self.ask.item(lines[2:], "by the biases", "バイアスによる偏微分"),
        )  # fmt: skip

    def _matrices(self) -> Section:
        net = self._net("classification", "sigmoid")
        lines = [
            self.ask.formula(net, f"dE/d{own}".replace("^(", "").replace(")", ""),
                          rf"\frac{{\partial E}}{{\partial {own[0]}^{{({own[3]})}}}}",
                          net.gradient(own), f"x y^(1) W^(2) {delta}", own)
            for own, delta in (("W^(2)", "δ^(2)"), ("B^(2)", "δ^(2)"),
                               ("W^(1)", "δ^(1)"), ("B^(1)", "δ^(1)"))
        ]  # fmt: skip
        return self.ask.section(
            ("The gradients as matrices", "対パラメータ勾配の行列表現"),
            self.ask.item(lines[:2], "Output layer", "出力層"),
            self.ask.item(lines[2:], "Hidden layer", "中間層"),
        )

    # ------------------------------------------------------------ the deltas

    def _regression(self) -> Section:
        net = self._net("regression", "sigmoid")
        alone, own = self._primer(
            "y^(2): 1 x n input\nd: 1 x n target\nE = half_sum_of_squares(y^(2), d)\n"
        )
        by_y = simplify(grad(own["E"], own["y^(2)"]))
        u = self._identity().symbol("u^(2)")
        lines = [
            self.ask.entry(alone, "regression.dE/dy2_k",
                        r"\frac{\partial E}{\partial y_k^{(2)}}", by_y, ("", "k"),
                        "y^(2) d"),
            self.ask.entry(net, "regression.dy2_k/du2_k",
                        r"\frac{\partial y_k^{(2)}}{\partial u_k^{(2)}}",
                        simplify(grad(total(u), u)), ("", "k"), "y^(2) u^(2) d",
                        width=MIDDLE),
            self.ask.entry(net, "regression.delta2_k", r"δ_k^{(2)}", net.gradient("y^(2)"),
                        ("", "k"), "y^(2) u^(2) d"),
        ]  # fmt: skip
        return self.ask.section(
            ("The output delta: regression", "出力層デルタ: 回帰問題"),
            self.ask.item(lines),
        )

    def _classification(self) -> Section:
        net = self._net("classification", "sigmoid")
        known = "y^(2) u^(2) d"
        at = ("", "k")
        by_y = self.ask.slope(net, "E", "y^(2)", at)
        slope = self.ask.slope(net, "y^(2)", "u^(2)", at)
        other = self.ask.slope(net, "y^(2)", "u^(2)", at, "r")
        delta = net.gradient("u^(2)")
        own = collected([times(a, b) for a in by_y for b in slope])
        whole = Calculus().normal(entry_of(delta, at))
        rest = collected([*whole, *scaled(own, -1)])
        error, output = (
            r"\frac{\partial E}{\partial y_*^{(2)}}",
            r"\frac{\partial y_*^{(2)}}{\partial u_k^{(2)}}",
        )
        lines = [
            self.ask.entry(net, "classification.dE/dy2_k", error.replace("*", "k"), by_y, at, known),
            self.ask.entry(net, "classification.dy2_k/du2_k", output.replace("*", "k"), slope, at, known),
            self.ask.entry(net, "classification.own", (error + output).replace("*", "k"), own, at, known),
            self.ask.entry(net, "classification.dy2_r/du2_k", output.replace("*", "r"), other, at, known,
                        ("r ≠ k",)),
            self.ask.entry(net, "classification.rest",
                        r"\sum_{r \ne k} " + (error + output).replace("*", "r"), rest, at, known),
            self.ask.entry(net, "classification.delta2_k", r"δ_k^{(2)}", delta, at, known),
        ]  # fmt: skip
        return self.ask.section(
            ("The output delta: classification", "出力層デルタ: 分類問題"),
            self.ask.item(
                lines[:3], "The term of $y_k^{(2)}$ itself", "$y_k^{(2)}$ を通る項"
            ),
            self.ask.item(
                lines[3:5], "The other terms, $r \\ne k$", "それ以外の項 ($r \\ne k$)"
            ),
            self.ask.item(lines[5:], "Their sum, simplified", "和をとって整理する"),
        )

    def _hidden(self) -> Section:
        known = "y^(1) u^(1) W^(2) δ^(2)"
        net = self._net("classification", "sigmoid")
        delta = net.spelt(net.gradient("u^(1)"), "y^(1)")
        smooth = [
            self.ask.entry(net, "sigmoid.dy1_j/du1_j",
                        r"\frac{\partial y_j^{(1)}}{\partial u_j^{(1)}}",
                        net.local("y^(1)", "u^(1)"), ("", "j"), known),
            self.ask.entry(net, "sigmoid.delta1_j", r"δ_j^{(1)}", delta, ("", "j"), known),
        ]  # fmt: skip
        net = self._net("classification", "relu")
        delta = net.spelt(net.gradient("u^(1)"), "y^(1)")
        items = [self.ask.item(smooth, "Sigmoid", "シグモイド関数の場合")]
        halves = zip(
            _by_cases(net.local("y^(1)", "u^(1)")), _by_cases(delta), strict=True
        )
        for (side, test, slope), (_, _, whole) in halves:
            lines = [
                self.ask.entry(net, f"relu.dy1_j/du1_j.{side}",
                            r"\frac{\partial y_j^{(1)}}{\partial u_j^{(1)}}", slope,
                            ("", "j"), known, (test,), MIDDLE),
                self.ask.entry(net, f"relu.delta1_j.{side}", r"δ_j^{(1)}", whole, ("", "j"),
                            known, (test,)),
            ]  # fmt: skip
            where = "$u_j^{(1)} \\ge 0$" if side == "on" else "$u_j^{(1)} < 0$"
            items.append(
                self.ask.item(lines, f"ReLU, where {where}", f"ReLU、{where} の場合")
            )
        return self.ask.section(("The hidden delta", "中間層デルタ"), *items)

    # ------------------------------------------------------------ every entry

    def _summary(self) -> Section:
        known = "x d W^(2) u^(1) y^(1) y^(2)"
        items = []
        for activation, english, word in (
            ("sigmoid", "Sigmoid", "シグモイド関数"),
            ("relu", "ReLU", "ReLU"),
        ):
            net = self._net("classification", activation, SIZES)
            asked = ("W^(2)", "B^(2)", "W^(1)", "B^(1)")
            for own in asked if activation == "sigmoid" else asked[2:]:
                formula = net.spelt(net.gradient(own), "u^(1)", "y^(1)", "u^(2)")
                lines = self._every(net, activation, own, formula, known)
                items.append(self.ask.item(lines, english, word))
        return self.ask.section(
            ("Every entry, $l = 3$, $m = 2$, $n = 2$: by $d$, $x$, $y$, $u$ and $w$ alone",
             "まとめ: すべての成分 ($l = 3$, $m = 2$, $n = 2$。$d, x, y, u, w$ だけで表す)"),
            *items,
        )  # fmt: skip

    def _every(
        self, net: Net, activation: str, own: str, formula: Expr, known: str
    ) -> list[Line]:
        """The gradient as a matrix of the blanks' numbers, and a gap for each entry."""
        rows, columns = (int(d) for d in net.shown_shape(formula))
        letter, layer = own[0].lower(), own[3]
        cells, lines = [], []
        for i in range(1, rows + 1):
            line: list[Box] = []
            for j in range(1, columns + 1):
                places = ("", str(i)) if letter == "b" else (str(j), str(i))
                entry = f"{letter}_{{{i}{places[0]}}}^{{({layer})}}"
                label = f"{activation}.dE/d{letter}{layer}_{i}{places[0]}"
                left = rf"\frac{{\partial E}}{{\partial {entry}}}"
                lines.append(self.ask.entry(net, label, left, formula, places, known))
                line.append(Text(f"({len(self.ask.blanks.found)})", "words"))
            cells.append(tuple(line))
        left = rf"\frac{{\partial E}}{{\partial {own[0]}^{{({layer})}}}}"
        whole = Line(read(left), (Part(Grid(tuple(cells))),), net.at.shape(formula.shape))
        return [whole, *lines]


def _by_cases(formula: Expr) -> Iterator[tuple[str, str, Expr]]:
    """A formula where ReLU's input is at least 0, and where it is below."""
    steps = [n for n in order([formula]) if n.op is not None and n.op.name == "step"]
    for side, test, value in (("on", ON, ones), ("off", OFF, zeros)):
        (found,) = substitute([formula], {s: value(s.shape) for s in steps})
        yield side, test, simplify(found)


def _multiplications(formulas: Sequence[Expr]) -> Expr:
    """How many multiplications the matrix products of some formulas take."""
    products = [
        n for n in order(plain(formulas)) if n.op is not None and n.op.name == "matmul"
    ]
    counts = [
        size(n.shape[0]) * size(n.args[0].shape[1]) * size(n.shape[1]) for n in products
    ]
    return simplify(_added(counts))


def _added(terms: Sequence[Expr]) -> Expr:
    found = terms[0]
    for term in terms[1:]:
        found = found + term
    return found


def _sized(sizes: Mapping[str, int]) -> dict[Expr, Expr]:
    return {size(dim): constant(value) for dim, value in sizes.items()}
