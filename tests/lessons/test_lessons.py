"""Every lesson, in every form and language: what it says, and that all of it is there."""

import re
from html.parser import HTMLParser

import pytest

from kokuban.errors import SettingError, UnknownNameError
from kokuban.explain.phrases import LANGUAGES
from kokuban.lessons import NAMES, boards, figures, lesson, writers
from kokuban.lessons.lesson import Figure, Measured, Part, Verdict


def flat(parts: list[Part]) -> list[Part]:
    return [
        p
        for part in parts
        for p in (part.parts if isinstance(part, Measured) else [part])
    ]


@pytest.fixture(params=[(n, lang) for n in NAMES for lang in LANGUAGES], ids="-".join)
def told(request: pytest.FixtureRequest) -> tuple[str, str]:
    name, lang = request.param
    return name, lang


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


def test_every_form(told: tuple[str, str]) -> None:
    """A letter that a figure's fonts do not have is a warning, and so fails here."""
    name, lang = told
    own = lesson(name)
    text, html = writers.text(own, lang), writers.html(own, lang)
    page, files = writers.markdown(own, lang)
    assert text.startswith(own.title[lang == "ja"])
    assert page.startswith(f"# {own.title[lang == 'ja']}\n")
    assert Page(html).open == []
    drawn = [p for p in flat(writers.parts(own, lang)) if isinstance(p, Figure)]
    assert [f"{name}-{f.name}.svg" for f in drawn] == list(files)
    assert (
        html.count("<figure>")
        == len(drawn)
        == text.count(("[figure]", "[図]")[lang == "ja"])
    )
    for file, content in files.items():
        assert f"]({file})" in page
        assert content.startswith(b"<?xml")
    assert not re.search(r"\{\d*\}|\bnan\b|\binf\b", text)


def test_every_verdict_is_right(told: tuple[str, str]) -> None:
    name, lang = told
    found = [p for p in flat(writers.parts(lesson(name), lang)) if isinstance(p, Verdict)]
    assert found
    assert all(verdict.ok for verdict in found)


def test_pictures_are_the_same_each_time() -> None:
    (first,), (second,) = (
        [p for p in writers.parts(lesson("losses"), "ja") if isinstance(p, Figure)]
        for _ in range(2)
    )
    assert figures.svg(first, "ja") == figures.svg(second, "ja")


def test_without_a_japanese_font(monkeypatch: pytest.MonkeyPatch) -> None:
    """The labels are English then, and the caption says so."""
    monkeypatch.setattr(figures, "japanese_font", lambda: None)
    page, files = writers.markdown(lesson("losses"), "ja")
    _, english = writers.markdown(lesson("losses"), "en")
    assert files == english
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
        writers.text(lesson("losses"), "fr")
