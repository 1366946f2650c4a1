"""Derivations in numbers, each gradient with the verdict of numerical differentiation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import wraps
from typing import ParamSpec

from kokuban import explain
from kokuban.errors import DataError
from kokuban.explain import Derivation
from kokuban.explain.backward import Gradient
from kokuban.explain.layout import Box, number
from kokuban.explain.page import Prose
from kokuban.explain.phrases import Phrases
from kokuban.expr import Symbol, substitute, symbols
from kokuban.gradcheck.report import Result
from kokuban.gradcheck.verdict import check

P = ParamSpec("P")


def checked(found: Derivation) -> Derivation:
    """The derivation with a verdict below each gradient asked for, where it has values.

    Where there can be no check (a loss that is not finite, targets that cannot be moved
    since their rows sum to 1), the verdict says so.
    """
    if not found.values:
        return found
    say = Phrases(found.page.lang)
    asked = set(found.tape.wrt)
    steps = tuple(
        replace(step, checked=_verdict(say, _compared(found, g)))
        if g.of in asked and g.shares
        else step
        for step, g in zip(found.steps, found.tape.gradients, strict=True)
    )
    return replace(found, page=replace(found.page, steps=steps))


def _with_verdicts(plain: Callable[P, Derivation]) -> Callable[P, Derivation]:
    @wraps(plain)
    def derive(*args: P.args, **kwargs: P.kwargs) -> Derivation:
        return checked(plain(*args, **kwargs))

    return derive


derive = _with_verdicts(explain.derive)


def _compared(found: Derivation, g: Gradient) -> Result | None:
    """The check of one gradient, None where there can be none.

    What it is by may be a quantity on the way.
    """
    loss = found.tape.loss
    if g.quantity is not None:
        (loss,) = substitute([loss], {g.quantity.node: g.of})
    needed: dict[Symbol | str, object] = {s: found.values[s] for s in symbols([loss])}
    try:
        (result,) = check(loss, needed, g.of).results
    except DataError:
        return None
    return result


def _verdict(say: Phrases, result: Result | None) -> Prose:
    if result is None:
        return say.say("checked not")
    size = result.shape[0] * result.shape[1]
    corners = sum(len(kink.entries) for kink in result.kinks)
    counts = (
        result.entries,
        float(f"{result.gap:.0e}"),
        size,
        result.directions,
        corners,
    )
    boxes = [number(n) for n in counts]
    said: list[str | Box] = []
    for key in _keys(result, size):
        said += [say.word("checked between")] if said else []
        said += say.say(key, *boxes)
    return tuple(said)


def _keys(result: Result, size: int) -> Iterator[str]:
    """The sentences that the verdict consists of."""
    if not result.ok:
        yield "checked wrong" if result.failed else "checked not"
    elif result.entries < size:
        yield "checked some"
    else:
        yield "checked one" if size == 1 else "checked all"
    if result.ok and result.directions:
        yield "checked along"
    if result.kinks:
        yield "checked corner"
