"""`kokuban check`: a model's gradient against numerical differentiation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kokuban.cli.coding import goals
from kokuban.cli.saved import with_coding
from kokuban.cli.told import told
from kokuban.cli.words import WORDS
from kokuban.errors import SettingError
from kokuban.expr import Symbol
from kokuban.gradcheck import check
from kokuban.nn.build import DRAW
from kokuban.train import Model, load
from kokuban.train.inputs import as_classes, as_rows

ROWS = 20  # more cost time and show nothing more

Array = NDArray[Any]


def run(args: argparse.Namespace) -> int:
    """Check as the options say; 0 where the gradient is right, else 1."""
    if Path(args.model).suffix == ".kb":
        return _of_board(args)
    if args.at or args.claim or args.let or args.loss:
        raise SettingError("--at, --claim, --let and --loss are for boards, FILE.kb.")
    model = load(args.model)
    given: dict[Symbol, Array] = {}
    if args.data:
        saved = with_coding(model, args.model)
        rows = next(saved.coding.batches(args.data, args.separator, args.encoding))
        (x,), (t,) = model.network.inputs, model.network.targets
        as_target = as_classes if model.network.classes else as_rows
        goal = goals(saved.coding, rows)[:ROWS]
        given[x] = as_rows(rows.x[:ROWS], "X", x.shape[1], np.float64)
        given[t] = as_target(goal, "T", t.shape[1], np.float64)
        where = WORDS[args.lang]["first"].format(len(given[x]), args.data[0])
    else:
        given = random_rows(model, args.seed)
        where = WORDS[args.lang]["rows"].format(ROWS, args.seed)
    about = WORDS[args.lang]["model"].format(args.model, where)
    # Dropout draws once, so that the loss is one function of the parameters.
    values = {s: value.astype(np.float64) for s, value in model.values.items()}
    draw = {DRAW: np.array([[args.seed, 0]])}
    report = check(model.network.loss, at={**values, **given, **draw}, seed=args.seed)
    return told(report, about, args.json, args.lang)


def _of_board(args: argparse.Namespace) -> int:
    from kokuban.cli import claims  # here, since reading text needs lark

    if args.data:
        raise SettingError("A board's values are given with --at FILE.npz.")
    return claims.run(args)


def random_rows(model: Model, seed: int) -> dict[Symbol, Array]:
    """Normal inputs and quantities, and classes at random, for all that data go in by."""
    rng = np.random.default_rng(seed)
    given: dict[Symbol, Array] = {}
    for symbol in [*model.network.inputs, *model.network.targets]:
        rows, columns = (ROWS if isinstance(d, str) else d for d in symbol.shape)
        if symbol.role == "target" and model.network.classes:
            labels = rng.integers(max(columns, 2), size=rows)
            given[symbol] = as_classes(labels, symbol.name, columns, np.float64)
        else:
            given[symbol] = rng.normal(size=(rows, columns))
    return given
