"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import median

from benchmarks import fresh
from benchmarks.ceiling import Ceiling
from benchmarks.contenders import OURS, Contender
from benchmarks.digits import EPOCHS, Run
from benchmarks.instructions import SETTINGS
from benchmarks.job import SMALL, Job
from benchmarks.plot import Shapes
from benchmarks.rounds import Ratio
from benchmarks.steps import (
    AGREE,
    FIRST,
    FIXED,
    IN_SHAPES,
    LONGER,
    WIDE,
    Measured,
    Timing,
)
from benchmarks.team import all_threads

DISTRIBUTIONS = {"sklearn": "scikit-learn"}


def time_of(seconds: float) -> str:
    """Three figures and a unit."""
    units = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6))
    unit, scale = next((u for u in units if seconds >= u[1]), units[-1])
    return f"{figures(seconds / scale)} {unit}"


def figures(value: float) -> str:
    """Three of them, without an exponent."""
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}".rstrip(".")


def megabytes(size: float) -> str:
    """In millions of bytes."""
    return f"{figures(size / 1e6)} MB"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def opening(
    command: str,
    rounds: int,
    seconds: float,
    ceiling: Ceiling,
    peers: Sequence[Contender],
) -> str:
    """How it was measured, where, and against what."""
    libraries = dict.fromkeys(["numpy", *(c.library for c in peers if c is not OURS)])
    names = [DISTRIBUTIONS.get(library, library) for library in libraries]
    versions = ", ".join(f"{n} {version(n)}" for n in names if n != "kokuban")
    return f"""# Benchmarks

Written by `{command}`.

{processor()}, {os.cpu_count()} processors, of which {all_threads()} were used.
Python {platform.python_version()}, {versions}.

Float32, dense nets with ReLU and softmax cross-entropy; the data lie in each library's
own arrays.

{held_to(ceiling.isa)}\
- **The same training.** Everyone starts from the same weights. The losses of the first
  {FIRST} steps, from the same batches in the same order, must agree within {AGREE:g}
  before anything is timed.
- **Shuffled.** Training is timed as people do it: each epoch takes its rows in a new
  random order, and to draw that order and take the rows counts. Kokuban and scikit-learn
  do it themselves (`shuffle=True`). PyTorch draws it with `torch.randperm`, NumPy by hand
  and JAX per step with NumPy's `permutation`, JAX scan with `jax.random.permutation`
  inside its compiled epoch; a second JAX scan is given NumPy's order, which is faster.
- **Taking rows**, each in the way that was the faster: PyTorch, NumPy by hand and JAX per
  step take all rows at once, then slices. JAX scan takes a batch's rows in its step; with
  several threads and less than {SMALL / 1e6:.0f} MFLOP a step, all rows at once.
- **Batches ready.** A second table has the same with SGD and the rows in the order of the
  batches, so that no time goes into shuffling.
- **What counts.** Kokuban is called as a user calls it, through `Model.fit`, without a
  callback or a bar. What a call of `fit` does once is no part of a step: the time of n
  epochs is that of n + 1 less that of one, the least so far, since one that was held up
  would make the others look faster. The same goes for scikit-learn; the others are
  loops without such a beginning. A run is about {seconds:g} s or longer, and
  {LONGER * seconds:g} s from {WIDE / 1e9:.0f} GFLOP a step on.
- **Rounds.** Each contender has a process of its own, the others are stopped meanwhile,
  and rounds are interleaved, {rounds} of them, in an order that changes. Times are
  medians over the rounds. A ratio is a peer's time over ours in the same round: the
  median, with the least and the most.
- **Least times.** Other programs on the machine can only make a run longer. So a further
  table has everyone's fastest round, and ratios of these.
- **Threads.** A peer runs with one thread and with all, and the better counts; from
  {WIDE / 1e9:.0f} GFLOP a step on with all only.

The ceiling is {ceiling.name}, in float32, measured in the
rounds of every net, of which the highest counts. A step's operations are those of its
matrix products; all else counts as time only. In shares by median times, what other
programs take is missing.
"""


def held_to(isa: str | None) -> str:
    """How all came to use no instructions but these."""
    if isa is None:
        return ""
    settings = ", ".join(f"`{k}={v}`" for k, v in SETTINGS[isa].items())
    return (
        f"- **Instructions.** The machine has more, but everyone is held to "
        f"{isa.upper()},\n  and so is the ceiling: {settings}.\n"
    )


def processor() -> str:
    """The processor's name, as the system gives it."""
    about = Path("/proc/cpuinfo")
    if about.exists():
        for line in about.read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} ({platform.machine()})"
    return platform.processor() or platform.machine()


def summaries(nets: Sequence[Measured]) -> str:
    """Tables of every net: shuffled, its fastest rounds, and batches that lie ready."""
    shuffled = [m for m in nets if m.job.shuffled]
    ready = [m for m in nets if not m.job.shuffled]
    return (
        "## A training step\n\nThe time of a step of ours, its share of the ceiling, and "
        "how many times as long each peer's takes. Rows are shuffled in each epoch.\n\n"
        f"{_summary(shuffled)}\n\n"
        "The same by least times, ours and the peers' in their fastest rounds:\n\n"
        f"{_summary(shuffled, least=True)}\n\n"
        "By medians again, where the batches lie ready, in the same order in each "
        "epoch:\n\n"
        f"{_summary(ready)}\n\n## Each net\n"
    )


def _summary(nets: Sequence[Measured], least: bool = False) -> str:
    """Every net in a row: our time, and the peers' ratios to it, by medians or least."""
    peers = list(dict.fromkeys(t.contender for m in nets for t in m.timings[1:]))
    rows = []
    for m in nets:
        own = m.ours.least if least else m.ours.typical
        ratios = [m.least_ratio(p) if least else m.ratio(p) for p in peers]
        rows.append(
            [
                f"{m.job.net}, {m.job.batch}, {m.job.optimizer}",
                time_of(own),
                *_of_ceiling(m, own),
                *map(_times, ratios),
            ]
        )
    return table(["net, batch, optimizer", "kokuban", *_ceilings(), *peers], rows)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{figures(ratio)} x"


def _ceilings() -> list[str]:
    """Headings; with a single processor there is one ceiling."""
    counts = dict.fromkeys((1, all_threads()))
    return [f"of {n} core{'s' * (n > 1)}" for n in counts]


def _of_ceiling(measured: Measured, seconds: float) -> list[str]:
    share = measured.gflops(seconds)
    heights = measured.ceiling[: len(_ceilings())]
    return [f"{share / height:.0%}" for height in heights]


def details(measured: Measured, alone: float) -> str:
    """One net: everyone's time, ratio, speed, and how near the first losses are."""
    job, ours = measured.job, measured.ours
    rows = [
        [
            t.name,
            time_of(t.typical),
            time_of(t.least),
            "1" if t is ours else str(t.over(ours)),
            figures(measured.gflops(t.typical)),
            *_of_ceiling(measured, t.typical),
            "" if t is ours else f"{t.apart:.1g}",
        ]
        for t in measured.timings
    ]
    times = ["a step", "least", "ratio to ours"]
    head = ["", *times, "GFLOP/s", *_ceilings(), "losses apart"]
    heights = " and ".join(
        f"{figures(h)} GFLOP/s {n}"
        for h, n in zip(measured.ceiling, _ceilings(), strict=False)
    )
    losses = ", ".join(f"{loss:.6f}" for loss in ours.losses)
    text = (
        f"### {job.title}\n\n"
        f"{figures(job.flop / 1e6)} MFLOP a step, {job.steps} steps an epoch; the "
        f"ceiling is {heights}. With no other contender started, ours takes "
        f"{time_of(alone)} a step, among them {time_of(ours.typical)}. "
        f"First losses: {losses}.\n\n{table(head, rows)}\n"
    )
    if swing := measured.unsteady(alone):
        text += (
            f"\n**Not steady:** our own times differ by a factor of {swing:.2g}, alone "
            "and over the rounds; the ratios here are no better than that.\n"
        )
    return text + "".join(f"\nLeft out: {why}\n" for why in measured.left_out)


def other_shapes(shapes: Shapes) -> str:
    """The picture and its figures."""
    text = (
        "## Other shapes\n\n![Speed against width, batch and depth](benchmarks.svg)\n\n"
        "The time of a step of ours with SGD, rows shuffled in each epoch, and the "
        "peers' median ratios to it.\n"
    )
    for what, found in shapes.items():
        taking_part = [
            name for name in IN_SHAPES[1:] if any(m.of(name) for m in found.values())
        ]
        rows = []
        for value, m in found.items():
            cells = [_times(m.ratio(p)) for p in taking_part]
            ours = [time_of(m.ours.typical), *_of_ceiling(m, m.ours.typical)]
            rows.append([str(value), *ours, *cells])
        head = [what, "kokuban", *_ceilings(), *taking_part]
        text += f"\n{FIXED[what]}:\n\n{table(head, rows)}\n"
        swings = {v: s for v, m in found.items() if (s := m.unsteady())}
        if swings:
            shown = ", ".join(f"{v} ({s:.2g})" for v, s in swings.items())
            text += f"\n**Not steady** over the rounds, by a factor: {what} {shown}.\n"
        why = sorted({line for m in found.values() for line in m.left_out})
        text += "".join(f"\nLeft out: {line}\n" for line in why)
    return text


def first_steps(job: Job, found: Mapping[str, list[float]]) -> str:
    """Until the first step is done."""
    return _against_ours(
        f"## The first step\n\n{job.net}, batch {job.batch}: from before the net is "
        "built to the end of the first step, compilation included, in a fresh process "
        "that has imported its library and has one batch of data. All threads. "
        "scikit-learn's counts two steps, since it takes start weights only after one.",
        found,
    )


def imports(found: Mapping[str, list[float]]) -> str:
    """How long an import takes."""
    rows = [
        [f"`{name}`", time_of(median(s)), f"{time_of(min(s))} to {time_of(max(s))}"]
        for name, s in found.items()
    ]
    return (
        "## Import\n\nIn a fresh process, without the interpreter's own start.\n\n"
        f"{table(['', 'median', 'least to most'], rows)}\n"
    )


def predictions(job: Job, timings: Sequence[Timing]) -> str:
    """One row at a time."""
    return _against_ours(
        f"## One-row prediction\n\n{job.net}: the probabilities of one row, the row "
        "ready in the library's own array. JAX runs without asynchronous dispatch, which "
        "is faster here.",
        {t.name: t.seconds for t in timings},
    )


def memory(found: Mapping[Job, Mapping[str, float]]) -> str:
    """The peak, against what must be held."""
    text = (
        "## Memory\n\nThe most bytes in use while a net is built and trained for "
        f"{fresh.EPOCHS} epochs, with no callback, above those after the import, in a "
        "fresh process; against the sum of the weights, the optimizer's state, a batch's "
        "activations and the data. The batches lie ready, since to shuffle them some "
        "would hold a copy of the data.\n"
    )
    for job, peaks in found.items():
        least = job.least_bytes
        rows = [
            [name, megabytes(peak), f"{peak / least:.2f}"] for name, peak in peaks.items()
        ]
        text += (
            f"\n{job.net}, batch {job.batch}, {job.optimizer}, {megabytes(least)}:\n\n"
            f"{table(['', 'peak', 'of that sum'], rows)}\n"
        )
    return text


def sizes(found: Mapping[str, tuple[int, int]]) -> str:
    """On disk."""
    rows = [
        [name, megabytes(own), megabytes(all_)] for name, (own, all_) in found.items()
    ]
    head = ["", "the package", "with all it requires"]
    return f"## Installed size\n\n{table(head, rows)}\n"


def digits(found: Mapping[Run, list[float]], accuracy: Mapping[Run, float]) -> str:
    """The drop-in against what it stands in for."""
    (ours, own), *peers = found.items()
    theirs, seconds = min(peers, key=lambda item: median(item[1]))
    rows = [
        [f"`{run[0]}`", time_of(median(spent)), f"{accuracy[run]:.3f}", ratio]
        for run, spent, ratio in (
            (ours, own, "1"),
            (theirs, seconds, str(Ratio.of(seconds, own))),
        )
    ]
    return (
        f"## Digits\n\n`MLPClassifier((256, 128), batch_size=32)`, Adam, {EPOCHS} epochs "
        "of 80 % of scikit-learn's handwritten digits; fresh processes.\n\n"
        f"{table(['', 'fit', 'held-out accuracy', 'ratio to ours'], rows)}\n"
    )


def _against_ours(text: str, found: Mapping[str, list[float]]) -> str:
    ours = found[OURS.name]
    rows = [
        [name, time_of(median(s)), "1" if s is ours else str(Ratio.of(s, ours))]
        for name, s in found.items()
    ]
    return f"{text}\n\n{table(['', 'median', 'ratio to ours'], rows)}\n"
