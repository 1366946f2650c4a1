"""A fitted estimator as a model with a description, and back from them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kokuban.errors import FileFormatError, SettingError
from kokuban.estimators.fitted import attributes
from kokuban.estimators.network import ALPHA, Problem
from kokuban.estimators.outputs import EPSILON
from kokuban.estimators.plain import Case, plain, unplain
from kokuban.expr import Expr, constant, input, substitute, target
from kokuban.train.history import History
from kokuban.train.model import Model
from kokuban.train.network import Network

KEY = "estimator"  # in the model file's extra
RECORDS = (  # the fitted attributes that are numbers, lists of them, or None
    "n_features_in_",
    "n_layers_",
    "n_outputs_",
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_no_improvement_count",
)


def model_of(estimator: Any) -> Model:
    """The fitted network as a `kokuban.Model`: its expressions and its values."""
    units, classes = estimator._units(), hasattr(estimator, "classes_")
    problem: Problem = estimator._problem(units, False)
    try:
        weighted = estimator._problem(units, True).objective
    except SettingError:  # a loss of someone's own that takes no weights
        weighted = problem.objective
    numbers: dict[Expr, Expr] = {
        ALPHA: constant(estimator.alpha),
        EPSILON: constant(np.finfo(estimator._dtype).eps),
    }
    states, names = dict(problem.updates), dict(problem.layers)
    parts = [problem.objective, weighted, problem.evaluation, problem.output]
    every = substitute([*parts, *states.values(), *names.values()], numbers)
    loss, weighted, evaluation, output = every[:4]
    network = Network(
        loss,
        None if weighted is loss else weighted,
        evaluation,
        output,
        dict(zip(states, every[4:], strict=False)),
        tuple(zip(names, every[4 + len(states) :], strict=True)),
        classes=classes,
    )
    values = estimator._parameters(problem, estimator._dtype)
    return Model.from_network(network, values, estimator._dtype)


def description(estimator: Any) -> dict[str, Any]:
    """All else about a fitted estimator, as plain JSON values.

    Raises SettingError for a setting that a file without code cannot hold.
    """
    units = estimator._units()
    problem: Problem = estimator._problem(units, False)
    settings = estimator.get_params(deep=False)
    names = getattr(estimator, "feature_names_in_", None)
    records = {n: getattr(estimator, n) for n in RECORDS if hasattr(estimator, n)}
    history = getattr(estimator, "history_", None)
    return {
        "class": type(estimator).__name__,
        "settings": {n: plain(n, v, _cases(n, problem)) for n, v in settings.items()},
        "units": list(units),
        "records": {n: plain(n, v) for n, v in records.items()},
        "history": None if history is None else history.to_dict(),
        "feature_names": None if names is None else names.tolist(),
        "own": estimator._own_description(),
    }


def _cases(setting: str, problem: Problem) -> list[Case]:
    """The arguments that a function in a setting gets in this network."""
    outputs = problem.sizes[-1]
    if setting == "activation":
        return [(input("U", e.shape),) for e in problem.hidden]
    if setting == "output_activation":
        return [(input("U", ("N", outputs)),)]
    if setting == "loss":
        y, t = input("Y", ("N", outputs)), target("T", ("N", outputs))
        return [(y, t)]
    return []


def restored(kind: Any, about: Mapping[str, Any], model: Model) -> Any:
    """The estimator of a model and its description."""
    settings = {n: unplain(v) for n, v in about["settings"].items()}
    estimator = kind(**settings)
    estimator._require_settings()
    estimator._restore(about["own"])
    estimator.out_activation_ = estimator._output_name()
    problem = estimator._problem(tuple(about["units"]), False)
    values = {s.name: v for s, v in model.values.items()}
    wanted = [*problem.weights, *problem.biases, *(s for s, _ in problem.norms)]
    if {s.name: s.shape for s in wanted} != {n: v.shape for n, v in values.items()}:
        raise FileFormatError("its values are not those of its settings' network")
    own = {s: values[s.name].copy() for s in wanted}
    estimator._take(attributes(problem, own))
    for name in RECORDS:
        if name in about["records"]:
            setattr(estimator, name, unplain(about["records"][name]))
    if about["history"] is not None:
        estimator.history_ = History.from_dict(about["history"])
        estimator._best = estimator._learned()
    if about["feature_names"] is not None:
        estimator.feature_names_in_ = np.array(about["feature_names"], dtype=object)
    return estimator
