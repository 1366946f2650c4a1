"""Where in a text something stands, and errors that show it."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from unicodedata import category, east_asian_width

from kokuban.errors import FormulaError

WIDTH = 80  # of a line that is shown; longer ones are cut around the place
LONGEST = 500  # characters of a message, in which a name may be long


@dataclass(frozen=True)
class Source:
    """A text to read, what it was written as, and each character's place in that.

    name      of the file, or what the text is, for messages
    original  what was typed, where `text` is a rewording of it
    where     where in `original` what each character stands for begins and ends
    """

    text: str
    name: str = ""
    original: str | None = None
    where: tuple[tuple[int, int], ...] = ()

    def reworded(self, characters: Iterable[tuple[str, tuple[int, int]]]) -> Source:
        """The same source, its text given by characters with their places."""
        made = list(characters)
        text, where = "".join(c for c, _ in made), tuple(place for _, place in made)
        return replace(self, text=text, original=self.typed, where=where)

    @property
    def typed(self) -> str:
        """What was typed."""
        return self.text if self.original is None else self.original

    def span(self, start: int, end: int) -> tuple[int, int]:
        """The place in what was typed of text[start:end]."""
        if self.original is None:
            return start, end
        if start >= len(self.where):
            return len(self.original), len(self.original)
        return self.where[start][0], self.where[max(start, end - 1)][1]

    def excerpt(self, start: int, end: int) -> str:
        """What stands there, on one line."""
        return " ".join(self.text[start:end].split())

    def line_and_column(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of a place in what was typed."""
        line = bisect_right(self._begins, at)
        return line, at - self._begins[line - 1] + 1

    @cached_property
    def _begins(self) -> list[int]:
        """Where the lines begin."""
        ends = re.finditer(r"\r\n|\r|\n", self.typed)
        return [0, *(found.end() for found in ends)]

    def place(self, at: int) -> str:
        """A place in what was typed, in words."""
        line, column = self.line_and_column(at)
        return f"line {line}, column {column}" if self._begins[1:] else f"column {column}"

    def error(self, message: str, start: int, end: int) -> FormulaError:
        """A FormulaError that shows the place, given in `text`."""
        first, last = self.span(start, end)
        line, column = self.line_and_column(first)
        head = f"{self.name}, {self.place(first)}" if self.name else self.place(first)
        begin, *ends = [*self._begins, len(self.typed)][line - 1 : line + 1]
        shown = self.typed[begin : ends[0]].rstrip("\r\n")
        drawn = _drawn(shown, column - 1, last - first)
        said = message if len(message) <= LONGEST else f"{message[:LONGEST]}…"
        return FormulaError(f"{head}: {said}\n{drawn}", line, column)


def _drawn(line: str, start: int, length: int) -> str:
    """The line, cut to WIDTH around the place, and carets under it."""
    length = max(1, min(length, len(line) - start))
    skip = max(0, start - WIDTH // 2) if len(line) > WIDTH else 0
    cut = line[skip : skip + WIDTH]
    before, marked = cut[: start - skip], cut[start - skip : start - skip + length]
    head = "…" if skip else ""
    tail = "…" if skip + WIDTH < len(line) else ""
    shown = "".join(" " if category(c) in ("Cc", "Cf") else c for c in cut)
    blank = " " * _columns(head + before)
    return f"    {head}{shown}{tail}\n    {blank}{'^' * max(1, _columns(marked))}"


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    wide = sum(east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(category(c) == "Mn" for c in text)
