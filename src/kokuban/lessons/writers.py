"""A lesson as text for a terminal, as Markdown with files for its figures, as HTML."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from html import escape
from itertools import groupby
from typing import Final

from kokuban.explain import pages
from kokuban.explain.layout import Struck
from kokuban.explain.page import Line, Prose
from kokuban.explain.phrases import Phrases
from kokuban.explain.terminal import WIDTH, Terminal, sentence, terminal
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
from kokuban.lessons.teller import Teller

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
.kokuban figcaption, .kokuban .caption, .kokuban .on { color: #40514b;
  font-size: .92em; }
.kokuban .caption { margin: -.4rem 0 .8rem; }
.kokuban .table { border-collapse: collapse; margin: .8rem 0; }
.kokuban .table th, .kokuban .table td { border-bottom: 1px solid #cfdcd6;
  padding: .2rem .9rem; text-align: right; }
.kokuban .table :is(th, td):first-child { text-align: left; }
.kokuban .verdict { border-left: 3px solid #2f6f5e; padding-left: .8rem; }
.kokuban .verdict.no { border-color: #b3261e; }
.kokuban .verdict p { margin: .1rem 0; }
"""


@dataclass(frozen=True)
class Told:
    """A lesson told in a language, for the writers."""

    lesson: Lesson
    lang: str
    parts: tuple[Part, ...]

    @property
    def title(self) -> str:
        """The lesson's title."""
        return title(self.lesson, self.lang)

    @property
    def source(self) -> str:
        """The note it is from."""
        return f"{'ノート' if self.lang == 'ja' else 'Note'} {self.lesson.note}"

    @cached_property
    def pictures(self) -> dict[str, bytes]:
        """The figures as SVG files, by their names."""
        return {f.name: figures.svg(f, self.lang) for f in self.figures()}

    def figures(self) -> Iterator[Figure]:
        """The figures in order."""
        for part in self.parts:
            inner = part.parts if isinstance(part, Measured) else (part,)
            yield from (p for p in inner if isinstance(p, Figure))

    def caption(self, figure: Figure) -> Prose:
        """What a figure shows, and whether its labels had to be English."""
        if figures.labels(self.lang) == self.lang:
            return figure.says
        return (
            *figure.says,
            " (日本語の文字をもつフォントがないため、図の文字は英語である。)",
        )


def tell(lesson: Lesson, lang: str = "en") -> Told:
    """The lesson told in a language; SettingError for a language there is not."""
    own = Phrases(lang).lang
    return Told(lesson, own, tuple(lesson.tell(Teller(lesson, own))))


def title(lesson: Lesson, lang: str) -> str:
    """The lesson's title in a language."""
    return lesson.title[lang == "ja"]


# ---------------------------------------------------------------- text


def text(told: Told, columns: int = WIDTH) -> str:
    """The lesson for a terminal of so many columns; of a figure, what it shows."""
    screen, out = terminal(columns), [told.title, told.source]
    for part in told.parts:
        out += ["", *_in_text(part, told, screen)]
    return "\n".join(line.rstrip() for line in out) + "\n"


def _in_text(part: Part, told: Told, screen: Terminal) -> Iterator[str]:
    match part:
        case Heading(words):
            line = sentence(words)
            yield from (line, "─" * width(line))
        case Paragraph(words):
            yield from screen.said(words)
        case Formulas(lines):
            for line_ in lines:
                yield from screen.line(line_, "  ")
        case Derived(page):
            inner = Terminal(screen.width - 2).page(page)
            yield from (f"  {line}" for line in inner.rstrip().split("\n"))
        case Table():
            yield from _text_table(part, screen)
        case Figure():
            label = "[図]" if told.lang == "ja" else "[figure]"
            yield from screen.said((f"{label} ", *told.caption(part)), "  ")
        case Verdict(ok, lines_):
            for words in lines_:
                yield from screen.said((f"{MARKS[ok]} ", *words), "  ")
        case OnBoard(_, content):
            yield from (f"  │ {line}" for line in content.split("\n"))
        case Measured(on, parts):
            for k, own in enumerate(parts):
                yield from ([""] if k else [])
                yield from _in_text(own, told, screen)
            yield from screen.said(("(", *on, ")"))


def _text_table(table: Table, screen: Terminal) -> Iterator[str]:
    lines = [[sentence(c) for c in line] for line in (table.head, *table.rows)]
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
        yield from (f"  {line}" for line in screen.said(table.caption))


# ---------------------------------------------------------------- Markdown


def markdown(told: Told, stem: str | None = None) -> tuple[str, dict[str, bytes]]:
    """The lesson in Markdown, and the files of its figures by name: STEM-NAME.svg."""
    stem = told.lesson.name if stem is None else stem
    out = [f"# {told.title}", "", told.source]
    for part in told.parts:
        out += ["", *_in_markdown(part, told, stem)]
    files = {f"{stem}-{name}.svg": content for name, content in told.pictures.items()}
    return "\n".join(out).rstrip() + "\n", files


def _in_markdown(part: Part, told: Told, stem: str) -> Iterator[str]:
    match part:
        case Heading(words):
            yield f"## {pages.markdown_prose(words)}"
        case Paragraph(words):
            yield pages.markdown_prose(words)
        case Formulas(lines):
            yield from _markdown_lines(lines)
        case Derived(page):
            yield pages.markdown(page, level=3).rstrip()
        case Table():
            yield from _markdown_table(part)
        case Figure(name):
            says = told.caption(part)
            alt = " ".join(sentence(says).split()).replace("[", "(")
            yield from (f"![{alt.replace(']', ')')}]({stem}-{name}.svg)", "")
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
                yield from ("", *_in_markdown(own, told, stem))
            yield from ("", f"({pages.markdown_prose(on)})", "", END)


def _markdown_lines(lines: Iterable[Line]) -> Iterator[str]:
    """Equations together; what is struck out stands alone, for Markdown to strike."""
    groups = groupby(lines, lambda x: any(isinstance(p.box, Struck) for p in x.parts))
    for k, (struck, group) in enumerate(groups):
        yield from ([""] if k else [])
        if struck:
            yield "\n\n".join(map(pages.markdown_struck, group))
        else:
            yield from ("$$", pages.display(list(group)), "$$")


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


def html(told: Told) -> str:
    """The lesson as one HTML file with nothing to load."""
    body = [
        f'<article class="kokuban lesson" lang="{told.lang}">',
        f"<h1>{escape(told.title)}</h1>",
        f'<p class="note">{escape(told.source)}</p>',
        *(_in_html(part, told) for part in told.parts),
        "</article>",
    ]
    return pages.document("\n".join(body), told.title, told.lang, STYLE)


def _in_html(part: Part, told: Told) -> str:
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
            data = b64encode(told.pictures[part.name]).decode()
            says = told.caption(part)
            alt = escape(" ".join(sentence(says).split()))
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
            own = "\n".join(_in_html(p, told) for p in inner)
            return f'{own}\n<p class="on">({prose(on)})</p>'


def _html_table(table: Table) -> str:
    def line(cells: Iterable[Prose], tag: str) -> str:
        inner = "".join(f"<{tag}>{pages.html_prose(c)}</{tag}>" for c in cells)
        return f"<tr>{inner}</tr>"

    said = pages.html_prose(table.caption)
    caption = f'\n<p class="caption">{said}</p>' if said else ""
    rows = "".join(line(row, "td") for row in table.rows)
    return f'<table class="table">{line(table.head, "th")}{rows}</table>{caption}'


WRITERS: Final[dict[str, Callable[[Told], str]]] = {".txt": text, ".html": html}
