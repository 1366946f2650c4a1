"""L-BFGS through SciPy: one program gives the loss and all its gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.estimators.network import Problem, losses_and_gradients
from kokuban.estimators.rows import Data, mean_in_blocks
from kokuban.expr import Symbol
from kokuban.run.compiled import say_on_numpy
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Arrays


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended.

    values       the parameters there
    loss         the reported loss there, NaN if Ctrl-C came before it was known
    iterations   how many were made
    interrupted  whether Ctrl-C ended it
    stopped      whether `listen` did
    complaint    why it did not converge; empty if it did
    """

    values: Arrays
    loss: float
    iterations: int
    interrupted: bool
    stopped: bool
    complaint: str


def minimise(
    problem: Problem,
    data: Mapping[Symbol, Data],
    start: Arrays,
    *,
    max_iter: int,
    max_fun: int,
    tol: float,
    listen: Callable[[Arrays, float], bool],
) -> Minimum:
    """The parameters that minimise the objective over all rows, from `start` on.

    In float64, until no entry of the gradient is above `tol`. Liu and Nocedal, "On the
    limited memory BFGS method for large scale optimization" (1989), as in Byrd et al.,
    "A limited memory algorithm for bound constrained optimization" (1995), without
    bounds. `listen` hears of each iteration's parameters and objective, and ends the
    search by returning True; Ctrl-C ends it where the last whole iteration did.
    """
    from scipy.optimize import minimize

    slope = losses_and_gradients(problem)
    if slope.on_numpy:
        say_on_numpy("Training with lbfgs", slope.on_numpy)

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        values = {**start, **_unpacked(problem, start, x)}
        with interrupt.at_once():
            loss, reported, *gradients = mean_in_blocks(
                slope, data, values, np.float64, problem.whole
            )
        search.evaluated(float(reported[0, 0]))
        return float(loss[0, 0]), np.concatenate([g.ravel() for g in gradients])

    search = _Search(
        lambda x, f: listen(_unpacked(problem, start, x), f),
        np.concatenate([start[s].ravel() for s in problem.parameters]),
    )
    complaint, interrupted = "", False
    with np.errstate(all="ignore"), Interrupt() as interrupt:
        try:
            found = minimize(
                loss_and_gradient,
                search.x,
                method="L-BFGS-B",
                jac=True,
                options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
                callback=search.iterated,
            )
            complaint = "" if found.status == 0 else str(found.message)
            interrupt.here()
        except KeyboardInterrupt:
            interrupted = True
    return Minimum(
        _unpacked(problem, start, search.x),
        math.nan if search.loss is None else search.loss,
        min(search.iterations, max_iter),
        interrupted,
        search.stopped,
        complaint,
    )


def _unpacked(problem: Problem, like: Arrays, x: np.ndarray) -> Arrays:
    """The parameters as matrices of the shapes in `like`, out of one long vector."""
    ends = np.cumsum([like[s].size for s in problem.parameters])
    parts = np.split(x, ends[:-1])
    return {
        s: part.reshape(like[s].shape)
        for s, part in zip(problem.parameters, parts, strict=True)
    }


@dataclass(slots=True)
class _Search:
    """Where the search stands: x after the last whole iteration, and the loss there."""

    listen: Callable[[np.ndarray, float], bool]
    x: np.ndarray
    loss: float | None = None
    iterations: int = 0
    stopped: bool = False
    last: float | None = None  # the loss where it was evaluated last

    def evaluated(self, loss: float) -> None:
        """At the start, or on the way through an iteration."""
        self.last = loss
        if self.loss is None:
            self.loss = loss

    def iterated(self, intermediate_result: Any) -> None:
        """An iteration ends where the loss was evaluated last; StopIteration ends all."""
        self.x = intermediate_result.x.copy()  # SciPy goes on with the array
        self.loss, self.iterations = self.last, self.iterations + 1
        self.stopped = self.listen(self.x, intermediate_result.fun)
        if self.stopped:
            raise StopIteration
