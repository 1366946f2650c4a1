"""The words of explanations, one module a language with the same tables in each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kokuban.errors import SettingError
from kokuban.explain.layout import Box, read
from kokuban.explain.page import Prose
from kokuban.explain.phrases.en import EN
from kokuban.explain.phrases.ja import JA
from kokuban.rewrite import Rewrite

LANGUAGES = {"en": EN, "ja": JA}
_TURN = re.compile(
    "|".join(
        re.escape(word)
        for language in LANGUAGES.values()
        for word in sorted(language.turned, key=len, reverse=True)
    )
)
_FORMULA = re.compile(r"\$([^$]*)\$|\\a")


@dataclass(frozen=True, slots=True)
class Phrases:
    """The words of one language; in columns, rows and columns change places."""

    lang: str
    columns: bool = False

    def __post_init__(self) -> None:
        if self.lang not in LANGUAGES:
            raise SettingError(
                f"lang is one of {', '.join(LANGUAGES)}, not {self.lang!r:.40}."
            )

    def word(self, key: str) -> str:
        """A fixed word or heading."""
        return LANGUAGES[self.lang].words[key]

    def say(self, key: str, *boxes: Box, at: Prose = ()) -> Prose:
        """A sentence with formulas in the places of \\0, \\1 …, and `at` for \\a."""
        own = self.word(key)
        return prose(
            own if key in ("rows", "columns", "turned") else self._turned(own),
            boxes,
            {},
            at,
        )

    def rule(self, name: str) -> tuple[str, str]:
        """An operation's or composite's rule: its name, and the reason unread.

        One that the language has no words for is called what it is called in the record.
        """
        own = name, self.word("own rule")
        title, why = LANGUAGES[self.lang].rules.get(name, own)
        return self._turned(title), self._turned(why)

    def pair(self, later: str, earlier: str) -> tuple[str, str] | None:
        """The rule of two that cancel, where it has a name of its own."""
        found = LANGUAGES[self.lang].pairs.get((later, earlier))
        return None if found is None else (found[0], self._turned(found[1]))

    def same(self, operation: str) -> str:
        """The key of why a folded formula is the rule's: the operation's own, if any."""
        own = f"same {operation}"
        return own if own in LANGUAGES[self.lang].words else "same"

    @property
    def cancels(self) -> str:
        """The reason where two rules cancel and the pair has no name."""
        return LANGUAGES[self.lang].cancels

    def rewrite(self, rewrite: Rewrite) -> str:
        """Why a rewrite holds."""
        words = LANGUAGES[self.lang].rewrites
        return self._turned(words.get(rewrite.name, rewrite.reason))

    def _turned(self, sentence: str) -> str:
        return (
            sentence
            if not self.columns
            else _TURN.sub(lambda found: LANGUAGES[self.lang].turned[found[0]], sentence)
        )


def prose(
    sentence: str, boxes: tuple[Box, ...], letters: dict[str, Box], at: Prose = ()
) -> Prose:
    """A sentence with its formulas read; `letters` are what \\x, \\y, \\g stand for."""
    found: list[Box | str] = []
    end = 0
    for match in _FORMULA.finditer(sentence):
        found.append(sentence[end : match.start()])
        end = match.end()
        if match[0] == r"\a":
            found += at
            continue
        formula, own = match[1], list(boxes)
        for letter, box in letters.items():
            formula = re.sub(rf"\\{letter}(?![a-z])", rf"\\{len(own)}", formula)
            own.append(box)
        found.append(read(formula, *own))
    found.append(sentence[end:])
    return tuple(f for f in found if f != "")
