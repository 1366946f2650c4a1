"""Expressions: immutable, interned, every one a matrix.

The same expression is the same object, so a weight used twice is one node with two
uses. Leaves are symbols, constants and the sizes of named dimensions; everything else
is an operation applied to expressions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, TypeAlias
from weakref import WeakKeyDictionary, WeakValueDictionary

from kokuban.errors import ExpressionError, FileFormatError, ShapeError
from kokuban.op import ATOM, NEGATION, Operation, operation
from kokuban.shape import SCALAR, Dim, Shape, dimension, shape_of, show

if TYPE_CHECKING:
    import numpy.typing as npt

Value: TypeAlias = "Expr | float | npt.ArrayLike"

ROLES: Final = ("input", "target", "parameter", "state", "setting", "counter")

_interned: WeakValueDictionary[tuple[Any, ...], Expr] = WeakValueDictionary()
_composites: WeakKeyDictionary[Expr, Composite] = WeakKeyDictionary()
_lock = Lock()

Composite = tuple[str, tuple["Expr", ...], tuple[tuple[str, Any], ...]]


class Expr:
    """A matrix expression. Build it with symbols, operators and kokuban's functions.

    `+ - * /` work entry by entry, `@` is the matrix product, `**` a constant power,
    `.T` the transpose, `A[0:2, 1:]` a block. A row, a column or a scalar is broadcast
    where the shapes ask for it, by a node of its own.
    """

    __slots__ = ("__weakref__", "args", "attrs", "op", "shape")

    op: Operation | None
    args: tuple[Expr, ...]
    attrs: tuple[tuple[str, Any], ...]
    shape: Shape

    __array_ufunc__ = None  # so that `array * expr` reaches Expr.__rmul__
    __iter__ = None  # a matrix is not a sequence, though it can be sliced

    def __new__(cls, *_: object) -> Expr:
        raise ExpressionError(
            "Expressions are made with kokuban.input, .target, .parameter, .constant, "
            "operators and functions, not with their class."
        )

    def __add__(self, other: Value) -> Expr:
        return entrywise("add", self, other)

    def __radd__(self, other: Value) -> Expr:
        return entrywise("add", other, self)

    def __sub__(self, other: Value) -> Expr:
        return entrywise("subtract", self, other)

    def __rsub__(self, other: Value) -> Expr:
        return entrywise("subtract", other, self)

    def __mul__(self, other: Value) -> Expr:
        return entrywise("multiply", self, other)

    def __rmul__(self, other: Value) -> Expr:
        return entrywise("multiply", other, self)

    def __truediv__(self, other: Value) -> Expr:
        return entrywise("divide", self, other)

    def __rtruediv__(self, other: Value) -> Expr:
        return entrywise("divide", other, self)

    def __matmul__(self, other: Value) -> Expr:
        return apply("matmul", self, as_expr(other))

    def __rmatmul__(self, other: Value) -> Expr:
        return apply("matmul", as_expr(other), self)

    def __neg__(self) -> Expr:
        return apply("negate", self)

    def __pow__(self, exponent: float) -> Expr:
        if not isinstance(exponent, int | float):
            raise ExpressionError(
                f"The exponent in {self!r} ** … must be a plain number, not "
                f"{exponent!r}; write exp(log(A) * B) for a power that varies."
            )
        return apply("power", self, exponent=float(exponent))

    @property
    def T(self) -> Expr:
        """The transpose."""
        return apply("transpose", self)

    def __getitem__(self, key: object) -> Expr:
        if not isinstance(key, tuple) or len(key) != 2:
            raise ExpressionError(
                "A block needs rows and columns, such as A[0:2, :] or A[:, 1]."
            )
        block = self
        for axis, part in enumerate(key):
            if part != slice(None):
                start, stop = _bounds(self, axis, part)
                block = apply("slice", block, axis=axis, start=start, stop=stop)
        return block

    def __repr__(self) -> str:
        return written(self)

    def __bool__(self) -> bool:
        raise ExpressionError(
            f"{self!r} has no truth value; evaluate it first (kokuban.evaluate), and use "
            "`is` to ask whether two expressions are the same."
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _from_pickle, (to_records([self]),)

    def __copy__(self) -> Expr:
        return self

    def __deepcopy__(self, memo: object) -> Expr:
        return self


class Symbol(Expr):
    """A named matrix whose value is given at the run."""

    __slots__ = ("name", "role")
    name: str
    role: str


class Const(Expr):
    """A constant: a number (1 x 1), or a matrix as a tuple of rows."""

    __slots__ = ("value",)
    value: float | tuple[tuple[float, ...], ...]


class Size(Expr):
    """The size of a named dimension, as a 1 x 1 number: the N of 1/N."""

    __slots__ = ("dim",)
    dim: str


def _intern(kind: type[Expr], key: tuple[Any, ...], **fields: Any) -> Any:
    with _lock:
        found = _interned.get((kind, *key))
        if found is None:
            found = object.__new__(kind)
            for name, value in fields.items():
                object.__setattr__(found, name, value)
            _interned[(kind, *key)] = found
        return found


def _frozen(self: Expr, name: str, _: object = None) -> None:
    raise ExpressionError(f"Expressions do not change: cannot set {name!r} of {self!r}.")


Expr.__setattr__ = Expr.__delattr__ = _frozen  # type: ignore[method-assign, assignment]


def symbol(name: str, shape: Sequence[Dim], role: str) -> Symbol:
    """A symbol; `role` is one of input, target, parameter, state, setting, counter."""
    if not isinstance(name, str) or not name:
        raise ExpressionError(f"A symbol's name is text such as 'X', not {name!r}.")
    if role not in ROLES:
        raise ExpressionError(f"A symbol's role is one of {', '.join(ROLES)}.")
    form = shape_of(tuple(shape))
    made: Symbol = _intern(
        Symbol,
        (name, form, role),
        op=None,
        args=(),
        attrs=(),
        shape=form,
        name=name,
        role=role,
    )
    return made


def input(name: str, shape: Sequence[Dim]) -> Symbol:
    """A symbol for data going in, such as `input("X", ("N", 4))`: N samples as rows."""
    return symbol(name, shape, "input")


def target(name: str, shape: Sequence[Dim]) -> Symbol:
    """A symbol for what should come out, such as `target("T", ("N", 3))`."""
    return symbol(name, shape, "target")


def parameter(name: str, shape: Sequence[Dim]) -> Symbol:
    """A symbol for numbers to be learned, such as `parameter("W", (4, 3))`."""
    return symbol(name, shape, "parameter")


def constant(value: npt.ArrayLike) -> Const:
    """A number as a 1 x 1 matrix, or rows of numbers as a matrix; ShapeError otherwise."""
    if isinstance(value, int | float):
        return _constant(float(value), SCALAR)
    rows = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(rows, int | float):
        return _constant(float(rows), SCALAR)
    try:
        table = tuple(tuple(float(x) for x in row) for row in rows)  # type: ignore[union-attr]
    except TypeError:
        raise ShapeError(
            f"A constant is a number or rows of numbers, not {value!r:.80}."
        ) from None
    if not table or not table[0] or len({len(row) for row in table}) > 1:
        raise ShapeError("A constant matrix needs rows of one length, at least 1.")
    shape = (len(table), len(table[0]))
    return _constant(table[0][0] if shape == SCALAR else table, shape)


def _constant(value: float | tuple[tuple[float, ...], ...], shape: Shape) -> Const:
    # repr tells 0.0 from -0.0 and equates NaN with itself, which == does not
    made: Const = _intern(
        Const, (repr(value),), op=None, args=(), attrs=(), shape=shape, value=value
    )
    return made


def size(dim: Dim) -> Expr:
    """The size of a dimension as a 1 x 1 expression; a constant if it is a number."""
    if isinstance(dim, int):
        return constant(dim)
    made: Size = _intern(
        Size, (dimension(dim),), op=None, args=(), attrs=(), shape=SCALAR, dim=dim
    )
    return made


def as_expr(value: Value) -> Expr:
    """`value` itself if it is an expression; a number or an array as a constant."""
    return value if isinstance(value, Expr) else constant(value)


def require(value: object, what: str) -> Expr:
    """`value` if it is an expression; ExpressionError naming `what` it should be."""
    if not isinstance(value, Expr):
        raise ExpressionError(f"{what} is an expression, not {value!r:.60}.")
    return value


def apply(name: str, *args: Expr, **attrs: Any) -> Expr:
    """The operation called `name` on `args`; ShapeError if they do not fit."""
    op = operation(name)
    if len(args) != op.arity:
        raise ExpressionError(f"{name} takes {op.arity} arguments, not {len(args)}.")
    try:
        shape = op.shape(*(a.shape for a in args), **attrs)
    except ShapeError as error:
        raise ShapeError(_misfit(op, args, attrs, str(error))) from None
    frozen = tuple(sorted(attrs.items()))
    made: Expr = _intern(
        Expr, (name, args, frozen), op=op, args=args, attrs=frozen, shape=shape
    )
    return made


def _misfit(
    op: Operation, args: tuple[Expr, ...], attrs: Mapping[str, Any], why: str
) -> str:
    formula = _fill(op, [written(a, 3) for a in args], [_binding(a) for a in args], attrs)
    given = ", ".join(f"{written(a, 3)} is {show(a.shape)}" for a in args)
    return f"{formula} does not fit: {given}. {why}"


def entrywise(name: str, left: Value, right: Value) -> Expr:
    """An entrywise operation of two, the smaller broadcast to the larger's shape."""
    a, b = as_expr(left), as_expr(right)
    if a.shape != b.shape:
        both = [
            y if x == 1 else x for x, y in zip(a.shape, b.shape, strict=True)
        ]  # where they differ otherwise, apply tells
        a, b = (spread(x, (both[0], both[1])) for x in (a, b))
    return apply(name, a, b)


def spread(x: Expr, to: Shape) -> Expr:
    """`x` broadcast to the shape `to` where it can be; else `x` itself."""
    fits = all(s in (1, t) for s, t in zip(x.shape, to, strict=True))
    return apply("broadcast", x, to=to) if fits and x.shape != to else x


def _bounds(x: Expr, axis: int, part: object) -> tuple[int, int]:
    """The start and stop of a slice along one axis, as plain positive numbers."""
    length = x.shape[axis]
    if not isinstance(part, slice):
        at = operator.index(part)  # type: ignore[arg-type]
        part = slice(at, at + 1 or None)
    if part.step not in (None, 1):
        raise ExpressionError("A block takes neighbouring rows or columns: no step.")
    start, stop = part.start or 0, part.stop
    if isinstance(length, int):
        start, stop, _ = slice(start, stop).indices(length)
    elif stop is None or start < 0 or stop < 0:
        raise ShapeError(
            f"Dimension {length!r} of {x!r} has no known size: give the block's start "
            "and stop as positive numbers."
        )
    return start, stop


def rebuild(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """The same operation on other arguments."""
    if node.op is None or args == node.args:
        return node
    return apply(node.op.name, *args, **dict(node.attrs))


def order(outputs: Iterable[Expr], known: Container[Expr] = ()) -> list[Expr]:
    """Every node under `outputs` once, each after its arguments; none in `known`."""
    done: dict[Expr, None] = {}
    stack = [o for o in outputs if o not in known][::-1]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        waiting = [a for a in node.args if a not in done and a not in known]
        if waiting:
            stack.extend(reversed(waiting))
        else:
            done.setdefault(stack.pop())
    return list(done)


def symbols(outputs: Iterable[Expr], role: str | None = None) -> list[Symbol]:
    """The symbols under `outputs` in order of use, of one role or of all."""
    return [
        n
        for n in order(outputs)
        if isinstance(n, Symbol) and (role is None or n.role == role)
    ]


def substitute(outputs: Sequence[Expr], values: Mapping[Expr, Expr]) -> list[Expr]:
    """`outputs` with each node in `values` replaced by its expression."""
    new: dict[Expr, Expr] = {}
    for node in order(outputs):
        given = node in values
        new[node] = (
            values[node] if given else rebuild(node, tuple(new[a] for a in node.args))
        )
    return [new[o] for o in outputs]


def _named(node: Expr, name: str) -> bool:
    return node.op is not None and node.op.name == name


def is_number(node: Expr, value: float | None = None) -> bool:
    """Whether a node is a constant 1 x 1 number, broadcast or not (and which)."""
    while _named(node, "broadcast"):
        node = node.args[0]
    if not isinstance(node, Const) or isinstance(node.value, tuple):
        return False
    return value is None or node.value == value


def number(node: Expr) -> float:
    """The number that a node stands for, which `is_number` must have said it does."""
    while not isinstance(node, Const):
        (node,) = node.args
    assert not isinstance(node.value, tuple)
    return node.value


# ---------------------------------------------------------------- composites


def note_composite(
    result: Expr, name: str, args: tuple[Expr, ...], attrs: Mapping[str, Any]
) -> None:
    """Remember that `result` can be written as the composite `name` of `args`."""
    if result.op is not None and result not in args:
        _composites.setdefault(result, (name, args, tuple(attrs.items())))


def composite_of(node: Expr) -> Composite | None:
    """The composite a node can be written as, or None: name, arguments, attributes."""
    return _composites.get(node)


# ---------------------------------------------------------------- writing


def written(node: Expr, depth: int = 10, length: int = 400) -> str:
    """The formula as text; deep or long parts are left out as `…`."""
    text = _text(node, depth)
    return text if len(text) <= length else text[: length - 1] + "…"


def _text(node: Expr, depth: int) -> str:
    if isinstance(node, Symbol):
        return node.name
    if isinstance(node, Size):
        return node.dim
    if isinstance(node, Const):
        return _number_text(node)
    if depth == 0:
        return "…"
    if known := composite_of(node):
        name, args, attrs = known
        inside = [_text(a, depth - 1) for a in args]
        return f"{name}({', '.join(inside + [f'{k}={v}' for k, v in attrs])})"
    assert node.op is not None
    if _repeats_number(node):  # a number times a matrix is written without its copies
        return _text(node.args[0], depth - 1)
    inside = [_text(a, depth - 1) for a in node.args]
    return _fill(node.op, inside, [_binding(a) for a in node.args], dict(node.attrs))


def _fill(
    op: Operation, inside: Sequence[str], binding: Sequence[int], attrs: Mapping[str, Any]
) -> str:
    need = op.binds[1:]
    parts = [
        f"({t})" if have < least else t
        for t, have, least in zip(inside, binding, need, strict=True)
    ]
    shown = {k: show(v) if isinstance(v, tuple) else v for k, v in attrs.items()}
    return op.text.format(*parts, **shown)


def _binding(node: Expr) -> int:
    if is_number(node):
        return ATOM if number(node) >= 0 else NEGATION
    if node.op is None or composite_of(node):
        return ATOM
    return _binding(node.args[0]) if _repeats_number(node) else node.op.binds[0]


def _repeats_number(node: Expr) -> bool:
    return _named(node, "broadcast") and node.args[0].shape == SCALAR


def _number_text(node: Expr) -> str:
    if is_number(node):
        value = number(node)
        whole = math.isfinite(value) and value == int(value) and abs(value) < 1e15
        return str(int(value)) if whole else repr(value)
    assert isinstance(node, Const) and isinstance(node.value, tuple)
    rows = ["[" + ", ".join(f"{v:g}" for v in row) + "]" for row in node.value]
    return "[" + ", ".join(rows) + "]"


# ---------------------------------------------------------------- records


def to_records(outputs: Sequence[Expr]) -> dict[str, Any]:
    """Expressions as plain JSON values: a flat list of nodes, and which are outputs."""
    nodes = order(outputs)
    place = {node: k for k, node in enumerate(nodes)}
    return {
        "nodes": [_record(node, place) for node in nodes],
        "outputs": [place[o] for o in outputs],
    }


def _record(node: Expr, place: Mapping[Expr, int]) -> list[Any]:
    if isinstance(node, Symbol):
        return ["symbol", node.name, node.role, *node.shape]
    if isinstance(node, Const):
        return ["const", node.value]
    if isinstance(node, Size):
        return ["size", node.dim]
    assert node.op is not None
    return ["op", node.op.name, [place[a] for a in node.args], dict(node.attrs)]


def from_records(records: Mapping[str, Any]) -> list[Expr]:
    """The expressions back from `to_records`; FileFormatError if they are malformed."""
    nodes: list[Expr] = []
    try:
        for record in records["nodes"]:
            nodes.append(_node(record, nodes))
        return [nodes[_place(k, nodes)] for k in records["outputs"]]
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise FileFormatError(
            f"The expression's record is malformed at node {len(nodes)}: {error}"
        ) from error


def _place(k: object, nodes: Sequence[Expr]) -> int:
    if not isinstance(k, int) or not 0 <= k < len(nodes):
        raise FileFormatError(f"node {k!r} is used before it is made")
    return k


def _node(record: Sequence[Any], nodes: Sequence[Expr]) -> Expr:
    kind, *rest = record
    if kind == "symbol":
        name, role, rows, columns = rest
        return symbol(name, (rows, columns), role)
    if kind == "const":
        return constant(*rest)
    if kind == "size":
        return size(*rest)
    if kind == "op":
        name, args, attrs = rest
        fixed = {k: tuple(v) if isinstance(v, list) else v for k, v in attrs.items()}
        return apply(name, *(nodes[_place(k, nodes)] for k in args), **fixed)
    raise FileFormatError(f"unknown kind of node {kind!r}")


def _from_pickle(records: Mapping[str, Any]) -> Expr:
    return from_records(records)[0]


def uses(outputs: Iterable[Expr]) -> Iterator[tuple[Expr, int, Expr]]:
    """Every use under `outputs`: (user, place among its arguments, what is used)."""
    for node in order(outputs):
        for place, argument in enumerate(node.args):
            yield node, place, argument


