"""A method's process: it is told once what to fit, and writes a line of JSON for each.

python -m benchmarks.tabular.worker < task.json
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tabular.measures import of_classes, of_numbers
from benchmarks.tabular.methods import METHODS, Method, tabular
from benchmarks.tabular.sets import Table, from_file, sources

STAT = Path("/proc/stat")
SHORT = 0.1  # seconds; the kernel counts in hundredths
WARM = {"classes": "iris", "numbers": "diabetes"}


@dataclass(frozen=True)
class Order:
    """What to fit, and where the tables are.

    settings    of `TabularClassifier`, for a method that is not in the table of methods
    files       of tables that are not in the table of sets, with their targets
    """

    method: str
    jobs: list[tuple[str, int]]
    threads: int
    shared: str
    files: list[tuple[str, str]]
    settings: dict[str, Any] | None = None

    def text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self))


@dataclass
class Spent:
    """What a block took."""

    seconds: float = 0.0
    cpu: float = 0.0
    others: float | None = None


@contextmanager
def spent() -> Iterator[Spent]:
    """The clock, this program's CPU time, and the processors' share that others had."""
    found = Spent()
    busy, cpu, began = _busy(), _cpu(), time.perf_counter()
    yield found
    found.seconds, found.cpu = time.perf_counter() - began, _cpu() - cpu
    now = _busy()
    if busy is not None and now is not None and found.seconds >= SHORT:
        others = (now - busy - found.cpu) / found.seconds / (os.cpu_count() or 1)
        found.others = max(0.0, others)


def _cpu() -> float:
    """Seconds of this process and of those it started and waited for."""
    times = os.times()
    return time.process_time() + times.children_user + times.children_system


def _busy() -> float | None:
    """Seconds that the machine's processors have worked; None where none can tell."""
    if not STAT.exists():
        return None
    user, nice, system, _idle, _wait, *interrupts = map(
        int, STAT.read_text().splitlines()[0].split()[1:8]
    )
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def fitted(method: Method, table: Table, split: int, threads: int) -> dict[str, Any]:
    """The record of one fit."""
    learn, judge = table.split(split)
    estimator = method.build(table.task, table.x, split, threads)
    x, held_out = table.x.iloc[learn], table.x.iloc[judge]
    with spent() as fit:
        estimator.fit(x, table.t[learn])
    with spent() as prediction:
        y = _predicted(table, estimator, held_out)
    judged = of_classes if table.task == "classes" else of_numbers
    return {
        "table": table.name,
        "method": method.name,
        "split": split,
        "task": table.task,
        "rows": len(table.t),
        "columns": table.x.shape[1],
        "measures": _short(judged(table.t[judge], y)),
        "seconds": [round(s.seconds, 5) for s in (fit, prediction)],
        "cpu": [round(s.cpu, 5) for s in (fit, prediction)],
        "threads": threads,
        "others": None if fit.others is None else round(fit.others, 3),
    }


def _predicted(table: Table, estimator: Any, x: Any) -> Any:
    """Numbers; of classes the probabilities, with columns for those never learned."""
    if table.task == "numbers":
        return estimator.predict(x)
    known = estimator.predict_proba(x)
    p = np.zeros((len(x), int(table.t.max()) + 1))
    p[:, np.asarray(estimator.classes_, int)] = known
    return p


def _short(measures: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in measures.items()}


def main() -> None:
    """Fit, one after the other; what fails is told, and the rest goes on."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    warnings.simplefilter("ignore")  # that of convergence above all
    order = Order(**json.load(sys.stdin))
    method = METHODS.get(order.method) or tabular(order.method, order.settings or {})
    for record in records(order, method):
        print(json.dumps(record), file=answers, flush=True)


def records(order: Order, method: Method) -> Iterator[Mapping[str, Any]]:
    """A record a job; of a fit that failed, its set, its split and why."""
    known = sources(Path(order.shared))
    files = [from_file(Path(path), target) for path, target in order.files]
    known |= {source.name: source for source in files}
    table = cache(lambda name: known[name].read())
    warm: set[str] = set()
    for name, split in order.jobs:
        try:
            if (task := table(name).task) not in warm:
                fitted(method, known[WARM[task]].read(), 0, order.threads)
                warm.add(task)
            yield fitted(method, table(name), split, order.threads)
        except Exception as error:  # anything at all, told to the one who asks
            text = str(error).strip().partition("\n")[0]
            why = f"{type(error).__name__}: {text}"
            yield {"table": name, "split": split, "failed": why}


if __name__ == "__main__":
    main()
