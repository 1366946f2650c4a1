"""What the column to be predicted becomes: the numbers of classes, or a quantity."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kokuban.errors import DataError, FileFormatError, unknown
from kokuban.train.data import state
from kokuban.train.data.columns import (
    COMMAS,
    are_commas,
    nearly_numeric,
    standardise,
)
from kokuban.train.data.table import Table, as_numbers, commas_in, is_numeric, quoted

Task = Literal["classification", "regression"]
TASKS: tuple[Task, ...] = ("classification", "regression")

# More whole numbers than this in a row are a count, not classes.
MAX_NUMBERED_CLASSES = 20

Labels = tuple[str, ...] | tuple[int, ...] | tuple[float, ...]


@dataclass(frozen=True)
class ClassTarget:
    """Labels, encoded as 0, 1, ... in the order of `labels`, which are sorted.

    position: where the column stood in training's table, from 0.
    reason: why these are classes.
    """

    task: ClassVar[Task] = "classification"
    name: str
    position: int
    reason: str
    labels: Labels

    @property
    def detail(self) -> str:
        """What was learned, in words."""
        return f"{len(self.labels)} classes ({self.reason}): {_shown(self.labels)}"

    def encode(self, table: Table, position: int) -> NDArray[np.int64]:
        """(rows,) the number of each row's class.

        Raises DataError for a missing label, or one that training did not have.
        """
        import polars as pl

        cells = table.frame.to_series(position)
        known = isinstance(self.labels[0], str)
        keys = table.text(position) if known else as_numbers(cells)
        numbers = pl.Series(range(len(self.labels)), dtype=pl.Int64)
        codes = keys.replace_strict(
            pl.Series(self.labels, dtype=keys.dtype), numbers, default=None
        )
        row = codes.is_null().arg_max()
        if row is not None and codes[row] is None:
            raise DataError(
                f"{table.place(row, position)}: {_named(cells[row])}, but training's "
                f"labels are {_shown(self.labels)}."
            )
        return codes.to_numpy()

    def decode(self, encoded: ArrayLike) -> NDArray[Any]:
        """(rows,) the labels of classes given by number: text, int64 or float64.

        Raises DataError where these are not numbers of classes.
        """
        numbers = np.asarray(encoded)
        count = len(self.labels)
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
            raise DataError(
                f"Classes are a list of whole numbers; these are {numbers.dtype} of "
                f"shape {numbers.shape}."
            )
        if len(numbers) and not 0 <= numbers.min() <= numbers.max() < count:
            raise DataError(
                f"Classes {numbers.min()} to {numbers.max()}: there are {count}, from 0."
            )
        decoded: NDArray[Any] = np.array(self.labels)[numbers]
        return decoded


@dataclass(frozen=True)
class QuantityTarget:
    """A number, encoded as (y - mean) / deviation, training's.

    A network starts near 0 with slopes near 1, so a target of that size is learned in
    far fewer steps than one in dollars; errors in y's unit are `deviation` times larger.
    """

    task: ClassVar[Task] = "regression"
    name: str
    position: int
    reason: str
    mean: float
    deviation: float
    commas: str = ""

    @property
    def detail(self) -> str:
        """What was learned, in words."""
        text = (
            f"a quantity ({self.reason}): mean {self.mean:.6g}, standard deviation "
            f"{self.deviation:.6g}"
        )
        return f"{text}; {COMMAS[self.commas]}" if self.commas else text

    def encode(self, table: Table, position: int) -> NDArray[np.float32]:
        """(rows,) the standardised numbers.

        Raises DataError for one that is missing, no number, or too far for float32.
        """
        _refuse_missing(table, position)
        y = table.numbers(position, self.commas)
        return standardise(y, self.mean, self.deviation, table, position)

    def decode(self, encoded: ArrayLike) -> NDArray[np.float64]:
        """(rows,) the numbers in y's own unit, of (rows,) or (rows, 1) standardised ones.

        Raises DataError for another shape.
        """
        z = np.asarray(encoded, np.float64)
        if z.ndim != 1 and (z.ndim != 2 or z.shape[1] != 1):
            raise DataError(f"A quantity is (rows,) or (rows, 1); this is {z.shape}.")
        return z.reshape(-1) * self.deviation + self.mean


Target = ClassTarget | QuantityTarget


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
    cells = table.frame.to_series(position)
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
    name = table.columns[position]
    if task == "regression":
        deviation = _deviation(y, table, position)
        mean = float(y.mean())
        return QuantityTarget(name, position, reason, mean, deviation, commas)
    if commas:
        return _text_classes(table, position, task)
    _refuse_singles(table, position, len(distinct))
    whole = bool((distinct % 1 == 0).all() and (np.abs(distinct) < 2**53).all())
    labels: Labels = tuple(
        distinct.astype(np.int64).tolist() if whole else distinct.tolist()
    )
    return ClassTarget(name, position, reason, labels)


def _text_classes(table: Table, position: int, task: str | None) -> ClassTarget:
    name = table.columns[position]
    if task is None and (doubt := nearly_numeric(table, position)):
        raise DataError(
            f"Target {name!r}: {doubt}. Mend it, or say task='classification'."
        )
    found = table.text(position).unique()
    if len(found) == 1:
        _refuse_constant(table, position)
    _refuse_singles(table, position, len(found))
    labels = tuple(sorted(found.to_list()))
    return ClassTarget(name, position, "as asked" if task else "text", labels)


def _guess(distinct: NDArray[np.float64]) -> tuple[Task, str]:
    count = len(distinct)
    whole = bool((distinct % 1 == 0).all())
    if whole and count == 2:
        return "classification", "two whole numbers"
    if count <= MAX_NUMBERED_CLASSES and np.array_equal(distinct, np.arange(count)):
        return "classification", f"whole numbers 0 to {count - 1}, none left out"
    return "regression", f"whole numbers, {count} different" if whole else "numbers"


def _deviation(y: NDArray[np.float64], table: Table, position: int) -> float:
    deviation = float(y.std())
    if deviation < np.finfo(np.float32).tiny:
        raise DataError(
            f"Target {table.columns[position]!r} has the standard deviation "
            f"{deviation:.3g}, too small for float32: give it in a smaller unit."
        )
    return deviation


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


def _named(label: object) -> str:
    return "the label is missing" if label is None else f"the label is {quoted(label)}"


def _shown(labels: Labels) -> str:
    shown = ", ".join(repr(label) for label in labels[:10])
    return f"{shown}, ... ({len(labels)})" if len(labels) > 10 else shown


_FIELDS: dict[str, state.Check] = {
    "task": state.is_text,
    "name": state.is_text,
    "position": state.is_count,
    "reason": state.is_text,
}


def target_to_dict(target: Target) -> dict[str, Any]:
    """The target as plain JSON."""
    found = {"task": target.task, **asdict(target)}
    if isinstance(target, ClassTarget):
        found["labels"] = list(target.labels)
    return found


def target_from_dict(found: object) -> Target:
    """The target that `target_to_dict` wrote. Raises FileFormatError where malformed."""
    task = found.get("task") if isinstance(found, dict) else None
    if task not in TASKS:
        raise FileFormatError(
            f"The table's target is of the task {task!r}; known: {', '.join(TASKS)}."
        )
    own: dict[str, state.Check] = {"mean": state.is_finite, "deviation": _is_positive}
    own["commas"] = are_commas
    if task == "classification":
        own = {"labels": _are_labels}
    values = state.fields(found, _FIELDS | own, "The table's target")
    rest = {name: value for name, value in values.items() if name != "task"}
    if task == "classification":
        return ClassTarget(**rest | {"labels": tuple(rest["labels"])})
    return QuantityTarget(**rest)


def _is_positive(value: object) -> bool:
    return state.is_spread(value) and value != 0


def _are_labels(value: object) -> bool:
    """Two or more labels of one type, sorted, none twice; whole ones exact in float64."""
    if not isinstance(value, list) or len(value) < 2:
        return False
    if type(value[0]) is float:
        alike = all(state.is_finite(label) for label in value)
    elif type(value[0]) is int:
        alike = all(type(label) is int and abs(label) < 2**53 for label in value)
    else:
        alike = all(isinstance(label, str) for label in value)
    return alike and all(a < b for a, b in pairwise(value))
