"""A key gets full marks, a blank form none, and each answer is what it should be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from nets import NETS

import kokuban as kb
from kokuban.formula import compare
from kokuban.worksheets import Grader, Worksheet, answers, two_layer, worksheet
from kokuban.worksheets.desk import Desk
from kokuban.worksheets.grading import ONE_SLIP
from kokuban.worksheets.sheet import from_json, to_json
from kokuban.worksheets.variants import variants

BOARD = kb.board("""
    X: N x 4; T: N x 3; W_1: 4 x 5; b_1: 1 x 5; W_2: 5 x 3; b_2: 1 x 3
    H = relu(X W_1 + b_1)
    Y = softmax(H W_2 + b_2)
    L = cross_entropy(Y, T)
""")
DECK = two_layer.sheet("two-layer")


def graded(made: Worksheet, text: str):
    sheets = from_json(to_json([made.sheet]))
    return Grader(sheets, made.sheet.lang).grade(answers.read(text, sheets))


def verdict(made: Worksheet, name: str, answer: str, lang: str = "en"):
    (blank,) = [b for b in made.sheet.blanks if b.name == name]
    sheets = {made.sheet.id: made.sheet}
    return Grader(sheets, lang).judge(made.sheet, blank, answer)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    net=st.sampled_from(sorted(NETS)),
    level=st.sampled_from([1, 2, 3]),
    layout=st.sampled_from(["rows", "columns"]),
    lang=st.sampled_from(["en", "ja"]),
    seed=st.integers(0, 10**6),
    numbers=st.booleans(),
)
def test_the_key_is_right_and_the_blank_form_is_empty(
    net, level, layout, lang, seed, numbers
):
    made = worksheet(
        NETS[net].loss,
        level=level,
        layout=layout,
        lang=lang,
        seed=seed,
        numbers=numbers,
    )
    key = graded(made, answers.form(made.sheet, filled=True))
    assert [v.lines for v in key.verdicts if v.outcome != "right"] == []
    assert key.points == len(made.sheet.blanks) > 0
    blank = graded(made, answers.form(made.sheet))
    assert blank.points == 0
    assert {v.outcome for v in blank.verdicts} == {"empty"}


@pytest.mark.parametrize("net", sorted(NETS))
@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_an_answer_is_the_gradient_itself(net, layout):
    """Against `grad`, which knows of no sheet: what the key says by a parameter."""
    loss = NETS[net].loss
    made = worksheet(loss, layout=layout)
    desk = Desk(made.sheet.boards[0], layout == "columns")
    by = [b for b in made.sheet.blanks if b.by]
    assert by
    for blank in by:
        found = desk.marked(desk.read(blank.answer, desk.board))
        (symbol,) = [s for s in desk.board.symbols if s.name == blank.by]
        assert compare(found, kb.grad(loss, symbol))


def test_a_seed_makes_one_sheet():
    one, same, other = (worksheet(BOARD, level=1, seed=s) for s in (3, 3, 4))
    assert one == same
    assert one.sheet.blanks != other.sheet.blanks


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_the_two_layer_worksheet(lang):
    made = two_layer.sheet("two-layer", lang=lang, seed=1)
    key = graded(made, answers.form(made.sheet, filled=True))
    assert [(v.blank.name, v.lines) for v in key.verdicts if v.outcome != "right"] == []
    assert graded(made, answers.form(made.sheet)).points == 0


@pytest.mark.parametrize(
    ("name", "answer"),
    [  # written by hand from the note
        ("u1_j", "Σ_i w_ji^(1) x_i + b_j^(1)"),
        ("u2_k", r"b_k^{(2)} + \sum_{j=1}^{m} w_{kj}^{(2)} y_j^{(1)}"),
        ("y1_j.sigmoid", "1/(1 + e^(-u_j^(1)))"),
        ("y1_j.relu.on", "u_j^(1)"),
        ("y2_k.classification", r"\frac{e^{u_k^{(2)}}}{\sum_r e^{u_r^{(2)}}}"),
        ("E.regression", "1/2 Σ_r (y_r^(2) - d_r)^2"),
        ("E.classification", "-Σ_r d_r ln y_r^(2)"),
        ("cost.forward", "l m + m n"),
        ("dE/dw2", "δ_k^(2) y_j^(1)"),
        ("dE/db2", "δ_k^(2)"),
        ("dE/dy1_j", "Σ_r δ_r^(2) w_rj^(2)"),
        ("dE/dw1", "δ_j^(1) x_i"),
        ("dE/dW2", "δ^(2) y^(1)^T"),
        ("dE/dW1", "δ^(1) x^T"),
        ("classification.dE/dy2_k", "-d_k / y_k^(2)"),
        ("classification.dy2_k/du2_k", "y_k^(2) (1 - y_k^(2))"),
        ("classification.dy2_r/du2_k", "-y_r^(2) y_k^(2)"),
        ("classification.rest", "Σ_{r≠k} d_r y_k^(2)"),
        ("classification.delta2_k", "y_k^(2) - d_k"),
        ("regression.delta2_k", "y_k^(2) - d_k"),
        ("sigmoid.delta1_j", "(Σ_k δ_k^(2) w_kj^(2)) y_j^(1) (1 - y_j^(1))"),
        ("relu.delta1_j.on", "Σ_k δ_k^(2) w_kj^(2)"),
        ("relu.delta1_j.off", "0"),
        ("sigmoid.dE/dw2_12", "(y_1^(2) - d_1) y_2^(1)"),
        (
            "sigmoid.dE/dw1_21",
            "(Σ_r (y_r^(2) - d_r) w_r2^(2)) y_2^(1) (1 - y_2^(1)) x_1",
        ),
    ],
)
def test_the_notes_formulas_are_right(name, answer):
    assert verdict(DECK, name, answer).outcome == "right"


@pytest.mark.parametrize(
    ("name", "answer", "mistake"),
    [
        ("dL/dU2", "Y - T", "batch-mean"),
        ("dL/dU2", "(T - Y)/N", "sign"),
        ("dL/dW_2", "Δ2^T H", "transposed"),
    ],
)
def test_a_wrong_answer_gets_its_mistake(name, answer, mistake):
    found = verdict(worksheet(BOARD), name, answer)
    assert (found.outcome, found.mistakes) == ("wrong", (mistake,))
    assert found.points == ONE_SLIP
    japanese = verdict(worksheet(BOARD), name, answer, "ja")
    assert japanese.mistakes == found.mistakes
    assert japanese.lines != found.lines


@pytest.mark.parametrize(
    ("answer", "outcome", "mistakes"),
    [
        ("-Σ_r δ_r^(2) w_rj^(2)", "wrong", ("sign",)),
        ("2 Σ_r δ_r^(2) w_rj^(2)", "wrong", ("factor",)),
        ("Σ_r δ_r^(2) w_jr^(2)", "unreadable", ()),
        ("Σ_r w_rj^(2)", "wrong", ()),
        ("Σ_j w_kj^(2)", "unreadable", ()),
        ("ln(0)", "wrong", ()),
        ("γ_j^(1)", "unreadable", ()),
    ],
)
def test_wrong_entries(answer, outcome, mistakes):
    found = verdict(DECK, "dE/dy1_j", answer)
    assert (found.outcome, found.mistakes) == (outcome, mistakes)


def test_no_name_that_stands_further_down_may_be_used():
    made = worksheet(BOARD)
    assert verdict(made, "dL/dU2", "Δ2").outcome == "unreadable"
    assert verdict(made, "dL/dW_2", "H^T Δ2").outcome == "right"


@pytest.mark.parametrize("layout", ["rows", "columns"])
def test_a_number_is_written_at_a_name_or_below_it(layout):
    made = worksheet(BOARD, layout=layout)
    for right in ("1/N (Y - T) / 1", r"\frac{1}{N} (softmax(U_2) - T)", "(Y - T)/N"):
        assert verdict(made, "dL/dU2", right).outcome == "right"
    product = {"rows": "Δ_2 W2^T", "columns": r"W2^T \Delta_2"}[layout]
    assert verdict(made, "dL/dH", product).outcome == "right"


def test_numbers_have_a_tolerance():
    made = worksheet(NETS["softmax"].loss, numbers=True, seed=1)
    (blank,) = [b for b in made.sheet.blanks if b.name.startswith("U(")]
    value = float(blank.answer)
    for answer, outcome in (
        (f"{value:.3g}", "right"),
        (f"{value} * 2 / 2", "right"),
        (f"{value * 1.1}", "wrong"),
        ("[[1, 2]]", "wrong"),
        ("1/0", "wrong"),
    ):
        assert verdict(made, blank.name, answer).outcome == outcome, answer


def test_variants_differ_and_their_keys_are_right():
    made = [
        worksheet(v, seed=k, id=str(k)) for k, v in enumerate(variants(BOARD, 12, seed=5))
    ]
    assert len({w.sheet.boards for w in made}) == 12
    losses = {w.sheet.boards[0].split("L = ")[1].split("(")[0] for w in made}
    assert losses == {"mse", "half_sum_of_squares", "cross_entropy"}
    for one in made:
        found = graded(one, answers.form(one.sheet, filled=True))
        assert found.points == len(one.sheet.blanks)
    swapped = answers.form(made[0].sheet, filled=True).replace("sheet = 0", "sheet = 1")
    sheets = {w.sheet.id: w.sheet for w in made}
    found = Grader(sheets).grade(answers.read(swapped, sheets))
    assert found.points < len(found.verdicts)


def test_blanks_by_name():
    made = worksheet(BOARD, blanks=["H", "dL/dW_1"])
    assert [b.name for b in made.sheet.blanks] == ["H", "dL/dW_1"]
    with pytest.raises(kb.errors.UnknownNameError, match="dL/dW_1"):
        worksheet(BOARD, blanks=["dL/dW_7"])


def test_numbers_need_small_matrices():
    wide = kb.board("X: N x 40; T: N x 1; W: 40 x 1; L = mse(X W, T)")
    with pytest.raises(kb.errors.SettingError, match="2×40"):
        worksheet(wide, numbers=True)


def test_the_numbers_are_those_of_the_reference_run():
    made = worksheet(NETS["gates"].loss, numbers=True, seed=2)
    numbers = [float(b.answer) for b in made.sheet.blanks if b.kind == "number"]
    assert len(numbers) > 4
    assert np.all(np.isfinite(numbers))
