"""A worksheet for people: text, an HTML page to print, LaTeX; blank, or as a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from kokuban.explain import pages, text as in_text
from kokuban.explain.latex import escaped, latex as in_latex
from kokuban.explain.layout import Box
from kokuban.explain.mathml import mathml
from kokuban.explain.terminal import WIDTH, Terminal, sentence, terminal
from kokuban.worksheets.making import emptied
from kokuban.worksheets.sheet import Item, Section, Worksheet
from kokuban.worksheets.words import WORDS

STYLE: Final = """
.worksheet header { display: flex; justify-content: space-between; gap: 2rem;
  align-items: baseline; border-bottom: 2px solid #1d2b26; padding-bottom: .4rem; }
.worksheet header .id { color: #40514b; }
.worksheet .write { display: inline-block; min-width: 11rem; border-bottom: 1px solid; }
.worksheet .fill { color: #40514b; margin: .6rem 0; }
.worksheet .item { break-inside: avoid; margin: .7rem 0; }
.worksheet .item p { margin: .1rem 0; color: #40514b; }
.worksheet .item .label { font-weight: bold; color: #2f6f5e; }
.worksheet h2 { break-after: avoid; }
.worksheet .gap { border: 1px solid #7a8a84; border-radius: 3px; padding: .3em .4em; }
.worksheet .gap .count { font-size: .7em; color: #2f6f5e; padding-right: .4em; }
.worksheet.key .gap { background: #eef6ec; }
.worksheet + .worksheet { break-before: page; border-top: 3px double #cfdcd6; }
@page { size: A4; margin: 16mm 15mm; }
@media print {
  .worksheet { font-size: 11pt; padding: 0; margin: 0; background: none; }
  .worksheet + .worksheet { border: 0; }
  .worksheet.key .gap { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def _shown(made: Worksheet, key: bool) -> tuple[Section, ...]:
    return made.sections if key else emptied(made.sections)


def _heading(made: Worksheet, key: bool) -> str:
    words = WORDS[made.sheet.lang]
    return f"{words['worksheet']} {made.sheet.id}" + (f" ({words['key']})" if key else "")


# ---------------------------------------------------------------- text


def text(made: Worksheet, key: bool = False, width: int = WIDTH) -> str:
    """The worksheet for a terminal of `width` columns."""
    words, screen = WORDS[made.sheet.lang], terminal(width)
    out = [_heading(made, key), *screen.said(made.title, "  ")]
    if not key:
        out += ["", *screen.filled(words["fill"])]
    for section in _shown(made, key):
        out += ["", f"== {sentence(section.heading)} =="]
        out += [line for note in section.notes for line in screen.said(note)]
        if section.symbols:
            known = [f"{in_text.text(a)} {in_text.text(b)}" for a, b in section.symbols]
            out += screen.filled("  " + ",  ".join(known), "  ")
        for item in section.items:
            out += _text_item(item, screen)
    return "\n".join(line.rstrip() for line in out) + "\n"


def _text_item(item: Item, screen: Terminal) -> Iterator[str]:
    said = _said(sentence(item.label), sentence(item.says))
    if said:
        yield ""
        yield from screen.filled(said, "  ")
    for line in item.lines:
        yield from screen.line(line, "  ")


def _said(label: str, says: str) -> str:
    return f"{label}: {says}" if label and says else label or says


# ---------------------------------------------------------------- HTML


def html(several: Sequence[Worksheet], key: bool = False) -> str:
    """Worksheets as one self-contained page, each on paper of its own."""
    lang = several[0].sheet.lang
    title = ", ".join(_heading(made, key) for made in several[:3])
    body = "\n".join(_article(made, key) for made in several)
    return pages.document(body, title, lang, STYLE)


def _article(made: Worksheet, key: bool) -> str:
    words, lang = WORDS[made.sheet.lang], made.sheet.lang
    out = [f'<article class="kokuban worksheet{" key" * key}" lang="{lang}">']
    out.append(f'<header><span class="id">{escape(_heading(made, key))}</span>')
    if not key:
        write = '<span class="write">&nbsp;</span>'
        out.append(f"<span>{words['name']} {write}</span>")
    out += ["</header>", f"<h1>{pages.html_prose(made.title)}</h1>"]
    if not key:
        out.append(f'<p class="fill">{escape(words["fill"])}</p>')
    for section in _shown(made, key):
        out += _html_section(section)
    out.append("</article>")
    return "\n".join(out)


def _html_section(section: Section) -> Iterator[str]:
    yield f"<h2>{pages.html_prose(section.heading)}</h2>"
    if section.notes:
        notes = (f"<li>{pages.html_prose(n)}</li>" for n in section.notes)
        yield f'<ul class="notes">{"".join(notes)}</ul>'
    if section.symbols:
        known = (f"<li>{_html_symbol(a, b)}</li>" for a, b in section.symbols)
        yield f'<ul class="symbols">{"".join(known)}</ul>'
    for item in section.items:
        yield '<div class="item">'
        label, says = pages.html_prose(item.label), pages.html_prose(item.says)
        if label or says:
            colon = ": " if label and says else ""
            yield f'<p><span class="label">{label}</span>{colon}{says}</p>'
        if item.lines:
            yield pages.html_lines(item.lines)
        yield "</div>"


def _html_symbol(a: Box, b: Box) -> str:
    return f"{mathml(a)} <span class='shape'>{mathml(b)}</span>"


# ---------------------------------------------------------------- LaTeX


def latex(several: Sequence[Worksheet], key: bool = False) -> str:
    """Worksheets as one LaTeX file; what it needs is said at `latex_document`."""
    bodies = "\n\\clearpage\n".join(_latex_sheet(made, key) for made in several)
    return pages.latex_document(f"{bodies}\n", several[0].sheet.lang)


def _latex_sheet(made: Worksheet, key: bool) -> str:
    words = WORDS[made.sheet.lang]
    blank = rf"\hfill {words['name']} \underline{{\hspace{{5cm}}}}"
    out = [
        rf"\textbf{{{escaped(_heading(made, key))}}}{'' if key else blank}\par\medskip"
    ]
    out.append(rf"{pages.latex_prose(made.title)}\par\medskip")
    if not key:
        out.append(rf"{escaped(words['fill'])}\par")
    for section in _shown(made, key):
        out += _latex_section(section)
    return "\n".join(out)


def _latex_section(section: Section) -> Iterator[str]:
    heading = pages.latex_prose(section.heading)
    yield rf"\bigskip\textbf{{\large {heading}}}\par\nopagebreak\smallskip"
    for note in section.notes:
        yield rf"{pages.latex_prose(note)}\par"
    if section.symbols:
        known = (f"${in_latex(a)}\\colon\\, {in_latex(b)}$" for a, b in section.symbols)
        yield r"\raggedright " + r",\quad ".join(known) + r"\par"
    for item in section.items:
        label = pages.latex_prose(item.label)
        label = rf"\textbf{{{label}}}" if label else ""
        said = _said(label, pages.latex_prose(item.says))
        yield rf"\smallskip {said}\par\nopagebreak" if said else r"\smallskip"
        for line in item.lines:
            yield rf"\hspace*{{1em}}$\displaystyle {pages.display([line])}$\par\smallskip"
