"""The picture: error against the CPU time to fit, both as ratios to the reference's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.tabular.kept import Fit
from benchmarks.tabular.methods import REFERENCE
from benchmarks.tabular.ranks import Results, geometric
from benchmarks.tabular.report import LARGE, ratio

OWN = "#000000"
PEERS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9", "#999999")


def draw(fits: Sequence[Fit], path: Path) -> None:
    """Sets of many rows on the left, of few on the right."""
    results = Results(fits)
    # with a salt of its own, the same figures give the same file
    with matplotlib.rc_context({"svg.hashsalt": "kokuban", "font.size": 9}):
        figure = Figure(figsize=(10, 4.2), layout="constrained")
        large, small = figure.subplots(1, 2)
        _field(large, results, f"{LARGE:,} rows and more", many=True)
        _field(small, results, f"fewer than {LARGE:,} rows", many=False)
        large.set_ylabel(f"error or nRMSE, of {REFERENCE}'s")
        lines, names = large.get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=min(6, len(names)))
        figure.savefig(path, metadata={"Date": None})


def _field(axes: Axes, results: Results, title: str, *, many: bool) -> None:
    def chosen(fit: Fit) -> bool:
        return (fit.rows >= LARGE) == many

    peers = iter(PEERS * 3)
    for method in results.methods:
        own = method.startswith("kokuban")
        colour = OWN if own else next(peers)
        both = results.scores([method, REFERENCE], lambda fit: fit.cpu[0])
        cpu = geometric(
            row[method] for name, row in both.items() if chosen(results.tables[name])
        )
        error = ratio(results, method, chosen)
        if cpu is not None and error is not None:
            shape = "*" if own else "o"
            axes.plot(cpu, error, shape, color=colour, markersize=9, label=method)
            axes.annotate(
                method,
                (cpu, error),
                xytext=(5, 4),
                textcoords="offset points",
                fontsize=7,
            )
    axes.axhline(1, color="0.6", linestyle="--", linewidth=1)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.minorticks_off()
    axes.set_yticks(ticks := [0.8, 0.9, 1, 1.2, 1.5, 2], labels=[f"{t:g}" for t in ticks])
    axes.grid(alpha=0.25)
    axes.set(xlabel="CPU seconds to fit, geometric mean", title=title)
