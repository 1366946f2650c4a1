"""From answers to verdicts: right in any form, wrong and why, not readable and where."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kokuban.errors import DataError, FormulaError, KokubanError
from kokuban.expr import Expr, order
from kokuban.formula import compare, parse
from kokuban.formula.trial import Trial
from kokuban.gradcheck import diagnose
from kokuban.run import evaluate
from kokuban.worksheets.answers import LONGEST, Answers
from kokuban.worksheets.desk import Desk, Point
from kokuban.worksheets.indexed import apart, indexed
from kokuban.worksheets.sheet import Blank, Sheet
from kokuban.worksheets.words import VERDICTS

Outcome = str
RIGHT, WRONG, UNREADABLE, EMPTY = "right", "wrong", "unreadable", "empty"
ONE_SLIP, TWO_SLIPS = 0.5, 0.25  # of a point: a named mistake, two together
ENTRIES: Final = 300_000  # of numbers in an answer's parts, beyond those of the right one
NODES: Final = 250  # operations in an answer
CLOSE: Final = 1e-7  # of the largest value: two formulas in entries
SMALLEST: Final = 5e-4  # how far off a number may be, however small it is

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one blank.

    outcome   "right", "wrong", "unreadable" or "empty"
    points    between 0 and 1
    lines     what is said about it: the mistake and a hint, or the place in the answer
    mistakes  the names of the mistakes, such as "transposed"
    """

    blank: Blank
    outcome: Outcome
    points: float = 0.0
    lines: tuple[str, ...] = ()
    mistakes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Graded:
    """What became of one person's answers. `file` is where they stood."""

    file: str
    name: str
    sheet: str
    verdicts: tuple[Verdict, ...]
    problems: tuple[str, ...]

    @property
    def points(self) -> float:
        """What the blanks' points come to."""
        return sum(v.points for v in self.verdicts)

    def count(self, outcome: Outcome) -> int:
        """How many blanks had the outcome."""
        return sum(v.outcome == outcome for v in self.verdicts)


@dataclass
class Grader:
    """Grades answers to some sheets, in a language. The same answer is judged once."""

    sheets: Mapping[str, Sheet]
    lang: str = "en"
    _desks: dict[tuple[str, int], Desk] = field(default_factory=dict)
    _judged: dict[tuple[str, int, str], Verdict] = field(default_factory=dict)

    def grade(self, answers: Answers, file: str = "") -> Graded:
        """The verdicts on all blanks of the sheet that was answered."""
        problems = [self._say(key).format(about) for key, about in answers.problems]
        sheet = self.sheets.get(answers.sheet)
        verdicts = () if sheet is None else tuple(
            self._verdict(sheet, blank, answers) for blank in sheet.blanks
        )  # fmt: skip
        return Graded(file, answers.name, answers.sheet, verdicts, tuple(problems))

    def _say(self, key: str) -> str:
        return VERDICTS[self.lang][key]

    def _verdict(self, sheet: Sheet, blank: Blank, answers: Answers) -> Verdict:
        if blank.name in answers.twice:
            return Verdict(blank, UNREADABLE, 0, (self._say("twice"),))
        given = answers.texts.get(blank.name, "")
        key = sheet.id, blank.number, given
        if key not in self._judged:
            self._judged[key] = self.judge(sheet, blank, given)
        return self._judged[key]

    def judge(self, sheet: Sheet, blank: Blank, given: str) -> Verdict:
        """The verdict on one answer. It never raises for what the answer says."""
        if not given.strip():
            return Verdict(blank, EMPTY)
        if len(given) > LONGEST:
            line = self._say("too long").format(f"{LONGEST:,}")
            return Verdict(blank, UNREADABLE, 0, (line,))
        desk = self.desk(sheet, blank)
        try:
            if blank.kind == "number":
                return self._number(blank, given)
            if blank.kind == "entries":
                return self._entries(desk, blank, given)
            return self._formula(desk, blank, given)
        except FormulaError as error:
            return Verdict(blank, UNREADABLE, 0, tuple(str(error).split("\n")))
        except KokubanError as error:
            return Verdict(blank, UNREADABLE, 0, (str(error),))
        except RecursionError:
            return Verdict(blank, UNREADABLE, 0, (self._say("too deep"),))

    def desk(self, sheet: Sheet, blank: Blank) -> Desk:
        """Where the blank's answers are read."""
        key = sheet.id, blank.board
        if key not in self._desks:
            self._desks[key] = Desk(sheet.boards[blank.board], sheet.columns)
        return self._desks[key]

    # ------------------------------------------------------------ formulas

    def _formula(self, desk: Desk, blank: Blank, given: str) -> Verdict:
        right = desk.marked(desk.read(blank.answer, desk.board))
        claim = desk.read(given, blank.known)
        large = Trial([claim], [claim], 0).entries if _small(claim) else None
        if large is None or large > ENTRIES + Trial([right], [right], 0).entries:
            return Verdict(blank, UNREADABLE, 0, (self._say("too much"),))
        try:
            if compare(claim, right):
                return Verdict(blank, RIGHT, 1.0)
        except DataError:
            return Verdict(blank, WRONG, 0, (self._say("no value"),))
        if claim.shape != right.shape:
            return self._misshapen(desk, blank, claim, right)
        return self._wrong(blank, *self._diagnosis(desk, blank, claim, right))

    def _misshapen(self, desk: Desk, blank: Blank, claim: Expr, right: Expr) -> Verdict:
        shapes = [e.shape[::-1] if desk.columns else e.shape for e in (claim, right)]
        said = self._say("shape").format(*(f"{r}×{c}" for r, c in shapes))
        names, lines = self._diagnosis(desk, blank, claim, right)
        points = _points(names) if names != ["shape"] else 0.0
        return Verdict(blank, WRONG, points, (said, *lines), tuple(names or ["shape"]))

    def _diagnosis(
        self, desk: Desk, blank: Blank, claim: Expr, right: Expr
    ) -> tuple[list[str], list[str]]:
        """The names of the mistakes, and a sentence for each."""
        loss, by = (desk.board.loss, desk.board[blank.by]) if blank.by else (None, None)
        with np.errstate(all="ignore"):  # a wrong answer may overflow
            found = diagnose(claim, right, loss=loss, wrt=by)
        return [m.name for m in found.mistakes], [
            m.text(self.lang) for m in found.mistakes
        ]

    def _wrong(self, blank: Blank, names: Sequence[str], lines: Sequence[str]) -> Verdict:
        said = lines or [self._say("unexplained")]
        return Verdict(blank, WRONG, _points(names), tuple(said), tuple(names))

    # ------------------------------------------------------------ entries, numbers

    def _entries(self, desk: Desk, blank: Blank, given: str) -> Verdict:
        claim = indexed(given, desk, blank.known, blank.indices)
        right = indexed(blank.answer, desk, desk.board, blank.indices)
        pairs: list[tuple[Array, Array]] = []
        for point in desk.points:
            held = [self._holds(desk, blank, w, point) != 0 for w in blank.where]
            mine, true, *masks = np.broadcast_arrays(
                claim.values(point), right.values(point), *held
            )
            keep = np.all(masks, axis=0) if masks else np.ones(true.shape, bool)
            pairs.append((mine[keep], true[keep]))
        mine, true = (np.concatenate([p[k].ravel() for p in pairs]) for k in (0, 1))
        judged = np.isfinite(true)
        mine, true = mine[judged], true[judged]
        if not np.all(np.isfinite(mine)):
            return Verdict(blank, WRONG, 0, (self._say("no value"),))
        allowed = CLOSE * float(np.max(np.abs(true), initial=1e-9))
        if np.all(np.abs(mine - true) <= allowed):
            return Verdict(blank, RIGHT, 1.0)
        return self._wrong(blank, *self._multiple(mine, true, allowed))

    def _holds(self, desk: Desk, blank: Blank, condition: str, point: Point) -> Array:
        """Where a condition on the indices, or on entries, holds."""
        found = apart(condition, blank.indices, point)
        if found is not None:
            return found
        return indexed(condition, desk, desk.board, blank.indices).values(point)

    def _multiple(
        self, mine: Array, true: Array, allowed: float
    ) -> tuple[list[str], list[str]]:
        """Whether what was given is a multiple of what is right, and which."""
        square = float(true @ true)
        ratio = float(mine @ true) / square if square else 0.0
        if not ratio or np.any(
            np.abs(mine - ratio * true) > allowed * max(1, abs(ratio))
        ):
            return [], []
        if abs(ratio + 1) < 1e-6:
            return ["sign"], [self._say("sign")]
        return ["factor"], [self._say("factor").format(f"{ratio:.4g}")]

    def _number(self, blank: Blank, given: str) -> Verdict:
        claim = parse(given, {})
        if claim.shape != (1, 1):
            return Verdict(blank, WRONG, 0, (self._say("one number"),), ("shape",))
        if not _small(claim):
            return Verdict(blank, UNREADABLE, 0, (self._say("too much"),))
        with np.errstate(all="ignore"):
            mine = float(np.asarray(evaluate(claim, {}))[0, 0])
        true = float(blank.answer)
        if not np.isfinite(mine):
            return Verdict(blank, WRONG, 0, (self._say("no value"),))
        near = max(blank.tolerance * abs(true), SMALLEST)
        if abs(mine - true) <= near:
            return Verdict(blank, RIGHT, 1.0)
        if abs(mine + true) <= near:
            return self._wrong(blank, ["sign"], [self._say("sign")])
        return self._wrong(blank, [], [self._say("other number")])


def _small(claim: Expr) -> bool:
    return len(order([claim])) <= NODES


def _points(names: Sequence[str]) -> float:
    """Partial credit: for what one named mistake, or two together, make of the answer."""
    return {0: 0.0, 1: ONE_SLIP}.get(len(names), TWO_SLIPS)


# ---------------------------------------------------------------- a class


def commonest(class_: Iterable[Graded], count: int = 5) -> list[tuple[str, str, int]]:
    """The commonest mistakes: the mistake's name, the blank's, and how many made it."""
    found = Counter(
        (mistake, v.blank.name)
        for g in class_
        for v in g.verdicts
        for mistake in v.mistakes
    )
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(*key, n) for key, n in ordered[:count]]
