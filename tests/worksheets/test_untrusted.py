"""Whatever an answer file holds: a verdict, and no traceback."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.worksheets import Grader, answers, two_layer, worksheet

BOARD = kb.board(
    "X: N x 4; T: N x 3; W: 4 x 3; b: 1 x 3\n"
    "Y = softmax(X W + b); L = cross_entropy(Y, T)"
)
MADE = worksheet(BOARD, numbers=True, id="a")
SHEETS = {"a": MADE.sheet}
BLANKS = {b.kind: (MADE.sheet, b) for b in MADE.sheet.blanks}
DECK = two_layer.sheet("two-layer", id="deck").sheet
BLANKS["entries"] = DECK, next(b for b in DECK.blanks if b.name == "dE/dy1_j")

NASTY = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0]",
    "exec(open('/etc/passwd'))",
    "9^9^9^9",
    "9^999999999",
    "(X^T (Y - T))^(10^9)",
    "1e999",
    "1" * 900,
    "1/0",
    "0/0 W",
    "ln(-1) W",
    "exp(exp(exp(exp(99)))) W",
    "X^T Y + exp(9 W W^T W)",
    "1e38 X^T Y",
    "1e300 X^T Y",
    "dup(1, 99999×99999)",
    "sum(dup(1, 9999×9999) @ dup(1, 9999×9999)) W",
    "(" * 1000 + "X" + ")" * 1000,
    "(" * 150 + "X" + ")" * 150,
    "[" * 400,
    "-" * 900 + "W",
    "W" + "^T" * 400,
    "W" + "+W" * 450,
    "exp(" * 180 + "W" + ")" * 180,
    "Σ" * 300,
    "Σ_r " * 200,
    "Σ_a Σ_b Σ_c Σ_d Σ_e Σ_f w_ab^(2)",
    "\\frac{" * 200,
    "[[1, 2], [3]]",
    "\x00\x01\x02",
    "\ud7ff\ue000\U0010ffff",
    "\u202e W",
    "`" * 99,
    "W = W",
    "あ" * 300,
    "x" * 5000,
    "softmax",
    "T.T.T.T",
    "1_{N}",
    "|" * 99,
    "‖W‖" * 30,
]


@pytest.mark.parametrize("kind", sorted(BLANKS))
@pytest.mark.parametrize("answer", NASTY, ids=range(len(NASTY)))
def test_nasty_answers_get_a_verdict(kind, answer):
    sheet, blank = BLANKS[kind]
    found = Grader({sheet.id: sheet}).judge(sheet, blank, answer)
    assert found.outcome in ("wrong", "unreadable")
    assert found.points < 1
    assert found.lines


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(sorted(BLANKS)),
    answer=st.one_of(
        st.text(max_size=60),
        st.text("XTWYbN ^()+-*/Σ_rkj12[]{}.,|'\\=δw", max_size=40),
    ),
)
def test_any_text_gets_a_verdict(kind, answer):
    sheet, blank = BLANKS[kind]
    found = Grader({sheet.id: sheet}).judge(sheet, blank, answer)
    assert found.outcome in ("right", "wrong", "unreadable", "empty")


def load(tmp_path, content: bytes, name: str = "a.txt"):
    path = tmp_path / name
    path.write_bytes(content)
    return Grader(SHEETS).grade(answers.load(path, SHEETS))


FILES = {
    "ten megabytes": b"1 = W\n" * 1_700_000,
    "binary": bytes(range(256)) * 200,
    "one long line": b" " * 390_000 + b"=",
    "many continued lines": b"1 = W\n" + b" W\n" * 100_000,
    "many unknown blanks": b"999 = W\n" * 40_000,
    "no answer lines": b"hello\n" * 60_000,
    "empty": b"",
}
JSONS = {
    "nested": b"[" * 100_000,
    "nested objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "no object": b"[1, 2]",
    "answers are a list": b'{"answers": [1]}',
    "a number of a million digits": b'{"1": ' + b"9" * 390_000 + b"}",
    "not JSON": b"X^T",
    "answers that are no text": b'{"answers": {"dL/dW": {"a": 1}, "U": [1], "1": true}}',
}


@pytest.mark.parametrize("what", sorted(FILES))
def test_nasty_files(tmp_path, what):
    found = load(tmp_path, FILES[what])
    assert found.points == 0
    assert found.problems or what in ("empty", "many continued lines")


@pytest.mark.parametrize("what", sorted(JSONS))
def test_nasty_json(tmp_path, what):
    found = load(tmp_path, JSONS[what], "a.json")
    assert found.points == 0
    assert found.problems or "million" in what


def test_damaged_bytes(tmp_path):
    right = answers.form(MADE.sheet, filled=True).encode()
    rng = random.Random(0)
    for _ in range(60):
        data = bytearray(right)
        data[rng.randrange(len(data))] = rng.randrange(256)
        found = load(tmp_path, bytes(data))
        assert found.problems or len(found.verdicts) == len(MADE.sheet.blanks)


def test_two_answers_to_one_blank(tmp_path):
    found = load(tmp_path, b"dL/dU = (Y - T)/N\n2 dL/dU = Y\n")
    (verdict,) = [v for v in found.verdicts if v.blank.name == "dL/dU"]
    assert verdict.outcome == "unreadable"
    doubled = b'{"answers": {"dL/dU": "(Y - T)/N", "dL/dU": "Y"}}'
    found = load(tmp_path, doubled, "a.json")
    (verdict,) = [v for v in found.verdicts if v.blank.name == "dL/dU"]
    assert verdict.outcome == "unreadable"


def test_forms_as_text_and_json_say_the_same(tmp_path):
    text = load(tmp_path, answers.form(MADE.sheet, True).encode())
    as_json = load(tmp_path, answers.json_form(MADE.sheet, True).encode(), "a.json")
    assert text.points == as_json.points == len(MADE.sheet.blanks)


def test_answers_by_number_name_or_both(tmp_path):
    for line in ("2 = (Y-T)/N", "(2) = (Y-T)/N", "2. dL/dU = (Y-T)/N", "dL/dU=(Y-T)/N",
                 "dL/dU =\n  (Y - T)\n  / N"):  # fmt: skip
        assert load(tmp_path, line.encode()).points == 1, line
    assert load(tmp_path, b"3 dL/dU = (Y-T)/N").problems


def test_a_damaged_sheet_file():
    from kokuban.worksheets.sheet import from_json, to_json

    whole = to_json([MADE.sheet])
    made = json.loads(whole)
    made["sheets"][0]["blanks"][0]["kind"] = "code"
    for text in (whole[:-200], "[]", "{}", "[" * 50_000, json.dumps(made), "null"):
        with pytest.raises(kb.errors.FileFormatError):
            from_json(text)
