"""Expressions as layout trees: how each operation is written, and where brackets go.

Most operations are written as their record's `latex` says. Those whose form depends on
shapes, or that read better otherwise, have a function here.

In columns (samples side by side) every matrix is shown transposed and every product
reversed; that is decided here and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kokuban.explain.layout import (
    ONE,
    SPACE,
    TOP,
    Box,
    Fraction,
    Grid,
    Row,
    Script,
    Term,
    Text,
    bracketed,
    coefficient,
    elided,
    name,
    number,
    read,
    row,
    sign,
)
from kokuban.expr import Call, Const, Expr, Size, Symbol, is_number
from kokuban.op import ATOM, NEGATION, POWER, PRODUCT, SUM
from kokuban.shape import SCALAR, Dim, Shape

Shown = tuple[Box, int]  # a form, and how tightly it holds together
MINUS = sign("−")
# On paper a matrix product holds more tightly than ⊙, and Σ takes in all of a product.
SIGMA, JOINED = PRODUCT - 5, PRODUCT + 5


@dataclass(frozen=True)
class Notation:
    """How to write: `names` for nodes that have one, rows or columns.

    Calls of composites are written by name.
    """

    names: Mapping[Expr, Box] = field(default_factory=dict)
    columns: bool = False

    def formula(self, node: Expr) -> Box:
        """The expression as a box."""
        return self.shown(node)[0]

    def within(self, node: Expr, least: int) -> Box:
        """The expression, in brackets if it holds less tightly than `least`."""
        box, holds = self.shown(node)
        return bracketed(box) if holds < least else box

    def shown(self, node: Expr) -> Shown:
        """The expression and how tightly its form holds together."""
        if node in self.names:
            return self.names[node], ATOM
        if isinstance(node, Symbol):
            return Term(node.name, name(node.name)), ATOM
        if isinstance(node, Size):
            return Term(node.dim, name(node.dim)), ATOM
        if isinstance(node, Const):
            return self._constant(node)
        if isinstance(node, Call):
            return self._call(node)
        assert node.op is not None
        special = _SPECIAL.get(node.op.name)
        if special is not None:
            return special(self, node)
        attrs = dict(node.attrs)
        template = node.op.latex.format(
            *(rf"\{k}" for k in range(len(node.args))), **attrs
        )
        parts = [
            self.within(a, least)
            for a, least in zip(node.args, node.op.binds[1:], strict=True)
        ]
        return read(template, *parts), node.op.binds[0]

    def shape(self, shape: Shape) -> Box:
        """A shape: N×3."""
        rows, columns = shape[::-1] if self.columns else shape
        return row(dimension(rows), sign("×"), dimension(columns))

    def _constant(self, node: Const) -> Shown:
        if not isinstance(node.value, tuple):
            return number(node.value), NEGATION if node.value < 0 else ATOM
        rows = node.value
        if self.columns:
            rows = tuple(zip(*rows, strict=True))
        return elided([[number(v) for v in line] for line in rows]), ATOM

    def _call(self, node: Call) -> Shown:
        if node.name == "affine":
            return self.shown(node.args[0])
        if node.name == "log_softmax":
            return row(
                Text("ln", "function"), SPACE, *self._applied("softmax", node)
            ), POWER
        return row(*self._applied(node.name, node)), ATOM

    def _applied(self, function: str, node: Call) -> tuple[Box, Box]:
        inside: list[Box] = []
        for argument in node.arguments:
            inside += (
                [sign(","), self.formula(argument)]
                if inside
                else [self.formula(argument)]
            )
        label = FUNCTION_NAMES.get(function, function)
        return Text(label, "function"), bracketed(Row(tuple(inside)))


FUNCTION_NAMES = {
    "gelu": "GELU", "silu": "SiLU", "elu": "ELU", "selu": "SELU", "mish": "Mish",
    "leaky_relu": "LeakyReLU", "layer_norm": "LayerNorm", "batch_norm": "BatchNorm",
    "label_smoothing": "smooth",
}  # fmt: skip


def dimension(dim: Dim) -> Box:
    """A dimension: a number or a name."""
    return number(dim) if isinstance(dim, int) else Term(dim, name(dim))


def scalar_of(node: Expr) -> Expr | None:
    """The 1×1 expression that a node repeats in every entry, or is."""
    if node.shape == SCALAR:
        return node
    if _is(node, "broadcast") and node.args[0].shape == SCALAR:
        return node.args[0]
    return None


def _is(node: Expr, *names: str) -> bool:
    return node.op is not None and node.op.name in names


# ---------------------------------------------------------------- sums and products


def _sum_of_two(at: Notation, node: Expr) -> Shown:
    """A + B; a number that is repeated in every entry is written once."""
    bare = [scalar_of(x) for x in node.args]
    a, b = (x if s is None else s for x, s in zip(node.args, bare, strict=True))
    if None not in bare and node.shape != SCALAR:
        a = node.args[0]  # one of the two must show the shape
    assert node.op is not None
    plus = "+" if node.op.name == "add" else "-"
    return row(at.within(a, SUM), plus, at.within(b, SUM + 1)), SUM


def _negated(at: Notation, node: Expr) -> Shown:
    return row(MINUS, at.within(node.args[0], SIGMA)), SUM


def _coefficient(at: Notation, scalar: Expr) -> tuple[bool, Box | None]:
    """A number in front of a product: whether it is negative, and the rest unless 1."""
    minus = False
    if _is(scalar, "negate"):
        minus, (scalar,) = True, scalar.args
    if isinstance(scalar, Const) and not isinstance(scalar.value, tuple):
        value = scalar.value
        return minus != (value < 0), None if abs(value) == 1 else coefficient(abs(value))
    if _is(scalar, "divide"):
        over, under = scalar.args
        minus_over, above = _coefficient(at, over)
        box = _fraction(at, above, over, under)
        return minus != minus_over, box
    return minus, at.within(scalar, PRODUCT)


def _fraction(at: Notation, above: Box | None, over: Expr | None, under: Expr) -> Box:
    """A fraction of scalars; `above` is what is written of `over`, a bare 1 for None."""
    loose = over is not None and at.shown(over)[1] < SUM + 1
    below, holds = at.shown(under)
    return Fraction(above or number(1), below, (loose, holds <= JOINED))


def _scaled(at: Notation, scalar: Box, minus: bool, node: Expr) -> Shown:
    """A coefficient before what it multiplies."""
    rest = at.within(node, SIGMA)
    both_numbers = isinstance(scalar, Text) and _begins_with_digit(rest)
    box = row(scalar, "·" if both_numbers else SPACE, rest)
    holds = at.shown(node)[1]
    holds = JOINED - 1 if holds < SIGMA else min(holds, JOINED - 1)
    return (row(MINUS, box), SUM) if minus else (box, holds)


def _begins_with_digit(box: Box) -> bool:
    while isinstance(box, Row):
        box = box.items[0]
    return isinstance(box, Text) and box.kind == "number"


def _multiplied(at: Notation, node: Expr) -> Shown:
    a, b = node.args
    if node.shape == SCALAR and is_number(b) and not is_number(a):
        a, b = b, a  # 3 N, not N 3
    for scalar, rest in ((a, b), (b, a)):
        inner = scalar_of(scalar)
        if inner is not None and (rest is b or scalar_of(rest) is None):
            minus, box = _coefficient(at, inner)
            if box is None:
                shown = at.within(rest, SIGMA)
                return (row(MINUS, shown), SUM) if minus else at.shown(rest)
            return _scaled(at, box, minus, rest)
    return _of_entries(at, "⊙", a, b)


def _of_entries(at: Notation, operator: str, a: Expr, b: Expr) -> Shown:
    """A ⊙ B or A ⊘ B; a minus before A goes before the whole."""
    right = at.within(b, PRODUCT + 1)
    left, holds = at.shown(a)
    match left:
        case Row((first, rest)) if first is MINUS and holds == SUM:
            return row(MINUS, row(rest, operator, right)), SUM
    return row(at.within(a, PRODUCT), operator, right), PRODUCT


def _divided(at: Notation, node: Expr) -> Shown:
    a, b = node.args
    below = scalar_of(b)
    if below is None:
        left = scalar_of(a)
        if left is not None:
            minus, box = _coefficient(at, left)
            quotient = row(box or number(1), "⊘", at.within(b, PRODUCT + 1))
            return (row(MINUS, quotient), SUM) if minus else (quotient, PRODUCT)
        return _of_entries(at, "⊘", a, b)
    minus = False
    while _is(a, "negate"):
        minus, (a,) = not minus, a.args
    above = scalar_of(a)
    if above is not None and not _is(above, "sum"):
        minus_above, top = _coefficient(at, above)
        box = _fraction(at, top, None if minus_above else above, below)
        return (row(MINUS, box), SUM) if minus != minus_above else (box, JOINED)
    return _scaled(at, _fraction(at, None, None, below), minus, a)


def _product(at: Notation, node: Expr) -> Shown:
    a, b = node.args[::-1] if at.columns else node.args
    left, right = (JOINED + 1, JOINED) if at.columns else (JOINED, JOINED + 1)
    return row(at.within(a, left), SPACE, at.within(b, right)), JOINED


def _transposed(at: Notation, node: Expr) -> Shown:
    return Script(at.within(node.args[0], ATOM), upper=TOP), POWER


def _power(at: Notation, node: Expr) -> Shown:
    exponent = number(dict(node.attrs)["exponent"])
    upper = exponent if node.shape == SCALAR else Row((Text("⊙", "sign"), exponent))
    return Script(at.within(node.args[0], ATOM), upper=upper), POWER


# ---------------------------------------------------------------- sums over entries


def _summed(at: Notation, node: Expr) -> Shown:
    """Σ A over all entries; 𝟏ᵀ A over the rows, A 𝟏 over the columns."""
    (a,), over = node.args, dict(node.attrs)["over"]
    if over == "all" or node.shape == SCALAR:
        return row(sign("∑"), SPACE, at.within(a, SIGMA)), SIGMA
    if (over == "rows") != at.columns:
        return row(Script(ONE, upper=TOP), SPACE, at.within(a, JOINED)), JOINED
    return row(at.within(a, JOINED), SPACE, ONE), JOINED


def _repeated(at: Notation, node: Expr) -> Shown:
    """Dup_N(b): a row b repeated into N rows; c 𝟏ᵀ: a column repeated; a number bare."""
    (x,), to = node.args, node.shape
    if x.shape == SCALAR:
        lower: Box = at.shape(to)
        if is_number(x):
            return Script(bold(at.formula(x)), lower=lower), ATOM
    elif x.shape[0] == 1:
        lower = dimension(to[0])
    else:
        ones = Script(ONE, upper=TOP)
        inner = at.within(x, JOINED)
        pair = (ONE, inner) if at.columns else (inner, ones)
        return row(pair[0], SPACE, pair[1]), JOINED
    dup = Script(Text("Dup", "function"), lower=lower)
    return row(dup, bracketed(at.formula(x))), ATOM


def bold(box: Box) -> Box:
    """A number in bold: the matrix that holds it in every entry."""
    return Text(box.text, "bold") if isinstance(box, Text) else bracketed(box)


def _choice(at: Notation, node: Expr) -> Shown:
    assert node.op is not None
    bare = [scalar_of(x) for x in node.args]
    a, b = (
        at.formula(x if s is None else s) for x, s in zip(node.args, bare, strict=True)
    )
    return row(Text(node.op.name[:3], "function"), bracketed(row(a, ",", b))), ATOM


def _largest(at: Notation, node: Expr) -> Shown:
    label = "colmax" if at.columns else "rowmax"
    return row(Text(label, "function"), bracketed(at.formula(node.args[0]))), ATOM


# ---------------------------------------------------------------- others


def _logarithm(at: Notation, node: Expr) -> Shown:
    (a,) = node.args
    box, holds = at.shown(a)
    inner = row(SPACE, box) if holds >= ATOM and not _is(a, "sum") else bracketed(box)
    return row(Text("ln", "function"), inner), POWER


def _step(at: Notation, node: Expr) -> Shown:
    """[U > 0]: 1 where it is true, else 0; the usual sign for a corner's slope."""
    (a,), at_zero = node.args, dict(node.attrs)["at_zero"]
    if at_zero in (0.0, 1.0):
        test = row(at.within(a, SUM), ">" if at_zero == 0 else "≥", number(0))
        return read(r"[\0]", test), ATOM
    label = Script(Text("step", "function"), lower=number(at_zero))
    return row(label, bracketed(at.formula(a))), ATOM


def _function(label: str) -> Callable[[Notation, Expr], Shown]:
    def write(at: Notation, node: Expr) -> Shown:
        return row(Text(label, "function"), bracketed(at.formula(node.args[0]))), ATOM

    return write


def _expm1(at: Notation, node: Expr) -> Shown:
    exp = row(Text("exp", "function"), bracketed(at.formula(node.args[0])))
    return row(exp, "-", number(1)), SUM


def _block(at: Notation, node: Expr) -> Shown:
    """A[:, 1..2]: rows and columns counted from 1, the last one included."""
    attrs = dict(node.attrs)
    first, last = number(attrs["start"] + 1), number(attrs["stop"])
    part = first if attrs["stop"] == attrs["start"] + 1 else row(first, sign(".."), last)
    by_row = (attrs["axis"] == 0) != at.columns
    every = sign(":")
    lower = row(part, sign(","), every) if by_row else row(every, sign(","), part)
    return Script(at.within(node.args[0], ATOM), lower=lower), ATOM


def _placed(at: Notation, node: Expr) -> Shown:
    """A placed among zeros: the adjoint of taking a block."""
    attrs = dict(node.attrs)
    before, total = attrs["start"], attrs["total"]
    have = node.args[0].shape[attrs["axis"]]
    assert isinstance(have, int)
    after = total - before - have if isinstance(total, int) else None
    zero = Text("0", "bold")
    parts = [zero] if before else []
    inner: list[Box] = [*parts, at.formula(node.args[0])]
    inner += [zero] if after is None or after else []
    across = (attrs["axis"] == 1) != at.columns
    cells = (tuple(inner),) if across else tuple((i,) for i in inner)
    return Grid(cells), ATOM


def _mask(at: Notation, node: Expr) -> Shown:
    stream = dict(node.attrs)["stream"]
    return Script(Text("M"), lower=number(stream + 1)), ATOM


_SPECIAL: dict[str, Callable[[Notation, Expr], Shown]] = {
    "add": _sum_of_two,
    "subtract": _sum_of_two,
    "negate": _negated,
    "multiply": _multiplied,
    "divide": _divided,
    "matmul": _product,
    "transpose": _transposed,
    "power": _power,
    "sum": _summed,
    "broadcast": _repeated,
    "row_max": _largest,
    "maximum": _choice,
    "minimum": _choice,
    "log": _logarithm,
    "step": _step,
    "relu": _function("ReLU"),
    "expm1": _expm1,
    "slice": _block,
    "place": _placed,
    "dropout_mask": _mask,
}
