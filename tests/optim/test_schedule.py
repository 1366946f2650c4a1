"""Every schedule by its values and by what must hold for any setting."""

import math
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from kokuban.errors import SettingError
from kokuban.optim import (
    Constant,
    Cosine,
    InverseScaling,
    LogCosine,
    OneCycle,
    Progress,
    Schedule,
    Step,
    WarmUp,
)

untimed = settings(deadline=None)

rates = st.floats(1e-6, 10.0)
lengths = st.integers(1, 500)


def over(schedule: Schedule, steps: int, per_epoch: int = 1) -> list[float]:
    return [
        schedule(Progress(k, k // per_epoch, k // per_epoch * 30, steps))
        for k in range(steps)
    ]


@untimed
@given(rates, lengths)
def test_constant(rate, steps) -> None:
    assert over(Constant(rate), steps) == [rate] * steps


def test_step_goes_down_after_epochs_or_updates() -> None:
    down = over(Step(1.0, every=2, factor=0.5), 8, per_epoch=2)
    assert down == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5]
    down = over(Step(1.0, every=3, factor=0.1, unit="step"), 7)
    np.testing.assert_allclose(down, [1, 1, 1, 0.1, 0.1, 0.1, 0.01])


@untimed
@given(rates, st.integers(1, 20), st.floats(0.01, 1.0), lengths)
def test_step_changes_only_by_its_factor(rate, every, factor, steps) -> None:
    values = over(Step(rate, every, factor, unit="step"), steps)
    for k, (a, b) in enumerate(pairwise(values), 1):
        assert b == pytest.approx(a * factor if k % every == 0 else a)


def test_inverse_scaling() -> None:
    np.testing.assert_allclose(
        over(InverseScaling(0.5), 4), 0.5 / np.sqrt([1, 2, 3, 4]), rtol=1e-15
    )
    epochs = over(InverseScaling(0.5, power=1.0, unit="epoch"), 4, per_epoch=2)
    assert epochs == [0.5, 0.5, 0.25, 0.25]


def test_inverse_scaling_by_samples_is_scikit_learns() -> None:
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    theirs = SGDOptimizer([], 0.2, lr_schedule="invscaling", power_t=0.3)
    ours = InverseScaling(0.2, power=0.3, unit="sample")
    for epoch in range(6):
        for step in range(4 * epoch, 4 * epoch + 4):
            assert ours(Progress(step, epoch, samples=30 * epoch)) == theirs.learning_rate
        theirs.iteration_ends(30 * (epoch + 1))


def test_cosine() -> None:
    half = 0.5**0.5
    values = over(Cosine(1.0, final=0.5), 4)
    np.testing.assert_allclose(values, 0.75 + 0.25 * np.array([1, half, 0, -half]))


@untimed
@given(rates, st.floats(0.0, 1.0), lengths, st.integers(0, 1000))
def test_cosine_falls_from_rate_to_final(rate, share, steps, later) -> None:
    schedule = Cosine(rate, final=share * rate, steps=steps)
    values = [schedule(Progress(k)) for k in range(steps + 1)]
    assert values[0] == pytest.approx(rate)
    assert all(a >= b - 1e-12 * rate for a, b in pairwise(values))
    assert schedule(Progress(steps + later)) == pytest.approx(share * rate)
    mirrored = [a + b for a, b in zip(values, values[::-1], strict=True)]
    np.testing.assert_allclose(mirrored, rate * (1 + share))


def test_cosine_agrees_with_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    weight = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([weight], lr=0.3)
    theirs = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=25, eta_min=0.02)
    for ours in over(Cosine(0.3, final=0.02), 25):
        assert ours == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-12)
        optimizer.step()
        theirs.step()


def test_log_cosine() -> None:
    at = [0, 1 / 30, 1 / 15, 1 / 5, 3 / 7, 1]  # log₂(1 + 15 t): 0, log₂ 1.5, 1, 2, …, 4
    waves = np.log2(1 + 15 * np.array(at))
    values = [LogCosine(0.5)(Progress(round(210 * t), total=210)) for t in at]
    np.testing.assert_allclose(
        values, 0.25 - 0.25 * np.cos(2 * np.pi * waves), atol=1e-12
    )
    assert values[:1] + values[2:4] + values[-1:] == pytest.approx([0] * 4, abs=1e-12)
    one = [LogCosine(2.0, cycles=1, steps=1)(Progress(k)) for k in (0, 1, 5)]
    assert one == pytest.approx([0, 0, 0], abs=1e-12)


def test_warm_up_then_a_number_or_a_schedule() -> None:
    np.testing.assert_allclose(
        over(WarmUp(3, 0.8), 6), [0.2, 0.4, 0.6, 0.8, 0.8, 0.8], rtol=1e-15
    )
    then = over(WarmUp(4, Cosine(1.0)), 10)
    np.testing.assert_allclose(then[:5], [0.2, 0.4, 0.6, 0.8, 1.0])
    np.testing.assert_allclose(then[4:], over(Cosine(1.0), 6))


@untimed
@given(rates, st.integers(1, 50), st.integers(1, 100))
def test_warm_up_rises_in_a_straight_line(rate, warm, after) -> None:
    values = over(WarmUp(warm, rate), warm + after)
    np.testing.assert_allclose(np.diff(values[: warm + 1]), rate / (warm + 1))
    assert values[0] > 0
    assert values[warm:] == [rate] * after


def test_warm_up_longer_than_the_run() -> None:
    assert over(WarmUp(10, Cosine(1.1)), 3) == pytest.approx([0.1, 0.2, 0.3])


def test_one_cycle() -> None:
    schedule = OneCycle(1.0, rise=0.4, start=0.2, end=0.1)
    expected = [0.2, 0.4, 0.6, 0.8, 1.0, 0.8, 0.6, 0.4, 0.2, 0.15]
    np.testing.assert_allclose(over(schedule, 10), expected)
    assert schedule(Progress(10, total=10)) == pytest.approx(0.1)
    assert schedule(Progress(99, total=10)) == pytest.approx(0.1)


def test_one_cycle_without_a_tail() -> None:
    values = over(OneCycle(1.0, rise=0.5, start=0.5, end=0.25), 4)
    np.testing.assert_allclose(values, [0.5, 0.75, 1.0, 0.75])
    assert OneCycle(1.0, rise=0.5, end=0.25, steps=4)(Progress(4)) == 0.25


@untimed
@given(rates, st.floats(0.05, 0.5), st.floats(0, 1), st.floats(0, 1), lengths)
def test_one_cycle_rises_once_and_falls_once(rate, rise, start, share, steps) -> None:
    values = over(OneCycle(rate, rise, start, share * start), steps)
    slack = 1e-12 * rate
    assert values[0] == pytest.approx(start * rate)
    assert share * start * rate - slack <= min(values)
    assert max(values) <= rate + slack
    for k, (a, b) in enumerate(pairwise(values)):
        if k + 1 <= rise * steps:
            assert a <= b + slack
        elif k >= rise * steps:
            assert a >= b - slack


EVERY = [
    Constant(0.1),
    Step(0.1, every=2),
    InverseScaling(0.1),
    Cosine(0.1),
    LogCosine(0.1),
    WarmUp(3, Cosine(0.1)),
    OneCycle(0.1),
]


@pytest.mark.parametrize("schedule", EVERY, ids=lambda s: type(s).__name__)
def test_schedules_are_pure_picklable_and_give_floats(schedule) -> None:
    back = pickle.loads(pickle.dumps(schedule))
    assert back == schedule
    assert hash(back) == hash(schedule)
    values = over(schedule, 20, per_epoch=3)
    assert over(back, 20, per_epoch=3)[::-1] == values[::-1]
    assert all(type(v) is float and math.isfinite(v) and v >= 0 for v in values)


@pytest.mark.parametrize(
    "schedule", [Cosine(0.1), LogCosine(0.1), OneCycle(0.1), WarmUp(2, Cosine(1))]
)
def test_an_end_that_nobody_knows(schedule) -> None:
    with pytest.raises(SettingError, match="needs to know where training ends"):
        schedule(Progress(5))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Constant, {"rate": -1}, "Constant's rate"),
        (Constant, {"rate": math.nan}, "Constant's rate.*nan"),
        (Step, {"rate": 1, "every": 0}, "every is a whole number, at least 1; not 0"),
        (Step, {"rate": 1, "every": 1.5}, "every.*1.5"),
        (Step, {"rate": 1, "every": True}, "every.*True"),
        (Step, {"rate": 1, "every": 1, "factor": 0}, "factor.*above 0 and at most 1"),
        (Step, {"rate": 1, "every": 1, "factor": 1.5}, "factor"),
        (Step, {"rate": 1, "every": 1, "unit": "week"}, "one of epoch, step"),
        (InverseScaling, {"rate": 1, "power": -1}, "power"),
        (InverseScaling, {"rate": 1, "unit": "batch"}, "one of step, epoch, sample"),
        (Cosine, {"rate": 1, "final": -1}, "final"),
        (Cosine, {"rate": 1, "steps": 0}, "steps"),
        (WarmUp, {"steps": 0, "then": 1.0}, "steps"),
        (WarmUp, {"steps": 1, "then": -1.0}, "then"),
        (WarmUp, {"steps": 1, "then": "cosine"}, "then"),
        (OneCycle, {"rate": 1, "rise": 0.6}, "rise.*at most 0.5, not 0.6"),
        (OneCycle, {"rate": 1, "rise": 0}, "rise"),
        (OneCycle, {"rate": 1, "start": 2}, "start"),
        (OneCycle, {"rate": 1, "end": -1}, "end"),
        (OneCycle, {"rate": 1, "steps": -5}, "steps"),
    ],
)
def test_impossible_settings(kind, settings, message) -> None:
    with pytest.raises(SettingError, match=message):
        kind(**settings)
