"""The backward pass: from the loss back to what is asked, in named gradients.

Each quantity's gradient is the sum of what comes back from where it is used, and each
such share is the operation's own rule, simplified. Where a rule and the gradient it is
applied to cancel (softmax under cross-entropy), both are written out and simplified.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kokuban.errors import ExpressionError
from kokuban.explain.forward import UNNAMED, Quantity, label, quantities
from kokuban.explain.notation import scalar_of
from kokuban.expr import (
    Call,
    Expr,
    Symbol,
    order,
    parts,
    plain,
    rebuild,
    substitute,
    symbol,
    symbols,
)
from kokuban.gradient import grad
from kokuban.rewrite import Rewrite, rewritten, simplify
from kokuban.shape import SCALAR, Shape

PASSING = (*UNNAMED[2:4], "add", "subtract", "call")


@dataclass(frozen=True, slots=True)
class Share:
    """What one quantity adds to the gradient of something it is made of.

    through    that quantity
    path       the operations on the way from it to that quantity
    raw        the rules' result, in the quantity's gradient
    formula    the same, simplified
    inserted   with the gradient written out, where that simplifies; else None
    value      what is kept of it: `formula`, or what `inserted` comes to
    lines      each rewrite from `inserted` (else from `raw`) to `value`
    """

    through: Quantity
    path: tuple[str, ...]
    raw: Expr
    formula: Expr
    inserted: Expr | None
    value: Expr
    lines: tuple[tuple[Rewrite, Expr], ...]


@dataclass(frozen=True, slots=True)
class Gradient:
    """The loss's gradient by a quantity or a symbol: its shares, and their sum.

    of       what stands for it in formulas; `quantity` where it is one
    shares   empty where the loss does not depend on it
    value    in symbols: the sum of the shares
    """

    of: Symbol
    quantity: Quantity | None
    shares: tuple[Share, ...]
    value: Expr


@dataclass(frozen=True, slots=True)
class Tape:
    """A loss taken apart: its quantities, and the gradients in the order of finding.

    `given` is the loss as it came, `loss` with the norms spelt out.
    """

    given: Expr
    loss: Expr
    wrt: tuple[Symbol, ...]
    quantities: tuple[Quantity, ...]
    gradients: tuple[Gradient, ...]
    asked: Mapping[Expr, Symbol] = field(default_factory=dict)

    def whole(self, value: Expr) -> Expr:
        """A formula in named quantities and gradients, in the user's symbols only."""
        for g in self.gradients[::-1]:
            if g.quantity is not None:
                (value,) = substitute([value], {g.quantity.gradient: g.value})
        for q in self.quantities[::-1]:
            (value,) = substitute([value], {q.symbol: q.body})
        return value


def tape(loss: Expr, wrt: Sequence[Expr], names: Mapping[Expr, str]) -> Tape:
    """Take a loss apart and find its gradients back to `wrt`.

    Raises ExpressionError where the loss is not one number, or nothing is asked.
    """
    if loss.shape != SCALAR:
        raise ExpressionError(f"A derivation begins at one number; {loss!r} is a matrix.")
    if loss.op is None:
        raise ExpressionError(f"{loss!r} is no formula: there is nothing to derive.")
    if not wrt:
        raise ExpressionError("There is no parameter to derive by: name what, as in W.")
    given = loss
    (loss, *wrt), (*named_nodes,) = _spelt_out([loss, *wrt]), _spelt_out(list(names))
    names = dict(zip(named_nodes, names.values(), strict=True))
    inner = {n: names.get(n, "") for n in wrt if n.op is not None}
    named = {n: t for n, t in {**names, **inner}.items() if t}
    found = quantities(loss, named)
    stands = {q.node: q.symbol for q in found}
    missing = [n for n in wrt if n.op is not None and n not in stands]
    if missing:
        raise ExpressionError(
            f"{missing[0]!r} has no name in the derivation: give it one with "
            'names={it: "Z"}.'
        )
    targets = tuple(n if isinstance(n, Symbol) else stands[n] for n in wrt)
    gradients = tuple(_gradients(found, targets))
    asked = dict(zip(wrt, targets, strict=True))
    return Tape(given, loss, targets, tuple(found), gradients, asked)


SPELT_OUT = ("layer_norm", "batch_norm")  # a gradient in one line would be a page


def _spelt_out(nodes: Sequence[Expr]) -> list[Expr]:
    calls = [n for n in order(nodes) if label(n) in SPELT_OUT]
    return substitute(nodes, {n: n.args[0] for n in calls})


def _gradients(found: Sequence[Quantity], wrt: Sequence[Symbol]) -> Iterator[Gradient]:
    """From the loss back: what matters on the way, and what is asked, once complete."""
    needed = set(wrt)
    for q in found:
        if any(s in needed for s in symbols([q.body])):
            needed.add(q.symbol)
    shares: dict[Symbol, list[Share]] = {}
    values: dict[Symbol, Expr] = {}
    last = {s: q.symbol for q in found[::-1] for s in symbols([q.body])}  # used first
    for q in found[::-1]:
        if q.symbol not in needed:
            continue
        if q.kind != "loss":
            total = _added(shares.get(q.symbol, []), q.symbol)
            values[q.gradient] = total
            yield Gradient(q.symbol, q, tuple(shares.get(q.symbol, [])), total)
        for s in symbols([q.body]):
            share = _share(q, s, values) if s in needed else None
            if share is not None:
                shares.setdefault(s, []).append(share)
        for s in wrt:
            if last.get(s) is q.symbol and all(s is not o.symbol for o in found):
                found_ = shares.get(s, [])
                yield Gradient(s, None, tuple(found_), _added(found_, s))
    for s in wrt:
        if s not in last and all(s is not o.symbol for o in found):
            yield Gradient(s, None, (), _added([], s))


def _added(shares: Sequence[Share], of: Symbol) -> Expr:
    if not shares:
        return simplify(0 * of)
    return _sum([share.value for share in shares])


def _share(q: Quantity, s: Symbol, values: Mapping[Symbol, Expr]) -> Share | None:
    """What a quantity that s stands in adds to the gradient by s; None if nothing."""
    upstream = None if q.kind == "loss" else q.gradient
    (body,) = plain([q.body])
    uses = grad(body, s, by_use=True, upstream=upstream, simplify=False)
    if not uses:
        return None
    result = simplify(body)
    raw = _sum([use.gradient for use in uses])
    formula = _named(simplify(raw), result, q)
    value, inserted, start = formula, None, raw
    above = values.get(q.gradient)
    if above is not None:
        (whole,) = substitute([raw], {q.gradient: above})
        (whole,) = substitute([whole], {q.symbol: body})
        short = _named(simplify(whole), result, q)
        (long,) = substitute([formula], {q.gradient: above})
        if _work(short) <= _work(formula) and _work(short) < _work(long):
            value, inserted, start = short, long, whole
    lines = tuple((r, _named(e, result, q)) for r, e in rewritten(start))
    path = _path(q.body, s)
    return Share(q, path, _named(raw, body, q), formula, inserted, value, lines)


def _sum(terms: Sequence[Expr]) -> Expr:
    total = terms[0]
    for term in terms[1:]:
        minus = label(term) == "negate"
        total = total - term.args[0] if minus else total + term
    return total


def _named(formula: Expr, body: Expr, q: Quantity) -> Expr:
    """A formula with the quantity's name where its body stands."""
    if q.kind == "loss" or body.op is None:
        return formula
    return substitute([formula], {body: q.symbol})[0]


def _work(formula: Expr) -> int:
    """How many operations on whole matrices a formula takes, as one writes them."""
    return len(
        [
            n
            for n in order(plain([formula]))
            if n.op is not None
            and n.shape != SCALAR
            and n.op.name not in ("broadcast", "distribution")
        ]
    )


def _path(body: Expr, s: Symbol) -> tuple[str, ...]:
    """The operations between a symbol and the top of a formula, the top one first.

    Sums hand the gradient on as it is, and are named only where there is nothing else.
    """
    reached: set[Expr] = {s}
    found: list[Expr] = []
    scales: list[Expr] = []
    for node in order([body], by_name=True):
        others = [p for p in parts(node) if p not in reached]
        if len(others) < len(parts(node)):
            reached.add(node)
            (scales if _scales(node, others) else found).append(node)
    words = list(dict.fromkeys(_word(n) for n in (found or scales)[::-1]))
    if words == ["affine"]:
        call = found[0]
        assert isinstance(call, Call)
        x, w, b = call.arguments
        if s in order([b]):
            words = [_copies(b.shape)]
        elif w is not s and x is not s:
            words = ["matmul", "transpose"]
        else:
            words = ["matmul"]
    telling = [w for w in words if w not in PASSING]
    return tuple(telling or words)


def _word(node: Expr) -> str:
    return _copies(node.args[0].shape) if label(node) == "broadcast" else label(node)


def _copies(shape: Shape) -> str:
    """What is copied by a broadcast: a row, a column, or one number."""
    if shape == SCALAR:
        return "broadcast number"
    return "broadcast" if shape[0] == 1 else "broadcast column"


def _scales(node: Expr, others: Sequence[Expr]) -> bool:
    """Whether a node only multiplies or divides by a number that is not on the way."""
    return (
        label(node) in ("multiply", "divide")
        and len(others) == 1
        and scalar_of(others[0]) is not None
    )


def opened(body: Expr) -> Expr:
    """A formula as it is shown: losses and means written out, and tidied.

    What else has a name, such as log_softmax, keeps it.
    """
    kept: dict[Expr, Symbol] = {}
    new: dict[Expr, Expr] = {}
    for node in order([body]):
        if isinstance(node, Call) and not _opens(node):
            stand = symbol(f"\x00{len(kept)}", node.shape, "state")
            kept[node] = stand
            new[node] = stand
        elif isinstance(node, Call):
            new[node] = new[node.args[0]]
        else:
            new[node] = rebuild(node, tuple(new[a] for a in node.args))
    back: dict[Expr, Expr] = {stand: node for node, stand in kept.items()}
    return substitute([simplify(new[body])], back)[0]


def _opens(node: Call) -> bool:
    return node.shape == SCALAR or node.name in ("affine", "mean", "label_smoothing")
