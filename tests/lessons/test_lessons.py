"""Every lesson, in every form and language: what it says, and that all of it is there."""

import re
from collections.abc import Callable
from html.parser import HTMLParser

import pytest

from kokuban.errors import SettingError, UnknownNameError
from kokuban.explain.phrases import LANGUAGES
from kokuban.lessons import NAMES, boards, figures, lesson, writers
from kokuban.lessons.lesson import Verdict
from kokuban.lessons.writers import Told, tell


@pytest.fixture(params=[(n, lang) for n in NAMES for lang in LANGUAGES], ids="-".join)
def told(request: pytest.FixtureRequest, telling: Callable[[str, str], Told]) -> Told:
    name, lang = request.param
    return telling(name, lang)


class Page(HTMLParser):
    """Whether every element that is opened is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_form(told: Told) -> None:
    """A letter that a figure's fonts do not have is a warning, and so fails here."""
    text, html = writers.text(told), writers.html(told)
    page, files = writers.markdown(told)
    assert text.startswith(f"{told.title}\n")
    assert page.startswith(f"# {told.title}\n")
    assert Page(html).open == []
    names = [f"{told.lesson.name}-{figure.name}.svg" for figure in told.figures()]
    assert names == list(files)
    label = ("[figure]", "[図]")[told.lang == "ja"]
    assert html.count("<figure>") == text.count(label) == len(names)
    for file, content in files.items():
        assert f"]({file})" in page
        assert content.startswith(b"<?xml")
    assert not re.search(r"\\(parbox|[shv]box|setbox|small|raggedright)\b", page)
    assert not re.search(r"\{\d*\}|\bnan\b|\binf\b", text)


def test_every_verdict_is_right(told: Told) -> None:
    found = [part for part in told.parts if isinstance(part, Verdict)]
    assert found
    assert all(verdict.ok for verdict in found)


def test_pictures_are_the_same_each_time() -> None:
    first, second = (tell(lesson("losses"), "ja").pictures for _ in range(2))
    assert first == second != {}


def test_without_a_japanese_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels are English then, and the caption says so."""
    monkeypatch.setattr(figures, "japanese_font", lambda: None)
    page, files = writers.markdown(tell(lesson("losses"), "ja"))
    assert files == writers.markdown(tell(lesson("losses"), "en"))[1]
    assert "図の文字は英語である" in page


def test_boards_by_name() -> None:
    assert set(boards("losses")) == {"squares", "entropy", "by classes", "batch"}
    for name in NAMES:
        for own in boards(name).values():
            assert own.definitions


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'losses'"):
        lesson("loses")
    with pytest.raises(SettingError, match="lang is one of en, ja"):
        tell(lesson("losses"), "fr")
