"""Tables as float matrices, the same way in training and in prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kokuban.errors import DataError, FileFormatError, nearest
from kokuban.train.data import state
from kokuban.train.data.columns import (
    Column,
    column_from_dict,
    column_to_dict,
    fit_column,
)
from kokuban.train.data.table import Table
from kokuban.train.data.target import (
    Labels,
    QuantityTarget,
    Target,
    Task,
    fit_target,
    target_from_dict,
    target_to_dict,
)


@dataclass(frozen=True)
class TableEncoder:
    """What was learned from training's table; made by `fit` or `from_dict`.

    header: whether that table had a header. If it had, later tables are matched by their
        columns' names; if not, by the columns' order. Read them with this `header`, so
        that nothing is left to guess.
    columns: what each column but the target becomes, in the table's order.
    target: what the target becomes.
    """

    header: bool
    columns: tuple[Column, ...]
    target: Target

    @classmethod
    def fit(
        cls, table: Table, target: str | int, task: str | None = None
    ) -> TableEncoder:
        """The encoder of `table`, whose column `target` is to be predicted.

        A column of numbers is standardised with its mean and standard deviation, a
        missing one set to the median; any other column becomes one column of zeros and
        ones for each category. Missing values that training had are marked. A column that
        is alike in every row is left out. `task` and the target: see `fit_target`.

        Raises UnknownNameError for an unknown target or task, DataError for data that
        cannot be used: no rows, nothing to learn from, a number that is not finite, and
        what `fit_target` says.
        """
        position = table.position(target)
        if not len(table):
            raise DataError(f"{table.path}: the table has no rows.")
        learned = fit_target(table, position, task)
        columns = tuple(
            fit_column(table, other)
            for other in range(len(table.columns))
            if other != position
        )
        if not any(column.outputs for column in columns):
            raise DataError(
                f"{table.path}: there is nothing to predict {learned.name!r} from: every "
                "other column is the same in all rows, or there is none."
            )
        return cls(table.header, columns, learned)

    @property
    def task(self) -> Task:
        """What the target asks for: classification or regression."""
        return self.target.task

    @property
    def labels(self) -> Labels:
        """The classes' labels in the order of their numbers; none in regression."""
        return () if isinstance(self.target, QuantityTarget) else self.target.labels

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.outputs)

    @property
    def parts(self) -> list[tuple[str, slice]]:
        """Each column's name, and where what it becomes stands in the matrix."""
        found, done = [], 0
        for column in self.columns:
            start, done = done, done + len(column.outputs)
            found.append((column.name, slice(start, done)))
        return found

    def transform(self, table: Table) -> NDArray[np.float32]:
        """(rows, len(outputs)) `table` as a matrix; it may have the target or not.

        Raises DataError where a column is missing or too many, where training had a
        header and this table has none, and for a cell in a numeric column that is not a
        finite number.
        """
        positions, _ = self._match(table)
        pairs = zip(self.columns, positions, strict=True)
        matrix = np.empty((len(table), len(self.outputs)), np.float32)
        done = 0
        for column, position in pairs:
            part = column.encode(table, position)
            matrix[:, done : done + part.shape[1]] = part
            done += part.shape[1]
        return matrix

    def encode_target(self, table: Table) -> NDArray[np.int64] | NDArray[np.float32]:
        """(rows,) the target: numbers of classes, int64, or the standardised quantity,
        float32.

        Raises DataError as `transform` does, and where the target is absent, missing in
        a row, not a number, or a label that training did not have.
        """
        _, position = self._match(table)
        if position is None:
            raise DataError(f"{table.path}: no target column {self.target.name!r}.")
        return self.target.encode(table, position)

    def decode_target(self, encoded: ArrayLike) -> NDArray[Any]:
        """(rows,) labels from numbers of classes, or quantities in their own unit.

        Raises DataError for numbers that are no class, or another shape.
        """
        return self.target.decode(encoded)

    def describe(self) -> list[tuple[str, str, str]]:
        """(column, what it was taken for, detail) for each column, the target last."""
        told = [(column.name, column.kind, column.detail) for column in self.columns]
        return [*told, (self.target.name, "target", self.target.detail)]

    def _match(self, table: Table) -> tuple[list[int], int | None]:
        """Where the columns stand in `table`, and the target if it is there."""
        return self._match_names(table) if self.header else self._match_order(table)

    def _match_names(self, table: Table) -> tuple[list[int], int | None]:
        if not table.header:
            raise DataError(
                f"{table.path}: no header, and training's table had one: its columns are "
                "found by name. Add the header, or say header=True if the first row is "
                "one."
            )
        place = {name: position for position, name in enumerate(table.columns)}
        known = [column.name for column in self.columns]
        ours = {*known, self.target.name}
        extra = [name for name in place if name not in ours]
        for name in known:
            if name not in place:
                raise DataError(
                    f"{table.path}: no column {name!r}, which training's table had."
                    f"{nearest(name, extra)}"
                )
        if extra:
            raise DataError(
                f"{table.path}: column {extra[0]!r} was not in training's table: remove "
                "it."
            )
        return [place[name] for name in known], place.get(self.target.name)

    def _match_order(self, table: Table) -> tuple[list[int], int | None]:
        count, found = len(self.columns), len(table.columns)
        target = self.target.position
        if found == count:
            return list(range(count)), None
        if found == count + 1:
            return [other for other in range(found) if other != target], target
        raise DataError(
            f"{table.path}: {found} columns; training's table had {count + 1}, the "
            f"target being number {target + 1}, and it may be left out."
        )

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain JSON: dictionaries, lists, text, numbers and flags."""
        return {
            "header": self.header,
            "columns": [column_to_dict(column) for column in self.columns],
            "target": target_to_dict(self.target),
        }

    @classmethod
    def from_dict(cls, found: object) -> TableEncoder:
        """The encoder that `to_dict` wrote. Raises FileFormatError where malformed."""
        checks = {
            "header": state.is_flag,
            "columns": lambda value: isinstance(value, list),
            "target": lambda value: isinstance(value, dict),
        }
        values = state.fields(found, checks, "The table's encoding")
        columns = tuple(column_from_dict(column) for column in values["columns"])
        target = target_from_dict(values["target"])
        encoder = cls(values["header"], columns, target)
        names = [*(column.name for column in columns), target.name]
        if len(set(names)) < len(names):
            raise FileFormatError("The table's encoding names two columns alike.")
        if target.position > len(columns):
            raise FileFormatError(
                f"The table's target is column {target.position + 1} of {len(names)}."
            )
        if not encoder.outputs:
            raise FileFormatError("The table's encoding leaves every column out.")
        return encoder
