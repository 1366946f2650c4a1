"""Ctrl-C in training: noted at once, obeyed between two steps."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Interrupt:
    """While it is entered, a first Ctrl-C is only noted; a second one breaks off.

    The loop asks `here` where everything is whole, and works `at_once` where nothing
    changes. Outside the main thread, where Python delivers no signals, it does nothing.
    """

    def __init__(self) -> None:
        self._asked = self._at_once = False
        self._before: Any = None

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _note(self, number: int, frame: FrameType | None) -> None:
        again, self._asked = self._asked, True
        if again or self._at_once:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Work that a Ctrl-C breaks off, and that is not begun after one."""
        self._at_once = True
        try:
            self.here()
            yield
        finally:
            self._at_once = False

    def asked(self) -> bool:
        """Whether Ctrl-C was pressed since the beginning."""
        return self._asked

    def here(self) -> None:
        """KeyboardInterrupt, if Ctrl-C was pressed since the beginning."""
        if self._asked:
            raise KeyboardInterrupt
