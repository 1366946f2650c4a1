"""Calls of a model in any order, against another that runs on NumPy alone.

What the native engine prepares for one call must not show in the next: other numbers of
rows and threads, other weights, runs that were broken off.
"""

from __future__ import annotations

import pickle
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

import kokuban as kb
from kokuban.errors import NonFiniteError
from kokuban.run import Program
from kokuban.run.vm import native

pytestmark = [
    pytest.mark.skipif(native() is None, reason="built without a compiler"),
    pytest.mark.filterwarnings("ignore:Training was interrupted"),
]

nn = kb.nn
COLUMNS, OUTPUTS, ROWS = 5, 3, 90
RNG = np.random.default_rng(11)
X = RNG.normal(size=(ROWS, COLUMNS))
LABELS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
NUMBERS = X @ RNG.normal(size=(COLUMNS, OUTPUTS))


def _layers(loss: str, *inner: nn.Layer) -> kb.Model:
    net = nn.Sequential(nn.Affine(COLUMNS, 7), *inner, nn.Affine(7, OUTPUTS))
    return kb.Model(net, loss=loss, dtype=np.float64)


def _formula() -> kb.Model:
    x, t = kb.input("X", ("N", COLUMNS)), kb.target("T", ("N", OUTPUTS))
    w, v = kb.parameter("W", (COLUMNS, 4)), kb.parameter("V", (4, OUTPUTS))
    y = kb.sin(x @ w) @ v
    return kb.Model(loss=kb.mse(y, t) + 0.01 * kb.l2(w), output=y, dtype=np.float64)


MODELS: dict[str, Callable[[], kb.Model]] = {
    "classes": lambda: _layers("softmax_cross_entropy", nn.ReLU()),
    "dropout": lambda: _layers("softmax_cross_entropy", nn.Tanh(), nn.Dropout(0.3)),
    "batch norm": lambda: _layers("mse", nn.BatchNorm(7), nn.Tanh()),
    "numbers": lambda: _layers("huber", nn.GELU()),
    "formula": _formula,
}
OPTIMIZERS: dict[str, Callable[[], kb.optim.Optimizer]] = {
    "sgd": lambda: kb.optim.SGD(0.05, clip_norm=5.0),
    "momentum": lambda: kb.optim.Momentum(0.02),
    "rate that falls": lambda: kb.optim.SGD(kb.optim.Cosine(0.05, steps=20)),
}
LAYOUTS: dict[str, Callable[[np.ndarray], Any]] = {
    "rows first": np.ascontiguousarray,
    "columns first": np.asfortranarray,
    "every second": lambda x: np.repeat(x, 2, axis=0)[::2],
    "not aligned": lambda x: (
        np.frombuffer(b"." + x.tobytes(), np.uint8)[1:].view(x.dtype).reshape(x.shape)
    ),
    "whole numbers": lambda x: np.round(x).astype(int),
    "lists": lambda x: x.tolist(),
}
firsts, rows = st.integers(0, ROWS - 1), st.integers(1, ROWS)
seeds = st.integers(0, 99)


class _Broken(Exception):
    pass


class Calls(RuleBasedStateMachine):
    """A model used in any way, and one that is trained on NumPy from the same values."""

    @initialize(name=st.sampled_from(sorted(MODELS)), seed=seeds)
    def begin(self, name: str, seed: int) -> None:
        self.model, self.plain = MODELS[name](), MODELS[name]()
        self.model.initialise(seed)
        self.t = LABELS if self.model.network.classes else NUMBERS
        self._follow()

    def _follow(self) -> None:
        self.plain.values = {s: v.copy() for s, v in self.model.values.items()}

    def teardown(self) -> None:
        kb.set_num_threads(None)

    @rule(
        data=st.data(),
        optimizer=st.sampled_from(sorted(OPTIMIZERS)),
        epochs=st.integers(1, 3),
        seed=seeds,
        shuffle=st.booleans(),
        held_out=st.booleans(),
        ends=st.sampled_from(["well", "well", "by Ctrl-C", "by an error"]),
    )
    def fit(
        self,
        data: st.DataObject,
        optimizer: str,
        epochs: int,
        seed: int,
        shuffle: bool,
        held_out: bool,
        ends: str,
    ) -> None:
        many = data.draw(st.integers(3, ROWS), "rows")  # all classes are among them
        size = data.draw(st.integers(1, many), "batch")

        def after_an_epoch(model: kb.Model, record: Any) -> None:
            if ends == "by Ctrl-C":
                signal.raise_signal(signal.SIGINT)
            if ends == "by an error":
                raise _Broken

        for model, engine in ((self.model, "native"), (self.plain, "numpy")):
            try:
                model.fit(
                    X[-many:],
                    self.t[-many:],
                    optimizer=OPTIMIZERS[optimizer](),
                    epochs=epochs,
                    batch_size=size,
                    seed=seed,
                    shuffle=shuffle,
                    validation=(X[:9], self.t[:9]) if held_out else None,
                    callbacks=[after_an_epoch],
                    engine=engine,
                )
                assert ends != "by an error"
            except _Broken:
                assert ends == "by an error"
        if ends != "by an error":
            mine, theirs = self.model.history, self.plain.history
            assert mine is not None
            assert theirs is not None
            assert len(mine["loss"]) == len(theirs["loss"])
            np.testing.assert_allclose(mine["loss"], theirs["loss"], rtol=1e-8)
        for s, value in self.model.values.items():
            np.testing.assert_allclose(
                value, self.plain.values[s], rtol=1e-7, atol=1e-10, err_msg=s.name
            )
        self._follow()

    @rule(many=st.integers(3, ROWS), size=st.integers(1, 40))
    def fit_what_diverges(self, many: int, size: int) -> None:
        """The model keeps numbers, and the next call is as ever."""
        with suppress(NonFiniteError):  # tanh may hold it
            self.model.fit(
                1e200 * X[-many:],
                self.t[-many:],
                optimizer=kb.optim.SGD(1e200),
                batch_size=min(size, many),
            )
        assert all(np.isfinite(v).all() for v in self.model.values.values())
        self.model.values = {s: v.copy() for s, v in self.plain.values.items()}

    @rule(first=firsts, many=rows, layout=st.sampled_from(sorted(LAYOUTS)))
    def predict(self, first: int, many: int, layout: str) -> None:
        given = LAYOUTS[layout](X[first : first + many])
        found = self.model.predict(given)
        network = self.plain.network
        values = {**self.plain.values, network.inputs[0]: np.array(given, float)}
        assert network.output is not None
        (wanted,) = Program([network.output])(values)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)

    @rule(first=firsts, many=rows)
    def evaluate(self, first: int, many: int) -> None:
        x, t = X[first : first + many], self.t[first : first + many]
        network = self.plain.network
        target = np.eye(OUTPUTS)[t] if network.classes else t
        values = {network.inputs[0]: x, network.targets[0]: target, **self.plain.values}
        (wanted,) = Program([network.evaluation])(values)
        found = self.model.evaluate(x, t)["loss"]
        assert found == pytest.approx(float(wanted[0, 0]), rel=1e-9)

    @rule(seed=seeds)
    def set_a_value(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        symbols = [s for s in self.model.values if s.role == "parameter"]
        s = symbols[seed % len(symbols)]
        self.model[s.name] = rng.normal(size=s.shape)
        self._follow()

    @rule(number=st.sampled_from([None, 1, 2, 3]))
    def set_threads(self, number: int | None) -> None:
        kb.set_num_threads(number)

    @rule()
    def pickle(self) -> None:
        self.model = pickle.loads(pickle.dumps(self.model))

    @rule()
    def save_and_load(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            self.model.save(Path(folder) / "model.safetensors")
            self.model = kb.load(Path(folder) / "model.safetensors")

    @invariant()
    def same_values(self) -> None:
        for s, value in self.model.values.items():
            np.testing.assert_array_equal(value, self.plain.values[s], err_msg=s.name)


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)
