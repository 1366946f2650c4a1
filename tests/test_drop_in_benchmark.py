"""The benchmark of the drop-in trains the same networks and tells what it measured."""

from __future__ import annotations

from pathlib import Path

import pytest
from benchmarks.drop_in import (
    OURS,
    SETS,
    SHARED,
    THEIRS,
    TYPES,
    Result,
    Run,
    drop_in,
    one,
    summary,
)
from threadpoolctl import threadpool_limits


def test_the_drop_in_s_losses_are_scikit_learn_s() -> None:
    runs = (OURS, "float64"), (OURS, "dtype"), (THEIRS, "float64")
    with threadpool_limits(1):  # on a busy machine theirs would wait for each other
        losses = {run: one(*run, "digits", SHARED)[1] for run in runs}
    assert losses[OURS, "float64"] == pytest.approx(losses[THEIRS, "float64"], 1e-9)
    assert losses[OURS, "dtype"] != losses[THEIRS, "float64"]
    assert losses[OURS, "dtype"] == pytest.approx(losses[THEIRS, "float64"], 1e-3)


def test_its_table_has_the_quickest_of_theirs() -> None:
    seconds = {Run(OURS, kind, 2): [1.0, 2.0, 3.0] for kind in TYPES}
    seconds |= {Run(THEIRS, k, n): [4.0 * n] * 3 for k in TYPES[:2] for n in (1, 2)}
    losses = dict.fromkeys(seconds, 0.5)
    rows = summary([Result("digits", (5, 3), 0.5, seconds, losses)]).splitlines()[2:]
    assert len(rows) == len(TYPES)
    for row in rows:
        assert "| 5 × 3 | 50% | default |" in row
        assert "| 2.00 s | 4.00 s, threads: 1 | 2 (1.33 to 4) |" in row


def test_sets_that_are_not_there_are_left_out(tmp_path: Path) -> None:
    assert drop_in(1, [name for name in SETS if name != "digits"], tmp_path) == []
