"""Fitted networks in use: hidden layers, slopes, and scikit-learn's tools around them."""

from __future__ import annotations

import io
import pickle
import warnings
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.callback import ProgressBar, ScoringMonitor
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import kokuban as kb
from kokuban.errors import DataError, SettingError
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor

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


# ---------------------------------------------------------------- hidden layers


def test_hidden_layers_are_the_formulas(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier((6, 5), ["tanh", "relu"], max_iter=3, dropout=0.3).fit(x, y)
    (w1, w2, _), (b1, b2, _) = fitted.coefs_, fitted.intercepts_
    first = np.tanh(x @ w1 + b1)
    last = np.maximum(first @ w2 + b2, 0)
    for layer, expected in ((0, first), (1, last), (-1, last), (-2, first)):
        assert_allclose(
            fitted.transform(x, layer=layer), expected, rtol=1e-12, atol=1e-14
        )
    assert_allclose(fitted.transform(x), last, rtol=1e-12, atol=1e-14)
    assert_allclose(fitted.transform(sparse.csr_array(x)), last, rtol=1e-12, atol=1e-14)


def test_a_normalised_layer_uses_the_running_statistics(iris: Data) -> None:
    x, y = iris
    fitted = MLPRegressor(
        hidden_layer_sizes=(6,), normalization="batch", max_iter=9, random_state=0
    ).fit(x, y)
    norm = fitted.norms_
    u = x @ fitted.coefs_[0] + fitted.intercepts_[0]
    u = (u - norm["mean(scale1)"]) / np.sqrt(norm["variance(scale1)"] + 1e-5)
    expected = np.maximum(u * norm["scale1"] + norm["shift1"], 0)
    assert_allclose(fitted.transform(x), expected, rtol=1e-9, atol=1e-12)
    assert_allclose(fitted.transform(x[:1]), expected[:1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_hidden_layers_as_frames(kind: str) -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    fitted = MLPClassifier((6, 5), max_iter=2).set_output(transform=kind).fit(x, y)
    frame = {"pandas": pd.DataFrame, "polars": pl.DataFrame}[kind]
    for layer, count in ((0, 6), (1, 5), (-1, 5)):
        found = fitted.transform(x, layer=layer)
        assert isinstance(found, frame)
        assert list(found.columns) == [f"mlpclassifier{k}" for k in range(count)]
    assert list(fitted.get_feature_names_out()) == list(fitted.transform(x).columns)
    assert list(fitted.fit_transform(x, y).columns) == list(fitted.transform(x).columns)


def test_a_hidden_layer_feeds_another_estimator(iris: Data) -> None:
    x, y = iris
    settings: dict[str, Any] = {"learning_rate_init": 0.02, "random_state": 0}
    first, last = MLPClassifier((8,), **settings), MLPClassifier((), **settings)
    chain = make_pipeline(first, last)
    assert chain.fit(x, y).score(x, y) > 0.9


@pytest.mark.parametrize("layer", [2, -3, "first", None], ids=str)
def test_layers_that_are_not_there(layer: Any, iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier((6, 5), max_iter=1).fit(x, y)
    with pytest.raises(SettingError, match=f"from 0 to 1 .* cannot be {layer!r}"):
        fitted.transform(x, layer=layer)
    with pytest.raises(SettingError, match="no hidden layer"):
        MLPClassifier((), max_iter=1).fit(x, y).transform(x)


# ---------------------------------------------------------------- slopes


def slopes(function: Any, x: np.ndarray, h: float = 1e-6) -> np.ndarray:
    """Central differences of a function of rows, N×d to (N,), by each column."""
    columns = [
        (function(x + h * e) - function(x - h * e)) / (2 * h) for e in np.eye(x.shape[1])
    ]
    return np.stack(columns, axis=1)


def test_slopes_of_probabilities(iris: Data) -> None:
    x, y = iris
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    fitted = MLPClassifier(
        (6,), "tanh", normalization="batch", max_iter=20, random_state=0
    ).fit(x, names)
    for k, name in enumerate(fitted.classes_):
        expected = slopes(lambda x, k=k: fitted.predict_proba(x)[:, k], x)
        assert_allclose(fitted.input_gradient(x, name), expected, atol=1e-8)
    predicted = fitted.input_gradient(x)
    for row in (0, 50, 149):
        one = x[row : row + 1]
        alone = fitted.input_gradient(one, fitted.predict(one)[0])
        assert_allclose(predicted[row : row + 1], alone, rtol=1e-12)
    assert_allclose(fitted.input_gradient(sparse.csr_array(x)), predicted, rtol=1e-12)


def test_slopes_of_two_classes(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier((6,), "tanh", max_iter=20).fit(x, y == 1)
    for k, label in enumerate([False, True]):
        expected = slopes(lambda x, k=k: fitted.predict_proba(x)[:, k], x)
        assert_allclose(fitted.input_gradient(x, label), expected, atol=1e-8)
    sign = np.where(fitted.predict(x), 1, -1)[:, None]
    assert_allclose(fitted.input_gradient(x), sign * fitted.input_gradient(x, True))


def test_slopes_of_numbers(iris: Data) -> None:
    x, y = iris
    one = MLPRegressor("poisson", (6,), "tanh", max_iter=20).fit(x, y)
    assert_allclose(one.input_gradient(x), slopes(one.predict, x), atol=1e-8)
    two = MLPRegressor(hidden_layer_sizes=(6,), activation="gelu", max_iter=20)
    two.fit(x, np.stack([y, -y], axis=1))
    for k in (0, 1):
        expected = slopes(lambda x, k=k: two.predict(x)[:, k], x)
        assert_allclose(two.input_gradient(x, output=k), expected, atol=1e-8)
    for wrong in (None, 2, "y"):
        with pytest.raises(DataError, match=f"0 to 1, not {wrong!r}"):
            two.input_gradient(x, output=wrong)


def test_slopes_of_several_labels(iris: Data) -> None:
    x, t = make_multilabel_classification(60, 6, random_state=0)
    fitted = MLPClassifier((6,), "tanh", max_iter=20).fit(x, t)
    expected = slopes(lambda x: fitted.predict_proba(x)[:, 2], x)
    assert_allclose(fitted.input_gradient(x, 2), expected, atol=1e-7)
    with pytest.raises(DataError, match="Several labels a sample"):
        fitted.input_gradient(x)
    x, y = iris
    with pytest.raises(DataError, match=r"output='x' is none of the classes \[0 1 2\]"):
        MLPClassifier(max_iter=1).fit(x, y).input_gradient(x, "x")


@pytest.mark.parametrize("name", ["transform", "input_gradient"])
def test_before_the_fit_there_is_nothing_to_use(name: str, iris: Data) -> None:
    for kind in (MLPClassifier, MLPRegressor):
        with pytest.raises(NotFittedError):
            getattr(kind(), name)(iris[0])


# ---------------------------------------------------------------- scikit-learn's tools


def test_a_grid_over_our_own_settings_in_two_processes(iris: Data) -> None:
    x, y = iris
    grid = {
        "mlpclassifier__dropout": [0.0, 0.5],
        "mlpclassifier__solver": ["adam", kb.optim.AdamW(0.02)],
        "mlpclassifier__activation": ["relu", lambda u: kb.leaky_relu(u, slope=0.3)],
        "mlpclassifier__normalization": [None, "layer"],
    }
    chain = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=5))
    found = [
        GridSearchCV(chain, grid, cv=2, n_jobs=jobs, error_score="raise")
        .set_params(estimator__mlpclassifier__random_state=0)
        .fit(x, y)
        .cv_results_["mean_test_score"]
        for jobs in (1, 2)
    ]
    assert len(found[0]) == 16
    assert_array_equal(found[0], found[1])


def test_a_clone_has_the_settings_and_nothing_else(iris: Data) -> None:
    fitted = MLPRegressor(
        kb.mae, dropout=[0.1], hidden_layer_sizes=(4,), solver=kb.optim.SGD(0.1)
    ).fit(*iris)
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    assert not [name for name in vars(copy) if name.endswith("_")]


def test_a_pickle_holds_functions_optimizers_and_the_history(iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier(
        (4, 3),
        ["tanh", kb.mish],
        normalization="batch",
        solver=kb.optim.AdamW(kb.optim.Step(0.01, 2)),
        loss=kb.cross_entropy,
        dropout=0.1,
        max_iter=2,
        random_state=0,
    ).fit(x, y, X_val=x, y_val=y)
    copy = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(copy.predict_proba(x), fitted.predict_proba(x))
    assert copy.history_.to_dict() == fitted.history_.to_dict()
    assert copy.partial_fit(x, y).loss_curve_ == fitted.partial_fit(x, y).loss_curve_


def test_validation_data_go_through_a_pipeline() -> None:
    """With metadata routing, scaled like the training data, as is sample_weight."""
    x, y = load_diabetes(return_X_y=True, as_frame=True)
    w = np.random.default_rng(0).uniform(0.1, 2, len(y))
    with config_context(enable_metadata_routing=True):
        last = MLPRegressor(max_iter=4, random_state=0, early_stopping=True)
        last.set_fit_request(X_val=True, y_val=True, sample_weight=True)
        chain = make_pipeline(StandardScaler(), last, transform_input=["X_val"])
        chain[0].set_fit_request(sample_weight=False)
        chain.fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:], sample_weight=w[:300])
        fitted = chain[-1]
        assert fitted.t_ == 4 * 300
        assert fitted.best_validation_score_ == chain.score(x[300:], y[300:])
        scored = MLPRegressor(max_iter=4).set_fit_request(sample_weight=True)
        scored.set_score_request(sample_weight=True)
        found = cross_validate(scored, x, y, params={"sample_weight": w}, cv=2)
        assert len(found["test_score"]) == 2


def test_probabilities_can_be_calibrated(iris: Data) -> None:
    x, y = iris
    net = MLPClassifier((8,), class_weight="balanced", dropout=0.1, random_state=0)
    net.set_params(learning_rate_init=0.02, max_iter=60)
    fitted = CalibratedClassifierCV(net, cv=3).fit(x, y)
    assert_allclose(fitted.predict_proba(x).sum(axis=1), 1)
    assert fitted.score(x, y) > 0.9


# ---------------------------------------------------------------- callbacks


class Listener:
    """Notes what it hears, and ends the fit after `most` epochs."""

    def __init__(self, most: int = 1000) -> None:
        self.most, self.heard = most, []  # type: ignore[var-annotated]

    def setup(self, estimator: Any, context: Any) -> None:
        self.heard.append("setup")

    def teardown(self, estimator: Any, context: Any) -> None:
        self.heard.append("teardown")

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.heard.append(f"begin {context.task_name}")

    def on_fit_task_end(
        self,
        estimator: Any,
        context: Any,
        *,
        X: Any,
        y: Any,
        metadata: Any,
        fitted_estimator: Any,
    ) -> bool:
        score = None
        if fitted_estimator is not None:
            score = fitted_estimator.score(X, y, **(metadata or {}))
        self.heard.append((context.task_name, len(X), score))
        return len([h for h in self.heard if h[0] in ("epoch", "iteration")]) >= self.most


def test_callbacks_hear_each_epoch() -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    w = np.random.default_rng(0).uniform(0.1, 2, len(y))
    listener = Listener()
    fitted = MLPClassifier(max_iter=2, random_state=0).set_callbacks(listener)
    fitted.fit(x, y, w)
    once = MLPClassifier(max_iter=1, random_state=0).fit(x, y, w)
    assert listener.heard == [
        "setup",
        "begin fit",
        "begin epoch",
        ("epoch", 150, once.score(x, y, w)),
        "begin epoch",
        ("epoch", 150, fitted.score(x, y, w)),
        ("fit", 150, fitted.score(x, y, w)),
        "teardown",
    ]


def test_a_callback_sees_the_rows_that_are_trained_on() -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    listener = Listener()
    fitted = MLPClassifier(max_iter=2, early_stopping=True).set_callbacks(listener)
    fitted.fit(x, y)
    assert [h[1] for h in listener.heard if h[0] == "epoch"] == [135, 135]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_callback_can_end_the_fit(solver: str, iris: Data) -> None:
    x, y = iris
    fitted = MLPClassifier(solver=solver, random_state=0).set_callbacks(Listener(3))
    with warnings.catch_warnings(action="error"):
        fitted.fit(x, y)
    assert fitted.n_iter_ == 3
    plain = MLPClassifier(solver=solver, random_state=0, max_iter=3).fit(x, y)
    assert_array_equal(fitted.coefs_[0], plain.coefs_[0])
    if solver == "adam":
        assert fitted.history_.stopped == "callback"


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_scoring_monitor(solver: str) -> None:
    x, y = load_iris(return_X_y=True, as_frame=True)
    monitor = ScoringMonitor(scoring=["accuracy", "neg_log_loss"])
    fitted = MLPClassifier(solver=solver, max_iter=4, random_state=0)
    fitted.set_callbacks(monitor).fit(x, y)
    (whole, *steps) = monitor.get_logs().data
    assert len(steps) == 4
    assert whole["accuracy"] == steps[-1]["accuracy"] == fitted.score(x, y)
    assert steps[-1]["neg_log_loss"] > steps[0]["neg_log_loss"]


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_scikit_learns_progress_bar(solver: str, iris: Data) -> None:
    with redirect_stdout(io.StringIO()) as shown:
        MLPClassifier(solver=solver, max_iter=4).set_callbacks(ProgressBar()).fit(*iris)
    assert "MLPClassifier - fit" in shown.getvalue()
    assert "100%" in shown.getvalue()


def test_callbacks_of_a_search_reach_the_networks(iris: Data) -> None:
    monitor = ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(
        MLPClassifier((4,), max_iter=3).set_callbacks(monitor), {"alpha": [0, 1]}, cv=2
    )
    search.fit(*iris)
    epochs = [row for row in monitor.get_logs("all") for row in row.data]
    assert len([row for row in epochs if row["task_name"] == "epoch"]) == 5 * 3


def test_callbacks_of_an_autoencoder(iris: Data) -> None:
    x, _ = iris
    with redirect_stdout(io.StringIO()) as shown:
        Autoencoder((2,), max_iter=3).set_callbacks(ProgressBar()).fit(x)
    assert "Autoencoder - fit" in shown.getvalue()
