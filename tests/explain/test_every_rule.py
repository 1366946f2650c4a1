"""Every operation and every composite, derived in every form, and run as a program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import oracles
import pytest

import kokuban as kb
from kokuban.explain.backward import tape
from kokuban.explain.entries import prove
from kokuban.expr import Expr, Symbol, apply, symbol, symbols
from kokuban.op import operations
from kokuban.ops import COMPOSITES

COUNTERS = ("dropout_mask",)  # whose arguments are counters: nothing to derive by


@dataclass(frozen=True, eq=False)
class Case:
    """A loss that is one operation or composite of symbols, and values for them."""

    name: str
    loss: Expr
    at: dict[Symbol, np.ndarray]
    wrt: list[Symbol]

    def __str__(self) -> str:
        return self.name


def _case(
    name: str, node: Expr, at: dict[Symbol, np.ndarray], wrt: list[Symbol] | None = None
) -> Case:
    """Σ G ⊙ node with numbers G, unless it is a loss already."""
    own = symbols([node], "parameter") if wrt is None else wrt
    if node.shape != (1, 1):
        above = symbol("G", node.shape, "input")
        at = {**at, above: np.random.default_rng(1).uniform(0.5, 1.5, node.shape)}
        node = kb.sum(above * node)
    return Case(name, node, at, own)


def cases() -> Iterator[Case]:
    for op in operations():
        for k, sample in enumerate(op.samples):
            if op.name in COUNTERS:
                continue
            args = [
                symbol(n, s, "parameter")
                for n, s in zip("AB", sample.shapes, strict=False)
            ]
            at = dict(zip(args, oracles.draw(sample), strict=True))
            yield _case(f"{op.name}-{k}", apply(op.name, *args, **sample.attrs), at)
    for name, several in oracles.COMPOSITES.items():
        for k, case in enumerate(several):
            args = [
                symbol(n, a.shape, "parameter")
                for n, a in zip("ABC", case.arrays, strict=False)
            ]
            at = dict(zip(args, case.arrays, strict=True))
            extra: dict[str, Any] = dict(case.attrs)
            if case.weights is not None:
                weights = symbol("w", case.weights.shape, "input")
                at[weights], extra["weights"] = case.weights, weights
            node = COMPOSITES[name](*args, **extra)
            yield _case(f"{name}-{k}", node, at, [args[i] for i in case.by])


CASES = [case for case in cases() if case.loss.op is not None]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_forms_and_languages(case: Case) -> None:
    for how in ({"form": "entries"}, {"form": "numbers"}, {"detail": "everything"}):
        for lang in ("en", "ja"):
            d = kb.derive(case.loss, case.wrt, at=case.at, lang=lang, **how)
            assert d.text()
            assert d.latex()
            assert d.html()


@every_case
def test_gradients_and_program(case: Case) -> None:
    d = kb.derive(case.loss, case.wrt)
    space: dict[str, Any] = {}
    exec(d.python(), space)
    function = space["forward_and_backward"]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    values = {s.name: v for s, v in case.at.items()}
    loss, gradients = function(*(np.asarray(values[n], float) for n in names))
    want = kb.evaluate(case.loss, case.at, simplify=False)
    np.testing.assert_allclose(loss, want, rtol=1e-9, atol=1e-12)
    for s in case.wrt:
        rule = kb.evaluate(kb.grad(case.loss, s, simplify=False), case.at, simplify=False)
        mine = kb.evaluate(d.gradients[s.name], case.at, simplify=False)
        np.testing.assert_allclose(mine, rule, rtol=1e-8, atol=1e-11)
        shown = np.broadcast_to(gradients[s.name], s.shape)
        np.testing.assert_allclose(shown, rule, rtol=1e-8, atol=1e-11)


@every_case
def test_the_calculus_gives_the_declared_rules(case: Case) -> None:
    """From index forms alone: each share folds to what the records' rules say."""
    found = tape(case.loss, case.wrt, {})
    by = {g.of: g for g in found.gradients}
    for g in found.gradients:
        for share in g.shares:
            q = share.through
            above = None if q.kind == "loss" else by[q.symbol].value
            proof = prove(share, g.of, above)
            assert proof.folded is not None, (g.of, share.formula)
            both = [found.whole(proof.folded), found.whole(share.value)]
            mine, rule = kb.evaluate(both, case.at, simplify=False)
            np.testing.assert_allclose(mine, rule, rtol=1e-8, atol=1e-11)
