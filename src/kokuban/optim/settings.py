"""What a setting may be: numbers in a range, checked when a record is made."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Integral, Real

from kokuban.errors import SettingError


@dataclass(frozen=True, slots=True)
class Range:
    """A range of numbers, and the words for it."""

    text: str
    holds: Callable[[float], bool]


AT_LEAST_0 = Range("of at least 0", lambda x: x >= 0)
ABOVE_0 = Range("above 0", lambda x: x > 0)
FROM_0_BELOW_1 = Range("of at least 0 and below 1", lambda x: 0 <= x < 1)
FROM_0_TO_1 = Range("from 0 to 1", lambda x: 0 <= x <= 1)
ABOVE_0_TO_1 = Range("above 0 and at most 1", lambda x: 0 < x <= 1)


def real(what: str, value: object, allowed: Range) -> float:
    """`value` as a finite float of the range; SettingError naming `what` otherwise."""
    if not isinstance(value, bool) and isinstance(value, Real):
        number = float(value)
        if math.isfinite(number) and allowed.holds(number):
            return number
    raise SettingError(f"{what} is a finite number {allowed.text}, not {value!r}.")


def hold(owner: object, allowed: Range, *names: str) -> None:
    """Hold fields of a frozen record to a range; they become plain floats."""
    for name in names:
        what = f"{type(owner).__name__}'s {name}"
        object.__setattr__(owner, name, real(what, getattr(owner, name), allowed))


def hold_count(owner: object, *names: str) -> None:
    """Hold fields of a frozen record to whole numbers of at least 1."""
    for name in names:
        value: object = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
            raise SettingError(
                f"{type(owner).__name__}'s {name} is a whole number of at least 1, "
                f"not {value!r}."
            )
        object.__setattr__(owner, name, int(value))


def hold_choice(owner: object, name: str, choices: tuple[str, ...]) -> None:
    """Hold a field of a frozen record to one of some words."""
    value = getattr(owner, name)
    if value not in choices:
        raise SettingError(
            f"{type(owner).__name__}'s {name} is one of {', '.join(choices)}, "
            f"not {value!r}."
        )
