"""scikit-learn's handwritten digits, by `MLPClassifier` of either library.

    python -m benchmarks.digits kokuban.estimators

prints seconds and the accuracy on rows that were held out. The settings are those of
`kokuban train digits` as far as scikit-learn has them too.
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import time
import warnings
from functools import partial
from importlib import import_module

from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from benchmarks.rounds import interleaved, say
from benchmarks.team import ROOT, all_threads, environment

EPOCHS = 60
MODULES = ("kokuban.estimators", "sklearn.neural_network")
Run = tuple[str, int]  # a module and its threads


def digits(rounds: int) -> tuple[dict[Run, list[float]], dict[Run, float]]:
    """Seconds of each round and the accuracy, by module and number of threads."""
    say("digits")
    accuracy: dict[Run, float] = {}

    def once(run: Run) -> float:
        command = [sys.executable, "-m", "benchmarks.digits", run[0]]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
            env=environment(run[1]),
        )
        seconds, accuracy[run] = json.loads(done.stdout)
        return float(seconds)

    ours, theirs = MODULES
    runs = [(ours, all_threads()), *((theirs, n) for n in {1, all_threads()})]
    found = interleaved({run: partial(once, run) for run in runs}, rounds)
    return found, accuracy


def main(module: str) -> None:
    """Train once, in this process."""
    x, t = load_digits(return_X_y=True)
    x, xv, t, tv = train_test_split(
        (x / 16).astype("float32"), t, test_size=0.2, random_state=0, stratify=t
    )
    net = import_module(module).MLPClassifier(
        (256, 128),
        batch_size=32,
        max_iter=EPOCHS,
        n_iter_no_change=EPOCHS,
        random_state=0,
    )
    warnings.simplefilter("ignore", ConvergenceWarning)  # all epochs are wanted
    gc.collect()  # what imports left behind is nobody's training
    began = time.perf_counter()
    net.fit(x, t)
    print(json.dumps([time.perf_counter() - began, net.score(xv, tv)]))


if __name__ == "__main__":
    main(*sys.argv[1:])
