"""Model files that `kokuban train` wrote: the model, and how it reads raw data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kokuban.cli.coding import Coding, TableCoding, coding_from_dict
from kokuban.cli.source import Data, Source, digest
from kokuban.errors import FileFormatError
from kokuban.train import Model, load
from kokuban.train.data import state

KEY = "kokuban train"  # in the model file's extra
ESTIMATOR = "estimator"  # there too, where the model is part of one
CHECKS: dict[str, state.Check] = {
    "coding": lambda value: isinstance(value, dict),
    "guess": state.is_count,
    "learned": state.is_text,
}


@dataclass(frozen=True)
class Saved:
    """A model, with its coding and what is needed to judge it.

    estimator  the tabular estimator that it is part of, or None
    guess    the best answer that knows no input, see `Data.guess`
    learned  the digest of the data it learned from
    """

    model: Model
    coding: Coding
    guess: int
    learned: str
    estimator: Any = None

    def knows(self, files: Sequence[str]) -> bool:
        """Whether these are the data it was trained on."""
        return digest(files) == self.learned


def extra(source: Source, data: Data, estimator: bool) -> dict[str, Any]:
    """What is kept in the file beside the model, or beside the estimator."""
    coding = data.coding
    about = coding.to_dict()
    if isinstance(coding, TableCoding) and not estimator:
        about = coding.whole()
    about = {
        "coding": about,
        "guess": data.guess,
        "learned": digest(source.files),
    }
    return {KEY: about}


def open_saved(path: str) -> Saved:
    """The model in a file, with its coding.

    Raises StorageError and FileFormatError as `kokuban.load` does, and FileFormatError
    for a model that `kokuban train` did not write.
    """
    return with_coding(load(path), path)


def with_coding(model: Model, path: str) -> Saved:
    """A loaded model with its coding; FileFormatError where it has none."""
    if KEY not in model.extra:
        raise FileFormatError(
            f"{path!r} does not say how raw data become its inputs, since `kokuban "
            "train` did not write it. Use it in Python: kokuban.load(path).predict(x)."
        )
    about = state.fields(model.extra[KEY], CHECKS, f"{path!r}, {KEY}")
    estimator = None
    if ESTIMATOR in model.extra:
        from kokuban.estimators.loading import estimator_of  # brings scikit-learn

        estimator = estimator_of(model, repr(path))
        model = estimator.to_model()
    coding = coding_from_dict(about["coding"], estimator)
    if not about["guess"] < coding.outputs:
        raise FileFormatError(f"{path!r} is malformed: its guess is no class.")
    return Saved(model, coding, about["guess"], about["learned"], estimator)
