"""From entries back to matrices, by reading which indices each factor has.

Σ_s x_sp Δ_sq joins p with q over s, and so is entry (p, q) of Xᵀ Δ. Sums are taken one
by one: a product where they join two indices, a sum over rows or columns else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kokuban.entry import Call, Delta, Entry, Index, Largest, Number, Sum, Term
from kokuban.explain.calculus import (
    Monomial,
    Place,
    Polynomial,
    Unfoldable,
    exact,
    indices,
)
from kokuban.expr import Expr, apply, constant, entrywise, size, spread
from kokuban.ops import ones, sum
from kokuban.shape import Dim


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
        return _product(_outer(left, row, column), m.number, row, column)

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


def _outer(
    factors: Sequence[tuple[_Matrix, int]], row: Index | None, column: Index | None
) -> Sequence[tuple[_Matrix, int]]:
    """What varies with the row only times what varies with the column only: a product."""
    if row is None or column is None:
        return factors
    down = [x for x in factors if x[0].has(row)]
    across = [x for x in factors if x[0].has(column)]
    if not (down and across) or any(x in across for x in down):
        return factors
    value = _wide(down, row, None) @ _wide(across, None, column)
    rest = [x for x in factors if x not in down and x not in across]
    return [(_Matrix(value, row, column), 1), *rest]


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
