"""The list of lessons, for a terminal and as the first page of their folder."""

from __future__ import annotations

from kokuban.explain.text import padded, width
from kokuban.lessons import NAMES, lesson
from kokuban.lessons.writers import title

HEAD = {"en": ("Lesson", "Note"), "ja": ("レッスン", "ノート")}
INDEX = {
    "en": """\
# Lessons

From the step neuron to weights that are used twice, in the order to read them. Every
formula here was derived and every number computed by Kokuban when the page was written:

    kokuban lesson perceptron                     one lesson, in the terminal
    kokuban lesson perceptron -o perceptron.html  with its figures
    kokuban lesson --all -o docs/lessons          these pages

Labels in a figure need a font with their letters. For Japanese, the installed fonts are
searched by family name (Noto Sans CJK JP, IPAexGothic, Hiragino, Yu Gothic, Meiryo and
others), then by the letters they hold. Where there is none, the labels are in English
and the caption says so.
""",
    "ja": """\
# レッスン

ステップ関数のニューロンから、複数回使われる重みまで。読む順に並べてある。式はすべて Kokuban が
導き、数値はすべて Kokuban が計算したものである。

    kokuban lesson perceptron --lang ja                     端末で読む
    kokuban lesson perceptron --lang ja -o perceptron.html  図も付ける
    kokuban lesson --all -o docs/lessons                    このページを作る

図の文字には、その文字をもつフォントが必要である。日本語のフォントは、まずファミリー名 (Noto Sans
CJK JP, IPAexGothic, ヒラギノ, 游ゴシック, メイリオなど) で、次にフォントがもつ文字で探す。
見つからないときは図の文字を英語にし、説明文にその旨を記す。
""",
}


def text(lang: str) -> str:
    """A line for each lesson: its name, its title, the note it is from."""
    found = [lesson(n) for n in NAMES]
    rows = [(one.name, title(one, lang), one.note) for one in found]
    wide = [max(width(row[k]) for row in rows) for k in (0, 1)]
    label = HEAD[lang][1]
    return "".join(
        f"{padded(own, wide[0])}  {padded(called, wide[1])}  {label} {source}\n"
        for own, called, source in rows
    )


def ending(lang: str) -> str:
    """How the Markdown pages of a language end."""
    return ".md" if lang == "en" else f".{lang}.md"


def markdown(lang: str) -> str:
    """The first page: what lessons are, and a link to each."""
    one, source = HEAD[lang]
    rows = (
        f"| [{title(lesson(n), lang)}]({n}{ending(lang)}) | `{n}` | {lesson(n).note} |"
        for n in NAMES
    )
    head = [INDEX[lang], f"| {one} | `kokuban lesson` | {source} |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"
