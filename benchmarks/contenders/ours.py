"""This library, by its public names only: what a user writes is what is measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

import kokuban as kb
from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job
from kokuban.errors import NotFittedError

kb.Model, kb.nn, kb.optim  # noqa: B018 - imported when first named, and not timed here


def native(job: Job, given: Given) -> Ready:
    """The engine that `fit` takes by itself."""
    return _ready(job, given, "auto")


def on_numpy(job: Job, given: Given) -> Ready:
    """What runs where there was no compiler at installation."""
    return _ready(job, given, "numpy")


def _ready(job: Job, given: Given, engine: str) -> Ready:
    model, x, t, row = _model(job), given.x, given.t, given.x[:1]
    adam = kb.optim.Adam(job.rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    optimizer = adam if job.optimizer == "adam" else kb.optim.SGD(job.rate)

    def fit(rows: int, epochs: int, shuffle: bool) -> list[float]:
        history = model.fit(
            x[:rows],
            t[:rows],
            optimizer=optimizer,
            epochs=epochs,
            batch_size=job.batch,
            shuffle=shuffle,
            engine=engine,
            progress=False,
        )
        return history["loss"]

    def begin() -> None:
        for number, (weights, bias) in enumerate(given.weights, 1):
            model[f"W{number}"], model[f"b{number}"] = weights, bias

    def first(steps: int) -> list[float]:
        """From the mean losses of 1, 2, … steps, since `fit` gives an epoch's mean."""
        totals = [0.0]
        for k in range(1, steps + 1):
            begin()
            totals.append(k * fit(k * job.batch, 1, shuffle=False)[0])
        return [float(loss) for loss in np.diff(totals)]

    def train(epochs: int) -> None:
        fit(len(x), epochs, job.shuffled)

    def predict() -> object:
        try:
            return model.predict(row)
        except NotFittedError:  # nothing was asked before
            begin()
            return model.predict(row)

    return Ready(first, train, predict, prepares=True)


def _model(job: Job) -> kb.Model:
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(job.sizes):
        layers += [kb.nn.Affine(a, b), kb.nn.ReLU()]
    return kb.Model(kb.nn.Sequential(*layers[:-1]), loss="softmax_cross_entropy")
