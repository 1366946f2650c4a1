"""Pages on terminals of any width."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

import kokuban as kb
from kokuban.cli.show import columns
from kokuban.explain.terminal import Terminal
from kokuban.explain.text import width

sys.path.insert(0, str(Path(__file__).parents[1]))
from nets import NETS


@pytest.mark.parametrize("lang", ["en", "ja"])
@pytest.mark.parametrize("name", NETS)
def test_nothing_is_lost(name, lang):
    net = NETS[name]
    found = kb.derive(net.loss, lang=lang, layout=net.layout, form="entries")
    wide = "".join(found.text().split())
    for columns_ in (40, 60, 80):
        page = found.text(columns_)
        assert sorted("".join(page.split())) == sorted(wide)


@given(st.lists(st.sampled_from(["a", "word", "十分", "な、", "長い。", "(x)"])))
def test_sentences_fit(words):
    for line in Terminal(40).filled(" ".join(words), "  "):
        assert width(line.rstrip()) <= 42  # a sign that closes may hang over


def test_a_page_too_narrow_is_refused():
    with pytest.raises(kb.errors.SettingError, match="40 columns"):
        kb.derive(NETS["softmax"].loss).text(20)


def test_japanese_lines_do_not_begin_with_what_closes():
    lines = Terminal(40).filled("あ" * 20 + "。" + "い" * 19 + "（う）、え")
    assert len(lines) == 3
    assert not any(line[0] in "、。）" for line in lines)


@pytest.mark.parametrize(("has", "takes"), [(30, 40), (60, 60), (200, 88)])
def test_the_command_writes_for_the_terminal(monkeypatch, has, takes):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(has))
    assert columns() == takes
    monkeypatch.setattr(sys.stdout, "isatty", lambda: False)
    assert columns() == 88
