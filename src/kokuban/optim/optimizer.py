"""What every optimizer is: gradients in, new values out, all of them expressions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from fnmatch import fnmatchcase
from typing import final

from kokuban.errors import ExpressionError, SettingError, ShapeError, unknown
from kokuban.expr import Expr, Symbol, symbol
from kokuban.ops import clip, maximum, sqrt, sum
from kokuban.optim.schedule import Progress, Schedule, schedule_of
from kokuban.settings import ABOVE_0, AT_LEAST_0, hold, real
from kokuban.shape import SCALAR, show

RATE = symbol("eta", SCALAR, "setting")  # the learning rate of the update
STEP = symbol("t", SCALAR, "setting")  # the number of the update: 1, 2, 3, …

GROUP_SETTINGS = ("rate_factor", "weight_decay")


@dataclass(frozen=True, slots=True)
class Updates:
    """One update of all parameters, written in the old values.

    assignments   the new value of each parameter, then of each slot
    slots         what the optimizer remembers: matrices of role "state", each of its
                  parameter's shape, 0 before the first update
    rate          the symbol η, 1×1: the learning rate, `optimizer.rate_at(progress)`
    step          the symbol t, 1×1: the number of the update, 1, 2, 3, …
    """

    assignments: dict[Symbol, Expr]
    slots: tuple[Symbol, ...]
    rate: Symbol
    step: Symbol


@dataclass(frozen=True, slots=True)
class Learned:
    """A parameter at its update: what a rule is written in.

    symbol     w, the old value
    gradient   g, clipped, without weight decay
    rate       η, times the parameter's rate_factor
    decay      λ, the parameter's weight decay
    """

    symbol: Symbol
    gradient: Expr
    rate: Expr
    decay: float

    @property
    def decayed(self) -> Expr:
        """g + λ w: the gradient with λ/2·Σ w² added to the loss."""
        return self.gradient + self.decay * self.symbol if self.decay else self.gradient


@dataclass(frozen=True)
class Optimizer(ABC):
    """Settings that all optimizers share.

    rate           η, a number or a schedule
    clip_norm      c: all gradients times c/‖g‖ where ‖g‖ > c, ‖g‖ the root of the sum of
                   all their squares. Pascanu et al., "On the difficulty of training
                   recurrent neural networks" (2013), arXiv:1211.5063, algorithm 1. A
                   norm too large for the run's type (1e19 in float32) makes the step 0
    clip_value     each entry of the gradients held between -clip_value and clip_value,
                   before clip_norm
    weight_decay   λ: g + λ w in place of g, after the clipping (AdamW has its own way)
    groups         settings by parameter: {"b*": {"weight_decay": 0.0}, "W1":
                   {"rate_factor": 0.1}}. A key is a pattern of names (`*` any text, `?`
                   any letter); of the patterns that match, the last one that has a
                   setting decides it. rate_factor multiplies η

    Raises SettingError for settings that are out of range, UnknownNameError for a group
    setting that does not exist.
    """

    rate: float | Schedule
    _: KW_ONLY
    clip_norm: float | None = None
    clip_value: float | None = None
    weight_decay: float = 0.0
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not isinstance(self.rate, Schedule):
            hold(self, AT_LEAST_0, "rate")
        hold(self, AT_LEAST_0, "weight_decay")
        for name in ("clip_norm", "clip_value"):
            if getattr(self, name) is not None:
                hold(self, ABOVE_0, name)
        object.__setattr__(self, "groups", _checked_groups(self, self.groups))
        self._check()

    @abstractmethod
    def _check(self) -> None:
        """Hold the settings of this rule to their ranges; SettingError."""

    @abstractmethod
    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        """The new values of the parameter and of each of its slots."""

    def _slot(self, name: str, p: Learned) -> Symbol:
        """What the rule remembers for a parameter, such as `Adam.m(W1)`."""
        kind = type(self).__name__
        return symbol(f"{kind}.{name}({p.symbol.name})", p.symbol.shape, "state")

    @final
    def rate_at(self, at: Progress) -> float:
        """The learning rate η of the update about to be made.

        Raises SettingError where the schedule gives no finite number of at least 0, or
        needs the planned number of updates and nobody knows it.
        """
        rate = schedule_of(self.rate)(at)
        return real(f"The learning rate after {at.step} updates", rate, AT_LEAST_0)

    @final
    def updates(self, parameters: Sequence[Symbol], gradients: Sequence[Expr]) -> Updates:
        """The update of all parameters, from the gradient by each, in the same order.

        Raises ShapeError where a gradient has not its parameter's shape, ExpressionError
        for what is not a parameter or is given twice, UnknownNameError for a pattern in
        `groups` that no parameter's name matches.
        """
        _check_pairs(parameters, gradients)
        settings = self._settings([w.name for w in parameters])
        assignments: dict[Symbol, Expr] = {}
        slots: dict[Symbol, Expr] = {}
        for w, g in zip(parameters, self._clipped(gradients), strict=True):
            factor = settings[w.name]["rate_factor"]
            rate = RATE if factor == 1 else factor * RATE
            decay = settings[w.name]["weight_decay"]
            new = self._rule(Learned(w, g, rate, decay))
            assignments[w] = new.pop(w)
            slots.update(new)
        return Updates(assignments | slots, tuple(slots), RATE, STEP)

    def _clipped(self, gradients: Sequence[Expr]) -> list[Expr]:
        clipped = list(gradients)
        if self.clip_value is not None:
            clipped = [clip(g, -self.clip_value, self.clip_value) for g in clipped]
        if self.clip_norm is not None and clipped:
            first, *rest = (sum(g**2) for g in clipped)
            for square in rest:
                first = first + square
            # c/max(‖g‖, c) is exactly 1 for gradients that are short enough
            scale = self.clip_norm / maximum(sqrt(first), self.clip_norm)
            clipped = [scale * g for g in clipped]
        return clipped

    def _settings(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Each parameter's own settings, by its name."""
        plain = {"rate_factor": 1.0, "weight_decay": self.weight_decay}
        found = {name: dict(plain) for name in names}
        for pattern, changes in self.groups.items():
            matching = [name for name in names if fnmatchcase(name, pattern)]
            if not matching:
                raise unknown("parameter in groups", pattern, names)
            for name in matching:
                found[name].update(changes)
        return found


def _checked_groups(owner: Optimizer, groups: object) -> dict[str, dict[str, float]]:
    """A copy of the groups, their settings known and in range."""
    who = type(owner).__name__
    if not isinstance(groups, Mapping):
        raise SettingError(
            f"{who}'s groups are a mapping such as {{'b*': {{'weight_decay': 0.0}}}}, "
            f"not {groups!r:.60}."
        )
    checked: dict[str, dict[str, float]] = {}
    for pattern, changes in groups.items():
        what = f"{who}'s groups[{pattern!r}]"
        if not isinstance(pattern, str) or not isinstance(changes, Mapping):
            raise SettingError(
                f"{what} is a mapping such as {{'weight_decay': 0.0}} under a pattern of "
                f"names, not {changes!r:.60}."
            )
        for name in changes:
            if name not in GROUP_SETTINGS:
                raise unknown("group setting", name, GROUP_SETTINGS)
        checked[pattern] = {
            name: real(f"{what}[{name!r}]", value, AT_LEAST_0)
            for name, value in changes.items()
        }
    return checked


def _check_pairs(parameters: Sequence[object], gradients: Sequence[Expr]) -> None:
    if len(parameters) != len(gradients):
        raise ExpressionError(
            f"Each parameter needs its gradient: there are {len(parameters)} parameters "
            f"and {len(gradients)} gradients."
        )
    names: set[str] = set()
    for w, g in zip(parameters, gradients, strict=True):
        if not isinstance(w, Symbol) or w.role != "parameter":
            raise ExpressionError(
                f"Only parameters are learned (kokuban.parameter); {w!r} is none."
            )
        if w.name in names:
            raise ExpressionError(f"The parameter {w.name!r} is given twice.")
        names.add(w.name)
        if g.shape != w.shape:
            raise ShapeError(
                f"The gradient by {w.name!r} is {show(g.shape)}; it needs the shape of "
                f"{w.name!r}, {show(w.shape)}."
            )
