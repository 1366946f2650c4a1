"""Numerical differentiation: the schemes, their step sizes, and the noise they meet."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kokuban.errors import DataError, SettingError, unknown

Matrix = npt.NDArray[Any]
Along = Callable[[complex], complex]  # a number's value along a line, φ(s)

EPSILON = 2.0**-52  # the spacing of float64 numbers at 1


@dataclass(frozen=True, slots=True)
class Scheme:
    """φ'(0) ≈ Σ w (φ(bh) - φ(ah)) / ((b - a) h), with an error of order h^order.

    `parts` holds the (w, a, b). The weights of the wider central quotients cancel the
    next powers of h²: Fornberg, "Generation of finite difference formulas on
    arbitrarily spaced grids", Math. Comp. 51 (1988), table 1.
    """

    order: int
    parts: tuple[tuple[float, int, int], ...]

    @property
    def gain(self) -> float:
        """By how much, over h, an error of φ's values can grow."""
        return sum(2 * abs(w) / (b - a) for w, a, b in self.parts)


SCHEMES = {
    "forward": Scheme(1, ((1.0, 0, 1),)),
    "backward": Scheme(1, ((1.0, -1, 0),)),
    "central": Scheme(2, ((1.0, -1, 1),)),
    "5-point": Scheme(4, ((4 / 3, -1, 1), (-1 / 3, -2, 2))),
    "7-point": Scheme(6, ((3 / 2, -1, 1), (-3 / 5, -2, 2), (1 / 10, -3, 3))),
}
COMPLEX = "complex"
# Its error is h², and nothing is subtracted that could lose digits: as small as may be.
COMPLEX_STEP = 2.0**-66
METHODS = (*SCHEMES, COMPLEX)


def base_step(method: str) -> float:
    """The step for |x| <= 1: ε^(1/(order + 1)), where rounding and truncation are alike.

    A power of two, so that x + h has no rounding of its own. Raises UnknownNameError.
    """
    if method == COMPLEX:
        return COMPLEX_STEP
    if method not in SCHEMES:
        raise unknown("method", method, METHODS)
    power: float = 2.0 ** round(math.log2(EPSILON) / (SCHEMES[method].order + 1))
    return power


def scale_of(x: npt.ArrayLike) -> Matrix:
    """max(1, |x|), entry by entry, up to the next power of two."""
    fraction, exponent = np.frexp(np.maximum(np.abs(x), 1.0))
    return np.asarray(np.ldexp(1.0, exponent - (fraction == 0.5)))


def quotient(phi: Along, scheme: Scheme, h: float) -> float:
    """The scheme's value of φ'(0) at the step h."""
    parts = ((w * (phi(b * h) - phi(a * h)) / ((b - a) * h)) for w, a, b in scheme.parts)
    return float(sum(parts).real)


def complex_slope(phi: Along, s: float = 0.0) -> float:
    """φ'(s) = Im φ(s + ih)/h: Squire, Trapp, SIAM Review 40 (1998)."""
    return phi(complex(s, COMPLEX_STEP)).imag / COMPLEX_STEP


def differences(
    f: Callable[[Matrix], Any],
    x: npt.ArrayLike,
    method: str = "central",
    h: float | None = None,
) -> npt.NDArray[np.float64]:
    """The numerical gradient of a number f(x) by the matrix x, of x's shape.

    `method` is one of "forward", "backward", "central", "5-point", "7-point" and
    "complex" (f must then take complex matrices); `h` the step in every entry, or None
    for ε^(1/(order + 1))·max(1, |x|), ε the spacing of float64. Where x + h is not a
    float64 number, the nearest one is used, and its true distance.

    Raises UnknownNameError for an unknown method, SettingError for a step that is not
    positive, and DataError where x + h is x or x is not made of real numbers.
    """
    at = np.asarray(x)
    if not np.issubdtype(at.dtype, np.floating) and at.dtype.kind not in "iub":
        raise DataError(f"x is a matrix of real numbers, not of {at.dtype}.")
    at, base = at.astype(np.float64), base_step(method)
    if h is not None and not h > 0:
        raise SettingError(f"A step is positive, not {h}.")
    result = np.empty(at.shape)
    for place in np.ndindex(at.shape):
        phi = _along(f, at, place)
        step = h if h is not None else base * float(scale_of(at[place]))
        if method == COMPLEX:
            result[place] = phi(complex(0.0, step)).imag / step
            continue
        exact = float((at[place] + step) - at[place])
        if exact == 0.0:
            raise DataError(f"A step of {step:g} does not move {at[place]:g} in float64.")
        result[place] = quotient(phi, SCHEMES[method], exact)
    return result


def _along(f: Callable[[Matrix], Any], x: Matrix, place: tuple[int, ...]) -> Along:
    def phi(s: complex) -> complex:
        moved = x.astype(np.float64 if isinstance(s, float) else np.complex128)
        moved[place] += s
        return complex(np.asarray(f(moved)).item())

    return phi


def direction(x: Matrix, rng: np.random.Generator) -> Matrix:
    """A random direction in x's shape, at each entry's scale, of length about 1.

    Small whole numbers over powers of two: times a power of two, they move x without
    rounding.
    """
    length: float = 2.0 ** round(math.log2(x.size) / 2)
    return rng.choice([-1.5, -1.0, -0.5, 0.5, 1.0, 1.5], x.shape) * scale_of(x) / length


LEVELS = (4, 6, 8)
POINTS = 16
EQUAL = 0.25  # with more neighbours equal than this, the spacing is below the noise


def _always(_: float) -> bool:
    return True


def noise(phi: Along, start: float, clear: Callable[[float], bool] = _always) -> float:
    """The standard deviation of the rounding errors of φ near `start`.

    High differences of closely spaced values leave nothing of a smooth function, and of
    independent errors of deviation σ the k-th leave σ²·(2k)!/(k!)² on average. Moré,
    Wild, "Estimating computational noise", SIAM J. Sci. Comput. 33 (2011).
    Infinite where φ is not finite. Values that rounding holds equal are spread further,
    while φ is smooth from `start` to their end, as `clear` says.
    """
    spacing = min(start, base_step("central")) / 4
    for _ in range(5):  # up to 4096 times as far
        values = np.array([phi(start + k * spacing).real for k in range(POINTS)])
        if not np.all(np.isfinite(values)):
            return math.inf
        equal = np.mean(np.diff(values) == 0) > EQUAL
        if not equal or not clear(start + 8 * POINTS * spacing):
            break
        spacing *= 8
    with np.errstate(all="ignore"):  # the largest values overflow: a bound of infinity
        left = [np.mean(np.diff(values, n=k) ** 2) / math.comb(2 * k, k) for k in LEVELS]
    return math.sqrt(min(left))
