"""Raw data into a network's rows, and its output into answers, as nodes of ONNX.

A preprocessing gives each raw column an input of the graph, N×1: numbers in float64, NaN
where one is missing, or texts. What it adds is written with the functions below.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from kokuban.errors import FileFormatError, InterchangeError
from kokuban.interchange.graph import Graph, Tensor
from kokuban.shape import Dim
from kokuban.train.data import TableEncoder, state
from kokuban.train.data.columns import CategoricalColumn, NumericColumn
from kokuban.train.data.table import MISSING
from kokuban.train.data.target import ClassTarget, Labels, QuantityTarget

KEY = "kokuban train"  # where the command line's model files say how raw data are read


class Preprocessing(Protocol):
    """How raw data become rows, and a network's output an answer."""

    def rows(self, graph: Graph) -> Tensor:
        """The network's input, N×d in its type, from inputs of the graph."""

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """Outputs of the graph from the network's, N×k; what the file says of them."""


# ---------------------------------------------------------------- columns


def side_by_side(graph: Graph, columns: Sequence[Tensor]) -> Tensor:
    """Columns as one matrix."""
    return graph.node("Concat", *columns, axis=1)


def flag(graph: Graph, condition: Tensor) -> Tensor:
    """1 where a condition holds, else 0."""
    return graph.cast(condition, graph.dtype)


def filled(graph: Graph, x: Tensor, missing: Tensor, value: float) -> Tensor:
    """Numbers x, float64, with `value` where they are missing."""
    return graph.node("Where", missing, _double(graph, value), x)


def scaled(graph: Graph, x: Tensor, centre: float, scale: float) -> Tensor:
    """(x - centre) / scale in float64, then in the network's type."""
    centred = graph.node("Sub", x, _double(graph, centre))
    return graph.cast(graph.node("Div", centred, _double(graph, scale)), graph.dtype)


def one_hot(graph: Graph, x: Tensor, categories: Sequence[str]) -> Tensor:
    """1 where a text is the category, else 0: N×1 to N×k; 0 throughout for no other."""
    return flag(graph, graph.node("Equal", x, texts(graph, categories)))


def texts(graph: Graph, row: Sequence[str]) -> Tensor:
    """Texts as a row."""
    return graph.constant(np.array([row], dtype=object))


def _double(graph: Graph, value: float) -> Tensor:
    return graph.constant(np.full((1, 1), value, np.float64))


# ---------------------------------------------------------------- answers


def label_outputs(
    graph: Graph, y: Tensor, classes: np.ndarray, outputs: int
) -> Mapping[str, str]:
    """`label` (N,) and `probabilities` N×classes, of probabilities y, N×outputs.

    One output is the probability of the second class; of one class there is no choice.
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
    graph.output("probabilities", y, graph.dtype, ("N", max(outputs, 2)))
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


# ---------------------------------------------------------------- the command line's


class TablePreprocessing:
    """A table's columns by the encoder of a model file; each answer by its target."""

    def __init__(self, encoder: TableEncoder) -> None:
        self._encoder = encoder

    def rows(self, graph: Graph) -> Tensor:
        """Each column that is not left out is an input under its name."""
        columns: list[Tensor] = []
        for column in self._encoder.columns:
            if isinstance(column, NumericColumn):
                columns += _numeric(graph, column)
            elif isinstance(column, CategoricalColumn):
                columns += _categorical(graph, column)
        return side_by_side(graph, columns)

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """The class, or the quantity in its own unit, in float64."""
        target = self._encoder.target
        if isinstance(target, ClassTarget):
            return label_outputs(graph, y, _array(target.labels), len(target.labels))
        _quantity(graph, y, target)
        return {}


def _numeric(graph: Graph, column: NumericColumn) -> list[Tensor]:
    x = graph.input(column.name, np.float64, ("N", 1))
    missing = graph.node("IsNaN", x)
    made = []
    if column.deviation > 0:
        x = filled(graph, x, missing, column.median)
        made.append(scaled(graph, x, column.mean, column.deviation))
    if column.missing:
        made.append(flag(graph, missing))
    return made


def _categorical(graph: Graph, column: CategoricalColumn) -> list[Tensor]:
    x = graph.input(column.name, str, ("N", 1))
    made = [one_hot(graph, x, column.categories)] if column.categories else []
    if column.missing:
        words = one_hot(graph, x, MISSING)
        made.append(graph.node("ReduceMax", words, graph.whole(1), keepdims=1))
    return made


def _quantity(graph: Graph, y: Tensor, target: QuantityTarget) -> None:
    wide = graph.cast(y, np.float64)
    times = graph.node("Mul", wide, _double(graph, target.deviation))
    number_output(
        graph,
        graph.node("Add", times, _double(graph, target.mean)),
        np.float64,
        outputs=1,
    )


class ImagePreprocessing:
    """Grey images as rows of levels, divided by the largest; classes by their labels."""

    def __init__(self, labels: Labels, levels: int, pixels: int) -> None:
        self._labels, self._levels, self._pixels = labels, levels, pixels

    def rows(self, graph: Graph) -> Tensor:
        """The levels are the input X, N×pixels."""
        x = graph.input("X", graph.dtype, ("N", self._pixels))
        return graph.node("Div", x, graph.number(self._levels))

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """The class."""
        return label_outputs(graph, y, _array(self._labels), len(self._labels))


def _array(labels: Labels) -> np.ndarray:
    return np.array(labels, object if isinstance(labels[0], str) else None)


def preprocessing(
    extra: Mapping[str, Any], columns: Dim, outputs: Dim
) -> Preprocessing | None:
    """What a model file says of raw data beside its network; None where it says nothing.

    FileFormatError where that is malformed, or fits no network from so many columns to
    so many outputs.
    """
    if KEY not in extra:
        return None
    match extra[KEY]:
        case {"coding": {"kind": "table", "encoder": record}}:
            encoder = TableEncoder.from_dict(record)
            made, labels = len(encoder.outputs), len(encoder.labels)
            if (made, labels or 1) == (columns, outputs):
                return TablePreprocessing(encoder)
        case {"coding": {"kind": "images"} as found}:
            about = state.fields(found, IMAGES, "The images' coding")
            if len(about["labels"]) == outputs and isinstance(columns, int):
                known = tuple(about["labels"])
                return ImagePreprocessing(known, about["levels"], columns)
    raise FileFormatError(
        f"{KEY!r} in the model's file does not say how raw data become the "
        f"{columns} columns of its network, and its {outputs} outputs an answer."
    )


def _are_labels(value: object) -> bool:
    return isinstance(value, list) and all(type(label) is int for label in value)


def _is_positive(value: object) -> bool:
    return state.is_count(value) and value != 0


IMAGES = {"kind": state.is_text, "labels": _are_labels, "levels": _is_positive}
