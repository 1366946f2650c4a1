"""The report of a training run: one HTML page with everything in it."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from importlib.metadata import version

import numpy as np

from kokuban.cli.advice import advice
from kokuban.cli.figures import (
    MAX_BARS,
    MAX_POINTS,
    calibration,
    curves,
    importance,
    residuals,
)
from kokuban.cli.fit import Fitted
from kokuban.cli.judged import Judged
from kokuban.cli.score import ClassScore, QuantityScore, count
from kokuban.cli.settings import Settings, Tabular
from kokuban.cli.source import Data, Source
from kokuban.train.files import write_atomically

MAX_CLASSES = 25  # of a confusion matrix; of more, the commonest mistakes are listed
MAX_MISTAKES = 20
MAX_COLUMNS = 500  # that are listed
CALIBRATED_TWO = "the mean probability of {} and its share"
CALIBRATED_MANY = "the mean probability of the predicted class, and how often it is right"
LOSSES = (
    "The training loss is the mean over an epoch, while the weights change and with "
    "dropout; the validation loss is measured after it, without. The epoch that is kept "
    "has the smallest squared error on the validation rows."
)
LOSSES_OF_TABLE = (
    "The training loss is the mean over an epoch, of smoothed labels where there are "
    "classes; the validation loss is that of the rows that a network has held out. Each "
    "network keeps the epoch in which that is least."
)
LOSS_OF_CLASSES = "cross-entropy of softmax, mean over rows"
LOSS_OF_QUANTITY = "squared error of the standardised target, mean over rows"


@dataclass(frozen=True)
class Report:
    """What the page tells. `judged` is None where no rows were held out."""

    source: Source
    data: Data
    settings: Settings | Tabular
    fitted: Fitted
    judged: Judged | None
    command: str

    def write(self, path: str) -> None:
        """Write the page; StorageError where it cannot be written."""
        write_atomically(path, self.html().encode())

    def html(self) -> str:
        """The page."""
        title = f"Kokuban: {escape(self.source.name)}"
        parts = [
            f"<h1>{title}</h1>",
            f"<p>{escape(', '.join(self.source.files))}: {escape(self.data.about)}</p>",
            self._scores(),
            self._advice(),
            self._mistakes(),
            self._calibration(),
            self._importances(),
            "<h2>Training</h2>",
            _figures(curves(self.fitted.histories)),
            f"<p class=small>{self._losses()}</p>" if self.fitted.validation else "",
            _table(self._training()),
            self._columns(),
            "<h2>Again</h2>",
            f"<pre>{escape(self.command)}</pre>",
            f"<p class=small>{escape(_versions())}. The same versions, data and seed "
            "give the same model on the same machine.</p>",
        ]
        return PAGE.format(title=title, style=STYLE, body="\n".join(filter(None, parts)))

    def _scores(self) -> str:
        if self.judged is None:
            return "<p>No rows were held out, so there is no score.</p>"
        score = self.judged.score
        if isinstance(score, ClassScore):
            tiles = [
                (f"{score.accuracy:.4f}", "held-out accuracy"),
                (f"{score.baseline:.4f}", "always guessing the commonest class"),
                (f"{self.judged.loss:.4f}", "log loss of the probabilities"),
            ]
            beside = "accuracy of a linear model"
        else:
            unit = f" {score.unit}" if score.unit else ""
            tiles = [
                (f"{score.r2:.4f}", "held-out R²"),
                (f"{score.rmse:.4g}{unit}", "root mean squared error"),
                (f"{score.mae:.4g}{unit}", "mean absolute error"),
                (f"{score.baseline:.4g}{unit}", "RMSE of always guessing the mean"),
            ]
            beside = "RMSE of a linear model"
        if self.judged.linear is not None:
            form = ".4f" if isinstance(score, ClassScore) else ".4g"
            tiles.append((f"{self.judged.linear:{form}}", beside))
        tiles.append((f"{score.rows:,}", "rows held out, never trained on"))
        shown = "".join(
            f"<div><b>{escape(value)}</b><span>{escape(meaning)}</span></div>"
            for value, meaning in tiles
        )
        return f"<div class=tiles>{shown}</div>"

    def _losses(self) -> str:
        return LOSSES if isinstance(self.settings, Settings) else LOSSES_OF_TABLE

    def _training(self) -> Iterable[tuple[str, str]]:
        fitted, settings = self.fitted, self.settings
        yield "Net", fitted.sizes
        if fitted.formula:
            yield "Formula", fitted.formula
        yield (
            "Rows",
            f"{fitted.rows:,} learned from, {fitted.validation:,} for validation"
            + (", in each network others" if len(fitted.histories) > 1 else ""),
        )
        yield "Epochs", self._epochs()
        yield "Batches", f"of {fitted.batch} rows"
        if isinstance(settings, Tabular):
            yield "Preset", settings.preset
        else:
            yield from self._of_model(settings)
        yield "Seed", f"{settings.seed}"

    def _epochs(self) -> str:
        fitted = self.fitted
        lengths = " + ".join(str(len(history)) for history in fitted.histories)
        text = f"{lengths} of {fitted.epochs} in {fitted.seconds:.1f} s"
        best = [str(h.best_epoch) for h in fitted.histories if h.best_epoch is not None]
        if fitted.stopped != "epochs":
            text += f"; {fitted.stopped}"
        if best:
            many = len(best) > 1
            text += (
                f"; epoch{'s' * many} {', '.join(best)} {'are' if many else 'is'} kept"
            )
        return text

    def _of_model(self, settings: Settings) -> Iterable[tuple[str, str]]:
        classes = bool(self.data.coding.labels)
        usual = LOSS_OF_CLASSES if classes else LOSS_OF_QUANTITY
        own = repr(self.fitted.model.network.loss)
        yield "Loss", usual if settings.board is None else own
        yield (
            "Optimizer",
            f"{settings.optimizer}, rate {settings.first_rate:g} falling to 0 (cosine), "
            f"weight decay {settings.weight_decay:g}",
        )
        if settings.board is None:
            yield "Dropout", f"{settings.dropout:g}"
        else:
            yield "Board", settings.board

    def _mistakes(self) -> str:
        if self.judged is None:
            return ""
        score = self.judged.score
        if isinstance(score, QuantityScore):
            shown = min(score.rows, MAX_POINTS)
            some = "" if shown == score.rows else f"; {shown:,} of them are drawn"
            return (
                "<h2>Predicted and actual</h2>"
                f"<p>{count(score.rows)} held out{some}. On the line, predictions "
                "are exact.</p>" + _figures(residuals(self.judged))
            )
        return "<h2>Right and wrong</h2>" + _confusion(score)

    def _advice(self) -> str:
        told = advice(self.judged, self.fitted, self.settings, self.data.columns)
        lines = "".join(
            f"<li>{escape(seen)}: <b>{escape(what)}</b>.</li>" for seen, what in told
        )
        return f"<h2>What to try next</h2><ul class=advice>{lines}</ul>"

    def _calibration(self) -> str:
        if self.judged is None:
            return ""
        if isinstance(self.judged.score, QuantityScore):
            meaning, digits = "the means of the predicted and of the actual value", ".4g"
        else:
            meaning, digits = CALIBRATED_TWO, ".3f"
            if len(self.judged.score.labels) > 2:
                meaning = CALIBRATED_MANY
            else:
                meaning = meaning.format(self.judged.score.labels[1])
        head = "<tr><th>rows</th><th>predicted</th><th>came true</th></tr>"
        lines = "".join(
            f"<tr><td>{b.rows:,}</td><td>{b.predicted:{digits}}</td>"
            f"<td>{b.actual:{digits}}</td></tr>"
            for b in self.judged.bins
        )
        return (
            "<h2>Calibration</h2><p>The held-out rows from the smallest to the largest "
            f"prediction, in groups of like size; of each, {escape(meaning)}. On the "
            "line, they are the same; they are off by "
            f"{self.judged.calibration_error:{digits}} on average.</p><div class=figures>"
            f"<figure>{calibration(self.judged)}</figure>"
            f"<table class=numbers>{head}{lines}</table></div>"
        )

    def _importances(self) -> str:
        if self.judged is None or not self.judged.importances:
            return ""
        loss = "RMSE"
        if isinstance(self.judged.score, ClassScore):
            loss = "log loss"
        shown = self.judged.importances
        some = f", the first {MAX_BARS} of {len(shown)}" if len(shown) > MAX_BARS else ""
        return (
            f"<h2>Importance of the columns</h2><p>How much the {loss} of held-out rows, "
            f"{self.judged.loss:.4g} as they are, rises when the values of one column "
            f"change places among the rows{some}. Columns that tell the same share their "
            "importance.</p>" + _figures([importance(self.judged)])
        )

    def _columns(self) -> str:
        if not self.data.columns:
            return ""
        shown, more = self.data.columns[:MAX_COLUMNS], ""
        if len(self.data.columns) > len(shown):
            shown = [*shown[:-1], self.data.columns[-1]]
            more = f"<p>{len(shown):,} of {len(self.data.columns):,} are listed.</p>"
        head = "<tr><th>column</th><th>taken for</th><th>in detail</th></tr>"
        rows = "".join(
            f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in column)}</tr>"
            for column in shown
        )
        return f"<h2>Columns</h2>{more}<div class=wide><table>{head}{rows}</table></div>"


def _confusion(score: ClassScore) -> str:
    """Rows are the right classes, columns the predicted ones, in percent of the row."""
    if len(score.labels) > MAX_CLASSES:
        return _commonest_mistakes(score)
    head = "".join(f"<th>{escape(label)}</th>" for label in score.labels)
    body = []
    for number, label in enumerate(score.labels):
        cells = score.confusion[number]
        rows = int(cells.sum())
        shown = "".join(
            _cell(int(cell), rows, right=number == other)
            for other, cell in enumerate(cells)
        )
        body.append(
            f"<tr><th>{escape(label)}</th>{shown}<td class=sum>{rows:,}</td></tr>"
        )
    return (
        "<p>A line for each right class, a column for each predicted one: the share of "
        "the line in percent, and below it the number of rows.</p><div class=wide>"
        f"<table class=confusion><tr><td></td>{head}<td class=sum>rows</td></tr>"
        f"{''.join(body)}</table></div>"
    )


def _cell(cell: int, rows: int, right: bool) -> str:
    if not cell:
        return "<td class=none>·</td>"
    share = 100 * cell / rows
    kind = "first" if right else "second"
    shade = 12 + 0.4 * share  # percent; even a single mistake is seen
    colour = f"color-mix(in srgb, var(--{kind}) {shade:.0f}%, transparent)"
    return f'<td style="background: {colour}">{share:.1f}<br><small>{cell:,}</small></td>'


def _commonest_mistakes(score: ClassScore) -> str:
    wrong = score.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MAX_MISTAKES]
    lines = []
    for right, taken in zip(*np.unravel_index(order, wrong.shape), strict=True):
        if wrong[right, taken]:
            cells = (score.labels[right], score.labels[taken], f"{wrong[right, taken]:,}")
            lines.append("".join(f"<td>{escape(cell)}</td>" for cell in cells))
    if not lines:
        return "<p>No row was taken for a wrong class.</p>"
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<p>The commonest mistakes among {len(score.labels)} classes.</p>"
        f"<table><tr><th>right</th><th>predicted</th><th>rows</th></tr>{rows}</table>"
    )


def _figures(figures: Sequence[str]) -> str:
    shown = "".join(f"<figure>{figure}</figure>" for figure in figures)
    return f"<div class=figures>{shown}</div>"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
        for name, value in rows
    )
    return f"<table class=facts>{lines}</table>"


def _versions() -> str:
    names = ("kokuban", "numpy", "scikit-learn")
    found = ", ".join(f"{name} {version(name)}" for name in names)
    return f"{found}, Python {platform.python_version()}"


STYLE = """\
:root { color-scheme: light dark; --first: light-dark(#1668a8, #6db5f0);
  --second: light-dark(#c04a10, #f2935c); --line: light-dark(#0003, #fff3);
  --panel: light-dark(#f4f5f4, #1c2620); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 1rem 1.2rem 3rem; line-height: 1.5;
  font-family: system-ui, sans-serif; color: light-dark(#1b1f1d, #e8ece9);
  background: light-dark(#fff, #121915); overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
.tiles { display: flex; flex-wrap: wrap; gap: .7rem; }
.tiles div { background: var(--panel); border-radius: .5rem; padding: .6rem 1rem; }
.tiles b { display: block; font-size: 1.5rem; } .tiles span { font-size: .85rem; }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; }
figure { margin: 0; flex: 1 1 20rem; max-width: 36rem; }
figure svg { width: 100%; height: auto; }
table { border-collapse: collapse; font-size: .9rem; }
td, th { padding: .25rem .6rem; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); font-weight: normal; }
th { font-weight: 600; } .wide { overflow-x: auto; }
.confusion td, .confusion th { text-align: center; vertical-align: middle;
  min-width: 2.6rem; padding: .2rem .35rem; border: 0; line-height: 1.25; }
.confusion small { opacity: .8; } .confusion .none { opacity: .4; }
.confusion .sum { opacity: .75; text-align: right; }
pre { background: var(--panel); border-radius: .5rem; padding: .7rem 1rem;
  overflow-x: auto; }
.numbers td, .numbers th { text-align: right; font-variant-numeric: tabular-nums; }
.numbers { align-self: center; } .advice b { font-weight: 600; }
.advice li { margin: .3rem 0; max-width: 50rem; }
.facts td { overflow-wrap: anywhere; }
.facts th { white-space: nowrap; } .small { font-size: .85rem; opacity: .8; }"""

PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}
</style>
<body>
{body}
</body>
</html>
"""
