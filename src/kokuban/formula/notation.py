"""From what people type to the plain notation that the grammar reads, place by place.

LaTeX commands, full-width signs and Unicode's many minus signs become one notation;
comments go, continued lines are joined, brackets are matched and counted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import get_close_matches
from typing import Final

from kokuban.formula.place import Source

DEEPEST: Final = 200  # brackets within brackets

# ---------------------------------------------------------------- names

_RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_LOWERED = "₀₁₂₃₄₅₆₇₈₉"
_LETTER = rf"[^\W\d_{_RAISED}{_LOWERED}ᵀ]"
_MORE = rf"(?:[^\W{_RAISED}ᵀ]|[\u0300-\u036f])*"
_BRACED = r"(?:(?<=_)\{[^{}\n]*\})?"  # W_{out}
_LABEL = rf"(?:\^\{{\(\w+\)[T⊤]?\}}|\^\([0-9]+\)|⁽[{_RAISED}]+⁾)?"  # W^{{(1)}}
NAME: Final = rf"`[^`\n]+`|{_LETTER}{_MORE}{_BRACED}{_LABEL}'*"

_name = re.compile(NAME)
_piece = re.compile(
    rf"{_LETTER}[\u0300-\u036f]*[0-9{_LOWERED}]*(?:_(?:\{{[^{{}}\n]*\}}|[0-9]+|[^\W\d_]))?{_LABEL}'*"
)
_digits = str.maketrans(_RAISED + _LOWERED, "0123456789" * 2)


def tidy(name: str) -> str:
    """A name as it is kept: without quotes and the braces that LaTeX needs."""
    if name[0] == "`":
        return name[1:-1]
    name = re.sub(r"\^\{(\(\w+\))[T⊤]?\}", r"^\1", name)
    return re.sub(r"_\{\s*(\w+)\s*\}", r"_\1", name)


def key(name: str) -> str:
    """What names that are the same have in common: W₁, W_1 and W_{1}; W^(1), W⁽¹⁾."""
    plain = re.sub(r"⁽(.*?)⁾", lambda found: f"^({found[1]})", tidy(name))
    plain = re.sub(f"_?([{_LOWERED}]+)", r"_\1", plain).translate(_digits)
    return unicodedata.normalize("NFKC", re.sub(r"[{}\s]", "", plain))


def pieces(name: str) -> list[str]:
    """`XW_1` as one-letter names with their marks: X, W_1; empty if it is not those."""
    found = _piece.findall(name)
    return found if len(found) > 1 and "".join(found) == name else []


def stands(name: str) -> bool:
    """Whether a formula can hold the name as it is."""
    return bool(_name.fullmatch(name)) and tidy(name) == name and _stays(name)


def quoted(name: str) -> str | None:
    """The name in backticks; None if it cannot be written so either."""
    return None if not name or "`" in name or not _stays(f"`{name}`") else f"`{name}`"


def _stays(text: str) -> bool:
    return all(_refused(c) is None for c in text) and plain(Source(text)).text == text


# ---------------------------------------------------------------- what commands mean

_LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho "
    "sigma tau upsilon phi chi psi omega varepsilon vartheta varphi varrho varsigma "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_SPACES = (
    "left right big Big bigl bigr Bigl Bigr quad qquad displaystyle textstyle limits "
    "nolimits , ; : ! > ( ) [ ]"
)
_FACES = (
    "mathrm mathbf boldsymbol bm mathit mathsf mathtt mathcal mathbb text textrm "
    "operatorname operatorname* rm bf"
)
_ITSELF = "ln log exp tanh sin cos max min sqrt"
_GREEK = dict(
    zip(_LETTERS.split(), "αβγδεζηθικλμνξπρστυφχψωεθφρςΓΔΘΛΞΠΣΥΦΨΩ", strict=True)
)
_WORDS = {name: name for name in _ITSELF.split()} | {"sum": "Σ"}
_NOTHING = {*_SPACES.split(), " "}
_FONTS = set(_FACES.split())
_SIGNS = {
    "odot": "⊙",
    "circ": "⊙",
    "oslash": "⊘",
    "cdot": "·",
    "times": "×",
    "div": "/",
    "top": "⊤",
    "intercal": "⊤",
    "in": "∈",
    "prime": "'",
    "frac": "\\frac",
    "dfrac": "\\frac",
    "tfrac": "\\frac",
    "Vert": "‖",
    "lVert": "‖",
    "rVert": "‖",
    "|": "‖",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "_": "_",
    "{": "(",
    "}": ")",
    "\\": "\n",
    "ast": "*",
    "coloneqq": "=",
}
_ACCENTS = {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_MATRICES = {"matrix", "pmatrix", "bmatrix"}
_CHARACTERS = (
    dict.fromkeys("−–﹣", "-")
    | dict.fromkeys("∙•⋅・･", "·")
    | dict.fromkeys("′’", "'")
    | {"∗": "*", "∘": "⊙", "÷": "/", "∕": "/", "⁄": "/", "⊺": "⊤", "∥": "‖"}
    | {"∣": "|", "≔": "=", "、": ",", "½": "(1/2)", "¼": "(1/4)"}
    | {chr(0xFF01 + k): chr(0x21 + k) for k in range(94)}  # full-width ASCII
    | {";": "\n", "；": "\n"}
)
_part = re.compile(
    r"#[^\r\n]*|`[^`\r\n]*`|\\begin\s*\{[^{}]*\}|\\end\s*\{[^{}]*\}|\\[A-Za-z]+\*?|\\.|:="
    r"|\|\||\r\n?|.",
    re.DOTALL,
)


class _Plain:
    """Plain text as it grows, with the place in the source of each character."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.text: list[str] = []
        self.where: list[int] = []
        self.matrix = False  # within a LaTeX matrix
        self.fonts: list[bool] = []  # open braces, whether they belong to a font
        self.font = ""  # a font command whose brace comes next
        self.accent = ""

    def put(self, text: str, at: int) -> None:
        self.text += text
        self.where += [at] * len(text)

    def word(self, text: str, at: int) -> None:
        """A word that must not grow together with the name before it."""
        if self.text and (self.text[-1].isalnum() or self.text[-1] == "'"):
            self.put(" ", at)
        self.put(text, at)

    def command(self, name: str, at: int) -> None:
        if name in _GREEK:
            self.word(_GREEK[name], at)
        elif name in _WORDS:
            self.word(_WORDS[name], at)
        elif name in _SIGNS:
            text = "], [" if self.matrix and name == "\\" else _SIGNS[name]
            self.put(text, at)
        elif name in _FONTS:
            self.word("", at)
            self.font = name
        elif name in _ACCENTS:
            self.word("", at)
            self.font, self.accent = name, _ACCENTS[name]
        elif name in _NOTHING:
            self.put(" ", at)
        else:
            known = [*_GREEK, *_WORDS, *_SIGNS, *_FONTS, *_ACCENTS]
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean '\\{close[0]}'?" if close else ""
            raise self.source.error(
                f"'\\{name}' is not known here.{hint}", at, at + len(name) + 1
            )

    def environment(self, text: str, at: int) -> None:
        name = text[text.index("{") + 1 : -1].strip()
        if name in _MATRICES:
            self.matrix = text.startswith("\\begin")
            self.put("[[" if self.matrix else "]]", at)

    def brace(self, character: str, at: int) -> None:
        if character == "{":
            self.fonts.append(bool(self.font))
            if not self.font:
                self.put("{", at)
            self.font = ""
        elif self.fonts and self.fonts.pop():
            self.put(self.accent, at)
            self.accent = ""
            self.text.append("\0")  # the end of a name, unless a script follows
            self.where.append(at)
        else:
            self.put("}", at)


def plain(source: Source, lines: bool = True) -> Source:
    """The text in the plain notation; FormulaError for what no formula can hold.

    Where `lines` is false the text is one formula, and a line's end is a space.
    """
    made = _Plain(source)
    for found in _part.finditer(source.text):
        _add(made, found[0], found.start())
    text = re.sub(r"\0(?=\s*[_^'])|\^(?=\0?')", "\1", "".join(made.text)).replace(
        "\0", " "
    )
    kept = [(c, at) for c, at in zip(text, made.where, strict=True) if c != "\1"]
    return source.reworded(_joined(source, kept, lines))


def _add(made: _Plain, part: str, at: int) -> None:
    if made.font and part not in "{ ":  # \mathbf X
        made.font = made.accent = ""
    if part[0] == "#" or part[0] == "$":
        return
    if part.startswith(("\\begin", "\\end")) and part[-1] == "}":
        made.environment(part, at)
    elif part[0] == "\\" and len(part) > 1:
        made.command(part[1:], at)
    elif part in ("{", "}"):
        made.brace(part, at)
    elif part == "&":
        made.put(", " if made.matrix else " ", at)
    elif part in (":=", "||"):
        made.put("=" if part == ":=" else "‖", at)
    elif part[0] in "\r\n":
        made.put("\n", at)
    elif part.isspace():
        made.put(" ", at)
    elif part in ("Σ", "∑", "√"):
        made.word("sqrt" if part == "√" else "Σ", at)
        made.text.append("\0")
        made.where.append(at)
    elif part[0] == "`" and len(part) > 1:
        _check(made.source, part, at)
        for k, c in enumerate(part):
            made.put(c, at + k)
    else:
        _check(made.source, part, at)
        made.put(_CHARACTERS.get(part, part), at)


def _check(source: Source, part: str, at: int) -> None:
    for k, c in enumerate(part):
        if why := _refused(c):
            raise source.error(f"{why} cannot stand in a formula.", at + k, at + k + 1)


def _refused(character: str) -> str | None:
    """Why a character has no place in a formula: control and invisible ones."""
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return f"The character U+{ord(character):04X}"
    return None


# ---------------------------------------------------------------- brackets and lines

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_PAIRED = {"‖": "⟦⟧", "|": "⟪⟫"}  # the same sign opens and closes


def _joined(
    source: Source, characters: list[tuple[str, int]], lines: bool
) -> Iterator[tuple[str, int]]:
    """Brackets matched, and lines within them or that begin with an operator joined."""
    opened: list[tuple[str, int]] = []
    bars = dict.fromkeys(_PAIRED, -1)  # where the last one was opened
    following = _followers([c for c, _ in characters])
    within = False
    for k, (c, at) in enumerate(characters):
        within ^= c == "`"
        if within:
            yield c, at
        elif c in _CLOSING:
            opened.append((c, at))
            if len(opened) > DEEPEST:
                raise source.error(
                    f"Brackets are nested more than {DEEPEST} deep.", at, at + 1
                )
            yield c, at
        elif c in _CLOSING.values():
            _close(source, opened, c, at)
            yield c, at
        elif c in _PAIRED:
            yield _PAIRED[c][bars[c] >= 0], at
            bars[c] = at if bars[c] < 0 else -1
        elif c == "\n":
            kept = lines and not opened and following[k] not in _CONTINUES
            yield ("\n" if kept else " "), at
        else:
            yield c, at
    left = [(c, at) for c, at in opened] + [(c, at) for c, at in bars.items() if at >= 0]
    if left:
        c, at = left[-1]
        raise source.error(f"This '{c}' is not closed.", at, at + 1)


_CONTINUES: Final = set("-+*/@·×⊙⊘=^)]}")


def _followers(characters: list[str]) -> list[str]:
    """For each character the next one that is not blank."""
    found, following = "", list[str]()
    for c in reversed(characters):
        following.append(found)
        found = found if c in " \n" else c
    return following[::-1]


def _close(source: Source, opened: list[tuple[str, int]], c: str, at: int) -> None:
    if not opened:
        raise source.error(f"Nothing is open that this '{c}' could close.", at, at + 1)
    before, place = opened.pop()
    if _CLOSING[before] != c:
        raise source.error(
            f"The '{before}' in {source.place(place)} is closed by "
            f"'{_CLOSING[before]}', not by '{c}'.",
            at,
            at + 1,
        )
