"""The numerical derivative of a loss by one parameter, with a bound on its error.

The bound has two parts. Rounding: the noise of the loss, measured, over the step.
Truncation: what changes when the step is doubled, or made a thousand times shorter. A
step at which the slope jumps is not used; an entry where it jumps at every step has no
derivative, and is named so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from kokuban.errors import DataError
from kokuban.expr import Expr, Symbol, input, order, substitute
from kokuban.gradcheck.schemes import (
    COMPLEX,
    COMPLEX_STEP,
    EPSILON,
    SCHEMES,
    Matrix,
    base_step,
    complex_slope,
    direction,
    noise,
    quotient,
    scale_of,
)
from kokuban.run import Program

Place = tuple[int, int]

SAFETY = 10.0  # of the measured noise, a deviation, to a bound
SHARP = 1e-4  # a bound this far below the derivative leaves nothing to improve
SHARE = 1e-6  # the same, against the largest entry of the gradient
NEARLY_ZERO = 1e-8  # of the steepness nearby
SHORT = 1024.0  # by how much the step that confirms another is shorter
FACTOR = 5  # powers of two between one step and the next that is tried
SMALLEST, LARGEST = 2.0**-37, 2.0**-2  # the steps that are tried, for |x| <= 1


def depending(outputs: Iterable[Expr], on: Symbol) -> list[Expr]:
    """The nodes under `outputs` whose value moves with a symbol, in order."""
    nodes = order(outputs)
    moving: set[Expr] = {on}
    for node in nodes:
        if any(a in moving for a in node.args):
            moving.add(node)
    return [node for node in nodes if node in moving]


class Loss:
    """An expression as a function of one symbol's value, and its kinks' quantities.

    What does not depend on the symbol is worked out once.
    """

    def __init__(
        self,
        expression: Expr,
        symbol: Symbol,
        values: Mapping[Symbol, Any],
        sizes: Mapping[str, int],
    ) -> None:
        kinks = [
            (node.op.name, quantity)
            for node in depending([expression], symbol)
            if node.op is not None and node.op.kinks is not None
            for quantity in node.op.kinks(*node.args, **dict(node.attrs))
        ]
        outputs = [expression, *(quantity for _, quantity in kinks)]
        moving = depending(outputs, symbol)
        fixed = list(dict.fromkeys(a for n in moving for a in n.args if a.op is not None))
        fixed = [node for node in fixed if node not in set(moving)]
        known = {node: input(f"{k}", node.shape) for k, node in enumerate(fixed)}
        self.symbol = symbol
        self.names = [name for name, _ in kinks]
        self._sizes = sizes
        self._values = dict(values)
        with np.errstate(all="ignore"):
            found = Program(fixed)(values, sizes=sizes)
        self._values.update(zip(known.values(), found, strict=True))
        self._program = Program(substitute(outputs, known))

    @property
    def value(self) -> Matrix:
        """The symbol's value, around which it is moved."""
        found: Matrix = self._values[self.symbol]
        return found

    def __call__(self, value: Matrix) -> tuple[complex, list[Matrix]]:
        """The loss and the kinks' quantities, zero where the derivative jumps."""
        try:
            with np.errstate(all="ignore"):
                found, *kinks = self._program(
                    {**self._values, self.symbol: value}, sizes=self._sizes
                )
        except DataError as error:
            raise DataError(
                f"{self.symbol.name} cannot be moved entry by entry, as a numerical "
                f"derivative must: {error}"
            ) from None
        return found.item(), kinks


class Line:
    """A loss along a line, value + s·along (there only), each point worked out once."""

    def __init__(self, loss: Loss, where: Any, along: Any) -> None:
        self._loss, self._where, self._along = loss, where, along
        self._known: dict[complex, tuple[complex, list[Matrix]]] = {}

    def __call__(self, s: complex) -> complex:
        """The loss at value + s·along, s a float or complex."""
        return self._at(s)[0]

    def _at(self, s: complex) -> tuple[complex, list[Matrix]]:
        if s not in self._known:
            real = isinstance(s, float)
            moved = self._loss.value.astype(np.float64 if real else np.complex128)
            moved[self._where] += s * self._along
            self._known[s] = self._loss(moved)
        return self._known[s]

    def touched(self, points: Iterable[float]) -> tuple[str, ...]:
        """The operations with a corner between these points, or one step beyond them."""
        if not self._loss.names:
            return ()
        rows = [self._at(s)[1] for s in sorted(points)]
        names = [
            name
            for name, quantity in zip(
                self._loss.names, zip(*rows, strict=True), strict=True
            )
            if _reaches_zero(np.stack(quantity))
        ]
        return tuple(dict.fromkeys(names))


def _reaches_zero(quantity: Matrix) -> bool:
    """Whether an entry, at points along axis 0, comes as near zero as it moves.

    Quantities that only touch zero, such as the gap between a row's two largest entries,
    are caught as well as those that change their sign.
    """
    with np.errstate(all="ignore"):
        change = np.abs(np.diff(quantity, axis=0)).max(axis=0)
        return bool(np.any((change > 0) & (np.abs(quantity).min(axis=0) <= change)))


@dataclass(frozen=True, slots=True)
class Estimate:
    """A derivative, the bounds on its two errors, and its step.

    `near` names the operations whose corners are met within the step; where the slopes
    differ from one side to the other there is no value, only NaN.
    """

    value: float
    rounding: float
    truncation: float
    step: float
    near: tuple[str, ...] = ()

    @property
    def undefined(self) -> bool:
        """Whether the derivative jumps here, as far as differences can tell."""
        return bool(self.near) and not math.isfinite(self.bound)

    @property
    def bound(self) -> float:
        """The bound on the whole error; infinite where there is no value."""
        total = self.rounding + self.truncation
        return total if math.isfinite(total) else math.inf


class Probe:
    """Numerical derivatives of a loss, whose gradient's largest entry is `largest`."""

    def __init__(
        self,
        loss: Loss,
        method: str,
        rtol: float,
        largest: float,
        rng: np.random.Generator,
    ) -> None:
        self._loss, self._method, self._rtol, self._largest = loss, method, rtol, largest
        self._noise: dict[float, float] = {}
        self._random = [direction(loss.value, rng) for _ in range(3)]

    def at(self, place: Place, expected: float) -> Estimate:
        """The derivative by one entry; `expected` only says which precision is needed."""
        line = Line(self._loss, place, 1.0)
        return self._derivative(line, expected, float(scale_of(self._loss.value[place])))

    def along(self, line: Line, expected: float) -> Estimate:
        """The derivative along a line whose direction has the entries' scale."""
        return self._derivative(line, expected, 1.0)

    def sees(self, found: Estimate, expected: float) -> bool:
        """Whether an error of a hundredth of it would show, or it is surely small.

        Small against the gradient's largest entry, or where all is nearly zero, as at a
        minimum, against how steep the loss is nearby.
        """
        size = max(abs(found.value), abs(expected))
        enough = max(1e-2 * size, 1e-3 * self._largest, NEARLY_ZERO * self.steepness)
        return found.bound <= enough or found.value == expected

    @cached_property
    def steepness(self) -> float:
        """The slope of the loss over a quarter of x's scale, 0 where it is not finite."""
        lines = [Line(self._loss, ..., v) for v in self._random]
        found = float(np.median([abs(line(0.25) - line(0.0)) * 4 for line in lines]))
        return found if math.isfinite(found) else 0.0

    def noise(self, start: float) -> float:
        """The rounding errors of the loss at this distance, but not below ε|L|."""
        if start not in self._noise:
            found = [self._noise_of_loss(v, start) for v in self._random]
            self._noise[start] = float(np.median(found))
        return self._noise[start]

    def _noise_of_loss(self, v: Matrix, start: float) -> float:
        line = Line(self._loss, ..., v)
        found = noise(line, start, lambda end: not line.touched((start, end)))
        return max(found, EPSILON * abs(line(start)))

    def _derivative(self, line: Line, expected: float, scale: float) -> Estimate:
        if self._method == COMPLEX:
            return self._complex(line, scale)
        tried: list[Estimate] = []
        for found in self._attempts(line, scale):
            tried.append(found)
            if self._settled(found, expected):
                break
            if found.undefined and _stays(line, found.near, scale):
                return found  # no step is small enough
        clear = [e for e in tried if not e.near]
        best = min(clear or tried, key=lambda e: e.bound)
        if best.near and self._doubtful(best, expected):
            return replace(best, value=math.nan, truncation=math.inf)
        return best

    def _doubtful(self, found: Estimate, expected: float) -> bool:
        """Whether a corner spoils the value, though the slopes on both sides agree.

        The value itself may jump, by as much on either side; or corners cancel, as in
        relu(x) - relu(-x) = x at 0, where what the rules take for their slopes need not
        be right.
        """
        size = max(abs(found.value), abs(expected))
        agrees = abs(found.value - expected) <= self._rtol * size + found.bound
        return not (agrees and self.sees(found, expected))

    def _settled(self, found: Estimate, expected: float) -> bool:
        size = max(abs(found.value), abs(expected))
        sharp = found.bound <= max(SHARP * size, SHARE * self._largest)
        return not found.near and (sharp or found.value == expected)

    def _attempts(self, line: Line, scale: float) -> Iterable[Estimate]:
        """At the usual step, then at smaller ones or at larger, as the errors ask.

        Where corners are near, at smaller ones until none is.
        """
        step, way = base_step(self._method), 0
        while SMALLEST <= step <= LARGEST:
            found = self._attempt(line, step, scale)
            yield found
            clear = math.isfinite(found.bound) and not found.near
            larger = clear and found.rounding > found.truncation
            turn = FACTOR if larger else -FACTOR
            if way and turn != way:
                return
            way = turn
            step *= 2.0**way

    def _attempt(self, line: Line, relative: float, scale: float) -> Estimate:
        scheme, h = SCHEMES[self._method], relative * scale
        value, coarse = quotient(line, scheme, h), quotient(line, scheme, 2 * h)
        rounding = SAFETY * self.noise(relative) * scheme.gain / h
        ends = {m * k * h for _, a, b in scheme.parts for k in (a, b) for m in (1, 2)}
        touched = line.touched({0.0, *ends, *(-s for s in ends)})
        if touched and _jump(line, h) > self._rtol * abs(value) + rounding:
            return Estimate(math.nan, math.inf, math.inf, h, touched)
        power = 1 if touched else scheme.order  # a smooth join leaves only first order
        truncation = 2 * abs(value - coarse) / (2**power - 1)
        # a step as long as a wave of the function fools the doubling, not a short one
        short = quotient(line, SCHEMES["central"], h / SHORT)
        beyond = abs(value - short) - SAFETY * self.noise(relative) * SHORT / h
        truncation += 2 * max(beyond, 0.0)
        return Estimate(value, rounding, truncation, h, touched)

    def _complex(self, line: Line, scale: float) -> Estimate:
        value = complex_slope(line)
        # that of the derived gradient counts here, and is not known: ε|L| stands for it
        own = EPSILON * (self._largest + abs(line(0.0)) / scale)
        rounding = SAFETY * (self._slope_noise / scale + own)
        return Estimate(value, rounding, 0.0, COMPLEX_STEP)

    @cached_property
    def _slope_noise(self) -> float:
        """The rounding errors of the slope that the complex step gives."""
        start = base_step("central")
        return float(np.median([self._noise_of_slope(v, start) for v in self._random]))

    def _noise_of_slope(self, v: Matrix, start: float) -> float:
        line = Line(self._loss, ..., v)
        return noise(lambda s: complex_slope(line, s.real), start)


def _stays(line: Line, near: tuple[str, ...], scale: float) -> bool:
    """Whether these corners (at least one) are met at the smallest step as well."""
    tiny = SMALLEST * scale
    return bool(near) and set(near) <= set(line.touched((-tiny, 0.0, tiny)))


def _jump(line: Line, h: float) -> float:
    """How far the slopes to the right and to the left differ, both of second order.

    Where the value itself jumps, both slopes are of the size of the jump over h.
    """
    here, sides = line(0.0).real, []
    for s in (h, -h):
        near, far = ((line(m * s).real - here) / (m * s) for m in (1, 2))
        sides.append(2 * near - far)
    gap = abs(sides[0] - sides[1])
    return gap if math.isfinite(gap) else math.inf


def places(shape: Sequence[int]) -> list[Place]:
    """Every place of a matrix, row by row."""
    return [(i, j) for i in range(shape[0]) for j in range(shape[1])]
