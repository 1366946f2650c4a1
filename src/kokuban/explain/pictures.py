"""A page as one picture: SVG by ziamath, PNG by resvg."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields, replace
from html import escape
from importlib import import_module
from typing import Any, Final

from kokuban.errors import SettingError
from kokuban.explain.layout import SPACE, Box, Row, Term, sign
from kokuban.explain.mathml import mathml
from kokuban.explain.page import Line, Page
from kokuban.explain.phrases import LANGUAGES
from kokuban.explain.terminal import Terminal, sentence
from kokuban.explain.text import width

MARGIN: Final = 14.0
INDENT: Final = 26.0
BESIDE: Final = 28.0  # before a shape or a reason
LETTERS: Final = 16.0  # the size of words
FORMULAS: Final = 20.0  # of formulas
LEADING: Final = 23.0  # from one line of words to the next
WORDS: Final = Terminal(96)
FONTS: Final = "Noto Sans CJK JP, Hiragino Sans, Yu Gothic, Meiryo, sans-serif"
INK, GREEN, GREY, RED = "#1d2b26", "#2f6f5e", "#6b7a74", "#b3261e"


def svg(page: Page) -> str:
    """The page as an SVG picture: formulas as outlines, words in the reader's fonts."""
    words = LANGUAGES[page.lang].words
    sheet = _Sheet(_module("ziamath"))
    sheet.say(sentence(page.title), size=1.15 * LETTERS, indent=0)
    for note in page.notes:
        sheet.say(sentence(note), colour=GREY, indent=0)
    sheet.row(Row((a, SPACE, b)) for a, b in page.symbols)
    sheet.say(words["forward"], colour=GREEN, bold=True, indent=0)
    sheet.lines(page.forward)
    sheet.say(words["backward"], colour=GREEN, bold=True, indent=0)
    for step in page.steps:
        sheet.say(f"{step.number}  {step.rule}", colour=GREEN, bold=True, indent=0)
        if step.reason:
            sheet.say(sentence(step.reason))
        sheet.lines(step.lines)
        if step.checked:
            sheet.say(sentence(step.checked), colour=GREEN)
        for line in step.struck:
            sheet.strike(line)
        for remark in step.remarks:
            sheet.say(sentence(remark))
    return sheet.whole()


def png(page: Page, zoom: int) -> bytes:
    """The same picture on white, `zoom` times as large."""
    drawn: bytes = _module("resvg_py").svg_to_bytes(
        svg_string=svg(page), background="white", zoom=zoom
    )
    return bytes(drawn)


def _module(name: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise SettingError(
            f"Pictures need {name}: pip install kokuban[pictures]."
        ) from None


@dataclass
class _Sheet:
    """A picture under way: what is drawn, and how far down and to the right."""

    ziamath: Any
    parts: list[str] = field(default_factory=list)
    y: float = MARGIN
    widest: float = 0.0

    def say(
        self,
        words: str,
        colour: str = INK,
        bold: bool = False,
        size: float = LETTERS,
        indent: float = INDENT,
    ) -> None:
        """Words, in as many lines as they need."""
        for line in WORDS.filled(words):
            self.y += LEADING
            self._words(line, MARGIN + indent, self.y, colour, bold, size)
        self.y += LEADING / 2

    def row(self, boxes: Iterable[Box]) -> None:
        """Formulas side by side."""
        pictures = [self._drawn(box) for box in boxes]
        if not pictures:
            return
        x, base = MARGIN, self.y + max(p.above for p in pictures)
        for picture in pictures:
            self._put(picture, x, base)
            x += picture.width + BESIDE
        self.y = base + max(p.below for p in pictures) + LEADING / 2

    def lines(self, several: Iterable[Line]) -> None:
        """Equations, the signs between their sides one below the other."""
        found = [
            (line, None if line.left is None else self._drawn(line.left))
            for line in several
        ]
        left = max((p.width for _, p in found if p is not None), default=0.0)
        for line, picture in found:
            self._line(line, picture, MARGIN + INDENT + left)
        self.y += LEADING / 2

    def strike(self, line: Line) -> None:
        """An equation with a stroke through it."""
        top = self.y
        right = self._line(line, None, MARGIN + INDENT)
        middle = (top + self.y - LEADING / 2) / 2
        self.parts.append(
            f'<line x1="{MARGIN + INDENT}" x2="{right:.1f}" y1="{middle:.1f}" '
            f'y2="{middle:.1f}" stroke="{RED}" stroke-width="2"/>'
        )

    def whole(self) -> str:
        """The picture."""
        wide, tall = self.widest + MARGIN, self.y + MARGIN
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" '
            f'height="{tall:.0f}" viewBox="0 0 {wide:.0f} {tall:.0f}">\n'
            + "\n".join(self.parts)
            + "\n</svg>\n"
        )

    def _line(self, line: Line, left: _Picture | None, x: float) -> float:
        """The equation, its signs from `x` on; where its last side ends."""
        end = x
        for k, part in enumerate(line.parts):
            items = [part.box]
            if line.left is not None:
                items.insert(0, sign(part.relation))
            last = k == len(line.parts) - 1
            pictures = [self._drawn(Row(tuple(items)))]
            if last and line.shape is not None:
                pictures.append(self._drawn(line.shape))
            beside = left if k == 0 else None
            shown = [p for p in (beside, *pictures) if p is not None]
            base = self.y + max(p.above for p in shown)
            if beside is not None:
                self._put(beside, x - beside.width, base)
            end = x
            for n, picture in enumerate(pictures):
                end += BESIDE * (n > 0)
                self._put(picture, end, base)
                end += picture.width
            if part.reason:
                self._words(sentence(part.reason), end + BESIDE, base, GREY)
            self.y = base + max(p.below for p in shown) + LEADING / 2
        return end

    def _drawn(self, box: Box) -> _Picture:
        picture = self.ziamath.Math(mathml(_plain(box)), size=FORMULAS)
        wide, tall = picture.getsize()
        below = -picture.getyofst()
        return _Picture(picture.svg(), wide, tall - below, below)

    def _put(self, picture: _Picture, x: float, base: float) -> None:
        at = picture.drawing.index("<svg") + len("<svg")
        top = base - picture.above
        self.parts.append(f'<svg x="{x:.1f}" y="{top:.1f}"{picture.drawing[at:]}')
        self.widest = max(self.widest, x + picture.width)

    def _words(
        self,
        words: str,
        x: float,
        y: float,
        colour: str = INK,
        bold: bool = False,
        size: float = LETTERS,
    ) -> None:
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size:g}" '
            f'font-family="{FONTS}" xml:space="preserve"{weight}>{escape(words)}</text>'
        )
        self.widest = max(self.widest, x + 0.6 * size * width(words))


@dataclass(frozen=True)
class _Picture:
    """A formula as SVG, and how far it reaches from where its line stands."""

    drawing: str
    width: float
    above: float
    below: float


def _plain(found: Any) -> Any:
    """The same without rows in rows, each of which doubles ziamath's work."""
    if isinstance(found, Term):
        return _plain(found.body)
    if isinstance(found, tuple):
        return tuple(map(_plain, found))
    if isinstance(found, Row):
        items = [_plain(i) for i in found.items]
        spliced = [j for i in items for j in (i.items if isinstance(i, Row) else (i,))]
        return spliced[0] if len(spliced) == 1 else Row(tuple(spliced))
    if isinstance(found, Box):
        own = {f.name: _plain(getattr(found, f.name)) for f in fields(found)}  # type: ignore[arg-type]
        return replace(found, **own)  # type: ignore[type-var]
    return found
