"""This library, by its public names only: what a user writes is what is measured."""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np

import kokuban as kb
from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job

kb.Model, kb.nn, kb.optim  # noqa: B018 - imported when first named, and not timed here


def native(job: Job, given: Given) -> Ready:
    """The engine that `fit` takes by itself."""
    return _ready(job, given, "auto")


def on_numpy(job: Job, given: Given) -> Ready:
    """What runs where there was no compiler at installation."""
    return _ready(job, given, "numpy")


def _ready(job: Job, given: Given, engine: str) -> Ready:
    model, x, t = _model(job, given), given.x, given.t
    start, row = model.values, x[:1]
    adam = kb.optim.Adam(job.rate, beta1=BETA1, beta2=BETA2, epsilon=EPSILON)
    optimizer = adam if job.optimizer == "adam" else kb.optim.SGD(job.rate)

    def fit(rows: int, epochs: int) -> tuple[list[float], float]:
        """The loss of each epoch, and the seconds from the end of the first one."""
        ends: list[float] = []
        history = model.fit(
            x[:rows],
            t[:rows],
            optimizer=optimizer,
            epochs=epochs,
            batch_size=job.batch,
            shuffle=False,
            engine=engine,
            progress=False,
            callbacks=[lambda _model, _record: ends.append(time.perf_counter())],
        )
        return history["loss"], ends[-1] - ends[0]

    def first(steps: int) -> list[float]:
        """From the mean losses of 1, 2, … steps, since `fit` gives an epoch's mean."""
        totals = [0.0]
        for k in range(1, steps + 1):
            model.values = start
            totals.append(k * fit(k * job.batch, 1)[0][0])
        return [float(loss) for loss in np.diff(totals)]

    return Ready(first, lambda n: fit(len(x), n + 1)[1], lambda: model.predict(row))


def _model(job: Job, given: Given) -> kb.Model:
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(job.sizes):
        layers += [kb.nn.Affine(a, b), kb.nn.ReLU()]
    model = kb.Model(kb.nn.Sequential(*layers[:-1]), loss="softmax_cross_entropy")
    for k, (weights, bias) in enumerate(given.weights, 1):
        model[f"W{k}"], model[f"b{k}"] = weights, bias
    return model
