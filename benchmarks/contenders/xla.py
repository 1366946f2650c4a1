"""JAX: a jitted step called from Python, and a whole epoch as one lax.scan."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.contenders import Ready
from benchmarks.job import BETA1, BETA2, EPSILON, SMALL, Array, Given, Job

# JAX itself does not read this one from the environment.
if os.environ.get("JAX_CPU_ENABLE_ASYNC_DISPATCH") == "false":
    jax.config.update("jax_cpu_enable_async_dispatch", False)

Tree = Any  # weights, and with Adam its averages of the same structure
Steps = Callable[[Tree, jax.Array, jax.Array, int], tuple[Tree, list[jax.Array]]]


def per_step(job: Job, given: Given) -> Ready:
    """One call from Python a step.

    Shuffled, all rows are taken at once by NumPy's order; which batch of them is next is
    counted on JAX's side, which is faster than to give slices or a number.
    """
    state, (x, t), order = _start(job, given), _arrays(given), _orders(given)
    run = _counted(job) if job.shuffled else _listed(job, x, t)
    shuffled = jax.jit(lambda x, t, order: (x[order], t[order]))

    def first(steps: int) -> list[float]:
        nonlocal state
        state, losses = run(state, x, t, steps)
        return [float(loss) for loss in losses]

    def train(epochs: int) -> None:
        nonlocal state
        for _ in range(epochs):
            xs, ts = shuffled(x, t, order()) if job.shuffled else (x, t)
            state, losses = run(state, xs, ts, job.steps)
        losses[-1].block_until_ready()

    predict = _predict(given)
    return Ready(first, train, lambda: predict(state))


def _listed(job: Job, x: jax.Array, t: jax.Array) -> Steps:
    """Steps over batches that lie ready as arrays of their own."""
    step = jax.jit(partial(_step, job), donate_argnums=0)
    starts = range(0, len(x), job.batch)
    batches = [(x[k : k + job.batch], t[k : k + job.batch]) for k in starts]

    def run(
        state: Tree, _x: jax.Array, _t: jax.Array, steps: int
    ) -> tuple[Tree, list[jax.Array]]:
        losses = []
        for batch in batches[:steps]:
            state, loss = step(state, batch)
            losses.append(loss)
        return state, losses

    return run


def _counted(job: Job) -> Steps:
    """Steps over the batches of the rows they are given."""

    @partial(jax.jit, donate_argnums=(0, 1))
    def step(
        state: Tree, k: jax.Array, x: jax.Array, t: jax.Array
    ) -> tuple[Tree, jax.Array, jax.Array]:
        cut = partial(jax.lax.dynamic_slice_in_dim, slice_size=job.batch)
        state, loss = _step(job, state, (cut(x, k * job.batch), cut(t, k * job.batch)))
        return state, k + 1, loss

    def run(
        state: Tree, x: jax.Array, t: jax.Array, steps: int
    ) -> tuple[Tree, list[jax.Array]]:
        k, losses = jnp.zeros((), np.int32), []
        for _ in range(steps):
            state, k, loss = step(state, k, x, t)
            losses.append(loss)
        return state, losses

    return run


def scan(job: Job, given: Given) -> Ready:
    """One call from Python an epoch; its order is drawn inside, by jax.random."""

    @partial(jax.jit, donate_argnums=0)
    def epoch(
        state: Tree, key: jax.Array, x: jax.Array, t: jax.Array
    ) -> tuple[Tree, jax.Array, jax.Array]:
        key, now = jax.random.split(key)
        order = jax.random.permutation(now, len(x))
        state, losses = _epoch(job, state, x, t, order)
        return state, key, losses

    key = jax.random.key(0)

    def drawn(state: Tree, x: jax.Array, t: jax.Array) -> tuple[Tree, jax.Array]:
        nonlocal key
        state, key, losses = epoch(state, key, x, t)
        return state, losses

    return _scanned(job, given, drawn if job.shuffled else None)


def scan_ordered(job: Job, given: Given) -> Ready:
    """One call from Python an epoch, which is given an order that NumPy has drawn."""
    epoch, order = jax.jit(partial(_epoch, job), donate_argnums=0), _orders(given)

    def ordered(state: Tree, x: jax.Array, t: jax.Array) -> tuple[Tree, jax.Array]:
        found: tuple[Tree, jax.Array] = epoch(state, x, t, order())
        return found

    return _scanned(job, given, ordered if job.shuffled else None)


def _scanned(
    job: Job,
    given: Given,
    shuffled: Callable[[Tree, jax.Array, jax.Array], tuple[Tree, jax.Array]] | None,
) -> Ready:
    """Epochs that `shuffled` runs, or over batches as they lie."""
    state, (x, t) = _start(job, given), _arrays(given)
    given_order = jax.jit(partial(_epoch, job), donate_argnums=0)

    def first(steps: int) -> list[float]:
        nonlocal state
        rows = steps * job.batch
        if shuffled is None:
            state, losses = given_order(state, x[:rows], t[:rows])
        else:
            state, losses = given_order(state, x, t, np.arange(rows, dtype=np.int32))
        return [float(loss) for loss in losses]

    def train(epochs: int) -> None:
        nonlocal state
        for _ in range(epochs):
            state, losses = (shuffled or given_order)(state, x, t)
        losses.block_until_ready()

    predict = _predict(given)
    return Ready(first, train, lambda: predict(state))


def _epoch(
    job: Job, state: Tree, x: jax.Array, t: jax.Array, order: jax.Array | None = None
) -> tuple[Tree, jax.Array]:
    """A scan over the batches, of the rows as they lie or in an order.

    The rows of a batch are taken in its step, but where that is the slower way, in small
    steps on several threads, all before the first.
    """
    step = partial(_step, job)
    if order is None:
        batches = x.reshape(-1, job.batch, x.shape[1]), t.reshape(-1, job.batch)
        return jax.lax.scan(step, state, batches)
    order = order.reshape(-1, job.batch)
    if job.flop < SMALL and os.environ.get("NPROC") != "1":
        return jax.lax.scan(step, state, (x[order], t[order]))
    return jax.lax.scan(lambda s, rows: step(s, (x[rows], t[rows])), state, order)


def _start(job: Job, given: Given) -> Tree:
    """Weights, and for Adam both averages and the number of steps."""
    weights = [(jnp.array(w), jnp.array(b)) for w, b in given.weights]
    if job.optimizer == "sgd":
        return weights, None
    zeros = [jax.tree.map(jnp.zeros_like, weights) for _ in range(2)]
    return weights, (*zeros, jnp.zeros(()))


def _arrays(given: Given) -> tuple[jax.Array, jax.Array]:
    return jnp.asarray(given.x), jnp.asarray(given.t.astype(np.int32))


def _orders(given: Given) -> Callable[[], Array]:
    """A new order of the rows at each call, by NumPy."""
    rows, rng = np.arange(len(given.x), dtype=np.int32), np.random.default_rng(2)
    return lambda: rng.permutation(rows)


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
    weights, averages = state
    loss, slopes = jax.value_and_grad(_loss)(weights, batch)
    if job.optimizer == "sgd":
        weights = jax.tree.map(lambda w, g: w - job.rate * g, weights, slopes)
        return (weights, None), loss
    means, squares, done = averages
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
    return (weights, (means, squares, done)), loss


def _predict(given: Given) -> Callable[[Tree], jax.Array]:
    """The probabilities of a row, by the weights of a state."""
    row = jnp.asarray(given.x[:1])
    probabilities = jax.jit(lambda weights, x: jax.nn.softmax(_scores(weights, x)))
    return lambda state: probabilities(state[0], row).block_until_ready()
