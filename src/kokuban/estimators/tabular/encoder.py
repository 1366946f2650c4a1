"""The data as a matrix, the same way in training and in prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from kokuban.errors import DataError, FileFormatError, nearest
from kokuban.estimators.tabular.columns import (
    Column,
    NumericColumn,
    column_from_dict,
    column_to_dict,
    fit_column,
    require_finite,
)
from kokuban.estimators.tabular.frame import Frame
from kokuban.estimators.tabular.scaling import RobustClip


@dataclass(frozen=True)
class Encoder:
    """What was learned of training's columns.

    columns  one record a column of the data
    named    whether the data had names, by which later data are matched
    kept     (outputs,) which of the records' outputs vary in training; the others tell
             nothing and are left out
    scaling  of those outputs
    """

    columns: tuple[Column, ...]
    named: bool
    kept: np.ndarray
    scaling: RobustClip

    @classmethod
    def fit(
        cls, frame: Frame, categorical: Collection[int] = ()
    ) -> tuple[Encoder, np.ndarray]:
        """The encoder of a table, and the table as it encodes it.

        `categorical` are positions of columns that hold categories, whatever their type.
        Raises DataError for an infinity, and where no column varies.
        """
        names = frame.names or [f"column {k}" for k in range(frame.width)]
        columns = tuple(
            fit_column(name, frame.column(k), k in categorical)
            for k, name in enumerate(names)
        )
        draft = cls(
            columns,
            frame.names is not None,
            np.arange(0),
            RobustClip(np.zeros(0), np.zeros(0)),
        )
        raw = draft._raw(frame, range(frame.width))
        scaling = RobustClip.fit(raw)
        kept = np.flatnonzero(scaling.factors)
        if not kept.size:
            raise DataError(
                "There is nothing to learn from: every column is the same in all rows"
                + (
                    " or differs in all of them."
                    if frame.rows > 1
                    else "; there is 1 row."
                )
            )
        chosen = RobustClip(scaling.medians[kept], scaling.factors[kept])
        encoder = cls(columns, draft.named, kept, chosen)
        return encoder, chosen(raw if kept.size == raw.shape[1] else raw[:, kept])

    @cached_property
    def outputs(self) -> tuple[str, ...]:
        """The names of the matrix's columns."""
        every = [name for column in self.columns for name in column.outputs]
        return tuple(every[k] for k in self.kept)

    @cached_property
    def origins(self) -> np.ndarray:
        """(outputs,) the position of the data's column that each comes from."""
        every = np.repeat(np.arange(len(self.columns)), self._widths)
        found: np.ndarray = every[self.kept]
        return found

    @cached_property
    def _widths(self) -> list[int]:
        return [len(column.outputs) for column in self.columns]

    def transform(self, frame: Frame) -> np.ndarray:
        """(rows, outputs) float32, columns matched by name where training had names.

        Raises DataError naming columns that are missing, too many, or of another type.
        """
        raw = self._raw(frame, self._positions(frame))
        return self.scaling(raw if self._keeps_all else raw[:, self.kept])

    def transform_numbers(self, x: np.ndarray) -> np.ndarray:
        """The same of an array of finite numbers, where `plain` is true."""
        return self.scaling(x)

    @cached_property
    def plain(self) -> bool:
        """Whether every column is a number that becomes one column."""
        bare = self._bare
        return bare is not None and len(bare) == len(self.columns) == len(self.kept)

    @cached_property
    def _keeps_all(self) -> bool:
        return len(self.kept) == sum(self._widths)

    def _positions(self, frame: Frame) -> Sequence[int]:
        """Where in the frame each column of training is."""
        if frame.names is None or not self.named:
            return range(len(self.columns))
        place = {name: k for k, name in enumerate(frame.names)}
        wanted = [column.name for column in self.columns]
        missing = [name for name in wanted if name not in place]
        extra = [name for name in frame.names if name not in set(wanted)]
        if missing or extra:
            raise DataError(_mismatch(missing, extra))
        return [place[name] for name in wanted]

    def _raw(self, frame: Frame, positions: Sequence[int]) -> np.ndarray:
        """(rows, all outputs) float64, before the scaling."""
        if frame.matrix is not None and self._bare is not None:
            raw = frame.matrix
            if not np.isfinite(raw).all():
                self._require_finite(raw)
            return raw if len(self._bare) == frame.width else raw[:, self._bare]
        raw = np.empty((frame.rows, sum(self._widths)))
        start = 0
        for column, width, position in zip(
            self.columns, self._widths, positions, strict=True
        ):
            stop = start + width
            if stop > start:
                values = frame.column(position)
                if values.form != "text":
                    require_finite(column.name, values.entries)
                raw[:, start:stop] = column.encode(values)
            start = stop
        return raw

    @cached_property
    def _bare(self) -> np.ndarray | None:
        """Where the numbers are, if every column is one or becomes no column."""
        bare = [type(c) is NumericColumn and not c.missing for c in self.columns]
        empty = [not c.outputs for c in self.columns]
        return np.flatnonzero(bare) if np.logical_or(bare, empty).all() else None

    def _require_finite(self, raw: np.ndarray) -> None:
        bad = np.isinf(raw)
        if bad.any():
            column = int(bad.any(axis=0).argmax())
            require_finite(self.columns[column].name, raw[:, column])

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "columns": [column_to_dict(column) for column in self.columns],
            "named": self.named,
            "kept": self.kept.tolist(),
            "medians": self.scaling.medians.tolist(),
            "factors": self.scaling.factors.tolist(),
        }

    @classmethod
    def from_dict(cls, found: Mapping[str, Any]) -> Encoder:
        """The encoder that `to_dict` wrote; FileFormatError where it is malformed."""
        columns = tuple(column_from_dict(c) for c in found["columns"])
        kept = np.array(found["kept"], np.intp)
        medians, factors = (
            np.array(found[n], np.float64) for n in ("medians", "factors")
        )
        every = sum(len(column.outputs) for column in columns)
        fits = kept.ndim == 1 and kept.shape == medians.shape == factors.shape
        if not fits or np.any(kept < 0) or np.any(kept >= every):
            raise FileFormatError("the scaling is not that of its columns")
        if not (np.isfinite(medians).all() and np.isfinite(factors).all()):
            raise FileFormatError("the scaling is not finite")
        return cls(columns, bool(found["named"]), kept, RobustClip(medians, factors))


def _mismatch(missing: Sequence[str], extra: Sequence[str]) -> str:
    parts = []
    if missing:
        parts.append(f"lacks {_listed(missing)}, which training had")
    if extra:
        parts.append(f"has {_listed(extra)}, which training had not")
    offer = nearest(missing[0], extra) if missing and extra else ""
    return f"X {' and '.join(parts)}. Columns are matched by their names.{offer}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{more}"
