"""The notes' own slips, each found by the checker.

What is typed here is what the notes say. What is right comes from the engine, and so does
the reason why the note's formula is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from kokuban.errors import KokubanError
from kokuban.explain.layout import Struck, row
from kokuban.expr import Expr, Symbol
from kokuban.formula import Board, compare, parse
from kokuban.gradcheck import check, diagnose
from kokuban.gradient import grad
from kokuban.lessons.lesson import Both, Lesson, Part
from kokuban.lessons.teller import Teller
from kokuban.lessons.values import Function
from kokuban.rewrite import simplify

SIZES: Final = {"N": 2, "M": 3, "C": 3, "J": 3}


@dataclass(frozen=True, slots=True)
class Slip:
    """A formula as a note has it.

    board   the name of the board on which it can be said
    wrt     what the note takes it for the gradient by
    claim   the note's formula
    place   where it stands: the note and its section
    about   what it is about
    says    what introduces the note's formula
    staged  whether the derivation's step is told as well
    """

    board: str
    wrt: str
    claim: str
    place: str
    about: Both
    says: Both
    staged: bool = True


SLIPS: Final = (
    Slip(
        "relu",
        "X",
        "step(X, 1)",
        "002, 3.3.4",
        ("ReLU backwards", "ReLU の逆伝播"),
        (
            "The last formula is 1 or 0, and nothing else:",
            "最後の式は 1 か 0 であり、ほかに何も掛かっていない:",
        ),
    ),
    Slip(
        "one output",
        "x",
        "(exp(x_1)/S - exp(x_1)^2/S^2) g - exp(x_1)^2/S^2 (1 - g)",
        "002, 3.3.5",
        ("softmax: j ≠ q", "softmax: j ≠ q の場合"),
        (
            "The derivative of the output j by the input q; here j = 1, and the places of "
            "the row are q. For j ≠ q the note has the square, as for j = q:",
            "出力 j を入力 q で微分する式。ここでは j = 1 とし、行の各成分が q に対応する。"
            "ノートは j ≠ q のときにも、j = q のときと同じ 2 乗を書いている:",
        ),
    ),
    Slip(
        "softmax",
        "X",
        "G ⊙ (Y - Y ⊙ Y) - Y ⊙ sum(G ⊙ Y, over=columns)",
        "002, 3.3.5",
        ("softmax: the sum", "softmax: 和の範囲"),
        (
            "The first line takes the sum over all j, and adds the term for j = q:",
            "最初の行は、すべての j についての和に、さらに j = q の項を加えている:",
        ),
    ),
    Slip(
        "entropy",
        "Y",
        "-1/C T ⊘ Y",
        "002, 3.1.2, 3.3.6",
        ("cross-entropy: with 1/C or without", "交差エントロピー: 1/C の有無"),
        (
            "Section 3.1.2 defines the loss without 1/C, as on the board; section 3.3.6 "
            "differentiates it with 1/C:",
            "3.1.2 節は黒板のとおり 1/C を付けずに損失を定義しているが、3.3.6 節は 1/C を付けて"
            "微分している:",
        ),
        staged=False,
    ),
    Slip(
        "both",
        "x",
        "1/C y ⊙ (Σ t - t)",
        "002, 3.3.7",
        ("softmax with cross-entropy", "softmax と交差エントロピー"),
        (
            "One step before the end, the gradient by x stands as",
            "最後の一つ手前で、x による勾配が次のようになっている:",
        ),
    ),
    Slip(
        "encoder",
        "w",
        "(xᵀ ⊙ xᵀ) o (1 - o)",
        "003, (5)",
        ("the encoder's derivative", "符号化側の微分"),
        (
            "The derivative of o by w carries both the derivative of the total input, which "
            "is x, and x itself:",
            "o の w による微分に、総入力の微分 (これが x である) と x の両方が掛かっている:",
        ),
    ),
    Slip(
        "scalar",
        "w",
        "1/4 Σ 2 (Y - T)",
        "004",
        ("the bias slide", "バイアスのスライド"),
        (
            "The slide on the bias labels its formula as the gradient by the weight:",
            "バイアスのスライドは、重みによる勾配として次の式を掲げている:",
        ),
    ),
)


def tell(t: Teller) -> Iterator[Part]:
    """The parts of the lesson."""
    yield t.say(
        "Ten formulas of the notes are slips as they stand. Each is given to the checker, "
        "which says what is wrong. The right formula is derived, and agrees with "
        "numerical differentiation.",
        "ノートの式のうち十か所は、書かれたままでは誤りである。それぞれを検査に"
        "かけると、どこがどう誤っているかが示される。正しい式は導出によって得られ、数値微分と一致"
        "する。",
    )
    yield from _gate(t)
    yield from _differentiable(t)
    for slip in SLIPS[:5]:
        yield from _told(t, slip)
    yield from _label(t)
    for slip in SLIPS[5:]:
        yield from _told(t, slip)
    yield from _also(t)


def _heading(t: Teller, place: str, about: Both) -> Part:
    en, ja = about
    return t.heading(f"Note {place}: {en}", f"ノート {place}: {ja}")


def _told(t: Teller, slip: Slip) -> Iterator[Part]:
    own = t.board(slip.board)
    wrt, claim = _symbol(own, slip.wrt), parse(slip.claim, own)
    right = grad(own.L, wrt)
    left, names = t.partial("L", slip.wrt), _names(own)
    written = t.formula(claim, names)
    yield _heading(t, slip.place, slip.about)
    yield t.show(slip.board)
    yield t.say(*slip.says)
    yield t.formulas(t.line(None, Struck(row(left, "=", written))))
    way: dict[str, Any] = {"loss": own.L, "wrt": wrt} if slip.staged else {}
    found = diagnose(claim, right, **way)
    yield t.say("✗ {}", "✗ {}", found.text(t.lang).replace("\n", t.pick(" ", "")))
    yield t.formulas(t.line(left, t.formula(right, names)))
    yield _verdict(t, own, wrt, claim, not found.correct and bool(found.mistakes))


def _verdict(t: Teller, own: Board, wrt: Symbol, claim: Expr, found: bool) -> Part:
    """Both formulas against numerical differentiation at one point."""
    at = _values(own)
    (mine,) = check(own.L, at, wrt).results
    (theirs,) = check(own.L, at, wrt, {wrt: claim}).results
    return t.verdict(
        found and mine.ok and not theirs.ok,
        t.words(
            "at random values {} of {} entries of the note's formula are wrong; the "
            "derived one agrees with central differences in all, worst relative gap {:.0e}",
            "乱数の値では、ノートの式は {1} 成分のうち {0} 成分で誤り。導いた式はすべての成分で"
            "中心差分と一致し、相対的なずれは最大 {2:.0e}",
            theirs.failed,
            mine.entries,
            mine.gap,
        ),
    )


def _names(own: Board) -> dict[Expr, str]:
    return {node: name for name, node in own.definitions.items() if name != "L"}


def _symbol(own: Board, name: str) -> Symbol:
    return next(s for s in own.symbols if s.name == name)


def _values(own: Board) -> dict[Symbol, np.ndarray]:
    """Short positive numbers; the rows of targets sum to 1."""
    rng = np.random.default_rng(1)
    found = {}
    for s in own.symbols:
        rows, columns = (d if isinstance(d, int) else SIZES[d] for d in s.shape)
        found[s] = np.round(rng.uniform(0.2, 1.6, (rows, columns)), 1)
        if s.role == "target":
            found[s] /= found[s].sum(axis=1, keepdims=True)
    return found


# ---------------------------------------------------------------- slips of other kinds


def _gate(t: Teller) -> Iterator[Part]:
    own, printed, weight = t.board("gate"), -0.5, -1.0
    tried = np.arange(-1.0, 1.5, 0.5)
    fire = Function(own.z)
    inputs = np.array([[0.0], [1.0]])

    def fires(bias: float) -> list[int]:
        return [int(v) for v in fire(X=inputs, w=weight, b=bias)[0][:, 0]]

    right = [float(bias) for bias in tried if fires(bias) == [1, 0]]
    yield _heading(t, "002, 2.1", ("the NOT gate", "NOT ゲート"))
    yield t.show("gate")
    yield t.say(
        "The note gives the weight w = {} and the bias b = {}. The truth table, for this "
        "bias and others:",
        "ノートの重みは w = {}、バイアスは b = {} である。このバイアスとほかのバイアスについて"
        "真理値表を作る。",
        weight,
        printed,
    )
    yield t.table(
        ["b", *(t.words("X = {}", "X = {}", int(x)) for x in inputs[:, 0])],
        [[t.box(bias), *fires(bias)] for bias in tried.tolist()],
    )
    yield t.verdict(
        printed not in right and bool(right),
        t.words(
            "with b = {} the neuron gives {} and {}: it never fires, and is not NOT",
            "b = {} では出力は {} と {} であり、決して発火しない。これは NOT ではない",
            printed,
            *fires(printed),
        ),
        t.words(
            "of the biases tried, NOT results for {} and {}",
            "試したバイアスのうち、NOT になるのは {} と {} である",
            *right,
        ),
    )


def _differentiable(t: Teller) -> Iterator[Part]:
    own = t.board("corner")
    at = {own.x: np.zeros((1, 1))}
    (central,) = check(own.L, at).results
    one_sided: list[Callable[[], float]] = [
        lambda: _slope(own.L, 1e-6),
        lambda: _slope(own.L, -1e-6),
    ]
    right, left = (f() for f in one_sided)
    yield _heading(t, "002, 2.3.2", ("ReLU is differentiable", "ReLU は微分可能か"))
    yield t.show("corner")
    yield t.say(
        "The note calls ReLU differentiable. At x = {} the slope from the right is {:.0f}, "
        "from the left {:.0f}.",
        "ノートは ReLU を微分可能な関数と呼んでいる。x = {} での右からの傾きは {:.0f}、"
        "左からの傾きは {:.0f} である。",
        0,
        right,
        left,
    )
    (slope,) = Function(grad(own.L, own.x))(x=0.0)
    (kink,) = central.kinks
    yield t.verdict(
        not central.ok and bool(kink.entries),
        t.words(
            "the check finds no derivative there: {} entry sits on ReLU's corner. The slope "
            "that is used there, {:.0f}, is a convention, the note's own.",
            "検査は、{} 個の成分が ReLU の角にあり、そこに微分係数がないことを見つける。そこで"
            "使う傾き {:.0f} は、ノートと同じ約束である。",
            len(kink.entries),
            slope[0, 0],
        ),
    )


def _slope(loss: Expr, step: float) -> float:
    both = [Function(loss).numbers(x=x)[0] for x in (step, 0.0)]
    return (both[0] - both[1]) / step


def _label(t: Teller) -> Iterator[Part]:
    own = t.board("labelled")
    claim = parse("-1/C t ⊘ x", own)
    yield _heading(t, "002, 3.3.6", ("by which variable", "どの変数による微分か"))
    yield t.show("labelled")
    left = t.partial("L", "y")
    yield t.say(
        "The note calls the loss's input x, and the gradient by it that by y:",
        "ノートは損失への入力を x と呼びながら、それによる勾配を y によるものとしている:",
    )
    yield t.formulas(t.line(None, Struck(row(left, "=", t.formula(claim)))))
    try:
        check(own.L, _values(own), claims={"y": claim})
        refused = False
    except KokubanError:
        refused = True
    names = [s.name for s in own.symbols]
    yield t.verdict(
        refused,
        t.words(
            "the check refuses it: the loss has no y, only {} and {}",
            "検査はこれを拒む。損失に y は現れず、現れるのは {} と {} だけである",
            *(t.box(n) for n in names),
        ),
    )
    equal = compare(claim, grad(own.L, own.x)).equal
    yield t.formulas(t.line(t.partial("L", "x"), simplify(grad(own.L, own.x))))
    yield t.verdict(
        equal and bool(check(own.L, _values(own), "x", {"x": claim})),
        t.words(
            "as the gradient by x the same formula is right",
            "x による勾配としてならば、同じ式は正しい",
        ),
    )


def _also(t: Teller) -> Iterator[Part]:
    """The bias slide's formula is right, for the bias."""
    own, slip = t.board("scalar"), SLIPS[-1]
    claim = parse(slip.claim, own)
    yield t.verdict(
        compare(claim, grad(own.L, own.b)).equal
        and bool(check(own.L, _values(own), "b", {"b": claim})),
        t.words(
            "as the gradient by b the slide's formula is right: {}",
            "b による勾配としてならば、スライドの式は正しい: {}",
            row(t.partial("L", "b"), "=", t.formula(grad(own.L, own.b), _names(own))),
        ),
    )


LESSON = Lesson(
    "slips",
    ("The notes' own slips", "ノートの書き誤り"),
    "002, 003, 004",
    tell,
    {
        "gate": """
            X: N x 1
            w: 1 x 1
            b: 1 x 1
            z = step(X w + b, 1)
        """,
        "corner": """
            x: 1 x 1
            L = relu(x, 1)
        """,
        "relu": """
            X: N x M parameter
            G: N x M
            L = Σ G ⊙ relu(X, 1)
        """,
        "one output": """
            x: 1 x 3
            g = [[1, 0, 0]]
            x_1 = Σ g ⊙ x
            S = Σ exp(x)
            y = softmax(x)
            L = Σ g ⊙ y
        """,
        "softmax": """
            X: N x C parameter
            G: N x C
            Y = softmax(X)
            L = Σ G ⊙ Y
        """,
        "entropy": """
            Y: N x C parameter
            T: N x C
            L = -Σ T ⊙ ln Y
        """,
        "both": """
            x: 1 x C parameter
            t: 1 x C
            y = softmax(x)
            L = 1/C cross_entropy(y, t)
        """,
        "labelled": """
            x: 1 x C parameter
            t: 1 x C
            L = -1/C Σ t ⊙ ln x
        """,
        "encoder": """
            x: 1 x J
            w: J x 1
            o = sigmoid(x w)
            L = o
        """,
        "scalar": """
            X: 2 x 2
            T: 2 x 2
            w: 1 x 1
            b: 1 x 1
            Y = w X + b
            L = mse(Y, T)
        """,
    },
)
