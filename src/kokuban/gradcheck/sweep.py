"""The reverse sweep again, in which an edge can be given a wrong rule.

An edge is one use of a node: x as an argument of y, over which y's gradient comes back
to x as a share. A wrong gradient is what the sweep gives where an edge has another rule.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from kokuban.errors import ShapeError
from kokuban.explain.forward import ACTIVATIONS
from kokuban.expr import COMPOSITES, Call, Expr, apply, order
from kokuban.gradient import grad
from kokuban.ops import elementwise, ones

FUNCTIONS = (*elementwise.__all__, "power")


def is_function(node: Expr) -> bool:
    """Whether a node is a function of one matrix, entry by entry; composites too."""
    if isinstance(node, Call):
        return node.name in ACTIVATIONS
    return node.op is not None and node.op.name in FUNCTIONS


def inputs(node: Expr) -> tuple[Expr, ...]:
    """What a gradient comes back to from a node: a function of one matrix is whole."""
    if isinstance(node, Call) and is_function(node):
        return node.arguments
    return node.args


def slope(y: Expr, g: Expr, x: Expr) -> Expr:
    """The rule of the function that y is, as if its argument were x."""
    attrs = dict(y.attrs)
    if isinstance(y, Call):
        return grad(COMPOSITES[y.name](x, **attrs), x, upstream=g, simplify=False)
    assert y.op is not None
    (rule,) = y.op.vjp
    if rule is None:
        return 0 * g
    result: Expr = rule(g, apply(y.op.name, x, **attrs), x, **attrs)
    return result


@dataclass(frozen=True, slots=True)
class Edge:
    """One use of x: at a place among the arguments of y.

    shared   whether x has other uses as well
    last     whether x is what is differentiated by
    samples  the loss's named dimension, such as N; None where it has none
    """

    y: Expr
    place: int
    x: Expr
    shared: bool
    last: bool
    samples: str | None

    def share(self, g: Expr) -> Expr:
        """What comes back to x of y's gradient g, by the right rule."""
        if isinstance(self.y, Call) and is_function(self.y):
            return slope(self.y, g, self.x)
        assert self.y.op is not None
        rule = self.y.op.vjp[self.place]
        assert rule is not None
        result: Expr = rule(g, self.y, *self.y.args, **dict(self.y.attrs))
        return result


Rule = Callable[[Edge, Expr], Expr]  # from the edge and y's gradient to x's share


@dataclass(frozen=True, slots=True)
class Swept:
    """A sweep's result: gradients, shares, and what was put in.

    rules     by edge
    fixed     gradients put in as formulas, by node
    changed   the nodes whose gradients these may change
    """

    gradient: Mapping[Expr, Expr]
    shares: Mapping[Edge, Expr]
    rules: Mapping[Edge, Rule] = field(default_factory=dict)
    fixed: Mapping[Expr, Expr] = field(default_factory=dict)
    changed: frozenset[Expr] = frozenset()


class Sweep:
    """The reverse sweep from a loss to one node, and what it gives with wrong rules."""

    def __init__(self, loss: Expr, wrt: Expr) -> None:
        self.loss, self.wrt = loss, wrt
        reached, stack = {loss}, [loss]
        while stack:
            for x in inputs(stack.pop()):
                if x not in reached:
                    reached.add(x)
                    stack.append(x)
        nodes = [n for n in order([loss]) if n in reached]
        needed = {wrt}
        for n in nodes:
            if any(x in needed for x in inputs(n)):
                needed.add(n)
        uses = [
            (y, place, x)
            for y in reversed(nodes)
            if y in needed
            for place, x in enumerate(inputs(y))
            if x in needed and y.op is not None and _passes(y, place)
        ]
        count = Counter(x for _, _, x in uses)
        dims = (d for n in nodes for d in n.shape if isinstance(d, str))
        samples = next(dims, None)
        self.edges = [
            Edge(y, place, x, count[x] > 1, x is wrt, samples) for y, place, x in uses
        ]
        self._from: dict[Expr, list[Edge]] = {}
        self._to: dict[Expr, list[Edge]] = {}
        for e in self.edges:
            self._from.setdefault(e.y, []).append(e)
            self._to.setdefault(e.x, []).append(e)
        self._order = [n for n in reversed(nodes) if n in needed]
        self._place = {n: k for k, n in enumerate(self._order)}
        begun = Swept({loss: ones(loss.shape)}, {})
        self.right = replace(self._swept(begun, self._order, {loss}), changed=frozenset())

    def wrong(self, edge: Edge, rule: Rule, start: Swept | None = None) -> Swept:
        """The sweep with a rule put in at an edge, on top of those put in before.

        Raises a KokubanError where the rule does not fit there.
        """
        before = self.right if start is None else start
        begun = replace(before, rules={**before.rules, edge: rule})
        return self._swept(begun, self._order[self._place[edge.y] :], set(), edge)

    def put_in(self, node: Expr, gradient: Expr) -> Swept:
        """The sweep with a formula put in for a node's gradient."""
        if gradient.shape != node.shape:
            raise ShapeError("A gradient has the shape of what it is taken by.")
        begun = replace(
            self.right,
            gradient={**self.right.gradient, node: gradient},
            fixed={node: gradient},
            changed=frozenset([node]),
        )
        return self._swept(begun, self._order[self._place[node] :], {node})

    def result(self, swept: Swept) -> Expr:
        """The gradient by what was asked."""
        return swept.gradient[self.wrt]

    def _swept(
        self,
        start: Swept,
        nodes: list[Expr],
        stale: set[Expr],
        edge: Edge | None = None,
    ) -> Swept:
        """Work out again what depends on `stale` nodes and on one edge."""
        gradient, shares = dict(start.gradient), dict(start.shares)
        changed = set(start.changed)
        for y in nodes:
            if y in stale and y in self._to and y not in start.fixed:
                gradient[y] = self._total(y, shares)
                changed.add(y)
            if y not in gradient:
                continue
            for e in self._from.get(y, []):
                if y in stale or e is edge:
                    rule = start.rules.get(e, Edge.share)
                    shares[e] = rule(e, gradient[y])
                    stale.add(e.x)
        return replace(
            start, gradient=gradient, shares=shares, changed=frozenset(changed)
        )

    def _total(self, x: Expr, shares: Mapping[Edge, Expr]) -> Expr:
        total: Expr | None = None
        for e in self._to[x]:
            if e in shares:
                total = shares[e] if total is None else total + shares[e]
        assert total is not None
        if x is not self.wrt and total.shape != x.shape:
            raise ShapeError("A gradient has the shape of what it is taken by.")
        return total


def _passes(y: Expr, place: int) -> bool:
    assert y.op is not None
    return isinstance(y, Call) or y.op.vjp[place] is not None
