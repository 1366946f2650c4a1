"""Weights to and from state dicts of torch.nn.Sequential; torch is not imported.

A layer's place in the network is its name there, and each layer has one, activations and
dropout too: `0.weight`, `0.bias`, `2.weight`. A Sequential inside another has names of
two numbers, `1.0.weight`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kokuban.errors import (
    DataError,
    FileFormatError,
    InterchangeError,
    NotFittedError,
    ShapeError,
    nearest,
)
from kokuban.estimators.base import NetworkEstimator
from kokuban.estimators.fitted import attributes
from kokuban.expr import Expr, Symbol, order
from kokuban.train.data.files import opened
from kokuban.train.model import Model
from kokuban.train.network import Network

COUNT = "num_batches_tracked"  # how many steps a BatchNorm1d has seen; no value needs it

States = Mapping[str, Symbol]  # what BatchNorm keeps, by name


@dataclass(frozen=True, slots=True)
class Entry:
    """An array of a state dict: its name, the symbol that it is here, its form there."""

    name: str
    symbol: Symbol
    matrix: bool  # a weight, transposed there; else a row, one-dimensional there

    @property
    def shape(self) -> tuple[int, ...]:
        """The array's shape in the state dict."""
        rows, columns = self.symbol.shape
        return (int(columns), int(rows)) if self.matrix else (int(columns),)

    def given(self, value: np.ndarray) -> np.ndarray:
        """A value of ours as the array there; a copy."""
        return np.ascontiguousarray(value.T if self.matrix else value[0]).copy()

    def taken(self, array: np.ndarray, dtype: Any) -> np.ndarray:
        """The array there as a value of ours; a copy."""
        value = array.T if self.matrix else array[None, :]
        return np.array(value, dtype, order="C")


def to_torch(model: Any) -> dict[str, np.ndarray]:
    """The values of a model's layers under the names that torch.nn.Sequential has.

    Affine      n.weight (outputs, inputs) and n.bias (outputs,), of torch.nn.Linear
    BatchNorm   n.weight, n.bias, n.running_mean, n.running_var and
                n.num_batches_tracked (0), of BatchNorm1d(size, eps=epsilon,
                momentum=1 - momentum)
    LayerNorm   n.weight and n.bias, of LayerNorm(size, eps=epsilon)

    n is the layer's place, in a Sequential within another such as 1.0. `model` is a Model
    made of layers, or a fitted estimator. Give the arrays to `load_state_dict`, each
    through torch.from_numpy, or save them with safetensors.numpy.save_file. A loss's
    link, such as softmax, is no layer: PyTorch's losses have theirs, too.

    Raises NotFittedError; InterchangeError for a layer that Sequential has not (Residual,
    TiedAffine, ScalarAffine) and for a model of a loss expression, which has no layers.
    """
    network, values = _opened(model)
    state: dict[str, np.ndarray] = {}
    for entry in _entries(network):
        state[entry.name] = entry.given(values[entry.symbol])
        if entry.name.endswith(".running_var"):
            state[entry.name.replace("running_var", COUNT)] = np.array(0, np.int64)
    return state


def from_torch(state: Any, model: Any) -> Any:
    """Set a model's values from a state dict of torch.nn.Sequential; returns the model.

    `state` maps the names that `to_torch` gives to arrays: of NumPy, or what has
    `__array__` or `numpy()`, as PyTorch's tensors; or it is the path of a file that
    `safetensors.torch.save_file` wrote. A file of torch.save is a pickle, which runs
    code, and is not read. `model` is a Model of the same layers, trained or not, or a
    fitted estimator. A running variance stays as it is; what training adds to it is the
    biased one here, and the unbiased one in PyTorch.

    Raises DataError naming what is missing or too much, or not finite; ShapeError;
    InterchangeError as `to_torch` does; StorageError and FileFormatError for the file.
    """
    given = _read(state) if isinstance(state, str | os.PathLike) else state
    if not isinstance(given, Mapping):
        raise InterchangeError(
            f"A state dict maps names to arrays; this is {type(given).__name__}."
        )
    network, _ = _opened(model, fitted=isinstance(model, NetworkEstimator))
    entries = list(_entries(network))
    _require_names([e.name for e in entries], [str(name) for name in given])
    if isinstance(model, Model):
        new = _values(entries, given, model.dtype)
        model.values = {s: new[s] for s in network.values}
    else:
        problem = model._problem(model._units(), False)
        model._take(attributes(problem, _values(entries, given, model._dtype)))
        model._best = model._learned()
        vars(model).pop("_optimizer", None)  # what it remembers is of other weights
    return model


# ---------------------------------------------------------------- which arrays there are


def _opened(
    model: Any, fitted: bool = True
) -> tuple[Network, Mapping[Symbol, np.ndarray]]:
    """The network of a model or an estimator, and its values."""
    if isinstance(model, NetworkEstimator):
        if not hasattr(model, "coefs_"):
            raise NotFittedError(f"{type(model).__name__} is not fitted: call fit first.")
        model = model.to_model()
    if not isinstance(model, Model):
        raise InterchangeError(
            f"A kokuban.Model or an estimator is expected, not {model!r:.60}."
        )
    if fitted and not model.values:
        raise NotFittedError("The model has no values yet: call fit or initialise first.")
    return model.network, model.values


def _entries(network: Network) -> Iterator[Entry]:
    """The arrays, layer by layer."""
    states = {s.name: s for s in network.updates}
    before = set[Expr]()
    for place, kind, output in _leaves(_tree(network)):
        own = [
            node
            for node in order([output], known=before)
            if isinstance(node, Symbol) and node.role == "parameter"
        ]
        before.add(output)
        if own and kind not in LAYERS:
            raise _refused(kind, place)
        if own:
            yield from LAYERS[kind](place, own, states)


def _refused(kind: str, place: str) -> InterchangeError:
    return InterchangeError(
        f"torch.nn.Sequential has no such layer as {kind}, number {place} of the model "
        "(counted from 0)."
    )


@dataclass(frozen=True, slots=True)
class Node:
    """A layer, what it gives in training, and the layers in it."""

    number: int
    kind: str
    output: Expr
    inside: tuple[Node, ...]


def _tree(network: Network) -> list[Node]:
    """The layers as they are nested.

    In a network's record a layer takes its number before those inside it, and stands
    after them.
    """
    layers: list[Node] = []
    for name, output in network.layers:
        number, kind = _told(name)
        first = next((k for k, n in enumerate(layers) if n.number > number), len(layers))
        inside = tuple(layers[first:])
        layers[first:] = [Node(number, kind, output, inside)]
    if not layers:
        raise InterchangeError(
            "The model was not made of a Sequential of layers, so that nothing in it has "
            "a place in torch.nn.Sequential."
        )
    beside = order([network.loss], known={layers[-1].output})
    if network.targets and any(s in beside for s in network.inputs):
        raise InterchangeError(
            "The model's layers stand in another than a Sequential: its loss takes the "
            "input past them."
        )
    return layers


def _told(name: str) -> tuple[int, str]:
    """`layer 3, ReLU(at_zero=0.0)` as 3 and ReLU."""
    found = re.match(r"layer (\d+), ([^(]+)", name)
    if found is None:
        raise InterchangeError(f"The model calls a layer {name!r:.60}, not by a number.")
    return int(found[1]), found[2]


def _leaves(layers: Sequence[Node], above: str = "") -> Iterator[tuple[str, str, Expr]]:
    """Each layer's place, kind and output, those of a Sequential by two numbers."""
    for number, node in enumerate(layers):
        place = f"{above}{number}"
        if node.inside and node.kind != "Sequential":
            raise _refused(node.kind, place)
        if node.inside:
            yield from _leaves(node.inside, f"{place}.")
        else:
            yield place, node.kind, node.output


def _affine(place: str, own: Sequence[Symbol], _: States) -> Iterator[Entry]:
    for symbol in own:
        weight = symbol.name.startswith("W")
        yield Entry(f"{place}.{'weight' if weight else 'bias'}", symbol, weight)


def _norm(place: str, own: Sequence[Symbol], _: States) -> Iterator[Entry]:
    for symbol in own:
        scale = symbol.name.startswith("scale")
        yield Entry(f"{place}.{'weight' if scale else 'bias'}", symbol, False)


def _batch_norm(place: str, own: Sequence[Symbol], states: States) -> Iterator[Entry]:
    yield from _norm(place, own, states)
    (scale,) = (s.name for s in own if s.name.startswith("scale"))
    yield Entry(f"{place}.running_mean", states[f"mean({scale})"], False)
    yield Entry(f"{place}.running_var", states[f"variance({scale})"], False)


LAYERS: dict[str, Callable[[str, Sequence[Symbol], States], Iterator[Entry]]] = {
    "Affine": _affine,
    "BatchNorm": _batch_norm,
    "LayerNorm": _norm,
}


# ---------------------------------------------------------------- what is given


def _read(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """The arrays of a safetensors file."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    with opened(path) as stream:
        content = stream.read()
    try:
        return load(content)
    except (SafetensorError, ValueError, TypeError, LookupError) as error:
        raise FileFormatError(
            f"{os.fspath(path)!r} is no safetensors file of NumPy's types ({error}). "
            "Write it with safetensors.torch.save_file(net.state_dict(), path); a file "
            "of torch.save is a pickle, which would run code."
        ) from error


def _require_names(wanted: Sequence[str], given: Sequence[str]) -> None:
    """DataError naming what is missing and what is too much."""
    missing = [name for name in wanted if name not in given]
    extra = [n for n in given if n not in wanted and not n.endswith(f".{COUNT}")]
    if not missing and not extra:
        return
    told = [f"it lacks {', '.join(missing)}"] if missing else []
    told += [f"the model has no {', '.join(extra)}"] if extra else []
    near = nearest(missing[0], extra) if missing else nearest(extra[0], wanted)
    raise DataError(f"The state dict is not the model's: {'; '.join(told)}.{near}")


def _values(
    entries: Sequence[Entry], given: Mapping[str, Any], dtype: Any
) -> dict[Symbol, np.ndarray]:
    """The symbols' values; a weight that is used twice must be given alike."""
    found: dict[Symbol, np.ndarray] = {}
    for entry in entries:
        value = entry.taken(_array(entry, given[entry.name]), dtype)
        if not np.isfinite(value).all():
            raise DataError(f"{entry.name} holds an entry that is not a finite number.")
        if not np.array_equal(found.setdefault(entry.symbol, value), value):
            raise DataError(
                f"{entry.name} is {entry.symbol.name}, which the model uses twice: both "
                "must be the same array."
            )
    return found


def _array(entry: Entry, value: Any) -> np.ndarray:
    """An array of numbers of the entry's shape, of whatever can be one."""
    value = value.detach() if hasattr(value, "detach") else value
    if not hasattr(value, "__array__") and hasattr(value, "numpy"):
        value = value.numpy()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DataError(f"{entry.name} is no array that NumPy has: {error}") from error
    if array.dtype.kind not in "fiu":
        raise DataError(f"{entry.name} must be an array of numbers, not {array.dtype}.")
    if array.shape != entry.shape:
        raise ShapeError(
            f"{entry.name} must be {entry.shape}, as the model's {entry.symbol.name}; it "
            f"is {array.shape}."
        )
    return array
