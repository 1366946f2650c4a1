"""scikit-learn's own tests of its MLP, run on Kokuban's classes.

The module is loaded from the installed scikit-learn, nothing of it is copied; while it
is loaded, `sklearn.neural_network` holds our classes in place of its own.
"""

from __future__ import annotations

from importlib.util import find_spec, module_from_spec
from types import ModuleType
from unittest.mock import patch

import pytest

from kokuban.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings(
    # scikit-learn runs these tests without turning warnings into errors
    "default::UserWarning",
    "default::RuntimeWarning",
    "ignore::sklearn.exceptions.ConvergenceWarning",
)

EXCEPTIONS = {
    "test_gradient": "it calls scikit-learn's private _loss_grad_lbfgs; "
    "test_gradients_against_central_differences is the same test of ours",
}


def loaded() -> ModuleType:
    spec = find_spec("sklearn.neural_network.tests.test_mlp")
    if spec is None or spec.loader is None:
        pytest.skip("this scikit-learn came without its tests", allow_module_level=True)
    module = module_from_spec(spec)
    swapped = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
    with patch.multiple("sklearn.neural_network", **swapped):
        spec.loader.exec_module(module)
    return module


THEIRS = loaded()
assert THEIRS.MLPClassifier is MLPClassifier
assert THEIRS.MLPRegressor is MLPRegressor


@pytest.fixture(name="global_random_seed")
def seed() -> int:
    """The seed that scikit-learn's own runs use by default."""
    return 42


for _name, _test in vars(THEIRS).items():
    if _name.startswith("test_"):
        reason = EXCEPTIONS.get(_name)
        globals()[_name] = (
            pytest.mark.xfail(raises=AttributeError, strict=True, reason=reason)(_test)
            if reason
            else _test
        )


def test_these_are_all_of_them() -> None:
    tests = [name for name in vars(THEIRS) if name.startswith("test_")]
    assert len(tests) >= 43
    assert set(EXCEPTIONS) <= set(tests)
