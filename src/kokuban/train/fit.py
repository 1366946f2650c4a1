"""One training run: epochs, validation, early stopping, checkpoints, interruption."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kokuban.errors import FileFormatError, SettingError
from kokuban.expr import Symbol
from kokuban.optim import Optimizer, Progress, to_dict as optimizer_to_dict
from kokuban.run.onehot import OneHot
from kokuban.train.files import load_arrays, save_arrays
from kokuban.train.history import History, Record
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Pass, Trainer, batches
from kokuban.train.orders import Orders
from kokuban.train.progress import Bar
from kokuban.train.state import State
from kokuban.train.stopping import EarlyStopping, Watch

Evaluate = Callable[[Mapping[Symbol, np.ndarray]], Record]
Callback = Callable[[Any, Record], object]


@dataclass(frozen=True, slots=True)
class Settings:
    """How a run goes; what `Model.fit` was asked."""

    optimizer: Optimizer
    epochs: int
    batch_size: int
    seed: int
    shuffle: bool
    stopping: EarlyStopping | None
    checkpoint: str | None
    checkpoint_every: int | None

    def fingerprint(self, data: Mapping[Symbol, np.ndarray | OneHot]) -> dict[str, Any]:
        """What must be the same for a run to be resumed."""
        digest = hashlib.sha256()
        for symbol, value in sorted(data.items(), key=lambda item: item[0].name):
            digest.update(f"{symbol.name} {value.shape} {value.dtype}".encode())
            digest.update(np.ascontiguousarray(value[:]).tobytes())
        return {
            "optimizer": optimizer_to_dict(self.optimizer),
            "batch_size": self.batch_size,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "stopping": None if self.stopping is None else asdict(self.stopping),
            "data": digest.hexdigest(),
        }


@dataclass(slots=True)
class Run:
    """A run in progress.

    `evaluate` measures validation data and `report` hears of each epoch, where
    `looked_at` says that somebody wants its values; the engine keeps them otherwise.
    """

    trainer: Trainer
    data: Mapping[Symbol, np.ndarray | OneHot]
    settings: Settings
    evaluate: Callable[[Mapping[Symbol, np.ndarray]], Record]
    report: Callable[[Mapping[Symbol, np.ndarray], Record], object]
    show: bool | None = None
    looked_at: bool = True
    history: History = field(default_factory=History)
    watch: Watch = field(default_factory=Watch)
    best: Mapping[Symbol, np.ndarray] | None = None
    epoch: int = 0  # epochs done
    position: int = 0  # batches done in the epoch under way
    total: float = 0.0  # their summed loss

    @property
    def rows(self) -> int:
        """How many samples there are."""
        return len(next(iter(self.data.values())))

    def go(self) -> Mapping[Symbol, np.ndarray]:
        """Train to the end, or until stopped; the values to keep."""
        per_epoch = len(batches(self.rows, self.settings.batch_size))
        done, s = self.epoch * per_epoch + self.position, self.settings
        orders = Orders(self.rows, s.seed, s.epochs, s.shuffle)
        with orders, Bar(s.epochs, per_epoch, done, self.show) as bar:
            try:
                with Interrupt() as interrupt:
                    while self.epoch < self.settings.epochs and not self._stopped():
                        self._one_epoch(orders, bar, per_epoch, interrupt)
                        interrupt.here()
            except KeyboardInterrupt:
                self._interrupted()
        kept = self.trainer.end()
        self.trainer.require_finite(kept)
        if self.best is not None and self.history.stopped != "interrupted":
            self.history.best_epoch, kept = self.watch.epoch, self.best
        return kept

    def _stopped(self) -> bool:
        return self.history.stopped in ("early stopping", "callback")

    def _one_epoch(
        self, orders: Orders, bar: Bar, per_epoch: int, interrupt: Interrupt
    ) -> None:
        began, s = time.perf_counter(), self.settings
        order = orders.of(self.epoch)

        def scheduled(step: int) -> float:
            samples, total = self.epoch * self.rows, s.epochs * per_epoch
            return s.optimizer.rate_at(Progress(step, self.epoch, samples, total))

        own = s.optimizer.rate
        rate = own if isinstance(own, float) else scheduled

        def after_step(done: int, total: float) -> None:
            self.position, self.total = done, total
            bar.to(self.epoch * per_epoch + done)
            every = s.checkpoint_every
            if s.checkpoint and every and self.trainer.steps % every == 0:
                self.save()
            interrupt.here()

        loss = Pass(
            self.trainer,
            self.data,
            order,
            s.batch_size,
            rate,
            done=self.position,
            total=self.total,
            after_step=after_step,
            every=s.checkpoint_every if s.checkpoint else None,
            asked=interrupt.asked,
        ).go()
        values: Mapping[Symbol, np.ndarray] = {}
        if self.looked_at:
            values = self.trainer.values
            self.trainer.require_finite(values)
        last_rate = rate if isinstance(rate, float) else rate(self.trainer.steps - 1)
        record = {"epoch": self.epoch + 1.0, "loss": loss, "rate": last_rate}
        if self.looked_at:
            with interrupt.at_once():  # a run that resumes comes here again
                record |= self.evaluate(values)
        record["seconds"] = time.perf_counter() - began
        self.epoch, self.position, self.total = self.epoch + 1, 0, 0.0
        self._after_epoch(record, values)
        bar.epoch({**record, "rows": float(self.rows)})

    def _after_epoch(self, record: Record, values: Mapping[Symbol, np.ndarray]) -> None:
        self.history.epochs.append(record)
        rule = self.settings.stopping
        if rule is not None:
            improved = self.watch.improved(rule, record)
            if improved and rule.restore:
                self.best = values
            if self.watch.waited >= rule.patience:
                self.history.stopped = "early stopping"
        if self.looked_at and self.report(values, record):
            self.history.stopped = "callback"
        if self.settings.checkpoint and not self.settings.checkpoint_every:
            self.save()

    def _interrupted(self) -> None:
        self.history.stopped = "interrupted"
        warnings.warn(
            f"Training was interrupted after {self.trainer.steps} steps; the model "
            "keeps what it has learned.",
            stacklevel=4,
        )
        if self.settings.checkpoint:
            self.save()

    # ------------------------------------------------------------ checkpoints

    def save(self) -> None:
        """Write all that the run depends on, so that `load` goes on to the same bits."""
        now = self.trainer.state
        arrays = {f"now:{s.name}": v for s, v in now.values.items()}
        if self.best is not None:
            arrays |= {f"best:{s.name}": v for s, v in self.best.items()}
        history = self.history.to_dict()
        if history["stopped"] == "interrupted":
            history["stopped"] = "epochs"
        about = {
            "kind": "checkpoint",
            "settings": self.settings.fingerprint(self.data),
            "engine": self.trainer.engine_used,
            "step": now.step,
            "epoch": self.epoch,
            "position": self.position,
            "total": self.total,
            "history": history,
            "watch": [repr(self.watch.best), self.watch.epoch, self.watch.waited],
        }
        assert self.settings.checkpoint is not None
        save_arrays(self.settings.checkpoint, arrays, about)

    def load(self) -> None:
        """Go on from the checkpoint file, if it is there.

        Raises FileFormatError for a file of another kind, SettingError where the run it
        belongs to had other data or settings.
        """
        path = self.settings.checkpoint
        if path is None:
            raise SettingError("resume=True needs checkpoint=, the file to resume from.")
        if not Path(path).exists():
            return
        arrays, about = load_arrays(path)
        if about.get("kind") != "checkpoint":
            raise FileFormatError(
                f"{path!r} is a {about.get('kind')} file, not a checkpoint of a run."
            )
        self._require_same(about["settings"], path)
        if about["engine"] == "numpy" and self.trainer.engine == "auto":
            self.trainer.engine = "numpy"  # the same bits come from the same engine
        now = self._values(arrays, "now:", self.trainer.state.values, path)
        self.trainer.state = State(about["step"], now)
        self.best = self._values(arrays, "best:", self.trainer.values, path) or None
        self.history = History.from_dict(about["history"])
        best, epoch, waited = about["watch"]
        self.watch = Watch(float(best), epoch, waited)
        self.epoch, self.position = about["epoch"], about["position"]
        self.total = about["total"]

    def _require_same(self, then: Mapping[str, Any], path: str) -> None:
        for name, value in self.settings.fingerprint(self.data).items():
            if then.get(name) != value:
                raise SettingError(
                    f"{path!r} belongs to a run with other {name.replace('_', ' ')}"
                    + ("" if name == "data" else f" ({then.get(name)}, now {value})")
                    + ". Resume with the same, or choose another checkpoint file."
                )

    def _values(
        self,
        arrays: Mapping[str, np.ndarray],
        prefix: str,
        wanted: Iterable[Symbol],
        path: str,
    ) -> dict[Symbol, np.ndarray]:
        every = list(wanted)
        found = {s: arrays[prefix + s.name] for s in every if prefix + s.name in arrays}
        wrong = [s for s in found if found[s].shape != s.shape]
        if wrong or (found and len(found) != len(every)):
            raise FileFormatError(f"{path!r} was written by another network.")
        return found
