"""The names that formulas are tested with."""

from __future__ import annotations

import pytest

import kokuban as kb
from kokuban.expr import Expr, size


@pytest.fixture(scope="session")
def names() -> dict[str, Expr]:
    """X, A and B N×4, H, Y and T N×3, W 4×3, V 3×3, b 1×3, c N×1, s and η 1×1.

    U is X W + b; W₁ is 3×5, W^(2) 5×3.
    """
    x, w = kb.input("X", ("N", 4)), kb.parameter("W", (4, 3))
    b = kb.parameter("b", (1, 3))
    found: dict[str, Expr] = {
        **{n: kb.input(n, ("N", 4)) for n in "XAB"},
        **{n: kb.input(n, ("N", 3)) for n in "HY"},
        "T": kb.target("T", ("N", 3)),
        "W": w,
        "V": kb.parameter("V", (3, 3)),
        "b": b,
        "c": kb.input("c", ("N", 1)),
        "s": kb.parameter("s", (1, 1)),
        "η": kb.parameter("η", (1, 1)),
        "Δ": kb.input("Δ", ("N", 3)),
        "重み": kb.parameter("重み", (4, 3)),
        "入力": kb.input("入力", ("N", 4)),
        "W₁": kb.parameter("W₁", (3, 5)),
        "W^(2)": kb.parameter("W^(2)", (5, 3)),
        "U": x @ w + b,
    }
    assert found.keys().isdisjoint({"N"})
    return found | {"N": size("N")}
