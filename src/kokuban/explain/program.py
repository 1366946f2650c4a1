"""A derivation as a NumPy program that stands alone: forward, backward, an example."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from inspect import cleandoc
from typing import Any

from kokuban.errors import ExpressionError
from kokuban.explain.backward import Tape
from kokuban.explain.forward import in_order
from kokuban.expr import Const, Expr, Size, Symbol, order, plain, symbols
from kokuban.op import ATOM, NEGATION, POWER
from kokuban.rewrite import simplify
from kokuban.shape import SCALAR, show

AXES = {
    "all": "",
    "rows": ", axis=0, keepdims=True",
    "columns": ", axis=1, keepdims=True",
}
INFIX = ("add", "subtract", "multiply", "divide", "matmul", "negate", "transpose")

# Operations that want a matrix where Python makes a number.
WHOLE = (
    "matmul",
    "transpose",
    "sum",
    "slice",
    "row_max",
    "softmax",
    "logsumexp",
    "place",
)

# Operations that NumPy has under another name, by the code with the argument in it.
CALLS = {
    "exp": "np.exp({0})",
    "expm1": "np.expm1({0})",
    "log": "np.log({0})",
    "sqrt": "np.sqrt({0})",
    "abs": "np.abs({0})",
    "sign": "np.sign({0})",
    "sin": "np.sin({0})",
    "cos": "np.cos({0})",
    "tanh": "np.tanh({0})",
    "maximum": "np.maximum({0}, {1})",
    "minimum": "np.minimum({0}, {1})",
    "row_max": "np.max({0}, axis=1, keepdims=True)",
    "softplus": "np.logaddexp(0, {0})",
    "relu": "np.maximum({0}, 0)",
    "distribution": "{0}",
}

# Functions that the program defines where it needs them.
FUNCTIONS = {
    "sigmoid": '''
        def sigmoid(x):
            """1 / (1 + e^-x), without overflow."""
            return np.exp(-np.logaddexp(0, -x))
    ''',
    "softmax": '''
        def softmax(x):
            """e^x over its row's sum; the shift by the largest entry changes nothing."""
            e = np.exp(x - x.max(axis=1, keepdims=True))
            return e / e.sum(axis=1, keepdims=True)
    ''',
    "logsumexp": '''
        def logsumexp(x):
            """ln of the sum of e^x over each row, without overflow."""
            shift = x.max(axis=1, keepdims=True)
            return np.log(np.exp(x - shift).sum(axis=1, keepdims=True)) + shift
    ''',
    "step": '''
        def step(x, at_zero):
            """1 where x > 0, 0 where x < 0, `at_zero` at 0."""
            return np.where(x == 0, at_zero, 1.0 * (x > 0))
    ''',
    "erf": '''
        def erf(x):
            """The error function, entry by entry."""
            return np.vectorize(math.erf)(x)
    ''',
    "place": '''
        def place(x, axis, start, total):
            """x among zeros: `total` rows (axis 0) or columns (1), from `start` on."""
            size = (total, x.shape[1]) if axis == 0 else (x.shape[0], total)
            y = np.zeros(size)
            part = slice(start, start + x.shape[axis])
            y[(part, slice(None)) if axis == 0 else (slice(None), part)] = x
            return y
    ''',
    "dropout_mask": '''
        def dropout_mask(draw, rate, shape, stream):
            """0 with probability `rate`, else 1/(1 - rate); draw: a seed and a count."""
            key = np.array([int(draw[0, 0]), stream], dtype=np.uint64)
            count = np.array([0, int(draw[0, 1]), 0, 0], dtype=np.uint64)
            size = shape[0] * shape[1]
            words = np.random.Philox(key=key, counter=count).random_raw((size + 1) // 2)
            halves = words.astype("<u8").view("<u4")[:size]
            return ((halves >= np.uint32(rate * 2.0**32)) / (1 - rate)).reshape(shape)
    ''',
}


def program(found: Tape) -> str:
    """The program's text: a function of all symbols that gives L and the gradients."""
    code = _Code(found)
    leaves = in_order(symbols([found.loss]))
    loss = found.quantities[-1].symbol
    lines = [f"{code.name(loss)} and its gradients, from values of these shapes."]
    lines += ["", *(f"{code.name(s)}: {show(s.shape)}" for s in leaves)]
    doc = "\n".join(f"    {line}".rstrip() for line in lines).lstrip()
    work = ["# forward", *code.forward(), "# backward", *code.backward()]
    sizes = [size for size, word in code.sizes(leaves) if _used(word, work)]
    body = [f'    """{doc}', '    """', *(f"    {line}" for line in (*sizes, *work))]
    results = ", ".join(f'"{s.name}": {code.gradient(s)}' for s in found.wrt)
    body.append(f"    return {code.name(loss)}, {{{results}}}")
    head = f"def forward_and_backward({', '.join(code.name(s) for s in leaves)}):"
    functions = [cleandoc(FUNCTIONS[f]) for f in FUNCTIONS if f in code.used]
    imports = ("import math\n\n" if "erf" in code.used else "") + "import numpy as np\n"
    title = f'"""The gradient by {", ".join(s.name for s in found.wrt)}, in NumPy."""\n'
    parts = [title + "\n" + imports, *functions, "\n".join([head, *body])]
    return "\n\n".join(f"{part.rstrip()}\n" for part in parts)


def _used(word: str, lines: Iterable[str]) -> bool:
    return any(re.search(rf"\b{word}\b", line) for line in lines)


class _Code:
    """Expressions as Python: names that are identifiers, and what they call."""

    def __init__(self, found: Tape) -> None:
        self.tape = found
        self.used: set[str] = set()
        self._names: dict[str, str] = {}
        self._taken = {"np", "math", *FUNCTIONS}

    def name(self, s: Symbol) -> str:
        """A symbol's name as an identifier, two names never the same."""
        return self._identifier(s.name, s.name)

    def gradient(self, of: Symbol) -> str:
        """The name of a gradient: Δ or Γ for a quantity, dW for a symbol."""
        for q in self.tape.quantities:
            if q.symbol is of:
                return self.name(q.gradient)
        return self._identifier(f"\x00{of.name}", f"d{of.name}")

    def _identifier(self, key: str, wanted: str) -> str:
        if key not in self._names:
            word = re.sub(r"\W", "_", wanted)
            word = word if word.isidentifier() else f"_{word}"
            while word in self._taken:
                word += "_"
            self._taken.add(word)
            self._names[key] = word
        return self._names[key]

    def sizes(self, leaves: Iterable[Symbol]) -> list[tuple[str, str]]:
        """N = X.shape[0] and N, for each named dimension."""
        found: dict[str, tuple[str, str]] = {}
        for s in leaves:
            for axis, dim in enumerate(s.shape):
                if isinstance(dim, str) and dim not in found:
                    word = self._identifier(f"\x01{dim}", dim)
                    found[dim] = f"{word} = {self.name(s)}.shape[{axis}]", word
        return list(found.values())

    def forward(self) -> list[str]:
        """One line for each quantity."""
        return [
            f"{self.name(q.symbol)} = {self._matrix(simplify(q.body))}"
            for q in self.tape.quantities
        ]

    def backward(self) -> list[str]:
        """One line for each gradient that is asked for or used."""
        lines: list[str] = []
        for g in reversed(self.tape.gradients):
            name = self.gradient(g.of)
            if g.of in self.tape.wrt or _used(name, lines):
                lines.append(f"{name} = {self._matrix(g.value)}")
        return lines[::-1]

    def _matrix(self, node: Expr) -> str:
        """The expression as Python that gives a matrix, a number as a 1×1 one."""
        text = self.text(node)
        return f"np.reshape({text}, (1, 1))" if _is_number(node) else text

    def text(self, node: Expr) -> str:
        """The expression as Python."""
        (bare,) = plain([node])
        forms: dict[Expr, tuple[str, int]] = {}
        for n in order([bare]):
            forms[n] = self._form(n, forms)
        return forms[bare][0]

    def _form(self, n: Expr, forms: Mapping[Expr, tuple[str, int]]) -> tuple[str, int]:
        if isinstance(n, Symbol):
            return self.name(n), ATOM
        if isinstance(n, Size):
            return self._identifier(f"\x01{n.dim}", n.dim), ATOM
        if isinstance(n, Const):
            return _constant(n)
        assert n.op is not None
        kind, attrs = n.op.name, dict(n.attrs)
        if kind == "broadcast":
            return self._repeated(n, forms)
        args = [self._argument(a, n, forms) for a in n.args]
        if kind in INFIX:
            least = n.op.binds[1:]
            inner = [_within(a, b) for a, b in zip(args, least, strict=True)]
            return n.op.text.format(*inner), n.op.binds[0]
        if kind == "power":
            exponent = f"{attrs['exponent']:.17g}"
            power = f"({exponent})" if exponent.startswith("-") else exponent
            return f"{_within(args[0], ATOM)} ** {power}", POWER
        loose = [text for text, _ in args]
        if kind == "sum":
            over = attrs["over"]
            whole = f"np.sum({loose[0]}{AXES[over]})"
            return (whole if over != "all" else f"{whole}.reshape(1, 1)"), ATOM
        if kind in CALLS:
            holds = args[0][1] if kind == "distribution" else ATOM
            return CALLS[kind].format(*loose), holds
        if kind == "slice":
            part = f"{attrs['start']}:{attrs['stop']}"
            both = f"{part}, :" if attrs["axis"] == 0 else f":, {part}"
            return f"{_within(args[0], ATOM)}[{both}]", ATOM
        if kind not in FUNCTIONS:
            raise ExpressionError(f"There is no NumPy code for the operation {kind!r}.")
        self.used.add(kind)
        return f"{kind}({', '.join([*loose, *self._settings(attrs)])})", ATOM

    def _settings(self, attrs: Mapping[str, Any]) -> list[str]:
        found = []
        for key, value in attrs.items():
            if key == "to":
                found.append(f"shape={self._shape(value)}")
            elif key == "total" and isinstance(value, str):
                found.append(f"total={self._identifier(chr(1) + value, value)}")
            else:
                found.append(f"{key}={value!r}")
        return found

    def _shape(self, to: tuple[int | str, int | str]) -> str:
        dims = [d if isinstance(d, int) else self._identifier(f"\x01{d}", d) for d in to]
        return f"({dims[0]}, {dims[1]})"

    def _argument(
        self, a: Expr, user: Expr, forms: Mapping[Expr, tuple[str, int]]
    ) -> tuple[str, int]:
        """An argument; copies are left to NumPy where the other is not copied."""
        assert user.op is not None
        if user.op.name in WHOLE and _is_number(a):
            return f"np.reshape({forms[a][0]}, (1, 1))", ATOM
        entrywise = user.op.name in ("add", "subtract", "multiply", "divide")
        others = [o for o in user.args if o is not a]
        full = bool(others) and not any(_is_copy(o) for o in others)
        if _is_copy(a) and entrywise and full:
            return forms[a.args[0]]
        return forms[a]

    def _repeated(
        self, n: Expr, forms: Mapping[Expr, tuple[str, int]]
    ) -> tuple[str, int]:
        text, _ = forms[n.args[0]]
        return f"np.broadcast_to({text}, {self._shape(n.shape)})", ATOM


def _is_number(node: Expr) -> bool:
    """Whether Python makes a plain number of it: it holds no matrix."""
    return node.shape == SCALAR and not symbols([node])


def _is_copy(node: Expr) -> bool:
    return node.op is not None and node.op.name == "broadcast"


def _within(form: tuple[str, int], least: int) -> str:
    text, holds = form
    return f"({text})" if holds < least else text


def _constant(node: Const) -> tuple[str, int]:
    if isinstance(node.value, tuple):
        return f"np.array({[list(line) for line in node.value]})", ATOM
    value = node.value
    text = str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)
    return text, NEGATION if value < 0 else ATOM
