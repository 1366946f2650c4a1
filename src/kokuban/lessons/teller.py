"""Tells a lesson in one language: a lesson gives sentences in both, and what to put in.

A sentence is a template: `{}`, `{0}` or `{name}` stands for an expression, which is
printed as a formula, or for a computed number, `{:.3g}` for so many of its digits. So no
formula and no number of a lesson is typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from string import Formatter
from typing import Any

import numpy as np

from kokuban.errors import nearest
from kokuban.explain.layout import Box, Fraction, name, number, row, sign
from kokuban.explain.notation import Notation
from kokuban.explain.numbers import grid
from kokuban.explain.page import Line, Part as Side, Prose
from kokuban.expr import Expr
from kokuban.formula import Board, board
from kokuban.gradcheck import Check, Result, derive
from kokuban.lessons.lesson import (
    Derived,
    Figure,
    Formulas,
    Heading,
    Lesson,
    Measured,
    OnBoard,
    Paragraph,
    Part,
    Table,
    Verdict,
)
from kokuban.lessons.timing import machine
from kokuban.train import History

METHODS = {
    "forward": ("forward differences", "前進差分"),
    "backward": ("backward differences", "後退差分"),
    "central": ("central differences", "中心差分"),
    "5-point": ("5-point differences", "5点公式"),
    "7-point": ("7-point differences", "7点公式"),
    "complex": ("complex steps", "複素ステップ"),
}


@dataclass(frozen=True, slots=True)
class Teller:
    """One lesson being told in one language, "en" or "ja"."""

    lesson: Lesson
    lang: str

    # ------------------------------------------------------------ words

    def pick(self, en: str, ja: str) -> str:
        """The one of two texts that is in the language."""
        return {"en": en, "ja": ja}[self.lang]

    def words(self, en: str, ja: str, *values: Any, **named: Any) -> Prose:
        """A sentence with values put in: expressions, boxes, numbers, arrays, words."""
        found: list[Box | str] = []
        numbers = count()
        for text, key, spec, _ in Formatter().parse(self.pick(en, ja)):
            if text:
                found.append(text)
            if key is None:
                continue
            place = str(next(numbers)) if key == "" else key
            value = values[int(place)] if place.isdigit() else named[place]
            if isinstance(value, tuple):
                found += value
            else:
                found.append(value if isinstance(value, str) else self.box(value, spec))
        return tuple(found)

    def box(self, value: Any, spec: str | None = "") -> Box:
        """An expression as a formula; an array as a matrix; a number, or a name."""
        if isinstance(value, Box):
            return value
        if isinstance(value, Expr):
            return Notation().formula(value)
        if isinstance(value, str):
            return name(value)
        if isinstance(value, np.ndarray) and value.ndim == 2:
            return grid(value)
        if spec and spec.endswith("f"):
            return number(float(value), int(spec[1:-1]))
        return number(float(format(float(value), spec)) if spec else value)

    def formula(
        self,
        node: Expr,
        names: Mapping[Expr, Any] | None = None,
        columns: bool = False,
    ) -> Box:
        """An expression as a formula, parts by the names or boxes given, or with samples
        in columns."""
        own = {node: self.box(called) for node, called in (names or {}).items()}
        return Notation(own, columns).formula(node)

    # ------------------------------------------------------------ parts

    def heading(self, en: str, ja: str, *values: Any, **named: Any) -> Heading:
        """The title of a section."""
        return Heading(self.words(en, ja, *values, **named))

    def say(self, en: str, ja: str, *values: Any, **named: Any) -> Paragraph:
        """A paragraph."""
        return Paragraph(self.words(en, ja, *values, **named))

    def partial(self, over: Any, by: Any) -> Box:
        """∂over/∂by."""
        d = sign("∂")
        return Fraction(row(d, self.box(over)), row(d, self.box(by)))

    def line(self, left: Any, *sides: Any, reason: Prose = ()) -> Line:
        """left = side = …; a side is a value, or a relation and a value: ("≥", 0).

        `reason` stands at the last side; `left` may be None.
        """
        pairs = [s if isinstance(s, tuple) else ("=", s) for s in sides]
        last = len(pairs) - 1
        return Line(
            None if left is None else self.box(left),
            tuple(
                Side(self.box(value), reason if k == last else (), relation)
                for k, (relation, value) in enumerate(pairs)
            ),
        )

    def formulas(self, *lines: Line) -> Formulas:
        """Equations, one below the other."""
        return Formulas(lines)

    def derive(self, loss: Expr, wrt: Any = None, **settings: Any) -> Derived:
        """The derivation of ∂loss/∂wrt; the settings are those of `kokuban.derive`."""
        return Derived(derive(loss, wrt, lang=self.lang, **settings).page)

    def table(
        self,
        head: Sequence[Any],
        rows: Iterable[Sequence[Any]],
        caption: Prose = (),
    ) -> Table:
        """A table; a cell is a sentence, a word or what `box` takes."""
        return Table(
            tuple(self._cell(c) for c in head),
            tuple(tuple(self._cell(c) for c in line) for line in rows),
            caption,
        )

    def _cell(self, value: Any) -> Prose:
        if isinstance(value, tuple):
            return value
        return (value,) if isinstance(value, str) else (self.box(value),)

    def figure(
        self, name: str, draw: Any, says: Prose, size: tuple[float, float] = (6.4, 3.6)
    ) -> Figure:
        """A picture, drawn when it is written: draw(figure, words)."""
        return Figure(name, draw, says, size)

    # ------------------------------------------------------------ boards

    def board(self, name: str) -> Board:
        """A board of the lesson."""
        return board(_text(self.lesson, name))

    def show(self, name: str) -> OnBoard:
        """A board of the lesson as it is written."""
        return OnBoard(name, "\n".join(map(str.strip, _lines(_text(self.lesson, name)))))

    # ------------------------------------------------------------ verdicts

    def verdict(self, ok: bool, *lines: Prose) -> Verdict:
        """What was found, and whether it is right."""
        return Verdict(ok, lines)

    def checked(self, check: Check) -> Verdict:
        """The verdict of `kokuban.check` on derived gradients."""
        return Verdict(check.ok, tuple(self._agreement(r) for r in check.results))

    def _agreement(self, result: Result) -> Prose:
        method = self.pick(*METHODS[result.method])
        total = result.shape[0] * result.shape[1]
        if not result.ok:
            return self.words(
                "{}: {} and the derived gradient differ in {} of {} entries",
                "{}: {}と導いた勾配が、{3} 成分のうち {2} 成分で食い違う",
                self.box(result.symbol), method, result.failed, total,
            )  # fmt: skip
        every = self.words(
            "{}: {} agree with the derived gradient in {}, worst relative gap {:.0e}",
            "{}: 導いた勾配は{}と{}で一致。相対的なずれは最大 {:.0e}",
            self.box(result.symbol), method, self._entries(result.entries), result.gap,
        )  # fmt: skip
        rest = self.words(
            "; {} entries without a derivative or not tried are left out",
            "。微分のない成分や調べなかった成分 {} 個を除く",
            total - result.entries,
        )
        return (*every, *rest) if result.entries < total else every

    def _entries(self, count: int) -> Prose:
        if count == 1:
            return self.words("its only entry", "唯一の成分")
        return self.words("all {} entries", " {} 成分すべて", count)

    def trained(self, history: History, en: str, ja: str, *values: Any) -> Verdict:
        """How far the loss fell in training; the words say what was trained, and how."""
        losses = history["loss"]
        return Verdict(
            losses[-1] < losses[0],
            (
                self.words(
                    "trained ({}): the loss fell from {:.4f} in epoch 1 to {:.4f} in epoch {}",
                    "学習 ({0}): 損失は 1 エポック目の {1:.4f} から {3} エポック目の {2:.4f} に下がった",
                    self.words(en, ja, *values), losses[0], losses[-1], len(losses),
                ),
            ),
        )  # fmt: skip

    def measured(self, *parts: Part) -> Measured:
        """Parts that tell times, with the machine they were taken on."""
        return Measured(self.words("measured on {}", "測定環境: {}", machine()), parts)


def _text(lesson: Lesson, name: str) -> str:
    if name not in lesson.boards:
        raise KeyError(
            f"{lesson.name} has no board {name!r}.{nearest(name, lesson.boards)}"
        )
    return lesson.boards[name]


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]
