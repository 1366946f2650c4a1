"""Estimators for tables: TabularClassifier and TabularRegressor."""

from kokuban.estimators.tabular.classifier import TabularClassifier
from kokuban.estimators.tabular.regressor import TabularRegressor

__all__ = ["TabularClassifier", "TabularRegressor"]
