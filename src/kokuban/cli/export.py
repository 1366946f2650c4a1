"""`kokuban export`: a model file as an ONNX file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from kokuban.cli.show import Show
from kokuban.cli.writing import require_writable
from kokuban.train import load
from kokuban.train.files import write_atomically


def run(args: argparse.Namespace) -> int:
    """Export as the options say; the exit code."""
    from kokuban.interchange.export import OPSET, onnx_bytes, signature

    output = args.output or str(Path(args.model).with_suffix(".onnx"))
    require_writable(output, (args.model,))
    content = onnx_bytes(_opened(args.model))
    write_atomically(output, content)
    show = Show()
    inputs, outputs = signature(content)
    for label, lines in (("inputs", inputs), ("outputs", outputs)):
        for number, line in enumerate(lines):
            show.line("" if number else label, line)
    size = f"{len(content) / 1000:,.0f} kB, opset {OPSET}"
    show.line("model", f"{output}  ({size})")
    return 0


def _opened(path: str) -> Any:
    """What the file holds: an estimator, or a model."""
    from kokuban import estimators  # scikit-learn comes with it, which takes a second
    from kokuban.estimators.saving import KEY

    model = load(path)
    return estimators.load(path) if KEY in model.extra else model
