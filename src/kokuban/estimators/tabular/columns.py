"""What a column was taken for, and how it becomes columns of a matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from kokuban.errors import CellError, FileFormatError
from kokuban.estimators.tabular.frame import Form, Text, Values, labels
from kokuban.estimators.tabular.texts import iso, parsed, understood
from kokuban.train.data.numerals import MARKS, number

MAX_CATEGORIES = 256  # the most frequent ones of a column; rarer ones share one
LEAST_ROWS = 2  # in which a category must be found to be one of its own
UNSEEN, ABSENT = -1, -2  # in place of a category's number

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

        Raises CellError where the values are of another form than in training, or not
        finite.
        """
        return self.spread(self.read(values))

    def read(self, values: Values) -> np.ndarray:
        """(rows,) the entries as this column's numbers, NaN where missing."""
        if values.form == self.form:
            return np.asarray(values.entries)
        absent = values.absent()
        if absent.all():
            return np.full(len(absent), np.nan)
        raise self._changed(values, int(absent.argmin()))

    def spread(self, entries: np.ndarray) -> np.ndarray:
        """(rows, outputs) float64 what `read` gave, as columns of a matrix."""
        found = self._spread(entries)
        if not self.missing:
            return found
        return np.column_stack([found, self._absent(entries)])

    def _spread(self, entries: np.ndarray) -> np.ndarray:
        return entries[:, None]

    def _absent(self, entries: np.ndarray) -> np.ndarray:
        return np.asarray(np.isnan(entries))

    def _of_words(self, text: Text, found: np.ndarray | None, parse: Any) -> np.ndarray:
        """(rows,) the numbers that words are; CellError at the first that is none."""
        if found is not None:
            return text.of_words(found, np.nan)
        wrong = np.array([parsed([word], parse) is None for word in text.words])
        raise self._changed(
            Values("text", text), int(text.of_words(wrong, False).argmax())
        )

    def _changed(self, values: Values, row: int) -> CellError:
        if values.form == "text":
            shown = f"the text {values.entries.words[values.entries.codes[row]]!r}"
        else:
            words = {"number": "number", "boolean": "truth value", "date": "date"}
            shown = f"the {words[values.form]} {values.entries[row]:g}"
        return CellError(
            self.name, row, f"{shown}, and the column was {self.kind} in training."
        )


@dataclass(frozen=True)
class NumericColumn(Column):
    """Its numbers as they are; the scaling comes after.

    commas  what commas are where the numbers are text: "", "thousands" or "decimal"
    """

    kind: ClassVar[str] = "numeric"
    form: ClassVar[Form] = "number"
    commas: str = ""

    def read(self, values: Values) -> np.ndarray:
        """(rows,) the numbers, NaN where missing."""
        if values.form == "boolean":
            return np.asarray(values.entries)
        if values.form == "text":
            text = values.entries
            found = parsed(text.words, self._number)
            entries = self._of_words(text, found, self._number)
        else:
            entries = super().read(values)
        require_finite(self.name, entries)
        return entries

    def _number(self, word: str) -> float:
        return number(word, self.commas)


@dataclass(frozen=True)
class BooleanColumn(Column):
    """-1 for false, 1 for true."""

    kind: ClassVar[str] = "boolean"
    form: ClassVar[Form] = "boolean"

    def read(self, values: Values) -> np.ndarray:
        """(rows,) 0 and 1, NaN where missing."""
        if values.form == "number" and np.isin(values.entries, (0, 1, np.nan)).all():
            return np.asarray(values.entries)
        return super().read(values)

    def _spread(self, entries: np.ndarray) -> np.ndarray:
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

    def read(self, values: Values) -> np.ndarray:
        """(rows,) seconds, NaN where missing."""
        if values.form == "text":
            text = values.entries
            return self._of_words(text, parsed(text.words, iso), iso)
        return super().read(values)

    def _spread(self, entries: np.ndarray) -> np.ndarray:
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
    def _own_outputs(self) -> tuple[str, ...]:
        if self.binary:
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

    def read(self, values: Values) -> np.ndarray:
        """(rows,) the categories' numbers, UNSEEN for others, ABSENT where missing.

        Numbers are taken where they were in training, or where one is a category.
        """
        text = as_text(values)
        place = self._place
        found = np.array([place.get(word, UNSEEN) for word in text.words], np.intp)
        foreign = values.form != "text" and not self.numbers and text.words
        if foreign and (found == UNSEEN).all():
            raise self._changed(values, int(values.absent().argmin()))
        return text.of_words(found, ABSENT)

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """(outputs,) in how many of the rows each output is 1, where it is not binary."""
        rows = np.bincount(codes - ABSENT, minlength=len(self.categories) - ABSENT)
        absent, unseen, *known = rows.tolist()
        more = ([unseen] if self.others else []) + ([absent] if self.missing else [])
        return np.array([*known, *more])

    @property
    def binary(self) -> bool:
        """Whether it becomes one column, for its second category."""
        return len(self.categories) == 2 and not self.others

    def _spread(self, codes: np.ndarray) -> np.ndarray:
        if self.binary:
            return np.where(codes < 0, 0.0, 2.0 * codes - 1.0)[:, None]
        found = np.zeros((len(codes), len(self._own_outputs)))
        known = np.flatnonzero(codes >= 0)
        found[known, codes[known]] = 1.0
        if self.others:
            found[codes == UNSEEN, -1] = 1.0
        return found

    def _absent(self, codes: np.ndarray) -> np.ndarray:
        return np.asarray(codes == ABSENT)


@dataclass(frozen=True)
class ConstantColumn(Column):
    """The same in every row, or no value in any: it becomes no column."""

    kind: ClassVar[str] = "constant"

    @property
    def outputs(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def detail(self) -> str:
        """Why."""
        return self.note

    def read(self, values: Values) -> np.ndarray:
        """(rows,) nothing that counts, whatever the column holds."""
        return np.zeros(len(values))

    def spread(self, entries: np.ndarray) -> np.ndarray:
        """(rows, 0)."""
        return np.empty((len(entries), 0))


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
    absent = values.absent()
    if absent.all():
        return ConstantColumn(name, True, "no value in any row")
    missing, commas, note = bool(absent.any()), "", ""
    if values.form == "text" and not (values.marked or categorical):
        values, commas, note = understood(values.entries)
    if categorical or values.form == "text":
        return _fit_categories(name, values, missing, note)
    entries = values.entries
    require_finite(name, entries)
    low, high = np.nanmin(entries), np.nanmax(entries)
    if low == high and not missing:
        return ConstantColumn(name, False, f"always {low:g}")
    if values.form == "number":
        return NumericColumn(name, missing, note, commas)
    kind = {"boolean": BooleanColumn, "date": DateColumn}
    return kind[values.form](name, missing, note)


def require_finite(name: str, entries: np.ndarray) -> None:
    """CellError naming the first infinity of a column, if there is one."""
    bad = np.isinf(entries)
    if bad.any():
        row = int(bad.argmax())
        raise CellError(
            name,
            row,
            f"{entries[row]} (infinity). Numbers must be finite; a missing value is NaN.",
        )


def as_text(values: Values) -> Text:
    """Values as labels: 3.0 is "3"."""
    if values.form == "text":
        found: Text = values.entries
        return found
    absent = values.absent()
    once, inverse = np.unique(values.entries[~absent], return_inverse=True)
    codes = np.full(len(absent), -1, np.intp)
    codes[~absent] = inverse
    plain = once.astype(bool) if values.form == "boolean" else once
    return Text([str(label) for label in labels(plain.tolist())], codes)


def _fit_categories(name: str, values: Values, missing: bool, note: str) -> Column:
    text = as_text(values)
    counts = np.bincount(text.codes[text.codes >= 0], minlength=len(text.words)).tolist()
    numbers = values.form != "text"
    if len(text.words) == 1:
        if missing:
            return CategoricalColumn(name, True, note, tuple(text.words), 0, numbers)
        return ConstantColumn(name, False, f"always {text.words[0]}")
    several = [
        (-n, word) for n, word in zip(counts, text.words, strict=True) if n >= LEAST_ROWS
    ]
    kept = sorted(word for _, word in sorted(several)[:MAX_CATEGORIES])
    if not kept:
        more = f"; {note}" if note else ""
        return IdentifierColumn(name, missing, f"another text in every row{more}")
    others = len(text.words) - len(kept)
    numbers = values.form == "number" or all(c.replace(".", "").isdigit() for c in kept)
    return CategoricalColumn(name, missing, note, tuple(kept), others, numbers)


def column_to_dict(column: Column) -> dict[str, Any]:
    """The column as plain JSON."""
    found = {known.name: getattr(column, known.name) for known in fields(column)}
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}
    return {"kind": column.kind, **plain}


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
        elif known.name == "commas":
            if value not in ("", *MARKS):
                raise FileFormatError(f"A column's commas are {value!r:.40}.")
        elif not isinstance(value, types[known.name]):
            raise FileFormatError(f"A column's {known.name} is {value!r:.40}.")
    return kind(**given)
