"""An ONNX graph while it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

import numpy as np

from kokuban.errors import DataError, SettingError
from kokuban.shape import Dim, Shape, size_of

# The first opset in which Equal compares texts; the IR of the release that brought it.
OPSET, IR = 19, 9
LARGEST = 2**31 - 1  # bytes of a protobuf message

Tensor = str  # a tensor of the graph, by its name


class Graph:
    """Nodes in their order, constants, each kept once, and names that are all different.

    dtype   the type the network runs in, float32 or float64
    sizes   the sizes of named dimensions that are numbers already
    spans   where the size of a named dimension is found at the run: (tensor, axis)
    """

    def __init__(self, dtype: Any) -> None:
        """SettingError for another type, and where the package onnx is missing."""
        self._onnx: Any = required("onnx")
        self.dtype = np.dtype(dtype)
        if self.dtype not in (np.float32, np.float64):
            raise SettingError(f"ONNX export is in float32 or float64, not {self.dtype}.")
        self.sizes: dict[str, int] = {}
        self.spans: dict[str, tuple[Tensor, int]] = {}
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._constants: dict[Tensor, np.ndarray] = {}
        self._same: dict[tuple[Any, ...], Tensor] = {}
        self._names: set[str] = set()

    # ------------------------------------------------------------ in and out

    def input(self, name: str, dtype: Any, shape: Sequence[Dim]) -> Tensor:
        """A tensor that is given at the run."""
        name = self._fresh(name)
        self._inputs.append(self._described(name, dtype, shape))
        for axis, dim in enumerate(shape):
            if isinstance(dim, str):
                self.spans.setdefault(dim, (name, axis))
        return name

    def output(self, name: str, value: Tensor, dtype: Any, shape: Sequence[Dim]) -> None:
        """Give `value` out under a name."""
        name = self._fresh(name)
        self._nodes.append(self._onnx.helper.make_node("Identity", [value], [name]))
        self._outputs.append(self._described(name, dtype, shape))

    def _described(self, name: str, dtype: Any, shape: Sequence[Dim]) -> Any:
        kind = self._onnx.TensorProto.STRING if dtype is str else self._kind(dtype)
        return self._onnx.helper.make_tensor_value_info(name, kind, shape)

    def _kind(self, dtype: Any) -> Any:
        return self._onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    # ------------------------------------------------------------ values

    def node(self, kind: str, *inputs: Tensor, **attributes: Any) -> Tensor:
        """The output of an operator of ONNX."""
        name = self._fresh(f"{kind}_{len(self._nodes) + 1}")
        made = self._onnx.helper.make_node(kind, inputs, [name], **attributes)
        self._nodes.append(made)
        return name

    def cast(self, value: Tensor, dtype: Any) -> Tensor:
        """`value` in another type."""
        return self.node("Cast", value, to=self._kind(dtype))

    def constant(self, array: np.ndarray, name: str = "constant") -> Tensor:
        """An array kept in the file; texts are an array of objects."""
        content = tuple(array.flat) if array.dtype == object else array.tobytes()
        key = (array.dtype.str, array.shape, content)
        if key not in self._same or name != "constant":
            self._same[key] = self._fresh(name)
            self._constants[self._same[key]] = array
        return self._same[key]

    def number(self, value: float) -> Tensor:
        """A number as a 1×1 matrix in the network's type."""
        return self.constant(np.full((1, 1), value, self.dtype))

    def whole(self, *numbers: int) -> Tensor:
        """Whole numbers, such as axes."""
        return self.constant(np.array(numbers, np.int64))

    # ------------------------------------------------------------ dimensions

    def size(self, dim: Dim) -> Tensor:
        """The size of a dimension, one whole number; ShapeError where nothing has it."""
        if dim not in self.spans or dim in self.sizes:
            return self.whole(size_of(dim, self.sizes))
        tensor, axis = self.spans[str(dim)]
        return self.node("Shape", tensor, start=axis, end=axis + 1)

    def shape(self, shape: Shape) -> Tensor:
        """The sizes of both dimensions."""
        if all(isinstance(dim, int) or dim in self.sizes for dim in shape):
            return self.whole(*(size_of(dim, self.sizes) for dim in shape))
        return self.node("Concat", *map(self.size, shape), axis=0)

    # ------------------------------------------------------------ the file

    def model(self, text: str, about: Mapping[str, str]) -> bytes:
        """The whole as a file's content, with a description and more of it by name.

        DataError where it is larger than an ONNX file can be.
        """
        from importlib.metadata import version

        size = sum(array.nbytes for array in self._constants.values())
        if size > LARGEST:
            raise DataError(f"An ONNX file holds at most 2 GiB; the values are {size} B.")
        onnx, helper = self._onnx, self._onnx.helper
        constants = [
            onnx.numpy_helper.from_array(array, name)
            for name, array in self._constants.items()
        ]
        graph = helper.make_graph(
            self._nodes, "kokuban", self._inputs, self._outputs, constants, text
        )
        made = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR,
            producer_name="kokuban",
            producer_version=version("kokuban"),
        )
        helper.set_model_props(made, dict(about))
        content: bytes = made.SerializeToString(deterministic=True)
        return content

    def _fresh(self, name: str) -> str:
        found, k = name, 1
        while found in self._names:
            k += 1
            found = f"{name}_{k}"
        self._names.add(found)
        return found


def required(module: str) -> Any:
    """An optional package; SettingError naming the extra where it is not installed."""
    try:
        return import_module(module)
    except ImportError:
        raise SettingError(
            f"Export to ONNX needs {module}: pip install kokuban[onnx]."
        ) from None
