"""Kokuban (黒板, the blackboard): networks as matrix formulas.

One immutable matrix expression and three readers of it: run it, explain it, check it.
``import kokuban as kb`` gives every public name; all but the operations are imported
when first used, so that the import itself loads the core and nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

# Not lazy: operators on expressions look their operation up in the registry, which
# importing this package fills.
from kokuban import ops as ops

if TYPE_CHECKING:  # what __getattr__ finds, in the form type checkers read
    from kokuban import (
        errors as errors,
        interchange as interchange,
        nn as nn,
        optim as optim,
    )
    from kokuban.explain import Derivation as Derivation
    from kokuban.expr import (
        Const as Const,
        Expr as Expr,
        Symbol as Symbol,
        constant as constant,
        input as input,
        parameter as parameter,
        target as target,
    )
    from kokuban.formula import board as board
    from kokuban.gradcheck import check as check, derive as derive
    from kokuban.gradient import grad as grad
    from kokuban.ops import (
        abs as abs,
        affine as affine,
        batch_norm as batch_norm,
        binary_cross_entropy as binary_cross_entropy,
        broadcast as broadcast,
        clip as clip,
        cos as cos,
        cross_entropy as cross_entropy,
        distribution as distribution,
        dropout_mask as dropout_mask,
        elu as elu,
        erf as erf,
        exp as exp,
        expm1 as expm1,
        gaussian as gaussian,
        gelu as gelu,
        half_sum_of_squares as half_sum_of_squares,
        huber as huber,
        identity as identity,
        join as join,
        l2 as l2,
        label_smoothing as label_smoothing,
        layer_norm as layer_norm,
        leaky_relu as leaky_relu,
        log as log,
        log_softmax as log_softmax,
        logsumexp as logsumexp,
        mae as mae,
        matmul as matmul,
        maximum as maximum,
        mean as mean,
        minimum as minimum,
        mish as mish,
        mse as mse,
        ones as ones,
        poisson as poisson,
        quantile as quantile,
        relu as relu,
        row_max as row_max,
        selu as selu,
        sigmoid as sigmoid,
        sigmoid_cross_entropy as sigmoid_cross_entropy,
        sign as sign,
        silu as silu,
        sin as sin,
        softmax as softmax,
        softmax_cross_entropy as softmax_cross_entropy,
        softplus as softplus,
        sqrt as sqrt,
        step as step,
        sum as sum,
        tanh as tanh,
        transpose as transpose,
        zeros as zeros,
    )
    from kokuban.rewrite import simplify as simplify
    from kokuban.run import evaluate as evaluate, set_num_threads as set_num_threads
    from kokuban.train import History as History, Model as Model, load as load

    __version__: str

_SUBMODULES = ("errors", "interchange", "nn", "ops", "optim")

# Every other public name, by the module it lives in.
_NAMES = {
    "expr": ("Const", "Expr", "Symbol", "constant", "input", "parameter", "target"),
    "ops": (
        "abs",
        "affine",
        "batch_norm",
        "binary_cross_entropy",
        "broadcast",
        "clip",
        "cos",
        "cross_entropy",
        "distribution",
        "dropout_mask",
        "elu",
        "erf",
        "exp",
        "expm1",
        "gaussian",
        "gelu",
        "half_sum_of_squares",
        "huber",
        "identity",
        "join",
        "l2",
        "label_smoothing",
        "layer_norm",
        "leaky_relu",
        "log",
        "log_softmax",
        "logsumexp",
        "mae",
        "matmul",
        "maximum",
        "mean",
        "minimum",
        "mish",
        "mse",
        "ones",
        "poisson",
        "quantile",
        "relu",
        "row_max",
        "selu",
        "sigmoid",
        "sigmoid_cross_entropy",
        "sign",
        "silu",
        "sin",
        "softmax",
        "softmax_cross_entropy",
        "softplus",
        "sqrt",
        "step",
        "sum",
        "tanh",
        "transpose",
        "zeros",
    ),
    "formula": ("board",),
    "gradient": ("grad",),
    "rewrite": ("simplify",),
    "run": ("evaluate", "set_num_threads"),
    "explain": ("Derivation",),
    "gradcheck": ("check", "derive"),
    "train": ("History", "Model", "load"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = ["__version__", *_SUBMODULES, *_HOME]

if not TYPE_CHECKING:  # type checkers would take any misspelt name for an `object`

    def __getattr__(name: str) -> object:
        """Import a public name from its module, once: then it is a plain attribute."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("kokuban")
        elif name in _SUBMODULES:
            value = import_module(f"kokuban.{name}")
        elif name in _HOME:
            value = getattr(import_module(f"kokuban.{_HOME[name]}"), name)
        else:
            raise AttributeError(f"module 'kokuban' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
