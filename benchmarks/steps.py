"""The time of a training step, and of the prediction of one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from statistics import median

import numpy as np

from benchmarks.ceiling import Ceiling
from benchmarks.job import Job
from benchmarks.rounds import Ratio, enough, interleaved, say
from benchmarks.team import Member, Refused, Team, all_threads

FIRST = 8  # steps whose losses are compared
AGREE = 1e-5  # how far they may be apart, relative
STEADY = 1.25  # how many times the least of our times the most may be, unsaid
WIDE = 1e9  # operations of a step from which on only all threads are tried
LONGER = 10  # how many times as long a run is then, since an epoch has few steps
AT_ONCE = {"JAX_CPU_ENABLE_ASYNC_DISPATCH": "false"}  # in one-row prediction, faster

NETS = (
    ((4, 16, 3), 16),
    ((64, 32, 10), 32),
    ((100, 256, 256, 10), 200),
    ((784, 1024, 1024, 10), 256),
    ((784, 2048, 2048, 10), 1024),
)
# One thing changes, the others stay; by what changes, its values and their jobs.
SHAPES = {
    "width": {w: Job((64, w, w, 10), 128) for w in (8, 16, 32, 64, 128, 256, 512, 1024)},
    "batch": {n: Job((64, 256, 256, 10), n) for n in (1, 4, 16, 64, 256, 1024)},
    "depth": {d: Job((64, *(128,) * d, 10), 128) for d in (1, 2, 4, 8, 16)},
}
FIXED = {
    "width": "64-w-w-10, batch 128",
    "batch": "64-256-256-10",
    "depth": "64-128-…-128-10, batch 128",
}
ORDERED = "JAX scan, NumPy's order"  # the faster way for JAX to shuffle
# Who is in the picture; a compilation for each shape would take most of the time.
IN_SHAPES = ("kokuban", "NumPy by hand", "scikit-learn", "PyTorch eager", ORDERED)


@dataclass(frozen=True)
class Timing:
    """A contender's seconds, one figure a round.

    `apart` is how far its first losses are from ours, relative; `losses` are those.
    """

    contender: str
    name: str
    seconds: list[float]
    losses: list[float]
    apart: float = 0.0

    @property
    def typical(self) -> float:
        """The median over the rounds."""
        return median(self.seconds)

    @property
    def least(self) -> float:
        """The fastest round's, which other programs held up least."""
        return min(self.seconds)

    def over(self, ours: Timing) -> Ratio:
        """How many times our time it takes."""
        return Ratio.of(self.seconds, ours.seconds)


@dataclass(frozen=True)
class Measured:
    """A job's timings, ours first, with every number of threads; and the machine's."""

    job: Job
    every: list[Timing]
    machine: Ceiling
    left_out: list[str]

    @property
    def ceiling(self) -> tuple[float, float]:
        """GFLOP/s with one thread and with all, the highest that were found anywhere."""
        return self.machine.highest[1], self.machine.highest[all_threads()]

    @cached_property
    def timings(self) -> list[Timing]:
        """Each contender's at its better number of threads."""
        return better(self.every)

    @property
    def ours(self) -> Timing:
        """This library's."""
        return self.timings[0]

    def of(self, contender: str) -> Timing | None:
        """A contender's, where it took part."""
        return next((t for t in self.timings if t.contender == contender), None)

    def ratio(self, contender: str) -> float | None:
        """The median of a contender's ratios to ours."""
        timing = self.of(contender)
        return timing and timing.over(self.ours).median

    def least_ratio(self, contender: str) -> float | None:
        """Of its fastest round, with whichever number of threads, to our fastest."""
        found = [t.least for t in self.every if t.contender == contender]
        return min(found) / self.ours.least if found else None

    def unsteady(self, *others: float) -> float | None:
        """The most over the least of our times, and `others`, where that is much."""
        every = [*self.ours.seconds, *others]
        swing = max(every) / min(every)
        return swing if swing > STEADY else None

    def gflops(self, seconds: float) -> float:
        """Operations of the step's products in a nanosecond, if it takes so long."""
        return self.job.flop / seconds / 1e9


def alone(team: Team, job: Job, rounds: int, seconds: float) -> float:
    """Our time a step while no other contender has a process."""
    say(f"{job.title}: kokuban alone")
    team.ours.build(job)
    run = _runs(team.ours, job, seconds)
    return median(run() for _ in range(rounds))


def measure(
    members: Sequence[Member], job: Job, rounds: int, seconds: float, ceiling: Ceiling
) -> Measured:
    """Time the job in every member, ours first, and the ceiling between them.

    `seconds` is how long a run is at least. Raises Refused if ours cannot do it.
    """
    say(job.title)
    losses: dict[Member, list[float]] = {}
    left_out: list[str] = []
    runs: dict[Member | int, Callable[[], float]] = {}
    for member in members:
        if not _takes_part(member, job):
            continue
        try:
            member.build(job)
            losses[member] = member.ask("first", FIRST)[0]
            require_agreement(member.name, losses[member], losses[members[0]])
            runs[member] = _runs(member, job, seconds)
        except Refused as why:
            if member is members[0]:
                raise
            left_out.append(str(why))
            say(f"left out: {why}")
    for threads in (1, all_threads()):
        runs[threads] = partial(ceiling.gflops, threads)
    found = interleaved(runs, rounds)
    ours = losses[members[0]]
    timings = [
        Timing(m.contender.name, m.name, found[m], losses[m], apart(losses[m], ours))
        for m in members
        if m in found
    ]
    return Measured(job, timings, ceiling, left_out)


def _takes_part(member: Member, job: Job) -> bool:
    """Whether it is worth a run: not on one thread of several where a step is long."""
    if member.contender.shuffling and not job.shuffled:
        return False
    return member.threads == all_threads() or job.flop < WIDE


def _runs(member: Member, job: Job, seconds: float) -> Callable[[], float]:
    """Runs of at least so long, longer where steps are; each gives its time a step."""
    length = seconds if job.flop < WIDE else LONGER * seconds
    number = enough(partial(member.ask, "epochs"), length)
    return lambda: float(member.ask("epochs", number)) / number / job.steps


def apart(losses: Sequence[float], ours: Sequence[float]) -> float:
    """The largest relative difference; NaN where a loss is NaN, which `max` may lose."""
    return float(np.max(np.abs(np.subtract(losses, ours)) / np.abs(ours)))


def require_agreement(name: str, losses: list[float], ours: list[float]) -> None:
    """Refused where the first losses are not ours: it would be another training."""
    if not apart(losses, ours) <= AGREE:
        raise Refused(f"{name}: its first losses are {losses}, ours {ours}")


def better(timings: Sequence[Timing]) -> list[Timing]:
    """Of each contender the faster of its numbers of threads."""
    found: dict[str, Timing] = {}
    for timing in timings:
        best = found.setdefault(timing.contender, timing)
        if timing.typical < best.typical:
            found[timing.contender] = timing
    return list(found.values())


def predictions(
    members: Sequence[Member], job: Job, rounds: int, seconds: float
) -> list[Timing]:
    """The time to predict the probabilities of one row, over and over."""
    say(f"{job.net}: one-row prediction")
    runs: dict[Member, Callable[[], float]] = {}
    for member in members:
        try:
            member.build(job)
            number = enough(partial(member.ask, "predict"), seconds)
        except Refused as why:
            say(f"left out: {why}")
            continue
        runs[member] = partial(_a_prediction, member, number)
    found = interleaved(runs, rounds)
    return better([Timing(m.contender.name, m.name, found[m], []) for m in found])


def _a_prediction(member: Member, number: int) -> float:
    return float(member.ask("predict", number)) / number
