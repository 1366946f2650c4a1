"""What a worksheet is: its sections for people, its blanks for the grader, its file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from kokuban.errors import FileFormatError, StorageError, unknown
from kokuban.explain.layout import Box
from kokuban.explain.page import Line, Prose

FORMAT: Final = "kokuban worksheets 1"
LARGEST: Final = 20_000_000  # bytes of a file of worksheets


@dataclass(frozen=True, slots=True)
class Blank:
    """A place to be filled in, and all that grading it needs.

    number     as the sheet counts, from 1
    name       what answers call it, such as "dL/dW1"
    kind       "formula" in matrices, "entries" in indexed entries, or "number"
    board      which of the sheet's boards its formulas are about
    answer     the right answer, in the language that answers are read in
    known      the names that an answer may use
    by         the symbol that it is the gradient by; empty where it is none
    indices    of entries: each free letter with the dimension that it runs over
    where      of entries: conditions on them, such as "r ≠ k"
    tolerance  of a number: how far off it may be, as a share of it, and at least so far
    """

    number: int
    name: str
    kind: str
    board: int
    answer: str
    known: tuple[str, ...] = ()
    by: str = ""
    indices: tuple[tuple[str, str], ...] = ()
    where: tuple[str, ...] = ()
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True)
class Sheet:
    """What the grader reads: the boards as text, and the blanks with their answers.

    `columns`: formulas are about the transposed matrices, samples side by side.
    """

    id: str
    title: str
    lang: str
    seed: int
    columns: bool
    boards: tuple[str, ...]
    blanks: tuple[Blank, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """Formulas with gaps, what they are called, and what is said about them."""

    label: Prose
    says: Prose
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a worksheet: its heading, sentences, symbols with shapes, and items."""

    heading: Prose
    notes: tuple[Prose, ...] = ()
    symbols: tuple[tuple[Box, Box], ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Worksheet:
    """A worksheet: what is printed, gaps empty or filled, and what the grader reads."""

    sheet: Sheet
    title: Prose
    sections: tuple[Section, ...]


# ---------------------------------------------------------------- the teacher's file


def to_json(sheets: Iterable[Sheet]) -> str:
    """The file that `kokuban grade` reads. It holds the answers: it is the teacher's."""
    made = {"format": FORMAT, "sheets": [asdict(s) for s in sheets]}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


def from_json(text: str, name: str = "the file") -> dict[str, Sheet]:
    """The worksheets of such a text by their ids; FileFormatError where it is none."""
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError
        sheets = [_sheet(s) for s in found["sheets"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileFormatError(
            f"{name} is no file of worksheets that `kokuban worksheet` wrote, or it is "
            "damaged."
        ) from None
    return {s.id: s for s in sheets}


def load(path: str | Path) -> dict[str, Sheet]:
    """The worksheets in a file by their ids.

    Raises StorageError where it cannot be read, FileFormatError where it is none.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise StorageError(f"Cannot read {str(path)!r}: {error.strerror}.") from error
    try:
        if len(data) > LARGEST:
            raise ValueError
        text = data.decode()
    except ValueError:
        raise FileFormatError(f"{str(path)!r} is no file of worksheets.") from None
    return from_json(text, repr(str(path)))


def _sheet(found: Mapping[str, Any]) -> Sheet:
    boards = tuple(_text(b) for b in found["boards"])
    blanks = tuple(_blank(b, len(boards)) for b in found["blanks"])
    if [b.number for b in blanks] != [*range(1, len(blanks) + 1)]:
        raise ValueError
    own, title, lang = (_text(found[k]) for k in ("id", "title", "lang"))
    seed, columns = int(found["seed"]), bool(found["columns"])
    return Sheet(own, title, lang, seed, columns, boards, blanks)


def _blank(found: Mapping[str, Any], boards: int) -> Blank:
    made = dict(found)
    for key in ("name", "kind", "answer", "by"):
        _text(made[key])
    made["known"] = tuple(_text(n) for n in made["known"])
    made["where"] = tuple(_text(n) for n in made["where"])
    made["indices"] = tuple((_text(a), _text(b)) for a, b in made["indices"])
    number, board, tolerance = (made[k] for k in ("number", "board", "tolerance"))
    if set(made) != {f.name for f in fields(Blank)} or not 0 <= board < boards:
        raise ValueError
    if not isinstance(number, int) or not 0 <= tolerance < 1:
        raise ValueError
    if made["kind"] not in ("formula", "entries", "number"):
        raise ValueError
    return Blank(**made)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def chosen(names: Sequence[str], wanted: Iterable[str]) -> set[str]:
    """The blanks asked for by name; UnknownNameError for one that there is not."""
    found = set(wanted)
    for name in found:
        if name not in names:
            raise unknown("blank", name, names)
    return found
