"""What columns are taken for, and the matrix they become."""

from __future__ import annotations

import datetime
import json
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.preprocessing import OneHotEncoder, RobustScaler

from kokuban.errors import CellError, DataError, FileFormatError
from kokuban.estimators.tabular.columns import MAX_CATEGORIES
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.estimators.tabular.frame import read
from kokuban.estimators.tabular.numbers import Numbers
from kokuban.estimators.tabular.scaling import RobustClip

ROWS = 60
RNG = np.random.default_rng(0)
DAYS = [
    datetime.datetime(2024, 1, 1) + datetime.timedelta(hours=37 * k) for k in range(ROWS)
]
COLUMNS: dict[str, list[Any]] = {
    "size": [None if k == 5 else float(v) for k, v in enumerate(RNG.normal(size=ROWS))],
    "count": RNG.integers(0, 9, ROWS).tolist(),
    "colour": [None if k == 7 else "rgb"[k % 3] for k in range(ROWS)],
    "open": [bool(k % 4) for k in range(ROWS)],
    "when": DAYS,
    "always": [3] * ROWS,
    "never": [None] * ROWS,
    "who": [f"person {k}" for k in range(ROWS)],
    "written": [str(k * 0.5) for k in range(ROWS)],
    "day": [day.date().isoformat() for day in DAYS],
    "two": ["a" if k % 5 else "b" for k in range(ROWS)],
}
KINDS = {
    "size": "numeric",
    "count": "numeric",
    "colour": "categorical",
    "open": "boolean",
    "when": "date",
    "always": "constant",
    "never": "constant",
    "who": "identifier",
    "written": "numeric",
    "day": "date",
    "two": "categorical",
}


def of_rows(columns: dict[str, list[Any]]) -> list[list[Any]]:
    return [list(row) for row in zip(*columns.values(), strict=True)]


FORMS = {
    "pandas": pd.DataFrame,
    "polars": pl.DataFrame,
    "objects": lambda columns: pd.DataFrame(columns, dtype=object),
    "array": lambda columns: np.array(of_rows(columns), dtype=object),
    "lists": of_rows,
}


def encoded(X: Any, categorical: tuple[int, ...] = ()) -> tuple[Encoder, np.ndarray]:
    return Encoder.fit(read(X), categorical)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_table_gives_the_same(form: str) -> None:
    encoder, matrix = encoded(FORMS[form](COLUMNS))
    expected, wanted = encoded(pd.DataFrame(COLUMNS))
    assert [c.kind for c in encoder.columns] == list(KINDS.values())
    assert [c.missing for c in encoder.columns] == [c.missing for c in expected.columns]
    assert_allclose(matrix, wanted, atol=1e-6)
    named = form in ("pandas", "polars", "objects")
    assert [c.name for c in encoder.columns] == (
        list(COLUMNS) if named else [f"column {k}" for k in range(len(COLUMNS))]
    )
    # one row at a time is read in another way
    rows = {name: values[2:4] for name, values in COLUMNS.items()}
    few = read(FORMS[form](rows), known=True)
    assert_array_equal(encoder.transform(few), matrix[2:4])


def test_the_encoder_is_plain_data() -> None:
    encoder, matrix = encoded(pd.DataFrame(COLUMNS))
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again.columns == encoder.columns
    assert again.outputs == encoder.outputs
    assert_array_equal(again.transform(read(pd.DataFrame(COLUMNS))), matrix)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("kept", [99]),
        ("kept", [0]),
        ("medians", [float("nan")]),
        ("columns", [{"kind": "magic"}]),
        ("columns", [{"kind": "numeric", "name": 3, "missing": False, "note": ""}]),
        (
            "columns",
            [{"kind": "categorical", "name": "a", "missing": False, "note": "",
              "categories": [1], "others": 0, "numbers": False}],
        ),
    ],
)  # fmt: skip
def test_a_damaged_record(part: str, value: Any) -> None:
    encoder, _ = encoded(np.arange(6.0).reshape(3, 2))
    with pytest.raises(FileFormatError):
        Encoder.from_dict({**encoder.to_dict(), part: value})


# ---------------------------------------------------------------- scaling


def test_scaling_is_scikit_learns_robust_scaling_with_a_smooth_clip() -> None:
    x = RNG.normal(size=(200, 5)) * [1, 10, 0.01, 3, 1e6] + [0, 5, -3, 1e4, 0]
    z = RobustScaler().fit_transform(x)
    assert_allclose(
        RobustClip.fit(x)(x), z / np.sqrt(1 + (z / 3) ** 2), rtol=1e-5, atol=1e-6
    )


def test_scaling_where_the_quartiles_are_equal() -> None:
    x = np.array([[0, 7, 1], [0, 7, 1], [0, 7, 1], [0, 7, 1], [4, 7, 1.0]])
    found = RobustClip.fit(x)
    assert_array_equal(found.factors, [0.5, 0, 0])  # 2/(max - min), and 0 for constants
    clipped = 2 / np.sqrt(1 + (2 / 3) ** 2)
    assert_allclose(found(x)[:, 0], [0, 0, 0, 0, clipped], rtol=1e-6)


def test_missing_numbers_are_the_median() -> None:
    x = np.array([[1.0, 5], [2, np.nan], [9, 7], [np.nan, np.nan]])
    scaling = RobustClip.fit(x)
    assert_array_equal(scaling.medians, [2, 6])
    assert_array_equal(scaling(x)[3], [0, 0])


@settings(deadline=None, max_examples=60)
@given(
    arrays(np.float64, (7, 3), elements=st.floats(allow_infinity=False)),
    arrays(np.float64, (4, 3), elements=st.floats(allow_infinity=False)),
)
def test_whatever_the_numbers_the_matrix_is_finite_and_bounded(
    x: np.ndarray, later: np.ndarray
) -> None:
    scaling = RobustClip.fit(x)
    for z in (scaling(x), scaling(later)):
        assert np.isfinite(z).all()
        assert (np.abs(z) <= 3).all()


# ---------------------------------------------------------------- kinds


def test_categories_are_one_hot() -> None:
    text = np.array(["x", "y", "z", "x", "y", "z", "x", "z"], dtype=object)[:, None]
    encoder, matrix = encoded(text)
    hot = OneHotEncoder(sparse_output=False).fit_transform(text)
    assert encoder.outputs == ("column 0=x", "column 0=y", "column 0=z")
    assert_array_equal(matrix, RobustClip.fit(hot)(hot))


def test_a_category_that_training_has_not_seen_has_no_column() -> None:
    encoder, _ = encoded([["x"], ["y"], ["z"]] * 4)
    unseen = encoder.transform(read([["w"], ["x"]]))
    blank = RobustClip(encoder.scaling.medians, encoder.scaling.factors)(np.zeros((1, 3)))
    assert_array_equal(unseen[:1], blank)


def test_rare_and_unseen_categories_share_a_column() -> None:
    values = ["x"] * 4 + ["y"] * 4 + ["rare", "once"]
    encoder, matrix = encoded([[v] for v in values])
    column = encoder.columns[0]
    assert encoder.outputs[-1] == "column 0 other"
    assert column.detail == "2 of 4 categories have a column: x, y"
    assert_array_equal(matrix[8], matrix[9])
    assert_array_equal(encoder.transform(read([["unseen"]]))[0], matrix[9])


def test_of_many_categories_the_most_frequent_have_columns() -> None:
    values = [f"c{k}" for k in range(1000) for _ in range(3 if k < 300 else 2)]
    encoder, matrix = encoded(pl.DataFrame({"c": values}))
    assert matrix.shape[1] == MAX_CATEGORIES + 1
    assert all(int(name[3:]) < 300 for name in encoder.outputs[:-1])


def test_two_categories_and_booleans_become_one_column() -> None:
    columns = {"two": ["a", "b", "a", "a"] * 5, "flag": [True, False, True, True] * 5}
    encoder, matrix = encoded(pl.DataFrame(columns))
    assert encoder.outputs == ("two=b", "flag")
    assert_array_equal(matrix[:, 0], -matrix[:, 1])
    new = pl.DataFrame(
        {"two": ["c"], "flag": [None]}, schema_overrides={"flag": pl.Boolean}
    )
    assert np.isfinite(encoder.transform(read(new))).all()


def test_numbers_that_are_categories() -> None:
    x = np.array([[1.0, 10], [2, 20], [3, 30], [1, 40], [2, 50], [3, 60]])
    encoder, _ = encoded(x, (0,))
    assert [c.kind for c in encoder.columns] == ["categorical", "numeric"]
    assert encoder.outputs[:3] == ("column 0=1", "column 0=2", "column 0=3")
    marked = pd.DataFrame({"a": pd.Categorical([1, 2, 3] * 2), "b": range(6)})
    assert encoded(marked)[0].columns[0].kind == "categorical"


def test_dates_have_a_time_and_the_phases_of_year_week_and_day() -> None:
    frame = pd.DataFrame({"when": pd.date_range("2023-01-01", periods=400, freq="D")})
    encoder, matrix = encoded(frame)
    assert encoder.outputs == (
        "when",
        "when sin of year",
        "when cos of year",
        "when sin of week",
        "when cos of week",  # of the day nothing is left: it is always midnight
    )
    assert (np.diff(matrix[:, 0]) > 0).all()
    assert_allclose(matrix[:-7, 3:], matrix[7:, 3:], atol=1e-6)
    zoned = pd.DataFrame(
        {"when": pd.date_range("2023-01-01", periods=9, tz="Asia/Tokyo")}
    )
    assert encoder.transform(read(zoned)).shape == (9, 5)


def test_a_new_missing_value() -> None:
    encoder, _ = encoded(
        pd.DataFrame({"a": [1.0, 2, 3], "b": list("xyx"), "c": list("xyz")})
    )
    gone = encoder.transform(
        read(pd.DataFrame({"a": [np.nan], "b": [None], "c": [None]}))
    )
    assert np.isfinite(gone).all()
    assert gone[0, 0] == 0


def test_numbers_with_commas_are_numbers() -> None:
    prices = ["1,200", "3,400.5", "17", "25,000"] * 5
    heights = ["1,5", "2", "1.000,25", None] * 5
    frame = pl.DataFrame({"price": prices, "height": heights})
    encoder, matrix = encoded(frame)
    assert [c.kind for c in encoder.columns] == ["numeric", "numeric"]
    assert "1,234 is 1234" in encoder.columns[0].detail
    assert "1,5 is 1.5" in encoder.columns[1].detail
    plain = {
        "price": [1200, 3400.5, 17, 25000] * 5,
        "height": [1.5, 2, 1000.25, None] * 5,
    }
    assert_array_equal(matrix, encoded(pl.DataFrame(plain, strict=False))[1])
    again = Encoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert_array_equal(again.transform(read(pl.DataFrame(plain, strict=False))), matrix)
    with pytest.raises(CellError, match=r"'height', row 1 .*the text '2\.5', and"):
        again.transform(read(pl.DataFrame({"price": ["1", "2"], "height": ["1", "2.5"]})))


def test_text_that_is_nearly_numbers_says_so() -> None:
    prices = ["1,200", "3,400", "17", "2,5,0"] * 5
    column = encoded(pl.DataFrame({"price": prices, "n": range(20)}))[0].columns[0]
    assert column.kind == "categorical"
    assert (
        "20 of 20 values are numbers once commas and spaces are taken out" in column.note
    )
    assert "row 0 (counted from 0) holds '1,200'" in column.note


def test_codes_with_zeros_in_front_stay_what_they_are() -> None:
    """A few rows in which all codes are digits are no numbers then either."""
    frame = pl.DataFrame({"zip": ["0123", "0456", "AB1"] * 4, "n": range(12)})
    encoder, matrix = encoded(frame)
    for rows in (2, 11):
        chosen = frame.filter(pl.col("zip") != "AB1").head(rows)
        wanted = matrix[: len(frame)][(frame["zip"] != "AB1").to_numpy()][:rows]
        assert_array_equal(encoder.transform(read(chosen, known=True)), wanted)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c", "d", None]), min_size=2, max_size=40))
def test_scaling_of_categories_from_their_counts(values: list[str | None]) -> None:
    frame = pl.DataFrame(
        {"c": values, "n": range(len(values))}, schema={"c": pl.String, "n": pl.Int64}
    )
    encoder, _ = encoded(frame)
    column = encoder.columns[0]
    raw = column.encode(read(frame).column(0))
    numbers = np.arange(len(values), dtype=float)[:, None]
    whole = np.column_stack([raw, numbers])
    wanted = RobustClip.fit(whole)
    kept = np.flatnonzero(wanted.factors)
    assert_array_equal(encoder.kept, kept)
    assert_allclose(encoder.scaling.medians, wanted.medians[kept], atol=1e-12)
    assert_allclose(encoder.scaling.factors, wanted.factors[kept], rtol=1e-12)


def test_many_rows_are_encoded_as_few_are(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame(COLUMNS)
    encoder, matrix = encoded(frame)
    monkeypatch.setattr("kokuban.estimators.tabular.encoder.BLOCK", 100)
    again, some = encoded(frame)
    assert again.columns == encoder.columns
    assert_array_equal(some, matrix)
    assert_array_equal(again.transform(read(frame)), matrix)


# ---------------------------------------------------------------- prediction


def test_columns_are_matched_by_name() -> None:
    frame = pd.DataFrame(COLUMNS)
    encoder, matrix = encoded(frame)
    assert_array_equal(encoder.transform(read(frame[frame.columns[::-1]])), matrix)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="count"), "lacks column 'count', which training had"),
        (lambda f: f.assign(more=1), "has column 'more', which training had not"),
        (lambda f: f.rename(columns={"count": "counts"}), "Did you mean 'counts'"),
        (
            lambda f: f.assign(count="many"),
            "Column 'count', row 0 .*the text 'many', and the column was numeric in",
        ),
        (
            lambda f: f.assign(count=["1,000", *["1"] * (ROWS - 1)]),
            "row 0 .counted from 0.: the text '1,000'",
        ),
        (
            lambda f: f.assign(when=1.5),
            "Column 'when', row 0 .*the number 1.5, and the column was date in training",
        ),
        (lambda f: f.assign(colour=0.5), "'colour', .* the column was categorical"),
        (lambda f: f.assign(open="perhaps"), "'open', .* the column was boolean in tr"),
        (lambda f: f.assign(count=np.inf), "Column 'count', row 0 .*inf .infinity."),
    ],
)
def test_columns_that_have_changed_are_named(change: Any, message: str) -> None:
    frame = pd.DataFrame(COLUMNS)
    encoder, _ = encoded(frame)
    with pytest.raises(DataError, match=message):
        encoder.transform(read(change(frame)))


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1.0], [np.inf], [2]]), "row 1 .*: inf .infinity."),
        (np.array([[1.0, np.inf], [1, 2]]), "Column 'column 1', row 0 .*: inf"),
        (np.ones((5, 3)), "nothing to learn from: every column is the same"),
        (np.full((4, 2), np.nan), "nothing to learn from"),
        (pl.DataFrame({"id": [f"u{k}" for k in range(9)]}), "nothing to learn from"),
    ],
)
def test_nothing_to_learn_from(X: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        encoded(X)


def test_very_many_categories() -> None:
    words = [f"w{k // 2}" for k in range(400_000)]  # each of them twice
    unique = [f"u{k}" for k in range(400_000)]
    frame = pl.DataFrame({"word": words, "unique": unique})
    encoder, matrix = encoded(frame)
    assert encoder.columns[0].detail.startswith("256 of 200,000 categories have a column")
    assert encoder.columns[1].kind == "identifier"
    assert matrix.shape == (400_000, MAX_CATEGORIES + 1)
    assert_array_equal(encoder.transform(read(frame[:10])), matrix[:10])


def test_very_many_columns() -> None:
    x = RNG.normal(size=(4, 20_000))
    encoder, matrix = encoded(x)
    assert matrix.shape == x.shape
    assert_array_equal(encoder.transform(read(x)), matrix)


@settings(deadline=None)
@given(
    arrays(
        np.float64,
        (9, 4),
        elements=st.one_of(
            st.floats(-1e300, 1e300), st.just(np.nan), st.sampled_from([0.0, 1.0])
        ),
    )
)
def test_arrays_of_numbers_are_encoded_as_frames_are(x: np.ndarray) -> None:
    """The prepared way of arrays gives the same bits as the way of all tables."""
    x = np.column_stack([np.arange(9.0), x, np.ones(9)])
    encoder, _ = Encoder.fit(read(x))
    numbers = Numbers.of(encoder)
    assert numbers is not None
    for rows in (x, x[:1], x[::-1]):
        found = numbers(rows)
        wanted = encoder.transform(read(rows))
        assert found is not None
        assert_array_equal(found.view(np.int32), wanted.view(np.int32))
    x[4, 2] = np.inf
    assert numbers(x) is None


def test_only_arrays_of_numbers_have_the_prepared_way() -> None:
    frame = pd.DataFrame({"a": np.arange(9.0), "b": list("xyzxyzxyz")})
    for given_table in (frame, frame[["a"]], frame.to_numpy()):
        encoder, _ = Encoder.fit(read(given_table))
        assert Numbers.of(encoder) is None
    whole = np.arange(12).reshape(6, 2)
    encoder, z = Encoder.fit(read(whole))
    numbers = Numbers.of(encoder)
    assert numbers is not None
    assert_array_equal(numbers(whole), z)
