"""A board: shapes and formulas, line by line, as one would write them on a blackboard."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lark import Token, Tree

from kokuban.errors import FileFormatError, FormulaError, StorageError, nearest
from kokuban.expr import ROLES, Expr, Symbol, symbol
from kokuban.formula.functions import names as function_names
from kokuban.formula.names import Names
from kokuban.formula.notation import key, plain, tidy
from kokuban.formula.place import Source
from kokuban.formula.printing import name_text, text
from kokuban.formula.reading import Reader
from kokuban.formula.roles import only_compared, role
from kokuban.formula.syntax import bounded, tree_of
from kokuban.shape import SCALAR, Dim, Shape, dimension, show

LONGEST: Final = 50_000  # characters of a board


class Board(Mapping[str, Expr]):
    """What stands on a board: symbols, and expressions by name.

    `board.L` and `board["L"]` are what L stands for; W₁, W_1 and W_{1} are the same name.

    symbols      the symbols, in the order of their shape lines
    definitions  the expressions by name, in the order of their lines
    """

    def __init__(
        self, symbols: tuple[Symbol, ...], definitions: Mapping[str, Expr]
    ) -> None:
        self.symbols = symbols
        self.definitions = dict(definitions)
        self._all: dict[str, Expr] = {s.name: s for s in symbols} | self.definitions
        self._names = Names(self._all)

    def __getitem__(self, name: str) -> Expr:
        found = self._all.get(name)
        if found is None:
            found = self._names.find(name) if name else None
        if found is None:
            raise KeyError(f"{name!r} is not on the board.{nearest(name, self._all)}")
        return found

    def __getattr__(self, name: str) -> Expr:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError as error:
            raise AttributeError(error.args[0]) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._all})

    @property
    def loss(self) -> Expr:
        """The last formula that is one number, 1×1: what is checked and trained.

        Raises FormulaError where there is none.
        """
        found = [e for e in self.definitions.values() if e.shape == SCALAR]
        if not found:
            raise FormulaError("No formula on this board is one number, 1×1: no loss.")
        return found[-1]

    def __str__(self) -> str:
        """The board as text that `kokuban.board` reads back."""
        lines = [f"{name_text(s.name)}: {show(s.shape)} {s.role}" for s in self.symbols]
        above: dict[Expr, str] = {}
        for name, made in self.definitions.items():
            lines.append(f"{name_text(name)} = {text(made, above)}")
            if made.op is not None:
                above.setdefault(made, name_text(name))
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"kokuban.board({str(self)!r})"


def board(text: str | Path) -> Board:
    """The board that a text, or the file at a path, describes.

    A line gives a shape, `X: N x 4`, or a formula, `Y = softmax(X W + b)`; `#` begins a
    comment. A symbol's role can be stated, `X: N x 4 input`. Otherwise what has a named
    dimension is data and all else a parameter; data called T, or that nothing but losses
    compare with, is a target, other data an input. docs/formulas.md shows the language.

    Raises FormulaError, which shows the place, for anything that is no board;
    StorageError for a file that cannot be read, FileFormatError for one that is no text.
    """
    if isinstance(text, Path):
        typed = bounded(_text_of(text), "A board", LONGEST, text.name)
    else:
        typed = bounded(text, "A board", LONGEST)
        if text.endswith(".kb") and "\n" not in text:
            raise FormulaError(
                f"{text!r} is taken for a board itself; the board in a file is "
                f"kokuban.board(Path({text!r}))."
            )
    source = plain(typed)
    return _Lines(source).board()


def _text_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(4 * LONGEST + 1)
    except OSError as error:
        raise StorageError(f"Cannot read {str(path)!r}: {error.strerror}.") from error
    if len(data) > 4 * LONGEST:
        raise FormulaError(f"{str(path)!r}: a board has {LONGEST:,} characters at most.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FileFormatError(
            f"{str(path)!r} is not UTF-8 text: byte {error.start + 1}, in line {line}, "
            f"is {data[error.start]:#04x}."
        ) from None


# ---------------------------------------------------------------- reading


@dataclass(frozen=True)
class _Declared:
    """A name with a shape."""

    name: str
    token: Token
    shape: Shape
    role: str | None


@dataclass(frozen=True)
class _Defined:
    """A name with a formula."""

    name: str
    token: Token
    formula: Tree[Token]


class _Lines:
    """The lines of a board, in the making."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.declared: dict[str, _Declared] = {}
        self.defined: dict[str, _Defined] = {}
        self.dimensions: dict[str, Token] = {}
        tree = tree_of(source, "board")
        for line in tree.children:
            assert isinstance(line, Tree)
            if line.data == "declaration":
                self._declare(line.children)
            else:
                self._define(line.children)

    def board(self) -> Board:
        """The board: its symbols, then its formulas in order."""
        self._check_names()
        compared = only_compared(line.formula for line in self.defined.values())
        symbols = {
            k: symbol(d.name, d.shape, d.role or role(k, d.shape, compared))
            for k, d in self.declared.items()
            if k not in self.defined
        }
        names = Names({s.name: s for s in symbols.values()})
        names.declares = True
        for k, s in symbols.items():
            names.origin[s] = self._line(self.declared[k].token)
        names.later = {k: self._line(d.token) for k, d in self.defined.items()}
        made: dict[str, Expr] = {}
        for k, line in self.defined.items():
            expression = Reader(self.source, names).read(line.formula)
            self._check_shape(k, expression)
            made[line.name] = expression
            del names.later[k]
            names.add(line.name, expression, self._line(line.token))
        return Board(tuple(symbols.values()), made)

    # ---- lines

    def _declare(self, parts: list[Any]) -> None:
        names, *rest = parts
        if isinstance(rest[0], Token):
            if key(rest[0]) != "R":
                self._fail("Matrices of real numbers are X ∈ R^{N×4}.", rest[0])
            del rest[0]
        dims, *role = rest
        rows, _, columns = dims.children
        shape = self._dimension(rows), self._dimension(columns)
        stated = self._stated(role[0]) if role else None
        for token in names.children:
            k = self._new(token, self.declared)
            self.declared[k] = _Declared(tidy(token), token, shape, stated)

    def _dimension(self, token: Token) -> Dim:
        if token.type == "NUMBER":
            if not (token.isdigit() and len(token) < 10):
                self._fail("A dimension is a whole number below 10⁹, or a name.", token)
            value: Dim | int = int(token)
        else:
            value = key(token)
        try:
            found = dimension(value)
        except ValueError as error:
            self._fail(str(error), token)
        if isinstance(found, str):
            self.dimensions.setdefault(found, token)
        return found

    def _stated(self, token: Token) -> str:
        if token not in ROLES:
            self._fail(
                f"'{token}' is no role.{nearest(token, ROLES)} The roles are "
                f"{', '.join(ROLES)}.",
                token,
            )
        return str(token)

    def _define(self, parts: list[Any]) -> None:
        token, formula = parts
        k = self._new(token, self.defined)
        self.defined[k] = _Defined(tidy(token), token, formula)

    def _new(self, token: Token, there: Mapping[str, Any]) -> str:
        k = key(token)
        if k in there:
            self._fail(
                f"'{tidy(token)}' stands in {self._line(there[k].token)} already; a name "
                "has one meaning on a board.",
                token,
            )
        return k

    # ---- what must hold

    def _check_names(self) -> None:
        taken = {n for n in function_names() if len(n) > 1}
        lines: list[tuple[str, _Declared | _Defined]]
        lines = [*self.declared.items(), *self.defined.items()]
        for k, line in lines:
            if k in taken:
                self._fail(f"'{k}' is a function here; choose another name.", line.token)
            if k in self.dimensions:
                where = self._line(self.dimensions[k])
                self._fail(f"'{k}' is a dimension ({where}) already.", line.token)

    def _check_shape(self, k: str, made: Expr) -> None:
        """A formula's name may have a shape line too: then they agree."""
        said = self.declared.get(k)
        if said is None:
            return
        if said.role is not None:
            self._fail(f"'{said.name}' has a formula, and so no role.", said.token)
        if said.shape != made.shape:
            self._fail(
                f"'{said.name}' is {show(made.shape)} by its formula, but "
                f"{show(said.shape)} in {self._line(said.token)}.",
                self.defined[k].token,
            )

    # ---- places

    def _line(self, token: Token) -> str:
        start, _ = self.source.span(token.start_pos or 0, token.end_pos or 0)
        return f"line {self.source.line_and_column(start)[0]}"

    def _fail(self, message: str, token: Token) -> Any:
        raise self.source.error(message, token.start_pos or 0, token.end_pos or 0)
