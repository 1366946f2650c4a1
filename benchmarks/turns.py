"""Builds of this library, taking turns at training one net.

    pip install --no-deps --target BEFORE CHECKOUT  # and so on
    python -m benchmarks.turns BEFORE NOW --net 64-32-10 --batch 32 --rounds 24

Each trains in a process that stays, one at a time, in an order that changes; the library
is the folder's, the benchmark this one. An epoch's time is that of the history, so what a
call of `fit` does once is no part of it. Prints what a step takes by the median of a
round's epochs, and by the least; and as the ratio to the first folder's the median of the
rounds' ratios, with its quarters. So small changes show where times alone do not.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from benchmarks.job import Array, Given, Job
from benchmarks.team import ROOT

WORK = "--work"
SPEED = 250e9, 1e-6  # operations a second, and seconds besides, that a step may take


def main() -> None:
    """Ask all for a round, and compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folders", nargs="+", metavar="FOLDER", type=Path)
    parser.add_argument("--net", default="64-32-10")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optimizer", default="sgd", choices=("sgd", "adam"))
    parser.add_argument("--rounds", type=int, default=24)
    parser.add_argument("--steps", type=int, default=1024, help="of an epoch at most")
    parser.add_argument("--seconds", default="0.2", help="of a round, at least, about")
    wish = parser.parse_args()
    for folder in wish.folders:
        if not (folder / "kokuban" / "__init__.py").is_file():
            parser.error(f"{folder} has no kokuban in it to import.")
    setting = (wish.net, str(wish.batch), wish.optimizer, str(wish.steps), wish.seconds)
    teams = [_started(folder.resolve(), setting) for folder in wish.folders]
    try:
        times = np.array(_rounds(teams, wish.rounds))  # (rounds, folders, 2)
    except EOFError as number:
        sys.exit(f"{wish.folders[number.args[0]]}: its process ended.")
    finally:
        for team in teams:
            team.communicate()
    ratios = times / times[:, :1]
    for folder, steps, ratio in zip(
        wish.folders, times.swapaxes(0, 1), ratios.swapaxes(0, 1), strict=True
    ):
        print(f"{folder}: {_shown('median', steps[:, 0], ratio[:, 0])}; ", end="")
        print(_shown("least", steps[:, 1], ratio[:, 1]))


def _shown(what: str, steps: Array, ratios: Array) -> str:
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    spread = f"{middle:.3f} ({low:.3f} to {high:.3f})"
    return f"{what} epochs {np.median(steps):.4g} µs, ratio {spread}"


def _started(folder: Path, setting: tuple[str, ...]) -> subprocess.Popen[str]:
    path = os.pathsep.join((str(folder), str(ROOT)))
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.turns", WORK, *setting],
        env={**os.environ, "PYTHONPATH": path},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _rounds(teams: list[subprocess.Popen[str]], many: int) -> list[list[list[float]]]:
    """Microseconds of a step of each, by a round's median epoch and its least."""
    rng, order = random.Random(0), list(range(len(teams)))
    found = []
    for _ in range(many + 1):
        times: list[list[float]] = [[]] * len(teams)
        rng.shuffle(order)
        for number in order:
            team = teams[number]
            assert team.stdin is not None
            assert team.stdout is not None
            with suppress(BrokenPipeError):
                print(file=team.stdin, flush=True)
            if not (line := team.stdout.readline()):
                raise EOFError(number)
            times[number] = [float(word) for word in line.split()]
        found.append(times)
    return found[1:]  # the first bears what is cold


def _work(net: str, batch: str, optimizer: str, steps: str, seconds: str) -> None:
    """Train for about so long, or three epochs, at each line that comes."""
    from benchmarks.contenders.ours import Net  # loads the library of this process
    from kokuban.run.vm import native

    if native() is None:
        sys.exit("There is no engine in this folder: NumPy would run, and no build.")
    sizes = tuple(map(int, net.split("-")))
    job = Job(sizes, int(batch), optimizer, most=int(steps))
    ours = Net(job, Given(job.weights(), *job.data()))
    ours.begin()
    a_second, besides = SPEED
    epochs = round(float(seconds) / (job.steps * (job.flop / a_second + besides)))
    for _ in sys.stdin:
        spent = np.array(ours.train(1 + max(3, epochs))["seconds"][1:]) / job.steps * 1e6
        print(np.median(spent), spent.min(), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == [WORK]:
        _work(*sys.argv[2:])
    else:
        main()
