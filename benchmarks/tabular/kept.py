"""What was measured: a file of JSON, a line a fit, of which the last counts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

Key = tuple[str, str, int]
"""A set, a method, a split."""
QUIET = 0.1


@dataclass(frozen=True)
class Fit:
    """One fit.

    measures    error, log_loss, auc, ece of classes; nrmse of numbers
    seconds     on the clock: of the fit, of the prediction of all held-out rows
    cpu         CPU seconds of the same two, all threads and processes
    others      the share of the processors that other programs had during the fit,
                None where the system does not tell, or the fit was too short to
    """

    table: str
    method: str
    split: int
    task: str
    rows: int
    columns: int
    measures: dict[str, float]
    seconds: tuple[float, float]
    cpu: tuple[float, float]
    threads: int
    others: float | None

    @property
    def key(self) -> Key:
        """What it was a fit of."""
        return self.table, self.method, self.split

    @property
    def quiet(self) -> bool:
        """Whether nothing is known of others that would spoil the time on the clock."""
        return self.others is None or self.others <= QUIET

    @property
    def main(self) -> float:
        """The measure by which methods are ranked: error, or nRMSE."""
        return self.measures["error" if self.task == "classes" else "nrmse"]


class Kept:
    """The file, and what is in it; a line is written as soon as it is known."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.fits = {fit.key: fit for fit in _lines(path)}

    def add(self, record: dict[str, Any]) -> Fit:
        """Keep a fit, in place of an earlier one of the same key."""
        fit = _fit(record)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            print(json.dumps(asdict(fit)), file=file)
        self.fits[fit.key] = fit
        return fit

    def tidy(self) -> None:
        """Write the file anew, in order, without what was measured again since."""
        lines = [json.dumps(asdict(self.fits[key])) for key in sorted(self.fits)]
        fresh = self._path.with_suffix(".new")
        fresh.write_text("\n".join(lines) + "\n", encoding="utf-8")
        fresh.replace(self._path)

    def of(self, tables: Iterable[str], methods: Iterable[str]) -> list[Fit]:
        """Those of these sets and methods."""
        tables, methods = set(tables), set(methods)
        return [
            f for f in self.fits.values() if f.table in tables and f.method in methods
        ]


def _lines(path: Path) -> Iterator[Fit]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            yield _fit(json.loads(line))
        except (ValueError, TypeError) as error:
            raise SystemExit(
                f"{path}, line {number} is no record of a fit ({error}); "
                "take the line out, and its fit is done again"
            ) from error


def _fit(record: dict[str, Any]) -> Fit:
    pairs = {name: tuple(record[name]) for name in ("seconds", "cpu")}
    return Fit(**{**record, **pairs})
