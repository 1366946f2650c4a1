"""scikit-learn's own checks of an estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from kokuban.estimators import TabularClassifier, TabularRegressor

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)

SMALL: dict[str, Any] = {
    "hidden_layer_sizes": (16, 16),
    "max_iter": 30,
    "random_state": 0,
}


EXPECTED = {
    "check_sample_weight_equivalence_on_dense_data": "rows are held out by chance, and "
    "come in batches: a row given twice falls elsewhere than one row of weight 2",
}


@parametrize_with_checks(
    [TabularClassifier(**SMALL), TabularRegressor(**SMALL)],
    expected_failed_checks=lambda estimator: EXPECTED,
    xfail_strict=True,
)
def test_scikit_learns_checks(estimator: Any, check: Callable[[Any], None]) -> None:
    check(estimator)
