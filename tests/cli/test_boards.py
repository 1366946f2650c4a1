"""Boards, `.kb` files, on the command line: checked, with claims, and trained."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kokuban as kb

NET = """\
X: N x 2
T: N x 3
W: 2 x 3
b: 1 x 3
Y = softmax(X W + b)
L = cross_entropy(Y, T)
"""
VALUES = {
    "X": [[1, 0], [2, 1]],
    "T": [[1, 0, 0], [0, 0, 1]],
    "W": [[0.5, -0.5, 0], [0, 0.5, 0.5]],
    "b": [[0, 0, 0.5]],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A board and values for it."""
    (tmp_path / "net.kb").write_text(NET, encoding="utf-8")
    np.savez(tmp_path / "values.npz", **{k: np.array(v) for k, v in VALUES.items()})
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_board_is_checked_at_random_and_at_given_values(run: Any) -> None:
    done = run("check", "net.kb")
    assert done.code == 0, done.err
    assert "net.kb: the gradient of L at random values, 20 rows (seed 0)" in done.out
    assert done.out.count("✓") == 2
    done = run("check", "net.kb", "--at", "values.npz")
    assert done.code == 0, done.err
    assert "net.kb: the gradient of L at values.npz" in done.out


CLAIMS = {
    "W = X^T (Y - T) / N": "",
    "W = X^T D": "",
    "W = X^T (Y - T)": "yours is N (= 2) times the gradient in every entry.",
    "W = D^T X": "it is the transpose of the gradient",
    "b = 1^T D": "",
    "b = D": "yours has the shape N×3, but b is 1×3",
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("claim", CLAIMS)
def test_claims(run: Any, claim: str) -> None:
    at = ("--at", "values.npz", "--let", "Q = Y - T", "--let", "D = Q / N")
    done = run("check", "net.kb", *at, "--claim", claim)
    assert done.code == (1 if CLAIMS[claim] else 0), done.err
    assert CLAIMS[claim] in done.out
    assert done.out.count("yours") >= 1


@pytest.mark.usefixtures("folder")
def test_another_formula_can_be_the_loss(run: Any) -> None:
    text = f"{NET}E = mse(Y, T)\nQ = 2 E\nZ = Q X\n"
    Path("net.kb").write_text(text, encoding="utf-8")
    assert "the gradient of Q at" in run("check", "net.kb").out
    assert "the gradient of E at" in run("check", "net.kb", "--loss", "E").out


WRONG = {
    ("none.kb",): "Cannot read 'none.kb': No such file",
    ("net.kb", "x.csv"): "given with --at",
    ("net.kb", "--loss", "M"): "Unknown name 'M'",
    ("net.kb", "--loss", "Y"): "not a single number",
    ("net.kb", "--claim", "W = X^T (Z - T)"): (
        "column 10: There is no 'Z' here. Known: X, T, W, b, Y, L, N.\n"
        "    W = X^T (Z - T)\n"
        "             ^"
    ),
    ("net.kb", "--claim", "X^T (Y - T)"): "does not fit here: '=' is missing",
    ("net.kb", "--claim", "V = X"): "Unknown name 'V'",
    ("net.kb", "--claim", "Y = X"): "'Y' is no symbol of the board",
    ("net.kb", "--claim", "N = X"): "'N' is no symbol of the board",
    ("net.kb", "--at", "none.npz"): "Cannot read 'none.npz'",
    ("net.kb", "--at", "net.kb"): "no .npz file of named arrays",
    ("net.kb", "--at", "one.npy"): "no .npz file of named arrays",
    ("net.kb", "--at", "cut.npz"): "no .npz file of named arrays",
    ("net.kb", "--at", "objects.npz"): "no .npz file of named arrays",
    ("net.kb", "--at", "other.npz"): "Unknown name 'U'",
    ("net.kb", "--at", "formula.npz"): "'Y' is no symbol of the board",
    ("net.kb", "--at", "few.npz"): "No value is given for",
    ("net.kb", "--at", "shape.npz"): "X is N×2; its value is 3×3",
    ("bad.kb",): "bad.kb, line 2, column 7: There is no 'Z' here.",
    ("latin.kb",): "'latin.kb' is not UTF-8 text: byte 2, in line 1",
    ("nul.kb",): "nul.kb, line 1, column 2: The character U+0000",
    ("long.kb",): "a board has 50,000 characters at most",
    ("empty.kb",): "no loss",
    ("folder.kb",): "Cannot read 'folder.kb'",
}


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_wrong_input_is_said_with_its_place(
    run: Any, folder: Path, words: tuple[str, ...]
) -> None:
    eye = np.eye(3)
    np.save(folder / "one.npy", eye)
    np.savez(folder / "objects.npz", X=np.array([None]))
    np.savez(folder / "other.npz", U=eye)
    np.savez(folder / "formula.npz", Y=eye)
    np.savez(folder / "few.npz", X=eye[:, :2])
    np.savez(folder / "shape.npz", X=eye)
    (folder / "cut.npz").write_bytes((folder / "values.npz").read_bytes()[:-90])
    (folder / "bad.kb").write_text("X: N x 4\nY = X Z\n", encoding="utf-8")
    (folder / "latin.kb").write_bytes(b"X\xe9: N x 4\n")
    (folder / "nul.kb").write_bytes(b"X\0: N x 4\n")
    (folder / "long.kb").write_bytes(b"(" * 10_000_000)
    (folder / "empty.kb").write_bytes(b"")
    (folder / "folder.kb").mkdir()
    done = run("check", *words)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("kokuban: error: ")
    assert WRONG[words] in done.err


def test_options_of_boards_are_for_boards(run: Any, models: Path) -> None:
    done = run("check", f"{models}/houses.safetensors", "--claim", "W = X")
    assert done.code == 1
    assert "--claim, --let and --loss are for boards" in done.err


# ---------------------------------------------------------------- training

HOUSES = """\
X: N x 2
T: N x 1
W: 2 x 8;  b: 1 x 8
V: 8 x 1;  c: 1 x 1
Y = tanh(X W + b) V + c
E = mse(Y, T)
"""
QUICK = ("--target", "price", "--rate", "0.01")


@pytest.fixture
def houses(write: Any, tmp_path: Path) -> Path:
    """A table and a board for it."""
    write.houses(tmp_path / "houses.csv")
    (tmp_path / "houses.kb").write_text(HOUSES, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("houses")
def test_a_board_is_trained_and_used(run: Any) -> None:
    done = run("train", "houses.kb", "houses.csv", *QUICK, "--report", "page.html")
    assert done.code == 0, done.err
    assert "2-8-1, 33 parameters" in done.out
    assert "tanh(X @ W + dup(b, N×8)) @ V + c" in done.out
    assert float(done.out.split("R² ")[1].split(",")[0]) > 0.9
    page = Path("page.html").read_text(encoding="utf-8")
    assert "houses.kb" in page
    assert "mse(tanh(" in page
    model = kb.load("houses.safetensors")
    assert set(model.values) == {s for s in kb.board(HOUSES).symbols if s.name in "WbVc"}
    assert run("predict", "houses.safetensors", "houses.csv", "-o", "out.csv").code == 0
    assert run("check", "houses.safetensors", "houses.csv").code == 0


def test_a_board_of_classes_is_trained(run: Any, tmp_path: Path) -> None:
    (tmp_path / "digits.kb").write_text(
        "X: N x 64\nT: N x 10\nW: 64 x 10\nb: 1 x 10\n"
        "U = X W + b\nL = softmax_cross_entropy(U, T)\n",
        encoding="utf-8",
    )
    done = run("train", "digits.kb", "digits", "--epochs", "10", "--rate", "0.02")
    assert done.code == 0, done.err
    assert float(done.out.split("accuracy ")[1].split()[0]) > 0.9


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("W: 2 x 8", "W: 3 x 8", "W is 3×8 (line 3)"),
        ("X: N x 2\nT", "X: N x 3\nT", "X is N×3 (line 1)"),
        ("X: N x 2\nT: N x 1\nW: 2", "X: N x 3\nT: N x 1\nW: 3", "write X: N x 2."),
        ("T: N x 1", "T: N x 1 input", "one input is needed, and there are 2 (X, T)"),
        ("mse(Y, T)", "1/N Σ (Y - T)^2", "does not show what is predicted"),
        ("mse(Y, T)", "cross_entropy(Y, T)", "has a quantity; its loss is mse(Y, T)"),
        ("mse(Y, T)", "Σ Y", "one target is needed, and there are 0 (none)"),
        ("E = mse(Y, T)", "", "no loss"),
    ],
)
def test_a_board_that_does_not_fit_is_refused(
    run: Any, houses: Path, old: str, new: str, message: str
) -> None:
    assert old in HOUSES
    (houses / "houses.kb").write_text(HOUSES.replace(old, new), encoding="utf-8")
    done = run("train", "houses.kb", "houses.csv", *QUICK)
    assert done.code == 1
    assert message in done.err
    assert not (houses / "houses.safetensors").exists()


@pytest.mark.usefixtures("houses")
def test_a_board_says_what_the_layers_are(run: Any) -> None:
    done = run("train", "houses.kb", "houses.csv", *QUICK, "--hidden", "3")
    assert done.code == 1
    assert "A board says what the network is" in done.err
    done = run("train", "houses.kb", "houses.csv", *QUICK, "-o", "houses.kb")
    assert done.code == 1
    assert "would be written over" in done.err
    done = run("train", "houses.kb")
    assert done.code == 2
    assert "the data to learn from are missing" in done.err
