"""What the factors of a formula are worth: names, numbers, scripts, and their product."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NoReturn, TypeVar

import numpy as np
from lark import Token

from kokuban import ops
from kokuban.errors import KokubanError, nearest
from kokuban.expr import Const, Expr, constant, order
from kokuban.formula.functions import (
    Function,
    function,
    names as function_names,
    reserved,
)
from kokuban.formula.items import (
    Dims,
    Item,
    Link,
    Norm,
    Part,
    Place,
    Power,
    Row,
    Script,
    Transposed,
    span,
)
from kokuban.formula.joining import joined
from kokuban.formula.names import Names
from kokuban.formula.notation import key, tidy
from kokuban.formula.place import Source
from kokuban.run import evaluate
from kokuban.shape import SCALAR, Dim, dimension

T = TypeVar("T")


class Values:
    """The values of items of one text."""

    def __init__(self, source: Source, names: Names) -> None:
        self.source, self.names = source, names
        self._functions: dict[str, Function | None] = {}

    def function(self, item: Item) -> Function | None:
        """The function that an item's name is, unless the name stands for a matrix."""
        if not isinstance(item.what, Token):
            return None
        name = str(item.what)
        if name not in self._functions:
            known = self.names.find(name) is not None and not reserved(name)
            self._functions[name] = None if known or name[0] == "`" else function(name)
        return self._functions[name]

    # ---- a row of factors and operators, functions applied

    def product(self, row: Sequence[Link]) -> Part:
        """The row from left to right; behind * and ⊙ what stands side by side first."""
        whole, k = self._factor(row, 0)
        while k < len(row):
            link, sign = row[k], ""
            if isinstance(link, Token):
                sign, k = str(link), k + 1
            part, k = self._factor(row, k)
            while sign in ("*", "⊙") and k < len(row) and isinstance(row[k], Item):
                more, k = self._factor(row, k)
                part = self.joined("", part, more)
            whole = self.joined(sign, whole, part)
        return whole

    def _factor(self, row: Sequence[Link], k: int) -> tuple[Part, int]:
        """The factor at k, and where the next one begins. `1^T Δ` is a sum of rows."""
        item, following = row[k], row[k + 1] if k + 1 < len(row) else None
        assert isinstance(item, Item)
        if k and isinstance(item.what, float) and isinstance(row[k - 1], Item):
            self.fail("A number that multiplies stands first, or behind a *.", item)
        one = item.what == 1.0 and not item.negated and len(item.scripts) == 1
        if (
            one
            and isinstance(item.scripts[0], Transposed)
            and isinstance(following, Item)
        ):
            part = self.part(following)
            return Part(ops.sum(part.expr, over="rows"), item.start, part.end), k + 2
        return self.part(item), k + 1

    def joined(self, sign: str, left: Part, right: Part) -> Part:
        """An operation of two."""
        return joined(sign, left, right, self.source, self.names)

    # ---- a factor

    def part(self, item: Item) -> Part:
        """The expression that an item is, with its scripts and signs."""
        expr, scripts = self._with_its_power(item), item.scripts[1:]
        if expr is None:
            expr, scripts = self._plain(item), item.scripts
        for script in scripts:
            expr = self.scripted(expr, script)
        for _ in range(item.negated):
            expr = -expr
        return Part(expr, item.start, item.end)

    def scripted(self, expr: Expr, script: Script) -> Expr:
        """The expression transposed, or to a power."""
        if isinstance(script, Transposed):
            return expr.T
        return expr ** self.number(script.exponent, "A power is")

    def _with_its_power(self, item: Item) -> Expr | None:
        """e^X, and ‖A‖² without its root; None for all else."""
        script = item.scripts[0] if item.scripts else None
        if item.what == "e" and self.names.find("e") is None:
            if isinstance(script, Power):
                return ops.exp(self.part(script.exponent).expr)
            if isinstance(script, Transposed) and script.raised is not None:
                return ops.exp(self._named(script.raised))  # e^t
        if isinstance(item.what, Norm) and isinstance(script, Power):
            squared = self.number(script.exponent) == 2
            return item.what.squares if squared else None
        return None

    def _plain(self, item: Item) -> Expr:
        """The expression that an item is, without its scripts and signs."""
        what = item.what
        if isinstance(what, Expr):
            return what
        if isinstance(what, float):
            return self.constant(what, item)
        if isinstance(what, Token):
            return self._named(what)
        if isinstance(what, Dims):
            return self.product([what.left, Token("TIMES", "×"), what.right]).expr
        if isinstance(what, Row):
            if len(what.numbers) > 1:
                self.fail("A matrix is written row by row: [[1, 2], [3, 4]].", item)
            return constant(what.numbers[0])
        if isinstance(what, Norm):
            return ops.sqrt(what.squares)
        if what.alone is None:
            self.fail("Brackets hold one formula, unless a function stands before.", item)
        return self.part(what.alone).expr

    def constant(self, value: float, place: Place) -> Const:
        """A number as an expression."""
        if not math.isfinite(value):
            self.fail("This number is too large.", place)
        return constant(value)

    def number(self, item: Item, wanted: str = "Here stands") -> float:
        """The number that an item is, worked out where it is a formula such as 1/2."""
        expr = self.part(item).expr
        nodes = order([expr])
        leaves = [n for n in nodes if n.op is None]
        if any(n.shape != SCALAR for n in nodes) or not all(
            isinstance(n, Const) for n in leaves
        ):
            self.fail(f"{wanted} a plain number, such as 2 or 1/2.", item)
        with np.errstate(all="ignore"):
            value = float(evaluate(expr, {}, simplify=False).item())
        if not math.isfinite(value):
            self.fail("This number is not finite.", item)
        return value

    # ---- dimensions

    def dim(self, item: Item) -> Dim:
        """The dimension that an item is."""
        if item.word:
            name = key(item.word)
            return self.tried(lambda: dimension(name), item)
        value = self.number(item)
        if value != int(value):
            self.fail("A dimension is a whole number or a name.", item)
        return self.tried(lambda: dimension(int(value)), item)

    def dims(self, text: str, place: Place) -> tuple[Dim, Dim | None]:
        """The dimensions written below a name: the N of Dup_N, or N×3."""
        rows, _, columns = text.strip("{}").replace(" ", "").partition("×")

        def one(dim: str) -> Dim:
            whole = dim.isascii() and dim.isdigit() and len(dim) < 10
            return dimension(int(dim) if whole else key(dim or "?"))

        return self.tried(lambda: (one(rows), one(columns) if columns else None), place)

    # ---- names

    def _named(self, token: Token) -> Expr:
        found, f = self.names.find(token), self.function(Item(token, *span(token)))
        if found is not None and f is None:
            return found
        if token == "π":
            return constant(math.pi)
        if token == "e":
            self.fail("e stands in powers only, e^X; or write exp(1).", token)
        name, later = tidy(token), self.names.later.get(key(token))
        if later is not None:
            self.fail(
                f"'{name}' is defined further on, in {later}: a formula uses what stands "
                "above it.",
                token,
            )
        if f is not None:
            self.misused(f, token)
        self.fail(f"There is no '{name}' here.{self._hint(name)}", token)

    def misused(self, f: Function, token: Token) -> NoReturn:
        """Say that a name is a function, and how it is called."""
        name = tidy(token)
        told = f"'{name}' is a function; its arguments follow in brackets: {f.usage}."
        if self.names.find(token) is not None:
            told += f" The matrix called so is written `{name}`."
        self.fail(told, token)

    def _hint(self, name: str) -> str:
        """What may have been meant by a name that is not known."""
        stem = name.partition("^(")[0]
        if stem != name and self.names.find(stem) is not None:
            return (
                " A number in brackets above a name belongs to the name; a power is "
                f"written {stem}^{name[len(stem) + 2 : -1]}."
            )
        if name.endswith("'") and self.names.find(name.rstrip("'")) is not None:
            return f" The transpose is written {name.rstrip(chr(39))}^T."
        if name.startswith("Σ_"):
            return (
                " Σ adds all entries of what follows it, Σ_rows and Σ_columns the rows "
                "or the columns; sums over an index are not read."
            )
        close = nearest(name, self.names.shown()) or nearest(name, function_names())
        if close:
            return close
        if self.names.declares:
            return f" Give its shape in a line of its own, such as {name}: 1 x 3."
        known = ", ".join(self.names.shown())
        return f" Known: {known:.300}." if known else ""

    # ---- errors

    def tried(self, make: Callable[[], T], place: Place, before: str = "") -> T:
        """What `make` gives; its error becomes one that shows the place."""
        try:
            return make()
        except KokubanError as error:
            self.fail(f"{before}{error}", place)

    def fail(self, message: str, place: Place) -> NoReturn:
        """Raise a FormulaError that shows the place."""
        raise self.source.error(message, *span(place))
