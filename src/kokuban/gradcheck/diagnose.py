"""Why a claim is wrong: the named mistake that turns what is right into it.

Everything is decided by numbers: wrong formulas are made (by the reverse sweep with a
wrong rule, and out of the right formula), and the first that has the claim's values at
every point explains it. The points are random, with all dimensions unequal, so that no
factor passes for another; or the values given, where the claim is a matrix of numbers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from kokuban.errors import DataError, KokubanError
from kokuban.explain.backward import Tape, tape
from kokuban.explain.derivation import derive
from kokuban.explain.forward import expressed
from kokuban.explain.page import Step
from kokuban.expr import (
    Call,
    Expr,
    Symbol,
    order,
    plain,
    require,
    substitute,
    symbols,
    written as in_full,
)
from kokuban.formula import compare
from kokuban.formula.trial import Trial
from kokuban.gradcheck.factors import Factor, factors
from kokuban.gradcheck.formulas import changed
from kokuban.gradcheck.inputs import Claim, Values, ready, run, sizes_of
from kokuban.gradcheck.mistakes import ROWS, Row, counts, other
from kokuban.gradcheck.schemes import Matrix
from kokuban.gradcheck.sweep import Edge, Sweep, Swept
from kokuban.gradient import grad
from kokuban.ops import binary_cross_entropy, cross_entropy, log, sigmoid, softmax
from kokuban.rewrite import simplify_all
from kokuban.run.reference import by_symbol
from kokuban.shape import show

CLOSE: Final = 1e-8  # of the largest entry: two formulas
CLOSE_NUMBERS: Final = 1e-6  # numbers someone gave
CLOSE_FLOAT32: Final = 1e-4
PAIRS: Final = 1200  # of mistakes on the way back, tried at most
POINTS: Final = 2  # random ones


@dataclass(frozen=True, slots=True)
class Mistake:
    """One named mistake. `name` is stable; `en` and `ja` say it in a sentence."""

    name: str
    en: str
    ja: str

    def text(self, lang: str = "en") -> str:
        """The mistake in a sentence."""
        return self.ja if lang == "ja" else self.en


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with a claim.

    correct    whether it is equal to what is right, in any algebraic form
    mistakes   what turns the right one into it; empty where nothing known does
    shapes     the claim's shape and the right one, where they differ
    line       the number of the derivation's step where it first goes wrong, or None
    derived    the loss and what the derivation is by, where it is a gradient's
    """

    correct: bool
    mistakes: tuple[Mistake, ...] = ()
    shapes: tuple[str, str] | None = None
    line: int | None = None
    derived: tuple[Expr, Expr] | None = None

    @cached_property
    def step(self) -> Step | None:
        """The step of the derivation where the claim first goes wrong, if known."""
        return self.step_in("en")

    def step_in(self, lang: str) -> Step | None:
        """The same, in a language."""
        if self.line is None or self.derived is None:
            return None
        return derive(*self.derived, lang=lang).steps[self.line - 1]

    def text(self, lang: str = "en") -> str:
        """The verdict in one to four lines."""
        ja = lang == "ja"
        if self.correct:
            return "正しい。" if ja else "right."
        lines = []
        if self.shapes is not None:
            mine, true = self.shapes
            lines.append(
                f"形が {mine} だが、正しくは {true} である。"
                if ja
                else f"yours has the shape {mine}; it should be {true}."
            )
        said = [m.text(lang) for m in self.mistakes]
        lines += said if len(said) < 3 else [("" if ja else " ").join(said)]
        if not self.mistakes:
            lines.append(
                "正しくない。知られている誤りのどれとも合わない。"
                if ja
                else "it is wrong, and no known mistake explains it."
            )
        step = self.step_in(lang)
        if step is not None:
            means = [m.name for m in self.mistakes] == ["batch-mean"]
            lines.append(_entering(step, means, ja))
        return "\n".join(lines)


def _entering(step: Step, mean: bool, ja: bool) -> str:
    if ja:
        why = "損失は平均なので、その分母が" if mean else "最初に食い違うのは"
        verb = "行目で入る" if mean else "行目"
        return f"{why}導出の {step.number} {verb}:  {step.formula}"
    if mean:
        return f"the loss is a mean, which enters at line {step.number}:  {step.formula}"
    return f"it first goes wrong at line {step.number}:  {step.formula}"


def diagnose(
    claim: Claim,
    right: Expr,
    *,
    at: Mapping[Any, Any] | None = None,
    seed: int = 0,
    loss: Expr | None = None,
    wrt: Expr | None = None,
    sizes: Mapping[str, int] | None = None,
) -> Diagnosis:
    """Which mistake turns `right` into `claim`, an expression or a matrix of numbers.

    With `loss` and `wrt`, `right` is their gradient, and the mistakes are sought on the
    way back through the loss as well; the derivation's step where the claim first goes
    wrong is then found. `at` gives values, as in `check`; without them random ones are
    drawn by `seed`, and a claim of numbers cannot be judged (DataError). A claim is right
    where it is equal in any algebraic form, or in value at the values given.

    What is merely wrong, whatever its shape, symbols or size, is a verdict and no error.
    """
    require(right, "What is right")
    derived = None if loss is None or wrt is None else (loss, wrt)
    if isinstance(claim, Expr):
        if claim.shape == right.shape and _equal(claim, right, seed):
            return Diagnosis(True)
    elif at is None:
        raise DataError("Numbers are judged at values: give at={symbol: array, …}.")
    for points in _settings(claim, right, loss, at, seed, sizes or {}):
        found = _Search(claim, right, derived, points).verdict()
        if found.correct or found.mistakes:
            return found
    return found


def _equal(claim: Expr, right: Expr, seed: int) -> bool:
    try:
        return bool(compare(claim, right, seed=seed))
    except DataError:  # no value anywhere, or too large
        return False


# ---------------------------------------------------------------- points


@dataclass(frozen=True, slots=True)
class _Points:
    """Where formulas are evaluated, and how close equal values come."""

    at: tuple[tuple[Values, dict[str, int]], ...]
    close: float

    def __call__(self, formulas: Sequence[Expr]) -> list[list[Matrix]]:
        """Each formula's values at every point."""
        found = [run(formulas, values, sizes) for values, sizes in self.at]
        return [list(values) for values in zip(*found, strict=True)]


def _settings(
    claim: Claim,
    right: Expr,
    loss: Expr | None,
    at: Mapping[Any, Any] | None,
    seed: int,
    sizes: Mapping[str, int],
) -> Iterator[_Points]:
    """Random points for a formula, and the values given."""
    formulas = [f for f in (claim, right, loss) if isinstance(f, Expr)]
    if isinstance(claim, Expr):
        yield _random(formulas, seed)
    if at is not None:
        values = ready(by_symbol(symbols(formulas), at), ())
        kind = np.asarray(claim).dtype if not isinstance(claim, Expr) else None
        close = CLOSE_FLOAT32 if kind == np.float32 else CLOSE_NUMBERS
        yield _Points(((values, sizes_of(values, sizes)),), close)


def _random(formulas: Sequence[Expr], seed: int) -> _Points:
    """Normal values; positive ones, small, where the right one needs them."""
    trial = Trial(formulas, formulas, seed)
    for positive in (False, True):
        points = []
        for round_ in range(POINTS):
            sizes = trial.sizes(round_)

            def draw(shape: tuple[int, int]) -> Matrix:
                if positive:
                    return trial.rng.uniform(0.1, 1.0, shape) / shape[1]
                return trial.rng.normal(size=shape)

            points.append((trial.values(sizes, draw, 1.0), sizes))
        found = _Points(tuple(points), CLOSE)
        (true,) = found([formulas[1]])
        if all(np.all(np.isfinite(v)) for v in true):
            break
    return found


# ---------------------------------------------------------------- the search


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A wrong formula, what is wrong with it, and the nodes whose gradients it changes."""

    value: Expr
    mistakes: tuple[Mistake, ...]
    changed: frozenset[Expr] = frozenset()
    line: int | None = None
    swept: tuple[Swept, Edge, int] | None = None


@dataclass(frozen=True, slots=True)
class _Whole:
    """What is wrong with a whole result, and how many parts that has."""

    cost: int
    mistakes: tuple[Mistake, ...]


class _Search:
    """One claim against one right formula, at some points."""

    def __init__(
        self,
        claim: Claim,
        right: Expr,
        derived: tuple[Expr, Expr] | None,
        points: _Points,
    ) -> None:
        self.claim, self.right, self.derived, self.points = claim, right, derived, points
        self.loss = right if derived is None else derived[0]
        (self.true,) = points([right])
        self.mine: list[Matrix] = []
        self.name = "it" if derived is None else "the gradient"

    def verdict(self) -> Diagnosis:
        """What is found first: one mistake before two, the plausible before the rest."""
        refused = self._values()
        if refused is not None:
            return refused
        if self._same(self.true):
            return Diagnosis(True)
        if not all(np.all(np.isfinite(v)) for v in self.true):
            return self._made(())
        for found in self._explanations():
            return found
        return self._made(())

    def _explanations(self) -> Iterator[Diagnosis]:
        singles = self._on_the_way() if self.derived else []
        values = self._evaluated(singles)
        whole = self._after(self.true)
        if whole is not None and whole.cost < 2:
            yield self._made(whole.mistakes, self._line_of(whole, singles, values))
        yield from self._direct(singles, values)
        if whole is not None:
            yield self._made(whole.mistakes, self._line_of(whole, singles, values))
        written = list(self._in_formulas())
        written_values = self._evaluated(written)
        yield from self._direct(written, written_values)
        others = list(self._other_gradients())
        yield from self._direct(others, self._evaluated(others))
        yield from self._constant()
        yield from self._with_after(singles, values)
        yield from self._with_after(written, written_values)
        yield from self._in_pairs(singles)
        yield from self._with_after(others, self._evaluated(others))
        yield from self._few_entries()

    # ------------------------------------------------------------ values

    def _values(self) -> Diagnosis | None:
        """Evaluate the claim; a verdict where that cannot be done."""
        if isinstance(self.claim, Expr):
            given = set(self.points.at[0][0])
            missing = [s for s in symbols([self.claim]) if s not in given]
            if missing:
                names = ", ".join(s.name for s in missing)
                return self._made(
                    (
                        Mistake(
                            "unknown-symbol",
                            f"yours has {names} in it, which has no value here.",
                            f"{names} が式にあるが、ここには値がない。",
                        ),
                    )
                )
            try:
                (self.mine,) = self.points(simplify_all([self.claim]))
            except KokubanError as error:
                said = str(error)
                return self._made((Mistake("no-value", said, said),))
        else:
            array = np.asarray(self.claim)
            if array.ndim == 0 and self.true[0].shape == (1, 1):
                array = array.reshape(1, 1)
            self.mine = [array] * len(self.points.at)
        if self.mine[0].ndim != 2:
            return self._made(())
        bad = np.argwhere(~np.isfinite(self.mine[0]))
        if len(bad) and np.all(np.isfinite(self.true[0])):
            row, column = bad[0] + 1
            return self._made(
                (
                    Mistake(
                        "not-finite",
                        f"yours is not finite, first in entry ({row},{column}).",
                        f"有限でない成分がある。最初は ({row},{column}) 成分である。",
                    ),
                )
            )
        return None

    def _evaluated(self, candidates: Sequence[_Candidate]) -> list[list[Matrix]]:
        return self.points([c.value for c in candidates]) if candidates else []

    def _same(self, values: Sequence[Matrix]) -> bool:
        return all(
            _close(a, b, self.points.close)
            for a, b in zip(self.mine, values, strict=True)
        )

    # ------------------------------------------------------------ explanations

    def _direct(
        self, candidates: Sequence[_Candidate], values: Sequence[Sequence[Matrix]]
    ) -> Iterator[Diagnosis]:
        for candidate, found in zip(candidates, values, strict=True):
            if self._same(found):
                yield self._made(candidate.mistakes, self._line(candidate))

    def _with_after(
        self, candidates: Sequence[_Candidate], values: Sequence[Sequence[Matrix]]
    ) -> Iterator[Diagnosis]:
        """A mistake, and a factor or a transpose on top of it."""
        best: tuple[int, Diagnosis] | None = None
        for candidate, found in zip(candidates, values, strict=True):
            after = self._after(found, second=True)
            if after is not None and (best is None or after.cost < best[0]):
                both = candidate.mistakes + after.mistakes
                best = after.cost, self._made(both, self._line(candidate))
        if best is not None:
            yield best[1]

    def _after(self, values: Sequence[Matrix], second: bool = False) -> _Whole | None:
        """The factor and the transpose that turn values into the claim's, if any do."""
        for transposed in (False, True):
            turned = [v.T if transposed else v for v in values]
            if turned[0].shape != self.mine[0].shape:
                continue
            if transposed and self._same(turned):
                return _Whole(1, (self._transposed(second),))
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
            return _Whole(factor.cost + transposed, said)
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
        formulas = [f for f in (self.loss, self.right, self.claim) if isinstance(f, Expr)]
        known = set(self.points.at[0][1])
        return [
            f
            for f in factors(plain(formulas))
            if all(b in known for b in f.powers if isinstance(b, str))
        ]

    @cached_property
    def _is_mean(self) -> bool:
        """Whether somewhere the loss divides by a named size."""
        return any(
            n.op is not None and n.op.name == "divide" and counts(n.args[1])
            for n in order([self.loss])
        )

    def _constant(self) -> Iterator[Diagnosis]:
        """Any constant factor, where more than one entry shows it."""
        ratios = [
            _ratio(m, v, self.points.close)
            for m, v in zip(self.mine, self.true, strict=True)
        ]
        if any(r is None for r in ratios) or not all(
            np.count_nonzero(v) > 1 for v in self.true
        ):
            return
        first = ratios[0]
        assert first is not None
        if all(r is not None and abs(r - first) <= 1e-6 * abs(first) for r in ratios):
            number = f"{first:.4g}"
            yield self._made(
                (
                    Mistake(
                        "factor",
                        f"right but for a factor: yours is {number} times {self.name} in "
                        "every entry.",
                        f"定数倍だけ違う: すべての成分が {number} 倍になっている。",
                    ),
                )
            )

    def _few_entries(self) -> Iterator[Diagnosis]:
        """Numbers of which only a few are wrong."""
        mine, true = self.mine[0], self.true[0]
        if isinstance(self.claim, Expr) or mine.shape != true.shape:
            return
        allowed = self.points.close * max(np.max(np.abs(true)), np.max(np.abs(mine)))
        bad = np.argwhere(~(np.abs(mine - true) <= allowed))
        if 2 * len(bad) < true.size:
            places = ", ".join(f"({i + 1},{j + 1})" for i, j in bad[:4])
            more = " …" if len(bad) > 4 else ""
            yield self._made(
                (
                    Mistake(
                        "entries",
                        f"only {len(bad)} of {true.size} entries are wrong: "
                        f"{places}{more}.",
                        f"{true.size} 個のうち {len(bad)} 個の成分だけが違う: "
                        f"{places}{more}。",
                    ),
                )
            )

    # ------------------------------------------------------------ words

    def _transposed(self, second: bool) -> Mistake:
        if second:
            return Mistake(
                "transposed", "and it is transposed.", "さらに転置されている。"
            )
        return Mistake(
            "transposed",
            f"it is the transpose of {self.name}.",
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
                    f"right but for the sign: yours is -1 times {self.name}.",
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
        if len(self.points.at) == 1 and factor.samples:
            number += f" (= {factor.value(self.points.at[0][1]):.4g})"
        if second:
            return Mistake(
                name,
                f"and it is {number} times what it should be.",
                f"さらに {number} 倍になっている。",
            )
        return Mistake(
            name,
            f"right but for a factor: yours is {number} times {self.name}.",
            f"定数倍だけ違う: {number} 倍になっている。",
        )

    # ------------------------------------------------------------ candidates

    @cached_property
    def _tape(self) -> Tape | None:
        if self.derived is None:
            return None
        loss, wrt = self.derived
        try:
            return tape(loss, [wrt], {} if isinstance(wrt, Symbol) else {wrt: "Z"})
        except KokubanError:
            return None

    @cached_property
    def _by_hand(self) -> tuple[Expr, Expr, dict[Expr, str]]:
        """The loss and what it is by, as one derives by hand; names of the quantities."""
        assert self.derived is not None
        found = self._tape
        if found is None:
            loss, wrt = _by_hand(list(self.derived))
            return loss, wrt, {}
        asked = next(iter(found.asked))
        nodes = [q.node for q in found.quantities]
        loss, wrt, *rest = _by_hand([found.loss, asked, *nodes])
        names = zip(rest, (q.symbol.name for q in found.quantities), strict=True)
        return loss, wrt, dict(names)

    def _called(self, node: Expr) -> str:
        """A node by its name in the derivation, else as a formula in such names."""
        _, _, names = self._by_hand
        if node in names:
            return names[node]
        found = self._tape
        assert found is not None or not names
        stands = {
            n: next(q.symbol for q in found.quantities if q.symbol.name == name)
            for n, name in names.items()
            if found is not None
        }
        try:
            return in_full(expressed(node, stands), 4, 50)
        except KokubanError:
            return in_full(node, 4, 50)

    def _on_the_way(self) -> list[_Candidate]:
        """Every single mistake of the table on the way back, the plausible first."""
        loss, wrt, _ = self._by_hand
        self.sweep = Sweep(loss, wrt)
        if wrt is not loss and wrt not in self.sweep.right.gradient:
            return []
        return list(self._wrong_rules(self.sweep.right, ()))

    def _wrong_rules(
        self, start: Swept, before: tuple[Mistake, ...], after: tuple[int, int] = (-1, -1)
    ) -> Iterator[_Candidate]:
        for number, row in enumerate(ROWS):
            for place, edge in enumerate(self.sweep.edges):
                if (number, place) <= after or edge in start.rules:
                    continue
                found = self._wrong_rule(start, row, edge)
                if found is not None:
                    yield _Candidate(
                        self.sweep.result(found),
                        (*before, self._named(row, edge)),
                        found.changed,
                        None,
                        (found, edge, number),
                    )

    def _wrong_rule(self, start: Swept, row: Row, edge: Edge) -> Swept | None:
        try:
            share = row.make(edge, start.gradient[edge.y])
            if share is None:
                return None
            found = self.sweep.wrong(edge, lambda e, g: _share(row, e, g), start)
        except KokubanError:  # the shapes do not fit
            return None
        right = self.sweep.result(start)
        return None if self.sweep.result(found) is right else found

    def _named(self, row: Row, edge: Edge) -> Mistake:
        if "{" not in row.en:
            return Mistake(row.name, row.en, row.ja)
        assert edge.y.op is not None
        function = edge.y.name if isinstance(edge.y, Call) else edge.y.op.name
        words = {
            "f": function,
            "x": self._called(edge.x),
            "y": self._called(edge.y),
            "other": self._called(other(edge)) if len(edge.y.args) == 2 else "",
            "p": f"{dict(edge.y.attrs).get('exponent', 1):g}",
            "n": edge.samples or "N",
        }
        return Mistake(row.name, row.en.format(**words), row.ja.format(**words))

    def _in_pairs(self, singles: Sequence[_Candidate]) -> Iterator[Diagnosis]:
        """Two mistakes on the way back, in the order of plausibility."""
        tried: list[_Candidate] = []
        for candidate in self._pairs(singles):
            tried.append(candidate)
            if len(tried) == 300:
                yield from self._direct(tried, self._evaluated(tried))
                tried = []
        yield from self._direct(tried, self._evaluated(tried))

    def _pairs(self, singles: Sequence[_Candidate]) -> Iterator[_Candidate]:
        made = 0
        for total in range(2 * len(singles)):
            for first in range(max(0, total - len(singles) + 1), (total + 1) // 2):
                one, two = singles[first], singles[total - first]
                pair = self._both(one, two)
                if pair is not None:
                    yield pair
                    made += 1
                    if made >= PAIRS:
                        return

    def _both(self, one: _Candidate, two: _Candidate) -> _Candidate | None:
        assert one.swept is not None
        assert two.swept is not None
        start, edge, _ = one.swept
        _, second, number = two.swept
        if second == edge:
            return None
        found = self._wrong_rule(start, ROWS[number], second)
        if found is None:
            return None
        mistakes = one.mistakes + two.mistakes
        return _Candidate(self.sweep.result(found), mistakes, found.changed)

    def _in_formulas(self) -> Iterator[_Candidate]:
        """One thing wrong in a line of the derivation; else in the right formula."""
        found = self._tape
        if found is None:
            for c in changed(self.right):
                yield _Candidate(c.value, (Mistake(c.name, c.en, c.ja),))
            return
        last = found.gradients[-1]
        for line, g in enumerate(found.gradients, 1):
            if g.quantity is None and g is not last:
                continue
            rest = last.value if g is not last else None
            if rest is not None:
                assert g.quantity is not None
                rest = _around(found, rest, g.quantity.gradient)
            for c in changed(g.value):
                value = found.whole(c.value)
                if rest is not None:
                    assert g.quantity is not None
                    try:
                        (value,) = substitute([rest], {g.quantity.gradient: value})
                    except KokubanError:
                        continue
                mistake = Mistake(c.name, c.en, c.ja)
                yield _Candidate(value, (mistake,), frozenset(), line)

    def _other_gradients(self) -> Iterator[_Candidate]:
        """The gradients by something else: right formulas in the wrong place."""
        if self.derived is None:
            return
        loss, wrt, names = self._by_hand
        wanted = [n for n in (*names, *symbols([loss])) if n not in (wrt, loss)]
        for node, value in zip(wanted, grad(loss, wanted, simplify=False), strict=True):
            own = self._called(node)
            yield _Candidate(
                value,
                (
                    Mistake(
                        "other-gradient",
                        f"this is the gradient by {own}, not by {self._called(wrt)}.",
                        f"これは {own} による勾配で、{self._called(wrt)} によるものでない。",
                    ),
                ),
            )

    # ------------------------------------------------------------ the step

    def _made(self, mistakes: tuple[Mistake, ...], line: int | None = None) -> Diagnosis:
        shapes = None
        if isinstance(self.claim, Expr):
            if self.claim.shape != self.right.shape:
                shapes = show(self.claim.shape), show(self.right.shape)
        elif np.shape(self.claim) != self.true[0].shape and (
            np.ndim(self.claim) or self.true[0].shape != (1, 1)
        ):
            mine = "×".join(map(str, np.shape(self.claim))) or "a plain number"
            shapes = mine, "×".join(map(str, self.true[0].shape))
        if shapes is not None and not mistakes:
            mistakes = (
                Mistake("shape", "the shape alone shows it.", "形からして違う。"),
            )
        return Diagnosis(False, mistakes, shapes, line, self.derived)

    def _line(self, candidate: _Candidate) -> int | None:
        return candidate.line or self._first_changed(candidate.changed)

    def _first_changed(self, nodes: Iterable[Expr]) -> int | None:
        """The first step whose gradient changes, and is not put into a later one."""
        found = self._tape
        if found is None:
            return None
        _, wrt, names = self._by_hand
        by_name = {names.get(n, "") for n in nodes if n is not wrt}
        last = len(found.gradients)
        for line, g in enumerate(found.gradients, 1):
            if g.quantity is None:
                if line == last:
                    return line
                continue
            if g.of.name in by_name and not _put_in(found, g.quantity.symbol):
                return line
        return last

    def _line_of(
        self,
        whole: _Whole,
        singles: Sequence[_Candidate],
        values: Sequence[Sequence[Matrix]],
    ) -> int | None:
        """Where a factor enters: where a mistake on the way back has the same effect."""
        if self._tape is None:
            return None
        names = [m.name for m in whole.mistakes]
        if "transposed" in names:
            return len(self._tape.gradients)
        for candidate, found in zip(singles, values, strict=True):
            if candidate.mistakes[0].name in names and self._same(found):
                return self._line(candidate)
        return self._first_changed(self._by_hand[2])


def _share(row: Row, edge: Edge, g: Expr) -> Expr:
    share = row.make(edge, g)
    assert share is not None
    return share


def _put_in(found: Tape, quantity: Symbol) -> bool:
    """Whether a quantity's gradient is written out wherever it is used."""
    through = [
        share
        for g in found.gradients
        for share in g.shares
        if share.through.symbol is quantity
    ]
    return bool(through) and all(s.inserted is not None for s in through)


def _around(found: Tape, formula: Expr, keep: Expr) -> Expr:
    """A formula with every gradient but one written out, in the user's symbols."""
    for g in found.gradients[::-1]:
        if g.quantity is not None and g.quantity.gradient is not keep:
            (formula,) = substitute([formula], {g.quantity.gradient: g.value})
    for q in found.quantities[::-1]:
        (formula,) = substitute([formula], {q.symbol: q.body})
    return formula


def _by_hand(nodes: Sequence[Expr]) -> list[Expr]:
    """Losses from scores, and ln softmax, in the steps in which one derives them."""
    new: dict[Expr, Expr] = {}
    for node in order(nodes):
        if not isinstance(node, Call):
            continue
        if node.name == "softmax_cross_entropy":
            u, t = node.arguments
            new[node] = cross_entropy(softmax(u), t)
        elif node.name == "sigmoid_cross_entropy":
            u, t = node.arguments
            new[node] = binary_cross_entropy(sigmoid(u), t)
        elif node.name == "log_softmax":
            new[node] = log(softmax(node.arguments[0]))
    return substitute(nodes, new) if new else list(nodes)


def _close(a: Matrix, b: Matrix, rtol: float) -> bool:
    if a.shape != b.shape or not np.all(np.isfinite(b)):
        return False
    size = max(float(np.max(np.abs(a))), float(np.max(np.abs(b))))
    return bool(np.max(np.abs(a - b)) <= rtol * size)


def _ratio(mine: Matrix, true: Matrix, rtol: float) -> float | None:
    """The number that the one matrix is of the other, if it is one."""
    if mine.shape != true.shape or not np.all(np.isfinite(true)):
        return None
    size = float(np.sum(true * true))
    ratio = float(np.sum(mine * true)) / size if size else 0.0
    return ratio if ratio and _close(mine, ratio * true, rtol) else None
