"""L-BFGS through SciPy: one program gives the loss and all its gradients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.estimators.network import Problem, loss_and_gradients, program
from kokuban.estimators.rows import Data, mean_in_blocks
from kokuban.expr import Symbol
from kokuban.run.compiled import say_on_numpy
from kokuban.train.interrupt import Interrupt
from kokuban.train.loop import Arrays


@dataclass(frozen=True, slots=True)
class Minimum:
    """Where the search ended.

    values       the parameters there
    loss         the reported loss there
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
    search by returning True; Ctrl-C ends it after the iteration under way.
    """
    from scipy.optimize import minimize

    slope = loss_and_gradients(problem)
    if slope.on_numpy:
        say_on_numpy("Training with lbfgs", slope.on_numpy)

    def loss_and_gradient(x: np.ndarray) -> tuple[float, np.ndarray]:
        values = {**start, **_unpacked(problem, start, x)}
        loss, *gradients = mean_in_blocks(slope, data, values, np.float64, problem.whole)
        return float(loss[0, 0]), np.concatenate([g.ravel() for g in gradients])

    with np.errstate(all="ignore"), Interrupt() as interrupt:
        listener = _Listener(
            interrupt, lambda x, f: listen(_unpacked(problem, start, x), f)
        )
        found = minimize(
            loss_and_gradient,
            np.concatenate([start[s].ravel() for s in problem.parameters]),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": max_iter, "maxfun": max_fun, "gtol": tol},
            callback=listener,
        )
        values = _unpacked(problem, start, found.x)
        (loss,) = mean_in_blocks(
            program(problem.reported),
            data,
            {**start, **values},
            np.float64,
            problem.whole,
        )
    return Minimum(
        values,
        float(loss[0, 0]),
        min(found.nit, max_iter),
        listener.interrupted,
        listener.stopped,
        "" if found.status == 0 else str(found.message),
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
class _Listener:
    """Called after each iteration; StopIteration ends the search where it stands."""

    interrupt: Interrupt
    listen: Callable[[np.ndarray, float], bool]
    interrupted: bool = False
    stopped: bool = False

    def __call__(self, intermediate_result: Any) -> None:
        self.stopped = self.listen(intermediate_result.x, intermediate_result.fun)
        try:
            self.interrupt.here()
        except KeyboardInterrupt:
            self.interrupted = True
        if self.stopped or self.interrupted:
            raise StopIteration
