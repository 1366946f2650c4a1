"""`kokuban check` of a board: its loss's gradients, and someone's claims about them."""

from __future__ import annotations

import argparse
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.told import told
from kokuban.cli.words import WORDS
from kokuban.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    StorageError,
    unknown,
)
from kokuban.expr import Expr, Symbol, symbols
from kokuban.formula import Board, board, distributions, equation
from kokuban.gradcheck import check

ROWS = 20  # of random values

Array = NDArray[Any]


def run(args: argparse.Namespace) -> int:
    """Check as the options say; 0 where every gradient and claim is right, else 1."""
    written = board(Path(args.model))
    loss = written.loss if args.loss is None else _on(written, args.loss)
    names: dict[str, Expr] = dict(written)
    for line in args.let:
        name, meaning = equation(line, names)
        names[name] = meaning
    claims: dict[Symbol, Expr] = {}
    for line in args.claim:
        name, meaning = equation(line, names)
        claims[_symbol(_on(written, name), name)] = meaning
    if args.at is None:
        values = _random([loss, *claims.values()], args.seed)
        where = WORDS[args.lang]["random"].format(ROWS, args.seed)
    else:
        values, where = _values(args.at, written), args.at
    report = check(loss, at=values, claims=claims, seed=args.seed)
    title = WORDS[args.lang]["board"]
    about = title.format(args.model, _name(written, loss), where)
    return told(report, about, args.json, args.lang)


def _on(written: Board, name: str) -> Expr:
    if name not in written:
        raise unknown("name", name, written)
    return written[name]


def _symbol(found: Expr, name: str) -> Symbol:
    if not isinstance(found, Symbol):
        raise ExpressionError(
            f"{name!r} is no symbol of the board; a claim says what the gradient by a "
            "symbol is. Give what else you need with --let."
        )
    return found


def _name(written: Board, loss: Expr) -> str:
    return next(name for name, e in written.items() if e is loss)


def _values(path: str, written: Board) -> dict[Symbol, Array]:
    """The arrays of an .npz file by the board's symbols; whole numbers as floats."""
    found: dict[Symbol, Array] = {}
    for name, array in _arrays(path).items():
        symbol = _on(written, name)
        if not isinstance(symbol, Symbol):
            raise DataError(f"{path}: {name!r} is no symbol of the board.")
        whole = array.dtype.kind in "iub" and symbol.role != "counter"
        found[symbol] = array.astype(np.float64) if whole else array
    return found


def _arrays(path: str) -> Mapping[str, Array]:
    try:
        with open(path, "rb") as file:
            found = np.load(file, allow_pickle=False)
            if not isinstance(found, np.lib.npyio.NpzFile):
                raise ValueError
            return {name: found[name] for name in found.files}
    except OSError as error:
        raise StorageError(f"Cannot read {path!r}: {error.strerror}.") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise FileFormatError(
            f"{path!r} is no .npz file of named arrays of numbers, as numpy.savez writes."
        ) from error


def _random(formulas: Iterable[Expr], seed: int) -> dict[Symbol, Array]:
    """Normal values for all symbols; a random class in each row of a distribution."""
    rng = np.random.default_rng(seed)
    wanted = list(formulas)
    classes = distributions(wanted)
    found: dict[Symbol, Array] = {}
    for symbol in symbols(wanted):
        rows, columns = (ROWS if isinstance(d, str) else d for d in symbol.shape)
        if symbol in classes:
            found[symbol] = np.eye(columns)[rng.integers(columns, size=rows)]
        elif symbol.role == "counter":
            found[symbol] = np.array([[seed, 0]])
        else:
            found[symbol] = rng.normal(size=(rows, columns))
    return found
