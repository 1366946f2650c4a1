"""Initialisers: their distributions, by moments and bounds, and their errors."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.errors import SettingError, ShapeError, UnknownNameError
from kokuban.nn.init import (
    INITIALISERS,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LeCunNormal,
    Normal,
    Ones,
    Orthogonal,
    Uniform,
    Zeros,
    named,
)

untimed = settings(deadline=None)

INPUTS, OUTPUTS = 300, 100  # unlike, so that fan_in and fan_out cannot be confused


def draw(initialiser: Callable[..., np.ndarray], seed: int = 0) -> np.ndarray:
    return initialiser(np.random.default_rng(seed), (INPUTS, OUTPUTS))


NORMAL = {
    "he": (HeNormal(), 2 / INPUTS),
    "glorot": (GlorotNormal(), 2 / (INPUTS + OUTPUTS)),
    "lecun": (LeCunNormal(), 1 / INPUTS),
    "plain": (Normal(0.3), 0.09),
}


@pytest.mark.parametrize("name", NORMAL)
def test_normal_draws(name) -> None:
    from scipy.stats import kstest

    initialiser, variance = NORMAL[name]
    w = draw(initialiser)
    # 30,000 draws: the variance is known to 0.8 %, tested at five times that
    assert w.var() == pytest.approx(variance, rel=0.04)
    assert kstest(w.ravel() / variance**0.5, "norm").pvalue > 1e-4


UNIFORM = {
    "he": (HeUniform(), -((6 / INPUTS) ** 0.5), (6 / INPUTS) ** 0.5),
    "glorot": (
        GlorotUniform(),
        -((6 / (INPUTS + OUTPUTS)) ** 0.5),
        (6 / (INPUTS + OUTPUTS)) ** 0.5,
    ),
    "plain": (Uniform(-1.0, 3.0), -1.0, 3.0),
}


@pytest.mark.parametrize("name", UNIFORM)
def test_uniform_draws(name) -> None:
    from scipy.stats import kstest

    initialiser, low, high = UNIFORM[name]
    w = draw(initialiser)
    assert low <= w.min() < low + 0.001 * (high - low)
    assert high - 0.001 * (high - low) < w.max() <= high
    assert kstest(w.ravel(), "uniform", args=(low, high - low)).pvalue > 1e-4


@untimed
@given(st.integers(1, 8), st.integers(1, 8), st.floats(0.1, 3.0), st.integers(0, 99))
def test_orthogonal(rows, columns, gain, seed) -> None:
    w = Orthogonal(gain)(np.random.default_rng(seed), (rows, columns))
    small = w.T @ w if rows >= columns else w @ w.T
    np.testing.assert_allclose(small, gain**2 * np.eye(min(rows, columns)), atol=1e-12)


def test_orthogonal_prefers_no_sign() -> None:
    """QR alone gives a first entry of one sign; an even draw gives both."""
    rng = np.random.default_rng(0)
    corners = [Orthogonal()(rng, (2, 2))[0, 0] for _ in range(200)]
    turns = [np.linalg.det(Orthogonal()(rng, (2, 2))) for _ in range(200)]
    assert 60 < sum(c > 0 for c in corners) < 140
    assert 60 < sum(t > 0 for t in turns) < 140


def test_constant_draws() -> None:
    assert np.array_equal(draw(Zeros()), np.zeros((INPUTS, OUTPUTS)))
    assert np.array_equal(draw(Ones()), np.ones((INPUTS, OUTPUTS)))
    assert np.array_equal(draw(Constant(0.1)), np.full((INPUTS, OUTPUTS), 0.1))


WITH_SETTINGS = {
    "constant": {"value": 0.5},
    "normal": {"std": 0.1},
    "uniform": {"low": -0.1, "high": 0.1},
}


@pytest.mark.parametrize("name", INITIALISERS)
def test_every_initialiser_by_name(name) -> None:
    initialiser = named(name, **WITH_SETTINGS.get(name, {}))
    assert type(initialiser) is INITIALISERS[name]
    w = draw(initialiser)
    assert w.shape == (INPUTS, OUTPUTS)
    assert w.dtype == np.float64
    assert np.array_equal(w, draw(initialiser))  # the same generator, the same draw
    assert pickle.loads(pickle.dumps(initialiser)) == initialiser
    assert hash(initialiser) == hash(named(name, **WITH_SETTINGS.get(name, {})))


@pytest.mark.parametrize("name", INITIALISERS)
def test_float32_begins_where_float64_does(name) -> None:
    initialiser = named(name, **WITH_SETTINGS.get(name, {}))
    single = initialiser(np.random.default_rng(0), (INPUTS, OUTPUTS), np.float32)
    assert single.dtype == np.float32
    assert np.array_equal(single, draw(initialiser).astype(np.float32))


@pytest.mark.parametrize("shape", [(700, 300), (3, 70_000), (70_000, 1)])
def test_draws_in_pieces_are_those_of_one_call(shape) -> None:
    at_once = np.random.default_rng(0).normal(0, 0.3, shape)
    np.testing.assert_array_equal(Normal(0.3)(np.random.default_rng(0), shape), at_once)
    at_once = np.random.default_rng(0).uniform(-1, 2, shape)
    np.testing.assert_array_equal(
        Uniform(-1, 2)(np.random.default_rng(0), shape), at_once
    )


def test_short_names_take_the_usual_variant() -> None:
    assert named("he") == HeNormal()
    assert named("glorot") == GlorotUniform()
    assert named("lecun") == LeCunNormal()


def test_settings_by_name() -> None:
    assert named("orthogonal", gain=2.0) == Orthogonal(2.0)
    assert named("normal", std=0.1) == Normal(0.1)


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"initialiser 'glorott'.*mean 'glorot'"):
        named("glorott")
    with pytest.raises(UnknownNameError, match=r"of Orthogonal 'gian'.*mean 'gain'"):
        named("orthogonal", gian=2.0)
    with pytest.raises(UnknownNameError, match=r"of HeNormal 'std'.*Known: none"):
        named("he", std=0.1)
    with pytest.raises(SettingError, match="Uniform needs low and high"):
        named("uniform")


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (Orthogonal, (0.0,), "gain is a finite number above 0, not 0.0"),
        (Orthogonal, (float("nan"),), "gain"),
        (Normal, (-1.0,), "Normal's std is a finite number of at least 0, not -1.0"),
        (Normal, ("wide",), "std.*'wide'"),
        (Normal, (True,), "std.*True"),
        (Uniform, (1.0, 1.0), "high is a finite number above low"),
        (Uniform, (float("-inf"), 1.0), "low"),
        (Uniform, (0.0, float("inf")), "high"),
        (Constant, (float("inf"),), "Constant's value is a finite number, not inf"),
        (Constant, (None,), "value.*None"),
    ],
)
def test_impossible_settings(kind, settings, message) -> None:
    with pytest.raises(SettingError, match=message):
        kind(*settings)


@pytest.mark.parametrize("shape", [(3,), (3, 0), ("N", 3), (2, 3, 4), (2.5, 3)])
def test_impossible_shapes(shape) -> None:
    with pytest.raises(ShapeError):
        Zeros()(np.random.default_rng(0), shape)


def test_types_that_are_not_floating() -> None:
    with pytest.raises(SettingError, match="floating numbers"):
        Zeros()(np.random.default_rng(0), (2, 2), np.int64)


def test_he_keeps_the_size_of_signals_through_relu() -> None:
    """What the factor 2 is for: twenty layers deep, the mean square stays near 1."""
    rng = np.random.default_rng(3)
    h = rng.normal(size=(200, 256))
    start = np.square(h).mean()
    for _ in range(20):
        u = h @ HeNormal()(rng, (256, 256))
        h = np.maximum(u, 0)
    assert 0.3 < np.square(u).mean() / 2 / start < 3


def test_every_initialiser_is_reached_from_the_public_name() -> None:
    assert kb.nn.init.named("he") == HeNormal()
