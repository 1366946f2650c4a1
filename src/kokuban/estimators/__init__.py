"""Estimators with scikit-learn's interface: thin words over Kokuban's expressions."""

from kokuban.estimators.autoencoder import Autoencoder
from kokuban.estimators.loading import load
from kokuban.estimators.mlp import MLPClassifier, MLPRegressor
from kokuban.estimators.tabular import TabularClassifier, TabularRegressor

__all__ = [
    "Autoencoder",
    "MLPClassifier",
    "MLPRegressor",
    "TabularClassifier",
    "TabularRegressor",
    "load",
]
