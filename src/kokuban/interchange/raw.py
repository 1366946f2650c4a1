"""Raw columns and answers as nodes of ONNX.

A raw column is an input of the graph, N×1: numbers in float64, NaN where one is missing,
or texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from kokuban.errors import InterchangeError
from kokuban.interchange.graph import Graph, Tensor

# ---------------------------------------------------------------- columns


def side_by_side(graph: Graph, columns: Sequence[Tensor]) -> Tensor:
    """Columns as one matrix."""
    return graph.node("Concat", *columns, axis=1)


def texts(graph: Graph, row: Sequence[str]) -> Tensor:
    """Texts as a row."""
    return graph.constant(np.array([row], dtype=object))


def double(graph: Graph, value: float) -> Tensor:
    """A number in float64."""
    return graph.constant(np.full((1, 1), value, np.float64))


# ---------------------------------------------------------------- answers


def label_outputs(
    graph: Graph, y: Tensor, classes: np.ndarray, outputs: int, dtype: Any = None
) -> Mapping[str, str]:
    """`label` (N,) and `probabilities` N×classes, of probabilities y, N×outputs.

    One output is the probability of the second class; of one class there is no choice.
    `dtype` is the type of y where it is not the network's.
    """
    labels = _as_labels(classes)
    known = graph.constant(labels)
    if outputs > 1:
        number = graph.node("ArgMax", y, axis=1, keepdims=0)
    else:
        above = graph.node("Greater", y, graph.number(0.5))
        number = graph.node("Squeeze", graph.cast(above, np.int64), graph.whole(1))
        y = side_by_side(graph, [graph.node("Sub", graph.number(1), y), y])
    if len(labels) == 1:
        number = graph.node("Mul", number, graph.whole(0))
    label = graph.node("Gather", known, number)
    kind = str if labels.dtype == object else labels.dtype
    graph.output("label", label, kind, ("N",))
    graph.output("probabilities", y, dtype or graph.dtype, ("N", max(outputs, 2)))
    return {"classes": json.dumps(labels.tolist(), ensure_ascii=False)}


def several_label_outputs(
    graph: Graph, y: Tensor, classes: np.ndarray
) -> Mapping[str, str]:
    """`label` N×k, 1 where the probability is above 1/2, and `probabilities` N×k."""
    shape = ("N", len(classes))
    above = graph.node("Greater", y, graph.number(0.5))
    graph.output("label", graph.cast(above, np.int64), np.int64, shape)
    graph.output("probabilities", y, graph.dtype, shape)
    return {"classes": json.dumps(_as_labels(classes).tolist(), ensure_ascii=False)}


def number_output(graph: Graph, y: Tensor, dtype: Any, outputs: int) -> None:
    """`prediction`, (N,) for one output and N×k for more."""
    if outputs > 1:
        graph.output("prediction", y, dtype, ("N", outputs))
    else:
        column = graph.node("Squeeze", y, graph.whole(1))
        graph.output("prediction", column, dtype, ("N",))


def _as_labels(classes: np.ndarray) -> np.ndarray:
    """Labels of a type that ONNX has."""
    if classes.dtype.kind == "i":
        return classes.astype(np.int64)
    if classes.dtype.kind in "ubf":
        return classes
    if all(isinstance(label, str) for label in classes.tolist()):
        return classes.astype(object)
    raise InterchangeError(
        f"ONNX holds classes that are texts or numbers, all of one type, not "
        f"{classes.tolist()!r:.60}."
    )
