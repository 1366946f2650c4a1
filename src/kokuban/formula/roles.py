"""What part a symbol without a stated role plays: told by its shape and by its use."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from lark import Token, Tree

from kokuban.formula.functions import function
from kokuban.formula.notation import key
from kokuban.shape import Shape

_TARGET = re.compile(r"[Tt]([_^\d].*)?")


def role(name: str, shape: Shape, compared: set[str]) -> str:
    """What has a named dimension is data, all else a parameter.

    Data called T, or that losses compare with and nothing else uses, is a target.
    """
    if all(isinstance(dim, int) for dim in shape):
        return "parameter"
    return "target" if _TARGET.fullmatch(name) or name in compared else "input"


def only_compared(formulas: Iterable[Tree[Token]]) -> set[str]:
    """The names that stand only as the target of a loss, as D in mse(Y, D)."""
    every, compared = Counter[str](), Counter[str]()
    for formula in formulas:
        every.update(key(t) for t in _tokens(formula) if t.type == "NAME")
        compared.update(key(t) for t in _compared(formula))
    return {name for name, times in compared.items() if every[name] == times}


def _compared(formula: Tree[Token]) -> Iterator[Token]:
    """Names that are, alone, the argument t of a function."""
    for term in formula.find_data("term"):
        for one, other in pairwise(term.children):
            name, group = _last(one), _first(other)
            if isinstance(name, Token) and isinstance(group, Tree):
                yield from _argument_t(str(name), group)


def _last(node: Any) -> Any:
    """The name in a factor that is a name, its sign apart."""
    while isinstance(node, Tree) and node.data in ("signed", "unsigned"):
        node = node.children[-1]
    return node


def _first(node: Any) -> Any:
    """What a factor's scripts are written behind."""
    return node.children[0] if isinstance(node, Tree) else None


def _argument_t(name: str, group: Any) -> Iterator[Token]:
    f = function(name)
    places = list(f.signature.parameters) if f is not None else []
    if group.data != "group" or "t" not in places:
        return
    for place, argument in zip(places, group.children, strict=False):
        said, formula = argument.children if argument.data == "argument" else ("", None)
        if formula is not None and (place if said is None else said) == "t":
            tokens = list(_tokens(formula))
            if len(tokens) == 1 and tokens[0].type == "NAME":
                yield tokens[0]


def _tokens(tree: Tree[Token]) -> Iterator[Token]:
    for node in tree.iter_subtrees():
        yield from (c for c in node.children if isinstance(c, Token))
