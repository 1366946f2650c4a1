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
_BELOW = r"(?:_(?:\{[^{}\n]*\}|[0-9]+|[^\W\d_]))?"  # of a name of one letter
_piece = re.compile(rf"{_LETTER}[\u0300-\u036f]*[0-9{_LOWERED}]*{_BELOW}{_LABEL}'*")
_digits = str.maketrans(_RAISED + _LOWERED, "0123456789" * 2)


def tidy(name: str) -> str:
    """A name as it is kept: without quotes and LaTeX's braces, accents composed."""
    if name[0] == "`":
        return name[1:-1]
    name = re.sub(r"\^\{(\(\w+\))[T⊤]?\}", r"^\1", name)
    return unicodedata.normalize("NFC", re.sub(r"_\{\s*(\w+)\s*\}", r"_\1", name))


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

_GREEK = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho "
    "sigma tau upsilon phi chi psi omega varepsilon vartheta varphi varrho varsigma "
    "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"
)
_GREEK_LETTERS = "αβγδεζηθικλμνξπρστυφχψωεθφρςΓΔΘΛΞΠΣΥΦΨΩ"
_FACES = (
    "mathrm mathbf boldsymbol bm mathit mathsf mathtt mathcal mathbb text textrm "
    "operatorname operatorname* rm bf"
)
_SPACES = (
    "left right big Big bigl bigr Bigl Bigr quad qquad displaystyle textstyle limits "
    "nolimits , ; : ! > ( ) [ ]"
)
_NAMES = "ln log exp tanh sin cos max min sqrt"
_LETTERS = dict(zip(_GREEK.split(), _GREEK_LETTERS, strict=True))
_LETTERS |= {name: name for name in _NAMES.split()} | {"sum": "Σ"}
_FONTS = dict.fromkeys(_FACES.split(), "")
_FONTS |= {"hat": "\u0302", "bar": "\u0304", "tilde": "\u0303"}
_NOTHING = {*_SPACES.split(), " "}
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
    "ne": "≠",
    "neq": "≠",
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
_MATRICES = {"matrix", "pmatrix", "bmatrix"}
_WORDS = {"Σ": "Σ", "∑": "Σ", "√": "sqrt"}
_CHARACTERS = (
    {":=": "=", "||": "‖"}
    | dict.fromkeys("−–﹣", "-")
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
    """Plain text as it grows, with the place in the source of each character.

    matrix  whether it is within a LaTeX matrix
    font    the font or accent whose letters come next
    braces  of those open, what is to be put where they close: "}", or after the letters
            of a font END and the accent
    """

    def __init__(self, source: Source) -> None:
        self.source = source
        self.characters: list[tuple[str, Span]] = []
        self.matrix = False
        self.font: str | None = None
        self.braces: list[str] = []

    def put(self, text: str, place: Span) -> None:
        """Add text that stands for what is at the place."""
        self.characters += [(c, place) for c in text]

    def word(self, text: str, place: Span) -> None:
        """Add a word that must not grow together with the name before it."""
        before = self.characters[-1][0] if self.characters else ""
        self.put(" " + text if before.isalnum() or before == "'" else text, place)

    def command(self, name: str, place: Span) -> None:
        """Add what a LaTeX command stands for."""
        if name in _LETTERS:
            self.word(_LETTERS[name], place)
        elif name in _SIGNS:
            turn = self.matrix and name == "\\"
            self.put("], [" if turn else _SIGNS[name], place)
        elif name in _FONTS:
            self.word("", place)
            self.font = _FONTS[name] + END
        elif name in _NOTHING:
            self.put(" ", place)
        else:
            known = [*_LETTERS, *_SIGNS, *_FONTS]
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean '\\{close[0]}'?" if close else ""
            raise self.source.error(f"'\\{name}' is not known here.{hint}", *place)

    def environment(self, text: str, place: Span) -> None:
        """Begin or end a matrix; of other environments only the lines matter."""
        if text[text.index("{") + 1 : -1].strip() in _MATRICES:
            self.matrix = text.startswith("\\begin")
            self.put("[[" if self.matrix else "]]", place)

    def brace(self, character: str, place: Span) -> None:
        """Open or close a brace; those of fonts are not part of a formula."""
        if character == "{":
            self.braces.append(self.font or "}")
            self.put("" if self.font else "{", place)
            self.font = None
        else:
            self.put(self.braces.pop() if self.braces else "}", place)


Span = tuple[int, int]
END = "\0"  # of a word, which becomes a space unless a script follows
DROP = "\1"


def plain(source: Source, lines: bool = True) -> Source:
    """The text in the plain notation; FormulaError for what no formula can hold.

    Where `lines` is false the text is one formula, and a line's end is a space.
    """
    made = _Plain(source)
    for found in _part.finditer(source.text):
        _add(made, found[0], found.span())
    text = "".join(c for c, _ in made.characters)
    text = re.sub(rf"{END}(?=\s*[_^'])|\^(?={END}?')", DROP, text).replace(END, " ")
    places = (place for _, place in made.characters)
    kept = [(c, place) for c, place in zip(text, places, strict=True) if c != DROP]
    return source.reworded(_joined(source, kept, lines))


def _add(made: _Plain, part: str, place: Span) -> None:
    if part not in ("{", " "):
        made.font = None  # \mathbf X, without braces
    if part[0] in "#$":
        return
    if part.startswith(("\\begin", "\\end")) and part[-1] == "}":
        made.environment(part, place)
    elif part[0] == "\\" and len(part) > 1:
        made.command(part[1:], place)
    elif part in ("{", "}"):
        made.brace(part, place)
    elif part == "&":
        made.put(", " if made.matrix else " ", place)
    elif part[0] in "\r\n":
        made.put("\n", place)
    elif part.isspace():
        made.put(" ", place)
    elif part in _WORDS:
        made.word(_WORDS[part] + END, place)
    else:
        for k, c in enumerate(part, place[0]):
            if why := _refused(c):
                raise made.source.error(f"{why} cannot stand in a formula.", k, k + 1)
        made.put(_CHARACTERS.get(part, part), place)


def _refused(character: str) -> str | None:
    """Why a character has no place in a formula: control and invisible ones."""
    if unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return f"The character U+{ord(character):04X}"
    return None


# ---------------------------------------------------------------- brackets and lines

_CLOSING = {"(": ")", "[": "]", "{": "}"}
_PAIRED = {"‖": "⟦⟧", "|": "⟪⟫"}  # the same sign opens and closes


def _joined(
    source: Source, characters: list[tuple[str, Span]], lines: bool
) -> Iterator[tuple[str, Span]]:
    """Brackets matched, and lines within them or that begin with an operator joined."""
    opened: list[tuple[str, Span]] = []
    bars: dict[str, Span] = {}  # where those open were opened
    following = _followers([c for c, _ in characters])
    within = False
    for k, (c, place) in enumerate(characters):
        within ^= c == "`"
        if within:
            pass
        elif c in _CLOSING:
            opened.append((c, place))
            if len(opened) > DEEPEST:
                raise source.error(
                    f"Brackets are nested more than {DEEPEST} deep.", *place
                )
        elif c in _CLOSING.values():
            _close(source, opened, c, place)
        elif c in _PAIRED:
            closes = bars.pop(c, None) is not None
            if not closes:
                bars[c] = place
            c = _PAIRED[c][closes]
        elif c == "\n" and (not lines or opened or following[k] in _CONTINUES):
            c = " "
        yield c, place
    left = [*bars.items(), *opened]
    if left:
        c, place = left[-1]
        raise source.error(f"This '{c}' is not closed.", *place)


_CONTINUES: Final = set("-+*/@·×⊙⊘=^)]}")


def _followers(characters: list[str]) -> list[str]:
    """For each character the next one that is not blank."""
    found, following = "", list[str]()
    for c in reversed(characters):
        following.append(found)
        found = found if c in " \n" else c
    return following[::-1]


def _close(source: Source, opened: list[tuple[str, Span]], c: str, place: Span) -> None:
    if not opened:
        raise source.error(f"Nothing is open that this '{c}' could close.", *place)
    before, (at, _) = opened.pop()
    if _CLOSING[before] != c:
        raise source.error(
            f"The '{before}' in {source.place(at)} is closed by "
            f"'{_CLOSING[before]}', not by '{c}'.",
            *place,
        )
