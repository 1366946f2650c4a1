"""Interleaved rounds, and what is said of them."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)


def interleaved(
    runs: Mapping[Key, Callable[[], float]], rounds: int
) -> dict[Key, list[float]]:
    """Everyone once a round, in a new order each round; what each one's runs gave."""
    found: dict[Key, list[float]] = {key: [] for key in runs}
    rng, order = random.Random(0), list(runs)
    for _ in range(rounds):
        rng.shuffle(order)
        for key in order:
            found[key].append(runs[key]())
    return found


def enough(run: Callable[[int], float], seconds: float) -> int:
    """How many at once take about so long, or somewhat longer.

    The lesser of two runs counts: one that compiles, or is held up, would look long
    enough by itself, and next to nothing be what is measured.
    """
    number = 1
    while (spent := min(run(number), run(number))) < seconds / 16:
        number = min(100 * number, math.ceil(number * seconds / spent))
    return math.ceil(number * max(1.0, seconds / spent))


@dataclass(frozen=True)
class Ratio:
    """A ratio that was taken in every round."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, over: Sequence[float], under: Sequence[float]) -> Ratio:
        """Round by round."""
        ratios = [a / b for a, b in zip(over, under, strict=True)]
        return cls(median(ratios), min(ratios), max(ratios))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({self.least:.3g} to {self.most:.3g})"


def say(text: str) -> None:
    """How far it is, beside what is printed as the result."""
    print(text, file=sys.stderr, flush=True)
