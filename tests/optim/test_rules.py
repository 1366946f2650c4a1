"""Every update rule against a plain loop written from its paper, and against torch."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest

import kokuban as kb
from kokuban.expr import order
from kokuban.optim import (
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Cosine,
    Momentum,
    Nesterov,
    Optimizer,
    RMSprop,
)
from kokuban.rewrite import simplify_all

Weights = list[np.ndarray]
Gradient = Callable[[int, Weights], Weights]


def sgd(w: Weights, gradient: Gradient, rate: float, decay: float) -> Iterator[Weights]:
    for k in range(20):
        w = [p - rate * (g + decay * p) for p, g in zip(w, gradient(k, w), strict=True)]
        yield w


def polyak(w: Weights, gradient: Gradient, rate: float, mu: float) -> Iterator[Weights]:
    """The heavy ball in its two-step form, without a velocity."""
    before = w
    for k in range(20):
        g = gradient(k, w)
        after = [
            p - rate * s + mu * (p - q) for p, q, s in zip(w, before, g, strict=True)
        ]
        before, w = w, after
        yield w


def nesterov(w: Weights, gradient: Gradient, rate: float, mu: float) -> Iterator[Weights]:
    """Sutskever et al., eq. 3 and 4: the gradient at θ + μ v. Gives that point."""
    theta, v = w, [np.zeros_like(p) for p in w]
    for k in range(20):
        ahead = [p + mu * s for p, s in zip(theta, v, strict=True)]
        v = [mu * s - rate * g for s, g in zip(v, gradient(k, ahead), strict=True)]
        theta = [p + s for p, s in zip(theta, v, strict=True)]
        yield [p + mu * s for p, s in zip(theta, v, strict=True)]


def rmsprop(
    w: Weights, gradient: Gradient, rate: float, rho: float, eps: float
) -> Iterator[Weights]:
    mean_square = [np.zeros_like(p) for p in w]
    for k in range(20):
        g = gradient(k, w)
        for i, _ in enumerate(w):
            mean_square[i] = rho * mean_square[i] + (1 - rho) * np.square(g[i])
        w = [
            p - rate / (np.sqrt(s) + eps) * h
            for p, s, h in zip(w, mean_square, g, strict=True)
        ]
        yield w


def adagrad(w: Weights, gradient: Gradient, rate: float, eps: float) -> Iterator[Weights]:
    """Duchi et al., figure 1: s the norm of all of a coordinate's gradients so far."""
    history: list[Weights] = [[] for _ in w]
    for k in range(20):
        g = gradient(k, w)
        for past, now in zip(history, g, strict=True):
            past.append(now)
        norms = [np.linalg.norm(np.stack(past), axis=0) for past in history]
        w = [p - rate * h / (eps + s) for p, h, s in zip(w, g, norms, strict=True)]
        yield w


def adam(
    w: Weights,
    gradient: Gradient,
    rate: float,
    beta1: float,
    beta2: float,
    eps: float,
    decoupled: float = 0.0,
    coupled: float = 0.0,
) -> Iterator[Weights]:
    """Kingma and Ba, algorithm 1; `decoupled` is Loshchilov and Hutter's, algorithm 2."""
    m = [np.zeros_like(p) for p in w]
    v = [np.zeros_like(p) for p in w]
    for t in range(1, 21):
        g = [h + coupled * p for h, p in zip(gradient(t - 1, w), w, strict=True)]
        for i, _ in enumerate(w):
            m[i] = beta1 * m[i] + (1 - beta1) * g[i]
            v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i]
        m_hat = [a / (1 - beta1**t) for a in m]
        v_hat = [a / (1 - beta2**t) for a in v]
        w = [
            p - rate * (a / (np.sqrt(b) + eps) + decoupled * p)
            for p, a, b in zip(w, m_hat, v_hat, strict=True)
        ]
        yield w


CASES = {
    "sgd": (SGD(0.1), sgd, (0.1, 0.0)),
    "sgd, decay": (SGD(0.1, weight_decay=0.2), sgd, (0.1, 0.2)),
    "momentum": (Momentum(0.05, momentum=0.8), polyak, (0.05, 0.8)),
    "nesterov": (Nesterov(0.05, momentum=0.8), nesterov, (0.05, 0.8)),
    "rmsprop": (RMSprop(0.1, epsilon=1e-3), rmsprop, (0.1, 0.9, 1e-3)),
    "adagrad": (Adagrad(0.5, epsilon=1e-3), adagrad, (0.5, 1e-3)),
    # a large ε shows where it is added
    "adam": (Adam(0.1, epsilon=0.1), adam, (0.1, 0.9, 0.999, 0.1)),
    "adam, other betas": (
        Adam(0.1, beta1=0.0, beta2=0.5),
        adam,
        (0.1, 0.0, 0.5, 1e-8),
    ),
    "adam, decay": (
        Adam(0.1, weight_decay=0.3),
        adam,
        (0.1, 0.9, 0.999, 1e-8, 0.0, 0.3),
    ),
    "adamw": (
        AdamW(0.1, weight_decay=0.3, epsilon=0.1),
        adam,
        (0.1, 0.9, 0.999, 0.1, 0.3),
    ),
    "adamw's own decay": (AdamW(0.1), adam, (0.1, 0.9, 0.999, 1e-8, 0.01)),
}


@pytest.mark.parametrize("simplify", [False, True], ids=["as written", "simplified"])
@pytest.mark.parametrize("case", CASES)
def test_rule_follows_its_paper(case, simplify, descend, problem) -> None:
    optimizer, oracle, settings = CASES[case]
    start = [problem.start["W"], problem.start["b"]]
    expected = oracle(start, lambda k, w: list(problem.gradient(k, *w)), *settings)
    ours = descend(optimizer, simplify=simplify)
    for step, (w, b) in enumerate(expected):
        np.testing.assert_allclose(ours[step]["W"], w, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(ours[step]["b"], b, rtol=1e-12, atol=1e-12)
    assert np.abs(ours[-1]["W"] - problem.start["W"]).max() > 0.1  # it went somewhere


def test_slots_hold_what_the_paper_calls_them(descend, problem) -> None:
    g, _ = problem.gradient(0, problem.start["W"], problem.start["b"])
    first = descend(Adam(), steps=1)[0]
    np.testing.assert_allclose(first["Adam.m(W)"], 0.1 * g, rtol=1e-14)
    np.testing.assert_allclose(first["Adam.v(W)"], 0.001 * g**2, rtol=1e-12)
    first = descend(Momentum(0.25), steps=1)[0]
    np.testing.assert_allclose(first["Momentum.v(W)"], -0.25 * g, rtol=1e-14)


TORCH = {
    "sgd": (SGD(0.1, weight_decay=0.2), "SGD", {"lr": 0.1, "weight_decay": 0.2}),
    # with a constant rate, velocity and torch's buffer differ by the factor -η only
    "momentum": (Momentum(0.05), "SGD", {"lr": 0.05, "momentum": 0.9}),
    "nesterov": (
        Nesterov(0.05),
        "SGD",
        {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    ),
    "rmsprop": (
        RMSprop(0.1, weight_decay=0.1),
        "RMSprop",
        {"lr": 0.1, "alpha": 0.9, "weight_decay": 0.1},
    ),
    "adagrad": (Adagrad(0.5), "Adagrad", {"lr": 0.5}),
    "adam": (Adam(0.1, weight_decay=0.1), "Adam", {"lr": 0.1, "weight_decay": 0.1}),
    "adamw": (AdamW(0.1), "AdamW", {"lr": 0.1}),
}


@pytest.mark.parametrize("case", TORCH)
@pytest.mark.parametrize("clip_norm", [None, 0.5], ids=["free", "clipped"])
def test_rule_agrees_with_torch(case, clip_norm, descend, problem) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    optimizer, name, settings = TORCH[case]
    plain = {f: getattr(optimizer, f) for f in optimizer.__dataclass_fields__}
    ours = descend(type(optimizer)(**{**plain, "clip_norm": clip_norm}))
    w, b = (torch.tensor(problem.start[n], requires_grad=True) for n in "Wb")
    theirs = getattr(torch.optim, name)([w, b], **settings)
    for k, (x, t) in enumerate(problem.batches):
        theirs.zero_grad()
        residual = torch.tensor(x) @ w + b - torch.tensor(t)
        residual.square().mean().backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_([w, b], clip_norm)
        theirs.step()
        # torch divides by the norm plus 1e-6
        tolerance = 1e-12 if clip_norm is None else 1e-5
        for name, value in (("W", w), ("b", b)):
            theirs_now = value.detach().numpy()
            np.testing.assert_allclose(ours[k][name], theirs_now, tolerance, tolerance)


SKLEARN = {
    "sgd": (Momentum(0.1, momentum=0.0), {"momentum": 0.0, "nesterov": False}),
    "momentum": (Momentum(0.1), {"momentum": 0.9, "nesterov": False}),
    "nesterov": (Nesterov(0.1), {"momentum": 0.9, "nesterov": True}),
}


def sklearn_steps(theirs, problem) -> Iterator[Weights]:
    w = [problem.start["W"].copy(), problem.start["b"].copy()]
    for k in range(20):
        theirs.update_params(w, list(problem.gradient(k, *w)))
        yield [p.copy() for p in w]


@pytest.mark.parametrize("case", SKLEARN)
def test_velocity_forms_are_scikit_learns(case, descend, problem) -> None:
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    optimizer, settings = SKLEARN[case]
    shapes = [problem.start["W"], problem.start["b"]]
    theirs = SGDOptimizer(shapes, learning_rate_init=0.1, **settings)
    ours = descend(optimizer)
    for mine, (w, b) in zip(ours, sklearn_steps(theirs, problem), strict=True):
        np.testing.assert_allclose(mine["W"], w, rtol=1e-14, atol=1e-15)
        np.testing.assert_allclose(mine["b"], b, rtol=1e-14, atol=1e-15)


def test_raw_epsilon_is_scikit_learns(descend, problem) -> None:
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer

    shapes = [problem.start["W"], problem.start["b"]]
    theirs = AdamOptimizer(shapes, learning_rate_init=0.1, epsilon=0.1)
    ours = descend(Adam(0.1, epsilon=0.1, epsilon_at="raw"))
    corrected = descend(Adam(0.1, epsilon=0.1))
    for mine, (w, b) in zip(ours, sklearn_steps(theirs, problem), strict=True):
        np.testing.assert_allclose(mine["W"], w, rtol=1e-13)
        np.testing.assert_allclose(mine["b"], b, rtol=1e-13)
    assert np.abs(corrected[0]["W"] - ours[0]["W"]).max() > 0.01


def test_a_changed_rate_leaves_old_steps_their_size(descend, problem) -> None:
    """The rate is inside the velocity, so the first step's share stays η₀ μ g₀."""
    from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

    schedule = Cosine(0.1)
    start = [problem.start["W"], problem.start["b"]]
    theirs = SGDOptimizer(start, momentum=0.9, nesterov=True)
    w = [p.copy() for p in start]
    ours = descend(Nesterov(schedule))
    for k, mine in enumerate(ours):
        theirs.learning_rate = schedule(kb.optim.Progress(k, total=20))
        theirs.update_params(w, list(problem.gradient(k, *w)))
        np.testing.assert_allclose(mine["W"], w[0], rtol=1e-13)


@pytest.mark.parametrize("optimizer", [Adam(0.1), AdamW(0.1)], ids=["adam", "adamw"])
def test_bias_correction_keeps_float32s_digits(optimizer, descend) -> None:
    """1 - 0.999ᵗ taken literally in float32 is off by 5e-5 at t = 1."""
    exact, single = descend(optimizer), descend(optimizer, dtype=np.float32)
    for step, (a, b) in enumerate(zip(exact, single, strict=True), 1):
        assert b["W"].dtype == np.float32
        moved = 0.1 * step
        assert np.abs(a["W"] - b["W"]).max() < 3e-6 * moved


def test_first_step_of_adam_has_the_length_of_the_rate(descend, problem) -> None:
    """Of one gradient g, m̂ is g and v̂ is g²: the step is η g/(|g| + ε)."""
    g, _ = problem.gradient(0, problem.start["W"], problem.start["b"])
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 2e-6)):
        moved = problem.start["W"] - descend(Adam(0.1), steps=1, dtype=dtype)[0]["W"]
        np.testing.assert_allclose(moved, 0.1 * g / (np.abs(g) + 1e-8), rtol=tolerance)


PASSES = {
    "sgd": (SGD(0.1), 2),
    "momentum": (Momentum(0.1), 4),
    "nesterov": (Nesterov(0.1), 6),
    "rmsprop": (RMSprop(), 9),
    "adagrad": (Adagrad(), 7),
    "adam": (Adam(), 12),
    "adamw": (AdamW(), 14),
    "norm clipped": (SGD(0.1, clip_norm=1.0), 5),
}


@pytest.mark.parametrize("case", PASSES)
def test_rule_takes_few_passes_over_the_matrix(case) -> None:
    optimizer, passes = PASSES[case]
    w, g = kb.parameter("W", (3, 2)), kb.input("G", (3, 2))
    new = list(optimizer.updates([w], [g]).assignments.values())
    for outputs in (new, simplify_all(new)):
        nodes = [n for n in order(outputs) if n.op and n.op.name != "broadcast"]
        assert sum(n.args[0].shape != (1, 1) for n in nodes) <= passes


def steepest(optimizer: Optimizer, steps: int) -> float:
    """How far from its minimum a stretched quadratic ends; 25 times as long as wide."""
    w = kb.parameter("w", (2, 1))
    scale = np.array([[1.0], [25.0]])
    loss = kb.half_sum_of_squares(kb.constant(scale**0.5) * w, np.ones((2, 1)))
    updates = optimizer.updates([w], [kb.grad(loss, w)])
    program = kb.run.Program(simplify_all(updates.assignments.values()))
    values = {s: np.zeros(s.shape) for s in updates.assignments}
    for k in range(steps):
        rate = optimizer.rate_at(kb.optim.Progress(k, total=steps))
        given = {updates.rate: np.array([[rate]]), updates.step: np.array([[k + 1.0]])}
        new = program({**values, **given})
        values = dict(zip(updates.assignments, new, strict=True))
    return float(np.abs(values[w] - 1 / scale**0.5).max())


QUADRATIC = {
    "sgd": SGD(0.03),
    "momentum": Momentum(0.03, momentum=0.8),
    "nesterov": Nesterov(0.03, momentum=0.8),
    "rmsprop": RMSprop(Cosine(0.1)),
    "adagrad": Adagrad(0.5),
    "adam": Adam(Cosine(0.1)),
    "adamw": AdamW(Cosine(0.1), weight_decay=0.0),
}


@pytest.mark.parametrize("name", QUADRATIC)
def test_rule_finds_the_minimum_of_a_quadratic(name) -> None:
    assert steepest(QUADRATIC[name], 0) == 1.0
    assert steepest(QUADRATIC[name], 1000) < 1e-4
