"""The progress bar: loss, speed and time left; quiet where there is no terminal."""

from __future__ import annotations

import sys
from typing import Any

from kokuban.train.history import Record

NARROW, WIDE = 60, 100  # columns of the terminal; what is shown depends on them
BAR = 6  # columns that the bar itself takes at least


class Bar:
    """A bar over the steps of training, or nothing where it is not shown.

    epochs, steps  how many epochs, and steps in each
    done           steps done already
    """

    def __init__(self, epochs: int, steps: int, done: int, show: bool | None) -> None:
        self._bar: Any = None
        self._epochs = epochs
        if not (sys.stderr.isatty() if show is None else show):
            return
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        columns = _columns(console.width)
        self._bar = Progress(*columns, console=console)
        # What is left beside the epoch, the bar, speed and times, and spaces between.
        taken = 2 * len(str(epochs)) + BAR + (18 if console.width < NARROW else 37)
        self._room = console.width - taken - (9 if console.width >= WIDE else 0)
        self._task = self._bar.add_task(
            "",
            total=epochs * steps,
            completed=done,
            epoch=f"{min(done // steps + 1, epochs)}/{epochs}",
            numbers="",
            speed="",
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
            rows = record["rows"] / max(record["seconds"], 1e-9)
            self._bar.update(
                self._task,
                epoch=f"{min(int(record['epoch']) + 1, self._epochs)}/{self._epochs}",
                numbers=numbers(record, self._room),
                speed=f"{rows:,.0f} rows/s",
            )


def _columns(width: int) -> list[Any]:
    """What a terminal of this width shows."""
    from rich.progress import (
        BarColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    bar, found = BarColumn(bar_width=None), TextColumn("{task.fields[numbers]}")
    if width < NARROW:
        return [TextColumn("{task.fields[epoch]}"), bar, found, TimeRemainingColumn()]
    times: list[Any] = [TimeElapsedColumn()] if width >= WIDE else []
    times += [TextColumn("left"), TimeRemainingColumn()]
    speed = TextColumn("{task.fields[speed]}")
    return [TextColumn("epoch {task.fields[epoch]}"), bar, found, speed, *times]


def numbers(record: Record, room: int) -> str:
    """The loss, the first metric, and what else there is room for."""
    apart = ("epoch", "rate", "seconds", "rows")
    names = [name for name in record if name not in apart]
    names.sort(key=lambda name: (name != "loss", name.endswith("loss")))
    text = ""
    for name in names:
        longer = f"{text}  {name} {record[name]:.3g}".strip()
        if text and len(longer) > room:
            break
        text = longer
    return text
