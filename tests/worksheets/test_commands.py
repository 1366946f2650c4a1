"""`kokuban worksheet` and `kokuban grade`, from a board to the class's table."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from kokuban.cli import main
from kokuban.cli.grade import safe
from kokuban.lessons import NAMES

NET = """
X: N x 4; T: N x 3; W_1: 4 x 5; b_1: 1 x 5; W_2: 5 x 3; b_2: 1 x 3
H = relu(X W_1 + b_1)
Y = softmax(H W_2 + b_2)
L = cross_entropy(Y, T)
"""


@pytest.fixture
def class_(tmp_path, monkeypatch) -> Path:
    """A folder with worksheets for three."""
    monkeypatch.chdir(tmp_path)
    Path("net.kb").write_text(NET)
    words = "worksheet net.kb --variants 3 --seed 7 -o class --key"
    assert main(words.split()) == 0
    return tmp_path / "class"


def rows(path: str) -> list[dict[str, str]]:
    with open(path, encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_from_a_board_to_the_table_of_a_class(class_, capsys):
    names = {p.relative_to(class_).as_posix() for p in class_.rglob("*") if p.is_file()}
    assert names == {
        "sheet.html", "sheet.tex",
        *(f"net-7-{k}.{end}" for k in (1, 2, 3) for end in ("txt", "json")),
        "teacher/sheets.json", "teacher/key.html", "teacher/key.tex",
        *(f"teacher/net-7-{k}.txt" for k in (1, 2, 3)),
    }  # fmt: skip
    returned = Path("returned")
    returned.mkdir()
    key = (class_ / "teacher/net-7-1.txt").read_text("utf-8")
    named = key.replace("name = ", 'name = =HYPERLINK("x")')
    (returned / "a.txt").write_text(named, "utf-8")
    (returned / "b.txt").write_bytes((class_ / "net-7-2.txt").read_bytes())
    (returned / "c.json").write_text('{"sheet": "net-7-3", "answers": {"dL/dW_1": "X"}}')
    (returned / "+d.txt").write_bytes(b"\xff\xfe")
    (returned / "notes.pdf").write_bytes(b"%PDF")
    capsys.readouterr()
    words = ["grade", "class/teacher/sheets.json", "returned", "-o", "class.csv"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "4 answer files" in out
    found = {row["file"].lstrip("'+"): row for row in rows("class.csv")}
    assert set(found) == {"a.txt", "b.txt", "c.json", "d.txt"}
    assert found["a.txt"]["points"] == found["a.txt"]["of"] == found["a.txt"]["right"]
    assert found["a.txt"]["name"] == '\'=HYPERLINK("x")'
    assert found["b.txt"]["points"] == "0"
    assert found["c.json"]["wrong"] == "1"
    assert "UTF-8" in found["d.txt"]["problems"]
    assert found["d.txt"]["file"] == "'+d.txt"


def test_one_answer_in_japanese(class_, capsys):
    Path("a.txt").write_text("sheet = net-7-2\n1 = (((\n2 = 3\n", "utf-8")
    assert main(["grade", "class/teacher/sheets.json", "a.txt", "--lang", "ja"]) == 0
    out = capsys.readouterr().out
    assert "読み取れない" in out
    assert "^" in out
    assert "無解答" in out


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_and_its_key_graded(tmp_path, monkeypatch, capsys, name):
    """A sheet for each board that has gradients; the key gets all the points."""
    monkeypatch.chdir(tmp_path)
    assert main(["worksheet", name, "-o", "class", "--key"]) == 0
    forms = sorted(Path("class/teacher").glob("*.txt"))
    assert forms
    capsys.readouterr()
    for form in forms[:3]:
        assert main(["grade", "class/teacher/sheets.json", str(form)]) == 0
        assert "0 wrong, 0 not readable, 0 empty" in capsys.readouterr().out


def test_one_board_of_a_lesson(capsys):
    assert main(["worksheet", "two-layer/regression-relu", "--level", "3"]) == 0
    assert "y₁ = (2)" in capsys.readouterr().out
    assert main(["worksheet", "softmax/shift"]) == 1
    assert "no loss" in capsys.readouterr().err
    assert main(["worksheet", "softmax/on"]) == 1
    assert "Unknown board of softmax 'on'" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["html", "tex", "txt", "json"])
@pytest.mark.parametrize("lang", ["en", "ja"])
def test_one_file(tmp_path, monkeypatch, end, lang):
    monkeypatch.chdir(tmp_path)
    Path("net.kb").write_text(NET)
    words = ["worksheet", "net.kb", "--lang", lang, "--layout", "columns", "--level", "3"]
    assert main([*words, "-o", f"sheet.{end}"]) == 0
    assert main([*words, "-o", f"key.{end}", "--key"]) == 0
    sheet, key = (Path(f"{n}.{end}").read_text("utf-8") for n in ("sheet", "key"))
    assert (sheet == key) is (end == "json")


def test_the_named_worksheet_is_printed(capsys):
    assert main(["worksheet", "two-layer", "--lang", "ja"]) == 0
    out = capsys.readouterr().out
    assert "STEP 1.5" in out
    assert "二層ニューラルネットワーク" in out


WRONG = [
    (["worksheet", "three-layer"], "two-layer"),
    (["worksheet", "none.kb"], "none.kb"),
    (["worksheet", "net.kb", "--blank", "dL/dW_9"], "dL/dW_1"),
    (["worksheet", "net.kb", "--wrt", "V"], "V"),
    (["worksheet", "net.kb", "-o", "sheet.docx"], ".html"),
    (["worksheet", "net.kb", "--variants", "0"], "200"),
    (["worksheet", "net.kb", "-o", "net.kb/x/y"], "net.kb"),
    (["grade", "none.json", "a.txt"], "none.json"),
    (["grade", "net.kb", "a.txt"], "worksheet"),
    (["grade", "sheet.json", "none.txt"], "none.txt"),
    (["grade", "sheet.json", "empty"], "answer file"),
    (["grade", "sheet.json", "a.txt", "-o", "a.txt"], "a.txt"),
]


@pytest.mark.parametrize(("words", "said"), WRONG, ids=range(len(WRONG)))
def test_wrong_input_is_said_in_a_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    Path("net.kb").write_text(NET)
    Path("a.txt").write_text("1 = W\n")
    Path("empty").mkdir()
    assert main(["worksheet", "net.kb", "-o", "sheet.json"]) == 0
    capsys.readouterr()
    assert main(words) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t=", "\r+", "  @", "\x00="])
def test_a_cell_that_would_calculate_is_text(start):
    assert safe(f"{start}1+1")[0] == "'"
    assert safe("Yamada") == "Yamada"
