"""Held-out data: the loss and the score of the values there are."""

from __future__ import annotations

import math
from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from kokuban.estimators.network import Problem, program
from kokuban.estimators.rows import Data, judged_in_blocks, rows_of
from kokuban.expr import Symbol
from kokuban.train.loop import Arrays
from kokuban.train.network import WEIGHTS

Raw = dict[Symbol, Any]  # matrices as they were given, dense or sparse


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Data that training does not see, and how their prediction is judged.

    estimator   the one that is being fitted
    problem     its network, weighted by sample as these data are
    raw         the data, as they were given
    data        the same in the type of the fit
    """

    estimator: Any
    problem: Problem
    raw: Raw
    data: dict[Symbol, Data]

    def measured(self, values: Arrays) -> tuple[float, float]:
        """The loss and the score, larger is better; NaN where a prediction is not finite.

        The estimator's attributes must hold the same values.
        """
        problem, dtype = self.problem, self.estimator._dtype
        both = program(problem.evaluation, problem.output)
        loss, y = judged_in_blocks(both, self.data, values, dtype, problem.whole)
        if self.estimator.scoring == "loss":
            return loss, -loss
        if not np.isfinite(y).all():
            return loss, math.nan
        with np.errstate(over="ignore"):  # a score of -inf is no news
            return loss, self._score(y)

    def _score(self, y: np.ndarray) -> float:
        t = self.raw[self.problem.x if self.problem.t is None else self.problem.t]
        weights = self.raw[WEIGHTS].ravel() if WEIGHTS in self.raw else None
        if self.estimator.scoring is None:
            score: float = self.estimator._score_of(t, y, weights)
            return score
        nameless = copy(self.estimator)  # the rows are arrays now
        vars(nameless).pop("feature_names_in_", None)
        scorer = check_scoring(nameless, scoring=self.estimator.scoring)
        extra = {} if weights is None else {"sample_weight": weights}
        truth = self.estimator._truth(t)
        return float(scorer(nameless, self.raw[self.problem.x], truth, **extra))


def held_out(estimator: Any, problem: Problem, raw: Raw, dtype: Any) -> HeldOut:
    """Held-out data for an estimator that is fitted in this type."""
    data = {s: rows_of(v, dtype) for s, v in raw.items()}
    return HeldOut(estimator, problem, raw, data)


def by_symbol(problem: Problem, X: Any, t: Any, weights: np.ndarray | None) -> Raw:
    """The data by the problem's symbols; sample weights as a column."""
    raw: Raw = {problem.x: X}
    if problem.t is not None:
        raw[problem.t] = t
    if weights is not None:
        raw[WEIGHTS] = weights[:, None]
    return raw


def rows_at(raw: Mapping[Symbol, Any], rows: np.ndarray) -> Raw:
    """Some rows of the data."""
    return {s: v[rows] for s, v in raw.items()}
