"""Where training stands."""

from dataclasses import dataclass

import numpy as np

from kokuban.expr import Symbol


@dataclass(frozen=True, slots=True)
class State:
    """Where training stands: whole steps done, and the values they left."""

    step: int
    values: dict[Symbol, np.ndarray]
