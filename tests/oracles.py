"""What every operation and composite should give, written without the library.

`ORACLES` and `COMPOSITES` are plain NumPy and SciPy formulas; `entries` evaluates an
index form entry by entry in Python; `differences` differentiates numerically. Nothing in
here reads an operation's own `numpy`, `vjp` or `shape`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
from scipy import special

from kokuban.entry import Call, Delta, Entry, Index, Largest, Matrix, Number, Sum, Term
from kokuban.op import Operation, Sample

Array = np.ndarray


def draw(sample: Sample, seed: int = 0) -> list[Array]:
    """The sample's arguments: uniform, `gap` away from `around`."""
    rng = np.random.default_rng(seed)
    arrays = []
    for shape in sample.shapes:
        x = rng.uniform(sample.low, sample.high, shape)
        near = abs(x - sample.around) < sample.gap
        arrays.append(np.where(near, sample.around + 2 * sample.gap, x))
    return arrays


# ---------------------------------------------------------------- operations


def philox(seed: int, stream: int, draw: int, words: int) -> list[int]:
    """Philox4x64-10 of Salmon et al. (2011), in whole numbers: the first `words` words.

    The counter (c0, draw, 0, 0) starts at c0 = 1, the first after an increment.
    """
    mask, found = 2**64 - 1, list[int]()
    for c0 in range(1, words // 4 + 2):
        a, b, c, d = c0, draw, 0, 0
        k0, k1 = seed, stream
        for _ in range(10):
            left, right = 0xD2E7470EE14C6C93 * a, 0xCA5A826395121157 * c
            a, b, c, d = (
                (right >> 64) ^ b ^ k0,
                right & mask,
                (left >> 64) ^ d ^ k1,
                left & mask,
            )
            k0, k1 = (k0 + 0x9E3779B97F4A7C15) & mask, (k1 + 0xBB67AE8584CAA73B) & mask
        found += [a, b, c, d]
    return found[:words]


def _mask(draw: Array, rate: float, to: tuple[int, int], stream: int) -> Array:
    seed, number = (int(v) for v in draw[0])
    words = philox(seed, stream, number, to[0] * to[1] // 2 + 1)
    halves = [half for w in words for half in (w & 0xFFFFFFFF, w >> 32)]
    kept = [float(h >= math.floor(rate * 2**32)) for h in halves[: to[0] * to[1]]]
    return np.array(kept).reshape(to) / (1 - rate)


def _slice(x: Array, axis: int, start: int, stop: int) -> Array:
    return np.take(x, range(start, stop), axis=axis)


def _place(x: Array, axis: int, start: int, total: int) -> Array:
    widths = [(0, 0), (0, 0)]
    widths[axis] = (start, total - start - x.shape[axis])
    return np.pad(x, widths)


def _sum(x: Array, over: str) -> Array:
    m, n = x.shape
    left = np.eye(m) if over == "columns" else np.ones((1, m))
    return left @ x @ (np.eye(n) if over == "rows" else np.ones((n, 1)))


def _per_entry(f: Callable[..., float]) -> Callable[..., Array]:
    return np.vectorize(f, otypes=[float])


ORACLES: dict[str, Callable[..., Array]] = {
    "broadcast": lambda x, to: np.tile(x, (to[0] // x.shape[0], to[1] // x.shape[1])),
    "slice": _slice,
    "place": _place,
    "distribution": lambda t: t,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "negate": np.negative,
    "power": _per_entry(lambda x, exponent: math.pow(x, exponent)),
    "maximum": lambda a, b: (a + b + np.abs(a - b)) / 2,
    "minimum": lambda a, b: (a + b - np.abs(a - b)) / 2,
    "matmul": lambda a, b: np.einsum("ik,kj->ij", a, b),
    "transpose": lambda a: np.swapaxes(a, 0, 1),
    "exp": _per_entry(math.exp),
    "expm1": _per_entry(math.expm1),
    "log": _per_entry(math.log),
    "sqrt": _per_entry(math.sqrt),
    "abs": _per_entry(math.fabs),
    "sign": _per_entry(lambda x: (x > 0) - (x < 0)),
    "step": lambda x, at_zero: np.heaviside(x, at_zero),
    "relu": lambda x, at_zero: np.where(x > 0, x, 0.0),
    "sin": _per_entry(math.sin),
    "cos": _per_entry(math.cos),
    "sigmoid": special.expit,
    "tanh": _per_entry(math.tanh),
    "softplus": lambda x: np.logaddexp(0.0, x),
    "erf": _per_entry(math.erf),
    "sum": _sum,
    "row_max": lambda x: np.sort(x, axis=1)[:, -1:],
    "logsumexp": lambda x: special.logsumexp(x, axis=1, keepdims=True),
    "softmax": lambda x: special.softmax(x, axis=1),
    "dropout_mask": _mask,
}


# ---------------------------------------------------------------- composites


@dataclass(frozen=True)
class Composite:
    """A composite's arguments as arrays, its settings, and what it should give."""

    oracle: Callable[..., Array]
    arrays: tuple[Array, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    by: tuple[int, ...] = (0,)  # the arguments to differentiate by
    weights: Array | None = None


_rng = np.random.default_rng(7)
X = _rng.uniform(-2, 2, (5, 3))
Y = _rng.uniform(-2, 2, (5, 3))
ONE = _rng.uniform(-2, 2, (5, 1))
ROW = _rng.uniform(0.5, 1.5, (1, 3))
SHIFT = _rng.uniform(-1, 1, (1, 3))
P = (special.softmax(X, axis=1) + 1 / 3) / 2
ONE_HOT = np.eye(3)[[0, 2, 1, 1, 0]]
SOFT = special.softmax(Y, axis=1)
YES_NO = (Y > 0).astype(float)
COUNTS = _rng.integers(0, 5, (5, 3)).astype(float)
WEIGHTS = _rng.uniform(0.1, 2, (5, 1))


def _scalar(value: Any) -> Array:
    return np.array([[float(value)]])


def _loss(entries: Callable[..., Array]) -> Callable[..., Array]:
    """The mean over entries, or over the rows with weights of each row's mean."""

    def loss(*arrays: Array, weights: Array | None = None, **attrs: Any) -> Array:
        per_row = entries(*arrays, **attrs).mean(axis=1)
        return _scalar(np.average(per_row, weights=_flat(weights)))

    return loss


def _row_loss(rows: Callable[..., Array]) -> Callable[..., Array]:
    """The mean, or the weighted mean, over rows of each row's sum."""

    def loss(*arrays: Array, weights: Array | None = None) -> Array:
        return _scalar(np.average(rows(*arrays).sum(axis=1), weights=_flat(weights)))

    return loss


def _flat(weights: Array | None) -> Array | None:
    return None if weights is None else weights[:, 0]


def _mean(x: Array, over: str = "all") -> Array:
    axis = {"all": None, "rows": 0, "columns": 1}[over]
    return np.mean(x, axis=axis, keepdims=True)


def _huber(y: Array, t: Array, delta: float = 1.0) -> Array:
    return special.huber(delta, y - t)


def _quantile(y: Array, t: Array, level: float = 0.5) -> Array:
    return np.maximum(level * (t - y), (level - 1) * (t - y))


def _gaussian(y: Array, s: Array, t: Array) -> Array:
    deviation = np.exp(s / 2)
    return -np.log(
        np.exp(-(((t - y) / deviation) ** 2) / 2) / deviation / math.sqrt(math.tau)
    )


def _norm(axis: int) -> Callable[..., Array]:
    def norm(x: Array, scale: Array, shift: Array, epsilon: float = 1e-5) -> Array:
        centred = x - x.mean(axis=axis, keepdims=True)
        spread = np.sqrt(x.var(axis=axis, keepdims=True) + epsilon)
        return centred / spread * scale + shift

    return norm


def _losses(
    oracle: Callable[..., Array], *arrays: Array, by: tuple[int, ...] = (0,), **attrs: Any
) -> list[Composite]:
    """The loss as it is, and weighted."""
    plain = Composite(oracle, arrays, attrs, by)
    return [plain, Composite(oracle, arrays, attrs, by, WEIGHTS)]


mse = _loss(lambda y, t: (y - t) ** 2)
huber, quantile = _loss(_huber), _loss(_quantile)
cross_entropy = _row_loss(lambda y, t: -special.xlogy(t, y))
softmax_cross_entropy = _row_loss(lambda u, t: -t * special.log_softmax(u, axis=1))

COMPOSITES: dict[str, list[Composite]] = {
    "mean": [
        Composite(_mean, (X,)),
        Composite(_mean, (X,), {"over": "rows"}),
        Composite(_mean, (X,), {"over": "columns"}),
        Composite(_mean, (ONE,)),
        Composite(_mean, (ROW,)),
    ],
    "affine": [Composite(lambda x, w, b: x.dot(w) + b, (X, X[:3], ROW), by=(0, 1, 2))],
    "leaky_relu": [
        Composite(lambda x: np.where(x > 0, x, 0.01 * x), (X,)),
        Composite(lambda x, slope: np.where(x > 0, x, slope * x), (X,), {"slope": 0.2}),
    ],
    "elu": [
        Composite(lambda x: np.where(x > 0, x, np.exp(x) - 1), (X,)),
        Composite(
            lambda x, alpha: np.where(x > 0, x, alpha * (np.exp(x) - 1)),
            (X,),
            {"alpha": 2.0},
        ),
    ],
    "selu": [
        Composite(
            lambda x: (
                1.0507009873554805
                * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1))
            ),
            (X,),
        )
    ],
    "gelu": [Composite(lambda x: x * special.ndtr(x), (X,))],
    "silu": [Composite(lambda x: x * special.expit(x), (X,))],
    "mish": [Composite(lambda x: x * np.tanh(np.log(1 + np.exp(x))), (X,))],
    "log_softmax": [Composite(lambda x: special.log_softmax(x, axis=1), (X,))],
    "layer_norm": [
        Composite(_norm(1), (X, ROW, SHIFT), by=(0, 1, 2)),
        Composite(_norm(1), (X, ROW, SHIFT), {"epsilon": 0.1}),
    ],
    "batch_norm": [Composite(_norm(0), (X, ROW, SHIFT), by=(0, 1, 2))],
    "l2": [Composite(lambda w: _scalar(np.linalg.norm(w) ** 2 / 2), (X,))],
    "label_smoothing": [
        Composite(lambda t: 0.9 * t + 0.1 / 3, (ONE_HOT,)),
        Composite(
            lambda t, amount: (1 - amount) * t + amount / 3, (SOFT,), {"amount": 0.3}
        ),
    ],
    "mse": _losses(mse, X, Y, by=(0, 1)) + _losses(mse, ONE, X[:, :1]),
    "half_sum_of_squares": [
        Composite(lambda y, t: _scalar(np.vdot(y - t, y - t) / 2), (X, Y), by=(0, 1))
    ],
    "mae": _losses(_loss(lambda y, t: np.abs(y - t)), X, Y, by=(0, 1)),
    "huber": _losses(huber, X, Y) + _losses(huber, X, Y, delta=0.3, by=(0, 1)),
    "quantile": _losses(quantile, X, Y) + _losses(quantile, X, Y, level=0.9, by=(0, 1)),
    "poisson": _losses(_loss(lambda y, t: np.exp(y) - t * y), X, COUNTS),
    "gaussian": _losses(_loss(_gaussian), X, 0.3 * Y, Y, by=(0, 1, 2)),
    "cross_entropy": [
        *_losses(cross_entropy, P, ONE_HOT),
        *_losses(cross_entropy, P, SOFT),
    ],
    "softmax_cross_entropy": [
        *_losses(softmax_cross_entropy, X, ONE_HOT),
        *_losses(softmax_cross_entropy, X, SOFT),
    ],
    "binary_cross_entropy": _losses(
        _row_loss(lambda y, t: -special.xlogy(t, y) - special.xlogy(1 - t, 1 - y)),
        P,
        YES_NO,
    ),
    "sigmoid_cross_entropy": _losses(
        _row_loss(
            lambda u, t: -t * special.log_expit(u) - (1 - t) * special.log_expit(-u)
        ),
        X,
        YES_NO,
    ),
}


# ---------------------------------------------------------------- entry by entry

FUNCTIONS: dict[str, Callable[..., float]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "**": math.pow,
    "neg": lambda a: -a,
    "maximum": max,
    "minimum": min,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
    "sqrt": math.sqrt,
    "abs": abs,
    "sign": lambda x: float((x > 0) - (x < 0)),
    "step": lambda x, at_zero: at_zero if x == 0 else float(x > 0),
    "relu": lambda x: max(x, 0.0),
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "erf": math.erf,
}


def entries(op: Operation, arrays: Iterable[Array], attrs: dict[str, Any]) -> Array:
    """The operation's index form, evaluated entry by entry."""
    assert op.entry is not None
    given = dict(zip("abc", arrays, strict=False))
    matrices = [Matrix(name, a.shape) for name, a in given.items()]
    rows, columns = op.shape(*(a.shape for a in given.values()), **attrs)
    formula = op.entry(Index("i", rows), Index("j", columns), *matrices, **attrs)
    result = np.empty((rows, columns))
    for i, j in product(range(rows), range(columns)):
        result[i, j] = _value(formula, given, {"i": i, "j": j})
    return result


def _value(form: Term, given: dict[str, Array], at: dict[str, int]) -> float:
    """A formula's value where the indices stand at `at`."""

    def place(index: Index | int) -> int:
        return index if isinstance(index, int) else at[index.name] + index.shift

    def every(index: Index, body: Term) -> list[float]:
        assert index.name not in at, f"index {index.name} is used for two things"
        return [
            _value(body, given, {**at, index.name: k}) for k in range(int(index.over))
        ]

    match form:
        case Number(value):
            return value
        case Entry(matrix, row, column):
            return float(given[matrix][place(row), place(column)])
        case Delta(left, right):
            return float(place(left) == place(right))
        case Sum(index, body):
            return math.fsum(every(index, body))
        case Largest(index, body):
            return max(every(index, body))
        case Call(function, arguments):
            return FUNCTIONS[function](*(_value(a, given, at) for a in arguments))
    raise AssertionError(f"no such form: {form!r}")


# ---------------------------------------------------------------- differences


def differences(f: Callable[[Array], float], x: Array, h: float = 1e-3) -> Array:
    """f's gradient by central differences of fourth order: the error is of order h^4."""
    gradient = np.empty_like(x)
    for place in np.ndindex(x.shape):
        moved = []
        for step in (2 * h, h, -h, -2 * h):
            y = x.copy()
            y[place] += step
            moved.append(f(y))
        gradient[place] = (-moved[0] + 8 * moved[1] - 8 * moved[2] + moved[3]) / (12 * h)
    return gradient
