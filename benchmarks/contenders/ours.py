"""This library, by its public names only: what a user writes is what is measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import kokuban as kb
from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job
from kokuban.errors import NotFittedError
from kokuban.train import History

kb.Model, kb.nn, kb.optim  # noqa: B018 - imported when first named, and not timed here


def native(job: Job, given: Given) -> Ready:
    """The engine that `fit` takes by itself."""
    return _ready(job, given, "auto")


def on_numpy(job: Job, given: Given) -> Ready:
    """What runs where there was no compiler at installation."""
    return _ready(job, given, "numpy")


def _ready(job: Job, given: Given, engine: str) -> Ready:
    net = Net(job, given, engine)
    return Ready(net.first, net.train, net.predict, prepares=True)


class Net:
    """A job's net, its data, and the calls of `Model` that train it and predict."""

    def __init__(self, job: Job, given: Given, engine: str = "auto") -> None:
        self._job, self._given, self._engine = job, given, engine
        self._model, self._row = _model(job), given.x[:1]
        adam = kb.optim.Adam(job.rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
        self._optimizer = adam if job.optimizer == "adam" else kb.optim.SGD(job.rate)

    def begin(self) -> None:
        """Take the start weights."""
        for number, (weights, bias) in enumerate(self._given.weights, 1):
            self._model[f"W{number}"], self._model[f"b{number}"] = weights, bias

    def train(self, epochs: int) -> History:
        """So many epochs of all rows."""
        return self._fit(len(self._given.x), epochs, self._job.shuffled)

    def first(self, steps: int) -> list[float]:
        """From the mean losses of 1, 2, … steps, since `fit` gives an epoch's mean."""
        totals = [0.0]
        for k in range(1, steps + 1):
            self.begin()
            history = self._fit(k * self._job.batch, 1, shuffle=False)
            totals.append(k * history["loss"][0])
        return [float(loss) for loss in np.diff(totals)]

    def predict(self) -> object:
        """Probabilities of one row."""
        try:
            return self._model.predict(self._row)
        except NotFittedError:  # nothing was asked before
            self.begin()
            return self._model.predict(self._row)

    def _fit(self, rows: int, epochs: int, shuffle: bool) -> History:
        return self._model.fit(
            self._given.x[:rows],
            self._given.t[:rows],
            optimizer=self._optimizer,
            epochs=epochs,
            batch_size=self._job.batch,
            shuffle=shuffle,
            engine=self._engine,
            progress=False,
        )


def _model(job: Job) -> kb.Model:
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(job.sizes):
        layers += [kb.nn.Affine(a, b), kb.nn.ReLU()]
    return kb.Model(kb.nn.Sequential(*layers[:-1]), loss="softmax_cross_entropy")
