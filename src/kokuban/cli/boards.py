"""`kokuban train` of a board: its loss as a model for the data at hand."""

from __future__ import annotations

from pathlib import Path

from kokuban.errors import SettingError
from kokuban.expr import Symbol
from kokuban.formula import board
from kokuban.shape import show
from kokuban.train import Model


def model_of(path: str, columns: int, outputs: int, classes: bool) -> Model:
    """The model of a board's loss; SettingError where it does not fit the data.

    The data give `columns` numbers a row, the target `outputs`; `classes` says whether
    the target has classes or is a quantity.
    """
    written = board(Path(path))
    model = Model(loss=written.loss)
    network = model.network
    _fits(path, network.inputs, columns, "input", "data")
    _fits(path, network.targets, outputs, "target", "target")
    if network.output is None:
        raise SettingError(
            f"{path}: the loss does not show what is predicted; let it be one of the "
            "named losses, such as mse(Y, T). (--weight-decay adds a penalty.)"
        )
    if network.classes != classes:
        kind = "classes" if classes else "a quantity"
        loss = "cross_entropy(Y, T)" if classes else "mse(Y, T)"
        raise SettingError(f"{path}: the target has {kind}; its loss is {loss}, say.")
    return model


def _fits(path: str, found: list[Symbol], size: int, role: str, what: str) -> None:
    """Whether there is one symbol of the role, with a column for each of the data's."""
    if len(found) != 1:
        names = ", ".join(s.name for s in found) or "none"
        raise SettingError(
            f"{path}: one {role} is needed, and there are {len(found)} ({names}). A "
            f"shape line can state it: X: N x {size} {role}."
        )
    (symbol,) = found
    if not isinstance(symbol.shape[0], str) or symbol.shape[1] != size:
        raise SettingError(
            f"{path}: {symbol.name} is {show(symbol.shape)}, but the {what}, encoded, is "
            f"N×{size}: write {symbol.name}: N x {size}."
        )
