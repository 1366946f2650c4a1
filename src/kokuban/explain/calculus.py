"""The index calculus: differentiate an index form, let the deltas pick, fold back.

A formula in entries is kept as a sum of monomials: a number, indices summed over, and
factors with whole powers. Sums, the product rule and the chain rule are applied to index
forms; a delta under a sum picks its term; folding.py reads what is left as matrices.
Nothing here knows a rule of the operations' records.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count

from kokuban.entry import (
    Call,
    Delta,
    Entry,
    Index,
    Largest,
    Matrix,
    Number,
    Sum,
    Term,
    term,
)
from kokuban.errors import ExpressionError
from kokuban.expr import (
    Const,
    Expr,
    Size,
    Symbol,
    order,
    plain,
    rebuild,
)
from kokuban.shape import SCALAR, Dim

Place = Index | int
Factor = tuple[Term, int]


def leaf_name(node: Expr) -> str:
    """The name by which a leaf's entries are called."""
    if isinstance(node, Symbol):
        return node.name
    return node.dim if isinstance(node, Size) else repr(node)


def _only(dim: Dim, place: Place) -> Place:
    return 0 if dim == 1 else place


@dataclass(frozen=True, slots=True)
class Monomial:
    """number · Σ over the sums of the factors to their powers."""

    number: float = 1.0
    sums: tuple[Index, ...] = ()
    factors: tuple[Factor, ...] = ()


Polynomial = list[Monomial]


class Unfoldable(ExpressionError):
    """A formula in entries that the calculus cannot take, or that is no matrix."""


# ---------------------------------------------------------------- normal form


class Calculus:
    """One calculation, with fresh names for the indices that are summed over."""

    def __init__(self, letters: str = "kmnruvij") -> None:
        self._fresh = (f"{letter}{'′' * n}" for n in count() for letter in letters)

    def index(self, over: Dim) -> Index:
        """An index with a name of its own."""
        return Index(next(self._fresh), over)

    def in_entries(self, formula: Expr, i: Place, j: Place) -> Term:
        """Entry (i, j) of a formula, written in entries of its symbols.

        The index forms of the operations are put into each other; an operation without
        one (a random mask) counts as a matrix of its own.
        """
        (bare,) = plain([formula])
        parts: dict[Expr, Callable[[Place, Place], Term]] = {}
        for node in order([bare]):
            parts[node] = self._reader(node, [parts[a] for a in node.args])
        return parts[bare](i, j)

    def in_order(self, formula: Expr, i: Place, j: Place, columns: bool) -> Term:
        """The same; with samples in columns, each product's factors the other way."""
        if not columns:
            return self.in_entries(formula, i, j)
        return self.in_entries(_turned(formula), j, i)

    def _reader(
        self, node: Expr, arguments: Sequence[Callable[[Place, Place], Term]]
    ) -> Callable[[Place, Place], Term]:
        if isinstance(node, Const) and not isinstance(node.value, tuple):
            value = node.value
            return lambda i, j: Number(value)
        if node.op is None or node.op.entry is None:
            name, (rows, columns) = leaf_name(node), node.shape
            return lambda i, j: Entry(name, _only(rows, i), _only(columns, j))
        entry, attrs, own = node.op.entry, dict(node.attrs), node.op.name
        slots = [Matrix(f"\x01{k}", a.shape) for k, a in enumerate(node.args)]
        readers = {m.name: read for m, read in zip(slots, arguments, strict=True)}

        def read(i: Place, j: Place) -> Term:
            found = term(entry(i, j, *slots, **attrs))
            if own in ("relu", "step") and isinstance(found, Call):
                found = Call(own, (found.arguments[0], Number(attrs["at_zero"])))
            return self._filled(found, readers)

        return read

    def _filled(
        self, t: Term, readers: Mapping[str, Callable[[Place, Place], Term]]
    ) -> Term:
        """A term with its arguments' own terms put in, its sums' indices renamed."""
        match t:
            case Entry(matrix, row, column) if matrix in readers:
                return readers[matrix](row, column)
            case Sum(index, body) | Largest(index, body):
                if index.over == 1:
                    return self._filled(replaced(body, index, 0), readers)
                own = self.index(index.over)
                inner = self._filled(replaced(body, index, own), readers)
                return Sum(own, inner) if isinstance(t, Sum) else Largest(own, inner)
            case Call(function, arguments):
                return Call(function, tuple(self._filled(a, readers) for a in arguments))
        return t

    def normal(self, t: Term) -> Polynomial:
        """A term as a sum of monomials."""
        match t:
            case Number(value):
                return [Monomial(value)] if value else []
            case Entry() | Delta():
                return [Monomial(factors=((t, 1),))]
            case Sum(index, body):
                if index.over == 1:
                    return self.normal(replaced(body, index, 0))
                own = self.index(index.over)
                return [
                    Monomial(m.number, (own, *m.sums), m.factors)
                    for m in self.normal(replaced(body, index, own))
                ]
            case Call(function, arguments):
                return self._call(function, arguments)
            case Largest():
                return [Monomial(factors=((_canonical(t), 1),))]
        raise TypeError(f"no term: {t!r}")

    def _call(self, function: str, arguments: Sequence[Term]) -> Polynomial:
        if function in ("+", "-"):
            left, right = (self.normal(a) for a in arguments)
            return [*left, *(right if function == "+" else scaled(right, -1.0))]
        if function == "neg":
            return scaled(self.normal(arguments[0]), -1.0)
        if function == "*":
            left, right = (self.normal(a) for a in arguments)
            return [times(a, b) for a in left for b in right]
        if function == "/":
            left = self.normal(arguments[0])
            under = self.inverse(arguments[1])
            return [times(a, under) for a in left]
        if function == "**":
            base, exponent = arguments
            assert isinstance(exponent, Number)
            if exponent.value == int(exponent.value):
                return [self.power(base, int(exponent.value))]
        return [Monomial(factors=((_canonical(Call(function, tuple(arguments))), 1),))]

    def inverse(self, t: Term) -> Monomial:
        """1/t."""
        return self.power(t, -1)

    def power(self, t: Term, exponent: int) -> Monomial:
        """t to a whole power, as one monomial."""
        found = self.normal(t)
        if len(found) == 1 and not found[0].sums:
            (m,) = found
            factors = tuple((f, k * exponent) for f, k in m.factors)
            return Monomial(m.number**exponent, (), factors)
        return Monomial(factors=((_canonical(t), exponent),))


def _turned(formula: Expr) -> Expr:
    """The formula's transpose, in transposed leaves and with every product reversed."""
    (bare,) = plain([formula])
    turned: dict[Expr, Expr] = {}
    for node in order([bare]):
        if node.shape == SCALAR and node.op is None:
            turned[node] = node
        elif node.op is not None and node.op.name == "matmul":
            turned[node] = turned[node.args[1]] @ turned[node.args[0]]
        elif node.op is not None and node.op.name == "transpose":
            turned[node] = turned[node.args[0]].T
        elif _is_entrywise(node):
            turned[node] = rebuild(node, tuple(turned[a] for a in node.args))
        else:
            turned[node] = node.T
    return turned[bare]


def _is_entrywise(node: Expr) -> bool:
    """Whether an entry of the node is made of its arguments' entries at that place."""
    if node.op is None or node.op.entry is None:
        return False
    i, j = Index("i", node.shape[0]), Index("j", node.shape[1])
    slots = [Matrix(f"\x01{k}", a.shape) for k, a in enumerate(node.args)]
    return _all_at(term(node.op.entry(i, j, *slots, **dict(node.attrs))), i, j)


def _all_at(t: Term, i: Index, j: Index) -> bool:
    match t:
        case Entry(_, row, column):
            return (row, column) == (i, j)
        case Call(_, arguments):
            return all(_all_at(a, i, j) for a in arguments)
        case _:
            return isinstance(t, Number)


def scaled(polynomial: Iterable[Monomial], by: float) -> Polynomial:
    """Each monomial times a number."""
    return [Monomial(m.number * by, m.sums, m.factors) for m in polynomial]


def times(a: Monomial, b: Monomial) -> Monomial:
    """The product of two monomials whose sums have names of their own."""
    powers: dict[Term, int] = {}
    for f, k in (*a.factors, *b.factors):
        powers[f] = powers.get(f, 0) + k
    factors = tuple((f, k) for f, k in powers.items() if k)
    return Monomial(a.number * b.number, (*a.sums, *b.sums), factors)


def replaced(t: Term, index: Index, by: Place) -> Term:
    """A term with an index replaced, its shifts kept."""

    def place(p: Place) -> Place:
        if isinstance(p, Index) and p.name == index.name and p.over == index.over:
            if isinstance(by, Index):
                return Index(by.name, by.over, by.shift + p.shift)
            return by
        return p

    match t:
        case Entry(matrix, row, column):
            return Entry(matrix, place(row), place(column))
        case Delta(left, right):
            new = place(left), place(right)
            if isinstance(new[0], Index) and isinstance(new[1], Index):
                return Delta(new[0], new[1])
            return Number(1.0)
        case Sum(own, body):
            return t if own.name == index.name else Sum(own, replaced(body, index, by))
        case Largest(own, body):
            return (
                t if own.name == index.name else Largest(own, replaced(body, index, by))
            )
        case Call(function, arguments):
            return Call(function, tuple(replaced(a, index, by) for a in arguments))
    return t


def _canonical(t: Term, depth: int = 0) -> Term:
    """A term with its inner sums' indices named by depth, so that equals are equal."""
    match t:
        case Sum(index, body) | Largest(index, body):
            if index.over == 1:
                return _canonical(replaced(body, index, 0), depth)
            own = Index(f"\x00{depth}", index.over)
            inner = _canonical(replaced(body, index, own), depth + 1)
            return Sum(own, inner) if isinstance(t, Sum) else Largest(own, inner)
        case Call(function, arguments):
            return Call(function, tuple(_canonical(a, depth) for a in arguments))
    return t


def indices(t: Term) -> Iterator[Index]:
    """The indices that stand free in a term, as often as they stand there."""
    match t:
        case Entry(_, row, column):
            yield from (
                Index(p.name, p.over) for p in (row, column) if isinstance(p, Index)
            )
        case Delta(left, right):
            yield from (Index(p.name, p.over) for p in (left, right))
        case Sum(own, body) | Largest(own, body):
            yield from (p for p in indices(body) if p.name != own.name)
        case Call(_, arguments):
            for a in arguments:
                yield from indices(a)


# ---------------------------------------------------------------- the derivative

_ONE, _TWO = Number(1.0), Number(2.0)

# The slopes of scalar functions, one an argument; y is the function's own value.
SLOPES: dict[str, Callable[..., tuple[Term, ...]]] = {
    "+": lambda y, a, b: (_ONE, _ONE),
    "-": lambda y, a, b: (_ONE, Number(-1.0)),
    "neg": lambda y, a: (Number(-1.0),),
    "*": lambda y, a, b: (b, a),
    "/": lambda y, a, b: (_ONE / b, -(y / b)),
    "**": lambda y, a, p: (p * Call("**", (a, Number(p.value - 1))), Number(0.0)),
    "exp": lambda y, x: (y,),
    "expm1": lambda y, x: (Call("exp", (x,)),),
    "log": lambda y, x: (_ONE / x,),
    "sqrt": lambda y, x: (_ONE / (_TWO * y),),
    "abs": lambda y, x: (Call("sign", (x,)),),
    "sign": lambda y, x: (Number(0.0),),
    "step": lambda y, x, at_zero: (Number(0.0), Number(0.0)),
    "relu": lambda y, x, at_zero: (Call("step", (x, at_zero)), Number(0.0)),
    "sin": lambda y, x: (Call("cos", (x,)),),
    "cos": lambda y, x: (-Call("sin", (x,)),),
    "tanh": lambda y, x: (_ONE - y * y,),
    "erf": lambda y, x: (
        Number(2 / math.sqrt(math.pi)) * Call("exp", (-Call("**", (x, _TWO)),)),
    ),
    "maximum": lambda y, a, b: (_step(a - b, 0.5), _step(b - a, 0.5)),
    "minimum": lambda y, a, b: (_step(b - a, 0.5), _step(a - b, 0.5)),
}  # fmt: skip


def _step(t: Term, at_zero: float) -> Term:
    return Call("step", (t, Number(at_zero)))


def slope(t: Term, by: Entry) -> Term:
    """The partial derivative of a term by one entry of a matrix."""
    match t:
        case Entry(matrix, row, column):
            if matrix != by.matrix:
                return Number(0.0)
            return _agree(row, by.row) * _agree(column, by.column)
        case Sum(index, body):
            inner = slope(body, by)
            return inner if inner == Number(0.0) else Sum(index, inner)
        case Largest(index, body):
            reached = _step(body - t, 1.0)
            many = Sum(index, reached)
            return Sum(index, reached / many * slope(body, by))
        case Call(function, arguments):
            return _chain(t, function, arguments, by)
    return Number(0.0)


def _chain(t: Call, function: str, arguments: Sequence[Term], by: Entry) -> Term:
    """The chain rule: the sum over the arguments of the function's slope times theirs."""
    if function not in SLOPES:
        raise Unfoldable(f"There is no slope for the function {function!r} in entries.")
    total: Term = Number(0.0)
    for outer, argument in zip(SLOPES[function](t, *arguments), arguments, strict=True):
        inner = slope(argument, by)
        if inner == Number(0.0) or outer == Number(0.0):
            continue
        product = inner if outer == _ONE else outer * inner
        total = product if total == Number(0.0) else total + product
    return total


def _agree(place: Place, target: Place) -> Term:
    if isinstance(place, Index) and isinstance(target, Index):
        return _ONE if place == target else Delta(place, target)
    return _ONE


# ---------------------------------------------------------------- what sums and deltas do


def picked(polynomial: Polynomial) -> Polynomial:
    """Each delta under a sum over one of its indices picks that term of the sum."""
    return [_picked(m) for m in polynomial]


def _picked(m: Monomial) -> Monomial:
    while True:
        found = next(
            (
                (f, side)
                for f, k in m.factors
                if isinstance(f, Delta) and k == 1
                for side in (f.left, f.right)
                if Index(side.name, side.over) in m.sums
            ),
            None,
        )
        if found is None:
            return m
        delta, bound = found
        other = delta.right if bound == delta.left else delta.left
        by = Index(other.name, other.over, other.shift - bound.shift)
        own = Index(bound.name, bound.over)
        rest = [(f, k) for f, k in m.factors if f is not delta]
        powers: dict[Term, int] = {}
        for f, k in rest:
            new = replaced(f, own, by)
            if new != Number(1.0):
                powers[new] = powers.get(new, 0) + k
        factors = tuple((f, k) for f, k in powers.items() if k)
        m = Monomial(m.number, tuple(s for s in m.sums if s != own), factors)


def rows_of_one(polynomial: Polynomial, distributions: Iterable[str]) -> Polynomial:
    """Σ_k t_ik = 1 where each row of t is a distribution."""
    names = set(distributions)
    return [_row_of_one(m, names) for m in polynomial]


def _row_of_one(m: Monomial, names: set[str]) -> Monomial:
    for index in m.sums:
        having = [(f, k) for f, k in m.factors if index in set(indices(f))]
        if len(having) != 1:
            continue
        ((f, k),) = having
        if isinstance(f, Entry) and k == 1 and f.matrix in names and f.column == index:
            sums = tuple(s for s in m.sums if s != index)
            return Monomial(m.number, sums, tuple(x for x in m.factors if x[0] != f))
    return m


def known_by_name(polynomial: Polynomial, value: Polynomial, at: Entry) -> Polynomial:
    """The polynomial with `at` written for its value, where that is one monomial."""
    if len(value) != 1 or value[0].sums or not value[0].factors:
        return polynomial
    (pattern,) = value
    if not any(isinstance(f, Call | Sum) for f, _ in pattern.factors):
        return polynomial
    return [_with_name(m, pattern, at) for m in polynomial]


def _with_name(m: Monomial, pattern: Monomial, at: Entry) -> Monomial:
    places = list(dict.fromkeys(i for f, _ in m.factors for i in indices(f)))
    rows = places if isinstance(at.row, Index) else [at.row]
    columns = places if isinstance(at.column, Index) else [at.column]
    again = True
    while again:
        again = False
        for i in rows:
            for j in columns:
                new = _taken_out(m, pattern, at, i, j)
                if new is not None:
                    m, again = new, True
    return m


def _taken_out(
    m: Monomial, pattern: Monomial, at: Entry, i: Place, j: Place
) -> Monomial | None:
    def here(t: Term) -> Term:
        for old, new in ((at.row, i), (at.column, j)):
            if isinstance(old, Index):
                t = replaced(t, old, new)
        return t

    have = dict(m.factors)
    for f, k in pattern.factors:
        power = have.get(here(f), 0)
        if power * k < k * k:
            return None
        have[here(f)] = power - k
    name = Entry(at.matrix, i, j)
    have[name] = have.get(name, 0) + 1
    factors = tuple((f, k) for f, k in have.items() if k)
    return Monomial(m.number / pattern.number, m.sums, factors)


def collected(polynomial: Polynomial) -> Polynomial:
    """Monomials that differ in their number only, added."""
    found: dict[tuple[object, ...], Monomial] = {}
    for m in polynomial:
        key = (frozenset(m.sums), frozenset(m.factors))
        if key in found:
            m = Monomial(found[key].number + m.number, m.sums, m.factors)
        found[key] = m
    return [m for m in found.values() if m.number]


def inserted(
    calculus: Calculus, polynomial: Polynomial, name: str, formula: Expr
) -> Polynomial:
    """The polynomial with a matrix's entries written as those of a formula."""
    found: Polynomial = []
    for m in polynomial:
        parts = [Monomial(m.number, m.sums, tuple(x for x in m.factors if _not(x, name)))]
        for f, k in m.factors:
            if isinstance(f, Entry) and f.matrix == name:
                for _ in range(k):
                    own = calculus.normal(calculus.in_entries(formula, f.row, f.column))
                    parts = [times(a, b) for a in parts for b in own]
        found += parts
    return found


def _not(factor: Factor, name: str) -> bool:
    return not (isinstance(factor[0], Entry) and factor[0].matrix == name)


def exact(number: float) -> Fraction:
    """A number as the fraction that it was computed from, 2/3 for 0.666…"""
    near = Fraction(number).limit_denominator(10000)
    return near if float(near) == number else Fraction(number)
