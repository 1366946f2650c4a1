"""Ctrl-C in training: noted at once, obeyed between two steps."""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Any


class Interrupt:
    """While it is entered, a first Ctrl-C is only noted; a second one breaks off.

    The loop asks `here` where everything is whole. Outside the main thread, where
    Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._asked = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def asked(self) -> bool:
        """Whether Ctrl-C was pressed since the beginning."""
        return self._asked

    def here(self) -> None:
        """KeyboardInterrupt, if Ctrl-C was pressed since the beginning."""
        if self._asked:
            raise KeyboardInterrupt
