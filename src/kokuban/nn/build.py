"""What layers note down while they turn an expression into the next one."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

from kokuban.expr import Expr, Symbol, parameter, symbol
from kokuban.shape import Shape

Initial = Callable[..., Any]  # (rng, shape, dtype) -> array

DRAW = symbol("draw", (1, 2), "counter")  # the seed and number of a random draw


@dataclass(slots=True)
class Build:
    """One pass through a network, for training or for prediction.

    Both passes give parameters the same names, so they share them.
    """

    training: bool
    initial: dict[Symbol, Initial] = field(default_factory=dict)
    updates: dict[Symbol, Expr] = field(default_factory=dict)  # new values of states
    outputs: list[tuple[str, Expr]] = field(default_factory=list)  # layer by layer
    _made: dict[Hashable, dict[str, Symbol]] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def count(self, kind: str) -> int:
        """1, 2, 3, … for each kind of thing."""
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return self._counts[kind]

    def parameters(
        self, layer: Hashable, kind: str, **wanted: tuple[str, Shape, Initial]
    ) -> dict[str, Symbol]:
        """A layer's parameters, numbered by kind; the same again for the same layer."""
        if layer not in self._made:
            number = self.count(kind)
            made = {}
            for key, (stem, shape, initial) in wanted.items():
                made[key] = parameter(f"{stem}{number}", shape)
                self.initial[made[key]] = initial
            self._made[layer] = made
        return self._made[layer]

    def made_by(self, layer: Hashable) -> dict[str, Symbol] | None:
        """The parameters that a layer has made in this pass, or None."""
        return self._made.get(layer)

    def state(self, name: str, shape: Shape, initial: Initial) -> Symbol:
        """A matrix that training updates and no gradient reaches."""
        made = symbol(name, shape, "state")
        self.initial[made] = initial
        return made
