"""scikit-learn's own checks of an estimator, none of them expected to fail."""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any

import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_iris
from sklearn.utils.estimator_checks import parametrize_with_checks

from kokuban import estimators as ours
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor
from kokuban.optim import Adam

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)


# max_iter as scikit-learn's own tests of the checks choose it
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=100),
        MLPRegressor(max_iter=100),
        Autoencoder(hidden_layer_sizes=(3,), max_iter=20),
        Autoencoder(hidden_layer_sizes=(5, 2), tied=False, max_iter=20),
        # and with settings of our own
        MLPClassifier(
            (50, 50),
            ["relu", "tanh"],
            normalization="layer",
            max_iter=100,
            solver=Adam(0.003),
            scoring="neg_log_loss",
        ),
        MLPRegressor("huber", normalization="layer", activation="mish", max_iter=100),
    ]
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [(p.name, p.kind, p.default) for p in signature(function).parameters.values()]


SHARED = ["dropout", "normalization", "scoring", "dtype"]
OWN_PARAMETERS = {
    "MLPClassifier": [*SHARED, "loss", "class_weight"],
    "MLPRegressor": [*SHARED, "output_activation"],
}


@pytest.mark.parametrize("name", OWN_PARAMETERS)
def test_the_parameters_and_defaults_are_scikit_learns(name: str) -> None:
    """Ours come after them and by name only, so that no call means anything else."""
    mine, its = getattr(ours, name), getattr(theirs, name)
    count = len(parameters(its))
    assert parameters(mine)[:count] == parameters(its)
    more = parameters(mine)[count:]
    assert [name for name, _, _ in more] == OWN_PARAMETERS[name]
    assert {kind for _, kind, _ in more} == {Parameter.KEYWORD_ONLY}
    for method in ("fit", "partial_fit", "predict", "score"):
        wanted = parameters(getattr(its, method))
        found = parameters(getattr(mine, method))
        assert found[: len(wanted)] == wanted
        assert {kind for _, kind, _ in found[len(wanted) :]} <= {Parameter.KEYWORD_ONLY}


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
    more = {"norms_"} if solver == "lbfgs" else {"norms_", "history_"}
    assert found[1] == found[0] | more
