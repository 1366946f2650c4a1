"""The lessons on the notes' systems: what they must say, typed by hand from the notes."""

import re

import pytest

import kokuban as kb
from kokuban.explain.text import text
from kokuban.explain.written import every_entry, one_entry
from kokuban.lessons import lesson, writers
from kokuban.lessons.slips import SLIPS
from kokuban.lessons.writers import tell

LANGS = ("en", "ja")


def said(name: str, lang: str = "en") -> str:
    return writers.text(tell(lesson(name), lang))


@pytest.mark.parametrize("lang", LANGS)
def test_ten_slips_are_found(lang: str) -> None:
    """Each struck out or shown to fail, with the cause that a reader would give."""
    page = said("slips", lang)
    headings = re.findall(r"^(?:Note|ノート) 00\d.*:", page, re.MULTILINE)
    assert len(headings) == 10
    assert page.count("\u0336") > 0
    causes = {
        "en": (
            "it never fires",
            "sits on ReLU's corner",
            "the gradient from above is forgotten",
            "y_j² where y_j y_q belongs",
            "the term j = q is counted twice",
            "yours is 1/C times",
            "stands before the whole bracket",
            "the loss has no y",
            "x is multiplied in twice",
            "the factor X is forgotten",
        ),
        "ja": (
            "決して発火しない",
            "ReLU の角",
            "上流の勾配が抜けている",
            "y_j y_q でなく y_j²",
            "二重に数えている",
            "1/C 倍になっている",
            "括弧全体に掛かっている",
            "損失に y は現れず",
            "x を二度掛けている",
            "因子 X が抜けている",
        ),
    }[lang]
    flat = " ".join(page.split()) if lang == "en" else "".join(page.split())
    for cause in causes:
        assert (cause if lang == "en" else "".join(cause.split())) in flat, cause


def test_no_slip_has_its_answer_typed() -> None:
    for slip in SLIPS:
        own = kb.board(lesson("slips").boards[slip.board])
        right = kb.grad(own.L, next(s for s in own.symbols if s.name == slip.wrt))
        assert kb.formula.compare(kb.formula.parse(slip.claim, own), right).equal is False


def test_the_two_layer_network_in_every_entry() -> None:
    page = said("two-layer")
    for line in (
        "u_j⁽¹⁾ = Σ_i w_ji⁽¹⁾ x_i + b_j⁽¹⁾",
        "u_k⁽²⁾ = Σ_j w_kj⁽²⁾ y_j⁽¹⁾ + b_k⁽²⁾",
        "y_k⁽²⁾ = e^(u_k⁽²⁾)/(Σ_r e^(u_r⁽²⁾))",
        "E = -Σ_r d_r ln y_r⁽²⁾",
        "∂E/∂y_k⁽²⁾ ∂y_k⁽²⁾/∂u_k⁽²⁾ + Σ_(r ≠ k) ∂E/∂y_r⁽²⁾ ∂y_r⁽²⁾/∂u_k⁽²⁾",
        "= Σ_(r ≠ k) y_k⁽²⁾ d_r",
        "= y_k⁽²⁾ - d_k   the entries of d sum to 1",
        "Δ_j⁽¹⁾ = (Σ_k w_kj⁽²⁾ Δ_k⁽²⁾) y_j⁽¹⁾ (1 - y_j⁽¹⁾)   sigmoid",
        "Δ_j⁽¹⁾ = (Σ_k w_kj⁽²⁾ Δ_k⁽²⁾) [u_j⁽¹⁾ ≥ 0]   ReLU",
        "⎣Δ₂⁽²⁾ y₁⁽¹⁾   Δ₂⁽²⁾ y₂⁽¹⁾   Δ₂⁽²⁾ y₃⁽¹⁾⎦",
        "(Σ_r w_r3⁽²⁾ (y_r⁽²⁾ - d_r)) y₃⁽¹⁾ (1 - y₃⁽¹⁾) x₂⎦",
        "(Σ_r w_r3⁽²⁾ (y_r⁽²⁾ - d_r)) [u₃⁽¹⁾ ≥ 0] x₂⎦",
    ):
        assert line in page, line


def test_scalar_weight_term_by_term() -> None:
    page = said("scalar-weight")
    flat = " ".join(page.split())
    assert "L = 1/4 ((y₁₁ - t₁₁)² + (y₁₂ - t₁₂)² + (y₂₁ - t₂₁)² + (y₂₂ - t₂₂)²)" in flat
    assert "1/2 (y₂₁ - t₂₁) x₂₁ + 1/2 (y₂₂ - t₂₂) x₂₂" in flat
    assert "∂L/∂w = 0.5·1 + 0·2 + 0·3 + (-0.5)·4 = -1.5" in page
    assert "takes w from 2 to 2.015 and b from 1 to 1." in flat  # 2 - 0.01·(-1.5)


def test_the_tied_autoencoder_has_two_shares() -> None:
    """By hand at W = (1 2), x = (1 0)ᵀ: see tests/explain/test_by_hand.py."""
    page = said("tied-autoencoder")
    assert "(∂E/∂W)_net₃ = [-0.05211 0.09066]" in page
    assert "(∂E/∂W)_net₂ = [0.03475 0.00000]" in page
    assert "∂E/∂W = [-0.01737 0.09066]" in page
    assert "\u0336" in page


def test_softmax_and_with_cross_entropy() -> None:
    page = said("softmax")
    assert "∂y_r/∂x_k = y_r δ_rk - y_r y_k" in page
    assert "1001, 1002, 1003                overflow  0.0900, 0.2447, 0.6652" in page
    assert "∂L/∂X = " in said("softmax-cross-entropy")


def test_entries_in_letters() -> None:
    X, W = kb.input("X", (2, 2)), kb.parameter("W", (2, 1))
    assert text(every_entry(X @ W, sums=True)) == "⎡x₁₁ w₁ + x₁₂ w₂⎤\n⎣x₂₁ w₁ + x₂₂ w₂⎦"
    columns = every_entry(X @ W, columns=True, sums=True)
    assert text(columns) == "[w₁ x₁₁ + w₂ x₂₁   w₁ x₁₂ + w₂ x₂₂]"
    assert text(one_entry(X @ W, "i1", over="j")) == "Σ_j x_ij w_j"
    assert text(every_entry(kb.sum(X * X), sums=True)).count("+") == 3
