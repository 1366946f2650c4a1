"""Why a claim is wrong: the named mistake that turns what is right into it.

Everything is decided by numbers: wrong formulas are made (by the reverse sweep with a
wrong rule, and out of the right formula), and the first that has the claim's values at
every point explains it. The points are random, with all dimensions unequal, so that no
factor passes for another; or the values given, where the claim is a matrix of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np

from kokuban.errors import DataError, KokubanError
from kokuban.explain.derivation import derive
from kokuban.explain.page import Step
from kokuban.expr import Expr, Symbol, require, symbols
from kokuban.formula import compare
from kokuban.formula.trial import Trial
from kokuban.gradcheck.candidates import Way
from kokuban.gradcheck.inputs import Claim, ready, sizes_of
from kokuban.gradcheck.mistakes import Mistake
from kokuban.gradcheck.schemes import Matrix
from kokuban.gradcheck.search import Points, Search
from kokuban.rewrite import simplify_all
from kokuban.run.reference import by_symbol
from kokuban.shape import SCALAR, show

CLOSE: Final = 1e-8  # of the largest entry: two formulas
CLOSE_NUMBERS: Final = 1e-6  # numbers someone gave
CLOSE_FLOAT32: Final = 1e-4
POINTS: Final = 2  # random ones


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
            wrt = None if self.derived is None else self.derived[1]
            own = wrt.name if isinstance(wrt, Symbol) else "正しい式" if ja else "it"
            verb = "is" if isinstance(wrt, Symbol) else "should be"
            lines.append(
                f"答案の形は {mine} だが、{own} は {true} である。"
                if ja
                else f"yours has the shape {mine}, but {own} {verb} {true}."
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
    way = None if loss is None or wrt is None else Way(loss, wrt)
    known = [right] if loss is None else [right, loss]
    if isinstance(claim, Expr):
        if claim.shape == right.shape and _equal(claim, right, seed):
            return Diagnosis(True)
    elif at is None:
        raise DataError("Numbers are judged at values: give at={symbol: array, …}.")
    mistakes: tuple[Mistake, ...] = ()
    line: int | None = None
    shapes = None
    given = None if at is None else _given(claim, known, at, sizes or {})
    shown = {} if given is None else given.at[0][1]
    for points in (_random(claim, known, seed), given):
        if points is None:
            continue
        mine = _values(claim, right, points)
        if isinstance(mine, Mistake):
            mistakes = mistakes or (mine,)
            continue
        search = Search(mine, right, points, way, known, shown)
        if search.right_itself:
            return Diagnosis(True)
        shapes = _shapes(claim, right, search)
        explained = next(search.explanations(), None)
        if explained is not None:
            mistakes, line = explained
            break
    if shapes is not None and not mistakes:
        mistakes = (
            Mistake(
                "shape",
                "it is of another shape, and no known mistake explains it.",
                "形が違う。名前のついた誤りのどれにも当てはまらない。",
            ),
        )
    derived = None if loss is None or wrt is None else (loss, wrt)
    return Diagnosis(False, mistakes, shapes, line, derived)


def _equal(claim: Expr, right: Expr, seed: int) -> bool:
    try:
        return bool(compare(claim, right, seed=seed))
    except DataError:  # no value anywhere, or too large
        return False


def _shapes(claim: Claim, right: Expr, search: Search) -> tuple[str, str] | None:
    """The claim's shape and the right one, where they differ; with names if known."""
    mine, true = search.mine[0].shape, search.true[0].shape
    if mine == true:
        return None
    if isinstance(claim, Expr):
        return show(claim.shape), show(right.shape)
    return "×".join(map(str, mine)), "×".join(map(str, true))


def _values(claim: Claim, right: Expr, points: Points) -> list[Matrix] | Mistake:
    """The claim's values at every point; what is wrong where it has none."""
    if isinstance(claim, Expr):
        missing = [s for s in symbols([claim]) if s not in points.at[0][0]]
        if missing:
            names = ", ".join(s.name for s in missing)
            return Mistake(
                "unknown-symbol",
                f"yours has {names} in it, which has no value here.",
                f"{names} が式にあるが、ここには値がない。",
            )
        try:
            (found,) = points(simplify_all([claim]))
        except KokubanError as error:  # such as rows that should sum to 1 and do not
            said = f"yours has no value: {error}", f"値が定まらない: {error}"
            return Mistake("no-value", *said)
    else:
        try:
            array = np.asarray(claim, dtype=np.float64)
        except (TypeError, ValueError):
            said = "yours is no matrix of numbers.", "数の行列ではない。"
            return Mistake("no-value", *said)
        if array.ndim == 0 and right.shape == SCALAR:
            array = array.reshape(1, 1)
        if array.ndim != 2:
            have = "×".join(map(str, array.shape)) or "a plain number"
            return Mistake(
                "shape",
                f"yours has the shape {have}, but it should be {show(right.shape)}. "
                "Everything is a matrix of two dimensions here.",
                f"答案の次元は {array.ndim} だが、ここではすべてが行列 (2 次元) である。",
            )
        found = [array] * len(points.at)
    bad = np.argwhere(~np.isfinite(found[0]))
    if len(bad):
        row, column = bad[0] + 1
        return Mistake(
            "not-finite",
            f"yours is not finite in {_entries(len(bad))}, first in ({row},{column}).",
            f"有限でない成分が {len(bad)} 個ある。最初は ({row},{column}) 成分である。",
        )
    return found


def _entries(count: int) -> str:
    return "1 entry" if count == 1 else f"{count} entries"


# ---------------------------------------------------------------- points


def _given(
    claim: Claim,
    known: Sequence[Expr],
    at: Mapping[Any, Any],
    sizes: Mapping[str, int],
) -> Points:
    """The values given, as the only point."""
    leaves = symbols(known)
    taken = {s.name for s in leaves}
    if isinstance(claim, Expr):
        leaves += [s for s in symbols([claim]) if s.name not in taken]
    values = ready(by_symbol(leaves, at), ())
    coarse = getattr(claim, "dtype", None) == np.float32
    close = CLOSE_FLOAT32 if coarse else CLOSE_NUMBERS
    return Points(((values, sizes_of(values, sizes)),), close)


def _random(claim: Claim, known: Sequence[Expr], seed: int) -> Points | None:
    """Normal values for a formula; positive ones, small, where the right one needs them.

    None for numbers, and where the formulas are too large to evaluate.
    """
    if not isinstance(claim, Expr):
        return None
    formulas = [*known, claim]
    try:
        trial = Trial(formulas, formulas, seed)
    except DataError:
        return None
    for draw in (_normal, _positive):
        points = []
        for round_ in range(POINTS):
            sizes = trial.sizes(5 * round_)  # further apart than the numbers
            values = trial.values(sizes, partial(draw, trial.rng), 1.0)
            points.append((values, sizes))
        found = Points(tuple(points), CLOSE)
        (right,) = found(formulas[:1])
        if all(np.all(np.isfinite(v)) for v in right):
            break
    return found


def _normal(rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    return rng.normal(size=shape)


def _positive(rng: np.random.Generator, shape: tuple[int, int]) -> Matrix:
    return rng.uniform(0.1, 1.0, shape) / shape[1]
