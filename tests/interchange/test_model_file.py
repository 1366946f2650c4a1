"""A model file read by docs/model-file.md alone: json, struct, hashlib and NumPy."""

from __future__ import annotations

import hashlib
import json
import math
import re
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

# ---------------------------------------------------------------- a reader of its own

Array = np.ndarray
TYPES = {"F32": "<f4", "F64": "<f8"}
AXIS = {"all": None, "rows": 0, "columns": 1}


def read(path: Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """The arrays and the description; an AssertionError where the digest is another."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata, data = header.pop("__metadata__"), content[8 + length :]
    digest = metadata["digest"].encode()
    blank = content.replace(digest, b"0" * 64, 1)
    assert hashlib.sha256(blank).hexdigest() == digest.decode()
    arrays = {}
    for name, about in header.items():
        begin, end = about["data_offsets"]
        flat = np.frombuffer(data[begin:end], TYPES[about["dtype"]])
        arrays[name] = flat.reshape(about["shape"])
    return arrays, json.loads(metadata["kokuban"])


def place(x: Array, axis: int, start: int, total: int) -> Array:
    shape = [*x.shape]
    shape[axis] = total
    found = np.zeros(shape)
    where = [slice(None), slice(None)]
    where[axis] = slice(start, start + x.shape[axis])
    found[tuple(where)] = x
    return found


def step(x: Array, at_zero: float) -> Array:
    return np.where(x > 0, 1.0, np.where(x == 0, at_zero, 0.0))


def logsumexp(x: Array) -> Array:
    most = x.max(axis=1, keepdims=True)
    return most + np.log(np.exp(x - most).sum(axis=1, keepdims=True))


erf = np.vectorize(math.erf, otypes=[float])

OPERATIONS: dict[str, Callable[..., Array]] = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / b,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "negate": lambda x: -x,
    "abs": np.abs,
    "sign": np.sign,
    "power": lambda x, exponent: x**exponent,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "sqrt": np.sqrt,
    "sin": np.sin,
    "cos": np.cos,
    "tanh": np.tanh,
    "erf": erf,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "relu": lambda x, at_zero: np.maximum(x, 0),
    "step": step,
    "matmul": lambda a, b: a @ b,
    "transpose": lambda x: x.T,
    "sum": lambda x, over: x.sum(axis=AXIS[over], keepdims=True),
    "row_max": lambda x: x.max(axis=1, keepdims=True),
    "logsumexp": logsumexp,
    "softmax": lambda x: np.exp(x - logsumexp(x)),
    "broadcast": lambda x, to: np.broadcast_to(x, to),
    "slice": lambda x, axis, start, stop: np.take(x, range(start, stop), axis),
    "place": place,
    "distribution": lambda x: x,
}


def mean(x: Array, over: str = "all") -> Array:
    return x.mean(axis=AXIS[over], keepdims=True)


def rows(x: Array) -> Array:
    return x.sum(axis=1, keepdims=True).mean(axis=0, keepdims=True)


def elu(x: Array, alpha: float = 1.0) -> Array:
    return np.where(x > 0, x, alpha * (np.exp(x) - 1))


def norm(over: str) -> Callable[..., Array]:
    def made(x: Array, scale: Array, shift: Array, epsilon: float = 1e-5) -> Array:
        m = mean(x, over)
        v = mean((x - m) ** 2, over)
        return (x - m) / np.sqrt(v + epsilon) * scale + shift

    return made


def huber(y: Array, t: Array, delta: float = 1.0) -> Array:
    r = abs(y - t)
    return mean(np.where(r <= delta, r**2 / 2, delta * (r - delta / 2)))


def quantile(y: Array, t: Array, level: float = 0.5) -> Array:
    r = t - y
    return mean(np.maximum(level * r, (level - 1) * r))


NAMES: dict[str, Callable[..., Array]] = {
    "mean": mean,
    "affine": lambda x, w, b: x @ w + b,
    "leaky_relu": lambda x, slope=0.01, at_zero=0: np.where(x > 0, x, slope * x),
    "elu": elu,
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "gelu": lambda x: x / 2 * (1 + erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "mish": lambda x: x * np.tanh(np.log(1 + np.exp(x))),
    "log_softmax": lambda x: x - logsumexp(x),
    "layer_norm": norm("columns"),
    "batch_norm": norm("rows"),
    "l2": lambda x: (x**2).sum(keepdims=True) / 2,
    "mse": lambda y, t: mean((y - t) ** 2),
    "half_sum_of_squares": lambda y, t: ((y - t) ** 2).sum(keepdims=True) / 2,
    "mae": lambda y, t: mean(abs(y - t)),
    "huber": huber,
    "quantile": quantile,
    "poisson": lambda y, t: mean(np.exp(y) - t * y),
    "gaussian": lambda y, s, t: (
        mean(math.log(2 * math.pi) + s + (t - y) ** 2 * np.exp(-s)) / 2
    ),
    "cross_entropy": lambda y, t: rows(-t * np.log(y)),
    "softmax_cross_entropy": lambda u, t: rows(-t * (u - logsumexp(u))),
    "binary_cross_entropy": lambda y, t: rows(-(t * np.log(y) + (1 - t) * np.log(1 - y))),
    "sigmoid_cross_entropy": lambda u, t: rows(np.log(1 + np.exp(u)) - t * u),
    "label_smoothing": lambda t, amount=0.1: (1 - amount) * t + amount / t.shape[1],
}


def values(
    expressions: Mapping[str, Any], given: Mapping[str, Array]
) -> list[Array | None]:
    """The values of the outputs; None for what needs a symbol that is not given."""
    sizes: dict[Any, int] = {}
    for kind, name, *rest in expressions["nodes"]:
        if kind == "symbol" and name in given:
            sizes |= dict(zip(rest[1:], given[name].shape, strict=True))

    def sized(dim: Any) -> Any:
        if isinstance(dim, list):
            return [sized(d) for d in dim]
        return sizes[dim] if isinstance(dim, str) else dim

    found: list[Array | None] = []
    for kind, what, *rest in expressions["nodes"]:
        if kind == "symbol":
            found.append(given.get(what))
        elif kind == "const":
            found.append(np.atleast_2d(what))
        elif kind == "size":
            found.append(np.array([[float(sizes[what])]]))
        else:
            arguments = [found[k] for k in rest[0]]
            settings = {
                k: sized(v) if k in ("to", "total") else v for k, v in rest[1].items()
            }
            table = OPERATIONS if kind == "op" else NAMES
            known = all(a is not None for a in arguments) and what in table
            found.append(table[what](*arguments, **settings) if known else None)
    return [found[k] for k in expressions["outputs"]]


def parts(
    arrays: Mapping[str, Array], about: Mapping[str, Any], **given: Array
) -> dict[str, Array | None]:
    network = about["network"]
    return dict(
        zip(network["parts"], values(network["expressions"], arrays | given), strict=True)
    )


# ---------------------------------------------------------------- what Kokuban wrote

import kokuban as kb  # noqa: E402 - the reader above needs nothing of it
from kokuban import nn  # noqa: E402
from kokuban.estimators import MLPClassifier, MLPRegressor  # noqa: E402
from kokuban.op import operations  # noqa: E402
from kokuban.ops import COMPOSITES  # noqa: E402

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:.* runs on NumPy:UserWarning",  # where nothing was compiled
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(24, 4))
KINDS = np.eye(3)[RNG.integers(3, size=24)]
NUMBERS = RNG.uniform(0.2, 0.8, size=(24, 3))
DOC = (Path(__file__).parents[2] / "docs" / "model-file.md").read_text("utf-8")

FIRST = nn.Affine(4, 4)
NETS = {
    "norms": (nn.Affine(4, 5), nn.BatchNorm(5), nn.GELU(), nn.LayerNorm(5), nn.SELU()),
    "shapes": (nn.Residual(nn.Affine(4, 4), nn.Mish()), nn.LeakyReLU(), nn.ELU()),
    "tied": (FIRST, nn.SiLU(), nn.TiedAffine(FIRST), nn.Softplus(), nn.Dropout(0.5)),
    "scalar": (nn.ScalarAffine(), nn.Sigmoid(), nn.LogSoftmax(), nn.Step(), nn.Tanh()),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", nn.LOSSES)
@pytest.mark.parametrize("name", NETS)
def test_a_model(name: str, loss: str, dtype: str, tmp_path: Path) -> None:
    columns = 5 if name == "norms" else 4
    last = nn.Softmax() if loss == "cross_entropy" else nn.Sigmoid()
    net = nn.Sequential(*NETS[name], nn.Affine(columns, 3), last)
    model = kb.Model(net, loss, inputs=4, dtype=dtype)
    model.initialise()
    model.save(tmp_path / "m", extra={"about": ["this"]})
    arrays, about = read(tmp_path / "m")
    assert (about["kind"], about["dtype"]) == ("model", dtype)
    assert about["extra"] == {"about": ["this"]}
    t = KINDS if "cross_entropy" in loss else NUMBERS
    found = parts(arrays, about, X=X, T=t)
    output, evaluation = found["output"], found["evaluation"]
    assert output is not None
    assert evaluation is not None
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9}
    np.testing.assert_allclose(output, model.predict(X), **close)
    measured = model.evaluate(X, t, metrics=[])["loss"]
    np.testing.assert_allclose(evaluation[0, 0], measured, **close)


def test_an_estimator(tmp_path: Path) -> None:
    labels = np.array(["a", "b"])[(X[:, 0] > 0) * 1]
    net = MLPClassifier((5, 4), ["tanh", "relu"], normalization="batch", max_iter=4)
    net.fit(X, labels).save(tmp_path / "m")
    arrays, about = read(tmp_path / "m")
    output = parts(arrays, about, X=X)["output"]
    assert output is not None
    np.testing.assert_allclose(output[:, 0], net.predict_proba(X)[:, 1], rtol=1e-9)
    classes = about["extra"]["estimator"]["own"]["classes"]
    found = [classes[int(p > 0.5)] for p in output[:, 0]]
    assert found == net.predict(X).tolist()


def test_an_estimator_of_numbers(tmp_path: Path) -> None:
    net = MLPRegressor("poisson", (5,), max_iter=4).fit(X, KINDS)
    net.save(tmp_path / "m")
    arrays, about = read(tmp_path / "m")
    np.testing.assert_allclose(parts(arrays, about, X=X)["output"], net.predict(X))


def test_a_changed_file_has_another_digest(tmp_path: Path) -> None:
    model = kb.Model(nn.Affine(2, 2))
    model.initialise()
    model.save(tmp_path / "m")
    content = bytearray((tmp_path / "m").read_bytes())
    read(tmp_path / "m")
    content[-1] ^= 1
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(AssertionError):
        read(tmp_path / "m")


def test_the_page_names_all_there_is() -> None:
    tables = DOC[DOC.index("### Operations") : DOC.index("## What else was saved")]
    first, second = tables.split("### Names for several operations")
    for text, names in (
        (first, {op.name for op in operations()}),
        (second, set(COMPOSITES)),
    ):
        cells = re.findall(r"^\| (`.+?) \|", text, flags=re.MULTILINE)
        told = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
        assert told == names
    assert set(OPERATIONS) == {op.name for op in operations()} - {"dropout_mask"}
    assert set(NAMES) == set(COMPOSITES)
    for op in operations():
        for attribute in op.samples[0].attrs:
            assert f"`{attribute}`" in first


def test_the_page_shows_what_is_written(tmp_path: Path) -> None:
    shown = json.loads(re.findall(r"```json\n(.*?)```", DOC, re.DOTALL)[0])
    x, w = kb.input("X", ("N", 4)), kb.parameter("W1", (4, 3))
    y = kb.softmax(kb.affine(x, w, kb.parameter("b1", (1, 3))))
    assert kb.expr.to_records([y]) == shown
