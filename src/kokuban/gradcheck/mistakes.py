"""The table of mistakes on the way back: wrong rules for one edge of the reverse sweep.

A row is a mistake's name, how to make the wrong share out of the edge and the gradient g
from above, and the sentence that names it. `{f}` is the operation, `{y}` what it gives,
`{x}` what the share is for, `{other}` the other factor. Rows stand in the order of
plausibility: of two that explain a claim equally well the upper one is named.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from kokuban.expr import Call, Expr, Size, Symbol, apply, is_number, order, size, symbols
from kokuban.gradcheck.sweep import Edge, is_function, slope
from kokuban.ops import ones, sum, zeros
from kokuban.shape import SCALAR


@dataclass(frozen=True, slots=True)
class Mistake:
    """One named mistake. `name` is stable; `en` and `ja` say it in a sentence."""

    name: str
    en: str
    ja: str

    def text(self, lang: str = "en") -> str:
        """The mistake in a sentence."""
        return self.ja if lang == "ja" else self.en


Make = Callable[[Edge, Expr], "Expr | None"]


@dataclass(frozen=True, slots=True)
class Row:
    """One mistake: its stable name, the wrong share (None where it has none), words."""

    name: str
    make: Make
    en: str
    ja: str


ROWS: Final[list[Row]] = []


def _row(name: str, en: str, ja: str) -> Callable[[Make], Make]:
    def enter(make: Make) -> Make:
        ROWS.append(Row(name, make, en, ja))
        return make

    return enter


def _named(e: Edge, *names: str) -> bool:
    return e.y.op is not None and not isinstance(e.y, Call) and e.y.op.name in names


def other(e: Edge) -> Expr:
    """The other argument of an operation of two."""
    return e.y.args[1 - e.place]


def counts(node: Expr) -> bool:
    """Whether a node is made of sizes and numbers, a named dimension among them."""
    nodes = order([node])
    return any(isinstance(n, Size) for n in nodes) and not any(
        isinstance(n, Symbol) for n in nodes
    )


# ---------------------------------------------------------------- uses and paths


@_row(
    "use-forgotten",
    "one use of {x} is forgotten: its share through {y} is missing.",
    "{x} の使われ方が一つ抜けている: {y} を通る分が足りない。",
)
def _use_forgotten(e: Edge, g: Expr) -> Expr | None:
    return zeros(e.x.shape) if e.shared and e.last else None


@_row(
    "path-forgotten",
    "one path is dropped: {x} acts through {y} too, and that share is missing.",
    "経路が一つ抜けている: {x} は {y} を通しても効くが、その分が足りない。",
)
def _path_forgotten(e: Edge, g: Expr) -> Expr | None:
    return zeros(e.x.shape) if e.shared and not e.last else None


@_row(
    "use-twice",
    "one use of {x} is counted twice: its share through {y}.",
    "{x} の使われ方の一つを二重に数えている: {y} を通る分。",
)
def _use_twice(e: Edge, g: Expr) -> Expr | None:
    return 2 * e.share(g) if e.shared and e.last else None


@_row(
    "path-twice",
    "one path is counted twice: the share of {x} through {y}.",
    "経路の一つを二重に数えている: {x} の {y} を通る分。",
)
def _path_twice(e: Edge, g: Expr) -> Expr | None:
    return 2 * e.share(g) if e.shared and not e.last else None


# ---------------------------------------------------------------- functions


@_row(
    "derivative-forgotten",
    "the derivative of {f} is forgotten on the way from {y} to {x}.",
    "{y} から {x} へ戻るとき、{f} の微分が抜けている。",
)
def _derivative_forgotten(e: Edge, g: Expr) -> Expr | None:
    return g if is_function(e.y) or _named(e, "softmax") else None


@_row(
    "derivative-at-output",
    "the derivative of {f} is taken at its output {y}; it belongs at its input {x}.",
    "{f} の微分を出力 {y} で取っている。入力 {x} で取る。",
)
def _at_output(e: Edge, g: Expr) -> Expr | None:
    return slope(e.y, g, e.y) if is_function(e.y) and not _named(e, "power") else None


@_row(
    "derivative-at-input",
    "the derivative of {f}, a formula in its output {y}, is given the input {x}.",
    "{f} の微分は出力 {y} の式だが、入力 {x} を入れている。",
)
def _at_input(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "sigmoid", "tanh", "exp", "softmax"):
        return None
    assert e.y.op is not None
    (rule,) = e.y.op.vjp
    assert rule is not None
    result: Expr = rule(g, e.x, e.x)
    return result


@_row(
    "softmax-diagonal",
    "softmax's off-diagonal is forgotten: y (1 - y) stands in place of diag(y) - yᵀ y.",
    "softmax の非対角成分が抜けている: diag(y) - yᵀ y でなく y (1 - y) になっている。",
)
def _softmax_diagonal(e: Edge, g: Expr) -> Expr | None:
    return g * e.y * (1 - e.y) if _named(e, "softmax") else None


@_row(
    "derivative-twice",
    "the derivative of {f} is multiplied in once more than it should be.",
    "{f} の微分を一回余計に掛けている。",
)
def _derivative_twice(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "softmax"):
        return e.share(g) * e.y * (1 - e.y)
    return e.share(e.share(g)) if is_function(e.y) else None


@_row(
    "derivative-twice",
    "the derivative of {f} is multiplied in once more than it should be.",
    "{f} の微分を一回余計に掛けている。",
)
def _jacobian_twice(e: Edge, g: Expr) -> Expr | None:
    return e.share(e.share(g)) if _named(e, "softmax") else None


@_row(
    "upstream-forgotten",
    "the gradient from above is forgotten: only the local slope of {f} is there.",
    "上流の勾配が抜けている: {f} の局所的な微分だけになっている。",
)
def _upstream_forgotten(e: Edge, g: Expr) -> Expr | None:
    if not symbols([g]):  # nothing but numbers comes from above
        return None
    if is_function(e.y) or _named(e, "matmul", "multiply"):
        return e.share(ones(e.y.shape))
    return None


@_row(
    "kink-side",
    "the other side of {f}'s kink is taken: the slopes left and right are exchanged.",
    "{f} の折れ点の反対側を取っている: 左右の傾きが入れ替わっている。",
)
def _kink_side(e: Edge, g: Expr) -> Expr | None:
    return slope(e.y, g, -e.x) if is_function(e.y) and _kinked(e.y) else None


def _kinked(y: Expr) -> bool:
    nodes = order([y.args[0]] if isinstance(y, Call) else [], known=y.args[0].args)
    return any(n.op is not None and n.op.kinks is not None for n in (y, *nodes))


def _at_zero(e: Edge, g: Expr, value: float) -> Expr | None:
    """ReLU's rule with another slope at 0; of |x|, whose slope at 0 is 0, likewise."""
    if _named(e, "relu") and dict(e.y.attrs)["at_zero"] != value:
        return g * apply("step", e.x, at_zero=value)
    if _named(e, "abs") and value:
        return g * (2 * apply("step", e.x, at_zero=value) - 1)
    return None


for _value in (1.0, 0.0, 0.5):
    _row(
        "kink-side",
        f"at the kink of {{f}} the slope {_value:g} is taken; the formula takes another, "
        "and both are subgradients.",
        f"{{f}} の折れ点で傾き {_value:g} を取っている。この式では別の値を取る。"
        "どちらも劣勾配である。",
    )(lambda e, g, value=_value: _at_zero(e, g, value))  # type: ignore[misc]

ACTIVATED: Final = ("sigmoid", "tanh", "relu", "softplus")
SLOPES: Final = {  # of activations, in their output y and their input x
    "sigmoid": lambda y, x: y * (1 - y),
    "tanh": lambda y, x: 1 - y**2,
    "relu": lambda y, x: apply("step", x, at_zero=0.0),
}
for _function, _slope in SLOPES.items():
    _row(
        "derivative-other",
        f"the derivative of {_function} is used for {{f}}.",
        f"{{f}} に {_function} の微分を使っている。",
    )(
        lambda e, g, own=_function, of=_slope: (  # type: ignore[misc]
            g * of(e.y, e.x) if _named(e, *ACTIVATED) and not _named(e, own) else None
        )
    )
    _row(
        "derivative-other",
        f"the derivative of {_function} is used for {{f}}.",
        f"{{f}} に {_function} の微分を使っている。",
    )(
        lambda e, g, own=_function: (  # type: ignore[misc]
            slope(apply(own, e.x), g, e.x)
            if _named(e, *ACTIVATED) and own in ("sigmoid", "tanh") and not _named(e, own)
            else None
        )
    )


@_row(
    "derivative-other",
    "the square in tanh' = 1 - y² is forgotten.",
    "tanh' = 1 - y² の二乗が抜けている。",
)
def _tanh_square(e: Edge, g: Expr) -> Expr | None:
    return g * (1 - e.y) if _named(e, "tanh") else None


@_row(
    "sign",
    "a sign inside the derivative of {f} is wrong.",
    "{f} の微分の中の符号が逆である。",
)
def _sign_inside(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "sigmoid"):
        return g * e.y * (1 + e.y)
    if _named(e, "tanh"):
        return g * (1 + e.y**2)
    return e.y * (g + sum(g * e.y, over="columns")) if _named(e, "softmax") else None


# ---------------------------------------------------------------- softmax


@_row(
    "softmax-index",
    "softmax's off-diagonal has y_j² where y_j y_q belongs.",
    "softmax の非対角成分が y_j y_q でなく y_j² になっている。",
)
def _softmax_index(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "softmax"):
        return None
    square = g * e.y**2
    return g * e.y * (1 - e.y) - (sum(square, over="columns") - square)


@_row(
    "softmax-twice",
    "in softmax's sum the term j = q is counted twice: its -y_q².",
    "softmax の和で j = q の項 -y_q² を二重に数えている。",
)
def _softmax_twice(e: Edge, g: Expr) -> Expr | None:
    return e.share(g) - g * e.y**2 if _named(e, "softmax") else None


@_row(
    "brackets",
    "the factor y stands before the whole bracket; it belongs to the sum only.",
    "y が括弧全体に掛かっている。和の項だけに掛かる。",
)
def _softmax_brackets(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "softmax"):
        return None
    return e.y * (e.y * g - sum(g * e.y, over="columns"))


# ---------------------------------------------------------------- sums over the batch


@_row(
    "sum-forgotten",
    "the sum is not taken: {x} stands in every copy, and what comes back is added up.",
    "和を取っていない: {x} は写したものすべてに現れるので、戻ってくる分を足し合わせる。",
)
def _sum_forgotten(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "broadcast"):
        return None
    return g if e.x.shape != SCALAR or e.last else None


@_row(
    "one-sample",
    "only one of the samples is taken; the sum over all of them is the gradient.",
    "標本を一つしか取っていない。すべての標本についての和が勾配である。",
)
def _one_sample(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "broadcast") and (e.x.shape != SCALAR or e.y.shape[1] == 1):
        return g[0:1, :] if e.x.shape[0] == 1 else g[:, 0:1]
    if _named(e, "matmul") and isinstance(_inner(e), str):
        a, b = e.y.args
        return a[0:1, :].T @ g[0:1, :] if e.place else g[:, 0:1] @ b[:, 0:1].T
    return None


def _inner(e: Edge) -> object:
    """The dimension that the product for a share sums over."""
    return e.y.shape[0] if e.place else e.y.shape[1]


@_row(
    "sum-axis",
    "the sum runs over the wrong axis.",
    "和を取る向きが違う。",
)
def _sum_axis(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "broadcast") or e.x.shape == SCALAR:
        return None
    return sum(g, over="columns" if e.x.shape[0] == 1 else "rows")


@_row(
    "batch-mean",
    "a mean over the samples is taken; it is their sum.",
    "標本の平均を取っている。取るのは和である。",
)
def _mean_for_sum(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "broadcast") and e.x.shape != SCALAR:
        return e.share(g) / size(e.y.shape[0] if e.x.shape[0] == 1 else e.y.shape[1])
    if _named(e, "matmul") and isinstance(inner := _inner(e), str):
        return e.share(g) / size(inner)
    return None


@_row(
    "batch-mean",
    "the division by {other} is forgotten: the loss is a mean.",
    "{other} で割るのを忘れている: 損失は平均である。",
)
def _division_forgotten(e: Edge, g: Expr) -> Expr | None:
    return g if _named(e, "divide") and e.place == 0 and counts(other(e)) else None


# ---------------------------------------------------------------- products


@_row(
    "transposed",
    "the factor {other} is not transposed.",
    "{other} を転置していない。",
)
def _not_transposed(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "matmul"):
        return None
    return other(e) @ g if e.place else g @ other(e)


@_row(
    "order",
    "the factors are in the wrong order: {other} stands on the other side.",
    "積の順序が逆である: {other} は反対側に掛ける。",
)
def _order(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "matmul"):
        return None
    return g @ other(e).T if e.place else other(e).T @ g


@_row(
    "order",
    "the factors are in the wrong order, and {other} is not transposed.",
    "積の順序が逆で、{other} を転置していない。",
)
def _order_untransposed(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "matmul"):
        return None
    return g @ other(e) if e.place else other(e) @ g


@_row(
    "transposed",
    "the share of {x} through {y} is transposed.",
    "{y} を通る {x} の分が転置になっている。",
)
def _share_transposed(e: Edge, g: Expr) -> Expr | None:
    return e.share(g).T if _named(e, "matmul") else None


@_row(
    "transposed",
    "{x} stands transposed in the formula, and its share is not transposed back.",
    "{x} は式の中で転置されているのに、戻ってきた分を転置していない。",
)
def _not_turned_back(e: Edge, g: Expr) -> Expr | None:
    return g if _named(e, "transpose") else None


@_row(
    "activation-forgotten",
    "the factor {other} is replaced by what goes into it, before its activation.",
    "{other} の代わりに、活性化関数を通す前の値を使っている。",
)
def _pre_activation(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "matmul") or not is_function(other(e)):
        return None
    before = (
        other(e).arguments[0] if isinstance(o := other(e), Call) else o.args[0]  # type: ignore[attr-defined]
    )
    return before.T @ g if e.place else g @ before.T


@_row(
    "factor-forgotten",
    "the factor {other} is forgotten.",
    "因子 {other} が抜けている。",
)
def _factor_forgotten(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "matmul", "multiply"):
        return g
    return g if _named(e, "divide") and e.place == 0 and not counts(other(e)) else None


@_row(
    "upstream-forgotten",
    "the gradient from above is forgotten: only the factor {other} is there.",
    "上流の勾配が抜けている: 因子 {other} だけになっている。",
)
def _only_factor(e: Edge, g: Expr) -> Expr | None:
    return other(e).T if _named(e, "matmul") else None


@_row(
    "factor-twice",
    "the factor {other} is multiplied in twice.",
    "因子 {other} を二度掛けている。",
)
def _factor_twice(e: Edge, g: Expr) -> Expr | None:
    if _named(e, "multiply") and not is_number(other(e)):
        return g * other(e) ** 2
    if _named(e, "matmul"):
        square = (other(e) ** 2).T
        return square @ g if e.place else g @ square
    return None


@_row(
    "factor",
    "it is multiplied by {other}, where it is divided.",
    "{other} で割るところを掛けている。",
)
def _multiplied(e: Edge, g: Expr) -> Expr | None:
    return g * other(e) if _named(e, "divide") and e.place == 0 else None


# ---------------------------------------------------------------- powers and shares


@_row(
    "factor",
    "the exponent is not brought down: the {p} of the power's derivative is missing.",
    "指数を前に出していない: べき乗の微分の {p} が抜けている。",
)
def _exponent_forgotten(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "power"):
        return None
    exponent: float = dict(e.y.attrs)["exponent"]
    return e.share(g) / exponent


@_row(
    "exponent",
    "the exponent is brought down but not lowered by 1.",
    "指数を前に出したが、1 減らしていない。",
)
def _exponent_kept(e: Edge, g: Expr) -> Expr | None:
    if not _named(e, "power"):
        return None
    exponent: float = dict(e.y.attrs)["exponent"]
    return g * exponent * e.y


@_row(
    "sign",
    "one share has the wrong sign: that of {x} through {y}.",
    "{y} を通る {x} の分の符号が逆である。",
)
def _share_negated(e: Edge, g: Expr) -> Expr | None:
    return -e.share(g) if e.shared else None


@_row(
    "factor",
    "one share is half of what it should be: that of {x} through {y}.",
    "{y} を通る {x} の分が半分になっている。",
)
def _share_halved(e: Edge, g: Expr) -> Expr | None:
    return 0.5 * e.share(g) if e.shared else None


@_row(
    "batch-mean",
    "one share is divided by {n}: that of {x} through {y}.",
    "{y} を通る {x} の分を {n} で割っている。",
)
def _share_averaged(e: Edge, g: Expr) -> Expr | None:
    return _by_samples(e, g, False)


@_row(
    "batch-mean",
    "one share is not divided by {n}, or multiplied by it: that of {x} through {y}.",
    "{y} を通る {x} の分を {n} で割っていない。",
)
def _share_summed(e: Edge, g: Expr) -> Expr | None:
    return _by_samples(e, g, True)


def _by_samples(e: Edge, g: Expr, times: bool) -> Expr | None:
    if not e.shared or e.samples is None:
        return None
    share, n = e.share(g), size(e.samples)
    return share * n if times else share / n


@_row(
    "entrywise",
    "a product entry by entry stands where the matrix product belongs.",
    "行列の積であるべきところが要素積になっている。",
)
def _entrywise(e: Edge, g: Expr) -> Expr | None:
    return g * other(e) if _named(e, "matmul") else None
