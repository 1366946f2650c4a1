"""Models, estimators and formulas as ONNX files."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from kokuban.errors import DataError, InterchangeError, NotFittedError, SettingError
from kokuban.estimators import (
    Autoencoder,
    MLPClassifier,
    MLPRegressor,
    TabularClassifier,
    TabularRegressor,
)
from kokuban.estimators.loading import estimator_of
from kokuban.expr import Expr, Symbol, symbols, written
from kokuban.interchange.formulas import add_formulas
from kokuban.interchange.graph import OPSET as OPSET, Graph, Tensor, required
from kokuban.interchange.raw import (
    label_outputs,
    number_output,
    several_label_outputs,
)
from kokuban.interchange.tables import class_outputs, encoded, unit_outputs
from kokuban.interchange.trained import is_estimators, preprocessing
from kokuban.run.reference import as_matrix, by_symbol, common_dtype
from kokuban.train.files import write_atomically
from kokuban.train.model import Model

About = Mapping[str, str]  # what the file says of itself, by name


def to_onnx(
    model: Any,
    path: str | os.PathLike[str],
    *,
    values: Mapping[Any, Any] | None = None,
) -> None:
    """Write a fitted model, an estimator or a formula as an ONNX file, atomically.

    Model           `prediction`, what `predict` gives, of its inputs by their names. A
                    model file of `kokuban train` holds how raw data are read: then each
                    column of the table is an input N×1, float64 with NaN where a number
                    is missing, or texts; images are one input of their grey levels; the
                    outputs are those of a classifier or a regressor
    MLPClassifier   `label`, what `predict` gives, and `probabilities`, of `X`
    MLPRegressor    `prediction` of `X`
    Autoencoder     `code` and `reconstruction` of `X`
    Tabular…        as a classifier or a regressor, with `quantiles` where they were
                    learned; each column that training used is an input, N×1: numbers
                    in float64 with NaN where one is missing, 0 and 1 for truth values,
                    for dates seconds since 1970 in UTC, and for categories texts, ""
                    where one is missing. An array of numbers is one input `X`, float64
    an expression   `value`; `values` gives parameters, states and settings their arrays,
                    by symbol or name, and they are kept in the file; other symbols are
                    inputs

    The number of rows is free, N. The network runs in its own type, float32 or float64
    (in float64 erf alone is float32's, 1e-7 off); of an expression, that of the values.
    Operators are those of opset 19 of ai.onnx. Classes, columns and the formula stand in
    the file's metadata as well.

    Raises NotFittedError; InterchangeError for an operation that ONNX cannot hold and for
    what is none of these; DataError for an expression without its values; ShapeError;
    SettingError where onnx is not installed; StorageError where the file cannot be
    written, an older one then stays.
    """
    write_atomically(path, onnx_bytes(model, values))


def onnx_bytes(model: Any, values: Mapping[Any, Any] | None = None) -> bytes:
    """The content of the file that `to_onnx` writes."""
    if isinstance(model, Expr):
        return _expression(model, values or {})
    if values is not None:
        raise SettingError("values= is for expressions; a fitted model has its own.")
    for kind, write in WRITERS.items():
        if type(model) is kind:
            return write(model)
    known = ", ".join(kind.__name__ for kind in WRITERS)
    raise InterchangeError(
        f"to_onnx takes a fitted {known} or an expression, not {model!r:.60}."
    )


def signature(content: bytes) -> tuple[list[str], list[str]]:
    """The inputs and the outputs of an ONNX file in words: `X float32 N×64`."""
    onnx: Any = required("onnx")
    graph = onnx.load_from_string(content).graph
    return [_told(onnx, i) for i in graph.input], [_told(onnx, o) for o in graph.output]


def _told(onnx: Any, value: Any) -> str:
    kind = value.type.tensor_type
    text = kind.elem_type == onnx.TensorProto.STRING
    dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
    sizes = "×".join(d.dim_param or str(d.dim_value) for d in kind.shape.dim)
    return f"{value.name}  {'text' if text else dtype} {sizes}"


def _expression(asked: Expr, values: Mapping[Any, Any]) -> bytes:
    every = symbols([asked])
    given = by_symbol(every, values)
    missing = [
        s.name
        for s in every
        if s not in given and s.role in ("parameter", "state", "setting")
    ]
    if missing:
        raise DataError(
            f"A formula's file holds its parameters: values= lacks {', '.join(missing)}."
        )
    graph = Graph(common_dtype(np, given))
    ready = {s: as_matrix(s, v, np, graph.dtype) for s, v in given.items()}
    inputs = _inputs(graph, [s for s in every if s not in given])
    (value,) = add_formulas(graph, [asked], inputs, ready)
    graph.output("value", value, graph.dtype, asked.shape)
    return graph.model(written(asked), {})


def _inputs(graph: Graph, wanted: list[Symbol]) -> dict[Symbol, Tensor]:
    return {s: graph.input(s.name, graph.dtype, s.shape) for s in wanted}


def _model(model: Model) -> bytes:
    if is_estimators(model.extra):
        return onnx_bytes(estimator_of(model, "The model"))
    network = model.network
    if network.output is None:
        raise SettingError(
            "The loss does not show what to predict: give Model(loss=L, output=Y)."
        )
    if not model.values:
        raise NotFittedError("The model has no values yet: call fit first.")
    graph, about = Graph(model.dtype), dict[str, str]()
    wanted = symbols([network.output], "input")
    columns = wanted[0].shape[1] if len(wanted) == 1 else 0
    raw = preprocessing(model.extra, columns, network.output.shape[1])
    inputs = {wanted[0]: raw.rows(graph)} if raw else _inputs(graph, wanted)
    (y,) = add_formulas(graph, [network.output], inputs, model.values)
    if raw is None:
        graph.output("prediction", y, graph.dtype, network.output.shape)
    else:
        about |= raw.answers(graph, y)
    return graph.model(written(network.output), about)


def _outputs(estimator: Any, *asked: str) -> tuple[Graph, list[Tensor], str]:
    """A fitted estimator's network with the outputs asked for, and its formula."""
    if not hasattr(estimator, "coefs_"):
        raise NotFittedError(f"{type(estimator).__name__} is not fitted: call fit first.")
    graph = Graph(estimator._dtype)
    problem = estimator._problem(estimator._units(), False)
    every = [getattr(problem, name) for name in asked]
    values = estimator._parameters(problem, graph.dtype)
    made = add_formulas(graph, every, _inputs(graph, [problem.x]), values)
    return graph, made, written(problem.output)


def _columns(estimator: Any) -> About:
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        return {}
    return {"columns": json.dumps(names.tolist(), ensure_ascii=False)}


def _classifier(estimator: MLPClassifier) -> bytes:
    graph, (y,), text = _outputs(estimator, "output")
    classes = np.asarray(estimator.classes_)
    if estimator._several:
        about = several_label_outputs(graph, y, classes)
    else:
        about = label_outputs(graph, y, classes, estimator.n_outputs_)
    return graph.model(text, {**_columns(estimator), **about})


def _regressor(estimator: MLPRegressor) -> bytes:
    graph, (y,), text = _outputs(estimator, "output")
    number_output(graph, y, graph.dtype, estimator.n_outputs_)
    return graph.model(text, _columns(estimator))


def _autoencoder(estimator: Autoencoder) -> bytes:
    graph, (code, y), text = _outputs(estimator, "code", "output")
    units = estimator._units()
    graph.output("code", code, graph.dtype, ("N", units[-1]))
    graph.output("reconstruction", y, graph.dtype, ("N", units[0]))
    return graph.model(text, _columns(estimator))


def _tabular(estimator: TabularClassifier | TabularRegressor) -> bytes:
    if not hasattr(estimator, "model_"):
        raise NotFittedError(f"{type(estimator).__name__} is not fitted: call fit first.")
    network, values = estimator.model_.network, estimator.model_.values
    assert network.output is not None
    graph = Graph(estimator.model_.dtype)
    rows = encoded(graph, estimator.encoder_)
    (y,) = add_formulas(graph, [network.output], {network.inputs[0]: rows}, values)
    about: About = {}
    if isinstance(estimator, TabularClassifier):
        about = class_outputs(graph, y, estimator)
    else:
        unit_outputs(graph, y, estimator)
    return graph.model(written(network.output), {**_columns(estimator), **about})


WRITERS: dict[type, Callable[[Any], bytes]] = {
    Model: _model,
    MLPClassifier: _classifier,
    MLPRegressor: _regressor,
    Autoencoder: _autoencoder,
    TabularClassifier: _tabular,
    TabularRegressor: _tabular,
}
