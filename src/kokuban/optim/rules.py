"""The update rules. w is a parameter, g its gradient (with weight decay), η the rate.

Products and quotients of matrices are entry by entry.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, final

from kokuban.expr import Expr, Symbol, as_expr
from kokuban.ops import expm1, sqrt
from kokuban.optim.optimizer import STEP, Learned, Optimizer
from kokuban.optim.schedule import Schedule
from kokuban.settings import (
    ABOVE_0,
    FROM_0_BELOW_1,
    FROM_0_TO_1,
    hold,
    hold_choice,
)


@final
@dataclass(frozen=True)
class SGD(Optimizer):
    """w ← w - η g.

    Robbins and Monro, "A stochastic approximation method" (1951).
    """

    rate: float | Schedule = 0.01

    def _check(self) -> None:
        """It has no settings of its own."""

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        return {p.symbol: p.symbol - p.rate * p.decayed}


@final
@dataclass(frozen=True)
class Momentum(Optimizer):
    """v ← μ v - η g;  w ← w + v.

    μ is `momentum`. Polyak, "Some methods of speeding up the convergence of iteration
    methods" (1964), the heavy ball; in this form Sutskever et al., "On the importance of
    initialization and momentum in deep learning" (2013), eq. 1 and 2. The rate is inside
    the velocity: after a change of η old steps keep their old size, as in scikit-learn
    and unlike PyTorch.
    """

    rate: float | Schedule = 0.01
    _: KW_ONLY
    momentum: float = 0.9

    def _check(self) -> None:
        hold(self, FROM_0_TO_1, "momentum")

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        v = self._slot("v", p)
        new_v = self.momentum * v - p.rate * p.decayed
        return {p.symbol: p.symbol + new_v, v: new_v}


@final
@dataclass(frozen=True)
class Nesterov(Optimizer):
    """v ← μ v - η g;  w ← w + μ v - η g, with the new v.

    μ is `momentum`. Nesterov's accelerated gradient (1983), in the form of Sutskever et
    al. (2013), eq. 3 and 4, where the gradient is taken ahead, at θ + μ v. Here w is that
    point itself, so that the gradient is taken at w: Bengio et al., "Advances in
    optimizing recurrent networks" (2013), arXiv:1212.0901, simplified Nesterov momentum.
    """

    rate: float | Schedule = 0.01
    _: KW_ONLY
    momentum: float = 0.9

    def _check(self) -> None:
        hold(self, FROM_0_TO_1, "momentum")

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        v = self._slot("v", p)
        step = p.rate * p.decayed
        new_v = self.momentum * v - step
        return {p.symbol: p.symbol + (self.momentum * new_v - step), v: new_v}


@final
@dataclass(frozen=True)
class RMSprop(Optimizer):
    """s ← ρ s + (1 - ρ) g²;  w ← w - η g/(√s + ε).

    ρ is `decay`, ε is `epsilon`. Tieleman and Hinton, "Neural networks for machine
    learning", lecture 6.5 (2012), with ρ = 0.9. The lecture has no ε; it keeps 0/0 away.
    """

    rate: float | Schedule = 0.001
    _: KW_ONLY
    decay: float = 0.9
    epsilon: float = 1e-8

    def _check(self) -> None:
        hold(self, FROM_0_BELOW_1, "decay")
        hold(self, ABOVE_0, "epsilon")

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        s, g = self._slot("s", p), p.decayed
        new_s = self.decay * s + (1 - self.decay) * g**2
        return {p.symbol: p.symbol - p.rate * g / (sqrt(new_s) + self.epsilon), s: new_s}


@final
@dataclass(frozen=True)
class Adagrad(Optimizer):
    """s ← s + g²;  w ← w - η g/(√s + ε).

    ε is `epsilon`. Duchi et al., "Adaptive subgradient methods for online learning and
    stochastic optimization" (2011), figure 1 with diagonal matrices, whose δ is ε.
    """

    rate: float | Schedule = 0.01
    _: KW_ONLY
    epsilon: float = 1e-10

    def _check(self) -> None:
        hold(self, ABOVE_0, "epsilon")

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        s, g = self._slot("s", p), p.decayed
        new_s = s + g**2
        return {p.symbol: p.symbol - p.rate * g / (sqrt(new_s) + self.epsilon), s: new_s}


EpsilonAt = Literal["corrected", "raw"]


def _still_missing(beta: float) -> Expr:
    """1 - β^t, the weight that a moving average from 0 has given to data so far.

    As -expm1(t ln β), since in float32 β^t is so near to 1 at first that the difference
    would keep few digits.
    """
    return -expm1(STEP * math.log(beta)) if beta > 0 else as_expr(1.0)


@final
@dataclass(frozen=True)
class Adam(Optimizer):
    """m ← β₁ m + (1 - β₁) g;  v ← β₂ v + (1 - β₂) g²;  w ← w - η m̂/(√v̂ + ε).

    m̂ = m/(1 - β₁ᵗ) and v̂ = v/(1 - β₂ᵗ), t the number of the update, from 1; β₁, β₂ and ε
    are `beta1`, `beta2`, `epsilon`. Kingma and Ba, "Adam: A method for stochastic
    optimization" (2015), arXiv:1412.6980, algorithm 1. With `epsilon_at="raw"` ε is added
    to √v, before the correction: η√(1 - β₂ᵗ)/(1 - β₁ᵗ)·m/(√v + ε), the form at the end of
    the paper's section 2, which scikit-learn follows.
    """

    rate: float | Schedule = 0.001
    _: KW_ONLY
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_at: EpsilonAt = "corrected"

    def _check(self) -> None:
        hold(self, FROM_0_BELOW_1, "beta1", "beta2")
        hold(self, ABOVE_0, "epsilon")
        hold_choice(self, "epsilon_at", ("corrected", "raw"))

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        m, v = self._slot("m", p), self._slot("v", p)
        step, new_m, new_v = _adam(self, m, v, p.decayed, p.rate)
        return {p.symbol: p.symbol - step, m: new_m, v: new_v}


@final
@dataclass(frozen=True)
class AdamW(Optimizer):
    """Adam, with the weight decay beside it: w ← w - η (m̂/(√v̂ + ε) + λ w).

    m, v, their corrections and the settings are Adam's; λ is `weight_decay` and does not
    pass through m and v. Loshchilov and Hutter, "Decoupled weight decay regularization"
    (2019), arXiv:1711.05101, algorithm 2. There the rate α does not multiply λ; here η
    does, as in PyTorch, so that this λ is theirs over α.
    """

    rate: float | Schedule = 0.001
    _: KW_ONLY
    weight_decay: float = 0.01
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    epsilon_at: EpsilonAt = "corrected"

    def _check(self) -> None:
        hold(self, FROM_0_BELOW_1, "beta1", "beta2")
        hold(self, ABOVE_0, "epsilon")
        hold_choice(self, "epsilon_at", ("corrected", "raw"))

    def _rule(self, p: Learned) -> dict[Symbol, Expr]:
        m, v = self._slot("m", p), self._slot("v", p)
        step, new_m, new_v = _adam(self, m, v, p.gradient, p.rate)
        if p.decay:
            step = step + p.decay * p.rate * p.symbol
        return {p.symbol: p.symbol - step, m: new_m, v: new_v}


def _adam(
    settings: Adam | AdamW, m: Symbol, v: Symbol, g: Expr, rate: Expr
) -> tuple[Expr, Expr, Expr]:
    """Adam's step, and the new m and v.

    With c₁ = 1 - β₁ᵗ and c₂ = 1 - β₂ᵗ, η (m/c₁)/(√(v/c₂) + ε) is (η√c₂/c₁) m/(√v + ε√c₂):
    the corrections are numbers, worked out once, and no pass over the matrices.
    """
    beta1, beta2 = settings.beta1, settings.beta2
    new_m = beta1 * m + (1 - beta1) * g
    new_v = beta2 * v + (1 - beta2) * g**2
    root = sqrt(_still_missing(beta2))
    corrected = settings.epsilon_at == "corrected"
    epsilon = settings.epsilon * root if corrected else settings.epsilon
    scale = rate * root / _still_missing(beta1)
    return scale * new_m / (sqrt(new_v) + epsilon), new_m, new_v
