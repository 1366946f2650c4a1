"""The slope of the Taylor remainder: 2 where a gradient is right, 1 where it is wrong."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from kokuban.errors import ShapeError
from kokuban.gradcheck.schemes import (
    EPSILON,
    Along,
    Matrix,
    base_step,
    direction,
    noise,
)

FITTED = 6  # halvings of the step in the fit
LEAST = 4
STRAIGHT = 0.08  # how far, in halvings, a remainder may lie off the fitted line
SMALL = -8  # halvings: where all usable steps are larger, the slope may be anything
FLAT = 0.5  # what falls more slowly than any remainder is rounding
LARGE = 2.0**-12  # a remainder that vanishes up to smaller steps only tells nothing
ABOVE = 100.0  # how far above the noise a remainder must lie to be used


def taylor_slope(
    f: Callable[[Matrix], Any],
    x: npt.ArrayLike,
    gradient: npt.ArrayLike,
    *,
    seed: int = 0,
) -> float:
    """The slope of |f(x + eV) - f(x) - e⟨G, V⟩| over e on log-log axes, for a random V.

    It is 2 (or more) for the gradient G of a smooth f and 1 for any other matrix. It is
    infinite where the remainder vanishes, as for a linear f, and NaN where rounding
    hides it. Fitted to the smallest steps whose remainders stand above the rounding, on
    a straight line.

    Raises ShapeError if the gradient does not have x's shape.
    """
    at, g = np.asarray(x, dtype=np.float64), np.asarray(gradient, dtype=np.float64)
    if at.shape != g.shape:
        raise ShapeError(f"x has the shape {at.shape}, its gradient {g.shape}.")
    v = direction(at, np.random.default_rng(seed))

    def phi(s: complex) -> complex:
        return complex(np.asarray(f(at + s.real * v)).item())

    return remainder_slope(phi, float(np.sum(g * v)), noise(phi, base_step("central")))


def remainder_slope(
    phi: Along,
    derivative: float,
    sigma: float,
    within: Callable[[float], bool] = lambda _: True,
) -> float:
    """The slope of |φ(e) - φ(0) - e·derivative| over e; only steps that are `within`."""
    start = phi(0.0).real
    used: list[tuple[float, float]] = []
    telling: bool | None = None  # whether the largest step could have shown a remainder
    for e in filter(within, (2.0**-k for k in range(2, 46))):
        change, first = phi(e).real - start, e * derivative
        if not math.isfinite(change):
            continue
        floor = ABOVE * max(sigma, EPSILON * max(abs(start), abs(change), abs(first)))
        if telling is None:
            seen = floor <= 1e-3 * max(abs(change), abs(first)) or change == first == 0
            telling = e >= LARGE and seen
        if abs(change - first) > floor:
            used.append((e, abs(change - first)))
    if len(used) < LEAST:
        return math.inf if telling else math.nan
    while len(used) >= LEAST:
        steps, remainders = np.log2(np.array(used[-FITTED:])).T
        slope, height = np.polyfit(steps, remainders, 1)
        bend = np.max(np.abs(slope * steps + height - remainders))
        if bend < STRAIGHT and slope > FLAT and steps[-1] <= SMALL:
            return float(slope)
        used.pop()  # rounding after all, more of it than was measured
    return math.nan
