"""Random matrices that are functions of a counter, so that a run can be repeated."""

from __future__ import annotations

from typing import Any

import numpy as np

from kokuban.errors import DataError, SettingError, ShapeError
from kokuban.expr import Expr, apply
from kokuban.op import ATOM, LOOSE, Operation, Sample, define
from kokuban.shape import Shape, shape_of


def dropout_mask(draw: Expr, rate: float, to: Shape, stream: int = 0) -> Expr:
    """A matrix of shape `to`: 0 with probability `rate`, else 1/(1 - rate).

    `draw` is a 1×2 counter symbol: the seed and the number of the draw, whole numbers
    from 0. Entry e (row by row) takes the e-th 32-bit half, low half first, of the words
    of Philox4x64-10 with key (seed, stream) and counter (0, draw, 0, 0), and is dropped
    if it is below the whole part of rate·2^32. Salmon et al., "Parallel random numbers:
    as easy as 1, 2, 3", SC 2011; Srivastava et al., "Dropout", JMLR 15 (2014), scaled in
    training.

    Raises SettingError unless 0 <= rate < 1 and stream >= 0; the run raises DataError
    unless the counter holds whole numbers from 0.
    """
    to = shape_of(to)
    return apply("dropout_mask", draw, rate=float(rate), to=to, stream=int(stream))


def _mask_shape(draw: Shape, rate: float, to: Shape, stream: int) -> Shape:
    if draw != (1, 2):
        raise ShapeError("The counter is 1×2: the seed and the number of the draw.")
    if not 0 <= rate < 1:
        raise SettingError(f"A dropout rate is at least 0 and below 1, not {rate}.")
    if not 0 <= stream < WORDS:
        raise SettingError(f"A stream is a whole number from 0, not {stream}.")
    return to


WORDS = 2**64  # how many numbers a word of the generator's key tells apart


def _word(value: Any) -> int:
    number = int(value)
    if not 0 <= number < WORDS or value != number:
        raise DataError(f"Seeds and draws are whole numbers from 0, not {value}.")
    return number


def _mask(xp: Any, draw: Any, rate: float, to: tuple[int, int], stream: int) -> Any:
    seed, number = (_word(draw[0, k]) for k in (0, 1))
    key = np.array([seed, stream], dtype=np.uint64)
    counter = np.array([0, number, 0, 0], dtype=np.uint64)
    words = np.random.Philox(key=key, counter=counter).random_raw(
        (to[0] * to[1] + 1) // 2
    )
    halves = words.astype("<u8").view("<u4")[: to[0] * to[1]]
    kept = (halves >= np.uint32(rate * 2.0**32)).astype(np.float64) / (1 - rate)
    return xp.asarray(kept.reshape(to))


define(
    Operation(
        name="dropout_mask",
        arity=1,
        shape=_mask_shape,
        numpy=_mask,
        vjp=(None,),
        entry=None,  # random: it has no formula in entries
        text="dropout_mask({0}, rate={rate}, to={to})",
        latex=r"M_{{{rate:g}}}",
        binds=(ATOM, LOOSE),
        native="mask",
        samples=(
            Sample(
                ((1, 2),),
                low=1,
                high=9,
                attrs={"rate": 0.5, "to": (4, 3), "stream": 0},
            ),
        ),
        kinks=None,
    )
)

__all__ = ["dropout_mask"]
