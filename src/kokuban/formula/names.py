"""What names stand for in a formula."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import signature

from kokuban import ops
from kokuban.errors import FormulaError
from kokuban.expr import Call, Expr, Size, order, size, symbols
from kokuban.formula.notation import key, tidy


class Names:
    """What names stand for: W₁, W_1 and W_{1} are the same name.

    The dimensions of the expressions, such as N, are known by theirs.

    origin    where an expression was given, for messages
    later     names that are defined further on, and where
    declares  whether shapes can be given in lines of their own
    """

    def __init__(self, known: Mapping[str, Expr]) -> None:
        self._exact = dict(known)
        self._by_key = {key(name): e for name, e in known.items()}
        self.origin: dict[Expr, str] = {}
        self.later: dict[str, str] = {}
        self.declares = False
        for name, sized in _dimensions_of(known.values()).items():
            self._by_key.setdefault(key(name), sized)

    def find(self, written: str) -> Expr | None:
        """What a name stands for, or None."""
        found = self._exact.get(str(written))
        if found is None:
            found = self._exact.get(tidy(written))
        return self._by_key.get(key(written)) if found is None else found

    def add(self, written: str, meaning: Expr, origin: str = "") -> None:
        """Let a name stand for an expression from here on."""
        self._exact[tidy(written)] = self._by_key[key(written)] = meaning
        if origin:
            self.origin.setdefault(meaning, origin)

    def shown(self) -> list[str]:
        """The names, as they were given."""
        own = {key(name) for name in self._exact}
        return [*self._exact, *(k for k in self._by_key if k not in own)]


def _dimensions_of(expressions: Iterable[Expr]) -> dict[str, Expr]:
    """The sizes of the named dimensions in expressions, by name."""
    nodes = order(expressions)
    dims = [dim for node in nodes for dim in node.shape]
    dims += [node.dim for node in nodes if isinstance(node, Size)]
    return {dim: size(dim) for dim in dims if isinstance(dim, str)}


def namespace(*expressions: Expr) -> dict[str, Expr]:
    """What names stand for in formulas about these expressions.

    Their symbols and named dimensions; and, unless symbols are called so, the letters
    that losses give what they compare, as in cross_entropy(Y, T) or
    softmax_cross_entropy(U, T), where all losses among the expressions agree on them.

    Raises FormulaError where two symbols have the same name.
    """
    found: dict[str, Expr] = {}
    for s in symbols(expressions):
        if s.name in found:
            raise FormulaError(f"Two symbols are called {s.name!r}; rename one of them.")
        found[s.name] = s
    compared: dict[str, dict[Expr, None]] = {}
    for node in order(expressions):
        if not isinstance(node, Call):
            continue
        letters = list(signature(ops.COMPOSITES[node.name]).parameters)
        if "t" in letters:
            for letter, arg in zip(letters, node.arguments, strict=False):
                compared.setdefault(letter.upper(), {})[arg] = None
    single = {n: next(iter(e)) for n, e in compared.items() if len(e) == 1 == len(n)}
    return single | _dimensions_of(expressions) | found
