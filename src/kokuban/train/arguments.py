"""What a model may be asked for: arguments, checked, or a SettingError."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from kokuban.errors import SettingError
from kokuban.optim import SGD, Optimizer
from kokuban.settings import BETWEEN_0_AND_1, real, whole
from kokuban.train.fit import Callback
from kokuban.train.metrics import Metric, metric
from kokuban.train.stopping import EarlyStopping

ENGINES = ("auto", "numpy", "native")


def require_engine(engine: object) -> None:
    """One of the engines' names."""
    if engine not in ENGINES:
        raise SettingError(f"engine is one of {', '.join(ENGINES)}, not {engine!r}.")


def floats(dtype: Any) -> np.dtype[Any]:
    """The type that a model computes in."""
    with suppress(TypeError):  # of what is no type at all
        found: np.dtype[Any] = np.dtype(dtype)
        if found in (np.float32, np.float64):
            return found
    raise SettingError(f"dtype is float32 or float64, not {dtype!r}.")


def batch_size(size: Any, rows: int) -> int:
    """Rows of a batch, of so many; 32 where None is given, or all if there are fewer."""
    if size is None:
        return min(32, rows)
    if whole("batch_size", size) > rows:
        raise SettingError(
            f"batch_size is {size}, but there are {rows} rows to train on; at "
            f"most {rows}."
        )
    return int(size)


def optimizer_or_default(given: Any) -> Optimizer:
    """An optimizer; SGD where None is given."""
    if given is None:
        return SGD(0.1)
    if not isinstance(given, Optimizer):
        raise SettingError(
            "optimizer is one of kokuban.optim, such as kb.optim.Adam(0.01); not "
            f"{given!r}."
        )
    return given


def stopping_rule(given: Any) -> EarlyStopping | None:
    """A rule for early stopping, or None."""
    if given is not None and not isinstance(given, EarlyStopping):
        raise SettingError(f"stopping is an EarlyStopping or None, not {given!r}.")
    return given


def held_out(given: Any) -> float | tuple[Any, Any] | None:
    """Data held out, as a pair, or the share of the rows to hold out; or None."""
    if isinstance(given, tuple | list):
        if len(given) != 2:
            raise SettingError(
                "validation is a pair, (x, t), or a fraction of the rows; not "
                f"{len(given)} parts."
            )
        return given[0], given[1]
    if given is None:
        return None
    return real("validation, where it is no pair (x, t),", given, BETWEEN_0_AND_1)


def named_metrics(given: Any) -> list[tuple[str, Metric]]:
    """Metrics in a sequence, by name or as functions."""
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise SettingError(
            'metrics is a list of names and functions, such as ["accuracy"]; not '
            f"{given!r}."
        )
    return [metric(one) for one in given]


def callbacks(given: Any) -> Sequence[Callback]:
    """Functions of (model, record) in a sequence."""
    if not isinstance(given, Sequence) or not all(map(callable, given)):
        raise SettingError(
            f"callbacks is a list of functions of (model, record), not {given!r}."
        )
    return given


def checkpoint(file: Any, every: Any) -> tuple[str | None, int | None]:
    """The file's path, and after how many steps to write it; None for each epoch."""
    if file is None:
        if every is not None:
            raise SettingError(
                "checkpoint_every needs checkpoint=, the file to write to."
            )
        return None, None
    if not isinstance(file, str | os.PathLike):
        raise SettingError(f"checkpoint is a path, not {file!r}.")
    return os.fspath(file), None if every is None else whole("checkpoint_every", every)


def json_data(extra: Any) -> dict[str, Any]:
    """What is kept with a model, as its file will hold it; nothing for None."""
    try:
        kept: dict[str, Any] = json.loads(json.dumps(dict(extra or {}), sort_keys=True))
    except (TypeError, ValueError, RecursionError) as error:
        raise SettingError(
            'extra is JSON data, such as {"classes": ["a", "b"]}: numbers, texts, lists '
            f"and dicts by text; here, {error}."
        ) from None
    return kept
