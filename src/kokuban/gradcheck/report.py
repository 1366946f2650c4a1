"""What a check found, as records and as text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from kokuban.expr import Symbol
from kokuban.gradcheck.schemes import COMPLEX

# What the derivative meets where an operation has none; others have "a corner".
CORNERS = {
    "relu": "ReLU's corner",
    "abs": "the corner of |x|",
    "sign": "the jump of sign",
    "step": "the step's jump",
    "maximum": "a tie of maximum",
    "minimum": "a tie of minimum",
    "row_max": "a tie for a row's maximum",
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

    def __str__(self) -> str:
        where = (
            "along a random direction"
            if self.row is None or self.column is None
            else f"entry ({self.row + 1},{self.column + 1})"
        )
        given, against = pair(self.given, self.against)
        ratio = f", ratio {pair(self.ratio, 1.0)[0]}" if math.isfinite(self.ratio) else ""
        return f"{where}: {self.giver} {given}, {self.holder} {against}{ratio}"


@dataclass(frozen=True, slots=True)
class Kink:
    """Entries without a derivative, (row, column) from 0, and the operations to blame."""

    operations: tuple[str, ...]
    entries: tuple[tuple[int, int], ...]

    def __str__(self) -> str:
        names = " or ".join(CORNERS.get(n, f"a corner of {n}") for n in self.operations)
        verb = "sits" if len(self.entries) == 1 else "sit"
        return f"{plural(len(self.entries), 'entry')} {verb} on {names}"


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
    diagnosis    what is wrong or undefined, or None
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
    diagnosis: str | None = None

    def __str__(self) -> str:
        head = f"{'✓' if self.ok else '✗'} {self.symbol.name}: {self._verdict()}"
        lines = [f"{head}, {self._measures()}" if self.ok else head]
        lines += self.diagnosis.split("\n") if self.diagnosis else []
        if self.worst is not None and not self.ok:
            lines += [f"worst {self.worst}", self._measures()]
        if math.isfinite(self.bound):
            allowed = f"{self.rtol:.0e} of the entry" + (
                f" and {self.atol:.1e}" if self.atol else ""
            )
            lines.append(
                f"allowed: {allowed}, and {self.bound:.1e} for the rounding of L over h "
                "and the truncation"
            )
        return "\n    ".join(lines)

    def _verdict(self) -> str:
        size = self.shape[0] * self.shape[1]
        numeric = (
            "complex steps" if self.method == COMPLEX else f"{self.method} differences"
        )
        tested = _of(self.entries, size)
        if self.directions:
            tested += f" and along {plural(self.directions, 'random direction')}"
        if not self.claimed:
            if self.ok:
                return f"{numeric} agree in {tested}"
            return f"{numeric} disagree" if self.failed else f"no verdict by {numeric}"
        if self.ok:
            return f"yours is the gradient, {numeric} agree in {tested}"
        if self.failed:
            return f"yours differs from the gradient in {_of(self.failed, size)}"
        return "yours cannot be compared"

    def _measures(self) -> str:
        parts = [f"worst relative gap {self.gap:.1g}"]
        if math.isinf(self.slope):
            parts.append("no Taylor remainder (exact)")
        elif math.isfinite(self.slope):
            parts.append(f"Taylor slope {self.slope:.2f}")
        low, high = (f"{h:.1e}" for h in self.steps)
        if math.isfinite(self.bound):
            parts.append(f"h = {low}" + (f" to {high}" if low != high else ""))
        return ", ".join(parts)


def _of(count: int, size: int) -> str:
    if count == size:
        return "its only entry" if size == 1 else f"all {size} entries"
    return f"{count} of {size} entries"


@dataclass(frozen=True, slots=True)
class Check:
    """The verdict on gradients: true where all parameters are. `str` is the report.

    `loss` is L's value, `results` one record a parameter, `notes` what was done to the
    values or the formula before.
    """

    loss: float
    results: tuple[Result, ...]
    notes: tuple[str, ...] = ()

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

    def __str__(self) -> str:
        return "\n".join([*(str(r) for r in self.results), *self.notes])
