"""What is printed: no answer on a blank sheet, the key's answers on the key."""

from __future__ import annotations

import re

import pytest
from nets import NETS
from typesetting import compiled

from kokuban.explain.latex import latex
from kokuban.explain.layout import Gap
from kokuban.explain.mathml import mathml
from kokuban.explain.text import text as as_text
from kokuban.worksheets import Worksheet, answers, two_layer, worksheet, writing
from kokuban.worksheets.making import emptied
from kokuban.worksheets.sheet import Section

HEAD = """\
<!DOCTYPE html>
<html lang="ja">
<head><meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>穴埋め問題 softmax-1</title></head>
<body>
<style>"""
ARTICLE = """\
<article class="kokuban worksheet" lang="ja">
<header><span class="id">穴埋め問題 softmax-1</span>
<span>氏名 <span class="write">&nbsp;</span></span>
</header>"""


def gaps(found: object) -> list[Gap]:
    if isinstance(found, Gap):
        return [found]
    if isinstance(found, tuple):
        return [g for f in found for g in gaps(f)]
    names = getattr(type(found), "__dataclass_fields__", {})
    return [g for name in names for g in gaps(getattr(found, name))]


def outside(sections: tuple[Section, ...], spell) -> str:
    """All that stands on a blank sheet, formula by formula."""
    lines = [x for s in emptied(sections) for item in s.items for x in item.lines]
    return "\n".join(spell(p.box) for line in lines for p in line.parts)


@pytest.mark.parametrize("net", ["softmax", "classification", "tied", "norm"])
@pytest.mark.parametrize("level", [1, 2, 3])
def test_no_answer_is_readable_on_a_blank_sheet(net, level):
    made = worksheet(NETS[net].loss, level=level, id="s")
    shown = {
        mathml: writing.html([made]),
        latex: writing.latex([made]),
        as_text: writing.text(made),
    }
    for spell, page in shown.items():
        for gap in gaps(made.sections):
            assert gap.answer is not None
            answer = spell(gap.answer)
            answer = answer.partition(">")[2].removesuffix("</math>") or answer
            if re.search(r"[-+/⊙ ]", as_text(gap.answer)):  # no mere name
                assert answer not in page, answer
                assert answer not in outside(made.sections, spell)
    form = answers.form(made.sheet) + answers.json_form(made.sheet)
    for blank in made.sheet.blanks:
        if re.search(r"[-+/*@(]", blank.answer):
            assert blank.answer not in form


def test_an_emptied_sheet_knows_no_answer():
    made = worksheet(NETS["regression"].loss, numbers=True)
    assert all(g.answer is not None for g in gaps(made.sections))
    assert all(g.answer is None for g in gaps(emptied(made.sections)))
    assert len(gaps(emptied(made.sections))) == len(made.sheet.blanks)


def test_the_key_shows_the_answers():
    made = worksheet(NETS["softmax"].loss)
    key = writing.text(made, key=True)
    assert "∂L/∂W = [(3) Xᵀ Δ]" in key
    assert "Δ = ∂L/∂U = [(2) 1/N (Y - T)]" in key
    assert "(3) ____" in writing.text(made)


def test_the_page_in_html():
    made = worksheet(NETS["softmax"].loss, lang="ja", id="softmax-1")
    page = writing.html([made])
    assert page.startswith(HEAD)
    assert ARTICLE in page
    assert "http" not in page.replace("http://www.w3.org/1998/Math/MathML", "")
    assert page.count('class="gap"') == len(made.sheet.blanks)
    assert "@media print" in page


def test_several_sheets_have_a_page_each():
    made = [worksheet(NETS["softmax"].loss, id=str(k)) for k in range(3)]
    assert writing.html(made).count("<article") == 3
    assert writing.latex(made).count("\\clearpage") == 2


SHEETS: dict[str, Worksheet] = {
    "level 3 with numbers": worksheet(NETS["tied"].loss, level=3, numbers=True),
    "columns": worksheet(NETS["classification"].loss, level=1, layout="columns"),
    "two layers": two_layer.sheet("two-layer"),
}


@pytest.mark.parametrize("key", [False, True])
def test_latex_compiles(tmp_path, key):
    text = writing.latex(list(SHEETS.values()), key)
    assert b"Overfull" not in compiled(text, "en", tmp_path)


def test_japanese_latex_compiles(tmp_path):
    made = [two_layer.sheet("two-layer", lang="ja"),
            worksheet(NETS["tied"].loss, lang="ja", level=3)]  # fmt: skip
    assert b"Overfull" not in compiled(writing.latex(made), "ja", tmp_path)
