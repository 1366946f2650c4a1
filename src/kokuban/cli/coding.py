"""How raw data become rows for a network, and its output an answer.

A coding is saved with the model, so that prediction reads raw files as training did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, final

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import CellError, DataError, FileFormatError, SettingError
from kokuban.train.data import (
    Table,
    Target,
    read_batches,
    read_idx,
    read_idx_pair,
    state,
)
from kokuban.train.data.target import shown

if TYPE_CHECKING:  # the estimators bring scikit-learn, which takes a second
    import polars as pl

    from kokuban.estimators.tabular.encoder import Encoder

Labels = tuple[str, ...] | tuple[int, ...] | tuple[float, ...]
DIGITS = "digits"  # the word for scikit-learn's bundled digits
DIGIT_LEVELS = 16  # their grey levels, 0 to 16

Matrix = NDArray[np.float32]
Targets = NDArray[np.int64] | NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows for a network.

    x        (rows, columns)
    t        (rows,) numbers of classes, or a quantity in its own unit; None where there
             are no targets
    without  why there are none
    """

    x: Matrix
    t: Targets | None
    without: str = ""

    def __len__(self) -> int:
        """The number of rows."""
        return len(self.x)

    def targets(self) -> Targets:
        """The targets; DataError where there are none."""
        if self.t is None:
            raise DataError(f"Targets are needed, but {self.without}")
        return self.t

    def take(self, rows: NDArray[np.intp]) -> Rows:
        """The rows of the given numbers, in that order."""
        return Rows(self.x[rows], None if self.t is None else self.t[rows], self.without)


class Coding(ABC):
    """What every coding is: raw files to rows, a network's output to answers."""

    @property
    @abstractmethod
    def labels(self) -> Labels:
        """The classes' labels in the order of their numbers; none in regression."""

    @abstractmethod
    def batches(
        self, files: Sequence[str], separator: str | None, encoding: str | None
    ) -> Iterator[Rows]:
        """The rows of raw files like those of training, many at a time."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""

    @property
    @final
    def outputs(self) -> int:
        """How many columns the network's output has."""
        return len(self.labels) or 1


@dataclass(frozen=True)
class Scale:
    """A quantity from a network's output: y = centre + spread u, from low to high.

    low, high  None where the network's output is not held
    """

    centre: float
    spread: float
    low: float | None = None
    high: float | None = None

    def decode(self, u: NDArray[Any]) -> NDArray[np.float64]:
        """(rows,) the quantity of outputs u (rows, 1)."""
        y = self.centre + self.spread * u.reshape(-1).astype(np.float64)
        if self.low is None or self.high is None:
            return y
        held: NDArray[np.float64] = np.minimum(np.maximum(y, self.low), self.high)
        return held

    def encode(self, y: NDArray[np.float64]) -> NDArray[np.float32]:
        """(rows,) what a network should put out for quantities y."""
        return ((y - self.centre) / self.spread).astype(np.float32)


@final
@dataclass(frozen=True, eq=False)
class TableCoding(Coding):
    """Tables: the columns by an encoder, the target by its labels or its scale.

    header  whether training's table had one: columns are then found by name, else by
            their order
    """

    encoder: Encoder
    target: Target
    header: bool
    known: Labels
    scale: Scale | None

    @property
    def labels(self) -> Labels:
        """The classes' labels in the order of their numbers; none in regression."""
        return self.known

    @property
    def quantity(self) -> Scale:
        """The scale of a regression."""
        assert self.scale is not None
        return self.scale

    @property
    def parts(self) -> list[tuple[str, slice]]:
        """Each column's name, and where what it becomes stands in the matrix."""
        ends = np.searchsorted(
            self.encoder.origins, np.arange(len(self.encoder.columns) + 1)
        ).tolist()
        names = [column.name for column in self.encoder.columns]
        return [
            (name, slice(*at)) for name, at in zip(names, pairwise(ends), strict=True)
        ]

    def batches(
        self, files: Sequence[str], separator: str | None, encoding: str | None
    ) -> Iterator[Rows]:
        """The rows of a CSV or Parquet file, with or without the target's column."""
        if len(files) != 1:
            raise SettingError(
                f"The model reads one table, CSV or Parquet; {len(files)} files are "
                "given."
            )
        if files[0] == DIGITS:
            raise SettingError("The model was trained on a table, not on the digits.")
        for table in read_batches(files[0], self.header, separator, encoding):
            yield self.rows(table)

    def rows(self, table: Table) -> Rows:
        """The rows of a table."""
        inputs, target = self._match(table)
        x = encoded(self.encoder, inputs)
        if target is None:
            name = self.target.name
            return Rows(x, None, f"{table.path}: no target column {name!r}.")
        try:
            return Rows(x, self._targets(table, target))
        except DataError as error:  # prediction does not need them
            return Rows(x, None, str(error))

    def _match(self, table: Table) -> tuple[Table, int | None]:
        """The columns to predict from, and where the target is, if it is there."""
        if self.header and not table.header:
            raise DataError(
                f"{table.path}: no header, and training's table had one: its columns are "
                "found by name. Add the header."
            )
        if self.header:
            if self.target.name not in table.columns:
                return table, None
            position = table.columns.index(self.target.name)
            return table.without(position), position
        found, count = len(table.columns), len(self.encoder.columns)
        position = self.target.position
        if found not in (count, count + 1):
            raise DataError(
                f"{table.path}: {found} columns; training's table had {count + 1}, the "
                f"target being number {position + 1}, and it may be left out."
            )
        inputs = table.without(position) if found > count else table
        names = [column.name for column in self.encoder.columns]
        return inputs.renamed(names), position if found > count else None

    def _targets(self, table: Table, position: int) -> Targets:
        y = self.target.read(table, position)
        if not self.labels:
            return y
        return classes_of(y, self.labels, table, position)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON, but what the estimator in the same file knows."""
        return {"kind": "table", "header": self.header, "target": self.target.to_dict()}

    def whole(self) -> dict[str, Any]:
        """All of it as plain JSON, for a file that holds no estimator."""
        return {
            **self.to_dict(),
            "kind": "board",
            "encoder": self.encoder.to_dict(),
            "labels": list(self.known),
            "scale": None if self.scale is None else asdict(self.scale),
        }


def goals(coding: Coding, rows: Rows) -> NDArray[Any]:
    """What a model is trained to give: classes by number, or standardised quantities."""
    t = rows.targets()
    if isinstance(coding, TableCoding) and not coding.labels:
        return coding.quantity.encode(t.astype(np.float64))
    return t


def encoded(encoder: Encoder, table: Table) -> Matrix:
    """A table's rows; DataError with the line of the file for a cell that is wrong."""
    from kokuban.estimators.tabular.frame import read

    with placed(table):
        return encoder.transform(read(_typed(encoder, table)), str(table.path))


def _typed(encoder: Encoder, table: Table) -> pl.DataFrame:
    """The cells, those of plain numeric columns as numbers where all of them are."""
    import polars as pl

    kinds = table.frame.schema
    numeric = [
        column.name
        for column in encoder.columns
        if column.kind == "numeric"
        and not getattr(column, "commas", "")
        and kinds.get(column.name) == pl.String
    ]
    if not numeric:
        return table.frame
    present = table.frame.select(pl.col(numeric).count()).row(0)
    values = table.frame.select(pl.col(numeric).cast(pl.Float64, strict=False))
    read = values.select(pl.all().count()).row(0)
    sound = [n for n, a, b in zip(numeric, present, read, strict=True) if a == b]
    return table.frame.with_columns(values.select(sound))


@contextmanager
def placed(table: Table) -> Iterator[None]:
    """A cell that an encoder refuses is told with its place in the file."""
    try:
        yield
    except CellError as error:
        where = table.place(error.row, table.columns.index(error.column))
        raise DataError(f"{where}: {error.told}") from error


def classes_of(
    y: NDArray[Any], labels: Labels, table: Table, position: int
) -> NDArray[np.int64]:
    """(rows,) the numbers of the labels y; DataError for one that is not among them."""
    known = np.array(labels)
    if y.dtype.kind == known.dtype.kind or "U" not in y.dtype.kind + known.dtype.kind:
        t = np.minimum(np.searchsorted(known, y), len(known) - 1)
        right = known[t] == y
    else:
        t, right = np.zeros(len(y), np.intp), np.zeros(len(y), bool)
    if not right.all():
        row = int(right.argmin())
        raise DataError(
            f"{table.place(row, position)}: the label is {y[row].item()!r}, but "
            f"training's labels are {shown(labels)}."
        )
    return t.astype(np.int64)


@final
@dataclass(frozen=True)
class ImageCoding(Coding):
    """Grey images, each pixel 0..levels divided by `levels`; classes by their labels."""

    known: tuple[int, ...]
    levels: int

    @property
    def labels(self) -> Labels:
        """The classes' labels in the order of their numbers."""
        return self.known

    def batches(
        self, files: Sequence[str], separator: str | None, encoding: str | None
    ) -> Iterator[Rows]:
        """The rows of the bundled digits, or of IDX files: images, and maybe labels."""
        if len(files) > 2:
            raise SettingError(
                f"The model reads images, and maybe labels; {len(files)} files are given."
            )
        try:
            yield self._read(files)
        except FileFormatError as error:
            raise FileFormatError(
                f"{error} The model was trained on images: give an IDX file of images, "
                f"and maybe one of their labels, or {DIGITS}."
            ) from error

    def _read(self, files: Sequence[str]) -> Rows:
        if list(files) == [DIGITS]:
            return self.rows(*digits())
        if len(files) == 1:
            return Rows(self._scaled(_images(files[0])), None, "no labels are given.")
        x, labels = read_idx_pair(files[0], files[1])
        return self.rows(levels_of(x), labels)

    def rows(self, x: Matrix, labels: NDArray[np.int64]) -> Rows:
        """The rows of images in their own grey levels."""
        t = np.searchsorted(self.known, labels)
        found = np.array(self.known)[np.minimum(t, len(self.known) - 1)] == labels
        if found.all():
            return Rows(self._scaled(x), t.astype(np.int64))
        first = int(found.argmin())
        return Rows(
            self._scaled(x),
            None,
            f"image {first + 1} has the label {labels[first]}, which training did not.",
        )

    def _scaled(self, x: Matrix) -> Matrix:
        return x / np.float32(self.levels)

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {"kind": "images", "labels": list(self.known), "levels": self.levels}


def digits() -> tuple[Matrix, NDArray[np.int64]]:
    """scikit-learn's digits: (1797, 64) grey levels 0..16 and (1797,) labels 0..9."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return bunch.data.astype(np.float32), bunch.target.astype(np.int64)


def levels_of(x: Matrix) -> Matrix:
    """The grey levels 0..255, exactly, that `read_idx_pair` divided by 255."""
    levels: Matrix = np.rint(x * np.float32(255))
    return levels


def _images(path: str) -> Matrix:
    array = read_idx(path)
    if array.ndim < 2 or array.dtype != np.uint8:
        raise DataError(
            f"{path}: images are unsigned bytes in two or more dimensions; these are "
            f"{array.dtype} in {array.ndim}."
        )
    return array.reshape(len(array), -1).astype(np.float32)


def coding_from_dict(found: object, estimator: Any = None) -> Coding:
    """The coding that `to_dict` wrote; FileFormatError where it is malformed.

    `estimator` is the one in the same file, if there is one.
    """
    kind = found.get("kind") if isinstance(found, dict) else None
    if kind == "images":
        checks = {"kind": state.is_text, "labels": _are_labels, "levels": _is_positive}
        values = state.fields(found, checks, "The images' coding")
        return ImageCoding(tuple(values["labels"]), values["levels"])
    own = _BOARD if kind == "board" else _TABLE
    values = state.fields(found, own, "The table's coding")
    target = Target.from_dict(values["target"])
    if kind == "board":
        encoder, labels, scale = _of_board(values)
    elif estimator is None:
        raise FileFormatError("The coding is that of an estimator, which is not there.")
    else:
        encoder, labels, scale = of_estimator(estimator)
    if bool(labels) != (target.task == "classification"):
        raise FileFormatError("The table's target is not what the model predicts.")
    return TableCoding(encoder, target, values["header"], labels, scale)


def of_estimator(estimator: Any) -> tuple[Encoder, Labels, Scale | None]:
    """What a fitted tabular estimator knows of columns and target."""
    if hasattr(estimator, "classes_"):
        return estimator.encoder_, tuple(estimator.classes_.tolist()), None
    e = estimator
    return e.encoder_, (), Scale(e._centre, e._spread, e._low, e._high)


def _of_board(values: dict[str, Any]) -> tuple[Encoder, Labels, Scale | None]:
    from kokuban.estimators.tabular.encoder import Encoder

    try:
        encoder = Encoder.from_dict(values["encoder"])
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(f"The columns' encoding is malformed: {error}") from error
    scale = values["scale"]
    return encoder, tuple(values["labels"]), None if scale is None else Scale(**scale)


def _is_record(value: object) -> bool:
    return isinstance(value, dict)


def _is_scale(value: object) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and set(value) == {"centre", "spread", "low", "high"}
        and all(map(state.is_finite, (value["centre"], value["spread"])))
        and value["low"] is value["high"] is None
    )


def _are_classes(value: object) -> bool:
    """Labels of one type, sorted, none twice; or none at all."""
    if not isinstance(value, list) or len({type(label) for label in value}) > 1:
        return False
    plain = all(isinstance(label, str | int | float) for label in value)
    return plain and len(value) != 1 and all(a < b for a, b in pairwise(value))


_TABLE: dict[str, state.Check] = {
    "kind": lambda value: value == "table",
    "header": state.is_flag,
    "target": _is_record,
}
_BOARD: dict[str, state.Check] = {
    **_TABLE,
    "kind": lambda value: value == "board",
    "encoder": _is_record,
    "labels": _are_classes,
    "scale": _is_scale,
}


def _is_positive(value: object) -> bool:
    return state.is_count(value) and value != 0


def _are_labels(value: object) -> bool:
    """Two or more whole numbers, sorted, none twice."""
    if not isinstance(value, list) or len(value) < 2:
        return False
    return all(type(label) is int for label in value) and sorted({*value}) == value
