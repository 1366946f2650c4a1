"""Data as the estimators take them: arrays, or sparse matrices made dense by rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kokuban.errors import DataError
from kokuban.estimators.network import ALPHA
from kokuban.expr import Symbol
from kokuban.run.compiled import Compiled
from kokuban.train.loop import Arrays, batches
from kokuban.train.network import WEIGHTS

BLOCK_ROWS = 512  # at a time, so that a block's matrices stay in the cache
BLOCK_ENTRIES = 1 << 22  # at most, so that a block of a sparse matrix can be dense


class SparseRows:
    """A sparse matrix of which only the rows that are asked for become dense."""

    def __init__(self, matrix: Any, dtype: Any) -> None:
        self.matrix, self.dtype = matrix, dtype
        self.shape: tuple[int, int] = matrix.shape

    def __getitem__(self, rows: Any, /) -> np.ndarray:
        dense: np.ndarray = self.matrix[rows].toarray()
        return dense.astype(self.dtype, copy=False)


Data = np.ndarray | SparseRows


def is_sparse(data: Any) -> bool:
    """Whether the data are one of SciPy's sparse matrices."""
    return hasattr(data, "toarray")


def rows_of(data: Any, dtype: Any) -> Data:
    """Data whose rows can be taken as a matrix of the given type; an array row-major."""
    if is_sparse(data):
        return SparseRows(data, dtype)
    return np.ascontiguousarray(data, dtype)  # once: the engine asks for it at each epoch


def blocks(data: Data) -> list[slice]:
    """The rows in pieces, each small enough to be run at once."""
    rows, columns = data.shape
    many = max(1, min(BLOCK_ROWS, BLOCK_ENTRIES // columns))
    return [slice(*ends) for ends in batches(rows, many)]


def in_blocks(
    program: Compiled, data: Mapping[Symbol, Data], values: Arrays, dtype: Any
) -> np.ndarray:
    """The first output of a program for all rows of the data."""
    with np.errstate(over="ignore", invalid="ignore"):
        found: list[np.ndarray] = [
            program({**values, **{s: v[part] for s, v in data.items()}}, np, dtype)[0]
            for part in blocks(next(iter(data.values())))
        ]
    return found[0] if len(found) == 1 else np.concatenate(found)


def mean_in_blocks(
    program: Compiled,
    data: Mapping[Symbol, Data],
    values: Arrays,
    dtype: Any,
    whole: bool = False,
) -> list[np.ndarray]:
    """A program's outputs over all rows: each a mean over samples with an L2 penalty.

    A block counts by its share p of the samples (or of their weights S). With the
    penalty α p/(2 p S) Σ w² in each, the sum of p times it is α/(2S) Σ w² again. What is
    no mean is computed of all rows at once, the `whole`.
    """
    result: list[np.ndarray] = []
    for share, part in _shares(data, whole):
        if share == 0:  # its samples' weights are 0
            continue
        given = {s: v[part] for s, v in data.items()}
        alpha = {ALPHA: share * values[ALPHA]}
        with np.errstate(over="ignore", invalid="ignore"):
            outputs = program({**values, **given, **alpha}, np, dtype)
        found = [share * y for y in outputs]
        result = [a + b for a, b in zip(result, found, strict=True)] if result else found
    return result


def judged_in_blocks(
    program: Compiled,
    data: Mapping[Symbol, Data],
    values: Arrays,
    dtype: Any,
    whole: bool,
) -> tuple[float, np.ndarray]:
    """A program's loss, a mean over samples, and its outputs for all rows."""
    loss, outputs = 0.0, []
    for share, part in _shares(data, whole):
        given = {s: v[part] for s, v in data.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            found, y = program({**values, **given}, np, dtype)
        loss += share * float(found[0, 0]) if share else 0.0
        outputs.append(y)
    return loss, outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def _shares(data: Mapping[Symbol, Data], whole: bool) -> Iterator[tuple[float, slice]]:
    """The blocks of rows, each with its share."""
    first = next(iter(data.values()))
    parts = [slice(0, first.shape[0])] if whole else blocks(first)
    counts = [_count(data, part) for part in parts]
    total = sum(counts)
    for part, count in zip(parts, counts, strict=True):
        yield count / total, part


def _count(data: Mapping[Symbol, Data], part: slice) -> float:
    """The sum of a block's sample weights, or its number of samples without them."""
    if WEIGHTS in data:
        return float(np.sum(data[WEIGHTS][part]))
    return float(part.stop - part.start)


def require_finite(data: Any, name: str) -> None:
    """DataError naming the first entry that is NaN or infinite, if there is one."""
    entries = data.data if is_sparse(data) else data
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(np.sum(entries)):  # nearly always, and without a copy
            return
    bad = np.flatnonzero(~np.isfinite(entries))
    if not bad.size:
        return
    first = bad[0]
    if is_sparse(data):
        row = np.searchsorted(data.indptr, first, side="right") - 1
        column = data.indices[first]
    else:
        row, column = np.unravel_index(first, data.shape)
    value = entries.flat[first]
    raise DataError(
        f"{name} holds {'NaN' if np.isnan(value) else value} in row {row}, column "
        f"{column} (counted from 0); every entry must be a finite number"
        f"{' in float32' if entries.dtype == np.float32 else ''}."
    )
