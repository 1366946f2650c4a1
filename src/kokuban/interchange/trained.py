"""Model files of the command line: how their raw data are read, as nodes of ONNX."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from kokuban.errors import FileFormatError
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.interchange.graph import Graph, Tensor
from kokuban.interchange.raw import double, label_outputs, number_output
from kokuban.interchange.tables import encoded
from kokuban.shape import Dim
from kokuban.train.data import state

KEY = "kokuban train"  # where those files say how raw data are read


class Preprocessing(Protocol):
    """How raw data become rows, and a network's output an answer."""

    def rows(self, graph: Graph) -> Tensor:
        """The network's input, N×d in its type, from inputs of the graph."""

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """Outputs of the graph from the network's, N×k; what the file says of them."""


@dataclass(frozen=True, eq=False)
class BoardPreprocessing:
    """A table's columns by their encoder; classes by their labels, or a scaled quantity.

    scale  (centre, spread) of a quantity
    """

    encoder: Encoder
    labels: list[Any]
    scale: tuple[float, float]

    def rows(self, graph: Graph) -> Tensor:
        """Each column that is not left out is an input under its name."""
        return encoded(graph, self.encoder)

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """The class, or the quantity in its own unit, in float64."""
        if self.labels:
            return label_outputs(graph, y, _array(self.labels), len(self.labels))
        centre, spread = self.scale
        wide = graph.node("Mul", graph.cast(y, np.float64), double(graph, spread))
        found = graph.node("Add", wide, double(graph, centre))
        number_output(graph, found, np.float64, outputs=1)
        return {}


@dataclass(frozen=True, eq=False)
class ImagePreprocessing:
    """Grey images as rows of levels, divided by the largest; classes by their labels."""

    labels: list[int]
    levels: int
    pixels: int

    def rows(self, graph: Graph) -> Tensor:
        """The levels are the input X, N×pixels."""
        x = graph.input("X", graph.dtype, ("N", self.pixels))
        return graph.node("Div", x, graph.number(self.levels))

    def answers(self, graph: Graph, y: Tensor) -> Mapping[str, str]:
        """The class."""
        return label_outputs(graph, y, _array(self.labels), len(self.labels))


def _array(labels: list[Any]) -> np.ndarray:
    return np.array(labels, object if isinstance(labels[0], str) else None)


def is_estimators(extra: Mapping[str, Any]) -> bool:
    """Whether a model file holds an estimator, which knows the columns itself."""
    match extra.get(KEY):
        case {"coding": {"kind": "table"}}:
            return True
    return False


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
        case {"coding": {"kind": "board", "encoder": record, "labels": labels} as found}:
            encoder = Encoder.from_dict(record)
            scale = found.get("scale") or {"centre": 0.0, "spread": 1.0}
            if (len(encoder.outputs), len(labels) or 1) == (columns, outputs):
                both = float(scale["centre"]), float(scale["spread"])
                return BoardPreprocessing(encoder, labels, both)
        case {"coding": {"kind": "images"} as found}:
            about = state.fields(found, IMAGES, "The images' coding")
            if len(about["labels"]) == outputs and isinstance(columns, int):
                return ImagePreprocessing(about["labels"], about["levels"], columns)
    raise FileFormatError(
        f"{KEY!r} in the model's file does not say how raw data become the "
        f"{columns} columns of its network, and its {outputs} outputs an answer."
    )


def _are_labels(value: object) -> bool:
    return isinstance(value, list) and all(type(label) is int for label in value)


def _is_positive(value: object) -> bool:
    return state.is_count(value) and value != 0


IMAGES = {"kind": state.is_text, "labels": _are_labels, "levels": _is_positive}
