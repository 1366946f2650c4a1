"""The reference run: what expressions mean, in NumPy or any array-API namespace.

Short and plain on purpose; every faster way to run must agree with it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.errors import DataError, ExpressionError, SettingError, unknown
from kokuban.expr import (
    ENTRYWISE,
    Const,
    Expr,
    Size,
    Symbol,
    order,
    plain,
    require,
    symbols,
    uses,
)
from kokuban.op import DIMENSIONS
from kokuban.rewrite import simplify_all
from kokuban.shape import SCALAR, bind, dimension, show, size_of

Array = Any  # numpy.ndarray, or an array of another array-API namespace
FLOATING = ("real floating", "complex floating")
VIEWS = ("broadcast", "transpose", "slice", "distribution")  # may give the input's memory


@dataclass(frozen=True, slots=True)
class _Step:
    """One node to compute: its arguments' slots, and the slots no longer needed after."""

    node: Expr
    slot: int
    arguments: tuple[int, ...]
    attrs: dict[str, Any]
    cast: bool
    release: tuple[int, ...]


class Program:
    """Expressions prepared to be run together many times; common parts run once."""

    def __init__(self, outputs: Sequence[Expr]) -> None:
        self.outputs = tuple(plain(outputs))
        self.symbols = symbols(self.outputs)
        nodes = order(self.outputs)
        place = {node: k for k, node in enumerate(nodes)}
        implied = implicit(self.outputs)
        for node in implied:
            place[node] = place[node.args[0]]  # NumPy repeats it where it is used
        self._leaves = [(place[n], n) for n in nodes if n.op is None]
        work = [n for n in nodes if n.op is not None and n not in implied]
        self._steps = _schedule(self.outputs, work, place)
        self._slots = [place[o] for o in self.outputs]
        self._count = len(nodes)

    def __call__(
        self,
        values: Mapping[Symbol, Array],
        xp: Any = np,
        dtype: Any = np.float64,
        sizes: Mapping[str, int] | None = None,
    ) -> list[Array]:
        """The outputs' values, in order. Symbols of role "counter" keep their type.

        Raises ShapeError where a value does not fit its symbol, and DataError where a
        value is missing.
        """
        known = dict(sizes or {})
        slots: list[Array] = [None] * self._count
        for slot, leaf in self._leaves:
            if isinstance(leaf, Symbol):
                slots[slot] = _value_of(leaf, values, known)
        for slot, leaf in self._leaves:
            if isinstance(leaf, Const):
                value = leaf.value if isinstance(leaf.value, tuple) else ((leaf.value,),)
                slots[slot] = xp.asarray(value, dtype=dtype)
            elif isinstance(leaf, Size):
                slots[slot] = xp.asarray([[size_of(leaf.dim, known)]], dtype=dtype)
        for step in self._steps:
            attrs = _resolved(step.attrs, known)
            assert step.node.op is not None
            y = step.node.op.numpy(xp, *(slots[k] for k in step.arguments), **attrs)
            slots[step.slot] = xp.astype(y, dtype) if step.cast else y
            for k in step.release:
                slots[k] = None
        return [slots[k] for k in self._slots]


def implicit(outputs: Sequence[Expr]) -> set[Expr]:
    """The broadcasts that array arithmetic does by itself, so that no copy is needed.

    A broadcast under entrywise operations whose other argument has the full shape.
    """
    seen, explicit = set[Expr](), set(outputs)
    for user, place, used in uses(outputs):
        if used.op is None or used.op.name != "broadcast":
            continue
        seen.add(used)
        entrywise = user.op is not None and user.op.name in ENTRYWISE
        other = user.args[1 - place] if entrywise else None
        if other is None or (other.op is not None and other.op.name == "broadcast"):
            explicit.add(used)
    return seen - explicit


def _schedule(
    outputs: Sequence[Expr], work: Sequence[Expr], place: Mapping[Expr, int]
) -> list[_Step]:
    """The operations in order, each with the slots that nothing after it reads."""
    read = {place[o] for o in outputs}
    steps: list[_Step] = []
    for node in reversed(work):
        arguments = tuple(place[a] for a in node.args)
        release = tuple(set(arguments) - read)
        read.update(arguments)
        cast = any(isinstance(a, Symbol) and a.role == "counter" for a in node.args)
        attrs = dict(node.attrs)
        steps.append(_Step(node, place[node], arguments, attrs, cast, release))
    return steps[::-1]


def _resolved(attrs: dict[str, Any], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The attributes with named dimensions as numbers."""
    found = attrs
    for name in DIMENSIONS:
        if name in attrs:
            dims = attrs[name]
            sized = (
                tuple(size_of(d, sizes) for d in dims)
                if isinstance(dims, tuple)
                else size_of(dims, sizes)
            )
            found = {**found, name: sized}
    return found


def _value_of(
    symbol: Symbol, values: Mapping[Symbol, Array], sizes: dict[str, int]
) -> Array:
    if symbol not in values:
        have = ", ".join(sorted(s.name for s in values)) or "none"
        raise DataError(f"No value is given for {symbol.name!r}; given: {have}.")
    value = values[symbol]
    bind(sizes, symbol.shape, tuple(value.shape), symbol.name)
    return value


def evaluate(
    expression: Expr | Sequence[Expr],
    values: Mapping[Symbol | str, Any],
    *,
    sizes: Mapping[str, int] | None = None,
    dtype: Any = None,
    simplify: bool = True,
) -> Any:
    """The value of an expression as a matrix; a list of values for a list.

    `values` maps symbols, or their names, to matrices: arrays of NumPy or of another
    array-API namespace, rows of numbers, or a number for a 1×1 symbol. The run is in
    `dtype`, or in the values' own type (float64 unless all of them are float32). The
    expression is simplified first, so that its stable form is what runs; with
    `simplify=False` it runs as it stands. `sizes` gives the size of a named dimension
    that no value has.

    Raises ShapeError where a value does not fit, DataError where one is missing or is
    not numbers, UnknownNameError for a name that the expression does not have,
    SettingError if `dtype` is not a floating type.
    """
    several = [expression] if isinstance(expression, Expr) else list(expression)
    asked = [require(e, "What is evaluated") for e in several]
    given = by_symbol(symbols(asked), values)
    program = Program(simplify_all(asked) if simplify else asked)
    xp = namespace_of(given.values())
    kind = _floating(xp, common_dtype(xp, given) if dtype is None else dtype)
    ready = {s: as_matrix(s, v, xp, kind) for s, v in given.items()}
    known = {name: size_of(dimension(n), {}) for name, n in (sizes or {}).items()}
    for s, v in ready.items():
        bind(known, s.shape, tuple(v.shape), s.name)
    results = program(ready, xp, kind, known)
    owned = [
        xp.asarray(r, copy=True) if o.op is None or o.op.name in VIEWS else r
        for o, r in zip(program.outputs, results, strict=True)
    ]
    return owned[0] if isinstance(expression, Expr) else owned


def by_symbol(known: Sequence[Symbol], values: Mapping[Any, Any]) -> dict[Symbol, Any]:
    """`values` with names replaced by the symbols that bear them.

    Symbols that the expressions do not have are kept: they may tell a dimension's size.
    A name that the expressions do not have is an error.
    """
    names: dict[str, Symbol] = {}
    for symbol in known:
        other = names.setdefault(symbol.name, symbol)
        if other is not symbol:
            kinds = (
                f"{other.role} {show(other.shape)}, {symbol.role} {show(symbol.shape)}"
            )
            raise ExpressionError(
                f"Two symbols are called {symbol.name!r} ({kinds}); give each a name of "
                "its own."
            )
    found: dict[Symbol, Any] = {}
    for key, value in values.items():
        if not isinstance(key, Symbol) and key not in names:
            raise unknown("symbol", key, names)
        symbol = key if isinstance(key, Symbol) else names[key]
        if symbol in found:
            raise DataError(f"{symbol.name!r} is given twice, by symbol and by name.")
        found[symbol] = value
    return found


def namespace_of(values: Any) -> Any:
    """The array namespace of the values: NumPy unless one of them is another's."""
    for value in values:
        if not isinstance(value, np.ndarray | np.generic) and hasattr(value, "dtype"):
            from array_api_compat import array_namespace, is_array_api_obj

            if is_array_api_obj(value):
                return array_namespace(value)
    return np


def common_dtype(xp: Any, values: Mapping[Symbol, Any]) -> Any:
    """The type to run in: what the floating values agree on, else float64."""
    kinds = [xp.asarray(v).dtype for v in values.values() if _is_array(xp, v)]
    floating = [kind for kind in kinds if xp.isdtype(kind, FLOATING)]
    return xp.result_type(*floating) if floating else xp.float64


def _is_array(xp: Any, value: Any) -> bool:
    """Whether the value is an array of the namespace already, or of NumPy."""
    if isinstance(value, np.ndarray | np.generic):
        return True
    return xp is not np and isinstance(value, type(xp.zeros(1)))


def _floating(xp: Any, dtype: Any) -> Any:
    kind = np.dtype(dtype) if xp is np else dtype
    if not xp.isdtype(kind, FLOATING):
        raise SettingError(f"A run is in a floating type such as float32, not {kind}.")
    return kind


def as_matrix(symbol: Symbol, value: Any, xp: Any, dtype: Any) -> Array:
    """A value as a matrix of the run's type; counters keep their own."""
    try:
        array = xp.asarray(value if _is_array(xp, value) else np.asarray(value))
        numbers = xp.isdtype(array.dtype, ("bool", "numeric"))
    except (TypeError, ValueError):
        numbers = False
    if not numbers:
        raise DataError(
            f"The value of {symbol.name!r} is not a matrix of numbers: {value!r:.60}."
        )
    if array.ndim == 0 and symbol.shape == SCALAR:
        array = xp.reshape(array, (1, 1))
    if symbol.role == "counter":
        return array
    complex_ = xp.isdtype(array.dtype, "complex floating")
    if complex_ and not xp.isdtype(dtype, "complex floating"):
        raise DataError(
            f"The value of {symbol.name!r} is complex; the run is in {dtype}."
        )
    return xp.astype(array, dtype, copy=False)
