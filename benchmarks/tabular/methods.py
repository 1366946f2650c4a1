"""Who takes part, each with its own defaults.

The nets and the linear models of scikit-learn's contract get what their users put before
them: numbers with the median for what is missing, scaled; categories one-hot.
Gradient boosting takes frames with categories and missing values as they are; RealMLP
takes categories, and gets medians. `TabularClassifier` gets the frame.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from benchmarks.tabular.sets import Task

Build = Callable[[Task, pd.DataFrame, int, int], Any]
"""From the task, the columns, a seed and a number of threads to an estimator."""


@dataclass(frozen=True)
class Method:
    """A contender: an unfitted estimator for a table, and what has to be installed.

    `of_classes` names the method that it is the same as where classes are learned.
    """

    name: str
    library: str
    build: Build
    of_classes: str | None = None

    @property
    def installed(self) -> bool:
        """Whether the library has what is needed."""
        module, _, name = self.library.partition(":")
        if find_spec(module) is None:
            return False
        return not name or hasattr(import_module(module), name)


def _wide(x: pd.DataFrame) -> ColumnTransformer:
    """Numbers filled and scaled, categories one-hot; what is new is no category."""
    numbers, words = _kinds(x)
    return ColumnTransformer(
        [
            ("numbers", make_pipeline(_median(), StandardScaler()), numbers),
            ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
        ]
    )


def _median() -> SimpleImputer:
    return SimpleImputer(strategy="median", keep_empty_features=True)


def _kinds(x: pd.DataFrame) -> tuple[list[str], list[str]]:
    words = [c for c in x if isinstance(x[c].dtype, pd.CategoricalDtype)]
    return [c for c in x if c not in words], words


def _linear(task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    if task == "classes":
        return make_pipeline(_wide(x), LogisticRegression(max_iter=1000))
    return make_pipeline(_wide(x), RidgeCV(np.logspace(-2, 3, 11)))


def _mlp(
    module: str, standardised: bool, task: Task, x: pd.DataFrame, seed: int, threads: int
) -> Any:
    """scikit-learn's MLP or its drop-in; a numeric target standardised or as it is."""
    nets = import_module(module)
    if task == "classes":
        return make_pipeline(_wide(x), nets.MLPClassifier(random_state=seed))
    net = make_pipeline(_wide(x), nets.MLPRegressor(random_state=seed))
    if not standardised:
        return net
    return TransformedTargetRegressor(net, transformer=StandardScaler())


def _tabular(
    settings: Mapping[str, Any], task: Task, x: pd.DataFrame, seed: int, threads: int
) -> Any:
    from kokuban import estimators

    name = "TabularClassifier" if task == "classes" else "TabularRegressor"
    return getattr(estimators, name)(random_state=seed, **settings)


def _histogram(task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    from sklearn import ensemble

    name = _by_task(task, "HistGradientBoosting")
    return getattr(ensemble, name)(categorical_features="from_dtype", random_state=seed)


def _lightgbm(task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    import lightgbm

    make = getattr(lightgbm, _by_task(task, "LGBM"))
    return make(random_state=seed, n_jobs=threads, verbose=-1)


def _xgboost(task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    import xgboost

    make = getattr(xgboost, _by_task(task, "XGB"))
    return make(random_state=seed, n_jobs=threads, enable_categorical=True)


def _catboost(task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    import catboost

    words = _kinds(x)[1]
    model = getattr(catboost, _by_task(task, "CatBoost"))(
        random_state=seed,
        thread_count=threads,
        cat_features=words,
        verbose=False,
        allow_writing_files=False,
    )
    return make_pipeline(_Text(words), model)


class _Text:
    """Categories as words, with one for what is missing: CatBoost takes no other."""

    def __init__(self, words: list[str]) -> None:
        self.words = words

    def fit(self, x: pd.DataFrame, t: object = None) -> _Text:
        """Nothing to learn."""
        return self

    def transform(self, x: pd.DataFrame) -> pd.DataFrame:
        """The frame with words."""
        words = {c: x[c].astype(object).where(x[c].notna(), "?") for c in self.words}
        return x.assign(**words)


def _realmlp(name: str, task: Task, x: pd.DataFrame, seed: int, threads: int) -> Any:
    import pytabkit

    numbers, words = _kinds(x)
    columns = ColumnTransformer(
        [("numbers", _median(), numbers), ("words", "passthrough", words)],
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    make = getattr(pytabkit, _by_task(task, f"{name}_"))
    return make_pipeline(
        columns, make(device="cpu", random_state=seed, n_threads=threads)
    )


def _by_task(task: Task, stem: str) -> str:
    return stem + ("Classifier" if task == "classes" else "Regressor")


def tabular(name: str, settings: Mapping[str, Any]) -> Method:
    """Ours, with settings."""
    return Method(
        name, "kokuban.estimators:TabularClassifier", partial(_tabular, settings)
    )


OURS = "kokuban"
FAST = "kokuban fast"
REFERENCE = "RealMLP-TD-S"
MLP = "sklearn MLP"
THEIRS = "sklearn.neural_network"
SIX = ("linear", MLP, "HistGB", "LightGBM", "XGBoost", REFERENCE)
"""Those whom ours are ranked with."""
METHODS = {
    method.name: method
    for method in (
        tabular(OURS, {}),
        tabular(FAST, {"preset": "fast"}),
        Method("kokuban MLP", "kokuban", partial(_mlp, "kokuban.estimators", True)),
        Method("linear", "sklearn", _linear),
        Method(
            "sklearn MLP, target as it is", "sklearn", partial(_mlp, THEIRS, False), MLP
        ),
        Method(MLP, "sklearn", partial(_mlp, THEIRS, True)),
        Method("HistGB", "sklearn", _histogram),
        Method("LightGBM", "lightgbm", _lightgbm),
        Method("XGBoost", "xgboost", _xgboost),
        Method("CatBoost", "catboost", _catboost),
        Method(REFERENCE, "pytabkit", partial(_realmlp, "RealMLP_TD_S")),
    )
}
