"""Kokuban against other libraries: measure, print, write."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks import fresh, report
from benchmarks.ceiling import Ceiling
from benchmarks.contenders import CONTENDERS, OURS, Contender
from benchmarks.digits import digits
from benchmarks.drop_in import drop_in, section
from benchmarks.instructions import SETTINGS, UNHELD
from benchmarks.job import RATES, Job
from benchmarks.plot import draw
from benchmarks.rounds import say
from benchmarks.steps import (
    AT_ONCE,
    IN_SHAPES,
    NETS,
    SHAPES,
    alone,
    measure,
    predictions,
)
from benchmarks.team import ROOT, Team

PARTS = (
    *("steps", "shapes", "predict", "first", "imports", "memory", "sizes"),
    *("digits", "drop-in"),
)
PEERS = {c.name: c for c in CONTENDERS if c is not OURS}
BY_NET = {Job(sizes, batch).net: (sizes, batch) for sizes, batch in NETS}
ONE_ROW = Job((64, 32, 10), 32)  # for one-row prediction
BEGINNING = Job((64, 32, 10), 32, shuffled=False, most=1)  # for the first step
# for memory; to shuffle, some would copy the data
LARGE = [Job(sizes, batch, "adam", shuffled=False) for sizes, batch in NETS[3:]]


@dataclass(frozen=True)
class Plan:
    """What to measure, and how long: each run lasts `seconds` or more."""

    parts: Sequence[str]
    nets: Sequence[Job]
    shapes: Mapping[str, Mapping[int, Job]]
    memory: Sequence[Job]
    contenders: Sequence[Contender]
    rounds: int
    seconds: float
    isa: str | None
    out: Path | None
    command: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Print each part as it is done; write the document at the end."""
    plan = planned(sys.argv[1:] if arguments is None else arguments)
    if plan.out is not None:
        plan.out.mkdir(parents=True, exist_ok=True)
    if plan.isa is not None:
        os.environ.update(SETTINGS[plan.isa])  # the contenders' processes inherit it
    with Ceiling(plan.isa) as ceiling:
        texts = []
        for text in sections(plan, ceiling):
            print(text, flush=True)
            texts.append(text)
    if plan.out is not None:
        (plan.out / "benchmarks.md").write_text("\n".join(texts), encoding="utf-8")


def planned(arguments: Sequence[str]) -> Plan:
    """The plan that the command line asks for."""
    wish = _parsed(arguments)
    only = wish.only or PARTS
    some = 2 if wish.quick else None  # of the nets and of the shapes
    nets = [BY_NET[name] for name in only if name in BY_NET]
    parts = [p for p in PARTS if p in only or (p == "steps" and nets)]
    peers = PEERS if wish.peers is None else wish.peers
    whole = not (wish.quick or wish.only or wish.isa) and wish.peers is None
    return Plan(
        parts,
        [
            *(Job(*net, rule) for net in nets or NETS[:some] for rule in RATES),
            *(Job(*net, shuffled=False) for net in nets or NETS[:some]),
        ],
        {what: dict(islice(jobs.items(), some)) for what, jobs in SHAPES.items()},
        LARGE[:1] if wish.quick else LARGE,
        able([OURS, *(c for name, c in PEERS.items() if name in peers)], wish.isa),
        wish.rounds or (2 if wish.quick else 5),
        0.02 if wish.quick else 0.2,
        wish.isa,
        wish.out or (ROOT / "docs" if whole else None),
        shlex.join(["python", "-m", "benchmarks", *arguments]),
    )


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    add = parser.add_argument
    add("--quick", action="store_true", help="short runs, few nets, few shapes")
    add("--rounds", type=int, help="5 by default, 2 with --quick")
    choices = [*PARTS, *BY_NET]
    add("--only", nargs="+", choices=choices, help="these parts, or steps of these nets")
    peers = ", ".join(PEERS)
    add("--peers", nargs="*", metavar="NAME", help=f"of {peers}; without a name none")
    add("--isa", choices=SETTINGS, help="instructions that all are held to")
    add(
        "--out",
        type=Path,
        metavar="FOLDER",
        help="where benchmarks.md and benchmarks.svg go; by default docs for the whole, "
        "and nowhere with --quick, --only, --peers or --isa",
    )
    wish = parser.parse_args(arguments)
    if unknown := set(wish.peers or ()) - set(PEERS):
        parser.error(f"--peers: {', '.join(unknown)} is none of {peers}")
    return wish


def able(contenders: Sequence[Contender], isa: str | None) -> list[Contender]:
    """Those that are installed and, where all are held to a set, can be."""
    found = []
    for contender in contenders:
        if not contender.installed:
            say(f"left out: {contender.name}: {contender.library} is not installed")
        elif isa is not None and contender.library in UNHELD:
            say(f"left out: {contender.name}: it cannot be held to {isa.upper()}")
        else:
            found.append(contender)
    return found


def sections(plan: Plan, ceiling: Ceiling) -> Iterator[str]:
    """The document, part by part."""
    yield report.opening(
        plan.command, plan.rounds, plan.seconds, ceiling, plan.contenders
    )
    others = [c for c in plan.contenders if not c.shuffling]  # where nothing is shuffled
    if set(plan.parts) & {"steps", "shapes"}:
        with Team() as team:
            yield from _together(plan, ceiling, team)
    if "predict" in plan.parts:
        with Team(AT_ONCE) as team:
            team.join(c for c in others if c.name != "JAX scan")
            found = predictions(team.members, ONE_ROW, plan.rounds, plan.seconds)
            yield report.predictions(ONE_ROW, found)
    yield from _fresh(plan, others)


def _together(plan: Plan, ceiling: Ceiling, team: Team) -> Iterator[str]:
    """The parts in which all have processes at the same time."""
    how_long = (plan.rounds, plan.seconds)
    nets = plan.nets if "steps" in plan.parts else []
    before = [alone(team, job, *how_long) for job in nets]
    team.join(plan.contenders)
    if nets:
        found = []
        for job, by_itself in zip(nets, before, strict=True):
            found.append(measure(team.members, job, *how_long, ceiling))
            say(report.details(found[-1], by_itself))  # if what follows is broken off
        yield report.summaries(found)
        for measured, by_itself in zip(found, before, strict=True):
            yield report.details(measured, by_itself)
    if "shapes" in plan.parts:
        drawn = [m for m in team.members if m.contender.name in IN_SHAPES]
        shapes = {
            what: {v: measure(drawn, job, *how_long, ceiling) for v, job in jobs.items()}
            for what, jobs in plan.shapes.items()
        }
        if plan.out is not None:
            draw(shapes, plan.out / "benchmarks.svg")
        yield report.other_shapes(shapes)


def _fresh(plan: Plan, who: Sequence[Contender]) -> Iterator[str]:
    """The parts for which every contender gets a fresh process."""
    if "first" in plan.parts:
        found = fresh.first_steps(who, BEGINNING, min(plan.rounds, 3))
        yield report.first_steps(BEGINNING, found)
    if "imports" in plan.parts:
        libraries = ["numpy", *(c.library for c in who)]
        yield report.imports(fresh.imports(plan.rounds, libraries))
    if "memory" in plan.parts:
        yield report.memory({job: fresh.memory(who, job) for job in plan.memory})
    if "sizes" in plan.parts:
        yield report.sizes(fresh.sizes())
    if "digits" in plan.parts:
        yield report.digits(*digits(plan.rounds))
    if "drop-in" in plan.parts:
        yield section(drop_in(plan.rounds))


if __name__ == "__main__":
    main()
