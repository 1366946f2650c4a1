"""Every error Kokuban raises on purpose; all derive from `KokubanError`."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class KokubanError(Exception):
    """The base of all of Kokuban's own errors."""


class ShapeError(KokubanError, ValueError):
    """Shapes that do not fit, or a dimension with two sizes."""


class ExpressionError(KokubanError, TypeError):
    """An expression that cannot be formed or differentiated as asked."""


class FormulaError(KokubanError, ValueError):
    """A formula or a board, as text, that cannot be read; the message shows the place.

    `line` and `column` count from 1; None where there is no place to show.
    """

    def __init__(
        self, message: str, line: int | None = None, column: int | None = None
    ) -> None:
        super().__init__(message)
        self.line, self.column = line, column


class DataError(KokubanError, ValueError):
    """Data that cannot be used: empty, not finite, of the wrong type or length."""


class CellError(DataError):
    """An entry of a table that cannot be used.

    column  the column's name
    row     counted from 0
    told    what is wrong with it
    """

    def __init__(self, column: str, row: int, told: str) -> None:
        super().__init__(column, row, told)
        self.column, self.row, self.told = column, row, told

    def __str__(self) -> str:
        return f"Column {self.column!r}, row {self.row} (counted from 0): {self.told}"


class NonFiniteError(KokubanError, ArithmeticError, ValueError):
    """Training met NaN or infinity; the message names the layer and the step."""


class UnknownNameError(KokubanError, ValueError):
    """A name that is not known; the message offers the nearest one that is."""


class FileFormatError(KokubanError, ValueError):
    """A file that is missing its parts, damaged, or of another kind."""


class StorageError(KokubanError, OSError):
    """A file that cannot be read or written: missing, no permission, disk full."""


class NotFittedError(KokubanError, RuntimeError):
    """A model was asked to predict before it was trained or given values."""


class SettingError(KokubanError, ValueError):
    """A setting outside what it may be."""


class InterchangeError(KokubanError, ValueError):
    """What another library's form cannot hold, or an object that is not of its kind."""


class InternalError(KokubanError, RuntimeError):
    """A fault in Kokuban itself, whatever was given; please report it."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence offering the known name closest to `name`, or nothing."""
    found = get_close_matches(str(name), [str(k) for k in known], n=1, cutoff=0.5)
    return f" Did you mean {found[0]!r}?" if found else ""


def unknown(kind: str, name: object, known: Iterable[str]) -> UnknownNameError:
    """The error for an unknown `kind` (such as "optimizer") called `name`."""
    names = list(known)
    return UnknownNameError(
        f"Unknown {kind} {name!r}.{nearest(str(name), names)} "
        f"Known: {', '.join(sorted(names))}."
    )
