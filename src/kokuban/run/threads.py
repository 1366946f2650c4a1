"""How many threads the native engine may use."""

from __future__ import annotations

import os

from kokuban.errors import SettingError

_chosen: list[int] = []


def set_num_threads(number: int | None) -> None:
    """Let the native engine use at most `number` threads; None goes back to the default.

    The default is OMP_NUM_THREADS where it is set, else the processors this process may
    use. Results are the same bits for every number. Raises SettingError below 1.
    """
    if number is None:
        _chosen.clear()
        return
    if number < 1:
        raise SettingError(f"The number of threads is at least 1, not {number!r}.")
    _chosen[:] = [number]


def num_threads() -> int:
    """How many threads the native engine may use now."""
    if _chosen:
        return _chosen[0]
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if given.isdigit() and int(given) >= 1:
        return int(given)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
