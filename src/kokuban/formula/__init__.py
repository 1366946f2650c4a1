"""The formula language: boards and formulas as text, both ways, and their equality."""

from kokuban.formula.blackboard import Board, board
from kokuban.formula.equality import Comparison, compare
from kokuban.formula.names import namespace
from kokuban.formula.printing import text
from kokuban.formula.reading import equation, parse
from kokuban.formula.trial import distributions

__all__ = [
    "Board",
    "Comparison",
    "board",
    "compare",
    "distributions",
    "equation",
    "namespace",
    "parse",
    "text",
]
