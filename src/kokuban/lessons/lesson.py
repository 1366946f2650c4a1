"""What a lesson is, and the parts it is made of, before any writer spells them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kokuban.explain.page import Line, Page, Prose

Both = tuple[str, str]  # the same in English and in Japanese
Words = Callable[[str, str], str]  # of an English and a Japanese text, the one to draw


@dataclass(frozen=True, slots=True)
class Heading:
    """The title of a section."""

    words: Prose


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Sentences, with formulas and numbers in them."""

    words: Prose


@dataclass(frozen=True, slots=True)
class Formulas:
    """Equations, one below the other."""

    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Derived:
    """A derivation, as `kokuban.derive` makes it."""

    page: Page


@dataclass(frozen=True, slots=True)
class Table:
    """Numbers in rows and columns, and what they are."""

    head: tuple[Prose, ...]
    rows: tuple[tuple[Prose, ...], ...]
    caption: Prose = ()


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    name     of its file, beside a lesson's Markdown
    draw     fills a matplotlib figure; it takes that, and what picks a text's language
    says     what there is to see: the caption, and all a terminal shows
    size     width and height in inches
    """

    name: str
    draw: Callable[[Any, Words], None]
    says: Prose
    size: tuple[float, float] = (6.4, 3.6)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check, a comparison or a training run found, and whether it is right."""

    ok: bool
    lines: tuple[Prose, ...]


@dataclass(frozen=True, slots=True)
class OnBoard:
    """A board of the lesson: its name, and what stands on it."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Measured:
    """Parts that tell measured times, and on what they were measured."""

    on: Prose
    parts: tuple[Part, ...]


Part = (
    Heading
    | Paragraph
    | Formulas
    | Derived
    | Table
    | Figure
    | Verdict
    | OnBoard
    | Measured
)


@dataclass(frozen=True, slots=True)
class Lesson:
    """One lesson.

    name     what the command calls it, in words joined by `-`
    title    in English and Japanese
    note     the lecture note and its sections
    tell     the parts, in the language of the `teller.Teller` it is given
    boards   the texts of its boards by name
    """

    name: str
    title: Both
    note: str
    tell: Callable[[Any], Iterator[Part]]
    boards: Mapping[str, str] = field(default_factory=dict)
