"""A net to train: its data, its start weights, and how much work a step is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

RATES = {"sgd": 0.05, "adam": 0.001}
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
SMALL = 1e8  # operations of a step below which JAX's threads are slow to take rows
AN_EPOCH = 2e9  # operations of an epoch, about, within the limits of `Job.steps`

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Job:
    """A dense net with ReLU and softmax cross-entropy.

    sizes      columns of the data, of each hidden layer, and the classes
    batch      rows of a batch
    optimizer  sgd, or adam
    shuffled   whether each epoch has its rows in a new random order
    most       steps of an epoch at most
    """

    sizes: tuple[int, ...]
    batch: int
    optimizer: str = "sgd"
    shuffled: bool = True
    most: int = 1024

    @property
    def net(self) -> str:
        """Such as 64-32-10."""
        return "-".join(map(str, self.sizes))

    @property
    def title(self) -> str:
        """The net and how it is trained."""
        ready = "" if self.shuffled else ", batches ready"
        return f"{self.net}, batch {self.batch}, {self.optimizer}{ready}"

    @property
    def rate(self) -> float:
        """The learning rate.

        Adam's steps are as long as the rate, whatever the gradient: in wide nets they are
        shorter, or rounding errors would tell the libraries apart after a few of them.
        """
        rate = RATES[self.optimizer]
        if self.optimizer == "adam":
            rate *= min(1.0, 256 / max(self.sizes[1:]))
        return rate

    @property
    def flop(self) -> float:
        """Operations of a step's products; the first layer needs no gradient by X."""
        products = [a * b for a, b in pairwise(self.sizes)]
        return self.batch * (6.0 * sum(products) - 2.0 * products[0])

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return int(min(self.most, max(8, AN_EPOCH / self.flop)))

    @property
    def least_bytes(self) -> int:
        """Weights, the optimizer's state, a batch's activations and the data."""
        weights = sum((a + 1) * b for a, b in pairwise(self.sizes))
        copies = 3 if self.optimizer == "adam" else 1
        activations = self.batch * sum(self.sizes)
        label = np.dtype(np.int64).itemsize
        rows = self.batch * self.steps
        return 4 * (copies * weights + activations + rows * self.sizes[0]) + label * rows

    def weights(self) -> list[tuple[Array, Array]]:
        """W (columns, units) and b (1, units) of each layer, the same for everyone."""
        rng = np.random.default_rng(0)
        return [
            (
                rng.standard_normal((a, b), dtype=np.float32) / np.float32(np.sqrt(a)),
                np.zeros((1, b), np.float32),
            )
            for a, b in pairwise(self.sizes)
        ]

    def data(self) -> tuple[Array, Array]:
        """An epoch's rows (rows, columns) and labels (rows,); batches are slices."""
        rng, rows = np.random.default_rng(1), self.batch * self.steps
        x = rng.standard_normal((rows, self.sizes[0]), dtype=np.float32)
        t = rng.integers(0, self.sizes[-1], rows)
        t[: self.sizes[-1]] = np.arange(self.sizes[-1])[:rows]  # each class is there
        return x, t


@dataclass(frozen=True)
class Given:
    """What a contender gets besides the job."""

    weights: list[tuple[Array, Array]]
    x: Array
    t: Array
