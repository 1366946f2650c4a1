"""Autoencoder: tied and not, codes and back, against formulas and an MLPRegressor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn import neural_network as theirs
from sklearn.datasets import load_digits, load_iris
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError

from kokuban.errors import DataError, SettingError, UnknownNameError
from kokuban.estimators import Autoencoder
from kokuban.estimators.network import (
    ALPHA,
    Design,
    Hidden,
    autoencoder,
    losses_and_gradients,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)


@pytest.fixture
def x() -> np.ndarray:
    data: np.ndarray = load_iris().data
    return (data - data.mean(axis=0)) / data.std(axis=0)


@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_untied_it_is_a_regression_on_itself(solver: str, x: np.ndarray) -> None:
    settings: dict[str, Any] = {"solver": solver, "random_state": 3, "max_iter": 10}
    mine = Autoencoder((3, 2), "tanh", tied=False, **settings).fit(x)
    its = theirs.MLPRegressor("squared_error", (3, 2, 3), "tanh", **settings).fit(x, x)
    assert_allclose(mine.loss_curve_, its.loss_curve_, rtol=0, atol=1e-6)
    for a, b in zip(
        mine.coefs_ + mine.intercepts_, its.coefs_ + its.intercepts_, strict=True
    ):
        assert_allclose(a, b, rtol=0, atol=1e-6)
    assert mine.n_layers_ == its.n_layers_
    assert mine.t_ == its.t_


def test_a_tied_weight_has_the_gradient_of_both_its_uses() -> None:
    """The lecture's formula: encoder's use plus decoder's use, and not one of them."""
    rng = np.random.default_rng(0)
    x, w = rng.normal(size=(7, 4)), rng.normal(size=(4, 2))
    b, c = rng.normal(size=(1, 2)), rng.normal(size=(1, 4))
    design = Design(4, (Hidden(2, "logistic"),), 4, "identity", "squared_error")
    problem = autoencoder(design, tied=True)
    assert problem.weights == (problem.parameters[0],)
    given = dict(zip(problem.parameters, (w, b, c), strict=True))
    _, _, dw, db, dc = losses_and_gradients(problem)(
        {**given, problem.x: x, ALPHA: np.zeros((1, 1))}
    )
    h = 1 / (1 + np.exp(-(x @ w + b)))
    delta = (h @ w.T + c - x) / len(x)
    gamma = (delta @ w) * h * (1 - h)
    assert_allclose(dw, x.T @ gamma + delta.T @ h, rtol=1e-12)
    assert_allclose(db, gamma.sum(axis=0, keepdims=True), rtol=1e-12)
    assert_allclose(dc, delta.sum(axis=0, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("tied", [True, False])
def test_codes_and_what_they_stand_for_are_the_formulas(
    tied: bool, x: np.ndarray
) -> None:
    fitted = Autoencoder(
        (3, 2), output_activation="tanh", tied=tied, max_iter=5, random_state=0
    ).fit(x)
    (w1, w2, *up), (b1, b2, c1, c2) = fitted.coefs_, fitted.intercepts_
    v1, v2 = up or (w2.T, w1.T)
    code = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
    back = np.tanh(np.maximum(code @ v1 + c1, 0) @ v2 + c2)
    close = {"rtol": 1e-12, "atol": 1e-14}  # entries near 0 are differences
    assert_allclose(fitted.transform(x), code, **close)
    assert_allclose(fitted.inverse_transform(code), back, **close)
    assert fitted.score(x) == pytest.approx(-np.mean((back - x) ** 2))
    weights = np.arange(len(x))
    assert fitted.score(x, None, weights) == pytest.approx(
        -np.average(np.mean((back - x) ** 2, axis=1), weights=weights)
    )


def test_the_loss_is_the_reconstructions(x: np.ndarray) -> None:
    fitted = Autoencoder((2,), solver="lbfgs", alpha=0, random_state=0).fit(x)
    assert fitted.loss_ == pytest.approx(-fitted.score(x) / 2, rel=1e-9)


def test_a_linear_one_comes_near_the_principal_components(x: np.ndarray) -> None:
    pca = PCA(2).fit(x)
    best = -np.mean((pca.inverse_transform(pca.transform(x)) - x) ** 2)
    fitted = Autoencoder(
        (2,), "identity", solver="lbfgs", alpha=0, max_iter=2000, random_state=0
    ).fit(x)
    assert best * 1.02 < fitted.score(x) <= best + 1e-12


def test_digits_are_coded() -> None:
    x = load_digits().data.astype(np.float32) / 16
    fitted = Autoencoder((16,), random_state=0, early_stopping=True, max_iter=60).fit(x)
    assert fitted.score(x) > -0.03 > -np.var(x)
    assert fitted.transform(x).dtype == np.float32
    assert fitted.inverse_transform(fitted.transform(x)).shape == x.shape
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0] / 3
    assert fitted.best_validation_score_ == max(fitted.validation_scores_)


def test_names_of_columns_go_in_and_out() -> None:
    frame = load_iris(as_frame=True).data
    fitted = Autoencoder((2,), max_iter=2).set_output(transform="pandas")
    coded = fitted.fit_transform(frame)
    assert list(coded.columns) == ["autoencoder0", "autoencoder1"]
    assert list(fitted.feature_names_in_) == list(frame.columns)


def test_sparse_and_dense_are_coded_alike(x: np.ndarray) -> None:
    x = np.where(x < 0, 0, x)
    settings: dict[str, Any] = {"random_state": 0, "max_iter": 5}
    a = Autoencoder((2,), early_stopping=True, **settings).fit(x)
    b = Autoencoder((2,), early_stopping=True, **settings).fit(sparse.csr_array(x))
    assert_allclose(b.loss_curve_, a.loss_curve_, rtol=1e-12)
    assert_allclose(b.validation_scores_, a.validation_scores_, rtol=1e-12)
    assert_allclose(b.transform(sparse.csr_array(x)), a.transform(x), atol=1e-12)
    assert b.score(sparse.csr_array(x)) == pytest.approx(a.score(x))


def test_partial_fits_are_the_epochs_of_a_fit(x: np.ndarray) -> None:
    whole = Autoencoder((2,), max_iter=4, shuffle=False, random_state=0).fit(x)
    parts = Autoencoder((2,), shuffle=False, random_state=0)
    for _ in range(4):
        parts.partial_fit(x)
    assert parts.loss_curve_ == whole.loss_curve_


def test_what_cannot_be(x: np.ndarray) -> None:
    with pytest.raises(NotFittedError):
        Autoencoder().inverse_transform(x)
    with pytest.raises(UnknownNameError, match=r"output_activation .*'logistic'"):
        Autoencoder(output_activation="logstic").fit(x)
    with pytest.raises(SettingError, match="needs a hidden layer"):
        Autoencoder(()).fit(x)
    fitted = Autoencoder((3,), max_iter=1).fit(x)
    with pytest.raises(DataError, match="X has 4 columns; a code has 3"):
        fitted.inverse_transform(x)
