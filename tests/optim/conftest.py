"""A small regression by steps on random batches, run as a training loop would."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

import kokuban as kb
from kokuban.optim import Optimizer, Progress
from kokuban.rewrite import simplify_all
from kokuban.run import Program

ROWS, INPUTS, OUTPUTS, STEPS = 5, 3, 2, 20


@dataclass
class Regression:
    """T from X by X W + b: start values, a batch for each step, the gradient by hand."""

    start: dict[str, np.ndarray] = field(default_factory=dict)
    batches: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def gradient(
        self, step: int, w: np.ndarray, b: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of the mean squared error: 2/(N·n) of Xᵀ R and of R's column sums."""
        x, t = self.batches[step]
        residual = x @ w + b - t
        share = 2 / residual.size
        return share * x.T @ residual, share * residual.sum(axis=0, keepdims=True)


@pytest.fixture
def problem() -> Regression:
    rng = np.random.default_rng(7)
    start = {"W": rng.normal(size=(INPUTS, OUTPUTS)), "b": rng.normal(size=(1, OUTPUTS))}
    batches = [
        (rng.normal(size=(ROWS, INPUTS)), 3 * rng.normal(size=(ROWS, OUTPUTS)))
        for _ in range(STEPS)
    ]
    return Regression(start, batches)


Trajectory = list[dict[str, np.ndarray]]
Descend = Callable[..., Trajectory]


@pytest.fixture
def descend(problem: Regression) -> Descend:
    def run(
        optimizer: Optimizer,
        steps: int = STEPS,
        dtype: type = np.float64,
        simplify: bool = False,
    ) -> Trajectory:
        """All values by name after each step."""
        x, t = kb.input("X", ("N", INPUTS)), kb.target("T", ("N", OUTPUTS))
        w, b = kb.parameter("W", (INPUTS, OUTPUTS)), kb.parameter("b", (1, OUTPUTS))
        loss = kb.mse(kb.affine(x, w, b), t)
        updates = optimizer.updates([w, b], kb.grad(loss, [w, b]))
        new = list(updates.assignments.values())
        program = Program(simplify_all(new) if simplify else new)
        values = {s: problem.start[s.name].astype(dtype) for s in (w, b)}
        values |= {s: np.zeros(s.shape, dtype) for s in updates.slots}
        seen = []
        for k in range(steps):
            rate = optimizer.rate_at(Progress(k, epoch=k // 4, total=steps))
            data, goal = problem.batches[k]
            given = {
                x: data.astype(dtype),
                t: goal.astype(dtype),
                updates.rate: np.full((1, 1), rate, dtype),
                updates.step: np.full((1, 1), k + 1, dtype),
            }
            results = program({**values, **given}, np, dtype)
            values = dict(zip(updates.assignments, results, strict=True))
            seen.append({s.name: v for s, v in values.items()})
        return seen

    return run
