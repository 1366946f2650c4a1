"""Networks: layers, activations, initialisers and losses. Thin words over expressions."""

from kokuban.nn import init
from kokuban.nn.activations import (
    ELU,
    GELU,
    SELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    Mish,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Step,
    Tanh,
)
from kokuban.nn.build import Build
from kokuban.nn.layers import (
    Affine,
    BatchNorm,
    Dropout,
    Layer,
    LayerNorm,
    Residual,
    ScalarAffine,
    Sequential,
    TiedAffine,
)
from kokuban.nn.losses import LOSSES, Loss, loss

__all__ = [
    "ELU",
    "GELU",
    "LOSSES",
    "SELU",
    "Affine",
    "BatchNorm",
    "Build",
    "Dropout",
    "Identity",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "LogSoftmax",
    "Loss",
    "Mish",
    "ReLU",
    "Residual",
    "ScalarAffine",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Step",
    "Tanh",
    "TiedAffine",
    "init",
    "loss",
]
