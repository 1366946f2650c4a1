"""`kokuban train`: from a data set to a model file, a score and a report."""

from __future__ import annotations

import argparse
import json
import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from kokuban.cli import saved
from kokuban.cli.fit import Fitted, fitted
from kokuban.cli.judged import Judged, judged
from kokuban.cli.score import count
from kokuban.cli.settings import Settings, Tabular, settings_of
from kokuban.cli.show import Show, columns_in_words
from kokuban.cli.source import Data, Source
from kokuban.cli.writing import require_writable
from kokuban.errors import SettingError

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def run(args: argparse.Namespace) -> int:
    """Train as the options say; the exit code."""
    source = _given(args)
    tabular = args.board is None and source.is_table
    settings = settings_of(vars(args), tabular)
    layers = (args.hidden, args.activation, args.dropout)
    if args.board is not None and any(option is not None for option in layers):
        raise SettingError(
            "A board says what the network is: --hidden, --activation and --dropout are "
            "for networks that are not written out."
        )
    output = args.output or f"{source.name}.safetensors"
    given = (*source.files, *filter(None, [args.board]))
    require_writable(output, given)
    if args.report is not None:
        require_writable(args.report, (*given, output))
    show = Show(args.quiet, aside=args.json)
    data = source.open()
    describe(source, data, show)
    done = fitted(data, settings, show)
    if done.estimator is not None:
        data = data.answered_by(done.estimator)
    done.save(output, saved.extra(source, data, tabular))
    outcome = None
    if data.held is not None:
        deep = args.report is not None or args.json
        outcome = judged(done.model, data, settings.seed, deep)
        show.result(f"held-out {outcome.score.told(outcome.linear)}")
    show.line("model", f"{output}  ({Path(output).stat().st_size / 1000:,.0f} kB)")
    if args.report is not None:
        from kokuban.cli.report import Report

        command = shlex.join(["kokuban", *args.words])
        Report(source, data, settings, done, outcome, command).write(args.report)
        show.line("report", args.report)
    show.whole("next", _example(source, output))
    if args.json:
        found = {"model": output, "report": args.report}
        print(json.dumps(_to_dict(source, data, settings, done, outcome) | found))
    return INTERRUPTED if done.interrupted else 0


def _given(args: argparse.Namespace) -> Source:
    """The source that the options name, its own defaults for what is not given."""
    found = {field.name: getattr(args, field.name) for field in fields(Source)}
    return Source(**{name: value for name, value in found.items() if value is not None})


def describe(source: Source, data: Data, show: Show) -> None:
    """What the data are, what each column was taken for, and how they are split."""
    show.line("data", f"{', '.join(source.files)}: {data.about}")
    if data.columns:
        for label, text in columns_in_words(data.columns):
            show.line(label, text)
    held = f"{len(data.held):,} held out" if data.held else "none held out"
    show.line("split", f"{count(len(data.learn))} to learn from, {held}")


def _to_dict(
    source: Source,
    data: Data,
    settings: Settings | Tabular,
    done: Fitted,
    outcome: Judged | None,
) -> dict[str, Any]:
    """What was done, as plain JSON."""
    names = ("name", "kind", "detail")
    return {
        "source": asdict(source),
        "task": "classification" if data.coding.labels else "regression",
        "columns": [dict(zip(names, told, strict=True)) for told in data.columns],
        "rows": {
            "learned": done.rows,
            "validation": done.validation,
            "held_out": len(data.held or ()),
        },
        "settings": asdict(settings) | {"batch_size": done.batch},
        "net": done.sizes,
        "formula": done.formula,
        "score": None if outcome is None else outcome.score.to_dict(),
        "held_out": None if outcome is None else outcome.to_dict(),
        "history": done.history.to_dict(),
        "histories": [history.to_dict() for history in done.histories],
        "seconds": done.seconds,
        "interrupted": done.interrupted,
    }


def _example(source: Source, output: str) -> str:
    """A command that uses the model."""
    words = ["kokuban", "predict", output, source.files[0], "-o", "predictions.csv"]
    return shlex.join(words)
