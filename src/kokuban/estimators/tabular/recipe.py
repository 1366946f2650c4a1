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
    """

    hidden: tuple[int, ...] = (256, 256, 256)
    max_iter: int = 256
    batch_size: int = 256
    patience: int | None = None
    n_ens: int = 1
    n_folds: int = 1


PRESETS = {
    "default": Recipe(),
    "fast": Recipe((128, 128), max_iter=64, patience=16),
}

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
