"""Data as they are given, arrays or dataframes, as columns of four plain forms."""

from __future__ import annotations

import datetime
import numbers
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import narwhals as nw
import numpy as np
from sklearn.utils.validation import check_array

from kokuban.errors import DataError

Form = Literal["number", "boolean", "date", "text"]
FEW_ROWS = 8  # that are read row by row, which is quicker then


@dataclass(frozen=True, slots=True)
class Text:
    """Texts by number.

    words  those that occur, each once
    codes  (rows,) whole numbers, which word stands in each row; -1 where none does
    """

    words: list[str]
    codes: np.ndarray

    def of_words(self, values: np.ndarray, missing: Any) -> np.ndarray:
        """(rows,) of values (words,) that of each row's word, or `missing`."""
        found: np.ndarray = np.append(values, np.array(missing, values.dtype))[self.codes]
        return found


@dataclass(frozen=True, slots=True)
class Values:
    """The entries of one column.

    form     what they are
    entries  numbers, 0/1 or seconds since 1970 as float64 (rows,) with NaN where
             missing; or a Text
    marked   the dataframe itself says that they are categories
    """

    form: Form
    entries: Any
    marked: bool = False

    def absent(self) -> np.ndarray:
        """(rows,) where no value is."""
        if self.form == "text":
            return np.asarray(self.entries.codes < 0)
        return np.asarray(np.isnan(self.entries))

    def __len__(self) -> int:
        return len(self.entries.codes if self.form == "text" else self.entries)


@dataclass(frozen=True, slots=True)
class Frame:
    """A table in memory.

    names    of its columns; None for an array
    rows     how many
    width    how many columns
    matrix   all of it as float64 (rows, width), where it is an array of numbers
    column   gives the column at a position
    """

    names: tuple[str, ...] | None
    rows: int
    width: int
    matrix: np.ndarray | None
    column: Callable[[int], Values]


def read(X: Any, *, known: bool = False) -> Frame:
    """Arrays, nested lists and eager dataframes that narwhals knows.

    `known` says that what its columns are is decided already, and not by their types; a
    few rows of a dataframe are then read row by row.

    Raises DataError for two columns of one name, ValueError and TypeError as
    scikit-learn words them for what is no table: one dimension, sparse, complex, empty.
    """
    if isinstance(X, list | tuple):
        X = _as_array(X)
    if not isinstance(X, np.ndarray):
        X = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(X, nw.DataFrame):
        return _of_dataframe(X, known and len(X) <= FEW_ROWS)
    return _of_array(X)


def _as_array(X: Sequence[Any]) -> np.ndarray:
    """Rows as an array; of objects where text stands beside numbers."""
    plain = np.asarray(X)
    return plain if plain.dtype.kind in "fiubcM" else np.asarray(X, dtype=object)


def is_matrix(X: Any) -> bool:
    """Whether X is an array of numbers, rows by columns, and not empty."""
    return type(X) is np.ndarray and X.ndim == 2 and X.dtype.kind in "fiu" and X.size > 0


def _of_array(X: Any) -> Frame:
    array = X
    if not is_matrix(X):
        kept = getattr(getattr(X, "dtype", None), "kind", "") in ("U", "M")
        given = X.astype(object) if kept else X
        array = check_array(given, dtype=None, ensure_all_finite=False)
    rows, width = array.shape
    if array.dtype.kind in "fiu":
        matrix = array.astype(np.float64, copy=False)
        return Frame(None, rows, width, matrix, lambda k: Values("number", matrix[:, k]))
    if array.dtype.kind == "b":
        flags = array.astype(np.float64)
        return Frame(None, rows, width, None, lambda k: Values("boolean", flags[:, k]))
    return Frame(None, rows, width, None, lambda k: of_objects(array[:, k].tolist()))


def _of_dataframe(X: nw.DataFrame[Any], by_rows: bool) -> Frame:
    names = tuple(str(name) for name in X.columns)
    if len(set(names)) < len(names):
        twice = Counter(names).most_common(1)[0][0]
        raise DataError(f"Two columns have the name {twice!r}; give each its own.")
    rows, width = X.shape
    if not rows or not width:
        raise DataError(
            f"Found array with {rows} sample(s) and {width} feature(s) (shape={X.shape}) "
            "while a minimum of 1 is required: the dataframe is empty."
        )
    if by_rows:
        entries = list(zip(*_as_rows(X), strict=True))
        return Frame(names, rows, width, None, lambda k: of_objects(list(entries[k])))
    columns = list(X.iter_columns())
    return Frame(names, rows, width, None, lambda k: _of_series(columns[k]))


def _as_rows(X: nw.DataFrame[Any]) -> Sequence[Sequence[Any]]:
    """The rows as Python objects; pandas is quick with all entries together only."""
    if X.implementation.is_pandas():
        rows: list[list[Any]] = X.to_native().to_numpy(dtype=object).tolist()
        return rows
    return X.rows()


def _of_series(s: nw.Series[Any]) -> Values:
    kind = s.dtype
    if kind.is_numeric():
        return Values("number", _floats(s))
    if kind == nw.Boolean:
        return Values("boolean", _floats(s))
    if isinstance(kind, nw.Datetime | nw.Date) or kind in (nw.Datetime, nw.Date):
        return Values("date", _floats(s.dt.timestamp("ms")) / 1000)
    if kind == nw.Duration:
        return Values("number", _floats(s.dt.total_milliseconds()) / 1000)
    if kind in (nw.Categorical, nw.Enum):
        return Values("text", _text(s), marked=True)
    if kind == nw.String:
        return Values("text", _text(s))
    entries = s.to_list()
    for row in np.flatnonzero(s.is_null().to_numpy()):
        entries[row] = None
    return of_objects(entries)


def _floats(s: nw.Series[Any]) -> np.ndarray:
    """As float64, NaN where missing."""
    found = s.to_numpy()
    if found.dtype.kind in "fiub":
        return found.astype(np.float64, copy=False)
    missing = s.is_null().to_numpy()
    return np.array(
        [
            np.nan if gone else float(v)
            for v, gone in zip(s.to_list(), missing, strict=True)
        ],
        np.float64,
    )


def _text(s: nw.Series[Any]) -> Text:
    """By the dataframe's own numbering of what occurs, without a Python list of rows."""
    native: Any = s.to_native()
    if s.implementation.is_pandas_like():
        codes, words = native.factorize()
        return _labelled(codes, words.tolist())
    if s.implementation.is_polars():
        words = native.drop_nulls().unique(maintain_order=True)
        numbered = words.rename("word").to_frame().with_row_index("code")
        joined = native.rename("word").to_frame()
        codes = joined.join(numbered, on="word", how="left", maintain_order="left")
        return _labelled(
            codes["code"].cast(int).fill_null(-1).to_numpy(), words.to_list()
        )
    return text_of(labels(s.to_list()))


def _labelled(codes: Any, words: list[Any]) -> Text:
    """With the words as labels, of which two may be the same, and none for no value."""
    codes, names = np.asarray(codes), labels(words)
    if None not in names and len(set(names)) == len(names):
        return Text([str(name) for name in names], codes)
    once = text_of(names)
    return Text(once.words, Text(once.words, codes).of_words(once.codes, -1))


def text_of(entries: list[str | None]) -> Text:
    """Texts in a list, None where one is missing."""
    place: dict[str, int] = {}
    codes = [-1 if v is None else place.setdefault(v, len(place)) for v in entries]
    return Text(list(place), np.array(codes, np.intp))


def of_objects(entries: list[Any]) -> Values:
    """A column of Python objects: what all of those that are there are."""
    present = [v for v in entries if not is_missing(v)]
    if present and all(isinstance(v, bool | np.bool_) for v in present):
        return Values("boolean", _each(entries, float))
    if present and all(isinstance(v, numbers.Real) for v in present):
        return Values("number", _each(entries, float))
    if present and all(isinstance(v, datetime.date | np.datetime64) for v in present):
        return Values("date", _each(entries, seconds))
    if present and all(isinstance(v, datetime.timedelta) for v in present):
        return Values("number", _each(entries, lambda v: v.total_seconds()))
    return Values("text", text_of(labels(entries)))


def seconds(moment: Any) -> float:
    """Since 1970, UTC; a time without a zone is taken as it stands."""
    if isinstance(moment, np.datetime64):
        return float(moment.astype("datetime64[ms]").astype(np.int64)) / 1000
    if not isinstance(moment, datetime.datetime):
        moment = datetime.datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.UTC)
    return float(moment.timestamp())


def labels(entries: list[Any]) -> list[str | None]:
    """Entries as text, None where missing; 3.0 is the label "3" as the number 3 is."""
    return [v if type(v) is str and v.strip() else _label(v) for v in entries]


def _label(value: Any) -> str | None:
    if is_missing(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return str(value)


def is_missing(value: Any) -> bool:
    """None, NaN, NaT, pandas.NA and the empty text are no value."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return True
    if isinstance(value, str):
        return False
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA is neither; an array has no truth
        return type(value).__name__ == "NAType"


def _each(entries: list[Any], convert: Callable[[Any], float]) -> np.ndarray:
    found = [np.nan if is_missing(v) else convert(v) for v in entries]
    return np.array(found, np.float64)
