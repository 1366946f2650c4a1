"""Training itself: a network by the settings, fitted to the data."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from kokuban.cli.coding import Matrix, TableCoding, goals
from kokuban.cli.score import count
from kokuban.cli.settings import Settings, Tabular
from kokuban.cli.show import Show
from kokuban.cli.source import Data
from kokuban.train import EarlyStopping, History, Model
from kokuban.train.history import Record
from kokuban.train.progress import Bar


@dataclass(frozen=True)
class Fitted:
    """A model that was trained, and how that went.

    model             what predicts
    histories         of each training run
    epochs            planned for each
    rows, validation  how many rows a run learned from, and how many judged its epochs
    batch             rows in a batch
    sizes             the layers' widths, and the number of parameters
    formula           the network's output; "" where it is that of several networks
    seconds           that it took
    estimator         the fitted one, of a table without a board
    """

    model: Model
    histories: tuple[History, ...]
    epochs: int
    rows: int
    validation: int
    batch: int
    sizes: str
    formula: str
    seconds: float
    estimator: Any = None

    @property
    def history(self) -> History:
        """That of the first run."""
        return self.histories[0]

    @property
    def stopped(self) -> str:
        """Why training ended, in one word."""
        return self.histories[-1].stopped

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.stopped == "interrupted"

    def save(self, path: str, extra: dict[str, Any]) -> None:
        """Write the model, and beside it what is `extra`."""
        (self.estimator or self.model).save(path, extra=extra)


def fitted(data: Data, settings: Settings | Tabular, show: Show) -> Fitted:
    """The model, trained on the data's rows to learn from."""
    if isinstance(settings, Tabular):
        return _fitted_estimator(data, settings, show)
    return _fitted_model(data, settings, show)


def _fitted_estimator(data: Data, settings: Tabular, show: Show) -> Fitted:
    coding = data.coding
    assert isinstance(coding, TableCoding)
    classes = bool(coding.labels)
    net, x, t = settings.estimator(classes), data.learn.x, data.learn.targets()
    recipe = net.recipe()
    folds = min(recipe.n_folds, len(x))
    apart = folds if folds > 1 else round(1 / net.validation_fraction)
    widths = (x.shape[1], *recipe.hidden, coding.outputs)
    sizes = "-".join(map(str, widths))
    many = folds * recipe.n_ens
    show.line("net", sizes if many == 1 else f"{many} networks of {sizes}, averaged")
    show.line("training", _recipe_in_words(recipe, len(x), folds, apart, settings))
    began = time.perf_counter()
    with (
        threadpool_limits(1, user_api="blas"),
        warnings.catch_warnings(),
        Bar(recipe.max_iter * folds, 1, 0, False if show.quiet else None) as bar,
    ):
        warnings.filterwarnings("ignore", "Training was interrupted", UserWarning)

        def watch(run: int, _: int, record: Record) -> None:
            done = run * recipe.max_iter + int(record["epoch"])
            bar.to(done)
            bar.epoch({**record, "epoch": float(done), "rows": float(len(x))})

        y = np.array(coding.labels)[t.astype(np.intp)] if classes else t
        net.fit_encoded(coding.encoder, x, y, watch)
    done = Fitted(
        net.to_model(),
        net.histories_,
        recipe.max_iter,
        len(x) - len(x) // apart,
        len(x) // apart,
        min(recipe.batch_size, len(x)),
        f"{many} × {sizes}" if many > 1 else sizes,
        "",
        time.perf_counter() - began,
        net,
    )
    show.line("learned", _history_in_words(done))
    return done


def _recipe_in_words(
    recipe: Any, rows: int, folds: int, apart: int, settings: Tabular
) -> str:
    text = f"{count(rows)} in batches of {min(recipe.batch_size, rows)}, "
    text += f"{recipe.max_iter} epochs at most"
    if folds > 1:
        text += f"; each network has another {_share(apart)} of the rows held out"
    else:
        text += f"; a {_share(apart)} of the rows is held out to choose the epoch"
    if settings.max_time is not None:
        text += f"; {settings.max_time:g} s at most"
    return text


def _share(folds: int) -> str:
    words = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}
    return words.get(folds, f"1/{folds}")


def _fitted_model(data: Data, settings: Settings, show: Show) -> Fitted:
    classes = bool(data.coding.labels)
    rows, held = settings.validation(data.learn, classes)
    model = settings.model(rows.x.shape[1], data.coding.outputs, classes)
    model.initialise(settings.seed)
    batch = settings.batch(len(rows))
    sizes, formula = sizes_of(model), repr(model.network.output)
    show.line("net", sizes)
    show.whole("", formula)
    show.line("training", _in_words(settings, len(rows), len(held or ()), batch))
    began = time.perf_counter()
    # NumPy's products of a batch are too small for threads: they mostly wait, and for
    # very long where other programs run.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # Said by the command itself, from the history.
        warnings.filterwarnings("ignore", "Training was interrupted", UserWarning)
        history = model.fit(
            rows.x,
            goals(data.coding, rows),
            optimizer=settings.update,
            epochs=settings.epochs,
            batch_size=batch,
            validation=None if held is None else (held.x, goals(data.coding, held)),
            seed=settings.seed,
            engine=settings.engine,
            stopping=None if held is None else stopping(settings.patience, classes),
            metrics=["accuracy", brier] if classes else ["r2"],
            progress=False if show.quiet else None,
        )
    done = Fitted(
        model,
        (history,),
        settings.epochs,
        len(rows),
        len(held or ()),
        batch,
        sizes,
        formula,
        time.perf_counter() - began,
    )
    show.line("learned", _history_in_words(done))
    return done


def sizes_of(model: Model) -> str:
    """The widths of the layers, such as 64-32-10, and the number of parameters."""
    values = model.values
    weights = [s for s in values if s.name[0] == "W" or s.shape[0] != 1]
    count = f"{sum(value.size for value in values.values()):,} parameters"
    if not weights or any(a.shape[1] != b.shape[0] for a, b in pairwise(weights)):
        return count  # a board's need not follow one another
    widths = [weights[0].shape[0], *(weight.shape[1] for weight in weights)]
    return f"{'-'.join(map(str, widths))}, {count}"


def brier(t: Matrix, y: Matrix) -> float:
    """The squared distance of probabilities from what happened, mean over rows.

    Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather
    Review 78 (1950), eq. 2.
    """
    return float(np.mean(np.sum((y - t) ** 2, axis=1)))


def stopping(patience: int, classes: bool) -> EarlyStopping:
    """Which epoch is the best: that of the smallest squared error.

    The cross-entropy would let a few rows decide that the network is sure of and wrong
    about, and end training long before the most rows are right.
    """
    monitor = "val_brier" if classes else "val_loss"
    return EarlyStopping(patience, monitor=monitor, smaller_is_better=True)


def _in_words(settings: Settings, rows: int, validation: int, batch: int) -> str:
    text = (
        f"{count(rows)} in batches of {batch}, {settings.epochs} epochs at most; "
        f"{settings.optimizer}, its rate falling from {settings.first_rate:g} to 0"
    )
    if validation:
        text += (
            f"; ends after {settings.patience} epochs without progress on "
            f"{validation:,} more rows"
        )
    return text


def _history_in_words(done: Fitted) -> str:
    epochs = sum(map(len, done.histories))
    text = f"{epochs} epochs in {done.seconds:.1f} s"
    if done.interrupted:
        return f"{text}, then interrupted: the model keeps what it has learned"
    if done.stopped == "max_time":
        text += ", all the time there was"
    best = [str(h.best_epoch) for h in done.histories if h.best_epoch is not None]
    if len(best) == 1:
        text += f"; epoch {best[0]} was the best and is kept"
    elif best:
        text += f"; epochs {', '.join(best)} were the best and are kept"
    return text
