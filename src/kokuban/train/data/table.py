"""CSV files as tables of text."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kokuban.errors import (
    DataError,
    FileFormatError,
    SettingError,
    UnknownNameError,
    nearest,
)
from kokuban.train.data.files import FilePath, kind_of, opened

if TYPE_CHECKING:
    import polars as pl

# A cell that holds one of these has no value. Capitals matter: Na is sodium.
MISSING = ("", "?", "NA", "NaN", "nan", "NAN", "null", "Null", "NULL")
FLOAT32_MAX = float(np.finfo(np.float32).max)
_BATCH = 1 << 16  # rows held as Python strings at a time

_Row = tuple[int, list[str]]  # the line it begins on, and its cells


@dataclass(frozen=True, eq=False)
class Table:
    """A table of text; what the text means is for `TableEncoder` to decide.

    columns: their names: the header's, or "1", "2", ... where there is none.
    frame: a polars DataFrame of strings, null where a value is missing.
    lines: (rows,) the line of the file that each row begins on, for messages.
    header: whether the names come from the file.
    """

    columns: tuple[str, ...]
    frame: pl.DataFrame
    lines: NDArray[np.int64]
    header: bool

    def __len__(self) -> int:
        """The number of rows."""
        return self.frame.height

    def position(self, column: str | int) -> int:
        """Where a column stands, from 0.

        column: a name, or a number: 1 is the first column, -1 the last. A number may be
        text, as it is on a command line; a column of that very name goes first.

        Raises UnknownNameError where there is no such column.
        """
        if isinstance(column, str) and column in self.columns:
            return self.columns.index(column)
        count = len(self.columns)
        try:
            number = int(column)
        except ValueError:
            raise UnknownNameError(self._no_column(column)) from None
        if not 1 <= abs(number) <= count:
            raise UnknownNameError(
                f"Unknown column {column}: columns are numbered 1 to {count}, or -1 (the "
                f"last) to -{count}."
            )
        return number - 1 if number > 0 else count + number

    def _no_column(self, name: str | int) -> str:
        if not self.header:
            return (
                f"Unknown column {name!r}: the table has no header, so its columns are "
                f"numbered 1 to {len(self.columns)}, or -1 (the last) and down."
            )
        return (
            f"Unknown column {name!r}.{nearest(str(name), self.columns)} "
            f"Known: {', '.join(self.columns)}."
        )

    def column(self, column: str | int) -> pl.Series:
        """The text of one column, named or numbered as in `position`."""
        return self.frame.to_series(self.position(column))

    def place(self, row: int, position: int) -> str:
        """A cell in words, for messages; `row` and `position` count from 0."""
        return f"the row on line {self.lines[row]}, column {self.columns[position]!r}"

    def numbers(self, position: int) -> NDArray[np.float64]:
        """(rows,) the numbers of the column that stands at `position`, NaN where missing.

        Raises DataError for a cell that is not a number, or not finite in float32, the
        type that training runs in.
        """
        text = self.frame.to_series(position)
        values = as_numbers(text)
        wrong = values.is_null() & text.is_not_null() | (values.abs() > FLOAT32_MAX)
        row = wrong.fill_null(False).arg_max()
        if row is not None and wrong[row]:
            raise DataError(
                f"{self.place(row, position)}: {text[row]!r} is not a finite number."
            )
        return values.to_numpy()

    def take(self, rows: ArrayLike) -> Table:
        """The table of the given rows (numbers from 0, or a mask), in that order."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return Table(self.columns, self.frame[chosen], self.lines[chosen], self.header)


def as_numbers(text: pl.Series) -> pl.Series:
    """Text read as numbers (float64): null where it is missing or is not a number."""
    import polars as pl

    return text.cast(pl.Float64, strict=False)


def is_numeric(text: pl.Series) -> bool:
    """Whether there are values and every one of them is a number."""
    return text.null_count() < len(text) and (
        as_numbers(text).null_count() == text.null_count()
    )


def read_table(path: FilePath, header: bool | None = None, separator: str = ",") -> Table:
    """The table in a CSV file (RFC 4180; UTF-8, with or without a byte order mark).

    header: whether the first row names the columns. None decides: it does when none of
        its cells is a number, no name stands twice, and at least one column is numeric
        below a cell that is text. So a table of nothing but text has no header unless the
        caller says True.

    Spaces around a cell do not count; nor do empty lines. A cell that is empty or one of
    `?`, `NA`, `NaN` and `null` is a missing value. Columns without a header are named
    "1", "2", ...

    Raises FileFormatError: the file is missing, empty, not text, not UTF-8, has rows of
    different lengths, a quotation mark out of place, another separator, or a header that
    names two columns alike. DataError: there are no rows below the header. SettingError:
    the separator is not one character, or one that CSV needs.
    """
    if len(separator) != 1 or separator in '"\r\n ':
        raise SettingError(
            f"Separator {separator!r}: it is one character, and neither a quotation "
            "mark, a space nor a line break."
        )
    rows = _rows(_read_text(path), separator, path)
    try:
        first = next(rows)
    except StopIteration:
        raise FileFormatError(f"{path}: the file is empty.") from None
    _check_separator(first, separator, path)
    frame, lines = _frame(first, rows, path)
    if header is None:
        header = _has_header(frame, first[1], path)
    if not header:
        return Table(tuple(frame.columns), frame, lines, False)
    names = _names(first[1], path)
    if frame.height == 1:
        raise DataError(f"{path}: there is a header, and no row below it.")
    below = frame.slice(1)
    below.columns = names
    return Table(tuple(names), below, lines[1:], True)


def _read_text(path: FilePath) -> str:
    with opened(path) as file:
        data = file.read()
    kind = kind_of(data[:64])
    if kind is None and b"\0" in data:
        kind = "binary data"
    if kind:
        raise FileFormatError(f"{path}: this is {kind}; a table is read from CSV text.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = error.start
        line = error.object[:at].count(b"\n") + 1
        raise FileFormatError(
            f"{path}: line {line}: byte {error.object[at]:#04x} is not UTF-8; save the "
            f"file as UTF-8."
        ) from None


def _rows(text: str, separator: str, path: FilePath) -> Iterator[_Row]:
    # Python's own reader and not polars': that one fills short rows up with nulls without
    # a word, and takes the quotation marks in `a, "b, c"` for text.
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=separator,
        skipinitialspace=True,
        strict=True,
    )
    line, width = 1, 0
    try:
        for cells in reader:
            # where there is one column, `""` is a row whose value is missing
            if len(cells) > 1 or "".join(cells).strip() or (cells and width == 1):
                width = width or len(cells)
                yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise FileFormatError(
            f"{path}: the row that begins on line {line} is not CSV ({error})."
        ) from None


def _check_separator(first: _Row, separator: str, path: FilePath) -> None:
    line, cells = first
    if len(cells) > 1:
        return
    for other, name in ((";", "semicolons"), ("\t", "tabs"), (",", "commas")):
        if other in cells[0] and other != separator:
            raise FileFormatError(
                f"{path}: line {line} has {name} and no {separator!r}: the columns seem "
                f"to be separated by {name}. Read it with separator={other!r}."
            )


def _frame(
    first: _Row, rows: Iterator[_Row], path: FilePath
) -> tuple[pl.DataFrame, NDArray[np.int64]]:
    """All the rows as text, and the lines they begin on."""
    import polars as pl

    names = [str(number) for number in range(1, len(first[1]) + 1)]
    batch, frames, lines = [first], [], []
    while batch:
        for line, cells in batch:
            if len(cells) != len(names):
                raise FileFormatError(
                    f"{path}: line {line} has {len(cells)} cells, line {first[0]} has "
                    f"{len(names)}."
                )
        columns = zip(*(cells for _, cells in batch), strict=True)
        frames.append(pl.DataFrame(dict(zip(names, columns, strict=True))))
        lines += [line for line, _ in batch]
        batch = list(islice(rows, _BATCH))
    text = pl.all().str.strip_chars().replace(dict.fromkeys(MISSING))
    return pl.concat(frames).select(text), np.array(lines)


def _has_header(frame: pl.DataFrame, first: list[str], path: FilePath) -> bool:
    import polars as pl

    cells = pl.Series([cell.strip() for cell in first])
    if as_numbers(cells).is_not_null().any():  # "nan" counts as a number here
        return False
    if frame.height == 1:
        raise DataError(
            f"{path}: there is one row, and no number in it. If it is data and not a "
            "header, say header=False."
        )
    named = cells.filter(cells != "")
    if named.n_unique() < len(named):
        return False
    values = frame.slice(1)
    return any(
        frame.item(0, name) is not None and is_numeric(values[name])
        for name in frame.columns
    )


def _names(cells: list[str], path: FilePath) -> list[str]:
    """The header's names; an unnamed column is called by its number."""
    names = [cell.strip() or str(number) for number, cell in enumerate(cells, 1)]
    for name in names:
        if names.count(name) > 1:
            raise FileFormatError(f"{path}: the header names two columns {name!r}.")
    return names
