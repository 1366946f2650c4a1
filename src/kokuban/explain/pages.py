"""A page as Markdown, LaTeX and HTML; terminal.py and pictures.py do the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from html import escape

from kokuban.explain.latex import escaped, latex as in_latex, words
from kokuban.explain.layout import Struck, sign
from kokuban.explain.mathml import mathml
from kokuban.explain.page import Line, Page, Part, Prose
from kokuban.explain.phrases import LANGUAGES
from kokuban.explain.style import SCRIPT, STYLE
from kokuban.explain.terminal import sentence


def _word(page: Page, key: str) -> str:
    return LANGUAGES[page.lang].words[key]


# ---------------------------------------------------------------- LaTeX and Markdown


def latex_prose(said: Prose) -> str:
    """A sentence in LaTeX."""
    return "".join(words(p) if isinstance(p, str) else f"${in_latex(p)}$" for p in said)


def _latex_reason(said: Prose) -> str:
    """A reason at the right margin, or below an equation that leaves it no room."""
    return rf" \tag*{{\parbox{{.3\linewidth}}{{\raggedright\small {latex_prose(said)}}}}}"


def _markdown_reason(said: Prose) -> str:
    """The same in what browsers read of LaTeX, which has no paragraphs."""
    inner = (
        rf"\text{{{escaped(piece)}}}" if isinstance(piece, str) else in_latex(piece)
        for piece in said
    )
    return rf" &\quad& {''.join(inner)}"


def _aligned_line(line: Line, reason: Callable[[Prose], str]) -> str:
    """One equation, as `aligned` has it: left side, &=, parts one below the other."""
    rows = []
    for k, part in enumerate(line.parts):
        left = "" if k or line.left is None else in_latex(line.left)
        relation = in_latex(sign(part.relation)) if line.left is not None else ""
        why = reason(part.reason) if part.reason else ""
        rows.append(f"{left} &{relation} {in_latex(part.box)}{why}")
    return " \\\\\n".join(rows)


def display(
    lines: Sequence[Line], reason: Callable[[Prose], str] = _markdown_reason
) -> str:
    """Equations one below the other, in an `aligned`."""
    return _environment("aligned", lines, reason)


def _equations(lines: Sequence[Line]) -> str:
    """The same as a paragraph of a LaTeX document, which may go on on the next page."""
    return _environment("align*", lines, _latex_reason)


def _environment(name: str, lines: Sequence[Line], reason: Callable[[Prose], str]) -> str:
    inner = " \\\\\n".join(_aligned_line(line, reason) for line in lines)
    return f"\\begin{{{name}}}\n{inner}\n\\end{{{name}}}"


def aligned(page: Page) -> str:
    """All lines of the page in one `aligned`, for a notebook."""
    lines = [Line(line.left, line.parts, None) for line in page.lines()]
    return display([Line(x.left, tuple(Part(p.box) for p in x.parts)) for x in lines])


def latex(page: Page, document: bool = False) -> str:
    """The page in LaTeX: display formulas and paragraphs, needing amsmath only.

    As a document it needs geometry too, and in Japanese what `latex_document` says.
    """
    out = [rf"\noindent\textbf{{{latex_prose(page.title)}}}\par\medskip"]
    out += [latex_prose(note) + r"\par" for note in page.notes]
    known = (f"{in_latex(a)}\\colon\\, {in_latex(b)}" for a, b in page.symbols)
    out += ["$" + r",\quad ".join(known) + "$", ""]
    out += [_equations(page.forward)]
    for step in page.steps:
        reason = f": {latex_prose(step.reason)}" if step.reason else ""
        out += ["", rf"\noindent\textbf{{{step.number}. {words(step.rule)}}}{reason}"]
        out += [_equations(step.lines)]
        out += [latex_prose(step.checked) + r"\par"] if step.checked else []
        out += [_equations([line]) for line in step.struck]
        out += [latex_prose(remark) + r"\par" for remark in step.remarks]
    body = "\n".join(out) + "\n"
    if not document:
        return body
    return latex_document(body, page.lang)


def latex_document(body: str, lang: str) -> str:
    """A LaTeX file to print; needs amsmath and geometry.

    In Japanese it needs one of: upLaTeX, which sets it by itself; LuaLaTeX with
    luatexja; pdfLaTeX with CJKutf8.
    """
    return (
        "\\documentclass[a4paper]{article}\n\\usepackage{amsmath}\n"
        "\\usepackage[margin=20mm]{geometry}\n"
        f"{JAPANESE if lang == 'ja' else ''}"
        "\\setlength{\\parindent}{0pt}\n"
        "\\clubpenalty=10000 \\displaywidowpenalty=10000\n"  # a step stays together
        "\\allowdisplaybreaks[1]\n"  # unless it is longer than a page
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )


JAPANESE = r"""\usepackage{iftex}
\ifLuaTeX\usepackage{luatexja}\fi
\ifPDFTeX\usepackage{CJKutf8}
\AtBeginDocument{\begin{CJK}{UTF8}{min}}\AtEndDocument{\end{CJK}}\fi
"""


def markdown(page: Page, level: int = 1) -> str:
    """The page in Markdown, formulas in LaTeX between dollar signs; headings from
    `level`."""
    own, inner = "#" * level, "#" * (level + 1)
    out = [f"{own} {markdown_prose(page.title)}", ""]
    out += [f"- {markdown_prose(note)}" for note in page.notes]
    known = (f"${in_latex(a)}$: ${in_latex(b)}$" for a, b in page.symbols)
    out += ["", ", ".join(known), "", f"{inner} {_word(page, 'forward')}", ""]
    out += [
        "$$",
        display(page.forward),
        "$$",
        "",
        f"{inner} {_word(page, 'backward')}",
        "",
    ]
    for step in page.steps:
        reason = f": {markdown_prose(step.reason)}" if step.reason else ""
        out += [f"{step.number}. **{step.rule}**{reason}", "", "$$", display(step.lines)]
        out += ["$$", ""]
        out += [markdown_prose(step.checked), ""] if step.checked else []
        for line in step.struck:
            out += [markdown_struck(line), ""]
        out += [item for r in step.remarks for item in (markdown_prose(r), "")]
    return "\n".join(out).rstrip() + "\n"


def markdown_struck(line: Line) -> str:
    """A line that is struck out: Markdown does it, LaTeX in a browser cannot."""
    boxes = [p.box.body if isinstance(p.box, Struck) else p.box for p in line.parts]
    return f"~~{' '.join(f'${in_latex(b)}$' for b in boxes)}~~"


def markdown_prose(said: Prose) -> str:
    """A sentence in Markdown."""
    return "".join(
        re.sub(r"([*_`$\\])", r"\\\1", p) if isinstance(p, str) else f"${in_latex(p)}$"
        for p in said
    )


# ---------------------------------------------------------------- HTML


def html_prose(said: Prose) -> str:
    """A sentence in HTML, formulas in MathML."""
    return "".join(escape(p) if isinstance(p, str) else mathml(p) for p in said)


def _html_line(line: Line) -> str:
    rows = []
    for k, part in enumerate(line.parts):
        left = "" if k or line.left is None else mathml(line.left, display=True)
        relation = mathml(sign(part.relation)) if line.left is not None else ""
        last = k == len(line.parts) - 1
        shape = mathml(line.shape) if last and line.shape is not None else ""
        rows.append(
            f'<tr><td class="left">{left}</td><td>{relation}</td>'
            f'<td class="right">{mathml(part.box, display=True)}</td>'
            f'<td class="shape">{shape}</td>'
            f'<td class="why">{html_prose(part.reason)}</td></tr>'
        )
    return "\n".join(rows)


def html_lines(lines: Iterable[Line]) -> str:
    """Equations one below the other, as a table."""
    return f'<table class="lines">{"".join(_html_line(x) for x in lines)}</table>'


def html(page: Page, fragment: bool = False) -> str:
    """One page with nothing to load; pointing at a term lights it everywhere."""
    body = article(page)
    if fragment:
        return f"<style>{STYLE}</style>\n{body}\n<script>{SCRIPT}</script>"
    return document(body, " ".join(sentence(page.title).split()), page.lang)


def document(body: str, title: str, lang: str, style: str = "") -> str:
    """A self-contained HTML file around `body`, with the page's own style and script."""
    return (
        f'<!DOCTYPE html>\n<html lang="{lang}">\n<head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title></head>\n<body>\n"
        f"<style>{STYLE}{style}</style>\n{body}\n<script>{SCRIPT}</script>"
        "\n</body>\n</html>\n"
    )


def article(page: Page) -> str:
    """The page as an HTML element, without style and script."""
    known = "".join(
        f"<li>{mathml(a)} <span class='shape'>{mathml(b)}</span></li>"
        for a, b in page.symbols
    )
    out = [
        f'<article class="kokuban" lang="{page.lang}">',
        f"<h1>{html_prose(page.title)}</h1>",
        '<ul class="notes">',
        *(f"<li>{html_prose(note)}</li>" for note in page.notes),
        f'</ul><ul class="symbols">{known}</ul>',
        f"<h2>{escape(_word(page, 'forward'))}</h2>",
        html_lines(page.forward),
        f"<h2>{escape(_word(page, 'backward'))}</h2><ol>",
    ]
    for step in page.steps:
        reason = f'<p class="reason">{html_prose(step.reason)}</p>' if step.reason else ""
        out += [f"<li><h3>{escape(step.rule)}</h3>{reason}", html_lines(step.lines)]
        if step.checked:
            out.append(f'<p class="checked">{html_prose(step.checked)}</p>')
        if step.struck:
            out.append(f'<div class="wrong">{html_lines(step.struck)}')
            out += [f"<p>{html_prose(r)}</p>" for r in step.remarks]
            out.append("</div>")
        else:
            out += [f"<p>{html_prose(r)}</p>" for r in step.remarks]
        out.append("</li>")
    out.append("</ol></article>")
    return "\n".join(out)
