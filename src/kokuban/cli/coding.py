"""How raw data become rows for a network, and its output an answer.

A coding is saved with the model, so that prediction reads raw files as training did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError, SettingError
from kokuban.train.data import (
    Table,
    TableEncoder,
    read_batches,
    read_idx,
    read_idx_pair,
    state,
)
from kokuban.train.data.target import Labels, QuantityTarget

DIGITS = "digits"  # the word for scikit-learn's bundled digits
DIGIT_LEVELS = 16  # their grey levels, 0 to 16

Matrix = NDArray[np.float32]
Targets = NDArray[np.int64] | NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows for a network.

    x        (rows, columns)
    t        (rows,) numbers of classes, or a standardised quantity; None where there
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


@final
@dataclass(frozen=True)
class TableCoding(Coding):
    """Tables, by a `TableEncoder`."""

    encoder: TableEncoder

    @property
    def labels(self) -> Labels:
        """The classes' labels in the order of their numbers; none in regression."""
        return self.encoder.labels

    @property
    def quantity(self) -> QuantityTarget:
        """The target of a regression."""
        assert isinstance(self.encoder.target, QuantityTarget)
        return self.encoder.target

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
        for table in read_batches(files[0], self.encoder.header, separator, encoding):
            yield self.rows(table)

    def rows(self, table: Table) -> Rows:
        """The rows of a table."""
        x = self.encoder.transform(table)
        try:
            return Rows(x, self.encoder.encode_target(table))
        except DataError as error:  # prediction does not need them
            return Rows(x, None, str(error))

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {"kind": "table", "encoder": self.encoder.to_dict()}


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
        if list(files) == [DIGITS]:
            x, labels = digits()
        elif len(files) == 2:
            x, labels = read_idx_pair(files[0], files[1])
            x = levels_of(x)
        elif len(files) == 1:
            yield Rows(self._scaled(_images(files[0])), None, "no labels are given.")
            return
        else:
            raise SettingError(
                f"The model reads images, and maybe labels; {len(files)} files are given."
            )
        yield self.rows(x, labels)

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


def coding_from_dict(found: object) -> Coding:
    """The coding that `to_dict` wrote; FileFormatError where it is malformed."""
    if isinstance(found, dict) and found.get("kind") == "images":
        checks = {"kind": state.is_text, "labels": _are_labels, "levels": _is_positive}
        values = state.fields(found, checks, "The images' coding")
        return ImageCoding(tuple(values["labels"]), values["levels"])
    values = state.fields(found, {"kind": _is_table, "encoder": _is_any}, "The coding")
    return TableCoding(TableEncoder.from_dict(values["encoder"]))


def _is_table(value: object) -> bool:
    return value == "table"


def _is_any(_: object) -> bool:
    return True


def _is_positive(value: object) -> bool:
    return state.is_count(value) and value != 0


def _are_labels(value: object) -> bool:
    """Two or more whole numbers, sorted, none twice."""
    if not isinstance(value, list) or len(value) < 2:
        return False
    return all(type(label) is int for label in value) and sorted({*value}) == value
