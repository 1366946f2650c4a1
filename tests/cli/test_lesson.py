"""`kokuban lesson`: the list, one lesson as text and as files, all of them."""

from pathlib import Path
from typing import Any

import pytest

from kokuban.cli import lesson as command
from kokuban.lessons import NAMES, contents

HEAD = """\
Losses
Note 002, 3.1

A loss is one number that says how far the output Y lies from the target T. Its gradient
by Y is where backpropagation begins.

Mean squared error
──────────────────

For outputs that are quantities: the squared differences, averaged.

  │ Y: 1 x C parameter
  │ T: 1 x C target
  │ L = mse(Y, T)

  ∂L/∂Y   for   L = mse(Y, T)
"""
HEAD_JA = """\
損失関数
ノート 002, 3.1

損失は、出力 Y が教師データ T からどれだけ離れているかを表す一つの数である。Y による損失
の勾配が、逆伝播の出発点になる。

平均二乗誤差
────────────

出力が連続的な量であるときに用いる。差の二乗の平均である。
"""


def test_the_list(run: Any) -> None:
    done = run("lesson")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines] == list(NAMES)
    assert "losses" in done.out
    assert "損失関数" in run("lesson", "--lang", "ja").out


@pytest.mark.parametrize(("lang", "head"), [("en", HEAD), ("ja", HEAD_JA)])
def test_one_in_the_terminal(run: Any, lang: str, head: str) -> None:
    done = run("lesson", "losses", "--lang", lang)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(head)


@pytest.mark.parametrize(
    ("name", "begins", "beside"),
    [
        ("page.html", "<!DOCTYPE html>", []),
        ("page.md", "# Losses\n", ["page-curves.svg"]),
        ("page.txt", "Losses\n", []),
    ],
)
def test_files(run: Any, name: str, begins: str, beside: list[str]) -> None:
    before = set(Path().iterdir())
    done = run("lesson", "losses", "-o", name)
    assert done.code == 0, done.err
    assert Path(name).read_text(encoding="utf-8").startswith(begins)
    assert {p.name for p in set(Path().iterdir()) - before} == {name, *beside}


def test_all(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "NAMES", ("losses",))
    monkeypatch.setattr(contents, "NAMES", ("losses",))
    done = run("lesson", "--all", "-o", "some/folder")
    assert done.code == 0, done.err
    assert sorted(p.name for p in Path("some/folder").iterdir()) == [
        "README.ja.md",
        "README.md",
        "losses-curves.svg",
        "losses.ja-curves.svg",
        "losses.ja.md",
        "losses.md",
    ]
    assert "(losses.ja.md)" in Path("some/folder/README.ja.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["loses"], "Unknown lesson 'loses'. Did you mean 'losses'?"),
        (["losses", "-o", "page.pdf"], "its name ends in one of .html, .md, .txt"),
        (["losses", "-o", "none/page.html"], "Cannot write 'none/page.html'"),
        (["-o", "page.html"], "name it, or say --all"),
        (["--all"], "--all -o FOLDER"),
        (["losses", "--all", "-o", "folder"], "--all -o FOLDER"),
        (["--all", "-o", "taken"], "Cannot write 'taken'"),
    ],
)
def test_wrong_use(run: Any, words: list[str], says: str) -> None:
    Path("taken").touch()
    done = run("lesson", *words)
    assert done.code == 1
    assert says in done.err
    assert not done.out
