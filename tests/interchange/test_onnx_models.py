"""Models and estimators give in onnxruntime what they give here, in either type."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris, make_multilabel_classification

import kokuban as kb
from kokuban import nn
from kokuban.errors import (
    DataError,
    FileFormatError,
    InterchangeError,
    NotFittedError,
    SettingError,
    StorageError,
)
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor, load
from kokuban.interchange import to_onnx
from kokuban.interchange.export import onnx_bytes
from kokuban.nn.activations import BY_NAME

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:.* runs on NumPy:UserWarning",  # where nothing was compiled
)

DTYPES = [np.float32, np.float64]
ROWS = [1, 33]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(33, 4))

FIRST = nn.Affine(4, 4)
LAYERS: dict[str, tuple[nn.Layer, ...]] = {
    "Affine": (nn.Affine(4, 2), nn.Affine(2, 3, bias=False)),
    "TiedAffine": (FIRST, nn.Tanh(), nn.TiedAffine(FIRST)),
    "ScalarAffine": (nn.ScalarAffine(),),
    "Dropout": (nn.Affine(4, 4), nn.Dropout(0.5), nn.Dropout(0.0)),
    "LayerNorm": (nn.LayerNorm(4), nn.Affine(4, 2)),
    "BatchNorm": (nn.BatchNorm(4), nn.Affine(4, 2)),
    "Residual": (nn.Residual(nn.Affine(4, 4), nn.ReLU()),),
    "Sequential": (nn.Sequential(nn.Affine(4, 3), nn.SiLU()),),
    **{type_.__name__: (nn.Affine(4, 3), type_()) for type_ in BY_NAME.values()},
}


def test_every_layer_is_here() -> None:
    kinds = {k for k, v in vars(nn).items() if isinstance(v, type)}
    layers = {k for k in kinds if issubclass(getattr(nn, k), nn.Layer)}
    assert layers - {"Layer"} == set(LAYERS)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", LAYERS)
def test_every_layer(name: str, dtype: Any, through_onnx: Any) -> None:
    net = nn.Sequential(*LAYERS[name])
    model = kb.Model(net, inputs=4, dtype=dtype)
    model.initialise(1)
    for symbol, value in model.values.items():  # no value is 0 or 1 by chance
        model[symbol.name] = abs(value + RNG.uniform(0.1, 1, value.shape))
    for rows in ROWS:
        x = X[:rows].astype(dtype)
        found = through_onnx(model, {"X": x})["prediction"]
        assert found.dtype == dtype
        assert_allclose(found, model.predict(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("loss", nn.LOSSES)
def test_every_link(loss: str, through_onnx: Any) -> None:
    net = nn.Sequential(nn.Affine(4, 3), nn.Sigmoid())
    model = kb.Model(net, loss=loss)
    model.initialise()
    x = X.astype(np.float32)
    found = through_onnx(model, {"X": x})["prediction"]
    assert_allclose(found, model.predict(x), rtol=1e-5, atol=1e-6)


def test_several_inputs(through_onnx: Any) -> None:
    a, b = kb.input("A", ("N", 2)), kb.input("B", ("N", 3))
    w = kb.parameter("W", (2, 3))
    model = kb.Model(loss=kb.mse(a @ w * b, kb.target("T", ("N", 3))))
    model.initialise()
    at = {"A": X[:, :2].astype(np.float32), "B": X[:, 1:].astype(np.float32)}
    assert_allclose(through_onnx(model, at)["prediction"], model.predict(at), rtol=1e-5)


# ---------------------------------------------------------------- estimators

FLOWERS, KINDS = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "日本の花"])[KINDS]
SEVERAL = make_multilabel_classification(150, 4, random_state=0)[1]
FITTED: dict[str, tuple[Any, Any]] = {
    "whole numbers": (MLPClassifier((5,)), KINDS - 3),
    "bytes": (MLPClassifier((5,)), KINDS.astype(np.int8)),
    "unsigned": (MLPClassifier((5,)), KINDS.astype(np.uint16)),
    "names": (MLPClassifier((5,), "tanh"), NAMES),
    "objects": (MLPClassifier((5,), "tanh"), NAMES.astype(object)),
    "true or false": (MLPClassifier((5,), solver="lbfgs"), KINDS == 1),
    "two names": (MLPClassifier((5,)), np.where(KINDS > 0, "yes", "no")),
    "fractions": (MLPClassifier((5,)), np.where(KINDS > 0, 1.0, 7.0)),
    "one class": (MLPClassifier((5,)), np.full(150, "all")),
    "several labels": (MLPClassifier((5, 4), "logistic"), SEVERAL),
    "no hidden layer": (MLPClassifier(()), KINDS),
    "all settings": (
        MLPClassifier((6, 4), ["gelu", "mish"], normalization="batch", dropout=0.2),
        NAMES,
    ),
    "own activation": (MLPRegressor("mae", (4,), lambda u: kb.sin(u) + u), KINDS),
    "numbers": (MLPRegressor("huber", (5,), normalization="layer"), KINDS * 1.5),
    "counts": (MLPRegressor("poisson", (5,)), KINDS),
    "several numbers": (MLPRegressor(hidden_layer_sizes=(5,)), SEVERAL),
    "autoencoder": (Autoencoder((3, 2), "tanh"), None),
    "untied": (Autoencoder((3, 2), tied=False, output_activation="softplus"), None),
}


def expected(estimator: Any, x: np.ndarray) -> dict[str, np.ndarray]:
    if isinstance(estimator, Autoencoder):
        code = estimator.transform(x)
        return {"code": code, "reconstruction": estimator.inverse_transform(code)}
    if isinstance(estimator, MLPRegressor):
        return {"prediction": estimator.predict(x)}
    return {
        "label": estimator.predict(x),
        "probabilities": estimator.predict_proba(x),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FITTED)
def test_every_estimator(name: str, dtype: Any, through_onnx: Any) -> None:
    estimator, y = FITTED[name]
    x = FLOWERS.astype(dtype)
    estimator.set_params(max_iter=5, random_state=0).fit(x, y)
    for rows in (1, 150):
        found = through_onnx(estimator, {"X": x[-rows:]})
        wanted = expected(estimator, x[-rows:])
        assert list(found) == list(wanted)
        for output, value in wanted.items():
            assert found[output].shape == value.shape
            if output == "label":
                assert_array_equal(found[output], value)
            else:
                assert found[output].dtype == dtype
                assert_allclose(found[output], value, rtol=1e-5, atol=1e-5)


def test_a_file_of_an_estimator(tmp_path: Path, through_onnx: Any) -> None:
    fitted = MLPClassifier((5,), max_iter=5).fit(FLOWERS, NAMES)
    fitted.save(tmp_path / "net")
    found = through_onnx(load(tmp_path / "net"), {"X": FLOWERS})
    assert_array_equal(found["label"], fitted.predict(FLOWERS))
    as_model = through_onnx(kb.load(tmp_path / "net"), {"X": FLOWERS})
    assert_allclose(as_model["prediction"], fitted.predict_proba(FLOWERS), rtol=1e-9)


def test_classes_columns_and_the_formula_are_in_the_file(tmp_path: Path) -> None:
    x, _ = load_iris(return_X_y=True, as_frame=True)
    net = MLPClassifier((5,), max_iter=2).fit(x, NAMES)
    to_onnx(net, tmp_path / "net.onnx")
    made = onnx.load(tmp_path / "net.onnx")
    about = {entry.key: json.loads(entry.value) for entry in made.metadata_props}
    assert about == {
        "classes": ["setosa", "versicolor", "日本の花"],
        "columns": x.columns.tolist(),
    }
    assert made.graph.doc_string.startswith("softmax(affine(relu(affine(X, W1, b1))")
    assert (made.producer_name, made.producer_version) == ("kokuban", kb.__version__)
    assert [(o.domain, o.version) for o in made.opset_import] == [("", 19)]
    assert made.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"


def test_a_net_is_written_without_detours() -> None:
    net = MLPClassifier((5,), max_iter=2).fit(FLOWERS, KINDS)
    nodes = [n.op_type for n in onnx.load_from_string(onnx_bytes(net)).graph.node]
    network = ["MatMul", "Add", "Relu", "MatMul", "Add", "Softmax"]
    assert nodes == [*network, "ArgMax", "Gather", "Identity", "Identity"]


def test_the_same_net_is_the_same_file() -> None:
    net = MLPClassifier((5,), max_iter=2).fit(FLOWERS, KINDS)
    assert onnx_bytes(net) == onnx_bytes(net)


# ---------------------------------------------------------------- wrong input


class Derived(dict):  # type: ignore[type-arg]
    """An object of nobody's."""


def test_foreign_and_unfitted_objects() -> None:
    from sklearn.neural_network import MLPClassifier as Theirs

    for foreign in (Theirs(), None, 3, Derived(), nn.Affine(2, 2), "net.safetensors"):
        with pytest.raises(InterchangeError, match="to_onnx takes a fitted Model"):
            onnx_bytes(foreign)
    for unfitted in (MLPClassifier(), MLPRegressor(), Autoencoder()):
        with pytest.raises(NotFittedError, match="is not fitted: call fit"):
            onnx_bytes(unfitted)
    with pytest.raises(NotFittedError, match="has no values yet"):
        onnx_bytes(kb.Model(nn.Affine(2, 2)))
    with pytest.raises(SettingError, match="values= is for expressions"):
        onnx_bytes(kb.Model(nn.Affine(2, 2)), {"W1": np.eye(2)})


def test_a_loss_that_shows_no_prediction() -> None:
    model = kb.Model(loss=kb.sum(kb.input("X", ("N", 2)) @ kb.parameter("W", (2, 1))))
    model.initialise()
    with pytest.raises(SettingError, match="does not show what to predict"):
        onnx_bytes(model)


def test_classes_that_onnx_cannot_hold() -> None:
    net = MLPClassifier((2,), max_iter=2).fit(FLOWERS, KINDS)
    net.classes_ = np.array([0, "a", None], object)
    with pytest.raises(InterchangeError, match="all of one type, not"):
        onnx_bytes(net)


def test_a_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = kb.Model(nn.Affine(2, 2))
    model.initialise()
    with pytest.raises(StorageError, match="No such file"):
        to_onnx(model, tmp_path / "none" / "net.onnx")
    with pytest.raises(StorageError):
        to_onnx(model, tmp_path)
    (tmp_path / "net.onnx").write_bytes(b"older")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        to_onnx(model, tmp_path / "net.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == b"older"


def test_without_onnx_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    model = kb.Model(nn.Affine(2, 2))
    model.initialise()
    with pytest.raises(SettingError, match=r"needs onnx: pip install kokuban\[onnx\]"):
        onnx_bytes(model)


def test_too_large_a_net(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kokuban.interchange.graph.LARGEST", 100)
    model = kb.Model(nn.Affine(20, 2))
    model.initialise()
    with pytest.raises(DataError, match="at most 2 GiB"):
        onnx_bytes(model)


@pytest.mark.parametrize(
    "extra",
    [
        {"kokuban train": 3},
        {"kokuban train": {"coding": None}},
        {"kokuban train": {"coding": {"kind": "sounds"}}},
        {"kokuban train": {"coding": {"kind": "images", "labels": ["a"], "levels": 1}}},
        {"kokuban train": {"coding": {"kind": "images", "labels": [0, 1], "levels": 0}}},
        {"kokuban train": {"coding": {"kind": "table", "encoder": 1}}},
        {"kokuban train": {"coding": {"kind": "images", "labels": [0], "levels": 1}}},
    ],
)
def test_a_coding_is_not_taken_on_trust(extra: Any) -> None:
    model = kb.Model(nn.Affine(2, 2))
    model.initialise()
    model.extra = extra
    with pytest.raises(FileFormatError):
        onnx_bytes(model)
