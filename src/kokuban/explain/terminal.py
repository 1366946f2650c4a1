"""A page as text for a terminal, however wide that is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kokuban.errors import SettingError
from kokuban.explain import text as in_text
from kokuban.explain.layout import Box, Row, Text, sign
from kokuban.explain.page import Line, Page, Part, Prose, Step

WIDTH = 88  # columns of a file, and the most that is used of a terminal
LEAST = 40
MARGIN = 28  # columns at the right, in which shapes stand, and reasons that are short
CLOSING = "、。」）"  # never the first of a line

_PIECE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]|[^\s\u3000-\u9fff\uff00-\uffef]+|\s+")


def sentence(said: Prose) -> str:
    """A sentence in one line."""
    return "".join(p if isinstance(p, str) else in_text.text(p) for p in said)


def terminal(width: int) -> Terminal:
    """What writes for so many columns; SettingError for less than 40."""
    if width < LEAST:
        raise SettingError(f"A page is {LEAST} columns wide or more, not {width}.")
    return Terminal(width)


@dataclass(frozen=True)
class Terminal:
    """Writes for a terminal of `width` columns; what cannot be cut may be longer."""

    width: int = WIDTH

    def page(self, page: Page) -> str:
        """The page."""
        out = self.said(page.title, "  ")
        out += [line for note in page.notes for line in self.said(note)]
        known = [f"{in_text.text(a)} {in_text.text(b)}" for a, b in page.symbols]
        out += ["", *self._listed(known)]
        out += [line for f in page.forward for line in self.line(f, "  ")]
        for step in page.steps:
            out += ["", *self._step(step)]
        return "\n".join(line.rstrip() for line in out) + "\n"

    def said(self, words: Prose, indent: str = "") -> list[str]:
        """A sentence with formulas, as `filled` has it."""
        return self.filled(sentence(words), indent)

    def filled(self, words: str, indent: str = "") -> list[str]:
        """A sentence in lines, all but the first indented; Japanese breaks anywhere."""
        lines, line = [], ""
        for piece in _PIECE.findall(words):
            too_wide = in_text.width(line + piece.rstrip()) > self.width
            if too_wide and line.strip() and piece not in CLOSING:
                lines.append(line)
                line = indent + piece.lstrip()
            else:
                line += piece
        return [*lines, line]

    def line(self, line: Line, indent: str) -> list[str]:
        """A chain of equations: in one line where it fits, else one part to a line."""
        whole = _equation(line.left, line.parts)
        plain = not any(p.reason for p in line.parts)
        if plain and self._fits(whole):
            return self._with_margin(whole, line.shape, (), indent)
        left = in_text.beside([] if line.left is None else [in_text.block(line.left)])
        blank = in_text.Block((" " * in_text.width(left.lines[left.base]),))
        out: list[str] = []
        for k, part in enumerate(line.parts):
            first = left if k == 0 else blank
            equals = [] if line.left is None else [in_text.block(sign(part.relation))]
            start = in_text.beside([first, *equals])
            used = in_text.width(start.lines[start.base])
            pieces = _pieces(part.box, self.width - len(indent) - used)
            for n, piece in enumerate(pieces):
                last = n == len(pieces) - 1
                before = start if n == 0 else in_text.Block((" " * used,))
                own = in_text.beside([before, in_text.block(piece)])
                shape = line.shape if last and k == len(line.parts) - 1 else None
                out += self._with_margin(own, shape, part.reason if last else (), indent)
        return out

    @property
    def _formula(self) -> int:
        """Columns for a formula, before its shape."""
        return self.width - MARGIN

    def _fits(self, block: in_text.Block) -> bool:
        return len(block.lines) == 1 and in_text.width(block.lines[0]) < self._formula - 6

    def _listed(self, words: Sequence[str]) -> list[str]:
        lines = [" "]
        for word in words:
            if len(lines[-1]) + len(word) > self.width:
                lines.append(" ")
            lines[-1] += f" {word}  "
        return lines

    def _step(self, step: Step) -> list[str]:
        indent = " " * 5
        reason = f": {sentence(step.reason)}" if step.reason else ""
        out = self.filled(f"{step.number:>3}  {step.rule}{reason}", indent)
        for line in step.lines:
            out += self.line(line, indent)
        if step.checked:
            out += self.said((indent, *step.checked), indent)
        for line in step.struck:
            out += self.line(line, indent)
        for remark in step.remarks:
            out += self.said((indent, *remark), indent)
        return out

    def _with_margin(
        self, block: in_text.Block, shape: Box | None, reason: Prose, indent: str
    ) -> list[str]:
        """A formula, at its right its shape and why; the why below where it is long."""
        why = sentence(reason)
        lines = [f"{indent}{line}" for line in block.lines]
        base = lines[block.base]
        if shape is not None:
            base = f"{in_text.padded(base, self._formula)}  {in_text.text(shape)}"
        if why and in_text.width(base) + in_text.width(why) + 3 <= self.width:
            base, why = f"{base}   {why}", ""
        lines[block.base] = base
        below = f"{indent}    "
        return [*lines, *self.filled(below + why, below)] if why else lines


def _pieces(box: Box, room: int) -> list[Box]:
    """A formula in pieces that fit into a line each, cut before signs of operations."""
    items, pieces = _flat_items(box), list[Box]()
    while True:
        cut = 0
        for k in range(1, len(items)):
            piece = in_text.block(Row(tuple(items[:k])))
            if max(map(in_text.width, piece.lines)) > room and cut:
                break
            if isinstance(mark := items[k], Text) and mark.kind == "binary":
                cut = k
        else:
            whole = in_text.block(Row(tuple(items)))
            if not cut or max(map(in_text.width, whole.lines)) <= room:
                return [*pieces, Row(tuple(items))]
        pieces.append(Row(tuple(items[:cut])))
        items = items[cut:]


def _flat_items(box: Box) -> list[Box]:
    if isinstance(box, Row):
        return [inner for item in box.items for inner in _flat_items(item)]
    return [box]


def _equation(left: Box | None, parts: Iterable[Part]) -> in_text.Block:
    blocks = [] if left is None else [in_text.block(left)]
    for part in parts:
        if blocks:
            blocks.append(in_text.block(sign(part.relation)))
        blocks.append(in_text.block(part.box))
    return in_text.beside(blocks)
