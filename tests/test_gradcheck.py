"""Numerical differentiation and the verdict on gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError, dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.errors import (
    DataError,
    ExpressionError,
    FormulaError,
    SettingError,
    ShapeError,
    UnknownNameError,
)
from kokuban.expr import Expr, Symbol, symbol
from kokuban.gradcheck import METHODS, Check, Result, differences, taylor_slope
from kokuban.gradcheck.schemes import noise

X, T = kb.input("X", ("N", 4)), kb.target("T", ("N", 3))
W, B = kb.parameter("W", (4, 3)), kb.parameter("b", (1, 3))
Values = Mapping[Symbol, Any]


def numbers(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def values() -> dict[Symbol, np.ndarray]:
    return {
        X: numbers(6, 4, seed=1),
        T: np.eye(3)[[0, 1, 2, 2, 1, 0]],
        W: numbers(4, 3, seed=2),
        B: numbers(1, 3, seed=3),
    }


SOFTMAX = kb.cross_entropy(kb.softmax(X @ W + B), T)


def gradient(loss: Expr, by: Symbol, at: Values) -> np.ndarray:
    return np.array(kb.evaluate(kb.grad(loss, by), at))


# ---------------------------------------------------------------- the schemes


ORDERS = {"forward": 1, "backward": 1, "central": 2, "5-point": 4, "7-point": 6}


@pytest.mark.parametrize(("method", "order"), ORDERS.items())
def test_the_error_falls_with_the_order_of_the_scheme(method: str, order: int) -> None:
    steps = 2.0 ** -np.arange(2, 6)
    errors = [
        abs(differences(lambda x: np.exp(x), [[0.5]], method, h)[0, 0] - math.exp(0.5))
        for h in steps
    ]
    slope = np.polyfit(np.log(steps), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


def test_the_complex_step_is_right_to_the_last_digits() -> None:
    x = numbers(2, 3)
    found = differences(lambda v: np.sum(np.exp(v) * np.sin(v)), x, "complex")
    np.testing.assert_allclose(found, np.exp(x) * (np.sin(x) + np.cos(x)), rtol=1e-14)


@pytest.mark.parametrize("method", METHODS)
def test_the_usual_step_is_good_at_any_scale(method: str) -> None:
    for x in (1e-3, 3.0, -50.0, 4e4, 7e8):
        found = differences(lambda v: v**2 / 2 + v, [[x]], method)
        np.testing.assert_allclose(found, [[x + 1]], rtol=1e-6)
    at = numbers(2, 2)
    found = differences(lambda v: np.sum(np.exp(v)), at, method)
    np.testing.assert_allclose(found, np.exp(at), rtol=1e-6)


def test_the_distance_is_the_true_one() -> None:
    # 1e8 + 1e-7 lies a seventh off that distance in float64; a linear f shows it
    assert differences(lambda v: v, [[1e8]], "forward", 1e-7)[0, 0] == 1.0


@pytest.mark.parametrize("h", [0.0, -1.0, math.nan])
def test_a_step_is_positive(h: float) -> None:
    with pytest.raises(SettingError, match="A step is positive"):
        differences(lambda v: v, [[1.0]], h=h)


def test_a_step_that_does_not_move_is_refused() -> None:
    with pytest.raises(DataError, match="does not move 1e"):
        differences(lambda v: v, [[1e8]], h=1e-10)


def test_differences_refuse_what_is_not_real() -> None:
    with pytest.raises(DataError, match="real numbers"):
        differences(lambda v: v, [[1j]])
    with pytest.raises(UnknownNameError, match="Did you mean 'central'"):
        differences(lambda v: v, [[1.0]], "centrall")


@pytest.mark.parametrize("sigma", [1e-12, 1e-6])
def test_noise_is_measured(sigma: float) -> None:
    rng = np.random.default_rng(0)
    found = noise(lambda s: math.exp(s.real) + sigma * rng.normal(), 2.0**-17)
    assert 0.3 * sigma < found < 3 * sigma


def test_noise_is_seen_where_rounding_holds_neighbours_equal() -> None:
    quantum = 1e-4
    found = noise(lambda s: round(math.exp(s.real) / quantum) * quantum, 2.0**-17)
    assert 0.05 * quantum < found < quantum  # uniform rounding has quantum/√12


# ---------------------------------------------------------------- Taylor's remainder


def test_taylor_slope_is_2_when_right_and_1_when_wrong() -> None:
    x = numbers(3, 2)
    right = np.exp(x)
    assert taylor_slope(lambda v: np.exp(v).sum(), x, right) == pytest.approx(2, abs=0.05)
    wrong = right.copy()
    wrong[1, 1] *= 1.01
    assert taylor_slope(lambda v: np.exp(v).sum(), x, wrong) == pytest.approx(1, abs=0.05)


def test_taylor_slope_of_a_linear_function() -> None:
    x, slope = numbers(3, 2), numbers(3, 2, seed=1)
    assert taylor_slope(lambda v: np.sum(slope * v), x, slope) == math.inf
    found = taylor_slope(lambda v: np.sum(slope * v), x, 1.001 * slope)
    assert found == pytest.approx(1, abs=0.01)


def test_taylor_slope_is_not_told_where_rounding_hides_it() -> None:
    x = numbers(3, 2)
    assert math.isnan(taylor_slope(lambda v: 1e18 + np.sum(v**2), x, 2 * x))
    with pytest.raises(ShapeError, match="its gradient"):
        taylor_slope(np.sum, x, x.T)


# ---------------------------------------------------------------- right gradients


@dataclass(frozen=True)
class Net:
    loss: Expr
    at: Values
    analytic: bool = True


def tied() -> Expr:
    return kb.mse(kb.sigmoid(kb.sigmoid(X @ W + B) @ W.T), X)


def dropped() -> Net:
    draw = symbol("draw", (1, 2), "counter")
    mask = kb.dropout_mask(draw, 0.5, ("N", 3))
    at: dict[Symbol, Any] = {**values(), draw: np.array([[7, 1]])}
    return Net(kb.mse(kb.tanh(X @ W + B) * mask, T), at)


SCALAR = kb.parameter("w", (1, 1))
NETS: dict[str, Net] = {
    "affine": Net(kb.half_sum_of_squares(X @ W + B, T), values()),
    "softmax": Net(SOFTMAX, values()),
    "scores": Net(kb.softmax_cross_entropy(X @ W + B, T), values()),
    "tied": Net(tied(), values()),
    "scalar weight": Net(
        kb.mse(SCALAR * (X @ W), T),
        {**values(), SCALAR: 0.7},
    ),
    "layer norm": Net(kb.mse(kb.layer_norm(X @ W, B, B), T), values()),
    "batch norm": Net(kb.mse(kb.batch_norm(X @ W, B, B), T), values()),
    "gelu": Net(kb.mse(kb.gelu(X @ W + B), T), values()),
    "mish": Net(kb.mse(kb.mish(X @ W + B), T), values()),
    "poisson": Net(kb.poisson(X @ W + B, T), values()),
    "relu": Net(kb.mse(kb.relu(X @ W + B), T), values(), analytic=False),
    "selu": Net(kb.mse(kb.selu(X @ W + B), T), values(), analytic=False),
    "huber": Net(kb.huber(X @ W + B, T), values(), analytic=False),
    "mae": Net(kb.mae(X @ W + B, T), values(), analytic=False),
    "row maximum": Net(kb.sum(kb.row_max(X @ W + B) ** 2), values(), analytic=False),
    "dropout": dropped(),
    "linear": Net(kb.sum(X @ W + B), values()),
    "decay": Net(SOFTMAX + 0.01 * kb.l2(W), values()),
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", NETS)
def test_right_gradients_pass_by_every_method(name: str, method: str) -> None:
    net = NETS[name]
    if method == "complex" and not net.analytic:
        with pytest.raises(ExpressionError, match="analytic operations only"):
            kb.check(net.loss, net.at, method=method)
        return
    result = kb.check(net.loss, net.at, method=method)
    assert result.ok, str(result)
    assert result
    for one in result.results:
        assert one.method == method
        assert one.entries == one.shape[0] * one.shape[1]
        assert one.hidden == 0
        assert one.slope > 1.9 or math.isnan(one.slope)
        assert one.gap < (1e-5 if method in ("forward", "backward") else 1e-7)
    assert result.diagnosis is None


def test_all_parameters_are_checked_by_default_and_symbols_or_names_are_taken() -> None:
    at = values()
    assert [r.symbol for r in kb.check(SOFTMAX, at=at).results] == [W, B]
    assert [r.symbol for r in kb.check(SOFTMAX, at=at, wrt=B).results] == [B]
    assert [r.symbol for r in kb.check(SOFTMAX, at=at, wrt=["b", W]).results] == [B, W]
    assert [r.symbol for r in kb.check(SOFTMAX, at=at, wrt=X).results] == [X]
    named = {s.name: v for s, v in at.items()}
    assert kb.check(SOFTMAX, at=named, claims={"W": gradient(SOFTMAX, W, at)})


def test_a_claim_is_checked_besides_wrt() -> None:
    at = values()
    result = kb.check(SOFTMAX, at, wrt=B, claims={W: gradient(SOFTMAX, W, at)})
    assert [(r.symbol, r.claimed) for r in result.results] == [(B, False), (W, True)]


def test_the_same_seed_gives_the_same_check() -> None:
    first, again = (kb.check(SOFTMAX, values(), seed=3) for _ in range(2))
    assert str(first) == str(again)
    assert first == again


def test_records_do_not_change() -> None:
    result = kb.check(SOFTMAX, values())
    assert isinstance(result, Check)
    with pytest.raises(FrozenInstanceError):
        result.loss = 0.0  # type: ignore[misc]


# ---------------------------------------------------------------- scale


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e8, 1e12])
@pytest.mark.parametrize("method", METHODS)
def test_the_scale_of_the_loss_does_not_matter(method: str, scale: float) -> None:
    at, loss = values(), scale * SOFTMAX
    assert kb.check(loss, at, method=method).ok
    right = gradient(loss, W, at)
    for place in np.ndindex(right.shape):
        claim = right.copy()
        claim[place] *= 1.01
        result = kb.check(loss, at, wrt=W, claims={W: claim}, method=method)
        assert not result.ok
        assert result.worst is not None
        assert (result.worst.row, result.worst.column) == place
        assert result.worst.ratio == pytest.approx(1.01)


def test_a_large_constant_is_allowed_for_and_said() -> None:
    at = {W: values()[W]}
    steady, lifted = (
        kb.check(loss, at).results[0] for loss in (kb.sum(W**2), 1e8 + kb.sum(W**2))
    )
    assert steady.ok
    assert lifted.ok
    assert lifted.bound > 1e3 * steady.bound
    assert f"{lifted.bound:.1e}" in str(lifted)
    assert lifted.steps[0] > steady.steps[1]  # a larger step, against the rounding
    hidden = kb.check((1e8 + kb.sum(W**2)) - 1e8, at).results[0]
    assert hidden.ok
    assert hidden.bound > 1e3 * steady.bound  # the rounding is measured, not guessed


def test_what_rounding_hides_is_not_passed() -> None:
    result = kb.check(1e18 + kb.sum(W**2), {W: values()[W]})
    assert not result.ok
    assert result.results[0].hidden == 12
    assert result.diagnosis is not None
    assert "could not be judged" in result.diagnosis
    assert "nothing could be checked" in result.diagnosis


def steep(scale: float) -> Expr:
    return kb.sum(kb.tanh(W * scale) * W)


@pytest.mark.parametrize(
    ("loss", "value"),
    [
        (kb.sum(kb.log(W)), np.abs(numbers(4, 3)) * 1e-6),
        (kb.sum(kb.sigmoid(W * 1e-6)), numbers(4, 3)),
        (kb.sum(kb.sigmoid(W * 1e-8)), numbers(4, 3)),
        (steep(1e4), numbers(4, 3) * 1e-4),
        (kb.sum(kb.log(W**2 + 1)), numbers(4, 3) * 1e8),
    ],
    ids=["near a pole", "flat", "flatter", "steep", "large values"],
)
def test_the_step_follows_the_function(loss: Expr, value: np.ndarray) -> None:
    at = {W: value}
    result = kb.check(loss, at)
    assert result.ok, str(result)
    assert result.results[0].hidden == 0
    claim = gradient(loss, W, at)
    claim[2, 1] *= 1.01
    assert not kb.check(loss, at, claims={W: claim}).ok


def test_a_step_of_a_whole_wave_does_not_mislead() -> None:
    at = {SCALAR: 250.0}  # the 7-point step is 2 here: 2π/3.1 is what two of them meet
    for frequency in np.linspace(3.0, 3.3, 13):
        result = kb.check(kb.sin(frequency * SCALAR), at, method="7-point")
        assert result.ok, str(result)


def test_at_a_minimum_the_gradient_is_nearly_zero() -> None:
    at = values()
    at[T] = at[X] @ at[W]
    loss = kb.mse(X @ W, T)
    for shift in (0.0, 1e-13, 1e-9):
        moved = {**at, W: at[W] + shift}
        result = kb.check(loss, moved)
        assert result.ok, str(result)
        assert not kb.check(loss, moved, claims={W: np.full((4, 3), 1e-6)}).ok


def test_a_gradient_too_small_for_differences_is_said() -> None:
    at = values()
    at[T] = at[X] @ (at[W] + 1e-15)
    result = kb.check(kb.mse(X @ W, T), at)
    assert result.ok, str(result)
    assert "nearly zero: no entry is larger than" in (result.diagnosis or "")


def test_a_gradient_of_zero_passes_and_a_claim_against_it_fails() -> None:
    at = {W: values()[W]}
    for loss in (kb.sum(0.0 * W), kb.sum(kb.step(W)), kb.sum(kb.sign(W))):
        assert kb.check(loss, at).ok
        assert not kb.check(loss, at, claims={W: np.full((4, 3), 1e-6)}).ok


def test_the_simplified_form_is_checked_where_only_that_is_finite() -> None:
    at = {**values(), W: 1000 * values()[W]}
    result = kb.check(SOFTMAX, at)
    assert result.ok, str(result)
    assert any("its simplified form was checked" in note for note in result.notes)
    assert "simplified" in str(result)


# ---------------------------------------------------------------- wrong claims


def failed(claim: Any, loss: Expr = SOFTMAX) -> Check:
    result = kb.check(loss, values(), wrt=W, claims={W: claim})
    assert not result.ok, str(result)
    assert not result
    assert str(result).startswith("✗ W: ")
    return result


def test_a_constant_factor_is_named() -> None:
    right = gradient(SOFTMAX, W, values())
    result = failed(2 * right)
    assert "W: right but for a factor: yours is 2 times the gradient in every entry." in (
        result.diagnosis or ""
    )
    worst = result.worst
    assert worst is not None
    assert (worst.symbol, worst.ratio) == ("W", 2.0)
    assert worst.given == 2 * worst.against
    assert worst.against == right[worst.row, worst.column]
    assert result.results[0].slope == pytest.approx(1, abs=0.05)
    row, column = worst.row, worst.column
    assert row is not None
    assert column is not None
    assert f"entry ({row + 1},{column + 1}): yours" in str(result)
    assert "ratio 2.000" in str(result)


def test_a_factor_of_the_number_of_samples_in_a_formula() -> None:
    result = failed(X.T @ (kb.softmax(X @ W + B) - T))
    assert "yours is N (= 6) times the gradient in every entry." in (
        result.diagnosis or ""
    )
    right = X.T @ (kb.softmax(X @ W + B) - T) / 6
    assert kb.check(SOFTMAX, values(), claims={W: right}).ok


def test_a_wrong_sign_is_named() -> None:
    result = failed(-gradient(SOFTMAX, W, values()))
    assert "the sign: yours is -1 times the gradient" in (result.diagnosis or "")


def test_a_transposed_claim_is_named() -> None:
    result = failed(gradient(SOFTMAX, W, values()).T)
    assert (result.diagnosis or "").startswith(
        "W: yours has the shape 3×4, but W is 4×3.\n"
        "W: it is the transpose of the gradient.\n"
        "W: it first goes wrong at line "
    )
    assert result.worst is None
    other = failed(numbers(3, 4))
    assert other.diagnosis == (
        "W: yours has the shape 3×4, but W is 4×3.\n"
        "W: it is of another shape, and no known mistake explains it."
    )


def test_a_transposed_square_claim_is_named() -> None:
    square = kb.parameter("V", (4, 4))
    loss, at = kb.sum(kb.tanh(X @ square)), {X: numbers(5, 4), square: numbers(4, 4)}
    result = kb.check(loss, at, claims={square: gradient(loss, square, at).T})
    assert "V: it is the transpose of the gradient." in (result.diagnosis or "")


@pytest.mark.parametrize(
    ("claim", "text"),
    [
        (np.ones((2, 3)), "yours has the shape 2×3, but W is 4×3."),
        (
            np.ones(12),
            "yours has the shape 12, but it should be 4×3. Everything is a matrix",
        ),
        (3.0, "yours has the shape a plain number, but it should be 4×3."),
    ],
)
def test_a_wrong_shape_is_said(claim: Any, text: str) -> None:
    result = failed(claim)
    assert result.diagnosis is not None
    assert text in result.diagnosis


def test_a_claim_that_is_not_finite() -> None:
    claim = gradient(SOFTMAX, W, values())
    claim[1, 2] = math.nan
    result = failed(claim)
    assert result.diagnosis == "W: yours is not finite in 1 entry, first in (2,3)."
    assert result.worst is not None
    assert (result.worst.row, result.worst.column) == (1, 2)
    claim[1, 2] = math.inf
    assert failed(claim).diagnosis == result.diagnosis


def test_a_dropped_use_of_a_shared_weight_is_found() -> None:
    for use in kb.grad(tied(), W, by_use=True):
        assert not kb.check(tied(), values(), claims={W: use.gradient}).ok


def test_the_tolerances_are_the_callers() -> None:
    claim = gradient(SOFTMAX, W, values())
    claim[0, 0] += 1e-4
    assert not kb.check(SOFTMAX, values(), claims={W: claim}).ok
    assert kb.check(SOFTMAX, values(), claims={W: claim}, atol=1e-3).ok
    assert kb.check(SOFTMAX, values(), claims={W: 1.001 * claim}, rtol=1e-2, atol=1e-3).ok


def test_claims_may_be_text() -> None:
    right = kb.check(SOFTMAX, values(), claims={W: "X^T (Y - T) / N"})
    assert right.ok, str(right)
    wrong = kb.check(SOFTMAX, values(), claims={"W": "X^T (Y - T)"})
    assert not wrong.ok
    assert "yours is N (= 6) times the gradient in every entry" in str(wrong)
    with pytest.raises(FormulaError, match=r"column 5: There is no 'Z' here\. Known: "):
        kb.check(SOFTMAX, values(), claims={W: "X^T Z"})


def test_claims_use_what_is_let() -> None:
    let = {"Δ": "(Y - T) / N", "Γ": "X^T Δ", "two": kb.constant(2)}
    assert kb.check(SOFTMAX, values(), claims={W: "Γ"}, let=let).ok
    assert kb.check(SOFTMAX, values(), claims={W: "two Γ / 2"}, let=let).ok
    with pytest.raises(FormulaError, match="There is no 'Δ' here"):
        kb.check(SOFTMAX, values(), claims={W: "Γ"}, let={"Γ": "X^T Δ"})
    with pytest.raises(ExpressionError, match="What two stands for is an expression"):
        kb.check(SOFTMAX, values(), claims={W: "two"}, let={"two": 2})  # type: ignore[dict-item]


def test_a_wrong_rule_would_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(loss: Expr, wrt: list[Expr]) -> list[Expr]:
        return [1.01 * g for g in kb.grad(loss, wrt)]

    monkeypatch.setattr("kokuban.gradcheck.verdict.grad", wrong)
    for claims in (None, {W: gradient(SOFTMAX, W, values())}):
        result = kb.check(SOFTMAX, values(), claims=claims)
        assert not result.ok
        assert "a rule is wrong; please report" in (result.diagnosis or "")
        assert result.worst is not None
        assert result.worst.giver == "gradient"
        assert result.worst.ratio == pytest.approx(1.01)
        assert result.results[1].slope == pytest.approx(1, abs=0.05)


# ---------------------------------------------------------------- kinks


CORNER = np.array([[0.0, 1.0, 2.0], [-1.0, 0.0, 3.0], [0.0, -2.0, 1.0], [1.0, 1.0, 2.0]])
ZEROS = {(0, 0), (1, 1), (2, 0)}
ONES = {(0, 1), (2, 2), (3, 0), (3, 1)}


def kinks_of(result: Result) -> set[tuple[int, int]]:
    return {entry for kink in result.kinks for entry in kink.entries}


@pytest.mark.parametrize(
    ("function", "entries", "name"),
    [
        (lambda w: kb.relu(w), ZEROS, "ReLU's corner"),
        (lambda w: kb.relu(w, at_zero=0.5), ZEROS, "ReLU's corner"),
        (lambda w: kb.relu(w, at_zero=1.0), ZEROS, "ReLU's corner"),
        (lambda w: kb.abs(w), ZEROS, "the corner of |x|"),
        (lambda w: kb.sign(w) + w, ZEROS, "the jump of sign"),
        (lambda w: kb.step(w) + w, ZEROS, "the step's jump"),
        (lambda w: kb.step(w, at_zero=0.5) + w, ZEROS, "the step's jump"),
        (lambda w: kb.step(w, at_zero=0.0) + w, ZEROS, "the step's jump"),
        (lambda w: kb.maximum(w, 1.0), ONES, "a tie of maximum"),
        (lambda w: kb.minimum(w, 1.0) + w, ONES, "a tie of minimum"),
        (lambda w: kb.row_max(w), set[tuple[int, int]](), ""),
        (lambda w: kb.row_max(w[:, 0:2]), {(3, 0), (3, 1)}, "a tie for a row's maximum"),
    ],
)
@pytest.mark.parametrize("method", ORDERS)
def test_entries_on_a_kink_are_named_and_left_out(
    function: Callable[[Expr], Expr],
    entries: set[tuple[int, int]],
    name: str,
    method: str,
) -> None:
    loss, at = kb.sum(function(W) * 1.5), {W: CORNER}
    result = kb.check(loss, at, method=method)
    assert result.ok, str(result)
    assert kinks_of(result.results[0]) == entries
    assert result.results[0].entries == 12 - len(entries)
    if entries:
        text = f"undefined here: {len(entries)} entries sit on {name}"
        assert result.diagnosis == f"W: {text}"
        assert text in str(result)
    claim = gradient(loss, W, at)
    for entry in entries:
        claim[entry] += 0.25  # any value between the two slopes may be taken there
    assert kb.check(loss, at, claims={W: claim}, method=method).ok
    claim[1, 2] += 0.01
    assert not kb.check(loss, at, claims={W: claim}, method=method).ok


def test_a_corner_with_a_small_share_is_named() -> None:
    rows = numbers(500, 4)
    at = {X: rows, W: values()[W], B: -(rows @ values()[W])[17:18, :]}  # 3 of 1500 units
    result = kb.check(kb.mean(kb.relu(X @ W + B)), at)
    assert not result.ok
    assert kinks_of(result.results[1]) == {(0, 0), (0, 1), (0, 2)}
    assert "nothing could be checked" in (result.diagnosis or "")


@pytest.mark.parametrize("distance", [1e-10, 1e-8, 1e-6, 1e-5, 1e-3])
@pytest.mark.parametrize("method", ORDERS)
def test_near_a_corner_the_step_is_smaller(distance: float, method: str) -> None:
    for side in (distance, -distance):
        at = {W: CORNER + side}
        loss = kb.sum(kb.relu(W) * kb.exp(W))
        result = kb.check(loss, at, method=method)
        assert result.ok, str(result)
        assert kinks_of(result.results[0]) == set()
        claim = gradient(loss, W, at)
        claim[0, 0] = gradient(loss, W, {W: CORNER - side})[0, 0]  # of the other side
        assert not kb.check(loss, at, claims={W: claim}, method=method).ok


@pytest.mark.parametrize(
    "function",
    [
        lambda w: kb.huber(w, kb.constant(np.zeros((4, 3)))),
        lambda w: kb.sum(kb.elu(w)),
        lambda w: kb.sum(kb.relu(w) ** 2),
        lambda w: kb.sum(kb.abs(w) * w),
    ],
    ids=["huber", "elu", "relu squared", "x |x|"],
)
def test_corners_that_cancel_are_no_corners(function: Callable[[Expr], Expr]) -> None:
    """At 0, and huber's at ±1: a kink of a part, but the whole has a derivative."""
    result = kb.check(function(W), {W: CORNER})
    assert result.ok, str(result)
    assert kinks_of(result.results[0]) == set()
    claim = gradient(function(W), W, {W: CORNER})
    claim[0, 0] += 0.001
    assert not kb.check(function(W), {W: CORNER}, claims={W: claim}).ok


def test_corners_that_cancel_where_the_rules_fail_are_named() -> None:
    loss = kb.sum(kb.relu(W) - kb.relu(-W))  # W, but 0 + 0 by the rules at 0
    result = kb.check(loss, {W: CORNER})
    assert result.ok, str(result)
    assert kinks_of(result.results[0]) == ZEROS


def test_a_corner_that_an_entry_does_not_move_is_not_its_own() -> None:
    at = values()
    at[X][:, 0] = 0.0
    at[X][2] = 0.0  # with b = 0 the third row sits on the corner, whatever W is
    at[B] = np.zeros((1, 3))
    result = kb.check(kb.mse(kb.relu(X @ W + B), T), at, wrt=W)
    assert result.ok
    assert kinks_of(result.results[0]) == set()


def test_all_entries_on_a_corner_is_no_pass() -> None:
    result = kb.check(kb.sum(kb.relu(W)), {W: np.zeros((4, 3))})
    assert not result.ok
    assert result.worst is None
    assert result.diagnosis == (
        "W: undefined here: 12 entries sit on ReLU's corner\nW: nothing could be checked"
    )


def test_a_gradient_that_is_not_finite_is_no_pass() -> None:
    result = kb.check(kb.sum(kb.sqrt(W)), {W: np.abs(CORNER)})
    assert not result.ok
    assert "not finite in 3 entries, first in (1,1)" in (result.diagnosis or "")


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.bool_])
def test_whole_numbers_are_refused_where_they_are_moved(dtype: Any) -> None:
    at = {**values(), W: np.ones((4, 3), dtype)}
    with pytest.raises(
        DataError, match=r"W is given as whole numbers .* W.astype\(float\)"
    ):
        kb.check(SOFTMAX, at)
    assert kb.check(SOFTMAX, at, wrt=B).ok  # W stands still


def test_a_list_of_whole_numbers_is_refused_as_well() -> None:
    with pytest.raises(DataError, match=r"Write 1\.0 for 1"):
        kb.check(kb.sum(SCALAR**2), {SCALAR: 3})
    assert kb.check(kb.sum(SCALAR**2), {SCALAR: 3.0}).ok


def test_float32_is_refused_where_it_is_moved() -> None:
    at = {**values(), W: values()[W].astype(np.float32)}
    with pytest.raises(DataError, match=r"W is float32 \(6 digits\); a difference over"):
        kb.check(SOFTMAX, at)


def test_float32_elsewhere_is_taken_as_it_is_and_said() -> None:
    at = {**values(), X: values()[X].astype(np.float32)}
    result = kb.check(SOFTMAX, at)
    assert result.ok
    assert result.notes == ("X: float32 values, taken as they are into float64.",)
    assert result.notes[0] in str(result)


def test_a_claim_in_float32_is_compared_as_such() -> None:
    short = {s: v.astype(np.float32) for s, v in values().items()}
    claim = kb.evaluate(kb.grad(SOFTMAX, W), short)
    assert claim.dtype == np.float32
    result = kb.check(SOFTMAX, values(), wrt=W, claims={W: claim})
    assert result.ok, str(result)
    assert "the claim is in float32" in str(result)
    assert not kb.check(SOFTMAX, values(), claims={W: claim.astype(float)}).ok
    claim[0, 0] *= 1.01
    assert not kb.check(SOFTMAX, values(), claims={W: claim}).ok


@pytest.mark.parametrize("name", ["X", "W"])
def test_values_that_are_not_finite_are_named(name: str) -> None:
    at = {s.name: v for s, v in values().items()}
    at[name][1, 2] = math.inf
    with pytest.raises(DataError, match=f"{name} is inf in row 2, column 3"):
        kb.check(SOFTMAX, at)


def test_a_loss_that_is_not_finite_names_the_part() -> None:
    at = {**values(), W: -np.ones((4, 3))}
    with pytest.raises(DataError, match=r"The loss is nan .* is log\(W\): nan in row 1"):
        kb.check(kb.sum(kb.exp(kb.log(W)) * kb.log(W)), at)


def test_what_cannot_be_checked() -> None:
    at = values()
    with pytest.raises(ShapeError, match="not a single number: sum it first"):
        kb.check(X @ W, at)
    with pytest.raises(ExpressionError, match="What is checked is an expression"):
        kb.check(3.0, at)  # type: ignore[arg-type]
    with pytest.raises(ExpressionError, match="no parameter to differentiate by"):
        kb.check(kb.sum(X), at)
    with pytest.raises(UnknownNameError, match="Unknown method 'centre'"):
        kb.check(SOFTMAX, at, method="centre")
    with pytest.raises(UnknownNameError, match="Unknown symbol 'V'"):
        kb.check(SOFTMAX, at, wrt="V")
    with pytest.raises(ExpressionError, match="w does not stand in"):
        kb.check(SOFTMAX, at, wrt=SCALAR)
    with pytest.raises(ExpressionError, match="moves the entries of a symbol"):
        kb.check(SOFTMAX, at, wrt=[X @ W])  # type: ignore[list-item]
    with pytest.raises(DataError, match="No value is given for 'b'"):
        kb.check(SOFTMAX, {s: at[s] for s in (X, T, W)})
    with pytest.raises(ShapeError, match="its value is 3×4"):
        kb.check(SOFTMAX, {**at, W: at[W].T})
    with pytest.raises(DataError, match="neither an expression nor a matrix"):
        kb.check(SOFTMAX, at, claims={W: [["a"]]})


def test_a_counter_is_not_moved() -> None:
    net = dropped()
    with pytest.raises(ExpressionError, match="draw counts draws"):
        kb.check(net.loss, net.at, wrt="draw")


def test_targets_held_to_be_distributions_cannot_be_moved() -> None:
    with pytest.raises(DataError, match="T cannot be moved entry by entry"):
        kb.check(SOFTMAX, values(), wrt=T)


def test_the_complex_step_names_the_operation_in_its_way() -> None:
    loss = kb.sum(kb.relu(X @ W) + kb.abs(B) * 0.5)
    with pytest.raises(ExpressionError, match="relu stands between W and the loss"):
        kb.check(loss, values(), wrt=W, method="complex")
    smooth = kb.sum(kb.tanh(X @ W) + kb.abs(B))
    assert kb.check(smooth, values(), wrt=W, method="complex").ok  # |b| is beside the way


def test_the_size_of_a_dimension_that_no_value_has() -> None:
    loss = kb.sum(kb.broadcast(B, ("M", 3)) ** 2)
    assert kb.check(loss, {B: values()[B]}, sizes={"M": 5}).ok
    with pytest.raises(ShapeError, match="'M' is not known"):
        kb.check(loss, {B: values()[B]})


# ---------------------------------------------------------------- large parameters


INPUTS = kb.input("X", ("N", 50))
WIDE = kb.parameter("V", (50, 60))


def wide(at_zero: float = 0.0) -> Expr:
    return kb.mean(kb.relu(INPUTS @ WIDE, at_zero) ** 2 + kb.relu(INPUTS @ WIDE, at_zero))


def wide_values() -> dict[Symbol, np.ndarray]:
    return {INPUTS: numbers(8, 50), WIDE: numbers(50, 60, seed=1)}


def test_a_large_parameter_is_checked_along_directions_and_in_a_sample() -> None:
    result = kb.check(wide(), wide_values())
    assert result.ok, str(result)
    (one,) = result.results
    assert (one.entries, one.directions) == (50, 20)
    assert "50 of 3000 entries and along 20 random directions" in str(result)
    assert one.slope == pytest.approx(2, abs=0.05)


def test_a_claim_for_a_large_parameter_is_compared_in_every_entry() -> None:
    at = wide_values()
    claim = gradient(wide(), WIDE, at)
    assert kb.check(wide(), at, claims={WIDE: claim}).ok
    claim[31, 7] *= 1.01
    result = kb.check(wide(), at, claims={WIDE: claim})
    assert not result.ok
    assert result.worst is not None
    assert (result.worst.row, result.worst.column) == (31, 7)
    assert result.results[0].failed == 1


def test_directions_find_a_wrong_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kokuban.gradcheck.verdict.SAMPLE", 0)

    def wrong(loss: Expr, wrt: list[Expr]) -> list[Expr]:
        return [kb.grad(loss, wrt)[0] * 1.01]

    assert kb.check(wide(), wide_values()).ok
    monkeypatch.setattr("kokuban.gradcheck.verdict.grad", wrong)
    result = kb.check(wide(), wide_values())
    assert not result.ok
    assert result.worst is not None
    assert (result.worst.row, result.worst.column) == (None, None)
    assert "worst along a random direction: gradient" in str(result)


@pytest.mark.parametrize(("columns", "ok"), [(1, True), (60, False)])
def test_a_claim_with_another_value_at_corners_passes(columns: int, ok: bool) -> None:
    """A row of X moves some units off their corner; with all there, nothing is left."""
    at = wide_values()
    at[WIDE][:, :columns] = 0.0
    other = gradient(wide(at_zero=1.0), WIDE, at)
    assert not np.allclose(other, gradient(wide(), WIDE, at))
    result = kb.check(wide(), at, claims={WIDE: other})
    assert result.ok is ok, str(result)
    assert result.results[0].failed == 0
    assert "sit on ReLU's corner" in (result.diagnosis or "")


# ---------------------------------------------------------------- any shape


@settings(deadline=None, max_examples=40)
@given(
    rows=st.integers(1, 4),
    inner=st.integers(1, 4),
    outer=st.integers(1, 4),
    seed=st.integers(0, 1000),
    hidden=st.sampled_from([kb.tanh, kb.relu, kb.softplus, kb.silu, kb.softmax]),
)
def test_any_shape(
    rows: int, inner: int, outer: int, seed: int, hidden: Callable[[Expr], Expr]
) -> None:
    x, t = kb.input("X", ("N", inner)), kb.target("T", ("N", outer))
    w1, w2 = kb.parameter("W1", (inner, 3)), kb.parameter("W2", (3, outer))
    loss = kb.mse(hidden(x @ w1) @ w2, t)
    rng = np.random.default_rng(seed)
    at = {
        s: rng.normal(size=(rows if s.shape[0] == "N" else s.shape[0], s.shape[1]))
        for s in (x, t, w1, w2)
    }
    result = kb.check(loss, at)
    assert result.ok, str(result)
    claim = gradient(loss, w2, at)
    largest = np.unravel_index(np.argmax(np.abs(claim)), claim.shape)
    claim[largest] *= 1.01
    wrong = kb.check(loss, at, claims={w2: claim})
    assert not wrong.ok or not claim.any()


# ---------------------------------------------------------------- the report


def test_the_report_of_a_pass() -> None:
    lines = str(kb.check(SOFTMAX, values())).splitlines()
    assert lines[0].startswith(
        "✓ W: central differences agree in all 12 entries, worst relative gap "
    )
    assert "Taylor slope 2.00, h = 7.6e-06" in lines[0]
    assert lines[1].startswith("    allowed: 1e-06 of the entry, and ")
    assert lines[2].startswith("✓ b: central differences agree in all 3 entries")


def test_the_report_of_a_claim() -> None:
    claim = gradient(SOFTMAX, W, values())
    good = str(kb.check(SOFTMAX, values(), wrt=W, claims={W: claim}))
    assert good.startswith("✓ W: yours is the gradient, central differences agree in all")
    claim[2, 0] += 0.5
    lines = str(kb.check(SOFTMAX, values(), wrt=W, claims={W: claim})).splitlines()
    assert lines[0] == "✗ W: yours differs from the gradient in 1 of 12 entries"
    assert lines[1] == "    wrong in 1 of 12 entries only: (3,1)."
    assert lines[2].startswith("    worst entry (3,1): yours ")


def test_numbers_are_written_so_that_they_differ() -> None:
    claim = gradient(SOFTMAX, W, values())
    claim[2, 0] *= 1.00001
    worst = kb.check(SOFTMAX, values(), claims={W: claim}).worst
    assert worst is not None
    assert "ratio 1.00001" in str(worst)


def test_a_single_entry() -> None:
    assert kb.check(kb.sum(SCALAR**2), {SCALAR: 1.5}, claims={SCALAR: 3.0}).ok
    wrong = kb.check(kb.sum(SCALAR**2), {SCALAR: 1.5}, claims={SCALAR: 6})
    assert "w: right but for a factor: yours is 2 times" in (wrong.diagnosis or "")
    result = kb.check(kb.sum(SCALAR**2), {SCALAR: 1.5})
    assert str(result).startswith("✓ w: central differences agree in its only entry")
