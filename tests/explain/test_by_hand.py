"""What the notes write on the blackboard, typed here by hand, line for line.

The pages in tests/golden are the library's own, read and found good; these lines are not.
A page must hold them in this order; what stands between them is its own affair.
"""

from __future__ import annotations

import re

import pytest

import kokuban as kb
from kokuban.expr import Expr

X, T = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
W, b = kb.parameter("W", (2, 3)), kb.parameter("b", (1, 3))


def lines(text: str) -> list[str]:
    """The page's lines without shapes and without reasons at their right."""
    return [re.split(r" {2,}(?=\S)", line.strip())[0] for line in text.splitlines()]


def require(text: str, *wanted: str) -> None:
    said, at = lines(text), -1
    for line in wanted:
        found = [k for k, other in enumerate(said) if other == line and k > at]
        assert found, f"{line!r} does not stand below {said[at]!r} in\n{text}"
        at = found[0]


# ---------------------------------------------------------------- note 000, the proof


def _affine() -> Expr:
    x = kb.parameter("X", ("N", 2))
    return kb.sum(kb.input("G", ("N", 3)) * kb.affine(x, W, b))


def test_note_000_entry_by_entry() -> None:
    text = kb.derive(_affine(), form="entries").text()
    require(
        text,
        "y_st = Σ_k x_sk w_kt + b_t",
        "∂y_st/∂x_pq = w_qt δ_sp",
        "∂L/∂x_pq = Σ_s Σ_t Δ_st ∂y_st/∂x_pq",
        "= Σ_t Δ_pt w_qt",
        "= Σ_t Δ_pt (Wᵀ)_tq",
        "= (Δ Wᵀ)_pq",
        "∂L/∂X = Δ Wᵀ",
        "∂y_st/∂w_pq = x_sp δ_tq",
        "∂L/∂w_pq = Σ_s Σ_t Δ_st ∂y_st/∂w_pq",
        "= Σ_s x_sp Δ_sq",
        "= Σ_s (Xᵀ)_ps Δ_sq",
        "= (Xᵀ Δ)_pq",
        "∂L/∂W = Xᵀ Δ",
        "∂y_st/∂b_q = δ_tq",
        "∂L/∂b_q = Σ_s Σ_t Δ_st ∂y_st/∂b_q",
        "= Σ_s Δ_sq",
        "∂L/∂b = 1ᵀ Δ",
    )


def test_note_000_in_japanese() -> None:
    text = kb.derive(_affine(), form="entries", lang="ja").text()
    flat = "".join(text.split())
    for sentence in (
        "行がサンプル(N個)である。行列に関する勾配は、その行列と同じ形である。",
        "上流の勾配に、もう一方の因子の転置を、その因子があった側から掛ける",
        "添字の一致する項だけが残る",
        "すべての成分を通る連鎖律",
        "δが和の中の一項を選ぶ",
        "bをすべての行に写したのだから、各行から戻る勾配を足し合わせる",
    ):
        assert sentence in flat, sentence


# ---------------------------------------------------------------- note 001, in columns


def _two_layers(hidden: object, loss: object) -> Expr:
    w1, b1 = kb.parameter("W1", (2, 2)), kb.parameter("b1", (1, 2))
    w2, b2 = kb.parameter("W2", (2, 3)), kb.parameter("b2", (1, 3))
    u = kb.affine(hidden(kb.affine(X, w1, b1)), w2, b2)  # type: ignore[operator]
    return loss(u)  # type: ignore[operator]


SIGMOID = ("Δ₁ = ∂L/∂U₁ = Γ₁ ⊙ H₁ ⊙ (1 - H₁)", "= Γ_pq⁽¹⁾ e^(-u_pq⁽¹⁾) (h_pq⁽¹⁾)²")
RELU = ("Δ₁ = ∂L/∂U₁ = Γ₁ ⊙ [U₁ ≥ 0]", "= Γ_pq⁽¹⁾ [u_pq⁽¹⁾ ≥ 0]")


@pytest.mark.parametrize(
    ("hidden", "slope"),
    [(kb.sigmoid, SIGMOID), (lambda u: kb.relu(u, at_zero=1.0), RELU)],
    ids=["sigmoid", "relu"],
)
@pytest.mark.parametrize("classes", [False, True], ids=["regression", "classification"])
def test_note_001(hidden: object, slope: tuple[str, str], classes: bool) -> None:
    """STEP 2, 1.5 and 1, samples in columns: u = W x + b, dE/dW = δ yᵀ."""
    if classes:
        loss = _two_layers(hidden, lambda u: kb.cross_entropy(kb.softmax(u), T))
        u, delta = "u_st⁽²⁾", ["= 1/N (Y - T)"]
    else:
        loss = _two_layers(hidden, lambda u: kb.half_sum_of_squares(u, T))
        u, delta = "y_st", ["Δ₂ = ∂L/∂Y = Y - T"]
    matrices = kb.derive(loss, layout="columns").text()
    require(
        matrices,
        "U₁ = W₁ X + Dup_N(b₁)",
        *delta,
        "∂L/∂W₂ = Δ₂ H₁ᵀ",
        "∂L/∂b₂ = Δ₂ 1",
        "Γ₁ = ∂L/∂H₁ = W₂ᵀ Δ₂",
        slope[0],
        "∂L/∂W₁ = Δ₁ Xᵀ",
        "∂L/∂b₁ = Δ₁ 1",
    )
    entries = kb.derive(loss, layout="columns", form="entries").text()
    require(
        entries,
        f"{u} = Σ_k w_sk⁽²⁾ h_kt⁽¹⁾ + b_s⁽²⁾",
        f"∂{u}/∂w_pq⁽²⁾ = h_qt⁽¹⁾ δ_sp",
        "= Σ_t Δ_pt⁽²⁾ h_qt⁽¹⁾",
        "= Σ_t Δ_pt⁽²⁾",
        "= Σ_s w_sp⁽²⁾ Δ_sq⁽²⁾",
        slope[1],
        "u_st⁽¹⁾ = Σ_k w_sk⁽¹⁾ x_kt + b_s⁽¹⁾",
        "= Σ_t Δ_pt⁽¹⁾ x_qt",
        "= Σ_t Δ_pt⁽¹⁾",
    )


# ---------------------------------------------------------------- note 003, two uses


def test_note_003_two_shares_and_the_wrong_chain_rule() -> None:
    """E = ½ Σ (σ(Wᵀ σ(W x)) - x)² at W = (1 2), x = (1 0)ᵀ, worked out by hand.

    net₂ = 1, o₂ = 0.73106; net₃ = (0.73106, 1.46212), o₃ = (0.67504, 0.81186). From the
    output, δ = (o₃ - x) o₃ (1 - o₃) = (-0.071284, 0.124005). The decoder's is δ o₂ =
    (-0.05211, 0.09066); the encoder's (δ₁ + 2 δ₂) o₂ (1 - o₂) x = (0.176727·0.196612, 0)
    = (0.03475, 0); together (-0.01737, 0.09066). The tempting rule is the first alone.
    """
    x, w = kb.input("X", ("N", 2)), kb.parameter("W", (2, 1))
    o2 = kb.sigmoid(x @ w)
    loss = kb.half_sum_of_squares(kb.sigmoid(o2 @ w.T), x)
    at = {x: [[1.0, 0.0]], w: [[1.0], [2.0]]}
    text = kb.derive(loss, form="numbers", layout="columns", at=at, entry=(1, 1)).text()
    require(
        text,
        "(∂L/∂W)_U₂ = H₁ Δ₂ᵀ",
        "= [-0.05211 0.09066]",
        "(∂L/∂W)_U₁ = Δ₁ Xᵀ",
        "= [0.03475 0.00000]",
        "= [-0.01737 0.09066]",
        "∂̶L̶/̶∂̶W̶ ̶=̶ ̶H̶₁̶ ̶Δ̶₂̶ᵀ̶",
    )
    said = " ".join(text.split())
    assert "it leaves out the share of the use in U₁." in said
    assert "entry (1, 1): it gives -0.0521; the gradient is -0.0174." in said
    japanese = kb.derive(loss, lang="ja", layout="columns", at=at).text()
    said = "".join(japanese.split())
    assert "重み共有(同じ重みを複数か所で使う)" in said
    assert "U₂だけを通した連鎖律は一見正しそうだが、誤りである。" in said


# ---------------------------------------------------------------- note 004, two by two


def test_note_004_term_by_term() -> None:
    """Y = w X + b with w = 2, b = 1: Y - T = (1 0; 0 -1), L = (1 + 0 + 0 + 1)/4.

    dL/dw = ¼ (2·1·1 + 2·0·2 + 2·0·3 + 2·(-1)·4) = -1.5, dL/db = ¼ (2·1 - 2·1) = 0.
    """
    w, shift = kb.parameter("w", (1, 1)), kb.parameter("b", (1, 1))
    x, t = kb.input("X", (2, 2)), kb.target("T", (2, 2))
    loss = kb.mse(w * x + shift, t)
    at = {w: 2.0, shift: 1.0, x: [[1, 2], [3, 4]], t: [[2, 5], [7, 10]]}
    text = kb.derive(loss, form="numbers", at=at, entry=(2, 2)).text()
    require(
        text,
        "Y_(2, 2) = 2·4 + 1 = 9",
        "L = 1/4 Σ (Y - T)^⊙2",
        "= 0.5",
        "(Γ_Y)_(2, 2) = 0.5·(9 - 10) = -0.5",
        "∂L/∂w = 0.5·1 + 0·2 + 0·3 + (-0.5)·4 = -1.5",
        "checked: central differences agree, relative gap 0",
        "∂L/∂b = 0.5 + 0 + 0 + (-0.5) = 0",
    )


# ---------------------------------------------------------------- the verdict below


def flat(text: str) -> str:
    return " ".join(text.split())


def test_a_verdict_stands_below_what_was_asked() -> None:
    loss = kb.cross_entropy(kb.softmax(kb.affine(X, W, b)), T)
    at = {X: [[1, 0], [2, 1]], W: [[0.5, -0.5, 0], [0, 0.5, 0.5]], b: [[0, 0, 0.5]]}
    at |= {T: [[1, 0, 0], [0, 0, 1]]}
    derivation = kb.derive(loss, W, form="numbers", at=at)
    assert [step.of for step in derivation.steps if step.checked] == ["W"]
    said = "checked: central differences agree in all 6 entries, worst relative gap "
    assert said in flat(derivation.text())
    assert said in flat(derivation.markdown().replace("$", ""))
    assert '<p class="checked">checked: ' in derivation.html()
    assert "checked: central differences" in derivation.latex()
    assert "checked" not in kb.derive(loss, W, at=at).text()


def test_a_verdict_on_a_quantity_on_the_way() -> None:
    u = kb.affine(X, W, b)
    loss = kb.cross_entropy(kb.softmax(u), T)
    at = {X: [[1, 0], [2, 1]], W: [[0.5, -0.5, 0], [0, 0.5, 0.5]], b: [[0, 0, 0.5]]}
    at |= {T: [[1, 0, 0], [0, 0, 1]]}
    derivation = kb.derive(loss, [u, W], form="numbers", at=at)
    assert [step.of for step in derivation.steps if step.checked] == ["U", "W"]


def test_corners_are_counted() -> None:
    loss = kb.sum(kb.relu(X @ W) * T)
    at = {X: [[1, 1], [0, 1]], W: [[1, 2, 3], [-1, 1, 1]], T: [[1, 1, 1], [1, 1, 1]]}
    said = flat(kb.derive(loss, form="numbers", at=at).text())
    assert "agree in 4 of 6 entries" in said
    assert "; 2 on a corner, without a derivative" in said
    said = "".join(kb.derive(loss, form="numbers", at=at, lang="ja").text().split())
    assert "6個中4個の成分で一致" in said
    assert "微分できない点にある2個は除く" in said


def test_what_cannot_be_moved_is_said_to_be_unchecked() -> None:
    """Targets are rows that sum to 1: no entry can be moved alone."""
    loss = kb.cross_entropy(kb.softmax(X @ W), T)
    at = {X: [[1, 0]], W: [[1, 2, 3], [0, 1, 1]], T: [[1, 0, 0]]}
    said = flat(kb.derive(loss, T, form="numbers", at=at).text())
    assert "not checked: central differences give no verdict here" in said
