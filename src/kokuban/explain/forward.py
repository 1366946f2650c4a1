"""The forward pass in named quantities: U = X W + Dup_N(b), H = σ(U), …, L.

A loss is one expression. On a blackboard its parts have names, and so they get them here:
what a product and its bias give is a pre-activation U, a function of it an activation H,
what the loss compares with the target Y; whatever else is used twice, or would make a
line too long, is a Z.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from kokuban.errors import ExpressionError
from kokuban.expr import (
    COMPOSITES,
    Call,
    Expr,
    Symbol,
    order,
    parts,
    rebuild,
    symbol,
    symbols,
)
from kokuban.shape import SCALAR

Kind = Literal["sum", "activation", "other", "loss"]

ACTIVATIONS = (
    *("relu", "sigmoid", "tanh", "softmax", "softplus", "step", "sin", "cos"),
    *("gelu", "silu", "mish", "elu", "selu", "leaky_relu"),
)
FROM_SCORES = ("softmax_cross_entropy", "sigmoid_cross_entropy")
UNNAMED = ("transpose", "broadcast", "negate", "distribution", "slice", "place")
LONGEST = 12  # operations in one line
RAISED = re.compile(r"\^\(\w+\)$")  # a layer's number


@dataclass(frozen=True, slots=True)
class Quantity:
    """A named part of the loss.

    node      what it is in the loss
    symbol    what stands for it in the formulas of others
    body      its formula, in the symbols of earlier quantities and of the user
    gradient  what stands for the loss's gradient by it
    """

    node: Expr
    symbol: Symbol
    body: Expr
    kind: Kind
    gradient: Symbol


def label(node: Expr) -> str:
    """The name of a node's operation or composite; empty for a leaf."""
    if isinstance(node, Call):
        return node.name
    return "" if node.op is None else node.op.name


def in_order(leaves: Iterable[Symbol]) -> list[Symbol]:
    """Symbols as one lists them: inputs, targets, parameters, the rest."""
    roles = ("input", "target", "parameter")
    return sorted(leaves, key=lambda s: (*roles, s.role).index(s.role))


def quantities(loss: Expr, names: Mapping[Expr, str]) -> list[Quantity]:
    """The named parts of a loss, each after those it is made of, the loss last.

    `names` are nodes that have a name already. Raises ExpressionError where one of
    them does not stand in the loss, or two share a name.
    """
    nodes = order([loss], by_name=True)
    for node, own in names.items():
        if node not in nodes:
            raise ExpressionError(
                f"{own} is a name for {node!r}, which is not in the loss."
            )
    kinds = _chosen(loss, nodes, names)
    given = _names(loss, kinds, names)
    stands: dict[Expr, Symbol] = {}
    found = []
    for node, kind in kinds.items():
        word, gradient = given[node]
        body = expressed(node, stands)
        stands[node] = symbol(word, node.shape, "state")
        above = symbol(gradient, node.shape, "state")
        found.append(Quantity(node, stands[node], body, kind, above))
    return found


def expressed(node: Expr, stands: Mapping[Expr, Expr]) -> Expr:
    """A node's formula in what stands for the nodes below it."""
    known = {n for n in stands if n is not node}
    new: dict[Expr, Expr] = {n: stands[n] for n in known}
    for n in order([node], known=known, by_name=True):
        arguments = tuple(new[a] for a in parts(n))
        if isinstance(n, Call):
            new[n] = COMPOSITES[n.name](*arguments, **dict(n.attrs))
        else:
            new[n] = rebuild(n, arguments)
    return new[node]


def _chosen(
    loss: Expr, nodes: Iterable[Expr], names: Mapping[Expr, str]
) -> dict[Expr, Kind]:
    """Which nodes get a name, in order, and of what kind they are."""
    users: dict[Expr, list[Expr]] = {}
    for node in nodes:
        for part in parts(node):
            users.setdefault(part, []).append(node)
    sums = {_with_bias(n, users) for n in nodes if label(n) in ("matmul", "affine")}
    kinds: dict[Expr, Kind] = {}
    cost: dict[Expr, int] = {}
    for node in nodes:
        if node.op is None:
            cost[node] = 0
            continue
        cost[node] = 1 + sum(0 if p in kinds else cost[p] for p in parts(node))
        over = users.get(node, [])
        needed = len(over) > 1 or any(map(_wants_names, over))
        kind = _kind(node, sums, needed, cost[node])
        if node is loss:
            kinds[node] = "loss"
        elif kind is not None:
            kinds[node] = kind
        elif node in names:
            kinds[node] = "other"
    return kinds


def _wants_names(user: Expr) -> bool:
    """Whether what a node is made of should have a name: of a loss, of an activation."""
    is_loss = isinstance(user, Call) and user.shape == SCALAR
    return is_loss or label(user) in ACTIVATIONS


def _kind(node: Expr, sums: set[Expr], needed: bool, cost: int) -> Kind | None:
    if node in sums:
        return "sum"
    if label(node) in ACTIVATIONS:
        return "activation"
    long = needed or label(node) == "sqrt" or cost > LONGEST
    if long and label(node) not in UNNAMED and node.shape != SCALAR:
        return "other" if symbols([node], "parameter") else None
    return None


def _with_bias(node: Expr, users: Mapping[Expr, list[Expr]]) -> Expr:
    """A product together with the rows or numbers added to it."""
    while len(over := users.get(node, [])) == 1 and label(over[0]) in ("add", "subtract"):
        others = [p for p in parts(over[0]) if p is not node]
        if not (len(others) == 1 and _is_bias(others[0])):
            break
        node = over[0]
    return node


def _is_bias(node: Expr) -> bool:
    """Copies of a row or number; or, of one sample, the row itself."""
    own_row = isinstance(node, Symbol) and node.role == "parameter" and node.shape[0] == 1
    return own_row or label(node) == "broadcast"


def _names(
    loss: Expr, kinds: Mapping[Expr, Kind], names: Mapping[Expr, str]
) -> dict[Expr, tuple[str, str]]:
    """For each quantity its name and its gradient's, none of them taken twice."""
    taken = {s.name for s in symbols([loss])} | set(names.values())
    if len(set(names.values())) < len(names):
        raise ExpressionError("Two parts of the loss are given the same name.")
    several = list(kinds.values()).count("sum") > 1
    output = _output(loss, kinds)
    letters = {
        "sum": _free("UVS", several, taken),
        "activation": _free("HAF", several, taken),
        "other": _free("ZQR", True, taken),
        "loss": _free("LE", False, taken),
    }
    found: dict[Expr, tuple[str, str]] = {}
    layer, counted = 0, 0
    for node, kind in kinds.items():
        layer += kind == "sum"
        counted += kind == "other"
        index = str(layer) if several else ""
        if kind == "other":
            index = str(counted)
        own = letters[kind] + index if kind != "loss" else letters[kind]
        if node is output and not {"Y"} & taken:
            own = "Y"
        own = names.get(node, own)
        while own in taken and node not in names:
            own += "′"
        taken.add(own)
        gradient = "Δ" + index if kind == "sum" else "Γ" + index
        if kind in ("sum", "activation") and (raised := RAISED.search(own)):
            letter = gradient[0].lower() if own.islower() else gradient[0]
            gradient = letter + raised[0]  # u^(1), as notes have it: δ^(1)
        if kind not in ("sum", "activation") or gradient in taken:
            gradient = f"Γ_{own}"
        taken.add(gradient)
        found[node] = own, gradient
    return found


def _free(letters: str, numbered: bool, taken: set[str]) -> str:
    """The first letter that no name of the user's begins with (or is)."""
    for letter in letters:
        clash = (t for t in taken if t == letter or (numbered and t[:1] == letter))
        if not any(clash):
            return letter
    return letters[0] + "′"


def _output(loss: Expr, kinds: Mapping[Expr, Kind]) -> Expr | None:
    """What the loss compares with the target, if it is one quantity and no scores."""
    nodes = order([loss], by_name=True)
    scores = {parts(n)[0] for n in nodes if label(n) in FROM_SCORES}
    reached: dict[Expr, None] = {}
    stack = list(parts(loss))
    while stack:
        node = stack.pop()
        if node in kinds:
            reached[node] = None
        else:
            stack += parts(node)
    (single, *more) = [*reached, None]
    return single if len(more) == 1 and single not in scores else None
