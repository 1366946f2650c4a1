"""The benchmarks run and say what they measured; how fast is nobody's business here."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from benchmarks.__main__ import able
from benchmarks.ceiling import Ceiling
from benchmarks.contenders import CONTENDERS, Contender, Ready
from benchmarks.job import Given, Job
from benchmarks.rounds import enough
from benchmarks.steps import Measured, Timing, alone, require_agreement
from benchmarks.team import Refused, Team, all_threads
from benchmarks.worker import Worker

import kokuban
from kokuban.run.vm import native

ROOT = Path(__file__).parents[1]


def sets() -> list[str]:
    engine = native()
    return [] if engine is None else list(engine.instruction_sets())


pytestmark = pytest.mark.skipif(os.name != "posix", reason="stops processes by signals")


def written(out: Path, *options: str) -> str:
    command = "--quick --rounds 1 --only 4-16-3 --peers --out"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *command.split(), str(out), *options],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return (out / "benchmarks.md").read_text("utf-8")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> str:
    return written(tmp_path_factory.mktemp("docs"))


@pytest.mark.skipif("avx2" not in sets(), reason="a processor without AVX2")
def test_everyone_can_be_held_to_fewer_instructions(tmp_path: Path) -> None:
    text = written(tmp_path, "--isa", "avx2")
    assert "everyone is held to AVX2" in text
    assert "`KOKUBAN_ISA=avx2`" in text
    assert "### 4-16-3, batch 16, sgd\n" in text


def test_who_cannot_be_held_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    held = cast(Contender, SimpleNamespace(name="a", library="numpy", installed=True))
    free = cast(Contender, SimpleNamespace(name="b", library="jax", installed=True))
    assert able([held, free], "avx2") == [held]
    assert "left out: b: it cannot be held to AVX2" in capsys.readouterr().err
    assert able([held, free], None) == [held, free]


def test_it_says_how_it_was_measured(document: str) -> None:
    assert "--quick --rounds 1 --only 4-16-3 --peers" in document
    assert f"numpy {np.__version__}" in document


@pytest.mark.parametrize("training", ["sgd", "adam", "sgd, batches ready"])
def test_a_net_has_its_table(document: str, training: str) -> None:
    heading = f"### 4-16-3, batch 16, {training}\n"
    section = document.split(heading)[1].split("\n### ")[0]
    ours = next(line for line in section.splitlines() if line.startswith("| kokuban |"))
    assert re.match(r"\| kokuban \|( [\d.]+ (µs|ms|s) \|){2} 1 \|", ours)
    assert "Left out" not in section


def test_published_losses_are_those_of_the_training(document: str) -> None:
    """The first loss, worked out here in float64 from the same weights and batch."""
    job = Job((4, 16, 3), 16)
    x, t = job.data()
    (w1, b1), (w2, b2) = [(w.astype(float), b.astype(float)) for w, b in job.weights()]
    u = np.maximum(x[:16].astype(float) @ w1 + b1, 0) @ w2 + b2
    loss = np.mean(np.log(np.exp(u).sum(axis=1)) - u[np.arange(16), t[:16]])
    published = re.findall(r"First losses: ([\d.]+),", document)
    np.testing.assert_allclose([float(v) for v in published], [loss] * 3, atol=2e-6)


def test_there_are_tables_with_shuffling_and_one_without(document: str) -> None:
    tables = document.split("## A training step")[1].split("\n## ")[0]
    found = re.findall(r"^\| 4-16-3, 16, (\w+) \|", tables, re.MULTILINE)
    assert found == ["sgd", "adam", "sgd", "adam", "sgd"]  # medians, least times, ready


def test_least_times_are_of_any_round_and_number_of_threads() -> None:
    runs = {
        "kokuban": [2.0, 1.0, 3.0],
        "peer, 1": [8.0, 9.0, 10.0],
        "peer, 2": [20.0, 6.0, 21.0],
    }
    timings = [Timing(name.split(",")[0], name, s, []) for name, s in runs.items()]
    machine = cast(Ceiling, SimpleNamespace(highest={}))
    measured = Measured(Job((4, 16, 3), 16), timings, machine, [])
    assert measured.of("peer") is timings[1]
    assert measured.ratio("peer") == 4  # 8 / 2, 9 / 1, 10 / 3
    assert measured.least_ratio("peer") == 6
    assert measured.ratio("nobody") is None
    assert measured.least_ratio("nobody") is None


def test_of_ceilings_the_highest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with Ceiling() as ceiling:
        for speed in ("5.0", "7.0", "6.0"):
            done = SimpleNamespace(stdout=speed)
            monkeypatch.setattr(subprocess, "run", lambda *_, done=done, **__: done)
            assert ceiling.gflops(all_threads()) == float(speed)
            ceiling.gflops(1)
    measured = Measured(Job((4, 16, 3), 16), [], ceiling, [])
    assert measured.ceiling == (7, 7)


@dataclass
class Clock:
    """Stands in for a contender: an epoch takes a second, and the start of a run five.

    Runs are held up by so many seconds each, one after the other.
    """

    prepares: bool
    now: float = 0.0
    held_up: list[float] = field(default_factory=list)

    def train(self, epochs: int) -> None:
        self.now += epochs + 5 * self.prepares
        self.now += self.held_up.pop(0) if self.held_up else 0


@pytest.mark.parametrize("prepares", [False, True])
def test_what_a_run_does_once_is_no_part_of_an_epoch(
    prepares: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(prepares)
    monkeypatch.setattr("benchmarks.worker.time.perf_counter", lambda: clock.now)
    ready = Ready(lambda steps: [], clock.train, lambda: None, prepares)
    worker = Worker(lambda job, given: ready)
    worker.build([4, 16, 3], 16)
    assert worker.epochs(3) == 3
    assert worker.train(3) == 3 + 5 * prepares
    clock.held_up = [2, 1]  # the longer run, and the one that is taken off
    assert worker.epochs(3) == 5


def test_a_run_is_long_enough_without_what_it_does_once() -> None:
    """A second of epochs, not of the five that come before them."""
    asked: list[int] = []

    class Ours:
        def build(self, job: Job) -> None: ...

        def ask(self, question: str, number: int) -> float:
            asked.append(number)
            return 0.01 * number + 5 * (question == "train")

    team = SimpleNamespace(ours=Ours())
    job = Job((4, 16, 3), 16)
    assert alone(cast(Team, team), job, 1, 1.0) == pytest.approx(0.01 / job.steps)
    assert asked[-1] == 100


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_peers_are_stopped_before_anyone_is_timed() -> None:
    by_hand = next(c for c in CONTENDERS if c.name == "NumPy by hand")
    with Team() as team:
        team.join([by_hand])
        for member in team.members[1:]:
            about = Path(f"/proc/{member._process.pid}/stat")
            until = time.monotonic() + 10
            while about.read_text().rsplit(")")[1].split()[0] != "T":
                assert time.monotonic() < until


# Each with a number of threads, by which JAX takes rows in different ways.
TRAINED = [(c, "2") for c in CONTENDERS if c.name != "torch.compile"] + [
    (c, "1") for c in CONTENDERS if c.name.startswith("JAX scan")
]


@pytest.mark.parametrize(("contender", "threads"), TRAINED)
def test_shuffling_takes_every_row_with_its_label_in_a_new_order(
    contender: Contender, threads: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One batch of all rows learns the same in any order; several do not."""
    pytest.importorskip(contender.library)
    monkeypatch.setenv("NPROC", threads)
    module = import_module(f"benchmarks.contenders.{contender.module}")
    build = getattr(module, contender.function)
    for steps, alike in ((1, True), (4, False)):
        found = []
        for shuffled in (True, False):
            job = Job((4, 8, 3), 60 // steps, shuffled=shuffled, most=steps)
            ready = build(job, Given(job.weights(), *job.data()))
            losses = ready.first(steps)
            ready.train(20)
            found.append((losses, np.asarray(ready.predict())))
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-6)
        assert np.allclose(found[0][1], found[1][1], rtol=1e-5) == alike


def test_operations_of_a_step() -> None:
    job = Job((5, 7, 3), 11)
    forward = sum(2 * 11 * a * b for a, b in pairwise((5, 7, 3)))
    by_weights, by_hidden = forward, 2 * 11 * 7 * 3
    assert job.flop == forward + by_weights + by_hidden


def test_other_losses_are_refused() -> None:
    require_agreement("the same", [1.0, 2.0], [1.0, 2.0])
    for other in ([1.0, 2.0001], [1.0, float("nan")]):
        with pytest.raises(Refused):
            require_agreement("another", other, [1.0, 2.0])


def test_a_long_first_call_does_not_decide_how_many_are_timed() -> None:
    """As where a library compiles at its first call."""
    calls: list[int] = []

    def run(number: int) -> float:
        calls.append(number)
        return 100.0 if len(calls) == 1 else 0.001 * number

    assert enough(run, 1.0) == 1000


def taking_turns(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.turns", str(folder), str(folder)]
    options = ["--net", "4-16-3", "--batch", "16", "--rounds", "2", "--seconds", "0.001"]
    return subprocess.run(
        [*command, *options], capture_output=True, text=True, cwd=ROOT, check=False
    )


@pytest.mark.skipif(native() is None, reason="needs the engine")
def test_builds_take_turns() -> None:
    """The same one twice: each is timed, and the first's ratio to itself is 1."""
    done = taking_turns(Path(kokuban.__file__).parents[1])
    assert done.returncode == 0, done.stderr
    figures = r"epochs ([\d.]+) µs, ratio ([\d.]+) \([\d.]+ to [\d.]+\)"
    found = [re.findall(figures, line) for line in done.stdout.splitlines()]
    assert [len(line) for line in found] == [2, 2]
    assert all(float(time) > 0 for line in found for time, _ in line)
    assert [ratio for _, ratio in found[0]] == ["1.000", "1.000"]


def test_a_folder_without_the_engine_is_refused(tmp_path: Path) -> None:
    package = Path(kokuban.__file__).parent
    left_out = shutil.ignore_patterns("_native*", "__pycache__")
    shutil.copytree(package, tmp_path / "kokuban", ignore=left_out)
    done = taking_turns(tmp_path)
    assert done.returncode == 1
    assert "no engine" in done.stderr
    assert f"{tmp_path}: its process ended" in done.stderr


def test_a_folder_without_the_library_is_refused(tmp_path: Path) -> None:
    """Another library that can be imported would take its turns."""
    done = taking_turns(tmp_path)
    assert done.returncode == 2
    assert f"{tmp_path} has no kokuban in it" in done.stderr
