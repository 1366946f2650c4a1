"""Checking gradients: numerical differentiation, and a verdict that says why."""

from kokuban.gradcheck.derived import checked, derive
from kokuban.gradcheck.diagnose import Diagnosis, diagnose
from kokuban.gradcheck.mistakes import Mistake
from kokuban.gradcheck.report import Check, Kink, Result, Worst
from kokuban.gradcheck.schemes import METHODS, differences
from kokuban.gradcheck.taylor import taylor_slope
from kokuban.gradcheck.verdict import check

__all__ = [
    "METHODS",
    "Check",
    "Diagnosis",
    "Kink",
    "Mistake",
    "Result",
    "Worst",
    "check",
    "checked",
    "derive",
    "diagnose",
    "differences",
    "taylor_slope",
]
