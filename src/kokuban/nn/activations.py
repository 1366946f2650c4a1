"""Activations as layers; the formulas are those of kokuban.ops."""

from __future__ import annotations

from kokuban import ops
from kokuban.expr import Expr
from kokuban.nn.build import Build
from kokuban.nn.layers import Layer, layer


@layer
class Identity(Layer):
    """x itself."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.identity(x)


@layer
class Step(Layer):
    """1 for x > 0, 0 for x < 0, `at_zero` at 0. No gradient passes it."""

    at_zero: float = 1.0

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.step(x, at_zero=self.at_zero)


@layer
class Sigmoid(Layer):
    """1 / (1 + e^-x)."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.sigmoid(x)


@layer
class Tanh(Layer):
    """The hyperbolic tangent."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.tanh(x)


@layer
class ReLU(Layer):
    """max(x, 0), with slope `at_zero` at 0."""

    at_zero: float = 0.0

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.relu(x, at_zero=self.at_zero)


@layer
class LeakyReLU(Layer):
    """x for x > 0, slope·x below."""

    slope: float = 0.01
    at_zero: float = 0.0

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.leaky_relu(x, slope=self.slope, at_zero=self.at_zero)


@layer
class ELU(Layer):
    """x for x > 0, alpha·(e^x - 1) below."""

    alpha: float = 1.0

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.elu(x, alpha=self.alpha)


@layer
class SELU(Layer):
    """ELU scaled to keep mean 0 and variance 1."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.selu(x)


@layer
class GELU(Layer):
    """x·Φ(x), Φ the normal distribution function."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.gelu(x)


@layer
class SiLU(Layer):
    """x·sigmoid(x)."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.silu(x)


@layer
class Mish(Layer):
    """x·tanh(softplus(x))."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.mish(x)


@layer
class Softplus(Layer):
    """ln(1 + e^x)."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.softplus(x)


@layer
class Softmax(Layer):
    """e^x over its row's sum."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.softmax(x)


@layer
class LogSoftmax(Layer):
    """x - ln of its row's sum of e^x."""

    def __call__(self, x: Expr, build: Build) -> Expr:
        return ops.log_softmax(x)


BY_NAME: dict[str, type[Layer]] = {
    "identity": Identity,
    "step": Step,
    "sigmoid": Sigmoid,
    "tanh": Tanh,
    "relu": ReLU,
    "leaky_relu": LeakyReLU,
    "elu": ELU,
    "selu": SELU,
    "gelu": GELU,
    "silu": SiLU,
    "mish": Mish,
    "softplus": Softplus,
    "softmax": Softmax,
    "log_softmax": LogSoftmax,
}
