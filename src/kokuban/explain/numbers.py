"""Values put in: what every quantity and every gradient of a derivation is at a point."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.entry import Call, Delta, Entry, Index, Largest, Number, Sum, Term
from kokuban.explain.backward import Gradient, Share, Tape
from kokuban.explain.calculus import Calculus
from kokuban.explain.entries import matrices
from kokuban.explain.layout import (
    SPACE,
    Box,
    Fence,
    Fraction,
    Root,
    Row,
    Script,
    Text,
    bracketed,
    elided,
    kept,
    number,
    row,
    sign,
)
from kokuban.explain.notation import Notation
from kokuban.explain.page import Part
from kokuban.expr import Expr, Size, Symbol, order, size, symbols
from kokuban.op import ATOM, POWER, PRODUCT, SUM
from kokuban.run import evaluate
from kokuban.run.reference import as_matrix, by_symbol
from kokuban.shape import bind

Matrix = NDArray[np.float64]
Values = dict[Symbol, Matrix]
Wanted = tuple[int, int] | None


def worked_out(found: Tape, at: Mapping[Any, Any]) -> tuple[Values, dict[str, int]]:
    """The values of all symbols, quantities and gradients, and the dimensions' sizes.

    Raises DataError where a value is missing, ShapeError where one does not fit.
    """
    known: dict[str, int] = {}
    values: Values = {}
    leaves = symbols([found.loss])
    for s, value in by_symbol(leaves, at).items():
        values[s] = np.asarray(as_matrix(s, value, np, np.float64))
        bind(known, s.shape, values[s].shape, s.name)
    for q in found.quantities:
        values[q.symbol] = _value(q.body, values, known)
    for g in found.gradients:
        if g.quantity is not None:
            values[g.quantity.gradient] = _value(g.value, values, known)
    return values, known


def grid(value: Matrix) -> Box:
    """A matrix of numbers, its middle left out where it is large; a number bare."""
    digits = _digits(value)
    if value.size == 1:
        return number(float(value[0, 0]), digits)
    return elided([[number(float(v), digits) for v in line] for line in value])


class Numbers:
    """A derivation at a point: formulas with their matrices put in, and what they give.

    `entry`, counted from 1, is the one whose arithmetic is written out; the largest
    where there is no such entry, or none is asked.
    """

    def __init__(
        self, found: Tape, at: Mapping[Any, Any], notation: Notation, entry: Wanted
    ) -> None:
        self.values, self.sizes = worked_out(found, at)
        self.entry = entry
        self._columns = notation.columns
        boxes: dict[Expr, Box] = {s: self.grid(v) for s, v in self.values.items()}
        boxes |= {size(d): number(n) for d, n in self.sizes.items()}
        for node in order([found.loss]):
            if node.op is not None and node.op.entry is None:  # a mask, drawn here
                boxes[node] = self.grid(self.value(node))
        self._at = Notation(boxes, notation.columns)

    def value(self, formula: Expr) -> Matrix:
        """What a formula gives."""
        return _value(formula, self.values, self.sizes)

    def grid(self, value: Matrix) -> Box:
        """A matrix of numbers, its middle left out where it is large; a number bare."""
        return grid(value.T if self._columns else value)

    def parts(self, formula: Expr) -> list[Part]:
        """The formula with numbers put in, and its value."""
        result = Part(self.grid(self.value(formula)))
        if isinstance(formula, Symbol):
            return [result]
        return [Part(self._at.formula(formula)), result]

    def arithmetic(self, formula: Expr) -> tuple[tuple[int, int], Part, Part]:
        """One entry, its place counted from 1: the arithmetic term by term, the value."""
        value = self.value(formula)
        i, j = self._place(value)
        places = [Index(x, d) for x, d in zip("st", formula.shape, strict=True)]
        term = Calculus().in_order(formula, places[0], places[1], self._columns)
        env = {"s": i, "t": j}
        held = {
            leaf: self.value(node)
            for leaf, node in matrices(formula).items()
            if not isinstance(node, Size)
        }
        box = _Arithmetic(held, self.sizes).shown(term, env)[0]
        place = i + 1, j + 1
        result = number(float(value[i, j]), _digits(value))
        return (place[::-1] if self._columns else place), Part(box), Part(result)

    def _place(self, value: Matrix) -> tuple[int, int]:
        """The entry asked for, or the largest, counted from 0."""
        if self.entry is not None:
            i, j = (k - 1 for k in (self.entry[::-1] if self._columns else self.entry))
            if 0 <= i < value.shape[0] and 0 <= j < value.shape[1]:
                return i, j
        largest = np.unravel_index(int(np.argmax(np.abs(value))), value.shape)
        return int(largest[0]), int(largest[1])


def _digits(value: Matrix) -> int | None:
    """Digits after the point: none for whole numbers, four or so for others."""
    if np.all(value == np.round(value)) and np.all(np.abs(value) < 1e6):
        return 0
    for digits in range(1, 4 if value.size > 1 else 7):
        if np.array_equal(np.round(value, digits), value):
            return digits
    largest = float(np.max(np.abs(value)))
    return (
        4
        if largest >= 0.1 or largest == 0
        else min(3 - math.floor(math.log10(largest)), 12)
    )


class _Arithmetic:
    """An entry's formula with numbers in it, sums written out."""

    def __init__(self, values: Mapping[str, Matrix], sizes: Mapping[str, int]) -> None:
        self.values, self.sizes = values, sizes

    def shown(self, t: Term, env: Mapping[str, int]) -> tuple[Box, int]:
        """The term, and how tightly its form holds together."""
        match t:
            case Number(value):
                return self._number(value)
            case Entry(matrix, r, c):
                if matrix in self.sizes:
                    return self._number(float(self.sizes[matrix]))
                held = self.values[matrix]
                i, j = (self._at(p, env) for p in (r, c))
                inside = 0 <= i < held.shape[0] and 0 <= j < held.shape[1]
                return self._number(float(held[i, j]) if inside else 0.0)
            case Delta(left, right):
                return self._number(float(self._at(left, env) == self._at(right, env)))
            case Sum(own, body):
                return self._sum(own, body, env)
            case Largest(own, body):
                terms = [
                    self.shown(body, {**env, own.name: k})[0] for k in self._run(own)
                ]
                return row(Text("max", "function"), bracketed(_listed(terms, ","))), ATOM
            case Call(function, arguments):
                return self._call(function, arguments, env)
        raise TypeError(f"no term: {t!r}")

    def _number(self, value: float) -> tuple[Box, int]:
        digits = _digits(np.array([[value]]))
        return number(value, digits), ATOM if value >= 0 else SUM

    def _at(self, place: Index | int, env: Mapping[str, int]) -> int:
        return place if isinstance(place, int) else env[place.name] + place.shift

    def _run(self, own: Index) -> range:
        return range(own.over if isinstance(own.over, int) else self.sizes[own.over])

    def _sum(self, own: Index, body: Term, env: Mapping[str, int]) -> tuple[Box, int]:
        terms = self._terms(own, body, env)
        if len(terms) == 1:
            return terms[0]
        (first, _), *rest = terms
        others = [bracketed(box) if holds <= SUM else box for box, holds in rest]
        return _listed([first, *others], "+"), SUM

    def _terms(
        self, own: Index, body: Term, env: Mapping[str, int]
    ) -> list[tuple[Box, int]]:
        """The terms of a sum and of the sums in it, the middle left out of a long one."""
        run = self._run(own)
        found: list[tuple[Box, int]] = []
        for k in kept(len(run)):
            if k is None:
                found.append((Text("…", "sign"), ATOM))
            elif isinstance(body, Sum):
                found += self._terms(body.index, body.body, {**env, own.name: k})
            else:
                found.append(self.shown(body, {**env, own.name: k}))
        return found

    def _within(self, t: Term, least: int, env: Mapping[str, int]) -> Box:
        box, holds = self.shown(t, env)
        return bracketed(box) if holds < least else box

    def _call(
        self, function: str, arguments: Sequence[Term], env: Mapping[str, int]
    ) -> tuple[Box, int]:
        if function in ("+", "-"):
            left = self._within(arguments[0], SUM, env)
            right = self._within(arguments[1], SUM + 1, env)
            return row(left, function, right), SUM
        if function == "neg":
            return row(sign("−"), self._within(arguments[0], PRODUCT, env)), SUM
        if function == "*":
            a, b = (self._within(x, PRODUCT, env) for x in arguments)
            return row(a, Text("·", "sign"), b), PRODUCT
        if function == "/":
            over, under = arguments
            return self._quotient(over, under, env)
        if function == "**":
            base, exponent = (self._within(x, ATOM, env) for x in arguments)
            return Script(base, upper=exponent), POWER
        if function == "exp":
            return Script(Text("e"), upper=self.shown(arguments[0], env)[0]), ATOM
        if function == "sqrt":
            return Root(self.shown(arguments[0], env)[0]), ATOM
        if function == "log":
            inner = self._within(arguments[0], ATOM, env)
            return row(Text("ln", "function"), SPACE, inner), POWER
        shown = arguments[:1] if function in ("relu", "step") else arguments
        if function == "step" and isinstance(arguments[1], Number):
            truth = ">" if arguments[1].value == 0 else "≥"
            return Fence(
                "[", row(self.shown(shown[0], env)[0], truth, number(0)), "]"
            ), ATOM
        label = {"maximum": "max", "minimum": "min", "relu": "ReLU"}.get(
            function, function
        )
        inside = _listed([self.shown(x, env)[0] for x in shown], ",")
        return row(Text(label, "function"), bracketed(inside)), ATOM

    def _quotient(self, a: Term, b: Term, env: Mapping[str, int]) -> tuple[Box, int]:
        """a / b; a sign goes before it, and of a product the last factor is divided."""
        if isinstance(a, Call) and a.function == "*":
            first, last = a.arguments
            box, holds = self._quotient(last, b, env)
            last_box = bracketed(box) if holds < PRODUCT else box
            return row(self._before(first, env), Text("·", "sign"), last_box), PRODUCT
        if isinstance(a, Number) and a.value < 0:
            return row(sign("−"), self._quotient(Number(-a.value), b, env)[0]), SUM
        (over, have), (under, holds) = (self.shown(x, env) for x in (a, b))
        return Fraction(over, under, (have < ATOM, holds < ATOM)), PRODUCT

    def _before(self, t: Term, env: Mapping[str, int]) -> Box:
        """A first factor: a minus before a quotient needs no brackets."""
        if isinstance(t, Call) and t.function == "/":
            return self.shown(t, env)[0]
        return self._within(t, PRODUCT, env)


def _listed(boxes: Sequence[Box], between: str) -> Box:
    items: list[Box] = []
    for box in boxes:
        items += [sign(between), box] if items else [box]
    return Row(tuple(items))


def _value(formula: Expr, values: Values, known: Mapping[str, int]) -> Matrix:
    needed = symbols([formula])
    given: dict[Symbol | str, Any] = {s: values[s] for s in needed if s in values}
    found: Matrix = evaluate(
        formula, given, dtype=np.float64, simplify=False, sizes=dict(known)
    )
    return found


@dataclass(frozen=True, slots=True)
class Gap:
    """Where a claim is furthest from the gradient: the entry, from 0, and both values.

    `sizes` are those of the named dimensions, where the values are random ones.
    """

    entry: tuple[int, int]
    claim: float
    gradient: float
    sizes: dict[str, int] | None


def worst_entry(
    found: Tape, g: Gradient, share: Share, at: Mapping[Any, Any] | None
) -> Gap | None:
    """Where one share alone is furthest from the gradient.

    At the values given, or at random ones where there are none or they show no gap; None
    where those make something that is not finite.
    """
    tries: list[Mapping[Any, Any]] = [] if at is None else [at]
    tries.append(random_values(found.loss))
    for values in tries:
        with np.errstate(all="ignore"):
            known, sizes = worked_out(found, values)
            wrong, right = (_value(f, known, sizes) for f in (share.value, g.value))
        gap = np.abs(wrong - right)
        if not np.isfinite(gap).all():
            continue
        i, j = (int(k) for k in np.unravel_index(int(np.argmax(gap)), gap.shape))
        if gap[i, j] > 1e-4 * max(1e-3, float(np.abs(right).max())):
            told = None if values is at else sizes
            return Gap((i, j), float(wrong[i, j]), float(right[i, j]), told)
    return None


def random_values(loss: Expr, seed: int = 0, least: int = 2) -> Values:
    """Short numbers for every symbol; rows of distributions are one-hot."""
    rng = np.random.default_rng(seed)
    sizes: dict[str, int] = {}
    nodes = order([loss])
    shared = [n.args[0] for n in nodes if n.op and n.op.name == "distribution"]
    values: Values = {}
    for s in symbols([loss]):
        rows, columns = (
            d if isinstance(d, int) else sizes.setdefault(d, least + len(sizes))
            for d in s.shape
        )
        values[s] = np.round(rng.uniform(-1, 1, (rows, columns)), 1) + 0.0
        if s in shared:
            values[s] = np.eye(columns)[rng.integers(columns, size=rows)]
        elif s.role == "counter":
            values[s] = np.zeros((rows, columns))
    return values
