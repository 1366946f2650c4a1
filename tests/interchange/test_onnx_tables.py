"""The tabular estimators in onnxruntime: raw columns in, the same answers out."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from kokuban.errors import NotFittedError
from kokuban.estimators import TabularClassifier, TabularRegressor, load
from kokuban.interchange.export import onnx_bytes

pytestmark = pytest.mark.filterwarnings(
    "ignore:.* runs on NumPy:UserWarning",  # where nothing was compiled
)

QUICK: dict[str, Any] = {
    "preset": "fast",
    "hidden_layer_sizes": (8,),
    "max_iter": 3,
    "random_state": 0,
}
RNG = np.random.default_rng(0)
ROWS = 160
DAY = datetime.datetime(2020, 1, 1)


def table() -> pl.DataFrame:
    """A column of each kind, some with missing values; `rare` has a few of its own."""
    rows = range(ROWS)
    rare = ["ab", "cd", "ef"]
    return pl.DataFrame(
        {
            "whole": RNG.integers(0, 50, ROWS),
            "gaps": [None if k % 7 == 0 else float(RNG.normal()) for k in rows],
            "far": RNG.standard_cauchy(ROWS) * 1e6,
            "flag": [None if k % 11 == 3 else k % 3 == 0 for k in rows],
            "when": [
                None if k % 13 == 5 else DAY + datetime.timedelta(hours=17 * k)
                for k in rows
            ],
            "two": [("yes", "no")[k % 2] for k in rows],
            "many": [None if k % 9 == 2 else rare[k % 3] for k in rows],
            "rare": [f"only {k}" if k < 5 else rare[k % 3] for k in rows],
            "same": [1.0] * ROWS,
        }
    )


DATA = table()
SCORE = DATA["whole"].to_numpy() + 10 * (DATA["two"].to_numpy() == "yes")
NEW = DATA.head(40).with_columns(
    pl.Series("two", ["yes", "no", "perhaps", None] * 10),  # unseen, and newly missing
    pl.Series("many", ["ab", "zz", None, "ef"] * 10),
    pl.Series("rare", ["ab", "only 2", "never", None] * 10),
    pl.Series("whole", [None, 1e300, -1e300, 7.0] * 10),
)


def inputs(frame: pl.DataFrame) -> dict[str, np.ndarray]:
    """The columns as docs/interchange.md says that they are given; `same` is not."""
    given = {}
    for name in frame.columns:
        column = frame[name]
        if column.dtype == pl.String:
            value = column.fill_null("").to_numpy().astype(object)
        elif column.dtype == pl.Datetime:
            value = column.dt.timestamp("ms").to_numpy() / 1000
        else:
            value = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        if name != "same":
            given[name] = value[:, None]
    return given


def same_answers(net: Any, frame: pl.DataFrame, found: dict[str, np.ndarray]) -> None:
    if isinstance(net, TabularClassifier):
        assert_array_equal(found["label"], net.predict(frame))
        p = net.predict_proba(frame)
        assert found["probabilities"].dtype == p.dtype
        assert_allclose(found["probabilities"], p, rtol=1e-4, atol=1e-5)
    else:
        y = net.predict(frame)
        assert found["prediction"].shape == y.shape
        assert_allclose(found["prediction"], y, rtol=1e-5, atol=1e-4)


NETS: dict[str, tuple[Any, np.ndarray]] = {
    "two classes": (TabularClassifier(**QUICK), np.where(SCORE > 30, "high", "low")),
    "classes": (TabularClassifier(**QUICK, n_ens=2), np.digitize(SCORE, [15, 40])),
    "embedding": (
        TabularClassifier(**QUICK, embedding="periodic", activation="mish"),
        SCORE > 20,
    ),
    "numbers": (TabularRegressor(**QUICK), SCORE * 1e3),
    "huber": (TabularRegressor(**QUICK, loss="huber"), SCORE),
    "normal": (TabularRegressor(**QUICK, loss="normal", n_ens=2), SCORE),
    "quantiles": (
        TabularRegressor(**QUICK, loss="quantile", quantiles=(0.1, 0.5, 0.8)),
        SCORE,
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_every_kind_of_column(name: str, through_onnx: Any, tmp_path: Path) -> None:
    net, y = NETS[name]
    net.fit(DATA, y)
    kinds = {column.kind for column in net.columns_}
    assert kinds == {"numeric", "boolean", "date", "categorical", "constant"}
    for frame in (DATA, NEW, DATA.head(1)):
        same_answers(net, frame, through_onnx(net, inputs(frame)))
    net.save(tmp_path / "net")
    again = load(tmp_path / "net")
    same_answers(net, NEW, through_onnx(again, inputs(NEW)))


def test_quantiles_are_in_the_targets_unit(through_onnx: Any) -> None:
    net, y = NETS["quantiles"]
    net.fit(DATA, y)
    found = through_onnx(net, inputs(NEW))["quantiles"]
    wanted = net.predict_quantiles(NEW, (0.1, 0.5, 0.8))
    assert_allclose(found, wanted, rtol=1e-5, atol=1e-4)


ARRAYS: dict[str, np.ndarray] = {
    "plain": RNG.normal(size=(ROWS, 3)),
    "a constant": np.column_stack([SCORE, np.ones(ROWS), RNG.normal(size=ROWS)]),
    "missing": np.where(RNG.random((ROWS, 3)) < 0.2, np.nan, RNG.normal(size=(ROWS, 3))),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_of_numbers_is_one_input(name: str, through_onnx: Any) -> None:
    x = ARRAYS[name]
    net = TabularRegressor(**QUICK).fit(x, SCORE)
    for rows in (1, ROWS):
        found = through_onnx(net, {"X": x[:rows]})["prediction"]
        assert_allclose(found, net.predict(x[:rows]), rtol=1e-5, atol=1e-4)


def test_numbers_that_are_categories_are_given_as_texts(through_onnx: Any) -> None:
    x = np.column_stack([RNG.integers(0, 4, ROWS), RNG.normal(size=ROWS)])
    net = TabularClassifier(**QUICK, categorical_features=[0]).fit(x, SCORE > 20)
    words = x[:, [0]].astype(int).astype(str).astype(object)
    found = through_onnx(net, {"column 0": words, "column 1": x[:, [1]]})
    assert_allclose(found["probabilities"], net.predict_proba(x), rtol=1e-4, atol=1e-5)


def test_unfitted_and_what_the_file_says() -> None:
    for net in (TabularClassifier(), TabularRegressor()):
        with pytest.raises(NotFittedError, match="is not fitted"):
            onnx_bytes(net)
    net, y = NETS["classes"]
    made = onnx.load_from_string(onnx_bytes(net.fit(DATA, y)))
    names = [i.name for i in made.graph.input]
    assert names == [name for name in DATA.columns if name != "same"]
    assert {m.key: m.value for m in made.metadata_props}["classes"] == "[0, 1, 2]"
