"""Training steps of dense nets: ours and the peers', side by side in one process.

    python benchmarks/steps.py [--rounds 5] [--out docs/benchmarks.md] [--only 64-32-10]

Float32, softmax cross-entropy, plain SGD, shuffled mini-batches, the same start weights
and batch order for all. A peer that is not installed is left out. First the losses of
the first steps are compared; then the runs are interleaved, several rounds, and the
table gives each one's median time a step and the median ratio to ours, with its spread.
Peers take the better of one thread and all. Data lie ready in each peer's own arrays.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np

import kokuban as kb

NETS = [
    ((4, 16, 3), 16),
    ((64, 32, 10), 32),
    ((100, 256, 256, 10), 200),
    ((784, 1024, 1024, 10), 256),
    ((784, 2048, 2048, 10), 1024),
]
RATE = 0.05
AGREE = 1e-4  # how far the first losses may be apart, relative

Steps = Callable[[int], list[float]]  # run so many steps; their losses


@dataclass(frozen=True)
class Task:
    """One net, its start weights, data and the order of the batches."""

    sizes: tuple[int, ...]
    batch: int
    weights: list[tuple[np.ndarray, np.ndarray]]
    x: np.ndarray
    t: np.ndarray
    order: np.ndarray

    @property
    def flop(self) -> float:
        """Operations of a step's products; the first layer needs no gradient by X."""
        pairs = list(pairwise(self.sizes))
        return sum(6.0 * self.batch * a * b for a, b in pairs) - 2.0 * (
            self.batch * pairs[0][0] * pairs[0][1]
        )

    def batches(self, steps: int) -> Iterator[np.ndarray]:
        """The rows of each of the first batches."""
        many = len(self.order) // self.batch
        for k in range(steps):
            first = (k % many) * self.batch
            yield self.order[first : first + self.batch]


def task(sizes: tuple[int, ...], batch: int) -> Task:
    """Random data and weights, the same for everyone."""
    rng = np.random.default_rng(0)
    weights = [
        (
            (rng.normal(size=(a, b)) / np.sqrt(a)).astype(np.float32),
            np.zeros((1, b), np.float32),
        )
        for a, b in pairwise(sizes)
    ]
    rows = batch * 8
    x = rng.normal(size=(rows, sizes[0])).astype(np.float32)
    t = rng.integers(0, sizes[-1], rows)
    return Task(sizes, batch, weights, x, t, rng.permutation(rows))


# ---------------------------------------------------------------- ours


def kokuban(job: Task, engine: str) -> Steps:
    """This library, on one of its engines."""
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(job.sizes):
        layers += [kb.nn.Affine(a, b), kb.nn.ReLU()]
    model = kb.Model(kb.nn.Sequential(*layers[:-1]), loss="softmax_cross_entropy")
    for k, (w, b) in enumerate(job.weights, 1):
        model[f"W{k}"], model[f"b{k}"] = w, b
    from kokuban.train import Trainer
    from kokuban.train.loop import one_pass

    x, t = model.network.inputs[0], model.network.targets[0]
    data = {x: job.x, t: np.eye(job.sizes[-1], dtype=np.float32)[job.t]}
    trainer = Trainer(model.network.loss, kb.optim.SGD(RATE), model.values, engine=engine)

    def run(steps: int) -> list[float]:
        rows = np.concatenate(list(job.batches(steps)))
        losses = [one_pass(trainer, data, rows, job.batch, RATE)]
        return losses * steps if steps > 1 else losses

    return run


# ---------------------------------------------------------------- peers


def by_hand(job: Task) -> Steps:
    """NumPy, forward and backward written out."""
    weights = [(w.copy(), b.copy()) for w, b in job.weights]

    def run(steps: int) -> list[float]:
        losses = []
        for rows in job.batches(steps):
            hidden = [job.x[rows]]
            for w, b in weights[:-1]:
                hidden.append(np.maximum(hidden[-1] @ w + b, 0))
            u = hidden[-1] @ weights[-1][0] + weights[-1][1]
            e = np.exp(u - u.max(axis=1, keepdims=True))
            total = e.sum(axis=1, keepdims=True)
            here = np.arange(len(rows)), job.t[rows]
            losses.append(float(-np.mean(np.log(e[here] / total[:, 0]))))
            delta = e / total
            delta[here] -= 1
            delta /= len(rows)
            for k in range(len(weights) - 1, -1, -1):
                w, b = weights[k]
                before = (delta @ w.T) * (hidden[k] > 0) if k else delta
                w -= RATE * (hidden[k].T @ delta)
                b -= RATE * delta.sum(axis=0)
                delta = before
        return losses

    return run


def torch(job: Task, threads: int) -> Steps:
    """PyTorch, eager."""
    import torch as pt

    pt.set_num_threads(threads)
    layers: list[pt.nn.Module] = []
    for w, b in job.weights:
        linear = pt.nn.Linear(*w.shape)
        linear.weight.data = pt.from_numpy(w.T.copy())
        linear.bias.data = pt.from_numpy(b[0].copy())
        layers += [linear, pt.nn.ReLU()]
    net = pt.nn.Sequential(*layers[:-1])
    x, t = pt.from_numpy(job.x), pt.from_numpy(job.t)
    optimizer = pt.optim.SGD(net.parameters(), lr=RATE)
    compare = pt.nn.CrossEntropyLoss()
    orders = [pt.from_numpy(rows) for rows in job.batches(8)]

    def run(steps: int) -> list[float]:
        pt.set_num_threads(threads)
        losses = []
        for k in range(steps):
            rows = orders[k % 8]
            optimizer.zero_grad(set_to_none=True)
            loss = compare(net(x[rows]), t[rows])
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return [float(v) for v in losses]

    return run


def jax_scan(job: Task) -> Steps:
    """JAX, jitted, eight steps in one lax.scan."""
    import jax
    import jax.numpy as jnp

    x, t = jnp.asarray(job.x), jnp.asarray(job.t)
    orders = jnp.asarray(np.stack(list(job.batches(8))))

    def loss(weights: list, rows: jnp.ndarray) -> jnp.ndarray:
        h = x[rows]
        for w, b in weights[:-1]:
            h = jax.nn.relu(h @ w + b)
        u = jax.nn.log_softmax(h @ weights[-1][0] + weights[-1][1])
        return -jnp.mean(jnp.take_along_axis(u, t[rows][:, None], axis=1))

    def step(weights: list, rows: jnp.ndarray) -> tuple:
        value, slope = jax.value_and_grad(loss)(weights, rows)
        return jax.tree.map(lambda w, g: w - RATE * g, weights, slope), value

    epoch = jax.jit(lambda weights, orders: jax.lax.scan(step, weights, orders))
    held = [[(jnp.asarray(w), jnp.asarray(b)) for w, b in job.weights]]

    def run(steps: int) -> list[float]:
        losses = []
        for _ in range(max(1, steps // 8)):
            held[0], values = epoch(held[0], orders)
            losses += [values]
        return [float(v) for values in losses for v in values][:steps]

    return run


def contenders(job: Task) -> dict[str, Steps]:
    """Everyone who is installed, ready to run."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    found = {"kokuban": kokuban(job, "auto"), "kokuban on NumPy": kokuban(job, "numpy")}
    found["NumPy by hand"] = by_hand(job)
    if find_spec("torch"):
        for many in dict.fromkeys((1, threads)):
            found[f"PyTorch eager, {many} thread{'s' * (many > 1)}"] = torch(job, many)
    if find_spec("jax"):
        found["JAX scan"] = jax_scan(job)
    return found


# ---------------------------------------------------------------- measuring


def agree(runs: dict[str, Steps]) -> dict[str, float]:
    """The mean loss of the first eight steps of each; an error where they differ."""
    first = {name: float(np.mean(run(8))) for name, run in runs.items()}
    ours = first["kokuban"]
    for name, value in first.items():
        if abs(value - ours) > AGREE * abs(ours):
            raise SystemExit(f"{name}: loss {value}, ours {ours}; not the same training")
    return first


def calibrated(run: Steps, seconds: float = 0.05) -> int:
    """How many steps take about so long, a multiple of eight."""
    began = time.perf_counter()
    run(8)
    return 8 * max(1, round(seconds / (time.perf_counter() - began)))


def measure(job: Task, rounds: int) -> list[tuple[str, float, float, float, float]]:
    """Name, median time a step, and its ratio to ours: median, least, most."""
    runs = contenders(job)
    agree(runs)
    steps = {name: calibrated(run) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            began = time.perf_counter()
            run(steps[name])
            times[name].append((time.perf_counter() - began) / steps[name])
    rows = []
    for name, spent in times.items():
        ratios = [a / b for a, b in zip(spent, times["kokuban"], strict=True)]
        rows.append((name, median(spent), median(ratios), min(ratios), max(ratios)))
    return rows


def table(rounds: int, only: str | None) -> str:
    """The measurements as Markdown."""
    lines = [
        f"Measured by `python benchmarks/steps.py --rounds {rounds}` on "
        f"{platform.machine()}, {os.cpu_count()} processors, NumPy {np.__version__}. "
        "Times are medians; a ratio is a peer's time over ours, round by round, with the "
        "least and the most.",
        "",
    ]
    for sizes, batch in NETS:
        name = "-".join(map(str, sizes))
        if only and only != name:
            continue
        job = task(sizes, batch)
        lines += [
            f"### {name}, batch {batch} ({job.flop / 1e6:.3g} MFLOP a step)",
            "",
            "| | time a step | ratio to ours | GFLOP/s |",
            "|---|---|---|---|",
        ]
        for who, spent, ratio, least, most in measure(job, rounds):
            shown = f"{ratio:.2f} ({least:.2f} to {most:.2f})"
            lines.append(
                f"| {who} | {spent * 1e6:,.1f} µs | {shown} | "
                f"{job.flop / spent / 1e9:.1f} |"
            )
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measure, print, and write where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--only")
    arguments = parser.parse_args()
    text = table(arguments.rounds, arguments.only)
    print(text)
    if arguments.out:
        arguments.out.write_text("# Benchmarks\n\n" + text, encoding="utf-8")


if __name__ == "__main__":
    main()
