"""Losses by name: what they compare, and how scores become a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kokuban import ops
from kokuban.errors import unknown
from kokuban.expr import Expr

Link = Callable[[Expr], Expr]


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss for a network: how to compare its output with the target.

    compare   (output, target) -> 1×1; also takes weights=, N×1, where `weighted`
    link      the network's output as a prediction, such as softmax of scores
    classes   whether targets are classes: integer labels, or rows of probabilities
    """

    name: str
    compare: Callable[..., Expr]
    link: Link = ops.identity
    classes: bool = False
    weighted: bool = True


LOSSES = {
    loss.name: loss
    for loss in (
        Loss("softmax_cross_entropy", ops.softmax_cross_entropy, ops.softmax, True),
        Loss("sigmoid_cross_entropy", ops.sigmoid_cross_entropy, ops.sigmoid, True),
        Loss("cross_entropy", ops.cross_entropy, classes=True),
        Loss("binary_cross_entropy", ops.binary_cross_entropy, classes=True),
        Loss("mse", ops.mse),
        Loss("half_sum_of_squares", ops.half_sum_of_squares, weighted=False),
        Loss("mae", ops.mae),
        Loss("huber", ops.huber),
        Loss("quantile", ops.quantile),
        Loss("poisson", ops.poisson, ops.exp),
    )
}


def loss(kind: str | Loss | Callable[..., Expr]) -> Loss:
    """A loss by name, or a function (output, target) -> 1×1 as a loss of its own."""
    if isinstance(kind, Loss):
        return kind
    if callable(kind):
        name = getattr(kind, "__name__", "loss")
        return Loss(name, kind, weighted=False)
    if kind not in LOSSES:
        raise unknown("loss", kind, LOSSES)
    return LOSSES[kind]
