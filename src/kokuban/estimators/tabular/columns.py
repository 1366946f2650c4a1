"""What a column was taken for, and how it becomes columns of a matrix."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from kokuban.errors import DataError, FileFormatError
from kokuban.estimators.tabular.frame import Form, Values, labels

MAX_CATEGORIES = 256  # the most frequent ones of a column; rarer ones share one
LEAST_ROWS = 2  # in which a category must be found to be one of its own

DAY = 86400.0
PERIODS = {"year": 365.2425 * DAY, "week": 7 * DAY, "day": DAY}


@dataclass(frozen=True)
class Column:
    """What is known of one column of the data.

    name     its name, or "column 3" (counted from 0) in an array
    kind     numeric, boolean, categorical, date, constant or identifier
    missing  whether values were missing in training; then one more column marks them
    note     what is worth saying about it, or ""
    """

    kind: ClassVar[str]
    form: ClassVar[Form]  # in which its values must come
    name: str
    missing: bool = False
    note: str = ""

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the columns that it becomes."""
        marked = (f"{self.name} missing",) if self.missing else ()
        return (*self._own_outputs, *marked)

    @property
    def _own_outputs(self) -> tuple[str, ...]:
        return (self.name,)

    @property
    def detail(self) -> str:
        """What was learned of it, in words."""
        parts = [self._own_detail, "some missing" if self.missing else "", self.note]
        return "; ".join(part for part in parts if part)

    @property
    def _own_detail(self) -> str:
        return ""

    def encode(self, values: Values) -> np.ndarray:
        """(rows, outputs) float64; NaN stands for a missing number.

        Raises DataError where the values are of another form than in training.
        """
        found = self._encode(self._read(values))
        if not self.missing:
            return found
        absent = _absent(values)
        return np.column_stack([found, absent])

    def _read(self, values: Values) -> Any:
        """The entries in this column's form."""
        if values.form == self.form or _is_empty(values):
            return _empty(values) if values.form != self.form else values.entries
        raise DataError(self._changed(values))

    def _encode(self, entries: Any) -> np.ndarray:
        found: np.ndarray = entries[:, None]
        return found

    def _changed(self, values: Values) -> str:
        return (
            f"Column {self.name!r} was {self.kind} in training; here it holds "
            f"{_shown(values)}."
        )


@dataclass(frozen=True)
class NumericColumn(Column):
    """Its numbers as they are; the scaling comes after."""

    kind: ClassVar[str] = "numeric"
    form: ClassVar[Form] = "number"

    def _read(self, values: Values) -> np.ndarray:
        if values.form == "boolean":
            return np.asarray(values.entries)
        return np.asarray(super()._read(values))


@dataclass(frozen=True)
class BooleanColumn(Column):
    """-1 for false, 1 for true."""

    kind: ClassVar[str] = "boolean"
    form: ClassVar[Form] = "boolean"

    def _read(self, values: Values) -> np.ndarray:
        if values.form == "number" and np.isin(values.entries, (0, 1, np.nan)).all():
            return np.asarray(values.entries)
        return np.asarray(super()._read(values))

    def _encode(self, entries: Any) -> np.ndarray:
        return np.asarray(2.0 * entries[:, None] - 1.0)


@dataclass(frozen=True)
class DateColumn(Column):
    """Seconds since 1970, and of each period the sine and the cosine of its phase."""

    kind: ClassVar[str] = "date"
    form: ClassVar[Form] = "date"

    @property
    def _own_outputs(self) -> tuple[str, ...]:
        waves = [f"{self.name} {wave} of {p}" for p in PERIODS for wave in ("sin", "cos")]
        return (self.name, *waves)

    def _encode(self, entries: Any) -> np.ndarray:
        parts = [entries]
        for period in PERIODS.values():
            phase = 2 * np.pi * np.mod(entries, period) / period
            parts += [np.sin(phase), np.cos(phase)]
        return np.column_stack(parts)


@dataclass(frozen=True)
class CategoricalColumn(Column):
    """One column for each category: 1 where the value is that category, else 0.

    Of two categories, and no others, one column: -1 for the first, 1 for the second.
    categories  in the order of their columns, at most MAX_CATEGORIES: the most frequent
                that were in at least LEAST_ROWS rows of training
    others      how many rarer ones there were; if any, they and unseen ones share one
                more column. Without it an unseen category is 0 in all columns
    numbers     whether the categories came as numbers
    """

    kind: ClassVar[str] = "categorical"
    form: ClassVar[Form] = "text"
    categories: tuple[str, ...] = ()
    others: int = 0
    numbers: bool = False

    @property
    def _binary(self) -> bool:
        return len(self.categories) == 2 and not self.others

    @property
    def _own_outputs(self) -> tuple[str, ...]:
        if self._binary:
            return (f"{self.name}={self.categories[1]}",)
        names = tuple(f"{self.name}={c}" for c in self.categories)
        return (*names, f"{self.name} other") if self.others else names

    @property
    def _own_detail(self) -> str:
        shown = ", ".join(self.categories[:4]) + (", ..." if self.categories[4:] else "")
        if self.others:
            every = len(self.categories) + self.others
            return (
                f"{len(self.categories)} of {every:,} categories have a column: {shown}"
            )
        return f"{len(self.categories)} categories: {shown}"

    @cached_property
    def _place(self) -> dict[str, int]:
        return {c: k for k, c in enumerate(self.categories)}

    def _read(self, values: Values) -> list[str | None]:
        """As labels; of numbers where they were in training, or where one fits."""
        if values.form == "text" or _is_empty(values):
            return (
                list(values.entries)
                if values.form == "text"
                else [None] * len(values.entries)
            )
        if values.form == "boolean":
            flags: list[Any] = [None if f != f else bool(f) for f in values.entries]
            found = labels(flags)
        else:
            found = labels(list(values.entries))
        if not self.numbers and not any(v in self._place for v in found):
            raise DataError(self._changed(values))
        return found

    def _encode(self, entries: Any) -> np.ndarray:
        codes = np.array([self._place.get(v, -1) for v in entries], np.intp)
        rows = np.arange(len(codes))
        if self._binary:
            return np.where(codes < 0, 0.0, 2.0 * codes - 1.0)[:, None]
        found = np.zeros((len(codes), len(self._own_outputs)))
        known = codes >= 0
        found[rows[known], codes[known]] = 1.0
        if self.others:
            absent = np.array([v is None for v in entries])
            found[~known & ~absent, -1] = 1.0
        return found


@dataclass(frozen=True)
class ConstantColumn(Column):
    """The same in every row, or no value in any: it becomes no column."""

    kind: ClassVar[str] = "constant"

    @property
    def outputs(self) -> tuple[str, ...]:
        """None."""
        return ()

    def encode(self, values: Values) -> np.ndarray:
        """(rows, 0), whatever the column holds."""
        return np.empty((len(values.entries), 0))


@dataclass(frozen=True)
class IdentifierColumn(ConstantColumn):
    """Text, and hardly two rows have the same: it becomes no column."""

    kind: ClassVar[str] = "identifier"


KINDS: dict[str, type[Column]] = {
    k.kind: k
    for k in (
        NumericColumn,
        BooleanColumn,
        CategoricalColumn,
        DateColumn,
        ConstantColumn,
        IdentifierColumn,
    )
}


def fit_column(name: str, values: Values, categorical: bool) -> Column:
    """What a column becomes; `categorical` says that it holds categories."""
    if _is_empty(values):
        return ConstantColumn(name, True, "no value in any row")
    missing = bool(_absent(values).any())
    if categorical or values.form == "text":
        return _fit_categories(name, values, missing)
    entries = values.entries
    require_finite(name, entries)
    present = entries[~np.isnan(entries)] if missing else entries
    low, high = present.min(), present.max()
    if low == high and not missing:
        return ConstantColumn(name, False, f"always {low:g}")
    kind = {"number": NumericColumn, "boolean": BooleanColumn, "date": DateColumn}
    return kind[values.form](name, missing, values.note)


def require_finite(name: str, entries: np.ndarray) -> None:
    """DataError naming the first infinity of a column, if there is one."""
    bad = np.isinf(entries)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"Column {name!r} holds {entries[row]} (inf) in row {row} (counted from 0). "
            "Numbers must be finite; a missing value is NaN."
        )


def _fit_categories(name: str, values: Values, missing: bool) -> Column:
    as_text = values.entries if values.form == "text" else labels(_objects(values))
    counts = Counter(v for v in as_text if v is not None)
    if len(counts) == 1:
        return (
            CategoricalColumn(
                name, True, values.note, tuple(counts), 0, values.form != "text"
            )
            if missing
            else ConstantColumn(name, False, f"always {next(iter(counts))}")
        )
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    kept = sorted(c for c, rows in ranked[:MAX_CATEGORIES] if rows >= LEAST_ROWS)
    if not kept:
        note = f"; {values.note}" if values.note else ""
        return IdentifierColumn(name, missing, f"another text in every row{note}")
    others = len(counts) - len(kept)
    numbers = values.form == "number" or all(c.replace(".", "").isdigit() for c in kept)
    return CategoricalColumn(name, missing, values.note, tuple(kept), others, numbers)


def _objects(values: Values) -> list[Any]:
    if values.form == "boolean":
        return [None if f != f else bool(f) for f in values.entries]
    return list(values.entries)


def _absent(values: Values) -> np.ndarray:
    """(rows,) where no value is."""
    if values.form == "text":
        return np.array([v is None for v in values.entries])
    return np.asarray(np.isnan(values.entries))


def _is_empty(values: Values) -> bool:
    return bool(_absent(values).all())


def _empty(values: Values) -> np.ndarray:
    return np.full(len(values.entries), np.nan)


def _shown(values: Values) -> str:
    """The first value, with its form and place."""
    row = int(np.argmin(_absent(values)))
    value = values.entries[row]
    if values.form == "text":
        odd = next((k for k, v in enumerate(values.entries) if v and not _plain(v)), row)
        return f"the text {values.entries[odd]!r} in row {odd} (counted from 0)"
    form = {"number": "number", "boolean": "truth value", "date": "date"}[values.form]
    return f"the {form} {value:g} in row {row} (counted from 0)"


def _plain(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def column_to_dict(column: Column) -> dict[str, Any]:
    """The column as plain JSON."""
    found = {"kind": column.kind, **asdict(column)}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def column_from_dict(found: Mapping[str, Any]) -> Column:
    """The column that `column_to_dict` wrote; FileFormatError where it is malformed."""
    kind = KINDS.get(str(found.get("kind")))
    if kind is None:
        raise FileFormatError(
            f"A column is of the kind {found.get('kind')!r}; known: {', '.join(KINDS)}."
        )
    given = {name: value for name, value in found.items() if name != "kind"}
    types = {"name": str, "missing": bool, "note": str, "others": int, "numbers": bool}
    for known in fields(kind):
        value = given.get(known.name)
        if known.name == "categories":
            if not isinstance(value, list) or not all(isinstance(c, str) for c in value):
                raise FileFormatError("A column's categories are not a list of texts.")
            given["categories"] = tuple(value)
        elif not isinstance(value, types[known.name]):
            raise FileFormatError(f"A column's {known.name} is {value!r:.40}.")
    return kind(**given)
