"""Early stopping: keep the best epoch, end when nothing has improved for a while."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kokuban.errors import unknown
from kokuban.settings import AT_LEAST_0, hold, hold_flag, hold_whole
from kokuban.train.history import Record

SMALLER_IS_BETTER = ("loss", "mse", "rmse", "mae")


@dataclass(frozen=True, slots=True)
class EarlyStopping:
    """End training when `monitor` has not improved by `min_delta` for `patience` epochs.

    `monitor` is a curve of the history, val_loss or loss by default; a loss or an error
    should fall, anything else rise, unless `smaller_is_better` says. With `restore` the
    model keeps the values of the best epoch. Prechelt, "Early stopping -
    but when?" (1998).
    """

    patience: int = 10
    min_delta: float = 0.0
    monitor: str | None = None
    smaller_is_better: bool | None = None
    restore: bool = True

    def __post_init__(self) -> None:
        hold_whole(self, "patience")
        hold(self, AT_LEAST_0, "min_delta")
        hold_flag(self, "restore")

    def score(self, record: Record) -> float:
        """The monitored value, signed so that larger is better."""
        name = self.monitor or ("val_loss" if "val_loss" in record else "loss")
        if name not in record:
            raise unknown("curve to monitor", name, record)
        falls = self.smaller_is_better
        if falls is None:
            falls = name.removeprefix("val_").endswith(SMALLER_IS_BETTER)
        return -record[name] if falls else record[name]


@dataclass(slots=True)
class Watch:
    """How early stopping stands: the best score and epoch, and epochs since then."""

    best: float = -math.inf
    epoch: int = 0
    waited: int = 0

    def improved(self, rule: EarlyStopping, record: Record) -> bool:
        """Note an epoch's record; whether it is the best so far."""
        score = rule.score(record)
        if score > self.best + (rule.min_delta if math.isfinite(self.best) else 0.0):
            self.best, self.epoch, self.waited = score, int(record["epoch"]), 0
            return True
        self.waited += 1
        return False
