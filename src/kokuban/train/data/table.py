"""Tables of numbers and text, from CSV and Parquet files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
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
from kokuban.train.data import delimited, parquet
from kokuban.train.data.files import FilePath
from kokuban.train.data.numerals import FORMS, MARKS
from kokuban.train.data.text import pieces

if TYPE_CHECKING:
    import polars as pl

# A cell that holds one of these has no value. Capitals matter: Na is sodium.
MISSING = ("", "?", "NA", "NaN", "nan", "NAN", "null", "Null", "NULL")
MAX_LISTED = 30  # names of columns in a message
MANY = 1000  # columns


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of a table; what its columns mean is not decided here.

    columns: their names: the header's, or "1", "2", ... where there is none.
    frame: a polars DataFrame of numbers and strings, null where a value is missing.
    lines: (rows,) the line of the file that each row begins on, for messages; in a
        Parquet file, which has no lines, the number of the row.
    header: whether the names come from the file.
    path: the file's.
    """

    columns: tuple[str, ...]
    frame: pl.DataFrame
    lines: NDArray[np.int64]
    header: bool
    path: FilePath
    in_lines: bool = True

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
                f"numbered 1 to {len(self.columns)}, or -1 (the last) and down. If its "
                "first row names them, say so (--header)."
            )
        return (
            f"Unknown column {name!r}.{nearest(str(name), self.columns)} "
            f"Known: {listed(self.columns)}."
        )

    def column(self, column: str | int) -> pl.Series:
        """The cells of one column, named or numbered as in `position`."""
        return self.frame.to_series(self.position(column))

    def place(self, row: int, position: int) -> str:
        """A cell in words, for messages; `row` and `position` count from 0."""
        where = "the row on line" if self.in_lines else "row"
        return (
            f"{self.path}: {where} {self.lines[row]}, column {self.columns[position]!r}"
        )

    def text(self, position: int) -> pl.Series:
        """(rows,) the cells of the column at `position` as text."""
        import polars as pl

        return self.frame.to_series(position).cast(pl.String)

    def numbers(self, position: int, commas: str = "") -> NDArray[np.float64]:
        """(rows,) the numbers of the column that stands at `position`, NaN where missing.

        commas: what they are in this column's cells, as `commas_in` tells.

        Raises DataError for a cell that is not a finite number.
        """
        cells = self.frame.to_series(position)
        values = as_numbers(cells, commas)
        x: NDArray[np.float64] = values.to_numpy()
        wrong = np.isinf(x)
        if values.null_count() > cells.null_count():
            wrong |= (values.is_null() & cells.is_not_null()).to_numpy()
        if wrong.any():
            row = int(wrong.argmax())
            raise DataError(
                f"{self.place(row, position)}: {quoted(cells[row])} is not a finite "
                "number."
            )
        return x

    def without(self, position: int) -> Table:
        """The table without the column that stands at `position`."""
        names = (*self.columns[:position], *self.columns[position + 1 :])
        return replace(self, columns=names, frame=self.frame.select(names))

    def renamed(self, names: Sequence[str]) -> Table:
        """The table with other names for its columns."""
        named = _named(self.frame.clone(), tuple(names))
        return replace(self, columns=tuple(names), frame=named)

    def take(self, rows: ArrayLike) -> Table:
        """The table of the given rows (numbers from 0, or a mask), in that order."""
        chosen = np.arange(len(self))[np.asarray(rows)]
        return replace(self, frame=self.frame[chosen], lines=self.lines[chosen])


def quoted(cell: object) -> str:
    """A cell in a message: a number as it is, text in quotation marks."""
    return f"{cell:.15g}" if isinstance(cell, float) else repr(str(cell))


def listed(names: tuple[str, ...]) -> str:
    """Names for a message; of very many, the first ones and how many there are."""
    shown = ", ".join(names[:MAX_LISTED])
    return f"{shown}, ... ({len(names):,})" if len(names) > MAX_LISTED else shown


def as_numbers(cells: pl.Series, commas: str = "") -> pl.Series:
    """Cells as numbers (float64): null where one is missing or is not a number."""
    import polars as pl

    if cells.dtype == pl.Float64:
        return cells
    if commas:
        cells = cells.cast(pl.String)
        group, point = MARKS[commas]
        plain = cells.str.replace_all(group, "", literal=True)
        plain = plain.str.replace(point, ".", literal=True)
        right = cells.str.contains(FORMS[commas])
        cells = pl.select(pl.when(right).then(plain)).to_series()
    return cells.cast(pl.Float64, strict=False)


def is_numeric(cells: pl.Series, commas: str = "") -> bool:
    """Whether there are values and every one of them is a number."""
    return cells.null_count() < len(cells) and (
        as_numbers(cells, commas).null_count() == cells.null_count()
    )


def commas_in(cells: pl.Series) -> str:
    """What commas are in a column of text, as `numerals.commas_in` tells."""
    import polars as pl

    if cells.dtype != pl.String:
        return ""
    present = cells.drop_nulls()
    if not present.str.contains(",", literal=True).any():
        return ""
    for commas, form in FORMS.items():
        if present.str.contains(form).all():
            return commas
    return ""


def read_table(
    path: FilePath,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> Table:
    """The table in a CSV or a Parquet file, whole; see `read_batches`.

    A column all of whose cells are numbers is kept as numbers, eight bytes each.
    """
    texts: set[str] = set()
    while True:  # a second time where a column of numbers turned out to hold text
        kept: list[Table] = []
        numeric: set[str] = set()
        for batch in read_batches(path, header, separator, encoding):
            frame, names = _with_numbers(batch.frame, texts)
            if not kept:
                numeric |= names
            texts |= set(frame.columns) - names
            kept.append(replace(batch, frame=frame))
        if len(kept) == 1 or not texts & numeric:
            return joined(kept)


def _with_numbers(frame: pl.DataFrame, texts: set[str]) -> tuple[pl.DataFrame, set[str]]:
    """The frame with its columns of numbers as numbers, and the names of these.

    Columns named in `texts` are left as they are. An infinity stays text, as it stands in
    the file.
    """
    import polars as pl

    kinds = {name: kind for name, kind in frame.schema.items() if name not in texts}
    strings = [name for name, kind in kinds.items() if kind == pl.String]
    if not strings:
        return frame, set(kinds)

    def finite(cells: pl.Expr) -> pl.Expr:
        number = cells.cast(pl.Float64, strict=False)
        return pl.when(number.is_finite()).then(number).name.keep()

    cells = frame.select(strings)
    values = _each(cells, finite)
    gaps = zip(
        strings, values.null_count().row(0), cells.null_count().row(0), strict=True
    )
    numeric = [name for name, now, before in gaps if now == before]
    found = set(kinds) - set(strings) | set(numeric)
    return frame.with_columns(values.select(numeric)), found


def _each(frame: pl.DataFrame, expression: Callable[[pl.Expr], pl.Expr]) -> pl.DataFrame:
    """An expression of each column of a frame, which all have one type.

    Of many columns as one column, since polars takes long to plan many expressions.
    """
    import polars as pl

    if frame.width < MANY or not frame.height:
        return frame.select(expression(pl.all()))
    below = pl.concat([c.alias("") for c in frame.iter_columns()], rechunk=True)
    cells = below.to_frame().select(expression(pl.all())).to_series()
    starts = range(0, len(cells), frame.height)
    return pl.DataFrame(
        [
            cells.slice(start, frame.height).alias(name)
            for start, name in zip(starts, frame.columns, strict=True)
        ]
    )


def numbered(table: Table) -> Table:
    """The table with its columns of numbers as numbers."""
    return replace(table, frame=_with_numbers(table.frame, set())[0])


def joined(parts: list[Table]) -> Table:
    """Parts of one table as one."""
    import polars as pl

    first = parts[0]
    if len(parts) == 1:
        return first
    return replace(
        first,
        frame=pl.concat([part.frame for part in parts], rechunk=True),
        lines=np.concatenate([part.lines for part in parts]),
    )


def read_batches(
    path: FilePath,
    header: bool | None = None,
    separator: str | None = None,
    encoding: str | None = None,
) -> Iterator[Table]:
    """The rows of a CSV or a Parquet file, many at a time, the memory for it constant.

    CSV is that of RFC 4180, gzipped or not; its cells are text.

    header: whether the first row names the columns. None decides by the first rows: it
        does when none of its cells is a number, no name stands twice, and at least one
        column is numeric below a cell that is text. So a table of nothing but text has no
        header unless the caller says True.
    separator: the character between cells; None decides between a comma, a semicolon, a
        tab and `|` by the first rows.
    encoding: UTF-8, or what a byte order mark says, where it is None.

    Spaces around a cell do not count; nor do empty lines. A cell that is empty or one of
    `?`, `NA`, `NaN` and `null` is a missing value. Columns without a header are named
    "1", "2", ...

    Raises StorageError: the file is missing or cannot be read. FileFormatError: it is
    empty, damaged, not text, in another encoding, has rows of different lengths, a
    quotation mark out of place, or a header that names two columns alike. DataError:
    there are no rows below the header. SettingError: the separator is not one character,
    or one that CSV needs; or the encoding is not known.
    """
    if separator is not None and (len(separator) != 1 or separator in '"\r\n '):
        raise SettingError(
            f"Separator {separator!r}: it is one character, and neither a quotation "
            "mark, a space nor a line break."
        )
    if parquet.is_parquet(path):
        yield from _from_parquet(path)
        return
    rows = delimited.batches(pieces(path, encoding), separator, path)
    frame, lines = next(rows)
    first = ["" if cell is None else cell.strip() for cell in frame.row(0)]
    frame = _without_missing(frame)
    while frame.height == 1:  # whether it is a header, the rows below it say
        more = next(rows, None)
        if more is None:
            break
        frame = frame.vstack(_without_missing(more[0]))
        lines = np.concatenate([lines, more[1]])
    if header is None:
        header = _has_header(frame, first, path)
    names = _names(first, path) if header else tuple(frame.columns)
    if header:
        if frame.height == 1:
            raise DataError(f"{path}: there is a header, and no row below it.")
        frame, lines = frame.slice(1), lines[1:]
    yield Table(names, _named(frame, names), lines, header, path)
    for frame, lines in rows:
        below = _named(_without_missing(frame), names)
        yield Table(names, below, lines, header, path)


def _from_parquet(path: FilePath) -> Iterator[Table]:
    row = 1
    for frame in parquet.batches(path):
        lines = np.arange(row, row + frame.height)
        names = tuple(frame.columns)
        yield Table(names, _without_missing(frame), lines, True, path, in_lines=False)
        row += frame.height


def _without_missing(frame: pl.DataFrame) -> pl.DataFrame:
    """Text without spaces around it, null where it says that there is no value."""
    import polars as pl

    names = [name for name, kind in frame.schema.items() if kind == pl.String]
    if not names:
        return frame

    def plain(cells: pl.Expr) -> pl.Expr:
        return cells.str.strip_chars().replace(dict.fromkeys(MISSING))

    return frame.with_columns(_each(frame.select(names), plain))


def _named(frame: pl.DataFrame, names: tuple[str, ...]) -> pl.DataFrame:
    frame.columns = list(names)
    return frame


def _has_header(frame: pl.DataFrame, first: list[str], path: FilePath) -> bool:
    import polars as pl

    cells = pl.Series(first, dtype=pl.String)
    if as_numbers(cells).is_not_null().any():  # "nan" counts as a number here
        return False
    if frame.height == 1:
        raise DataError(
            f"{path}: there is one row, and no number in it. If it is data and not a "
            "header, say so (--no-header, header=False)."
        )
    named = cells.filter(cells != "")
    if named.n_unique() < len(named):
        return False
    values = frame.slice(1)
    return any(
        frame.item(0, place) is not None and _is_number_column(values.to_series(place))
        for place in range(frame.width)
    )


def _is_number_column(cells: pl.Series) -> bool:
    return is_numeric(cells) or is_numeric(cells, commas_in(cells))


def _names(cells: list[str], path: FilePath) -> tuple[str, ...]:
    """The header's names; an unnamed column is called by its number."""
    names = tuple(cell or str(number) for number, cell in enumerate(cells, 1))
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise FileFormatError(f"{path}: the header names two columns {name!r}.")
    return names
