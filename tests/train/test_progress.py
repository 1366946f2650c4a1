"""The progress bar fits its terminal."""

from typing import Any

import pytest

from kokuban.train.progress import Bar, numbers

RECORD = {
    "epoch": 59.0,
    "loss": 0.003305,
    "rate": 1e-3,
    "val_loss": 0.0812,
    "val_accuracy": 0.9792,
    "seconds": 0.1,
    "rows": 1437.0,
}


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120])
def test_one_line_with_bar_loss_and_time_left(
    width: int, monkeypatch: pytest.MonkeyPatch, capfd: Any
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    with Bar(60, 45, 0, show=True) as bar:
        bar.to(59 * 45)
        bar.epoch(RECORD)
    lines = capfd.readouterr().err.rstrip("\n").split("\n")
    assert len(lines) == 1
    assert len(lines[0]) <= width
    assert "60/60 ━" in lines[0]
    assert "loss 0.00331" in lines[0]
    assert ("val_accuracy 0.979" in lines[0]) == (width >= 80)
    assert ("14,370 rows/s" in lines[0]) == (width >= 60)
    assert lines[0].rstrip().endswith((":00", ":--"))
    assert "…" not in lines[0]


def test_numbers_that_fit() -> None:
    assert numbers(RECORD, 5) == "loss 0.00331"
    assert numbers(RECORD, 31) == "loss 0.00331"
    assert numbers(RECORD, 32) == "loss 0.00331  val_accuracy 0.979"
    assert numbers(RECORD, 80) == "loss 0.00331  val_accuracy 0.979  val_loss 0.0812"
