"""Estimators in files: the same predictions, no code in the file, clear errors."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from safetensors import safe_open
from sklearn.datasets import load_iris, make_multilabel_classification
from sklearn.exceptions import NotFittedError

import kokuban as kb
from kokuban.errors import FileFormatError, SettingError, StorageError
from kokuban.estimators import Autoencoder, MLPClassifier, MLPRegressor, load
from kokuban.train.files import load_arrays, save_arrays

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",  # short fits, on purpose
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)

X, Y = load_iris(return_X_y=True, as_frame=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
LABELS = make_multilabel_classification(150, 4, random_state=0)[1]


def focal(y: Any, t: Any) -> Any:
    return -(t * (1 - y) ** 2 * kb.log(y))


FITTED: dict[str, tuple[Any, Any]] = {
    "defaults": (MLPClassifier(), Y),
    "names": (MLPClassifier((3,), early_stopping=True), NAMES),
    "names as objects": (MLPClassifier(), NAMES.astype(object)),
    "two classes": (MLPClassifier(solver="lbfgs"), Y.to_numpy() == 1),
    "one class": (MLPClassifier(), ["one"] * 150),
    "several labels": (MLPClassifier((4, 3), alpha=2.0), LABELS),
    "layers": (MLPClassifier((4, 3), normalization="batch", dropout=(0.1, 0.2)), Y),
    "optimizer": (MLPClassifier(solver=kb.optim.AdamW(kb.optim.Step(0.01, 5))), Y),
    "schedule": (MLPClassifier(learning_rate=kb.optim.Cosine(0.01)), Y),
    "class weights": (MLPClassifier(class_weight={0: 2.0, 2: 0.5}, momentum=0), Y),
    "activations": (MLPClassifier((4, 3), ["tanh", partial(kb.elu, alpha=2.0)]), Y),
    "one function": (MLPClassifier((4, 3), kb.mish), Y),
    "own loss": (MLPClassifier(loss=focal), Y),
    "numbers": (MLPRegressor(n_iter_no_change=np.inf), Y * 1.5),
    "counts": (MLPRegressor("poisson", [4]), Y),
    "weighing loss": (MLPRegressor(partial(kb.quantile, level=0.9)), Y),
    "output": (MLPRegressor("huber", output_activation=lambda u: kb.exp(u / 2)), Y),
    "rows of numbers": (MLPRegressor(hidden_layer_sizes=()), LABELS),
    "autoencoder": (Autoencoder((3, 2), ["tanh", kb.tanh]), None),
    "untied": (Autoencoder((3, 2), tied=False, loss=kb.mae, normalization="layer"), None),
}


def outputs(estimator: Any) -> np.ndarray:
    method = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
    if isinstance(estimator, Autoencoder):
        return estimator.inverse_transform(estimator.transform(X))
    found: np.ndarray = getattr(estimator, method)(X)
    return found


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", FITTED)
def test_what_is_loaded_is_what_was_saved(name: str, dtype: Any, tmp_path: Path) -> None:
    estimator, y = FITTED[name]
    estimator.set_params(max_iter=3, random_state=0).fit(X.astype(dtype), y)
    estimator.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert type(again) is type(estimator)
    assert_array_equal(outputs(again), outputs(estimator))
    assert outputs(again).dtype == outputs(estimator).dtype
    public = {n for n in vars(estimator) if n.endswith("_")}
    assert {n for n in vars(again) if n.endswith("_")} == public
    for attribute in public - {"history_", "coefs_", "intercepts_", "norms_"}:
        found, wanted = getattr(again, attribute), getattr(estimator, attribute)
        if not callable(wanted):
            assert_array_equal(found, wanted)
            assert getattr(found, "dtype", None) == getattr(wanted, "dtype", None)
    for setting, wanted in estimator.get_params().items():
        if not callable(wanted) and setting != "activation":
            assert again.get_params()[setting] == wanted
    if hasattr(estimator, "history_"):
        assert again.history_.to_dict() == estimator.history_.to_dict()
    again.save(tmp_path / "again.safetensors")
    assert_array_equal(outputs(load(tmp_path / "again.safetensors")), outputs(estimator))


@pytest.mark.parametrize("name", [n for n in FITTED if n != "two classes"])
def test_what_is_loaded_can_be_trained_on(name: str, tmp_path: Path) -> None:
    estimator, y = FITTED[name]
    estimator.set_params(max_iter=3, random_state=0).fit(X, y).save(tmp_path / "net")
    again = load(tmp_path / "net")
    again.set_params(early_stopping=False, learning_rate="constant").partial_fit(X, y)
    assert len(again.loss_curve_) == len(estimator.loss_curve_) + 1
    anew = load(tmp_path / "net").fit(X, y)
    assert_allclose(anew.loss_curve_, estimator.loss_curve_, rtol=1e-9)


@pytest.mark.parametrize("name", FITTED)
def test_the_file_is_a_model_too(name: str, tmp_path: Path) -> None:
    estimator, y = FITTED[name]
    estimator.set_params(max_iter=3, random_state=0).fit(X, y).save(tmp_path / "net")
    model = kb.load(tmp_path / "net")
    y = outputs(estimator)
    found = model.predict(X.to_numpy())
    columns = found.shape[1]
    assert_allclose(found, y.reshape(len(X), -1)[:, -columns:], rtol=1e-9, atol=1e-12)


def test_a_model_of_an_estimator_has_its_losses() -> None:
    x = X.to_numpy()
    fitted = MLPClassifier((4,), alpha=5.0, max_iter=3, batch_size=150).fit(X, Y)
    model = fitted.to_model()
    penalty = 5.0 / 2 / 150 * sum(np.sum(w**2) for w in fitted.coefs_)
    plain = -np.mean(np.log(fitted.predict_proba(X)[np.arange(150), Y]))
    assert model.evaluate(x, Y.to_numpy())["loss"] == pytest.approx(plain)
    history = model.fit(
        x, Y.to_numpy(), optimizer=kb.optim.SGD(0.0), epochs=1, batch_size=150
    )
    assert history["loss"][0] == pytest.approx(plain + penalty)
    model["W1"] = np.zeros((4, 4))
    assert np.any(fitted.coefs_[0])  # the model has copies
    weighted = model.fit(x, Y.to_numpy(), epochs=1, sample_weight=np.ones(150))
    assert np.isfinite(weighted["loss"][0])


def test_the_file_holds_named_arrays_and_text(tmp_path: Path) -> None:
    MLPClassifier((4,), max_iter=1).fit(X, NAMES).save(tmp_path / "net")
    with safe_open(tmp_path / "net", "numpy") as file:
        assert set(file.keys()) == {"W1", "b1", "W2", "b2"}
        about = json.loads(file.metadata()["kokuban"])
    assert about["extra"]["estimator"]["own"]["classes"] == list(np.unique(NAMES))


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"random_state": np.random.RandomState(0)}, "random_state"),
        ({"scoring": lambda estimator, x, y: 0.0}, "scoring"),
    ],
    ids=["generator", "scorer"],
)
def test_what_only_code_could_hold(
    settings: dict[str, Any], name: str, tmp_path: Path
) -> None:
    fitted = MLPClassifier(max_iter=1, **settings).fit(X, Y)
    with pytest.raises(SettingError, match=f"cannot hold {name}="):
        fitted.save(tmp_path / "net")
    assert not list(tmp_path.iterdir())


def test_classes_that_are_no_text_or_number(tmp_path: Path) -> None:
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]")[Y]
    fitted = MLPClassifier(max_iter=1).fit(X, days)
    with pytest.raises(SettingError, match="classes that are text or numbers"):
        fitted.save(tmp_path / "net")


def test_before_the_fit_there_is_nothing_to_save(tmp_path: Path) -> None:
    with pytest.raises(NotFittedError):
        MLPClassifier().save(tmp_path / "net")
    with pytest.raises(NotFittedError):
        Autoencoder().to_model()


def test_a_function_from_a_file_knows_its_shapes_only(tmp_path: Path) -> None:
    MLPClassifier((4,), kb.tanh, max_iter=1).fit(X, Y).save(tmp_path / "net")
    again = load(tmp_path / "net").set_params(hidden_layer_sizes=(9,))
    with pytest.raises(SettingError, match="known for matrices of N×4, not of N×9"):
        again.fit(X, Y)


def test_files_that_hold_no_estimator(tmp_path: Path) -> None:
    path = tmp_path / "net"
    with pytest.raises(StorageError):
        load(path)
    net = kb.nn.Sequential(kb.nn.Affine(4, 3))
    model = kb.Model(net, "softmax_cross_entropy")
    model.initialise()
    model.save(path)
    with pytest.raises(
        FileFormatError, match=r"holds a model, but no estimator.*kokuban\.load"
    ):
        load(path)
    path.write_bytes(b"no")
    with pytest.raises(FileFormatError):
        load(path)


DAMAGES: dict[str, Any] = {
    "class": lambda about: about.update({"class": "Pipeline"}),
    "no settings": lambda about: about.pop("settings"),
    "unknown setting": lambda about: about["settings"].update({"depth": 3}),
    "setting out of range": lambda about: about["settings"].update({"alpha": -1}),
    "code": lambda about: about["settings"].update({"scoring": {"pickle": "x"}}),
    "other activation": lambda about: about["settings"].update({"activation": "rleu"}),
    "function": lambda about: about["settings"].update(
        {
            "activation": {
                "function": [{"nodes": [["const", 1]], "outputs": [0]}],
                "weighs": 0,
            }
        }
    ),
    "other sizes": lambda about: about.update({"units": [4, 5, 3]}),
    "sizes": lambda about: about.update({"units": ["a"]}),
    "classes": lambda about: about["own"].pop("classes"),
    "type of the classes": lambda about: about["own"].update({"dtype": "code"}),
    "history": lambda about: about.update({"history": 3}),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_malformed_description_is_an_error(name: str, tmp_path: Path) -> None:
    """The digest is right, so that the content alone decides."""
    path = tmp_path / "net"
    MLPClassifier((4,), max_iter=1).fit(X, NAMES).save(path)
    arrays, about = load_arrays(path)
    DAMAGES[name](about["extra"]["estimator"])
    save_arrays(path, arrays, about)
    with pytest.raises(FileFormatError, match="net"):
        load(path)
