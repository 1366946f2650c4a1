"""`kokuban explain`: the derivation of a loss's gradient, as text or as a file."""

from __future__ import annotations

import argparse
import runpy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kokuban.cli.saved import ESTIMATOR
from kokuban.cli.show import columns, note
from kokuban.cli.writing import require_writable
from kokuban.errors import (
    DataError,
    ExpressionError,
    FileFormatError,
    SettingError,
    StorageError,
    nearest,
)
from kokuban.explain import Derivation
from kokuban.expr import Expr, order, symbols
from kokuban.formula import board
from kokuban.gradcheck import derive
from kokuban.train import load
from kokuban.train.files import write_atomically

KINDS: dict[str, Callable[[Derivation], str | bytes]] = {
    ".html": Derivation.html,
    ".tex": lambda d: d.latex(document=True),
    ".md": Derivation.markdown,
    ".txt": Derivation.text,
    ".py": Derivation.python,
    ".svg": Derivation.svg,
    ".png": Derivation.png,
}


def run(args: argparse.Namespace) -> int:
    """Explain as the options say; the exit code."""
    kind = ".txt" if args.output is None else Path(args.output).suffix.lower()
    if kind not in KINDS:
        raise SettingError(
            f"{args.output!r} does not say what to write: its name ends in one of "
            f"{', '.join(KINDS)}."
        )
    if args.output is not None:
        require_writable(args.output, (args.what.partition(".py:")[0],))
    loss, names = _loss(args.what)
    derivation = derive(
        loss,
        None if args.wrt is None else [_named(w, loss) for w in args.wrt],
        form=args.form,
        lang=args.lang,
        layout=args.layout,
        detail=args.detail,
        at=None if args.at is None else _values(args.at, loss),
        entry=args.entry,
        names=names,
    )
    if args.output is None:
        print(derivation.text(columns()), end="")
        return 0
    written = KINDS[kind](derivation)
    content = written if isinstance(written, bytes) else written.encode()
    write_atomically(args.output, content)
    note(f"{len(derivation.steps)} steps, written to {args.output}")
    return 0


def _loss(what: str) -> tuple[Expr, dict[Expr, str]]:
    """The loss that WHAT names, and the names that its parts have where it stands."""
    path, found, name = what.rpartition(".py:")
    if Path(what).suffix == ".kb":
        given = board(Path(what))
        return given.loss, _own_names(given.loss, given)
    if not found:
        return _of_model(what), {}
    space = _run(f"{path}.py")
    loss = space.get(name)
    if not isinstance(loss, Expr):
        known = [n for n, value in space.items() if isinstance(value, Expr)]
        raise ExpressionError(
            f"{path}.py has no expression {name!r}.{nearest(name, known)}"
        )
    return loss, _own_names(loss, space)


def _of_model(path: str) -> Expr:
    """The loss of a model file; where it averages several networks, that of one."""
    model = load(path)
    if ESTIMATOR not in model.extra:
        return model.network.loss
    from kokuban.estimators.loading import estimator_of  # brings scikit-learn
    from kokuban.estimators.tabular.network import nets

    design = getattr(estimator_of(model, repr(path)), "_design", None)
    if design is None or design.members == 1:
        return model.network.loss
    note(f"This is one of {design.members} networks, which have the same formula.")
    return nets(replace(design, members=1)).loss(False)


def _own_names(loss: Expr, space: Mapping[str, Any]) -> dict[Expr, str]:
    """What the parts of a loss are called in a name space."""
    inside = {n for n in order([loss], by_name=True) if n.op is not None}
    names: dict[Expr, str] = {}
    for own, value in space.items():
        if isinstance(value, Expr) and value in inside and not own.startswith("_"):
            names.setdefault(value, own)
    return names


def _run(path: str) -> Mapping[str, Any]:
    """What a Python file defines; it is the user's own, and run as such."""
    if not Path(path).is_file():
        raise StorageError(f"Cannot read {path!r}: there is no such file.")
    try:
        return runpy.run_path(path)
    except Exception as error:
        raise FileFormatError(f"{path} fails: {type(error).__name__}: {error}") from error


def _named(name: str, loss: Expr) -> Expr:
    known = {s.name: s for s in symbols([loss])}
    if name not in known:
        raise ExpressionError(
            f"The loss has no {name!r}.{nearest(name, known)} It has {', '.join(known)}."
        )
    return known[name]


def _values(path: str, loss: Expr) -> dict[str, np.ndarray]:
    """The arrays of a NumPy file that the loss has symbols for."""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {name: file[name] for name in file.files}
    except OSError as error:
        raise StorageError(f"Cannot read {path!r}: {error.strerror or error}.") from error
    except Exception as error:  # NumPy's reader raises whatever its parts do
        raise FileFormatError(f"{path!r} is no .npz file of arrays: {error}") from error
    names = {s.name for s in symbols([loss])}
    if not found.keys() & names:
        raise DataError(f"{path!r} has no value for any of {', '.join(sorted(names))}.")
    return {name: value for name, value in found.items() if name in names}
