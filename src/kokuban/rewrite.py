"""Simplification: a table of named rewrites, applied to a fixed point.

Each rewrite has a name and a reason, since each is a line in a derivation. A rewrite
keeps the value wherever the original has one; some make it finite in more places
(ln softmax without underflow). It either writes with fewer operations, or moves a sign
or a copy outward, or opens the way to one that does; so the table comes to an end, and
a circle in it is reported as the fault it would be. Products and sums are read at most
LONGEST parts at a time, so that the work grows with the size of the expression only.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import reduce
from typing import Any

from kokuban.errors import InternalError
from kokuban.expr import (
    Call,
    Expr,
    as_expr,
    constant,
    is_number,
    number,
    order,
    plain,
    rebuild,
    require,
    spread,
    substitute,
)
from kokuban.ops import (
    count,
    exp,
    expm1,
    logsumexp,
    softmax,
    softplus,
    sum,
)
from kokuban.shape import SCALAR, Shape

Rule = Callable[[Expr], Expr | None]

LONGEST = 12  # parts of a product, or terms of a sum, that are read at once
PENDING = 500  # rewrites that may wait for each other, above the size of the expression


@dataclass(frozen=True, slots=True)
class Rewrite:
    """One rewrite: its name, why it holds, the operations it looks at, and itself.

    `apply` returns the new expression, or None where it has nothing to say.
    """

    name: str
    reason: str
    operations: tuple[str, ...]
    apply: Rule


TABLE: list[Rewrite] = []
_by_operation: dict[str, list[Rewrite]] = {}


def _rewrite(name: str, reason: str, *operations: str) -> Callable[[Rule], Rule]:
    def enter(rule: Rule) -> Rule:
        entry = Rewrite(name, reason, operations, rule)
        TABLE.append(entry)
        for operation in operations:
            _by_operation.setdefault(operation, []).append(entry)
        return rule

    return enter


def simplify(expression: Expr) -> Expr:
    """The expression after every rewrite of the table, to a fixed point.

    Raises ExpressionError if `expression` is not one.
    """
    return simplify_all([expression])[0]


def simplify_all(
    expressions: Iterable[Expr], done: dict[Expr, Expr] | None = None
) -> list[Expr]:
    """Several expressions simplified together, their common parts once.

    `done` takes the simple form of each node, so that a later call with it need not find
    them again.
    """
    outputs = [require(e, "What is simplified") for e in expressions]
    done = {} if done is None else done
    for output in outputs:
        _settle(output, done)
    return [done[o] for o in outputs]


def rewritten(expression: Expr) -> list[tuple[Rewrite, Expr]]:
    """Each rewrite that `simplify` applies, in order, and the whole expression after it.

    The last of them is what `simplify` gives; where it rewrites nothing, the list is
    empty. Composites are opened first.
    """
    (whole,) = plain([expression])
    table = {entry.name: entry for entry in TABLE}
    said: list[tuple[str, Expr, Expr]] = []
    _settle(whole, {}, said)
    found = []
    for name, before, after in said:
        (changed,) = substitute([whole], {before: after})
        if changed is not whole:
            found.append((table[name], changed))
        whole = changed
    return found


def _settle(
    top: Expr,
    done: dict[Expr, Expr],
    said: list[tuple[str, Expr, Expr]] | None = None,
) -> None:
    """Enter the simple form of everything under `top` into `done`.

    Arguments come before what is made of them; a node that changes waits until what it
    was changed into is simple. A stack of its own, since expressions may be deep.
    """
    stack, waiting = [top], dict[Expr, tuple[Expr, str]]()
    most = PENDING + len(order([top], known=done))
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
        elif node in waiting:
            changed, _ = waiting[node]
            if changed not in done:
                raise _endless(waiting)
            del waiting[node]
            done[node] = done[changed]
        elif missing := [a for a in node.args if a not in done]:
            stack.extend(reversed(missing))
        else:
            changed, why = _changed(node, done)
            if changed is node:
                done[node] = node
            else:
                waiting[node] = changed, why
                if said is not None and why:
                    said.append((why, node, changed))
                stack.append(changed)
                if len(waiting) > most:
                    raise _endless(waiting)


def _changed(node: Expr, done: dict[Expr, Expr]) -> tuple[Expr, str]:
    """What the node becomes next, and by which rewrite; itself where it is simple."""
    if isinstance(node, Call):
        return done[node.args[0]], ""
    simple = rebuild(node, tuple(done[a] for a in node.args))
    if simple is not node or node.op is None:
        return simple, ""
    for rewrite in _by_operation.get(node.op.name, ()):
        new = rewrite.apply(node)
        if new is not None and new is not node:
            return new, rewrite.name
    return node, ""


def _endless(waiting: dict[Expr, tuple[Expr, str]]) -> InternalError:
    names = [name for _, name in list(waiting.values())[-16:] if name]
    return InternalError(
        f"Simplification goes in a circle, by: {', '.join(dict.fromkeys(names))}. "
        "Please report the expression; simplify=False does without."
    )


def _is(node: Expr, *names: str) -> bool:
    return node.op is not None and node.op.name in names


def _same(value: float, like: Expr) -> Expr:
    """The number `value` in every entry of the shape of `like`."""
    return spread(as_expr(value), like.shape)


def _scalar(node: Expr) -> Expr | None:
    """The 1×1 expression that a node repeats in every entry, if it does."""
    if node.shape == SCALAR:
        return node
    if _is(node, "broadcast") and node.args[0].shape == SCALAR:
        return node.args[0]
    return None


# ---------------------------------------------------------------- structure


@_rewrite("transpose twice", "rows become columns and rows again", "transpose")
def _transpose(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "transpose"):
        return a.args[0]
    if a.shape == SCALAR:
        return a
    scalar = _scalar(a)
    return None if scalar is None else spread(scalar, node.shape)


@_rewrite("transpose of a product", "(Aᵀ B)ᵀ = Bᵀ A", "transpose")
def _transpose_product(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "matmul") and _is(a.args[0], "transpose"):
        return a.args[1].T @ a.args[0].args[0]
    return None  # for others it would be a second product, of what is known already


@_rewrite("broadcast twice", "a copy of copies is a copy", "broadcast")
def _broadcast(node: Expr) -> Expr | None:
    (a,) = node.args
    return spread(a.args[0], node.shape) if _is(a, "broadcast") else None


@_rewrite("sum of copies", "n equal terms add to n times one of them", "sum")
def _sum_of_copies(node: Expr) -> Expr | None:
    (a,) = node.args
    if a.shape == node.shape:
        return a  # one term
    if not _is(a, "broadcast"):
        return None
    (x,) = a.args
    repeats = [s != t for s, t in zip(x.shape, a.shape, strict=True)]
    over = dict(node.attrs)["over"]
    along = {"rows": [0], "columns": [1], "all": [0, 1]}[over]
    if not all(repeats[axis] for axis in along):
        return None
    return spread(x * count(a, over), node.shape)


@_rewrite("sum of sums", "the order of adding does not matter", "sum")
def _sum_of_sums(node: Expr) -> Expr | None:
    (a,) = node.args
    return sum(a.args[0]) if _is(a, "sum") and node.shape == SCALAR else None


@_rewrite("block of a placed block", "what was put there is taken again", "slice")
def _slice_of_place(node: Expr) -> Expr | None:
    (a,), attrs = node.args, dict(node.attrs)
    axis, start, stop = attrs["axis"], attrs["start"], attrs["stop"]
    if start == 0 and stop == a.shape[axis]:
        return a
    if not _is(a, "place"):
        return None
    placed, (x,) = dict(a.attrs), a.args
    same = placed["axis"] == axis and placed["start"] == start
    return x if same and x.shape == node.shape else None


@_rewrite(
    "once for all copies",
    "what is the same in every row or column is worked out once, then copied",
    *("add", "subtract", "multiply", "divide", "negate", "power"),
    *("sqrt", "exp", "log", "maximum", "minimum"),
)
def _lift_copies(node: Expr) -> Expr | None:
    if not all(_is(a, "broadcast") for a in node.args):
        return None
    bare = [a.args[0] for a in node.args]
    varies = [any(b.shape[axis] != 1 for b in bare) for axis in (0, 1)]
    rows, columns = (n if v else 1 for n, v in zip(node.shape, varies, strict=True))
    inner = rebuild(node, tuple(spread(b, (rows, columns)) for b in bare))
    return spread(inner, node.shape)  # the node itself, if a row meets a column


@_rewrite("sign of a linear form", "(-A) B = -(A B)", "matmul", "sum", "transpose")
def _lift_sign(node: Expr) -> Expr | None:
    signs = [_is(a, "negate") for a in node.args]
    if not any(signs):
        return None
    bare = [a.args[0] if s else a for a, s in zip(node.args, signs, strict=True)]
    new = rebuild(node, tuple(bare))
    return new if all(signs) and len(signs) == 2 else -new


# ---------------------------------------------------------------- numbers

ARITHMETIC: dict[str, Callable[..., float | complex]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "negate": lambda a: -a,
    "power": lambda a, exponent: a**exponent,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "log": math.log,
}


@_rewrite("arithmetic", "numbers are worked out", *ARITHMETIC)
def _arithmetic(node: Expr) -> Expr | None:
    if not all(is_number(a) for a in node.args):
        return None
    assert node.op is not None
    values = [number(a) for a in node.args]
    if _is(node, "divide") and (ratio := _lowest_terms(*values)):
        above, below = (_same(v, node) for v in ratio)
        return above / below  # 4/6 becomes 2/3, and 2/3 stays itself
    try:
        value = ARITHMETIC[node.op.name](*values, **dict(node.attrs))
    except (ArithmeticError, ValueError):
        return None
    if isinstance(value, complex) or not math.isfinite(value):
        return None
    return _same(value, node)


@_rewrite("adding zero", "x + 0 = x", "add", "subtract")
def _zero(node: Expr) -> Expr | None:
    a, b = node.args
    if is_number(b, 0.0):
        return a
    if is_number(a, 0.0):
        return b if _is(node, "add") else -b
    return None


@_rewrite("a term minus itself", "x - x = 0", "subtract")
def _cancel(node: Expr) -> Expr | None:
    return _same(0.0, node) if node.args[0] is node.args[1] else None


@_rewrite("signs of a sum", "x - (-y) = x + y", "add", "subtract", "negate")
def _signs(node: Expr) -> Expr | None:
    if _is(node, "negate"):
        (a,) = node.args
        if _is(a, "subtract"):
            return a.args[1] - a.args[0]
        return a.args[0] if _is(a, "negate") else None
    a, b = node.args
    if (minus_b := _opposite(b)) is not None:
        return a - minus_b if _is(node, "add") else a + minus_b
    if _is(node, "add") and (minus_a := _opposite(a)) is not None:
        return b - minus_a
    return -(a.args[0] + b) if _is(a, "negate") and _is(node, "subtract") else None


def _opposite_copies(node: Expr) -> Expr | None:
    """x, if the node is copies of -x."""
    minus = _opposite(node.args[0]) if _is(node, "broadcast") else None
    return None if minus is None else spread(minus, node.shape)


def _opposite(node: Expr) -> Expr | None:
    """x, if the node is -x, copies of it, or a product with a negative number."""
    if _is(node, "negate"):
        return node.args[0]
    if not is_number(node) and not _is(node, "multiply", "divide"):
        return _opposite_copies(node)
    product = _product(node)
    if product.number >= 0 or not _usable(product.number):
        return None
    product.number = -product.number
    return product.written(node.shape)


@_rewrite("times one, times zero", "1·x = x and 0·x = 0", "multiply", "divide")
def _one(node: Expr) -> Expr | None:
    a, b = node.args
    if is_number(b, 1.0):
        return a
    if is_number(a, 0.0) or (is_number(b, 0.0) and _is(node, "multiply")):
        return _same(0.0, node)
    return b if _is(node, "multiply") and is_number(a, 1.0) else None


@_rewrite("nothing in, nothing out", "linear in a zero matrix", "matmul", "sum")
def _linear_in_zero(node: Expr) -> Expr | None:
    return _same(0.0, node) if any(is_number(a, 0.0) for a in node.args) else None


@_rewrite("simple powers", "x^1 = x and x^0 = 1", "power")
def _power(node: Expr) -> Expr | None:
    exponent = dict(node.attrs)["exponent"]
    if exponent == 1:
        return node.args[0]
    return _same(1.0, node) if exponent == 0 else None


# ---------------------------------------------------------------- products

Powers = dict[Expr, int]
Cost = tuple[int, int]  # operations on whole matrices, then on single numbers


def _exact(value: float) -> Fraction | float:
    """A number that people write as it is, such as 3 or 0.25, as a fraction."""
    plain = abs(value) < 2.0**53 and (value * 1024).is_integer()
    return Fraction(value) if plain else value


def _ratio(value: Fraction | float, bar: bool = False) -> tuple[float, float]:
    """A number as what stands above and below a fraction bar: 2/3 is (2, 3).

    Halves, quarters, … take a bar only where there is one anyway.
    """
    if isinstance(value, Fraction):
        above, below = value.numerator, value.denominator
        if (bar or below & (below - 1)) and max(abs(above), below) < 2**53:
            return float(above), float(below)
    return float(value), 1.0


def _lowest_terms(above: float, below: float) -> tuple[float, float] | None:
    """above/below in lowest terms where it takes a bar: not if whole or 0.5, 0.25, …"""
    a, b = _exact(above), _exact(below)
    if not isinstance(a, Fraction) or not isinstance(b, Fraction) or b == 0:
        return None
    ratio = _ratio(a / b)
    return None if ratio[1] == 1.0 else ratio


@dataclass(slots=True)
class Product:
    """A node read as number · scalars · factors, the latter two with whole powers."""

    number: Fraction | float = Fraction(1)
    scalars: Powers = field(default_factory=dict)
    factors: Powers = field(default_factory=dict)
    opened: set[Expr] = field(default_factory=set)  # the operations that were read

    def key(self) -> tuple[frozenset[tuple[Expr, int]], ...]:
        """What tells products apart but for their number."""
        return tuple(
            frozenset((b, k) for b, k in powers.items() if k)
            for powers in (self.scalars, self.factors)
        )

    def trivial(self) -> bool:
        """Whether it is just 1."""
        return self.number == 1 and not any(self.key())

    def times(self, other: Product) -> Product:
        """The product of two."""
        scalars, factors = dict(self.scalars), dict(self.factors)
        for mine, its in ((scalars, other.scalars), (factors, other.factors)):
            for base, k in its.items():
                mine[base] = mine.get(base, 0) + k
        return Product(self.number * other.number, scalars, factors)

    def _bar(self) -> tuple[list[Expr], list[Expr], bool]:
        """The scale: what is above and below its bar, and whether a minus goes first."""
        up, down = _powers(self.scalars, 1), _powers(self.scalars, -1)
        above, below = _ratio(self.number, bool(down))
        bottom = down if below == 1 else [constant(below), *down]
        if up and abs(above) == 1:
            return up, bottom, above < 0
        return [constant(above), *up], bottom, False

    def _style(self) -> str:
        """Where the scale is written: nowhere, as 1/n behind, or as a factor in front."""
        top, bottom, _ = self._bar()
        if len(top) > 1 or not is_number(top[0]) or abs(number(top[0])) != 1:
            return "front"
        return "none" if not bottom else "behind" if self.number > 0 else "front"

    def cost(self, shape: Shape) -> Cost:
        """The operations that `written` takes."""
        top, bottom, minus = self._bar()
        scale = len(top) + len(bottom) - 1 + minus
        times, over = len(_powers(self.factors, 1)), len(_powers(self.factors, -1))
        if shape == SCALAR:
            return scale, 0
        if not times:
            return over, scale
        if self._style() == "none":
            return times - 1 + over + (self.number < 0), 0
        return times + over, len(bottom) - 1 if self._style() == "behind" else scale

    def written(self, shape: Shape) -> Expr:
        """The product as an expression: s A B / C, s its number and scalars."""
        times, over = _powers(self.factors, 1), _powers(self.factors, -1)
        top, bottom, minus = self._bar()
        style = self._style() if times else "front"
        if style == "front":
            scale = _multiplied(top) / _multiplied(bottom) if bottom else _multiplied(top)
            times.insert(0, spread(-scale if minus else scale, shape))
        elif style == "behind":
            over.append(spread(_multiplied(bottom), shape))
        result = _multiplied(times)
        for factor in over:
            result = result / factor
        return -result if style == "none" and self.number < 0 else result

    def split(self) -> tuple[Product, Product]:
        """What scales all entries, or those of a row or column alike, and the rest."""
        copies = {b: k for b, k in self.factors.items() if _is(b, "broadcast")}
        rest = {b: k for b, k in self.factors.items() if b not in copies}
        sign = Fraction(1 if self.number > 0 else -1)
        scale = Product(self.number * sign, self.scalars, copies)
        return scale, Product(sign, factors=rest)


def _powers(powers: Powers, sign: int) -> list[Expr]:
    """The bases whose power has the sign, each as often as its power says."""
    return [base for base, power in powers.items() for _ in range(power * sign)]


def _multiplied(parts: Sequence[Expr]) -> Expr:
    result, *others = parts
    for part in others:
        result = result * part
    return result


def _product(node: Expr) -> Product:
    """Read a node as a product, through signs, quotients and copied numbers."""
    product = Product()
    stack, read = [(node, 1)], 1
    while stack:
        part, sign = stack.pop()
        scalar = _scalar(part)
        inner = part if scalar is None else scalar
        name = "" if inner.op is None else inner.op.name
        if not name and is_number(inner) and (sign > 0 or number(inner) != 0):
            value = _exact(number(inner))
            product.number = (
                product.number * value if sign > 0 else product.number / value
            )
        elif name in ("multiply", "divide") and read < LONGEST:
            a, b = inner.args
            stack += [(b, sign if name == "multiply" else -sign), (a, sign)]
            product.opened.add(inner)
            read += 1
        elif name == "negate":
            stack.append((inner.args[0], sign))
            product.number = -product.number
            product.opened.add(inner)
        elif read < LONGEST and (minus := _opposite_copies(part)) is not None:
            stack.append((minus, sign))
            product.number = -product.number
            read += 1
        elif scalar is None:
            product.factors[part] = product.factors.get(part, 0) + sign
        else:
            product.scalars[scalar] = product.scalars.get(scalar, 0) + sign
    return product


def _cost(operations: Iterable[Expr], shape: Shape) -> Cost:
    """How many of the operations work on matrices of the shape, and how many do not."""
    shapes = [o.shape for o in operations]
    whole = shapes.count(shape)
    return whole, len(shapes) - whole


def _usable(value: Fraction | float) -> bool:
    return value != 0 and math.isfinite(value)


@_rewrite("cancel and collect factors", "x·y / x = y", "multiply", "divide", "negate")
def _collect_factors(node: Expr) -> Expr | None:
    product = _product(node)
    powers = (*product.scalars.values(), *product.factors.values())
    if len(product.opened) == 1 and all(powers):
        return None  # one operation, in which nothing cancels
    if not _usable(product.number):
        return None
    cheaper = product.cost(node.shape) < _cost(product.opened, node.shape)
    return product.written(node.shape) if cheaper else None


@_rewrite("signs of a product", "x (-y) = -(x y)", "multiply", "divide")
def _signs_of_product(node: Expr) -> Expr | None:
    signs = [_is(a, "negate") for a in node.args]
    if not any(signs):
        return None
    new = rebuild(
        node,
        tuple(a.args[0] if s else a for a, s in zip(node.args, signs, strict=True)),
    )
    return new if all(signs) else -new


# ---------------------------------------------------------------- sums

Term = tuple[int, Expr]  # what is added (positive) or subtracted (negative)


def _terms(node: Expr) -> list[Term]:
    """A node read as a sum."""
    terms, at = [(1, node)], 0
    while at < len(terms):
        sign, part = terms[at]
        if _is(part, "negate"):
            terms[at] = -sign, part.args[0]
        elif _is(part, "add", "subtract") and len(terms) < LONGEST:
            a, b = part.args
            terms[at : at + 1] = [(sign, a), (sign if _is(part, "add") else -sign, b)]
        else:
            at += 1
    return terms


def _written_sum(terms: Sequence[Term], shape: Shape) -> Expr:
    """Terms with their signs as one sum, a positive one first where there is one."""
    result: Expr | None = None
    for sign, part in sorted(terms, key=lambda item: item[0] < 0):
        if result is None:
            result = part if sign > 0 else -part
        else:
            result = result + part if sign > 0 else result - part
    return spread(as_expr(0.0), shape) if result is None else result


@_rewrite("collect terms", "2x + 3x = 5x", "add", "subtract")
def _collect_terms(node: Expr) -> Expr | None:
    if node.args[0] is node.args[1]:
        return 2 * node.args[0]  # x - x has become 0 already
    groups: dict[object, list[tuple[int, Expr, Product]]] = {}
    terms = _terms(node)
    for sign, part in terms:
        product = _product(part)
        groups.setdefault(product.key(), []).append((sign, part, product))
    if len(groups) == len(terms):
        return None
    written: list[Term] = []
    for same in groups.values():
        _, part, product = same[0]
        if all(p is part for _, p, _ in same):  # kept as it is: it may be shared
            times = _added(s for s, _, _ in same)
            if times:
                written.append((times, part if abs(times) == 1 else abs(times) * part))
            continue
        weight = _added(s * p.number for s, _, p in same)
        if not math.isfinite(weight):
            return None
        if weight:
            one = Product(abs(weight), product.scalars, product.factors)
            written.append((1 if weight > 0 else -1, one.written(node.shape)))
    return _written_sum(written, node.shape)


@_rewrite("multiply out where it cancels", "y (t/y + s) = t + y s", "multiply", "divide")
def _distribute(node: Expr) -> Expr | None:
    product = _product(node)
    for base, power in product.factors.items():
        if power != 1 or not _is(base, "add", "subtract"):
            continue
        rest = product.times(Product(factors={base: -1}))
        terms = [(sign, _product(part)) for sign, part in _terms(base)]
        if not any(_cancels(p, rest) for _, p in terms):
            continue
        out = [(sign, p.times(rest)) for sign, p in terms]
        if not all(_usable(p.number) for _, p in out):
            continue
        before = _cost(product.opened.union(*(p.opened for _, p in terms)), node.shape)
        costs = [p.cost(node.shape) for _, p in out]
        if (_added(w for w, _ in costs), _added(s for _, s in costs)) < before:
            return _written_sum([(s, p.written(node.shape)) for s, p in out], node.shape)
    return None


def _cancels(a: Product, b: Product) -> bool:
    return any(k * b.factors.get(base, 0) < 0 for base, k in a.factors.items())


def _added(numbers: Iterable[Any]) -> Any:
    return reduce(operator.add, numbers, 0)


@_rewrite("a common scale", "a/n + b/n = (a + b)/n", "add", "subtract")
def _common_scale(node: Expr) -> Expr | None:
    (scale, a), (other, b) = (_product(x).split() for x in node.args)
    same = scale.number == other.number and scale.key() == other.key()
    if not same or not _usable(scale.number) or scale.trivial():
        return None
    if not (_powers(a.factors, 1) and _powers(b.factors, 1)):
        return None
    signs = [1, 1 if _is(node, "add") else -1]
    terms = [
        (s if p.number > 0 else -s, Product(factors=p.factors).written(node.shape))
        for s, p in zip(signs, (a, b), strict=True)
    ]
    inside = _written_sum(terms, node.shape)
    return scale.times(Product(factors={inside: 1})).written(node.shape)


def _complement(node: Expr) -> Expr | None:
    """x, if the node is 1 - x."""
    if _is(node, "subtract") and is_number(node.args[0], 1.0):
        return node.args[1]
    return None


@_rewrite("a product's two complements", "y(1 - t) - t(1 - y) = y - t", "subtract")
def _complements(node: Expr) -> Expr | None:
    left, right = node.args
    if not (_is(left, "multiply") and _is(right, "multiply")):
        return None
    for one_minus_t, y in (left.args, left.args[::-1]):
        for t, one_minus_y in (right.args, right.args[::-1]):
            if _complement(one_minus_t) is t and _complement(one_minus_y) is y:
                return y - t
    return None


# ---------------------------------------------------------------- stable forms


def _log_of_softmax(u: Expr) -> Expr:
    return u - logsumexp(u)


@_rewrite("log of softmax", "ln(eᵘ/Σeᵘ) = u - ln Σeᵘ, which does not underflow", "log")
def _log_softmax(node: Expr) -> Expr | None:
    (a,) = node.args
    return _log_of_softmax(a.args[0]) if _is(a, "softmax") else None


@_rewrite("log of sigmoid", "ln σ(u) = -ln(1 + e⁻ᵘ), ln(1 - σ(u)) = -ln(1 + eᵘ)", "log")
def _log_sigmoid(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "sigmoid"):
        return -softplus(-a.args[0])
    inner = _complement(a)
    if inner is not None and _is(inner, "sigmoid"):
        return -softplus(inner.args[0])
    return None


@_rewrite("log of exp", "ln eˣ = x", "log")
def _log_exp(node: Expr) -> Expr | None:
    (a,) = node.args
    return a.args[0] if _is(a, "exp") else None


@_rewrite("log of 1 + exp", "ln(1 + eˣ) without overflow", "log")
def _log_1p_exp(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "add"):
        for one, e in (a.args, a.args[::-1]):
            if is_number(one, 1.0) and _is(e, "exp"):
                return softplus(e.args[0])
    return None


@_rewrite("log of a sum of exp", "the largest term is taken out first", "log")
def _log_sum_exp(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "sum") and dict(a.attrs)["over"] == "columns" and _is(a.args[0], "exp"):
        return logsumexp(a.args[0].args[0])
    return None


@_rewrite("exp over its row's sum", "a shift leaves softmax unchanged", "divide")
def _softmax(node: Expr) -> Expr | None:
    e, total = node.args
    if not _is(e, "exp") or not _is(total, "broadcast"):
        return None
    return softmax(e.args[0]) if total.args[0] is sum(e, over="columns") else None


@_rewrite("exp of log-softmax", "e^(u - ln Σeᵘ) = eᵘ/Σeᵘ", "exp")
def _exp_log_softmax(node: Expr) -> Expr | None:
    (a,) = node.args
    if not _is(a, "subtract"):
        return None
    u = a.args[0]
    return softmax(u) if a is _log_of_softmax(u) else None


@_rewrite("exp minus one", "eˣ - 1 without cancellation", "subtract")
def _expm1(node: Expr) -> Expr | None:
    a, b = node.args
    return expm1(a.args[0]) if _is(a, "exp") and is_number(b, 1.0) else None


@_rewrite("exp minus one plus one", "(eˣ - 1) + 1 = eˣ", "add")
def _exp_again(node: Expr) -> Expr | None:
    a, b = node.args
    return exp(a.args[0]) if _is(a, "expm1") and is_number(b, 1.0) else None


@_rewrite(
    "rows that sum to 1", "each row of softmax, and of the targets, sums to 1", "sum"
)
def _row_of_ones(node: Expr) -> Expr | None:
    if dict(node.attrs)["over"] != "columns":
        return None
    product = _product(node.args[0])
    rows = [f for f in product.factors if _is(f, "softmax", "distribution")]
    if len(rows) != 1 or product.factors[rows[0]] != 1:
        return None
    scale = {f: k for f, k in product.factors.items() if f is not rows[0]}
    if not all(_is(f, "broadcast") and f.args[0].shape == node.shape for f in scale):
        return None  # they must not vary along the row
    columns = {f.args[0]: k for f, k in scale.items()}
    return Product(product.number, product.scalars, columns).written(node.shape)
