"""scikit-learn's networks and ours, one as the other: predictions and further training.

Where training goes on, scikit-learn's own run is the oracle.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import neural_network as theirs
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import kokuban as kb
from kokuban import estimators as ours
from kokuban.errors import InterchangeError, NotFittedError, ShapeError
from kokuban.interchange import from_sklearn, to_sklearn

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:.* runs on NumPy:UserWarning",  # where nothing was compiled
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
SCORE = X[:, 0] - X[:, 1] ** 2
TARGETS: dict[str, Any] = {
    "binary": np.where(SCORE > 0, "yes", "no"),
    "multiclass": np.digitize(SCORE, [-1, 0.5]) * 3,
    "multilabel": (X[:, :3] > 0).astype(int),
    "numbers": SCORE,
    "several numbers": np.stack([SCORE, X[:, 2]], axis=1),
    "counts": RNG.poisson(np.exp(X[:, 0] / 2)),
}
CLOSE = {"rtol": 0, "atol": 1e-6}

SETTINGS = st.fixed_dictionaries(
    {
        "hidden_layer_sizes": st.sampled_from([(5,), (), 4, [4, 3], np.array([3, 3, 2])]),
        "activation": st.sampled_from(["identity", "logistic", "tanh", "relu"]),
        "solver": st.sampled_from(["adam", "sgd", "lbfgs"]),
        "alpha": st.sampled_from([0.0, 1e-4, 0.1]),
        "batch_size": st.sampled_from(["auto", 7, 30]),
        "learning_rate": st.sampled_from(["constant", "invscaling", "adaptive"]),
        "learning_rate_init": st.sampled_from([0.001, 0.005]),
        "momentum": st.sampled_from([0.0, 0.9]),
        "nesterovs_momentum": st.booleans(),
        "shuffle": st.booleans(),
        "early_stopping": st.booleans(),
        "n_iter_no_change": st.sampled_from([1, 10]),
        "random_state": st.integers(0, 3),
        "max_iter": st.integers(1, 6),
        "warm_start": st.booleans(),
    }
)


def fitted(family: Any, kind: str, chosen: dict[str, Any], dtype: Any) -> Any:
    name = "MLPRegressor" if "num" in kind or kind == "counts" else "MLPClassifier"
    extra = {"loss": "poisson"} if kind == "counts" else {}
    return getattr(family, name)(**chosen, **extra).fit(X.astype(dtype), TARGETS[kind])


def same(a: Any, b: Any, dtype: Any = np.float64) -> None:
    """Two fitted networks give the same answers."""
    x = X.astype(dtype)
    tolerance = CLOSE if dtype == np.float64 else {"rtol": 1e-5, "atol": 1e-5}
    if hasattr(a, "predict_proba"):
        assert_allclose(a.predict_proba(x), b.predict_proba(x), **tolerance)
        assert_array_equal(a.classes_, b.classes_)
    found, wanted = a.predict(x), b.predict(x)
    assert found.shape == wanted.shape
    if found.dtype.kind == "f":
        assert_allclose(found, wanted, **tolerance)
    elif dtype == np.float64:
        assert_array_equal(found, wanted)


def go_on(net: Any, kind: str, way: str, dtype: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return getattr(net, way)(X.astype(dtype), TARGETS[kind])


@settings(max_examples=40, deadline=None)
@given(
    chosen=SETTINGS,
    kind=st.sampled_from([*TARGETS]),
    dtype=st.sampled_from([np.float64, np.float32]),
)
def test_there_and_back(chosen: dict[str, Any], kind: str, dtype: Any) -> None:
    original = fitted(theirs, kind, chosen, dtype)
    taken = from_sklearn(original)
    assert type(taken).__module__.startswith("kokuban.estimators")
    same(taken, original, dtype)
    again = to_sklearn(taken)
    assert type(again) is type(original)
    for name, wanted in original.get_params().items():
        assert_array_equal(again.get_params()[name], wanted)
    same(again, original, dtype)
    assert {n for n in vars(original) if n.endswith("_")} == {
        n for n in vars(again) if n.endswith("_")
    }
    stochastic = chosen["solver"] != "lbfgs" and not chosen["early_stopping"]
    for way in ("partial_fit", "fit") if stochastic else ("fit",):
        for net in (original, taken, again):
            go_on(net, kind, way, dtype)
        if dtype == np.float64 and chosen["solver"] != "lbfgs":
            assert_allclose(taken.loss_curve_, original.loss_curve_, **CLOSE)
            assert_allclose(again.loss_curve_, original.loss_curve_, **CLOSE)
            # A second fit with early stopping changes scikit-learn's best weights in
            # place, where no epoch is better; a copy keeps them.
            if not chosen["early_stopping"]:
                same(taken, original)
                same(again, original)


@settings(max_examples=15, deadline=None)
@given(chosen=SETTINGS, kind=st.sampled_from([*TARGETS]))
def test_back_and_there(chosen: dict[str, Any], kind: str) -> None:
    original = fitted(ours, kind, chosen, np.float64)
    given_, returned = to_sklearn(original), from_sklearn(to_sklearn(original))
    same(given_, original)
    same(returned, original)
    if chosen["solver"] != "lbfgs" and not chosen["early_stopping"]:
        for net in (original, given_, returned):
            go_on(net, kind, "partial_fit", np.float64)
        same(given_, original)
        same(returned, original)


def test_what_is_taken_is_a_copy() -> None:
    original = theirs.MLPClassifier((3,), max_iter=2).fit(X, TARGETS["binary"])
    before = from_sklearn(original).predict_proba(X)
    taken = from_sklearn(original)
    go_on(original, "binary", "partial_fit", np.float64)
    original.coefs_[0][:] = 0
    assert_array_equal(taken.predict_proba(X), before)


def test_names_of_columns_are_kept() -> None:
    import pandas as pd

    frame = pd.DataFrame(X, columns=[*"abcd"])
    taken = from_sklearn(
        theirs.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2).fit(frame, SCORE)
    )
    assert to_sklearn(taken).feature_names_in_.tolist() == [*"abcd"]
    with pytest.raises(ValueError, match="feature names"):
        taken.predict(frame[[*"dcba"]])


def test_an_estimator_from_a_file(tmp_path: Any) -> None:
    net = ours.MLPClassifier((3,), max_iter=3).fit(X, TARGETS["multiclass"])
    net.save(tmp_path / "net")
    same(to_sklearn(ours.load(tmp_path / "net")), net)


def test_an_activation_of_no_layer() -> None:
    net = ours.MLPClassifier((), kb.mish, max_iter=3).fit(X, TARGETS["binary"])
    assert to_sklearn(net).activation == "relu"
    same(to_sklearn(net), net)


def test_what_scikit_learn_calls_by_another_name() -> None:
    net = ours.MLPRegressor(
        hidden_layer_sizes=(3, 2),
        activation=["sigmoid", "logistic"],
        output_activation="identity",
        dropout=[0.0, 0.0],
        max_iter=3,
    ).fit(X, SCORE)
    made = to_sklearn(net)
    assert made.activation == "logistic"
    same(made, net)


NOT_THERE: dict[str, tuple[Any, str]] = {
    "activations": (
        ours.MLPClassifier((3, 2), ["tanh", "relu"]),
        r"the same activation in all hidden layers, not \['tanh', 'relu'\]",
    ),
    "activation": (ours.MLPClassifier((3,), "gelu"), "'activation' parameter.*'gelu'"),
    "function": (ours.MLPClassifier((3,), kb.mish), "'activation' parameter"),
    "dropout": (ours.MLPClassifier((3,), dropout=0.5), "no dropout; here it is 0.5"),
    "batch": (
        ours.MLPClassifier((3,), normalization="batch"),
        "no normalization; here it is 'batch'",
    ),
    "class weights": (
        ours.MLPClassifier((3,), class_weight="balanced"),
        "no class_weight; .* Set it to its default",
    ),
    "scoring": (ours.MLPClassifier((3,), scoring="loss"), "no scoring"),
    "own loss": (ours.MLPClassifier(loss=lambda y, t: (y - t) ** 2), "no loss"),
    "solver": (ours.MLPClassifier(solver=kb.optim.AdamW(0.01)), "'solver' parameter"),
    "schedule": (
        ours.MLPClassifier(learning_rate=kb.optim.Cosine(0.01)),
        "'learning_rate' parameter",
    ),
    "loss": (ours.MLPRegressor("huber"), "'loss' parameter.*'huber'"),
    "output": (ours.MLPRegressor(output_activation="tanh"), "no output_activation"),
}


@pytest.mark.parametrize("name", NOT_THERE)
def test_what_scikit_learn_has_not_is_named(name: str) -> None:
    net, message = NOT_THERE[name]
    net.set_params(max_iter=2).fit(X, TARGETS["multiclass"])
    with pytest.raises(InterchangeError, match=message):
        to_sklearn(net)


def test_normalised_weights_without_the_setting() -> None:
    net = ours.MLPClassifier((3,), normalization="layer", max_iter=2)
    net.fit(X, TARGETS["binary"]).set_params(normalization=None)
    with pytest.raises(InterchangeError, match="no normalisation layers"):
        to_sklearn(net)


class Derived(theirs.MLPClassifier):
    """A subclass could predict in another way."""


def test_foreign_unfitted_and_broken_objects() -> None:
    code = ours.Autoencoder((2,), max_iter=2).fit(X)
    linear = LogisticRegression().fit(X, TARGETS["binary"])
    derived = Derived((3,), max_iter=2).fit(X, TARGETS["binary"])
    own = ours.MLPClassifier((3,), max_iter=2).fit(X, TARGETS["binary"])
    for foreign in (linear, derived, own, code, None):
        with pytest.raises(InterchangeError, match="of scikit-learn itself, not"):
            from_sklearn(foreign)
    for foreign in (linear, derived, code, None):
        with pytest.raises(InterchangeError, match=r"of kokuban\.estimators, not"):
            to_sklearn(foreign)
    for unfitted, take in (
        (theirs.MLPRegressor(), from_sklearn),
        (ours.MLPRegressor(), to_sklearn),
    ):
        with pytest.raises(NotFittedError, match="MLPRegressor is not fitted"):
            take(unfitted)
    broken = theirs.MLPClassifier((3,), max_iter=2).fit(X, TARGETS["binary"])
    broken.coefs_[1] = np.ones((4, 1))
    with pytest.raises(ShapeError, match="W2 must be 3×1, not 4×1"):
        from_sklearn(broken)
    broken.coefs_[1], broken.intercepts_ = np.ones((3, 1)), broken.intercepts_[:1]
    with pytest.raises(ShapeError, match="weights and biases"):
        from_sklearn(broken)
