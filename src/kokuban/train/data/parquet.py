"""Parquet files as cells that mean what the same table means as CSV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kokuban.errors import DataError, FileFormatError
from kokuban.train.data.files import FilePath, opened

if TYPE_CHECKING:
    import polars as pl

MAGIC = b"PAR1"
BATCH = 1 << 16  # rows at a time


def is_parquet(path: FilePath) -> bool:
    """Whether a file begins as Parquet does. Raises StorageError where there is none."""
    with opened(path) as file:
        return file.read(len(MAGIC)) == MAGIC


def batches(path: FilePath) -> Iterator[pl.DataFrame]:
    """The rows of a Parquet file, many at a time, as numbers and text.

    Flags, dates and times become the text that CSV has for them; NaN is a missing value.
    Raises FileFormatError for a damaged file, DataError for one without rows, or with a
    column of lists, records or bytes.
    """
    import polars as pl

    try:
        frames = pl.scan_parquet(Path(path), glob=False)
        kinds = frames.collect_schema()
        cells = [_cells(pl.col(name), name, kind, path) for name, kind in kinds.items()]
        wide = max(1, min(BATCH, (1 << 23) // max(1, len(kinds))))
        found = False
        for frame in frames.select(cells).collect_batches(
            chunk_size=wide, maintain_order=True
        ):
            found = found or frame.height > 0
            if frame.height:
                yield frame
    except (pl.exceptions.PolarsError, OSError) as error:
        reason = " ".join(str(error).split())
        raise FileFormatError(f"{path}: a damaged Parquet file ({reason}).") from None
    if not found:
        raise DataError(f"{path}: there is no row in it.")


def _cells(column: pl.Expr, name: str, kind: pl.DataType, path: FilePath) -> pl.Expr:
    import polars as pl

    if kind.is_float():
        return column.cast(pl.Float64).fill_nan(None)
    if kind.is_integer():
        return column.cast(pl.Int64, strict=False)
    if kind.is_decimal():
        return column.cast(pl.Float64)
    if kind.is_nested() or kind in (pl.Binary, pl.Object):
        raise DataError(
            f"{path}: column {name!r} holds {kind}; a cell is a number, text, a flag or "
            "a date. Leave the column out."
        )
    return column.cast(pl.String)
