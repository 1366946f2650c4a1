"""What is wrong with a gradient, in words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from kokuban.gradcheck.case import Case, Compared, Evidence
from kokuban.gradcheck.report import Kink, pair, plural
from kokuban.gradcheck.schemes import Matrix


def unusable(name: str, gradient: Matrix, claim: Matrix | None) -> str | None:
    """Why there is nothing to compare: a claim's shape, or a gradient not finite."""
    if claim is not None and claim.shape != gradient.shape:
        want = "×".join(str(n) for n in gradient.shape)
        have = "×".join(str(n) for n in claim.shape) or "a plain number"
        text = f"yours has the shape {have}, but {name} is {want}."
        if claim.ndim != 2:
            return f"{text} Everything is a matrix of two dimensions here."
        if claim.shape != gradient.shape[::-1]:
            return text
        same = np.allclose(claim.T, gradient, rtol=1e-3, atol=0.0)
        what = "the gradient" if same else "the right shape"
        return f"{text} It is the transpose of {what}."
    bad = np.argwhere(~np.isfinite(gradient))
    if len(bad):
        row, column = bad[0] + 1
        return (
            f"the derived gradient is not finite in {plural(len(bad), 'entry')}, first "
            f"in ({row},{column}): L has no derivative there, or it overflows"
        )
    return None


def findings(
    case: Case, evidence: Evidence, pool: Sequence[Compared], kinks: Sequence[Kink]
) -> Iterable[str]:
    """What is wrong or undefined, a line for each finding."""
    if not evidence.sound:
        yield (
            "the derived gradient and the differences disagree: either L is too rough "
            "for differences here, or a rule is wrong; please report the formula"
        )
    elif case.claim is not None and any(c.failed for c in pool):
        yield from _mistake(case, pool)
    if kinks:
        yield f"undefined here: {', '.join(str(k) for k in kinks)}"
    if evidence.hidden:
        yield (
            f"{plural(evidence.hidden, 'derivative')} could not be judged: the rounding "
            "of L over the step, or its curvature, exceeds a hundredth of it (complex "
            "steps, where there are no corners, see further)"
        )
    largest = float(np.max(np.abs(case.gradient)))
    if 0 < largest < 100 * evidence.usual:
        yield (
            f"nearly zero: no entry is larger than {largest:.1e}, and differences "
            f"hardly tell {evidence.usual:.1e} from 0 here"
        )
    if not evidence.sharp:
        yield "nothing could be checked"


def _mistake(case: Case, pool: Sequence[Compared]) -> list[str]:
    """The mistake that explains the claim in every entry, if one is found."""
    assert case.claim is not None
    bad = np.argwhere(~np.isfinite(case.claim))
    if len(bad):
        row, column = bad[0] + 1
        count = plural(len(bad), "entry")
        return [f"yours is not finite in {count}, first in ({row},{column})"]
    rows = np.array([(c.given, c.against, c.allowed) for c in pool])
    given, against, allowed = (rows / np.max(np.abs(rows[:, :2]))).T
    size = float(against @ against)
    ratio = float(given @ against) / size if size else math.nan
    if np.all(np.abs(given - ratio * against) <= allowed * max(1.0, abs(ratio))):
        return [f"yours is {pair(ratio, 1.0)[0]} times the gradient in every entry"]
    if case.claim.shape == case.gradient.T.shape and np.allclose(
        case.claim, case.gradient.T, rtol=1e-3, atol=0.0
    ):
        return ["yours is the transpose of the gradient"]
    return []
