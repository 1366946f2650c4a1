"""State dicts of torch.nn.Sequential: names, shapes, and PyTorch's own outputs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors.numpy import save_file

import kokuban as kb
from kokuban import nn
from kokuban.errors import (
    DataError,
    FileFormatError,
    InterchangeError,
    NotFittedError,
    ShapeError,
    StorageError,
)
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor
from kokuban.interchange import from_torch, to_torch

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:.* runs on NumPy:UserWarning",  # where nothing was compiled
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(20, 4))
T = (X[:, 0] > 0).astype(int)


def deep(dtype: Any = np.float32) -> kb.Model:
    """One of each, trained a little so that the running statistics are their own."""
    net = nn.Sequential(
        nn.Affine(4, 5),
        nn.BatchNorm(5),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Affine(5, 3, bias=False),
        nn.LayerNorm(3),
        nn.Tanh(),
        nn.Affine(3, 2),
    )
    model = kb.Model(net, loss="softmax_cross_entropy", dtype=dtype)
    model.fit(X, T, epochs=3, batch_size=10)
    return model


NAMES = {
    "0.weight": (5, 4),
    "0.bias": (5,),
    "1.weight": (5,),
    "1.bias": (5,),
    "1.running_mean": (5,),
    "1.running_var": (5,),
    "1.num_batches_tracked": (),
    "4.weight": (3, 5),
    "5.weight": (3,),
    "5.bias": (3,),
    "7.weight": (2, 3),
    "7.bias": (2,),
}


def test_names_and_shapes_are_those_of_sequential() -> None:
    model = deep()
    state = to_torch(model)
    assert {name: array.shape for name, array in state.items()} == NAMES
    assert_array_equal(state["0.weight"], model["W1"].T)
    assert_array_equal(state["1.running_var"], model["variance(scale1)"][0])
    assert_array_equal(state["5.weight"], model["scale2"][0])
    assert state["0.weight"].dtype == np.float32
    assert state["1.num_batches_tracked"].dtype == np.int64
    state["0.bias"][:] = 7  # a copy
    assert (model["b1"] != 7).all()


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_there_and_back_to_the_bit(dtype: Any, trained: bool, tmp_path: Path) -> None:
    model, other = deep(dtype), deep(dtype)
    if not trained:
        other = kb.Model(nn.Sequential(*LIKE_DEEP), loss="mse", dtype=dtype)
    assert from_torch(to_torch(model), other) is other
    for name, array in to_torch(model).items():
        assert_array_equal(to_torch(other)[name], array)
    save_file(to_torch(model), tmp_path / "net.safetensors")
    again = from_torch(str(tmp_path / "net.safetensors"), deep(dtype))
    assert_array_equal(again.predict(X), model.predict(X))
    again.fit(X, T, epochs=1)


LIKE_DEEP = (
    nn.Affine(4, 5),
    nn.BatchNorm(5),
    nn.Identity(),
    nn.Dropout(0.0),
    nn.Affine(5, 3, bias=False),
    nn.LayerNorm(3),
    nn.GELU(),
    nn.Affine(3, 2),
)


def test_a_saved_model_has_the_same_names(tmp_path: Path) -> None:
    model = deep()
    model.save(tmp_path / "m")
    loaded = to_torch(kb.load(tmp_path / "m"))
    assert {name: array.shape for name, array in loaded.items()} == NAMES


def test_sequences_in_sequences_have_names_of_two_numbers() -> None:
    inner = nn.Sequential(nn.Affine(3, 3), nn.Sequential(nn.ReLU(), nn.LayerNorm(3)))
    net = nn.Sequential(nn.Affine(4, 3), inner, nn.ReLU(), nn.Affine(3, 1))
    model = kb.Model(net)
    model.initialise()
    assert [*to_torch(model)] == [
        "0.weight",
        "0.bias",
        "1.0.weight",
        "1.0.bias",
        "1.1.1.weight",
        "1.1.1.bias",
        "3.weight",
        "3.bias",
    ]


def test_a_layer_that_is_used_twice() -> None:
    shared = nn.Affine(4, 4)
    model = kb.Model(nn.Sequential(shared, nn.Tanh(), shared))
    model.initialise()
    state = to_torch(model)
    assert [*state] == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert_array_equal(state["0.weight"], state["2.weight"])
    from_torch(state, model)
    with pytest.raises(DataError, match=r"2.weight is W1, which the model uses twice"):
        from_torch({**state, "2.weight": state["2.weight"] + 1}, model)


ESTIMATORS: dict[str, tuple[Any, Any]] = {
    "classifier": (MLPClassifier((5, 3), normalization="batch", dropout=0.1), T),
    "own activation": (MLPClassifier((5, 3), lambda u: kb.sin(u)), T),
    "regressor": (MLPRegressor("mae", (5,), normalization="layer"), X[:, :2]),
    "autoencoder": (Autoencoder((3, 2), tied=False), None),
}


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimators(name: str) -> None:
    estimator, y = ESTIMATORS[name]
    estimator.set_params(max_iter=3, random_state=0).fit(X, y)
    state, wanted = to_torch(estimator), estimator.to_model().predict(X)
    estimator.set_params(random_state=1).fit(X, y)
    assert (estimator.to_model().predict(X) != wanted).any()
    assert from_torch(state, estimator) is estimator
    assert_array_equal(estimator.to_model().predict(X), wanted)
    estimator.partial_fit(X, y)


class Lazy:
    """An array that only `numpy()` gives, after `detach()`."""

    def __init__(self, array: np.ndarray, detached: bool = False) -> None:
        self._array, self._detached = array, detached

    def detach(self) -> Lazy:
        return Lazy(self._array, True)

    def numpy(self) -> np.ndarray:
        assert self._detached
        return self._array


def test_whatever_gives_an_array() -> None:
    model = deep()
    state: dict[str, Any] = {n: Lazy(a) for n, a in to_torch(model).items()}
    state["0.bias"] = [1, 2, 3, 4, 5]
    del state["1.num_batches_tracked"]
    from_torch(state, model)
    assert model["b1"].tolist() == [[1, 2, 3, 4, 5]]


# ---------------------------------------------------------------- wrong input


def changed(**new: Any) -> dict[str, Any]:
    """A state dict with some arrays in another way: None takes one away."""
    renamed = {name.replace("_", ".", 1): value for name, value in new.items()}
    state = {**to_torch(deep()), **renamed}
    return {name: value for name, value in state.items() if value is not None}


class Refuses:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise TypeError("it lies on another device")


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "missing": ({"0_bias": None, "7_weight": None}, DataError, "it lacks 0.bias, 7.we"),
    "too much": ({"8_weight": np.ones(2)}, DataError, "the model has no 8.weight"),
    "misspelt": (
        {"0_bias": None, "0_bais": np.ones(5)},
        DataError,
        r"lacks 0\.bias; the model has no 0\.bais\. Did you mean '0.bais'\?",
    ),
    "transposed": (
        {"0_weight": np.ones((4, 5))},
        ShapeError,
        r"0.weight must be \(5, 4\), as the model's W1; it is \(4, 5\)",
    ),
    "a row": ({"0_bias": np.ones((1, 5))}, ShapeError, r"must be \(5,\)"),
    "NaN": ({"0_bias": np.full(5, np.nan)}, DataError, "0.bias holds an entry that is"),
    "text": ({"0_bias": ["a"] * 5}, DataError, "must be an array of numbers"),
    "complex": ({"0_bias": np.ones(5) * 1j}, DataError, "not complex128"),
    "ragged": ({"0_bias": [[1], [1, 2]]}, DataError, "no array that NumPy has"),
    "elsewhere": ({"0_bias": Refuses()}, DataError, "lies on another device"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_state_dict_changes_nothing(name: str) -> None:
    new, error, message = WRONG[name]
    model = deep()
    before = model.values
    with pytest.raises(error, match=message):
        from_torch(changed(**new), model)
    assert model.values is before


TIED = nn.Affine(4, 2)
NO_SEQUENTIAL: dict[str, tuple[Any, str]] = {
    "residual": (
        nn.Sequential(nn.Affine(4, 4), nn.Residual(nn.Affine(4, 4))),
        "no such layer as Residual, number 1 of",
    ),
    "residual alone": (nn.Residual(nn.Affine(4, 4)), "takes the input past them"),
    "tied": (nn.Sequential(TIED, nn.TiedAffine(TIED)), "as TiedAffine, number 1"),
    "tied, no bias": (
        nn.Sequential(TIED, nn.TiedAffine(TIED, bias=False)),
        "as TiedAffine, number 1",
    ),
    "scalar": (nn.Sequential(nn.ScalarAffine()), "as ScalarAffine, number 0"),
    "one layer": (nn.Affine(4, 2), "not made of a Sequential"),
}


@pytest.mark.parametrize("name", NO_SEQUENTIAL)
def test_what_sequential_has_not_is_named(name: str) -> None:
    net, message = NO_SEQUENTIAL[name]
    model = kb.Model(net, inputs=4)
    model.initialise()
    with pytest.raises(InterchangeError, match=message):
        to_torch(model)
    with pytest.raises(InterchangeError, match=message):
        from_torch({}, model)


def test_foreign_and_unfitted_objects() -> None:
    loss = kb.mse(kb.input("X", ("N", 2)) @ kb.parameter("W", (2, 2)), kb.zeros((1, 2)))
    board = kb.Model(loss=loss)
    board.initialise()
    with pytest.raises(InterchangeError, match="not made of a Sequential"):
        to_torch(board)
    for foreign in (None, nn.Affine(2, 2), {}):
        with pytest.raises(InterchangeError, match=r"A kokuban\.Model or an estimator"):
            to_torch(foreign)
        with pytest.raises(InterchangeError, match=r"A kokuban\.Model or an estimator"):
            from_torch({}, foreign)
    with pytest.raises(NotFittedError, match="no values yet"):
        to_torch(kb.Model(nn.Sequential(nn.Affine(2, 2))))
    for act in (to_torch, lambda e: from_torch({}, e)):
        with pytest.raises(NotFittedError, match="MLPClassifier is not fitted"):
            act(MLPClassifier())
    with pytest.raises(InterchangeError, match="maps names to arrays; this is list"):
        from_torch([1], deep())


def test_files_that_are_none(tmp_path: Path) -> None:
    model = deep()
    with pytest.raises(StorageError, match="there is no such file"):
        from_torch(tmp_path / "none", model)
    (tmp_path / "net.pt").write_bytes(b"PK\x03\x04 a zip of pickles")
    with pytest.raises(FileFormatError, match=r"Write it with safetensors\.torch"):
        from_torch(tmp_path / "net.pt", model)


def test_torch_is_never_imported(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np, kokuban as kb\n"
        "from kokuban.interchange import from_torch, to_torch\n"
        "model = kb.Model(kb.nn.Sequential(kb.nn.Affine(2, 3), kb.nn.BatchNorm(3)))\n"
        "model.initialise()\n"
        "from_torch(to_torch(model), model)\n"
        "from safetensors.numpy import save_file\n"
        "save_file(to_torch(model), 'net.safetensors')\n"
        "from_torch('net.safetensors', model)\n"
        "print('torch' in sys.modules, 'onnx' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    assert done.stdout.split() == ["False", "False"]


# ---------------------------------------------------------------- PyTorch itself


def in_torch(torch: Any, dtype: Any) -> Any:
    """The net of `deep`, in PyTorch's layers and with its own random values."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 5),
        torch.nn.BatchNorm1d(5),
        torch.nn.ReLU(),
        torch.nn.Dropout(0.2),
        torch.nn.Linear(5, 3, bias=False),
        torch.nn.LayerNorm(3),
        torch.nn.Tanh(),
        torch.nn.Linear(3, 2),
    )
    return net.to(dtype)


@pytest.mark.torch
@pytest.mark.parametrize("name", ["float32", "float64"])
def test_pytorch_loads_ours_and_predicts_the_same(name: str) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model, net = deep(name), in_torch(torch, getattr(torch, name))
    state = {n: torch.from_numpy(a) for n, a in to_torch(model).items()}
    net.load_state_dict(state, strict=True)
    x = X.astype(name)
    with torch.no_grad():
        found = torch.softmax(net.eval()(torch.from_numpy(x)), dim=1).numpy()
    assert_allclose(found, model.predict(x), rtol=1e-5, atol=1e-6)


@pytest.mark.torch
def test_ours_takes_pytorchs_weights_and_predicts_the_same(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from safetensors.torch import save_file as save_torch

    net = in_torch(torch, torch.float32)
    net.train()
    for _ in range(3):  # running statistics of its own
        net(torch.from_numpy(X.astype(np.float32)) * 2 + 1)
    with torch.no_grad():
        wanted = torch.softmax(net.eval()(torch.from_numpy(X).float()), dim=1).numpy()
    assert_allclose(from_torch(net.state_dict(), deep()).predict(X), wanted, atol=1e-6)
    parameters = {**net.state_dict(keep_vars=True)}  # which need a gradient
    assert_allclose(from_torch(parameters, deep()).predict(X), wanted, atol=1e-6)
    save_torch(net.state_dict(), tmp_path / "net.safetensors")
    again = from_torch(tmp_path / "net.safetensors", deep())
    assert_allclose(again.predict(X), wanted, atol=1e-6)
    half = {n: a.bfloat16() for n, a in net.state_dict().items()}
    with pytest.raises(DataError, match="no array that NumPy has"):
        from_torch(half, deep())
    torch.save(net.state_dict(), tmp_path / "net.pt")
    with pytest.raises(FileFormatError, match="is a pickle, which would run code"):
        from_torch(tmp_path / "net.pt", deep())
