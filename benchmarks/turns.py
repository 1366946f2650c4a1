"""Two checkouts, each with a build of its own, taking turns at training one net.

    python -m benchmarks.turns BEFORE NOW --net 64-32-10 --batch 32 --rounds 24

A checkout is a folder with this repository, installed in place (`pip install -e`) or with
its extension built into `src/kokuban`. Each trains in a process that stays, one at a
time. Prints what a step takes in the least round of each, and the ratio of their times of
a round: the median, with its quarters. So small changes show where times alone do not.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

WORK = "--work"


def main() -> None:
    """Ask both for a round, in an order that changes, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("checkouts", nargs=2, metavar="FOLDER", type=Path)
    parser.add_argument("--net", default="64-32-10")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optimizer", default="sgd", choices=("sgd", "adam"))
    parser.add_argument("--rounds", type=int, default=24)
    wish = parser.parse_args()
    setting = (wish.net, str(wish.batch), wish.optimizer)
    teams = [_started(folder.resolve(), setting) for folder in wish.checkouts]
    times = np.array(
        [_round(teams, backwards=bool(k % 2)) for k in range(wish.rounds)], float
    )
    for team in teams:
        team.communicate()
    for folder, steps in zip(wish.checkouts, times.T, strict=True):
        print(f"{folder}: least {steps.min():.4g} µs, median {np.median(steps):.4g} µs")
    ratio = np.quantile(times[:, 1] / times[:, 0], [0.25, 0.5, 0.75])
    print(f"ratio {ratio[1]:.3f} ({ratio[0]:.3f} to {ratio[2]:.3f})")


def _started(folder: Path, setting: tuple[str, ...]) -> subprocess.Popen[str]:
    path = os.pathsep.join((str(folder / "src"), str(folder)))
    return subprocess.Popen(
        [sys.executable, __file__, WORK, *setting],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _round(teams: list[subprocess.Popen[str]], backwards: bool) -> list[float]:
    """Microseconds of a step of each."""
    found = {}
    for number in (1, 0) if backwards else (0, 1):
        team = teams[number]
        assert team.stdin is not None
        assert team.stdout is not None
        print(file=team.stdin, flush=True)
        found[number] = float(team.stdout.readline())
    return [found[0], found[1]]


def _work(net: str, batch: str, optimizer: str) -> None:
    """Train for about a tenth of a second, or three epochs, at each line that comes."""
    # of the checkout that this process is for
    from benchmarks.contenders.ours import native
    from benchmarks.job import Given, Job

    job = Job(tuple(map(int, net.split("-"))), int(batch), optimizer)
    ready = native(job, Given(job.weights(), *job.data()))
    epochs = max(3, round(0.1 / (job.steps * (job.flop / 150e9 + 1e-6))))

    def seconds(epochs: int) -> float:
        began = time.perf_counter()
        ready.train(epochs)
        return time.perf_counter() - began

    for _ in sys.stdin:
        once = seconds(1)  # with what a call does once
        print((seconds(1 + epochs) - once) / (epochs * job.steps) * 1e6, flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [WORK]:
        _work(*sys.argv[2:])
    else:
        main()
