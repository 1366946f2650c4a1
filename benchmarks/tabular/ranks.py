"""From fits to what is said of them: means over the splits, ranks, ratios, tests."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import exp, log

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, wilcoxon

from benchmarks.tabular.kept import Fit
from benchmarks.tabular.methods import METHODS

Value = Callable[[Fit], float | None]
Scores = Mapping[str, Mapping[str, float]]
"""Of each set, of each method, the less the better."""


@dataclass(frozen=True)
class Results:
    """The fits of some sets and methods."""

    fits: Sequence[Fit]

    @cached_property
    def _by_cell(self) -> Mapping[tuple[str, str], Mapping[int, Fit]]:
        cells: dict[tuple[str, str], dict[int, Fit]] = defaultdict(dict)
        for fit in self.fits:
            cells[fit.table, fit.method][fit.split] = fit
        return cells

    @cached_property
    def tables(self) -> dict[str, Fit]:
        """Sets, each with one of its fits; classes first, then by rows."""
        found = {fit.table: fit for fit in self.fits}
        order = sorted(found.values(), key=lambda f: (f.task, f.rows, f.table))
        return {fit.table: fit for fit in order}

    @cached_property
    def methods(self) -> list[str]:
        """Methods, the known ones first and in their order."""
        found = dict.fromkeys(fit.method for fit in self.fits)
        return [m for m in METHODS if m in found] + [m for m in found if m not in METHODS]

    def cell(self, table: str, method: str) -> Mapping[int, Fit]:
        """A method's fits on a set, by split; where it is the same as another, those."""
        alike = METHODS[method].of_classes if method in METHODS else None
        if alike is not None and self.tables[table].task == "classes":
            method = alike
        return self._by_cell.get((table, method), {})

    def splits(self, table: str) -> int:
        """How many splits of a set were measured, by whoever measured the most."""
        return max(len(self.cell(table, method)) for method in self.methods)

    def fewer(self, table: str, method: str) -> str:
        """The number of splits in brackets, where others have more."""
        number = len(self.cell(table, method))
        return f" ({number})" if 0 < number < self.splits(table) else ""

    def mean(self, table: str, method: str, value: Value) -> float | None:
        """Over the splits of a set; None where there is no such value."""
        values = [value(fit) for fit in self.cell(table, method).values()]
        known = [v for v in values if v is not None]
        return float(np.mean(known)) if known else None

    def scores(self, methods: Iterable[str], value: Value) -> dict[str, dict[str, float]]:
        """Means over the splits that all these have; a set without any is left out."""
        found: dict[str, dict[str, float]] = {}
        names = list(methods)
        for table in self.tables if names else ():
            cells = {method: self.cell(table, method) for method in names}
            shared = set.intersection(*(set(cell) for cell in cells.values()))
            values = {m: [value(cell[k]) for k in shared] for m, cell in cells.items()}
            known = {m: [v for v in vs if v is not None] for m, vs in values.items()}
            if shared and known == values:
                found[table] = {m: float(np.mean(vs)) for m, vs in known.items()}
        return found


def measure(name: str) -> Value:
    """A measure of a fit, where its task has it."""
    return lambda fit: fit.measures.get(name)


def ranks(scores: Scores) -> dict[str, float]:
    """The mean rank of each method, 1 the best; equals share theirs."""
    if not scores:
        return {}
    methods = list(next(iter(scores.values())))
    values = np.array([[row[m] for m in methods] for row in scores.values()])
    # figures that differ by less than a rounding are equal
    means = rankdata(values.round(9), axis=1).mean(axis=0)
    return dict(zip(methods, means.tolist(), strict=True))


def geometric(values: Iterable[float]) -> float | None:
    """The geometric mean; None of nothing."""
    logs = [log(value) for value in values]
    return exp(sum(logs) / len(logs)) if logs else None


def main_measure(fit: Fit) -> float:
    """Error or nRMSE, by which methods are ranked.

    Errors can be 0, and ratios are taken of them: half a mistake in the held-out rows of
    a split is added to each.
    """
    if fit.task == "numbers":
        return fit.measures["nrmse"]
    return fit.measures["error"] + 0.5 / (fit.rows / 4)


def p_of_all(scores: Scores) -> float | None:
    """Friedman's test: how likely such ranks are if the methods do not differ."""
    if len(scores) < 3 or len(next(iter(scores.values()))) < 3:
        return None
    columns = np.array([list(row.values()) for row in scores.values()]).T
    return float(friedmanchisquare(*columns).pvalue)


def p_of_pairs(scores: Scores, ours: str) -> dict[str, float]:
    """Wilcoxon's signed ranks of log ratios, ours to each, adjusted after Holm."""
    if len(scores) < 5:
        return {}
    others = [m for m in next(iter(scores.values())) if m != ours]
    raw = {}
    for other in others:
        gaps = [log(row[ours] / row[other]) for row in scores.values()]
        raw[other] = float(wilcoxon(gaps, zero_method="zsplit").pvalue)
    adjusted, most = {}, 0.0
    for place, other in enumerate(sorted(raw, key=raw.__getitem__)):
        most = max(most, min(1.0, (len(raw) - place) * raw[other]))
        adjusted[other] = most
    return {other: adjusted[other] for other in others}
