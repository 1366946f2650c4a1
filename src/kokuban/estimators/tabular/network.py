"""What the tabular estimators compute, as expressions.

X N×d is the encoded data, T N×k the target. There are one or more *members*: networks of
one design, each with parameters of its own, which are trained in one pass because the
loss is the sum of theirs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from kokuban import ops
from kokuban.expr import Expr, Symbol, input, size, symbol, target
from kokuban.gradient import grad
from kokuban.nn import (
    SELU,
    Build,
    Layer,
    Mish,
    NTKAffine,
    PeriodicEmbedding,
    Scale,
    Sequential,
)
from kokuban.nn.build import Initial
from kokuban.nn.init import named
from kokuban.rewrite import simplify_all
from kokuban.run.compiled import Compiled
from kokuban.shape import SCALAR
from kokuban.train.network import WEIGHTS, Network

SHARPNESS = symbol("sharpness", SCALAR, "state")  # β = 1/temperature, of the scores
FLOOR = symbol("floor", SCALAR, "state")  # the share of the uniform distribution

ACTIVATIONS: dict[str, Callable[[], Layer]] = {"selu": SELU, "mish": Mish}

Compare = Callable[[Expr, Expr, Expr | None], Expr]  # (scores, target, weights) -> 1×1


@dataclass(frozen=True, slots=True)
class Design:
    """All that decides the networks and their loss.

    inputs      d
    outputs     how many scores a network gives
    hidden      the sizes of the hidden layers
    activation  "selu" or "mish"
    loss        "log_loss", "mse", "mae", "huber", "normal" or "quantile"
    smoothing   of the labels, with "log_loss"
    levels      of the quantiles, with "quantile"
    embedded    the inputs that get a periodic embedding
    members     how many networks
    folded      the embedding's masks are multiplied in, as prediction wants it
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...]
    activation: str
    loss: str
    smoothing: float = 0.0
    levels: tuple[float, ...] = ()
    embedded: tuple[int, ...] = ()
    members: int = 1
    folded: bool = False

    @property
    def targets(self) -> int:
        """k, the number of columns of T."""
        return self.outputs if self.loss == "log_loss" else 1


@dataclass(frozen=True, slots=True)
class Nets:
    """The networks of a design.

    x, t        the symbols of the data
    members     of each network its parameters and masks, with how they begin
    scores      of each network its output, N×outputs
    losses      of each network its loss as training minimises it
    layers      each layer's name and output, for messages
    """

    design: Design
    x: Symbol
    t: Symbol
    members: tuple[dict[Symbol, Initial], ...]
    scores: tuple[Expr, ...]
    layers: tuple[tuple[str, Expr], ...]

    def loss(self, weighted: bool) -> Expr:
        """The sum of the networks' losses."""
        compare = comparison(self.design)
        weights = WEIGHTS if weighted else None
        first, *rest = (compare(u, self.t, weights) for u in self.scores)
        for other in rest:
            first = first + other
        return first

    def network(self) -> Network:
        """The networks as one model, which predicts with all of them together."""
        return Network(
            self.loss(False),
            self.loss(True),
            self.loss(False),
            together(self.design, self.scores),
            {},
            self.layers,
            classes=self.design.loss == "log_loss",
        )


@lru_cache(maxsize=64)
def nets(design: Design) -> Nets:
    """X, scaled by a learned gain a column, through affine layers in NTK parametrisation.

    H₀ = [X, its embedding] ⊙ Dup(g); Hᵢ = a(Hᵢ₋₁ Wᵢ/√dᵢ + Dup(bᵢ)); the scores are an
    affine layer of the last H, and beside it a linear model, X S/√d. Both begin as 0.
    """
    build = Build(training=True)
    x, t = input("X", ("N", design.inputs)), target("T", ("N", design.targets))
    members: list[dict[Symbol, Initial]] = []
    scores = []
    for _ in range(design.members):
        before = set(build.initial)
        net = _one(design)
        scores.append(net(x, build) + _shortcut(design, net, x, build))
        members.append({s: b for s, b in build.initial.items() if s not in before})
    return Nets(design, x, t, tuple(members), tuple(scores), tuple(build.outputs))


def _one(design: Design) -> Sequential:
    layers: list[Layer] = []
    width = design.inputs
    if design.embedded:
        embedding = PeriodicEmbedding(design.inputs, design.embedded)
        layers.append(Waves(embedding) if design.folded else embedding)
        width = embedding.outputs
    layers.append(Scale(width))
    for before, after in pairwise((width, *design.hidden)):
        layers += [NTKAffine(before, after), ACTIVATIONS[design.activation]()]
    zeros = named("zeros")
    layers.append(NTKAffine(design.hidden[-1], design.outputs, zeros, zeros))
    return Sequential(*layers)


@dataclass(frozen=True, eq=False)
class Waves(Layer):
    """[X, cos(2π (X G + c)) V + d]: a PeriodicEmbedding with G = C (F ⊙ M), V for V ⊙ K.

    C, F, M and K as there; the same bits, and fewer products.
    """

    embedding: PeriodicEmbedding

    def __call__(self, x: Expr, build: Build) -> Expr:
        """X with its waves beside it."""
        n = len(self.embedding.columns)
        p, q = n * self.embedding.frequencies, n * self.embedding.size
        zeros = named("zeros")
        made = build.parameters(
            self,
            "embedding",
            frequency=("G", (self.embedding.inputs, p), zeros),
            phase=("phase", (1, p), zeros),
            weight=("V", (p, q), zeros),
            shift=("shift_of_V", (1, q), zeros),
        )
        waves = x @ made["frequency"] + made["phase"]
        return ops.join(x, ops.cos(2 * math.pi * waves) @ made["weight"] + made["shift"])


def folded(member: Mapping[Symbol, np.ndarray]) -> list[np.ndarray]:
    """A member's values with its embedding's masks multiplied in, in their new order."""
    f, phase, v, shift, choice, inner, outer, *rest = member.values()
    return [choice @ (f * inner), phase, v * outer, shift, *rest]


def _shortcut(design: Design, net: Sequential, x: Expr, build: Build) -> Expr:
    """X S/√d, S d×outputs."""
    shape = (design.inputs, design.outputs)
    made = build.parameters(net, "shortcut", weight=("S", shape, named("zeros")))
    return (x @ made["weight"]) * (1 / math.sqrt(design.inputs))


# ---------------------------------------------------------------- losses


def comparison(design: Design) -> Compare:
    """The loss of scores for a target; a mean over samples."""

    def log_loss(u: Expr, t: Expr, w: Expr | None) -> Expr:
        smooth = ops.label_smoothing(t, amount=design.smoothing)
        return ops.softmax_cross_entropy(u, smooth, weights=w)

    def normal(u: Expr, t: Expr, w: Expr | None) -> Expr:
        return ops.gaussian(u[:, 0], u[:, 1], t, weights=w)

    def quantiles(u: Expr, t: Expr, w: Expr | None) -> Expr:
        first, *rest = (
            ops.quantile(u[:, k], t, level=level, weights=w)
            for k, level in enumerate(design.levels)
        )
        for other in rest:
            first = first + other
        return first / len(design.levels)

    known: dict[str, Compare] = {
        "log_loss": log_loss,
        "mse": lambda u, t, w: ops.mse(u, t, weights=w),
        "mae": lambda u, t, w: ops.mae(u, t, weights=w),
        "huber": lambda u, t, w: ops.huber(u, t, weights=w),
        "normal": normal,
        "quantile": quantiles,
    }
    return known[design.loss]


def together(design: Design, scores: tuple[Expr, ...]) -> Expr:
    """The networks' common prediction.

    Of classes the mean of softmax(β U), mixed with the uniform distribution:
    (1 - φ)·Y + φ/K. Of a normal distribution the mean and the log of the variance of the
    mixture; else the mean of the scores.
    """
    count = len(scores)
    if design.loss == "log_loss":
        y = _mean([ops.softmax(SHARPNESS * u) for u in scores])
        return (1 - FLOOR) * y + FLOOR / size(y.shape[1])
    if design.loss == "normal" and count > 1:
        means = [u[:, 0] for u in scores]
        centre = _mean(means)
        squares = [
            ops.exp(u[:, 1]) + (m - centre) ** 2
            for u, m in zip(scores, means, strict=True)
        ]
        return ops.join(centre, ops.log(_mean(squares)))
    return _mean(list(scores))


def _mean(parts: list[Expr]) -> Expr:
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total / len(parts) if len(parts) > 1 else total


@lru_cache(maxsize=64)
def scoring(design: Design) -> Compiled:
    """The members' scores, prepared to be run."""
    return Compiled(simplify_all(nets(design).scores))


@lru_cache(maxsize=64)
def slopes(design: Design) -> Compiled:
    """Σ Y ⊙ P by X, N×d: with one 1 in each row of P, that output's slope."""
    made = nets(design)
    y = together(design, made.scores)
    chosen = input("P", y.shape)
    return Compiled(simplify_all([grad(ops.sum(y * chosen), made.x)]))


def begin(
    members: dict[Symbol, Initial], seed: int, member: int
) -> dict[Symbol, np.ndarray]:
    """Start values: a function of the seed and the member's number."""
    rng = np.random.default_rng([seed, member])
    return {s: initial(rng, s.shape, np.float32) for s, initial in members.items()}
