"""From formulas as people write them to expressions. Nothing is evaluated as code.

The grammar gives a row of factors and operators; what the names in it are decides how
the row is read: `f (x)` is a call where f is a function, else a product.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any, Final

from lark import Token, Tree

from kokuban import ops
from kokuban.expr import Const, Expr, constant
from kokuban.formula.calls import Calls
from kokuban.formula.items import (
    Argument,
    Arguments,
    Dims,
    Item,
    Link,
    Norm,
    Power,
    Row,
    Script,
    Transposed,
    span,
)
from kokuban.formula.names import Names
from kokuban.formula.notation import pieces, plain, tidy
from kokuban.formula.place import Source
from kokuban.formula.syntax import bounded, tree_of
from kokuban.formula.values import Values

LONGEST: Final = 20_000  # characters of a formula
_RAISED: Final = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def parse(text: str, names: Mapping[str, Expr]) -> Expr:
    """The expression of one formula, such as `X^T (Y - T) / N`.

    `names` says what names stand for: a board, or any mapping to expressions, such as
    `namespace(L)`; their named dimensions, such as N, are known too. The text may come
    from anywhere: it is read, never run, and its length and depth are bounded.

    Raises FormulaError, which shows the place, for anything that is no formula.
    """
    source = plain(bounded(text, "A formula", LONGEST), lines=False)
    return Reader(source, Names(names)).read(tree_of(source, "sum"))


def equation(text: str, names: Mapping[str, Expr]) -> tuple[str, Expr]:
    """The name and the expression of one equation, such as `Δ = (Y - T) / N`.

    Raises FormulaError as `parse` does.
    """
    source = plain(bounded(text, "An equation", LONGEST), lines=False)
    name, formula = tree_of(source, "definition").children
    assert isinstance(formula, Tree)
    return tidy(str(name)), Reader(source, Names(names)).read(formula)


class Reader:
    """Reads trees of one text into expressions, a method for each rule of the grammar."""

    def __init__(self, source: Source, names: Names) -> None:
        self.values = Values(source, names)
        self.calls = Calls(self.values)

    def read(self, tree: Tree[Token]) -> Expr:
        """The expression of a formula's tree; FormulaError where it makes none."""
        made: dict[int, Any] = {}
        for node in tree.iter_subtrees():  # each after its parts
            parts = [made[id(c)] if isinstance(c, Tree) else c for c in node.children]
            made[id(node)] = getattr(self, f"_{node.data}")(node, parts)
        return self.values.part(made[id(tree)]).expr

    # ---- sums and products

    def _sum(self, node: Tree[Token], parts: list[Any]) -> Item:
        first: Item = parts[0]
        if len(parts) == 1:
            return self._settled(first)
        whole = self.values.part(first)
        for sign, item in zip(parts[1::2], parts[2::2], strict=True):
            whole = self.values.joined(str(sign), whole, self.values.part(item))
        return Item(whole.expr, *span(node))

    def _settled(self, item: Item) -> Item:
        """What stands alone in brackets, say, worked out but for what may be no formula.

        That is a name, which may be a setting's word; numbers; a shape; a row.
        """
        inner = item.what.alone if isinstance(item.what, Arguments) else None
        if item.bare and inner is not None:
            return replace(inner, start=item.start, end=item.end)
        if item.bare and not isinstance(item.what, Arguments):
            return item
        return Item(self.values.part(item).expr, item.start, item.end)

    def _term(self, node: Tree[Token], parts: list[Link]) -> Item:
        if len(parts) == 3 and self._is_times(parts[1]):
            left, _, right = parts
            assert isinstance(left, Item)
            assert isinstance(right, Item)
            if all(i.word or isinstance(i.what, float) for i in (left, right)):
                return Item(Dims(left, right), *span(node))
        row = [link for part in parts for link in self._split(part)]
        if (
            len(row) == 1
            and isinstance(row[0], Item)
            and not self.values.function(row[0])
        ):
            return row[0]
        return Item(self.values.product(self.calls.applied(row)).expr, *span(node))

    def _is_times(self, link: Link) -> bool:
        """Whether it is the × of N×3, or the x of N x 3."""
        if isinstance(link, Item):
            return link.word == "x" and self.values.names.find("x") is None
        return str(link) == "×"

    def _split(self, link: Link) -> list[Link]:
        """`XW` as X W, where that is no name but its letters are."""
        names = self.values.names
        if isinstance(link, Token) or not isinstance(link.what, Token):
            return [link]
        if self.values.function(link) or names.find(link.what) is not None:
            return [link]
        found = pieces(link.what)
        if not found or any(names.find(piece) is None for piece in found):
            return [link]
        made, at = list[Item](), link.what.start_pos or 0
        for piece in found:
            token = Token("NAME", piece, at, end_pos=at + len(piece))
            made.append(Item(token, at, at + len(piece)))
            at += len(piece)
        made[0] = replace(made[0], start=link.start, negated=link.negated)
        made[-1] = replace(made[-1], end=link.end, scripts=link.scripts)
        return [*made]

    # ---- factors

    def _signed(self, node: Tree[Token], parts: list[Any]) -> Item:
        sign, unsigned = parts
        item: Item = replace(unsigned, start=span(node)[0])
        if sign == "+":
            return item
        if isinstance(item.what, float) and item.bare:
            return replace(item, what=self.values.constant(-item.what, node))
        return replace(item, negated=item.negated + 1)

    def _unsigned(self, node: Tree[Token], parts: list[Any]) -> Item:
        what, *behind = parts
        scripts: list[Script] = [self._script(s) for s in behind]
        if isinstance(what, Token):
            if what.endswith(("T}", "⊤}")) and "^{(" in what:  # W^{(1)T}
                scripts.insert(0, Transposed(*span(what)))
            if what.type == "NUMBER":
                what = float(what)
            elif what.type == "ONES":
                what = self._ones(what)
        for one, other in pairwise(scripts):
            if isinstance(one, Power) and isinstance(other, Power):
                self.values.fail("A power of a power needs brackets: (X^2)^3.", other)
        return Item(what, *span(node), tuple(scripts))

    def _ones(self, token: Token) -> Expr:
        """1_N, a column of ones."""
        rows, columns = self.values.dims(token.partition("_")[2], token)
        return ops.ones((rows, columns or 1))

    def _script(self, found: Token | Script) -> Script:
        if not isinstance(found, Token):
            return found
        if found.type == "SUPERSCRIPT":
            digits = self.values.constant(float(found.translate(_RAISED)), found)
            return Power(Item(digits, *span(found)), *span(found))
        return Transposed(*span(found))

    def _power(self, node: Tree[Token], parts: list[Any]) -> Script:
        (raised,) = parts
        item = raised.alone if isinstance(raised, Arguments) else raised
        word = item.what if isinstance(item, Item) and item.bare else item
        if word in ("T", "t", "⊤"):
            return Transposed(*span(node), word)
        if not isinstance(raised, Item):
            raised = Item(raised, *span(raised if isinstance(raised, Token) else node))
        return Power(raised, *span(node))

    def _exponent(self, node: Tree[Token], parts: list[Token]) -> Item:
        return Item(self.values.constant(float("".join(parts)), node), *span(node))

    # ---- brackets

    def _group(self, node: Tree[Token], parts: list[Any]) -> Arguments:
        given = (p if isinstance(p, Argument) else Argument(None, p) for p in parts)
        return Arguments(tuple(given))

    def _argument(self, node: Tree[Token], parts: list[Any]) -> Argument:
        name, item = parts
        return Argument(None if name is None else str(name), item)

    def _bracket(self, node: Tree[Token], parts: list[Item]) -> Row | Expr:
        """A row of numbers, a matrix of such rows, or brackets around a formula."""
        rows = [p.what for p in parts if isinstance(p.what, Row) and p.bare]
        if rows and len(rows) == len(parts):
            if len({len(row.numbers) for row in rows}) > 1:
                self.values.fail("The rows of a matrix are all of one length.", node)
            return constant([row.numbers for row in rows])
        if len(parts) == 1 and not isinstance(parts[0].what, float | Const):
            return self.values.part(parts[0]).expr
        return Row(tuple(self.values.number(p) for p in parts))

    def _fraction(self, node: Tree[Token], parts: list[Item]) -> Expr:
        above, below = map(self.values.part, parts)
        return self.values.joined("/", above, below).expr

    def _norm(self, node: Tree[Token], parts: list[Item]) -> Norm:
        return Norm(ops.sum(self.values.part(parts[0]).expr ** 2))

    def _absolute(self, node: Tree[Token], parts: list[Item]) -> Expr:
        return ops.abs(self.values.part(parts[0]).expr)
