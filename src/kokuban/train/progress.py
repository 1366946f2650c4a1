"""The progress bar: loss, speed and time left; quiet where there is no terminal."""

from __future__ import annotations

import sys
from typing import Any

from kokuban.train.history import Record


class Bar:
    """A bar over the steps of training, or nothing where it is not shown."""

    def __init__(self, total: int, done: int, show: bool | None) -> None:
        self._bar: Any = None
        if sys.stderr.isatty() if show is None else show:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                Progress,
                TextColumn,
                TimeElapsedColumn,
                TimeRemainingColumn,
            )

            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[numbers]}"),
                TextColumn("{task.fields[speed]}"),
                TimeElapsedColumn(),
                TextColumn("left"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task(
                "", total=total, completed=done, epoch=1, numbers="", speed=""
            )

    def __enter__(self) -> Bar:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def to(self, done: int) -> None:
        """So many steps are done."""
        if self._bar is not None:
            self._bar.update(self._task, completed=done)

    def epoch(self, record: Record) -> None:
        """An epoch is done; show its numbers."""
        if self._bar is not None:
            shown = [n for n in record if n not in ("epoch", "rate", "seconds")]
            speed = f"{record['rows'] / max(record['seconds'], 1e-9):,.0f} rows/s"
            self._bar.update(
                self._task,
                epoch=int(record["epoch"]) + 1,
                numbers="  ".join(f"{n} {record[n]:.4g}" for n in shown if n != "rows"),
                speed=speed,
            )
