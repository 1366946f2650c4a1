"""The same run as scikit-learn's: start values, batches, losses, stopping.

scikit-learn is the oracle. Its own solvers share no code with ours, so that the curves
agree only if the loss, its gradient, the update and every random draw do.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neural_network as theirs
from sklearn.datasets import load_digits, make_multilabel_classification, make_regression

from kokuban import estimators as ours
from kokuban.estimators import network
from kokuban.run.vm import native

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)
ENGINES = ["numpy"] if native() is None else ["numpy", "native"]
CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(autouse=True, params=ENGINES)
def engine(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Every run on each engine, though an estimator takes whichever there is."""
    chosen = partial(network.Trainer, engine=request.param)
    monkeypatch.setattr(network, "Trainer", chosen)
    network._template.cache_clear()
    yield
    network._template.cache_clear()


@cache
def data(kind: str) -> tuple[str, np.ndarray, np.ndarray]:
    """The estimator's name, samples and targets."""
    x, y = load_digits(return_X_y=True)
    x, y = x[:400], y[:400]
    rng = np.random.default_rng(0)
    if kind == "numbers":
        x, t = make_regression(300, 8, noise=3, random_state=0)
        return "MLPRegressor", x, (t - t.mean()) / t.std()
    if kind == "rows of numbers":
        x, t = make_regression(300, 8, n_targets=3, noise=3, random_state=0)
        return "MLPRegressor", x, t / t.std(axis=0)
    if kind == "counts":
        x = rng.normal(size=(300, 4))
        return "MLPRegressor", x, rng.poisson(np.exp(x[:, 0] / 2))
    if kind == "rows of counts":
        x = rng.normal(size=(300, 4))
        return "MLPRegressor", x, rng.poisson(np.exp(x[:, :2] / 2))
    if kind == "several labels":
        x, t = make_multilabel_classification(300, 10, random_state=0)
        return "MLPClassifier", x, t
    if kind == "two words":
        return "MLPClassifier", x / 16, np.where(y % 2, "odd", "even")
    if kind == "raw digits":  # so large that probabilities reach 0 and are clipped
        return "MLPClassifier", x * 20, y
    return "MLPClassifier", x / 16, y


def both(
    kind: str, fit: dict[str, Any] | None = None, **settings: Any
) -> tuple[Any, Any]:
    """scikit-learn's estimator and ours, fitted alike."""
    name, x, y = data(kind)
    settings = {"max_iter": 10, "random_state": 0, **settings}
    pair = [getattr(module, name)(**settings) for module in (theirs, ours)]
    for estimator in pair:
        estimator.fit(x, y, **(fit or {}))
    return pair[0], pair[1]


def assert_same_run(a: Any, b: Any) -> None:
    assert_allclose(b.loss_curve_, a.loss_curve_, **CLOSE)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(b, name) == getattr(a, name), name
    assert b._no_improvement_count == a._no_improvement_count
    for mine, its in zip(b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True):
        assert mine.shape == its.shape
        assert mine.dtype == its.dtype
        assert_allclose(mine, its, **CLOSE)
    for name in ("loss_", "best_loss_", "best_validation_score_"):
        mine, its = getattr(b, name), getattr(a, name)
        assert (mine is None) == (its is None), name
        if its is not None:
            assert_allclose(mine, its, **CLOSE)
    assert (b.validation_scores_ is None) == (a.validation_scores_ is None)
    if a.validation_scores_ is not None:
        assert_allclose(b.validation_scores_, a.validation_scores_, **CLOSE)


SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {},
    "adam, other settings": {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 1e-3},
    "sgd, Nesterov": {"solver": "sgd", "learning_rate_init": 0.1},
    "sgd, momentum": {"solver": "sgd", "nesterovs_momentum": False, "momentum": 0.7},
    "sgd alone": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.3},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "power_t": 0.2},
    "adaptive": {
        "solver": "sgd",
        "learning_rate": "adaptive",
        "learning_rate_init": 0.5,
        "tol": 0.1,
        "n_iter_no_change": 1,
        "max_iter": 40,
    },
    "early stopping": {"early_stopping": True, "n_iter_no_change": 2, "tol": 0.02},
    "no shuffling": {"shuffle": False, "batch_size": 37},
    "a strong penalty": {"alpha": 30.0, "solver": "sgd"},
    "logistic, two layers": {"activation": "logistic", "hidden_layer_sizes": (20, 10)},
    "tanh": {"activation": "tanh", "batch_size": 50},
    "identity": {"activation": "identity", "hidden_layer_sizes": 7},
    "no hidden layer": {"hidden_layer_sizes": ()},
    "until nothing improves": {"tol": 0.5, "n_iter_no_change": 2, "max_iter": 40},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
@pytest.mark.parametrize("kind", ["digits", "numbers"])
def test_the_curve_is_scikit_learns(kind: str, settings: dict[str, Any]) -> None:
    assert_same_run(*both(kind, **settings))


def test_the_settings_above_stop_and_slow_down_where_they_should() -> None:
    adaptive, _ = both("digits", **SETTINGS["adaptive"])
    assert adaptive._optimizer.learning_rate < 0.5
    stopped, _ = both("digits", **SETTINGS["until nothing improves"])
    assert stopped.n_iter_ < 40


TARGETS: dict[str, dict[str, Any]] = {
    "digits": {},
    "raw digits": {},
    "two words": {"early_stopping": True},
    "several labels": {"early_stopping": True},
    "numbers": {"early_stopping": True},
    "rows of numbers": {"alpha": 5.0},
    "counts": {"loss": "poisson"},
    "rows of counts": {"loss": "poisson", "solver": "sgd"},
}


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("kind", TARGETS)
def test_every_kind_of_target(kind: str, weighted: bool) -> None:
    name, x, y = data(kind)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(x)) if weighted else None
    a, b = both(kind, {"sample_weight": weights}, **TARGETS[kind])
    assert_same_run(a, b)
    assert b.score(x, y) == pytest.approx(a.score(x, y))
    if name == "MLPRegressor":
        assert_allclose(b.predict(x), a.predict(x), **CLOSE)
    else:
        assert_array_equal(b.classes_, a.classes_)
        assert_array_equal(b.predict(x), a.predict(x))
        assert_allclose(b.predict_proba(x), a.predict_proba(x), **CLOSE)


def test_the_raw_digits_are_clipped() -> None:
    """What the case above is for: some true class has a probability below ε."""
    _, b = both("raw digits", max_iter=1)
    _, x, y = data("raw digits")
    likelihood = b.predict_proba(x)[np.arange(len(y)), y]
    assert likelihood.min() < np.finfo(float).eps


def test_a_generator_is_drawn_from_in_the_same_order() -> None:
    _, x, y = data("digits")
    generators = [np.random.RandomState(5) for _ in range(2)]
    for module, generator in zip((theirs, ours), generators, strict=True):
        module.MLPClassifier(max_iter=2, random_state=generator).fit(x, y)
    assert generators[0].randint(1 << 30) == generators[1].randint(1 << 30)


@pytest.mark.parametrize("kind", ["digits", "numbers"])
def test_float32_stays_and_follows_too(kind: str) -> None:
    name, x, y = data(kind)
    x = x.astype(np.float32)
    a, b = (
        getattr(module, name)(max_iter=10, random_state=0).fit(x, y)
        for module in (theirs, ours)
    )
    assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-4)
    assert {v.dtype for v in b.coefs_ + b.intercepts_} == {np.dtype(np.float32)}


@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["digits", "numbers"])
def test_warm_starts_go_on(kind: str, solver: str) -> None:
    name, x, y = data(kind)
    settings = {"max_iter": 4, "random_state": 1, "solver": solver, "warm_start": True}
    a, b = (getattr(module, name)(**settings) for module in (theirs, ours))
    for _ in range(3):
        a.fit(x, y)
        b.fit(x, y)
        assert_same_run(a, b)
    assert len(b.loss_curve_) == 12


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling"])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("kind", ["digits", "numbers", "several labels"])
def test_partial_fits_go_on(kind: str, solver: str, learning_rate: str) -> None:
    name, x, y = data(kind)
    settings = {"random_state": 1, "solver": solver, "learning_rate": learning_rate}
    a, b = (getattr(module, name)(**settings) for module in (theirs, ours))
    first = {} if name == "MLPRegressor" else {"classes": np.arange(len(y.T))}
    first = {"classes": np.arange(10)} if kind == "digits" else first
    for start in range(0, 200, 40):
        part = slice(start, start + 40)
        a.partial_fit(x[part], y[part], **first)
        b.partial_fit(x[part], y[part], **first)
    assert_same_run(a, b)
    assert len(b.loss_curve_) == 5


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    "kind", ["digits", "two words", "several labels", "numbers", "counts"]
)
def test_lbfgs_finds_the_same_minimum(kind: str, weighted: bool) -> None:
    _, x, _ = data(kind)
    weights = np.random.default_rng(1).uniform(0.1, 3, len(x)) if weighted else None
    settings = {"loss": "poisson"} if kind == "counts" else {}
    a, b = both(
        kind,
        {"sample_weight": weights},
        solver="lbfgs",
        hidden_layer_sizes=(3,),
        activation="tanh",
        alpha=10.0,
        max_iter=1000,
        tol=1e-5,
        **settings,
    )
    assert b.loss_ == pytest.approx(a.loss_, rel=1e-3)
    assert b.n_iter_ == pytest.approx(a.n_iter_, rel=0.3)


def test_lbfgs_of_several_outputs_minimises_what_its_gradient_says() -> None:
    """There scikit-learn pairs a loss averaged over outputs with a gradient summed."""
    settings = {"solver": "lbfgs", "hidden_layer_sizes": (5,), "max_iter": 1000}
    a, b = both("rows of numbers", **settings, tol=1e-5)
    assert b.loss_ <= a.loss_ * 1.01
    _, x, y = data("rows of numbers")
    penalty = b.alpha / 2 / len(x) * sum(np.sum(w**2) for w in b.coefs_)
    assert b.loss_ == pytest.approx(np.mean((b.predict(x) - y) ** 2) / 2 + penalty)
