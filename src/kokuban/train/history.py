"""What happened in training, epoch by epoch."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kokuban.errors import unknown

Record = dict[str, float]


@dataclass(slots=True)
class History:
    """The record of a training run.

    epochs       one record an epoch: epoch (from 1), loss, rate, seconds, and where there
                 is validation data val_loss and val_… for each metric
    best_epoch   the epoch whose values the model keeps, where early stopping chose one
    stopped      why training ended: "epochs", "early stopping", "callback", "interrupted"
                 or "diverged"
    """

    epochs: list[Record] = field(default_factory=list)
    best_epoch: int | None = None
    stopped: str = "epochs"

    @property
    def curves(self) -> dict[str, list[float]]:
        """Each recorded quantity as a list over the epochs."""
        names = dict.fromkeys(name for record in self.epochs for name in record)
        return {n: [r.get(n, float("nan")) for r in self.epochs] for n in names}

    def __getitem__(self, name: str) -> list[float]:
        curves = self.curves
        if name not in curves:
            raise unknown("curve", name, curves)
        return curves[name]

    def __len__(self) -> int:
        return len(self.epochs)

    def __repr__(self) -> str:
        if not self.epochs:
            return "History(no epochs)"
        last = self.epochs[-1]
        shown = ", ".join(f"{k}={v:.4g}" for k, v in last.items() if k != "epoch")
        return (
            f"History({len(self.epochs)} epochs, last: {shown}, stopped: {self.stopped})"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "epochs": [dict(r) for r in self.epochs],
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> History:
        """The history back from `to_dict`."""
        return cls([dict(r) for r in data["epochs"]], data["best_epoch"], data["stopped"])

    def plot(self, path: str | os.PathLike[str] | None = None) -> Any:
        """Loss and metrics over the epochs, as a matplotlib figure; saved to `path`."""
        from matplotlib.figure import Figure

        curves = self.curves
        apart = {"epoch", "rate", "seconds"}
        losses = [n for n in curves if n not in apart and n.endswith("loss")]
        others = [n for n in curves if n not in apart and n not in losses]
        figure = Figure(figsize=(6.4, 3.2 * (1 + bool(others))), layout="constrained")
        for axes, names in zip(
            figure.subplots(1 + bool(others), 1, squeeze=False)[:, 0],
            [losses, others],
            strict=False,
        ):
            for name in names:
                axes.plot(curves["epoch"], curves[name], label=name)
            if self.best_epoch is not None:
                axes.axvline(self.best_epoch, color="0.7", linestyle=":", label="kept")
            axes.set_xlabel("epoch")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure
