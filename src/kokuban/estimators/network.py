"""What the estimators compute, as expressions, and the programs that run them.

Expressions are interned, so the same design gives the same `Problem`, and what is
prepared for it (gradients, programs, a trainer) is kept for the next fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

import numpy as np

from kokuban import ops
from kokuban.estimators.outputs import EPSILON, Activation, Loss, activation, judged
from kokuban.expr import (
    Expr,
    Symbol,
    constant,
    input,
    size,
    substitute,
    symbol,
    target,
)
from kokuban.gradient import grad
from kokuban.nn import (
    Affine,
    BatchNorm,
    Build,
    Dropout,
    Layer,
    LayerNorm,
    Sequential,
    TiedAffine,
)
from kokuban.nn.build import Initial
from kokuban.optim import Optimizer
from kokuban.rewrite import simplify_all
from kokuban.run.compiled import Compiled
from kokuban.shape import SCALAR
from kokuban.train.loop import Trainer
from kokuban.train.network import WEIGHTS

ALPHA = symbol("alpha", SCALAR, "setting")  # the strength of the L2 penalty

NORMALIZATIONS: dict[str, type[BatchNorm | LayerNorm]] = {
    "batch": BatchNorm,
    "layer": LayerNorm,
}


@dataclass(frozen=True, slots=True)
class Hidden:
    """A hidden layer: how many units, what they do, and how many are dropped."""

    size: int
    activation: Activation = "relu"
    dropout: float = 0.0


@dataclass(frozen=True, slots=True)
class Design:
    """All that decides a network and its loss.

    inputs, outputs   d and k
    hidden            the hidden layers; an autoencoder's down to its code
    out               the output activation
    loss              by name, or a function (y, t)
    normalization     between a hidden layer's affine part and its activation
    weighted          whether samples have weights
    """

    inputs: int
    hidden: tuple[Hidden, ...]
    outputs: int
    out: Activation
    loss: Loss
    normalization: str | None = None
    weighted: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """A network and its loss, in the symbols below. Shapes: X N×d, T N×k, U N×k.

    sizes        of the layers, from d to k
    activations  the activation that each weight's scale is chosen for
    x, t         the symbols of the data; an autoencoder's T is X
    weights      the matrices W, in the order of coefs_
    biases       the rows b, in the order of intercepts_
    norms        the normalisations' rows and how they begin
    hidden       the hidden layers' outputs, as prediction computes them
    output       the prediction
    misfit       the loss in training, dropout and batch statistics in it, no penalty
    objective    what training minimises: the misfit with the penalty
    reported     the same as scikit-learn reports it
    evaluation   the reported loss as prediction computes it, without the penalty
    updates      new values of the running statistics
    layers       each layer's name and output in training, for messages
    whole        whether the loss can be computed of all rows at once only
    code         an autoencoder's middle layer, N×h, and `decoded` the output as an
                 expression of it, by the symbol H
    """

    sizes: tuple[int, ...]
    activations: tuple[Activation, ...]
    x: Symbol
    t: Symbol | None
    weights: tuple[Symbol, ...]
    biases: tuple[Symbol, ...]
    norms: tuple[tuple[Symbol, Initial], ...]
    hidden: tuple[Expr, ...]
    output: Expr
    misfit: Expr
    objective: Expr
    reported: Expr
    evaluation: Expr
    updates: tuple[tuple[Symbol, Expr], ...]
    layers: tuple[tuple[str, Expr], ...]
    whole: bool
    code: Expr | None = None
    decoded: Expr | None = None

    @property
    def parameters(self) -> tuple[Symbol, ...]:
        """All parameters: the weights, the biases, then the normalisations'."""
        own = tuple(s for s, _ in self.norms if s.role == "parameter")
        return self.weights + self.biases + own


Block = list[Layer]  # a hidden layer with its normalisation, activation and dropout


def _block(affine: Layer, hidden: Hidden, normalization: str | None) -> Block:
    block = [affine]
    if normalization is not None:
        block.append(NORMALIZATIONS[normalization](hidden.size))
    block.append(activation(hidden.activation))
    if hidden.dropout:
        block.append(Dropout(hidden.dropout))
    return block


def _through(blocks: Sequence[Block], x: Expr, build: Build) -> list[Expr]:
    """The output of each block."""
    outputs = []
    for block in blocks:
        x = Sequential(*block)(x, build)
        outputs.append(x)
    return outputs


def _problem(
    design: Design, hidden: Sequence[Hidden], blocks: Sequence[Block], t: Symbol | None
) -> Problem:
    """The problem of a network of blocks, the last its output: a loss with a penalty.

    α/(2S) Σ w², S the number of samples or the sum of their weights.
    """
    x = input("X", ("N", design.inputs))
    training, prediction = Build(training=True), Build(training=False)
    *_, u = _through(blocks, x, training)
    *plain, last = _through(blocks, x, prediction)
    begins = {**training.initial, **prediction.initial}
    weights = tuple(s for s in begins if s.name.startswith("W"))
    biases = tuple(s for s in begins if s.name.startswith(("b", "c")))
    norms = tuple((s, b) for s, b in begins.items() if s not in weights + biases)
    truth, counts = (x if t is None else t), (WEIGHTS if design.weighted else None)
    output = judged(design.loss, design.out, design.outputs)
    shrinkage = _shrinkage(weights, counts)
    misfit = output.objective(u, truth, counts)
    kinds = tuple(h.activation for h in hidden)
    return Problem(
        sizes=(design.inputs, *(h.size for h in hidden), design.outputs),
        activations=(*kinds, *kinds[-1:]),
        x=x,
        t=t,
        weights=weights,
        biases=biases,
        norms=norms,
        hidden=tuple(plain),
        output=output.link(last),
        misfit=misfit,
        objective=misfit + shrinkage,
        reported=output.reported(u, truth, counts) + shrinkage,
        evaluation=output.reported(last, truth, counts),
        updates=tuple(training.updates.items()),
        layers=tuple(training.outputs),
        whole=output.whole,
    )


def _shrinkage(weights: Sequence[Symbol], counts: Symbol | None) -> Expr:
    penalty = ops.l2(weights[0])
    for w in weights[1:]:
        penalty = penalty + ops.l2(w)
    return ALPHA * penalty / (size("N") if counts is None else ops.sum(counts))


@lru_cache(maxsize=64)
def perceptron(design: Design) -> Problem:
    """Affine layers, each but the last with its activation."""
    units = (design.inputs, *(h.size for h in design.hidden), design.outputs)
    *inner, last = (Affine(a, b) for a, b in pairwise(units))
    blocks = [
        _block(affine, h, design.normalization)
        for affine, h in zip(inner, design.hidden, strict=True)
    ]
    t = target("T", ("N", design.outputs))
    return _problem(design, design.hidden, [*blocks, [last]], t)


@lru_cache(maxsize=64)
def autoencoder(design: Design, tied: bool) -> Problem:
    """Down through the hidden layers to the last, the code, and up again to the input.

    With `tied` each layer up has the transposed weight of its layer down. A hidden layer
    on the way up is like the one of its size on the way down.
    """
    units = (design.inputs, *(h.size for h in design.hidden))
    down = [Affine(a, b) for a, b in pairwise(units)]
    up: list[Layer] = [
        TiedAffine(a) if tied else Affine(a.outputs, a.inputs) for a in reversed(down)
    ]
    hidden = (*design.hidden, *reversed(design.hidden[:-1]))
    blocks = [
        _block(affine, h, design.normalization)
        for affine, h in zip([*down, *up[:-1]], hidden, strict=True)
    ]
    found = _problem(design, hidden, [*blocks, [up[-1]]], None)
    code = found.hidden[len(down) - 1]
    (decoded,) = substitute([found.output], {code: input("H", code.shape)})
    return replace(found, code=code, decoded=decoded)


@lru_cache(maxsize=128)
def program(*outputs: Expr) -> Compiled:
    """Expressions simplified and prepared to be run."""
    return Compiled(simplify_all(outputs))


@lru_cache(maxsize=64)
def losses_and_gradients(problem: Problem) -> Compiled:
    """The objective, the reported loss, and gradients of the first by each parameter."""
    gradients = grad(problem.objective, problem.parameters)
    return Compiled(simplify_all([problem.objective, problem.reported, *gradients]))


@lru_cache(maxsize=64)
def slope_by_input(problem: Problem) -> Compiled:
    """Σ Y ⊙ P by X, N×d: with one 1 in each row of P, that output's slope by the row."""
    chosen = input("P", problem.output.shape)
    return Compiled(simplify_all([grad(ops.sum(problem.output * chosen), problem.x)]))


@lru_cache(maxsize=64)
def _template(problem: Problem, optimizer: Optimizer, dtype: str) -> Trainer:
    # as a number in the plan: a symbol would be worked with before any row is
    unit: dict[Expr, Expr] = {EPSILON: constant(np.finfo(dtype).eps)}
    (reported,) = substitute([problem.reported], unit)
    return Trainer(
        problem.objective,
        optimizer,
        {},
        updates=dict(problem.updates),
        reported=reported,
        layers=problem.layers,
        dtype=dtype,
    )


def trainer(problem: Problem, optimizer: Optimizer, dtype: str, seed: int) -> Trainer:
    """A trainer whose slots are 0 and whose other values are still to be given.

    Copies of one template share its program and nothing that changes.
    """
    made = copy(_template(problem, optimizer, dtype))
    made.seed = seed
    return made
