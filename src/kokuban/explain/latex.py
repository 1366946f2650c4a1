"""A layout tree as LaTeX: plain amsmath, nothing else."""

from __future__ import annotations

from kokuban.explain.layout import (
    FUNCTIONS,
    LETTERS,
    SIGNS,
    Box,
    Fence,
    Fraction,
    Gap,
    Grid,
    Root,
    Row,
    Script,
    Struck,
    Term,
    Text,
)

_COMMANDS = {text: f"\\{command} " for command, text in {**SIGNS, **LETTERS}.items()}
_COMMANDS |= {"−": "-", "×": r"\times ", "⋮": r"\vdots ", "η": r"\eta "}
_SPECIAL = {c: f"\\{c}" for c in "#$%&_{}"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
}
_RAISED = {"ᵀ": r"\top", "²": "2", "⁻": "-", "ˣ": "x", "ᵘ": "u"}
_IN_WORDS = {c: f"${formula.strip()}$" for c, formula in _COMMANDS.items()}
_IN_WORDS |= {c: f"$^{{{formula}}}$" for c, formula in _RAISED.items()}
_IN_WORDS |= {"Σ": r"$\sum$", "±": r"$\pm$"}


def latex(box: Box) -> str:
    """The formula, for an amsmath environment or between dollar signs."""
    match box:
        case Text():
            return _text(box)
        case Row(items):
            return " ".join(latex(i) for i in items)
        case Fraction(over, under):
            return rf"\frac{{{latex(over)}}}{{{latex(under)}}}"
        case Script(base, lower, upper):
            return _script(base, lower, upper)
        case Root(body):
            return rf"\sqrt{{{latex(body)}}}"
        case Fence(left, body, right):
            return _fence(left, body, right)
        case Grid(rows):
            lines = r" \\ ".join(" & ".join(latex(c) for c in line) for line in rows)
            return rf"\begin{{bmatrix}} {lines} \end{{bmatrix}}"
        case Term(_, body):
            return latex(body)
        case Struck(body):
            return _struck(latex(body))
        case Gap(count, width, answer):
            inner = rf"\rule[-.7ex]{{0pt}}{{3ex}}\hspace{{{width * 0.6:.1f}em}}"
            inner = inner if answer is None else latex(answer)
            return rf"\boxed{{{{}}^{{({count})}}\;{inner}}}"
    raise TypeError(f"no box: {box!r}")


def _text(box: Text) -> str:
    text, kind = box.text, box.kind
    if kind == "words":
        return r"\," if text == " " else rf"\text{{{escaped(text)}}}"
    if kind == "bold":
        return rf"\mathbf{{{escaped(text)}}}"
    if kind == "function":
        own = text in FUNCTIONS and text not in ("erf", "diag")
        return f"\\{text}" if own else rf"\operatorname{{{escaped(text)}}}"
    if text in _COMMANDS:
        return _COMMANDS[text].strip()
    if kind == "name" and len(text) > 1:
        if all(c in _COMMANDS or c.isascii() for c in text):
            return rf"\mathit{{{escaped(text)}}}" if text.isascii() else _letters(text)
        return rf"\text{{{escaped(text)}}}"
    if kind == "name" and not text.isascii():
        return rf"\text{{{text}}}"
    return _letters(text).strip()  # 0.26596…, too


def _struck(formula: str) -> str:
    """The formula with a line through it, in plain TeX: amsmath has no such command."""
    box = rf"\setbox0=\hbox{{$\displaystyle {formula}$}}"
    return rf"{{{box}\rlap{{\vrule width\wd0 height.65ex depth-.55ex}}\box0}}"


def _letters(text: str) -> str:
    return "".join(_COMMANDS.get(c, c) for c in text)


def escaped(text: str) -> str:
    """Plain text with LaTeX's special characters escaped."""
    return "".join(_SPECIAL.get(c, c) for c in text)


def words(text: str) -> str:
    """Plain text for a paragraph in LaTeX, with the signs in it that need math there."""
    return "".join(_SPECIAL.get(c) or _IN_WORDS.get(c) or c for c in text)


def _script(base: Box, lower: Box | None, upper: Box | None) -> str:
    text = latex(base)
    raised = (
        isinstance(base, Term)
        and isinstance(base.body, Script)
        and base.body.upper is not None
    )
    if raised or isinstance(base, Script | Fraction | Row):
        text = f"{{{text}}}"
    below = "" if lower is None else f"_{{{latex(lower)}}}"
    above = "" if upper is None else f"^{{{latex(upper)}}}"
    return text + below + above


def _fence(left: str, body: Box, right: str) -> str:
    if tall(body):
        return rf"\left{left} {latex(body)} \right{right}"
    return f"{left}{latex(body)}{right}"


def tall(box: Box) -> bool:
    """Whether a box is higher than a line."""
    match box:
        case Fraction() | Grid():
            return True
        case Row(items):
            return any(tall(i) for i in items)
        case Script(base):
            return tall(base)
        case Fence(_, body, _) | Term(_, body) | Struck(body) | Root(body):
            return tall(body)
    return False
