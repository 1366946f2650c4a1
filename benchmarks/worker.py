"""A contender's process: a line of JSON asks, a line of JSON answers.

python -m benchmarks.worker MODULE FUNCTION
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.contenders import Ready
from benchmarks.job import Given, Job

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Worker:
    """What can be asked; each method is a question."""

    def __init__(self, build: Callable[[Job, Given], Ready]) -> None:
        self._build = build
        self._ready: Ready | None = None
        self._before = 0
        self._one = math.inf  # seconds of the fastest run of one epoch

    def wait(self) -> None:
        """Answered once Python and the library are loaded, like any question."""

    def build(self, sizes: list[int], *others: Any) -> float:
        """Make a job's net and arrays; the seconds that it takes."""
        self._ready, self._one, job = None, math.inf, Job(tuple(sizes), *others)
        weights = job.weights()
        self._before = _forget_peak()
        given = Given(weights, *job.data())
        began = time.perf_counter()
        self._ready = self._build(job, given)
        return time.perf_counter() - began

    @property
    def ready(self) -> Ready:
        """What `build` made."""
        assert self._ready is not None
        return self._ready

    def first(self, steps: int) -> tuple[list[float], float]:
        """Losses of the first steps, and the seconds that they take."""
        began = time.perf_counter()
        losses = self.ready.first(steps)
        return losses, time.perf_counter() - began

    def train(self, epochs: int) -> float:
        """Seconds of a training run, from the call to its end."""
        began = time.perf_counter()
        self.ready.train(epochs)
        return time.perf_counter() - began

    def epochs(self, number: int) -> float:
        """Seconds that so many epochs take, without what a run does once.

        A run of one epoch is taken off, the fastest since `build`: one that was held up
        would make the others look faster than they are. The longer run comes first, and
        bears what is cold.
        """
        if not self.ready.prepares:
            return self.train(number)
        spent = 0.0
        while spent <= 0:
            longer = self.train(number + 1)
            self._one = min(self._one, self.train(1))
            spent = longer - self._one
        return spent

    def predict(self, number: int) -> float:
        """Seconds that so many predictions of one row take."""
        predict, began = self.ready.predict, time.perf_counter()
        for _ in range(number):
            predict()
        return time.perf_counter() - began

    def memory(self) -> int:
        """The most bytes in use since `build` began, above those before it."""
        return _status("VmHWM") - self._before


def _forget_peak() -> int:
    """Begin to watch for the peak anew; the bytes in use now, 0 where none can tell.

    The kernel's ru_maxrss is not of use: it begins with the parent's memory.
    """
    if not CLEAR.exists():
        return 0
    CLEAR.write_text("5")
    return _status("VmRSS")


def _status(field: str) -> int:
    for line in STATUS.read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise LookupError(f"{STATUS} has no {field}")


def main(module: str, function: str) -> None:
    """Answer until there are no more questions."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    worker: Worker | None = None
    for line in sys.stdin:
        question, arguments = json.loads(line)
        answer: dict[str, Any]
        try:
            if worker is None:
                home = import_module(f"benchmarks.contenders.{module}")
                worker = Worker(getattr(home, function))
            answer = {"value": getattr(worker, question)(*arguments)}
        except Exception as error:  # anything at all, told to the one who asks
            text = str(error).strip().split("\n")[0]
            answer = {"error": f"{type(error).__name__}: {text}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
