"""What a column of text is: numbers, dates, or text."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence

import numpy as np

from kokuban.estimators.tabular.frame import Text, Values, seconds
from kokuban.train.data.numerals import TOLD, commas_in, number

LOOKED_AT = 1000  # words, before all of them are


def understood(text: Text) -> tuple[Values, str, str]:
    """Text as numbers or dates where all of it is, what its commas are, and a note.

    Dates are as ISO 8601 writes them; commas as `numerals.commas_in` tells.
    """
    if not text.words:
        return Values("text", text), "", ""
    commas = commas_in(text.words)
    if (found := parsed(text.words, lambda word: number(word, commas))) is not None:
        note = TOLD[commas] if commas else "text that is a number in every row"
        return Values("number", text.of_words(found, np.nan)), commas, note
    if (found := parsed(text.words, iso)) is not None:
        note = "text that is a date in every row"
        return Values("date", text.of_words(found, np.nan)), "", note
    return Values("text", text), "", nearly_numbers(text)


def parsed(words: Sequence[str], parse: Callable[[str], float]) -> np.ndarray | None:
    """(words,) each word by `parse`; None where one cannot be."""
    try:
        return np.array([parse(word) for word in words], np.float64)
    except (ValueError, OverflowError):
        return None


def iso(word: str) -> float:
    """A date as ISO 8601 writes it, in seconds since 1970; else ValueError."""
    return seconds(datetime.datetime.fromisoformat(word.strip()))


def nearly_numbers(text: Text) -> str:
    """A sentence where most rows of a text column would be numbers, else ""."""
    some = text.words[:LOOKED_AT]
    if len(some) == LOOKED_AT and not any(map(_is_bare, some)):
        return ""
    rows = np.bincount(text.codes[text.codes >= 0], minlength=len(text.words))
    bare = np.array([_is_bare(word) for word in text.words])
    numeric, present = int(rows[bare].sum()), int(rows.sum())
    if 2 * numeric <= present:
        return ""
    plain = np.array([_is_plain(word) for word in text.words])
    row = int(text.of_words(~plain, False).argmax())
    told = f"{numeric:,} of {present:,} values are numbers"
    if numeric > int(rows[plain].sum()):
        told += " once commas and spaces are taken out"
    odd = text.words[text.codes[row]]
    return f"{told}, but row {row} (counted from 0) holds {odd!r}"


def _is_plain(word: str) -> bool:
    return parsed([word], float) is not None


def _is_bare(word: str) -> bool:
    return _is_plain(word.replace(",", "").replace(" ", ""))
