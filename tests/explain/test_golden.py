"""Whole pages as they were read and found good: ten nets, three forms, two languages.

How small a gap numerical differentiation leaves is a matter of the last bits, and masked.
After a change of wording, write them anew and read what has changed:
`python tests/explain/test_golden.py`.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "golden" / "derivations"
sys.path.insert(0, str(Path(__file__).parents[1]))

from nets import NETS  # noqa: E402

import kokuban as kb  # noqa: E402

GAP = re.compile(r"(relative gap|相対誤差は最大|相対誤差) (?:0|[\d·]+[⁻⁰¹²³⁴-⁹]+)")
PAGES = [
    (name, form, lang)
    for name in NETS
    for form in ("matrix", "entries", "numbers")
    for lang in ("en", "ja")
]


def page(name: str, form: str, lang: str) -> str:
    net = NETS[name]
    how = {"form": form, "lang": lang, "layout": net.layout, "at": net.at}
    return GAP.sub(r"\1 …", kb.derive(net.loss, **how).text())


def path(name: str, form: str, lang: str) -> Path:
    return FOLDER / f"{name}.{form}.{lang}.txt"


@pytest.mark.parametrize(("name", "form", "lang"), PAGES)
def test_page(name: str, form: str, lang: str) -> None:
    assert page(name, form, lang) == path(name, form, lang).read_text(encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for what in PAGES:
        path(*what).write_text(page(*what), encoding="utf-8")
