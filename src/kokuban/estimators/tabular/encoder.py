"""The data as a matrix, the same way in training and in prediction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from kokuban.errors import DataError, FileFormatError, nearest
from kokuban.estimators.tabular.columns import (
    ABSENT,
    CategoricalColumn,
    Column,
    NumericColumn,
    column_from_dict,
    column_to_dict,
    fit_column,
    require_finite,
)
from kokuban.estimators.tabular.frame import Frame
from kokuban.estimators.tabular.scaling import RobustClip

BLOCK = 1 << 19  # entries that are made at a time, so that they stay near
QUARTERS = (0.25, 0.5, 0.75)
_NOTHING = np.zeros(0)  # what is read of a column that becomes none


class _Plan(NamedTuple):
    """How a matrix is put together.

    categories  columns' positions, where they stand in the matrix, and for ABSENT,
                UNSEEN and each category what stands there (categories + 2, outputs)
    plain       the positions of the other columns that become something
    rest        which of their outputs, side by side, are kept; where they stand in the
                matrix; their scaling
    width       how many outputs those are side by side
    """

    categories: list[tuple[int, slice, np.ndarray]]
    plain: list[int]
    rest: tuple[list[int], list[int], RobustClip]
    width: int


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
        columns, parts = [], []
        for k, name in enumerate(names):
            values = frame.column(k)
            columns.append(fit_column(name, values, k in categorical))
            parts.append(columns[-1].read(values) if columns[-1].outputs else _NOTHING)
        scaling = _scaling(columns, parts)
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
        encoder = cls(tuple(columns), frame.names is not None, kept, chosen)
        return encoder, encoder._matrix(parts, frame.rows)

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

    def transform(self, frame: Frame, called: str = "X") -> np.ndarray:
        """(rows, outputs) float32, columns matched by name where training had names.

        Raises DataError naming columns that are missing or too many, in what is `called`
        so, and CellError for one of another type.
        """
        positions = self._positions(frame, called)
        if frame.matrix is not None and self._bare is not None:
            raw = frame.matrix
            if not np.isfinite(raw).all():
                self._require_finite(raw)
            whole = raw if len(self._bare) == frame.width else raw[:, self._bare]
            return self.scaling(whole if self._keeps_all else whole[:, self.kept])
        parts = [
            column.read(frame.column(position)) if width else _NOTHING
            for column, width, position in zip(
                self.columns, self._widths, positions, strict=True
            )
        ]
        return self._matrix(parts, frame.rows)

    @cached_property
    def plain(self) -> bool:
        """Whether every column is a number that becomes one column."""
        bare = self._bare
        return bare is not None and len(bare) == len(self.columns) == len(self.kept)

    @cached_property
    def _keeps_all(self) -> bool:
        return len(self.kept) == sum(self._widths)

    def _positions(self, frame: Frame, called: str) -> Sequence[int]:
        """Where in the frame each column of training is."""
        if frame.names is None or not self.named:
            return range(len(self.columns))
        place = {name: k for k, name in enumerate(frame.names)}
        wanted = [column.name for column in self.columns]
        missing = [name for name in wanted if name not in place]
        known = set(wanted)
        extra = [name for name in frame.names if name not in known]
        if missing or extra:
            raise DataError(_mismatch(called, missing, extra))
        return [place[name] for name in wanted]

    def _matrix(self, parts: Sequence[np.ndarray], rows: int) -> np.ndarray:
        """(rows, outputs) float32 of what the columns have read."""
        x = np.empty((rows, len(self.kept)), np.float32)
        raw_kept, at, scaling = self._plan.rest
        many = max(1, BLOCK // max(self._plan.width, len(self.kept)))
        for start in range(0, rows, many):
            of = slice(start, min(start + many, rows))
            if at:
                spread = [self.columns[k].spread(parts[k][of]) for k in self._plan.plain]
                x[of, at] = scaling(np.column_stack(spread)[:, raw_kept])
            for k, place, table in self._plan.categories:
                x[of, place] = table[parts[k][of] - ABSENT]
        return x

    @cached_property
    def _plan(self) -> _Plan:
        """How the matrix is put together: categories from tables, the rest scaled."""
        ends = np.cumsum([0, *self._widths])
        categories: list[tuple[int, slice, np.ndarray]] = []
        plain: list[int] = []
        at: list[int] = []
        raw_kept: list[int] = []
        width = 0
        for k, column in enumerate(self.columns):
            first, last = np.searchsorted(self.kept, ends[k : k + 2])
            chosen = self.kept[first:last] - ends[k]
            if isinstance(column, CategoricalColumn):
                every = column.spread(np.arange(ABSENT, len(column.categories)))
                part = RobustClip(
                    self.scaling.medians[first:last], self.scaling.factors[first:last]
                )
                table = part(every[:, chosen])
                categories.append((k, slice(int(first), int(last)), table))
            elif last > first:
                plain.append(k)
                at += range(first, last)
                raw_kept += (width + chosen).tolist()
                width += self._widths[k]
        scaling = RobustClip(self.scaling.medians[at], self.scaling.factors[at])
        return _Plan(categories, plain, (raw_kept, at, scaling), width)

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


def _scaling(columns: Sequence[Column], parts: Sequence[np.ndarray]) -> RobustClip:
    """Of all outputs, a few columns at a time."""
    found: list[RobustClip] = []
    block: list[np.ndarray] = []
    entries = 0
    for column, part in zip(columns, parts, strict=True):
        if isinstance(column, CategoricalColumn) and not column.binary:
            found += [*_fitted(block), of_indicators(column.counts(part), len(part))]
            block, entries = [], 0
        elif column.outputs:
            block.append(column.spread(part))
            entries += block[-1].size
            if entries > BLOCK:
                found += _fitted(block)
                block, entries = [], 0
    found += _fitted(block)
    if not found:
        return RobustClip(np.zeros(0), np.zeros(0))
    return RobustClip(
        np.concatenate([each.medians for each in found]),
        np.concatenate([each.factors for each in found]),
    )


def _fitted(block: Sequence[np.ndarray]) -> list[RobustClip]:
    return [RobustClip.fit(np.column_stack(block))] if block else []


def of_indicators(ones: np.ndarray, rows: int) -> RobustClip:
    """What `RobustClip.fit` learns of columns of 0 and 1, from how many 1 there are.

    ones: (columns,) of so many rows.
    """
    first = rows - ones  # the place of the first 1, were they sorted
    quartiles = []
    for q in QUARTERS:
        place = q * (rows - 1)
        below = int(place)
        above = min(below + 1, rows - 1)
        low, high = (below >= first).astype(float), (above >= first).astype(float)
        quartiles.append(low + (high - low) * (place - below))
    q1, medians, q3 = quartiles
    varies = (ones > 0) & (ones < rows)
    with np.errstate(divide="ignore"):
        factors = np.where(q3 > q1, 1 / (q3 - q1), np.where(varies, 2.0, 0.0))
    return RobustClip(medians, factors)


def _mismatch(called: str, missing: Sequence[str], extra: Sequence[str]) -> str:
    parts = []
    if missing:
        parts.append(f"lacks {_listed(missing)}, which training had")
    if extra:
        parts.append(f"has {_listed(extra)}, which training had not")
    offer = nearest(missing[0], extra) if missing and extra else ""
    return f"{called} {' and '.join(parts)}. Columns are matched by their names.{offer}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    more = f" and {len(names) - 5:,} more" if len(names) > 5 else ""
    return f"{'column' if len(names) == 1 else 'columns'} {shown}{more}"
