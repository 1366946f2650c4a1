"""MLPClassifier and MLPRegressor beyond scikit-learn's checks: losses, data, errors."""

from __future__ import annotations

import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss, mean_poisson_deviance, mean_squared_error

from kokuban.errors import (
    DataError,
    KokubanError,
    NonFiniteError,
    SettingError,
    UnknownNameError,
)
from kokuban.estimators import MLPClassifier, MLPRegressor, lbfgs, load, rows, validation
from kokuban.estimators.network import (
    ALPHA,
    Design,
    Hidden,
    losses_and_gradients,
    perceptron,
    program,
)
from kokuban.nn.activations import BY_NAME
from kokuban.run import compiled
from kokuban.train import loop
from kokuban.train.loop import Pass
from kokuban.train.network import WEIGHTS

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)


@pytest.fixture
def iris() -> tuple[np.ndarray, np.ndarray]:
    x, y = load_iris(return_X_y=True)
    return (x - x.mean(axis=0)) / x.std(axis=0), y


# ---------------------------------------------------------------- losses and gradients


@pytest.mark.parametrize("weighted", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("output", ["softmax", "logistic", "identity", "exp"])
def test_gradients_against_central_differences(output: str, weighted: bool) -> None:
    rng = np.random.default_rng(0)
    loss = {"identity": "squared_error", "exp": "poisson"}.get(output, "log_loss")
    hidden = (Hidden(5, "tanh"),)
    problem = perceptron(Design(4, hidden, 3, output, loss, weighted=weighted))
    targets = np.eye(3)[rng.integers(3, size=6)]
    values = {p: rng.normal(size=p.shape) for p in problem.parameters}
    values |= {problem.x: rng.normal(size=(6, 4)), problem.t: targets}
    values |= {ALPHA: np.array([[0.3]])}
    if weighted:
        values[WEIGHTS] = rng.uniform(0.1, 2, (6, 1))
    program, h = losses_and_gradients(problem), 1e-5
    _, _, *gradients = program(values)
    for p, gradient in zip(problem.parameters, gradients, strict=True):
        for place in np.ndindex(gradient.shape):
            step = np.zeros(gradient.shape)
            step[place] = h
            above, *_ = program({**values, p: values[p] + step})
            below, *_ = program({**values, p: values[p] - step})
            slope = (above - below)[0, 0] / (2 * h)
            assert gradient[place] == pytest.approx(slope, rel=1e-6, abs=1e-9)


def test_the_loss_is_the_metric_of_the_prediction(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    weights = np.random.default_rng(0).uniform(0.1, 2, len(x))
    settings: dict[str, Any] = {"solver": "lbfgs", "alpha": 0, "max_iter": 5}
    a = MLPClassifier(**settings).fit(x, y, weights)
    expected = log_loss(y, a.predict_proba(x), sample_weight=weights)
    assert a.loss_ == pytest.approx(expected, rel=1e-9)
    b = MLPRegressor(**settings).fit(x, y, weights)
    expected = mean_squared_error(y, b.predict(x), sample_weight=weights) / 2
    assert b.loss_ == pytest.approx(expected, rel=1e-9)
    c = MLPRegressor("poisson", **settings).fit(x, y, weights)
    expected = mean_poisson_deviance(y, c.predict(x), sample_weight=weights) / 2
    assert c.loss_ == pytest.approx(expected, rel=1e-9)


def test_the_penalty_is_of_the_weights_alone(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    plain, strong = (
        MLPRegressor(alpha=alpha, max_iter=1, random_state=0, batch_size=150).fit(x, y)
        for alpha in (0, 10)
    )
    start = MLPRegressor(max_iter=1, random_state=0, learning_rate_init=1e-30).fit(x, y)
    squares = sum(np.sum(w**2) for w in start.coefs_)
    assert strong.loss_ - plain.loss_ == pytest.approx(10 / (2 * 150) * squares)


# ---------------------------------------------------------------- settings


@pytest.mark.parametrize("activation", sorted(BY_NAME))
def test_every_activation_of_kokuban_trains(
    activation: str, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = iris
    fitted = MLPClassifier((8,), activation, max_iter=20, random_state=0).fit(x, y)
    assert fitted.loss_curve_[-1] < fitted.loss_curve_[0]


def test_values_can_be_changed_after_the_fit(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    fitted = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2).fit(x, y)
    fitted.coefs_ = [np.zeros_like(w) for w in fitted.coefs_]
    fitted.intercepts_[-1] = np.array([2.5])
    assert_array_equal(fitted.predict(x), 2.5)


def test_a_prediction_is_the_formula(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    fitted = MLPClassifier((6, 5), max_iter=5).fit(x, y)
    (w1, w2, w3), (b1, b2, b3) = fitted.coefs_, fitted.intercepts_
    h = np.maximum(np.maximum(x @ w1 + b1, 0) @ w2 + b2, 0)
    scores = np.exp(h @ w3 + b3)
    expected = scores / scores.sum(axis=1, keepdims=True)
    assert_allclose(fitted.predict_proba(x), expected, rtol=1e-12)
    assert_allclose(fitted.predict_log_proba(x), np.log(expected), rtol=1e-12)


def test_a_pickle_goes_on_where_the_fit_ended(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    fitted = MLPClassifier((6,), random_state=0)
    for _ in range(3):
        fitted.partial_fit(x, y, classes=[0, 1, 2])
    copy = pickle.loads(pickle.dumps(fitted))
    for estimator in (fitted, copy):
        estimator.partial_fit(x, y)
    assert copy.loss_curve_ == fitted.loss_curve_
    for mine, its in zip(copy.coefs_, fitted.coefs_, strict=True):
        assert_array_equal(mine, its)
    assert not hasattr(clone(fitted), "coefs_")


def test_two_estimators_of_one_kind_do_not_share_values(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    first = MLPClassifier((6,), random_state=0, max_iter=3).fit(x, y)
    before = [w.copy() for w in first.coefs_]
    MLPClassifier((6,), random_state=1, max_iter=3).fit(x, y)
    for mine, its in zip(first.coefs_, before, strict=True):
        assert_array_equal(mine, its)


def test_verbose_prints_each_epoch(
    iris: tuple[np.ndarray, np.ndarray], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = iris
    for settings in (
        {"early_stopping": True},
        {"solver": "lbfgs"},
        {
            "solver": "sgd",
            "tol": 10.0,
            "n_iter_no_change": 1,
            "learning_rate": "adaptive",
        },
    ):
        MLPClassifier((3,), max_iter=3, verbose=True, **settings).fit(x, y)
        printed = capsys.readouterr().out
        assert "Iteration 3, loss = " in printed
        assert ("Validation score: " in printed) == ("early_stopping" in settings)
        assert ("The learning rate is now 0.0002" in printed) == ("tol" in settings)


def test_a_warm_start_may_change_the_solver_and_what_is_watched(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    fitted = MLPClassifier((4,), warm_start=True, max_iter=3, solver="lbfgs").fit(x, y)
    fitted.set_params(solver="adam", early_stopping=True).fit(x, y)
    assert len(fitted.validation_scores_) == len(fitted.loss_curve_) == 3
    fitted.set_params(solver="sgd", early_stopping=False).fit(x, y)
    assert fitted.validation_scores_ is None
    assert fitted.best_loss_ == min(fitted.loss_curve_[3:])
    assert len(fitted.loss_curve_) == 6
    fitted.set_params(solver="adam", max_iter=2).fit(x, y)
    assert len(fitted.loss_curve_) == 8


# ---------------------------------------------------------------- data


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_sparse_rows_are_dense_a_few_at_a_time(
    solver: str,
    iris: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, y = iris
    x = np.where(x < 0, 0, x)
    settings = {"solver": solver, "batch_size": 20, "max_iter": 8, "random_state": 0}
    dense = MLPClassifier((5,), early_stopping=True, **settings).fit(x, y)
    taken: list[int] = []
    real = rows.SparseRows.__getitem__

    def spy(self: rows.SparseRows, chosen: Any) -> np.ndarray:
        found = real(self, chosen)
        taken.append(len(found))
        return found

    monkeypatch.setattr(rows.SparseRows, "__getitem__", spy)
    monkeypatch.setattr(rows, "BLOCK_ENTRIES", 80)  # 20 rows of 4
    monkeypatch.setattr(loop, "PIECE", 20 * 7)  # a batch of them, with its targets
    for kind in (sparse.csr_matrix, sparse.csc_array):
        fitted = MLPClassifier((5,), early_stopping=True, **settings).fit(kind(x), y)
        assert_allclose(fitted.predict_proba(kind(x)), dense.predict_proba(x), rtol=1e-6)
    assert max(taken) == 20


def test_in_blocks_or_at_once(
    iris: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss in blocks is the loss of all rows, with weights and the penalty."""
    x, y = iris
    weights = np.arange(len(x)) // 30 * 0.5  # the first block weighs nothing
    found = []
    for many in (30, 1000):
        monkeypatch.setattr(rows, "BLOCK_ROWS", many)
        fitted = MLPClassifier(
            (4,), "tanh", solver="lbfgs", alpha=3, max_iter=7, random_state=0
        )
        found.append(fitted.fit(x, y, weights))
    assert found[0].loss_ == pytest.approx(found[1].loss_, rel=1e-10)
    assert_allclose(found[0].coefs_[0], found[1].coefs_[0], rtol=1e-6)


def test_one_class_is_always_predicted(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, _ = iris
    fitted = MLPClassifier((3,), max_iter=5).fit(x, ["only"] * len(x))
    assert set(fitted.predict(x)) == {"only"}
    assert list(fitted.classes_) == ["only"]


def test_labels_of_several_kinds() -> None:
    x, t = make_multilabel_classification(60, 6, random_state=0)
    fitted = MLPClassifier(max_iter=200, learning_rate_init=0.02).fit(x, t)
    assert fitted.predict(x).shape == t.shape
    assert np.mean(fitted.predict(x) == t) > 0.9
    assert fitted.out_activation_ == "logistic"


# ---------------------------------------------------------------- how training ends


def test_without_convergence_there_is_a_warning(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        MLPClassifier(max_iter=2).fit(x, y)
    with pytest.warns(ConvergenceWarning, match="2 iterations.*ITERATIONS REACHED"):
        MLPClassifier(solver="lbfgs", max_iter=2).fit(x, y)


def test_a_batch_larger_than_the_data_is_said(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    with pytest.warns(UserWarning, match="batch_size=1000 is more than the 150"):
        large = MLPClassifier(batch_size=1000, max_iter=2, random_state=0).fit(x, y)
    exact = MLPClassifier(batch_size=150, max_iter=2, random_state=0).fit(x, y)
    assert large.loss_curve_ == exact.loss_curve_


def test_ctrl_c_keeps_what_was_learned(
    iris: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = iris
    epochs, real = [0], Pass.go

    def press(this: Pass) -> float:
        epochs[0] += 1
        if epochs[0] == 4:
            signal.raise_signal(signal.SIGINT)
        return real(this)

    monkeypatch.setattr(Pass, "go", press)
    fitted, handler = MLPClassifier(random_state=0), signal.getsignal(signal.SIGINT)
    with pytest.warns(UserWarning, match="interrupted after 3 whole epochs"):
        fitted.fit(x, y)
    assert len(fitted.loss_curve_) == fitted.n_iter_ == 3
    assert fitted.predict(x).shape == y.shape
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_ctrl_c_breaks_off_a_validation(
    early_stopping: bool,
    epochs: int,
    iris: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """At once: the epoch is not whole, and its records are not begun."""
    x, y = iris
    calls, real = [0], validation.judged_in_blocks

    def press(*arguments: Any) -> tuple[float, np.ndarray]:
        calls[0] += 1
        if calls[0] > epochs:
            signal.raise_signal(signal.SIGINT)
            raise AssertionError("a validation that was broken off goes on")
        return real(*arguments)

    monkeypatch.setattr(validation, "judged_in_blocks", press)
    fitted = MLPClassifier(random_state=0, early_stopping=early_stopping)
    held_out = {} if early_stopping else {"X_val": x[::9], "y_val": y[::9]}
    with pytest.warns(UserWarning, match=f"interrupted after {epochs} whole epochs"):
        fitted.fit(x, y, **held_out)
    assert len(fitted.loss_curve_) == len(fitted.history_) == fitted.n_iter_ == epochs
    assert_array_equal([np.nan, *fitted.loss_curve_][-1], fitted.loss_)
    if early_stopping:
        assert len(fitted.validation_scores_) == epochs
    fitted.save(tmp_path / "part.safetensors")
    again = load(tmp_path / "part.safetensors")
    assert_array_equal(again.predict(x), fitted.predict(x))
    assert_array_equal(again.loss_, fitted.loss_)


@pytest.mark.parametrize("call", [1, 5])
def test_ctrl_c_ends_lbfgs_too(
    call: int, iris: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At once, in the middle of an iteration: what the one before it found is kept."""
    x, y = iris
    calls, real = [0], lbfgs.mean_in_blocks

    def press(*arguments: Any) -> list[np.ndarray]:
        calls[0] += 1
        if calls[0] == call:
            signal.raise_signal(signal.SIGINT)
        return real(*arguments)

    monkeypatch.setattr(lbfgs, "mean_in_blocks", press)
    fitted = MLPRegressor(solver="lbfgs", random_state=0)
    with pytest.warns(UserWarning, match="interrupted after"):
        fitted.fit(x, y)
    assert calls[0] == call
    monkeypatch.undo()
    if call == 1:
        assert fitted.n_iter_ == 0
        assert np.isnan(fitted.loss_)
        return
    assert 0 < fitted.n_iter_ < call
    whole = MLPRegressor(solver="lbfgs", random_state=0, max_iter=fitted.n_iter_)
    assert_array_equal(whole.fit(x, y).coefs_[0], fitted.coefs_[0])
    assert whole.loss_ == fitted.loss_


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_divergence_is_named(solver: str, iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    scale = 1e200 if solver == "lbfgs" else 1.0
    fitted = MLPRegressor(
        activation="identity", solver=solver, learning_rate_init=50, random_state=0
    )
    with pytest.raises(NonFiniteError, match="non-finite") as caught:
        fitted.fit(x * scale, y * scale)
    assert isinstance(caught.value, ValueError)
    if solver == "sgd":
        assert "step" in str(caught.value)
        assert "layer" in str(caught.value)
    assert np.isfinite(fitted.coefs_[0]).all()


def test_divergence_under_early_stopping_keeps_the_best_epoch(
    iris: tuple[np.ndarray, np.ndarray],
) -> None:
    x, y = iris
    fitted = MLPRegressor(
        activation="identity",
        solver="sgd",
        learning_rate_init=0.4,
        early_stopping=True,
        max_iter=1000,
        random_state=0,
    )
    with pytest.warns(ConvergenceWarning, match="diverged in epoch"):
        fitted.fit(x, y)
    assert np.isnan(fitted.validation_scores_[-1])
    assert np.isfinite(fitted.predict(x)).all()


# ---------------------------------------------------------------- wrong input


def raises(kind: type[Exception], match: str) -> Any:
    """The error is of this kind, and a ValueError for those who know scikit-learn's."""
    assert issubclass(kind, ValueError)
    return pytest.raises(kind, match=match)


@pytest.mark.parametrize(
    ("settings", "right"),
    [
        ({"solver": "adma"}, "adam"),
        ({"activation": "rleu"}, "relu"),
        ({"learning_rate": "adaptiv"}, "adaptive"),
        ({"loss": "squared_eror"}, "squared_error"),
    ],
    ids=["solver", "activation", "learning_rate", "loss"],
)
def test_an_unknown_name_gets_the_nearest_right_one(
    settings: dict[str, str], right: str, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    (name,) = settings
    with raises(UnknownNameError, f"Unknown {name} .*Did you mean '{right}'"):
        MLPRegressor(**settings).fit(*iris)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alpha", -1.0),
        ("batch_size", 0),
        ("max_iter", 1.5),
        ("momentum", 2),
        ("beta_1", 1.0),
        ("solver", 3),
        ("validation_fraction", 1.0),
        ("hidden_layer_sizes", 0),
    ],
)
def test_settings_out_of_range(
    name: str, value: Any, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    with pytest.raises(ValueError, match=f"'{name}' parameter of MLPClassifier"):
        MLPClassifier(**{name: value}).fit(*iris)


@pytest.mark.parametrize("sizes", [(0,), (5, -1), (2.5,), [[3]]], ids=str)
def test_hidden_layer_sizes_are_whole_and_above_0(
    sizes: Any, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    with raises(SettingError, "hidden_layer_sizes must be > 0"):
        MLPClassifier(sizes).fit(*iris)


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("value", [np.nan, -np.inf], ids=str)
def test_an_entry_that_is_not_finite_is_found(
    make: Any, value: float, iris: tuple[np.ndarray, np.ndarray]
) -> None:
    x, y = iris
    fitted = MLPClassifier((2,), max_iter=1).fit(x, y)
    wrong = x.copy()
    wrong[7, 2] = value
    text = "NaN" if np.isnan(value) else "-inf"
    for use in (lambda: fitted.fit(make(wrong), y), lambda: fitted.predict(make(wrong))):
        with raises(DataError, f"X holds {text} in row 7, column 2"):
            use()


def test_huge_but_finite_entries_are_no_error_of_the_data() -> None:
    x = np.full((4, 2), np.finfo(float).max)
    MLPClassifier((2,), max_iter=1).fit(np.eye(4)[:, :2], [0, 1, 0, 1])._matrix(
        x, reset=False
    )


def test_targets_that_cannot_be_used(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    with pytest.raises(ValueError, match="NaN"):
        MLPRegressor().fit(x, np.where(y == 1, np.nan, y))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        MLPRegressor().fit(x, y[:-1])
    with pytest.raises(ValueError, match="0 sample"):
        MLPClassifier().fit(x[:0], y[:0])
    with pytest.raises(ValueError, match="Unknown label type"):
        MLPClassifier().fit(x, x[:, 0])
    with raises(DataError, "y >= 0; y has -1 in row 3"):
        MLPRegressor("poisson").fit(x, np.where(np.arange(len(y)) == 3, -1, y))


def test_labels_unseen_in_training(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    with raises(DataError, "classes="):
        MLPClassifier().partial_fit(x, y)
    fitted = MLPClassifier().partial_fit(x, y % 2, classes=[0, 1])
    with raises(DataError, r"labels \[2\].*\[0 1\]"):
        fitted.partial_fit(x, y)
    with raises(DataError, r"classes=\[0 1 2\] differ"):
        fitted.partial_fit(x, y, classes=[0, 1, 2])
    warm = MLPClassifier(warm_start=True, max_iter=1).fit(x, y)
    with raises(DataError, "same classes as in the previous"):
        warm.fit(x, y + 1)


def test_what_was_fitted_must_fit(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    warm = MLPRegressor(hidden_layer_sizes=(4,), warm_start=True, max_iter=1).fit(x, y)
    with raises(SettingError, r"shapes \[\(4, 4\), \(4, 1\)\].*\(5,\)"):
        warm.set_params(hidden_layer_sizes=(5,)).fit(x, y)
    with pytest.raises(ValueError, match=r"3 features.*4 features"):
        warm.predict(x[:, :3])
    with pytest.raises(NotFittedError):
        MLPRegressor().predict(x)


def test_sample_weights_that_cannot_be_used(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    with pytest.raises(ValueError, match="zero"):
        MLPClassifier().fit(x, y, np.zeros(len(x)))
    with raises(DataError, "whole batch are zero.*raise batch_size \\(now 1\\)"):
        MLPClassifier(batch_size=1).fit(x, y, np.arange(len(x)))


def test_what_cannot_be_fitted_in_parts(iris: tuple[np.ndarray, np.ndarray]) -> None:
    x, y = iris
    for kind in (MLPClassifier, MLPRegressor):
        assert not hasattr(kind(solver="lbfgs"), "partial_fit")
    with raises(SettingError, "partial_fit does not support early_stopping"):
        MLPRegressor(early_stopping=True).partial_fit(x, y)
    with raises(SettingError, "validation set is too small"):
        MLPRegressor(early_stopping=True).fit(x[:5], y[:5])


def test_every_error_of_ours_is_kokubans() -> None:
    for kind in (DataError, NonFiniteError, SettingError, UnknownNameError):
        assert issubclass(kind, KokubanError)


def test_digits_are_learned() -> None:
    x, y = load_digits(return_X_y=True)
    fitted = MLPClassifier(random_state=0).fit(x[:1200] / 16, y[:1200])
    assert fitted.score(x[1200:] / 16, y[1200:]) > 0.92


def test_lbfgs_says_that_it_runs_on_numpy(
    iris: tuple[np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compiled, "native", lambda: None)
    compiled.say_on_numpy.cache_clear()
    losses_and_gradients.cache_clear()
    program.cache_clear()
    with pytest.warns(UserWarning, match="lbfgs runs on NumPy, not on the native engine"):
        MLPClassifier((4,), solver="lbfgs", max_iter=50, tol=0.1).fit(*iris)
    compiled.say_on_numpy.cache_clear()
    losses_and_gradients.cache_clear()
    program.cache_clear()
