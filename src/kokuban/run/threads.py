"""How many threads the native engine may use."""

from __future__ import annotations

import os
import sys
from functools import cache

from kokuban.settings import whole

MOST = 256
_chosen: list[int] = []


def set_num_threads(number: int | None) -> None:
    """Let the native engine use at most `number` threads; None goes back to the default.

    The default is OMP_NUM_THREADS where it is set (joblib sets it for its workers), else
    one in the workers of a process pool, else the processors this process may use. It is
    found once in each process, and anew when None is given. threadpoolctl's limits count
    as set here. Results are the same bits for every number. Of more than 256 threads it
    uses 256. Raises SettingError unless a whole number of at least 1.
    """
    if number is None:
        _chosen.clear()
        _default.cache_clear()
        return
    _chosen[:] = [min(whole("The number of threads", number), MOST)]


def num_threads() -> int:
    """How many threads the native engine may use now; asked before each use of it."""
    return _chosen[0] if _chosen else _default()


@cache
def _default() -> int:
    """Found once for each process: it takes longer than to predict a row."""
    given = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if given.strip().isdecimal() and int(given) >= 1:
        return min(int(given), MOST)
    if "multiprocessing" in sys.modules:  # as it is in a pool's workers
        from multiprocessing import parent_process

        if parent_process() is not None:
            return 1
    if hasattr(os, "sched_getaffinity"):
        return min(len(os.sched_getaffinity(0)), MOST)
    return min(os.cpu_count() or 1, MOST)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_default.cache_clear)


@cache
def obey_threadpoolctl() -> None:
    """Let threadpoolctl see the native engine and limit its threads; once is enough."""
    from threadpoolctl import LibController, register

    class Controller(LibController):  # type: ignore[misc]
        user_api = internal_api = "kokuban"
        filename_prefixes = ("_native",)
        check_symbols = ("kokuban_engine",)

        def get_num_threads(self) -> int:
            return num_threads()

        def set_num_threads(self, number: int) -> None:
            set_num_threads(None)
            if number != num_threads():  # else a limit has ended
                set_num_threads(number)

        def get_version(self) -> None:
            """It has no version of its own."""

    register(Controller)
