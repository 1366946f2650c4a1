"""Robust scaling: the median to 0, the middle half to length 1, far values held."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FARTHEST = 1e150  # before the clip, so that its square is finite
BLOCK = 1024  # rows at a time, so that they stay in the cache


@dataclass(frozen=True)
class RobustClip:
    """z = (x - m) f, then z / √(1 + (z/3)²), between -3 and 3; column by column.

    m is the median of training's values and f = 1/(q₃ - q₁), q₁ and q₃ their quartiles;
    2/(max - min) where those are equal, and 0 where all values are. A missing x, NaN,
    becomes 0, which is where the median goes.

    Holzmüller, Grinsztajn and Steinwart, "Better by default: strong pre-tuned MLPs and
    boosted trees on tabular data" (2024), arXiv:2407.04491, section 3.

    medians, factors: (columns,) float64
    """

    medians: np.ndarray
    factors: np.ndarray

    @classmethod
    def fit(cls, x: np.ndarray) -> RobustClip:
        """Of x (rows, columns); a column without any value gets the factor 0."""
        columns = x.shape[1]
        q1, medians, q3, low, high = np.zeros((5, columns))
        gaps = np.isnan(x).any(axis=0)
        whole = np.flatnonzero(~gaps)
        if whole.size:
            part = x if whole.size == columns else x[:, whole]
            q1[whole], medians[whole], q3[whole] = np.quantile(
                part, (0.25, 0.5, 0.75), axis=0
            )
            low[whole], high[whole] = part.min(axis=0), part.max(axis=0)
        for k in np.flatnonzero(gaps):
            present = x[~np.isnan(x[:, k]), k]
            if present.size:
                q1[k], medians[k], q3[k] = np.quantile(present, (0.25, 0.5, 0.75))
                low[k], high[k] = present.min(), present.max()
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            factors = np.where(q3 > q1, 1 / (q3 - q1), 2 / (high - low))
            # a range that overflows, or whose inverse does, is too wide or too narrow
            factors = np.where(np.isfinite(factors) & (high > low), factors, 0.0)
        return cls(medians, factors)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """(rows, columns) float32 from float64; NaN becomes 0. x has no infinity."""
        if len(x) <= BLOCK:
            return self._block(x)
        z = np.empty(x.shape, np.float32)
        for start in range(0, len(x), BLOCK):
            z[start : start + BLOCK] = self._block(x[start : start + BLOCK])
        return z

    def _block(self, x: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            z = (x - self.medians) * self.factors
        z[np.isnan(z)] = 0.0
        np.minimum(np.maximum(z, -FARTHEST, out=z), FARTHEST, out=z)
        z /= np.sqrt(1 + (z / 3) ** 2)
        found: np.ndarray = z.astype(np.float32)
        return found
