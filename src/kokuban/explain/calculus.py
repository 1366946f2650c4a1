"""The index calculus: differentiate an index form, let the deltas pick, fold back.

A formula in entries is kept as a sum of monomials: a number, indices summed over, and
factors with whole powers. Sums, the product rule and the chain rule are applied to index
forms; a delta under a sum picks its term; what is left is folded to matrices by reading
which indices each factor has. Nothing here knows a rule of the operations' records.
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
    apply,
    constant,
    entrywise,
    order,
    plain,
    size,
    spread,
)
from kokuban.ops import ones, sum
from kokuban.shape import Dim

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
    """A formula in entries that is no matrix product, sum or entrywise function."""


# ---------------------------------------------------------------- normal form


class Calculus:
    """One calculation, with fresh names for the indices that are summed over."""

    def __init__(self) -> None:
        self._fresh = (f"{letter}{'′' * n}" for n in count() for letter in "kmnruvij")

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


# ---------------------------------------------------------------- back to matrices


@dataclass(frozen=True, slots=True)
class _Matrix:
    """A matrix and the indices that its rows and columns run over, None for only one."""

    value: Expr
    row: Index | None
    column: Index | None

    def has(self, index: Index) -> bool:
        """Whether it varies with the index."""
        return index in (self.row, self.column)

    def read(self, row: Index | None, column: Index | None) -> Expr:
        """It, or its transpose, so that rows and columns run as wanted."""
        own = {i for i in (self.row, self.column) if i is not None}
        if (
            own <= {row} | {column}
            and self.row in (row, None)
            and (self.column in (column, None))
        ):
            return self.value
        return self.value.T


class Folding:
    """Reads polynomials as matrices; `leaves` are the matrices by name."""

    def __init__(self, leaves: Mapping[str, Expr]) -> None:
        self.leaves = leaves

    def polynomial(self, p: Polynomial, row: Place, column: Place) -> Expr:
        """The matrix whose entry (row, column) is p. Unfoldable where there is none."""
        shape = _extent(row), _extent(column)
        r, c = (i if isinstance(i, Index) else None for i in (row, column))
        total: Expr | None = None
        for m in p:
            one = spread(self._monomial(m, r, c), shape)
            total = one if total is None else total + one
        return ones(shape) * 0.0 if total is None else total

    def _monomial(self, m: Monomial, row: Index | None, column: Index | None) -> Expr:
        """Sums are taken one by one, that with the fewest neighbours first."""
        left = [(self._factor(f, (row, column)), k) for f, k in m.factors]
        sums = list(m.sums)
        while sums:
            index = min(sums, key=lambda k: len(_neighbours(left, k)))
            having = [x for x in left if x[0].has(index)]
            rest = [x for x in left if not x[0].has(index)]
            done = _summed(having, index, row, column)
            left = [*rest, (done, 1)] if len(rest) < len(left) else [
                (_Matrix(size(index.over), None, None), 1), *left
            ]  # fmt: skip
            sums.remove(index)
        return _product(left, m.number, row, column)

    def _factor(self, f: Term, order_: tuple[Index | None, Index | None]) -> _Matrix:
        """A factor as a matrix over the indices it has, in the order it has them."""
        found = list(dict.fromkeys(indices(f)))
        if len(found) > 2:
            raise Unfoldable(f"A factor has {len(found)} indices; a matrix has two.")
        row, column = _natural(f, found, order_)
        return _Matrix(self.term(f, row, column), row, column)

    def term(self, t: Term, row: Index | None, column: Index | None) -> Expr:
        """The matrix, or the row, column or number, whose entry is a term."""
        match t:
            case Number(value):
                return constant(value)
            case Entry():
                return self._entry(t, row, column)
            case Delta():
                raise Unfoldable("A delta that no sum takes is no matrix here.")
            case Sum():
                inner, by_row = self._inside(t, row, column)
                return sum(inner, over="columns" if by_row else "rows")
            case Largest():
                inner, by_row = self._inside(t, row, column)
                return apply("row_max", inner) if by_row else apply("row_max", inner.T).T
            case Call(function, arguments):
                return self._call(function, arguments, row, column)
        raise TypeError(f"no term: {t!r}")

    def _inside(
        self, t: Sum | Largest, row: Index | None, column: Index | None
    ) -> tuple[Expr, bool]:
        """The matrix under an inner sum, and whether the sum runs along its rows."""
        free = set(indices(t.body))
        if column is not None and column in free:
            if row is not None and row in free:
                raise Unfoldable("An inner sum over neither rows nor columns.")
            inner = self.term(t.body, t.index, column)
            return spread(inner, (t.index.over, column.over)), False
        inner = self.term(t.body, row, t.index)
        return spread(inner, (_extent(row), t.index.over)), True

    def _call(
        self,
        function: str,
        arguments: Sequence[Term],
        row: Index | None,
        column: Index | None,
    ) -> Expr:
        if function in ("**", "step", "relu"):
            base, setting = arguments
            assert isinstance(setting, Number)
            x = self.term(base, row, column)
            if function == "**":
                return x**setting.value
            return apply(function, x, at_zero=setting.value)
        inner = [self.term(a, row, column) for a in arguments]
        if function == "neg":
            return -inner[0]
        if function in _ARITHMETIC:
            return _ARITHMETIC[function](*inner)
        if len(inner) == 2:
            return entrywise(function, inner[0], inner[1])
        return apply(function, *inner)

    def _entry(self, t: Entry, row: Index | None, column: Index | None) -> Expr:
        matrix = self.leaves[t.matrix]
        if _reads(t.row, row) and _reads(t.column, column):
            return _block(_block(matrix, 0, t.row, row), 1, t.column, column)
        if _reads(t.row, column) and _reads(t.column, row):
            turned = matrix.T
            return _block(_block(turned, 0, t.column, row), 1, t.row, column)
        raise Unfoldable(f"An entry of {t.matrix} has indices that are not in place.")


_ARITHMETIC: dict[str, Callable[[Expr, Expr], Expr]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
}


def _natural(
    f: Term, found: list[Index], wanted: tuple[Index | None, Index | None]
) -> tuple[Index | None, Index | None]:
    """Which of a factor's indices runs over rows: as its first matrix has them."""
    if len(found) == 2:
        return found[0], found[1]
    if not found:
        return None, None
    (only,) = found
    first = next(_entries(f))
    by_column = isinstance(first.column, Index) and first.column.name == only.name
    if isinstance(first.row, Index) and first.row.name == only.name:
        by_column = False
    return (None, only) if by_column else (only, None)


def _entries(t: Term) -> Iterator[Entry]:
    match t:
        case Entry():
            yield t
        case Sum(_, body) | Largest(_, body):
            yield from _entries(body)
        case Call(_, arguments):
            for a in arguments:
                yield from _entries(a)


def _neighbours(factors: Sequence[tuple[_Matrix, int]], index: Index) -> set[Index]:
    near = {i for m, _ in factors if m.has(index) for i in (m.row, m.column) if i}
    return near - {index}


def _summed(
    having: Sequence[tuple[_Matrix, int]],
    index: Index,
    row: Index | None,
    column: Index | None,
) -> _Matrix:
    """Σ over an index of a product: a matrix product, or a sum over rows or columns."""
    near = sorted(
        _neighbours(having, index), key=lambda i: (i == column) - (i == row)
    )  # what is the row comes first
    if len(near) > 2:
        raise Unfoldable(f"The sum over {index.name} joins {len(near)} other indices.")
    if not near:
        by_column = all(m.column == index for m, _ in having)
        ends = (None, index) if by_column else (index, None)
        total = _wide(having, *ends)
        return _Matrix(sum(total), None, None)
    first, last = near[0], near[-1]
    if len(near) == 2:
        left = [x for x in having if not x[0].has(last)]
        right = [x for x in having if x[0].has(last)]
        value = _wide(left, first, index) @ _wide(right, index, last)
        return _Matrix(value, first, last)
    joint = [x for x in having if x[0].has(first)]
    alone = [x for x in having if not x[0].has(first)]
    if alone and first == column:
        value = _wide(alone, None, index) @ _wide(joint, index, first)
        return _Matrix(value, None, first)
    if alone:
        value = _wide(joint, first, index) @ _wide(alone, index, None)
        return _Matrix(value, first, None)
    if any(m.row == index for m, _ in joint) or first == column:
        return _Matrix(sum(_wide(having, index, first), over="rows"), None, first)
    return _Matrix(sum(_wide(having, first, index), over="columns"), first, None)


def _wide(
    factors: Sequence[tuple[_Matrix, int]], row: Index | None, column: Index | None
) -> Expr:
    shape = _extent(row), _extent(column)
    return spread(_product(factors, 1.0, row, column), shape)


def _product(
    factors: Sequence[tuple[_Matrix, int]],
    number: float,
    row: Index | None,
    column: Index | None,
) -> Expr:
    """Factors to their powers, entry by entry."""
    result: Expr | None = None
    for m, k in factors:
        if k > 0:
            base = m.read(row, column)
            one = base if k == 1 else base**k
            result = one if result is None else result * one
    if result is None or number != 1:
        ratio = exact(number)
        scale = constant(ratio.numerator) / constant(ratio.denominator)
        result = scale if result is None else scale * result
    for m, k in factors:
        if k < 0:
            base = m.read(row, column)
            result = result / (base if k == -1 else base ** (-k))
    return result


def exact(number: float) -> Fraction:
    """A number as the fraction that it was computed from, 2/3 for 0.666…"""
    near = Fraction(number).limit_denominator(10000)
    return near if float(near) == number else Fraction(number)


def _reads(own: Place, wanted: Index | None) -> bool:
    """Whether a place runs along an index, or is the only one there is."""
    if not isinstance(own, Index):
        return True
    return wanted is not None and own.name == wanted.name


def _block(matrix: Expr, axis: int, own: Place, index: Index | None) -> Expr:
    """The block that a shift takes of a matrix, or what it places among zeros."""
    if not isinstance(own, Index):
        return matrix
    assert index is not None
    have, over = matrix.shape[axis], index.over
    if own.shift == 0 and have == over:
        return matrix
    if own.shift > 0 or (isinstance(have, int) and isinstance(over, int) and have > over):
        assert isinstance(index.over, int)
        stop = own.shift + index.over
        return apply("slice", matrix, axis=axis, start=own.shift, stop=stop)
    return apply("place", matrix, axis=axis, start=-own.shift, total=index.over)


def _extent(place: Place | None) -> Dim:
    return place.over if isinstance(place, Index) else 1


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
