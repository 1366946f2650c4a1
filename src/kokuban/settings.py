"""What a setting may be: checked where it is given, or a SettingError that names it."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np

from kokuban.errors import SettingError


@dataclass(frozen=True, slots=True)
class Range:
    """A range of finite numbers, and the words for it."""

    text: str
    holds: Callable[[float], bool]


ANY = Range("", lambda x: True)
AT_LEAST_0 = Range("of at least 0", lambda x: x >= 0)
ABOVE_0 = Range("above 0", lambda x: x > 0)
BETWEEN_0_AND_1 = Range("between 0 and 1", lambda x: 0 < x < 1)
FROM_0_BELOW_1 = Range("of at least 0 and below 1", lambda x: 0 <= x < 1)
FROM_0_TO_1 = Range("from 0 to 1", lambda x: 0 <= x <= 1)
ABOVE_0_TO_1 = Range("above 0 and at most 1", lambda x: 0 < x <= 1)


def real(what: str, value: object, allowed: Range = ANY) -> float:
    """`value` as a finite float of the range; SettingError naming `what` otherwise."""
    if not isinstance(value, bool) and isinstance(value, Real):
        with suppress(OverflowError):  # of a whole number beyond the largest float
            number = float(value)
            if math.isfinite(number) and allowed.holds(number):
                return number
    wanted = f"{what} is a finite number {allowed.text}".rstrip()
    raise SettingError(f"{wanted}, not {value!r}.")


def whole(what: str, value: Any, least: int = 1) -> int:
    """`value` as a whole number that a word of 64 bits holds; SettingError otherwise."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise SettingError(f"{what} is a whole number, at least {least}; not {value!r}.")
    if value >= 1 << 63:
        raise SettingError(f"{what} is below 2**63; not {value!r}.")
    return int(value)


def flag(what: str, value: Any) -> bool:
    """`value` as True or False, NumPy's too; SettingError otherwise."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise SettingError(f"{what} is True or False, not {value!r}.")


def hold(owner: object, allowed: Range, *names: str) -> None:
    """Hold fields of a frozen record to a range; they become plain floats."""
    _hold(owner, names, lambda what, value: real(what, value, allowed))


def hold_whole(owner: object, *names: str) -> None:
    """Hold fields of a frozen record to whole numbers of at least 1."""
    _hold(owner, names, whole)


def hold_flag(owner: object, *names: str) -> None:
    """Hold fields of a frozen record to True or False."""
    _hold(owner, names, flag)


def _hold(
    owner: object, names: tuple[str, ...], checked: Callable[[str, object], object]
) -> None:
    for name in names:
        what = f"{type(owner).__name__}'s {name}"
        object.__setattr__(owner, name, checked(what, getattr(owner, name)))


def hold_choice(owner: object, name: str, choices: tuple[str, ...]) -> None:
    """Hold a field of a frozen record to one of some words."""
    value = getattr(owner, name)
    if value not in choices:
        raise SettingError(
            f"{type(owner).__name__}'s {name} is one of {', '.join(choices)}, "
            f"not {value!r}."
        )
