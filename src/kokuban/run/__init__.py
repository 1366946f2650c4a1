"""Running expressions. `reference` is the meaning; it runs on any array namespace."""

from kokuban.run.reference import Program, evaluate

__all__ = ["Program", "evaluate"]
