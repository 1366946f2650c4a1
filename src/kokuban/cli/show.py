"""Text for a terminal of any width, and for a file."""

from __future__ import annotations

import shutil
import sys
import textwrap
from collections.abc import Sequence

from kokuban.explain.terminal import LEAST, WIDTH

LABEL = 9  # columns that the label at the left takes
MAX_LISTED = 12  # columns of a table that are listed one by one
LEFT_OUT = ("constant", "identifier")  # kinds of columns that become nothing
NOTED = ("values are numbers", "commas")  # in what is said of a column that is odd


class Show:
    """Prints labelled lines, wrapped to the terminal; to a file each is one line."""

    def __init__(self, quiet: bool = False, aside: bool = False) -> None:
        self.quiet = quiet
        self.stream = sys.stderr if aside else sys.stdout  # aside of a JSON document

    def line(self, label: str, text: str) -> None:
        """A labelled line, unless quiet."""
        if not self.quiet:
            self._print(f"{label:<{LABEL}}{text}", " " * LABEL)

    def whole(self, label: str, text: str) -> None:
        """A formula or a command, left in one piece for copying; not if quiet."""
        if not self.quiet:
            print(f"{label:<{LABEL}}{text}", file=self.stream, flush=True)

    def result(self, text: str) -> None:
        """What is printed even if quiet."""
        self._print(text, "  ")

    def _print(self, text: str, indent: str) -> None:
        wrapped = _wrapped(text, indent, self.stream.isatty())
        print(wrapped, file=self.stream, flush=True)


def columns() -> int:
    """How wide to print a page: as the terminal is, within reason; 88 into a file."""
    if not sys.stdout.isatty():
        return WIDTH
    return min(max(shutil.get_terminal_size().columns, LEAST), WIDTH)


def note(text: str) -> None:
    """A line beside the output proper, on stderr."""
    print(_wrapped(text, "  ", sys.stderr.isatty()), file=sys.stderr)


def _wrapped(text: str, indent: str, terminal: bool) -> str:
    if not terminal:
        return text
    width = max(shutil.get_terminal_size().columns, len(indent) + 20)
    return textwrap.fill(
        text,
        width,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
        drop_whitespace=True,
    )


def columns_in_words(columns: Sequence[tuple[str, str, str]]) -> list[tuple[str, str]]:
    """Labelled lines on what each column was taken for; many are counted by kind.

    Columns that are left out, and text that looks numeric, are always told.
    """
    *inputs, target = columns
    lines = [("target", f"{target[0]}: {target[2]}")]
    if len(inputs) <= MAX_LISTED:
        told = [f"{n}: {kind}{', ' * bool(d)}{d}" for n, kind, d in inputs]
        return [*lines, *(("", " ".join(text.split())) for text in told)]
    kinds: dict[str, list[str]] = {}
    for name, kind, _ in inputs:
        kinds.setdefault(kind, []).append(name)
    for kind, names in kinds.items():
        listed = ", ".join(names[:MAX_LISTED]) + (", ..." if names[MAX_LISTED:] else "")
        lines.append(("", f"{len(names)} {kind}: {listed}"))
    noted = [
        f"{name}: {detail}"
        for name, kind, detail in inputs
        if kind in LEFT_OUT or any(word in detail for word in NOTED)
    ]
    return [*lines, *(("", " ".join(text.split())) for text in noted[:MAX_LISTED])]
