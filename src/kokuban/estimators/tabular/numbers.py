"""The encoder of arrays of numbers, prepared, so that one row takes microseconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kokuban.estimators.tabular.columns import NumericColumn
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.estimators.tabular.scaling import RobustClip


@dataclass(frozen=True)
class Numbers:
    """What `Encoder.transform` does with an array of numbers, in a few array operations.

    width    columns of the data
    source   (outputs,) the column that each output is made of
    marks    the outputs that say whether it is missing
    scaling  of the outputs
    """

    width: int
    source: np.ndarray
    marks: np.ndarray
    scaling: RobustClip

    @classmethod
    def of(cls, encoder: Encoder) -> Numbers | None:
        """None where columns have names, or become more than numbers."""
        marks = []
        for column in encoder.columns:
            if column.outputs and not isinstance(column, NumericColumn):
                return None
            marks += [False, True][: len(column.outputs)]
        if encoder.named:
            return None
        chosen = np.flatnonzero(np.array(marks)[encoder.kept])
        return cls(len(encoder.columns), encoder.origins, chosen, encoder.scaling)

    def __call__(self, x: np.ndarray) -> np.ndarray | None:
        """(rows, outputs) float32 from (rows, width); None if an entry is infinite."""
        if not np.isfinite(x).all() and np.isinf(x).any():
            return None
        raw = x.take(self.source, axis=1).astype(np.float64, copy=False)
        if self.marks.size:
            raw[:, self.marks] = np.isnan(raw[:, self.marks])
        return self.scaling(raw)
