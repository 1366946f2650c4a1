"""What scikit-learn's MLP has not: layers, losses, optimizers, validation, weights."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import (
    d2_absolute_error_score,
    get_scorer,
    log_loss,
    mean_absolute_error,
    mean_pinball_loss,
)
from sklearn.utils.class_weight import compute_sample_weight

import kokuban as kb
from kokuban.errors import DataError, NonFiniteError, SettingError, UnknownNameError
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor
from kokuban.expr import Expr

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)

Data = tuple[np.ndarray, np.ndarray]


@pytest.fixture
def iris() -> Data:
    x, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    return ((x - x.mean(axis=0)) / x.std(axis=0))[order], y[order]


@pytest.fixture
def numbers() -> Data:
    x, y = load_diabetes(return_X_y=True)
    return x / x.std(axis=0), (y - y.mean()) / y.std()


# ---------------------------------------------------------------- layers

nn = kb.nn
LAYERS: dict[str, tuple[dict[str, Any], list[nn.Layer]]] = {
    "dropout": (
        {"dropout": 0.4},
        [
            nn.Affine(4, 8), nn.ReLU(), nn.Dropout(0.4),
            nn.Affine(8, 6), nn.ReLU(), nn.Dropout(0.4), nn.Affine(6, 3),
        ],
    ),
    "dropout by layer": (
        {"dropout": (0.0, 0.5)},
        [
            nn.Affine(4, 8), nn.ReLU(),
            nn.Affine(8, 6), nn.ReLU(), nn.Dropout(0.5), nn.Affine(6, 3),
        ],
    ),
    "batch": (
        {"normalization": "batch"},
        [
            nn.Affine(4, 8), nn.BatchNorm(8), nn.ReLU(),
            nn.Affine(8, 6), nn.BatchNorm(6), nn.ReLU(), nn.Affine(6, 3),
        ],
    ),
    "layer": (
        {"normalization": "layer", "activation": ("tanh", "gelu")},
        [
            nn.Affine(4, 8), nn.LayerNorm(8), nn.Tanh(),
            nn.Affine(8, 6), nn.LayerNorm(6), nn.GELU(), nn.Affine(6, 3),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_the_layers_are_those_of_a_model(name: str, iris: Data) -> None:
    """The same run as kokuban.Model's, of layers put together by hand."""
    x, y = iris
    settings, layers = LAYERS[name]
    rule = kb.optim.SGD(0.2)
    fitted = MLPClassifier(
        (8, 6), solver=rule, alpha=0, batch_size=32, shuffle=False, max_iter=6,
        random_state=0, **settings,
    )  # fmt: skip
    start = clone(fitted).set_params(max_iter=1, solver=kb.optim.SGD(0.0)).fit(x, y)
    fitted.fit(x, y)
    model = kb.Model(nn.Sequential(*layers), "softmax_cross_entropy", dtype=np.float64)
    for k in (1, 2, 3):
        model[f"W{k}"] = start.coefs_[k - 1]
        model[f"b{k}"] = start.intercepts_[k - 1][None]
    history = model.fit(
        x, y, optimizer=rule, epochs=6, batch_size=32, shuffle=False,
        seed=fitted._optimizer.seed,
    )  # fmt: skip
    assert_allclose(fitted.loss_curve_, history["loss"], rtol=1e-9)
    assert_allclose(fitted.predict_proba(x), model.predict(x), rtol=1e-7)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]
    assert set(fitted.norms_) == {s.name for s in model.network.values} - {
        f"{w}{k}" for w in "Wb" for k in (1, 2, 3)
    }


def test_dropout_is_another_in_each_step_and_the_same_again(iris: Data) -> None:
    x, y = iris
    settings: dict[str, Any] = {"dropout": 0.5, "batch_size": 150, "max_iter": 5}
    settings |= {"solver": kb.optim.SGD(0.0)}  # nothing moves, so only the mask does
    first, again = (MLPClassifier(random_state=3, **settings).fit(x, y) for _ in "ab")
    assert len(set(first.loss_curve_)) == 5
    assert first.loss_curve_ == again.loss_curve_
    other = MLPClassifier(random_state=4, **settings).fit(x, y)
    assert set(first.loss_curve_).isdisjoint(other.loss_curve_)


def test_partial_fits_with_dropout_are_the_epochs_of_a_fit(iris: Data) -> None:
    x, y = iris
    settings: dict[str, Any] = {"dropout": 0.3, "normalization": "batch"}
    whole = MLPClassifier(max_iter=3, shuffle=False, random_state=0, **settings).fit(x, y)
    parts = MLPClassifier(shuffle=False, random_state=0, **settings)
    for _ in range(3):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    assert parts.loss_curve_ == whole.loss_curve_
    assert_array_equal(parts.predict_proba(x), whole.predict_proba(x))


def test_an_autoencoder_mirrors_its_hidden_layers(iris: Data) -> None:
    x, _ = iris
    fitted = Autoencoder((3, 2), ["tanh", "logistic"], tied=True, max_iter=3).fit(x)
    (w1, w2), (b1, b2, c1, c2) = fitted.coefs_, fitted.intercepts_
    code = 1 / (1 + np.exp(-(np.tanh(x @ w1 + b1) @ w2 + b2)))
    assert_allclose(fitted.transform(x), code)
    back = np.tanh(code @ w2.T + c1) @ w1.T + c2
    assert_allclose(fitted.inverse_transform(code), back)
    normed = Autoencoder((3, 2), normalization="batch", dropout=(0, 0.1), max_iter=2)
    assert set(normed.fit(x).norms_) == {
        f"{part}{k})" if "(" in part else f"{part}{k}"
        for part in ("scale", "shift", "mean(scale", "variance(scale")
        for k in (1, 2, 3)
    }


# ---------------------------------------------------------------- activations


def curve(x: np.ndarray, y: np.ndarray, **settings: Any) -> list[float]:
    settings = {"max_iter": 5, "random_state": 0, "hidden_layer_sizes": (7, 5)} | settings
    found: list[float] = MLPClassifier(**settings).fit(x, y).loss_curve_
    return found


def test_an_activation_may_be_a_function(iris: Data) -> None:
    x, y = iris
    named = curve(x, y, activation="tanh")
    assert curve(x, y, activation=kb.tanh) == named
    assert curve(x, y, activation=["tanh", "tanh"]) == named
    assert curve(x, y, activation=("tanh", lambda u: 2 * kb.sigmoid(2 * u) - 1)) == (
        pytest.approx(named)
    )
    assert curve(x, y, activation=partial(kb.leaky_relu, slope=0.01)) == curve(
        x, y, activation="leaky_relu"
    )
    assert curve(x, y, activation="logistic") != curve(x, y, activation="sigmoid")


def test_start_values_follow_each_layers_activation(iris: Data) -> None:
    x, y = iris
    mixed = MLPClassifier((50, 50), ["relu", "logistic"], max_iter=1, random_state=0)
    mixed.set_params(solver=kb.optim.SGD(0.0)).fit(x, y)
    for w, factor in zip(mixed.coefs_, (6, 2, 2), strict=True):
        bound = np.sqrt(factor / sum(w.shape))
        assert 0.9 * bound < np.abs(w).max() <= bound


def test_an_output_activation(numbers: Data) -> None:
    x, y = numbers
    y = (y - y.min()) / np.ptp(y)
    fitted = MLPRegressor(
        hidden_layer_sizes=(6,), output_activation="sigmoid", max_iter=50, random_state=0
    ).fit(x, y)
    (w1, w2), (b1, b2) = fitted.coefs_, fitted.intercepts_
    u = np.maximum(x @ w1 + b1, 0) @ w2 + b2
    assert_allclose(fitted.predict(x), (1 / (1 + np.exp(-u))).ravel())
    assert fitted.out_activation_ == "sigmoid"
    assert 0 < fitted.predict(x * 10).min() <= fitted.predict(x * 10).max() < 1


# ---------------------------------------------------------------- losses


def huber(t: np.ndarray, y: np.ndarray, sample_weight: np.ndarray | None = None) -> float:
    r = np.abs(t - y)
    losses = np.where(r <= 1, r**2 / 2, r - 0.5)
    return float(np.average(losses, weights=sample_weight))


NUMBER_LOSSES: dict[str, tuple[Any, Any]] = {
    "mae": ("mae", mean_absolute_error),
    "absolute_error": ("absolute_error", mean_absolute_error),
    "huber": ("huber", huber),
    "quantile": ("quantile", partial(mean_pinball_loss, alpha=0.5)),
    "level": (partial(kb.quantile, level=0.9), partial(mean_pinball_loss, alpha=0.9)),
    "entries": (lambda y, t: kb.abs(y - t), mean_absolute_error),
    "rows": (lambda y, t: kb.sum(kb.abs(y - t), over="columns"), mean_absolute_error),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("solver", ["lbfgs", "adam"])
@pytest.mark.parametrize("name", NUMBER_LOSSES)
def test_the_loss_is_the_metric(
    name: str, solver: str, weighted: bool, numbers: Data
) -> None:
    x, y = numbers
    loss, metric = NUMBER_LOSSES[name]
    w = np.random.default_rng(0).uniform(0.1, 2, len(x)) if weighted else None
    fitted = MLPRegressor(loss, (5,), "tanh", solver=solver, alpha=0, max_iter=30)
    fitted.set_params(random_state=0, learning_rate_init=0.01)
    if solver == "lbfgs":
        found = fitted.fit(x, y, w).loss_
    else:
        fitted.fit(x, y, w, X_val=x, y_val=y, sample_weight_val=w)
        found = fitted.history_["val_loss"][-1]
    assert found == pytest.approx(metric(y, fitted.predict(x), sample_weight=w))
    assert found < metric(y, np.full(len(y), np.median(y)), sample_weight=w)


def test_a_quantile_is_one(numbers: Data) -> None:
    x, y = numbers
    loss = partial(kb.quantile, level=0.8)
    fitted = MLPRegressor(loss, (5,), solver="lbfgs", alpha=0, random_state=0).fit(x, y)
    assert np.mean(y <= fitted.predict(x)) == pytest.approx(0.8, abs=0.02)


def test_one_number_for_all_rows_is_computed_of_all_rows() -> None:
    """A sum is no mean, so that parts of the rows could not be put together."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(1200, 3)), rng.normal(size=1200)

    def total(y: Expr, t: Expr) -> Expr:
        return kb.half_sum_of_squares(y, t)

    settings: dict[str, Any] = {"solver": "lbfgs", "alpha": 0, "random_state": 0}
    fitted = MLPRegressor(total, (4,), max_iter=3, **settings).fit(x, y)
    assert fitted.loss_ == pytest.approx(0.5 * np.sum((fitted.predict(x) - y) ** 2))


def test_a_classifiers_own_loss_sees_probabilities(iris: Data) -> None:
    x, y = iris
    for labels, own in ((y, kb.cross_entropy), (y == 1, kb.binary_cross_entropy)):
        assert_allclose(curve(x, labels, loss=own), curve(x, labels), rtol=1e-9)

    def focal(y: Expr, t: Expr) -> Expr:
        return -(t * (1 - y) ** 2 * kb.log(y))

    fitted = MLPClassifier(loss=focal, alpha=0, solver="lbfgs", max_iter=5).fit(x, y)
    p = fitted.predict_proba(x)[np.arange(len(y)), y]
    assert fitted.loss_ == pytest.approx(np.mean(-((1 - p) ** 2) * np.log(p)) / 3)


def test_an_autoencoders_loss(iris: Data) -> None:
    x, _ = iris
    fitted = Autoencoder((2,), loss="mae", solver="lbfgs", alpha=0, max_iter=20).fit(x)
    y = fitted.inverse_transform(fitted.transform(x))
    assert fitted.loss_ == pytest.approx(np.mean(np.abs(y - x)))


# ---------------------------------------------------------------- optimizers, schedules


def test_any_optimizer_is_a_solver(numbers: Data) -> None:
    x, y = numbers
    rule = kb.optim.AdamW(0.01, weight_decay=0.5, groups={"b*": {"weight_decay": 0.0}})
    fitted = MLPRegressor(
        hidden_layer_sizes=(), solver=rule, alpha=0, batch_size=len(x), max_iter=1,
        random_state=0,
    )  # fmt: skip
    start = clone(fitted).set_params(solver=kb.optim.SGD(0.0)).fit(x, y)
    (w,), (b,) = start.coefs_, start.intercepts_
    slope = (x @ w + b - y[:, None]) / len(x)
    fitted.fit(x, y)
    # Adam's first step is the rate times the sign of the gradient; AdamW's decay is apart
    expected = w - 0.01 * (np.sign(x.T @ slope) + 0.5 * w)
    assert_allclose(fitted.coefs_[0], expected, rtol=1e-4)
    assert_allclose(fitted.intercepts_[0], b - 0.01 * np.sign(slope.sum(0)), rtol=1e-4)


def test_adam_by_name_and_as_an_optimizer_are_one(numbers: Data) -> None:
    x, y = numbers
    rule = kb.optim.Adam(0.003, epsilon_at="raw")
    settings: dict[str, Any] = {"max_iter": 4, "random_state": 0}
    named = MLPRegressor(learning_rate_init=0.003, **settings).fit(x, y)
    assert (
        MLPRegressor(solver=rule, **settings).fit(x, y).loss_curve_ == named.loss_curve_
    )


@pytest.mark.parametrize("where", ["learning_rate", "solver"])
def test_a_schedule_gives_each_steps_rate(where: str, numbers: Data) -> None:
    x, y = numbers
    schedule: Any = kb.optim.Cosine(0.1)
    rate = schedule if where == "learning_rate" else kb.optim.Adam(schedule)
    fitted = MLPRegressor(max_iter=6, batch_size=100, random_state=0, **{where: rate})
    fitted.fit(x, y)
    last = np.arange(4, 30, 5)  # of 5 steps an epoch
    assert_allclose(
        fitted.history_["rate"], 0.05 + 0.05 * np.cos(np.pi * last / 30), rtol=1e-12
    )


def test_a_schedules_first_steps_by_hand(numbers: Data) -> None:
    x, y = numbers
    rates = [0.3, 0.3, 0.03, 0.03]
    schedule = kb.optim.Step(0.3, every=2)
    fitted = MLPRegressor(
        hidden_layer_sizes=(), solver="sgd", momentum=0, learning_rate=schedule, alpha=0,
        batch_size=len(x), max_iter=4, random_state=0,
    )  # fmt: skip
    start = clone(fitted).set_params(solver=kb.optim.SGD(0.0), learning_rate="constant")
    start.set_params(max_iter=1).fit(x, y)
    w, b = start.coefs_[0], start.intercepts_[0]
    for rate in rates:
        slope = (x @ w + b - y[:, None]) / len(x)
        w, b = w - rate * x.T @ slope, b - rate * slope.sum(axis=0)
    assert_allclose(fitted.fit(x, y).coefs_[0], w)
    parts = clone(fitted)
    for _ in rates:
        parts.partial_fit(x, y)
    assert_allclose(parts.coefs_[0], w)


# ---------------------------------------------------------------- validation, stopping


def test_given_validation_data_are_measured_each_epoch(iris: Data) -> None:
    x, y = iris
    w = np.random.default_rng(0).uniform(0.1, 2, 50)
    fitted = MLPClassifier(max_iter=7, alpha=3.0, random_state=0)
    fitted.fit(x[:100], y[:100], X_val=x[100:], y_val=y[100:], sample_weight_val=w)
    history = fitted.history_
    assert history["loss"] == fitted.loss_curve_
    assert len(history["val_loss"]) == len(history["val_score"]) == 7
    p = fitted.predict_proba(x[100:])
    assert history["val_loss"][-1] == pytest.approx(log_loss(y[100:], p, sample_weight=w))
    assert history["val_score"][-1] == pytest.approx(fitted.score(x[100:], y[100:], w))
    assert fitted.validation_scores_ is None  # nothing was stopped by them
    plain = MLPClassifier(max_iter=7, alpha=3.0, random_state=0).fit(x[:100], y[:100])
    assert plain.loss_curve_ == fitted.loss_curve_


def test_early_stopping_by_given_data_trains_on_all_rows(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier(
        early_stopping=True, n_iter_no_change=3, learning_rate_init=0.05, random_state=0
    ).fit(x[:100], y[:100], X_val=x[100:], y_val=y[100:])
    assert fitted.t_ == 100 * fitted.n_iter_
    assert fitted.n_iter_ < 200
    assert fitted.score(x[100:], y[100:]) == fitted.best_validation_score_
    assert fitted.history_.stopped == "early stopping"
    assert fitted.history_["val_score"] == fitted.validation_scores_
    best = fitted.history_.best_epoch
    assert fitted.validation_scores_[best - 1] == fitted.best_validation_score_


def own_scorer(estimator: Any, x: Any, y: Any, sample_weight: Any = None) -> float:
    p = estimator.predict_proba(x)
    return -log_loss(y, p, labels=estimator.classes_, sample_weight=sample_weight)


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize(
    "scoring",
    ["neg_log_loss", "f1_macro", "loss", own_scorer],
    ids=["log", "f1", "loss", "own"],
)
def test_any_metric_can_stop(scoring: Any, weighted: bool, iris: Data) -> None:
    x, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    w = np.random.default_rng(0).uniform(0.1, 2, 50) if weighted else None
    fitted = MLPClassifier(
        (9,), scoring=scoring, early_stopping=True, max_iter=15, random_state=0
    ).fit(x[:100], names[:100], X_val=x[100:], y_val=names[100:], sample_weight_val=w)
    scorer = {"loss": get_scorer("neg_log_loss"), own_scorer: own_scorer}.get(scoring)
    scorer = get_scorer(scoring) if scorer is None else scorer
    found = scorer(fitted, x[100:], names[100:], sample_weight=w)
    assert fitted.best_validation_score_ == pytest.approx(found, rel=1e-9)


def test_a_scorer_meets_columns_with_names() -> None:
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    fitted = MLPRegressor(
        scoring="d2_absolute_error_score", early_stopping=True, max_iter=5
    ).fit(x, y, X_val=x, y_val=y)
    assert fitted.best_validation_score_ == pytest.approx(
        d2_absolute_error_score(y, fitted.predict(x))
    )


def test_why_training_ended(iris: Data) -> None:
    x, y = iris
    assert MLPClassifier(max_iter=2).fit(x, y).history_.stopped == "epochs"
    calm = MLPClassifier(tol=10.0, n_iter_no_change=1).fit(x, y)
    assert calm.history_.stopped == "early stopping"
    wild = MLPRegressor(
        activation="identity", solver="sgd", learning_rate_init=0.4, max_iter=1000,
        early_stopping=True, random_state=0,
    ).fit(x, y)  # fmt: skip
    assert wild.history_.stopped == "diverged"
    assert wild.history_.best_epoch is not None


def test_the_curves_can_be_drawn(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier(max_iter=3, early_stopping=True).fit(x, y)
    axes = fitted.history_.plot().axes
    assert [line.get_label() for line in axes[0].lines][:2] == ["loss", "val_loss"]


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, "adam did not converge"),
        ({"solver": "lbfgs"}, "lbfgs did not converge"),
        ({"batch_size": 1000, "tol": 9.0, "n_iter_no_change": 1}, "batch_size=1000"),
    ],
    ids=["adam", "lbfgs", "batch"],
)
def test_a_warning_points_to_the_call_of_fit(
    settings: dict[str, Any], text: str, iris: Data
) -> None:
    fitted = MLPClassifier(**({"max_iter": 3} | settings))
    with pytest.warns(UserWarning, match=text) as caught:
        fitted.fit(*iris)
    assert {w.filename for w in caught} == {__file__}


# ---------------------------------------------------------------- weights of classes


@pytest.mark.parametrize("weights", ["balanced", {0: 3.0, 2: 0.5}], ids=str)
def test_class_weights_are_sample_weights(weights: Any, iris: Data) -> None:
    x, y = iris
    x, y = x[y + np.arange(len(y)) % 3 > 0], y[y + np.arange(len(y)) % 3 > 0]
    own = np.random.default_rng(0).uniform(0.5, 2, len(y))
    settings: dict[str, Any] = {"max_iter": 5, "random_state": 0, "early_stopping": True}
    found = MLPClassifier(class_weight=weights, **settings).fit(x, y, own)
    by_hand = own * compute_sample_weight(weights, y)
    if weights == "balanced":
        counts = np.bincount(y, own)
        by_hand = own * (own.sum() / 3 / counts)[y]
        assert_allclose(np.bincount(y, by_hand), own.sum() / 3)
    expected = MLPClassifier(**settings).fit(x, y, by_hand)
    assert_allclose(found.loss_curve_, expected.loss_curve_, rtol=1e-12)
    assert_allclose(found.validation_scores_, expected.validation_scores_, rtol=1e-12)


def test_a_weight_counts_like_repetition_for_balanced_classes(iris: Data) -> None:
    x, y = iris
    often = np.random.default_rng(0).integers(0, 3, len(y))
    settings: dict[str, Any] = {"solver": "lbfgs", "max_iter": 5, "random_state": 0}
    settings |= {"class_weight": "balanced", "alpha": 0}
    found = MLPClassifier(**settings).fit(x, y, often)
    other = MLPClassifier(**settings).fit(np.repeat(x, often, 0), np.repeat(y, often))
    assert found.loss_ == pytest.approx(other.loss_, rel=1e-9)
    absent = MLPClassifier(**settings).fit(x, y, often * (y > 0))
    assert np.isfinite(absent.loss_)


def test_class_weights_of_two_classes_and_of_one(iris: Data) -> None:
    x, y = iris
    labels = np.where(y == 0, "yes", "no")
    settings: dict[str, Any] = {"max_iter": 3, "random_state": 0}
    found = MLPClassifier(class_weight={"yes": 5.0}, **settings).fit(x, labels)
    by_hand = np.where(y == 0, 5.0, 1.0)
    assert (
        found.loss_curve_ == MLPClassifier(**settings).fit(x, labels, by_hand).loss_curve_
    )
    MLPClassifier(class_weight="balanced", **settings).fit(x, ["one"] * len(x))


def test_class_weights_in_parts(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier(class_weight={2: 9.0}, random_state=0)
    fitted.partial_fit(x[y < 2], y[y < 2], classes=[0, 1, 2]).partial_fit(x, y)
    other = MLPClassifier(random_state=0).partial_fit(
        x[y < 2], y[y < 2], classes=[0, 1, 2]
    )
    other.partial_fit(x, y, np.where(y == 2, 9.0, 1.0))
    assert_allclose(fitted.predict_proba(x), other.predict_proba(x))


# ---------------------------------------------------------------- wrong input


@dataclass
class Unhashable:
    slope: float = 0.1

    def __call__(self, u: Expr) -> Expr:
        return kb.leaky_relu(u, slope=self.slope)


WRONG: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"activation": ["relu"]}, SettingError, "activation holds 1 values.*there are 2"),
    ({"activation": ["relu", "tnah"]}, UnknownNameError, "Did you mean 'tanh'"),
    ({"activation": ["relu", 3]}, SettingError, "activation must be a name or a func"),
    ({"activation": Unhashable()}, SettingError, "must be hashable"),
    ({"activation": lambda u: u @ u.T}, SettingError, "gets, N×5; it gives N×N"),
    ({"activation": lambda u: None}, SettingError, "<lambda> must .*it gives None"),
    ({"dropout": [0.1]}, SettingError, "dropout holds 1 values.*there are 2"),
    ({"dropout": 1.0}, ValueError, "'dropout' parameter"),
    ({"dropout": [0.1, 1.0]}, SettingError, "rate is at least 0 and below 1, not 1.0"),
    ({"dropout": [0.1, "a"]}, SettingError, "rate is at least 0 and below 1, not 'a'"),
    ({"normalization": "batched"}, UnknownNameError, "Did you mean 'batch'"),
    ({"scoring": "neg_log_los"}, UnknownNameError, "Did you mean 'neg_log_loss'"),
    ({"scoring": 3}, ValueError, "'scoring' parameter"),
    ({"dtype": "float23"}, UnknownNameError, "Did you mean 'float32'"),
    ({"dtype": np.float32}, ValueError, "'dtype' parameter"),
    ({"solver": "lbfgs", "dropout": 0.1}, SettingError, "lbfgs.*dropout needs"),
    ({"solver": "lbfgs", "normalization": "batch"}, SettingError, "'batch' needs"),
    (
        {"solver": "lbfgs", "learning_rate": kb.optim.Cosine(0.1)},
        SettingError,
        "a schedule as learning_rate needs",
    ),
    (
        {"solver": kb.optim.SGD(0.1), "learning_rate": kb.optim.Cosine(0.1)},
        SettingError,
        "an optimizer, which has its own learning rate",
    ),
    ({"loss": "log-loss"}, UnknownNameError, "Did you mean 'log_loss'"),
    ({"loss": lambda y, t: 3}, SettingError, "<lambda> must give.*it gives 3"),
    ({"loss": lambda y, t: y.T}, SettingError, "gives 3×N, not N×3, N×1 or 1×1"),
    (
        {"loss": lambda y, t, weights=None: y - t},
        SettingError,
        "gives N×3, not 1×1",
    ),
    ({"class_weight": "balance"}, UnknownNameError, "Did you mean 'balanced'"),
    ({"class_weight": {7: 1.0}}, ValueError, "are not in class_weight"),
    ({"class_weight": [1, 2]}, ValueError, "'class_weight' parameter"),
]


@pytest.mark.parametrize(
    ("settings", "error", "text"), WRONG, ids=[text for *_, text in WRONG]
)
def test_settings_that_cannot_be(
    settings: dict[str, Any], error: type[Exception], text: str, iris: Data
) -> None:
    assert issubclass(error, ValueError)
    with pytest.raises(error, match=text):
        MLPClassifier(**({"hidden_layer_sizes": (5, 5)} | settings)).fit(*iris)


def test_a_loss_of_one_number_cannot_be_weighted(iris: Data) -> None:
    x, y = iris

    def one(y: Expr, t: Expr) -> Expr:
        return kb.mean((y - t) ** 2)

    fitted = MLPRegressor(one, max_iter=2).fit(x, y)
    assert fitted.loss_ > 0
    with pytest.raises(SettingError, match=r"loss one gives one number.*N×1, or take"):
        fitted.fit(x, y, np.ones(len(y)))
    with pytest.raises(SettingError, match="cannot be weighted"):
        MLPClassifier(loss=one, class_weight="balanced").fit(x, y)


def test_an_output_activation_that_cannot_be(iris: Data) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'sigmoid'"):
        MLPRegressor(output_activation="sigmod").fit(*iris)
    with pytest.raises(SettingError, match=r"poisson.*leave output_activation=None"):
        MLPRegressor("poisson", output_activation="softplus").fit(*iris)


def test_validation_data_that_cannot_be_used(iris: Data) -> None:
    x, y = iris
    for wrong, error, text in (
        ({"X_val": x, "y_val": y + 1}, DataError, r"y_val has the labels \[3\]"),
        ({"X_val": x[:, :2], "y_val": y}, ValueError, "2 features"),
        ({"X_val": x, "y_val": y[:9]}, ValueError, "inconsistent numbers of samples"),
        ({"X_val": x}, ValueError, "y"),
        ({"y_val": y}, DataError, "need X_val"),
        ({"X_val": x * np.nan, "y_val": y}, DataError, "X holds NaN in row 0"),
    ):
        unfitted = MLPClassifier(max_iter=1)
        with pytest.raises(error, match=text):
            unfitted.fit(x, y, **wrong)
        with pytest.raises(NotFittedError):
            unfitted.predict(x)
    with pytest.raises(DataError, match="y_val has 2 columns; y has 1"):
        MLPRegressor(max_iter=1).fit(x, y, X_val=x, y_val=np.stack([y, y], axis=1))
    with pytest.raises(SettingError, match="'lbfgs' has no epochs"):
        MLPClassifier(solver="lbfgs").fit(x, y, X_val=x, y_val=y)


def test_a_schedule_that_needs_to_know_the_end(iris: Data) -> None:
    fitted = MLPRegressor(learning_rate=kb.optim.Cosine(0.1))
    with pytest.raises(SettingError, match="where training ends"):
        fitted.partial_fit(*iris)


def test_class_weights_that_cannot_be(iris: Data) -> None:
    x, y = iris
    with pytest.raises(
        SettingError, match="'balanced' counts the classes of all samples"
    ):
        MLPClassifier(class_weight="balanced").partial_fit(x, y, classes=[0, 1, 2])
    x, t = make_multilabel_classification(50, random_state=0)
    with pytest.raises(SettingError, match="one class a sample"):
        MLPClassifier(class_weight="balanced").fit(x, t)


def test_a_warm_start_with_another_normalization(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier((5,), warm_start=True, max_iter=1).fit(x, y)
    with pytest.raises(SettingError, match="another normalization than 'batch'"):
        fitted.set_params(normalization="batch").fit(x, y)


def test_divergence_with_given_validation_data_is_an_error(iris: Data) -> None:
    """Only early stopping has an earlier epoch to go back to."""
    x, y = iris
    fitted = MLPRegressor(activation="identity", solver="sgd", learning_rate_init=50)
    with pytest.raises(NonFiniteError, match="non-finite"):
        fitted.fit(x, y, X_val=x, y_val=y)


def test_sparse_data_with_all_of_it(iris: Data) -> None:
    x, y = iris
    x = np.maximum(x, 0)
    settings: dict[str, Any] = {"dropout": 0.2, "normalization": "batch", "max_iter": 4}
    found = [
        MLPClassifier(random_state=0, class_weight="balanced", **settings)
        .fit(make(x), y, X_val=make(x[:50]), y_val=y[:50])
        .history_["val_loss"]
        for make in (np.asarray, sparse.csr_array)
    ]
    assert_allclose(found[0], found[1], rtol=1e-7)


def test_only_a_schedule_plans_for_the_end(iris: Data) -> None:
    with pytest.warns(ConvergenceWarning, match=r"SGD did not converge in max_iter=1"):
        MLPClassifier(max_iter=1, solver=kb.optim.SGD(0.1)).fit(*iris)
    with warnings.catch_warnings(action="error"):
        MLPClassifier(max_iter=1, learning_rate=kb.optim.Cosine(0.1)).fit(*iris)


# ---------------------------------------------------------------- types


@pytest.mark.parametrize("form", [np.asarray, np.asfortranarray, sparse.csr_array])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize(("chosen", "given"), [("32", "64"), ("64", "32")])
def test_a_type_by_choice_is_that_of_converted_data(
    chosen: str, given: str, solver: str, form: Any, iris: Data
) -> None:
    x, y = iris[0].astype(f"float{given}"), iris[1]
    settings: dict[str, Any] = {"solver": solver, "max_iter": 5, "random_state": 0}
    by_choice = MLPClassifier((9,), dtype=f"float{chosen}", **settings).fit(form(x), y)
    converted = MLPClassifier((9,), **settings).fit(form(x.astype(f"float{chosen}")), y)
    for a, b in zip(by_choice.coefs_, converted.coefs_, strict=True):
        assert a.dtype == b.dtype == f"float{chosen}"
        assert_array_equal(a, b)
    assert by_choice.predict_proba(x).dtype == f"float{chosen}"


@pytest.mark.parametrize("kind", [MLPRegressor, Autoencoder])
def test_single_precision_learns_the_same(kind: Any, numbers: Data) -> None:
    x, y = numbers
    settings: dict[str, Any] = {"max_iter": 20, "random_state": 0, "early_stopping": True}
    single = kind(hidden_layer_sizes=20, dtype="float32", **settings).fit(x, y)
    double = kind(hidden_layer_sizes=20, **settings).fit(x, y)
    assert {v.dtype for v in single.coefs_ + single.intercepts_} == {np.dtype("float32")}
    assert_allclose(single.loss_curve_, double.loss_curve_, rtol=1e-5)
    assert_allclose(single.history_["val_loss"], double.history_["val_loss"], rtol=1e-5)


def test_entries_too_large_for_the_type_are_named(iris: Data) -> None:
    x, y = iris[0].copy(), iris[1]
    x[7, 2] = 1e300
    with pytest.raises(DataError, match=r"inf in row 7, column 2 .*finite .* float32"):
        MLPClassifier(dtype="float32", max_iter=1).fit(x, y)
