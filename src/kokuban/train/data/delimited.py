"""CSV text as rows of cells: by polars where its reading is certain, else by `csv`.

polars fills short rows up with nulls without a word, and takes the quotation marks in
`a, "b, c"` for text. So the text is taken in blocks of whole rows, and a block goes to
polars only where counting says that every row has its cells and that every quotation
mark stands where it must; Python's `csv` reads the others, ten times slower, and finds
the line that is wrong.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import FileFormatError
from kokuban.train.data.files import FilePath

if TYPE_CHECKING:
    import polars as pl

SEPARATORS = ("\t", ";", "|", ",")  # a comma stands in many a cell, a tab in few
_SAMPLE = 50  # rows that tell the separator
_BATCH = 1 << 16  # rows held as Python strings at a time
_LONGEST = 1 << 26  # characters without a line end that are looked at together
_WIDE = 256  # rows at least in a block, however long they are

_Row = tuple[int, list[str]]  # the line it begins on, and its cells
Batch = tuple["pl.DataFrame", NDArray[np.int64]]  # cells as text; their rows' lines


def batches(
    text: Iterator[str], separator: str | None, path: FilePath
) -> Iterator[Batch]:
    """The rows of CSV text (RFC 4180), many at a time: all cells, and each row's line.

    separator: None finds it out. Columns are called "1", "2", ...; empty lines do not
    count. Raises FileFormatError where the text is empty, a row has another number of
    cells than the first, or a quotation mark is out of place.
    """
    blocks = _Blocks(text)
    head = blocks.more()
    while (first := _first(head, separator, blocks.done, path)) is None:
        if blocks.done:
            raise FileFormatError(f"{path}: the file is empty.")
        head += blocks.more()
    return _Reader(*first, path).read(blocks, head)


def _first(
    head: str, separator: str | None, last: bool, path: FilePath
) -> tuple[str, _Row] | None:
    """The separator and the first row, where the beginning of a text has all of it."""
    last = last or len(head) > _LONGEST
    head = head if last else head[: head.rfind("\n") + 1]
    separator = separator or sniffed(head, path)
    try:
        row = next(_rows(io.StringIO(head, newline=""), separator, 1, path), None)
    except FileFormatError:
        if last:
            raise
        return None
    return None if row is None else (separator, row)


def sniffed(head: str, path: FilePath) -> str:
    """The character that separates the columns, told by the first rows of a text.

    It cuts all of them into the same number of cells, two or more; where none does, the
    one that the first row has most of, a comma in doubt.
    """
    for separator in SEPARATORS:
        try:
            rows = _rows(io.StringIO(head, newline=""), separator, 1, path)
            widths = {len(cells) for _, cells in islice(rows, _SAMPLE)}
        except FileFormatError:
            continue
        if len(widths) == 1 and widths != {1}:
            return separator
    line = head.lstrip().partition("\n")[0]
    most = max(SEPARATORS, key=line.count)
    return most if line.count(most) > line.count(",") else ","


class _Blocks:
    """Text in blocks, with the number of the line that the next one begins on."""

    def __init__(self, text: Iterator[str]) -> None:
        self._text = text
        self.done = False

    def more(self) -> str:
        """The next piece, "" at the end."""
        piece = next(self._text, None)
        while piece == "":
            piece = next(self._text, None)
        self.done = piece is None
        return piece or ""


class _Reader:
    """Rows of one file, all with as many cells as the first."""

    def __init__(self, separator: str, first: _Row, path: FilePath) -> None:
        self.separator, self.path = separator, path
        self.first, self.width = first[0], len(first[1])
        self.names = [str(number) for number in range(1, self.width + 1)]
        mark = re.escape(separator)
        self._quoted = re.compile(
            rf'(?:(?<=[\n{mark}])|\A)"[^"]*(?:""[^"]*)*"(?=[\r\n{mark}]|\Z)'
        )

    def read(self, blocks: _Blocks, text: str) -> Iterator[Batch]:
        """All rows of `text` and of the blocks that follow it."""
        line = 1
        while text or not blocks.done:
            least = _WIDE * (text.find("\n") + 1)
            while not blocks.done and (len(text) < least or "\n" not in text):
                if len(text) > _LONGEST and "\n" not in text:
                    break
                text += blocks.more()
            cut = _row_end(text) if not blocks.done else len(text)
            block, rest = text[:cut], text[cut:]
            found = self._fast(block, line) if block else None
            if found is not None:
                yield found
            elif block and self._balanced(block):
                yield from self._slow(_lines([block]), line)
            else:  # where a row ends is known only by reading on
                yield from self._slow(_lines(chain([text], _rest(blocks))), line)
                return
            line += block.count("\n")
            text = rest or blocks.more()

    def _balanced(self, block: str) -> bool:
        return '"' not in block or '"' not in self._quoted.sub("", block)

    def _fast(self, block: str, line: int) -> Batch | None:
        """A block by polars; None where that might not be what `csv` reads."""
        import polars as pl

        bare = self._quoted.sub("", block) if '"' in block else block
        rows = bare.count("\n") + (not bare.endswith("\n"))
        if (
            self.width == 1  # a blank line could be a row
            or '"' in bare
            or bare.count("\r") != bare.count("\r\n")
            or bare.count(self.separator) != rows * (self.width - 1)
        ):
            return None
        try:
            frame = pl.read_csv(
                block.encode(),
                has_header=False,
                separator=self.separator,
                schema=dict.fromkeys(self.names, pl.String),
            )
        except pl.exceptions.PolarsError:  # too long a row, and as short a one
            return None
        if frame.height != rows:
            return None
        lines = line + np.arange(rows)
        if len(bare) < len(block) and block.count("\n") > bare.count("\n"):
            inside = frame.select(
                pl.sum_horizontal(pl.all().str.count_matches("\n", literal=True))
            )
            lines[1:] += np.cumsum(inside.to_series().to_numpy().astype(np.int64))[:-1]
        return frame, lines

    def _slow(self, lines: Iterable[str], line: int) -> Iterator[Batch]:
        import polars as pl

        rows = _rows(lines, self.separator, line, self.path, self.width)
        while batch := list(islice(rows, max(1, min(_BATCH, (1 << 22) // self.width)))):
            for at, cells in batch:
                if len(cells) != self.width:
                    raise FileFormatError(
                        f"{self.path}: line {at} has {len(cells)} cells, line "
                        f"{self.first} has {self.width}."
                    )
            columns = zip(*(cells for _, cells in batch), strict=True)
            frame = pl.DataFrame(dict(zip(self.names, columns, strict=True)))
            yield frame, np.array([at for at, _ in batch])


def _row_end(text: str) -> int:
    """Where the last row that is whole ends: a line end outside quotation marks."""
    cut, marks = text.rfind("\n") + 1, text.count('"')
    if marks:
        marks -= text.count('"', cut)
        while cut and marks % 2:
            before = text.rfind("\n", 0, cut - 1) + 1
            marks -= text.count('"', before, cut)
            cut = before
    return cut


def _rest(blocks: _Blocks) -> Iterator[str]:
    while piece := blocks.more():
        yield piece


def _lines(pieces: Iterable[str]) -> Iterator[str]:
    """The lines of text in pieces, each with its end: `\\n`, `\\r\\n` or `\\r`."""
    held = ""
    for piece in pieces:
        *whole, held = io.StringIO(held + piece, newline="").readlines() or [""]
        yield from whole
    if held:
        yield held


def _rows(
    lines: Iterable[str], separator: str, line: int, path: FilePath, width: int = 0
) -> Iterator[_Row]:
    """Rows by Python's `csv`; `line` is the first line's number."""
    reader = csv.reader(
        iter(lines), delimiter=separator, skipinitialspace=True, strict=True
    )
    start = line - 1
    try:
        for cells in reader:
            # where there is one column, `""` is a row whose value is missing
            if len(cells) > 1 or "".join(cells).strip() or (cells and width == 1):
                width = width or len(cells)
                yield line, cells
            line = start + reader.line_num + 1
    except csv.Error as error:
        raise FileFormatError(
            f"{path}: the row that begins on line {line} is not CSV ({error})."
        ) from None
