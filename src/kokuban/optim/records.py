"""Optimizers by name, and optimizers and schedules as plain data for checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from kokuban.errors import FileFormatError, SettingError, UnknownNameError, unknown
from kokuban.optim.optimizer import Optimizer
from kokuban.optim.rules import SGD, Adagrad, Adam, AdamW, Momentum, Nesterov, RMSprop
from kokuban.optim.schedule import (
    Constant,
    Cosine,
    InverseScaling,
    LogCosine,
    OneCycle,
    Schedule,
    Step,
    WarmUp,
)

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "momentum": Momentum,
    "nesterov": Nesterov,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
    "adam": Adam,
    "adamw": AdamW,
}
SCHEDULES: tuple[type[Schedule], ...] = (
    Constant,
    Step,
    InverseScaling,
    Cosine,
    LogCosine,
    WarmUp,
    OneCycle,
)
KINDS: dict[str, type[Optimizer] | type[Schedule]] = {
    **{rule.__name__: rule for rule in OPTIMIZERS.values()},
    **{schedule.__name__: schedule for schedule in SCHEDULES},
}


def named(name: str, **settings: Any) -> Optimizer:
    """The optimizer called `name`, such as `named("adam", rate=0.01)`.

    Raises UnknownNameError for a name or a setting that does not exist, with the nearest
    one that does, and SettingError for a setting out of range.
    """
    if name not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    rule = OPTIMIZERS[name]
    known = [f.name for f in fields(rule)]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of {rule.__name__}", setting, known)
    return rule(**settings)


def to_dict(item: Optimizer | Schedule) -> dict[str, Any]:
    """An optimizer or a schedule as plain JSON values: its kind and its fields.

    Raises SettingError for a schedule of someone's own, which a file cannot hold.
    """
    kind = type(item).__name__
    if KINDS.get(kind) is not type(item):
        raise SettingError(
            f"{kind} cannot be written to a file; what can is kokuban.optim's own: "
            f"{', '.join(KINDS)}."
        )
    values = {f.name: _plain(getattr(item, f.name)) for f in fields(item)}
    return {"kind": kind, **values}


def _plain(value: Any) -> Any:
    if isinstance(value, Schedule):
        return to_dict(value)
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    return value


def from_dict(data: object) -> Optimizer | Schedule:
    """The optimizer or schedule back from `to_dict`; FileFormatError for other data."""
    if not isinstance(data, Mapping) or str(data.get("kind")) not in KINDS:
        raise FileFormatError(
            f"The record of an optimizer or a schedule names its kind, one of "
            f"{', '.join(KINDS)}; this one is {data!r:.80}."
        )
    kind = KINDS[str(data["kind"])]
    values = {name: value for name, value in data.items() if name != "kind"}
    for name in ("rate", "then"):  # the fields that may hold a schedule
        if isinstance(values.get(name), Mapping):
            values[name] = from_dict(values[name])
    try:
        return kind(**values)
    except (SettingError, UnknownNameError, TypeError) as error:
        raise FileFormatError(
            f"A record of {kind.__name__} is damaged: {error}"
        ) from None
