"""One parameter on trial: what is compared, and the numerical evidence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kokuban.expr import Symbol
from kokuban.gradcheck.probe import Estimate, Loss, Place, Probe
from kokuban.gradcheck.schemes import Matrix


@dataclass(frozen=True, slots=True)
class Compared:
    """Two values of one derivative, and how far apart they may be."""

    place: Place | None
    given: float
    against: float
    allowed: float

    @property
    def gap(self) -> float:
        """How far apart they are; infinite where one is not a number."""
        gap = abs(self.given - self.against)
        return math.inf if math.isnan(gap) else gap

    @property
    def failed(self) -> bool:
        """Whether they are further apart than allowed."""
        return not self.gap <= self.allowed

    @property
    def excess(self) -> float:
        """The gap over what is allowed: what ranks the worst entry."""
        if not self.gap:
            return 0.0
        return self.gap / self.allowed if self.allowed else math.inf


@dataclass(frozen=True, slots=True)
class Case:
    """One parameter: its derived gradient, a claim or None, and what may differ."""

    symbol: Symbol
    value: Matrix
    gradient: Matrix
    claim: Matrix | None
    rtol: float
    atol: float
    loss: Loss
    probe: Probe
    rng: np.random.Generator

    @property
    def tested(self) -> Matrix:
        """What is on trial: the claim, where there is one."""
        return self.gradient if self.claim is None else self.claim

    def compared(
        self, place: Place | None, given: float, against: float, bound: float
    ) -> Compared:
        """Two values within rtol of the larger, plus atol, plus `bound`."""
        size = max(abs(given), abs(against)) if math.isfinite(given) else abs(against)
        return Compared(place, given, against, self.rtol * size + self.atol + bound)


@dataclass(frozen=True, slots=True)
class Evidence:
    """The numerical derivatives of one parameter, and the derived ones beside them.

    `defined` and `undefined` are by entry, `sides` how many along directions; `sharp` are
    those good enough to judge by, `hidden` the number of the others; `compared` holds
    the derived gradient against each, but for those hidden.
    """

    defined: dict[Place, Estimate]
    undefined: dict[Place, Estimate]
    sides: int
    sharp: list[Estimate]
    hidden: int
    compared: list[Compared]

    @property
    def usual(self) -> float:
        """The median bound of those sharp enough."""
        return float(np.median([e.bound for e in self.sharp] or [0.0]))

    @property
    def sound(self) -> bool:
        """Whether the derived gradient agrees."""
        return not any(c.failed for c in self.compared)
