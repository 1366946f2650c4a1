"""Data on their way in: matrices of finite numbers, or a clear error."""

from __future__ import annotations

from typing import Any

import numpy as np

from kokuban.errors import DataError
from kokuban.shape import Dim


def as_rows(value: Any, name: str, columns: Dim, dtype: Any) -> np.ndarray:
    """`value` as a matrix with a row a sample, finite, of the given type.

    One dimension is one column. Raises DataError: empty, not numbers, a wrong number of
    columns, masked entries, or the first entry that is NaN or infinite.
    """
    _require_unmasked(value, name)
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError
        array = np.ascontiguousarray(array, dtype=dtype)
    except (TypeError, ValueError):
        raise DataError(
            f"{name} must be a matrix of numbers, a row a sample; got "
            f"{type(value).__name__} of {getattr(value, 'dtype', 'mixed values')}. "
            "Encode text and categories as numbers first."
        ) from None
    if array.ndim == 1 and columns == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(
            f"{name} must have two dimensions, (rows, columns); its shape is "
            f"{array.shape}."
        )
    if isinstance(columns, int) and array.shape[1] != columns:
        raise DataError(
            f"{name} has {array.shape[1]} columns; the model takes {columns}."
        )
    if array.shape[0] == 0:
        raise DataError(f"{name} is empty: it has no rows.")
    require_finite(array, name)
    return array


def as_numbers(value: Any, name: str, shape: tuple[Dim, Dim], dtype: Any) -> np.ndarray:
    """`value` copied to the given type; DataError unless finite numbers of the shape."""
    _require_unmasked(value, name)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        raise DataError(f"{name} is {shape}; the value is no matrix.") from None
    if array.dtype.kind not in "fiub":
        raise DataError(f"{name} holds numbers; the value's type is {array.dtype}.")
    if array.shape != shape:
        raise DataError(f"{name} is {shape}; the value is {array.shape}.")
    array = np.array(array, dtype)
    require_finite(array, name)
    return array


def _require_unmasked(value: Any, name: str) -> None:
    if np.ma.is_masked(value):  # else what lies under the mask would count
        row = int(np.argwhere(np.ma.getmaskarray(value))[0][0])
        raise DataError(
            f"{name} has a masked entry in row {row} (counted from 0); fill it or leave "
            "the row out."
        )


def require_finite(array: np.ndarray, name: str) -> None:
    """DataError naming the first entry that is NaN or infinite, if there is one."""
    with np.errstate(all="ignore"):  # a finite matrix may have an infinite sum
        total = np.sum(array)
    if not np.isfinite(total) and not np.isfinite(array).all():
        row, column = (int(k) for k in np.argwhere(~np.isfinite(array))[0])
        raise DataError(
            f"{name} holds {array[row, column]} in row {row}, column {column} (counted "
            "from 0); every entry must be a finite number."
        )


def as_classes(value: Any, name: str, classes: Dim, dtype: Any) -> np.ndarray:
    """Targets for classes: integer labels become one-hot rows, matrices stay.

    With one output column, labels 0 and 1 stay one column. Raises DataError for labels
    the net has no output for, and where all labels are the same.
    """
    _require_unmasked(value, name)
    array = np.asarray(value)
    labels = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if not labels or not isinstance(classes, int):
        return as_rows(value, name, classes, dtype)
    flat = array.reshape(-1)
    if flat.dtype.kind == "f" and flat.size and np.all(flat == np.floor(flat)):
        flat = flat.astype(np.int64)
    if flat.dtype.kind not in "iub":
        raise DataError(
            f"{name} must hold integer class labels from 0, or a row of probabilities a "
            f"sample; got {array.dtype}."
        )
    if flat.size == 0:
        raise DataError(f"{name} is empty: it has no rows.")
    count = 2 if classes == 1 else classes
    bad = np.flatnonzero((flat.astype(np.int64) < 0) | (flat.astype(np.int64) >= count))
    if bad.size:
        raise DataError(
            f"{name} holds label {flat[bad[0]]} in row {bad[0]} (counted from 0); the "
            f"model knows the labels 0 to {count - 1}."
        )
    if classes == 1:
        return flat.astype(dtype)[:, None]
    return np.eye(classes, dtype=dtype)[flat.astype(np.int64)]


def require_two_classes(targets: np.ndarray, name: str) -> None:
    """DataError where every row of the targets is the same class."""
    if targets.shape[0] > 1 and np.all(targets == targets[0]):
        label = int(np.argmax(targets[0])) if targets.shape[1] > 1 else targets[0, 0]
        raise DataError(
            f"{name} holds one class only ({label:g}); a classifier learns from two or "
            "more."
        )


def require_distributions(targets: np.ndarray, name: str) -> None:
    """DataError naming the first row that does not sum to 1."""
    sums = targets.sum(axis=1)
    bad = np.flatnonzero(np.abs(sums - 1) > 1e-3)
    if bad.size:
        raise DataError(
            f"Row {bad[0]} of {name} (counted from 0) sums to {sums[bad[0]]:g}; with "
            "cross-entropy each row is a distribution over the classes and sums to 1."
        )
