"""What one column of a table becomes: a few columns of a float matrix."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError, FileFormatError
from kokuban.train.data import state
from kokuban.train.data.table import Table, as_numbers, commas_in, is_numeric, quoted

if TYPE_CHECKING:
    import polars as pl

# A rarer category is encoded as an unseen one is. The bound keeps a column of names or
# of free text from becoming one column of the matrix for every row of the table.
MAX_CATEGORIES = 256
COMMAS = {
    "thousands": "its commas group thousands: 1,234 is 1234",
    "decimal": "its commas are decimal points: 1,5 is 1.5",
}


@dataclass(frozen=True)
class NumericColumn:
    """z = (x - mean) / deviation, where a missing x is the median.

    mean, deviation, median: of training's values; the deviation is the population's, and
        0 says that they were all the same, so that there is no z.
    missing: values were missing in training; then one more column is 1 where x is.
    commas: what commas are in the cells: "", "thousands" or "decimal".
    """

    kind: ClassVar[str] = "numeric"
    name: str
    median: float
    mean: float
    deviation: float
    missing: bool
    commas: str = ""

    @property
    def outputs(self) -> list[str]:
        """The names of the matrix's columns."""
        value = [self.name] if self.deviation > 0 else []
        return value + ([f"{self.name} missing"] if self.missing else [])

    @property
    def detail(self) -> str:
        """What was learned, in words."""
        if self.deviation == 0:
            return f"always {self.mean:.6g} or missing; becomes 1 where missing, else 0"
        text = f"mean {self.mean:.6g}, standard deviation {self.deviation:.6g}"
        if self.missing:
            text += f"; missing becomes the median, {self.median:.6g}, and is marked"
        return f"{text}; {COMMAS[self.commas]}" if self.commas else text

    def encode(self, table: Table, position: int) -> NDArray[np.float32]:
        """(rows, outputs) the column at `position` of `table`.

        Raises DataError for a cell that is not a number, or whose z float32 cannot hold.
        """
        x = table.numbers(position, self.commas)
        absent = np.isnan(x)
        columns: list[NDArray[Any]] = [absent] if self.missing else []
        if self.deviation > 0:
            x = np.where(absent, self.median, x)
            columns.insert(0, standardise(x, self.mean, self.deviation, table, position))
        return _side_by_side(columns, len(table))


@dataclass(frozen=True)
class CategoricalColumn:
    """One column for each category: 1 where the cell is that text, else 0.

    categories: at most `MAX_CATEGORIES`, the most frequent ones; any other text is 0 in
        all columns.
    others: how many rarer ones there were.
    missing: values were missing in training; then missing is one more category.
    note: why a column that looks numeric is not, or "".
    """

    kind: ClassVar[str] = "categorical"
    name: str
    categories: tuple[str, ...]
    others: int
    missing: bool
    note: str

    @property
    def outputs(self) -> list[str]:
        """The names of the matrix's columns."""
        names = [f"{self.name}={category}" for category in self.categories]
        return names + ([f"{self.name} missing"] if self.missing else [])

    @property
    def detail(self) -> str:
        """What was learned, in words."""
        shown = ", ".join(self.categories[:4]) + (", ..." if self.categories[4:] else "")
        count = f"{len(self.categories)} categories"
        if self.others:
            count = f"the {count} most frequent of {len(self.categories) + self.others}"
        text = f"{count}{' and missing' if self.missing else ''}: {shown}"
        return f"{text}; {self.note}" if self.note else text

    def encode(self, table: Table, position: int) -> NDArray[np.float32]:
        """(rows, outputs) the column at `position` of `table`."""
        text = table.text(position)
        columns = [
            (text == category).fill_null(False).to_numpy() for category in self.categories
        ]
        if self.missing:
            columns.append(text.is_null().to_numpy())
        return _side_by_side(columns, len(table))


@dataclass(frozen=True)
class LeftOutColumn:
    """A column that tells nothing: it becomes no column at all."""

    kind: ClassVar[str] = "left out"
    name: str
    detail: str

    @property
    def outputs(self) -> list[str]:
        """No names."""
        return []

    def encode(self, table: Table, position: int) -> NDArray[np.float32]:
        """(rows, 0) nothing, whatever the column holds."""
        return _side_by_side([], len(table))


Column = NumericColumn | CategoricalColumn | LeftOutColumn


def standardise(
    x: NDArray[np.float64], mean: float, deviation: float, table: Table, position: int
) -> NDArray[np.float32]:
    """(rows,) z = (x - mean) / deviation, where x is the column at `position`.

    Raises DataError for an x so far from the mean that float32 cannot hold its z.
    """
    with np.errstate(over="ignore"):  # reported here, with its place
        z = ((x - mean) / deviation).astype(np.float32)
    finite = np.isfinite(z)
    if not finite.all():
        raise DataError(
            f"{table.place(int(finite.argmin()), position)}: too far from training's "
            f"values (mean {mean:.6g}, standard deviation {deviation:.6g}) for float32."
        )
    return z


def _side_by_side(columns: list[NDArray[Any]], rows: int) -> NDArray[np.float32]:
    matrix = np.empty((rows, len(columns)), np.float32)
    for j, column in enumerate(columns):
        matrix[:, j] = column
    return matrix


def fit_column(table: Table, position: int) -> Column:
    """What the column at `position` becomes.

    Numeric where every value is a number, with its commas if need be, and categorical
    otherwise. Left out where all rows are alike, and where more than `MAX_CATEGORIES`
    rows all hold another text, as names and keys are.
    """
    cells = table.frame.to_series(position)
    name = table.columns[position]
    if cells.null_count() == len(cells):
        return LeftOutColumn(name, "no value in any row")
    if is_numeric(cells):
        return _fit_numeric(table, position, "")
    if commas := commas_in(cells):
        return _fit_numeric(table, position, commas)
    different = cells.n_unique()  # a missing value counts as one more
    if different == 1:
        return LeftOutColumn(name, f"the same in every row: {cells[0]}")
    if different == len(cells) > MAX_CATEGORIES:
        return LeftOutColumn(name, f"another text in every row, such as {cells[0]!r}")
    return _fit_categorical(table, position)


def _fit_numeric(table: Table, position: int, commas: str) -> Column:
    x = table.numbers(position, commas)
    present = x[~np.isnan(x)]
    alike = present.min() == present.max()  # rounding may leave them a deviation
    deviation = 0.0 if alike else float(present.std())
    missing = len(present) < len(x)
    name = table.columns[position]
    if deviation == 0 and not missing:
        return LeftOutColumn(name, f"the same in every row: {present[0]:.6g}")
    mean, median = float(present.mean()), float(np.median(present))
    return NumericColumn(name, median, mean, deviation, missing, commas)


def _fit_categorical(table: Table, position: int) -> Column:
    text = table.text(position)
    counts = (
        text.drop_nulls()
        .alias("category")
        .value_counts(name="rows")
        .sort(["rows", "category"], descending=[True, False])
    )
    kept = counts["category"].head(MAX_CATEGORIES).sort().to_list()
    return CategoricalColumn(
        name=table.columns[position],
        categories=tuple(kept),
        others=counts.height - len(kept),
        missing=text.null_count() > 0,
        note=nearly_numeric(table, position),
    )


def nearly_numeric(table: Table, position: int) -> str:
    """A sentence where most values of a text column are numbers, else ""."""
    text: pl.Series = table.text(position)
    values = as_numbers(text)
    present, read = text.count(), values.count()
    if 2 * read <= present:
        return ""
    row = (values.is_null() & text.is_not_null()).arg_max()
    assert row is not None  # the column has rows
    place = "the row on line" if table.in_lines else "row"
    return (
        f"{read:,} of {present:,} values are numbers, but {place} {table.lines[row]} "
        f"holds {quoted(text[row])}"
    )


def are_commas(value: object) -> bool:
    """What commas may be, as `commas_in` tells."""
    return value in ("", *COMMAS)


_FIELDS: dict[str, dict[str, state.Check]] = {
    "numeric": {
        "name": state.is_text,
        "median": state.is_finite,
        "mean": state.is_finite,
        "deviation": state.is_spread,
        "missing": state.is_flag,
        "commas": are_commas,
    },
    "categorical": {
        "name": state.is_text,
        "categories": state.is_texts,
        "others": state.is_count,
        "missing": state.is_flag,
        "note": state.is_text,
    },
    "left out": {"name": state.is_text, "detail": state.is_text},
}


def column_to_dict(column: Column) -> dict[str, Any]:
    """The column as plain JSON."""
    found = {"kind": column.kind, **asdict(column)}
    if isinstance(column, CategoricalColumn):
        found["categories"] = list(column.categories)
    return found


def column_from_dict(found: object) -> Column:
    """The column that `column_to_dict` wrote. Raises FileFormatError where malformed."""
    kind = found.get("kind") if isinstance(found, dict) else None
    if not isinstance(kind, str) or kind not in _FIELDS:
        raise FileFormatError(
            f"A column of the table is of kind {kind!r}; known: {', '.join(_FIELDS)}."
        )
    checks = {"kind": state.is_text, **_FIELDS[kind]}
    values = state.fields(found, checks, f"A {kind} column of the table")
    rest = {name: value for name, value in values.items() if name != "kind"}
    if kind == "categorical":
        return CategoricalColumn(**rest | {"categories": tuple(rest["categories"])})
    if kind == "left out":
        return LeftOutColumn(**rest)
    if rest["deviation"] == 0 and not rest["missing"]:
        raise FileFormatError("A numeric column of the table has the deviation 0.")
    return NumericColumn(**rest)
