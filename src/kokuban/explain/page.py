"""What a derivation says, piece by piece, before any writer spells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kokuban.explain.layout import Box
from kokuban.explain.text import text

Prose = tuple[Box | str, ...]  # a sentence, with formulas in it


@dataclass(frozen=True, slots=True)
class Part:
    """One side of a chain of equations: `= box`, and why."""

    box: Box
    reason: Prose = ()
    relation: str = "="


@dataclass(frozen=True, slots=True)
class Line:
    """left = part = part …, with the shape of what it gives."""

    left: Box | None
    parts: tuple[Part, ...]
    shape: Box | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it finds, the rule and the reason, the lines, and remarks.

    number   as the page counts, from 1
    of       the name of what the gradient is taken by, as the user gave it or as found
    rule     the rule's name
    reason   one sentence
    lines    the formulas
    checked  what numerical differentiation says of them, where it was asked
    remarks  sentences below them
    struck   what is tempting and wrong, with sentences that say why
    """

    number: int
    of: str
    rule: str
    reason: Prose
    lines: tuple[Line, ...]
    remarks: tuple[Prose, ...] = ()
    struck: tuple[Line, ...] = ()
    checked: Prose = ()

    @property
    def formula(self) -> str:
        """What the step finds, as text: `∂L/∂W = Xᵀ Δ`."""
        (line,) = [x for x in self.lines if x.shape is not None][-1:]
        left = "" if line.left is None else f"{text(line.left)} = "
        return f"{left}{text(line.parts[-1].box)}"

    @property
    def shape(self) -> str:
        """The shape of what the step finds, as text: `2×3`."""
        (line,) = [x for x in self.lines if x.shape is not None][-1:]
        assert line.shape is not None
        return text(line.shape)


@dataclass(frozen=True, slots=True)
class Page:
    """A derivation as written: title, conventions, symbols, forward lines, steps."""

    title: Prose
    notes: tuple[Prose, ...]
    symbols: tuple[tuple[Box, Box], ...]
    forward: tuple[Line, ...]
    steps: tuple[Step, ...]
    lang: str

    def lines(self) -> Iterator[Line]:
        """Every formula of the page, in order."""
        yield from self.forward
        for step in self.steps:
            yield from step.lines
            yield from step.struck
