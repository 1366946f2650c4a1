"""What all optimizers share: clipping, groups, names, records, errors."""

import json
import pickle
from dataclasses import FrozenInstanceError, dataclass, fields

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban import optim
from kokuban.errors import (
    ExpressionError,
    FileFormatError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from kokuban.optim.records import KINDS, OPTIMIZERS
from kokuban.run import Program

untimed = settings(deadline=None)

W, B = kb.parameter("W1", (2, 3)), kb.parameter("b1", (1, 3))
GW, GB = kb.input("GW", (2, 3)), kb.input("Gb", (1, 3))


def step(optimizer, gw, gb, w=None, b=None, dtype=np.float64) -> list[np.ndarray]:
    """The new W1 and b1 after the first update at rate 1, from 0 unless given."""
    updates = optimizer.updates([W, B], [GW, GB])
    values = {s: np.zeros(s.shape, dtype) for s in (W, B, *updates.slots)}
    values |= {GW: np.asarray(gw, dtype), GB: np.asarray(gb, dtype)}
    values |= {updates.rate: np.ones((1, 1), dtype), updates.step: np.ones((1, 1), dtype)}
    values |= {s: np.asarray(v, dtype) for s, v in ((W, w), (B, b)) if v is not None}
    return Program([updates.assignments[s] for s in (W, B)])(values, np, dtype)


# ---------------------------------------------------------------- updates


def test_updates_name_everything_a_loop_needs() -> None:
    updates = optim.Adam().updates([W, B], [GW, GB])
    names = ["Adam.m(W1)", "Adam.v(W1)", "Adam.m(b1)", "Adam.v(b1)"]
    assert [s.name for s in updates.slots] == names
    assert [s.shape for s in updates.slots] == [W.shape, W.shape, B.shape, B.shape]
    assert {s.role for s in updates.slots} == {"state"}
    assert list(updates.assignments) == [W, B, *updates.slots]
    assert all(e.shape == s.shape for s, e in updates.assignments.items())
    for symbol, name in ((updates.rate, "eta"), (updates.step, "t")):
        assert (symbol.name, symbol.role, symbol.shape) == (name, "setting", (1, 1))


def test_a_rule_without_memory_has_no_slots() -> None:
    updates = optim.SGD(0.1).updates([W], [GW])
    assert updates.slots == ()
    assert updates.assignments == {W: W - updates.rate * GW}


def test_no_parameters_make_no_updates() -> None:
    assert optim.Adam(clip_norm=1.0).updates([], []).assignments == {}


@pytest.mark.parametrize(
    ("parameters", "gradients", "error", "message"),
    [
        ([W], [GB], ShapeError, "'W1' is 1×3; it needs the shape of 'W1', 2×3"),
        ([W, B], [GW], ExpressionError, "2 parameters and 1 gradients"),
        ([W, W], [GW, GW], ExpressionError, "'W1' is given twice"),
        ([GW], [GW], ExpressionError, "Only parameters are learned"),
        ([W + W], [GW], ExpressionError, "Only parameters are learned"),
    ],
)
def test_pairs_that_do_not_fit(parameters, gradients, error, message) -> None:
    with pytest.raises(error, match=message):
        optim.SGD(0.1).updates(parameters, gradients)


# ---------------------------------------------------------------- clipping


@untimed
@given(st.integers(0, 1000), st.floats(1e-3, 10.0))
def test_clipping_by_norm_shortens_all_gradients_together(seed, bound) -> None:
    rng = np.random.default_rng(seed)
    gw, gb = rng.normal(size=(2, 3)), rng.normal(size=(1, 3))
    norm = np.sqrt((gw**2).sum() + (gb**2).sum())
    w, b = step(optim.SGD(1.0, clip_norm=bound), gw, gb)
    if norm <= bound:
        assert np.array_equal(w, -gw)  # untouched, to the last bit
        assert np.array_equal(b, -gb)
    else:
        np.testing.assert_allclose(w, -gw * bound / norm, rtol=1e-12)
        np.testing.assert_allclose((w**2).sum() + (b**2).sum(), bound**2, rtol=1e-12)


def test_clipping_by_value_holds_each_entry() -> None:
    gw, gb = [[1, -3, 0.5], [5, 0, -0.1]], [[-2, 2, 1]]
    w, b = step(optim.SGD(1.0, clip_value=1.0), gw, gb)
    assert w.tolist() == [[-1, 1, -0.5], [-1, 0, 0.1]]
    assert b.tolist() == [[1, -1, -1]]


def test_values_are_clipped_before_the_norm() -> None:
    gw, gb = [[100, 0, 0], [0, 0, 0]], [[1, 0, 0]]
    w, b = step(optim.SGD(1.0, clip_value=1.0, clip_norm=1.0), gw, gb)
    np.testing.assert_allclose([w[0, 0], b[0, 0]], [-(0.5**0.5)] * 2)


def test_weight_decay_comes_after_the_clipping() -> None:
    ones = np.ones((2, 3))
    w, _ = step(
        optim.SGD(1.0, clip_value=0.5, weight_decay=2.0), ones, np.ones((1, 3)), w=ones
    )
    np.testing.assert_allclose(w, ones - (0.5 + 2.0))


def test_clipping_lets_nan_and_infinity_through() -> None:
    for bad in (np.nan, np.inf):
        gw = np.full((2, 3), bad)
        with np.errstate(invalid="ignore"):
            w, _ = step(optim.SGD(1.0, clip_norm=1.0), gw, np.ones((1, 3)))
        assert np.isnan(w).all()


def test_zero_gradients_stay_zero() -> None:
    for name in OPTIMIZERS:
        optimizer = optim.named(name, clip_norm=1.0, weight_decay=0.0)
        w, _ = step(optimizer, np.zeros((2, 3)), np.zeros((1, 3)), w=np.ones((2, 3)))
        assert np.array_equal(w, np.ones((2, 3)))


# ---------------------------------------------------------------- groups


def test_groups_set_a_parameters_decay_and_rate() -> None:
    groups = {"b*": {"weight_decay": 0.0}, "W?": {"rate_factor": 0.1}}
    ones = np.ones
    optimizer = optim.SGD(1.0, weight_decay=0.5, groups=groups)
    w, b = step(optimizer, ones((2, 3)), ones((1, 3)), w=ones((2, 3)), b=ones((1, 3)))
    np.testing.assert_allclose(w, 1 - 0.1 * (1 + 0.5))
    np.testing.assert_allclose(b, 1 - 1)


def test_a_later_pattern_decides_setting_by_setting() -> None:
    groups = {
        "*": {"weight_decay": 0.5, "rate_factor": 2.0},
        "W1": {"weight_decay": 0.25},
    }
    ones = np.ones
    w, b = step(
        optim.SGD(1.0, groups=groups),
        np.zeros((2, 3)),
        np.zeros((1, 3)),
        w=ones((2, 3)),
        b=ones((1, 3)),
    )
    np.testing.assert_allclose(w, 1 - 2 * 0.25)
    np.testing.assert_allclose(b, 1 - 2 * 0.5)


def test_groups_reach_decoupled_decay() -> None:
    groups = {"b1": {"weight_decay": 0.0}, "W1": {"rate_factor": 0.5}}
    zeros, ones = np.zeros, np.ones
    w, b = step(
        optim.AdamW(1.0, weight_decay=0.1, groups=groups),
        zeros((2, 3)),
        zeros((1, 3)),
        w=ones((2, 3)),
        b=ones((1, 3)),
    )
    np.testing.assert_allclose(w, 1 - 0.5 * 0.1)
    np.testing.assert_allclose(b, 1)


def test_rate_factor_reaches_every_rule() -> None:
    gw, gb = np.full((2, 3), 0.5), np.ones((1, 3))
    for name in OPTIMIZERS:
        plain, _ = step(optim.named(name), gw, gb)
        tenth, _ = step(optim.named(name, groups={"W1": {"rate_factor": 0.1}}), gw, gb)
        np.testing.assert_allclose(tenth, 0.1 * plain, rtol=1e-12)


def test_a_pattern_that_matches_nothing() -> None:
    optimizer = optim.SGD(0.1, groups={"W2": {"weight_decay": 0.0}})
    with pytest.raises(UnknownNameError, match=r"in groups 'W2'.*mean 'W1'"):
        optimizer.updates([W, B], [GW, GB])


def test_an_unknown_group_setting() -> None:
    with pytest.raises(UnknownNameError, match=r"'weight_decy'.*mean 'weight_decay'"):
        optim.SGD(0.1, groups={"b*": {"weight_decy": 0.0}})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ({"b*": {"weight_decay": -1.0}}, r"groups\['b\*'\]\['weight_decay'\].*-1"),
        ({"b*": {"rate_factor": float("nan")}}, "rate_factor.*nan"),
        ({"b*": 0.5}, "pattern of names, not 0.5"),
        ([("b*", {})], "groups are a mapping"),
        ({1: {"rate_factor": 0.5}}, r"groups\[1\]"),
    ],
)
def test_impossible_groups(groups, message) -> None:
    with pytest.raises(SettingError, match=message):
        optim.SGD(0.1, groups=groups)


def test_groups_are_copied() -> None:
    given = {"b1": {"weight_decay": 0.0}}
    optimizer = optim.SGD(0.1, groups=given)
    given["b1"]["weight_decay"] = 5.0
    assert optimizer.groups == {"b1": {"weight_decay": 0.0}}


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("SGD", {"rate": -0.1}, "SGD's rate is a finite number of at least 0, not -0.1"),
        ("SGD", {"rate": float("nan")}, "rate.*nan"),
        ("SGD", {"rate": float("inf")}, "rate.*inf"),
        ("SGD", {"rate": "fast"}, "rate.*'fast'"),
        ("SGD", {"rate": True}, "rate.*True"),
        ("SGD", {"rate": 0.1, "weight_decay": -1}, "weight_decay.*-1"),
        ("SGD", {"rate": 0.1, "clip_norm": 0}, "clip_norm.*above 0, not 0"),
        ("SGD", {"rate": 0.1, "clip_value": -2}, "clip_value.*above 0, not -2"),
        ("Momentum", {"momentum": 1.1}, "Momentum's momentum.*from 0 to 1, not 1.1"),
        ("Nesterov", {"momentum": -0.1}, "Nesterov's momentum"),
        ("RMSprop", {"decay": 1.0}, "decay.*at least 0 and below 1, not 1.0"),
        ("RMSprop", {"epsilon": 0.0}, "epsilon.*above 0, not 0.0"),
        ("Adagrad", {"epsilon": -1e-8}, "epsilon"),
        ("Adam", {"beta1": 1.0}, "Adam's beta1"),
        ("Adam", {"beta2": -0.5}, "Adam's beta2"),
        ("Adam", {"beta2": None}, "Adam's beta2.*None"),
        ("Adam", {"epsilon_at": "inside"}, "one of corrected, raw, not 'inside'"),
        ("AdamW", {"epsilon": float("nan")}, "AdamW's epsilon"),
        ("AdamW", {"weight_decay": float("inf")}, "AdamW's weight_decay"),
    ],
)
def test_impossible_settings(kind, settings, message) -> None:
    with pytest.raises(SettingError, match=message):
        getattr(optim, kind)(**settings)


def test_settings_are_plain_numbers_and_do_not_change() -> None:
    optimizer = optim.Adam(np.float32(0.5), clip_norm=np.int64(2))
    assert (type(optimizer.rate), optimizer.rate) == (float, 0.5)
    assert (type(optimizer.clip_norm), optimizer.clip_norm) == (float, 2.0)
    with pytest.raises(FrozenInstanceError):
        optimizer.rate = 0.1


def test_only_the_rate_is_given_by_place() -> None:
    with pytest.raises(TypeError):
        optim.SGD(0.1, 1.0)
    with pytest.raises(TypeError):
        optim.Adam(0.1, 0.9)


def test_every_docstring_gives_equation_and_source() -> None:
    for kind in OPTIMIZERS.values():
        assert "w ← w" in kind.__doc__
        assert any(f"({year}" in kind.__doc__ for year in range(1951, 2020))


def test_a_schedule_gives_the_rate() -> None:
    optimizer = optim.SGD(optim.Step(0.5, every=2))
    assert optimizer.rate_at(optim.Progress(0, epoch=1)) == 0.5
    assert optimizer.rate_at(optim.Progress(0, epoch=2)) == 0.05
    assert optim.SGD(0.25).rate_at(optim.Progress(7)) == 0.25


@dataclass(frozen=True)
class Falling(optim.Schedule):
    """Someone's own schedule, which falls below zero."""

    def __call__(self, at: optim.Progress) -> float:
        return 1.0 - at.step


def test_a_schedule_of_ones_own_is_held_to_the_range() -> None:
    optimizer = optim.SGD(Falling())
    assert optimizer.rate_at(optim.Progress(0)) == 1.0
    with pytest.raises(SettingError, match=r"rate after 3 updates.*-2\.0"):
        optimizer.rate_at(optim.Progress(3))


# ---------------------------------------------------------------- names and records


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_by_name(name) -> None:
    optimizer = optim.named(name, rate=0.5)
    assert type(optimizer).__name__.lower() == name
    assert optimizer.rate == 0.5


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"optimizer 'adm'.*mean 'adam'"):
        optim.named("adm")
    with pytest.raises(UnknownNameError, match=r"of Adam 'betta1'.*mean 'beta1'"):
        optim.named("adam", betta1=0.5)


RECORDED = [
    *(optim.named(name) for name in OPTIMIZERS),
    optim.SGD(optim.WarmUp(3, optim.Cosine(0.1, final=0.01))),
    optim.AdamW(
        optim.OneCycle(1 / 3, steps=10),
        beta1=0.1 + 0.2,
        clip_norm=1,
        clip_value=2,
        groups={"b*": {"weight_decay": 0}, "W1": {"rate_factor": 1 / 3}},
    ),
    optim.Constant(0.1),
    optim.Step(0.1, every=3, unit="step"),
    optim.InverseScaling(0.1, power=0.25, unit="sample"),
    optim.WarmUp(3, 0.1),
]


@pytest.mark.parametrize("item", RECORDED, ids=repr)
def test_records_come_back_through_json_and_pickle(item) -> None:
    text = json.dumps(optim.to_dict(item), allow_nan=False)
    back = optim.from_dict(json.loads(text))
    assert type(back) is type(item)
    assert back == item
    assert pickle.loads(pickle.dumps(item)) == item
    assert hash(back) == hash(item)


def test_every_public_kind_can_be_recorded() -> None:
    public = {
        name
        for name in optim.__all__
        if isinstance(kind := getattr(optim, name), type)
        and issubclass(kind, optim.Optimizer | optim.Schedule)
    }
    assert public - {"Optimizer", "Schedule"} == set(KINDS)


def test_a_record_names_every_field() -> None:
    for item in RECORDED:
        names = {"kind", *(f.name for f in fields(item))}
        assert set(optim.to_dict(item)) == names


def test_a_schedule_of_ones_own_cannot_be_recorded() -> None:
    with pytest.raises(SettingError, match="Falling cannot be written to a file"):
        optim.to_dict(optim.SGD(Falling()))


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"kind": "Adamm"},
        {"kind": ["Adam"]},
        {"kind": "Adam", "beta3": 0.5},
        {"kind": "Adam", "beta1": 2.0},
        {"kind": "Adam", "rate": "0.1"},
        {"kind": "Adam", "rate": {"kind": "Adam"}},
        {"kind": "Adam", "rate": {"rate": 0.1}},
        {"kind": "Adam", "groups": {"b*": {"decay": 0.1}}},
        {"kind": "Cosine"},
        {"kind": "Cosine", "rate": {"kind": "Constant", "rate": 0.1}},
        {"kind": "WarmUp", "steps": 2.5, "then": 0.1},
    ],
    ids=repr,
)
def test_damaged_records(data) -> None:
    with pytest.raises(FileFormatError):
        optim.from_dict(data)
