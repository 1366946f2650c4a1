"""The settings of `kokuban train`, and the network and optimizer they stand for.

There are two sets: `Tabular` for tables, whose network is a tabular estimator, and
`Settings` for images and boards, which are a `kokuban.Model`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kokuban.cli.coding import Rows
from kokuban.cli.source import split
from kokuban.errors import SettingError, unknown
from kokuban.nn import Affine, Dropout, Layer, Sequential
from kokuban.nn.activations import BY_NAME
from kokuban.optim import Cosine, Optimizer, named
from kokuban.train import Model

# What each optimizer does well with on standardised inputs.
RATES = {
    "adam": 0.003,
    "adamw": 0.003,
    "rmsprop": 0.001,
    "adagrad": 0.03,
    "sgd": 0.1,
    "momentum": 0.02,
    "nesterov": 0.02,
}
# Keeps the variance from layer to layer; He's, for a ReLU, fits the others well enough.
INITIAL = {"tanh": "glorot", "sigmoid": "glorot", "identity": "glorot", "selu": "lecun"}
VALIDATION = 0.1  # of the training rows, where training may stop early


PRESETS = ("default", "fast", "realmlp")  # the estimators'
TABLES = "a table's network (see --preset)"
MODELS = "the networks of images and of boards"
ALL_EPOCHS = 1 << 31  # more than there are: training does not end before
SMOOTH = ("selu", "mish")  # the activations that a table's network may have


def settings_of(given: Mapping[str, Any], tabular: bool) -> Tabular | Settings:
    """The settings that the options mean; SettingError for one that does not belong.

    given: the options by name, None where one was not given.
    """
    kind, other = (Tabular, Settings) if tabular else (Settings, Tabular)
    own = {field.name for field in fields(kind)}
    for field in fields(other):
        if field.name not in own and given[field.name] is not None:
            raise SettingError(
                f"{_option(field.name)} is for {MODELS if tabular else TABLES}, not for "
                f"{TABLES if tabular else MODELS}."
            )
    chosen = {name: given[name] for name in own if given[name] is not None}
    return kind(**chosen)


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


@dataclass(frozen=True)
class Tabular:
    """How to train on a table; each field is an option of the same name.

    None means what the preset says.
    """

    preset: str = "default"
    hidden: tuple[int, ...] | None = None
    activation: str | None = None
    rate: float | None = None
    epochs: int | None = None
    batch_size: int | None = None
    patience: int | None = None
    max_time: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.hidden is not None and (not self.hidden or min(self.hidden) < 1):
            raise SettingError(
                "--hidden names one hidden layer or more, each of 1 unit or more, for a "
                "table; a linear model is scored beside it anyway."
            )
        if self.activation not in (None, *SMOOTH):
            raise unknown("activation of a table's network", self.activation, SMOOTH)
        for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                option = name.replace("_", "-")
                raise SettingError(
                    f"--{option} is a whole number, at least {least}; not {value}."
                )
        for name in ("rate", "max_time"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise SettingError(
                    f"{_option(name)} is a finite number above 0, not {value}."
                )

    def estimator(self, classes: bool) -> Any:
        """The estimator, not yet fitted."""
        from kokuban.estimators import TabularClassifier, TabularRegressor

        kind = TabularClassifier if classes else TabularRegressor
        return kind(
            self.preset,
            hidden_layer_sizes=self.hidden,
            activation=self.activation,
            learning_rate_init=self.rate,
            batch_size=self.batch_size,
            max_iter=self.epochs,
            n_iter_no_change=ALL_EPOCHS if self.patience == 0 else self.patience,
            max_time=self.max_time,
            random_state=self.seed,
        )


@dataclass(frozen=True)
class Settings:
    """How to train a model; each field is an option of the same name.

    `board` is the path of a board, whose loss takes the place of the layers.
    """

    board: str | None = None
    hidden: tuple[int, ...] = (256, 128)
    activation: str = "relu"
    optimizer: str = "adam"
    rate: float | None = None
    epochs: int = 60
    batch_size: int | None = None
    dropout: float = 0.2
    weight_decay: float = 0.0
    patience: int = 20
    engine: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.activation not in BY_NAME:
            raise unknown("activation", self.activation, BY_NAME)
        if self.patience < 0:
            raise SettingError(
                f"--patience is a number of epochs, or 0 for all; not {self.patience}."
            )
        if any(size < 1 for size in self.hidden):
            raise SettingError(f"A hidden layer has 1 unit or more; not {self.hidden}.")
        self.network(1, 1), self.update

    def network(self, columns: int, outputs: int) -> Sequential:
        """Affine, activation and dropout for each hidden layer, then an affine layer."""
        layers: list[Layer] = []
        for size in self.hidden:
            initial = INITIAL.get(self.activation, "he")
            layers += [Affine(columns, size, init=initial), BY_NAME[self.activation]()]
            layers += [Dropout(self.dropout)] if self.dropout else []
            columns = size
        return Sequential(*layers, Affine(columns, outputs))

    def model(self, columns: int, outputs: int, classes: bool) -> Model:
        """What to train, for data of so many columns."""
        if self.board is not None:
            from kokuban.cli.boards import model_of  # here, since reading text needs lark

            return model_of(self.board, columns, outputs, classes)
        loss = "softmax_cross_entropy" if classes else "mse"
        return Model(self.network(columns, outputs), loss=loss)

    @property
    def update(self) -> Optimizer:
        """The optimizer, its rate falling to 0 on a cosine."""
        schedule = Cosine(self.first_rate)
        return named(self.optimizer, rate=schedule, weight_decay=self.weight_decay)

    @property
    def first_rate(self) -> float:
        """The learning rate at the beginning."""
        return RATES.get(self.optimizer, 0.0) if self.rate is None else self.rate

    def batch(self, rows: int) -> int:
        """The batch size: as asked, or a power of two near rows/64, from 32 to 256."""
        if self.batch_size is not None:
            return self.batch_size
        size = 32
        while size < min(256, rows / 96):
            size *= 2
        return min(size, rows)

    def validation(self, rows: Rows, classes: bool) -> tuple[Rows, Rows | None]:
        """The rows to train on, and those that tell when to stop, where it may stop."""
        if self.patience == 0:
            return rows, None
        kept, held = split(rows.targets(), VALIDATION, self.seed, classes, "--patience")
        return rows.take(kept), rows.take(held)
