"""What `kokuban train` learns from: opened, split and encoded."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import (
    DIGIT_LEVELS,
    DIGITS,
    Coding,
    ImageCoding,
    Matrix,
    Rows,
    TableCoding,
    digits,
    levels_of,
)
from kokuban.errors import DataError, SettingError
from kokuban.train.data import TableEncoder, read_idx_pair, read_table
from kokuban.train.data.files import opened
from kokuban.train.data.table import listed

IntArray = NDArray[np.intp]


@dataclass(frozen=True)
class Source:
    """Which data to learn from, and how to read them.

    files           the word "digits", one table, or images and labels
    target          the table's column to predict, by name or number
    task            classification, regression, or None to tell by the target
    header          whether the table has one, or None to tell by looking
    separator, encoding   of a table as text, or None to tell by looking
    test_fraction   the share of rows held out, 0 for none
    seed            of the split
    """

    files: tuple[str, ...]
    target: str | None = None
    task: str | None = None
    header: bool | None = None
    separator: str | None = None
    encoding: str | None = None
    test_fraction: float = 0.2
    seed: int = 0

    @property
    def name(self) -> str:
        """A short name, for files: digits, or the file's name without its endings."""
        stem = re.sub(
            r"(\.(csv|tsv|txt|parquet|pq))?(\.gz)?$", "", Path(self.files[0]).name
        )
        return re.sub(r"[-.]?(images)?[-.]idx\d[-.]ubyte$", "", stem) or "model"

    def open(self) -> Data:
        """The data, split and encoded."""
        if not 0 <= self.test_fraction < 1:
            raise SettingError(
                f"--test-fraction is at least 0 and below 1, not {self.test_fraction}."
            )
        if len(self.files) == 1 and self.files[0] != DIGITS:
            return self._table(self.files[0])
        if self.task == "regression" or self.target is not None:
            raise SettingError(
                "Images have classes, and labels of their own: --target and --task "
                "regression are for tables."
            )
        return self._images()

    def _table(self, path: str) -> Data:
        table = read_table(path, self.header, self.separator, self.encoding)
        if self.target is None:
            raise SettingError(
                "Say which column to predict, with --target. The columns of "
                f"{path}: {listed(table.columns)}."
            )
        # What the target is, all rows say; how to scale, only those to learn from.
        whole = TableEncoder.fit(table, self.target, self.task)
        t = whole.encode_target(table)
        learn, held = split(
            t, self.test_fraction, self.seed, bool(whole.labels), "--test-fraction"
        )
        encoder = TableEncoder.fit(table.take(learn), self.target, whole.task)
        reason = whole.target.reason  # why all rows ask for this task
        coding = TableCoding(
            replace(encoder, target=replace(encoder.target, reason=reason))
        )
        about = "with a header" if table.header else "no header: columns by number"
        return Data(
            coding,
            f"{len(table):,} rows, {len(table.columns)} columns ({about})",
            coding.encoder.describe(),
            coding.rows(table.take(learn)),
            coding.rows(table.take(held)) if len(held) else None,
        )

    def _images(self) -> Data:
        x, labels, levels = self._pixels()
        known = np.unique(labels)
        if len(known) < 2:
            raise DataError(
                f"Every label is {known[0]}: a classifier learns from two or more."
            )
        coding = ImageCoding(tuple(known.tolist()), levels)
        rows = coding.rows(x, labels)
        learn, held = split(
            rows.targets(), self.test_fraction, self.seed, True, "--test-fraction"
        )
        return Data(
            coding,
            f"{len(x):,} grey images of {x.shape[1]:,} pixels, {len(known)} classes",
            [],
            rows.take(learn),
            rows.take(held) if len(held) else None,
        )

    def _pixels(self) -> tuple[Matrix, NDArray[np.int64], int]:
        if self.files == (DIGITS,):
            return *digits(), DIGIT_LEVELS
        x, labels = read_idx_pair(*self.files)
        return levels_of(x), labels, 255


@dataclass(frozen=True)
class Data:
    """Data to learn from.

    about     rows and columns in words
    columns   what each column was taken for: (name, kind, detail); none for images
    learn     the rows to learn from
    held      the rows held out, or None
    """

    coding: Coding
    about: str
    columns: list[tuple[str, str, str]]
    learn: Rows
    held: Rows | None

    @property
    def guess(self) -> int:
        """The best answer that knows no input: the commonest class; 0 is the mean."""
        if not self.coding.labels:
            return 0
        return int(np.bincount(self.learn.targets().astype(np.int64)).argmax())


def split(
    t: NDArray[np.int64] | NDArray[np.float32],
    fraction: float,
    seed: int,
    classes: bool,
    option: str,
) -> tuple[IntArray, IntArray]:
    """Row numbers, in order: to keep, and the `fraction` of them to hold out.

    Held-out rows are drawn by scikit-learn's train_test_split, each class in proportion;
    the only row of a class is kept, and does not count. Raises SettingError, naming the
    `option` that asked for it, where there are too few rows.
    """
    from sklearn.model_selection import train_test_split

    if not 0 <= seed < 2**32:
        raise SettingError(f"--seed is a whole number from 0 to {2**32 - 1}, not {seed}.")
    rows = np.arange(len(t))
    if fraction == 0:
        return rows, rows[:0]
    if classes:
        counts = np.bincount(t.astype(np.int64))
        rows = rows[counts[t.astype(np.int64)] > 1]
    groups = len(np.unique(t[rows])) if classes else 1
    held = math.ceil(fraction * len(rows))
    if not 0 < groups <= held <= len(rows) - groups:
        needed = "one of each class on both sides" if classes else "rows on both sides"
        raise SettingError(
            f"{option} holds out {fraction:g} of {len(rows)} rows, that is {held}, which "
            f"does not leave {needed}. Give more rows, or {option} 0 for none."
        )
    _, picked = train_test_split(
        rows, test_size=fraction, random_state=seed, stratify=t[rows] if classes else None
    )
    chosen = np.zeros(len(t), bool)
    chosen[picked] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def digest(files: Sequence[str]) -> str:
    """What tells whether two commands were given the same data."""
    if list(files) == [DIGITS]:
        return DIGITS
    with opened(files[0]) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
