"""What becomes of the last layer: the prediction, and how it is judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import signature
from typing import Any

from kokuban import ops
from kokuban.errors import SettingError
from kokuban.expr import Expr, input, size, symbol, target
from kokuban.nn import Build, Layer, Sigmoid
from kokuban.nn.activations import BY_NAME
from kokuban.nn.layers import layer
from kokuban.shape import SCALAR, show

EPSILON = symbol("epsilon", SCALAR, "setting")  # the rounding unit of the run's type
TINY = 1e-30  # above 0 in float32 too

Function = Callable[..., Expr]
Activation = str | Function  # a name, or a function of an expression
Loss = str | Function  # a name, or a function (y, t)
Measure = Callable[[Expr, Expr, Expr | None], Expr]  # (U, T, weights) -> 1×1

ACTIVATIONS: dict[str, type[Layer]] = {**BY_NAME, "logistic": Sigmoid}


def name_of(function: object) -> str:
    """A function's name for messages, that of a `functools.partial` included."""
    inner = getattr(function, "func", function)
    return str(getattr(inner, "__name__", type(inner).__name__))


# ---------------------------------------------------------------- activations


@layer
class Own(Layer):
    """An activation given as a function of an expression."""

    function: Function

    def __call__(self, x: Expr, build: Build) -> Expr:
        """The function of x; SettingError unless it gives a matrix of x's shape."""
        y: object = self.function(x)
        if not isinstance(y, Expr) or y.shape != x.shape:
            found = show(y.shape) if isinstance(y, Expr) else repr(y)[:60]
            raise SettingError(
                f"The activation {name_of(self.function)} must give an expression of "
                f"the shape it gets, {show(x.shape)}; it gives {found}."
            )
        return y

    def __repr__(self) -> str:
        return f"{name_of(self.function)}()"


def activation(kind: Activation) -> Layer:
    """An activation as a layer."""
    return ACTIVATIONS[kind]() if isinstance(kind, str) else Own(kind)


# ---------------------------------------------------------------- outputs


@dataclass(frozen=True, slots=True)
class Output:
    """What becomes of the last layer's U: its prediction, and how that is judged.

    `reported` differs from `objective` where scikit-learn's loss attributes do not show
    what its gradients follow. `whole` says that the loss is one number for all rows, of
    which nobody knows how it is put together from those of parts.
    """

    link: Callable[[Expr], Expr]
    objective: Measure
    reported: Measure
    whole: bool = False


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


# The log-losses, by the name in out_activation_, are followed in their stable form and
# reported with clipped probabilities.
LOG_LOSS = {
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
}
POISSON = Output(ops.exp, lambda u, t, w: _mean(ops.exp(u) - t * u, w), _poisson_deviance)

# Kokuban's losses of numbers, each a mean over all entries, under its name for them and
# under scikit-learn's.
OF_NUMBERS: dict[str, Function] = {
    "mae": ops.mae,
    "absolute_error": ops.mae,
    "huber": ops.huber,
    "quantile": ops.quantile,
}
REGRESSION = ("squared_error", "poisson", *OF_NUMBERS)


def judged(loss: Loss, out: Activation, columns: int) -> Output:
    """How outputs with the activation `out`, N×columns, are judged by a loss.

    Raises SettingError where a loss of someone's own gives what is no loss.
    """
    if loss == "log_loss":
        return LOG_LOSS[str(out)]
    if loss == "poisson":
        return POISSON
    last = activation(out)

    def link(u: Expr) -> Expr:
        return last(u, Build(training=False))

    if loss == "squared_error":
        return _squared_error(link)
    own = loss if callable(loss) else OF_NUMBERS[loss]
    shape = ("N", columns)
    shown = _compared(own, input("Y", shape), target("T", shape), None)

    def measure(u: Expr, t: Expr, weights: Expr | None) -> Expr:
        found = _compared(own, link(u), t, weights)
        return found if found.shape == SCALAR else _by_row(found, weights)

    whole = callable(loss) and shown.shape == SCALAR
    return Output(link, measure, measure, whole)


def _by_row(losses: Expr, weights: Expr | None) -> Expr:
    """The mean over samples of each row's mean, or the mean weighted by sample."""
    return _mean(ops.mean(losses, over="columns"), weights)


def _compared(loss: Function, y: Expr, t: Expr, weights: Expr | None) -> Expr:
    """What a loss function gives: N×k or N×1, or 1×1 with the weights in it."""
    name, weighs = name_of(loss), takes_weights(loss)
    extra: dict[str, Any] = {"weights": weights} if weighs and weights is not None else {}
    found: object = loss(y, t, **extra)
    if not isinstance(found, Expr):
        raise SettingError(
            f"The loss {name} must give an expression of the prediction y and the "
            f"target t, such as (y - t) ** 2; it gives {found!r:.60}."
        )
    if found.shape == SCALAR:
        if weights is not None and not weighs:
            raise SettingError(
                f"The loss {name} gives one number for all samples, so they cannot be "
                "weighted. Let it give the losses one by one, N×1, or take weights=."
            )
        return found
    if weighs or found.shape not in (y.shape, ("N", 1)):
        wanted = "1×1" if weighs else f"{show(y.shape)}, N×1 or 1×1"
        raise SettingError(f"The loss {name} gives {show(found.shape)}, not {wanted}.")
    return found


def takes_weights(function: Function) -> bool:
    """Whether a loss function has an argument for the samples' weights."""
    try:
        return "weights" in signature(function).parameters
    except (TypeError, ValueError):  # a built-in without a signature
        return False
