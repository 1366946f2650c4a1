"""Kokuban (黒板, the blackboard): networks as matrix formulas.

One immutable matrix expression and three readers of it: run it, explain it, check it.
``import kokuban as kb`` gives every public name; each is imported when first used, so
that the import itself costs NumPy and little more.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what __getattr__ finds, in the form type checkers read
    from kokuban import errors as errors
    from kokuban import nn as nn
    from kokuban import optim as optim
    from kokuban.expr import Const as Const
    from kokuban.expr import Expr as Expr
    from kokuban.expr import Symbol as Symbol
    from kokuban.expr import constant as constant
    from kokuban.expr import input as input
    from kokuban.expr import parameter as parameter
    from kokuban.expr import target as target
    from kokuban.gradcheck import check as check
    from kokuban.gradient import grad as grad
    from kokuban.rewrite import simplify as simplify
    from kokuban.run import evaluate as evaluate
    from kokuban.train import History as History
    from kokuban.train import Model as Model
    from kokuban.train import load as load

    __version__: str

# Public name -> the module it lives in; a module that is public itself maps to itself.
_HOME = {
    "errors": "errors",
    "nn": "nn",
    "optim": "optim",
    "Const": "expr",
    "Expr": "expr",
    "Symbol": "expr",
    "constant": "expr",
    "input": "expr",
    "parameter": "expr",
    "target": "expr",
    "check": "gradcheck",
    "grad": "gradient",
    "simplify": "rewrite",
    "evaluate": "run",
    "History": "train",
    "Model": "train",
    "load": "train",
}

__all__ = [*_HOME, "__version__"]

if not TYPE_CHECKING:  # type checkers would take any misspelt name for an `object`

    def __getattr__(name: str) -> object:
        """Import a public name from its module, once: then it is a plain attribute."""
        if name == "__version__":
            from importlib.metadata import version

            value = version("kokuban")
        elif name in _HOME:
            module = import_module(f"kokuban.{_HOME[name]}")
            value = module if name == _HOME[name] else getattr(module, name)
        else:
            raise AttributeError(f"module 'kokuban' has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
