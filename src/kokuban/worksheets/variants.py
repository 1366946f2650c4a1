"""Variants of a net for a class: other sizes, other activations, another loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from random import Random
from typing import Any, Final

from kokuban.errors import KokubanError, SettingError
from kokuban.expr import (
    COMPOSITES,
    Call,
    Const,
    Expr,
    Symbol,
    apply,
    order,
    parts,
    symbol,
)
from kokuban.formula import Board
from kokuban.ops import cross_entropy, half_sum_of_squares, mse, softmax
from kokuban.shape import Dim, Shape

ACTIVATIONS: Final = ("relu", "sigmoid", "tanh")
REGRESSION: Final = ("mse", "half_sum_of_squares")
SIZES: Final = range(2, 6)
MOST: Final = 200
TRIES: Final = 40


def variants(board: Board, count: int, seed: int) -> Iterator[Board]:
    """So many variants of a board, each unlike those before while there are others.

    Hidden sigmoid, tanh and ReLU stand for one another; so do mse, half the sum of
    squares, and softmax with cross-entropy; a dimension that is a number becomes another
    number, everywhere. Dimensions with a name keep it.

    Raises SettingError for a number of variants outside 1 to 200.
    """
    if not 1 <= count <= MOST:
        raise SettingError(f"There can be 1 to {MOST} variants, not {count}.")
    seen = set[str]()
    rng = Random(seed)
    for _ in range(count):
        for _ in range(TRIES):
            found = _variant(board, rng)
            if str(found) not in seen:
                break
        seen.add(str(found))
        yield found


def _variant(board: Board, rng: Random) -> Board:
    loss = board.loss
    sizes = _sizes(loss, rng)
    choices: dict[Any, str] = {
        node: rng.choice(ACTIVATIONS)
        for node in order([loss])
        if node.op is not None and node.op.name in ACTIVATIONS
    }
    kind = rng.choice((*REGRESSION, "softmax"))
    try:
        made = _Rebuilt(loss, sizes, choices, kind)
    except KokubanError:  # its sizes are tied to something else
        made = _Rebuilt(loss, {}, choices, kind)
    names = {
        n: made.new[e]
        for n, e in board.definitions.items()
        if e in made.new and made.new[e] in made.inside
    }
    taken: dict[Expr, str] = {}
    for n, e in names.items():
        taken.setdefault(e, n)
    symbols = [made.new[s] for s in board.symbols if s in made.new]
    kept = tuple(s for s in symbols if isinstance(s, Symbol))
    return Board(kept, {n: e for e, n in taken.items()})


def _sizes(loss: Expr, rng: Random) -> Mapping[int, int]:
    """Another number for each dimension that is a number above 1; all unequal."""
    nodes = order([loss])
    fixed = {d for n in nodes if isinstance(n, Const) for d in n.shape}
    old = {d for n in nodes for d in n.shape if isinstance(d, int) and d > 1} - fixed
    most = max(len(old) + 2, len(SIZES))
    new = rng.sample(range(SIZES.start, SIZES.start + most), len(old))
    return dict(zip(sorted(old), new, strict=True))


class _Rebuilt:
    """A loss built again: `new` has what became of each node, `inside` all it is of."""

    def __init__(
        self,
        loss: Expr,
        sizes: Mapping[int, int],
        choices: Mapping[Expr, str],
        kind: str,
    ) -> None:
        self.sizes, self.choices, self.kind = sizes, choices, kind
        self.new: dict[Expr, Expr] = {}
        for node in order([loss], by_name=True):
            self.new[node] = self._node(node)
        self.inside = set(order([self.new[loss]], by_name=True))

    def _shape(self, shape: Shape) -> Shape:
        rows, columns = (self._dim(d) for d in shape)
        return rows, columns

    def _dim(self, dim: Dim) -> Dim:
        return self.sizes.get(dim, dim) if isinstance(dim, int) else dim

    def _node(self, node: Expr) -> Expr:
        if isinstance(node, Symbol):
            return symbol(node.name, self._shape(node.shape), node.role)
        if node.op is None:
            return node
        if isinstance(node, Call):
            return self._call(node)
        args = tuple(self.new[a] for a in node.args)
        if node in self.choices:
            return apply(self.choices[node], *args, **_corner(self.choices[node], node))
        attrs = dict(node.attrs)
        if "to" in attrs:
            attrs["to"] = self._shape(attrs["to"])
        if "total" in attrs:
            attrs["total"] = self._dim(attrs["total"])
        return apply(node.op.name, *args, **attrs)

    def _call(self, node: Call) -> Expr:
        arguments = [self.new[a] for a in node.arguments]
        if node.name in REGRESSION and node.arguments[1].op is None:
            scores, target = arguments
            return self._loss(scores, target)
        if node.name == "cross_entropy" and _is_softmax(node.arguments[0]):
            return self._loss(self.new[parts(node.arguments[0])[0]], arguments[1])
        return COMPOSITES[node.name](*arguments, **dict(node.attrs))

    def _loss(self, scores: Expr, target: Expr) -> Expr:
        if self.kind == "softmax":
            return cross_entropy(softmax(scores), target)
        return (mse if self.kind == "mse" else half_sum_of_squares)(scores, target)


def _is_softmax(node: Expr) -> bool:
    return node.op is not None and node.op.name == "softmax"


def _corner(name: str, node: Expr) -> dict[str, Any]:
    """The slope of ReLU at 0: as before, else as notes take it, 1."""
    if name != "relu":
        return {}
    return {"at_zero": dict(node.attrs).get("at_zero", 1.0)}
