"""The operations: importing this package fills the registry.

structure, arithmetic, linalg, elementwise, reduction and random hold the primitives,
one record each; composite holds names for expressions made of them.
"""

from kokuban.ops import (
    arithmetic,
    composite,
    elementwise,
    linalg,
    random,
    reduction,
    structure,
)
from kokuban.ops.arithmetic import *
from kokuban.ops.composite import *
from kokuban.ops.elementwise import *
from kokuban.ops.linalg import *
from kokuban.ops.random import *
from kokuban.ops.reduction import *
from kokuban.ops.structure import *

__all__ = [
    name
    for module in (
        structure,
        arithmetic,
        linalg,
        elementwise,
        reduction,
        random,
        composite,
    )
    for name in module.__all__
]
