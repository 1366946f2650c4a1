"""Expressions as nodes of an ONNX graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from kokuban.expr import Const, Expr, Size, Symbol, order, plain
from kokuban.interchange.graph import Graph, Tensor
from kokuban.interchange.operations import row
from kokuban.rewrite import simplify_all
from kokuban.run.reference import implicit
from kokuban.shape import bind


def add_formulas(
    graph: Graph,
    outputs: Sequence[Expr],
    given: Mapping[Symbol, Tensor],
    values: Mapping[Symbol, np.ndarray],
) -> list[Tensor]:
    """The expressions' tensors; symbols are tensors of the graph, or have values.

    Raises InterchangeError for an operation that ONNX cannot hold, and ShapeError for a
    named dimension that no tensor and no value has.
    """
    outputs = plain(simplify_all(outputs))
    for symbol, array in values.items():
        bind(graph.sizes, symbol.shape, array.shape, symbol.name)
    made = dict(given)
    repeated = implicit(outputs)
    tensors: dict[Expr, Tensor] = {}
    for node in order(outputs):
        if isinstance(node, Symbol):
            if node not in made:
                array = values[node].astype(graph.dtype)
                made[node] = graph.constant(array, node.name)
            tensors[node] = made[node]
        elif isinstance(node, Const):
            value = node.value if isinstance(node.value, tuple) else ((node.value,),)
            tensors[node] = graph.constant(np.array(value, graph.dtype))
        elif isinstance(node, Size):
            column = graph.node("Reshape", graph.size(node.dim), graph.whole(1, 1))
            tensors[node] = graph.cast(column, graph.dtype)
        elif node in repeated:  # ONNX repeats it where it is used
            tensors[node] = tensors[node.args[0]]
        else:
            assert node.op is not None
            arguments = (tensors[a] for a in node.args)
            tensors[node] = row(node.op.name)(graph, *arguments, **dict(node.attrs))
    return [tensors[o] for o in outputs]
