"""`kokuban predict`: a model's answers for raw data, as CSV."""

from __future__ import annotations

import argparse
import csv
import io
import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import Coding, TableCoding
from kokuban.cli.saved import open_saved
from kokuban.cli.score import count, score
from kokuban.cli.show import note
from kokuban.cli.writing import require_writable
from kokuban.errors import SettingError
from kokuban.train.files import write_atomically


def run(args: argparse.Namespace) -> int:
    """Predict as the options say; the exit code."""
    if args.output is not None:
        require_writable(args.output, (args.model, *args.data))
    saved = open_saved(args.model)
    if args.probabilities and not saved.coding.labels:
        raise SettingError("A quantity has no probabilities: leave --probabilities out.")
    rows = saved.coding.read(args.data, args.separator)
    y = saved.model.predict(rows.x)
    content = csv_of(saved.coding, y, args.probabilities).encode()
    if args.output is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
    else:
        write_atomically(args.output, content)
        note(f"{count(len(y))} predicted, written to {args.output}")
    if rows.t is None:
        note(f"not scored: {rows.without}")
        return 0
    seen = "on data it was trained on: " if saved.knows(args.data) else ""
    note(f"{seen}{score(saved.coding, y, rows, saved.guess)}")
    return 0


def csv_of(coding: Coding, y: NDArray[np.float32], probabilities: bool) -> str:
    """A header and a row for each row of the network's output y, (rows, outputs)."""
    columns: dict[str, list[Any]] = {"prediction": answers(coding, y)}
    if probabilities:
        for label, column in zip(coding.labels, y.T, strict=True):
            columns[f"probability {label}"] = [f"{p:.6f}" for p in column]
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue()


def answers(coding: Coding, y: NDArray[np.float32]) -> list[Any]:
    """Labels, or quantities in their own unit to the 7 digits that float32 has."""
    if isinstance(coding, TableCoding) and not coding.labels:
        return [f"{value:.7g}" for value in coding.quantity.decode(y)]
    return [coding.labels[number] for number in y.argmax(axis=1)]
