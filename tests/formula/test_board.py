"""Boards: shapes, roles and formulas, as text and from files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from graphs import A, Instruction, algebra, algebraic, starts, steady
from hypothesis import given, strategies as st

import kokuban as kb
from kokuban.errors import FileFormatError, FormulaError, StorageError
from kokuban.expr import order, size, symbols
from kokuban.formula import Board

NET = """\
# the two-layer net
X: N x 4
T: N x 3
W_1: 4 x 5;  b_1: 1 x 5
W_2 ∈ R^{5 × 3}
b_2 \\in \\mathbb{R}^{1 \\times 3}   # LaTeX

H = relu(X W₁ + b₁)
U = H W_{2}
    + b_2               # goes on from the line above
Y = softmax(U)
L = cross_entropy(Y, T)
"""


def net() -> dict[str, object]:
    """The same in Python."""
    x, t = kb.input("X", ("N", 4)), kb.target("T", ("N", 3))
    w1, b1 = kb.parameter("W_1", (4, 5)), kb.parameter("b_1", (1, 5))
    w2, b2 = kb.parameter("W_2", (5, 3)), kb.parameter("b_2", (1, 3))
    h = kb.relu(x @ w1 + b1)
    u = h @ w2 + b2
    y = kb.softmax(u)
    own = {"X": x, "T": t, "W_1": w1, "b_1": b1, "W_2": w2, "b_2": b2}
    return own | {"H": h, "U": u, "Y": y, "L": kb.cross_entropy(y, t)}


def test_a_board_holds_the_expressions() -> None:
    board, expected = kb.board(NET), net()
    assert dict(board) == expected
    assert list(board) == list(expected)
    assert board.L is expected["L"]
    assert board["W₁"] is board["W_{1}"] is board.W_1 is expected["W_1"]
    assert [s.name for s in board.symbols] == ["X", "T", "W_1", "b_1", "W_2", "b_2"]
    assert list(board.definitions) == ["H", "U", "Y", "L"]
    assert board.loss is board.L
    assert board["N"] is size("N")
    assert len(board) == 10
    assert {"L", "W_1", "symbols"} <= set(dir(board))


def test_a_board_prints_as_it_is_read() -> None:
    board = kb.board(NET)
    assert str(board) == (
        "X: N×4 input\n"
        "T: N×3 target\n"
        "W_1: 4×5 parameter\n"
        "b_1: 1×5 parameter\n"
        "W_2: 5×3 parameter\n"
        "b_2: 1×3 parameter\n"
        "H = relu(X @ W_1 + dup(b_1, N×5))\n"
        "U = H @ W_2 + dup(b_2, N×3)\n"
        "Y = softmax(U)\n"
        "L = cross_entropy(Y, T)"
    )
    again = kb.board(str(board))
    assert dict(again) == dict(board)
    assert again.symbols == board.symbols
    assert repr(again) == repr(board)


def test_blank_lines_comments_and_indents_mean_nothing() -> None:
    text = (
        "\n  # one\n\n \t # two\n" + NET.replace("\n", "  \n\n   # …\n  ") + "  ;; \n ;"
    )
    assert dict(kb.board(text)) == net()


def test_what_is_not_there() -> None:
    board = kb.board(NET)
    with pytest.raises(AttributeError, match=r"'Loss' is not on the board"):
        board.Loss  # noqa: B018 - reading it is the test
    with pytest.raises(KeyError, match=r"'W_3' is not on the board. Did you mean 'W_"):
        board["W_3"]
    assert "W_3" not in board
    assert "" not in board
    assert not hasattr(board, "__array__")
    empty = kb.board("# nothing yet\n\n")
    assert (dict(empty), str(empty)) == ({}, "")
    with pytest.raises(FormulaError, match="no loss"):
        empty.loss  # noqa: B018
    with pytest.raises(FormulaError, match="no loss"):
        kb.board("X: N x 4\nY = X").loss  # noqa: B018


def test_a_board_is_checked_and_trained() -> None:
    board = kb.board(NET)
    rng = np.random.default_rng(0)
    shapes = {s: [6 if d == "N" else d for d in s.shape] for s in board.symbols}
    at = {s: rng.normal(size=shape) for s, shape in shapes.items()}
    at[board.T] = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    claims = {"W_2": "H^T (Y - T) / N", board.b_2: "1^T Δ"}
    report = kb.check(board.L, at, claims=claims, let={**board, "Δ": "(Y - T) / N"})
    assert report.ok, str(report)
    model = kb.Model(loss=board.L)
    history = model.fit(at[board.X], np.arange(6) % 3, epochs=3, seed=0)
    assert len(history) == 3
    assert model.predict(at[board.X]).shape == (6, 3)


# ---------------------------------------------------------------- roles


@pytest.mark.parametrize(
    ("text", "roles"),
    [
        ("X: N x 4", {"X": "input"}),
        ("W: 4 x 3", {"W": "parameter"}),
        ("W: 4 x N", {"W": "input"}),
        ("T, t: N x 4", {"T": "target", "t": "target"}),
        ("T_1, T^(2): N x 4", {"T_1": "target", "T^(2)": "target"}),
        ("Temp: N x 4\nT: 4 x 4", {"Temp": "input", "T": "parameter"}),
        ("X, D: N x 4\nE = mse(X, D)", {"X": "input", "D": "target"}),
        ("X, D: N x 4\nE = -MSE(X, t=D)", {"D": "target"}),
        ("X, D: N x 4\nE = mse(X, 2 D)", {"D": "input"}),
        ("X: N x 4\nW: 4 x 2\nE = mse(X W W^T, X)", {"X": "input"}),
        ("X, D: N x 4\nE = mse(X, label_smoothing(D))", {"D": "target"}),
        ("X, D: N x 4\nE = mse(X, D) + Σ D", {"D": "input"}),
        ("X, D: N x 4\nE = 1/2 Σ (X - D)^2", {"D": "input"}),
        ("X: N x 4 target\nT: N x 4 input", {"X": "target", "T": "input"}),
        ("X, Y: 5 x 4 input\nm: 1 x 4 state", {"X": "input", "Y": "input", "m": "state"}),
        ("η: 1 x 1 setting\nd: 1 x 2 counter", {"η": "setting", "d": "counter"}),
    ],
)
def test_roles(text: str, roles: dict[str, str]) -> None:
    board = kb.board(text)
    found = {s.name: s.role for s in board.symbols}
    assert {name: found[name] for name in roles} == roles
    assert {s.name: s.role for s in kb.board(str(board)).symbols} == found


def test_shape_lines_may_stand_anywhere_and_say_a_formulas_shape() -> None:
    board = kb.board("Y: N x 3\nY = X W\nX: N × 4\nW: 4×3")
    assert board.Y is board.X @ board.W
    assert [s.name for s in board.symbols] == ["X", "W"]


# ---------------------------------------------------------------- both ways


def test_names_and_constants_of_any_kind_come_back() -> None:
    text = (
        "W₁, W^{(2)}, \\Delta_{ij}, 重み, `a name`: 3 x 3\n"
        "one = 1\nZ = W₁\nM = [[1, -0.5], [0, 1e-9]]\n"
        "`next to` = one Z W⁽²⁾ Δ_ij 重み `a name`\n"
        "S = sum(`next to`)\nQ = S * W₁ + S"
    )
    board = kb.board(text)
    again = kb.board(str(board))
    assert dict(again) == dict(board)
    assert list(board.definitions) == ["one", "Z", "M", "next to", "S", "Q"]
    assert "Q = S * W₁ + S" in str(board)


@steady
@given(st.lists(algebra, min_size=1, max_size=10), starts)
def test_random_boards_come_back(program: list[Instruction], start: list[int]) -> None:
    last = algebraic(program, start)
    inner = [n for n in order([last]) if n.op is not None][-6:]
    known = tuple(symbols([last, A]))  # A, so that N is known
    board = Board(known, {f"Z_{k}": n for k, n in enumerate([*inner, last])})
    again = kb.board(str(board))
    assert all(again[name] is board[name] for name in board)
    assert again.symbols == board.symbols


# ---------------------------------------------------------------- files


def test_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "net.kb"
    for data in (NET, "\ufeff" + NET, NET.replace("\n", "\r\n"), NET.replace("\n", "\r")):
        path.write_bytes(data.encode())
        assert kb.board(path).L is net()["L"]


def test_text_is_never_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.kb").write_text(NET, encoding="utf-8")
    with pytest.raises(FormulaError, match=r"kokuban.board\(Path\('net.kb'\)\)"):
        kb.board("net.kb")


def test_errors_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "net.kb"
    path.write_text("X: N x 4\nY = X Z\n", encoding="utf-8")
    with pytest.raises(
        FormulaError, match=r"^net\.kb, line 2, column 7: There is no 'Z'"
    ):
        kb.board(path)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        kb.board(tmp_path / "none.kb")
    with pytest.raises(StorageError, match="directory"):
        kb.board(tmp_path)
    path = tmp_path / "net.kb"
    path.write_bytes(b"X: N x 4\n\xff\xfe")
    with pytest.raises(
        FileFormatError, match=r"not UTF-8 text: byte 10, in line 2, is 0xff"
    ):
        kb.board(path)
    path.write_bytes(b"X" * 10_000_000)
    with pytest.raises(FormulaError, match=r"50,000 characters at most"):
        kb.board(path)


def test_no_damaged_byte_gets_through(tmp_path: Path) -> None:
    """Any byte of a file changed: a board all the same, or a typed error."""
    path, good = tmp_path / "net.kb", bytearray(NET.encode())
    rng = np.random.default_rng(0)
    outcomes = {"board": 0, "error": 0}
    for place in range(len(good)):
        for new in (0, good[place] ^ 1, rng.integers(256)):
            damaged = bytearray(good)
            damaged[place] = new
            path.write_bytes(damaged)
            try:
                outcomes["board"] += kb.board(path) is not None
            except (FormulaError, FileFormatError):
                outcomes["error"] += 1
    assert min(outcomes.values()) > 100


def test_importing_kokuban_does_not_load_lark() -> None:
    code = (
        "import sys, kokuban, kokuban.train; assert 'lark' not in sys.modules\n"
        "kokuban.board('X: N x 4'); assert 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
