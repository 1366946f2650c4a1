"""JAX: a jitted step called from Python, and a whole epoch as one lax.scan."""

from __future__ import annotations

import os
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, Given, Job

# JAX itself does not read this one from the environment.
if os.environ.get("JAX_CPU_ENABLE_ASYNC_DISPATCH") == "false":
    jax.config.update("jax_cpu_enable_async_dispatch", False)

Tree = Any  # weights, and Adam's averages of the same structure


def per_step(job: Job, given: Given) -> Ready:
    """One call from Python a step; the batches lie ready as arrays."""
    step = jax.jit(lambda state, batch: _step(job, state, batch), donate_argnums=0)
    state, (x, t) = _start(given), _batches(job, given)
    batches = list(zip(x, t, strict=True))

    def first(steps: int) -> list[float]:
        nonlocal state
        losses = []
        for batch in batches[:steps]:
            state, loss = step(state, batch)
            losses.append(float(loss))
        return losses

    def epochs(number: int) -> float:
        nonlocal state
        began = time.perf_counter()
        for _ in range(number):
            for batch in batches:
                state, loss = step(state, batch)
        loss.block_until_ready()
        return time.perf_counter() - began

    return Ready(first, epochs, _predict(given))


def scan(job: Job, given: Given) -> Ready:
    """One call from Python an epoch."""

    def run(state: Tree, batches: Tree) -> tuple[Tree, jax.Array]:
        return jax.lax.scan(lambda s, batch: _step(job, s, batch), state, batches)

    epoch = jax.jit(run, donate_argnums=0)
    state, batches = _start(given), _batches(job, given)

    def first(steps: int) -> list[float]:
        nonlocal state
        state, losses = epoch(state, jax.tree.map(lambda a: a[:steps], batches))
        return [float(loss) for loss in losses]

    def epochs(number: int) -> float:
        nonlocal state
        began = time.perf_counter()
        for _ in range(number):
            state, losses = epoch(state, batches)
        losses.block_until_ready()
        return time.perf_counter() - began

    return Ready(first, epochs, _predict(given))


def _start(given: Given) -> Tree:
    """Weights, both averages of Adam, and the number of steps."""
    weights = [(jnp.array(w), jnp.array(b)) for w, b in given.weights]
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    return weights, *zeros, jnp.zeros(())


def _batches(job: Job, given: Given) -> tuple[jax.Array, jax.Array]:
    x = given.x.reshape(job.steps, job.batch, -1)
    t = given.t.reshape(job.steps, job.batch).astype(np.int32)
    return jnp.asarray(x), jnp.asarray(t)


def _scores(weights: Tree, x: jax.Array) -> jax.Array:
    for w, b in weights[:-1]:
        x = jax.nn.relu(x @ w + b)
    scores: jax.Array = x @ weights[-1][0] + weights[-1][1]
    return scores


def _loss(weights: Tree, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
    x, t = batch
    logarithms = jax.nn.log_softmax(_scores(weights, x))
    return -jnp.mean(jnp.take_along_axis(logarithms, t[:, None], axis=1))


def _step(job: Job, state: Tree, batch: Tree) -> tuple[Tree, jax.Array]:
    weights, means, squares, done = state
    loss, slopes = jax.value_and_grad(_loss)(weights, batch)
    if job.optimizer == "sgd":
        weights = jax.tree.map(lambda w, g: w - job.rate * g, weights, slopes)
        return (weights, means, squares, done), loss
    done = done + 1
    means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, slopes)
    squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, slopes)
    root = jnp.sqrt(-jnp.expm1(done * np.log(BETA2)))
    rate = job.rate * root / -jnp.expm1(done * np.log(BETA1))
    weights = jax.tree.map(
        lambda w, m, v: w - rate * m / (jnp.sqrt(v) + EPSILON * root),
        weights,
        means,
        squares,
    )
    return (weights, means, squares, done), loss


def _predict(given: Given) -> Any:
    weights = [(jnp.array(w), jnp.array(b)) for w, b in given.weights]
    row = jnp.asarray(given.x[:1])
    probabilities = jax.jit(lambda weights, x: jax.nn.softmax(_scores(weights, x)))
    return lambda: probabilities(weights, row).block_until_ready()
