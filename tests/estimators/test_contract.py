"""scikit-learn's own checks of an estimator, none of them expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from kokuban import estimators as ours
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training runs on NumPy:UserWarning",  # where nothing was compiled
)


# max_iter as scikit-learn's own tests of the checks choose it
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPRegressor(max_iter=100),
        Autoencoder(hidden_layer_sizes=(3,), max_iter=20),
        Autoencoder(hidden_layer_sizes=(5, 2), tied=False, max_iter=20),
    ]
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_the_parameters_and_defaults_are_scikit_learns(name: str) -> None:
    mine, its = getattr(ours, name), getattr(theirs, name)
    assert [(p.name, p.kind, p.default) for p in signature(mine).parameters.values()] == [
        (p.name, p.kind, p.default) for p in signature(its).parameters.values()
    ]
    for method in ("fit", "partial_fit", "predict", "score"):
        assert list(signature(getattr(mine, method)).parameters) == list(
            signature(getattr(its, method)).parameters
        )


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("name", ["MLPClassifier", "MLPRegressor"])
def test_the_fitted_attributes_are_scikit_learns(
    name: str, solver: str, early_stopping: bool
) -> None:
    settings = {"max_iter": 3, "solver": solver, "early_stopping": early_stopping}
    found = []
    for module in (theirs, ours):
        estimator = getattr(module, name)(**settings)
        estimator.fit(*load_iris(return_X_y=True, as_frame=True))
        found.append({n for n in dir(estimator) if n.endswith("_") and n[0] != "_"})
    assert found[1] == found[0]
