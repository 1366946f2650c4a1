"""The functions that formulas may call: every operation and composite, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from inspect import Parameter, Signature, signature
from typing import Final

from kokuban import ops
from kokuban.entry import Call, Entry, Index, Matrix, Number, Term
from kokuban.errors import ExpressionError
from kokuban.expr import ENTRYWISE, Expr, apply, entrywise, input, order, substitute
from kokuban.formula.notation import tidy
from kokuban.gradient import grad
from kokuban.op import DIMENSIONS, Operation, operation, operations
from kokuban.ops.reduction import OVER
from kokuban.shape import SCALAR, Shape

MATRIX: Final = ("Value", "Expr", "Expr | None")  # annotations of expressions
ALIASES: Final = {
    "ln": "log",
    "Σ": "sum",
    "σ": "sigmoid",
    "max": "maximum",
    "min": "minimum",
    "dup": "broadcast",
}
# May stand before their argument without brackets, as in ln Y.
BARE: Final = ("log", "exp", "tanh", "sin", "cos", "sqrt")


@dataclass(frozen=True)
class Function:
    """A function as a formula calls it.

    name     its own
    called   what the formula calls it
    preset   settings that its written name gives: the rows of Σ_rows, the N of Dup_N
    slope    whether it is the derivative, as in tanh'(U)
    spread   whether it is the large Σ, which adds up all that follows in the product
    """

    name: str
    called: str
    build: Callable[..., Expr]
    signature: Signature
    preset: dict[str, str] = field(default_factory=dict)
    slope: bool = False
    spread: bool = False

    @property
    def usage(self) -> str:
        """How it is written: huber(y, t, delta=1.0)."""
        shown = []
        for p in self.signature.parameters.values():
            several = p.kind is Parameter.VAR_POSITIONAL
            usual = "…" if p.default is None else p.default
            name = f"{p.name}, …" if several else p.name
            shown.append(name if usual is Parameter.empty else f"{p.name}={usual}")
        return f"{self.called}({', '.join(shown)})"


# Public functions that are no operations or composites of their own.
OTHERS: Final = ("broadcast", "clip", "identity", "join", "ones", "zeros")


def _own() -> set[str]:
    """What functions are called by the registry."""
    return {*(op.name for op in operations()), *ops.COMPOSITES, *OTHERS}


def _builder(name: str) -> Callable[..., Expr]:
    """What builds the function's expression: the public function, where there is one."""
    public: Callable[..., Expr] | None = getattr(ops, name, None)
    public = ops.COMPOSITES.get(name, public)
    return _plain(operation(name)) if public is None else public


def names() -> set[str]:
    """What functions are called, other names for them included."""
    return _own() | set(ALIASES)


def reserved(name: str) -> bool:
    """Whether a name as it stands is always the function; a symbol's needs backticks."""
    return name == "dup" or name in _own()


def _plain(op: Operation) -> Callable[..., Expr]:
    """An operation as a function, as its record has it."""
    build = partial(entrywise if op.name in ENTRYWISE else apply, op.name)
    place, word = Parameter.POSITIONAL_ONLY, Parameter.KEYWORD_ONLY
    parameters = [Parameter("ab"[k], place, annotation="Value") for k in range(op.arity)]
    for name, usual in op.samples[0].attrs.items():
        named = "Shape" if isinstance(usual, tuple) else "Dim"
        kind = named if name in DIMENSIONS else type(usual).__name__
        default = Parameter.empty if f"{{{name}}}" in op.text else usual
        parameters.append(Parameter(name, word, annotation=kind, default=default))
    build.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return build


def function(written: str) -> Function | None:
    """The function that a name stands for, or None: ReLU, ln, Σ_rows, Dup_N, tanh'."""
    name = tidy(written)
    stem = name.rstrip("'")
    if len(name) - len(stem) > 1:
        return None
    preset: dict[str, str] = {}
    found = _found(stem)
    if found is None:
        stem, _, below = stem.partition("_")
        found = _found(stem)
        below = below.strip("{} ")
        if found == "sum" and below in OVER:
            preset = {"over": below}
        elif found == "broadcast" and below:
            preset = {"to": below}
        else:
            return None
    assert found is not None
    build = _builder(found)
    slope = name.endswith("'")
    return Function(found, stem, build, signature(build), preset, slope, stem == "Σ")


def _found(name: str) -> str | None:
    """The function's own name: that or another of its names, in any case, without _."""
    own = _own()
    if name in own:
        return name
    simple = name.lower().replace("_", "")
    for one in own:
        if one.replace("_", "") == simple:
            return one
    return ALIASES.get(name, ALIASES.get(simple))


def slope_at(f: Callable[[Expr], Expr], x: Expr) -> Expr:
    """The derivative of an entrywise function at x, entry by entry.

    Raises ExpressionError where f mixes entries, as softmax does.
    """
    probe = input("entry", ("rows", "columns"))
    if not all(_by_entry(node, probe.shape) for node in order([f(probe)])):
        raise ExpressionError(
            "only a function that takes each entry by itself has a derivative of the "
            "same shape; this one mixes entries, and its derivative is a Jacobian."
        )
    at = input("entry", x.shape)
    return substitute([grad(ops.sum(f(at)), at)], {at: x})[0]


def _by_entry(node: Expr, shape: Shape) -> bool:
    """Whether each entry of a node is made of the same entry of its arguments."""
    if node.op is None:
        return node.shape in (shape, SCALAR)
    if node.op.name == "broadcast":
        return node.args[0].shape == SCALAR
    if node.op.entry is None:
        return False
    i, j = Index("i", node.shape[0]), Index("j", node.shape[1])
    matrices = [Matrix("ab"[k], a.shape) for k, a in enumerate(node.args)]
    return _reads_only(node.op.entry(i, j, *matrices, **dict(node.attrs)), i, j)


def _reads_only(term: Term, i: Index, j: Index) -> bool:
    if isinstance(term, Entry):
        return (term.row, term.column) == (i, j)
    if isinstance(term, Call):
        return all(_reads_only(a, i, j) for a in term.arguments)
    return isinstance(term, Number)
