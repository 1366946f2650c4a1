"""Matrices whose rows hold a 1 and else zeros, such as the targets of a classifier."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kokuban.expr import Symbol


class OneHot:
    """Such a matrix, as the column of each row's 1; rows that are asked for become dense.

    ones     (rows, 1): where the 1s are, as numbers of the matrix's type
    columns  how many it has
    """

    def __init__(self, ones: np.ndarray, columns: int) -> None:
        self.ones, self.columns = ones, columns

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self.ones), self.columns

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of its entries."""
        return self.ones.dtype

    def __len__(self) -> int:
        return len(self.ones)

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        ones = self.ones[rows, 0]
        dense = np.zeros((len(ones), self.columns), self.dtype)
        dense[np.arange(len(ones)), ones.astype(np.intp)] = 1
        return dense


def compact_targets(data: Mapping[Symbol, Any]) -> dict[Symbol, Any]:
    """The data of a fit, with targets as the places of their 1s where that says all."""
    return {
        s: compact(v) if s.role == "target" and isinstance(v, np.ndarray) else v
        for s, v in data.items()
    }


def compact(matrix: np.ndarray) -> np.ndarray | OneHot:
    """The matrix as the places of its 1s, where each row has one and else zeros."""
    rows, columns = matrix.shape
    if columns < 2 or np.count_nonzero(matrix) != rows:
        return matrix
    ones = matrix.argmax(axis=1)
    if not np.all(matrix[np.arange(rows), ones] == 1):
        return matrix
    return OneHot(ones.astype(matrix.dtype)[:, None], columns)
