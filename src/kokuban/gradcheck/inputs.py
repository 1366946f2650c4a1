"""What a check is given, made ready or refused with the reason."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from kokuban.errors import DataError, ExpressionError, unknown
from kokuban.expr import Expr, Symbol, order, require, symbols, written
from kokuban.gradcheck.mistakes import Mistake
from kokuban.gradcheck.probe import depending
from kokuban.gradcheck.schemes import Matrix
from kokuban.rewrite import simplify
from kokuban.run import Program
from kokuban.run.reference import as_matrix
from kokuban.shape import SCALAR, bind

Values = dict[Symbol, Any]
Claim: TypeAlias = "Expr | str | npt.ArrayLike"
Wrt: TypeAlias = "Symbol | str | Sequence[Symbol | str]"


def named(key: object, loss: Expr) -> Symbol:
    """The symbol of the loss that `key` is or names; a typed error for any other."""
    known = symbols([loss])
    if isinstance(key, str):
        found = [s for s in known if s.name == key]
        if not found:
            raise unknown("symbol", key, (s.name for s in known))
        key = found[0]
    if not isinstance(key, Symbol):
        raise ExpressionError(
            "A check moves the entries of a symbol, such as a parameter; not of "
            f"{key!r:.60}."
        )
    if key not in known:
        raise ExpressionError(f"{key.name} does not stand in {written(loss, 4)}.")
    if key.role == "counter":
        raise ExpressionError(
            f"{key.name} counts draws: its values are whole, and nothing is "
            "differentiated by it."
        )
    return key


def ready(given: Mapping[Symbol, Any], moved: Iterable[Symbol]) -> Values:
    """The values as finite float64 matrices; DataError for what would mislead."""
    asked, values = set(moved), Values()
    for symbol, value in given.items():
        matrix = as_matrix(symbol, value, np, np.float64)
        if symbol in asked:
            _refuse(symbol.name, np.asarray(value).dtype)
        bad = np.argwhere(~np.isfinite(matrix))
        if len(bad):
            row, column = bad[0] + 1
            found = matrix[tuple(bad[0])]
            raise DataError(
                f"{symbol.name} is {found} in row {row}, column {column}; a gradient is "
                "checked at finite values."
            )
        values[symbol] = matrix
    return values


def _refuse(name: str, dtype: np.dtype[Any]) -> None:
    if dtype.kind in "iub":
        raise DataError(
            f"{name} is given as whole numbers ({dtype}): a numerical derivative moves "
            "them by a small step, which their type cannot hold. Write 1.0 for 1, or "
            f"give {name}.astype(float)."
        )
    if dtype != np.float64:
        digits = f" ({np.finfo(dtype).precision} digits)" if dtype.kind == "f" else ""
        raise DataError(
            f"{name} is {dtype}{digits}; a difference over a small step loses half of "
            "the digits or more, so that a right gradient looks wrong. The check runs in "
            f"float64: give {name}.astype(float)."
        )


def sizes_of(values: Values, sizes: Mapping[str, int] | None) -> dict[str, int]:
    """The sizes of the named dimensions; ShapeError where two values disagree."""
    known = dict(sizes or {})
    for symbol, value in values.items():
        bind(known, symbol.shape, tuple(value.shape), symbol.name)
    return known


def run(
    outputs: Sequence[Expr], values: Values, sizes: Mapping[str, int]
) -> list[Matrix]:
    """The outputs' values, without warnings: what is not finite is told elsewhere."""
    with np.errstate(all="ignore"):
        return Program(outputs)(values, sizes=sizes)


def finite_form(
    loss: Expr, values: Values, sizes: Mapping[str, int]
) -> tuple[Expr, float]:
    """The loss as written, or simplified where only that is finite; and its value."""
    for form in (loss, simplify(loss)):
        value = run([form], values, sizes)[0].item()
        if np.isfinite(value):
            return form, value
    nodes = order([loss])
    found = zip(nodes, run(nodes, values, sizes), strict=True)
    node, part = next((n, p) for n, p in found if not np.all(np.isfinite(p)))
    place = np.argwhere(~np.isfinite(part))[0]
    raise DataError(
        f"The loss is {value} at these values; the first part that is not finite is "
        f"{written(node, 4)}: {part[tuple(place)]} in row {place[0] + 1}, column "
        f"{place[1] + 1}."
    )


def require_analytic(loss: Expr, symbol: Symbol) -> None:
    """ExpressionError naming an operation on the way that has no complex derivative."""
    for node in depending([loss], symbol):
        if node.op is not None and node.op.kinks is not None:
            raise ExpressionError(
                f"The complex step needs analytic operations only, and {node.op.name} "
                f"stands between {symbol.name} and the loss; take central differences."
            )


def named_claims(
    claims: Mapping[Any, Claim], let: Mapping[str, Expr | str], loss: Expr
) -> dict[Symbol, Claim]:
    """The claims by symbol; a typed error for what is neither numbers nor a formula.

    Text is read as a formula in the names of the loss and of `let`.
    """
    texts = [v for v in (*claims.values(), *let.values()) if isinstance(v, str)]
    names = _names(let, loss) if texts else {}
    found: dict[Symbol, Claim] = {}
    for key, claim in claims.items():
        symbol = named(key, loss)
        if isinstance(claim, str):
            claim = _read(claim, names)
        if not isinstance(claim, Expr) and np.asarray(claim).dtype.kind not in "iubf":
            raise DataError(
                f"The claim for {symbol.name} is neither an expression nor a matrix of "
                f"real numbers: {claim!r:.60}."
            )
        found[symbol] = claim
    return found


def _read(text: str, names: Mapping[str, Expr]) -> Expr:
    from kokuban.formula import parse  # here, since reading text needs lark

    return parse(text, names)


def _names(let: Mapping[str, Expr | str], loss: Expr) -> dict[str, Expr]:
    """What names stand for in claims: each of `let` may use those before it."""
    from kokuban.formula import namespace

    found = namespace(loss)
    for name, meaning in let.items():
        made = _read(meaning, found) if isinstance(meaning, str) else meaning
        found[name] = require(made, f"What {name} stands for")
    return found


def as_claim(symbol: Symbol, value: npt.ArrayLike) -> Matrix:
    """The claimed values as they are; a number for a 1×1 symbol as a matrix."""
    found = np.asarray(value)
    return found.reshape(1, 1) if found.ndim == 0 and symbol.shape == SCALAR else found


def asked_for(wrt: Wrt | None, loss: Expr, claimed: Iterable[Symbol]) -> list[Symbol]:
    """What to differentiate by: `wrt`, else all parameters; and whatever is claimed."""
    if wrt is None:
        chosen = symbols([loss], "parameter")
    else:
        keys = [wrt] if isinstance(wrt, Expr | str) else list(wrt)
        chosen = [named(key, loss) for key in keys]
    found = list(dict.fromkeys([*chosen, *claimed]))
    if not found:
        raise ExpressionError(
            "There is no parameter to differentiate by: name the symbols, wrt=[…]."
        )
    return found


def notes_on(
    given: Mapping[Symbol, Any], simplified: bool, claims: Mapping[Symbol, Matrix]
) -> Iterable[Mistake]:
    """What was done to the values, the formula or the tolerance, a sentence each."""
    short = [
        s.name for s, v in given.items() if str(getattr(v, "dtype", "")) == "float32"
    ]
    if short:
        yield Mistake(
            "float32",
            f"{', '.join(short)}: float32 values, taken as they are into float64.",
            f"{', '.join(short)}: float32 の値をそのまま float64 にした。",
        )
    if simplified:
        yield Mistake(
            "simplified",
            "L as written is not finite here: its simplified form was checked.",
            "書かれたままの L はここで有限でないので、簡単にした形を確かめた。",
        )
    coarse = [s.name for s, c in claims.items() if c.dtype == np.float32]
    if coarse:
        yield Mistake(
            "coarse",
            f"{', '.join(coarse)}: the claim is in float32, and compared no more closely "
            "than that.",
            f"{', '.join(coarse)}: 答案は float32 なので、その精度で比べた。",
        )
