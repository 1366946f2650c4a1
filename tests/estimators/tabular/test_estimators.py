"""TabularClassifier and TabularRegressor: what they promise, and what they refuse."""

from __future__ import annotations

import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.inspection import permutation_importance
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from kokuban.errors import DataError, FileFormatError, SettingError, UnknownNameError
from kokuban.estimators import TabularClassifier, TabularRegressor, load
from kokuban.train.files import load_arrays, save_arrays

pytestmark = pytest.mark.filterwarnings(
    "ignore:Training.* runs on NumPy:UserWarning",  # where nothing was compiled
)

SMALL: dict[str, Any] = {
    "preset": "realmlp",
    "hidden_layer_sizes": (16,),
    "max_iter": 12,
    "random_state": 0,
}
X, Y = load_iris(return_X_y=True, as_frame=True)
XD, YD = load_diabetes(return_X_y=True)


def table(rows: int = 300, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Mixed columns, and numbers that depend on some of them."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "x": rng.normal(size=rows),
            "noise": rng.normal(size=rows),
            "colour": rng.choice(["red", "green", "blue"], rows),
            "old": rng.random(rows) < 0.5,
            "day": pd.Timestamp("2024-01-01")
            + pd.to_timedelta(rng.integers(0, 700, rows), "D"),
        }
    )
    y = 2 * frame["x"] + 3 * (frame["colour"] == "red") + frame["old"] + 10
    frame.loc[::11, "x"] = np.nan
    frame.loc[::13, "colour"] = None
    return frame, y.to_numpy()


def classifier(**settings: Any) -> TabularClassifier:
    return TabularClassifier(**{**SMALL, **settings})


def regressor(**settings: Any) -> TabularRegressor:
    return TabularRegressor(**{**SMALL, **settings})


# ---------------------------------------------------------------- learning


def test_classes() -> None:
    x, x_new, y, y_new = train_test_split(
        *load_breast_cancer(return_X_y=True), random_state=0
    )
    names = np.array(["malignant", "benign"])
    net = classifier(max_iter=40).fit(x, names[y])
    p = net.predict_proba(x_new)
    assert net.score(x_new, names[y_new]) > 0.93
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(net.predict(x_new), net.classes_[p.argmax(axis=1)])
    assert_allclose(net.predict_log_proba(x_new), np.log(p))
    assert net.classes_.tolist() == ["benign", "malignant"]
    assert net.n_features_in_ == 30
    assert len(net.history_) == net.n_iter_ == 40
    assert net.history_.best_epoch == net.best_epochs_[0]


def test_numbers() -> None:
    frame, y = table()
    net = regressor(max_iter=150).fit(frame[:200], y[:200])
    assert net.score(frame[200:], y[200:]) > 0.8
    assert [c.kind for c in net.columns_] == [
        "numeric",
        "numeric",
        "categorical",
        "boolean",
        "date",
    ]
    far = pd.DataFrame(
        {"x": [1e9], "noise": [0], "colour": ["red"], "old": [1], "day": [None]}
    )
    assert y[:200].min() <= net.predict(far)[0] <= y[:200].max()


def test_nothing_is_left_of_the_smoothing_in_the_probabilities() -> None:
    """Smoothing by 0.1 alone keeps every binary probability below 0.95."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, size=(1200, 2))
    y = (x[:, 0] > 0).astype(int)
    net = classifier(max_iter=60).fit(x, y)
    p = net.predict_proba(x)
    assert net.temperature_ < 1
    assert np.quantile(p.max(axis=1), 0.7) > 0.98
    assert log_loss(y, p) < 0.05


def test_a_rare_class_keeps_its_order() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1500, 4))
    score = x[:, 0] + x[:, 1] ** 2 + rng.normal(size=1500)
    y = (score > np.quantile(score, 0.97)).astype(int)
    net = classifier(max_iter=40).fit(x[:1000], y[:1000])
    assert roc_auc_score(y[1000:], net.predict_proba(x[1000:])[:, 1]) > 0.85


def test_dataframes_and_arrays_give_the_same() -> None:
    wanted = classifier().fit(X, Y).predict_proba(X)
    table = pl.from_dict({c: X[c].to_list() for c in X})
    net = classifier().fit(table, Y.to_list())
    assert_array_equal(net.predict_proba(table), wanted)
    assert_array_equal(net.predict_proba(X), wanted)
    plain = classifier().fit(X.to_numpy(), Y.to_numpy())
    assert_array_equal(plain.predict_proba(X.to_numpy()), wanted)


def test_a_seed_decides_everything() -> None:
    first, again = (regressor(n_ens=2).fit(XD, YD).predict(XD) for _ in range(2))
    assert_array_equal(first, again)
    other = regressor(random_state=1).fit(XD, YD).predict(XD)
    assert not np.array_equal(first, other)


def test_fitting_leaves_the_callers_data_alone() -> None:
    frame, y = table(60)
    before, y_before = frame.copy(), y.copy()
    regressor().fit(frame, y).predict(frame)
    pd.testing.assert_frame_equal(frame, before)
    assert_array_equal(y, y_before)


# ---------------------------------------------------------------- settings


def test_bagging_and_ensembles_are_means_of_their_networks() -> None:
    net = regressor(n_folds=3, n_ens=2).fit(XD, YD)
    assert len(net.histories_) == 3
    assert len(net.best_epochs_) == 6
    model = net.to_model()
    names = {s.name for s in model.values}
    assert {f"W{k}" for k in range(1, 13)} <= names  # two layers of six networks
    z = net.encoder_.scaling(XD).astype(np.float64)
    values = {s.name: v.astype(np.float64) for s, v in model.values.items()}
    outputs = []
    for k in range(6):
        first, last = 2 * k + 1, 2 * k + 2
        u = (
            z * values[f"gain{k + 1}"] @ values[f"W{first}"] / np.sqrt(10)
            + values[f"b{first}"]
        )
        h = u * np.tanh(np.log1p(np.exp(u)))
        straight = z @ values[f"S{k + 1}"] / np.sqrt(10)
        outputs.append(h @ values[f"W{last}"] / 4 + values[f"b{last}"] + straight)
    y = YD.mean() + YD.std() * np.mean(outputs, axis=0)[:, 0]
    assert_allclose(net.predict(XD), np.clip(y, YD.min(), YD.max()), rtol=1e-4)


def test_weights() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 2))
    y = (x[:, 0] > 1.3).astype(int)
    noisy = np.where(rng.random(400) < 0.3, 1 - y, y)
    recall = []
    for class_weight in (None, "balanced", {0: 1, 1: 20}):
        net = classifier(max_iter=30, class_weight=class_weight).fit(x, noisy)
        recall.append(net.predict(x)[y == 1].mean() + net.predict(x)[y == 0].mean())
    assert recall[0] < recall[1] < recall[2]
    # rows of weight 0 are as if they were not there
    w = (noisy == y).astype(float)
    left_out = classifier().fit(x[w > 0], y[w > 0], np.ones(int(w.sum())))
    net = classifier()
    net.fit(x, noisy, sample_weight=w)
    assert net.histories_[0]["val_loss"][-1] < 0.2
    assert left_out.score(x, y) == pytest.approx(net.score(x, y), abs=0.05)


def test_validation_data_of_ones_own() -> None:
    x, x_val, y, y_val = train_test_split(X, Y, random_state=0, stratify=Y)
    net = classifier().fit(x, y, X_val=x_val, y_val=y_val)
    scores = log_loss(y_val, net.predict_proba(x_val))
    assert scores <= min(net.history_["val_loss"]) + 0.02
    with pytest.raises(DataError, match="a class that y has not"):
        classifier().fit(x[y < 2], y[y < 2], X_val=x_val, y_val=y_val)
    with pytest.raises(DataError, match="X_val needs y_val"):
        classifier().fit(x, y, X_val=x_val)
    with pytest.raises(DataError, match="need X_val"):
        classifier().fit(x, y, y_val=y_val)
    with pytest.raises(SettingError, match="n_folds > 1 makes its own"):
        classifier(n_folds=2).fit(x, y, X_val=x_val, y_val=y_val)


def test_refit_trains_on_all_rows_for_as_many_epochs() -> None:
    net = regressor(refit=True, n_folds=2).fit(XD, YD)
    assert len(net.histories_) == 3
    assert len(net.histories_[-1]) == round(np.mean(net.best_epochs_))
    names = {s.name for s in net.model_.values}
    assert names == {"gain1", "W1", "b1", "W2", "b2", "S1"}
    assert net.predict_interval(XD).shape == (442, 2)


@pytest.mark.parametrize("preset", ["default", "fast", "realmlp"])
def test_presets(preset: str) -> None:
    net = TabularRegressor(preset, max_iter=4, random_state=0).fit(XD, YD)
    assert net.score(XD, YD) > 0
    assert net.n_iter_ == 4


class Ticking:
    """A clock that is a moment later each time it is read."""

    def __init__(self, tick: float) -> None:
        self.tick, self.time = tick, 0.0

    def __call__(self) -> float:
        self.time += self.tick
        return self.time


@pytest.mark.parametrize("seconds", [1.0, 60.0])
@pytest.mark.parametrize("refit", [False, True])
def test_a_time_limit_is_kept(
    seconds: float, refit: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock runs when it is read, so nothing depends on how fast the machine is."""
    clock = Ticking(seconds / 3_000)
    monkeypatch.setattr(TabularRegressor, "_now", lambda _: clock())
    net = regressor(max_iter=10**6, max_time=seconds, n_folds=3, refit=refit, n_ens=2)
    net.fit(XD, YD)
    assert clock.time < 1.02 * seconds
    runs = net.histories_[:3]
    assert {h.stopped for h in runs} == {"max_time"}
    taken = [sum(h["seconds"]) for h in runs]
    if not refit:  # the runs share the time alike, and use all of it
        assert clock.time > 0.95 * seconds
        assert_allclose(taken, np.mean(taken), rtol=0.1)
    losses = runs[0]["val_loss"]
    assert min(losses) <= losses[-1]
    assert len(net.predict(XD)) == len(XD)


def test_too_little_time_for_all_runs_leaves_the_first() -> None:
    net = regressor(max_time=1e-9, n_folds=5).fit(XD, YD)
    assert [h.stopped for h in net.histories_] == ["max_time"]
    assert net.best_epochs_ == (1,)
    names = {s.name for s in net.to_model().values}
    assert names == {"gain1", "W1", "b1", "W2", "b2", "S1"}
    assert np.isfinite(net.predict(XD)).all()


def test_ctrl_c_ends_all_runs_and_keeps_what_was_learned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Ticking(1.0)

    def pressed(_: Any) -> float:
        if clock() == 100:
            signal.raise_signal(signal.SIGINT)
        return clock.time

    monkeypatch.setattr(TabularRegressor, "_now", pressed)
    with pytest.warns(UserWarning, match="interrupted; the estimator keeps the best"):
        net = regressor(max_iter=10**6, max_time=1e9, n_folds=3, refit=True).fit(XD, YD)
    assert [h.stopped for h in net.histories_] == ["interrupted"]
    assert np.isfinite(net.predict(XD)).all()


def test_periodic_embedding() -> None:
    frame, y = table()
    net = regressor(embedding="periodic", max_iter=60).fit(frame, y)
    values = {s.name: v for s, v in net.model_.values.items()}
    waves = values["G1"].reshape(len(net.encoder_.outputs), 2, 16).copy()
    embedded = [net.encoder_.outputs.index(name) for name in ("x", "noise")]
    for k, column in enumerate(embedded):  # no date, no category, no other column
        assert np.all(waves[column, k] != 0)
        waves[column, k] = 0
    assert not waves.any()
    assert net.score(frame, y) > 0.5


def test_many_rows_of_few_numbers_are_embedded() -> None:
    def embedded(rows: int, columns: int, **settings: Any) -> bool:
        x = np.random.default_rng(0).normal(size=(rows, columns))
        net = TabularRegressor(max_iter=1, random_state=0, **settings)
        net.set_params(hidden_layer_sizes=(4,), n_folds=1).fit(x, x[:, 0])
        return "G1" in {s.name for s in net.to_model().values}

    assert embedded(2000, 3)
    assert embedded(2000, 16)
    assert not embedded(2000, 17)
    assert not embedded(1999, 3)
    assert not embedded(2000, 3, embedding="none")
    assert not embedded(2000, 3, preset="realmlp")
    assert embedded(60, 17, embedding="periodic")


def test_sklearns_tools(tmp_path: Path) -> None:
    pipe = make_pipeline(StandardScaler(), classifier())
    assert cross_val_score(pipe, X, Y, cv=2).min() > 0.7
    search = GridSearchCV(classifier(), {"label_smoothing": [0, 0.1]}, cv=2, n_jobs=2)
    assert search.fit(X, Y).best_score_ > 0.7
    net = classifier().fit(X, Y)
    again = pickle.loads(pickle.dumps(net))
    assert_array_equal(again.predict_proba(X), net.predict_proba(X))
    assert clone(net).get_params() == net.get_params()
    assert not hasattr(clone(net), "classes_")


# ---------------------------------------------------------------- intervals


@pytest.mark.parametrize("loss", ["mse", "mae", "huber", "normal", "quantile"])
def test_intervals_cover(loss: str) -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(-2, 2, size=(1500, 2))
    y = x[:, 0] + (0.2 + 0.3 * (x[:, 0] > 0)) * rng.normal(size=1500)
    net = regressor(loss=loss, max_iter=60, hidden_layer_sizes=(24,)).fit(
        x[:900], y[:900]
    )
    new, truth = x[900:], y[900:]
    ends = net.predict_interval(new, 0.8)
    assert (ends[:, 0] <= ends[:, 1]).all()
    covered = np.mean((ends[:, 0] <= truth) & (truth <= ends[:, 1]))
    assert 0.72 < covered < 0.88
    quantiles = net.predict_quantiles(new, [0.05, 0.5, 0.95])
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert_allclose(
        np.mean(truth[:, None] <= quantiles, axis=0), [0.05, 0.5, 0.95], atol=0.1
    )
    assert net.score(new, truth) > 0.7
    if loss in ("normal", "quantile"):  # these know where the noise is
        widths = ends[:, 1] - ends[:, 0]
        assert widths[new[:, 0] > 0.5].mean() > 1.3 * widths[new[:, 0] < -0.5].mean()


def test_intervals_that_cannot_be() -> None:
    net = regressor().fit(XD[:50], YD[:50])
    with pytest.raises(SettingError, match="10 rows were held out, which is too few"):
        net.predict_interval(XD, 0.99)
    with pytest.raises(SettingError, match="coverage is between 0 and 1"):
        net.predict_interval(XD, 90)
    with pytest.raises(SettingError, match="levels are numbers between"):
        net.predict_quantiles(XD, [0.5, 1.0])
    net = regressor(loss="quantile").fit(XD, YD)
    with pytest.raises(SettingError, match=r"0\.3 is none of them"):
        net.predict_quantiles(XD, [0.3])
    with pytest.raises(SettingError, match=r"with 0\.5 among them"):
        regressor(loss="quantile", quantiles=(0.1, 0.9)).fit(XD, YD)


# ---------------------------------------------------------------- importances


def test_importances_find_the_columns_that_matter() -> None:
    frame, y = table(400)
    net = regressor(max_iter=150).fit(frame, y)
    drops = net.permutation_importance(frame, y, n_repeats=3, random_state=0)
    assert drops.shape == (5, 3)
    names = [c.name for c in net.columns_]
    found = dict(zip(names, drops.mean(axis=1), strict=True))
    assert min(found["x"], found["colour"]) > 5 * max(
        abs(found["noise"]), abs(found["day"])
    )
    slopes = dict(zip(names, net.input_gradient_importance(frame), strict=True))
    assert slopes["x"] > 3 * slopes["noise"]


def test_permutation_importance_is_scikit_learns() -> None:
    net = classifier(max_iter=30).fit(X, Y)
    ours = net.permutation_importance(X, Y, n_repeats=30, random_state=0)
    theirs = permutation_importance(net, X, Y, n_repeats=30, random_state=0)
    assert_allclose(ours.mean(axis=1), theirs.importances_mean, atol=0.04)


def test_input_gradients_are_slopes() -> None:
    net = regressor().fit(XD, YD)
    z, step = net.encoder_.scaling(XD).astype(np.float32), 1e-2
    slopes = []
    for k in range(10):
        ends = []
        for sign in (1, -1):
            moved = z.copy()
            moved[:, k] += sign * step
            ends.append(net.model_.predict(moved)[:, 0].astype(np.float64))
        slopes.append(np.abs((ends[0] - ends[1]) / (2 * step)).mean())
    assert_allclose(net.input_gradient_importance(XD), slopes, rtol=0.02)


# ---------------------------------------------------------------- files

FRAME, TARGET = table(80)
FITTED: dict[str, Any] = {
    "iris": lambda: classifier().fit(X, Y),
    "names": lambda: classifier(n_ens=2).fit(X, np.array(["a", "b", "c"], object)[Y]),
    "array": lambda: classifier(class_weight={0: 2.0}).fit(X.to_numpy(), Y.to_numpy()),
    "table": lambda: regressor(n_folds=2).fit(FRAME, TARGET),
    "embedded": lambda: regressor(embedding="periodic").fit(FRAME, TARGET),
    "quantiles": lambda: regressor(loss="quantile", refit=True).fit(FRAME, TARGET),
    "normal": lambda: regressor(loss="normal", n_ens=2).fit(FRAME, TARGET),
    "fast": lambda: TabularRegressor("fast", max_iter=2).fit(FRAME, TARGET),
}


@pytest.mark.parametrize("name", FITTED)
def test_what_is_loaded_is_what_was_saved(name: str, tmp_path: Path) -> None:
    net = FITTED[name]()
    net.save(tmp_path / "net.safetensors")
    again = load(tmp_path / "net.safetensors")
    assert type(again) is type(net)
    assert again.get_params() == net.get_params()
    data = (
        FRAME
        if isinstance(net, TabularRegressor)
        else X
        if name != "array"
        else X.to_numpy()
    )
    assert_array_equal(again.predict(data), net.predict(data))
    assert again.columns_ == net.columns_
    assert [h.to_dict() for h in again.histories_] == [
        h.to_dict() for h in net.histories_
    ]
    assert vars(again).keys() == vars(net).keys()
    if isinstance(net, TabularRegressor):
        assert_array_equal(
            again.predict_interval(data, 0.5), net.predict_interval(data, 0.5)
        )
    else:
        assert_array_equal(again.predict_proba(data), net.predict_proba(data))
        assert_array_equal(again.classes_, net.classes_)


DAMAGE: dict[str, Any] = {
    "kept": lambda about: about["encoder"].update(kept=[0]),
    "sizes": lambda about: about.update(hidden=[5]),
    "members": lambda about: about.update(members=3),
    "target": lambda about: about.pop("own"),
    "setting": lambda about: about["settings"].update(preset="enormous"),
    "classes": lambda about: about["own"].update(classes=["a", "b"]),
}


@pytest.mark.parametrize("change", DAMAGE)
def test_a_damaged_file(change: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    classifier().fit(X, Y).save(path)
    arrays, about = load_arrays(path)
    DAMAGE[change](about["extra"]["estimator"])
    save_arrays(path, arrays, about)
    with pytest.raises(FileFormatError):
        load(path)


# ---------------------------------------------------------------- wrong input


@pytest.mark.parametrize(
    ("fit", "message"),
    [
        (lambda: classifier().fit(X, ["same"] * 150), "one class only"),
        (
            lambda: classifier().fit(X, range(150)),
            "another class in each of the 150 rows",
        ),
        (
            lambda: classifier().fit(X, [None, *Y[1:]]),
            "y contains NaN, infinity or a missing",
        ),
        (lambda: classifier().fit(X, Y + 0.5), "Unknown label type: continuous"),
        (lambda: classifier().fit(X[:100], Y), "inconsistent numbers of samples"),
        (lambda: classifier().fit(X[:1], Y[:1]), "1 sample"),
        (lambda: classifier().fit(X[:0], Y[:0]), "0 sample"),
        (lambda: classifier().fit(X, None), "requires y to be passed"),
        (lambda: classifier(n_folds=200).fit(X, Y), "n_folds=200 needs as many rows"),
        (lambda: classifier(hidden_layer_sizes=()).fit(X, Y), "at least one"),
        (lambda: classifier(preset="best").fit(X, Y), "preset"),
        (lambda: classifier(categorical_features=["nose"]).fit(X, Y), "'nose'"),
        (lambda: classifier(categorical_features=[9]).fit(X, Y), "positions from 0 to 3"),
        (lambda: classifier().fit(X, Y, sample_weight=-np.ones(150)), "Negative values"),
        (lambda: classifier().fit(X, Y, sample_weight=np.zeros(150)), "weight"),
        (lambda: regressor().fit(XD, np.ones(442)), "y is 1 in every row"),
        (lambda: regressor().fit(XD, [np.nan, *YD[1:]]), "y contains NaN"),
        (lambda: regressor().fit(XD, ["1,000", *YD[1:].astype(str)]), "'1,000' in row 0"),
        (lambda: regressor().fit(XD, YD / YD.max() * 1.7e308), "give it in another unit"),
        (
            lambda: regressor().fit(pd.concat([X, X], axis=1), Y),
            "Two columns|unique column names",
        ),
    ],
)
def test_what_cannot_be_learned(fit: Any, message: str) -> None:
    with pytest.raises((ValueError, UnknownNameError), match=message):
        fit()


def test_new_data_that_do_not_fit() -> None:
    net = classifier().fit(X, Y)
    with pytest.raises(DataError, match="lacks column 'petal width"):
        net.predict(X.iloc[:, :3])
    with pytest.raises(DataError, match="has column 'more'"):
        net.predict(X.assign(more=1))
    assert_array_equal(net.predict(X[X.columns[::-1]]), net.predict(X))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        net.predict(X.to_numpy())
    array = classifier().fit(X.to_numpy(), Y)
    with pytest.raises(
        ValueError, match="3 features, but TabularClassifier is expecting 4"
    ):
        array.predict(X.to_numpy()[:, :3])
    with pytest.raises(DataError, match=r"'column 1', row 0 .*: inf"):
        array.predict(np.array([[1.0, np.inf, 1, 1]]))
    assert np.isfinite(array.predict_proba(np.full((1, 4), np.nan))).all()


def test_not_fitted() -> None:
    for net in (TabularClassifier(), TabularRegressor()):
        with pytest.raises(NotFittedError):
            net.predict(X)
        with pytest.raises(NotFittedError):
            net.save("nowhere.safetensors")


def test_text_that_is_nearly_numbers_is_told() -> None:
    prices = [*(f"{k},{k:03d}" for k in range(1, 60)), "on request"] * 2
    frame = pd.DataFrame({"price": prices, "n": range(120)})
    with pytest.warns(
        UserWarning, match="Column 'price' is taken as categorical.*'on request'|commas"
    ):
        classifier().fit(frame, [0, 1] * 60)


def test_a_class_that_only_one_row_has_is_trained_on() -> None:
    y = Y.to_numpy().copy()
    y[0] = 7
    net = classifier(n_folds=3).fit(X, y)
    assert net.classes_.tolist() == [0, 1, 2, 7]
    assert net.predict_proba(X).shape == (150, 4)
