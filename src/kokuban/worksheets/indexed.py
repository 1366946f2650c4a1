"""Formulas in entries, as answers give them: Σ_r δ_r^(2) w_rj^(2).

An entry is a small letter for a matrix, with its layer above and its place below; indices
are letters that run over dimensions, or numbers. A formula is read into a tree and its
values at a point are an array with an axis for each index: nothing else is done with it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import numpy as np
from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput
from numpy.typing import NDArray

from kokuban.formula.notation import plain
from kokuban.formula.place import Source
from kokuban.shape import Dim
from kokuban.worksheets.desk import Desk, Point

DEEPEST: Final = 25  # brackets within brackets
AXES: Final = 4  # indices at a time

Array = NDArray[np.float64]
Scope = Mapping[str, Dim]  # the indices that are known, and what they run over

GRAMMAR: Final = r"""
sum: SIGN? product (SIGN product)*
product: power (OPERATOR? power)*
sigma: SIGMA product  // what follows belongs to it: lark shifts where it could reduce
power: atom (SUPERSCRIPT | "^" exponent)?
exponent: NUMBER -> number | SIGN NUMBER -> signed | ENTRY -> entry | _group
atom: NUMBER -> number | ENTRY -> entry | _group | sigma | call | fraction | test
_group: "(" sum ")" | "{" sum "}"
call: FUNCTION (_arguments | ENTRY)
_arguments: "(" sum ("," sum)* ")"
fraction: "\\frac" "{" sum "}" "{" sum "}"
test: "[" sum RELATION sum "]"

SIGN: "+" | "-"
OPERATOR: "*" | "/" | "·" | "×" | "⊙"
RELATION: ">=" | "≥" | ">" | "<=" | "≤" | "<" | "≠" | "="
SUPERSCRIPT: /⁻?[⁰¹²³⁴-⁹]+/
SIGMA.4: /Σ(_\{[^{}]*\}|_\([^()]*\)|_[^\W\d_])(\^\{\w+\}|\^\w)?/
FUNCTION.3: /exp|log|ln|sigmoid|tanh|relu|ReLU|max|min|sqrt|(σ|step)(?=\s*\()/
ENTRY.2: /LETTER(LAYER)?(PLACE)?(LAYER)?/
NUMBER: /([0-9]+(\.[0-9]+)?|\.[0-9]+)([eE][+-]?[0-9]+)?/
%ignore " "
"""
LETTER: Final = r"[^\W\d_Σ⁰¹²³⁴⁵⁶⁷⁸⁹₀-₉ᵀ]"
LAYER: Final = r"\^\{\([0-9]+\)\}|\^\([0-9]+\)|⁽[⁰¹²³⁴-⁹]+⁾"
PLACE: Final = r"_\{[^\W_]+(?:[ ,]+[^\W_]+)*\}|_[^\W_]+|[₀-₉]+"

_digits = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻₀₁₂₃₄₅₆₇₈₉", "0123456789-0123456789")
_entry = re.compile(rf"({LETTER})(?:{LAYER})?({PLACE})?(?:{LAYER})?")
_sigma = re.compile(r"Σ_[{(]?\s*([^\W\d_])\s*(?:(=\s*1|≠|!=)\s*([^\W\d_])?)?[})]?(\^.*)?")

FUNCTIONS: Final[dict[str, Callable[..., Array]]] = {
    "exp": np.exp,
    "log": np.log,
    "ln": np.log,
    "sqrt": np.sqrt,
    "tanh": np.tanh,
    "sigmoid": lambda u: 1 / (1 + np.exp(-u)),
    "σ": lambda u: 1 / (1 + np.exp(-u)),
    "relu": lambda u: np.maximum(u, 0),
    "ReLU": lambda u: np.maximum(u, 0),
    "step": lambda u: (u >= 0) * 1.0,
    "max": np.maximum,
    "min": np.minimum,
}
RELATIONS: Final[dict[str, Callable[[Array, Array], Any]]] = {
    ">=": np.greater_equal, "≥": np.greater_equal, ">": np.greater,
    "<=": np.less_equal, "≤": np.less_equal, "<": np.less,
    "≠": np.not_equal, "=": np.equal,
}  # fmt: skip


@cache
def _grammar() -> Lark:
    text = GRAMMAR.replace("LETTER", LETTER)
    text = text.replace("LAYER", LAYER).replace("PLACE", PLACE)
    return Lark(text, start="sum", parser="lalr", propagate_positions=True)


@dataclass(frozen=True)
class Indexed:
    """A formula in entries that has been read."""

    source: Source
    tree: Tree[Token]
    desk: Desk
    names: Mapping[tuple[str, str], str]
    scope: Scope

    def values(self, point: Point) -> Array:
        """The formula's values, an axis for each free index; of size 1 where it is not
        used."""
        axes = {letter: k for k, letter in enumerate(self.scope)}
        with np.errstate(all="ignore"):
            return _Values(self, point, axes, self.scope).sum(self.tree)


def indexed(
    text: str, desk: Desk, known: Iterable[str], free: Iterable[tuple[str, str]]
) -> Indexed:
    """Read a formula in entries of `known` matrices, with `free` indices.

    Raises FormulaError, which shows the place.
    """
    source = plain(Source(text), lines=False)
    scope: dict[str, Dim] = {a: int(d) if d.isdigit() else d for a, d in free}
    try:
        tree = _grammar().parse(source.text)
    except UnexpectedInput as error:
        at = min(getattr(error, "pos_in_stream", None) or 0, len(source.text))
        if getattr(error, "token", None) is not None and error.token.type == "$END":  # type: ignore[attr-defined]
            at = len(source.text)
        said = "Something is missing here." if at >= len(source.text) else (
            f"'{source.text[at]}' does not fit here."
        )  # fmt: skip
        raise source.error(said, at, at + 1) from None
    names: dict[tuple[str, str], str] = {}
    for name in known:
        letter, _, layer = name.partition("^")
        for own in (letter, letter.lower()):
            if len(letter) == 1 and own != "e":
                names.setdefault((own, layer.strip("()")), name)
    made = Indexed(source, tree, desk, names, scope)
    _Checked(made).sum(tree, scope, 0)
    return made


def apart(text: str, free: Iterable[tuple[str, str]], point: Point) -> Array | None:
    """Of a condition such as "r ≠ k": 1 where the two free indices differ, else 0.

    None where it is no such condition.
    """
    matched = re.fullmatch(r"(\w) ≠ (\w)", text)
    if matched is None:
        return None
    letters = [letter for letter, _ in free]
    dims = dict(free)
    size = point.sizes[dims[matched[1]]]
    axes = [letters.index(matched[1]), letters.index(matched[2])]
    return _placed(1.0 - np.eye(size), axes, len(letters))


def _parts(found: Indexed, token: Token) -> tuple[str, list[str]]:
    """The matrix's name that an entry's letter stands for, and its places."""
    matched = _entry.fullmatch(token)
    assert matched is not None
    letter, place = matched.groups()
    layers = _layers(token)
    layer = layers[0] if layers else ""
    name = found.names.get((letter, layer))
    if name is None or len(layers) > 1:
        raise found.source.error(
            f"'{token}' is not known here.", token.start_pos or 0, token.end_pos or 0
        )
    bare = (place or "").lstrip("_").strip("{}").translate(_digits)
    apart = re.split(r"[ ,]+", bare) if re.search(r"[ ,]", bare) else list(bare)
    return name, [p for p in apart if p]


def _layers(token: str) -> list[str]:
    return [m[0].strip("^{()}⁽⁾").translate(_digits) for m in re.finditer(LAYER, token)]


class _Checked:
    """Names, places and indices of a tree, before anything is computed."""

    def __init__(self, found: Indexed) -> None:
        self.found = found

    def sum(self, tree: Tree[Token], scope: Scope, depth: int) -> None:
        """Check what is in a tree; FormulaError at what is wrong."""
        if depth > DEEPEST:
            self._fail(f"Brackets are nested more than {DEEPEST} deep.", tree)
        if tree.data == "sigma":
            letter, other = _bound(self.found, tree.children[0], scope)
            over = self._over(letter, tree)
            if other is not None and scope.get(other) != over:
                self._fail(f"{other} does not run over what {letter} does.", tree)
            if len(scope) >= AXES:
                self._fail(f"More than {AXES} indices at a time.", tree)
            scope = {**scope, letter: over}
        deeper = depth + (tree.data in ("sum", "sigma"))
        for child in tree.children:
            if isinstance(child, Tree):
                self.sum(child, scope, deeper)
            elif child.type == "ENTRY":
                self._entry(child, scope)

    def _over(self, letter: str, tree: Tree[Token]) -> Dim:
        """What an index under a Σ runs over: the dimension where it is used first."""
        for token in _entries(tree):
            if _constant(self.found, token):
                continue
            name, places = _parts(self.found, token)
            dims = [d for d in self.found.desk.shape(name) if d != 1]
            for place, dim in zip(places, dims, strict=False):
                if place == letter:
                    return dim
        return self._fail(f"{letter} is not used under this Σ.", tree)  # type: ignore[no-any-return]

    def _entry(self, token: Token, scope: Scope) -> None:
        if _constant(self.found, token):
            return
        name, places = _parts(self.found, token)
        shape = self.found.desk.shape(name)
        dims = [d for d in shape if d != 1]
        if len(places) != len(dims):
            need = {0: "no index", 1: "one index", 2: "two indices"}[len(dims)]
            self._fail(f"{name} is {shape[0]}×{shape[1]}: it needs {need}.", token)
        for place, dim in zip(places, dims, strict=True):
            if place.isdigit():
                if not (isinstance(dim, int) and 1 <= int(place) <= dim):
                    self._fail(f"{name} has no entry {place}.", token)
            elif place not in scope:
                self._fail(
                    f"The index {place} stands under no Σ and is not given.", token
                )
            elif scope[place] != dim:
                self._fail(f"{place} runs over {scope[place]}, not {dim}.", token)

    def _fail(self, message: str, place: Tree[Token] | Token) -> Any:
        at: Any = place if isinstance(place, Token) else place.meta
        raise self.found.source.error(message, at.start_pos or 0, at.end_pos or 0)


def _entries(tree: Tree[Token]) -> Iterator[Token]:
    """The entries in a tree."""
    for value in tree.scan_values(lambda token: token.type == "ENTRY"):  # type: ignore[union-attr]  # lark's own leaves
        assert isinstance(value, Token)
        yield value


def _constant(found: Indexed, token: Token) -> bool:
    """Whether a letter is e or a dimension's name, and no matrix."""
    bare = str(token)
    own = (bare, "") in found.names
    return not own and (bare == "e" or bare in found.desk.points[0].sizes)


def _bound(found: Indexed, token: Any, scope: Scope) -> tuple[str, str | None]:
    """The index that a Σ binds, and the one that it leaves out."""
    matched = _sigma.fullmatch(str(token).replace("!=", "≠"))
    start, end = token.start_pos or 0, token.end_pos or 0
    if matched is None or (matched[2] in ("≠",)) != (matched[3] is not None):
        raise found.source.error("Write Σ_r, Σ_{r=1}^n or Σ_{r≠k}.", start, end)
    letter, other = matched[1], matched[3]
    if letter in scope:
        raise found.source.error(f"The index {letter} is taken already.", start, end)
    if other is not None and other not in scope:
        raise found.source.error(f"The index {other} is not known here.", start, end)
    return letter, other


@dataclass(frozen=True)
class _Values:
    """The values of a tree's parts; each an array with an axis an index."""

    found: Indexed
    point: Point
    axes: Mapping[str, int]
    scope: Scope

    def sum(self, tree: Tree[Token]) -> Array:
        """The value of any node."""
        method: Callable[[list[Any]], Array] = getattr(self, f"_{tree.data}")
        return method(tree.children)

    def _value(self, part: Any) -> Array:
        if isinstance(part, Token):
            return self._token(part)
        return self.sum(part)

    def _token(self, token: Token) -> Array:
        if token.type == "ENTRY":
            return self._entry([token])
        return np.array(float(token.translate(_digits)))

    def _sum(self, parts: list[Any]) -> Array:
        total: Array = np.array(0.0)
        sign = 1.0
        for part in parts:
            if isinstance(part, Token):
                sign = -1.0 if part == "-" else 1.0
            else:
                total = total + sign * self._value(part)
        return total

    def _product(self, parts: list[Any]) -> Array:
        total, divide = np.array(1.0), False
        for part in parts:
            if isinstance(part, Token) and part.type == "OPERATOR":
                divide = part == "/"
                continue
            value = self._value(part)
            total = total / value if divide else total * value
            divide = False
        return total

    def _sigma(self, parts: list[Any]) -> Array:
        letter, other = _bound(self.found, parts[0], self.scope)
        over = _Checked(self.found)._over(letter, Tree("sigma", parts))
        axis = len(self.axes)
        inner = _Values(
            self.found, self.point, {**self.axes, letter: axis},
            {**self.scope, letter: over},
        )  # fmt: skip
        body = inner._value(parts[1])
        size = over if isinstance(over, int) else self.point.sizes[over]
        body = _at_least(body, axis + 1)
        if body.shape[axis] == 1:
            body = np.repeat(body, size, axis)
        if other is not None:
            apart = 1.0 - np.eye(size)
            body = body * _placed(apart, [self.axes[other], axis], axis + 1)
        return np.asarray(np.sum(body, axis=axis))

    def _power(self, parts: list[Any]) -> Array:
        base, *exponents = (self._value(p) for p in parts)
        return base ** exponents[0] if exponents else base

    def _atom(self, parts: list[Any]) -> Array:
        return self._value(parts[0])

    _exponent = _atom

    def _number(self, parts: list[Any]) -> Array:
        return np.array(float(parts[0]))

    def _signed(self, parts: list[Any]) -> Array:
        return np.array(float("".join(parts)))

    def _call(self, parts: list[Any]) -> Array:
        name, *arguments = parts
        values = [self._value(a) for a in arguments]
        try:
            return np.asarray(FUNCTIONS[name](*values))
        except TypeError:
            raise self.found.source.error(
                f"{name} does not take {len(values)} arguments.",
                name.start_pos or 0,
                name.end_pos or 0,
            ) from None

    def _fraction(self, parts: list[Any]) -> Array:
        return self._value(parts[0]) / self._value(parts[1])

    def _test(self, parts: list[Any]) -> Array:
        left, relation, right = parts
        holds = RELATIONS[relation](self._value(left), self._value(right))
        return np.asarray(holds, np.float64)

    def _entry(self, parts: list[Any]) -> Array:
        (token,) = parts
        if _constant(self.found, token):
            own = self.point.sizes.get(str(token))
            return np.array(np.e if own is None else float(own))
        name, places = _parts(self.found, token)
        matrix, shape = self.point.matrices[name], self.found.desk.shape(name)
        kept = matrix.reshape(
            [n for n, d in zip(matrix.shape, shape, strict=True) if d != 1]
        )
        index = tuple(int(p) - 1 if p.isdigit() else slice(None) for p in places)
        letters = [p for p in places if not p.isdigit()]
        value: Array = kept[index]
        if len(letters) == 2 and letters[0] == letters[1]:
            value, letters = np.diagonal(value), letters[:1]
        return _placed(value, [self.axes[x] for x in letters], len(self.axes))


def _placed(value: Array, axes: list[int], count: int) -> Array:
    """An array whose axes stand at the places `axes` among `count`."""
    order = np.argsort(axes)
    value = np.transpose(value, order) if value.ndim else value
    shape = [1] * count
    for k, size in zip(sorted(axes), value.shape, strict=True):
        shape[k] = size
    return value.reshape(shape)


def _at_least(value: Array, count: int) -> Array:
    return (
        value.reshape(value.shape + (1,) * (count - value.ndim))
        if value.ndim < count
        else value
    )
