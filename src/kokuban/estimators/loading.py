"""Estimators back from the files that they were saved in."""

from __future__ import annotations

import os
from typing import Any

from kokuban.errors import FileFormatError, KokubanError
from kokuban.estimators.autoencoder import Autoencoder
from kokuban.estimators.mlp import MLPClassifier, MLPRegressor
from kokuban.estimators.saving import KEY, restored
from kokuban.estimators.tabular import TabularClassifier, TabularRegressor
from kokuban.train import model as models
from kokuban.train.model import Model

MLPS = {kind.__name__: kind for kind in (MLPClassifier, MLPRegressor, Autoencoder)}
TABULAR = {kind.__name__: kind for kind in (TabularClassifier, TabularRegressor)}

MALFORMED = (
    KokubanError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    OverflowError,
)


def load(path: str | os.PathLike[str]) -> Any:
    """The fitted estimator back from the file that its `save` wrote. No code is run.

    An activation or a loss that was a function is the expressions that it gave for this
    network. What the optimizer remembered is not in the file: partial_fit goes on from
    the weights. Raises StorageError if the file cannot be read, FileFormatError if it is
    damaged or holds no estimator.
    """
    return estimator_of(models.load(path), repr(os.fspath(path)))


def estimator_of(model: Model, where: str) -> Any:
    """The estimator that a loaded model belongs to; `where` it is from, for messages.

    Raises FileFormatError where it belongs to none.
    """
    about = model.extra.get(KEY)
    if not isinstance(about, dict):
        raise FileFormatError(
            f"{where} holds a model, but no estimator; kokuban.load reads it."
        )
    kind = about.get("class")
    if kind not in MLPS and kind not in TABULAR:
        raise FileFormatError(f"{where} holds the unknown estimator {kind!r}.")
    try:
        if kind in TABULAR:
            return TABULAR[kind].restored(about, model)
        return restored(MLPS[kind], about, model)
    except MALFORMED as error:
        raise FileFormatError(
            f"{where}: the record of its estimator is malformed: {error}"
        ) from error
