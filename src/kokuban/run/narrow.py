"""Weights of few columns, which the plan of a small network keeps transposed.

The engine cuts a matrix's rows into whole vectors, so a weight of 32×3 is mostly padding,
and each update goes through that too. Its transpose, 3×32, has none. Where a step takes
some microseconds this counts; in larger networks such weights do not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kokuban.expr import Expr, Symbol, order, rebuild, symbol
from kokuban.ops import broadcast
from kokuban.run.plan import BATCH, is_entrywise, is_named
from kokuban.shape import Dim

SMALL = 4e5  # operations of a step's products; the engine gives such a step to one thread
FEW = 12  # columns, of at least twice as many rows


class Narrow:
    """A training program in which narrow weights and their moments are transposed.

    outputs, assigned   the program, with `twins` in place of such symbols
    twins               for each such symbol n×m the one m×n that stands for it
    shown               how the expressions in it are to be written
    """

    def __init__(
        self,
        outputs: Sequence[Expr],
        assigned: Mapping[Symbol, Expr],
        shown: Mapping[Expr, Expr],
        rows: int,
    ) -> None:
        self.outputs, self.assigned = list(outputs), dict(assigned)
        self.shown = dict(shown)
        self.twins: dict[Symbol, Symbol] = {}
        nodes = order([*outputs, *assigned.values()])
        if rows == 0 or _work(nodes, rows) >= SMALL:
            return
        self._users: dict[Expr, set[Expr]] = {n: set() for n in nodes}
        for n in nodes:
            for a in n.args:
                self._users[a].add(n)
        updates = set[Expr]().union(*map(self._update, assigned))
        for s in assigned:
            if s in updates:
                self.twins[s] = symbol(f"{s.name}ᵀ", s.shape[::-1], s.role)
        if self.twins:
            self._rewrite(nodes, updates)

    def _update(self, weight: Symbol) -> set[Expr]:
        """What the new values of a narrow weight and its moments are made of, or nothing.

        That is entrywise down to themselves, numbers, and the gradient AᵀB. All of it is
        read there only, except that the weight is the right factor of products.
        """
        rows, columns = weight.shape
        if not (isinstance(rows, int) and isinstance(columns, int)):
            return set()
        if columns > FEW or rows < 2 * columns or weight not in self._users:
            return set()
        found, left = set[Expr]([weight]), [self.assigned[weight]]
        while left:
            n = left.pop()
            if n in found or _repeats_number(n):
                continue
            if n.shape != weight.shape or n in self.outputs:
                return set()
            found.add(n)
            if isinstance(n, Symbol) and n in self.assigned:
                left.append(self.assigned[n])
            elif is_entrywise(n):
                left.extend(n.args)
            elif not _is_gradient(n):
                return set()
        elsewhere = [(n, u) for n in found for u in self._users[n] - found]
        fits = all(n is weight and self._is_product(u, n) for n, u in elsewhere)
        return found if fits else set()

    def _is_product(self, node: Expr, factor: Expr) -> bool:
        """Whether a node is a product by a factor, or its transpose for such products."""
        if is_named(node, "transpose"):
            return node not in self.outputs and all(
                self._is_product(u, node) for u in self._users[node]
            )
        return is_named(node, "matmul") and node.args[0] is not factor

    def _rewrite(self, nodes: Sequence[Expr], updates: set[Expr]) -> None:
        new: dict[Expr, Expr] = dict(self.twins.items())
        shown = dict(new)
        for n in nodes:
            if n in self.twins:
                continue
            if n in updates:
                new[n], shown[n] = _turned(n, new), _turned(n, shown)
            else:
                shown[n] = self.shown.get(n, n)
                if is_named(n, "transpose") and n.args[0] in self.twins:
                    new[n] = new[n.args[0]]
                elif is_named(n, "matmul") and n.args[1] in self.twins:
                    new[n] = new[n.args[0]] @ new[n.args[1]].T
                else:
                    new[n] = rebuild(n, tuple(new[a] for a in n.args))
        self.shown = {new[n]: shown[n] for n in shown}
        self.shown |= {twin: twin for twin in self.twins.values()}
        self.outputs = [new[n] for n in self.outputs]
        self.assigned = {self.twins.get(s, s): new[n] for s, n in self.assigned.items()}


def _turned(node: Expr, new: Mapping[Expr, Expr]) -> Expr:
    """An update's node, transposed; `new` has what it is made of."""
    if _is_gradient(node):
        left, right = (new[a] for a in (node.args[0].args[0], node.args[1]))
        return right.T @ left

    def turned(a: Expr) -> Expr:
        return broadcast(new[a.args[0]], a.shape[::-1]) if _repeats_number(a) else new[a]

    return rebuild(node, tuple(map(turned, node.args)))


def _is_gradient(node: Expr) -> bool:
    return is_named(node, "matmul") and is_named(node.args[0], "transpose")


def _repeats_number(node: Expr) -> bool:
    return is_named(node, "broadcast") and node.args[0].shape == (1, 1)


def _work(nodes: Sequence[Expr], rows: int) -> float:
    """Operations of the products among them, with so many rows in a batch."""

    def sized(dim: Dim) -> int:
        return rows if dim == BATCH else int(dim) if isinstance(dim, int) else 1

    return sum(
        2.0 * sized(n.shape[0]) * sized(n.shape[1]) * sized(n.args[0].shape[1])
        for n in nodes
        if is_named(n, "matmul")
    )
