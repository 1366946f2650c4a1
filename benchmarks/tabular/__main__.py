"""Kokuban's estimators beside others on tables: fit, keep, write."""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.rounds import say
from benchmarks.tabular import report
from benchmarks.tabular.kept import Kept
from benchmarks.tabular.methods import METHODS, Method, tabular
from benchmarks.tabular.plot import draw
from benchmarks.tabular.sets import SHARED, Source, from_file, sources
from benchmarks.tabular.worker import Order
from benchmarks.team import ROOT, all_threads, environment

SPLITS = 5
KEPT = Path(__file__).with_name("results.jsonl")


@dataclass(frozen=True)
class Plan:
    """What to fit, and where it is written."""

    tables: dict[str, Source]
    methods: dict[str, Method]
    again: frozenset[str]
    quiet: bool
    order: Order
    splits: int
    kept: Path
    out: Path
    command: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit what is not kept yet; write the document from all that is."""
    plan = planned(sys.argv[1:] if arguments is None else arguments)
    kept = Kept(plan.kept)
    for method in plan.methods.values():
        measure(plan, method, kept)
    if not (fits := kept.of(plan.tables, plan.methods)):
        raise SystemExit("nothing was measured")
    kept.tidy()
    plan.out.mkdir(parents=True, exist_ok=True)
    text = report.document(
        fits, {n: s.group for n, s in plan.tables.items()}, plan.command
    )
    (plan.out / "tabular-benchmarks.md").write_text(text, encoding="utf-8")
    draw(fits, plan.out / "tabular-benchmarks.svg")
    print(report.summary(fits))


def measure(plan: Plan, method: Method, kept: Kept) -> None:
    """The fits of a method that are missing, in a process of its own."""
    if not (jobs := list(missing(plan, method, kept))):
        return
    if not method.installed:
        say(f"left out: {method.name}: {method.library.replace(':', '.')} is not there")
        return
    order = replace(plan.order, method=method.name, jobs=jobs)
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.tabular.worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment(order.threads),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        process.stdin.write(order.text())
        process.stdin.close()
        for line in process.stdout:
            _told(method, json.loads(line), kept)
    if process.returncode:
        say(f"{method.name}: its process ended with {process.returncode}")


def missing(plan: Plan, method: Method, kept: Kept) -> Iterator[tuple[str, int]]:
    """Sets and splits not measured yet, or wanted again; the first split of all first."""
    for split in range(plan.splits):
        for table in plan.tables:
            fit = kept.fits.get((table, method.name, split))
            noisy = plan.quiet and fit is not None and not fit.quiet
            if fit is None or method.name in plan.again or noisy:
                yield table, split


def _told(method: Method, record: dict[str, object], kept: Kept) -> None:
    if why := record.get("failed"):
        say(f"{record['table']} {record['split']} {method.name}: {why}")
    else:
        fit = kept.add(record)
        what = f"{fit.table} {fit.split} {fit.method}: {fit.main:.4g}"
        say(f"{what}, {fit.cpu[0]:.3g} s CPU, {fit.seconds[0]:.3g} s")


def planned(arguments: Sequence[str]) -> Plan:
    """The plan that the command line asks for."""
    wish = _parsed(arguments)
    known = sources(wish.shared)
    files = list(zip(wish.data, wish.target, strict=True))
    known |= {s.name: s for s in (from_file(path, target) for path, target in files)}
    tables = {name: known[name] for name in wish.sets or known}
    for source in tables.values():
        if not source.there:
            say(f"left out: {source.name}: not here ({source.group})")
    methods = dict(METHODS)
    if wish.variant:
        name, settings = wish.variant[0], json.loads(wish.variant[1])
        methods[name] = tabular(name, settings)
    chosen = wish.methods or list(methods)
    return Plan(
        {name: source for name, source in tables.items() if source.there},
        {name: methods[name] for name in chosen},
        frozenset(wish.again),
        wish.quiet,
        Order(
            "",
            [],
            wish.threads,
            str(wish.shared.resolve()),
            [(str(path.resolve()), target) for path, target in files],
            json.loads(wish.variant[1]) if wish.variant else None,
        ),
        wish.splits,
        wish.kept,
        wish.out,
        shlex.join(["python", "-m", "benchmarks.tabular", *arguments]),
    )


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.tabular", description=__doc__)
    add = parser.add_argument
    add("--sets", nargs="+", metavar="NAME", help=f"of {', '.join(sources())}, or a file")
    add("--methods", nargs="+", metavar="NAME", help=f"of {', '.join(METHODS)}")
    add("--splits", type=int, default=SPLITS, help="of each set, 5 by default")
    add("--threads", type=int, default=all_threads(), help="all by default")
    add("--data", nargs="+", type=Path, default=[], metavar="FILE", help="CSV or Parquet")
    add("--target", nargs="+", default=[], metavar="COLUMN", help="one for each FILE")
    add("--shared", type=Path, default=SHARED, help="the folder of the project's tables")
    add(
        "--variant",
        nargs=2,
        metavar=("NAME", "JSON"),
        help="one more method: TabularClassifier and TabularRegressor with settings",
    )
    add("--again", nargs="+", default=[], metavar="METHOD", help="measure these again")
    add("--quiet", action="store_true", help="measure again what others disturbed")
    add("--kept", type=Path, default=KEPT, metavar="FILE", help="what was measured")
    add("--out", type=Path, default=ROOT / "docs", metavar="FOLDER", help="docs")
    wish = parser.parse_args(arguments)
    if len(wish.data) != len(wish.target):
        parser.error("--data and --target: as many columns as files, in the same order")
    names = [*sources(), *(path.stem for path in wish.data)]
    for option, given, known in (
        ("--sets", wish.sets, names),
        ("--methods", wish.methods, [*METHODS, *(wish.variant or ())[:1]]),
    ):
        if unknown := set(given or ()) - set(known):
            parser.error(f"{option}: {', '.join(unknown)} is none of {', '.join(known)}")
    return wish


if __name__ == "__main__":
    main()
