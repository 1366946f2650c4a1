"""What needs fresh processes: the first step, import, memory; and the size on disk."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from benchmarks.contenders import Contender
from benchmarks.job import Job
from benchmarks.rounds import interleaved, say
from benchmarks.team import ROOT, Member, Refused, all_threads

EPOCHS = 2  # during which memory is watched
STATEMENTS = {
    "numpy": "import numpy",
    "kokuban": "import kokuban",
    "kokuban, ready to train": "import kokuban as kb; kb.Model, kb.nn, kb.optim",
    "sklearn.neural_network": "import sklearn.neural_network",
    "jax.numpy": "import jax.numpy",
    "torch": "import torch",
}
TIMED = "from time import perf_counter as now; t = now(); {}; print(now() - t)"
PACKAGES = {
    "kokuban": "kokuban",
    "numpy": "numpy",
    "scikit-learn": "sklearn",
    "jax": "jax",
    "torch": "torch",
}


def imports(rounds: int, installed: Iterable[str]) -> dict[str, list[float]]:
    """Seconds that an import takes in a fresh process, after one that is not counted."""
    say("import")
    packages = set(installed)
    runs = {
        name: partial(_import_seconds, statement)
        for name, statement in STATEMENTS.items()
        if statement.split()[1].split(".")[0] in packages
    }
    for run in runs.values():
        run()
    return interleaved(runs, rounds)


def _import_seconds(statement: str) -> float:
    command = [sys.executable, "-c", TIMED.format(statement)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


def first_steps(
    contenders: Sequence[Contender], job: Job, rounds: int
) -> dict[str, list[float]]:
    """Seconds from before the net is built to the end of the first step.

    Libraries are imported and the data drawn before; compilation counts.
    """
    say(f"{job.net}: the first step")
    runs = {c.name: partial(_first_step, c, job) for c in contenders}
    warm = _willing(runs)  # their files, too
    return interleaved({name: runs[name] for name in warm}, rounds)


def _first_step(contender: Contender, job: Job) -> float:
    with Member(contender, all_threads()) as member:
        building = member.build(job)
        return building + float(member.ask("first", 1)[1])


def memory(contenders: Sequence[Contender], job: Job) -> dict[str, float]:
    """The most bytes in use while a job is built and trained, above those before."""
    say(f"{job.net}: memory")
    return _willing({c.name: partial(_peak, c, job) for c in contenders})


def _peak(contender: Contender, job: Job) -> float:
    with Member(contender, all_threads()) as member:
        member.build(job)
        member.ask("train", EPOCHS)
        return float(member.ask("memory"))


def _willing(runs: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Each is run once; what those gave that do not refuse."""
    found = {}
    for name, run in runs.items():
        try:
            found[name] = run()
        except Refused as why:
            say(f"left out: {why}")
    return found


def sizes() -> dict[str, tuple[int, int]]:
    """Bytes on disk of each installed package, alone and with all that it requires."""
    found = {}
    for name, package in PACKAGES.items():
        if find_spec(package) is not None:
            try:
                whole = {wanted: _bytes(wanted) for wanted in _closure(name, set())}
            except PackageNotFoundError as missing:
                say(f"left out: the size of {name}: {missing} is not installed")
                continue
            found[name] = whole[name], sum(whole.values())
    return found


def _closure(name: str, seen: set[str]) -> set[str]:
    if name not in seen:
        seen.add(name)
        for wanted in _requirements(name):
            _closure(wanted, seen)
    return seen


def _requirements(name: str) -> list[str]:
    if name == "kokuban":  # from this checkout, installed or not
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        lines = project["dependencies"]
    else:
        lines = distribution(name).requires or []
    wanted = [Requirement(line) for line in lines]
    return [
        canonicalize_name(r.name)
        for r in wanted
        if r.marker is None or r.marker.evaluate({"extra": ""})
    ]


def _bytes(name: str) -> int:
    """Of the installed files, without what Python has compiled."""
    if name == "kokuban":
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        files: Iterable[Path] = Path(spec.origin).parent.rglob("*")
    else:
        files = [Path(str(file.locate())) for file in distribution(name).files or []]
    kept = (f for f in files if f.is_file() and f.suffix != ".pyc")
    return sum(f.stat().st_size for f in kept)
