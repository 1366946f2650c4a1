"""Why a formula or a gradient is wrong: the named mistake that explains it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.errors import DataError
from kokuban.explain.page import Step
from kokuban.expr import Expr, require
from kokuban.formula import compare
from kokuban.formula.trial import Trial
from kokuban.gradcheck.inputs import Claim, run
from kokuban.gradcheck.schemes import Matrix


@dataclass(frozen=True, slots=True)
class Mistake:
    """One named mistake. `name` is stable; `en` and `ja` say it in a sentence."""

    name: str
    en: str
    ja: str

    def text(self, lang: str = "en") -> str:
        """The mistake in a sentence."""
        return self.ja if lang == "ja" else self.en


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What is wrong with a claim.

    correct    whether it is equal to the right one, in any algebraic form
    mistakes   what turns the right one into it; empty where nothing known does
    step       the step of the derivation where it first goes wrong, if known
    """

    correct: bool
    mistakes: tuple[Mistake, ...] = ()
    step: Step | None = None

    def text(self, lang: str = "en") -> str:
        """The verdict, in one to four lines."""
        if self.correct:
            return "正しい。" if lang == "ja" else "right."
        if not self.mistakes:
            return (
                "正しくない。既知の誤りでは説明できない。"
                if lang == "ja"
                else "wrong, and no mistake known here explains it."
            )
        return "\n".join(m.text(lang) for m in self.mistakes)


def diagnose(
    claim: Claim,
    right: Expr,
    *,
    at: Mapping[Any, Any] | None = None,
    seed: int = 0,
    loss: Expr | None = None,
    wrt: Expr | None = None,
) -> Diagnosis:
    """Which mistake turns `right` into `claim`, an expression or a matrix of numbers."""
    require(right, "What is right")
    assert isinstance(claim, Expr)
    if claim.shape == right.shape:
        try:
            if compare(claim, right, seed=seed):
                return Diagnosis(True)
        except DataError:
            return Diagnosis(False)
    trial = Trial([claim, right], [claim, right], seed)
    sizes = trial.sizes(0)
    values = trial.values(sizes, lambda shape: trial.rng.normal(size=shape), 1.0)
    mine, true = run([claim, right], values, sizes)
    return Diagnosis(False, _simple(mine, true))


def _simple(mine: Matrix, true: Matrix) -> tuple[Mistake, ...]:
    if mine.shape == true.T.shape and np.allclose(mine, true.T):
        return (Mistake("transposed", "it is the transpose.", "転置になっている。"),)
    if mine.shape != true.shape:
        return (Mistake("shape", "the shape is wrong.", "形が違う。"),)
    ratio = float(np.sum(mine * true) / np.sum(true * true))
    if np.allclose(mine, ratio * true):
        return (
            Mistake(
                "factor", f"yours is {ratio:.4g} times it.", f"{ratio:.4g} 倍である。"
            ),
        )
    return ()
