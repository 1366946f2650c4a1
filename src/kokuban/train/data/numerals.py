"""Numbers with commas, that group thousands or are decimal points."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What a number looks like: 1,234,567.8 and 12.5; then 1.234.567,8 and 12,5. For `re` and
# for polars alike.
FORMS = {
    "thousands": r"^[+-]?(\d{1,3}(,\d{3})+|\d+)(\.\d*)?$",
    "decimal": r"^[+-]?(\d{1,3}(\.\d{3})+|\d+)(,\d+)?$",
}
MARKS = {"thousands": (",", "."), "decimal": (".", ",")}  # between groups, and the point
TOLD = {
    "thousands": "its commas group thousands: 1,234 is 1234",
    "decimal": "its commas are decimal points: 1,5 is 1.5",
}


def commas_in(words: Sequence[str]) -> str:
    """What commas are in words that with them are all numbers, else "".

    "thousands" where every word may be read so: 1,234 is 1234. Else "decimal" where every
    word may: 12,5 is 12.5, and 1.234,5 is 1234.5.
    """
    if not any("," in word for word in words):
        return ""
    for commas, form in FORMS.items():
        matches = re.compile(form).match
        if all(matches(word.strip()) for word in words):
            return commas
    return ""


def number(word: str, commas: str = "") -> float:
    """A word as a number; ValueError where it is none. `commas` as `commas_in` tells."""
    if not commas:
        return float(word)
    word = word.strip()
    if not re.match(FORMS[commas], word):
        raise ValueError(word)
    group, point = MARKS[commas]
    return float(word.replace(group, "").replace(point, "."))
