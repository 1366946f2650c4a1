"""A formula with one thing wrong in it: a term, a factor, a sign, an order, a letter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

from kokuban.errors import KokubanError
from kokuban.expr import (
    Expr,
    Size,
    apply,
    is_number,
    order,
    plain,
    rebuild,
    substitute,
    symbols,
    uses,
    written,
)
from kokuban.gradcheck.mistakes import counts
from kokuban.gradcheck.sweep import FUNCTIONS
from kokuban.ops.reduction import OVER

SWAPPED = ("sigmoid", "tanh", "relu", "softplus")  # functions taken for one another

Build = Callable[[], Expr]
Local = tuple[str, Build, str, str]  # name, the new part, English, Japanese


@dataclass(frozen=True, slots=True)
class Changed:
    """A formula with one thing changed: the mistake's name, and what it is, in words."""

    value: Expr
    name: str
    en: str
    ja: str


def changed(formula: Expr) -> Iterator[Changed]:
    """The formula with one part of it wrong, the outermost parts first."""
    (whole,) = plain([formula])
    for node in reversed(order([whole])):
        if node.op is None:
            continue
        for name, build, en, ja in _parts(node):
            try:
                (value,) = substitute([whole], {node: build()})
            except KokubanError:  # it does not fit there
                continue
            yield Changed(value, name, en, ja)
    yield from _letters(whole)


def _parts(node: Expr) -> Iterator[Local]:
    """What may wrongly stand in the place of a node."""
    assert node.op is not None
    kind = node.op.name
    if kind in ("add", "subtract"):
        yield from _sums(node)
    elif kind in ("matmul", "multiply", "divide"):
        yield from _products(node)
    elif kind in FUNCTIONS:
        yield from _functions(node)
    elif kind in ("negate", "transpose", "softmax", "sum"):
        yield from _single(node)


def _said(node: Expr) -> str:
    return written(node, 4, 60)


def _sums(node: Expr) -> Iterator[Local]:
    a, b = node.args
    minus = node.op is not None and node.op.name == "subtract"
    for kept, lost in ((a, b), (-b if minus else b, a)):
        yield (
            "term-forgotten",
            lambda kept=kept: kept,  # type: ignore[misc]
            f"the term {_said(lost)} is forgotten.",
            f"項 {_said(lost)} が抜けている。",
        )
    for build in (
        lambda: a + b if minus else a - b,
        lambda: b - a if minus else -a + b,
        lambda: -a - b,
    ):
        yield (
            "sign",
            build,
            f"a sign in {_said(node)} is wrong.",
            f"{_said(node)} の中の符号が逆である。",
        )
    for part, rest in ((a, b), (b, a)):
        yield from _brackets(node, part, rest, minus, part is a)


def _brackets(
    node: Expr, part: Expr, rest: Expr, minus: bool, first: bool
) -> Iterator[Local]:
    """a b - c read as a (b - c)."""
    if part.op is None or part.op.name not in ("multiply", "divide", "matmul"):
        return
    name = part.op.name
    a, b = part.args
    joined = "subtract" if minus else "add"

    def build(left: bool) -> Expr:
        inner = a if left else b
        both = (inner, rest) if first else (rest, inner)
        total = apply(joined, *both)
        return apply(name, total, b) if left else apply(name, a, total)

    for left in (False, True):
        yield (
            "brackets",
            partial(build, left),
            f"the factor {_said(b if left else a)} belongs to one term only.",
            f"因子 {_said(b if left else a)} は一つの項だけに掛かる。",
        )


def _products(node: Expr) -> Iterator[Local]:
    assert node.op is not None
    (a, b), kind = node.args, node.op.name
    for kept, lost in ((a, b), (b, a)):
        if kind == "divide" and lost is a:
            continue
        name = "batch-mean" if counts(lost) else "factor-forgotten"
        yield (
            name,
            lambda kept=kept: kept,  # type: ignore[misc]
            f"the factor {_said(lost)} is forgotten.",
            f"因子 {_said(lost)} が抜けている。",
        )
    if kind == "divide":
        yield (
            "factor",
            lambda: a * b,
            f"it is multiplied by {_said(b)}, where it is divided.",
            f"{_said(b)} で割るところを掛けている。",
        )
        return
    if kind == "multiply":
        for one in (a, b):
            if not is_number(one):
                yield (
                    "factor-twice",
                    lambda one=one: node * one,  # type: ignore[misc]
                    f"the factor {_said(one)} is multiplied in twice.",
                    f"因子 {_said(one)} を二度掛けている。",
                )
        return
    wrong = "the factors of {} are in the wrong order.", "{} の積の順序が逆である。"
    plain_ = "{} is transposed where it should not be, or not where it should."
    turned = plain_, "{} の転置が余計か、抜けている。"
    for name, build, (en, ja), what in (
        ("order", lambda: b @ a, wrong, node),
        ("order", lambda: b.T @ a.T, wrong, node),
        ("transposed", lambda: a.T @ b, turned, a),
        ("transposed", lambda: a @ b.T, turned, b),
        ("order", lambda: b.T @ a, wrong, node),
        ("order", lambda: b @ a.T, wrong, node),
        (
            "entrywise",
            lambda: a * b,
            ("{} is taken entry by entry.", "{} を要素積にしている。"),
            node,
        ),
    ):
        yield name, build, en.format(_said(what)), ja.format(_said(what))


def _functions(node: Expr) -> Iterator[Local]:
    assert node.op is not None
    (x,), kind = node.args, node.op.name
    word, ja_word = ("the power", "指数") if kind == "power" else (kind, f" {kind} ")
    en, ja = (
        f"{word} is forgotten in {_said(node)}.",
        f"{_said(node)} の{ja_word}がない。",
    )
    yield ("exponent" if kind == "power" else "function-forgotten"), lambda: x, en, ja
    yield (
        "function-twice",
        lambda: rebuild(node, (node,)),
        f"{kind} is applied twice in {_said(node)}.",
        f"{_said(node)} で {kind} を二度使っている。",
    )
    for other in SWAPPED if kind in SWAPPED else ():
        if other != kind:
            attrs = {"at_zero": 0.0} if other == "relu" else {}
            yield (
                "function-other",
                partial(apply, other, x, **attrs),
                f"{other} stands in place of {kind}.",
                f"{kind} の代わりに {other} がある。",
            )


def _single(node: Expr) -> Iterator[Local]:
    assert node.op is not None
    (x,), kind = node.args, node.op.name
    if kind == "negate":
        yield (
            "sign",
            lambda: x,
            f"the minus sign of {_said(node)} is missing.",
            f"{_said(node)} の負号が抜けている。",
        )
    elif kind == "transpose":
        yield (
            "transposed",
            lambda: x,
            f"{_said(x)} is not transposed.",
            f"{_said(x)} を転置していない。",
        )
    elif kind == "softmax":
        yield (
            "function-forgotten",
            lambda: x,
            f"softmax is forgotten in {_said(node)}.",
            f"{_said(node)} の softmax がない。",
        )
    else:
        yield (
            "sum-forgotten",
            lambda: x,
            f"the sum in {_said(node)} is not taken.",
            f"{_said(node)} の和を取っていない。",
        )
        for over in OVER:
            yield (
                "sum-axis",
                partial(apply, "sum", x, over=over),
                f"the sum in {_said(node)} runs over the wrong axis.",
                f"{_said(node)} の和の向きが違う。",
            )


def _letters(whole: Expr) -> Iterator[Changed]:
    """One symbol written for another of its shape, in one place."""
    letters = symbols([whole])
    for user, place, used in uses([whole]):
        if used.op is not None or isinstance(used, Size) or used not in letters:
            continue
        for letter in letters:
            if letter is used or letter.shape != used.shape:
                continue
            args = (*user.args[:place], letter, *user.args[place + 1 :])
            try:
                (value,) = substitute([whole], {user: rebuild(user, args)})
            except KokubanError:
                continue
            yield Changed(
                value,
                "wrong-letter",
                f"{letter.name} stands where {used} belongs.",
                f"{used} であるべきところが {letter.name} になっている。",
            )
