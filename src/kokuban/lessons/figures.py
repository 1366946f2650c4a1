"""Figures: drawn by matplotlib as SVG, with Japanese letters that are there.

A font with Japanese letters is looked for among the installed ones: first by the family
names in `FAMILIES`, then in the fonts' own tables, for a few letters that any Japanese
font has. Letters are drawn as outlines, so the picture needs no font where it is shown.
Where there is no such font, the figure's labels are in English, and its caption says so.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any, Final

from kokuban.lessons.lesson import Figure

FAMILIES: Final = (
    "Noto Sans CJK JP",
    "Noto Sans JP",
    "Source Han Sans JP",
    "IPAexGothic",
    "IPAGothic",
    "TakaoGothic",
    "VL Gothic",
    "Hiragino Sans",
    "Hiragino Kaku Gothic ProN",
    "BIZ UDGothic",
    "Yu Gothic",
    "Meiryo",
    "MS Gothic",
)
LETTERS: Final = "学習率のグラフ"
LATIN: Final = "DejaVu Sans"  # comes with matplotlib
# Colours that stay apart for the colour-blind: Okabe, Ito (2008).
BLUE, ORANGE, GREEN, PURPLE = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
GREY: Final = "#8a9a94"
COLOURS: Final = (BLUE, ORANGE, GREEN, PURPLE, "#e69f00", "#56b4e9")
STYLE: Final[Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "kokuban",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "axes.grid": False,
    "axes.titlesize": 11,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
}


@cache
def japanese_font() -> str | None:
    """The family of an installed font that has Japanese letters, None without one."""
    from matplotlib.font_manager import fontManager

    installed = {font.name: font.fname for font in fontManager.ttflist}
    named = [family for family in FAMILIES if family in installed]
    others = (family for family in sorted(installed) if family not in FAMILIES)
    return next((f for f in (*named, *others) if _has_letters(installed[f])), None)


def _has_letters(path: str) -> bool:
    from matplotlib.ft2font import FT2Font

    try:
        known = FT2Font(path).get_charmap()
    except (OSError, RuntimeError):  # a font that FreeType cannot read
        return False
    return all(ord(letter) in known for letter in LETTERS)


def labels(lang: str) -> str:
    """The language of a figure's labels: English where no font has the letters."""
    return lang if lang == "en" or japanese_font() is not None else "en"


def svg(figure: Figure, lang: str) -> bytes:
    """The figure as an SVG file; the same bytes each time."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure as Canvas

    own = labels(lang)
    families = [LATIN] if own == "en" else [LATIN, japanese_font()]
    with rc_context({**STYLE, "font.family": families}):
        canvas = Canvas(figsize=figure.size, layout="constrained")
        figure.draw(canvas, lambda en, ja: {"en": en, "ja": ja}[own])
        file = io.BytesIO()
        none = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        canvas.savefig(file, format="svg", metadata=none, facecolor="white")
    return file.getvalue()
