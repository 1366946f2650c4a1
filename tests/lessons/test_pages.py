"""The pages in docs/lessons are what the command writes now, measured times aside."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from kokuban.explain.phrases import LANGUAGES
from kokuban.lessons import NAMES, contents, writers
from kokuban.lessons.writers import Told

PAGES = Path(__file__).parents[2] / "docs" / "lessons"
MEASURED = re.compile(f"{writers.BEGIN}.*?{writers.END}", re.DOTALL)
NUMBER = re.compile(r"(\d+(?:\.\d+)?)(?: \\cdot 10\^\{(-?\d+)\}| \^\{(-?\d+)\})?")
POWER = re.compile(r"(?<!\\cdot )10\^\{(-?\d+)\}")
TINY = 2e-3  # rounding errors and their like: another machine has others


def apart(page: str) -> tuple[list[str], list[tuple[float, float]]]:
    """The words of a page, and its numbers with a unit of the last digit each."""
    page = POWER.sub(r"1 \\cdot 10^{\1}", MEASURED.sub("", page))
    numbers = []
    for digits, exponent, _ in NUMBER.findall(page):
        scale = 10.0 ** int(exponent or 0)
        decimals = len(digits.partition(".")[2])
        numbers.append((float(digits) * scale, 10.0**-decimals * scale))
    return NUMBER.split(page)[::4], numbers


def differs(one: str, other: str) -> str | None:
    (words, numbers), (other_words, others) = apart(one), apart(other)
    for a, b in zip(words, other_words, strict=False):
        if a != b:
            return f"{a!r} is {b!r} now"
    for (a, unit), (b, _) in zip(numbers, others, strict=True):
        if max(a, b) > TINY and abs(a - b) > 1.5 * unit:
            return f"{a} is {b} now"
    return None


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_as_written_now(
    telling: Callable[[str, str], Told], name: str, lang: str
) -> None:
    path = PAGES / f"{name}{contents.ending(lang)}"
    now, figures = writers.markdown(telling(name, lang), path.stem)
    assert differs(path.read_text(encoding="utf-8"), now) is None
    assert {p.name for p in PAGES.glob(f"{path.stem}-*.svg")} == set(figures)


@pytest.mark.parametrize("lang", LANGUAGES)
def test_the_first_page(lang: str) -> None:
    path = PAGES / f"README{contents.ending(lang)}"
    assert path.read_text(encoding="utf-8") == contents.markdown(lang)


def test_nothing_is_left_over() -> None:
    named = {
        f"{n}{contents.ending(lang)}" for n in (*NAMES, "README") for lang in LANGUAGES
    }
    assert {p.name for p in PAGES.glob("*.md")} == named


def test_differences_are_seen() -> None:
    one = f"a $0.5000$ b $3 \\cdot 10^{{-9}}$ {writers.BEGIN} 7 ms {writers.END}"
    assert differs(one, one.replace("7 ms", "8 ms").replace("3 ", "4 ")) is None
    assert differs(one, one.replace("0.5000", "0.5001")) is None
    assert differs(one, one.replace("0.5000", "0.5002")) == "0.5 is 0.5002 now"
    assert differs(one, one.replace("3 \\cdot 10^{-9}", "3 \\cdot 10^{-2}")) is not None
    assert differs(one, one.replace(" b ", " c ")) is not None
