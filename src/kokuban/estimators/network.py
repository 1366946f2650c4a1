"""What the estimators compute, as expressions, and the programs that run them.

Expressions are interned, so the same sizes and names give the same `Problem`, and what
is prepared for it (gradients, programs, a trainer) is kept for the next fit.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise

from kokuban import ops
from kokuban.expr import Expr, Symbol, input, size, substitute, symbol, target
from kokuban.gradient import grad
from kokuban.nn import Affine, Build, Layer, Sequential, Sigmoid, TiedAffine
from kokuban.nn.activations import BY_NAME
from kokuban.optim import Optimizer
from kokuban.rewrite import simplify_all
from kokuban.run import Program
from kokuban.shape import SCALAR
from kokuban.train.loop import Trainer
from kokuban.train.network import WEIGHTS

ALPHA = symbol("alpha", SCALAR, "setting")  # the strength of the L2 penalty
EPSILON = symbol("epsilon", SCALAR, "setting")  # the rounding unit of the run's type
TINY = 1e-30  # above 0 in float32 too

ACTIVATIONS: dict[str, type[Layer]] = {**BY_NAME, "logistic": Sigmoid}


@dataclass(frozen=True, slots=True)
class Problem:
    """A network and its loss, in the symbols below. Shapes: X N×d, T N×k, U N×k.

    sizes       of the layers, from d to k
    x, t        the symbols of the data; an autoencoder's T is X
    weights     the matrices W, in the order of coefs_
    biases      the rows b, in the order of intercepts_
    output      the prediction
    objective   what is minimised: its gradients are followed
    reported    the same as scikit-learn reports it
    layers      each layer's name and output, for messages
    code        an autoencoder's middle layer, N×h, and `decoded` the output as an
                expression of it, by the symbol H
    """

    sizes: tuple[int, ...]
    x: Symbol
    t: Symbol | None
    weights: tuple[Symbol, ...]
    biases: tuple[Symbol, ...]
    output: Expr
    objective: Expr
    reported: Expr
    layers: tuple[tuple[str, Expr], ...]
    code: Expr | None = None
    decoded: Expr | None = None

    @property
    def parameters(self) -> tuple[Symbol, ...]:
        """All parameters: the weights, then the biases."""
        return self.weights + self.biases


Measure = Callable[[Expr, Expr, Expr | None], Expr]  # (U, T, weights) -> 1×1


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the last layer's U: its prediction, and how that is judged.

    `reported` differs from `objective` where scikit-learn's loss attributes do not show
    what its gradients follow.
    """

    link: Callable[[Expr], Expr]
    objective: Measure
    reported: Measure


def _mean(losses: Expr, weights: Expr | None) -> Expr:
    """The mean over samples of each row's sum, or the mean weighted by sample."""
    if weights is None:
        return ops.sum(losses) / size("N")
    return ops.sum(losses * weights) / ops.sum(weights)


def _clipped(y: Expr) -> Expr:
    """Probabilities held at least a rounding unit away from 0 and 1."""
    return ops.maximum(ops.minimum(y, 1 - EPSILON), EPSILON)


def _squared_error(link: Callable[[Expr], Expr]) -> Output:
    """1/2 Σ (y - t)² a sample; reported as the mean over the outputs instead."""

    def objective(u: Expr, t: Expr, weights: Expr | None) -> Expr:
        return _mean(0.5 * (link(u) - t) ** 2, weights)

    def reported(u: Expr, t: Expr, weights: Expr | None) -> Expr:
        return objective(u, t, weights) / size(t.shape[1])

    return Output(link, objective, reported)


def _poisson_deviance(u: Expr, t: Expr, weights: Expr | None) -> Expr:
    """Σ t ln(t/y) - t + y a sample, y = e^u: 0 where y = t."""
    least = t * ops.log(ops.maximum(t, TINY)) - t  # t ln t, 0 at t = 0
    return _mean(least + (ops.exp(u) - t * u), weights)


# By the name in out_activation_. The log-losses are followed in their stable form and
# reported with clipped probabilities.
OUTPUTS = {
    "softmax": Output(
        ops.softmax,
        lambda u, t, w: ops.softmax_cross_entropy(u, t, weights=w),
        lambda u, t, w: ops.cross_entropy(_clipped(ops.softmax(u)), t, weights=w),
    ),
    "logistic": Output(
        ops.sigmoid,
        lambda u, t, w: ops.sigmoid_cross_entropy(u, t, weights=w),
        lambda u, t, w: ops.binary_cross_entropy(_clipped(ops.sigmoid(u)), t, weights=w),
    ),
    "identity": _squared_error(ops.identity),
    "exp": Output(
        ops.exp,
        lambda u, t, w: _mean(ops.exp(u) - t * u, w),
        _poisson_deviance,
    ),
}


def _problem(
    sizes: tuple[int, ...],
    t: Symbol | None,
    u: Expr,
    build: Build,
    output: Output,
    weighted: bool,
) -> Problem:
    """The problem of a network with the last layer U: the loss with its L2 penalty.

    α/(2S) Σ w², S the number of samples or the sum of their weights.
    """
    x = _input(sizes)
    truth = x if t is None else t
    sample_weight = WEIGHTS if weighted else None
    weights = tuple(s for s in build.initial if s.name.startswith("W"))
    biases = tuple(s for s in build.initial if s not in weights)
    penalty = ops.l2(weights[0])
    for w in weights[1:]:
        penalty = penalty + ops.l2(w)
    total = size("N") if sample_weight is None else ops.sum(sample_weight)
    shrinkage = ALPHA * penalty / total
    return Problem(
        sizes,
        x,
        t,
        weights,
        biases,
        output.link(u),
        output.objective(u, truth, sample_weight) + shrinkage,
        output.reported(u, truth, sample_weight) + shrinkage,
        tuple(build.outputs),
    )


def _input(sizes: tuple[int, ...]) -> Symbol:
    return input("X", ("N", sizes[0]))


@lru_cache(maxsize=64)
def perceptron(
    units: tuple[int, ...], activation: str, output: str, weighted: bool
) -> Problem:
    """Affine layers of the sizes `units`, inputs first, an activation between them."""
    layers: list[Layer] = []
    for inputs, outputs in pairwise(units):
        if layers:
            layers.append(ACTIVATIONS[activation]())
        layers.append(Affine(inputs, outputs))
    build, t = Build(training=True), target("T", ("N", units[-1]))
    u = Sequential(*layers)(_input(units), build)
    return _problem(units, t, u, build, OUTPUTS[output], weighted)


@lru_cache(maxsize=64)
def autoencoder(
    units: tuple[int, ...], activation: str, output: str, tied: bool, weighted: bool
) -> Problem:
    """Down through the sizes `units` to the code and up again to the input.

    With `tied` each layer up has the transposed weight of its layer down.
    """
    down = [Affine(a, b) for a, b in pairwise(units)]
    up: list[Layer] = [
        TiedAffine(a) if tied else Affine(a.outputs, a.inputs) for a in reversed(down)
    ]
    act, link, build = ACTIVATIONS[activation], ACTIVATIONS[output](), Build(True)
    encoder = Sequential(*(part for a in down for part in (a, act())))
    decoder = Sequential(*[part for a in up for part in (act(), a)][1:])
    code = encoder(_input(units), build)
    u, error = decoder(code, build), _squared_error(lambda v: link(v, build))
    sizes = (*units, *reversed(units[:-1]))
    found = _problem(sizes, None, u, build, error, weighted)
    (decoded,) = substitute([found.output], {code: input("H", code.shape)})
    return replace(found, code=code, decoded=decoded)


@lru_cache(maxsize=128)
def program(*outputs: Expr) -> Program:
    """Expressions simplified and prepared to be run."""
    return Program(simplify_all(outputs))


@lru_cache(maxsize=64)
def loss_and_gradients(problem: Problem) -> Program:
    """The objective, then its gradient by each parameter."""
    gradients = grad(problem.objective, problem.parameters)
    return Program(simplify_all([problem.objective, *gradients]))


@lru_cache(maxsize=64)
def _template(problem: Problem, optimizer: Optimizer, dtype: str) -> Trainer:
    return Trainer(
        problem.objective,
        optimizer,
        {},
        reported=problem.reported,
        layers=problem.layers,
        dtype=dtype,
    )


def trainer(problem: Problem, optimizer: Optimizer, dtype: str) -> Trainer:
    """A trainer whose slots are 0 and whose other values are still to be given.

    Copies of one template share its program and nothing that changes.
    """
    return copy(_template(problem, optimizer, dtype))
