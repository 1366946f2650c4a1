"""Functions applied to what stands behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import BoundArguments, Parameter
from typing import Any

from lark import Token

from kokuban.expr import Expr
from kokuban.formula.functions import BARE, MATRIX, Function, slope_at
from kokuban.formula.items import (
    Argument,
    Arguments,
    Dims,
    Item,
    Link,
    Script,
    Transposed,
)
from kokuban.formula.values import Values
from kokuban.shape import Shape


class Calls:
    """Reads the functions in rows of factors and operators."""

    def __init__(self, values: Values) -> None:
        self.values = values

    def applied(self, row: Sequence[Link]) -> list[Link]:
        """The row with every function applied to what stands behind it."""
        behind: list[Link] = []  # what stands to the right, the nearest last
        for link in reversed(row):
            f = self.values.function(link) if isinstance(link, Item) else None
            if f is not None:
                assert isinstance(link, Item)
                link = self._application(link, f, behind)
            behind.append(link)
        return behind[::-1]

    def _application(self, item: Item, f: Function, behind: list[Link]) -> Item:
        """The call; what it takes is taken from `behind`."""
        following = behind[-1] if behind and isinstance(behind[-1], Item) else None
        given = following.what if following is not None else None
        several = isinstance(given, Arguments) and given.alone is None
        if following is not None and f.spread and not several:
            part = self.values.product(behind[::-1])
            behind.clear()
            whole = Item(part.expr, part.start, part.end)
            return self._call(item, f, [Argument(None, whole)], (), part.end)
        if following is not None and isinstance(given, Arguments):
            behind.pop()
            return self._call(item, f, given.items, following.scripts, following.end)
        if following is not None and f.name in BARE:
            behind.pop()
            return self._call(item, f, [Argument(None, following)], (), following.end)
        if f.spread:
            self.values.fail("What Σ adds up is missing; it stands behind it.", item)
        assert isinstance(item.what, Token)
        self.values.misused(f, item.what)

    def _call(
        self,
        item: Item,
        f: Function,
        arguments: Sequence[Argument],
        scripts: tuple[Script, ...],
        end: int,
    ) -> Item:
        """The call; a power behind the name holds for it, as in tanh^2(U)."""
        at = replace(item, end=end)
        if any(isinstance(script, Transposed) for script in item.scripts):
            self.values.fail(f"A function is not transposed; {f.called}(…)^T is.", item)
        made = self._value(f, arguments, at)
        for script in item.scripts:
            made = self.values.scripted(made, script)
        return Item(made, item.start, end, scripts, item.negated)

    def _value(self, f: Function, given: Sequence[Argument], at: Item) -> Expr:
        bound = self._bound(f, given, at)
        for name, value in bound.arguments.items():
            p = f.signature.parameters[name]
            if p.kind is Parameter.VAR_POSITIONAL:
                read: Any = tuple(self._read_as(p.annotation, item) for item in value)
            else:
                read = self._read_as(p.annotation, value)
            bound.arguments[name] = read
        for name, word in f.preset.items():
            bound.arguments[name] = self._preset(f, word, bound, at)
        if f.slope:
            return self._slope(f, bound, at)
        return self.values.tried(lambda: f.build(*bound.args, **bound.kwargs), at)

    def _bound(self, f: Function, given: Sequence[Argument], at: Item) -> BoundArguments:
        """Which argument is which; those that the name gives are left open."""
        by_place = [a.item for a in given if a.name is None]
        by_name = {a.name: a.item for a in given if a.name is not None}
        left = [p for n, p in f.signature.parameters.items() if n not in f.preset]
        try:
            if len(by_place) + len(by_name) != len(given):
                raise TypeError  # a name twice
            found = f.signature.replace(parameters=left).bind(*by_place, **by_name)
        except TypeError:
            self.values.fail(f"It is written {f.usage}.", at)
        return BoundArguments(f.signature, found.arguments)

    def _preset(
        self, f: Function, word: str, bound: BoundArguments, at: Item
    ) -> str | Shape:
        if f.name != "broadcast":
            return word
        rows, columns = self.values.dims(word, at)
        (x,) = bound.arguments.values()  # Dup_N(b)
        return rows, x.shape[1] if columns is None else columns

    def _read_as(self, kind: str, item: Item) -> Any:
        """An argument as what the function takes there."""
        if kind in MATRIX:
            return self.values.part(item).expr
        if kind == "str":
            if item.word is None:
                self.values.fail("A word such as rows is needed here.", item)
            return item.word
        if kind == "Shape":
            if not isinstance(item.what, Dims) or not item.bare:
                self.values.fail("A shape such as N×3 is needed here.", item)
            return self.values.dim(item.what.left), self.values.dim(item.what.right)
        if kind == "Dim":
            return self.values.dim(item)
        value = self.values.number(item)
        if kind != "int":
            return value
        if value != int(value):
            self.values.fail("A whole number is needed here.", item)
        return int(value)

    def _slope(self, f: Function, bound: BoundArguments, at: Item) -> Expr:
        """The derivative f'(x), entry by entry."""
        kinds = {n: p.annotation for n, p in f.signature.parameters.items()}
        matrices = [n for n in bound.arguments if kinds[n] in MATRIX]
        if len(matrices) != 1 or isinstance(bound.arguments[matrices[0]], tuple):
            self.values.fail("Only a function of one matrix has a derivative by it.", at)
        (name,) = matrices

        def applied(x: Expr) -> Expr:
            moved = BoundArguments(f.signature, bound.arguments | {name: x})
            return f.build(*moved.args, **moved.kwargs)

        x = bound.arguments[name]
        return self.values.tried(lambda: slope_at(applied, x), at, f"{f.name}': ")
