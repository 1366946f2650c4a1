"""What was measured, as Markdown."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

from benchmarks.report import figures, processor, table, time_of
from benchmarks.tabular.kept import QUIET, Fit
from benchmarks.tabular.measures import BINS, LEAST
from benchmarks.tabular.methods import FAST, METHODS, OURS, REFERENCE, SIX
from benchmarks.tabular.ranks import (
    Results,
    Scores,
    Value,
    geometric,
    main_measure,
    measure,
    p_of_all,
    p_of_pairs,
    ranks,
)

LARGE = 2000
DISTRIBUTIONS = {"sklearn": "scikit-learn"}
Groups = Mapping[str, str]
"""Of each set, where it is from."""


def document(fits: Sequence[Fit], groups: Groups, command: str) -> str:
    """All of it."""
    results = Results(fits)
    parts = [
        opening(results, command),
        "## In short\n",
        summary(fits),
        "\n![Error against the CPU time to fit](tabular-benchmarks.svg)\n",
        by_group(results, groups),
        tests(results),
        "## Set by set\n\nMeans over the splits, their number in brackets where others "
        "have more; of those with all splits the best in bold.\n",
        tables(results, "error", "Error, %", 100),
        tables(results, "nrmse", "nRMSE", 1),
        tables(results, "log_loss", "Log-loss", 1),
        tables(results, "auc", "AUC", 1, best=max),
        tables(results, "ece", "Calibration error, %", 100),
        times(results, "CPU time to fit", lambda fit: fit.cpu[0], mark=False),
        times(results, "Time on the clock to fit", lambda fit: fit.seconds[0], mark=True),
        times(
            results,
            "CPU time to predict, a thousand rows",
            lambda fit: 4000 * fit.cpu[1] / fit.rows,
            mark=False,
        ),
    ]
    return "\n".join(part for part in parts if part)


def opening(results: Results, command: str) -> str:
    """How it was measured, where, and who took part."""
    modules = dict.fromkeys(
        METHODS[m].library.partition(":")[0].partition(".")[0]
        for m in results.methods
        if m in METHODS
    )
    names = [DISTRIBUTIONS.get(m, m) for m in ("numpy", *modules) if m != "kokuban"]
    versions = ", ".join(f"{name} {_version(name)}" for name in names)
    threads = " or ".join(str(n) for n in sorted({f.threads for f in results.fits}))
    absent = [m for m in METHODS if m not in results.methods]
    missing = f"\nNot measured: {', '.join(absent)}.\n" if absent else ""
    return f"""# Tables

Written by `{command}`, from what `benchmarks/tabular/results.jsonl` keeps.

{processor()}, {os.cpu_count()} processors; each fit ran with {threads} thread(s).
Python {platform.python_version()}, {versions}.

Everyone has the same rows: split k holds out a quarter of a set, drawn by the seed k, in
the proportions of the classes. Everyone has its defaults. *linear* is logistic or ridge
regression (its penalty by cross-validation); *kokuban MLP* is `MLPClassifier` or
`MLPRegressor`, as in *sklearn MLP*; all three get medians for missing numbers,
standardised columns, one-hot categories, and the nets a standardised target. Gradient
boosting gets categories and missing values as such; RealMLP gets categories, and medians.

Error is the share of wrong classes; nRMSE the root of the mean square error over the
target's standard deviation; both on the rows held out. Log-loss counts a probability
below {LEAST:.2g} as that. AUC of more than two classes is the mean of each against the
rest. Calibration error is the expected one, over {BINS} bins of the highest probability.

CPU time is that of all threads together. Other programs on the machine change it little;
time on the clock they change much, and it is in brackets where they had more than
{QUIET:.0%} of the processors in the median fit.
{missing}"""


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "(not here)"


def _present(results: Results, *names: str) -> list[str]:
    return [name for name in names if name in results.methods]


def summary(fits: Sequence[Fit]) -> str:
    """Every method in a row: ranks, ratios to the reference, times."""
    results = Results(fits)
    six = _present(results, *SIX)
    everyone = results.methods
    extra = [m for m in everyone if m not in METHODS]
    fields = [
        (f"among {len(six) + 1}, with {own}", [own, *six])
        for own in (*_present(results, OURS, FAST), *extra)
    ]
    whole = [
        m
        for m in everyone
        if len(results.scores([m], main_measure)) == len(results.tables)
    ]
    fields.append(("among all", whole))
    columns = [
        (f"rank of {what}, {title}", ranks(results.scores(field, value)))
        for what, value in _RANKED
        for title, field in fields
        if field is not whole or value is main_measure
    ]
    rows = []
    for method in everyone:
        cells = [_or_dash(column.get(method), "{:.2f}") for _, column in columns]
        cells += [_or_dash(ratio(results, method, size), "{:.3f}") for size in _SIZES]
        number = sum(len(results.cell(name, method)) for name in results.tables)
        rows.append([method, str(number), *cells, *_times(results, method)])
    head = [
        "",
        "fits",
        *(title for title, _ in columns),
        f"error to {REFERENCE}'s, {LARGE:,} rows and more",
        "on fewer rows",
        "CPU to fit",
        f"of {REFERENCE}'s",
    ]
    return (
        "Mean ranks over the sets, of error or nRMSE, 1 the best; geometric means over "
        "the sets, of the ratios of errors or nRMSEs (half a mistake added, since errors "
        "can be 0) and of CPU times. Whoever is compared, it is over the sets and splits "
        f"that all of them have.\n\n{table(head, rows)}\n"
    )


def _missed_auc(fit: Fit) -> float | None:
    auc = fit.measures.get("auc")
    return None if auc is None else 1 - auc


_RANKED: tuple[tuple[str, Value], ...] = (
    ("error", main_measure),
    ("log-loss", measure("log_loss")),
    ("AUC", _missed_auc),
)

_SIZES: tuple[Callable[[Fit], bool], ...] = (
    lambda fit: fit.rows >= LARGE,
    lambda fit: fit.rows < LARGE,
)


def ratio(results: Results, method: str, chosen: Callable[[Fit], bool]) -> float | None:
    """The geometric mean, over the chosen sets, of errors to the reference's."""
    scores = results.scores([method, REFERENCE], main_measure)
    return geometric(
        row[method] / row[REFERENCE]
        for name, row in scores.items()
        if chosen(results.tables[name])
    )


def _times(results: Results, method: str) -> list[str]:
    def cpu(fit: Fit) -> float:
        return fit.cpu[0]

    own = results.scores([method], cpu)
    both = results.scores([method, REFERENCE], cpu)
    seconds = geometric(row[method] for row in own.values())
    share = geometric(row[method] / row[REFERENCE] for row in both.values())
    return ["-" if seconds is None else time_of(seconds), _or_dash(share, "{:.3g}")]


def _or_dash(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


def by_group(results: Results, groups: Groups) -> str:
    """Ranks by where the sets are from, and by their task."""
    field = [*_present(results, OURS), *_present(results, *SIX)]
    scores = results.scores(field, main_measure)
    about = results.tables
    parts: dict[str, Iterable[str]] = {
        "shared and scikit-learn's": [
            n for n in scores if groups[n] in ("shared", "scikit-learn")
        ],
        "others": [n for n in scores if groups[n] not in ("shared", "scikit-learn")],
        "classes": [n for n in scores if about[n].task == "classes"],
        "numbers": [n for n in scores if about[n].task == "numbers"],
        f"{LARGE:,} rows and more": [n for n in scores if about[n].rows >= LARGE],
        "fewer rows": [n for n in scores if about[n].rows < LARGE],
    }
    rows = []
    for title, names in parts.items():
        chosen = {name: scores[name] for name in names}
        means = ranks(chosen)
        if means:
            rows.append([title, str(len(chosen)), *(f"{means[m]:.2f}" for m in field)])
    return (
        "### Mean ranks by kind of set\n\nAmong those in the table; error or nRMSE.\n\n"
        f"{table(['', 'sets', *field], rows)}\n"
    )


def tests(results: Results) -> str:
    """What the ranks are worth."""
    own = next(iter(_present(results, OURS, FAST)), None)
    if own is None:
        return ""
    scores: Scores = results.scores([own, *_present(results, *SIX)], main_measure)
    together, pairs = p_of_all(scores), p_of_pairs(scores, own)
    if together is None or not pairs:
        return ""
    told = ", ".join(f"{method} {p:.2g}" for method, p in pairs.items())
    return (
        f"### What that is worth\n\nOver {len(scores)} sets. Friedman's test of the "
        f"ranks of {own} and the other {len(pairs)}: p = {together:.2g}. Wilcoxon's test "
        f"of {own} against each, adjusted after Holm: {told}. Sets are few and not drawn "
        "at random; the tests say how far chance in the choice of sets would reach, no "
        "more.\n"
    )


def tables(
    results: Results,
    name: str,
    title: str,
    scale: float,
    best: Callable[[Iterable[float]], float] = min,
) -> str:
    """A measure, set by set."""
    rows = []
    for each, about in results.tables.items():
        cells, whole = [], []
        for method in results.methods:
            mean = results.mean(each, method, measure(name))
            fewer = results.fewer(each, method)
            cells.append("-" if mean is None else figures3(mean * scale) + fewer)
            if mean is not None and not fewer:
                whole.append(mean)
        if not whole:
            continue
        top = figures3(best(whole) * scale)
        shown = [f"**{cell}**" if cell == top else cell for cell in cells]
        rows.append([each, f"{about.rows:,}", str(results.splits(each)), *shown])
    if not rows:
        return ""
    head = ["", "rows", "splits", *results.methods]
    return f"### {title}\n\n{table(head, rows)}\n"


def figures3(value: float) -> str:
    """Three figures, 0 as it is."""
    return "0" if value == 0 else figures(value) if value >= 0.1 else f"{value:.2g}"


def times(
    results: Results, title: str, value: Callable[[Fit], float], *, mark: bool
) -> str:
    """Times, set by set; `mark` puts those in brackets that others disturbed."""
    rows = []
    for name, about in results.tables.items():
        cells = []
        for method in results.methods:
            mean = results.mean(name, method, value)
            text = "-" if mean is None else time_of(mean)
            noisy = [not fit.quiet for fit in results.cell(name, method).values()]
            spoiled = mark and mean is not None and 2 * sum(noisy) > len(noisy)
            cells.append(f"({text})" if spoiled else text)
        rows.append([name, f"{about.rows:,}", str(about.columns), *cells])
    head = ["", "rows", "columns", *results.methods]
    return f"### {title}\n\n{table(head, rows)}\n"
