"""From a derivation to a worksheet: which of its formulas are left blank."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from random import Random
from typing import Any, Final, TypeVar

from kokuban.errors import SettingError
from kokuban.explain import Derivation, derive
from kokuban.explain.backward import Gradient, Tape, opened
from kokuban.explain.derivation import LAYOUTS
from kokuban.explain.forward import Quantity, in_order
from kokuban.explain.latex import latex
from kokuban.explain.layout import (
    Box,
    Fraction,
    Gap,
    Row,
    Script,
    Term,
    bracketed,
    name,
    row,
    sign,
)
from kokuban.explain.notation import Notation
from kokuban.explain.page import Line, Part, Prose
from kokuban.explain.phrases import Phrases
from kokuban.expr import Const, Expr, Size, Symbol, order, substitute, symbols
from kokuban.formula import Board, text
from kokuban.formula.printing import name_text
from kokuban.shape import SCALAR, show
from kokuban.worksheets.mirror import in_columns
from kokuban.worksheets.numbers import numbers_section
from kokuban.worksheets.sheet import Blank, Item, Section, Sheet, Worksheet, chosen
from kokuban.worksheets.words import WORDS

LEVELS: Final = (1, 2, 3)
WIDE, NARROW = 30, 9  # letters that a gap leaves room for
PARTIAL = sign("∂")

Anything = TypeVar("Anything")


def emptied(found: Anything) -> Anything:
    """The same, every gap in it empty."""
    if isinstance(found, Gap):
        return replace(found, answer=None)
    if isinstance(found, tuple):
        return type(found)(emptied(f) for f in found)
    if is_dataclass(found) and not isinstance(found, type):
        inner = {f.name: emptied(getattr(found, f.name)) for f in fields(found)}
        return replace(found, **inner)
    return found


@dataclass
class Blanks:
    """The blanks of a worksheet as they are found, in order."""

    found: list[Blank] = field(default_factory=list)

    def gap(self, width: int, shown: Box, **about: Any) -> Gap:
        """A further blank, as a gap that holds its answer."""
        number = len(self.found) + 1
        self.found.append(Blank(number, **about))
        return Gap(number, width, shown)


def worksheet(
    loss: Board | Expr,
    wrt: Expr | Sequence[Expr] | None = None,
    *,
    level: int = 2,
    blanks: Iterable[str] | None = None,
    numbers: bool = False,
    lang: str = "en",
    layout: str = "rows",
    seed: int = 0,
    id: str = "sheet",
) -> Worksheet:
    """The derivation of a board's or a loss's gradients as a worksheet.

    `level` 1 leaves one factor of each gradient blank, 2 each gradient, 3 the forward
    lines too. `blanks` names what is blank instead: "U1" is a forward line, "dL/dW1" a
    gradient. `numbers` adds small matrices to calculate with. `seed` chooses among
    factors and draws numbers; `id` names the sheet.

    Raises SettingError for a setting that is not one, UnknownNameError for a blank that
    there is not, and what `kokuban.derive` raises.
    """
    if level not in LEVELS:
        raise SettingError(f"level is one of 1, 2, 3, not {level!r:.40}.")
    if layout not in LAYOUTS:
        raise SettingError(f"layout is one of {', '.join(LAYOUTS)}, not {layout!r:.40}.")
    names = own_names(loss) if isinstance(loss, Board) else {}
    start = loss.loss if isinstance(loss, Board) else loss
    found = derive(start, wrt, lang=lang, layout=layout, names=names)
    maker = _Maker(found, level, blanks, lang, layout == "columns", seed)
    return maker.made(id, numbers)


def own_names(board: Board) -> dict[Expr, str]:
    """What the parts of a board's loss are called on it."""
    inside = {n for n in order([board.loss], by_name=True) if n.op is not None}
    found: dict[Expr, str] = {}
    for own, formula in board.items():
        if formula in inside:
            found.setdefault(formula, own)
    return found


class _Maker:
    """One worksheet under way."""

    def __init__(
        self,
        derived: Derivation,
        level: int,
        wanted: Iterable[str] | None,
        lang: str,
        columns: bool,
        seed: int,
    ) -> None:
        self.derived, self.tape, self.level = derived, derived.tape, level
        self.say, self.words = Phrases(lang, columns), WORDS[lang]
        self.columns, self.seed, self.rng = columns, seed, Random(seed)
        self.loss = self.tape.quantities[-1].symbol
        boxes: dict[Expr, Box] = {}
        for q in self.tape.quantities:
            boxes[q.symbol] = Term(q.symbol.name, name(q.symbol.name))
            boxes[q.gradient] = Term(q.gradient.name, name(q.gradient.name))
        self.at = Notation(boxes, columns)
        self.blanks = Blanks()
        self.known = [s.name for s in symbols([self.tape.loss])]
        self.wanted = None if wanted is None else chosen(list(self._names()), wanted)

    def made(self, id: str, numbers: bool) -> Worksheet:
        """The whole worksheet, its gaps filled."""
        sections = [self._forward(), self._backward()]
        if numbers:
            sections.append(
                numbers_section(self.tape, self.at, self.blanks, self.rng, self.words)
            )
        sheet = Sheet(
            id, self._plain_title(), self.say.lang, self.seed, self.columns,
            (board_text(self.tape),), tuple(self.blanks.found),
        )  # fmt: skip
        return Worksheet(sheet, self._title(), tuple(sections))

    # ------------------------------------------------------------ what is blank

    def _names(self) -> Iterator[str]:
        yield from (q.symbol.name for q in self.tape.quantities)
        for g in self.tape.gradients:
            if len(g.shares) > 1:
                yield from (self._gradient(g, s.through) for s in g.shares)
            yield self._gradient(g)

    def _gradient(self, g: Gradient, through: Quantity | None = None) -> str:
        share = "" if through is None else f"|{through.symbol.name}"
        return f"d{self.loss.name}/d{g.of.name}{share}"

    def _is_blank(self, own: str, least: int) -> bool:
        return self.level >= least if self.wanted is None else own in self.wanted

    def _blank(self, own: str, formula: Expr, width: int, by: str = "") -> Gap:
        (unmarked,) = without_marks([formula])
        answer = unmarked
        if self.columns:
            answer = in_columns(unmarked)
        return self.blanks.gap(
            width, self.at.formula(formula), name=own, kind="formula", board=0,
            answer=text(answer), known=tuple(self.known), by=by,
        )  # fmt: skip

    # ------------------------------------------------------------ the page

    def _title(self) -> Prose:
        lefts: list[Box] = []
        for s in self.tape.wrt:
            lefts += [sign(","), self._partial(s)] if lefts else [self._partial(s)]
        return self.say.say("short title", Row(tuple(lefts)))

    def _plain_title(self) -> str:
        return ", ".join(f"d{self.loss.name}/d{s.name}" for s in self.tape.wrt)

    def _partial(self, of: Symbol) -> Box:
        over = row(PARTIAL, self.at.formula(self.loss))
        return Fraction(over, row(PARTIAL, self.at.formula(of)))

    def _forward(self) -> Section:
        shapes = tuple(
            (self.at.formula(s), self.at.shape(s.shape))
            for s in in_order(symbols([self.tape.loss]))
        )
        items = tuple(self._forward_item(q) for q in self.tape.quantities)
        heading = (self.say.word("forward"),)
        return Section(heading, self.derived.page.notes, shapes, items)

    def _forward_item(self, q: Quantity) -> Item:
        own, shape = q.symbol.name, self.at.shape(q.node.shape)
        left, says = self.at.formula(q.symbol), Prose()
        if self._is_blank(own, 3):
            box: Box = self._blank(own, q.body, WIDE)
            says = self._made_of(q)
        else:
            box = self.at.formula(opened(q.body))
        self.known.append(own)
        return Item((), says, (Line(left, (Part(box),), shape),))

    def _made_of(self, q: Quantity) -> Prose:
        """What a quantity is made of, and by which operations: not how."""
        operations = [
            self.say.rule(word)[0]
            for node in order([q.body], by_name=True)
            if (word := _operation(node)) and word not in ("call", "distribution")
        ]
        parts: list[Box] = []
        for s in symbols([q.body]):
            parts += [sign(","), self.at.formula(s)] if parts else [self.at.formula(s)]
        joined = self.words["and"].join(dict.fromkeys(operations))
        before, between, after = self.words["made of"].split("|")
        return before, Row(tuple(parts)), f"{between}{joined}{after}"

    def _backward(self) -> Section:
        steps = zip(self.tape.gradients, self.derived.page.steps, strict=True)
        items = []
        for g, step in steps:
            says = step.reason if self.level == 1 and self.wanted is None else ()
            label = step.rule if self.level < 3 or self.wanted is not None else ""
            items.append(Item((label,) if label else (), says, tuple(self._lines(g))))
            if g.quantity is not None:
                self.known.append(g.quantity.gradient.name)
        return Section((self.say.word("backward"),), items=tuple(items))

    def _lines(self, g: Gradient) -> Iterator[Line]:
        """Each use's share where there are several, and the gradient."""
        left, shape = self._partial(g.of), self.at.shape(g.of.shape)
        if len(g.shares) > 1:
            for share in g.shares:
                lower = self.at.formula(share.through.symbol)
                own = Script(bracketed(left), lower=lower)
                named = self._gradient(g, share.through)
                yield Line(own, (Part(self._side(named, share.value)),), shape)
        by = g.of.name if g.quantity is None else ""
        side = self._side(self._gradient(g), g.value, by, whole=len(g.shares) > 1)
        if g.quantity is not None:
            left = row(self.at.formula(g.quantity.gradient), "=", left)
        yield Line(left, (Part(side),), shape)

    def _side(self, own: str, formula: Expr, by: str = "", whole: bool = False) -> Box:
        """A gradient's formula: as it is, with a factor blank, or blank."""
        if not self._is_blank(own, 1):
            return self.at.formula(formula)
        if self.level == 1 and self.wanted is None:
            if whole:
                return self.at.formula(formula)
            holes = self._holes(formula)
            if holes:
                hole = self.rng.choice(holes)
                gap = self._blank(own, hole, NARROW)
                inside = replace(self.at, names={**self.at.names, hole: gap})
                return inside.formula(formula)
        return self._blank(own, formula, WIDE, by)

    def _holes(self, formula: Expr) -> list[Expr]:
        """The parts of a formula that can be left blank: shown once, nowhere else."""
        found = []
        for node in order([formula], by_name=True):
            if node is formula or node.shape == SCALAR or isinstance(node, Const | Size):
                continue
            if _operation(node) in ("broadcast", "distribution"):
                continue
            inside = replace(self.at, names={**self.at.names, node: Gap(0, 0)})
            if _gaps(inside.formula(formula)) == 1 and not self._stands(node, formula):
                found.append(node)
        return found

    def _stands(self, node: Expr, formula: Expr) -> bool:
        """Whether a part that is no mere name can be read in another formula."""
        if node.op is None:
            return False
        shown = latex(self.at.formula(node))
        others = [opened(q.body) for q in self.tape.quantities]
        others += [g.value for g in self.tape.gradients if g.value is not formula]
        return any(shown in latex(self.at.formula(o)) for o in others)


def _operation(node: Expr) -> str:
    named = getattr(node, "name", "") if node.op is not None else ""
    return named or ("" if node.op is None else node.op.name)


def _gaps(found: object) -> int:
    """How many gaps a box has."""
    if isinstance(found, Gap):
        return 1
    if isinstance(found, tuple):
        return sum([_gaps(f) for f in found])
    if is_dataclass(found):
        return sum([_gaps(getattr(found, f.name)) for f in fields(found)])
    return 0


def without_marks(formulas: Sequence[Expr]) -> list[Expr]:
    """Formulas without the marks that rows sum to 1: a grader knows them."""
    nodes = order(formulas)
    marks = {n: n.args[0] for n in nodes if n.op and n.op.name == "distribution"}
    return substitute(formulas, marks)


def board_text(found: Tape) -> str:
    """A derivation as a board: symbols, forward lines, and gradients by their names."""
    lines = [
        f"{name_text(s.name)}: {show(s.shape)} {s.role}" for s in symbols([found.loss])
    ]
    formulas: Mapping[str, Expr] = {
        **{q.symbol.name: q.body for q in found.quantities},
        **{g.quantity.gradient.name: g.value for g in found.gradients if g.quantity},
    }
    lines += [f"{name_text(own)} = {text(e)}" for own, e in formulas.items()]
    return "\n".join(lines) + "\n"
