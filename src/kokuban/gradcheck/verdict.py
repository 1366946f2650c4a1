"""The check: derived and claimed gradients against numerical differentiation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kokuban.expr import Expr, Symbol, require, symbols
from kokuban.gradcheck.case import Case, Compared, Evidence
from kokuban.gradcheck.diagnose import diagnose
from kokuban.gradcheck.diagnosis import findings, not_finite
from kokuban.gradcheck.inputs import (
    Claim,
    Values,
    Wrt,
    as_claim,
    asked_for,
    finite_form,
    named_claims,
    notes_on,
    ready,
    require_analytic,
    run,
    sizes_of,
)
from kokuban.gradcheck.probe import (
    NEARLY_ZERO,
    Estimate,
    Line,
    Loss,
    Place,
    Probe,
    places,
)
from kokuban.gradcheck.report import Check, Kink, Result, Worst
from kokuban.gradcheck.schemes import COMPLEX, Matrix, base_step, direction
from kokuban.gradcheck.taylor import remainder_slope
from kokuban.gradient import grad
from kokuban.rewrite import simplify_all
from kokuban.run.reference import by_symbol

LIMIT = 2000  # entries; in a larger parameter a sample is taken
SAMPLE = 50
SUSPECTS = 200  # entries where a claim disagrees, tested for corners
DIRECTIONS = 20
RTOL = 1e-6
RTOL_FLOAT32 = 1e-3  # of an entry of a claim in float32, and SHARE_FLOAT32 of the largest
SHARE_FLOAT32 = 1e-5


@dataclass(frozen=True, slots=True)
class _Setting:
    """What the checks of all parameters share; rtol None where none was given."""

    loss: Expr
    values: Values
    sizes: dict[str, int]
    method: str
    rtol: float | None
    atol: float
    rng: np.random.Generator


def check(
    L: Expr,
    at: Mapping[Any, Any],
    wrt: Wrt | None = None,
    claims: Mapping[Any, Claim] | None = None,
    *,
    let: Mapping[str, Expr | str] | None = None,
    method: str = "central",
    rtol: float | None = None,
    atol: float = 0.0,
    seed: int = 0,
    sizes: Mapping[str, int] | None = None,
) -> Check:
    """Whether the gradients of L, a 1×1 expression, are right at the values `at`.

    The gradient derived by each symbol of `wrt` (all parameters, if None) is held against
    numerical differentiation in float64; `claims` gives someone's own gradients by symbol
    or name, which are held against the derived ones: arrays, expressions, or formulas as
    text, such as "X^T (Y - T) / N". Text knows the symbols of L by name, what a loss
    compares by the letters of its definition (Y and T in cross_entropy(Y, T)), and what
    `let` defines: a board, or expressions or further text by name. `method` is "forward",
    "backward", "central", "5-point", "7-point" or "complex".

    Two values agree within rtol (1e-6; 1e-3 for a claim in float32) of the entry, plus
    atol, plus the bound on the differences' own error, which the report says. Entries
    without a derivative, such as ReLU at 0, are named and left out. In a parameter of
    more than 2000 entries 50 of them and 20 random directions, drawn by `seed`, are
    differentiated; a claim is compared in every entry all the same. `sizes` gives the
    size of a named dimension that no value has.

    Raises ShapeError if L is not 1×1 or a value does not fit, DataError for values in
    whole numbers or float32 (of what is differentiated by), or not finite, or missing,
    ExpressionError for a symbol that L does not have or, with "complex", an operation
    that is not analytic, UnknownNameError for an unknown name or method, and FormulaError
    for text that is no formula.
    """
    loss = require(L, "What is checked")
    base_step(method)
    claimed = named_claims(claims or {}, let or {}, loss)
    asked = asked_for(wrt, loss, claimed)
    derived = grad(loss, asked)
    formulas = [c for c in claimed.values() if isinstance(c, Expr)]
    given = by_symbol(symbols([loss, *formulas]), at)
    values = ready(given, asked)
    known = sizes_of(values, sizes)
    form, value = finite_form(loss, values, known)
    formulas = [f for f in formulas if all(s in values for s in symbols([f]))]
    setting = _Setting(
        form, values, known, method, rtol, atol, np.random.default_rng(seed)
    )
    gradients = run(derived, values, known)
    worked_out = iter(run(simplify_all(formulas), values, known))
    arrays = {
        s: next(worked_out) if isinstance(c, Expr) else as_claim(s, c)
        for s, c in claimed.items()
        if not isinstance(c, Expr) or c in formulas
    }
    results = []
    for symbol, right, g in zip(asked, derived, gradients, strict=True):
        result = _examined(setting, symbol, np.array(g), arrays.get(symbol))
        if symbol in claimed and (result.failed or symbol not in arrays or result.unlike):
            result = _explained(setting, result, loss, right, claimed[symbol])
        results.append(result)
    return Check(value, tuple(results), tuple(notes_on(given, form is not loss, arrays)))


def _explained(
    setting: _Setting, result: Result, loss: Expr, right: Expr, claim: Claim
) -> Result:
    """The result of a wrong claim, with the mistake that explains it."""
    found = diagnose(
        claim, right, at=setting.values, loss=loss, wrt=result.symbol, sizes=setting.sizes
    )
    if found.correct:  # but for less than the mistakes differ by
        return result
    if not (result.failed or result.unlike):  # it has no value here
        result = replace(result, worst=None, bound=math.nan)
    return replace(result, ok=False, claimed=True, found=found)


# ---------------------------------------------------------------- one parameter


def _examined(
    setting: _Setting, symbol: Symbol, gradient: Matrix, claim: Matrix | None
) -> Result:
    """The check of one parameter."""
    if setting.method == COMPLEX:
        require_analytic(setting.loss, symbol)
    blank = Result(symbol, False, gradient.shape, setting.method, claim is not None)
    wrong = not_finite(gradient)
    if wrong is not None:
        return replace(blank, findings=(wrong,))
    if claim is not None and claim.shape != gradient.shape:
        return replace(blank, unlike=True)
    loss = Loss(setting.loss, symbol, setting.values, setting.sizes)
    largest = float(np.max(np.abs(gradient)))
    rtol, atol = RTOL if setting.rtol is None else setting.rtol, setting.atol
    probe = Probe(loss, setting.method, rtol, largest, setting.rng)
    if claim is not None and claim.dtype == np.float32 and setting.rtol is None:
        rtol, atol = RTOL_FLOAT32, atol + SHARE_FLOAT32 * largest
    case = Case(symbol, loss.value, gradient, claim, rtol, atol, loss, probe, setting.rng)
    return _judged(case, blank)


def _evidence(case: Case, suspects: Sequence[Place]) -> Evidence:
    by_entry = {p: case.probe.at(p, float(case.gradient[p])) for p in _chosen(case)}
    for p in suspects[:SUSPECTS]:
        if p not in by_entry:
            by_entry[p] = case.probe.at(p, float(case.gradient[p]))
        if not by_entry[p].undefined:
            break  # the claim is wrong there, whatever it is elsewhere
    defined = {p: e for p, e in by_entry.items() if not e.undefined}
    sides = _along_directions(case)
    rows: list[tuple[Place | None, float, Estimate]] = [
        *((p, float(case.gradient[p]), e) for p, e in defined.items()),
        *((None, expected, e) for expected, e in sides),
    ]
    sharp = [e for _, expected, e in rows if case.probe.sees(e, expected)]
    compared = [
        case.compared(place, expected, e.value, e.bound)
        for place, expected, e in rows
        if case.probe.sees(e, expected)
    ]
    undefined = {p: e for p, e in by_entry.items() if e.undefined}
    hidden = len(rows) - len(sharp)
    return Evidence(defined, undefined, len(sides), sharp, hidden, compared)


def _judged(case: Case, blank: Result) -> Result:
    """Differentiate numerically, compare, and say what was found."""
    suspects = _suspects(case)
    evidence = _evidence(case, suspects)
    claimed = case.claim is not None and evidence.sound
    pool = _claim_compared(case, evidence, suspects) if claimed else evidence.compared
    failed = [c for c in pool if c.failed]
    steps = [e.step for e in evidence.sharp] or [math.nan]
    kinks = _kinks(evidence.undefined)
    return replace(
        blank,
        ok=bool(evidence.sharp) and not (evidence.hidden or failed),
        claimed=claimed,
        steps=(min(steps), max(steps)),
        entries=len(evidence.defined),
        directions=evidence.sides,
        hidden=evidence.hidden,
        failed=sum(c.place is not None for c in failed) or len(failed),
        gap=_relative_gap(case, pool),
        rtol=case.rtol,
        atol=case.atol,
        bound=max((e.bound for e in evidence.sharp), default=math.nan),
        slope=_slope(case, evidence.undefined),
        kinks=kinks,
        worst=_worst(case.symbol.name, pool, claimed),
        findings=tuple(findings(case, evidence, kinks)),
    )


def _suspects(case: Case) -> list[Place]:
    """In a large parameter, where a claim disagrees, the furthest first."""
    if case.claim is None or case.gradient.size <= LIMIT:
        return []
    gap = np.abs(case.claim - case.gradient)
    gap[np.isnan(gap)] = np.inf
    largest = float(np.max(np.abs(case.gradient)))
    limit = case.rtol * np.maximum(np.abs(case.claim), largest) + case.atol
    furthest = np.argsort(-gap, axis=None)[: int(np.sum(~(gap <= limit)))]
    rows, columns = np.unravel_index(furthest, gap.shape)
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def _chosen(case: Case) -> list[Place]:
    """The entries to differentiate by: all, or a sample of a large parameter's."""
    every = places(case.gradient.shape)
    if len(every) <= LIMIT:
        return every
    sample = case.rng.choice(len(every), SAMPLE, replace=False)
    return [every[int(k)] for k in np.sort(sample)]


def _along_directions(case: Case) -> list[tuple[float, Estimate]]:
    """In a large parameter, the gradient's and L's slope along random directions."""
    found = []
    for _ in range(DIRECTIONS if case.gradient.size > LIMIT else 0):
        v = direction(case.value, case.rng)
        expected = float(np.sum(case.gradient * v))
        estimate = case.probe.along(Line(case.loss, ..., v), expected)
        if not estimate.undefined:
            found.append((expected, estimate))
    return found


def _kinks(undefined: Mapping[Place, Estimate]) -> tuple[Kink, ...]:
    """The entries without a derivative, by the operations to blame."""
    groups: dict[tuple[str, ...], list[Place]] = {}
    for place, estimate in undefined.items():
        groups.setdefault(estimate.near, []).append(place)
    return tuple(Kink(names, tuple(found)) for names, found in groups.items())


def _claim_compared(
    case: Case, evidence: Evidence, suspects: Sequence[Place]
) -> list[Compared]:
    """The claim against the derived gradient, wherever there is a derivative.

    Both are worked out without differences, so that the usual bound is enough for every
    entry, though some differences may be coarser.
    """
    assert case.claim is not None
    left_out = set(evidence.undefined)
    if suspects and left_out.issuperset(suspects[:SUSPECTS]):
        left_out.update(suspects)  # too many to test, and every one tested was a corner
    usual, found = evidence.usual, []
    for p in places(case.gradient.shape):
        if p not in left_out:
            own = evidence.defined[p].bound if p in evidence.defined else usual
            given, against = float(case.claim[p]), float(case.gradient[p])
            found.append(case.compared(p, given, against, min(own, usual)))
    return found


def _relative_gap(case: Case, pool: Sequence[Compared]) -> float:
    gap = max((c.gap for c in pool), default=math.nan)
    largest = float(np.max(np.abs(case.gradient)))
    size = max(largest, NEARLY_ZERO * case.probe.steepness)
    return gap / size if size else gap


def _worst(name: str, pool: Sequence[Compared], claimed: bool) -> Worst | None:
    if not pool:
        return None
    c = max(pool, key=lambda c: c.excess)
    row, column = c.place if c.place is not None else (None, None)
    words = ("yours", "gradient") if claimed else ("gradient", "differences")
    return Worst(name, row, column, c.given, c.against, *words)


def _slope(case: Case, kinks: Iterable[Place]) -> float:
    """The Taylor slope along a random direction through the entries with a derivative."""
    v = direction(case.value, case.rng)
    for p in kinks:
        v[p] = 0.0
    slope = float(np.sum(case.tested * v))
    if not (math.isfinite(slope) and v.any()):
        return math.nan
    line = Line(case.loss, ..., v)
    usual = base_step("central")
    sigmas = (case.probe.noise(usual * 2.0**-k) for k in range(0, 20, 5))
    sigma = next(filter(math.isfinite, sigmas), math.inf)
    return remainder_slope(line, slope, sigma, lambda e: not line.touched((0.0, e)))
