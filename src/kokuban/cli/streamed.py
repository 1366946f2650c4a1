"""Tables that do not fit into memory: read in parts, twice, their rows kept in a file.

The first pass takes the target of every row, and a sample of the rows that says what the
columns are; the second encodes the rows into a temporary file, which training maps.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from kokuban.cli.coding import Matrix
from kokuban.errors import StorageError
from kokuban.train.data import Table, parquet
from kokuban.train.data.files import FilePath, opened
from kokuban.train.data.table import joined, numbered
from kokuban.train.data.text import GZIP

LARGE = 1 << 28  # bytes of a table as text, from which on it is read in parts
PACKED = 4  # times as many bytes as text has a file that is compressed
MOST_ROWS, MOST_CELLS = 1 << 18, 1 << 24  # of the sample


def is_large(path: FilePath) -> bool:
    """Whether a table is read in parts unless it is said otherwise."""
    with opened(path) as file:
        size, packed = os.fstat(file.fileno()).st_size, file.peek(2)[:2] == GZIP
    return size * (PACKED if packed or parquet.is_parquet(path) else 1) > LARGE


@dataclass
class Sample:
    """Rows of a table drawn by chance while it is read, each with the same probability.

    All of them, in order, as long as there are no more than are kept.
    """

    seed: int
    share: float = 1.0
    rows: int = 0
    _kept: list[Table] = field(default_factory=list)
    _numbers: list[np.ndarray] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng([self.seed, 1])

    def add(self, table: Table) -> None:
        """The next rows."""
        numbers = self.rows + np.arange(len(table))
        self.rows += len(table)
        self._keep(table, numbers, self.share)
        most = min(MOST_ROWS, MOST_CELLS // len(table.columns))
        while sum(map(len, self._kept)) > max(most, 2):
            kept, at = self._kept, self._numbers
            self._kept, self._numbers, self.share = [], [], self.share / 2
            for part, places in zip(kept, at, strict=True):
                self._keep(part, places, 0.5)

    def _keep(self, table: Table, numbers: np.ndarray, share: float) -> None:
        if share < 1:
            chosen = self._rng.random(len(table)) < share
            table, numbers = table.take(chosen), numbers[chosen]
        if len(table):
            self._kept.append(table)
            self._numbers.append(numbers)

    def table(self, wanted: np.ndarray) -> Table:
        """The rows of the sample that are `wanted`: (rows of the whole table,) flags."""
        whole, numbers = joined(self._kept), np.concatenate(self._numbers)
        return numbered(whole.take(wanted[numbers]))


Read = Callable[[], Iterator[Table]]  # begins a table again


def first_pass(read: Read, target: str | int, seed: int) -> tuple[Table, Sample]:
    """The target's column, of all rows, and a sample of the other columns."""
    sample, targets = Sample(seed), list[Table]()
    for table in read():
        position = table.position(target)
        name = table.columns[position]
        alone = table.frame.select(name)
        targets.append(replace(table, columns=(name,), frame=alone))
        sample.add(table.without(position))
    return numbered(joined(targets)), sample


def second_pass(
    read: Read,
    encode: Callable[[Table], Matrix],
    width: int,
    target: str | int,
    chosen: np.ndarray,
) -> tuple[Matrix, Matrix]:
    """The encoded rows that are `chosen`, and the others, each in a file."""
    rows = int(chosen.sum())
    both = mapped(rows, width), mapped(len(chosen) - rows, width)
    done, filled = 0, [0, 0]
    for table in read():
        x = encode(table.without(table.position(target)))
        mine = chosen[done : done + len(x)]
        for k, part in enumerate((x[mine], x[~mine])):
            both[k][filled[k] : filled[k] + len(part)] = part
            filled[k] += len(part)
        done += len(x)
    return both


def mapped(rows: int, columns: int) -> Matrix:
    """A matrix in a temporary file, which is gone with it.

    Its place on the disk is taken at once: StorageError where there is not enough.
    """
    size = rows * columns * 4
    if not size:
        return np.empty((rows, columns), np.float32)
    try:
        with tempfile.TemporaryFile(prefix="kokuban-") as file:
            if hasattr(os, "posix_fallocate"):  # else a full disk is found too late
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, np.float32, "w+", shape=(rows, columns))
    except OSError as error:
        raise StorageError(
            f"The encoded rows need {size / 1e6:,.0f} MB in {tempfile.gettempdir()}: "
            f"{error.strerror or error}. TMPDIR names another folder."
        ) from error
