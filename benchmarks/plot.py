"""The picture: speed against width, batch and depth, with the ceiling drawn in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.steps import FIXED, IN_SHAPES, Measured
from benchmarks.team import all_threads

COLOURS = ("#000000", "#009e73", "#e69f00", "#d55e00", "#0072b2")
AXES = {
    "width": "units of a hidden layer",
    "batch": "rows of a batch",
    "depth": "hidden layers",
}
Shapes = Mapping[str, Mapping[int, Measured]]


def draw(shapes: Shapes, path: Path) -> None:
    """One field for each thing that changes."""
    # with a salt of its own, the same figures give the same file
    with matplotlib.rc_context({"svg.hashsalt": "kokuban", "font.size": 9}):
        figure = Figure(figsize=(10, 4), layout="constrained")
        fields = figure.subplots(1, len(shapes), sharey=True, squeeze=False)[0]
        for axes, (what, found) in zip(fields, shapes.items(), strict=True):
            _field(axes, what, found)
        fields[0].set_ylabel("GFLOP/s, training (SGD, float32)")
        lines, names = fields[0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names))
        figure.savefig(path, metadata={"Date": None})


def _field(axes: Axes, what: str, found: Mapping[int, Measured]) -> None:
    for name, colour in zip(IN_SHAPES, COLOURS, strict=True):
        points = [
            (value, measured.gflops(timing.typical))
            for value, measured in found.items()
            if (timing := measured.of(name))
        ]
        if points:
            wide = 2.2 if name == IN_SHAPES[0] else 1.2
            axes.plot(
                *zip(*points, strict=True), ".-", color=colour, linewidth=wide, label=name
            )
    for place, threads in enumerate(dict.fromkeys((1, all_threads()))):
        height = max(m.ceiling[place] for m in found.values())
        axes.axhline(height, color="0.5", linestyle="--", linewidth=1)
        cores = f"{threads} core" if threads == 1 else f"{threads} cores"
        axes.annotate(
            f"ceiling, {cores}",
            (0.02, height),
            xycoords=("axes fraction", "data"),
            xytext=(0, 2),
            textcoords="offset points",
            color="0.35",
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(list(found), labels=list(map(str, found)))
    axes.minorticks_off()
    axes.grid(alpha=0.25)
    axes.set(xlabel=AXES[what], title=FIXED[what])
