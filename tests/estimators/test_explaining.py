"""`explain` of the estimators: the derivation of what was minimised, in every form."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

import kokuban as kb
from kokuban.errors import SettingError, UnknownNameError
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor
from kokuban.expr import symbols

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2))
CLASSES = np.where(X[:, 0] > 0.3, "a", np.where(X[:, 1] > 0, "b", "c"))


def classifier(**settings: object) -> MLPClassifier:
    how = {"max_iter": 5, "random_state": 0, "solver": "sgd", **settings}
    return MLPClassifier((3,), **how).fit(X, CLASSES)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestClassifier:
    def test_the_formulas(self) -> None:
        found = classifier().explain()
        formulas = [step.formula for step in found.steps]
        assert "Δ₂ = ∂L/∂U₂ = 1/N (softmax(U₂) - T)" in formulas[0]
        assert any(f.endswith("= α/N W₂ + H₁ᵀ Δ₂") for f in formulas)
        assert list(found.gradients) == ["W2", "b2", "W1", "b1"]

    def test_without_a_penalty_there_is_none(self) -> None:
        text = classifier(alpha=0).explain(wrt="W2").text()
        assert "α" not in text
        assert "∂L/∂W₂ = H₁ᵀ Δ₂" in text

    def test_the_gradients_are_those_of_the_fit(self) -> None:
        """One step of plain gradient descent on all rows moves by -η times them."""
        net = classifier(
            max_iter=1, batch_size=40, momentum=0, learning_rate_init=0.1, alpha=0.01
        )
        before = [c.copy() for c in net.coefs_]
        found = net.explain(X, CLASSES, form="numbers")
        gradients = [found.gradients[name] for name in ("W1", "W2")]
        at = {s: found.values[s] for s in symbols(gradients)}
        want = kb.evaluate(gradients, at)
        net.partial_fit(X, CLASSES)
        for old, new, g in zip(before, net.coefs_, want, strict=True):
            np.testing.assert_allclose(new, old - 0.1 * g, rtol=1e-6, atol=1e-9)

    def test_numbers_are_checked(self) -> None:
        text = classifier().explain(X[:3], CLASSES[:3], form="numbers", lang="ja").text()
        assert "確認: 中心差分と 6 個の成分すべてで一致" in text

    def test_numbers_need_rows(self) -> None:
        with pytest.raises(SettingError, match="needs rows"):
            classifier().explain(form="numbers")

    def test_unknown_names(self) -> None:
        with pytest.raises(UnknownNameError, match="W3"):
            classifier().explain(wrt="W3")

    def test_dropout_and_norms(self) -> None:
        net = classifier(dropout=0.5, normalization="layer", solver="adam")
        text = net.explain(X[:4], CLASSES[:4], form="numbers", wrt=["W1", "b1"]).text()
        assert "Z₂ = √(" in text  # the deviation of a row
        assert "⊙ M" in net.explain().text()  # the mask
        assert "checked: central differences agree" in text


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_regression() -> None:
    net = MLPRegressor(
        hidden_layer_sizes=(3,), activation="tanh", max_iter=5, alpha=0, random_state=0
    ).fit(X, X[:, 0])
    found = net.explain(X[:2], X[:2, 0], form="numbers", layout="columns")
    assert "U₁ = W₁ X + Dup_N(b₁)" in found.text()
    assert "checked: central differences agree" in found.text()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_tied_autoencoder_shows_both_uses() -> None:
    net = Autoencoder((1,), tied=True, max_iter=5, alpha=0, random_state=0).fit(X)
    found = net.explain(X[:3], form="numbers", wrt="W1")
    (step,) = [s for s in found.steps if s.of == "W1"]
    assert step.struck
    assert step.checked


def test_only_what_is_fitted_can_be_explained() -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().explain()
