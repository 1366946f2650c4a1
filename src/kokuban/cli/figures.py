"""Figures for the report: SVG that takes the page's own colours."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kokuban.cli.score import QuantityScore
from kokuban.train import History

# Drawn in colours that stand for the page's text, first and second colour, then renamed.
TEXT, FIRST, SECOND = "#010203", "#040506", "#070809"
COLOURS = {
    TEXT: "currentColor",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
MAX_POINTS = 2000  # more would make the page heavy and show nothing more
STYLE: Any = {
    "svg.fonttype": "none",  # letters stay letters, in the page's font
    "svg.hashsalt": "kokuban",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": TEXT,
    "axes.labelcolor": TEXT,
    "text.color": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "legend.frameon": False,
}

Draw = Callable[[Any], None]


def curves(history: History) -> list[str]:
    """The loss, and where there is one the score on the validation rows, by epoch."""
    metrics = [name for name in ("val_accuracy", "val_r2") if name in history.curves]
    figures = [_curve(history, ["loss", "val_loss"], "loss")]
    return figures + [_curve(history, [name], name[4:]) for name in metrics]


def _curve(history: History, names: Sequence[str], label: str) -> str:
    shown = {"loss": "training", "val_loss": "validation"}

    def draw(axes: Any) -> None:
        epochs = history["epoch"]
        for name, colour in zip(names, (FIRST, SECOND), strict=False):
            if name in history.curves:
                mark = "." if len(epochs) == 1 else ""
                axes.plot(
                    epochs,
                    history[name],
                    color=colour if len(names) > 1 else SECOND,
                    label=shown.get(name, "validation"),
                    marker=mark,
                )
        if history.best_epoch is not None:
            axes.axvline(history.best_epoch, color=TEXT, alpha=0.4, ls=":", label="kept")
        axes.set_xlabel("epoch")
        axes.set_ylabel({"r2": "R²"}.get(label, label))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()

    return _svg(draw, f"{label} by epoch")


def residuals(score: QuantityScore) -> list[str]:
    """Predicted against actual values, and how the errors are distributed."""
    return [
        _svg(lambda axes: _scatter(axes, score), "predicted against actual values"),
        _svg(lambda axes: _errors(axes, score), "how often each error occurs"),
    ]


def _scatter(axes: Any, score: QuantityScore) -> None:
    picked = np.linspace(0, score.rows - 1, min(score.rows, MAX_POINTS)).astype(int)
    axes.plot(
        score.actual[picked],
        score.predicted[picked],
        ".",
        color=FIRST,
        alpha=0.45,
        markersize=5,
        markeredgewidth=0,
    )
    ends = [float(score.actual.min()), float(score.actual.max())]
    axes.plot(ends, ends, color=TEXT, alpha=0.5, linewidth=1)
    axes.set_xlabel("actual")
    axes.set_ylabel("predicted")


def _errors(axes: Any, score: QuantityScore) -> None:
    errors = score.predicted - score.actual
    axes.hist(errors, bins=min(40, max(5, score.rows // 10)), color=FIRST, alpha=0.8)
    axes.axvline(0, color=TEXT, alpha=0.5, linewidth=1)
    axes.set_xlabel("predicted - actual")
    axes.set_ylabel("rows")


def _svg(draw: Draw, title: str) -> str:
    """A figure as SVG text to stand in a page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(5.2, 3.2), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=none)
    text = file.getvalue()
    for drawn, meant in COLOURS.items():
        text = text.replace(drawn, meant)
    _, _, body = text.partition("<svg ")
    return f'<svg role="img" aria-label="{title}" {body}'
