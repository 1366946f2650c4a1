"""Fitted networks from scikit-learn and back, with all that training goes on from."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any

import numpy as np
from sklearn import neural_network as theirs

from kokuban import estimators as ours
from kokuban.errors import InterchangeError, NotFittedError, ShapeError
from kokuban.estimators.fitted import Solver
from kokuban.estimators.network import Problem
from kokuban.estimators.saving import RECORDS
from kokuban.expr import Symbol
from kokuban.shape import show

PAIRS: tuple[tuple[type[Any], type[Any]], ...] = (
    (theirs.MLPClassifier, ours.MLPClassifier),
    (theirs.MLPRegressor, ours.MLPRegressor),
)
THEIRS = ("identity", "logistic", "tanh", "relu")
SHARED = (  # the attributes that a fit leaves behind in both, where it leaves them
    *RECORDS,
    "coefs_",
    "intercepts_",
    "out_activation_",
    "classes_",
    "feature_names_in_",
    "_label_binarizer",
)


def from_sklearn(mlp: Any) -> Any:
    """A fitted MLPClassifier or MLPRegressor of scikit-learn as Kokuban's.

    Settings and fitted attributes are copied, the optimizer's memory too: predictions are
    the same, and `partial_fit`, or `fit` with warm_start, goes on as there.

    Raises InterchangeError for any other object, NotFittedError, and ShapeError for
    weights that do not follow one another.
    """
    kind = dict(PAIRS).get(type(mlp))
    if kind is None:
        raise InterchangeError(
            "from_sklearn takes an MLPClassifier or MLPRegressor of scikit-learn itself, "
            f"not {type(mlp).__module__}.{type(mlp).__qualname__}."
        )
    _require_fitted(mlp)
    estimator = kind(**deepcopy(mlp.get_params(deep=False)))
    _copy(mlp, estimator)
    estimator.norms_ = {}
    problem = _matching(estimator)
    if hasattr(mlp, "_best_coefs"):
        estimator._best = {
            "coefs_": deepcopy(mlp._best_coefs),
            "intercepts_": deepcopy(mlp._best_intercepts),
            "norms_": {},
        }
    if mlp.solver != "lbfgs" and hasattr(mlp, "_optimizer"):
        estimator._optimizer = _solver(mlp, estimator, problem)
    return estimator


def to_sklearn(estimator: Any) -> Any:
    """A fitted MLPClassifier or MLPRegressor as scikit-learn's.

    Settings and fitted attributes are copied as by `from_sklearn`. scikit-learn's
    networks have one activation ("identity", "logistic", "tanh" or "relu") in all hidden
    layers, no normalisation, no dropout, and its own losses and solvers.

    Raises InterchangeError, with the reason, for what scikit-learn has not and for any
    other object, and NotFittedError.
    """
    kind = {own: other for other, own in PAIRS}.get(type(estimator))
    if kind is None:
        raise InterchangeError(
            "to_sklearn takes an MLPClassifier or MLPRegressor of kokuban.estimators, "
            f"not {type(estimator).__module__}.{type(estimator).__qualname__}."
        )
    _require_fitted(estimator)
    mlp = kind(**_their_settings(estimator, kind))
    try:
        mlp._validate_params()
    except ValueError as error:
        raise InterchangeError(f"scikit-learn has no such network. {error}") from None
    _copy(estimator, mlp)
    if hasattr(estimator, "_best"):
        mlp._best_coefs = deepcopy(estimator._best["coefs_"])
        mlp._best_intercepts = deepcopy(estimator._best["intercepts_"])
    if estimator.solver != "lbfgs" and hasattr(estimator, "_optimizer"):
        mlp._optimizer = _their_optimizer(estimator, mlp)
    return mlp


def _require_fitted(estimator: Any) -> None:
    if not hasattr(estimator, "coefs_"):
        raise NotFittedError(f"{type(estimator).__name__} is not fitted: call fit first.")


def _copy(source: Any, to: Any) -> None:
    for name in SHARED:
        if hasattr(source, name):
            setattr(to, name, deepcopy(getattr(source, name)))


def _matching(estimator: Any) -> Problem:
    """The network of the weights; ShapeError where one does not fit in."""
    problem: Problem = estimator._problem(estimator._units(), False)
    values = [*estimator.coefs_, *(np.atleast_2d(b) for b in estimator.intercepts_)]
    wanted = [*problem.weights, *problem.biases]
    for symbol, value in zip(wanted, values, strict=False):
        if np.shape(value) != symbol.shape:
            found = "×".join(map(str, np.shape(value)))
            raise ShapeError(f"{symbol.name} must be {show(symbol.shape)}, not {found}.")
    if len(wanted) != len(values):
        raise ShapeError(f"There are {len(values)} weights and biases; not one each.")
    return problem


# ---------------------------------------------------------------- settings


def _their_settings(estimator: Any, kind: type[Any]) -> dict[str, Any]:
    """Its settings as scikit-learn's; InterchangeError for one that is not there."""
    settings = deepcopy(estimator.get_params(deep=False))
    there = kind().get_params(deep=False)
    usual = {f.name: f.default for f in fields(estimator) if f.name not in there}
    if settings.get("output_activation") == "identity":  # that is what None means
        usual["output_activation"] = "identity"
    for name, default in usual.items():
        value = settings.pop(name)
        same = not np.any(value) if name == "dropout" else value == default
        if not same:
            why = (
                f"scikit-learn's {kind.__name__} has no {name}; here it is {value!r:.60}."
            )
            if name in ("dropout", "class_weight", "scoring", "dtype"):
                why += " Set it to its default, if it is to predict and no more."
            raise InterchangeError(why)
    if estimator._learned()["norms_"]:
        raise InterchangeError("scikit-learn's networks have no normalisation layers.")
    return {**settings, "activation": _their_activation(estimator)}


def _their_activation(estimator: Any) -> Any:
    """The one activation of all hidden layers; where there are none, any will do."""
    if len(estimator.coefs_) == 1:
        return estimator.activation if estimator.activation in THEIRS else "relu"
    kinds = estimator._each("activation", len(estimator.coefs_) - 1)
    names = {"logistic" if kind == "sigmoid" else kind for kind in kinds}
    if len(names) > 1:
        raise InterchangeError(
            "scikit-learn's networks have the same activation in all hidden layers, not "
            f"{kinds!r:.80}."
        )
    return names.pop()


# ---------------------------------------------------------------- the optimizer's memory


def _slots(estimator: Any, problem: Problem) -> list[Symbol]:
    """What the optimizer remembers, parameter by parameter."""
    every = list(problem.weights + problem.biases)
    return list(estimator._rule().updates(every, every).slots)


def _solver(mlp: Any, estimator: Any, problem: Problem) -> Solver:
    """scikit-learn's optimizer; Adam's rate there has the corrections in it."""
    memory = mlp._optimizer
    if mlp.solver == "adam":
        rate, step = memory.learning_rate_init, memory.t
        arrays = [a for pair in zip(memory.ms, memory.vs, strict=True) for a in pair]
    else:
        rate, step, arrays = memory.learning_rate, 0, memory.velocities
    pairs = zip(_slots(estimator, problem), arrays, strict=True)
    dtype = estimator._dtype
    slots = {s: np.atleast_2d(np.array(a, dtype)) for s, a in pairs}
    return Solver(float(rate), epoch=len(mlp.loss_curve_), step=step, slots=slots)


def _their_optimizer(estimator: Any, mlp: Any) -> Any:
    from sklearn.neural_network import _stochastic_optimizers as rules

    memory: Solver = estimator._optimizer
    problem = estimator._problem(estimator._units(), False)
    params = mlp.coefs_ + mlp.intercepts_
    held = [memory.slots.get(s) for s in _slots(estimator, problem)]
    count = len(held) // len(params)
    arrays = [
        np.zeros_like(p) if a is None else a.reshape(p.shape).copy()
        for a, p in zip(held, (p for p in params for _ in range(count)), strict=True)
    ]
    if estimator.solver == "adam":
        made = rules.AdamOptimizer(
            params, mlp.learning_rate_init, mlp.beta_1, mlp.beta_2, mlp.epsilon
        )
        made.ms, made.vs, made.t = arrays[::2], arrays[1::2], memory.step
        return made
    made = rules.SGDOptimizer(
        params,
        mlp.learning_rate_init,
        mlp.learning_rate,
        mlp.momentum,
        mlp.nesterovs_momentum,
        mlp.power_t,
    )
    made.velocities, made.learning_rate = arrays, memory.learning_rate
    return made
