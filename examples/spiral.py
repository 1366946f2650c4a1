"""Three spirals: train a small net on two coordinates, and draw what it learned.

    python examples/spiral.py [picture.svg]

draws the regions of the three classes beside the curve of the loss.
"""

import sys

import numpy as np
from matplotlib.figure import Figure

import kokuban as kb

COLOURS = ("#0072b2", "#d55e00", "#009e73")


def spirals(rng: np.random.Generator, each: int = 150) -> tuple[np.ndarray, np.ndarray]:
    """Points on three arms, and the number of the arm."""
    arm = np.repeat(np.arange(3), each)
    radius = np.tile(np.linspace(0.05, 1, each), 3)
    angle = 2 * np.pi * arm / 3 + 4 * radius + rng.normal(scale=0.12, size=3 * each)
    return radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), arm


def main(path: str = "spiral.svg") -> None:
    """Train, say how it went, and draw."""
    x, t = spirals(np.random.default_rng(0))
    net = kb.nn.Sequential(
        kb.nn.Affine(2, 32), kb.nn.Tanh(), kb.nn.Affine(32, 32), kb.nn.Tanh(),
        kb.nn.Affine(32, 3),
    )  # fmt: skip
    model = kb.Model(net, loss="softmax_cross_entropy")
    history = model.fit(x, t, optimizer=kb.optim.Adam(0.01), epochs=150, seed=0)
    print(f"accuracy on the points learned from: {model.evaluate(x, t)['accuracy']:.3f}")

    line = np.linspace(-1.15, 1.15, 300)
    grid = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    region = model.predict(grid).argmax(axis=1).reshape(300, 300)
    figure = Figure(figsize=(8, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.contourf(line, line, region, levels=[-1, 0, 1, 2], colors=COLOURS, alpha=0.25)
    for arm, colour in enumerate(COLOURS):
        left.scatter(*x[t == arm].T, s=6, color=colour)
    left.set(aspect="equal", xticks=[], yticks=[], title="regions learned")
    right.semilogy(history["epoch"], history["loss"], color="0.2")
    right.set(xlabel="epoch", title="mean cross-entropy")
    figure.savefig(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
