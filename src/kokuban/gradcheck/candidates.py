"""Wrong formulas to hold a claim against, each with the mistake that makes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from kokuban.errors import ExpressionError, KokubanError
from kokuban.explain.backward import Tape, tape
from kokuban.explain.forward import expressed
from kokuban.explain.layout import name
from kokuban.explain.text import text
from kokuban.expr import Call, Expr, Symbol, order, substitute, symbols, written
from kokuban.gradcheck.formulas import changed
from kokuban.gradcheck.mistakes import ROWS, Mistake, Row, other
from kokuban.gradcheck.sweep import Edge, Sweep, Swept
from kokuban.gradient import grad
from kokuban.ops import binary_cross_entropy, cross_entropy, log, sigmoid, softmax


@dataclass(frozen=True, slots=True)
class Candidate:
    """A wrong formula, and what is wrong with it.

    swept   the sweep that gave it and where the rule was put in, if one did
    line    the number of the derivation's step that is wrong, if known
    """

    value: Expr
    mistakes: tuple[Mistake, ...]
    swept: Swept | None = None
    rule: tuple[Row, Edge] | None = None
    line: int | None = None


def formulas(right: Expr) -> Iterator[Candidate]:
    """One thing wrong in a formula."""
    for c in changed(right):
        yield Candidate(c.value, (Mistake(c.name, c.en, c.ja),))


class Way:
    """The way back from a loss to what it is differentiated by, and its wrong turns."""

    def __init__(self, loss: Expr, wrt: Expr) -> None:
        given = {} if isinstance(wrt, Symbol) else {wrt: "Z"}
        self.tape: Tape | None
        try:
            self.tape = tape(loss, [wrt], given)
        except KokubanError:  # nothing to derive: the sweep alone must do
            self.tape = None
            self.loss, self.wrt = _by_hand([loss, wrt])
            self.names = dict[Expr, Symbol]()
        else:
            found = self.tape
            asked = next(iter(found.asked))
            nodes = [q.node for q in found.quantities]
            self.loss, self.wrt, *rest = _by_hand([found.loss, asked, *nodes])
            own = (q.symbol for q in found.quantities)
            self.names = dict(zip(rest, own, strict=True))
        self.sweep = Sweep(self.loss, self.wrt)

    def called(self, node: Expr) -> str:
        """A node by its name in the derivation, else as a formula in such names."""
        if node in self.names:
            return text(name(self.names[node].name))
        try:
            return written(expressed(node, self.names), 4, 50)
        except KokubanError:
            return written(node, 4, 50)

    # ------------------------------------------------------------ wrong rules

    @cached_property
    def singles(self) -> list[Candidate]:
        """Every mistake of the table at every edge, the plausible first."""
        if self.wrt not in self.sweep.right.gradient:
            return []
        tried = (
            self._wrong(self.sweep.right, row, edge)
            for row in ROWS
            for edge in self.sweep.edges
        )
        return [c for c in tried if c is not None]

    def pairs(self, singles: Sequence[Candidate]) -> Iterator[Candidate]:
        """Two of these mistakes, in the order of plausibility."""
        for total in range(2 * len(singles)):
            for first in range(max(0, total - len(singles) + 1), (total + 1) // 2):
                found = self._both(singles[first], singles[total - first])
                if found is not None:
                    yield found

    def _both(self, one: Candidate, two: Candidate) -> Candidate | None:
        if two.rule is None:
            one, two = two, one
        if one.swept is None or two.rule is None:
            return None
        row, edge = two.rule
        if edge in one.swept.rules or edge.y not in one.swept.gradient:
            return None
        return self._wrong(one.swept, row, edge, one.mistakes)

    def _wrong(
        self, start: Swept, row: Row, edge: Edge, before: tuple[Mistake, ...] = ()
    ) -> Candidate | None:
        """A row's rule put in at an edge; None where it says nothing or does not fit."""
        try:
            if row.make(edge, start.gradient[edge.y]) is None:
                return None
            found = self.sweep.wrong(edge, lambda e, g: _share(row, e, g), start)
        except KokubanError:  # the shapes do not fit
            return None
        value = self.sweep.result(found)
        if value is self.sweep.result(start):
            return None
        mistakes = (*before, self._mistake(row, edge))
        return Candidate(value, mistakes, found, (row, edge))

    def _mistake(self, row: Row, edge: Edge) -> Mistake:
        if "{" not in row.en:
            return Mistake(row.name, row.en, row.ja)
        assert edge.y.op is not None
        words = {
            "f": edge.y.name if isinstance(edge.y, Call) else edge.y.op.name,
            "x": self.called(edge.x),
            "y": self.called(edge.y),
            "other": self.called(other(edge)) if len(edge.y.args) == 2 else "",
            "p": f"{dict(edge.y.attrs).get('exponent', 1):g}",
            "n": edge.samples or "",
        }
        return Mistake(row.name, row.en.format(**words), row.ja.format(**words))

    # ------------------------------------------------------------ wrong lines

    def lines(self) -> Iterator[Candidate]:
        """One thing wrong in the formula that a line of the derivation finds."""
        found = self.tape
        if found is None:
            return
        nodes = {symbol: node for node, symbol in self.names.items()}
        right = self.sweep.right.gradient
        meant = dict[Expr, Expr]()  # what the names in a line stand for
        for q in found.quantities:
            meant[q.symbol] = nodes[q.symbol]
            if nodes[q.symbol] in right:
                meant[q.gradient] = right[nodes[q.symbol]]
        for line, g in enumerate(found.gradients, 1):
            last = g is found.gradients[-1]
            if not last and nodes.get(g.of) not in right:
                continue
            for c in changed(g.value):
                swept = None
                try:
                    (value,) = substitute([c.value], meant)
                    if not last:
                        swept = self.sweep.put_in(nodes[g.of], value)
                        value = self.sweep.result(swept)
                except KokubanError:  # of another shape
                    continue
                mistake = Mistake(c.name, c.en, c.ja)
                yield Candidate(value, (mistake,), swept, line=line)

    def others(self) -> Iterator[Candidate]:
        """The gradients by something else: right formulas in the wrong place."""
        wanted = [*self.names, *symbols([self.loss])]
        wanted = [n for n in wanted if n not in (self.wrt, self.loss)]
        by = self.called(self.wrt)
        for node, value in zip(
            wanted, grad(self.loss, wanted, simplify=False), strict=True
        ):
            own = self.called(node)
            mistake = Mistake(
                "other-gradient",
                f"this is the gradient by {own}, not by {by}.",
                f"これは {by} でなく {own} による勾配である。",
            )
            yield Candidate(value, (mistake,))

    # ------------------------------------------------------------ where

    def line(self, candidate: Candidate) -> int | None:
        """The number of the first step of the derivation that is wrong."""
        if candidate.line is not None or candidate.swept is None:
            return candidate.line
        return self.first(candidate.swept.changed)

    def first(self, nodes: Iterable[Expr]) -> int | None:
        """The first step that finds one of these gradients and is not put into others."""
        if self.tape is None:
            return None
        stands = {self.names[n] for n in nodes if n in self.names}
        for line, g in enumerate(self.tape.gradients, 1):
            if g.of in stands and not _put_in(self.tape, g.of):
                return line
        return len(self.tape.gradients)


def _share(row: Row, edge: Edge, g: Expr) -> Expr:
    share = row.make(edge, g)
    if share is None:  # with another gradient from above there was one
        raise ExpressionError(f"{row.name} says nothing here.")
    return share


def _put_in(found: Tape, quantity: Symbol) -> bool:
    """Whether a quantity's gradient is written out wherever it is used."""
    through = [
        share
        for g in found.gradients
        for share in g.shares
        if share.through.symbol is quantity
    ]
    return bool(through) and all(s.inserted is not None for s in through)


def _by_hand(nodes: Sequence[Expr]) -> list[Expr]:
    """Losses from scores, and ln softmax, in the steps in which one derives them."""
    new: dict[Expr, Expr] = {}
    for node in order(nodes):
        if not isinstance(node, Call):
            continue
        if node.name == "softmax_cross_entropy":
            u, t = node.arguments
            new[node] = cross_entropy(softmax(u), t)
        elif node.name == "sigmoid_cross_entropy":
            u, t = node.arguments
            new[node] = binary_cross_entropy(sigmoid(u), t)
        elif node.name == "log_softmax":
            new[node] = log(softmax(node.arguments[0]))
    return substitute(nodes, new) if new else list(nodes)
