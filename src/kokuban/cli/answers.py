"""A network's output as answers for people, and files of them, written as they come."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import Coding, TableCoding
from kokuban.train.files import writing

if TYPE_CHECKING:
    import polars as pl

PARQUET = (".parquet", ".pq")  # how a file's name ends that is to be one


def answers(coding: Coding, y: NDArray[np.float32], probabilities: bool) -> pl.DataFrame:
    """A row for each row of the network's output y, (rows, outputs).

    Labels, with the probability of each if asked; or quantities in their own unit, in
    float32, whose 7 digits are all there are.
    """
    import polars as pl

    if isinstance(coding, TableCoding) and not coding.labels:
        found = coding.quantity.decode(y)
        return pl.DataFrame({"prediction": pl.Series(found, dtype=pl.Float32)})
    labels = pl.Series("prediction", coding.labels)
    columns = [labels.gather(y.argmax(axis=1))]
    if probabilities:
        for label, column in zip(coding.labels, y.T, strict=True):
            columns.append(pl.Series(f"probability {label}", column))
    return pl.DataFrame(columns)


def write(frames: Iterator[pl.DataFrame], path: str | None) -> None:
    """Write frames as one file, CSV or Parquet by its name; None is standard output.

    A file takes its name when it is complete. Raises StorageError where it cannot be
    written.
    """
    if path is None:
        sys.stdout.flush()
        _write_csv(frames, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    kind = _write_parquet if path.lower().endswith(PARQUET) else _write_csv
    with writing(path) as file:
        kind(frames, file)


def _write_csv(frames: Iterator[pl.DataFrame], file: BinaryIO) -> None:
    import polars as pl

    for number, frame in enumerate(frames):
        labels = pl.col("prediction")
        digits = 6 if frame.width > 1 else None  # of probabilities
        if digits:
            frame = frame.with_columns(labels.cast(pl.String))
        text = frame.write_csv(include_header=number == 0, float_precision=digits)
        file.write(text.encode())


def _write_parquet(frames: Iterator[pl.DataFrame], file: BinaryIO) -> None:
    import polars as pl
    from polars.io.plugins import register_io_source

    first = next(frames)
    failed: list[BaseException] = []

    def source(*_: object) -> Iterator[pl.DataFrame]:
        try:
            yield first
            yield from frames
        except BaseException as error:  # polars would make it another one
            failed.append(error)
            raise

    scan: Callable[..., pl.LazyFrame] = register_io_source
    try:
        scan(source, schema=first.schema).sink_parquet(file)
    except pl.exceptions.PolarsError as error:
        if failed:
            raise failed[0] from None
        raise OSError(" ".join(str(error).split())) from error
