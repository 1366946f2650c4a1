"""The same training in each library.

A contender is a function of a module here: from a job and what is given with it, it
builds the net and puts the data where its library wants them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Ready:
    """A contender that can begin.

    first    losses of so many first steps, from the start weights
    epochs   seconds that so many epochs take
    predict  the probabilities of one row
    """

    first: Callable[[int], list[float]]
    epochs: Callable[[int], float]
    predict: Callable[[], object]


@dataclass(frozen=True)
class Contender:
    """Where a contender is found, and the library that it needs."""

    name: str
    module: str
    function: str
    library: str

    @property
    def installed(self) -> bool:
        """Whether the library is there."""
        return find_spec(self.library) is not None


OURS = Contender("kokuban", "ours", "native", "kokuban")
CONTENDERS = (
    OURS,
    Contender("kokuban on NumPy", "ours", "on_numpy", "kokuban"),
    Contender("NumPy by hand", "by_hand", "written_out", "numpy"),
    Contender("scikit-learn", "scikit", "classifier", "sklearn"),
    Contender("PyTorch eager", "pytorch", "eager", "torch"),
    Contender("torch.compile", "pytorch", "compiled", "torch"),
    Contender("JAX per step", "xla", "per_step", "jax"),
    Contender("JAX scan", "xla", "scan", "jax"),
)
