"""The native engine against the reference: every operation, net, loss and optimizer."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graphs import SIZES
from threadpoolctl import threadpool_info, threadpool_limits

import kokuban as kb
from kokuban import ops
from kokuban.errors import SettingError
from kokuban.expr import Expr, Symbol, apply, symbol
from kokuban.gradient import grad
from kokuban.op import Operation, Sample, operations
from kokuban.rewrite import simplify_all
from kokuban.run import Program
from kokuban.run.lower import EXPANDED, NotLowered, lower
from kokuban.run.vm import Machine, native

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

CLOSE: dict[Any, float] = {np.float64: 1e-12, np.float32: 2e-5}


@contextmanager
def using(threads: int) -> Iterator[None]:
    """So many threads meanwhile."""
    kb.set_num_threads(threads)
    try:
        yield
    finally:
        kb.set_num_threads(None)


def both(
    outputs: list[Expr], values: dict[Symbol, np.ndarray], dtype: Any, threads: int = 1
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Each output's value by the reference and by the native engine."""
    rows = next((len(v) for s, v in values.items() if s.shape[0] == "N"), 1)
    given = {s: v.astype(dtype) for s, v in values.items()}
    machine = Machine(lower(outputs), dtype, rows, threads)
    return zip(Program(outputs)(given, np, dtype), machine.once(given, rows), strict=True)


def draw(sample: Sample, shape: tuple[int, int], seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    value = rng.uniform(sample.low, sample.high, shape)
    near = np.abs(value - sample.around) < sample.gap
    return np.where(near, sample.around + sample.gap, value)


CASES = [
    pytest.param(op, sample, id=f"{op.name}-{k}")
    for op in operations()
    for k, sample in enumerate(op.samples)
    if op.name != "dropout_mask"
]


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize(("op", "sample"), CASES)
def test_operation_agrees(op: Operation, sample: Sample, dtype: Any) -> None:
    xs = [symbol(f"x{k}", s, "input") for k, s in enumerate(sample.shapes)]
    values = {x: draw(sample, x.shape, k) for k, x in enumerate(xs)}  # type: ignore[arg-type]
    for reference, mine in both([apply(op.name, *xs, **sample.attrs)], values, dtype):
        np.testing.assert_allclose(mine, reference, rtol=CLOSE[dtype], atol=CLOSE[dtype])


def test_records_name_what_the_native_table_has() -> None:
    module = native()
    sums = {"sum_all", "sum_rows", "row_sum"}
    engine = {*module.codes(), *module.micros()}
    assert sums < engine
    assert {op.native for op in operations()} <= {*engine, *EXPANDED, "sum"}


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("dtype", CLOSE)
def test_steps_that_become_one(left: bool, dtype: Any) -> None:
    """A value that one step makes for another, such as a product that is added."""
    values = np.array([[-1.5, 0.0, 2.0, -0.0, 3.0]] * 4)
    x, y, z, p = (symbol(name, (4, 5), "input") for name in "XYZP")
    given = {x: values, y: values[:, ::-1].copy(), z: values + 0.25, p: values**2}
    derivative = ops.step(x, at_zero=0.25)
    cases = {
        "multiply_step": derivative * y if left else y * derivative,
        "multiply_add": x * y + z if left else z + x * y,
        "multiply_subtract" if left else "subtract_multiple": (
            x * y - z if left else z - x * y
        ),
        "add_products": x * y + z * x if left else z * x + y * x,
        "multiply_square": x**2 * y if left else y * x**2,
        "multiply_square_add": x**2 * y + z if left else z + y * x**2,
        "add_product_of_square": x**2 * y + z * x if left else z * x + y * x**2,
        "root_add": ops.sqrt(p) + y if left else y + ops.sqrt(p),
        "part": x * y / z if left else x * y / 4.0,
        "add_part" if left else "subtract_part": (
            x * y / z + x if left else x - x * y / z
        ),
        "row_sum_of_squares": ops.sum((x if left else y) ** 2, over="columns"),
        "exp_difference": ops.exp(x - y if left else x - 1.5),
        "difference_multiple": (x - y) * z if left else z * (x - y),
        "multiply_subtract_part": (x * y - z) / (z if left else 4.0),
    }
    for together, e in cases.items():
        (step,) = lower([e]).instructions[0].steps
        assert step.micro == together
        rounding = 4 * np.finfo(dtype).eps if together == "exp_difference" else 0.0
        for exact, mine in both([e], given, dtype):
            np.testing.assert_allclose(mine, exact, rtol=rounding, atol=0)


def test_dropout_mask_is_the_reference_s() -> None:
    """The masks of a training run, seen through the weights that they leave."""
    net = kb.nn.Sequential(kb.nn.Affine(5, 7), kb.nn.Dropout(0.3), kb.nn.Affine(7, 3))
    rng = np.random.default_rng(0)
    data, targets = rng.normal(size=(50, 5)), rng.normal(size=(50, 3))
    values = []
    for engine in ("numpy", "native"):
        model = kb.Model(net, loss="mse", dtype=np.float64)
        model.fit(data, targets, epochs=3, batch_size=7, seed=5, engine=engine)
        values.append([model.values[s] for s in model.values])
    for a, b in zip(*values, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("size", SIZES)
def test_products_of_all_sizes(size: int, dtype: Any) -> None:
    """Each dimension of a product takes each size while the others keep theirs."""
    rng = np.random.default_rng(size)
    for m, k, n in ((size, 17, 33), (17, size, 33), (33, 17, size), (size, size, size)):
        a, b = symbol("A", (m, k), "input"), symbol("B", (k, n), "input")
        c = symbol("C", (m, n), "input")
        values = {s: rng.normal(size=s.shape) for s in (a, b, c)}  # type: ignore[arg-type]
        outputs = [a @ b, a.T @ c, c @ b.T, (a @ b).T, kb.softmax(c), ops.logsumexp(c)]
        outputs += [kb.sum(c, over=over) for over in ("all", "rows", "columns")]
        outputs += [ops.row_max(c), kb.exp(c) * a[:, 0:1] + b[0:1, :] / 3]
        for reference, mine in both(outputs, values, dtype, threads=2):
            scale = np.max(np.abs(reference))
            tolerance = 1e-12 if dtype == np.float64 else 2e-6 * np.sqrt(k + m)
            np.testing.assert_allclose(mine, reference, rtol=0, atol=tolerance * scale)


ACTIVATIONS = [n for n in sorted(kb.nn.activations.BY_NAME) if n not in ("step",)]
LAYERS = {
    **{name: (kb.nn.activations.BY_NAME[name](),) for name in ACTIVATIONS},
    "layer norm": (kb.nn.LayerNorm(6), kb.nn.Tanh()),
    "residual": (kb.nn.Residual(kb.nn.Affine(6, 6), kb.nn.Sigmoid()),),
    "scalar": (kb.nn.ScalarAffine(), kb.nn.Tanh()),
    "dropout": (kb.nn.Dropout(0.25),),
}
OPTIMIZERS = [
    kb.optim.SGD(0.05),
    kb.optim.SGD(kb.optim.Cosine(0.05), weight_decay=0.01),
    kb.optim.Momentum(0.02),
    kb.optim.Nesterov(0.02),
    kb.optim.RMSprop(0.003),
    kb.optim.Adagrad(0.02),
    kb.optim.Adam(0.003, clip_norm=0.5),
    kb.optim.AdamW(0.003, clip_value=0.1),
]
LOSSES = [n for n in kb.nn.LOSSES if n not in ("cross_entropy", "binary_cross_entropy")]


def trained(
    inner: tuple[kb.nn.Layer, ...],
    loss: str,
    optimizer: kb.optim.Optimizer,
    dtype: Any,
    engine: str,
) -> list[np.ndarray]:
    """The values after some fifty steps, some of them with a short batch."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(45, 5))
    classes = kb.nn.LOSSES[loss].classes
    t = rng.integers(0, 3, 45) if classes else np.abs(rng.normal(size=(45, 3)))
    if loss == "sigmoid_cross_entropy":
        t = (rng.uniform(size=(45, 3)) > 0.5).astype(float)
    net = kb.nn.Sequential(kb.nn.Affine(5, 6), *inner, kb.nn.Affine(6, 3))
    model = kb.Model(net, loss=loss, dtype=dtype)
    model.fit(x, t, optimizer=optimizer, epochs=12, batch_size=11, seed=3, engine=engine)
    return [model.values[s] for s in model.network.values]


def compare(*case: Any, dtype: Any) -> None:
    for a, b in zip(
        trained(*case, dtype, "numpy"), trained(*case, dtype, "native"), strict=True
    ):
        tolerance = 1e-9 if dtype == np.float64 else 1e-4
        np.testing.assert_allclose(b, a, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("name", LAYERS)
def test_layers_over_fifty_steps(name: str, dtype: Any) -> None:
    compare(LAYERS[name], "mse", kb.optim.SGD(0.05), dtype=dtype)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("loss", LOSSES)
def test_losses_over_fifty_steps(loss: str, dtype: Any) -> None:
    rate = 0.001 if loss.startswith("half") else 0.05
    compare((kb.nn.Tanh(),), loss, kb.optim.SGD(rate), dtype=dtype)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=repr)
def test_optimizers_over_fifty_steps(optimizer: kb.optim.Optimizer, dtype: Any) -> None:
    compare((kb.nn.Tanh(),), "softmax_cross_entropy", optimizer, dtype=dtype)


def test_batch_norm_over_fifty_steps() -> None:
    # no bias before it: its gradient is exactly zero, and Adam would divide rounding
    # by rounding
    compare(
        (kb.nn.BatchNorm(6), kb.nn.ReLU()), "mse", kb.optim.SGD(0.05), dtype=np.float64
    )


# ---------------------------------------------------------------- nets of any size


def compare_training(
    layers: Sequence[kb.nn.Layer], x: np.ndarray, t: np.ndarray, dtype: Any, **fit: Any
) -> None:
    """The values after a fit: as the reference has them, the same on 1 and 3 threads."""

    def trained(engine: str) -> dict[Symbol, np.ndarray]:
        net = kb.nn.Sequential(*layers)
        model = kb.Model(net, loss="softmax_cross_entropy", dtype=dtype)
        model.fit(x, t, seed=3, engine=engine, **fit)
        return dict(model.values)

    reference, found = trained("numpy"), []
    for threads in (1, 3):
        with using(threads):
            found.append(trained("native"))
    tolerance = 1e-9 if dtype == np.float64 else 1e-4
    for s, value in reference.items():
        np.testing.assert_allclose(found[0][s], value, rtol=tolerance, atol=tolerance)
        np.testing.assert_array_equal(found[0][s], found[1][s])


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("filled", [0.0, 0.01, 0.15, 0.3, 0.9])
@pytest.mark.parametrize(
    ("columns", "units", "batch"),
    [
        (9, 4, 37),
        (130, 100, 37),
        (1100, 70, 37),
        (9000, 3, 37),
        (70, 90, 1100),
        (150, 20, 2100),
    ],
)
def test_terms_that_zeros_leave_out(
    columns: int, units: int, batch: int, filled: float, dtype: Any
) -> None:
    """Few or many entries that are not 0, in rows and columns of any length.

    The largest batches are taken, the smaller ones read where they lie in the data.
    """
    rng = np.random.default_rng(columns)
    rows = 2 * batch + 16
    x = rng.normal(size=(rows, columns)) * (rng.uniform(size=(rows, columns)) < filled)
    x[:, 3] = -0.0
    t = rng.integers(0, 3, rows)
    layers = (kb.nn.Affine(columns, units), kb.nn.Tanh(), kb.nn.Affine(units, 3))
    compare_training(layers, x, t, dtype, epochs=4, batch_size=batch)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("filled", [0.15, 1.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize(
    ("sizes", "batch"),
    [
        ((1100, 70, 3), 150),  # X W is summed up in parts,
        ((20, 70, 1100, 3), 150),  # or the Δ Wᵀ of W 70×1100,
        ((20, 70, 3), 1100),  # or Xᵀ Δ
        ((1100, 1100, 3), 1100),
    ],
)
def test_steps_on_the_sums_of_deep_products(
    sizes: tuple[int, ...], batch: int, decay: float, filled: float, dtype: Any
) -> None:
    """ReLU, its derivative and the update, done on sums that come in parts."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2 * batch, sizes[0]))
    x *= rng.uniform(size=x.shape) < filled
    t = rng.integers(0, 3, 2 * batch)
    layers: list[kb.nn.Layer] = []
    for a, b in pairwise(sizes):
        layers += [kb.nn.Affine(a, b), kb.nn.ReLU()]

    optimizer = kb.optim.SGD(0.05, weight_decay=decay)
    compare_training(
        layers[:-1], x, t, dtype, optimizer=optimizer, epochs=2, batch_size=batch
    )


def test_data_at_any_address() -> None:
    """Rows that are read where they lie, though no number begins where it should."""
    rng = np.random.default_rng(4)
    x, t = rng.normal(size=(50, 6)), rng.integers(0, 3, 50)
    apart = np.frombuffer(b"." + x.tobytes(), np.float64, offset=1).reshape(x.shape)
    found = []
    for data in (x, apart):
        net = kb.nn.Affine(6, 3)
        model = kb.Model(net, loss="softmax_cross_entropy", dtype=np.float64)
        model.fit(data, t, epochs=3, batch_size=16, seed=1, engine="native")
        found.append(model.values)
    assert all(np.array_equal(found[0][s], found[1][s]) for s in found[0])


class Line:
    """Steps of gradient descent for T = X W, on the engine and by hand."""

    def __init__(self) -> None:
        self.x, self.t = kb.input("X", ("N", 5)), kb.target("T", ("N", 2))
        self.w = w = kb.parameter("W", (5, 2))
        self.loss = kb.mse(self.x @ w, self.t)
        (slope,) = grad(self.loss, [w])
        plan = lower([self.loss], [self.x, self.t], {w: w - 0.1 * slope}, 4)
        self.machine = Machine(plan, np.float64, 4)

    def close(self, data: np.ndarray, targets: np.ndarray, order: np.ndarray) -> None:
        """Hold the engine's steps to those by hand."""
        expected, steps = np.ones((5, 2)), len(order) // 4
        for batch in order.reshape(-1, 4):
            y = data[batch].astype(float) @ expected
            slope = data[batch].T.astype(float) @ (y - targets[batch]) * 2 / y.size
            expected = expected - 0.1 * slope
        self.machine.set({self.w: np.ones((5, 2))})
        self.machine.sources([data, targets])
        settings = kb.parameter("rate", (1, 1)), kb.parameter("step", (1, 1)), self.loss
        self.machine.steps(
            order, 4, (0, steps), np.ones(steps), 0, 0, settings, 60.0, 0.0
        )
        found = self.machine.get([self.w])[self.w]
        np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_rows_are_those_of_the_data_given_last() -> None:
    """Each time in an array of its own, with the one before gone."""
    line, rng = Line(), np.random.default_rng(0)
    for rows in (12, 8, 400):
        data, targets = rng.normal(size=(rows, 5)), rng.normal(size=(rows, 2))
        line.close(data, targets, rng.permutation(rows))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_data_that_changed_in_place_are_seen(dtype: Any) -> None:
    """Of the engine's own type, and of another one, which is copied."""
    line, rng, order = Line(), np.random.default_rng(0), np.arange(8)
    data, targets = np.ones((8, 5), dtype), np.ones((8, 2), dtype)
    for _ in range(2):
        data[:], targets[:] = rng.normal(size=(8, 5)), rng.normal(size=(8, 2))
        line.close(data, targets, order)


# ---------------------------------------------------------------- threads


@pytest.mark.parametrize("dtype", CLOSE)
def test_threads_do_not_change_a_bit(dtype: Any) -> None:
    rng = np.random.default_rng(2)
    x, t = rng.normal(size=(300, 150)), rng.integers(0, 7, 300)
    net = kb.nn.Sequential(
        kb.nn.Affine(150, 130),
        kb.nn.BatchNorm(130),
        kb.nn.ReLU(),
        kb.nn.Dropout(0.2),
        kb.nn.Affine(130, 70),
        kb.nn.Mish(),
        kb.nn.Affine(70, 7),
    )
    found = []
    for threads in (1, 2, 3, 4):
        with using(threads):
            model = kb.Model(net, loss="softmax_cross_entropy", dtype=dtype)
            model.fit(x, t, optimizer=kb.optim.Adam(0.01), epochs=2, batch_size=97)
            found.append(model.values)
    for other in found[1:]:
        assert all(np.array_equal(found[0][s], other[s]) for s in other)


@pytest.mark.parametrize("threads", [1, 2])
def test_training_takes_subnormal_numbers_for_zero(threads: int) -> None:
    x, t = kb.input("X", ("N", 64)), kb.target("T", ("N", 64))
    w = kb.parameter("W", (64, 64))
    model = kb.Model(loss=kb.mse(x @ w, t) + 0.5 * kb.sum(w * w), output=x @ w)
    zeros = np.zeros((512, 64), np.float32)

    def halved(times: int, engine: str) -> np.ndarray:
        model["W"] = np.ones((64, 64), np.float32)
        half = kb.optim.SGD(0.5)
        model.fit(
            zeros, zeros, optimizer=half, epochs=times, batch_size=512, engine=engine
        )
        return np.asarray(model["W"])

    with using(threads):
        assert (halved(126, "native") == 2.0**-126).all()  # the least normal number
        assert (halved(127, "native") == 0).all()
        assert (halved(127, "numpy") == 2.0**-127).all()
        small = np.float32(2.0**-70)
        model["W"] = np.full((64, 64), small)
        assert (model.predict(np.full((512, 64), small)) == 2.0**-134).all()
    assert small * small == 2.0**-140  # nor is the rest of the process affected


@pytest.mark.parametrize("number", [0, -1, 1.5, True, "2", np.nan])
def test_number_of_threads_is_checked(number: Any) -> None:
    with pytest.raises(SettingError, match="a whole number, at least 1"):
        kb.set_num_threads(number)


@pytest.mark.parametrize(
    ("given", "threads"), [("3", 3), (" 2 , 4", 2), ("1" + 30 * "0", 256)]
)
def test_omp_num_threads(
    given: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kokuban.run.threads import num_threads

    monkeypatch.setenv("OMP_NUM_THREADS", given)
    kb.set_num_threads(None)
    assert num_threads() == threads
    monkeypatch.undo()
    kb.set_num_threads(None)


@pytest.mark.parametrize("given", ["", "0", "-2", "²", "many"])
def test_omp_num_threads_that_is_no_number_counts_for_nothing(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kokuban.run.threads import num_threads

    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    kb.set_num_threads(None)
    default = num_threads()
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    kb.set_num_threads(None)
    assert num_threads() == default
    monkeypatch.undo()
    kb.set_num_threads(None)


# ---------------------------------------------------------------- prediction


def net() -> kb.nn.Sequential:
    return kb.nn.Sequential(
        kb.nn.Affine(20, 33), kb.nn.SiLU(), kb.nn.LayerNorm(33), kb.nn.Affine(33, 5)
    )


WIDE = kb.nn.Sequential(  # so that threads divide its columns
    kb.nn.Affine(20, 300), kb.nn.Tanh(), kb.nn.Affine(300, 270), kb.nn.ReLU()
)


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("layers", [net(), WIDE], ids=["narrow", "wide"])
def test_a_row_s_prediction_does_not_depend_on_its_batch(
    layers: kb.nn.Sequential, dtype: Any
) -> None:
    model = kb.Model(layers, loss="mse", dtype=dtype)
    model.initialise(1)
    x = np.random.default_rng(3).normal(size=(600, 20)).astype(dtype)
    together = model.predict(x)
    for rows in (slice(0, 1), slice(255, 257), slice(3, 599), slice(1, None, 7)):
        assert np.array_equal(model.predict(x[rows]), together[rows])


@pytest.mark.parametrize("dtype", CLOSE)
def test_nor_on_rows_whose_roots_and_quotients_go_another_way(dtype: Any) -> None:
    """Zeros, subnormal and large numbers, in vectors that hold a column of many rows."""
    x, w = kb.input("X", ("N", 7)), kb.parameter("W", (1, 7))
    roots = kb.sqrt(x * w)
    y = roots / (kb.sum(roots, over="columns") + 0.1)
    model = kb.Model(loss=kb.mean(y), output=y, dtype=dtype)
    rng = np.random.default_rng(5)
    model["W"] = rng.random((1, 7)) + 0.5
    scales = [0, 1e-300, 1e-43, 1e-37, 1e-33, 1, 1e30]
    rows = rng.random((600, 7)) * np.resize(scales, (600, 1))
    together = model.predict(rows)
    for first in range(len(scales)):  # rows of one scale, now beside each other only
        some = slice(first, None, len(scales))
        assert np.array_equal(model.predict(rows[some]), together[some])


def test_prediction_follows_the_values() -> None:
    model = kb.Model(net(), loss="softmax_cross_entropy")
    model.initialise(1)
    x = np.random.default_rng(3).normal(size=(4, 20))
    before = model.predict(x)
    with pytest.raises(ValueError, match="read-only"):
        model["W1"][0, 0] = 3.0
    model["W1"] = model["W1"] * 2
    assert not np.array_equal(model.predict(x), before)


def test_prediction_names_an_entry_that_is_not_finite() -> None:
    model = kb.Model(net(), loss="softmax_cross_entropy")
    model.initialise(1)
    x = np.zeros((300, 20), np.float32)
    x[290, 7] = np.inf
    with pytest.raises(kb.errors.DataError, match="inf in row 290, column 7"):
        model.predict(x)


def test_without_the_native_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the package was built without a compiler: on NumPy, said once."""
    from kokuban.run import compiled
    from kokuban.train import native as train_native

    for module in (compiled, train_native):
        monkeypatch.setattr(module, "native", lambda: None)
    compiled.say_on_numpy.cache_clear()
    x = np.random.default_rng(3).normal(size=(64, 20))
    t = (x[:, 0] > 0).astype(int)
    model = kb.Model(net(), loss="softmax_cross_entropy")
    with pytest.warns(UserWarning, match="without a compiler"):
        model.fit(x, t, epochs=2)
    model.fit(x, t, epochs=2)
    compiled.say_on_numpy.cache_clear()
    assert model.predict(x).shape == (64, 5)
    assert np.isfinite(model.evaluate(x, t)["loss"])
    with pytest.raises(SettingError, match="without a compiler"):
        model.fit(x, t, epochs=1, engine="native")


def test_fit_in_a_forked_process() -> None:
    """A process that has used threads, forked: the child starts its own."""
    code = """
import os, numpy as np, kokuban as kb
kb.set_num_threads(2)
x = np.random.default_rng(0).normal(size=(256, 200)); t = (x[:, 0] > 0).astype(int)
net = kb.nn.Sequential(kb.nn.Affine(200, 200), kb.nn.ReLU(), kb.nn.Affine(200, 2))
model = kb.Model(net, loss="softmax_cross_entropy")
model.fit(x, t, epochs=2, batch_size=128)
mine = model.predict(x)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(model.predict(x), mine) else 3)
os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], timeout=60)
    assert done.returncode == 0


# ---------------------------------------------------------------- instruction sets


@pytest.mark.parametrize("isa", [] if native() is None else native().instruction_sets())
def test_each_instruction_set(isa: str) -> None:
    """The quick part of this file once more, with the set forced."""
    if os.environ.get("KOKUBAN_ISA"):
        pytest.skip("this is the inner run")
    chosen = "test_operation_agrees or of_all_sizes or test_optimizers or zeros_leave_out"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-k", chosen, __file__],
        env={**os.environ, "KOKUBAN_ISA": isa},
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_unknown_instruction_set() -> None:
    code = "from kokuban.run.vm import instruction_set; instruction_set()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KOKUBAN_ISA": "avx1024"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "KOKUBAN_ISA is 'avx1024'" in done.stderr


# ---------------------------------------------------------------- plans


def test_a_plan_reads() -> None:
    x, t = kb.input("X", ("N", 8)), kb.target("T", ("N", 3))
    w, b = kb.parameter("W", (8, 3)), kb.parameter("b", (1, 3))
    (loss,) = simplify_all([kb.softmax_cross_entropy(x @ w + b, t)])
    rule = kb.optim.SGD(0.1).updates([w, b], grad(loss, [w, b]))
    plan = lower([loss], [x, t], rule.assignments)
    text = str(plan)
    assert "X.T @ " in text
    assert "every row done" in text
    # what a row needs, then the loss, then the new values
    assert sum(item.barrier for item in plan.instructions) == 2
    assert [item.guarded for item in plan.instructions[-2:]] == [True, True]
    assert len(plan.instructions) == 6  # two of the data, and no gradient stored
    assert max(map(len, text.splitlines())) < 120


def test_a_model_s_plan() -> None:
    model = kb.Model(net(), loss="softmax_cross_entropy")
    text = str(model.plan(kb.optim.Adam(0.01)))
    assert "W1" in text
    assert "Adam.m(W2)" in text


def test_an_expression_with_two_named_dimensions_is_not_lowered() -> None:
    a, b = kb.input("A", ("N", 2)), kb.input("B", ("M", 2))
    with pytest.raises(NotLowered, match="'M'"):
        lower([a @ b.T])


def test_what_cannot_be_lowered_runs_on_numpy_aloud() -> None:
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 3))
    w = kb.parameter("W", (3, 3))
    loss = kb.mse(x @ w, t) + kb.sum((x @ w)[0:2, :]) * 1e-3
    data = np.random.default_rng(0).normal(size=(20, 3))
    with pytest.warns(UserWarning, match="slice rows of the batch"):
        kb.Model(loss=loss, output=x @ w).fit(data, data, epochs=1)
    with pytest.raises(SettingError, match="slice rows of the batch"):
        kb.Model(loss=loss, output=x @ w).fit(data, data, epochs=1, engine="native")


def test_threadpoolctl_limits_the_engine() -> None:
    from kokuban.run.threads import num_threads

    with threadpool_limits(limits=1):
        assert num_threads() == 1
    found = [i for i in threadpool_info() if i["internal_api"] == "kokuban"]
    assert len(found) == 1
    assert found[0]["num_threads"] == num_threads()
    kb.set_num_threads(None)


def test_after_a_limit_of_threadpoolctl_the_default_counts_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A limit that has ended is no choice: the environment is read as before it."""
    from kokuban.run.threads import num_threads

    kb.set_num_threads(None)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert num_threads() == 3
    with threadpool_limits(limits=1):
        assert num_threads() == 1
    kb.set_num_threads(5)
    with threadpool_limits(limits=1):
        pass
    assert num_threads() == 5
    kb.set_num_threads(None)
    assert num_threads() == 3
    with threadpool_limits(limits=1):
        pass
    monkeypatch.undo()
    kb.set_num_threads(None)


THREADS_OF_THE_PROCESS = """
import os, sys, numpy as np, kokuban as kb
x = np.random.default_rng(0).normal(size=(512, 300)).astype(np.float32)
t = (x[:, 0] > 0).astype(int)
net = kb.nn.Sequential(kb.nn.Affine(300, 300), kb.nn.ReLU(), kb.nn.Affine(300, 2))
model = kb.Model(net, loss="softmax_cross_entropy")
model.initialise()
many = lambda: len(os.listdir("/proc/self/task"))
before, use = many(), sys.argv[1]
if use == "fit":
    left = [3, 1, 2]
    def next_number(model, record):
        if record["epoch"] > 1:
            print(many() - before)
        kb.set_num_threads(left.pop(0) if left else 2)
    kb.set_num_threads(1)
    model.fit(x, t, epochs=4, batch_size=512, callbacks=[next_number], shuffle=False)
    sys.exit()
work = {"predict": lambda: model.predict(x), "evaluate": lambda: model.evaluate(x, t)}
for threads in (3, 1, 2):
    kb.set_num_threads(threads)
    work[use]()
    print(many() - before)
kb.set_num_threads(None)
os.environ["OMP_NUM_THREADS"] = "1"  # for a child, which asks anew
child = os.fork()
if child == 0:
    before = many()
    work[use]()
    os._exit(many() - before)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


@pytest.mark.parametrize("use", ["fit", "predict", "evaluate"])
def test_the_number_of_threads_counts_for_what_was_prepared_before(use: str) -> None:
    """Threads that were started end when there are to be fewer, within a fit too."""
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list the threads of a process")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", THREADS_OF_THE_PROCESS, use],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["2", "0", "1"]


def test_workers_of_a_pool_take_one_thread() -> None:
    code = """
import multiprocessing as mp
from kokuban.run.threads import num_threads
if __name__ == "__main__":
    with mp.get_context("spawn").Pool(1) as pool:
        print(pool.apply(num_threads))
"""
    env = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["1"]
