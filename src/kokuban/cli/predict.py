"""`kokuban predict`: a model's answers for raw data, a part at a time."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kokuban.cli.answers import answers, write
from kokuban.cli.saved import Saved, open_saved
from kokuban.cli.score import Score, count, score
from kokuban.cli.show import note
from kokuban.cli.writing import require_writable
from kokuban.errors import SettingError

if TYPE_CHECKING:
    import polars as pl


def run(args: argparse.Namespace) -> int:
    """Predict as the options say; the exit code."""
    if args.json and args.output is None:
        raise SettingError("--json takes standard output: say where answers go, with -o.")
    if args.output is not None:
        require_writable(args.output, (args.model, *args.data))
    saved = open_saved(args.model)
    if args.probabilities and not saved.coding.labels:
        raise SettingError("A quantity has no probabilities: leave --probabilities out.")
    done = _Prediction(saved, args)
    write(done.frames(), args.output)
    known = saved.knows(args.data)
    if args.output is not None:
        note(f"{count(done.rows)} predicted, written to {args.output}")
    if done.score is None:
        note(f"not scored: {done.without}")
    else:
        note(f"{'on data it was trained on: ' if known else ''}{done.score}")
    if args.json:
        print(json.dumps(done.to_dict(args) | {"trained_on_these": known}))
    return 0


class _Prediction:
    """Answers batch by batch, and their score so far where the right ones are there."""

    def __init__(self, saved: Saved, args: argparse.Namespace) -> None:
        self.saved, self.probabilities = saved, args.probabilities
        self.parts = saved.coding.batches(args.data, args.separator, args.encoding)
        self.rows, self.without = 0, ""
        self.score: Score | None = None

    def frames(self) -> Iterator[pl.DataFrame]:
        """The answers, a frame for each batch."""
        for rows in self.parts:
            y = self.saved.model.predict(rows.x)
            self.rows += len(y)
            if rows.t is None and not self.without:
                self.score, self.without = None, rows.without
            if not self.without:
                more = score(self.saved.coding, y, rows, self.saved.guess)
                self.score = more if self.score is None else self.score + more  # type: ignore[operator]
            yield answers(self.saved.coding, y, self.probabilities)

    def to_dict(self, args: argparse.Namespace) -> dict[str, object]:
        """What was done, as plain JSON."""
        return {
            "model": args.model,
            "data": args.data,
            "output": args.output,
            "rows": self.rows,
            "score": None if self.score is None else self.score.to_dict(),
            "not_scored": self.without or None,
        }
