"""What `kokuban train` learns from: opened, split and encoded."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import (
    DIGIT_LEVELS,
    DIGITS,
    Coding,
    ImageCoding,
    Matrix,
    Rows,
    Scale,
    TableCoding,
    digits,
    encoded,
    levels_of,
    placed,
)
from kokuban.errors import DataError, SettingError
from kokuban.train.data import Table, Target, fit_target, read_idx_pair, read_table
from kokuban.train.data.files import opened
from kokuban.train.data.table import listed

if TYPE_CHECKING:
    from kokuban.estimators.tabular.encoder import Encoder

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

    @property
    def is_table(self) -> bool:
        """Whether it is one table, and no images."""
        return len(self.files) == 1 and self.files[0] != DIGITS

    def open(self) -> Data:
        """The data, split and encoded."""
        if not 0 <= self.test_fraction < 1:
            raise SettingError(
                f"--test-fraction is at least 0 and below 1, not {self.test_fraction}."
            )
        if self.is_table:
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
        position = table.position(self.target)
        if len(table.columns) == 1:
            raise DataError(
                f"{path}: there is nothing to predict {table.columns[0]!r} from: it is "
                "the only column."
            )
        target = fit_target(table, position, self.task)
        y = target.read(table, position)
        classes = target.task == "classification"
        labels, t = np.unique(y, return_inverse=True) if classes else (y[:0], y)
        learn, held = split(t, self.test_fraction, self.seed, classes, "--test-fraction")
        inputs = table.without(position)
        encoder, x = _fitted(inputs.take(learn))
        coding = TableCoding(
            encoder, target, table.header, tuple(labels.tolist()), _scale(y, classes)
        )
        about = "with a header" if table.header else "no header: columns by number"
        return Data(
            coding,
            f"{len(table):,} rows, {len(table.columns)} columns ({about})",
            described(encoder, target, y[learn]),
            Rows(x, t[learn]),
            Rows(encoded(encoder, inputs.take(held)), t[held]) if len(held) else None,
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


def _fitted(table: Table) -> tuple[Encoder, Matrix]:
    """What a table's columns become, and what they are then."""
    from kokuban.estimators.tabular.encoder import Encoder
    from kokuban.estimators.tabular.frame import read

    with placed(table):
        return Encoder.fit(read(table.frame))


def _scale(y: NDArray[Any], classes: bool) -> Scale | None:
    """That of a quantity, for a network that has none of its own."""
    return None if classes else Scale(float(y.mean()), float(y.std()))


def described(
    encoder: Encoder, target: Target, y: NDArray[Any]
) -> list[tuple[str, str, str]]:
    """(name, kind, detail) of each column, the target last."""
    middle: dict[int, float] = {}
    for origin, median in zip(encoder.origins, encoder.scaling.medians, strict=True):
        middle.setdefault(int(origin), float(median))
    told = []
    for number, column in enumerate(encoder.columns):
        detail = column.detail
        if column.kind == "numeric" and number in middle:
            around = f"median {middle[number]:.6g}"
            detail = f"{around}; {detail}" if detail else around
        told.append((column.name, column.kind, detail))
    return [*told, (target.name, "target", target.told(y))]


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
    t: NDArray[Any],
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
