"""Training itself: a network by the settings, fitted to the data."""

from __future__ import annotations

import time
import warnings
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from kokuban.cli.coding import Matrix
from kokuban.cli.score import count
from kokuban.cli.settings import Settings
from kokuban.cli.show import Show
from kokuban.cli.source import Data
from kokuban.train import EarlyStopping, History, Model


@dataclass(frozen=True)
class Fitted:
    """A model that was trained, and how that went.

    rows, validation  how many rows it learned from, and how many said when to stop
    batch             rows in a batch
    """

    model: Model
    history: History
    rows: int
    validation: int
    batch: int
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended it."""
        return self.history.stopped == "interrupted"

    @property
    def sizes(self) -> str:
        """The widths of the layers, such as 64-32-10, and the number of parameters."""
        values = self.model.values
        weights = [s for s in values if s.name[0] == "W" or s.shape[0] != 1]
        count = f"{sum(value.size for value in values.values()):,} parameters"
        if not weights or any(a.shape[1] != b.shape[0] for a, b in pairwise(weights)):
            return count  # a board's need not follow one another
        widths = [weights[0].shape[0], *(weight.shape[1] for weight in weights)]
        return f"{'-'.join(map(str, widths))}, {count}"

    @property
    def formula(self) -> str:
        """The network's output."""
        return repr(self.model.network.output)


def fitted(data: Data, settings: Settings, show: Show) -> Fitted:
    """The model, trained on the data's rows to learn from."""
    classes = bool(data.coding.labels)
    rows, held = settings.validation(data.learn, classes)
    from threadpoolctl import threadpool_limits

    x, t = rows.x, rows.targets()
    model = settings.model(x.shape[1], data.coding.outputs, classes)
    model.initialise(settings.seed)
    batch = settings.batch(len(x))
    done = Fitted(model, History(), len(x), len(held or ()), batch, 0.0)
    show.line("net", done.sizes)
    show.whole("", done.formula)
    show.line("training", _in_words(settings, done))
    began = time.perf_counter()
    # NumPy's products of a batch are too small for threads: they mostly wait, and for
    # very long where other programs run.
    with threadpool_limits(1, user_api="blas"), warnings.catch_warnings():
        # Said by the command itself, from the history.
        warnings.filterwarnings("ignore", "Training was interrupted", UserWarning)
        history = model.fit(
            x,
            t,
            optimizer=settings.update,
            epochs=settings.epochs,
            batch_size=batch,
            validation=None if held is None else (held.x, held.targets()),
            seed=settings.seed,
            engine=settings.engine,
            stopping=None if held is None else stopping(settings.patience, classes),
            metrics=["accuracy", brier] if classes else ["r2"],
            progress=False if show.quiet else None,
        )
    seconds = time.perf_counter() - began
    done = Fitted(model, history, len(x), done.validation, batch, seconds)
    show.line("learned", _history_in_words(done))
    return done


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


def _in_words(settings: Settings, done: Fitted) -> str:
    text = (
        f"{count(done.rows)} in batches of {done.batch}, {settings.epochs} epochs at "
        f"most; {settings.optimizer}, its rate falling from {settings.first_rate:g} to 0"
    )
    if done.validation:
        text += (
            f"; ends after {settings.patience} epochs without progress on "
            f"{done.validation:,} more rows"
        )
    return text


def _history_in_words(done: Fitted) -> str:
    history = done.history
    text = f"{len(history)} epochs in {done.seconds:.1f} s"
    if done.interrupted:
        return f"{text}, then interrupted: the model keeps what it has learned"
    if history.best_epoch is not None:
        text += f"; epoch {history.best_epoch} was the best and is kept"
    return text
