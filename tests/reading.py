"""Reading written forms back, to see that they say what they should."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import kokuban as kb
from kokuban.expr import Expr, Symbol, apply, order, size, substitute
from kokuban.ops import COMPOSITES


def unmarked(e: Expr) -> Expr:
    """Without the marks that rows sum to 1, which are not written."""
    marks = {n: n.args[0] for n in order([e]) if n.op and n.op.name == "distribution"}
    return substitute([e], marks)[0]


def parsed(text: str, symbols: Iterable[Symbol]) -> Expr:
    """What a written form says: Python with our functions, `N×3` a shape."""
    python = re.sub(r"(\w+)×(\w+)", r"_shape('\1', '\2')", text)
    words = {name: name for name in ("all", "rows", "columns")}
    names: dict[str, Any] = {s.name: s for s in symbols}
    names |= {name: getattr(kb, name) for name in kb.ops.__all__ if hasattr(kb, name)}
    names |= COMPOSITES
    names |= {"dup": lambda x, to: kb.broadcast(x, to), "N": size("N")} | words
    names |= {n: (lambda x, n=n, **a: apply(n, x, **a)) for n in ("slice", "place")}
    names["_shape"] = lambda *dims: tuple(int(d) if d.isdigit() else d for d in dims)
    made = eval(python, {"__builtins__": {}}, names)
    return made if isinstance(made, Expr) else kb.constant(made)
