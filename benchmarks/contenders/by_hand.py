"""NumPy, forward and backward written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Array, Given, Job


def written_out(job: Job, given: Given) -> Ready:
    """Slices of the data as batches; weights updated in place.

    Shuffled, all rows are taken at once: one call an epoch and not one a batch.
    """
    layers = [(w.copy(), b.copy()) for w, b in given.weights]
    update = _updater(job, [p for layer in layers for p in layer])
    batches, rng, row = (
        _batches(job, given.x, given.t),
        np.random.default_rng(2),
        given.x[:1],
    )

    def step(x: Array, t: Array) -> float:
        outputs = _forward(layers, x)
        y, here = outputs.pop(), (np.arange(len(t)), t)
        loss = -float(np.mean(np.log(y[here])))
        y[here] -= 1
        update(_backward(layers, outputs, y / np.float32(len(t))))
        return loss

    def shuffled() -> list[tuple[Array, Array]]:
        order = rng.permutation(len(given.x))
        return _batches(job, given.x.take(order, axis=0), given.t.take(order))

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for x, t in shuffled() if job.shuffled else batches:
                step(x, t)

    return Ready(
        lambda steps: [step(x, t) for x, t in batches[:steps]],
        train,
        lambda: _forward(layers, row)[-1],
    )


def _batches(job: Job, x: Array, t: Array) -> list[tuple[Array, Array]]:
    starts = range(0, len(x), job.batch)
    return [(x[k : k + job.batch], t[k : k + job.batch]) for k in starts]


def _forward(layers: list[tuple[Array, Array]], x: Array) -> list[Array]:
    """The data, each hidden layer's output, and the probabilities."""
    outputs = [x]
    for w, b in layers[:-1]:
        h = outputs[-1] @ w
        h += b
        outputs.append(np.maximum(h, 0, out=h))
    w, b = layers[-1]
    u = outputs[-1] @ w
    u += b
    u -= u.max(axis=1, keepdims=True)
    np.exp(u, out=u)
    u /= u.sum(axis=1, keepdims=True)
    return [*outputs, u]


def _backward(
    layers: list[tuple[Array, Array]], outputs: list[Array], delta: Array
) -> list[Array]:
    """The gradients by each layer's w and b, from that by the scores."""
    gradients: list[Array] = []
    for k in range(len(layers) - 1, -1, -1):
        gradients[:0] = [outputs[k].T @ delta, delta.sum(axis=0, keepdims=True)]
        if k:
            delta = delta @ layers[k][0].T
            delta *= outputs[k] > 0
    return gradients


def _updater(job: Job, parameters: list[Array]) -> Callable[[list[Array]], None]:
    if job.optimizer == "sgd":

        def descend(gradients: list[Array]) -> None:
            for p, g in zip(parameters, gradients, strict=True):
                g *= job.rate
                p -= g

        return descend

    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    done = 0

    def adam(gradients: list[Array]) -> None:
        nonlocal done
        done += 1
        root = np.sqrt(1 - BETA2**done)
        rate = float(job.rate * root / (1 - BETA1**done))
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m *= BETA1
            m += (1 - BETA1) * g
            v *= BETA2
            v += (1 - BETA2) * g * g
            p -= rate * m / (np.sqrt(v) + float(EPSILON * root))

    return adam
