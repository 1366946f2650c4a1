"""The search for what turns the right formula into the claim.

One mistake before two, and the plausible before the rest. Whether a wrong formula is the
claim is decided by their values at some points.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Final

import numpy as np

from kokuban.expr import Expr, order, plain, rebuild
from kokuban.gradcheck.candidates import Candidate, Way, formulas
from kokuban.gradcheck.factors import Factor, factors
from kokuban.gradcheck.inputs import Values, run
from kokuban.gradcheck.mistakes import Mistake, counts
from kokuban.gradcheck.schemes import Matrix

PAIRS: Final = 1200  # of mistakes on the way back, tried at most
USUAL: Final = 40  # edges in a loss, up to which that many are tried
ENTRIES: Final = 10**7  # of all their results together
ROUNDING: Final = 1e-13  # of the right one's largest entry: what passes for 0
BATCH: Final = 300  # of them evaluated together

Found = tuple[tuple[Mistake, ...], int | None]  # and the line where it goes wrong


@dataclass(frozen=True, slots=True)
class Points:
    """Where formulas are evaluated, and how close equal values come."""

    at: tuple[tuple[Values, dict[str, int]], ...]
    close: float

    def __call__(self, formulas: Sequence[Expr]) -> list[list[Matrix]]:
        """Each formula's values at every point; the rows of targets may have any sum."""
        bare = _unmarked(formulas)
        found = [run(bare, values, sizes) for values, sizes in self.at]
        return [list(values) for values in zip(*found, strict=True)]


def _unmarked(formulas: Sequence[Expr]) -> list[Expr]:
    """Without the marks that rows sum to 1: in a wrong formula they may not."""
    bare: dict[Expr, Expr] = {}
    for node in order(plain(formulas)):
        args = tuple(bare[a] for a in node.args)
        marked = node.op is not None and node.op.name == "distribution"
        bare[node] = args[0] if marked else rebuild(node, args)
    return [bare[f] for f in plain(formulas)]


@dataclass(frozen=True, slots=True)
class Whole:
    """What is wrong with a result as a whole, a factor."""

    cost: int
    mistakes: tuple[Mistake, ...]


class Search:
    """A claim's values against those of the right formula and of wrong ones."""

    def __init__(
        self,
        mine: Sequence[Matrix],
        right: Expr,
        points: Points,
        way: Way | None,
        known: Sequence[Expr],
        shown: Mapping[str, int],
    ) -> None:
        self.mine, self.right, self.points, self.way = mine, right, points, way
        (self.true,) = points([right])
        self.known, self.shown = known, shown
        self.what = "it" if way is None else "the gradient"

    @property
    def right_itself(self) -> bool:
        """Whether the claim has the right values."""
        return self._same(self.true)

    def explanations(self) -> Iterator[Found]:
        """What explains the claim, the best first; there may be none."""
        if not all(np.all(np.isfinite(v)) for v in self.true):
            return
        singles = [] if self.way is None else self.way.singles
        values = self._evaluated(singles)
        whole = self._after(self.true)
        if whole is not None:
            if whole.cost > 1:
                yield from self._direct(singles, values)
            yield whole.mistakes, self._line_of(whole, singles, values)
        yield from self._direct(singles, values)
        written = list(formulas(self.right) if self.way is None else self.way.lines())
        written_values = self._evaluated(written)
        yield from self._direct(written, written_values)
        others = [] if self.way is None else list(self.way.others())
        others_values = self._evaluated(others)
        yield from self._direct(others, others_values)
        yield from self._constant()
        every = [*singles, *written, *others]
        every_value = [*values, *written_values, *others_values]
        yield from self._with_after(every, every_value)
        yield from self._in_pairs(every, every_value)
        yield from self._few_entries()

    def _evaluated(self, candidates: Sequence[Candidate]) -> list[list[Matrix]]:
        return self.points([c.value for c in candidates]) if candidates else []

    def _same(self, values: Sequence[Matrix]) -> bool:
        return all(
            _close(a, b, self.points.close, ROUNDING * float(np.max(np.abs(t))))
            for a, b, t in zip(self.mine, values, self.true, strict=True)
        )

    # ------------------------------------------------------------ explanations

    def _direct(
        self, candidates: Sequence[Candidate], values: Sequence[Sequence[Matrix]]
    ) -> Iterator[Found]:
        for candidate, found in zip(candidates, values, strict=True):
            if self._same(found):
                yield candidate.mistakes, self._line(candidate)

    def _with_after(
        self, candidates: Sequence[Candidate], values: Sequence[Sequence[Matrix]]
    ) -> Iterator[Found]:
        """A mistake, and a factor or a transpose on top of it; the simplest."""
        best: tuple[int, Candidate, Whole] | None = None
        for candidate, found in zip(candidates, values, strict=True):
            after = self._after(found, second=True)
            if after is not None and (best is None or after.cost < best[0]):
                best = after.cost, candidate, after
        if best is not None:
            _, candidate, after = best
            yield candidate.mistakes + after.mistakes, self._line(candidate)

    def _in_pairs(
        self, candidates: Sequence[Candidate], values: Sequence[Sequence[Matrix]]
    ) -> Iterator[Found]:
        """Two mistakes on the way back.

        Of those with the same effect one is taken, and none that is a factor only.
        """
        if self.way is None:
            return
        distinct: dict[bytes, Candidate] = {}
        for candidate, (value, *_) in zip(candidates, values, strict=True):
            if _ratio(value, self.true[0], self.points.close) is None:
                key = np.float32(value).tobytes()
                distinct.setdefault(key, candidate)
        edges = len(self.way.sweep.edges)  # the more, the longer each pair takes
        most = PAIRS * USUAL // max(USUAL, edges * edges // USUAL)
        most = min(most, ENTRIES // self.true[0].size)
        pairs = islice(self.way.pairs(list(distinct.values())), most)
        for tried in batched(pairs, BATCH):
            yield from self._direct(tried, self._evaluated(tried))

    def _constant(self) -> Iterator[Found]:
        """Any constant factor, where more than one entry shows it."""
        pairs = list(zip(self.mine, self.true, strict=True))
        ratios = [_ratio(m, v, self.points.close) for m, v in pairs]
        several = all(np.count_nonzero(v) > 1 for v in self.true)
        first, *rest = ratios
        if first is None or not several:
            return
        if any(r is None or abs(r - first) > 1e-6 * abs(first) for r in rest):
            return
        en = f"yours is {first:.4g} times {self.what} in every entry."
        mistake = Mistake(
            "factor",
            f"right but for a factor: {en}",
            f"定数倍だけ違う: どの成分も {first:.4g} 倍になっている。",
        )
        yield (mistake,), None

    def _few_entries(self) -> Iterator[Found]:
        """Numbers of which only a few are wrong."""
        (mine, *more), (true, *_) = self.mine, self.true
        if more or mine.shape != true.shape:
            return
        allowed = self.points.close * max(np.max(np.abs(true)), np.max(np.abs(mine)))
        bad = np.argwhere(~(np.abs(mine - true) <= allowed)) + 1
        if 2 * len(bad) >= true.size:
            return
        places = ", ".join(f"({i},{j})" for i, j in bad[:4])
        places += ", …" if len(bad) > 4 else ""
        mistake = Mistake(
            "entries",
            f"wrong in {len(bad)} of {true.size} entries only: {places}.",
            f"{true.size} 個の成分のうち {len(bad)} 個だけが違う: {places}。",
        )
        yield (mistake,), None

    # ------------------------------------------------------------ factors

    def _after(self, values: Sequence[Matrix], second: bool = False) -> Whole | None:
        """The factor and the transpose that turn values into the claim's, if any do."""
        for transposed in (False, True):
            turned = [v.T if transposed else v for v in values]
            if turned[0].shape != self.mine[0].shape:
                continue
            if transposed and self._same(turned):
                return Whole(1, (self._transposed(second),))
            ratios = [
                _ratio(m, v, self.points.close)
                for m, v in zip(self.mine, turned, strict=True)
            ]
            if any(r is None for r in ratios):
                continue
            factor = self._factor([r for r in ratios if r is not None])
            if factor is None or factor.cost == 0:
                continue
            said = self._said(factor, second or transposed)
            if transposed:
                said = (self._transposed(second), *said)
            return Whole(factor.cost + transposed, said)
        return None

    def _factor(self, ratios: Sequence[float]) -> Factor | None:
        fits = [
            f
            for f in self._factors
            if all(
                abs(r - f.value(sizes)) <= 1e-6 * abs(r)
                for r, (_, sizes) in zip(ratios, self.points.at, strict=True)
            )
        ]
        if not fits:
            return None
        least = [f for f in fits if f.cost == fits[0].cost]
        means = [f for f in least if f.samples]
        return means[0] if means and self._is_mean else least[0]

    @cached_property
    def _factors(self) -> list[Factor]:
        known = set(self.points.at[0][1])
        return [
            f
            for f in factors(plain(self.known))
            if all(b in known for b in f.powers if isinstance(b, str))
        ]

    @cached_property
    def _is_mean(self) -> bool:
        """Whether somewhere the loss divides by a named size."""
        return any(
            n.op is not None and n.op.name == "divide" and counts(n.args[1])
            for n in order(self.known)
        )

    def _transposed(self, second: bool) -> Mistake:
        if second:
            return Mistake(
                "transposed", "and it is transposed.", "さらに転置されている。"
            )
        return Mistake(
            "transposed",
            f"it is the transpose of {self.what}.",
            "正しいものの転置である。",
        )

    def _said(self, factor: Factor, second: bool) -> tuple[Mistake, ...]:
        """A factor as mistakes: the sign, the power of 2, and the sizes."""
        parts = []
        if factor.negative:
            parts.append(
                Mistake("sign", "and the sign is wrong.", "さらに符号が逆である。")
                if second
                else Mistake(
                    "sign",
                    f"right but for the sign: yours is -1 times {self.what} in every "
                    "entry.",
                    "符号だけが逆である。",
                )
            )
        for piece in factor.parts:
            if piece.cost:
                parts.append(self._times(piece, second or bool(parts)))
        return tuple(parts)

    def _times(self, factor: Factor, second: bool) -> Mistake:
        name = "batch-mean" if factor.samples else "factor"
        number = f"{factor}"
        if factor.samples and self.shown:
            number += f" (= {factor.value(self.shown):.4g})"
        if second:
            return Mistake(
                name,
                f"and it is {number} times what it should be.",
                f"さらに {number} 倍になっている。",
            )
        return Mistake(
            name,
            f"right but for a factor: yours is {number} times {self.what} in "
            "every entry.",
            f"定数倍だけ違う: どの成分も {number} 倍になっている。",
        )

    # ------------------------------------------------------------ the step

    def _line(self, candidate: Candidate) -> int | None:
        return None if self.way is None else self.way.line(candidate)

    def _line_of(
        self,
        whole: Whole,
        singles: Sequence[Candidate],
        values: Sequence[Sequence[Matrix]],
    ) -> int | None:
        """Where a factor enters: where a mistake on the way back has the same effect."""
        if self.way is None or self.way.tape is None:
            return None
        names = [m.name for m in whole.mistakes]
        if "transposed" in names:
            return len(self.way.tape.gradients)
        for candidate, found in zip(singles, values, strict=True):
            if candidate.mistakes[0].name in names and self._same(found):
                return self._line(candidate)
        return self.way.first(self.way.names)


def batched(candidates: Iterable[Candidate], size: int) -> Iterator[list[Candidate]]:
    """The candidates in lists of a size."""
    some = list[Candidate]()
    for candidate in candidates:
        some.append(candidate)
        if len(some) == size:
            yield some
            some = []
    yield some


def _close(a: Matrix, b: Matrix, rtol: float, atol: float = 0.0) -> bool:
    if a.shape != b.shape or not np.all(np.isfinite(b)):
        return False
    size = max(float(np.max(np.abs(a))), float(np.max(np.abs(b))))
    return bool(np.max(np.abs(a - b)) <= rtol * size + atol)


def _ratio(mine: Matrix, true: Matrix, rtol: float) -> float | None:
    """The number that the one matrix is of the other, if it is one."""
    if mine.shape != true.shape or not np.all(np.isfinite(true)):
        return None
    with np.errstate(all="ignore"):
        size = float(np.sum(true * true))
        ratio = float(np.sum(mine * true)) / size if size else 0.0
    return ratio if ratio and _close(mine, ratio * true, rtol) else None
