"""What `derive` gives: the steps, and every way to write them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kokuban.errors import SettingError
from kokuban.explain import pages, pictures
from kokuban.explain.backward import Tape, tape
from kokuban.explain.numbers import Matrix
from kokuban.explain.page import Page, Step
from kokuban.explain.phrases import Phrases
from kokuban.explain.terminal import WIDTH, terminal
from kokuban.explain.writer import Writer
from kokuban.expr import Expr, Symbol, require, symbols

FORMS = ("matrix", "entries", "numbers")
LAYOUTS = ("rows", "columns")
DETAILS = ("answer", "steps", "everything")


@dataclass(frozen=True)
class Derivation:
    """The derivation of a loss's gradients, and the ways to write it.

    `page` is what it says; `text`, `markdown`, `latex`, `html`, `svg` and `png` spell
    it; `python` is a program that computes it. `values` are those of all symbols,
    quantities and gradients, in numbers; empty in other forms.
    """

    tape: Tape
    page: Page
    values: Mapping[Symbol, Matrix] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps from the loss back."""
        return self.page.steps

    @cached_property
    def gradients(self) -> dict[str, Expr]:
        """What was asked, by name, as expressions in the user's symbols."""
        wanted = {s: n for n, s in self.tape.asked.items()}
        return {
            g.of.name: self.tape.whole(g.value)
            for g in self.tape.gradients
            if g.of in wanted
        }

    def text(self, width: int = WIDTH) -> str:
        """The page for a terminal of `width` columns, with drawn matrices.

        What cannot be cut, such as a matrix, may be wider. Raises SettingError for less
        than 40 columns.
        """
        return terminal(width).page(self.page)

    def markdown(self) -> str:
        """The page as Markdown with LaTeX between dollar signs."""
        return pages.markdown(self.page)

    def latex(self, document: bool = False) -> str:
        """The page as LaTeX that needs amsmath only; with `document`, a whole file."""
        return pages.latex(self.page, document)

    def html(self) -> str:
        """The page as one self-contained HTML file, formulas in MathML."""
        return pages.html(self.page)

    def svg(self) -> str:
        """The page as one SVG picture (needs kokuban[pictures])."""
        return pictures.svg(self.page)

    def png(self, zoom: int = 2) -> bytes:
        """The same picture as PNG, `zoom` times as large (needs kokuban[pictures])."""
        return pictures.png(self.page, zoom)

    def python(self) -> str:
        """A NumPy program of the forward and the backward pass, needing nothing else."""
        from kokuban.explain.program import program

        return program(self.tape)

    def _repr_html_(self) -> str:
        return pages.html(self.page, fragment=True)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {pages.aligned(self.page)}$"

    def __str__(self) -> str:
        return self.text().rstrip("\n")

    def __repr__(self) -> str:
        asked = ", ".join(s.name for s in self.tape.wrt)
        return f"<derivation of the gradient by {asked}, {len(self.steps)} steps>"


def derive(
    loss: Expr,
    wrt: Expr | Sequence[Expr] | None = None,
    *,
    form: str = "matrix",
    lang: str = "en",
    layout: str = "rows",
    detail: str = "steps",
    at: Mapping[Any, Any] | None = None,
    entry: tuple[int, int] | None = None,
    names: Mapping[Expr, str] | None = None,
) -> Derivation:
    """The derivation of ∂loss/∂wrt, step by step; of all parameters without `wrt`.

    `form` is "matrix", "entries" (each rule proven with sums and Kronecker deltas) or
    "numbers" (with the values in `at` put in, and the arithmetic of one `entry`, counted
    from 1). `layout` "columns" shows every matrix transposed and every product reversed.
    `detail`: "answer" gives the formulas, "steps" their reasons as well, "everything"
    each rewriting. `names` gives parts of the loss names of your own.

    Raises ExpressionError where there is nothing to derive, SettingError for a setting
    that is not one, DataError and ShapeError for values that cannot be used.
    """
    require(loss, "What is derived")
    for value, known, what in (
        (form, FORMS, "form"),
        (layout, LAYOUTS, "layout"),
        (detail, DETAILS, "detail"),
    ):
        if value not in known:
            raise SettingError(f"{what} is one of {', '.join(known)}, not {value!r:.40}.")
    if form == "numbers" and at is None:
        raise SettingError('form="numbers" needs values: give at={symbol: array, …}.')
    if wrt is None:
        asked: list[Expr] = list(symbols([loss], "parameter"))
    else:
        several = wrt if isinstance(wrt, Iterable) else [wrt]
        asked = [require(w, "What a derivation is by") for w in several]
    found = tape(loss, list(dict.fromkeys(asked)), names or {})
    writer = Writer(
        found,
        Phrases(lang, layout == "columns"),
        layout == "columns",
        detail,
        form,
        at,
        entry,
    )
    values = {} if writer.numbers is None else writer.numbers.values
    return Derivation(found, writer.page(), values)
