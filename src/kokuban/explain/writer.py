"""A derivation as a page: the header, the forward lines, and the steps back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kokuban.entry import Delta, Entry, Index
from kokuban.explain.backward import Gradient, Share, Tape, opened
from kokuban.explain.entries import Entries, Proof, prove
from kokuban.explain.forward import Quantity, in_order, label
from kokuban.explain.latex import tall
from kokuban.explain.layout import (
    SPACE,
    Box,
    Fraction,
    Row,
    Script,
    Struck,
    Term,
    Text,
    bracketed,
    name,
    number,
    row,
    sign,
)
from kokuban.explain.notation import Notation
from kokuban.explain.numbers import Numbers, worst_entry
from kokuban.explain.page import Line, Page, Part, Prose, Step
from kokuban.explain.phrases import Phrases, prose
from kokuban.expr import Call, Expr, Symbol, order, symbols
from kokuban.shape import SCALAR

PARTIAL = sign("∂")


class Writer:
    """One page under way."""

    def __init__(
        self,
        found: Tape,
        phrases: Phrases,
        columns: bool,
        detail: str,
        form: str,
        at: Mapping[Any, Any] | None,
        entry: tuple[int, int] | None,
    ) -> None:
        self.tape, self.say, self.detail, self.form = found, phrases, detail, form
        self.columns = columns
        self.loss = found.quantities[-1].symbol
        boxes: dict[Expr, Box] = {}
        for q in found.quantities:
            boxes[q.symbol] = Term(q.symbol.name, name(q.symbol.name))
            boxes[q.gradient] = Term(q.gradient.name, name(q.gradient.name))
        self.at = Notation(boxes, columns)
        self.values = at
        self.numbers = (
            Numbers(found, at or {}, self.at, entry) if form == "numbers" else None
        )
        self.told: set[str] = set()  # reasons of proofs that have been given
        self.said: dict[tuple[str, Prose], int] = {}  # and in which step

    # ------------------------------------------------------------ the page

    def page(self) -> Page:
        """The whole page."""
        steps = tuple(self._steps())
        return Page(
            self._title(),
            tuple(self._notes()),
            tuple(self._symbols()),
            tuple(self._forward()),
            steps,
            self.say.lang,
        )

    def _title(self) -> Prose:
        lefts: list[Box] = []
        for s in self.tape.wrt[:8]:
            lefts += [sign(","), self.partial(s)] if lefts else [self.partial(s)]
        if len(self.tape.wrt) > 8:
            lefts += [sign(","), Text("…", "sign")]
        size = len(order([self.tape.given], by_name=True))
        formula = self.at.formula(self.tape.given if size <= 16 else self.loss)
        loss = row(self.at.formula(self.loss), "=", formula)
        if formula == self.at.formula(self.loss) or tall(formula):
            return self.say.say("short title", Row(tuple(lefts)))
        return self.say.say("title", Row(tuple(lefts)), loss)

    def _notes(self) -> Iterator[Prose]:
        say = self.say.say
        samples = [s for s in symbols([self.tape.loss]) if "N" in s.shape]
        if samples:
            yield say("columns" if self.columns else "rows")
        elif self.columns:
            yield say("turned")
        yield from (say(key) for key in _reductions(self.tape.loss))
        kinks = list(self._kinks())
        yield from kinks or [say("smooth")]

    def _kinks(self) -> Iterator[Prose]:
        """One sentence for each kind of corner between the loss and what is asked."""
        seen = set()
        for node in _between(self.tape):
            assert node.op is not None
            op, attrs = node.op, dict(node.attrs)
            if op.kinks is None or (op.name, node.attrs) in seen:
                continue
            seen.add((op.name, node.attrs))
            x = Text("x")
            label_box = self.at.formula(node)
            stand = {a: Text("xy"[k]) for k, a in enumerate(node.args)}
            label_box = Notation(dict(stand), self.columns).formula(node)
            if op.name in ("maximum", "minimum", "row_max"):
                yield self.say.say("tie", label_box)
            else:
                slope = attrs.get("at_zero", 0.0) if op.name == "relu" else 0.0
                yield self.say.say("kink", label_box, x, number(slope))

    def _symbols(self) -> Iterator[tuple[Box, Box]]:
        for s in in_order(symbols([self.tape.loss])):
            yield self.at.formula(s), self.at.shape(s.shape)

    def _forward(self) -> Iterator[Line]:
        if self.numbers is not None:
            for s in in_order(symbols([self.tape.loss])):
                yield Line(self.at.formula(s), tuple(self.numbers.parts(s)))
        for q in self.tape.quantities:
            yield self._forward_line(q)
            if q.kind != "loss":  # hundreds of terms say nothing
                yield from self._arithmetic(opened(q.body), self.at.formula(q.symbol))

    def _forward_line(self, q: Quantity) -> Line:
        spelt = opened(q.body)
        sides = [Part(self.at.formula(spelt))]
        if isinstance(spelt, Call):
            sides.append(Part(self.at.formula(spelt.args[0])))
        if self.numbers is not None:
            sides += self.numbers.parts(spelt)
        return Line(self.at.formula(q.symbol), tuple(sides), self.at.shape(q.node.shape))

    def _arithmetic(self, formula: Expr, left: Box) -> Iterator[Line]:
        """One entry of what a formula gives, term by term, in the numbers form."""
        if self.numbers is None:
            return
        if formula.op is None:
            return
        (i, j), *sides = self.numbers.arithmetic(formula)
        if formula.shape == SCALAR:
            yield Line(left, tuple(sides))
            return
        lower = row(number(i), sign(","), number(j))
        plain = isinstance(left, Term) and isinstance(left.body, Text)
        named = left if plain else bracketed(left)
        yield Line(Script(named, lower=lower), tuple(sides))

    # ------------------------------------------------------------ the steps

    def _steps(self) -> Iterator[Step]:
        for count, g in enumerate(self.tape.gradients, 1):
            yield self._step(count, g)

    def partial(self, of: Symbol) -> Box:
        """∂L/∂W."""
        over = row(PARTIAL, self.at.formula(self.loss))
        return Fraction(over, row(PARTIAL, self.at.formula(of)))

    def _step(self, count: int, g: Gradient) -> Step:
        left, parts_ = self.partial(g.of), []
        if g.quantity is not None:
            left = row(self.at.formula(g.quantity.gradient), "=", left)
        shape = self.at.shape(g.of.shape)
        if not g.shares:
            parts_.append(Part(self.at.formula(g.value)))
            reason = self.say.say("zero reason", self.at.formula(g.of))
            return self._made(
                count, g, self.say.word("zero"), reason, left, parts_, shape
            )
        if len(g.shares) == 1:
            (share,) = g.shares
            parts_ += self._sides(share)
            rule, why = self._rule(g.of, share)
            before = self._opened(g, share)
            return self._made(count, g, rule, why, left, parts_, shape, before)
        return self._shared(count, g, left, parts_, shape)

    # ------------------------------------------------------------ entry by entry

    def _proof(
        self, g: Gradient, share: Share, own: Box, through: Box | None
    ) -> Iterator[Line]:
        """The share derived from index forms: its slope, the chain rule, the fold."""
        q = share.through
        above = None if q.kind == "loss" else self._gradient_of(q.symbol).value
        proof = prove(share, g.of, above, self.columns)
        write = Entries(self.at, proof.leaves)
        y, by = write.entry(proof.y), write.entry(proof.by)
        yield Line(y, (Part(write.term(proof.value)[0]),))
        over, under = row(PARTIAL, y), row(PARTIAL, by)
        reason = self._once("delta") if _has_delta(proof) else ()
        slopes = write.polynomial(proof.slopes)
        loss = row(PARTIAL, write.entry(Entry(self.loss.name, 0, 0)))
        left: Box = Fraction(loss, under)
        if through is not None:
            left = Script(bracketed(left), lower=through)
        sides: list[Part] = []
        if proof.chained is None:
            sides.append(Part(slopes, reason))
        else:
            yield Line(Fraction(over, under), (Part(slopes, reason),))
            places = (proof.y.row, proof.y.column)
            letters = sorted(i.name for i in places if isinstance(i, Index))
            gradient = write.entry(Entry(q.gradient.name, proof.y.row, proof.y.column))
            chain: list[Box] = []
            for letter in letters:
                chain += [Script(sign("∑"), lower=Text(letter)), SPACE]
            chain += [gradient, SPACE, Fraction(over, under)]
            sides.append(Part(Row(tuple(chain)), self._once("chain")))
            sides.append(Part(write.polynomial(proof.chained)))
            sides.append(Part(write.polynomial(proof.chosen), self._once("picks")))
        for key, p in proof.put_in:
            why = self.say.say(key, self.at.formula(q.gradient))
            sides.append(Part(write.polynomial(p), why))
        lower = _at_places(own, proof.by, self.columns)
        last = proof.put_in[-1][1] if proof.put_in else proof.chosen
        if any(m.sums for m in last):
            sides.append(Part(write.turned().polynomial(last)))
        sides = [p for k, p in enumerate(sides) if k == 0 or p.box != sides[k - 1].box]
        if proof.folded is None:  # its sums stand inside a function
            yield Line(left, (*sides, Part(lower, self.say.say("own rule"))))
            return
        read = self.at.formula(proof.folded)
        if read != own:
            folded = _at_places(read, proof.by, self.columns)
            sides.append(Part(folded, self._once("fold")))
            sides.append(Part(lower, self._once(self.say.same(share.path[0]))))
        else:
            sides.append(Part(lower, self._once("fold")))
        yield Line(left, tuple(sides))

    def _as_in(self, count: int, rule: str, reason: Prose) -> Prose:
        """A reason, or the step that has given it already."""
        if not reason or self.said.setdefault((rule, reason), count) == count:
            return reason
        return self.say.say("as in", number(self.said[rule, reason]))

    def _once(self, key: str) -> Prose:
        """A reason the first time it is needed; nothing later."""
        if key in self.told:
            return ()
        self.told.add(key)
        return self.say.say(key)

    def _opened(
        self, g: Gradient, share: Share, through: Box | None = None
    ) -> list[Line]:
        """What goes before a share's formula in the form asked for."""
        if self.form == "entries":
            return list(self._proof(g, share, self.at.formula(share.value), through))
        return []

    def _made(
        self,
        count: int,
        g: Gradient,
        rule: str,
        reason: Prose,
        left: Box,
        sides: Sequence[Part],
        shape: Box,
        before: Sequence[Line] = (),
        struck: Sequence[Line] = (),
        remarks: Sequence[Prose] = (),
    ) -> Step:
        if self.detail == "answer":
            sides = [Part(sides[-1].box)]
            reason, before, struck, remarks = (), (), (), ()
        after: list[Line] = []
        if self.numbers is not None:
            sides = [*sides, *self.numbers.parts(g.value)]
            gradient = None if g.quantity is None else g.quantity.gradient
            own = self.partial(g.of) if gradient is None else self.at.formula(gradient)
            after = list(self._arithmetic(g.value, own))
        lines = (*before, Line(left, tuple(sides), shape), *after)
        reason = self._as_in(count, rule, reason)
        return Step(count, g.of.name, rule, reason, lines, tuple(remarks), tuple(struck))

    def _sides(self, share: Share) -> Iterator[Part]:
        """From the rule to what is kept, with the reason of each rewriting."""
        formula = self.at.formula
        if self.detail == "everything" and (share.raw is not share.formula):
            yield Part(formula(share.raw))
            last = share.raw
            for rewrite, after in share.lines if share.inserted is None else ():
                if formula(after) != formula(last):
                    yield Part(formula(after), (self.say.rewrite(rewrite),))
                last = after
            if share.inserted is None:
                return
        if share.inserted is None:
            yield Part(formula(share.value))
            return
        if share.formula is not share.raw or self.detail != "everything":
            yield Part(formula(share.formula))
        above = share.through.gradient
        yield Part(formula(share.inserted), self.say.say("insert", formula(above)))
        if self.detail == "everything":
            last = share.inserted
            for rewrite, after in share.lines:
                if formula(after) != formula(last):
                    yield Part(formula(after), (self.say.rewrite(rewrite),))
                last = after
            return
        yield Part(formula(share.value), self._telling(share))

    def _telling(self, share: Share) -> Prose:
        """The reasons that carry a simplification: what cancels or sums to 1."""
        wanted = ("rows that sum to 1", "multiply out where it cancels",
                  "a product's two complements")  # fmt: skip
        found = [r for r, _ in share.lines if r.name in wanted]
        texts = list(dict.fromkeys(self.say.rewrite(r) for r in found))
        return (self.say.word("joined").join(texts) or self.say.word("simplified"),)

    def _rule(self, of: Symbol, share: Share) -> tuple[str, Prose]:
        """The name of the rule and its reason, of one share."""
        if share.inserted is not None:
            return self._cancelling(of, share)
        rules = [self.say.rule(word) for word in share.path]
        titles = list(dict.fromkeys(title for title, _ in rules))
        reasons = list(dict.fromkeys(why for _, why in rules))
        letters = self._letters(of, share)
        together = self.say.word("joined").join(reasons)
        return ", ".join(titles), prose(together, (), letters)

    def _cancelling(self, of: Symbol, share: Share) -> tuple[str, Prose]:
        later = self._gradient_of(share.through.symbol).shares[0]
        pair = self.say.pair(later.path[0], share.path[0])
        if pair is None:
            titles = [self.say.rule(w)[0] for w in (*share.path, *later.path)]
            pair = ", ".join(dict.fromkeys(titles)), self.say.cancels
        return pair[0], prose(pair[1], (), self._letters(of, share))

    def _letters(self, of: Symbol, share: Share) -> dict[str, Box]:
        return {
            "x": self.at.formula(of),
            "y": self.at.formula(share.through.symbol),
            "g": self.at.formula(share.through.gradient),
        }

    def _gradient_of(self, of: Symbol) -> Gradient:
        return next(g for g in self.tape.gradients if g.of is of)

    # ------------------------------------------------------------ several uses

    def _shared(
        self, count: int, g: Gradient, left: Box, sides: list[Part], shape: Box
    ) -> Step:
        """Each use's share on a line of its own, then their sum."""
        labels = self._labels(g)
        lines, titles = [], []
        for share, own in zip(g.shares, labels, strict=True):
            rule, why = self._rule(g.of, share)
            *first, last = self._sides(share)
            reason = last.reason or self._as_in(count, rule, why)
            lines += self._opened(g, share, own.lower)
            told = [*first, Part(last.box, reason)]
            if self.numbers is not None:
                told += self.numbers.parts(share.value)
            lines.append(Line(own, tuple(told), shape))
            titles.append(rule)
        total: list[Box] = []
        for own in labels:
            total += [sign("+"), own] if total else [own]
        sides = [*sides, Part(Row(tuple(total))), Part(self.at.formula(g.value))]
        times = number(len(g.shares))
        asked = g.of in self.tape.wrt and g.quantity is None
        word = "shared" if asked else "paths"
        title = self.say.word(word)
        reason = self.say.say(f"{word} reason", self.at.formula(g.of), times)
        inner = [share for share in g.shares if share.through.kind != "loss"]
        struck, remarks = self._wrong(g, inner) if asked and inner[1:] else ((), ())
        return self._made(
            count, g, title, reason, left, sides, shape, lines, struck, remarks
        )

    def _labels(self, g: Gradient) -> list[Script]:
        """(∂L/∂W)_U: the share through U."""
        whole = bracketed(self.partial(g.of))
        return [
            Script(whole, lower=self.at.formula(share.through.symbol))
            for share in g.shares
        ]

    def _wrong(
        self, g: Gradient, uses: Sequence[Share]
    ) -> tuple[tuple[Line, ...], tuple[Prose, ...]]:
        """The chain rule through one use alone, struck out, and how far it is off."""
        first, *others = uses
        wrong = row(self.partial(g.of), "=", self.at.formula(first.value))
        line = Line(None, (Part(Struck(wrong)),))
        missing: list[Box] = []
        for share in others:
            missing += [sign(",")] if missing else []
            missing.append(self.at.formula(share.through.symbol))
        through = self.at.formula(first.through.symbol)
        told = [self.say.say("wrong", through, Row(tuple(missing)))]
        found = worst_entry(self.tape, g, first, self.values)
        if found is None:
            told.append(self.say.say("no numbers"))
        else:
            i, j = found.entry[::-1] if self.columns else found.entry
            where = (
                self.say.say("given")
                if found.sizes is None
                else self.say.say("random", _sizes(found.sizes))
                if found.sizes
                else self.say.say("random plain")
            )
            values = (number(v, 4) for v in (found.claim, found.gradient))
            boxes = (number(i + 1), number(j + 1), *values)
            told.append(self.say.say("wrong numbers", *boxes, at=where))
        return (line,), tuple(told)


def _has_delta(proof: Proof) -> bool:
    return any(isinstance(f, Delta) for m in proof.slopes for f, _ in m.factors)


def _at_places(whole: Box, by: Entry, columns: bool) -> Box:
    """(whole)_pq: an entry of what is written; all of it where there is only one."""
    places = (by.column, by.row) if columns else (by.row, by.column)
    found = [Text(p.name) for p in places if isinstance(p, Index)]
    return Script(bracketed(whole), lower=Row(tuple(found))) if found else whole


def _sizes(sizes: Mapping[str, int]) -> Box:
    items: list[Box] = []
    for dim, size in sizes.items():
        items += [sign(","), SPACE] if items else []
        items.append(row(name(dim), "=", number(size)))
    return Row(tuple(items))


MEAN_OF_ROWS = (
    *("cross_entropy", "softmax_cross_entropy"),
    *("binary_cross_entropy", "sigmoid_cross_entropy"),
)
MEAN_OF_ENTRIES = ("mse", "mae", "huber", "quantile", "poisson", "gaussian", "mean")


def _reductions(loss: Expr) -> Iterator[str]:
    """How the loss's parts put its entries together, for the header."""
    words = {label(n) for n in order([loss], by_name=True) if n.shape == (1, 1)}
    said = False
    for key, names in (
        ("mean of rows", MEAN_OF_ROWS),
        ("mean of entries", MEAN_OF_ENTRIES),
        ("half sum", ("half_sum_of_squares",)),
    ):
        if words & set(names):
            said = True
            yield key
    if not said:
        yield "own reduction"


def _between(found: Tape) -> list[Expr]:
    """The operations between what is asked and the loss."""
    reached = set(found.asked) | set(found.wrt)
    between = []
    for node in order([found.loss]):
        if node.op is not None and any(a in reached for a in node.args):
            reached.add(node)
            between.append(node)
    return between
