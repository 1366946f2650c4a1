"""`MLPClassifier` of either library with scikit-learn's own default settings.

    python -m benchmarks.drop_in [--rounds N] [--only NAME ...]

prints a table: seconds of `fit`, each in a process of its own, by turns, and the losses.
Data that are not installed with scikit-learn are looked for in ../shared/data, or in the
folder that --shared names; sets that are not there are left out.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import StandardScaler

from benchmarks.report import table, time_of
from benchmarks.rounds import Ratio, interleaved, say
from benchmarks.team import ROOT, all_threads, environment

SHARED = ROOT.parent / "shared" / "data"
OURS, THEIRS = "kokuban.estimators", "sklearn.neural_network"
TYPES = ("float64", "float32", "dtype")  # of the data; dtype: float32 by choice of ours
BEGINNING = 400  # rows of a first fit, after which everything is imported
NUMBERS = (0, 2, 4, 10, 11, 12)  # columns of Adult; the others hold categories
Samples = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Run:
    """One of those that take turns: a module, on data of a type, with so many threads."""

    module: str
    kind: str
    threads: int


@dataclass(frozen=True)
class Result:
    """What a set of data gave: its size, and each run's seconds and loss."""

    name: str
    shape: tuple[int, int]
    filled: float
    seconds: Mapping[Run, Sequence[float]]
    losses: Mapping[Run, float]

    def quickest(self, module: str, kind: str) -> Run:
        """A module's run with the number of threads that suits it best."""
        runs = [r for r in self.seconds if (r.module, r.kind) == (module, kind)]
        return min(runs, key=lambda r: median(self.seconds[r]))


# ---------------------------------------------------------------- data


def digits(shared: Path) -> Samples:
    """scikit-learn's handwritten digits, scaled to 0 to 1."""
    x, t = load_digits(return_X_y=True)
    return x / 16, t


def mnist(shared: Path) -> Samples:
    """Ten thousand digits of MNIST, scaled to 0 to 1."""

    def entries(part: str, start: int) -> np.ndarray:
        content = gzip.decompress((shared / f"mnist-10k-{part}-ubyte.gz").read_bytes())
        return np.frombuffer(content, np.uint8, offset=start)

    return entries("images-idx3", 16).reshape(-1, 784) / 255.0, entries("labels-idx1", 8)


def adult(shared: Path) -> Samples:
    """Adult: numbers scaled, categories one-hot, 0 and 1."""
    cells = pl.read_csv(shared / "adult-train.csv", has_header=False, infer_schema=False)
    cells = cells.drop_nulls().select(pl.all().str.strip_chars())
    *columns, last = cells.columns
    words = cells.select(c for k, c in enumerate(columns) if k not in NUMBERS)
    numbers = cells.select(pl.nth(*NUMBERS).cast(pl.Float64)).to_numpy()
    scaled = StandardScaler().fit_transform(numbers)
    x = np.hstack([scaled, words.to_dummies().to_numpy()])
    return np.ascontiguousarray(x), cells[last].to_numpy().astype(str)


def adult_scaled(shared: Path) -> Samples:
    """The same with all columns scaled, so that none holds zeros."""
    x, t = adult(shared)
    return StandardScaler().fit_transform(x), t


# By name: how a set is read, and the settings that are not the default.
SETS: dict[str, tuple[Any, dict[str, int]]] = {
    "digits": (digits, {}),
    "mnist-10k": (mnist, {"max_iter": 10}),
    "adult": (adult, {"max_iter": 6}),
    "adult, all scaled": (adult_scaled, {"max_iter": 6}),
}


# ---------------------------------------------------------------- measuring


def drop_in(
    rounds: int, only: Sequence[str] = tuple(SETS), shared: Path = SHARED
) -> list[Result]:
    """Seconds and losses by data set; scikit-learn with one thread and with all."""
    found = []
    for name in only:
        read, _ = SETS[name]
        try:
            x, _ = read(shared)
        except FileNotFoundError as missing:
            say(f"left out: {name}: {missing}")
            continue
        say(name)
        shape, filled = x.shape, np.count_nonzero(x) / x.size
        found.append(Result(name, shape, filled, *_measured(name, rounds, shared)))
    return found


def _measured(
    name: str, rounds: int, shared: Path
) -> tuple[dict[Run, list[float]], dict[Run, float]]:
    losses: dict[Run, float] = {}

    def once(run: Run) -> float:
        command = [sys.executable, "-m", "benchmarks.drop_in", "--one"]
        done = subprocess.run(
            [*command, run.module, run.kind, "--only", name, "--shared", str(shared)],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=ROOT,
            env=environment(run.threads),
        )
        seconds, losses[run] = json.loads(done.stdout)
        return float(seconds)

    most = all_threads()
    runs = [Run(OURS, kind, most) for kind in TYPES]
    runs += [Run(THEIRS, kind, n) for kind in TYPES[:2] for n in sorted({1, most})]
    return interleaved({run: partial(once, run) for run in runs}, rounds), losses


def one(module: str, kind: str, name: str, shared: Path) -> tuple[float, float]:
    """Fit once, in this process, after a short fit: the seconds and the last loss."""
    read, settings = SETS[name]
    x, t = read(shared)
    x = x.astype("float32" if kind == "float32" else "float64")
    chosen: dict[str, Any] = {"dtype": "float32"} if kind == "dtype" else {}
    classifier = import_module(module).MLPClassifier
    warnings.simplefilter("ignore", ConvergenceWarning)  # few epochs, on purpose
    classifier(random_state=0, **settings, **chosen).fit(x[:BEGINNING], t[:BEGINNING])
    net = classifier(random_state=0, **settings, **chosen)
    began = time.perf_counter()
    net.fit(x, t)
    return time.perf_counter() - began, net.loss_


# ---------------------------------------------------------------- telling


HEAD = (
    *("data", "rows × columns", "not 0", "settings", "type", "Kokuban", "scikit-learn"),
    *("times as fast", "loss, Kokuban", "loss, scikit-learn"),
)


def summary(found: Sequence[Result]) -> str:
    """The results in Markdown: medians, and the ratio round by round."""
    return table(HEAD, [_row(result, kind) for result in found for kind in TYPES])


def section(found: Sequence[Result]) -> str:
    """The results as a part of the page."""
    return (
        "## The drop-in\n\n`MLPClassifier` of either library, one name of the import "
        "changed: scikit-learn's default settings but for those named, fresh processes, "
        "the same random numbers. scikit-learn has one thread or all, whichever is "
        'quicker; it computes in the type of the data. With `dtype="float32"` Kokuban '
        "trains data in float64 in single precision.\n\n"
        f"{summary(found)}\n"
    )


def _row(result: Result, kind: str) -> list[str]:
    """Ours against the quickest of theirs; a type by choice against their float64."""
    rows, columns = result.shape
    _, settings = SETS[result.name]
    ours = result.quickest(OURS, kind)
    theirs = result.quickest(THEIRS, "float64" if kind == "dtype" else kind)
    mine, its = result.seconds[ours], result.seconds[theirs]
    return [
        result.name,
        f"{rows} × {columns}",
        f"{result.filled:.0%}",
        ", ".join(f"{name}={value}" for name, value in settings.items()) or "default",
        'float64, `dtype="float32"`' if kind == "dtype" else kind,
        time_of(median(mine)),
        f"{time_of(median(its))}, threads: {theirs.threads}",
        str(Ratio.of(its, mine)),
        f"{result.losses[ours]:.8f}",
        f"{result.losses[theirs]:.8f}",
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; or, with --one, be one of those who are measured."""
    parser = argparse.ArgumentParser("python -m benchmarks.drop_in", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="5 by default")
    parser.add_argument("--only", nargs="+", choices=SETS, default=[*SETS], help="sets")
    parser.add_argument(
        "--shared", type=Path, default=SHARED, help="where data files lie"
    )
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    wish = parser.parse_args(arguments)
    if wish.one:
        print(json.dumps(one(*wish.one, wish.only[0], wish.shared)))
    else:
        print(summary(drop_in(wish.rounds, wish.only, wish.shared)))


if __name__ == "__main__":
    main()
