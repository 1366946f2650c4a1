"""What to try next: rules that look at what a run shows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kokuban.cli.fit import Fitted
from kokuban.cli.judged import Judged
from kokuban.cli.score import ClassScore, QuantityScore, Score, count
from kokuban.cli.settings import Settings, Tabular
from kokuban.train import History

MAX_LISTED = 5  # names in a sentence
EARLY = 0.1  # of the epochs: a best one within it says that the steps are too large
LATE = 0.9  # of the epochs: a best one after it may not be the last word
APART = (
    1.25  # times the training loss: the validation loss of a net that learned by heart
)
LEAK = 0.9  # share of all importance in one column, where the score is nearly perfect
UNSURE = 0.05  # a calibration error that matters
SKEWED = 2.0  # skewness of a quantity that its logarithm would mend
NOTHING = 0.002  # share of the largest importance that is next to nothing


class Advice(NamedTuple):
    """What was seen, and what to try."""

    seen: str
    try_: str


def advice(
    judged: Judged | None,
    fitted: Fitted,
    settings: Settings | Tabular,
    columns: Sequence[tuple[str, str, str]],
) -> list[Advice]:
    """What a run shows that can be acted on, the weightiest first."""
    found = [*_of_columns(columns)]
    if judged is not None:
        found = [*_of_score(judged), *_of_classes(judged), *found]
    found += _of_training(fitted, settings)
    if judged is not None:
        found += [*_of_predictions(judged), *_of_importances(judged)]
    return found or [
        Advice(
            "Nothing stands out",
            "other seeds (--seed 1) show how much of the score is luck; a larger net "
            f"({_larger(settings)}) whether there is more to learn",
        )
    ]


def _of_score(judged: Judged) -> Iterator[Advice]:
    score = judged.score
    if isinstance(score, ClassScore):
        error = math.sqrt(max(score.accuracy * (1 - score.accuracy), 1e-4) / score.rows)
        shown = f"accuracy {score.accuracy:.3f}, ± {error:.3f} by chance alone"
        poor = score.accuracy < score.baseline + error
    else:
        gap = np.abs(judged.actual - judged.predicted) ** 2
        error = float(gap.std()) / math.sqrt(score.rows) / max(2 * score.rmse, 1e-300)
        shown = f"RMSE {score.rmse:.3g}, ± {error:.2g} by chance alone"
        poor = score.rmse > score.baseline - error
    if poor:
        yield Advice(
            f"The net does no better than guessing without looking ({shown})",
            "see whether the target is the right column and whether the other columns "
            "can tell anything about it",
        )
    if judged.linear is not None and not poor and _beats(judged.linear, score):
        yield Advice(
            "A linear model does no worse",
            "use it if it is enough; a net gains where columns act together, so look for "
            "columns that are missing",
        )
    if score.rows < 200:
        yield Advice(
            f"Only {count(score.rows)} were held out: {shown}",
            "compare settings over several seeds (--seed 1, 2, …), not by one score",
        )


def _beats(linear: float, score: Score) -> bool:
    if isinstance(score, ClassScore):
        return linear >= score.accuracy
    return linear <= score.rmse


def _of_classes(judged: Judged) -> Iterator[Advice]:
    score = judged.score
    if not isinstance(score, ClassScore):
        return
    rows, taken = score.confusion.sum(axis=1), score.confusion.sum(axis=0)
    never = [
        label
        for label, there, said in zip(score.labels, rows, taken, strict=True)
        if there and not said
    ]
    if never:
        yield Advice(
            f"Never predicted: {_listed(never)}",
            "more rows of these classes, or fewer classes; accuracy hides rare ones, so "
            "look at the table of right and wrong",
        )


def _of_columns(columns: Sequence[tuple[str, str, str]]) -> Iterator[Advice]:
    for name, kind, detail in columns:
        if kind == "categorical" and "values are numbers, but" in detail:
            yield Advice(
                f"{name} is taken for text: {detail.rpartition('; ')[2]}",
                "mend that cell, or leave it empty, and the column becomes numeric",
            )
    if keys := [name for name, kind, _ in columns if kind == "identifier"]:
        yield Advice(
            f"Left out, since every row holds another text: {_listed(keys)}",
            "if something in these texts matters (a date, a code), give it a column of "
            "its own",
        )


def _larger(settings: Settings | Tabular) -> str:
    if isinstance(settings, Settings):
        return "--hidden 512,256"
    return "--preset default" if settings.preset == "fast" else "--hidden 256,256,256"


def _of_training(fitted: Fitted, settings: Settings | Tabular) -> Iterator[Advice]:
    if fitted.interrupted:
        epochs = sum(map(len, fitted.histories))
        yield Advice(
            f"Training was interrupted after {epochs} epochs", "train to the end"
        )
        return
    if fitted.stopped == "max_time":
        yield Advice("The time was up before training was done", "a longer --max-time")
        return
    best = [history.best_epoch or 0 for history in fitted.histories]
    if not all(best):
        return
    lengths = list(map(len, fitted.histories))
    planned = fitted.stopped == "epochs"
    if planned and np.mean(best) >= LATE * fitted.epochs:
        yield Advice(
            f"{_best(best)} one of the last",
            f"train for longer: --epochs {2 * fitted.epochs}",
        )
    if np.mean(best) <= EARLY * np.mean(lengths) and lengths[0] > 1:
        slower = "--patience 16 gives the same sooner, --rate 0.01 learns more slowly"
        if isinstance(settings, Settings):
            slower = f"learn more slowly: --rate {settings.first_rate / 3:.2g}"
        yield Advice(f"{_best(best)} one of the first {max(lengths)}", slower)
    if isinstance(settings, Settings):
        yield from _of_losses(fitted.history, settings)


def _best(epochs: Sequence[int]) -> str:
    if len(epochs) == 1:
        return f"The best epoch, {epochs[0]}, is"
    return f"The best epoch of each network ({', '.join(map(str, epochs))}) is"


def _of_losses(history: History, settings: Settings) -> Iterator[Advice]:
    """Of one network, whose two losses are the same function."""
    assert history.best_epoch is not None
    record, last = history.epochs[history.best_epoch - 1], history.epochs[-1]
    if record["val_loss"] > APART * record["loss"]:
        yield Advice(
            f"The validation loss, {record['val_loss']:.3g}, is well above the training "
            f"loss, {record['loss']:.3g}: the net knows its rows by heart",
            f"--dropout {min(0.5, settings.dropout + 0.2):g}, --weight-decay 0.001, a "
            "smaller net, or more rows",
        )
    elif last["loss"] > last["val_loss"] and settings.dropout:
        yield Advice(
            f"The training loss, {last['loss']:.3g}, ends above the validation loss, "
            f"{last['val_loss']:.3g}: the net could learn more",
            f"a larger net (--hidden 512,256), or --dropout {settings.dropout / 2:g}",
        )


def _of_predictions(judged: Judged) -> Iterator[Advice]:
    if isinstance(judged.score, QuantityScore):
        y = judged.actual
        spread = float(y.std())
        skewness = float(((y - y.mean()) ** 3).mean()) / spread**3 if spread else 0.0
        if skewness > SKEWED and y.min() > 0:
            yield Advice(
                f"The target has a long tail of large values (skewness {skewness:.1f})",
                "predict its logarithm: errors then count in proportion",
            )
    elif judged.calibration_error > UNSURE:
        sure = np.mean([b.predicted - b.actual for b in judged.bins[-3:]])
        yield Advice(
            f"Probabilities are off by {judged.calibration_error:.3f} on average, too "
            f"{'sure' if sure > 0 else 'cautious'} where they are high",
            "more dropout or weight decay makes a net less sure; do not set thresholds "
            "by these probabilities unchecked",
        )


def _of_importances(judged: Judged) -> Iterator[Advice]:
    rises = [max(i.rise, 0.0) for i in judged.importances]
    if len(rises) < 2 or not sum(rises):
        return
    score, first = judged.score, judged.importances[0].name
    right = score.accuracy if isinstance(score, ClassScore) else score.r2
    if right > 0.98 and rises[0] > LEAK * sum(rises):
        yield Advice(
            f"Nearly all is told by {first}, and nearly all is right",
            f"make sure that {first} is known before the target is, and is not made "
            "from it",
        )
    idle = [i.name for i in judged.importances if i.rise <= NOTHING * rises[0]]
    if idle:
        yield Advice(
            f"Of no use on the held-out rows: {_listed(idle)}",
            "try without "
            + ("this column" if len(idle) == 1 else f"these {len(idle)} columns"),
        )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MAX_LISTED
    return ", ".join(names[:MAX_LISTED]) + (f" and {more:,} more" if more > 0 else "")
