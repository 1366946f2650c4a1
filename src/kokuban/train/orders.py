"""The order of the rows in each epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kokuban.run.threads import num_threads
from kokuban.train.loop import Shuffle

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

MANY = 4096  # rows whose order takes longer to draw than a thread to be asked for it


class Orders:
    """The orders of `epochs` epochs, each a function of the seed and the epoch alone.

    While an epoch is under way another thread draws the order of the next one, if there
    are many rows and more than one thread may be used: NumPy takes some 10 ns a row, in
    small nets a sixth of the time that the engine takes for it.
    """

    def __init__(self, rows: int, seed: int, epochs: int, shuffle: bool) -> None:
        self._epochs, self._shuffle = epochs, Shuffle(rows, seed)
        self._unchanged = None if shuffle else np.arange(rows)
        self._drawn: dict[int, Future[np.ndarray]] = {}
        self._drawer: ThreadPoolExecutor | None = None
        if shuffle and epochs > 1 and rows >= MANY and num_threads() > 1:
            from concurrent.futures import ThreadPoolExecutor  # brings logging with it

            self._drawer = ThreadPoolExecutor(1)

    def __enter__(self) -> Orders:
        return self

    def __exit__(self, *_: object) -> None:
        if self._drawer is not None:
            self._drawer.shutdown(cancel_futures=True)

    def of(self, epoch: int) -> np.ndarray:
        """The rows' numbers, in the order of an epoch."""
        if self._unchanged is not None:
            return self._unchanged
        if self._drawer is None:
            return self._shuffle.of(epoch)
        for wanted in (epoch, epoch + 1):
            if wanted not in self._drawn and wanted < self._epochs:
                self._drawn[wanted] = self._drawer.submit(self._shuffle.of, wanted)
        return self._drawn.pop(epoch).result()
