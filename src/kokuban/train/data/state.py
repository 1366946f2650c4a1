"""Checks of what comes back from a model file: nothing in it is taken on trust."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from kokuban.errors import FileFormatError

Check = Callable[[object], bool]


def fields(state: object, checks: Mapping[str, Check], what: str) -> dict[str, Any]:
    """`state` as a dictionary of exactly the fields in `checks`, each passing its check.

    Raises FileFormatError naming `what` and the field.
    """
    if not isinstance(state, dict):
        raise FileFormatError(f"{what}: an object is expected, not {_short(state)}.")
    if state.keys() != checks.keys():
        raise FileFormatError(
            f"{what}: the fields are {', '.join(checks)}; found {_short(list(state))}."
        )
    for name, check in checks.items():
        if not check(state[name]):
            raise FileFormatError(f"{what}: {name} cannot be {_short(state[name])}.")
    return state


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def is_text(value: object) -> bool:
    """A string."""
    return isinstance(value, str)


def is_flag(value: object) -> bool:
    """True or false."""
    return isinstance(value, bool)


def is_count(value: object) -> bool:
    """A whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_finite(value: object) -> bool:
    """A floating-point number, neither NaN nor infinite."""
    return isinstance(value, float) and math.isfinite(value)


def is_spread(value: object) -> bool:
    """A finite number, 0 or more."""
    return isinstance(value, float) and 0 <= value < math.inf


def is_texts(value: object) -> bool:
    """A list of one or more strings, none of them twice."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(item, str) for item in value)
        and len(set(value)) == len(value)
    )
