"""`kokuban explain`: derivations from model files and from Python files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.expr import symbols

NET = """
import kokuban as kb
X, T = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
W, b = kb.parameter("W", (2, 3)), kb.parameter("b", (1, 3))
net = X @ W + b
Y = kb.softmax(net)
E = kb.cross_entropy(Y, T)
"""


@pytest.fixture
def net() -> str:
    Path("net.py").write_text(NET, encoding="utf-8")
    return "net.py:E"


def test_a_model_file(run: Any, models: Path) -> None:
    done = run("explain", f"{models}/images.safetensors")
    assert done.code == 0, done.err
    loss = kb.load(f"{models}/images.safetensors").network.loss
    assert done.out == kb.derive(loss).text()
    assert "∂L/∂W₁ = Xᵀ Δ₁" in done.out


def test_of_several_networks_one_is_explained(run: Any, models: Path) -> None:
    path = f"{models}/houses.safetensors"
    done = run("explain", path, "--wrt", "W2")
    assert done.code == 0, done.err
    assert "one of 5 networks" in done.err
    loss = kb.load(path).network.loss  # of all of them: the sum
    first = next(s for s in symbols([loss], "parameter") if s.name == "W2")
    assert done.out.count("∂L/∂W₂ = ") == 1
    assert len(done.out) < len(kb.derive(loss, first).text())


def test_names_of_a_python_file(run: Any, net: str) -> None:
    done = run("explain", net, "--wrt", "W", "--lang", "ja")
    assert done.code == 0, done.err
    assert "Y = softmax(net)" in done.out
    assert "∂E/∂W = Xᵀ" in done.out
    assert "∂E/∂b" not in done.out


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("page.html", "<!DOCTYPE html>"),
        ("page.tex", r"\documentclass"),
        ("page.md", "# "),
        ("page.txt", "∂E/∂W"),
        ("page.py", '"""The gradient by W, b'),
    ],
)
def test_files(run: Any, net: str, name: str, begins: str) -> None:
    done = run("explain", net, "-o", name)
    assert done.code == 0, done.err
    assert Path(name).read_text(encoding="utf-8").startswith(begins)


def test_numbers(run: Any, net: str) -> None:
    at = {
        "X": [[1.0, 0], [2, 1]],
        "W": [[0.5, -0.5, 0], [0, 0.5, 0.5]],
        "b": [[0, 0, 0.5]],
        "T": [[1.0, 0, 0], [0, 0, 1]],
    }
    np.savez("values.npz", **{name: np.array(v) for name, v in at.items()})
    done = run(
        "explain", net, "--form", "numbers", "--at", "values.npz", "--entry", "1,3"
    )
    assert done.code == 0, done.err
    assert "1·0.2112 + 2·(-0.2751) = -0.3390" in done.out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("missing.py:L",), "no such file"),
        (("missing.safetensors",), "missing.safetensors"),
        (("net.py:F",), "has no expression 'F'"),
        (("broken.py:E",), "ZeroDivisionError"),
        (("net.py:E", "--wrt", "w"), "The loss has no 'w'"),
        (("net.py:E", "-o", "page.pdf"), ".html"),
        (("net.py:E", "--form", "numbers"), "needs values"),
        (("net.py:E", "--form", "numbers", "--at", "no.npz"), "no.npz"),
        (("net.py:E", "--form", "numbers", "--at", "net.py"), "no .npz file"),
    ],
    ids=" ".join,
)
def test_wrong_input(run: Any, net: str, words: tuple[str, ...], said: str) -> None:
    Path("broken.py").write_text("E = 1 / 0\n", encoding="utf-8")
    done = run("explain", *words)
    assert done.code == 1
    assert said in done.err
    assert "Traceback" not in done.err


def test_a_board(run: Any) -> None:
    text = (
        "X: N x 2\nT: N x 3\nW: 2 x 3\nM = X W\nY = softmax(M)\nE = cross_entropy(Y, T)\n"
    )
    Path("net.kb").write_text(text, encoding="utf-8")
    done = run("explain", "net.kb", "--wrt", "W")
    assert done.code == 0, done.err
    assert "M = X W" in done.out
    assert "∂E/∂W = Xᵀ" in done.out
    Path("net.kb").write_bytes(b"X: N x\xff 2")
    done = run("explain", "net.kb")
    assert done.code != 0
    assert "Traceback" not in done.err
