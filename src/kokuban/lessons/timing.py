"""Times, and the machine they were taken on."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from time import perf_counter
from typing import Any

import numpy as np


def seconds(run: Callable[[], Any], least: float = 0.02, rounds: int = 3) -> float:
    """How long a call takes: the best of a few rounds of at least `least` seconds."""
    times, once = 1, _timed(run, 1)
    while once * times < least:
        times *= 2
    return min(_timed(run, times) / times for _ in range(rounds))


def _timed(run: Callable[[], Any], times: int) -> float:
    start = perf_counter()
    for _ in range(times):
        run()
    return perf_counter() - start


def machine() -> str:
    """What the times were taken on: the kind of processor and the software."""
    return (
        f"{platform.machine()} ({os.cpu_count()} CPUs), Python "
        f"{platform.python_version()}, NumPy {np.__version__}"
    )
