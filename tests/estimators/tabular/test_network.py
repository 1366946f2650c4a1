"""The networks and their training, against plain NumPy and against torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import norm

import kokuban as kb
from kokuban.estimators.tabular.calibration import log_loss, sharpness
from kokuban.estimators.tabular.network import Design, begin, nets
from kokuban.estimators.tabular.training import (
    Plan,
    Rows,
    Run,
    folds,
    merged,
    run_scores,
)

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)

RNG = np.random.default_rng(0)
D, K = 5, 3
DESIGN = Design(D, K, (8, 7), "selu", "log_loss", smoothing=0.1)


def selu(u: np.ndarray) -> np.ndarray:
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return scale * np.where(u > 0, u, alpha * np.expm1(u))


def mish(u: np.ndarray) -> np.ndarray:
    return u * np.tanh(np.log1p(np.exp(u)))


def forward(values: dict[str, np.ndarray], x: np.ndarray, act: Any) -> np.ndarray:
    """X ⊙ g, then X W/√d + b with an activation between; and X S/√d beside it."""
    h = x * values["gain1"]
    straight = x @ values["S1"] / np.sqrt(x.shape[1])
    last = max(int(n[1:]) for n in values if n.startswith("W"))
    for k in range(1, last + 1):
        w = values[f"W{k}"]
        h = h @ w / np.sqrt(w.shape[0]) + values[f"b{k}"]
        h = act(h) if k < last else h
    return h + straight


def drawn(design: Design) -> dict[Any, np.ndarray]:
    """Random values, also for the last layer, which begins as 0."""
    (member,) = nets(design).members
    return {s: RNG.normal(size=s.shape) for s in member}


@pytest.mark.parametrize(("activation", "act"), [("selu", selu), ("mish", mish)])
def test_the_network_is_the_plain_one(activation: str, act: Any) -> None:
    design = Design(D, K, (8, 7), activation, "mse")
    made, x = nets(design), RNG.normal(size=(11, D))
    values = drawn(design)
    found = kb.evaluate(made.scores[0], {**values, made.x: x})
    named = {s.name: v for s, v in values.items()}
    assert_allclose(found, forward(named, x, act), rtol=1e-10, atol=1e-12)


def test_it_begins_as_the_recipe_says() -> None:
    wide = Design(200, 2, (300,), "selu", "log_loss")
    (member,) = nets(wide).members
    start = {s.name: v for s, v in begin(member, 3, 0).items()}
    assert_allclose(start["gain1"], 1)
    for name in ("W1", "b1"):
        assert abs(start[name].std() - 1) < 0.1  # unit variance; 1/√d is in the formula
    assert not start["W2"].any()
    assert not start["b2"].any()
    assert not start["S1"].any()


def test_the_losses_are_the_plain_ones() -> None:
    u, t = RNG.normal(size=(9, 2)), RNG.normal(size=(9, 1))
    w = RNG.uniform(1, 2, size=(9, 1))
    rest = t - u
    plain = {
        "normal": -norm.logpdf(t[:, 0], u[:, 0], np.exp(u[:, 1] / 2)),
        "quantile": np.maximum([0.1, 0.5] * rest, [-0.9, -0.5] * rest).mean(axis=1),
    }
    for loss, losses in plain.items():
        levels = (0.1, 0.5) if loss == "quantile" else ()
        design = Design(D, 2, (4,), "mish", loss, levels=levels)
        made = nets(design)
        given = {made.x: np.ones((9, D)), made.t: t}
        values = drawn(design)
        values = {
            s: np.zeros(s.shape) if s.name in ("W2", "S1") else v
            for s, v in values.items()
        }
        shift = next(s for s in values if s.name == "b2")
        for row in range(9):  # the scores are b2, the same for all rows
            one = {**values, shift: u[row : row + 1]}
            part = {k: v[row : row + 1] for k, v in given.items()}
            found = kb.evaluate(made.loss(False), {**one, **part})
            assert_allclose(found.item(), losses[row], rtol=1e-10)
        same = {**values, shift: u[:1], **given}
        each = [
            kb.evaluate(
                made.loss(False), {**same, made.x: x[None], made.t: y[None]}
            ).item()
            for x, y in zip(given[made.x], t, strict=True)
        ]
        found = kb.evaluate(made.loss(True), {**same, "weights": w})
        assert_allclose(found.item(), np.average(each, weights=w[:, 0]), rtol=1e-10)


def test_label_smoothing_is_in_the_loss() -> None:
    made, x = nets(DESIGN), RNG.normal(size=(6, D))
    t = np.eye(K)[RNG.integers(0, K, 6)]
    values = drawn(DESIGN)
    u = forward({s.name: v for s, v in values.items()}, x, selu)
    wanted = -((0.9 * t + 0.1 / K) * log_softmax(u, axis=1)).sum(axis=1).mean()
    found = kb.evaluate(made.loss(False), {**values, made.x: x, made.t: t})
    assert_allclose(found.item(), wanted, rtol=1e-10)


def test_the_periodic_embedding_is_the_plain_one() -> None:
    layer = kb.nn.PeriodicEmbedding(4, (1, 3), frequencies=5, size=3, deviation=1.0)
    build = kb.nn.Build(training=True)
    x = kb.input("X", ("N", 4))
    y = layer(x, build)
    values = {s: i(RNG, s.shape, np.float64) for s, i in build.initial.items()}
    values = {
        s: RNG.normal(size=v.shape) if s.role == "parameter" else v
        for s, v in values.items()
    }
    v = {s.name: value for s, value in values.items()}
    data = RNG.normal(size=(6, 4))
    wanted = [data]
    for k, column in enumerate((1, 3)):
        f, c = v["F1"][k, 5 * k : 5 * k + 5], v["phase1"][0, 5 * k : 5 * k + 5]
        waves = np.cos(2 * np.pi * (data[:, column, None] * f + c))
        weight = v["V1"][5 * k : 5 * k + 5, 3 * k : 3 * k + 3]
        wanted.append(waves @ weight + v["shift_of_V1"][0, 3 * k : 3 * k + 3])
    found = kb.evaluate(y, {**values, x: data})
    assert layer.outputs == found.shape[1] == 10
    assert_allclose(found, np.hstack(wanted), rtol=1e-9, atol=1e-9)


def test_folding_the_embedding_changes_no_bit() -> None:
    design = Design(4, 2, (8,), "mish", "mse", embedded=(1, 3), members=2)
    members = [
        {
            s: v + (s.role == "parameter") * RNG.normal(size=v.shape).astype(np.float32)
            for s, v in begin(member, 1, k).items()
        }
        for k, member in enumerate(nets(design).members)
    ]
    x = RNG.normal(size=(33, 4)).astype(np.float32)
    wanted = run_scores(design, {**members[0], **members[1]}, x)
    short = replace(design, folded=True)
    found = run_scores(short, merged(short, [members]), x)
    assert_array_equal(found, wanted)


def test_the_loss_with_all_its_parts_has_the_right_gradient() -> None:
    design = Design(2, 2, (3,), "mish", "normal", embedded=(1,), members=2)
    made = nets(design)
    values = {
        s: b(RNG, s.shape, np.float64) + (s.role == "parameter") * 0.1
        for member in made.members
        for s, b in member.items()
    }
    data = {made.x: RNG.normal(size=(4, 2)), made.t: RNG.normal(size=(4, 1))}
    assert kb.check(made.loss(False), at={**values, **data}).ok


# ---------------------------------------------------------------- training


def problem(rows: int = 70) -> tuple[Rows, np.ndarray]:
    x = RNG.normal(size=(rows, D)).astype(np.float32)
    labels = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5)
    return Rows(x, np.eye(K, dtype=np.float32)[labels], None), labels


def judge_by(labels: np.ndarray) -> Any:
    return lambda scores, member: log_loss(scores, labels)


@pytest.mark.torch
def test_training_is_the_recipes_in_torch() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    rows, _ = problem()
    epochs, size, rate = 3, 16, 0.04
    learned = Run(DESIGN, rows, None, judge_by(rows.t), Plan(epochs, size, rate, 5)).go()
    (member,) = nets(DESIGN).members
    p = {s.name: torch.tensor(v).requires_grad_() for s, v in begin(member, 5, 0).items()}
    groups = [
        {"params": [v], "factor": 6.0 if n == "gain1" else 0.1 if n[0] == "b" else 1.0}
        for n, v in p.items()
    ]
    adam = torch.optim.Adam(groups, betas=(0.9, 0.95))
    from kokuban.train.loop import shuffled

    step, total = 0, epochs * (70 // size)
    for epoch in range(epochs):
        order = shuffled(70, 5, epoch)
        for start in range(0, 70 - 70 % size, size):
            chosen = order[start : start + size]
            x = torch.tensor(rows.x[chosen])
            h = x * p["gain1"]
            for k in (1, 2, 3):
                h = h @ p[f"W{k}"] / p[f"W{k}"].shape[0] ** 0.5 + p[f"b{k}"]
                h = torch.selu(h) if k < 3 else h
            h = h + x @ p["S1"] / D**0.5
            t = torch.tensor(rows.t[chosen])
            loss = torch.nn.functional.cross_entropy(h, t, label_smoothing=0.1)
            eta = rate * 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * step / total)))
            for group in adam.param_groups:
                group["lr"] = eta * group["factor"]
            adam.zero_grad()
            loss.backward()
            adam.step()
            step += 1
    for s, value in learned.values[0].items():
        assert_allclose(value, p[s.name].detach().numpy(), rtol=2e-3, atol=2e-4)


def test_members_trained_together_are_those_trained_alone() -> None:
    rows, labels = problem()
    held = rows.take(np.arange(20))
    plan = Plan(4, 16, 0.04, 9)
    alone = Run(DESIGN, rows, held, judge_by(labels[:20]), plan).go()
    three = Design(D, K, (8, 7), "selu", "log_loss", 0.1, members=3)
    together = Run(three, rows, held, judge_by(labels[:20]), plan).go()
    for a, b in zip(alone.values[0].values(), together.values[0].values(), strict=True):
        assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    first, second = (
        next(iter(v for s, v in m.items() if s.name[0] == "W"))
        for m in together.values[:2]
    )
    assert np.abs(first - second).max() > 0.1


def test_the_best_epoch_is_the_one_whose_values_are_kept() -> None:
    rows, labels = problem()
    held = rows.take(np.arange(20))
    learned = Run(DESIGN, rows, held, judge_by(labels[:20]), Plan(12, 8, 0.3, 1)).go()
    curve = learned.history["val_loss"]
    assert learned.epochs[0] == int(np.argmin(curve)) + 1 == learned.history.best_epoch
    (scores,) = run_scores(DESIGN, learned.values[0], held.x)
    assert_allclose(log_loss(scores, labels[:20]), min(curve), rtol=1e-5)


def test_patience_ends_a_run() -> None:
    rows, labels = problem()
    held = rows.take(np.arange(20))
    plan = Plan(200, 8, 0.3, 1, patience=3)
    learned = Run(DESIGN, rows, held, judge_by(labels[:20]), plan).go()
    assert learned.history.stopped == "early stopping"
    assert len(learned.history) == learned.epochs[0] + 3


@pytest.mark.parametrize("rows", [2, 5, 17])
def test_fewer_rows_than_a_batch(rows: int) -> None:
    few, _ = problem(rows)
    learned = Run(DESIGN, few, None, judge_by(few.t), Plan(3, 256, 0.04, 0)).go()
    assert len(learned.history) == 3


def test_folds_have_alike_keys() -> None:
    keys = np.repeat([0, 1, 2], [50, 20, 10])
    fold = folds(keys, 5, np.random.default_rng(0))
    counts = np.array([np.bincount(keys[fold == k], minlength=3) for k in range(5)])
    assert_allclose(counts, np.tile([10, 4, 2], (5, 1)))
    numbers = RNG.normal(size=103)
    fold = folds(numbers, 4, np.random.default_rng(1))
    assert np.ptp(np.bincount(fold)) <= 1
    means = [numbers[fold == k].mean() for k in range(4)]
    assert np.ptp(means) < 0.2
    other = folds(numbers, 4, np.random.default_rng(2))
    assert (fold != other).any()


# ---------------------------------------------------------------- calibration


@pytest.mark.parametrize("spread", [0.1, 1.0, 8.0])
def test_sharpness_is_the_best_one(spread: float) -> None:
    rng = np.random.default_rng(1)
    u = rng.normal(size=(300, 4)) * 2
    labels = np.array([rng.choice(4, p=softmax(row)) for row in u])
    w = rng.uniform(0.5, 2, 300)
    found = sharpness(spread * u, labels, w)
    best = minimize_scalar(
        lambda b: log_loss(b * spread * u, labels, w), bounds=(1e-3, 50),
        method="bounded", options={"xatol": 1e-10},
    )  # fmt: skip
    assert_allclose(found, best.x, rtol=1e-5)
    assert_allclose(found * spread, 1, rtol=0.25)  # the labels were drawn at 1


def test_sharpness_of_what_is_always_right_or_always_wrong_is_bounded() -> None:
    u = np.eye(3)
    assert 1 < sharpness(u, np.array([0, 1, 2])) <= 50
    assert 0 < sharpness(u, np.array([1, 2, 0])) < 1
    assert np.isfinite(sharpness(np.zeros((4, 2)), np.array([0, 1, 0, 1])))
