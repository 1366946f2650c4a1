"""The derivation of what an estimator has minimised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kokuban.errors import SettingError
from kokuban.estimators.network import ALPHA, Problem
from kokuban.explain import Derivation
from kokuban.expr import Expr, Symbol, substitute, symbol, symbols
from kokuban.gradcheck import derive
from kokuban.gradcheck.inputs import named
from kokuban.nn.build import DRAW
from kokuban.shape import SCALAR

STRENGTH = symbol("α", SCALAR, "setting")  # of the penalty, as it is written


def explained(
    problem: Problem,
    wrt: Sequence[Symbol | str] | Symbol | str | None,
    at: Mapping[Symbol, Any] | None,
    values: Mapping[Symbol, Any],
    settings: Mapping[str, Any],
) -> Derivation:
    """The derivation of the objective's gradients; without penalty where its α is 0.

    `at` are the rows' values, None where none were given, and `values` all others.
    """
    loss: Expr = problem.misfit
    if np.any(values[ALPHA]):
        (loss,) = substitute([problem.objective], {ALPHA: STRENGTH})
    several = [wrt] if isinstance(wrt, str | Symbol) else wrt
    asked = None if several is None else [named(w, loss) for w in several]
    if at is None:
        if settings["form"] == "numbers":
            raise SettingError(
                'form="numbers" needs rows to put in: explain(X, y, form="numbers").'
            )
        return derive(loss, asked, **settings)
    known = {**values, **at, STRENGTH: values[ALPHA], DRAW: np.zeros((1, 2))}
    given = {s: known[s] for s in symbols([loss])}
    return derive(loss, asked, at=given, **settings)
