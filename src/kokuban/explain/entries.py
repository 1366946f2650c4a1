"""The proof of a step entry by entry: sums, deltas, the chain rule, and the fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kokuban.entry import Call, Delta, Entry, Index, Largest, Number, Sum, Term
from kokuban.explain.backward import Share, opened
from kokuban.explain.calculus import (
    Calculus,
    Monomial,
    Place,
    Polynomial,
    Unfoldable,
    collected,
    exact,
    indices,
    inserted,
    known_by_name,
    leaf_name,
    picked,
    replaced,
    rows_of_one,
    slope,
)
from kokuban.explain.folding import Folding
from kokuban.explain.layout import (
    SPACE,
    TOP,
    Box,
    Fence,
    Fraction,
    Root,
    Row,
    Script,
    Term as Named,
    Text,
    bracketed,
    coefficient,
    name,
    number,
    row,
    sign,
)
from kokuban.explain.notation import JOINED, MINUS, SIGMA, Notation
from kokuban.expr import Expr, Symbol, order
from kokuban.op import ATOM, POWER, PRODUCT, SUM
from kokuban.rewrite import simplify
from kokuban.shape import Dim

Shown = tuple[Box, int]


@dataclass(frozen=True, slots=True)
class Proof:
    """A share of a gradient by an entry, line by line as polynomials in entries.

    y, by      the entries that are differentiated and differentiated by
    value      the first, in entries
    slopes     its slope, in deltas
    chained    with the gradient from above, summed; None where the loss is reached
    chosen     after the deltas have picked
    put_in     with that gradient written out, where that simplifies; what the targets'
               rows do to it: each with the key of its reason
    folded     the last of these as a matrix; None where it is none
    leaves     the matrices whose entries these are, by name
    """

    y: Entry
    by: Entry
    value: Term
    slopes: Polynomial
    chained: Polynomial | None
    chosen: Polynomial
    put_in: tuple[tuple[str, Polynomial], ...]
    folded: Expr | None
    leaves: Mapping[str, Expr]


def index(letter: str, over: Dim) -> Place:
    """An index over a dimension, or 0 where there is only one."""
    return 0 if over == 1 else Index(letter, over)


def prove(share: Share, of: Symbol, above: Expr | None, columns: bool = False) -> Proof:
    """Derive a share from the index forms alone; `above` is what the gradient is.

    Indices are called s, t and p, q in the order in which they will be written.
    """
    q = share.through
    calculus = Calculus()
    s, t = (
        index(x, d) for x, d in zip("ts" if columns else "st", q.body.shape, strict=True)
    )
    p, r = (index(x, d) for x, d in zip("qp" if columns else "pq", of.shape, strict=True))
    y, by = Entry(q.symbol.name, s, t), Entry(of.name, p, r)
    body = opened(q.body)
    value = calculus.in_order(body, s, t, columns)
    found = picked(calculus.normal(slope(value, by)))
    found = collected(known_by_name(found, calculus.normal(value), y))
    leaves = matrices(body) | {q.symbol.name: q.symbol, q.gradient.name: q.gradient}
    chained = None
    chosen = found
    if q.kind != "loss":
        chained = [_under(m, q.gradient.name, s, t) for m in found]
        chosen = collected(picked(chained))
    put_in: list[tuple[str, Polynomial]] = []
    last = chosen
    if share.inserted is not None and above is not None:
        leaves |= matrices(above)
        last = collected(inserted(calculus, chosen, q.gradient.name, above))
        put_in.append(("insert", last))
    marked = [n for f in (q.body, above) if f is not None for n in _distributions(f)]
    of_one = collected(rows_of_one(last, marked))
    if of_one != last:
        last = of_one
        put_in.append(("rows of one", last))
    try:
        folded = simplify(Folding(leaves).polynomial(last, p, r))
    except Unfoldable:
        folded = None
    return Proof(y, by, value, found, chained, chosen, tuple(put_in), folded, leaves)


def matrices(formula: Expr) -> dict[str, Expr]:
    """What the entries of a formula are entries of, by name."""
    return {
        leaf_name(n): n for n in order([formula]) if n.op is None or n.op.entry is None
    }


def _distributions(formula: Expr) -> list[str]:
    """The matrices whose rows sum to 1."""
    marks = (n for n in order([formula]) if n.op and n.op.name == "distribution")
    return [leaf_name(n.args[0]) for n in marks]


def _under(m: Monomial, gradient: str, s: Place, t: Place) -> Monomial:
    over = (i for i in (s, t) if isinstance(i, Index))
    sums = tuple(sorted(over, key=lambda i: i.name))
    return Monomial(m.number, (*sums, *m.sums), ((Entry(gradient, s, t), 1), *m.factors))


# ---------------------------------------------------------------- on the page


class Entries:
    """How terms and polynomials are written, in rows or in columns."""

    def __init__(
        self, at: Notation, leaves: Mapping[str, Expr], turned: bool = False
    ) -> None:
        self.at, self.leaves, self._turned = at, leaves, turned

    def turned(self) -> Entries:
        """The same, but x_sp as (Xᵀ)_ps: indices in the order of a product."""
        return Entries(self.at, self.leaves, turned=True)

    def polynomial(self, p: Polynomial) -> Box:
        """A sum of monomials."""
        if not p:
            return number(0)
        items: list[Box] = []
        ordered = sorted(p, key=lambda m: m.number < 0)
        for m in ordered:
            minus, box = self._monomial(_relabelled(m))
            if len(p) == 1 and not minus and isinstance(box, Fence) and box.left == "(":
                box = box.body
            if items:
                items.append(sign("-" if minus else "+"))
            elif minus:
                items.append(MINUS)
            items.append(box)
        return Row(tuple(items))

    def _monomial(self, m: Monomial) -> tuple[bool, Box]:
        over = [(f, k) for f, k in m.factors if k > 0]
        under = [(f, -k) for f, k in m.factors if k < 0]
        above, under_number = _scale(abs(m.number))
        over.sort(key=_written_when)
        simple = [x for x in over if isinstance(x[0], Entry) and not _has_index(x[0])]
        top = above + [self.power(f, k) for f, k in simple]
        rest = [x for x in over if x not in simple]
        scalars = [x for x in under if not _has_index(x[0])]
        matrices = [x for x in under if x not in scalars]
        bottom = under_number + [self.power(f, k) for f, k in scalars]
        items: list[Box] = []
        if not (top or bottom or rest or matrices):
            top = [number(1)]
        if bottom:
            items.append(Fraction(_joined(top or [number(1)]), _joined(bottom),
                                  (len(top) > 1, len(bottom) > 1)))  # fmt: skip
        else:
            items += top
        summed = set(m.sums)
        for inside in (False, True):  # what does not vary stands before the sum
            if inside:
                items += [self._sigma(i) for i in m.sums]
            up, down = (
                [x for x in some if bool(summed & set(indices(x[0]))) == inside]
                for some in (rest, matrices)
            )
            items += self._ratio(up, down)
        return m.number < 0, _joined(items)

    def _ratio(
        self, over: Sequence[tuple[Term, int]], under: Sequence[tuple[Term, int]]
    ) -> list[Box]:
        top = [self.power(f, k) for f, k in over]
        if not under:
            return top
        if len(under) == 1 and under[0][1] == 1:
            box, holds = self.term(under[0][0])
            bottom, loose = [box], holds <= JOINED
        else:
            bottom, loose = [self.power(f, k) for f, k in under], len(under) > 1
        return [
            Fraction(_joined(top or [number(1)]), _joined(bottom), (len(top) > 1, loose))
        ]

    def _sigma(self, i: Index) -> Box:
        return Script(sign("∑"), lower=name(i.name))

    def power(self, f: Term, k: int) -> Box:
        """A factor to a whole power."""
        box, holds = self.term(f)
        if k == 1:
            return bracketed(box) if holds <= SUM or isinstance(f, Sum) else box
        base = bracketed(box) if holds < ATOM else box
        if isinstance(base, Named) and _numbered(base):
            base = bracketed(base)
        return Script(base, upper=number(k))

    def entry(self, t: Entry) -> Box:
        """x_sk: a small letter for a matrix, with its layer's number above."""
        if t.matrix in _DIMENSIONS or (t.row == 0 and t.column == 0):
            return Named(t.matrix, name(t.matrix))
        places = (t.column, t.row) if self.at.columns else (t.row, t.column)
        found = [self._place(p) for p in places if isinstance(p, Index)]
        close = all(not p.shift for p in places if isinstance(p, Index))
        lower = found[0] if len(found) == 1 else row(*(
            found if close else [found[0], sign(","), found[1]]
        ))  # fmt: skip
        leaf = self.leaves.get(t.matrix)
        plain = leaf is None or isinstance(leaf, Symbol)
        matrix = name(t.matrix) if plain or leaf is None else self.at.formula(leaf)
        if self._turned and _across(found):
            whole = bracketed(Script(matrix, upper=TOP))
            return Named(t.matrix, Script(whole, lower=row(*found[::-1])))
        if not plain:
            return Script(bracketed(matrix), lower=lower)
        box = name(t.matrix)
        upper: Box | None = None
        if (
            isinstance(box, Script)
            and t.matrix.removeprefix(_base(box)).lstrip("_").isdigit()
        ):
            assert box.lower is not None
            upper = bracketed(box.lower)
            box = box.base
        elif isinstance(box, Script) and box.upper is not None and box.lower is None:
            upper, box = box.upper, box.base
        if isinstance(box, Text):
            small = box.text if box.text in ("Δ", "Γ") else box.text.lower()
            return Named(t.matrix, Script(Text(small), lower, upper))
        return Named(t.matrix, Script(bracketed(box), lower))

    def _place(self, p: Index) -> Box:
        box = name(_letter(p.name))
        if not p.shift:
            return box
        return row(box, sign("+" if p.shift > 0 else "−"), number(abs(p.shift)))

    def term(self, t: Term) -> Shown:
        """A term as it stands."""
        match t:
            case Number(value):
                return number(value), ATOM if value >= 0 else SUM
            case Entry():
                return self.entry(t), ATOM
            case Delta(left, right):
                places = (self._place(left), self._place(right))
                return Script(Text("δ"), lower=row(*places)), ATOM
            case Sum(own, Call("neg", (body,))):
                return row(MINUS, self.term(Sum(own, body))[0]), SUM
            case Sum(own, body):
                return row(
                    self._sigma(_shown_index(own)), SPACE, self.within(body, SIGMA)
                ), SIGMA
            case Largest(own, body):
                lower = name(_letter(own.name))
                most = Script(Text("max", "function"), lower=lower)
                return row(most, SPACE, self.within(body, PRODUCT)), POWER
            case Call(function, arguments):
                return self._call(function, arguments)
        raise TypeError(f"no term: {t!r}")

    def within(self, t: Term, least: int) -> Box:
        """A term, in brackets if it holds less tightly than `least`."""
        box, holds = self.term(t)
        return bracketed(box) if holds < least else box

    def _call(self, function: str, arguments: Sequence[Term]) -> Shown:
        if function in ("+", "-"):
            a, b = arguments
            if function == "+" and isinstance(b, Call) and b.function == "neg":
                function, b = "-", b.arguments[0]
            return row(self.within(a, SUM), function, self.within(b, SUM + 1)), SUM
        if function == "neg":
            return row(MINUS, self.within(arguments[0], SIGMA)), SUM
        if function == "*":
            a, b = arguments
            if isinstance(b, Number) and not isinstance(a, Number):
                a, b = b, a
            if isinstance(a, Number) and a.value > 0:
                scale = coefficient(a.value)
                return _joined([scale, self.within(b, SIGMA)]), PRODUCT
            return _joined([self.within(a, PRODUCT), self.within(b, PRODUCT)]), PRODUCT
        if function == "/":
            return self._quotient(*arguments)
        if function == "**":
            base, exponent = arguments
            upper = self.term(exponent)[0]
            inner = self.within(base, ATOM)
            if isinstance(inner, Named) and _numbered(inner):
                inner = bracketed(inner)
            return Script(inner, upper=upper), POWER
        if function == "exp":
            return Script(Text("e"), upper=self.term(arguments[0])[0]), ATOM
        if function == "log":
            inner = self.within(arguments[0], ATOM)
            return row(Text("ln", "function"), SPACE, inner), JOINED
        if function == "sqrt":
            return Root(self.term(arguments[0])[0]), ATOM
        if function == "abs":
            return Fence("|", self.term(arguments[0])[0], "|"), ATOM
        if function == "step" and isinstance(arguments[1], Number):
            return self._step(arguments[0], arguments[1].value)
        label = {"maximum": "max", "minimum": "min", "relu": "ReLU"}.get(
            function, function
        )
        shown = arguments[:1] if function == "relu" else arguments
        inside: list[Box] = []
        for a in shown:
            inside += [sign(","), self.term(a)[0]] if inside else [self.term(a)[0]]
        return row(Text(label, "function"), bracketed(Row(tuple(inside)))), ATOM

    def _step(self, x: Term, at_zero: float) -> Shown:
        test = row(self.within(x, SUM), ">" if at_zero == 0 else "≥", number(0))
        if at_zero in (0.0, 1.0):
            return Fence("[", test, "]"), ATOM
        label = Script(Text("step", "function"), lower=number(at_zero))
        return row(label, bracketed(self.term(x)[0])), ATOM

    def _quotient(self, a: Term, b: Term) -> Shown:
        """A quotient; a number below goes before a sum: 1/N Σ …"""
        below, holds = self.term(b)
        loose = holds <= JOINED
        if b == Number(1.0):
            return self.term(a)
        if isinstance(a, Call) and a.function == "neg":
            box, _ = self._quotient(a.arguments[0], b)
            return row(MINUS, box), SUM
        if _is_size(b) and not isinstance(a, Number):
            one = Fraction(number(1), below, (False, loose))
            return row(one, SPACE, self.within(a, SIGMA)), PRODUCT
        above, have = self.term(a)
        return Fraction(above, below, (have <= JOINED, loose)), PRODUCT


_DIMENSIONS = ("N",)


def _shown_index(own: Index) -> Index:
    return Index(_letter(own.name), own.over)


def _letter(text: str) -> str:
    """A bound index's letter: those inside functions are named by their depth."""
    return "kmnr"[int(text[1:]) % 4] if text.startswith("\x00") else text


def _is_size(t: Term) -> bool:
    """Whether a term is made of numbers and sizes alone."""
    if isinstance(t, Call):
        return all(map(_is_size, t.arguments))
    return isinstance(t, Number) or (isinstance(t, Entry) and not _has_index(t))


def _has_index(t: Term) -> bool:
    return any(True for _ in indices(t))


def _scale(size: float) -> tuple[list[Box], list[Box]]:
    """What stands above and below a fraction bar for a positive number, ones left out."""
    ratio = exact(size)
    if ratio.denominator >= 2**20:
        return [number(size)], []
    above = [] if ratio.numerator == 1 else [number(ratio.numerator)]
    return above, [] if ratio.denominator == 1 else [number(ratio.denominator)]


def _written_when(factor: tuple[Term, int]) -> int:
    """The order of factors: by the result's row p, others, by its column q, deltas."""
    t, _ = factor
    names = {i.name for i in indices(t)}
    if isinstance(t, Delta):
        return 3 if "p" in names else 4
    if ("p" in names) == ("q" in names):
        return 1
    return 0 if "p" in names else 2


def _across(places: Sequence[Box]) -> bool:
    """Whether an entry's indices stand against the order of the result's, p and q."""
    if len(places) != 2:
        return False
    first, last = places
    return (first == name("q")) != (last == name("p"))


def _base(box: Script) -> str:
    return box.base.text if isinstance(box.base, Text) else ""


def _numbered(box: Named) -> bool:
    """Whether a layer's number stands above an entry, where a power would go."""
    return isinstance(box.body, Script) and box.body.upper is not None


def _joined(boxes: Sequence[Box]) -> Box:
    items: list[Box] = []
    for box in boxes:
        items += [SPACE, box] if items else [box]
    return items[0] if len(items) == 1 else Row(tuple(items))


def _relabelled(m: Monomial) -> Monomial:
    """The indices that are summed over as k, l, m, … unless they are s or t."""
    letters = iter("kmnruvij")
    for own in m.sums:
        if own.name in ("s", "t"):
            continue
        new = Index(next(letters, own.name), own.over)
        factors = tuple((replaced(f, own, new), k) for f, k in m.factors)
        sums = tuple(new if s == own else s for s in m.sums)
        m = Monomial(m.number, sums, factors)
    return m
