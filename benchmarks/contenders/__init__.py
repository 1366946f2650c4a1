"""The same training in each library.

A contender is a function of a module here: from a job and what is given with it, it
builds the net and puts the data where its library wants them. Where the job shuffles, an
epoch takes the rows in a new random order, drawn and taken as is usual with the library;
of two usual ways, in the faster.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec


@dataclass(frozen=True)
class Ready:
    """A contender that can begin.

    first     losses of so many first steps, from the start weights, rows as they are
    train     so many epochs, shuffled if the job says so
    predict   the probabilities of one row
    prepares  whether `train` also does work that comes once, however many epochs follow
    """

    first: Callable[[int], list[float]]
    train: Callable[[int], object]
    predict: Callable[[], object]
    prepares: bool = False


@dataclass(frozen=True)
class Contender:
    """Where a contender is found, and the library that it needs.

    One that is `shuffling` is another only by how it shuffles, and runs nothing else.
    """

    name: str
    module: str
    function: str
    library: str
    shuffling: bool = False

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
    Contender("JAX scan, NumPy's order", "xla", "scan_ordered", "jax", shuffling=True),
)
