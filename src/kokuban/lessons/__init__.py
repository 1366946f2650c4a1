"""Lessons: the lecture notes told by the engine, which computes every formula and number.

A lesson is a module here with one record, `LESSON` (lesson.py). It is told in a language
by a teller (teller.py), as parts; writers.py spells them as text, Markdown or HTML, and
figures.py draws.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module

from kokuban.errors import unknown
from kokuban.formula import Board, board
from kokuban.lessons.lesson import Lesson

__all__ = ["NAMES", "Lesson", "boards", "lesson"]

# In the order in which one would read them.
NAMES = (
    "perceptron",
    "chain-rule",
    "activations",
    "affine-proof",
    "losses",
    "softmax",
    "softmax-cross-entropy",
    "sgd",
    "numerical-differentiation",
    "two-layer",
    "cost",
    "batch-and-online",
    "tied-autoencoder",
    "scalar-weight",
    "slips",
)


def lesson(name: str) -> Lesson:
    """The lesson of that name. Raises UnknownNameError, with the nearest name."""
    if name not in NAMES:
        raise unknown("lesson", name, NAMES)
    found = import_module(f"{__name__}.{name.replace('-', '_')}").LESSON
    assert isinstance(found, Lesson)
    return found


def boards(name: str) -> Mapping[str, Board]:
    """The boards of a lesson, by their names there. Raises UnknownNameError."""
    return {own: board(text) for own, text in lesson(name).boards.items()}
