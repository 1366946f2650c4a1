"""Settings as plain JSON values, and back; a function is kept as what it gave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.errors import FileFormatError, SettingError
from kokuban.estimators.outputs import Function, takes_weights
from kokuban.expr import Expr, Symbol, from_records, substitute, to_records
from kokuban.optim import Optimizer, Schedule, from_dict, to_dict
from kokuban.shape import show
from kokuban.train.network import WEIGHTS

Case = tuple[Symbol, ...]  # the arguments for which a function is asked


@dataclass(frozen=True)
class Formula:
    """A function of expressions, known for some shapes: what it gave there.

    cases   the arguments as symbols, and the result in them
    """

    cases: tuple[tuple[Case, Expr], ...]

    def __call__(self, *given: Expr) -> Expr:
        """The result for these arguments; SettingError for shapes it is not known for."""
        shapes = [g.shape for g in given]
        for case, result in self.cases:
            if [s.shape for s in case] == shapes:
                return substitute([result], dict(zip(case, given, strict=True)))[0]
        known = ", ".join(show(case[0].shape) for case, _ in self.cases)
        raise SettingError(
            f"A function that was read from a file is known for matrices of {known}, not "
            f"of {show(shapes[0])}. Set it anew to change the network's sizes."
        )


@dataclass(frozen=True)
class WeighingFormula:
    """The same for a loss that takes the samples' weights."""

    formula: Formula

    def __call__(self, y: Expr, t: Expr, weights: Expr | None = None) -> Expr:
        """The loss of the prediction y for the target t."""
        return self.formula(y, t) if weights is None else self.formula(y, t, weights)


def plain(name: str, value: Any, cases: Sequence[Case] = ()) -> Any:
    """A setting as JSON values; `cases` are a function's arguments in this network.

    Raises SettingError for what a file without code cannot hold.
    """
    if isinstance(value, np.generic | np.ndarray):
        value = value.tolist()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, list | tuple):
        each = [[c] for c in cases[: len(value)]] or [[] for _ in value]
        parts = [plain(name, v, c) for v, c in zip(value, each, strict=True)]
        return {"list" if isinstance(value, list) else "tuple": parts}
    if isinstance(value, Mapping):
        return {"dict": [[plain(name, k), plain(name, v)] for k, v in value.items()]}
    if isinstance(value, Optimizer | Schedule):
        return {"optim": to_dict(value)}
    if callable(value) and cases:
        return {"function": _traced(value, cases), "weighs": takes_weights(value)}
    raise SettingError(
        f"A file without code cannot hold {name}={value!r:.60}; set it to something else "
        "before saving, such as a name, a number or None."
    )


def _traced(function: Function, cases: Sequence[Case]) -> list[Any]:
    """What a function gives for each case; a third argument is the weights of a loss."""
    weighing = [(*case, WEIGHTS) for case in cases] if takes_weights(function) else []
    results = [function(*case) for case in cases]
    results += [function(*case, weights=w) for *case, w in weighing]
    every = zip([*cases, *weighing], results, strict=True)
    return [to_records([*case, result]) for case, result in every]


def unplain(value: Any) -> Any:
    """The setting back from `plain`; FileFormatError where it is malformed."""
    if not isinstance(value, dict):
        return value
    match value:
        case {"list": [*parts]}:
            return [unplain(p) for p in parts]
        case {"tuple": [*parts]}:
            return tuple(unplain(p) for p in parts)
        case {"dict": [*pairs]}:
            return {unplain(k): unplain(v) for k, v in pairs}
        case {"optim": record}:
            return from_dict(record)
        case {"function": [*records], "weighs": bool(weighs)}:
            return _function(records, weighs)
    raise FileFormatError(f"A setting is written as {value!r:.60}, which means nothing.")


def _function(records: Sequence[Any], weighs: bool) -> Function:
    cases: list[tuple[Case, Expr]] = []
    for record in records:
        *given, result = from_records(record)
        case = tuple(s for s in given if isinstance(s, Symbol))
        if len(case) != len(given):
            raise FileFormatError("A function's arguments are not symbols.")
        cases.append((case, result))
    formula = Formula(tuple(cases))
    return WeighingFormula(formula) if weighs else formula
