"""`kokuban grade`: verdicts on an answer file, or on a folder of them."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from kokuban.cli.show import note
from kokuban.cli.writing import require_writable
from kokuban.errors import SettingError, StorageError
from kokuban.explain.phrases import LANGUAGES
from kokuban.train.files import write_atomically
from kokuban.worksheets import Graded, Grader, answers
from kokuban.worksheets.grading import EMPTY, RIGHT, UNREADABLE, WRONG, commonest
from kokuban.worksheets.sheet import load
from kokuban.worksheets.words import VERDICTS

ENDINGS = (".txt", ".json")
RISKY = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet would take for a formula
OUTCOMES = (RIGHT, WRONG, UNREADABLE, EMPTY)


LONG = """\
Grade answers to worksheets: each blank is right in any algebraic form, or wrong, with the
mistake that explains it, or not readable, with the place. A folder of answer files gives
a line for each and the commonest mistakes; -o writes a table of the class, as CSV.
Answers are text, and nothing in them is run."""

EXAMPLES = """\
examples:
  kokuban grade class/teacher/sheets.json yamada.txt
  kokuban grade class/teacher/sheets.json returned -o class.csv --lang ja"""


def options(command: argparse.ArgumentParser) -> None:
    """The command's options."""
    command.set_defaults(run=run)
    add = command.add_argument
    add("sheet", metavar="SHEETS.json", help="the teacher's file, from kokuban worksheet")
    add("answers", metavar="ANSWERS", help="an answer file (.txt, .json), or a folder")
    add("-o", "--output", metavar="CLASS.csv", help="the verdicts as a table")
    add("--lang", choices=tuple(LANGUAGES), help="of the verdicts (default: the sheet's)")


def run(args: argparse.Namespace) -> int:
    """Grade as the options say; 0, whatever the answers are worth."""
    sheets = load(args.sheet)
    if args.output is not None:
        require_writable(args.output, (args.sheet, args.answers))
    path = Path(args.answers)
    grader = Grader(sheets, args.lang or _language(sheets))
    files = _files(path) if path.is_dir() else [path]
    if not path.is_dir() and not path.is_file():
        raise StorageError(f"Cannot read {args.answers!r}: there is no such file.")
    graded = [grader.grade(answers.load(file, sheets), file.name) for file in files]
    if path.is_dir():
        _print_class(graded, grader.lang)
    else:
        _print_one(graded[0], grader.lang)
    if args.output is not None:
        write_atomically(args.output, table(graded).encode("utf-8-sig"))
        note(f"{len(graded)} rows, written to {args.output}")
    return 0


def _language(sheets: object) -> str:
    values = list(sheets.values()) if isinstance(sheets, dict) else []
    return values[0].lang if values else "en"


def _files(folder: Path) -> list[Path]:
    """The answer files in a folder, in the order of their names."""
    try:
        found = sorted(
            p for p in folder.iterdir() if p.suffix.lower() in ENDINGS and p.is_file()
        )
    except OSError as error:
        raise StorageError(f"Cannot read {str(folder)!r}: {error.strerror}.") from error
    if not found:
        raise SettingError(f"There is no answer file (.txt or .json) in {str(folder)!r}.")
    return found


# ---------------------------------------------------------------- on the terminal


def _print_one(graded: Graded, lang: str) -> None:
    say = VERDICTS[lang]
    print(" ".join(x for x in (graded.file, graded.sheet, graded.name) if x))
    for line in graded.problems:
        print(f"  ! {line}")
    for verdict in graded.verdicts:
        mark = {RIGHT: "✓", WRONG: "✗", UNREADABLE: "?", EMPTY: "-"}[verdict.outcome]
        print(
            f"{mark} {verdict.blank.number} {verdict.blank.name}: {say[verdict.outcome]}"
        )
        for line in verdict.lines:
            print(f"    {line}")
    print(_summary(graded, lang))


def _summary(graded: Graded, lang: str) -> str:
    counts = (graded.count(o) for o in OUTCOMES)
    total = f"{graded.points:g}", str(len(graded.verdicts))
    return VERDICTS[lang]["points"].format(*total, *counts)


def _print_class(class_: Sequence[Graded], lang: str) -> None:
    say = VERDICTS[lang]
    for graded in class_:
        head = " ".join(x for x in (graded.file, graded.name) if x)
        print(f"{head}: {_summary(graded, lang)}")
        for line in graded.problems:
            print(f"  ! {line}")
    points = sum(g.points for g in class_) / len(class_)
    blanks = sum(len(g.verdicts) for g in class_) / len(class_)
    print(say["class"].format(len(class_), f"{points:.3g}", f"{blanks:.3g}"))
    found = commonest(class_)
    print(say["commonest"] if found else say["no mistakes"])
    for mistake, blank, count in found:
        print(f"  {count} × {mistake}  {blank}")


# ---------------------------------------------------------------- as a table


def table(class_: Sequence[Graded]) -> str:
    """The class as CSV: a row a file; by blank the points, and its mistakes by name."""
    most = max((len(g.verdicts) for g in class_), default=0)
    head = ["file", "name", "sheet", "points", "of", *OUTCOMES, "mistakes", "problems"]
    head += [str(k + 1) for k in range(most)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    for graded in class_:
        writer.writerow([*_cells(graded), *[""] * (most - len(graded.verdicts))])
    return out.getvalue()


def _cells(graded: Graded) -> Iterator[str]:
    yield from map(safe, (graded.file, graded.name, graded.sheet))
    yield f"{graded.points:g}"
    yield str(len(graded.verdicts))
    yield from (str(graded.count(o)) for o in OUTCOMES)
    named = (f"{v.blank.number}: {m}" for v in graded.verdicts for m in v.mistakes)
    yield safe("; ".join(named))
    yield safe(" ".join(graded.problems))
    for verdict in graded.verdicts:
        yield "" if verdict.outcome == EMPTY else f"{verdict.points:g}"


def safe(cell: str) -> str:
    """A cell that a spreadsheet shows as the text it is, and does not calculate."""
    bare = answers.printable(cell, 2000)
    return f"'{bare}" if bare.startswith(RISKY) else bare
