"""A layout tree as MathML Core, which browsers draw by themselves."""

from __future__ import annotations

from html import escape

from kokuban.explain.layout import (
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


def mathml(box: Box, display: bool = False) -> str:
    """The formula as a `math` element."""
    block = ' displaystyle="true"' if display else ""
    return (
        f'<math xmlns="http://www.w3.org/1998/Math/MathML"{block}>{_inside(box)}</math>'
    )


def _element(box: Box) -> str:
    match box:
        case Text():
            return _text(box)
        case Row(items):
            return f"<mrow>{''.join(_element(i) for i in items)}</mrow>"
        case Fraction(over, under):
            return f"<mfrac>{_element(over)}{_element(under)}</mfrac>"
        case Script(base, lower, upper):
            return _script(base, lower, upper)
        case Root(body):
            return f"<msqrt>{_inside(body)}</msqrt>"
        case Fence(left, body, right):
            ends = [_operator(s, _FENCE) for s in (left, right)]
            return f"<mrow>{ends[0]}{_inside(body)}{ends[1]}</mrow>"
        case Grid(rows):
            return _grid(rows)
        case Term(key, body):
            return f'<mrow data-term="{escape(key)}">{_inside(body)}</mrow>'
        case Struck(body):
            return f'<mrow class="struck">{_inside(body)}</mrow>'
        case Gap(count, width, answer):
            inner = f'<mspace width="{width * 0.6:.1f}em" height="1em"></mspace>'
            inner = inner if answer is None else _element(answer)
            label = f'<mtext class="count">({count})</mtext>'
            return f'<mrow class="gap">{label}{inner}</mrow>'
    raise TypeError(f"no box: {box!r}")


def _inside(box: Box) -> str:
    """The box in an element that is a row by itself."""
    return "".join(map(_element, box.items)) if isinstance(box, Row) else _element(box)


def _text(box: Text) -> str:
    text = escape(box.text)
    if box.kind == "number":
        return f"<mn>{text}</mn>"
    if box.kind == "words":
        if text == " ":
            return '<mspace width="0.25em"></mspace>'
        return f"<mtext>{text}</mtext>"
    if box.kind == "sign":
        return _operator(text, _SIZES.get(text, _CLOSE))
    if box.kind in ("binary", "relation"):
        return _operator({"-": "−"}.get(text, text), _SIZES.get(text, ""))
    if box.kind == "bold":
        return f"<mn>{''.join(_BOLD.get(c, c) for c in text)}</mn>"
    if box.kind == "function":
        return f'<mi mathvariant="normal">{text}</mi>'
    return f"<mi>{text}</mi>"


_CLOSE = 'lspace="0" rspace="0"'
_FENCE = f'stretchy="true" {_CLOSE}'
_SIZES = {
    "∑": 'largeop="true" movablelimits="false"',
    "−": 'form="prefix" lspace="0" rspace="0"',
    "∂": 'form="prefix" lspace="0" rspace="0"',
    "×": 'lspace="0.15em" rspace="0.15em"',
    ",": 'lspace="0" rspace="0.2em"',
}
_BOLD = {"1": "𝟏", "0": "𝟎"}


def _operator(text: str, how: str) -> str:
    return f"<mo {how}>{text}</mo>" if how else f"<mo>{text}</mo>"


def _script(base: Box, lower: Box | None, upper: Box | None) -> str:
    below = lower is not None and base == Text("∑", "sign")
    parts = [_element(b) for b in (base, lower, upper) if b is not None]
    if lower is not None and upper is not None:
        kind = "munderover" if below else "msubsup"
    elif lower is not None:
        kind = "munder" if below else "msub"
    else:
        kind = "msup"
    return f"<{kind}>{''.join(parts)}</{kind}>"


def _grid(rows: tuple[tuple[Box, ...], ...]) -> str:
    lines = "".join(
        f"<mtr>{''.join(f'<mtd>{_element(cell)}</mtd>' for cell in line)}</mtr>"
        for line in rows
    )
    ends = [_operator(s, _FENCE) for s in "[]"]
    return f"<mrow>{ends[0]}<mtable>{lines}</mtable>{ends[1]}</mrow>"
