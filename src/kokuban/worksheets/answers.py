"""Answer files: a form to fill in, and what someone sent back, read with suspicion.

Nothing in an answer file is run, and nothing in it can raise: what cannot be read is
said. A form is text, a line a blank: `3 dL/dW1 = X^T Δ`; or JSON with the same names.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kokuban.worksheets.sheet import Blank, Sheet

LARGEST: Final = 1_000_000  # bytes of an answer file
LONGEST: Final = 1_000  # characters of an answer
LONGEST_NAME: Final = 80  # of a person's name
MANY: Final = 20  # problems of one file that are told

HEADS: Final = ("sheet", "name")
_head = re.compile(r"\(?([0-9]{1,6})\)?[.:]?(?:\s+(.*))?|[^\r\n]*")


@dataclass
class Answers:
    """What someone answered: texts by the blank's name, and what was wrong with the file.

    twice     blanks that were answered in two ways
    problems  sentences' keys in the words of verdicts, each with what it is about
    """

    name: str = ""
    sheet: str = ""
    texts: dict[str, str] = field(default_factory=dict)
    twice: set[str] = field(default_factory=set)
    problems: list[tuple[str, str]] = field(default_factory=list)

    def add(self, key: str, text: str) -> None:
        """Note an answer; a second, different one makes both void."""
        if self.texts.get(key, "").strip() not in ("", text.strip()):
            self.twice.add(key)
        elif text.strip() or key not in self.texts:
            self.texts[key] = text.strip()

    def problem(self, key: str, about: object = "") -> None:
        """Note what is wrong with the file."""
        if len(self.problems) < MANY:
            self.problems.append((key, printable(str(about))))


def printable(text: str, longest: int = LONGEST_NAME) -> str:
    """A text of someone else's on one line, cut, without control characters."""
    kept = "".join(" " if unicodedata.category(c)[0] == "C" else c for c in text[:1000])
    kept = " ".join(kept.split())
    return kept if len(kept) <= longest else f"{kept[: longest - 1]}…"


# ---------------------------------------------------------------- forms


def form(sheet: Sheet, filled: bool = False) -> str:
    """The form for answers as text; `filled` with the right ones."""
    head = FORM[sheet.lang]
    lines = [f"# {line}" for line in head] + ["", f"sheet = {sheet.id}", "name = ", ""]
    wide = max((len(f"{b.number} {b.name}") for b in sheet.blanks), default=0)
    for b in sheet.blanks:
        answer = f" {b.answer}" if filled else ""
        lines.append(f"{f'{b.number} {b.name}':<{wide}} ={answer}")
    return "\n".join(lines) + "\n"


def json_form(sheet: Sheet, filled: bool = False) -> str:
    """The same as JSON."""
    answers = {b.name: b.answer if filled else "" for b in sheet.blanks}
    made = {"sheet": sheet.id, "name": "", "answers": answers}
    return json.dumps(made, ensure_ascii=False, indent=1) + "\n"


FORM: Final = {
    "en": (
        "Answers. Write each behind its = sign; a formula as on the sheet:",
        "X^T D is a product, A * B a product entry by entry, 1/2 (Y - T) a multiple;",
        "in entries: Σ_r d_r y_r^(2), or \\sum_r; LaTeX is read too.",
        "An answer may go on in further lines that begin with a space.",
    ),
    "ja": (
        "解答用紙。= の後に答えを書く。式は問題用紙と同じ記号で書く。",
        "X^T D は行列の積、A * B は成分ごとの積、1/2 (Y - T) は定数倍。",
        "成分で書く式は Σ_r d_r y_r^(2) のように書く (\\sum_r も可)。LaTeX でもよい。",
        "長い答えは、空白で始まる次の行に続けてよい。",
    ),
}


# ---------------------------------------------------------------- reading


def load(path: Path, sheets: Mapping[str, Sheet]) -> Answers:
    """What an answer file says; whatever is wrong with it is among its problems."""
    found = Answers()
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        found.problem("unreadable file", error.strerror or "")
        return found
    if len(data) > LARGEST:
        found.problem("too large", f"{LARGEST:,}")
        return found
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found.problem("no text", error.start + 1)
        return found
    pairs = _json(found, text) if path.suffix.lower() == ".json" else _text(found, text)
    return _sorted(found, pairs, sheets)


def read(text: str, sheets: Mapping[str, Sheet]) -> Answers:
    """The same for a form's text."""
    found = Answers()
    return _sorted(found, _text(found, text), sheets)


Pairs = list[tuple[str, str, str]]  # number, name, answer


def _text(found: Answers, text: str) -> Pairs:
    """The lines of a form; one that begins with a space goes on with the one before."""
    lines: list[list[str]] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace() and lines and "=" not in line:
            lines[-1].append(line.strip())
        else:
            lines.append([line])
    pairs = []
    for parts in lines:
        head, equals, answer = " ".join(parts).partition("=")
        matched = _head.fullmatch(head.strip()[:LONGEST])
        if not equals or matched is None:
            found.problem("no answer line", head)
            continue
        name = matched[2] if matched[1] else matched[0]
        pairs.append((matched[1] or "", (name or "").strip(), answer.strip()))
    return pairs


def _json(found: Answers, text: str) -> Pairs:
    """The members of a JSON form; every one of them, names given twice included."""
    try:
        top = json.loads(
            text,
            object_pairs_hook=list,
            parse_int=str,
            parse_float=str,
            parse_constant=str,
        )
    except (ValueError, RecursionError):
        found.problem("no JSON")
        return []
    if not _is_object(top):
        found.problem("no object")
        return []
    pairs = []
    for key, value in top:
        if key == "answers" and _is_object(value):
            pairs += [_pair(found, k, v) for k, v in value]
        elif key == "answers":
            found.problem("no object")
        else:
            pairs.append(_pair(found, key, value))
    return pairs


def _is_object(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(m, tuple) for m in value)


def _pair(found: Answers, key: str, value: Any) -> tuple[str, str, str]:
    if value is None:
        value = ""
    if not isinstance(value, str):
        found.problem("no text answer", key)
        value = ""
    return (key, "", value) if key.isdecimal() and len(key) < 7 else ("", key, value)


def _sorted(found: Answers, pairs: Pairs, sheets: Mapping[str, Sheet]) -> Answers:
    """Each answer to its blank, by name or number."""
    for _, name, text in pairs:
        if name in HEADS:
            setattr(found, name, printable(text))
    sheet = sheets.get(found.sheet)
    if sheet is None:
        if len(sheets) > 1 or found.sheet:
            found.problem("unknown sheet", found.sheet)
            return found
        (sheet,) = sheets.values()
        found.sheet = sheet.id
    by_name = {_bare(b.name): b for b in sheet.blanks}
    for number, name, text in pairs:
        if name in HEADS:
            continue
        blank = _blank(number, name, by_name, sheet.blanks)
        if blank is None:
            found.problem("unknown blank", f"{number} {name}")
        else:
            found.add(blank.name, text)
    return found


def _bare(name: str) -> str:
    return re.sub(r"\s", "", unicodedata.normalize("NFKC", name))


def _blank(
    number: str, name: str, by_name: Mapping[str, Blank], blanks: Iterable[Blank]
) -> Blank | None:
    """The blank that a line is about: by name, else by number; both must agree."""
    wanted = by_name.get(_bare(name)) if name else None
    if not number:
        return wanted
    for blank in blanks:
        if blank.number == int(number) and (not name or wanted is blank):
            return blank
    return None
