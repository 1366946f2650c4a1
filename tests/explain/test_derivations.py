"""Derivations: what they say is true, in every form, language and layout."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from graphs import AT, Instruction, algebra, algebraic, starts, steady
from hypothesis import assume, given, settings, strategies as st
from nets import NETS, Net, T, W, X, b
from typesetting import compiled

import kokuban as kb
from kokuban.errors import DataError, ExpressionError, SettingError, ShapeError
from kokuban.explain import Derivation
from kokuban.explain.backward import Tape
from kokuban.explain.calculus import Calculus
from kokuban.explain.entries import prove
from kokuban.explain.folding import Folding
from kokuban.explain.latex import words
from kokuban.explain.pages import latex_document
from kokuban.explain.phrases import LANGUAGES
from kokuban.explain.terminal import sentence
from kokuban.expr import Expr, Symbol, substitute, symbol, symbols
from kokuban.op import operations
from kokuban.ops import COMPOSITES
from kokuban.rewrite import TABLE, rewritten

FORMS, LANGS = ("matrix", "entries", "numbers"), ("en", "ja")
every_net = pytest.mark.parametrize("net", NETS.values(), ids=NETS)
L = kb.cross_entropy(kb.softmax(X @ W + b), T)


def derived(net: Net, **how: object) -> Derivation:
    return kb.derive(net.loss, layout=net.layout, at=net.at, **how)


# ---------------------------------------------------------------- what they say is true


@every_net
def test_the_derived_gradients_are_those_of_grad(net: Net) -> None:
    found = derived(net).gradients
    parameters = symbols([net.loss], "parameter")
    assert set(found) == {p.name for p in parameters}
    for p in parameters:
        assert found[p.name].shape == p.shape
        mine, theirs = kb.evaluate([found[p.name], kb.grad(net.loss, p)], net.at)
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


@every_net
def test_the_program_stands_alone(net: Net, tmp_path: Path) -> None:
    """Run by Python itself, in a folder of its own, with NumPy and nothing else."""
    text = derived(net).python()
    (tmp_path / "net.py").write_text(text, encoding="utf-8")
    values = {s.name: v.tolist() for s, v in net.at.items()}
    call = (
        f"import numpy as np, net\nat = {values!r}\n"
        "import inspect\nf = net.forward_and_backward\n"
        "args = [np.array(at[n], float) for n in inspect.signature(f).parameters]\n"
        "L, g = f(*args)\n"
        "print(repr((L.tolist(), {k: v.tolist() for k, v in g.items()})))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path[:0] = ['.']\n{call}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-500:]
    loss, gradients = eval(ran.stdout, {"nan": np.nan})
    np.testing.assert_allclose(loss, kb.evaluate(net.loss, net.at), rtol=1e-10)
    for p in symbols([net.loss], "parameter"):
        want = kb.evaluate(kb.grad(net.loss, p), net.at)
        np.testing.assert_allclose(gradients[p.name], want, rtol=1e-10, atol=1e-12)
    assert "kokuban" not in text


@settings(steady, max_examples=80)
@given(st.lists(algebra, min_size=1, max_size=12), starts)
def test_random_losses(program: list[Instruction], start: list[int]) -> None:
    loss = kb.sum(algebraic(program, start) * 1.5)
    wrt = symbols([loss], "parameter")
    assume(wrt and loss.op is not None)
    derivation = kb.derive(loss, wrt)
    at = {s: v for s, v in AT.items() if s in symbols([loss])}
    sizes = {"N": 4}
    with np.errstate(all="ignore"):
        for p in wrt:
            claimed = derivation.gradients[p.name]
            mine, theirs = kb.evaluate(
                [claimed, kb.grad(loss, p)], at, sizes=sizes, simplify=False
            )
            assume(np.isfinite(theirs).all() and np.abs(theirs).max() < 1e9)
            np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-6)
        _every_share_is_proven(derivation.tape, at, sizes)
    for how in ({}, {"form": "entries"}, {"detail": "everything", "lang": "ja"}):
        assert kb.derive(loss, wrt, **how).text()


def _every_share_is_proven(
    found: Tape, at: dict[Symbol, np.ndarray], sizes: dict[str, int] | None = None
) -> None:
    """The index calculus gives what the rules give, wherever both are finite."""
    by = {g.of: g for g in found.gradients}
    for g in found.gradients:
        for share in g.shares:
            q = share.through
            above = None if q.kind == "loss" else by[q.symbol].value
            proof = prove(share, g.of, above)
            assert proof.folded is not None, share.formula
            both = [found.whole(proof.folded), found.whole(share.value)]
            mine, rule = kb.evaluate(both, at, sizes=sizes, simplify=False)
            if np.isfinite(rule).all() and np.abs(rule).max() < 1e6:
                np.testing.assert_allclose(mine, rule, rtol=1e-6, atol=1e-6)


def test_a_derivation_depends_on_its_loss_only() -> None:
    before = kb.derive(L).text()
    other = kb.affine(X, W, b)
    kb.derive(kb.mse(other, T)).text()
    assert kb.derive(L).text() == before


# ---------------------------------------------------------------- by hand, from the notes

# The formulas of the notes, in columns where they are: 000, 001 (STEP 2, 1.5 and 1 for
# regression and for classification), 002, 003 (the sum of the two uses), 004.
BY_HAND = {
    "affine": [
        "Δ = ∂L/∂Y = G",
        "∂L/∂X = Δ Wᵀ",
        "∂L/∂W = Xᵀ Δ",
        "∂L/∂b = 1ᵀ Δ",
    ],
    "softmax": ["= 1/N (Y - T)", "∂L/∂W = Xᵀ Δ", "∂L/∂b = 1ᵀ Δ"],
    "regression": [
        "Δ₂ = ∂L/∂Y = Y - T",
        "∂L/∂W₂ = Δ₂ H₁ᵀ",
        "∂L/∂b₂ = Δ₂ 1",
        "Γ₁ = ∂L/∂H₁ = W₂ᵀ Δ₂",
        "Δ₁ = ∂L/∂U₁ = Γ₁ ⊙ H₁ ⊙ (1 - H₁)",
        "∂L/∂W₁ = Δ₁ Xᵀ",
        "∂L/∂b₁ = Δ₁ 1",
    ],
    "classification": [
        "= 1/N (Y - T)",
        "∂L/∂W₂ = Δ₂ H₁ᵀ",
        "Γ₁ = ∂L/∂H₁ = W₂ᵀ Δ₂",
        "Δ₁ = ∂L/∂U₁ = Γ₁ ⊙ [U₁ ≥ 0]",
        "∂L/∂W₁ = Δ₁ Xᵀ",
    ],
    "tied": [
        "(∂L/∂W)_Y = H₁ Δ₂ᵀ",
        "(∂L/∂W)_U₁ = Δ₁ Xᵀ",
        "∂L/∂W = (∂L/∂W)_Y + (∂L/∂W)_U₁ = H₁ Δ₂ᵀ + Δ₁ Xᵀ",
    ],
    "scalar": ["= 1/2 (Y - T)", "∂L/∂w = Σ Γ_Y ⊙ X", "∂L/∂b = Σ Γ_Y"],
}


@pytest.mark.parametrize("name", BY_HAND)
def test_the_formulas_of_the_notes(name: str) -> None:
    net = NETS[name]
    lines = kb.derive(net.loss, layout=net.layout).text().splitlines()
    said = [re.split(r"\s{2,}\d*N?×|   ", line.strip())[0].strip() for line in lines]
    at = -1
    for formula in BY_HAND[name]:
        found = [k for k, line in enumerate(said) if line.endswith(formula) and k > at]
        assert found, (formula, said)
        at = found[0]


def test_the_numbers_of_the_blackboard() -> None:
    x, t = kb.input("X", ("N", 2)), kb.target("T", ("N", 3))
    loss = kb.cross_entropy(kb.softmax(x @ W + b), t)
    at = {
        x: [[1, 0], [2, 1]],
        W: [[0.5, -0.5, 0], [0, 0.5, 0.5]],
        b: [[0, 0, 0.5]],
        t: [[1, 0, 0], [0, 0, 1]],
    }
    text = kb.derive(loss, form="numbers", at=at, entry=(1, 3)).text()
    assert "⎡-0.2888 0.0777  0.2112⎤" in text
    assert "⎡0.1610 0.1780 -0.3390⎤" in text
    assert "(∂L/∂W)_(1, 3) = 1·0.2112 + 2·(-0.2751) = -0.3390" in text


def test_the_tempting_wrong_rule_and_by_how_much_it_fails() -> None:
    v = kb.parameter("W", (2, 1))
    x = kb.input("X", ("N", 2))
    loss = kb.mse(kb.sigmoid(x @ v) @ v.T, x)
    at = {x: [[1, 0], [0, 2]], v: [[0.5], [1.0]]}
    (step,) = [s for s in kb.derive(loss, at=at).steps if s.struck]
    text = kb.derive(loss, at=at).text()
    assert "∂̶L̶/̶∂̶W̶ ̶=̶ ̶Δ̶₂̶ᵀ̶ ̶H̶₁̶" in text
    assert "it gives -0.2992; the gradient is -0.3936." in " ".join(text.split())
    assert step.of == "W"
    assert "random values (seed 0" in kb.derive(loss).text()


def test_weight_decay_is_a_share_and_no_temptation() -> None:
    steps = kb.derive(NETS["decay"].loss).steps
    assert not any(s.struck for s in steps)


# ---------------------------------------------------------------- entries


def test_every_rule_follows_from_its_index_form() -> None:
    """The calculus knows index forms only; its matrices equal the declared rules."""
    import oracles

    from kokuban.explain.backward import tape
    from kokuban.expr import apply, symbol

    proven = set()
    for op in operations():
        if op.entry is None:
            continue
        for sample in op.samples:
            args = [
                symbol(n, s, "parameter")
                for n, s in zip("AB", sample.shapes, strict=False)
            ]
            at = dict(zip(args, oracles.draw(sample), strict=True))
            y = apply(op.name, *args, **sample.attrs)
            above = symbol("G", y.shape, "input")
            at[above] = np.random.default_rng(1).uniform(0.5, 1.5, y.shape)
            found = tape(kb.sum(above * y), args, {y: "Y"})
            q = next(q for q in found.quantities if q.symbol.name == "Y")
            for g in found.gradients:
                for share in g.shares:
                    if share.through is not q:
                        continue
                    proof = prove(share, g.of, None)
                    assert proof.folded is not None, op.name
                    (whole,) = substitute([proof.folded], {q.symbol: y})
                    (mine,) = substitute([whole], {q.gradient: above})
                    rule = kb.grad(kb.sum(above * y), g.of, simplify=False)
                    values = kb.evaluate([mine, rule], at, simplify=False)
                    np.testing.assert_allclose(*values, rtol=1e-9, atol=1e-12)
                    proven.add(op.name)
    flat = {"sign", "step"}  # no gradient passes them, so there is nothing to prove
    assert proven == {o.name for o in operations() if o.entry is not None} - flat


@every_net
def test_every_step_of_a_net_folds_to_what_the_rules_say(net: Net) -> None:
    _every_share_is_proven(derived(net).tape, net.at)


def test_products_of_products_keep_their_indices_apart() -> None:
    a, c, d = (
        kb.parameter(n, s) for n, s in (("A", (2, 3)), ("C", (3, 4)), ("D", (4, 5)))
    )
    calculus = Calculus()
    from kokuban.entry import Index

    i, j = Index("s", 2), Index("t", 5)
    found = calculus.normal(calculus.in_entries(a @ c @ d, i, j))
    leaves = {s.name: s for s in (a, c, d)}
    folded = Folding(leaves).polynomial(found, i, j)
    rng = np.random.default_rng(0)
    at = {s: rng.normal(size=s.shape) for s in (a, c, d)}
    np.testing.assert_allclose(*kb.evaluate([folded, a @ c @ d], at), rtol=1e-12)


# ---------------------------------------------------------------- languages and outputs


def test_languages_say_the_same_things() -> None:
    en, *others = LANGUAGES.values()
    names = {op.name for op in operations()} | set(COMPOSITES)
    for language in (en, *others):
        assert names <= set(language.rules)
        assert language.words.keys() == en.words.keys()
        assert language.rules.keys() == en.rules.keys()
        assert language.pairs.keys() == en.pairs.keys()
        for key, said in language.words.items():
            assert set(re.findall(r"\\[\da]", said)) == set(
                re.findall(r"\\[\da]", en.words[key])
            ), key
    for language in others:
        assert set(language.rewrites) == {rewrite.name for rewrite in TABLE}


@every_net
@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("form", FORMS)
def test_every_output(net: Net, form: str, lang: str) -> None:
    d = derived(net, form=form, lang=lang)
    assert all(len(line) < 160 for line in d.text().splitlines())
    page = d.html()
    _Closed().feed(page)
    for formula in re.findall(r"<math.*?</math>", page):
        ElementTree.fromstring(formula)
    assert not re.search(r"(src|href)=|url\(|@import", page)  # nothing to load
    tex = d.latex(document=True)
    assert tex.count("{") == tex.count("}")
    assert tex.count(r"\begin{") == tex.count(r"\end{")
    assert d.markdown().count("$$") % 2 == 0
    assert d._repr_html_() in page
    assert d._repr_latex_().startswith("$")
    for step in d.steps:
        assert step.rule
        assert step.reason
        assert step.lines[-1].parts


class _Closed(HTMLParser):
    """Fails where a tag is closed that is not open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("form", FORMS)
def test_latex_compiles(form: str, lang: str, tmp_path: Path) -> None:
    how = {"form": form, "lang": lang, "detail": "everything"}
    every = "\n\n".join(derived(net, **how).latex() for net in NETS.values())
    compiled(latex_document(every, lang), lang, tmp_path)


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("net", ["classification", "tied"])
def test_latex_fits_the_page(net: str, form: str, lang: str, tmp_path: Path) -> None:
    text = derived(NETS[net], form=form, lang=lang).latex(document=True)
    assert b"Overfull" not in compiled(text, lang, tmp_path)


def test_reasons_of_rewrites_are_plain_in_latex() -> None:
    assert all(words(entry.reason).isascii() for entry in TABLE)
    assert words("(Aᵀ B)ᵀ, 50 % of Σ x²") == (
        r"(A$^{\top}$ B)$^{\top}$, 50 \% of $\sum$ x$^{2}$"
    )


def test_pictures() -> None:
    pytest.importorskip("ziamath")
    d = kb.derive(L)
    drawn = ElementTree.fromstring(d.svg())
    said = {e.text for e in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {f"{step.number}  {step.rule}" for step in d.steps} <= said
    assert sentence(d.steps[0].reason) in said
    pytest.importorskip("resvg_py")
    assert d.png().startswith(b"\x89PNG")


def test_a_long_net_is_derived_whole() -> None:
    h: Expr = X
    for k in range(20):
        w = kb.parameter(f"W{k}", (h.shape[1], 3))
        h = kb.relu(kb.affine(h, w, kb.parameter(f"b{k}", (1, 3))))
    d = kb.derive(kb.mse(h, T))
    assert len(d.gradients) == 40
    assert len(d.steps) == 80  # 20 layers with a sum, a ReLU and two parameters


def test_constants_and_masks() -> None:
    """Matrices without a name stand as they are, long ones with their middle left out."""
    c = kb.constant(np.arange(6).reshape(2, 3) / 2)
    draw = symbol("draw", (1, 2), "counter")
    v = kb.parameter("V", (2, 2))
    y = kb.tanh(X @ v @ c) * kb.dropout_mask(draw, 0.5, ("N", 3))
    loss = kb.mse(y, kb.input("Q", ("N", 3)))
    at = {
        s: np.full([2 if d == "N" else d for d in s.shape], 0.5) for s in symbols([loss])
    }
    at[draw] = np.array([[1, 2]])
    drawn = kb.evaluate(kb.dropout_mask(draw, 0.5, ("N", 3)), at, sizes={"N": 2})
    for form in FORMS:
        assert kb.derive(loss, form=form, at=at).html()
    text = kb.derive(loss, form="numbers", at=at).text()
    assert f"⊙ ⎡{' '.join(f'{m:.0f}' for m in drawn[0])}⎤" in text
    assert "(M₁)_pq" in kb.derive(loss, form="entries").text()
    wide = kb.constant(np.random.default_rng(0).normal(size=(3, 50)))
    text = kb.derive(kb.l2(kb.parameter("W", (2, 3)) @ wide)).text()
    assert "…" in text
    assert max(map(len, text.splitlines())) < 120


def test_detail() -> None:
    answer, steps, everything = (
        kb.derive(L, detail=d) for d in ("answer", "steps", "everything")
    )
    assert not any(s.reason or s.remarks for s in answer.steps)
    assert all(len(line.parts) == 1 for s in answer.steps for line in s.lines)
    assert len(steps.text()) < len(everything.text())
    assert answer.gradients == steps.gradients


def test_a_step_says_what_it_finds() -> None:
    steps = kb.derive(L).steps
    assert [s.formula for s in steps[1:]] == [
        "Δ = ∂L/∂U = 1/N (Y - T)",
        "∂L/∂W = Xᵀ Δ",
        "∂L/∂b = 1ᵀ Δ",
    ]
    assert [s.shape for s in steps] == ["N×3", "N×3", "2×3", "1×3"]
    assert [s.of for s in steps] == ["Y", "U", "W", "b"]


def test_names_of_your_own() -> None:
    u = X @ W + b
    y = kb.softmax(u)
    loss = kb.cross_entropy(y, T)
    text = kb.derive(loss, W, names={u: "net", y: "o"}).text()
    assert "o = softmax(net)" in text
    assert kb.derive(loss, u).steps[-1].of == "U"
    with pytest.raises(ExpressionError, match="not in the loss"):
        kb.derive(loss, names={X.T: "Q"})


def test_names_never_meet_those_of_the_user() -> None:
    u, y = kb.parameter("U", (2, 3)), kb.input("Y", ("N", 2))
    delta = kb.parameter("Δ", (1, 3))
    d = kb.derive(kb.cross_entropy(kb.softmax(y @ u + delta), T))
    names = [q.symbol.name for q in d.tape.quantities]
    names += [q.gradient.name for q in d.tape.quantities]
    names += [s.name for s in symbols([d.tape.loss])]
    assert len(set(names)) == len(names)


def test_what_does_not_matter_has_the_gradient_zero() -> None:
    unused = kb.parameter("V", (2, 2))
    d = kb.derive(L, [W, unused])
    assert kb.evaluate(d.gradients["V"], {}).tolist() == [[0, 0], [0, 0]]
    assert "does not act on the loss" in d.text()


def test_rewriting_step_by_step_ends_at_the_simple_form() -> None:
    g = kb.grad(L, X @ W + b, simplify=False)
    lines = rewritten(g)
    assert lines[-1][1] is kb.simplify(g)
    assert rewritten(kb.simplify(g)) == []


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"form": "matrices"}, SettingError, "form is one of"),
        ({"lang": "fr"}, SettingError, "lang is one of en, ja"),
        ({"layout": "diagonal"}, SettingError, "layout is one of"),
        ({"detail": 3}, SettingError, "detail is one of"),
        ({"form": "numbers"}, SettingError, "needs values"),
        ({"form": "numbers", "at": {}}, DataError, "value"),
        ({"form": "numbers", "at": {X: np.ones((2, 9))}}, ShapeError, "X"),
        ({"wrt": []}, ExpressionError, "no parameter"),
        ({"wrt": "W"}, ExpressionError, "not 'W'"),
    ],
    ids=str,
)
def test_wrong_input(
    wrong: dict[str, object], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        kb.derive(L, **wrong)


def test_what_is_no_loss() -> None:
    for thing in (X @ W, W, 3):
        with pytest.raises(ExpressionError):
            kb.derive(thing, W)
