"""Figures for the report: SVG that takes the page's own colours."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.judged import Judged
from kokuban.cli.score import Numbers
from kokuban.train import History

# Drawn in colours that stand for the page's text, first and second colour, then renamed.
TEXT, FIRST, SECOND = "#010203", "#040506", "#070809"
COLOURS = {
    TEXT: "currentColor",
    FIRST: "var(--first)",
    SECOND: "var(--second)",
}
MAX_BARS = 20
MAX_NAME = 24  # letters of a column's name
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


def curves(histories: Sequence[History]) -> list[str]:
    """The loss, and where there is one the score on the validation rows, by epoch.

    Of several runs each has a line.
    """
    known = histories[0].curves
    metrics = [name for name in ("val_accuracy", "val_r2") if name in known]
    figures = [_curve(histories, ["loss", "val_loss"], "loss")]
    return figures + [_curve(histories, [name], name[4:]) for name in metrics]


def _curve(histories: Sequence[History], names: Sequence[str], label: str) -> str:
    shown = {"loss": "training", "val_loss": "validation"}

    def draw(axes: Any) -> None:
        for number, history in enumerate(histories):
            _lines(axes, history, names, shown if number == 0 else {})
        axes.set_xlabel("epoch")
        axes.set_ylabel({"r2": "R²"}.get(label, label))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend()

    return _svg(draw, f"{label} by epoch")


def _lines(
    axes: Any, history: History, names: Sequence[str], shown: Mapping[str, str]
) -> None:
    """The curves of one run; only the first one's are named."""
    epochs = history["epoch"]
    for name, colour in zip(names, (FIRST, SECOND), strict=False):
        if name in history.curves:
            axes.plot(
                epochs,
                history[name],
                color=colour if len(names) > 1 else SECOND,
                label=shown.get(name, "validation" if shown else None),
                marker="." if len(epochs) == 1 else "",
                linewidth=1.2,
            )
    if history.best_epoch is not None:
        kept = "kept" if shown else None
        axes.axvline(history.best_epoch, color=TEXT, alpha=0.4, ls=":", label=kept)


def residuals(judged: Judged) -> list[str]:
    """Predicted against actual values, errors by prediction, and how often they occur."""
    return [
        _svg(lambda axes: _scatter(axes, judged), "predicted against actual values"),
        _svg(lambda axes: _residuals(axes, judged), "errors by predicted value"),
        _svg(lambda axes: _errors(axes, judged), "how often each error occurs"),
    ]


def _some(judged: Judged) -> NDArray[np.intp]:
    rows = len(judged.actual)
    return np.linspace(0, rows - 1, min(rows, MAX_POINTS)).astype(np.intp)


def _points(axes: Any, x: Numbers, y: Numbers) -> None:
    size = 5 if len(x) > 300 else 7
    axes.plot(x, y, ".", color=FIRST, alpha=0.45, markersize=size, markeredgewidth=0)


def _scatter(axes: Any, judged: Judged) -> None:
    picked = _some(judged)
    _points(axes, judged.actual[picked], judged.predicted[picked])
    ends = [float(judged.actual.min()), float(judged.actual.max())]
    axes.plot(ends, ends, color=TEXT, alpha=0.5, linewidth=1)
    axes.set_xlabel("actual")
    axes.set_ylabel("predicted")


def _residuals(axes: Any, judged: Judged) -> None:
    picked = _some(judged)
    _points(axes, judged.predicted[picked], (judged.predicted - judged.actual)[picked])
    axes.axhline(0, color=TEXT, alpha=0.5, linewidth=1)
    axes.set_xlabel("predicted")
    axes.set_ylabel("predicted - actual")


def _errors(axes: Any, judged: Judged) -> None:
    errors = judged.predicted - judged.actual
    axes.hist(errors, bins=min(40, max(5, len(errors) // 10)), color=FIRST, alpha=0.8)
    axes.axvline(0, color=TEXT, alpha=0.5, linewidth=1)
    axes.set_xlabel("predicted - actual")
    axes.set_ylabel("rows")


def calibration(judged: Judged) -> str:
    """What was predicted against what came true, in groups of like predictions."""

    def draw(axes: Any) -> None:
        x = [b.predicted for b in judged.bins]
        y = [b.actual for b in judged.bins]
        ends = [min(*x, *y), max(*x, *y)] if judged.predicted.ndim == 1 else [0.0, 1.0]
        axes.plot(ends, ends, color=TEXT, alpha=0.5, linewidth=1)
        axes.plot(x, y, "o-", color=FIRST, markersize=5)
        axes.set_xlabel("predicted")
        axes.set_ylabel("came true")

    return _svg(draw, "calibration")


def importance(judged: Judged) -> str:
    """How much worse the loss is with each column shuffled, the most important ones."""
    shown = judged.importances[:MAX_BARS][::-1]

    def draw(axes: Any) -> None:
        places = range(len(shown))
        axes.set_yticks(places, [_short(i.name) for i in shown])
        axes.barh(
            places,
            [i.rise for i in shown],
            xerr=[i.deviation for i in shown],
            color=FIRST,
            alpha=0.8,
            ecolor=TEXT,
        )
        unit = "log loss" if judged.predicted.ndim == 2 else "RMSE"
        axes.set_xlabel(f"rise of the {unit}")

    return _svg(draw, "importance of the columns", 1 + 0.26 * max(len(shown), 4))


def _short(name: str) -> str:
    shown = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"
    return " ".join(shown.split()).replace("$", r"\$")  # not mathematics


def _svg(draw: Draw, title: str, height: float = 3.2) -> str:
    """A figure as SVG text to stand in a page."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE), warnings.catch_warnings():
        # Letters that matplotlib's own font has not; the page's has them.
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)
        figure = Figure(figsize=(5.2, height), layout="constrained")
        draw(figure.subplots())
        file = io.StringIO()
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", transparent=True, metadata=none)
    text = file.getvalue()
    for drawn, meant in COLOURS.items():
        text = text.replace(drawn, meant)
    _, _, body = text.partition("<svg ")
    return f'<svg role="img" aria-label="{title}" {body}'
