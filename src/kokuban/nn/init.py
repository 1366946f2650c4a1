"""Initialisers: how parameters begin.

An initialiser is a frozen record; called with (generator, shape, dtype) it gives an
array of start values. A weight is d×m, rows its inputs: fan_in is d, fan_out m. Draws
are made in float64 and rounded, so float32 and float64 runs begin alike.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import MISSING, dataclass, fields
from typing import Any, final

import numpy as np
import numpy.typing as npt

from kokuban.errors import SettingError, ShapeError, unknown
from kokuban.settings import ABOVE_0, ANY, AT_LEAST_0, Range, hold
from kokuban.shape import Shape, shape_of, show

Array = npt.NDArray[Any]
Blocks = Iterator[Array]
DRAWN = 1 << 16  # numbers drawn in float64 at a time


@dataclass(frozen=True)
class Initialiser(ABC):
    """What every initialiser is: a generator, a shape and a type in, an array out."""

    @final
    def __call__(
        self, rng: np.random.Generator, shape: Shape, dtype: Any = np.float64
    ) -> Array:
        """Start values of `shape`.

        Raises ShapeError unless the shape is two sizes of at least 1, SettingError unless
        the type is a floating one, and MemoryError where there is no room for so many.
        """
        rows, columns = shape_of(shape)
        if isinstance(rows, str) or isinstance(columns, str):
            raise ShapeError(
                f"Start values need sizes, such as 4×3, not the names in {show(shape)}."
            )
        if np.dtype(dtype).kind != "f":
            raise SettingError(
                f"Start values are floating numbers, such as float32, not {dtype!r}."
            )
        values, done = _room(rows, columns, dtype), 0
        for block in self._draw(rng, rows, columns):
            values[done : done + len(block)] = block
            done += len(block)
        return values

    @abstractmethod
    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        """The values in float64, some rows at a time."""


def _room(rows: int, columns: int, dtype: Any) -> Array:
    try:
        return np.empty((rows, columns), dtype)
    except (ValueError, OverflowError, MemoryError):  # by how far it is too much
        raise MemoryError(f"There is no memory for {rows}×{columns} numbers.") from None


def _drawn(
    draw: Callable[..., Array], a: float, b: float, rows: int, columns: int
) -> Blocks:
    """What draw(a, b, size) gives, some rows at a time: the same numbers as at once."""
    together = max(1, DRAWN // columns)
    for first in range(0, rows, together):
        yield draw(a, b, (min(together, rows - first), columns))


def _normal(rng: np.random.Generator, std: float, rows: int, columns: int) -> Blocks:
    return _drawn(rng.normal, 0.0, std, rows, columns)


def _uniform(
    rng: np.random.Generator, variance: float, rows: int, columns: int
) -> Blocks:
    """Uniform on [-a, a]: its variance is a²/3."""
    a = math.sqrt(3 * variance)
    return _drawn(rng.uniform, -a, a, rows, columns)


@final
@dataclass(frozen=True)
class HeNormal(Initialiser):
    """N(0, 2/fan_in), for ReLU.

    He et al., "Delving deep into rectifiers" (2015), arXiv:1502.01852, eq. 10.
    """

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _normal(rng, math.sqrt(2 / rows), rows, columns)


@final
@dataclass(frozen=True)
class HeUniform(Initialiser):
    """U(-a, a) with the variance 2/fan_in: a = √(6/fan_in). He et al. (2015), eq. 10."""

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _uniform(rng, 2 / rows, rows, columns)


@final
@dataclass(frozen=True)
class GlorotNormal(Initialiser):
    """N(0, 2/(fan_in + fan_out)), for tanh.

    Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
    networks" (2010), eq. 12.
    """

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _normal(rng, math.sqrt(2 / (rows + columns)), rows, columns)


@final
@dataclass(frozen=True)
class GlorotUniform(Initialiser):
    """U(-a, a), a = √(6/(fan_in + fan_out)). Glorot and Bengio (2010), eq. 16."""

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _uniform(rng, 2 / (rows + columns), rows, columns)


@final
@dataclass(frozen=True)
class LeCunNormal(Initialiser):
    """N(0, 1/fan_in), for SELU.

    LeCun et al., "Efficient backprop" (1998), eq. 16; with SELU, Klambauer et al.,
    "Self-normalizing neural networks" (2017), arXiv:1706.02515.
    """

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _normal(rng, math.sqrt(1 / rows), rows, columns)


@final
@dataclass(frozen=True)
class Orthogonal(Initialiser):
    """`gain` times a matrix whose rows or columns, whichever are fewer, are orthonormal.

    Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks" (2014), arXiv:1312.6120. Drawn evenly among all such
    matrices: Mezzadri, arXiv:math-ph/0609050, section 5.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        hold(self, ABOVE_0, "gain")

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        tall = rng.standard_normal((max(rows, columns), min(rows, columns)))
        q, r = np.linalg.qr(tall)
        q *= np.where(np.diagonal(r) < 0, -1.0, 1.0)  # else QR's signs are not random
        yield self.gain * (q if rows >= columns else q.T)


@final
@dataclass(frozen=True)
class Zeros(Initialiser):
    """0 in every entry."""

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        yield np.broadcast_to(0.0, (rows, columns))


@final
@dataclass(frozen=True)
class Ones(Initialiser):
    """1 in every entry."""

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        yield np.broadcast_to(1.0, (rows, columns))


@final
@dataclass(frozen=True)
class Constant(Initialiser):
    """`value` in every entry."""

    value: float

    def __post_init__(self) -> None:
        hold(self, ANY, "value")

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        yield np.broadcast_to(float(self.value), (rows, columns))


@final
@dataclass(frozen=True)
class Normal(Initialiser):
    """N(0, std²)."""

    std: float

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "std")

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _normal(rng, self.std, rows, columns)


@final
@dataclass(frozen=True)
class Uniform(Initialiser):
    """U(low, high): low <= w < high."""

    low: float
    high: float

    def __post_init__(self) -> None:
        hold(self, ANY, "low")
        hold(self, Range(f"above low ({self.low})", lambda x: x > self.low), "high")

    def _draw(self, rng: np.random.Generator, rows: int, columns: int) -> Blocks:
        return _drawn(rng.uniform, self.low, self.high, rows, columns)


INITIALISERS: dict[str, type[Initialiser]] = {
    "he": HeNormal,
    "he_normal": HeNormal,
    "he_uniform": HeUniform,
    "glorot": GlorotUniform,
    "glorot_normal": GlorotNormal,
    "glorot_uniform": GlorotUniform,
    "lecun": LeCunNormal,
    "lecun_normal": LeCunNormal,
    "orthogonal": Orthogonal,
    "zeros": Zeros,
    "ones": Ones,
    "constant": Constant,
    "normal": Normal,
    "uniform": Uniform,
}


def named(name: str, **settings: float) -> Initialiser:
    """The initialiser called `name`, such as `named("he")` or `named("normal", std=0.1)`.

    Raises UnknownNameError for a name or a setting that does not exist, with the nearest
    one that does, and SettingError for one that is missing or out of range.
    """
    if name not in INITIALISERS:
        raise unknown("initialiser", name, INITIALISERS)
    kind = INITIALISERS[name]
    needed = {f.name: f.default is MISSING for f in fields(kind)}
    for setting in settings:
        if setting not in needed:
            raise unknown(f"setting of {kind.__name__}", setting, needed or ["none"])
    missing = [name for name, must in needed.items() if must and name not in settings]
    if missing:
        raise SettingError(f"{kind.__name__} needs {' and '.join(missing)}.")
    return kind(**settings)
