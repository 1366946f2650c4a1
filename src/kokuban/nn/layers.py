"""Layers: frozen records that turn an expression into the next one.

A layer is called with an expression and a `Build`. Using the same layer object twice
shares its parameters. Rows are samples throughout.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, TypeVar, dataclass_transform

import numpy as np

from kokuban import ops
from kokuban.errors import ExpressionError, SettingError, ShapeError
from kokuban.expr import Expr
from kokuban.nn.build import DRAW, Build, Initial
from kokuban.nn.init import Normal, named
from kokuban.settings import AT_LEAST_0, FROM_0_BELOW_1, hold, hold_flag, hold_whole

T = TypeVar("T")


@dataclass_transform(frozen_default=True, eq_default=False)
def layer(kind: type[T]) -> type[T]:
    """A layer as a frozen record; two equal layers are still two layers."""
    return dataclass(frozen=True, eq=False)(kind)


class Layer(ABC):
    """What every layer is: an expression in, an expression out."""

    @abstractmethod
    def __call__(self, x: Expr, build: Build) -> Expr:
        """The layer's output for the input x, its parameters noted in `build`."""

    @property
    def inputs_wanted(self) -> int | None:
        """How many columns the input must have, where the layer knows."""
        return None


def _initial(kind: str | Initial) -> Initial:
    return named(kind) if isinstance(kind, str) else kind


@layer
class Affine(Layer):
    """X W + Dup_N(b). Parameters: W inputs×outputs, b 1×outputs.

    `init` and `bias_init` are names ("he", "glorot", "lecun", "orthogonal", …) or
    initialisers of kokuban.nn.init.
    """

    inputs: int
    outputs: int
    bias: bool = True
    init: str | Initial = "glorot"
    bias_init: str | Initial = "zeros"

    def __post_init__(self) -> None:
        hold_flag(self, "bias")

    def __call__(self, x: Expr, build: Build) -> Expr:
        weight = ("W", (self.inputs, self.outputs), _initial(self.init))
        bias = ("b", (1, self.outputs), _initial(self.bias_init))
        wanted = {"weight": weight, "bias": bias} if self.bias else {"weight": weight}
        made = build.parameters(self, "affine", **wanted)
        if self.bias:
            return ops.affine(x, made["weight"], made["bias"])
        return x @ made["weight"]

    @property
    def inputs_wanted(self) -> int | None:
        return self.inputs


@layer
class TiedAffine(Layer):
    """Y Wᵀ + Dup_N(c), W the weight of another affine layer, c a bias of its own.

    The decoder of a tied autoencoder. W: inputs×outputs of the other layer, so that
    this one takes outputs to inputs; c 1×inputs.
    """

    of: Affine
    bias: bool = True
    bias_init: str | Initial = "zeros"

    def __post_init__(self) -> None:
        hold_flag(self, "bias")

    def __call__(self, x: Expr, build: Build) -> Expr:
        other = build.made_by(self.of)
        if other is None:
            raise ExpressionError(
                f"TiedAffine shares the weight of {self.of}, which must stand before it "
                "in the network."
            )
        if not self.bias:
            return x @ other["weight"].T
        wanted = ("c", (1, self.of.inputs), _initial(self.bias_init))
        made = build.parameters(self, "tied", bias=wanted)
        return ops.affine(x, other["weight"].T, made["bias"])

    @property
    def inputs_wanted(self) -> int | None:
        return self.of.outputs


@layer
class NTKAffine(Layer):
    """X W/√d + Dup_N(b), d the number of inputs. Parameters: W d×outputs, b 1×outputs.

    The neural tangent parametrisation: W begins as N(0, 1) and the factor 1/√d is in the
    formula, not in the start values, so that an update changes X W/√d alike for every d.
    Jacot et al., "Neural tangent kernel" (2018), arXiv:1806.07572, section 2.
    """

    inputs: int
    outputs: int
    init: str | Initial = Normal(1.0)
    bias_init: str | Initial = Normal(1.0)

    def __post_init__(self) -> None:
        hold_whole(self, "inputs", "outputs")

    def __call__(self, x: Expr, build: Build) -> Expr:
        weight = ("W", (self.inputs, self.outputs), _initial(self.init))
        bias = ("b", (1, self.outputs), _initial(self.bias_init))
        made = build.parameters(self, "affine", weight=weight, bias=bias)
        return (x @ made["weight"]) * (1 / math.sqrt(self.inputs)) + made["bias"]

    @property
    def inputs_wanted(self) -> int | None:
        return self.inputs


@layer
class Scale(Layer):
    """X ⊙ Dup_N(g): a learned factor for each column. Parameter: g 1×size, from 1."""

    size: int

    def __call__(self, x: Expr, build: Build) -> Expr:
        wanted = ("gain", (1, _columns(x, "Scale", self.size)), named("ones"))
        return x * build.parameters(self, "gain", gain=wanted)["gain"]

    @property
    def inputs_wanted(self) -> int | None:
        return self.size


@layer
class PeriodicEmbedding(Layer):
    """Of each chosen column x also V cos(2π (f x + c)) + d, `size` numbers, beside X.

    f and c are `frequencies` numbers for each such column, V turns their cosines into
    `size` numbers, and no column meets another. In matrices, C N×n the chosen columns,
    p = n·frequencies, q = n·size: cos(2π (C (F ⊙ M) + c)) (V ⊙ K) + d, with masks of 0
    and 1, M n×p and K p×q. Parameters: F n×p from N(0, deviation²), c 1×p from
    U(-½, ½), V p×q from N(0, 1/frequencies), d 1×q from 0.

    Gorishniy et al., "On embeddings for numerical features in tabular deep learning"
    (2022), arXiv:2203.05556, section 3.3; with phases and x beside it Holzmüller et al.,
    arXiv:2407.04491, section 3.
    """

    inputs: int
    columns: tuple[int, ...]
    frequencies: int = 16
    size: int = 3
    deviation: float = 0.1

    @property
    def outputs(self) -> int:
        """How many columns it gives."""
        return self.inputs + len(self.columns) * self.size

    def __call__(self, x: Expr, build: Build) -> Expr:
        n = len(self.columns)
        p, q = n * self.frequencies, n * self.size
        made = build.parameters(
            self,
            "embedding",
            frequency=("F", (n, p), named("normal", std=self.deviation)),
            phase=("phase", (1, p), named("uniform", low=-0.5, high=0.5)),
            weight=("V", (p, q), named("normal", std=1 / math.sqrt(self.frequencies))),
            shift=("shift_of_V", (1, q), named("zeros")),
        )
        number = made["frequency"].name.removeprefix("F")
        rows = _columns(x, "PeriodicEmbedding", self.inputs)
        choice = build.state(f"chosen{number}", (rows, n), self._choice)
        inner = build.state(f"mask_of_F{number}", (n, p), self._blocks)
        outer = build.state(f"mask_of_V{number}", (p, q), self._blocks)
        waves = (x @ choice) @ (made["frequency"] * inner) + made["phase"]
        found = ops.cos(2 * math.pi * waves) @ (made["weight"] * outer) + made["shift"]
        return ops.join(x, found)

    def _choice(self, rng: Any, shape: tuple[int, int], dtype: Any) -> Any:
        return np.eye(shape[0], dtype=dtype)[:, list(self.columns)]

    def _blocks(self, rng: Any, shape: tuple[int, int], dtype: Any) -> Any:
        """A block of ones for each chosen column, along the diagonal."""
        n = len(self.columns)
        one = np.ones((shape[0] // n, shape[1] // n), dtype)
        return np.kron(np.eye(n, dtype=dtype), one)

    @property
    def inputs_wanted(self) -> int | None:
        return self.inputs


@layer
class ScalarAffine(Layer):
    """w X + b with one weight and one bias, 1×1 each, for every entry.

    A 1×1 convolution of one channel.
    """

    init: str | Initial = "glorot"
    bias_init: str | Initial = "zeros"

    def __call__(self, x: Expr, build: Build) -> Expr:
        made = build.parameters(
            self,
            "scalar",
            weight=("w", (1, 1), _initial(self.init)),
            bias=("s", (1, 1), _initial(self.bias_init)),
        )
        return made["weight"] * x + made["bias"]


@layer
class Dropout(Layer):
    """In training, each entry is 0 with probability `rate`, else 1/(1 - rate) times x.

    In prediction x itself. Srivastava et al., JMLR 15 (2014).
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        hold(self, FROM_0_BELOW_1, "rate")

    def __call__(self, x: Expr, build: Build) -> Expr:
        stream = build.count("dropout")
        if not build.training or self.rate == 0:
            return x
        return x * ops.dropout_mask(DRAW, self.rate, x.shape, stream)


def _columns(x: Expr, name: str, size: int) -> int:
    if x.shape[1] != size:
        raise ShapeError(f"{name}({size}) meets {x.shape[1]} columns.")
    return size


@layer
class LayerNorm(Layer):
    """Each row to mean 0 and variance 1, times a scale plus a shift (1×size each).

    Ba et al., arXiv:1607.06450, eq. 4.
    """

    size: int
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        hold(self, AT_LEAST_0, "epsilon")

    def __call__(self, x: Expr, build: Build) -> Expr:
        size = _columns(x, "LayerNorm", self.size)
        made = build.parameters(self, "norm", **_scale_and_shift(size))
        return ops.layer_norm(x, made["scale"], made["shift"], epsilon=self.epsilon)

    @property
    def inputs_wanted(self) -> int | None:
        return self.size


@layer
class BatchNorm(Layer):
    """Each column to mean 0 and variance 1, times a scale plus a shift (1×size each).

    In training over the batch. For prediction a running mean and (biased) variance are
    kept: m·old + (1 - m)·new with m = `momentum`. Ioffe and Szegedy, arXiv:1502.03167.
    """

    size: int
    momentum: float = 0.9
    epsilon: float = 1e-5

    def __post_init__(self) -> None:
        hold(self, FROM_0_BELOW_1, "momentum")
        hold(self, AT_LEAST_0, "epsilon")

    def __call__(self, x: Expr, build: Build) -> Expr:
        size = _columns(x, "BatchNorm", self.size)
        made = build.parameters(self, "norm", **_scale_and_shift(size))
        name = made["scale"].name
        mean = build.state(f"mean({name})", (1, size), named("zeros"))
        variance = build.state(f"variance({name})", (1, size), named("ones"))
        if not build.training:
            centred = (x - mean) / ops.sqrt(variance + self.epsilon)
            return centred * made["scale"] + made["shift"]
        batch_mean = ops.mean(x, over="rows")
        batch_variance = ops.mean((x - batch_mean) ** 2, over="rows")
        m = self.momentum
        build.updates[mean] = m * mean + (1 - m) * batch_mean
        build.updates[variance] = m * variance + (1 - m) * batch_variance
        return ops.batch_norm(x, made["scale"], made["shift"], epsilon=self.epsilon)

    @property
    def inputs_wanted(self) -> int | None:
        return self.size


def _scale_and_shift(size: int) -> dict[str, tuple[str, tuple[int, int], Initial]]:
    return {
        "scale": ("scale", (1, size), named("ones")),
        "shift": ("shift", (1, size), named("zeros")),
    }


class Sequential(Layer):
    """Layers one after another."""

    def __init__(self, *layers: Layer) -> None:
        for number, item in enumerate(layers, 1):
            if not isinstance(item, Layer):
                raise SettingError(
                    "Sequential takes layers, such as kokuban.nn.ReLU(); number "
                    f"{number} is {item!r:.60}."
                )
        self.layers = layers

    def __call__(self, x: Expr, build: Build) -> Expr:
        for item in self.layers:
            number = build.count("layer")
            try:
                x = item(x, build)
            except ShapeError as error:
                raise ShapeError(f"In layer {number}, {item!r}: {error}") from None
            build.outputs.append((f"layer {number}, {item!r}", x))
        return x

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"

    @property
    def inputs_wanted(self) -> int | None:
        """The number of columns that the first layer with a size wants."""
        wanted = (item.inputs_wanted for item in self.layers)
        return next((w for w in wanted if w is not None), None)


class Residual(Layer):
    """x + f(x), f the layers given, whose output has the shape of x.

    He et al., arXiv:1512.03385, eq. 1.
    """

    def __init__(self, *layers: Layer) -> None:
        self.inner = Sequential(*layers)

    def __call__(self, x: Expr, build: Build) -> Expr:
        return x + self.inner(x, build)

    def __repr__(self) -> str:
        return f"Residual({', '.join(map(repr, self.inner.layers))})"

    @property
    def inputs_wanted(self) -> int | None:
        return self.inner.inputs_wanted
