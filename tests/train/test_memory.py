"""One copy of what is trained: who has the values, and when."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.run.vm import Machine, native
from kokuban.train.loop import Trainer

pytestmark = pytest.mark.skipif(native() is None, reason="built without a compiler")


def trainer() -> tuple[Trainer, dict[Any, np.ndarray]]:
    """A trainer, and the data of a batch of 8."""
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 2))
    w, b = kb.parameter("W", (3, 2)), kb.parameter("b", (1, 2))
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)  # noqa: E731
    made = Trainer(
        kb.mse(x @ w + b, t),
        kb.optim.Momentum(0.1),
        {w: draw(3, 2), b: draw(1, 2)},
    )
    return made, {x: draw(8, 3), t: draw(8, 2)}


def test_the_engine_takes_the_only_copy() -> None:
    made, data = trainer()
    held = [weakref.ref(v) for v in made.state.values.values()]
    assert len(held) == 4  # two parameters with a slot each
    before = {s: v.copy() for s, v in made.state.values.items()}
    engine = made.native(data, 8)
    assert engine is not None
    assert [r() for r in held] == [None] * 4
    for s, v in made.state.values.items():
        np.testing.assert_array_equal(v, before[s])


class BrokenOff(BaseException):
    """Such as a second Ctrl-C."""


@pytest.mark.parametrize("at", range(4))
def test_a_take_over_that_is_broken_off_loses_nothing(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, data = trainer()
    before = {s: v.copy() for s, v in made.state.values.items()}
    whole, calls = Machine.set, 0

    def broken(self: Machine, values: Any) -> None:
        nonlocal calls
        calls += bool(values)
        if calls == at + 1:
            raise BrokenOff
        whole(self, values)

    monkeypatch.setattr(Machine, "set", broken)
    with pytest.raises(BrokenOff):
        made.native(data, 8)
    found = made.state.values
    assert found.keys() == before.keys()
    for s, v in before.items():
        np.testing.assert_array_equal(found[s], v)


@pytest.mark.parametrize("at", range(5))
def test_an_end_that_is_broken_off_loses_nothing(
    at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, data = trainer()
    made.native(data, 8)
    before = made.values
    whole, calls = Machine.end, 0

    def broken(self: Machine, symbols: Any) -> None:
        nonlocal calls
        calls += 1
        if calls == at + 1:
            raise BrokenOff
        whole(self, symbols)

    monkeypatch.setattr(Machine, "end", broken)
    if at < 3:  # first all else is freed, then each of two parameters
        with pytest.raises(BrokenOff):
            made.end()
    else:
        made.end()
    for s, v in made.values.items():
        np.testing.assert_array_equal(v, before[s])
