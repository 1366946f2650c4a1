"""The presets: how large a network is and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a preset decides; each can be set by its own parameter.

    hidden       the sizes of the hidden layers
    max_iter     epochs
    batch_size   rows a step
    patience     epochs without a better one before training ends; None: never
    n_ens        networks trained together
    n_folds      of bagging; 1 is a single validation split
    embeds       whether numbers are embedded where there are many rows of few numbers
    """

    hidden: tuple[int, ...]
    max_iter: int
    batch_size: int
    n_folds: int
    patience: int | None = None
    n_ens: int = 1
    embeds: bool = True


PRESETS = {
    "default": Recipe((128, 128, 128), max_iter=64, batch_size=64, n_folds=5),
    "fast": Recipe((64, 64, 64), max_iter=48, batch_size=32, n_folds=3),
    "realmlp": Recipe(
        (256, 256, 256), max_iter=256, batch_size=256, n_folds=1, embeds=False
    ),
}

EMBEDDED_ROWS = 2000  # from which on numbers are embedded: fewer do not teach it
EMBEDDED_COLUMNS = 16  # of numbers, at most: its cost grows with their square

RATES = {"classification": 0.04, "regression": 0.07}
ACTIVATIONS = {"classification": "selu", "regression": "mish"}
FACTORS = {"gain*": 6.0, "b*": 0.1, "F*": 0.1, "phase*": 0.1, "V*": 0.1, "shift*": 0.1}
EMBEDDING = (
    "F*",
    "phase*",
    "V*",
    "shift*",
)  # whose names are there with an embedding only
BETA2 = 0.95
