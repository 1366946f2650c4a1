"""Simplification: a table of named rewrites, applied to a fixed point.

Each rewrite has a name and a reason, since each is a line in a derivation. A rewrite
keeps the value wherever the original has one; some make it finite in more places
(ln softmax without underflow). The scalar algebra works on two readings of a node:
as a product, number · scalars · factors, and as a sum of such products. It rewrites
only where the result is smaller, so that shared parts stay shared.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import reduce
from operator import mul, truediv

from kokuban.expr import (
    Expr,
    as_expr,
    composite_of,
    is_number,
    note_composite,
    number,
    order,
    rebuild,
    spread,
)
from kokuban.ops import (
    COMPOSITES,
    count,
    exp,
    expm1,
    log_softmax,
    logsumexp,
    softmax,
    softplus,
    sum,
)
from kokuban.shape import SCALAR

Rule = Callable[[Expr], Expr | None]


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
    """The expression after every rewrite of the table, to a fixed point."""
    return simplify_all([expression])[0]


def simplify_all(expressions: Iterable[Expr]) -> list[Expr]:
    """Several expressions simplified together, their common parts once."""
    outputs = list(expressions)
    done: dict[Expr, Expr] = {}
    for node in outputs:
        _settle(node, done)
    return [done[o] for o in outputs]


def _settle(top: Expr, done: dict[Expr, Expr]) -> Expr:
    """Simplify everything under `top` that `done` does not have yet."""
    for node in order([top], known=done):
        done[node] = _rewritten(rebuild(node, tuple(done[a] for a in node.args)), done)
        _keep_name(node, done)
    return done[top]


def _rewritten(node: Expr, done: dict[Expr, Expr]) -> Expr:
    """The first rewrite that applies to a node whose arguments are simple already."""
    if node in done:
        return done[node]
    if node.op is not None:
        for rewrite in _by_operation.get(node.op.name, ()):
            new = rewrite.apply(node)
            if new is not None and new is not node:
                done[node] = _settle(new, done)
                return done[node]
    done[node] = node
    return node


def _keep_name(node: Expr, done: dict[Expr, Expr]) -> None:
    """A composite whose arguments were simplified can still be written by its name."""
    known = composite_of(node)
    if known is not None and done[node] is not node and composite_of(done[node]) is None:
        name, args, attrs = known
        if all(a in done for a in args):
            new_args = tuple(done[a] for a in args)
            if done[node] is COMPOSITES[name](*new_args, **dict(attrs)):
                note_composite(done[node], name, new_args, dict(attrs))


def _is(node: Expr, name: str) -> bool:
    return node.op is not None and node.op.name == name


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


@_rewrite("transpose of a product", "(A B)ᵀ = Bᵀ Aᵀ", "transpose")
def _transpose_product(node: Expr) -> Expr | None:
    (a,) = node.args
    if _is(a, "matmul"):
        return a.args[1].T @ a.args[0].T
    return -(a.args[0].T) if _is(a, "negate") else None


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
    "one number for every entry",
    "what is the same in every entry is worked out once, then copied",
    *("add", "subtract", "multiply", "divide", "negate", "power"),
    *("sqrt", "exp", "log", "maximum", "minimum"),
)
def _lift_scalar(node: Expr) -> Expr | None:
    scalars = [_scalar(a) for a in node.args]
    if node.shape == SCALAR or any(s is None for s in scalars):
        return None
    return spread(rebuild(node, tuple(s for s in scalars if s is not None)), node.shape)


@_rewrite("sign of a linear form", "(-A) B = -(A B)", "matmul", "sum")
def _lift_sign(node: Expr) -> Expr | None:
    signs = [_is(a, "negate") for a in node.args]
    if not any(signs):
        return None
    bare = [a.args[0] if s else a for a, s in zip(node.args, signs, strict=True)]
    new = rebuild(node, tuple(bare))
    return new if all(signs) and len(signs) == 2 else -new


# ---------------------------------------------------------------- numbers

ARITHMETIC: dict[str, Callable[..., float]] = {
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
    try:
        value = ARITHMETIC[node.op.name](
            *(number(a) for a in node.args), **dict(node.attrs)
        )
    except (ArithmeticError, ValueError):
        return None
    usable = isinstance(value, float) and math.isfinite(value)
    return _same(value, node) if usable else None


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
        if _is(a, "negate"):
            return a.args[0]
        return a.args[1] - a.args[0] if _is(a, "subtract") else None
    a, b = node.args
    if _is(b, "negate"):
        return a - b.args[0] if _is(node, "add") else a + b.args[0]
    if _is(a, "negate") and _is(node, "add"):
        return b - a.args[0]
    return None


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


# ---------------------------------------------------------------- products and sums


@dataclass(slots=True)
class Product:
    """A node read as number · scalars · factors, each with its exponent (1 or -1, …)."""

    number: float = 1.0
    scalars: dict[Expr, int] = field(default_factory=dict)
    factors: dict[Expr, int] = field(default_factory=dict)
    parts: int = 0  # how many parts were written

    def take(self, node: Expr, sign: int) -> None:
        """Read `node`, to the power `sign`, into this product."""
        name = node.op.name if node.op is not None else ""
        if is_number(node) and (sign > 0 or number(node) != 0):
            self.number *= number(node) ** sign
            self.parts += 1
        elif name == "negate":
            self.number = -self.number
            self.parts += 1
            self.take(node.args[0], sign)
        elif name in ("multiply", "divide"):
            self.take(node.args[0], sign)
            self.take(node.args[1], sign if name == "multiply" else -sign)
        else:
            scalar = _scalar(node)
            if scalar is not None and _is_product(scalar):
                self.take(scalar, sign)
                return
            into, key = (
                (self.factors, node) if scalar is None else (self.scalars, scalar)
            )
            into[key] = into.get(key, 0) + sign
            self.parts += 1

    def size(self) -> int:
        """How many parts the product is written with."""
        powers = [abs(k) for k in (*self.scalars.values(), *self.factors.values())]
        number_parts = (abs(self.number) != 1.0) + (self.number < 0)
        return number_parts + _total(powers)

    def scale(self) -> tuple[float, tuple[tuple[Expr, int], ...]]:
        """What multiplies the factors, without its sign."""
        kept = [(s, k) for s, k in self.scalars.items() if k]
        return abs(self.number), tuple(sorted(kept, key=lambda item: repr(item[0])))

    def written(self, like: Expr, scaled: bool = True) -> Expr:
        """The product as an expression of the shape of `like`: (c s / t) A B / C.

        The numbers come together, so that they cost one pass over the matrices; a mere
        divisor stays one, as in (Y - T) / N.
        """
        above = [b for b, k in self.scalars.items() for _ in range(k) if scaled]
        below = [b for b, k in self.scalars.items() for _ in range(-k) if scaled]
        if scaled and abs(self.number) != 1.0:
            above.insert(0, as_expr(abs(self.number)))
        top = [b for b, k in self.factors.items() for _ in range(k)]
        bottom = [b for b, k in self.factors.items() for _ in range(-k)]
        if above or not (top or bottom):
            scale = spread(_fraction(above, below), like.shape)
            top, below = [scale, *top] if above or below or not top else top, []
        result = _fraction(top, [*bottom, *(spread(b, like.shape) for b in below)], like)
        return -result if scaled and self.number < 0 else result


def _fraction(
    above: Sequence[Expr], below: Sequence[Expr], like: Expr | None = None
) -> Expr:
    """The product of some expressions over the product of others."""
    one = as_expr(1.0) if like is None else _same(1.0, like)
    result = reduce(mul, above) if above else one
    return reduce(truediv, below, result)


def _total(numbers: Iterable[int]) -> int:
    total = 0
    for n in numbers:
        total += n
    return total


def _product(node: Expr) -> Product:
    result = Product()
    result.take(node, 1)
    return result


@_rewrite("cancel and collect factors", "x·y / x = y", "multiply", "divide", "negate")
def _collect_factors(node: Expr) -> Expr | None:
    product = _product(node)
    if product.number == 0.0 or not math.isfinite(product.number):
        return None
    smaller = product.size() < product.parts
    inner_sign = product.number < 0 and not _is(node, "negate")
    return product.written(node) if smaller or inner_sign else None


def _is_product(node: Expr) -> bool:
    return any(_is(node, name) for name in ("multiply", "divide", "negate"))


def _terms(node: Expr, sign: float = 1.0) -> Iterator[tuple[float, Expr]]:
    """A node read as a sum: (1 or -1, term)."""
    if _is(node, "add") or _is(node, "subtract"):
        yield from _terms(node.args[0], sign)
        yield from _terms(node.args[1], sign if _is(node, "add") else -sign)
    elif _is(node, "negate"):
        yield from _terms(node.args[0], -sign)
    else:
        yield sign, node


def _written_sum(terms: Sequence[tuple[float, Expr]], like: Expr) -> Expr:
    """Terms with their signs as one sum, a positive one first where there is one."""
    result: Expr | None = None
    for sign, part in sorted(terms, key=lambda item: item[0] < 0):
        if result is None:
            result = part if sign > 0 else -part
        else:
            result = result + part if sign > 0 else result - part
    return _same(0.0, like) if result is None else result


@_rewrite("collect terms", "2x + 3x = 5x", "add", "subtract")
def _collect_terms(node: Expr) -> Expr | None:
    terms = [(sign, _product(part)) for sign, part in _terms(node)]
    sums: dict[Expr, float] = {}
    for sign, product in terms:
        weight = sign * product.number
        product.number = 1.0
        core = product.written(node)
        sums[core] = sums.get(core, 0.0) + weight
    if len(sums) == len(terms):
        return None
    written = [
        (math.copysign(1.0, w), core if abs(w) == 1 else abs(w) * core)
        for core, w in sums.items()
        if w
    ]
    return _written_sum(written, node)


@_rewrite(
    "multiply out where it cancels", "y (t/y + s) = t + y s", "multiply", "divide", "negate"
)
def _distribute(node: Expr) -> Expr | None:
    product = _product(node)
    have = {base for base, k in product.factors.items() if k > 0}
    for base, power in product.factors.items():
        if power != 1 or not (_is(base, "add") or _is(base, "subtract")):
            continue
        parts = [(sign, _product(part)) for sign, part in _terms(base)]
        if not any(k < 0 and b in have for _, p in parts for b, k in p.factors.items()):
            continue
        rest = Product(
            product.number, product.scalars, {**product.factors, base: 0}
        ).written(node)
        return _written_sum([(s, rest * p.written(node)) for s, p in parts], node)
    return None


@_rewrite("a common scale", "a/n + b/n = (a + b)/n", "add", "subtract")
def _common_scale(node: Expr) -> Expr | None:
    left, right = (_product(a) for a in node.args)
    scale = left.scale()
    if scale != right.scale() or scale == (1.0, ()):
        return None
    if not (left.factors and right.factors):
        return None
    signs = [math.copysign(1.0, left.number), math.copysign(1.0, right.number)]
    if _is(node, "subtract"):
        signs[1] = -signs[1]
    bare = [p.written(node, scaled=False) for p in (left, right)]
    inside = _written_sum(list(zip(signs, bare, strict=True)), node)
    return Product(scale[0], dict(scale[1]), {inside: 1}).written(node)


def _complement(node: Expr) -> Expr | None:
    """x, if the node is 1 - x."""
    if _is(node, "subtract") and is_number(node.args[0], 1.0):
        return node.args[1]
    return None


@_rewrite("a product's two complements", "y(1 - t) - t(1 - y) = y - t", "subtract")
def _complements(node: Expr) -> Expr | None:
    left, right = (_product(a) for a in node.args)
    if left.number != 1.0 or right.number != 1.0 or left.scalars or right.scalars:
        return None
    if len(left.factors) != 2 or len(right.factors) != 2:
        return None
    for one_minus_t, y in (tuple(left.factors), tuple(left.factors)[::-1]):
        t = _complement(one_minus_t)
        others = [b for b in right.factors if b is not t]
        if t in right.factors and len(others) == 1 and _complement(others[0]) is y:
            return y - t
    return None


# ---------------------------------------------------------------- stable forms


@_rewrite("log of softmax", "ln(eᵘ/Σeᵘ) = u - ln Σeᵘ, which does not underflow", "log")
def _log_softmax(node: Expr) -> Expr | None:
    (a,) = node.args
    return log_softmax(a.args[0]) if _is(a, "softmax") else None


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
    u = a.args[0] if a.args else a
    return softmax(u) if _is(a, "subtract") and a is log_softmax(u) else None


@_rewrite("exp minus one", "eˣ - 1 without cancellation", "subtract")
def _expm1(node: Expr) -> Expr | None:
    a, b = node.args
    return expm1(a.args[0]) if _is(a, "exp") and is_number(b, 1.0) else None


@_rewrite("exp minus one plus one", "(eˣ - 1) + 1 = eˣ", "add")
def _exp_again(node: Expr) -> Expr | None:
    a, b = node.args
    return exp(a.args[0]) if _is(a, "expm1") and is_number(b, 1.0) else None


@_rewrite("rows that sum to 1", "each row of softmax, and of the targets, sums to 1", "sum")
def _row_of_ones(node: Expr) -> Expr | None:
    if dict(node.attrs)["over"] != "columns":
        return None
    product = _product(node.args[0])
    factors = [b for b, k in product.factors.items() if k]
    if len(factors) != 1 or product.factors[factors[0]] != 1:
        return None
    if not (_is(factors[0], "softmax") or _is(factors[0], "distribution")):
        return None
    return Product(product.number, product.scalars).written(node)
