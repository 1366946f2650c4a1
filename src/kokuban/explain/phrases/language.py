"""What a language must say: one record, every field mandatory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """The words of one language.

    words     fixed words and sentences
    rules     for each operation and composite the rule's name and its reason, one sentence
    pairs     two rules that cancel when one follows the other, and why
    cancels   why two others do
    rewrites  why each of the simplifier's rewrites holds; its own reason where missing
    turned    what changes places where samples stand in columns
    """

    words: dict[str, str]
    rules: dict[str, tuple[str, str]]
    pairs: dict[tuple[str, str], tuple[str, str]]
    cancels: str
    rewrites: dict[str, str]
    turned: dict[str, str]
