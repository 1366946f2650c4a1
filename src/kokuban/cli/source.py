"""What `kokuban train` learns from: opened, split and encoded."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import (
    DIGIT_LEVELS,
    DIGITS,
    Coding,
    ImageCoding,
    Labels,
    Matrix,
    Rows,
    Scale,
    TableCoding,
    digits,
    encoded,
    levels_of,
    of_estimator,
    placed,
)
from kokuban.cli.streamed import first_pass, is_large, second_pass
from kokuban.errors import CellError, DataError, SettingError
from kokuban.train.data import (
    Table,
    Target,
    fit_target,
    read_batches,
    read_idx_pair,
    read_table,
)
from kokuban.train.data.files import opened
from kokuban.train.data.table import listed, quoted

if TYPE_CHECKING:
    from kokuban.estimators.tabular.encoder import Encoder

IntArray = NDArray[np.intp]
ROW = re.compile(r"row (\d+) \(counted from 0\)")  # as the encoder's notes have it


@dataclass(frozen=True)
class Source:
    """Which data to learn from, and how to read them.

    files           the word "digits", one table, or images and labels
    target          the table's column to predict, by name or number
    task            classification, regression, or None to tell by the target
    header          whether the table has one, or None to tell by looking
    separator, encoding   of a table as text, or None to tell by looking
    in_parts        whether a table is read in parts, its rows kept in a file, or None
                    for large ones only
    test_fraction   the share of rows held out, 0 for none
    seed            of the split
    """

    files: tuple[str, ...]
    target: str | None = None
    task: str | None = None
    header: bool | None = None
    separator: str | None = None
    encoding: str | None = None
    in_parts: bool | None = None
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
        if self.target is None:
            raise SettingError(
                "Say which column to predict, with --target. The columns of "
                f"{path}: {listed(next(self._batches()).columns)}."
            )
        if is_large(path) if self.in_parts is None else self.in_parts:
            return self._in_parts(path, self.target)
        table = read_table(path, self.header, self.separator, self.encoding)
        position = table.position(self.target)
        goal = self._goal(table, position)
        inputs = table.without(position)
        encoder, x, rest = _both(inputs.take(goal.learn), inputs.take(~goal.learn))
        about = f"{len(table):,} rows, {_columns_of(table)}"
        return _data(goal, encoder, table.header, about, x, rest)

    def _in_parts(self, path: str, target: str) -> Data:
        first = next(self._batches())
        position = first.position(target)
        alone, sample = first_pass(self._batches, target, self.seed)
        goal = self._goal(alone, 0, position, len(first.columns))
        some = sample.table(goal.learn)
        encoder, _ = _fitted(some, {})
        width = len(encoder.outputs)
        x, rest = second_pass(
            self._batches, lambda t: encoded(encoder, t), width, target, goal.learn
        )
        about = (
            f"{len(alone):,} rows, {_columns_of(first)}, read in parts: the columns by "
            f"{len(some):,} rows, the encoded rows in a temporary file of "
            f"{(x.nbytes + rest.nbytes) / 1e6:,.0f} MB"
        )
        return _data(goal, encoder, first.header, about, x, rest if len(rest) else None)

    def _batches(self) -> Iterator[Table]:
        (path,) = self.files
        return read_batches(path, self.header, self.separator, self.encoding)

    def _goal(
        self, table: Table, at: int, position: int | None = None, width: int | None = None
    ) -> Goal:
        """What is to be predicted: the column `at` which the target is in `table`.

        position, width: where it is in the whole table, and how many columns that has,
        if `table` is a part of it.
        """
        if (len(table.columns) if width is None else width) == 1:
            raise DataError(
                f"{table.path}: there is nothing to predict {table.columns[at]!r} from: "
                "it is the only column."
            )
        target = fit_target(table, at, self.task)
        y = target.read(table, at)
        classes = target.task == "classification"
        labels, t = np.unique(y, return_inverse=True) if classes else (y[:0], y)
        _, held = split(t, self.test_fraction, self.seed, classes, "--test-fraction")
        learn = np.ones(len(t), bool)
        learn[held] = False
        there = at if position is None else position
        return Goal(replace(target, position=there), y, tuple(labels.tolist()), t, learn)

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


@dataclass(frozen=True, eq=False)
class Goal:
    """What is to be predicted.

    y       (rows,) as it stands in the table
    labels  of classes
    t       (rows,) the numbers of classes, or a quantity
    learn   (rows,) which rows are learned from; the others are held out
    """

    target: Target
    y: NDArray[Any]
    labels: Labels
    t: NDArray[Any]
    learn: NDArray[np.bool_]


def _columns_of(table: Table) -> str:
    about = "with a header" if table.header else "no header: columns by number"
    return f"{len(table.columns)} columns ({about})"


def _data(
    goal: Goal,
    encoder: Encoder,
    header: bool,
    about: str,
    x: Matrix,
    rest: Matrix | None,
) -> Data:
    """Encoded rows x to learn from and the `rest` that is held out, with their goal."""
    y = goal.y[goal.learn]
    scale = None if goal.labels else Scale(float(y.mean()), float(y.std()))
    return Data(
        TableCoding(encoder, goal.target, header, goal.labels, scale),
        about,
        described(encoder, goal.target, y),
        Rows(x, goal.t[goal.learn]),
        None if rest is None else Rows(rest, goal.t[~goal.learn]),
    )


def _both(learn: Table, held: Table) -> tuple[Encoder, Matrix, Matrix | None]:
    """What the columns of `learn` become, what they are then, and what those of `held`.

    A column whose rows to learn from are numbers, or dates, and which holds text in
    another row, is text.
    """
    odd: dict[str, str] = {}
    while True:
        encoder, x = _fitted(learn, odd)
        if not len(held):
            return encoder, x, None
        try:
            return encoder, x, encoded(encoder, held)
        except DataError as error:
            cell = error.__cause__
            if not isinstance(cell, CellError) or not cell.told.startswith("the text"):
                raise
            if cell.column in odd:
                raise
            kind = next(c.kind for c in encoder.columns if c.name == cell.column)
            found = quoted(held.frame.item(cell.row, cell.column))
            values = "values are numbers" if kind == "numeric" else "values are dates"
            odd[cell.column] = f"most {values}, but {_row(held, cell.row)} holds {found}"


def _row(table: Table, row: int) -> str:
    return f"{'the row on line' if table.in_lines else 'row'} {table.lines[row]}"


def _fitted(table: Table, odd: Mapping[str, str]) -> tuple[Encoder, Matrix]:
    """What a table's columns become, and what they are then.

    odd: columns that are text whatever they hold here, with the note that says why.
    """
    from kokuban.estimators.tabular.encoder import Encoder
    from kokuban.estimators.tabular.frame import read

    def told(note: str) -> str:
        """A note with the line of the file in place of the row's number."""
        return ROW.sub(lambda at: _row(table, int(at[1])), note)

    with placed(table):
        text = [table.columns.index(name) for name in odd]
        encoder, x = Encoder.fit(read(table.frame), text)
    columns = tuple(
        replace(c, note=odd[c.name] if c.name in odd else told(c.note))
        for c in encoder.columns
    )
    return replace(encoder, columns=columns), x


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

    def answered_by(self, estimator: Any) -> Data:
        """The same with a fitted estimator's own scale of the target."""
        assert isinstance(self.coding, TableCoding)
        _, _, scale = of_estimator(estimator)
        return replace(self, coding=replace(self.coding, scale=scale))

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
        alone = len(t) - len(rows)
        beside = f" (and none of {alone} alone in their class)" if alone else ""
        raise SettingError(
            f"{option} holds out {fraction:g} of {len(rows)} rows{beside}, that is "
            f"{held}, which does not leave {needed}. Give more rows, or {option} 0 for "
            "none."
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
