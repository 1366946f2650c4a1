"""What the column to be predicted is: labels of classes, or a quantity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError, unknown
from kokuban.train.data import state
from kokuban.train.data.numerals import FORMS, TOLD
from kokuban.train.data.table import Table, as_numbers, commas_in, is_numeric, quoted

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = ("classification", "regression")

# More whole numbers than this in a row are a count, not classes.
MAX_NUMBERED_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """The column that is predicted.

    position  where it stood in training's table, from 0
    task      what it asks for
    reason    why
    text      whether its values are text
    commas    what commas are in its numbers, as `numerals.commas_in` tells
    """

    name: str
    position: int
    task: Task
    reason: str
    text: bool = False
    commas: str = ""

    def read(self, table: Table, position: int) -> NDArray[Any]:
        """(rows,) labels as text or int64; or the quantity, float64.

        Raises DataError for a value that is missing or no number where it must be one.
        """
        _refuse_missing(table, position)
        if self.text:
            return table.text(position).to_numpy().astype(np.str_)
        y = table.numbers(position, self.commas)
        if self.task == "regression":
            return y
        if not _are_whole(y):
            row = int((y % 1 != 0).argmax())
            raise DataError(
                f"{table.place(row, position)}: {y[row]:.15g} is none of training's "
                "labels, which are whole numbers."
            )
        return y.astype(np.int64)

    def told(self, y: NDArray[Any]) -> str:
        """What was found in the values `y` of training, in words."""
        if self.task == "classification":
            labels = np.unique(y).tolist()
            return f"{len(labels)} classes ({self.reason}): {shown(labels)}"
        text = f"mean {y.mean():.6g}, standard deviation {y.std():.6g}"
        text = f"a quantity ({self.reason}): {text}"
        return f"{text}; {TOLD[self.commas]}" if self.commas else text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, found: object) -> Target:
        """What `to_dict` wrote. Raises FileFormatError where it is malformed."""
        return cls(**state.fields(found, _FIELDS, "The table's target"))


_FIELDS: dict[str, state.Check] = {
    "name": state.is_text,
    "position": state.is_count,
    "task": lambda value: value in TASKS,
    "reason": state.is_text,
    "text": state.is_flag,
    "commas": lambda value: value in ("", *FORMS),
}


def fit_target(table: Table, position: int, task: str | None = None) -> Target:
    """What the column at `position` means as a target.

    task: "classification", "regression", or None to decide:

    - text is classes;
    - two different whole numbers are classes: a yes or no, however it is coded;
    - the whole numbers 0, 1, ..., k - 1, all of them and k at most 20, are classes, since
      that is how programs number classes;
    - other numbers are a quantity. So ratings from 3 to 9 are: they have an order and
      distances, which classes would throw away.

    Raises DataError: a value is missing; there is only one; it is no number where
    numbers are needed; or most are numbers and some are not, so that the task cannot be
    told. UnknownNameError: there is no such task.
    """
    if task is not None and task not in TASKS:
        raise unknown("task", task, TASKS)
    _refuse_missing(table, position)
    cells, name = table.frame.to_series(position), table.columns[position]
    commas = commas_in(cells)
    if not commas and not is_numeric(cells) and task != "regression":
        return _text_classes(table, position, task)
    y = table.numbers(position, commas)
    distinct = np.unique(y)
    if len(distinct) == 1:
        _refuse_constant(table, position)
    reason = "as asked"
    if task is None:
        task, reason = _guess(distinct)
    if task == "regression":
        return Target(name, position, "regression", reason, False, commas)
    if commas or not _are_whole(distinct):  # what is classified is no quantity
        return _text_classes(table, position, task)
    _refuse_singles(table, position, len(distinct))
    return Target(name, position, "classification", reason)


def _text_classes(table: Table, position: int, task: str | None) -> Target:
    name = table.columns[position]
    if task is None and (doubt := _nearly_numeric(table, position)):
        raise DataError(
            f"Target {name!r}: {doubt}. Mend it, or say task='classification'."
        )
    count = table.text(position).n_unique()
    if count == 1:
        _refuse_constant(table, position)
    _refuse_singles(table, position, count)
    reason = "as asked" if task else "text"
    return Target(name, position, "classification", reason, True)


def _guess(distinct: NDArray[np.float64]) -> tuple[Task, str]:
    count, whole = len(distinct), _are_whole(distinct)
    if whole and count == 2:
        return "classification", "two whole numbers"
    if count <= MAX_NUMBERED_CLASSES and np.array_equal(distinct, np.arange(count)):
        return "classification", f"whole numbers 0 to {count - 1}, none left out"
    return "regression", f"whole numbers, {count} different" if whole else "numbers"


def _are_whole(numbers: NDArray[np.float64]) -> bool:
    return bool((numbers % 1 == 0).all() and (np.abs(numbers) < 2**53).all())


def _nearly_numeric(table: Table, position: int) -> str:
    """A sentence where most values of a text column are numbers, else ""."""
    text = table.text(position)
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


def _refuse_missing(table: Table, position: int) -> None:
    row = table.frame.to_series(position).is_null().arg_max()
    if row is not None and table.frame.item(row, position) is None:
        raise DataError(f"{table.place(row, position)}: the target is missing.")


def _refuse_constant(table: Table, position: int) -> None:
    rows = f"all {len(table):,} rows" if len(table) > 1 else "the only row"
    raise DataError(
        f"{table.path}: target {table.columns[position]!r} is "
        f"{quoted(table.frame.item(0, position))} in {rows}: there is nothing to learn."
    )


def _refuse_singles(table: Table, position: int, labels: int) -> None:
    """DataError where the classes have fewer than two rows each on average."""
    if labels > max(MAX_NUMBERED_CLASSES, len(table) // 2):
        raise DataError(
            f"{table.path}: target {table.columns[position]!r} has {labels:,} different "
            f"values in {len(table):,} rows, too few of each to learn from: choose a "
            "column whose values come again, or a quantity."
        )


def shown(labels: Sequence[object]) -> str:
    """Labels in a sentence, the first ones of many."""
    listed = ", ".join(repr(label) for label in labels[:10])
    return f"{listed}, ... ({len(labels)})" if len(labels) > 10 else listed
