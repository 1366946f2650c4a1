"""The two-layer network as one long worksheet, in columns and entry by entry.

Forward pass, what a gradient costs, the derivatives that are needed, then step by step
back: the output layer (STEP 2), between the layers (STEP 1.5), the hidden layer (STEP 1),
for regression and classification, sigmoid and ReLU. Here stand the questions; every answer
is made from the engine's derivation of the boards below.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from kokuban.entry import Call, Delta, Entry, Index, Largest, Number, Sum, Term
from kokuban.errors import unknown
from kokuban.explain import text as in_text
from kokuban.explain.backward import Tape, opened, tape
from kokuban.explain.calculus import (
    Calculus,
    Monomial,
    Polynomial,
    collected,
    replaced,
    scaled,
    times,
)
from kokuban.explain.entries import Entries, matrices, prove
from kokuban.explain.layout import Box, Grid, Term as Named, Text, name, number, read
from kokuban.explain.notation import Notation
from kokuban.explain.page import Line, Part
from kokuban.explain.phrases import Phrases, prose
from kokuban.expr import (
    Expr,
    Symbol,
    constant,
    order,
    plain,
    size,
    substitute,
    symbols,
)
from kokuban.formula import Board, board, text
from kokuban.gradient import grad
from kokuban.ops import ones, sum as total, zeros
from kokuban.rewrite import simplify
from kokuban.run import evaluate
from kokuban.shape import Dim, Shape
from kokuban.worksheets.making import (
    NARROW,
    WIDE,
    Blanks,
    board_text,
    own_names,
    without_marks,
)
from kokuban.worksheets.mirror import in_columns
from kokuban.worksheets.sheet import Item, Section, Sheet, Worksheet

NAMES: Final = ("two-layer",)
SIZES: Final = {"l": 3, "m": 2, "n": 2}  # where every entry is written out
LETTERS: Final[dict[Dim, str]] = {"l": "ih", "m": "jq", "n": "rks", 3: "ih", 2: "rs"}
ON, OFF = "[u_j^(1) ≥ 0]", "[u_j^(1) < 0]"  # where ReLU lets its input through, or not
MIDDLE: Final = 18  # letters that a gap in a line of several leaves room for

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

Places = tuple[str, str]  # letters of an entry's row and column, samples in rows; or ""
Both = tuple[str, str]  # in English and in Japanese


def sheet(what: str, *, lang: str = "en", seed: int = 0, id: str = "") -> Worksheet:
    """The worksheet of that name. `seed` chooses the primer's functions.

    Raises UnknownNameError for a name that there is not.
    """
    if what not in NAMES:
        raise unknown("worksheet", what, NAMES)
    return _Deck(lang, seed).made(id or f"{what}-{seed}")


@dataclass(frozen=True)
class _Net:
    """One board of the deck: its derivation, and its place among the sheet's boards."""

    tape: Tape
    board: int
    at: Notation

    def symbol(self, own: str) -> Symbol:
        """What stands for a quantity, a gradient or a symbol."""
        known = [s for q in self.tape.quantities for s in (q.symbol, q.gradient)]
        known += symbols([self.tape.loss])
        return next(s for s in known if s.name == own)

    def body(self, own: str) -> Expr:
        """A quantity's formula."""
        return next(q.body for q in self.tape.quantities if q.symbol.name == own)

    def gradient(self, own: str) -> Expr:
        """The loss's gradient by what has the name, as the derivation has it."""
        return next(g.value for g in self.tape.gradients if g.of.name == own)

    def shown_shape(self, formula: Expr) -> Shape:
        """A formula's shape, samples in columns."""
        return formula.shape[::-1]

    def spelt(self, formula: Expr, *gradients: str) -> Expr:
        """A formula with the gradients by some quantities put in."""
        for own in gradients:
            q = next(q for q in self.tape.quantities if q.symbol.name == own)
            (formula,) = substitute([formula], {q.gradient: self.gradient(own)})
        return formula

    def local(self, own: str, of: str) -> Expr:
        """The slope of a quantity by what it is an entrywise function of."""
        found = next(g for g in self.tape.gradients if g.of.name == of)
        (share,) = [s for s in found.shares if s.through.symbol.name == own]
        above = share.through.gradient
        (alone,) = substitute([share.formula], {above: ones(above.shape)})
        return simplify(alone)


class _Deck:
    """The worksheet under way."""

    def __init__(self, lang: str, seed: int) -> None:
        self.lang, self.seed, self.rng = Phrases(lang, True).lang, seed, Random(seed)
        self.blanks, self.boards = Blanks(), list[str]()

    def made(self, id: str) -> Worksheet:
        """The whole worksheet."""
        parts: list[Callable[[], Section]] = [
            self._forward, self._errors, self._costs, self._one_variable,
            self._several_variables, self._step_2, self._step_1_5, self._step_1,
            self._matrices, self._regression, self._classification, self._hidden,
            self._summary,
        ]  # fmt: skip
        title = self._say("Backpropagation in a two-layer network",
                          "二層ニューラルネットワークの誤差逆伝播法")  # fmt: skip
        sections = tuple(part() for part in parts)
        found = Sheet(
            id, title, self.lang, self.seed, True, tuple(self.boards),
            tuple(self.blanks.found),
        )  # fmt: skip
        return Worksheet(found, (title,), sections)

    def _say(self, en: str, ja: str) -> str:
        return ja if self.lang == "ja" else en

    # ------------------------------------------------------------ boards

    def _net(
        self, problem: str, activation: str, sizes: Mapping[str, int] | None = None
    ) -> _Net:
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
        asked = [s for s in symbols([given.loss], "parameter")]
        found = tape(given.loss, asked, names)
        extra = "u^(2) = y^(2)\n" if same else ""
        return self._registered(found, board_text(found) + extra)

    def _registered(self, found: Tape, written: str) -> _Net:
        if written not in self.boards:
            self.boards.append(written)
        boxes: dict[Expr, Box] = {}
        for q in found.quantities:
            boxes[q.symbol] = Named(q.symbol.name, name(q.symbol.name))
            boxes[q.gradient] = Named(q.gradient.name, name(q.gradient.name))
        return _Net(found, self.boards.index(written), Notation(boxes, True))

    # ------------------------------------------------------------ kinds of blanks

    def _entry(
        self,
        net: _Net,
        own: str,
        left: str,
        formula: Expr | Polynomial,
        places: Places,
        known: str,
        where: Sequence[str] = (),
        width: int = WIDE,
    ) -> Line:
        """left = gap, answered by a formula in entries."""
        write = Entries(net.at, self._leaves(net))
        if isinstance(formula, Expr):
            dims = (formula.shape, places)
            term = _term(formula, places)
            box = write.term(term)[0]
            over = {p: d for d, p in zip(*dims, strict=True) if p}
        else:
            box = write.polynomial(formula)
            over = _free(formula, where)
        gap = self.blanks.gap(
            width, box, name=own, kind="entries", board=net.board,
            answer=in_text.text(box), known=tuple(known.split()), where=tuple(where),
            indices=tuple((p, str(d)) for p, d in over.items() if not p.isdigit()),
        )  # fmt: skip
        return Line(read(left), (Part(gap),))

    def _leaves(self, net: _Net) -> dict[str, Expr]:
        found: dict[str, Expr] = {}
        for q in net.tape.quantities:
            found |= matrices(q.body)
            found |= {q.symbol.name: q.symbol, q.gradient.name: q.gradient}
        return found

    def _formula(
        self, net: _Net, own: str, left: str, formula: Expr, known: str, by: str = ""
    ) -> Line:
        """left = gap, answered by a formula in matrices, samples in columns."""
        (bare,) = without_marks([formula])
        answer = in_columns(bare)
        gap = self.blanks.gap(
            WIDE, net.at.formula(formula), name=own, kind="formula", board=net.board,
            answer=text(answer), known=tuple(known.split()), by=by,
        )  # fmt: skip
        return Line(read(left), (Part(gap),), net.at.shape(formula.shape))

    def _number(self, net: _Net, own: str, left: str, value: float) -> Line:
        gap = self.blanks.gap(
            NARROW, number(value), name=own, kind="number", board=net.board,
            answer=repr(value),
        )  # fmt: skip
        return Line(read(left), (Part(gap),))

    def _item(
        self, lines: Sequence[Line], en: str = "", ja: str = "", *boxes: Box
    ) -> Item:
        return Item((), prose(self._say(en, ja), boxes, {}), tuple(lines))

    def _section(self, heading: Both, *items: Item) -> Section:
        return Section(prose(self._say(*heading), (), {}), items=items)

    def _identity(self) -> _Net:
        """The output of regression alone."""
        typed = "u^(2): 1 x n input\ny^(2) = 1 * u^(2)\nE = sum(y^(2))\n"
        return self._primer(typed)[0]

    # ------------------------------------------------------------ the forward pass

    def _forward(self) -> Section:
        net = self._net("classification", "sigmoid")
        shown = [s for s in symbols([net.tape.loss])]
        shapes = tuple((net.at.formula(s), net.at.shape(s.shape)) for s in shown)
        hidden = [
            self._entry(net, "u1_j", r"u_j^{(1)}", net.body("u^(1)"), ("", "j"),
                        "x W^(1) B^(1)"),
            self._formula(net, "u1", r"u^{(1)}", net.body("u^(1)"), "x W^(1) B^(1)"),
            self._entry(net, "y1_j.sigmoid", r"y_j^{(1)}", net.body("y^(1)"), ("", "j"),
                        "x W^(1) B^(1) u^(1)"),
        ]  # fmt: skip
        relu = self._net("classification", "relu")
        parts = _by_cases(relu.local("y^(1)", "u^(1)") * relu.symbol("u^(1)"))
        cases = [
            self._entry(relu, f"y1_j.relu.{side}", r"y_j^{(1)}", formula, ("", "j"),
                        "x W^(1) B^(1) u^(1)", (test,), MIDDLE)
            for side, test, formula in parts
        ]  # fmt: skip
        identity = self._identity()
        known = "y^(1) W^(2) B^(2)"
        output = [
            self._entry(net, "u2_k", r"u_k^{(2)}", net.body("u^(2)"), ("", "k"), known),
            self._formula(net, "u2", r"u^{(2)}", net.body("u^(2)"), known),
            self._entry(identity, "y2_k.regression", r"y_k^{(2)}",
                        simplify(identity.body("y^(2)")), ("", "k"), "u^(2)"),
            self._entry(net, "y2_k.classification", r"y_k^{(2)}", net.body("y^(2)"),
                        ("", "k"), f"{known} u^(2)"),
        ]  # fmt: skip
        notes: tuple[Both, ...] = (
            ("Input layer x: l nodes; hidden layer: m nodes; output layer: n nodes; "
             "teacher d. One sample, a column.",
             "入力層 x は l 個、中間層は m 個、出力層は n 個のノードをもつ。教師信号は d。"
             "サンプルは一つで、列ベクトルとする。"),
            ("An answer in entries is written like Σ_r d_r y_r^(2), one in matrices like "
             "d x^T.",
             "成分による答えは Σ_r d_r y_r^(2) のように、行列による答えは d x^T のように書く。"),
        )  # fmt: skip
        items = (
            self._item(hidden[:2], "Hidden layer: the pre-activation", "中間層の総入力"),
            self._item(hidden[2:], "Hidden layer, sigmoid", "中間層の出力 (シグモイド関数)"),
            self._item(cases[:1], "Hidden layer, ReLU, where $u_j^{(1)} \\ge 0$",
                       "中間層の出力 (ReLU、$u_j^{(1)} \\ge 0$ のとき)"),
            self._item(cases[1:], "Hidden layer, ReLU, where $u_j^{(1)} < 0$",
                       "中間層の出力 (ReLU、$u_j^{(1)} < 0$ のとき)"),
            self._item(output[:2], "Output layer: the pre-activation", "出力層の総入力"),
            self._item(output[2:3], "Output layer, regression", "出力層の出力 (回帰問題)"),
            self._item(output[3:], "Output layer, classification",
                       "出力層の出力 (分類問題)"),
        )  # fmt: skip
        said = tuple(prose(self._say(*n), (), {}) for n in notes)
        return Section((self._say("Forward pass", "順伝播"),), said, shapes, items)

    def _errors(self) -> Section:
        square, entropy = (self._net(p, "sigmoid") for p in PROBLEMS)
        return self._section(
            ("The error", "誤差関数"),
            self._item([self._entry(square, "E.regression", "E", square.body("E"),
                                    ("", ""), "y^(2) d")],
                       "Regression: half the sum of squares", "回帰問題: 二乗和誤差"),
            self._item([self._entry(entropy, "E.classification", "E", entropy.body("E"),
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
            line = self._formula(net, f"cost.{own}", "c", formula, known)
            (value,) = substitute([formula], _sized({"l": 100, "m": 50, "n": 10}))
            at = float(evaluate(value, {})[0, 0])
            number = self._number(net, f"cost.{own}.number",
                                  r"c (l = 100,\, m = 50,\, n = 10)", at)  # fmt: skip
            items.append(self._item([Line(line.left, line.parts), number], en, ja))
        return self._section(("What a gradient costs", "勾配の計算量"), *items)

    # ------------------------------------------------------------ the primer

    def _primer(self, typed: str) -> tuple[_Net, Board]:
        given = board(typed)
        found = tape(given.loss, symbols([given.loss]), own_names(given))
        written = typed if typed.endswith("\n") else f"{typed}\n"
        return self._registered(found, written), given

    def _derived(self, net: _Net, own: str, left: str, formula: Expr, known: str) -> Line:
        line = self._formula(net, own, left, simplify(formula), known)
        return Line(line.left, line.parts)

    def _one_variable(self) -> Section:
        f, g = self.rng.sample(FUNCTIONS, 2)
        net, own = self._primer(
            f"x: 1 x 1 input\nΔx: 1 x 1 input\ny = {f.format('x')}\nz = y + Δx\n"
        )
        x, h, y = own["x"], own["Δx"], own["y"]
        (later,) = substitute([y], {x: x + h})
        first = self._item(
            [
                self._derived(net, "primer.slope", r"\frac{f(x + Δx) - f(x)}{Δx}",
                              (later - y) / h, "x Δx"),
                self._derived(net, "primer.derivative", r"\frac{dy}{dx}", grad(y, x), "x"),
            ],
            "$y = f(x) = \\0$: the slope of a chord, and its limit for $Δx → 0$",
            "$y = f(x) = \\0$: 線分の傾きと、$Δx → 0$ の極限",
            net.at.formula(y),
        )  # fmt: skip
        net, own = self._primer(
            f"x: 1 x 1 input\nu = {g.format('x')}\ny = {f.format('u')}\n"
        )
        outer, outer_board = self._primer(f"u: 1 x 1 input\ny = {f.format('u')}\n")
        u = outer.symbol("u")
        second = self._item(
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
        return self._section(
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
        first = self._item(
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
        second = self._item(
            [self._derived(net, "primer.dy", "dy", total(slope * own["Δx"]), "x Δx")],
            "$n$ variables: $y = \\0$, $x$ and $Δx$ columns of $n$ numbers",
            "$n$ 変数の全微分: $y = \\0$ ($x$ と $Δx$ は $n$ 個の成分をもつ列ベクトル)",
            net.at.formula(own["y"]),
        )
        net, own = self._primer(
            f"x: 1 x 1 input\nu = {f.format('x')}\nv = {g.format('x')}\nz = u * v\n"
        )
        third = self._item(
            [self._derived(net, "primer.chain", r"\frac{dz}{dx}", grad(own["z"], own["x"]),
                           "x u v")],
            "The chain rule, two inner variables: $z = u v$, $u = \\0$, $v = \\1$",
            "連鎖律 (中間の変数が 2 個): $z = u v$、$u = \\0$、$v = \\1$",
            net.at.formula(net.body("u")),
            net.at.formula(net.body("v")),
        )  # fmt: skip
        return self._section(
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
            lines.append(self._entry(
                net, f"du{layer}/d{label}", rf"\frac{{{top}}}{{{below}}}",
                self._slope(net, u, own, at), at, known, width=MIDDLE,
            ))  # fmt: skip
            lines.append(self._entry(
                net, f"dE/d{label}", rf"\frac{{\partial E}}{{{below}}}",
                net.gradient(own), at, known, width=MIDDLE,
            ))  # fmt: skip
        return lines

    def _slope(
        self, net: _Net, own: str, by: str, at: Places, apart: str = ""
    ) -> Polynomial:
        """∂u_k/∂w_kj: the slope of an entry by one; at `apart`, of another entry."""
        found = next(g for g in net.tape.gradients if g.of.name == by)
        (share,) = [s for s in found.shares if s.through.symbol.name == own]
        proof = prove(share, found.of, None, True)
        places = [proof.y.column, proof.by.row, proof.by.column]
        letters = [apart or at[1], at[0], at[1]]
        renaming = {
            p: Index(x, p.over)
            for p, x in zip(places, letters, strict=True)
            if isinstance(p, Index)
        }
        return _renamed(proof.slopes, renaming, bool(apart))

    def _step_2(self) -> Section:
        lines = self._parameters("2", "W^(2)", "B^(2)", "u^(2)", ("j", "k"),
                                 "x W^(1) B^(1) u^(1) y^(1) W^(2) B^(2) δ^(2)")  # fmt: skip
        return self._section(
            (r"STEP 2: the output layer, with $δ_k^{(2)} = \frac{\partial E}{\partial u_k^{(2)}}$",
             r"STEP 2: 出力層 (誤差信号 $δ_k^{(2)} = \frac{\partial E}{\partial u_k^{(2)}}$ を用いる)"),
            self._item(lines[:2], "by the weights", "重みによる偏微分"),
            self._item(lines[2:], "by the biases", "バイアスによる偏微分"),
        )  # fmt: skip

    def _step_1_5(self) -> Section:
        net = self._net("classification", "sigmoid")
        known = "x W^(1) B^(1) u^(1) y^(1) W^(2) B^(2) δ^(2)"
        inner = self._slope(net, "u^(2)", "y^(1)", ("", "j"), "r")
        lines = [
            self._entry(net, "du2_r/dy1_j",
                        r"\frac{\partial u_r^{(2)}}{\partial y_j^{(1)}}", inner,
                        ("", "j"), known, width=MIDDLE),
            self._entry(net, "dE/dy1_j", r"\frac{\partial E}{\partial y_j^{(1)}}",
                        net.gradient("y^(1)"), ("", "j"), known),
        ]  # fmt: skip
        said = ("Every $u_r^{(2)}$ depends on $y_j^{(1)}$: the chain rule sums over all of them.",
                "すべての $u_r^{(2)}$ が $y_j^{(1)}$ に依存するので、連鎖律により和をとる。")  # fmt: skip
        return self._section(
            ("STEP 1.5: between the layers", "STEP 1.5: 層と層の間"),
            self._item(lines, *said),
        )

    def _step_1(self) -> Section:
        lines = self._parameters("1", "W^(1)", "B^(1)", "u^(1)", ("i", "j"),
                                 "x W^(1) B^(1) δ^(1)")  # fmt: skip
        return self._section(
            (r"STEP 1: the hidden layer, with $δ_j^{(1)} = \frac{\partial E}{\partial u_j^{(1)}}$",
             r"STEP 1: 中間層 (誤差信号 $δ_j^{(1)} = \frac{\partial E}{\partial u_j^{(1)}}$ を用いる)"),
            self._item(lines[:2], "by the weights", "重みによる偏微分"),
            self._item(lines[2:], "by the biases", "バイアスによる偏微分"),
        )  # fmt: skip

    def _matrices(self) -> Section:
        net = self._net("classification", "sigmoid")
        lines = [
            self._formula(net, f"dE/d{own}".replace("^(", "").replace(")", ""),
                          rf"\frac{{\partial E}}{{\partial {own[0]}^{{({own[3]})}}}}",
                          net.gradient(own), f"x y^(1) W^(2) {delta}", own)
            for own, delta in (("W^(2)", "δ^(2)"), ("B^(2)", "δ^(2)"),
                               ("W^(1)", "δ^(1)"), ("B^(1)", "δ^(1)"))
        ]  # fmt: skip
        return self._section(
            ("The gradients as matrices", "対パラメータ勾配の行列表現"),
            self._item(lines[:2], "Output layer", "出力層"),
            self._item(lines[2:], "Hidden layer", "中間層"),
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
            self._entry(alone, "regression.dE/dy2_k",
                        r"\frac{\partial E}{\partial y_k^{(2)}}", by_y, ("", "k"),
                        "y^(2) d"),
            self._entry(net, "regression.dy2_k/du2_k",
                        r"\frac{\partial y_k^{(2)}}{\partial u_k^{(2)}}",
                        simplify(grad(total(u), u)), ("", "k"), "y^(2) u^(2) d",
                        width=MIDDLE),
            self._entry(net, "regression.delta2_k", r"δ_k^{(2)}", net.gradient("y^(2)"),
                        ("", "k"), "y^(2) u^(2) d"),
        ]  # fmt: skip
        return self._section(
            ("The output delta: regression", "出力層デルタ: 回帰問題"), self._item(lines)
        )

    def _classification(self) -> Section:
        net = self._net("classification", "sigmoid")
        known = "y^(2) u^(2) d"
        at = ("", "k")
        by_y = self._slope(net, "E", "y^(2)", at)
        slope = self._slope(net, "y^(2)", "u^(2)", at)
        other = self._slope(net, "y^(2)", "u^(2)", at, "r")
        delta = net.gradient("u^(2)")
        own = collected([times(a, b) for a in by_y for b in slope])
        whole = Calculus().normal(_term(delta, at))
        rest = collected([*whole, *scaled(own, -1)])
        error, output = (
            r"\frac{\partial E}{\partial y_*^{(2)}}",
            r"\frac{\partial y_*^{(2)}}{\partial u_k^{(2)}}",
        )
        lines = [
            self._entry(net, "classification.dE/dy2_k", error.replace("*", "k"), by_y, at, known),
            self._entry(net, "classification.dy2_k/du2_k", output.replace("*", "k"), slope, at, known),
            self._entry(net, "classification.own", (error + output).replace("*", "k"), own, at, known),
            self._entry(net, "classification.dy2_r/du2_k", output.replace("*", "r"), other, at, known,
                        ("r ≠ k",)),
            self._entry(net, "classification.rest",
                        r"\sum_{r \ne k} " + (error + output).replace("*", "r"), rest, at, known),
            self._entry(net, "classification.delta2_k", r"δ_k^{(2)}", delta, at, known),
        ]  # fmt: skip
        return self._section(
            ("The output delta: classification", "出力層デルタ: 分類問題"),
            self._item(
                lines[:3], "The term of $y_k^{(2)}$ itself", "$y_k^{(2)}$ を通る項"
            ),
            self._item(
                lines[3:5], "The other terms, $r \\ne k$", "それ以外の項 ($r \\ne k$)"
            ),
            self._item(lines[5:], "Their sum, simplified", "和をとって整理する"),
        )

    def _hidden(self) -> Section:
        known = "y^(1) u^(1) W^(2) δ^(2)"
        net = self._net("classification", "sigmoid")
        delta = net.spelt(net.gradient("u^(1)"), "y^(1)")
        smooth = [
            self._entry(net, "sigmoid.dy1_j/du1_j",
                        r"\frac{\partial y_j^{(1)}}{\partial u_j^{(1)}}",
                        net.local("y^(1)", "u^(1)"), ("", "j"), known),
            self._entry(net, "sigmoid.delta1_j", r"δ_j^{(1)}", delta, ("", "j"), known),
        ]  # fmt: skip
        net = self._net("classification", "relu")
        delta = net.spelt(net.gradient("u^(1)"), "y^(1)")
        items = [self._item(smooth, "Sigmoid", "シグモイド関数の場合")]
        halves = zip(
            _by_cases(net.local("y^(1)", "u^(1)")), _by_cases(delta), strict=True
        )
        for (side, test, slope), (_, _, whole) in halves:
            lines = [
                self._entry(net, f"relu.dy1_j/du1_j.{side}",
                            r"\frac{\partial y_j^{(1)}}{\partial u_j^{(1)}}", slope,
                            ("", "j"), known, (test,), MIDDLE),
                self._entry(net, f"relu.delta1_j.{side}", r"δ_j^{(1)}", whole, ("", "j"),
                            known, (test,)),
            ]  # fmt: skip
            where = "$u_j^{(1)} \\ge 0$" if side == "on" else "$u_j^{(1)} < 0$"
            items.append(
                self._item(lines, f"ReLU, where {where}", f"ReLU、{where} の場合")
            )
        return self._section(("The hidden delta", "中間層デルタ"), *items)

    # ------------------------------------------------------------ every entry

    def _summary(self) -> Section:
        known = "x d W^(2) u^(1) y^(1) y^(2)"
        items = []
        for activation, word in (("sigmoid", "シグモイド関数"), ("relu", "ReLU")):
            net = self._net("classification", activation, SIZES)
            asked = ("W^(2)", "B^(2)", "W^(1)", "B^(1)")
            for own in asked if activation == "sigmoid" else asked[2:]:
                formula = net.spelt(net.gradient(own), "u^(1)", "y^(1)", "u^(2)")
                lines = self._every(net, activation, own, formula, known)
                items.append(self._item(lines, activation.replace("relu", "ReLU"), word))
        return self._section(
            ("Every entry, $l = 3$, $m = 2$, $n = 2$: by $d$, $x$, $y$, $u$ and $w$ alone",
             "まとめ: すべての成分 ($l = 3$, $m = 2$, $n = 2$。$d, x, y, u, w$ だけで表す)"),
            *items,
        )  # fmt: skip

    def _every(
        self, net: _Net, activation: str, own: str, formula: Expr, known: str
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
                lines.append(self._entry(net, label, left, formula, places, known))
                line.append(Text(f"({len(self.blanks.found)})", "words"))
            cells.append(tuple(line))
        left = rf"\frac{{\partial E}}{{\partial {own[0]}^{{({layer})}}}}"
        whole = Line(read(left), (Part(Grid(tuple(cells))),), net.at.shape(formula.shape))
        return [whole, *lines]


# ---------------------------------------------------------------- terms and their letters


def _term(formula: Expr, places: Places) -> Term:
    """An entry of a formula in entries, its sums over letters of the deck."""
    shape = zip(places, formula.shape, strict=True)
    at = [Index(f"free {p}", d) if p else 0 for p, d in shape]
    found = Calculus().in_entries(opened(formula), at[0], at[1])
    free = {f"free {p}": p for p in places if p}
    return _lettered(found, free, frozenset(free.values()))


def _lettered(t: Term, names: Mapping[str, str], taken: frozenset[str]) -> Term:
    """A term with its indices renamed, those of sums to letters that are not taken."""

    def place(p: Index | int) -> Index | int:
        return Index(names.get(p.name, p.name), p.over) if isinstance(p, Index) else p

    match t:
        case Entry(matrix, row_, column):
            return Entry(matrix, place(row_), place(column))
        case Sum(own, body) | Largest(own, body):
            letter = next(x for x in LETTERS[own.over] if x not in taken)
            inner = _lettered(body, {**names, own.name: letter}, taken | {letter})
            index = Index(letter, own.over)
            return Sum(index, inner) if isinstance(t, Sum) else Largest(index, inner)
        case Call(function, arguments):
            return Call(function, tuple(_lettered(a, names, taken) for a in arguments))
    return t


def _renamed(
    found: Polynomial, renaming: Mapping[Index, Index], apart: bool
) -> Polynomial:
    """A slope at letters of the deck: its deltas 1 where they agree, 0 where apart."""
    kept = []
    for m in found:
        powers: dict[Term, int] = {}
        vanishes = False
        for f, k in m.factors:
            for index, new in renaming.items():
                f = replaced(f, index, new)
            if isinstance(f, Delta):
                vanishes |= apart and f.left != f.right
                continue
            if f != Number(1.0):
                powers[f] = powers.get(f, 0) + k
        if not vanishes:
            kept.append(Monomial(m.number, m.sums, tuple(powers.items())))
    return kept


def _free(found: Polynomial, where: Sequence[str]) -> dict[str, Dim]:
    """The letters of a polynomial that no sum binds, and what they run over."""
    free: dict[str, Dim] = {}
    for m in found:
        bound = {s.name for s in m.sums}
        for f, _ in m.factors:
            places = (f.row, f.column) if isinstance(f, Entry) else ()
            free |= {
                p.name: p.over
                for p in places
                if isinstance(p, Index) and p.name not in bound
            }
    return free


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
