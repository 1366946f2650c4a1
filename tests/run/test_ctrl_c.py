"""Ctrl-C while the native engine runs what no training asks for."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from kokuban import ops
from kokuban.expr import symbol
from kokuban.run.lower import lower
from kokuban.run.vm import Machine, native

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")

WIDE, PRODUCTS = 1000, 4
X, W = symbol("X", ("N", WIDE), "input"), symbol("W", (WIDE, WIDE), "parameter")
WEIGHTS = np.eye(WIDE)[::-1]  # an even number of them changes nothing


def press_during(run: Callable[[], object], begun: Callable[[], bool]) -> None:
    """Ctrl-C a moment after the run has begun; it is heard before the run has ended."""

    def press() -> None:
        while not begun():
            time.sleep(0.001)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=press, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        run()


def chained() -> ops.Expr:
    product = X
    for _ in range(PRODUCTS):
        product = product @ W
    return product


def test_a_long_prediction_is_broken_off() -> None:
    """Rows that come late are not predicted; the next prediction is as ever."""
    machine = Machine(lower([chained()], rows=64), np.float64, 64)
    machine.set({W: WEIGHTS})
    x = np.random.default_rng(0).normal(size=(20_000, WIDE))
    y = np.full_like(x, np.nan)
    into, out = machine.plan.places[X], machine.plan.outputs[0]
    press_during(
        lambda: machine._engine.forward(into, x, out, y, -1),
        begun=lambda: not np.isnan(y[0, -1]),
    )
    assert np.array_equal(y[0], x[0])
    assert np.isnan(y[-1]).all()
    for rows in (3, 100):  # few rows take another way through the plan
        assert np.array_equal(machine.forward(X, x[-rows:]), x[-rows:])


@pytest.mark.parametrize("threads", [1, 2])
def test_a_long_run_is_broken_off(threads: int) -> None:
    """Its result is not written; the next run is as ever."""
    rows, unwritten = 10_000, np.full((1, 1), -1.0)
    machine = Machine(lower([ops.sum(chained())]), np.float64, rows, threads)
    total, started = machine.plan.outputs[0], threading.Event()
    machine.set({X: np.ones((rows, WIDE)), W: WEIGHTS})

    def run() -> None:
        while True:  # a machine with other work may be late with the signal
            machine._engine.set(total, unwritten)
            started.set()
            machine._engine.once(rows)

    press_during(run, begun=started.is_set)
    assert machine._value(total, rows) == unwritten
    for few in (3, 100):
        found = machine.once({X: np.ones((few, WIDE)), W: WEIGHTS}, few)[0]
        assert found == few * WIDE
