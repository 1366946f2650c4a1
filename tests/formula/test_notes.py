"""The systems of the five lecture notes as one writes them, with their gradients."""

from __future__ import annotations

import pytest

import kokuban as kb
from kokuban.formula import compare, parse

AFFINE = r"""
X: N x 3
W: 3 x 4
b: 1 x 4
G: N x 4                        # the gradient from above, ∂L/∂Y
Y = X W + \operatorname{Dup}_N(b)
L = \sum G \odot Y
"""
REGRESSION = """
X: N x 3;  d: N x 2 target
W^(1): 3 x 4;  B^(1): 1 x 4
W^(2): 4 x 2;  B^(2): 1 x 2
u^(1) = X W^(1) + B^(1)
y^(1) = sigmoid(u^(1))
u^(2) = y^(1) W^(2) + B^(2)
y^(2) = u^(2)
E = ½ Σ (y^(2) - d)²
δ^(2) = y^(2) - d
δ^(1) = δ^(2) W^{(2)T} ⊙ σ'(u^(1))
"""
CLASSIFICATION = REGRESSION.replace("y^(2) = u^(2)", "y^(2) = softmax(u^(2))").replace(
    "E = ½ Σ (y^(2) - d)²", "E = N cross_entropy(y^(2), d)"
)
COLUMNS = """
x: 3 x N;  d: 2 x N target
W⁽¹⁾: 4 x 3;  b⁽¹⁾: 4 x 1
W⁽²⁾: 2 x 4;  b⁽²⁾: 2 x 1
u⁽¹⁾ = W⁽¹⁾ x + b⁽¹⁾
y⁽¹⁾ = ReLU(u⁽¹⁾)
y⁽²⁾ = W⁽²⁾ y⁽¹⁾ + b⁽²⁾
E = 1/2 ‖y⁽²⁾ - d‖²
δ⁽²⁾ = y⁽²⁾ - d
δ⁽¹⁾ = W⁽²⁾ᵀ δ⁽²⁾ ⊙ relu'(u⁽¹⁾)
"""
SOFTMAX = """
X: C x 3 input;  T: C x 3
G: C x 3
Y = softmax(X)
M = 1/C ‖X - T‖²
L = cross_entropy(Y, T)
S = Σ G ⊙ Y
"""
TIED = """
X: N x 4
W: 4 x 2                        # one weight, used twice
H = σ(X W)
O = H W^T
E = mse(O, X)
Δ = 2/(4N) (O - X)
"""
SCALAR = """
X, T: N x M
w, b: 1 x 1
Y = w X + b
L = mse(Y, T)
"""

RIGHT = [
    (AFFINE, "L", "X", "G W^T"),
    (AFFINE, "L", "W", "X^T G"),
    (AFFINE, "L", "b", "1^T G"),
    (AFFINE, "L", "b", r"\sum_{rows} G"),
    *(
        (net, "E", name, formula)
        for net in (REGRESSION, CLASSIFICATION)
        for name, formula in [
            ("u^(2)", "δ^(2)"),
            ("y^(1)", "δ^(2) W^(2)^T"),
            ("u^(1)", "δ^(1)"),
            ("W^(2)", "y^(1)^T δ^(2)"),
            ("B^(2)", "1^T δ^(2)"),
            ("W^(1)", "X^T δ^(1)"),
            ("W^(1)", "X^T (δ^(2) W^(2)^T ⊙ y^(1) ⊙ (1 - y^(1)))"),
            ("B^(1)", "1^T δ^(1)"),
        ]
    ),
    (COLUMNS, "E", "W⁽²⁾", "δ⁽²⁾ y⁽¹⁾ᵀ"),
    (COLUMNS, "E", "b⁽²⁾", "Σ_columns δ⁽²⁾"),
    (COLUMNS, "E", "W⁽¹⁾", "δ⁽¹⁾ xᵀ"),
    (COLUMNS, "E", "b⁽¹⁾", "δ⁽¹⁾ 1_N"),
    (SOFTMAX, "M", "X", "2/C (X - T)"),
    (SOFTMAX, "L", "Y", "-1/C T ⊘ Y"),
    (SOFTMAX, "L", "X", "1/C (Y - T)"),
    (SOFTMAX, "S", "X", "Y ⊙ (G - Σ_columns G ⊙ Y)"),
    (TIED, "E", "W", "Δ^T H + X^T (Δ W ⊙ H ⊙ (1 - H))"),
    (SCALAR, "L", "w", "2/(N M) Σ (Y - T) ⊙ X"),
    (SCALAR, "L", "b", "2/(N M) Σ (Y - T)"),
]
WRONG = [
    (AFFINE, "L", "X", "G W^T / N"),
    (AFFINE, "L", "b", "mean(G, over=rows)"),
    (REGRESSION, "E", "u^(1)", "δ^(2) W^(2)^T ⊙ σ'(y^(1))"),
    (REGRESSION, "E", "u^(1)", "δ^(2) W^(2)^T"),
    (CLASSIFICATION, "E", "W^(2)", "y^(1)^T δ^(2) / N"),
    (COLUMNS, "E", "W⁽¹⁾", "W⁽²⁾ᵀ δ⁽²⁾ xᵀ"),
    (SOFTMAX, "L", "Y", "-1/C T ⊘ X"),
    (SOFTMAX, "L", "X", "Y - T"),
    (SOFTMAX, "S", "X", "Y ⊙ (1 - Y) ⊙ G"),
    (SOFTMAX, "S", "X", "Y ⊙ (G - Σ_columns (G ⊙ Y) - G ⊙ Y)"),
    (TIED, "E", "W", "Δ^T H"),
    (TIED, "E", "W", "2 Δ^T H"),
    (SCALAR, "L", "w", "2/N Σ (Y - T) ⊙ X"),
]


def compared(text: str, loss: str, by: str, formula: str) -> tuple[object, str]:
    board = kb.board(text)
    assert dict(kb.board(str(board))) == dict(board)
    found = compare(parse(formula, board), kb.grad(board[loss], board[by]))
    return bool(found), found.reason


@pytest.mark.parametrize(("text", "loss", "by", "formula"), RIGHT)
def test_the_notes_gradients(text: str, loss: str, by: str, formula: str) -> None:
    equal, reason = compared(text, loss, by, formula)
    assert equal, reason


@pytest.mark.parametrize(("text", "loss", "by", "formula"), WRONG)
def test_slips(text: str, loss: str, by: str, formula: str) -> None:
    equal, _ = compared(text, loss, by, formula)
    assert not equal


def test_gates() -> None:
    board = kb.board(
        """
        X: 4 x 2 input
        AND = step(X [[1], [1]] - 1.5)
        OR = step(X [[1], [1]] - 0.5)
        NAND = step(-1 * AND + 0.5)
        XOR = step(OR + NAND - 1.5)
        """
    )
    corners = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]
    tables = {"AND": [0, 0, 0, 1], "OR": [0, 1, 1, 1], "XOR": [0, 1, 1, 0]}
    for name, table in tables.items():
        assert kb.evaluate(board[name], {"X": corners})[:, 0].tolist() == table
