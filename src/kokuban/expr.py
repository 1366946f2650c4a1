"""Expressions: immutable, interned, every one a matrix.

The same expression is the same object, so a weight used twice is one node with two
uses. Leaves are symbols, constants and the sizes of named dimensions; everything else
is an operation applied to expressions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from numbers import Real
from threading import RLock
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeGuard
from weakref import WeakValueDictionary

import numpy as np

from kokuban.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    KokubanError,
    ShapeError,
    unknown,
)
from kokuban.op import (
    ATOM,
    CALL,
    DIMENSIONS,
    LITERAL,
    NEGATION,
    Operation,
    operation,
)
from kokuban.shape import SCALAR, Dim, Shape, dimension, shape_of, show

if TYPE_CHECKING:
    import numpy.typing as npt

Value: TypeAlias = "Expr | float | npt.ArrayLike"

ROLES: Final = ("input", "target", "parameter", "state", "setting", "counter")

_interned: WeakValueDictionary[tuple[Any, ...], Expr] = WeakValueDictionary()
_lock = RLock()  # again in the same thread, should a finaliser build an expression

COMPOSITES: Final[dict[str, Callable[..., Expr]]] = {}  # filled by their definitions


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
        """Refused: the functions that make expressions check and intern them."""
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
        if not _is_finite(exponent):
            raise ExpressionError(
                f"The exponent in {self!r} ** … must be a plain number, not "
                f"{exponent!r}; write exp(log(A) * B) for a power that varies."
            )
        return apply("power", self, exponent=float(exponent))

    def __rpow__(self, base: object) -> Expr:
        raise ExpressionError(
            f"A power with a varying exponent is written exp(log({base!r}) * …), here "
            f"with {self!r}."
        )

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
            if not isinstance(part, slice) or part != slice(None):
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


class Call(Expr):
    """A composite by its name, such as mse(Y, T): the identity on what it stands for.

    `args` is its body, the expression it is short for, and its operation hands value and
    gradient on; so a reader that does not ask for names sees the body. `arguments` are
    what the composite was called with, `attrs` its settings.
    """

    __slots__ = ("arguments", "name")
    name: str
    arguments: tuple[Expr, ...]


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
    if not name or not _is_text(name):
        raise ExpressionError(f"A symbol's name is text such as 'X', not {name!r}.")
    if role not in ROLES:
        raise ExpressionError(f"A symbol's role is one of {', '.join(ROLES)}.")
    form = shape_of(shape)
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
    """A finite number as a 1 x 1 matrix, or rows of numbers as a matrix.

    Raises ShapeError unless it is one of the two, DataError unless all are finite.
    """
    if _is_finite(value):
        return _constant(float(value), SCALAR)
    try:
        array = np.asarray(value)
    except ValueError:  # rows of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ShapeError(f"A constant is a number or rows of numbers, not {value!r:.80}.")
    if array.ndim not in (0, 2) or array.size == 0:
        raise ShapeError(
            "A constant is a number, or a matrix with at least one row and one column; "
            f"this one has the shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise DataError(f"A constant is finite; {value!r:.80} is not.")
    rows = np.atleast_2d(array).astype(np.float64).tolist()
    shape = len(rows), len(rows[0])
    held = rows[0][0] if shape == SCALAR else tuple(tuple(row) for row in rows)
    return _constant(held, shape)


def _constant(held: float | tuple[tuple[float, ...], ...], shape: Shape) -> Const:
    made: Const = _intern(
        Const,
        (repr(held),),  # tells 0.0 from -0.0, which == does not
        op=None,
        args=(),
        attrs=(),
        shape=shape,
        value=held,
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


def call(
    name: str, body: Expr, arguments: tuple[Expr, ...], settings: Mapping[str, Any]
) -> Expr:
    """`body` under the name of the composite `name` of `arguments`, which built it.

    The body itself where it is a leaf or one of the arguments: that needs no name.
    """
    if body.op is None or body in arguments:
        return body
    attrs = tuple(settings.items())
    made: Call = _intern(
        Call,
        (name, arguments, attrs, body),
        op=CALL,
        args=(body,),
        attrs=attrs,
        shape=body.shape,
        name=name,
        arguments=arguments,
    )
    return made


def _misfit(
    op: Operation, args: tuple[Expr, ...], attrs: Mapping[str, Any], why: str
) -> str:
    forms = [_form(a, 3) for a in args]
    given = ", ".join(
        f"{text} is {show(a.shape)}" for (text, _), a in zip(forms, args, strict=True)
    )
    return f"{_fill(op, forms, attrs)} does not fit: {given}. {why}"


ENTRYWISE: Final = ("add", "subtract", "multiply", "divide", "maximum", "minimum")


def _is_finite(value: object) -> TypeGuard[float]:
    try:
        return isinstance(value, Real) and math.isfinite(value)
    except OverflowError:  # a whole number beyond the largest float
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def entrywise(name: str, left: Value, right: Value) -> Expr:
    """An entrywise operation of two, the smaller broadcast to the larger's shape."""
    a, b = as_expr(left), as_expr(right)
    rows, columns = (
        y if x == 1 else x for x, y in zip(a.shape, b.shape, strict=True)
    )  # the shape of both, if they fit
    wide_a, wide_b = spread(a, (rows, columns)), spread(b, (rows, columns))
    if wide_a.shape == wide_b.shape:
        return apply(name, wide_a, wide_b)
    return apply(name, a, b)  # which says why not


def spread(x: Expr, to: Shape) -> Expr:
    """`x` broadcast to the shape `to` where it can be; else `x` itself."""
    fits = all(s in (1, t) for s, t in zip(x.shape, to, strict=True))
    return apply("broadcast", x, to=to) if fits and x.shape != to else x


def _bounds(x: Expr, axis: int, part: object) -> tuple[int, int]:
    """The start and stop of a slice along one axis, as plain positive numbers."""
    length, what = x.shape[axis], ("row", "column")[axis]
    try:
        start, stop, step = (
            (part.start, part.stop, part.step)
            if isinstance(part, slice)
            else ((at := operator.index(part)), at + 1 or None, None)  # type: ignore[arg-type]
        )
        start, stop = (None if v is None else operator.index(v) for v in (start, stop))
    except TypeError:
        raise ExpressionError(
            f"A block takes a {what}'s number or a slice such as 0:2, not {part!r}."
        ) from None
    if step not in (None, 1):
        raise ExpressionError(f"A block takes neighbouring {what}s: no step.")
    if isinstance(length, int):
        from_, to, _ = slice(start, stop).indices(length)
        if from_ >= to:
            raise ShapeError(f"{x!r} is {show(x.shape)}: it has no {what}s {part!r}.")
        return from_, to
    start = start or 0
    if stop is None or start < 0 or stop < 0:
        raise ShapeError(
            f"Dimension {length!r} of {x!r} has no known size: give the block's start "
            "and stop as positive numbers."
        )
    return start, stop


def rebuild(node: Expr, args: tuple[Expr, ...]) -> Expr:
    """The same operation on other arguments; of a composite, its body with no name."""
    if node.op is None or args == node.args:
        return node
    if isinstance(node, Call):
        return args[0]
    return apply(node.op.name, *args, **dict(node.attrs))


def parts(node: Expr) -> tuple[Expr, ...]:
    """What a node is written with: a composite's arguments, else its own."""
    return node.arguments if isinstance(node, Call) else node.args


def order(
    outputs: Iterable[Expr], known: Container[Expr] = (), *, by_name: bool = False
) -> list[Expr]:
    """Every node under `outputs` once, each after its arguments; none in `known`.

    With `by_name` a composite is one node, and what lies inside it is left out.
    """
    done: dict[Expr, None] = {}
    stack = [o for o in outputs if o not in known][::-1]
    while stack:
        node = stack[-1]
        if node in done:
            stack.pop()
            continue
        below = parts(node) if by_name else node.args
        waiting = [a for a in below if a not in done and a not in known]
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
    """`outputs` with each node in `values` replaced by its expression.

    A composite keeps its name where the result is the composite of its new arguments.
    """
    new: dict[Expr, Expr] = {}
    for node in order(outputs):
        if node in values:
            new[node] = values[node]
        elif isinstance(node, Call):
            new[node] = _renamed(node, new)
        else:
            new[node] = rebuild(node, tuple(new[a] for a in node.args))
    return [new[o] for o in outputs]


def _renamed(node: Call, new: Mapping[Expr, Expr]) -> Expr:
    """The composite's new body under its name, if the name is still true of it."""
    body = new[node.args[0]]
    if body is node.args[0]:
        return node
    arguments = (new.get(a, a) for a in node.arguments)
    try:
        made = COMPOSITES[node.name](*arguments, **dict(node.attrs))
    except KokubanError:  # its new arguments fit no more, and the body is something else
        return body
    return made if made.args == (body,) else body


def plain(outputs: Sequence[Expr]) -> list[Expr]:
    """`outputs` without the names of composites: operations, symbols and constants."""
    new: dict[Expr, Expr] = {}
    for node in order(outputs):
        args = tuple(new[a] for a in node.args)
        new[node] = args[0] if isinstance(node, Call) else rebuild(node, args)
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


# ---------------------------------------------------------------- writing


def written(node: Expr, depth: int = 10, length: int = 400) -> str:
    """The formula as text; deep or long parts are left out as `…`."""
    text, _ = _form(node, depth)
    return text if len(text) <= length else text[: length - 1] + "…"


def _form(node: Expr, depth: int) -> tuple[str, int]:
    """The formula as text, and how tightly it holds together.

    The mark that rows sum to 1 is left out.
    """
    while _named(node, "distribution"):
        (node,) = node.args
    if depth == 0 and node.op is not None:
        return "…", ATOM
    return form(node, [_form(a, depth - 1) for a in shown(node)])


def shown(node: Expr) -> tuple[Expr, ...]:
    """What the text of a node is made of: the arguments that it shows."""
    if isinstance(node, Call):
        return node.arguments
    return () if node.op is None else _bare_arguments(node)


def form(node: Expr, parts: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """A node's text from those of `shown(node)`, each with how tightly it holds."""
    if isinstance(node, Symbol):
        return node.name, ATOM
    if isinstance(node, Size):
        return node.dim, ATOM
    if isinstance(node, Const):
        text = _value_text(node.value)
        return text, NEGATION if text[0] == "-" else LITERAL if is_number(node) else ATOM
    if isinstance(node, Call):
        inside = [text for text, _ in parts]
        inside += [f"{k}={_value_text(v)}" for k, v in node.attrs]
        return f"{node.name}({', '.join(inside)})", ATOM
    assert node.op is not None
    return _fill(node.op, parts, dict(node.attrs)), node.op.binds[0]


def _bare_arguments(node: Expr) -> tuple[Expr, ...]:
    """The arguments, a number without its copies where the other argument shows them."""
    assert node.op is not None
    if node.op.name not in ENTRYWISE:
        return node.args
    a, b = node.args
    if _repeats_number(b):
        return a, b.args[0]
    return (a.args[0] if _repeats_number(a) else a), b


def _repeats_number(node: Expr) -> bool:
    return _named(node, "broadcast") and node.args[0].shape == SCALAR


def _fill(
    op: Operation, forms: Sequence[tuple[str, int]], attrs: Mapping[str, Any]
) -> str:
    """The operation's text, with brackets where an argument holds too loosely.

    Attributes that the text does not name are added unless they are the usual ones.
    """
    parts = [
        f"({text})" if have < least else text
        for (text, have), least in zip(forms, op.binds[1:], strict=True)
    ]
    text = op.text.format(*parts, **{k: _value_text(v) for k, v in attrs.items()})
    added = [
        f", {k}={_value_text(v)}"
        for k, v in attrs.items()
        if f"{{{k}}}" not in op.text and v != op.samples[0].attrs[k]
    ]
    return f"{text[:-1]}{''.join(added)})" if added else text


def _value_text(value: object) -> str:
    """A constant's or an attribute's value: 3, 0.1, rows, [[1, 2], [3, 4]], N×3."""
    if isinstance(value, float):
        short = value.is_integer() and abs(value) < 1e15 and str(value) != "-0.0"
        return str(int(value)) if short else repr(float(value))  # np.float64 is a float
    if not isinstance(value, tuple):
        return str(value)
    if isinstance(value[0], tuple):
        rows = [", ".join(_value_text(v) for v in row) for row in value]
        return f"[{', '.join(f'[{row}]' for row in rows)}]"
    return show(value)


# ---------------------------------------------------------------- records


def to_records(outputs: Sequence[Expr]) -> dict[str, Any]:
    """Expressions as plain JSON values: a flat list of nodes, and which are outputs."""
    nodes = order(outputs, by_name=True)
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
    if isinstance(node, Call):
        return ["call", node.name, [place[a] for a in node.arguments], dict(node.attrs)]
    assert node.op is not None
    return ["op", node.op.name, [place[a] for a in node.args], dict(node.attrs)]


def from_records(records: Mapping[str, Any]) -> list[Expr]:
    """The expressions back from `to_records`; FileFormatError if they are malformed."""
    nodes: list[Expr] = []
    try:
        for record in records["nodes"]:
            nodes.append(_node(record, nodes))
        return [nodes[_place(k, nodes)] for k in records["outputs"]]
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise FileFormatError(
            f"The expression's record is malformed at node {len(nodes)}: {error}"
        ) from error


def _place(k: object, nodes: Sequence[Expr]) -> int:
    if type(k) is not int or not 0 <= k < len(nodes):
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
        usual = operation(name).samples[0].attrs
        if set(attrs) != set(usual):
            raise FileFormatError(f"{name} has the attributes {sorted(usual)}")
        fixed = {k: _attribute(k, v, usual[k]) for k, v in attrs.items()}
        return apply(name, *(nodes[_place(k, nodes)] for k in args), **fixed)
    if kind == "call":
        name, args, settings = rest
        if name not in COMPOSITES:
            raise unknown("composite", name, COMPOSITES)
        return COMPOSITES[name](*(nodes[_place(k, nodes)] for k in args), **settings)
    raise FileFormatError(f"unknown kind of node {kind!r}")


def _attribute(name: str, value: Any, usual: object) -> Any:
    """An attribute as read, if it is of the type of the usual one."""
    if name in DIMENSIONS:
        return shape_of(value) if isinstance(usual, tuple) else dimension(value)
    if type(usual) is float and type(value) is int:
        value = float(value)
    if type(value) is not type(usual) or value != value:
        raise FileFormatError(f"{name} cannot be {value!r:.60}")
    return value


def _from_pickle(records: Mapping[str, Any]) -> Expr:
    return from_records(records)[0]


def uses(outputs: Iterable[Expr]) -> Iterator[tuple[Expr, int, Expr]]:
    """Every use under `outputs`: (user, place among its arguments, what is used)."""
    for node in order(outputs):
        for place, argument in enumerate(node.args):
            yield node, place, argument
