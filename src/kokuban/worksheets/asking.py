"""Questions about a network in entries and in matrices, samples in columns.

What is asked is a formula of the engine; here it becomes a line with a gap, and a blank
that the grader can read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from kokuban.entry import Call, Delta, Entry, Index, Largest, Number, Sum, Term
from kokuban.explain import text as in_text
from kokuban.explain.backward import Tape, opened
from kokuban.explain.calculus import (
    Calculus,
    Monomial,
    Polynomial,
    replaced,
)
from kokuban.explain.entries import Entries, matrices, prove
from kokuban.explain.layout import Box, Term as Named, name, number, read
from kokuban.explain.notation import Notation
from kokuban.explain.page import Line, Part
from kokuban.explain.phrases import Phrases, prose
from kokuban.expr import (
    Expr,
    Symbol,
    substitute,
    symbols,
)
from kokuban.formula import text
from kokuban.ops import ones
from kokuban.rewrite import simplify
from kokuban.shape import Dim, Shape
from kokuban.worksheets.making import (
    NARROW,
    WIDE,
    Blanks,
    without_marks,
)
from kokuban.worksheets.mirror import in_columns
from kokuban.worksheets.sheet import Item, Section

LETTERS: Final[dict[Dim, str]] = {"l": "ih", "m": "jq", "n": "rks", 3: "ih", 2: "rs"}

Places = tuple[str, str]  # letters of an entry's row and column, samples in rows; or ""
Both = tuple[str, str]  # in English and in Japanese


@dataclass(frozen=True)
class Net:
    """One board of the deck: its derivation, and its place among the sheet's boards."""

    tape: Tape
    board: int
    at: Notation

    def symbol(self, own: str) -> Symbol:
        """What stands for a quantity, a gradient or a symbol."""
        known = [s for q in self.tape.quantities for s in (q.symbol, q.gradient)]
        known += symbols([self.tape.loss])
        return next(s for s in known if s.name == own)

    def body(self, own: str) -> Expr:
        """A quantity's formula."""
        return next(q.body for q in self.tape.quantities if q.symbol.name == own)

    def gradient(self, own: str) -> Expr:
        """The loss's gradient by what has the name, as the derivation has it."""
        return next(g.value for g in self.tape.gradients if g.of.name == own)

    def shown_shape(self, formula: Expr) -> Shape:
        """A formula's shape, samples in columns."""
        return formula.shape[::-1]

    def spelt(self, formula: Expr, *gradients: str) -> Expr:
        """A formula with the gradients by some quantities put in."""
        for own in gradients:
            q = next(q for q in self.tape.quantities if q.symbol.name == own)
            (formula,) = substitute([formula], {q.gradient: self.gradient(own)})
        return formula

    def local(self, own: str, of: str) -> Expr:
        """The slope of a quantity by what it is an entrywise function of."""
        found = next(g for g in self.tape.gradients if g.of.name == of)
        (share,) = [s for s in found.shares if s.through.symbol.name == own]
        above = share.through.gradient
        (alone,) = substitute([share.formula], {above: ones(above.shape)})
        return simplify(alone)


class Asking:
    """A worksheet under way: what makes its lines, and keeps the blanks and boards."""

    def __init__(self, lang: str) -> None:
        self.lang = Phrases(lang, True).lang
        self.blanks, self.boards = Blanks(), list[str]()

    def say(self, en: str, ja: str) -> str:
        """The text of the two that is in the sheet's language."""
        return ja if self.lang == "ja" else en

    def registered(self, found: Tape, written: str) -> Net:
        """A derivation, its board noted as one of the sheet's."""
        if written not in self.boards:
            self.boards.append(written)
        boxes: dict[Expr, Box] = {}
        for q in found.quantities:
            boxes[q.symbol] = Named(q.symbol.name, name(q.symbol.name))
            boxes[q.gradient] = Named(q.gradient.name, name(q.gradient.name))
        return Net(found, self.boards.index(written), Notation(boxes, True))

    def entry(
        self,
        net: Net,
        own: str,
        left: str,
        formula: Expr | Polynomial,
        places: Places,
        known: str,
        where: Sequence[str] = (),
        width: int = WIDE,
    ) -> Line:
        """left = gap, answered by a formula in entries."""
        write = Entries(net.at, self._leaves(net))
        if isinstance(formula, Expr):
            dims = (formula.shape, places)
            term = entry_of(formula, places)
            box = write.term(term)[0]
            over = {p: d for d, p in zip(*dims, strict=True) if p}
        else:
            box = write.polynomial(formula)
            over = _free(formula, where)
        gap = self.blanks.gap(
            width, box, name=own, kind="entries", board=net.board,
            answer=in_text.text(box), known=tuple(known.split()), where=tuple(where),
            indices=tuple((p, str(d)) for p, d in over.items() if not p.isdigit()),
        )  # fmt: skip
        return Line(read(left), (Part(gap),))

    def _leaves(self, net: Net) -> dict[str, Expr]:
        found: dict[str, Expr] = {}
        for q in net.tape.quantities:
            found |= matrices(q.body)
            found |= {q.symbol.name: q.symbol, q.gradient.name: q.gradient}
        return found

    def formula(
        self, net: Net, own: str, left: str, formula: Expr, known: str, by: str = ""
    ) -> Line:
        """left = gap, answered by a formula in matrices, samples in columns."""
        (bare,) = without_marks([formula])
        answer = in_columns(bare)
        gap = self.blanks.gap(
            WIDE, net.at.formula(formula), name=own, kind="formula", board=net.board,
            answer=text(answer), known=tuple(known.split()), by=by,
        )  # fmt: skip
        return Line(read(left), (Part(gap),), net.at.shape(formula.shape))

    def number(self, net: Net, own: str, left: str, value: float) -> Line:
        """left = gap, answered by a number."""
        gap = self.blanks.gap(
            NARROW, number(value), name=own, kind="number", board=net.board,
            answer=repr(value),
        )  # fmt: skip
        return Line(read(left), (Part(gap),))

    def item(
        self, lines: Sequence[Line], en: str = "", ja: str = "", *boxes: Box
    ) -> Item:
        """Lines under a sentence; its formulas are between dollar signs."""
        return Item((), prose(self.say(en, ja), boxes, {}), tuple(lines))

    def section(self, heading: Both, *items: Item) -> Section:
        """Items under a heading."""
        return Section(prose(self.say(*heading), (), {}), items=items)

    def slope(
        self, net: Net, own: str, by: str, at: Places, apart: str = ""
    ) -> Polynomial:
        """∂u_k/∂w_kj: the slope of an entry by one; at `apart`, of another entry."""
        found = next(g for g in net.tape.gradients if g.of.name == by)
        (share,) = [s for s in found.shares if s.through.symbol.name == own]
        proof = prove(share, found.of, None, True)
        places = [proof.y.column, proof.by.row, proof.by.column]
        letters = [apart or at[1], at[0], at[1]]
        renaming = {
            p: Index(x, p.over)
            for p, x in zip(places, letters, strict=True)
            if isinstance(p, Index)
        }
        return _renamed(proof.slopes, renaming, bool(apart))


# ---------------------------------------------------------------- terms and their letters


def entry_of(formula: Expr, places: Places) -> Term:
    """An entry of a formula in entries, its sums over letters of the deck."""
    shape = zip(places, formula.shape, strict=True)
    at = [Index(f"free {p}", d) if p else 0 for p, d in shape]
    found = Calculus().in_entries(opened(formula), at[0], at[1])
    free = {f"free {p}": p for p in places if p}
    return _lettered(found, free, frozenset(free.values()))


def _lettered(t: Term, names: Mapping[str, str], taken: frozenset[str]) -> Term:
    """A term with its indices renamed, those of sums to letters that are not taken."""

    def place(p: Index | int) -> Index | int:
        return Index(names.get(p.name, p.name), p.over) if isinstance(p, Index) else p

    match t:
        case Entry(matrix, row_, column):
            return Entry(matrix, place(row_), place(column))
        case Sum(own, body) | Largest(own, body):
            letter = next(x for x in LETTERS[own.over] if x not in taken)
            inner = _lettered(body, {**names, own.name: letter}, taken | {letter})
            index = Index(letter, own.over)
            return Sum(index, inner) if isinstance(t, Sum) else Largest(index, inner)
        case Call(function, arguments):
            return Call(function, tuple(_lettered(a, names, taken) for a in arguments))
    return t


def _renamed(
    found: Polynomial, renaming: Mapping[Index, Index], apart: bool
) -> Polynomial:
    """A slope at letters of the deck: its deltas 1 where they agree, 0 where apart."""
    kept = []
    for m in found:
        powers: dict[Term, int] = {}
        vanishes = False
        for f, k in m.factors:
            for index, new in renaming.items():
                f = replaced(f, index, new)
            if isinstance(f, Delta):
                vanishes |= apart and f.left != f.right
                continue
            if f != Number(1.0):
                powers[f] = powers.get(f, 0) + k
        if not vanishes:
            kept.append(Monomial(m.number, m.sums, tuple(powers.items())))
    return kept


def _free(found: Polynomial, where: Sequence[str]) -> dict[str, Dim]:
    """The letters of a polynomial that no sum binds, and what they run over."""
    free: dict[str, Dim] = {}
    for m in found:
        bound = {s.name for s in m.sums}
        for f, _ in m.factors:
            places = (f.row, f.column) if isinstance(f, Entry) else ()
            free |= {
                p.name: p.over
                for p in places
                if isinstance(p, Index) and p.name not in bound
            }
    return free
