"""The columns of the tabular estimators, and their answers, as nodes of ONNX."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kokuban.estimators import TabularClassifier, TabularRegressor
from kokuban.estimators.tabular.columns import (
    PERIODS,
    BooleanColumn,
    CategoricalColumn,
    Column,
    DateColumn,
    NumericColumn,
)
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.estimators.tabular.scaling import FARTHEST, RobustClip
from kokuban.interchange.graph import Graph, Tensor
from kokuban.interchange.raw import (
    double,
    label_outputs,
    number_output,
    side_by_side,
    texts,
)


def encoded(graph: Graph, encoder: Encoder) -> Tensor:
    """The network's input, N×d, from inputs of the graph; all before it in float64."""
    given = _given(graph, encoder)
    made, start = [], 0
    if encoder.plain and not encoder.named:
        made.append(graph.input("X", np.float64, ("N", len(encoder.columns))))
    else:
        for number, column in enumerate(encoder.columns):
            stop = start + len(column.outputs)
            inside = (encoder.kept >= start) & (encoder.kept < stop)
            if inside.any():  # else it did not vary in training, and is not asked for
                every = KINDS[type(column)](graph, given(number, column), column)
                wanted = encoder.kept[inside] - start
                some = graph.constant(wanted.astype(np.int64))
                made.append(
                    every
                    if len(wanted) == len(column.outputs)
                    else graph.node("Gather", every, some, axis=1)
                )
            start = stop
    return _scaled(graph, side_by_side(graph, made), encoder.scaling)


Given = Callable[[int, Column], Tensor]  # a column of the data, N×1, by its place


def _given(graph: Graph, encoder: Encoder) -> Given:
    """How a column is given: as an input of its own, or in an array of numbers, `X`."""
    whole: list[Tensor] = []

    def of_array(number: int, _: Column) -> Tensor:
        if not whole:
            whole.append(graph.input("X", np.float64, ("N", len(encoder.columns))))
        return graph.node("Gather", whole[0], graph.whole(number), axis=1)

    def alone(_: int, column: Column) -> Tensor:
        kind = str if isinstance(column, CategoricalColumn) else np.float64
        return graph.input(column.name, kind, ("N", 1))

    used = [encoder.columns[k] for k in encoder.origins]
    numbers = all(isinstance(c, NumericColumn | BooleanColumn) for c in used)
    return of_array if numbers and not encoder.named else alone


def _scaled(graph: Graph, x: Tensor, scaling: RobustClip) -> Tensor:
    """z = (x - m) f, then z/√(1 + (z/3)²); a missing x becomes 0."""

    def row(values: np.ndarray) -> Tensor:
        return graph.constant(np.asarray(values, np.float64)[None, :])

    centred = graph.node("Sub", x, row(scaling.medians))
    z = graph.node("Mul", centred, row(scaling.factors))
    z = graph.node("Where", graph.node("IsNaN", z), double(graph, 0), z)
    z = graph.node("Max", z, double(graph, -FARTHEST))
    z = graph.node("Min", z, double(graph, FARTHEST))
    third = graph.node("Div", z, double(graph, 3))
    square = graph.node("Mul", third, third)
    root = graph.node("Sqrt", graph.node("Add", square, double(graph, 1)))
    return graph.cast(graph.node("Div", z, root), graph.dtype)


# ---------------------------------------------------------------- kinds of columns


def _marked(graph: Graph, made: Tensor, column: Column, missing: Tensor) -> Tensor:
    """With one more column where values were missing in training: 1 where they are."""
    if not column.missing:
        return made
    return side_by_side(graph, [made, graph.cast(missing, np.float64)])


def _numeric(graph: Graph, x: Tensor, column: Column) -> Tensor:
    return _marked(graph, x, column, graph.node("IsNaN", x))


def _boolean(graph: Graph, x: Tensor, column: Column) -> Tensor:
    twice = graph.node("Mul", x, double(graph, 2))
    made = graph.node("Sub", twice, double(graph, 1))
    return _marked(graph, made, column, graph.node("IsNaN", x))


def _date(graph: Graph, x: Tensor, column: Column) -> Tensor:
    parts = [x]
    for period in PERIODS.values():
        turns = graph.node("Div", x, double(graph, period))
        rest = graph.node("Sub", turns, graph.node("Floor", turns))
        phase = graph.node("Mul", rest, double(graph, 2 * math.pi))
        parts += [graph.node("Sin", phase), graph.node("Cos", phase)]
    made = side_by_side(graph, parts)
    return _marked(graph, made, column, graph.node("IsNaN", x))


def _categories(graph: Graph, x: Tensor, column: Any) -> Tensor:
    def among(words: tuple[str, ...]) -> Tensor:
        return graph.cast(graph.node("Equal", x, texts(graph, words)), np.float64)

    absent = graph.node("Equal", x, texts(graph, ("",)))
    if column.binary:
        first, second = ((word,) for word in column.categories)
        made = graph.node("Sub", among(second), among(first))
        return _marked(graph, made, column, absent)
    made = among(column.categories)
    if column.others:
        known = graph.node("ReduceSum", made, graph.whole(1), keepdims=1)
        told = graph.node("Add", known, graph.cast(absent, np.float64))
        made = side_by_side(graph, [made, graph.node("Sub", double(graph, 1), told)])
    return _marked(graph, made, column, absent)


KINDS: dict[type[Column], Callable[[Graph, Tensor, Column], Tensor]] = {
    NumericColumn: _numeric,
    BooleanColumn: _boolean,
    DateColumn: _date,
    CategoricalColumn: _categories,
}


# ---------------------------------------------------------------- answers


def class_outputs(
    graph: Graph, y: Tensor, estimator: TabularClassifier
) -> Mapping[str, str]:
    """`label` and `probabilities`, float64, whose rows sum to 1."""
    p = graph.cast(y, np.float64)
    total = graph.node("ReduceSum", p, graph.whole(1), keepdims=1)
    classes = np.asarray(estimator.classes_)
    whole = graph.node("Div", p, total)
    return label_outputs(graph, whole, classes, len(classes), np.float64)


def unit_outputs(graph: Graph, y: Tensor, estimator: TabularRegressor) -> None:
    """`prediction` in the target's unit, float64; `quantiles` where they were learned."""
    levels, column = estimator._levels(), 0
    if levels:
        y = graph.ascending(y, len(levels))
        column = levels.index(0.5)
    wide = graph.node("Mul", graph.cast(y, np.float64), double(graph, estimator._spread))
    found = graph.node("Add", wide, double(graph, estimator._centre))
    middle = graph.node("Gather", found, graph.whole(column), axis=1)
    held = graph.node("Max", middle, double(graph, estimator._low))
    held = graph.node("Min", held, double(graph, estimator._high))
    number_output(graph, held, np.float64, outputs=1)
    if levels:
        graph.output("quantiles", found, np.float64, ("N", len(levels)))
