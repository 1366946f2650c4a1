"""Worksheets from derivations, and the grading of what comes back.

`worksheet` leaves formulas of a derivation blank; writing.py prints it, sheet.py keeps
what the grader needs. answers.py reads what someone sent, grading.py judges it: nothing
in an answer is ever run.
"""

from __future__ import annotations

from kokuban.worksheets.grading import Graded, Grader, Verdict
from kokuban.worksheets.making import worksheet
from kokuban.worksheets.sheet import Sheet, Worksheet

__all__ = ["Graded", "Grader", "Sheet", "Verdict", "Worksheet", "worksheet"]
