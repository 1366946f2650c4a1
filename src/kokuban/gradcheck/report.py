"""What a check found, as records and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from kokuban.expr import Symbol
from kokuban.gradcheck.diagnose import Diagnosis
from kokuban.gradcheck.mistakes import Mistake
from kokuban.gradcheck.schemes import COMPLEX

# What the derivative meets where an operation has none; others have "a corner".
CORNERS = {
    "en": {
        "relu": "ReLU's corner",
        "abs": "the corner of |x|",
        "sign": "the jump of sign",
        "step": "the step's jump",
        "maximum": "a tie of maximum",
        "minimum": "a tie of minimum",
        "row_max": "a tie for a row's maximum",
    },
    "ja": {
        "relu": "ReLU の折れ点",
        "abs": "|x| の折れ点",
        "sign": "sign の飛び",
        "step": "ステップ関数の飛び",
        "maximum": "maximum の同値",
        "minimum": "minimum の同値",
        "row_max": "行の最大値の同値",
    },
}

# The report's sentences, by language.
WORDS = {
    "en": {
        "yours": "yours",
        "gradient": "gradient",
        "differences": "differences",
        "agree": "{0} agree in {1}",
        "disagree": "{0} disagree",
        "none": "no verdict by {0}",
        "is gradient": "yours is the gradient, {0} agree in {1}",
        "differs": "yours differs from the gradient in {0}",
        "incomparable": "yours cannot be compared",
        "scheme": "{0} differences",
        "complex": "complex steps",
        "only": "its only entry",
        "all": "all {0} entries",
        "of": "{0} of {1} entries",
        "and along": "{0} and along {1}",
        "directions": "{0} random directions",
        "direction": "1 random direction",
        "gap": "worst relative gap {0}",
        "exact": "no Taylor remainder (exact)",
        "slope": "Taylor slope {0}",
        "worst": "worst {0}",
        "entry": "entry ({0},{1}): {2} {3}, {4} {5}",
        "along": "along a random direction: {2} {3}, {4} {5}",
        "ratio": ", ratio {0}",
        "to": " to ",
        "allowed": "allowed: {0} of the entry{1}, and {2} for the rounding of L over h "
        "and the truncation",
        "and": " and {0}",
    },
    "ja": {
        "yours": "答案",
        "gradient": "勾配",
        "differences": "差分",
        "agree": "{0}が{1}で一致する",
        "disagree": "{0}と一致しない",
        "none": "{0}では判定できない",
        "is gradient": "答案は勾配に等しく、{0}も{1}で一致する",
        "differs": "答案は{0}で勾配と違う",
        "incomparable": "答案は比べられない",
        "scheme": "{0}",
        "complex": "複素数の刻み",
        "only": "ただ一つの成分",
        "all": "全 {0} 成分",
        "of": "{1} 成分中 {0} 成分",
        "and along": "{0}と{1}",
        "directions": "ランダムな {0} 方向",
        "direction": "ランダムな 1 方向",
        "gap": "相対誤差は最大 {0}",
        "exact": "テイラー剰余なし (厳密)",
        "slope": "テイラー剰余の傾き {0}",
        "worst": "最も違うのは {0}",
        "entry": "({0},{1}) 成分: {2} {3}、{4} {5}",
        "along": "ランダムな方向: {2} {3}、{4} {5}",
        "ratio": "、比 {0}",
        "to": " から ",
        "allowed": "許容: 成分の {0}{1}、および h に対する L の丸め誤差と打切り誤差の"
        "分 {2}",
        "and": "と {0}",
    },
}
SCHEMES_JA = {
    "forward": "前進差分",
    "backward": "後退差分",
    "central": "中心差分",
    "5-point": "5 点差分",
    "7-point": "7 点差分",
}


def plural(count: int, noun: str) -> str:
    """`1 entry`, `3 entries`, `2 random directions`."""
    many = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{count} {noun if count == 1 else many}"


def pair(a: float, b: float) -> tuple[str, str]:
    """Two numbers in as few digits, at least four, as show that they differ."""
    for digits in range(4, 17):
        texts = f"{a:#.{digits}g}", f"{b:#.{digits}g}"
        if a == b or texts[0] != texts[1]:
            break
    return texts


@dataclass(frozen=True, slots=True)
class Worst:
    """The entry that lies furthest outside, or nearest to, its tolerance.

    `given` is the value under test, from whom `giver` says ("yours" for a claim, else
    "gradient"), `against` what it was held against ("gradient" or "differences"). `row`
    and `column` count from 0, and are None where a random direction was the worst.
    """

    symbol: str
    row: int | None
    column: int | None
    given: float
    against: float
    giver: str
    holder: str

    @property
    def ratio(self) -> float:
        """given / against; infinite or NaN where `against` is 0."""
        if self.against == 0:
            return math.copysign(math.inf, self.given) if self.given else math.nan
        return self.given / self.against

    def text(self, lang: str) -> str:
        """The entry and its two values, in a language."""
        words = WORDS[lang]
        given, against = pair(self.given, self.against)
        giver, holder = words[self.giver], words[self.holder]
        if self.row is None or self.column is None:
            found = words["along"].format(0, 0, giver, given, holder, against)
        else:
            place = self.row + 1, self.column + 1
            found = words["entry"].format(*place, giver, given, holder, against)
        if not math.isfinite(self.ratio):
            return found
        return found + words["ratio"].format(pair(self.ratio, 1.0)[0])

    def __str__(self) -> str:
        return self.text("en")


@dataclass(frozen=True, slots=True)
class Kink:
    """Entries without a derivative, (row, column) from 0, and the operations to blame."""

    operations: tuple[str, ...]
    entries: tuple[tuple[int, int], ...]

    def text(self, lang: str) -> str:
        """How many entries sit on what, in a language."""
        corners, count = CORNERS[lang], len(self.entries)
        if lang == "ja":
            names = "または ".join(
                corners.get(n, f"{n} の折れ点") for n in self.operations
            )
            return f"{count} 個の成分が {names} に当たる"
        names = " or ".join(corners.get(n, f"a corner of {n}") for n in self.operations)
        verb = "sits" if count == 1 else "sit"
        return f"{plural(count, 'entry')} {verb} on {names}"

    def __str__(self) -> str:
        return self.text("en")


@dataclass(frozen=True, slots=True)
class Result:
    """The check of one parameter.

    symbol       the parameter
    ok           whether what has a derivative, at least an entry, could be judged and
                 agrees
    shape        its rows and columns
    method       the scheme of the differences
    claimed      whether a claim was under test (else the derived gradient)
    steps        the smallest and the largest step that was used
    entries      how many entries were differentiated numerically, with a result
    directions   along how many random directions besides, in a large parameter
    hidden       how many of these have bounds too large to judge them by
    failed       how many entries disagree (directions, where no entry does)
    gap          the largest gap between the two values, over the gradient's largest entry
                 (over 1e-8 of how steep L is nearby, where all entries are smaller)
    rtol, atol   what was allowed: rtol of the entry, plus atol, plus its `bound`
    bound        the largest bound on the differences' own rounding and truncation error
    slope        of the Taylor remainder of what is under test: 2 where it is right, 1
                 where wrong; infinite where nothing remains; NaN if not measurable
    kinks        the entries without a derivative
    worst        the worst entry, None where none could be compared
    unlike       whether the claim has another shape
    findings     what is undefined or could not be judged
    found        why the claim is wrong, where it is
    """

    symbol: Symbol
    ok: bool
    shape: tuple[int, int]
    method: str
    claimed: bool
    steps: tuple[float, float] = (math.nan, math.nan)
    entries: int = 0
    directions: int = 0
    hidden: int = 0
    failed: int = 0
    gap: float = math.nan
    rtol: float = 0.0
    atol: float = 0.0
    bound: float = math.nan
    slope: float = math.nan
    kinks: tuple[Kink, ...] = ()
    worst: Worst | None = None
    unlike: bool = False
    findings: tuple[Mistake, ...] = ()
    found: Diagnosis | None = None

    @property
    def diagnosis(self) -> str | None:
        """What is wrong or undefined, a line for each finding; None if nothing is."""
        return "\n".join(self._said("en")) or None

    def text(self, lang: str = "en") -> str:
        """The report on this parameter, in English or Japanese."""
        head = f"{'✓' if self.ok else '✗'} {self.symbol.name}: {self._verdict(lang)}"
        lines = [f"{head}, {self._measures(lang)}" if self.ok else head]
        lines += self._said(lang)
        words = WORDS[lang]
        if self.worst is not None and not self.ok:
            lines.append(words["worst"].format(self.worst.text(lang)))
            lines.append(self._measures(lang))
        if math.isfinite(self.bound):
            extra = words["and"].format(f"{self.atol:.1e}") if self.atol else ""
            allowed = f"{self.rtol:.0e}", extra, f"{self.bound:.1e}"
            lines.append(words["allowed"].format(*allowed))
        return "\n    ".join(lines)

    def __str__(self) -> str:
        return self.text()

    def _said(self, lang: str) -> list[str]:
        lines = self.found.text(lang).split("\n") if self.found is not None else []
        return lines + [finding.text(lang) for finding in self.findings]

    def _verdict(self, lang: str) -> str:
        size, words = self.shape[0] * self.shape[1], WORDS[lang]
        method = SCHEMES_JA.get(self.method, "") if lang == "ja" else self.method
        complex_ = self.method == COMPLEX
        numeric = words["complex"] if complex_ else words["scheme"].format(method)
        tested = _of(self.entries, size, words)
        if self.directions:
            key = "direction" if self.directions == 1 else "directions"
            along = words[key].format(self.directions)
            tested = words["and along"].format(tested, along)
        if self.ok:
            key = "is gradient" if self.claimed else "agree"
            return words[key].format(numeric, tested)
        if not self.claimed:
            return words["disagree" if self.failed else "none"].format(numeric)
        if self.failed:
            return words["differs"].format(_of(self.failed, size, words))
        return words["incomparable"]

    def _measures(self, lang: str) -> str:
        words = WORDS[lang]
        parts = [words["gap"].format(f"{self.gap:.1g}")]
        if math.isinf(self.slope):
            parts.append(words["exact"])
        elif math.isfinite(self.slope):
            parts.append(words["slope"].format(f"{self.slope:.2f}"))
        low, high = (f"{h:.1e}" for h in self.steps)
        if math.isfinite(self.bound):
            parts.append(f"h = {low}" + (f"{words['to']}{high}" if low != high else ""))
        return ", ".join(parts)


def _of(count: int, size: int, words: Mapping[str, str]) -> str:
    if count == size:
        return words["only"] if size == 1 else words["all"].format(size)
    return words["of"].format(count, size)


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on gradients: true where all parameters are. `str` is the report.

    `loss` is L's value, `results` one record a parameter, `remarks` what was done to the
    values or the formula before, and `notes` the same as English sentences.
    """

    loss: float
    results: tuple[Result, ...]
    remarks: tuple[Mistake, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done to the values or the formula, a sentence each."""
        return tuple(note.en for note in self.remarks)

    @property
    def ok(self) -> bool:
        """Whether every parameter's check is."""
        return all(result.ok for result in self.results)

    @property
    def worst(self) -> Worst | None:
        """The worst entry: of the first failed parameter, else of the largest gap."""
        found = [r for r in self.results if r.worst is not None]
        failed = [r for r in found if not r.ok]
        ranked = failed[:1] or sorted(found, key=lambda r: -r.gap)
        return ranked[0].worst if ranked else None

    @property
    def diagnosis(self) -> str | None:
        """What is wrong or undefined, a line for each finding; None if nothing is."""
        lines = [
            f"{r.symbol.name}: {line}"
            for r in self.results
            if r.diagnosis
            for line in r.diagnosis.split("\n")
        ]
        return "\n".join(lines) or None

    def __bool__(self) -> bool:
        return self.ok

    def text(self, lang: str = "en") -> str:
        """The report, in English ("en") or Japanese ("ja")."""
        notes = (note.text(lang) for note in self.remarks)
        return "\n".join([*(r.text(lang) for r in self.results), *notes])

    def __str__(self) -> str:
        return self.text()
