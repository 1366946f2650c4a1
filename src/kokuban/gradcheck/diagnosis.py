"""What a check finds besides a claim's mistake, in words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from kokuban.gradcheck.case import Case, Evidence
from kokuban.gradcheck.mistakes import Mistake
from kokuban.gradcheck.report import Kink, plural
from kokuban.gradcheck.schemes import Matrix


def not_finite(gradient: Matrix) -> Mistake | None:
    """Where a gradient has no value to compare."""
    bad = np.argwhere(~np.isfinite(gradient))
    if not len(bad):
        return None
    row, column = bad[0] + 1
    return Mistake(
        "not-finite",
        f"the derived gradient is not finite in {plural(len(bad), 'entry')}, first "
        f"in ({row},{column}): L has no derivative there, or it overflows",
        f"導いた勾配が {len(bad)} 個の成分で有限でない。最初は ({row},{column}) 成分: "
        "そこで L は微分できないか、桁あふれしている",
    )


def findings(case: Case, evidence: Evidence, kinks: Sequence[Kink]) -> Iterable[Mistake]:
    """What is undefined or could not be judged, one record for each finding."""
    if not evidence.sound:
        yield Mistake(
            "unsound",
            "the derived gradient and the differences disagree: either L is too rough "
            "for differences here, or a rule is wrong; please report the formula",
            "導いた勾配と差分が一致しない: L がここで粗すぎて差分が役に立たないか、"
            "規則が誤っている。その式を報告してほしい",
        )
    if kinks:
        yield Mistake(
            "undefined",
            f"undefined here: {', '.join(k.text('en') for k in kinks)}",
            f"ここでは微分できない: {'、'.join(k.text('ja') for k in kinks)}",
        )
    if evidence.hidden:
        yield Mistake(
            "hidden",
            f"{plural(evidence.hidden, 'derivative')} could not be judged: the rounding "
            "of L over the step, or its curvature, exceeds a hundredth of it (complex "
            "steps, where there are no corners, see further)",
            f"{evidence.hidden} 個の微分は判定できない: 刻み幅に対する L の丸め誤差か"
            "曲がりが、微分の百分の一を超える (折れ点がなければ複素数の刻みの方が"
            "細かく見える)",
        )
    largest = float(np.max(np.abs(case.gradient)))
    if 0 < largest < 100 * evidence.usual:
        yield Mistake(
            "nearly-zero",
            f"nearly zero: no entry is larger than {largest:.1e}, and differences "
            f"hardly tell {evidence.usual:.1e} from 0 here",
            f"ほとんど 0 である: どの成分も {largest:.1e} 以下で、差分では "
            f"{evidence.usual:.1e} と 0 を区別できない",
        )
    if not evidence.sharp:
        yield Mistake("unchecked", "nothing could be checked", "何も確かめられなかった")
