"""Schedules: the learning rate as a function of how far training has come.

A schedule is a frozen record and a pure function of the progress, so a resumed run
meets the rates that it would have met. k is the number of updates made (0 at the first
update), n the planned one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Literal, final

from kokuban.errors import SettingError
from kokuban.settings import (
    ABOVE_0_TO_1,
    AT_LEAST_0,
    FROM_0_TO_1,
    Range,
    hold,
    hold_choice,
    hold_whole,
)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far training has come when an update is about to be made.

    step      updates made so far: 0 at the first
    epoch     epochs finished so far
    samples   samples seen in the finished epochs, with repetition
    total     updates planned altogether, or None where nobody knows
    """

    step: int
    epoch: int = 0
    samples: int = 0
    total: int | None = None


@dataclass(frozen=True)
class Schedule(ABC):
    """What every schedule is: progress in, learning rate out."""

    @abstractmethod
    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""


def _share_done(schedule: Schedule, steps: int | None, at: Progress) -> float:
    """k/n, at most 1; n is the schedule's own number of steps, or the run's."""
    length = at.total if steps is None else steps
    if length is None:
        raise SettingError(
            f"{type(schedule).__name__} needs to know where training ends: give it "
            "steps=, or train for a fixed number of epochs."
        )
    return min(at.step / length, 1.0)


@final
@dataclass(frozen=True)
class Constant(Schedule):
    """η_k = rate."""

    rate: float

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate")

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        return self.rate


@final
@dataclass(frozen=True)
class Step(Schedule):
    """η_k = rate · factor^⌊k / every⌋: a step down after every `every` epochs.

    With `unit="step"` k and `every` count updates instead. In use at least since
    Krizhevsky et al., "ImageNet classification with deep convolutional neural networks"
    (2012), section 5, who divided by 10 by hand.
    """

    rate: float
    every: int
    factor: float = 0.1
    unit: Literal["epoch", "step"] = "epoch"

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate")
        hold(self, ABOVE_0_TO_1, "factor")
        hold_whole(self, "every")
        hold_choice(self, "unit", ("epoch", "step"))

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        done = at.epoch if self.unit == "epoch" else at.step
        return float(self.rate * self.factor ** (done // self.every))


@final
@dataclass(frozen=True)
class InverseScaling(Schedule):
    """η_k = rate / (1 + k)^power.

    k counts updates, epochs (`unit="epoch"`), or the samples seen in the finished epochs
    (`unit="sample"`): the last is scikit-learn's `learning_rate="invscaling"`, whose rate
    changes once an epoch. Robbins and Monro, "A stochastic approximation method" (1951),
    ask of the rates that their sum diverge and the sum of their squares converge: over
    steps, 1/2 < power <= 1.
    """

    rate: float
    power: float = 0.5
    unit: Literal["step", "epoch", "sample"] = "step"

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate", "power")
        hold_choice(self, "unit", ("step", "epoch", "sample"))

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        done = {"step": at.step, "epoch": at.epoch, "sample": at.samples}[self.unit]
        return float(self.rate / (1 + done) ** self.power)


@final
@dataclass(frozen=True)
class Cosine(Schedule):
    """η_k = final + (rate - final)·(1 + cos(π k/n))/2 for k < n, then `final`.

    n is `steps`, or the run's number of updates. Loshchilov and Hutter, "SGDR: Stochastic
    gradient descent with warm restarts" (2017), arXiv:1608.03983, eq. 5, one period. A
    run without a known end and without `steps` is a SettingError.
    """

    rate: float
    final: float = 0.0
    steps: int | None = None

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate", "final")
        if self.steps is not None:
            hold_whole(self, "steps")

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        done = _share_done(self, self.steps, at)
        share = 0.5 + 0.5 * math.cos(math.pi * done)
        return self.final + (self.rate - self.final) * share


@final
@dataclass(frozen=True)
class LogCosine(Schedule):
    """η_k = rate·(1 - cos(2π log₂(1 + (2^cycles - 1) k/n)))/2, and 0 from n on.

    Waves up from 0 and down to 0, each twice as long as the one before. n is `steps`, or
    the run's number of updates. Holzmüller, Grinsztajn and Steinwart, "Better by
    default" (2024), arXiv:2407.04491, section 3. A run without a known end and without
    `steps` is a SettingError.
    """

    rate: float
    cycles: int = 4
    steps: int | None = None

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate")
        hold_whole(self, "cycles")
        if self.steps is not None:
            hold_whole(self, "steps")

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        done = _share_done(self, self.steps, at)
        waves = math.log2(1 + (2**self.cycles - 1) * done)
        return self.rate * 0.5 * (1 - math.cos(2 * math.pi * waves))


@final
@dataclass(frozen=True)
class WarmUp(Schedule):
    """η_k = η'_0·(k + 1)/(steps + 1) for k < steps, then η'_(k - steps), η' being `then`.

    A straight line up to the first rate of another schedule, or to a number; that
    schedule counts its updates from there, its epochs and samples from the beginning.
    Goyal et al., "Accurate, large minibatch SGD" (2017), arXiv:1706.02677, section 2.2.
    """

    steps: int
    then: Schedule | float

    def __post_init__(self) -> None:
        hold_whole(self, "steps")
        if not isinstance(self.then, Schedule):
            hold(self, AT_LEAST_0, "then")

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        left = None if at.total is None else max(at.total - self.steps, 1)
        after = replace(at, step=max(at.step - self.steps, 0), total=left)
        rate = schedule_of(self.then)(after)
        return rate * min((at.step + 1) / (self.steps + 1), 1.0)


@final
@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from rate·start to rate, down to rate·start, down to rate·end: three lines.

    The first two take `rise`·n updates each, the third the rest; n is `steps`, or the
    run's number of updates. The 1cycle policy of Smith and Topin, "Super-convergence:
    very fast training of neural networks using large learning rates" (2019),
    arXiv:1708.07120. They move the momentum the other way meanwhile; here it stays. A run
    without a known end and without `steps` is a SettingError.
    """

    rate: float
    rise: float = 0.45
    start: float = 0.1
    end: float = 0.001
    steps: int | None = None

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "rate")
        hold(self, Range("above 0 and at most 0.5", lambda x: 0 < x <= 0.5), "rise")
        hold(self, FROM_0_TO_1, "start", "end")
        if self.steps is not None:
            hold_whole(self, "steps")

    def __call__(self, at: Progress) -> float:
        """The learning rate of the update about to be made."""
        done = _share_done(self, self.steps, at)
        if done < 2 * self.rise:
            height = 1 - abs(done / self.rise - 1)  # 0 to 1 and back
            return self.rate * (self.start + (1 - self.start) * height)
        left = (1 - done) / (1 - 2 * self.rise) if self.rise < 0.5 else 0.0
        return self.rate * (self.end + (self.start - self.end) * left)


def schedule_of(rate: Schedule | float) -> Schedule:
    """A schedule as it is; a number as a constant one."""
    return rate if isinstance(rate, Schedule) else Constant(rate)
