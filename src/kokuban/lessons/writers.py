"""A lesson as text for a terminal, as Markdown with files for its figures, as HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from html import escape
from typing import Final

from kokuban.explain import pages
from kokuban.explain.page import Prose
from kokuban.explain.text import padded, width
from kokuban.lessons import figures
from kokuban.lessons.lesson import (
    Derived,
    Figure,
    Formulas,
    Heading,
    Lesson,
    Measured,
    OnBoard,
    Paragraph,
    Part,
    Table,
    Verdict,
)
from kokuban.lessons.teller import Teller, require_language

MARKS: Final = {True: "✓", False: "✗"}
BEGIN, END = "<!-- measured -->", "<!-- /measured -->"
STYLE: Final = """
.kokuban.lesson > h1 { font-size: 1.6rem; margin-bottom: 0; }
.kokuban.lesson > h2 { font-size: 1.25rem; }
.kokuban .note { color: #7a8a84; margin: .2rem 0 1.2rem; }
.kokuban .kokuban { border-left: 3px solid #cfdcd6; margin: 1rem 0; padding: 0 1rem; }
.kokuban .kokuban h2 { font-size: 1rem; border: 0; margin: .8rem 0 .2rem; }
.kokuban .board { background: #234439; color: #f4f7f0; border: 5px solid #8a6a45;
  border-radius: 4px; padding: .6rem 1rem; font: 15px/1.5 "Noto Sans Mono",
  "Noto Sans Mono CJK JP", monospace; overflow-x: auto; width: fit-content; }
.kokuban figure { margin: 1rem 0; }
.kokuban figure img { max-width: 100%; height: auto; }
.kokuban figcaption, .kokuban caption, .kokuban .on { color: #40514b; font-size: .92em; }
.kokuban caption { caption-side: bottom; text-align: left; padding-top: .3rem; }
.kokuban .table { border-collapse: collapse; margin: .8rem 0; }
.kokuban .table th, .kokuban .table td { border-bottom: 1px solid #cfdcd6;
  padding: .2rem .9rem; text-align: right; }
.kokuban .table :is(th, td):first-child { text-align: left; }
.kokuban .verdict { border-left: 3px solid #2f6f5e; padding-left: .8rem; }
.kokuban .verdict.no { border-color: #b3261e; }
.kokuban .verdict p { margin: .1rem 0; }
"""


def parts(lesson: Lesson, lang: str) -> list[Part]:
    """The lesson told in a language; SettingError for a language there is not."""
    return list(lesson.tell(Teller(lesson, require_language(lang))))


def title(lesson: Lesson, lang: str) -> str:
    """The lesson's title."""
    return lesson.title[lang == "ja"]


def _source(lesson: Lesson, lang: str) -> str:
    return f"{'ノート' if lang == 'ja' else 'Note'} {lesson.note}"


def _caption(figure: Figure, lang: str) -> Prose:
    """What a figure shows, and whether its labels had to be English."""
    if figures.labels(lang) == lang:
        return figure.says
    return (
        *figure.says,
        " (日本語の文字をもつフォントがないため、図の文字は英語である。)",
    )


# ---------------------------------------------------------------- text


def text(lesson: Lesson, lang: str = "en") -> str:
    """The lesson for a terminal; of a figure, what it shows."""
    out = [title(lesson, lang), _source(lesson, lang)]
    for part in parts(lesson, lang):
        out += ["", *_in_text(part, lang)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _in_text(part: Part, lang: str) -> Iterator[str]:
    match part:
        case Heading(words):
            line = pages.sentence(words)
            yield from (line, "─" * width(line))
        case Paragraph(words):
            yield from _filled(words)
        case Formulas(lines):
            for line_ in lines:
                yield from pages.text_line(line_, "  ")
        case Derived(page):
            yield from (f"  {line}" for line in pages.text(page).rstrip().split("\n"))
        case Table():
            yield from _text_table(part)
        case Figure():
            label = "[図]" if lang == "ja" else "[figure]"
            yield from _filled((f"{label} ", *_caption(part, lang)), "  ")
        case Verdict(ok, lines_):
            for words in lines_:
                yield from _filled((f"{MARKS[ok]} ", *words), "  ")
        case OnBoard(_, content):
            yield from (f"  │ {line}" for line in content.split("\n"))
        case Measured(on, inner):
            for k, own in enumerate(inner):
                yield from ([""] if k else [])
                yield from _in_text(own, lang)
            yield from _filled(("(", *on, ")"))


def _filled(words: Prose, indent: str = "") -> list[str]:
    return pages.filled(pages.sentence(words), indent)


def _text_table(table: Table) -> Iterator[str]:
    lines = [[pages.sentence(c) for c in line] for line in (table.head, *table.rows)]
    wide = [max(map(width, column)) for column in zip(*lines, strict=True)]
    for k, line in enumerate(lines):
        cells = (
            padded(cell, w, right=n > 0)
            for n, (cell, w) in enumerate(zip(line, wide, strict=True))
        )
        yield "  " + "  ".join(cells)
        if k == 0:
            yield "  " + "─" * (sum(wide) + 2 * len(wide) - 2)
    if table.caption:
        yield from (f"  {line}" for line in _filled(table.caption))


# ---------------------------------------------------------------- Markdown


def markdown(
    lesson: Lesson, lang: str = "en", stem: str | None = None
) -> tuple[str, dict[str, bytes]]:
    """The lesson in Markdown, and the files of its figures by name: STEM-NAME.svg."""
    stem = lesson.name if stem is None else stem
    files: dict[str, bytes] = {}
    out = [f"# {title(lesson, lang)}", "", _source(lesson, lang)]
    for part in parts(lesson, lang):
        out += ["", *_in_markdown(part, lang, stem, files)]
    return "\n".join(out).rstrip() + "\n", files


def _in_markdown(
    part: Part, lang: str, stem: str, files: dict[str, bytes]
) -> Iterator[str]:
    match part:
        case Heading(words):
            yield f"## {pages.markdown_prose(words)}"
        case Paragraph(words):
            yield pages.markdown_prose(words)
        case Formulas(lines):
            yield from ("$$", pages.display(lines), "$$")
        case Derived(page):
            yield pages.markdown(page, level=3).rstrip()
        case Table():
            yield from _markdown_table(part)
        case Figure(name):
            file = f"{stem}-{name}.svg"
            files[file] = figures.svg(part, lang)
            says = _caption(part, lang)
            alt = " ".join(pages.sentence(says).split()).replace("[", "(")
            yield from (f"![{alt.replace(']', ')')}]({file})", "")
            yield pages.markdown_prose(says)
        case Verdict(ok, lines_):
            for k, words in enumerate(lines_):
                yield from ([""] if k else [])
                yield f"{MARKS[ok]} {pages.markdown_prose(words)}"
        case OnBoard(_, content):
            yield from ("```", content, "```")
        case Measured(on, inner):
            yield BEGIN
            for own in inner:
                yield from ("", *_in_markdown(own, lang, stem, files))
            yield from ("", f"({pages.markdown_prose(on)})", "", END)


def _markdown_table(table: Table) -> Iterator[str]:
    lines = [[_markdown_cell(c) for c in line] for line in (table.head, *table.rows)]
    rule = [":--", *["--:"] * (len(table.head) - 1)]
    for line in (lines[0], rule, *lines[1:]):
        yield f"| {' | '.join(line)} |"
    if table.caption:
        yield from ("", pages.markdown_prose(table.caption))


def _markdown_cell(words: Prose) -> str:
    return pages.markdown_prose(words).replace("|", r"\vert ")


# ---------------------------------------------------------------- HTML


def html(lesson: Lesson, lang: str = "en") -> str:
    """The lesson as one HTML file with nothing to load."""
    body = [
        f'<article class="kokuban lesson" lang="{lang}">',
        f"<h1>{escape(title(lesson, lang))}</h1>",
        f'<p class="note">{escape(_source(lesson, lang))}</p>',
        *(_in_html(part, lang) for part in parts(lesson, lang)),
        "</article>",
    ]
    return pages.document("\n".join(body), title(lesson, lang), lang, STYLE)


def _in_html(part: Part, lang: str) -> str:
    prose = pages.html_prose
    match part:
        case Heading(words):
            return f"<h2>{prose(words)}</h2>"
        case Paragraph(words):
            return f"<p>{prose(words)}</p>"
        case Formulas(lines):
            return pages.html_lines(lines)
        case Derived(page):
            return pages.article(page)
        case Table():
            return _html_table(part)
        case Figure():
            data = b64encode(figures.svg(part, lang)).decode()
            says = _caption(part, lang)
            alt = escape(" ".join(pages.sentence(says).split()))
            return (
                f'<figure><img alt="{alt}" src="data:image/svg+xml;base64,{data}">'
                f"<figcaption>{prose(says)}</figcaption></figure>"
            )
        case Verdict(ok, lines_):
            said = "".join(f"<p>{MARKS[ok]} {prose(words)}</p>" for words in lines_)
            return f'<div class="verdict{"" if ok else " no"}">{said}</div>'
        case OnBoard(_, content):
            return f'<pre class="board">{escape(content)}</pre>'
        case Measured(on, inner):
            own = "\n".join(map(partial(_in_html, lang=lang), inner))
            return f'{own}\n<p class="on">({prose(on)})</p>'


def _html_table(table: Table) -> str:
    def line(cells: Iterable[Prose], tag: str) -> str:
        inner = "".join(f"<{tag}>{pages.html_prose(c)}</{tag}>" for c in cells)
        return f"<tr>{inner}</tr>"

    said = pages.html_prose(table.caption)
    caption = f"<caption>{said}</caption>" if said else ""
    rows = "".join(line(row, "td") for row in table.rows)
    head = line(table.head, "th")
    return f'<table class="table">{caption}{head}{rows}</table>'


WRITERS: Final[dict[str, Callable[[Lesson, str], str]]] = {".txt": text, ".html": html}
