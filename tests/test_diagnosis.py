"""Why a claim is wrong: the true cause is found, and nothing right is called wrong."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from wrong_claims import NETS, Wrong, right_claims, wrong_claims, wrong_twice

import kokuban as kb
from kokuban.errors import DataError
from kokuban.expr import Expr
from kokuban.formula import compare, parse
from kokuban.gradcheck import Diagnosis, diagnose

BOARD = kb.board(
    "X: N x 2; W: 2 x 3; b: 1 x 3; T: N x 3; U = X W + b; Y = softmax(U); "
    "L = cross_entropy(Y, T)"
)
AT = {
    "X": np.array([[1.0, 0], [2, 1]]),
    "W": np.array([[0.5, -0.5, 0], [0, 0.5, 0.5]]),
    "b": np.array([[0, 0, 0.5]]),
    "T": np.array([[1.0, 0, 0], [0, 0, 1]]),
}


def judged(wrong: Wrong) -> Diagnosis:
    """What the library says of a claim."""
    board = kb.board(wrong.net.board)
    names = dict(board)
    for name, text in wrong.lets.items():
        names[name] = parse(text, names)
    claim, by = parse(wrong.text, names), board[wrong.by]
    return diagnose(claim, kb.grad(board.L, by), loss=board.L, wrt=by)


def rate(claims: Iterable[Wrong], what: str) -> float:
    """The share that gets its true cause; the others are printed."""
    found = tried = 0
    for wrong in claims:
        said = judged(wrong)
        names = sorted(m.name for m in said.mistakes)
        good = not said.correct and names == sorted(wrong.causes)
        found, tried = found + good, tried + 1
        if not good:
            print(f"{wrong}\n    {wrong.causes} was called {names}")
    print(f"{what}: {found} of {tried} get their true cause, {found / tried:.1%}")
    return found / tried


def test_the_corpus_is_large_enough_and_its_right_gradients_are_right() -> None:
    assert len(NETS) >= 20
    assert len(list(wrong_claims())) >= 900
    for net in NETS:
        for by, text in net.right.items():
            board = kb.board(net.board)
            names = dict(board)
            for name, line in net.lets.items():
                names[name] = parse(line, names)
            assert compare(parse(text, names), kb.grad(board.L, board[by])), (
                net.name,
                by,
            )


def test_wrong_claims_get_their_true_cause() -> None:
    assert rate(list(wrong_claims())[::3], "one mistake") >= 0.95


def test_two_mistakes_are_both_named() -> None:
    assert rate(list(wrong_twice())[::12], "two mistakes") >= 0.95


def test_no_right_claim_is_called_wrong() -> None:
    claims = list(right_claims())[::4]
    assert len(claims) >= 100
    assert [str(c) for c in claims if not judged(c).correct] == []


def of(text: str, **options: Any) -> Diagnosis:
    claim = parse(text, BOARD)
    right = kb.grad(BOARD.L, BOARD.W)
    return diagnose(claim, right, loss=BOARD.L, wrt=BOARD.W, **options)


def test_the_step_where_it_first_goes_wrong() -> None:
    found = of("X^T (Y - T)", at=AT)
    assert [m.name for m in found.mistakes] == ["batch-mean"]
    assert found.step is not None
    assert (found.step.number, found.step.of) == (2, "U")
    assert found.text() == (
        "right but for a factor: yours is N (= 2) times the gradient in every entry.\n"
        "the loss is a mean, which enters at line 2:  Δ = ∂L/∂U = 1/N (Y - T)"
    )
    assert found.text("ja").startswith(
        "定数倍だけ違う: どの成分も N (= 2) 倍になっている。\n"
    )
    turned = of("(Y - T)^T X / N")
    assert turned.shapes == ("3×2", "2×3")
    assert turned.step is not None
    assert turned.step.number == 3


def test_numbers_at_values() -> None:
    right = kb.grad(BOARD.L, BOARD.W)
    value = kb.evaluate(right, AT)

    def names(claim: Any) -> list[str]:
        found = diagnose(claim, right, at=AT, loss=BOARD.L, wrt=BOARD.W)
        return ["right"] if found.correct else [m.name for m in found.mistakes]

    assert names(value) == ["right"]
    assert names(2 * value) == ["batch-mean"]  # N = 2, and the loss is a mean
    assert names(-value) == ["sign"]
    assert names(value.T) == ["transposed"]
    assert names(7 * value) == ["factor"]
    spoilt = value.copy()
    spoilt[0, 1] += 1
    assert names(spoilt) == ["entries"]
    assert names(np.full((2, 3), np.nan)) == ["not-finite"]
    assert names(np.ones((5, 5))) == ["shape"]
    assert names(np.ones(6)) == ["shape"]
    assert names(value**3) == []
    with pytest.raises(DataError, match="give at="):
        diagnose(value, right)


def test_nothing_known_is_said_plainly() -> None:
    found = of("X^T (Y * Y * Y) + W")
    assert (found.correct, found.mistakes, found.step) == (False, (), None)
    assert found.text() == "it is wrong, and no known mistake explains it."


def test_other_symbols_are_a_verdict() -> None:
    stranger = kb.parameter("Q", (2, 3))
    right = kb.grad(BOARD.L, BOARD.W)
    assert not diagnose(stranger, right, loss=BOARD.L, wrt=BOARD.W).correct
    found = kb.check(BOARD.L, AT, claims={"W": stranger})
    assert not found.ok
    assert "yours has Q in it" in str(found)


def test_the_slope_taken_at_a_kink() -> None:
    w = kb.parameter("W", (1, 3))
    loss = kb.sum(kb.relu(w) * kb.constant([[1, 2, 3]]))
    found = diagnose(
        np.array([[1.0, 2, 0]]),
        kb.grad(loss, w),
        at={w: np.array([[1.0, 0, -1]])},
        loss=loss,
        wrt=w,
    )
    assert [m.name for m in found.mistakes] == ["kink-side"]


@pytest.mark.parametrize(
    ("claim", "name"),
    [("X W", "term-forgotten"), ("X W - b", "sign"), ("b", "shape")],
)
def test_a_formula_that_is_no_gradient(claim: str, name: str) -> None:
    right: Expr = BOARD.U
    assert [m.name for m in diagnose(parse(claim, BOARD), right).mistakes] == [name]


def test_the_report_in_japanese() -> None:
    report = kb.check(BOARD.L, AT, claims={"W": "X^T (Y - T)"}).text("ja")
    assert "答案は全 6 成分で勾配と違う" in report
    assert "どの成分も N (= 2) 倍" in report
