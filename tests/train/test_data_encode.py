"""Tables as matrices: what each column becomes, and back from a model file."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, strategies as st

from kokuban.errors import DataError, FileFormatError, UnknownNameError
from kokuban.train.data import Table, TableEncoder, read_table
from kokuban.train.data.columns import MAX_CATEGORIES

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def read(text: str, header: bool | None = None) -> Table:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        return read_table(path, header)

    return read


MIXED = """age,job,height,y
20,cook,180,no
40,?,180,yes
?,cook,180,no
60,clerk,180,yes
"""


def test_a_matrix_worked_by_hand(table: Any) -> None:
    # age 20, 40, 60: mean 40, variance (400 + 0 + 400) / 3, the missing one is 40 itself
    data = table(MIXED)
    encoder = TableEncoder.fit(data, "y")
    assert encoder.outputs == (
        "age",
        "age missing",
        "job=clerk",
        "job=cook",
        "job missing",
    )
    z = 20 / np.sqrt(800 / 3)
    wanted = [[-z, 0, 0, 1, 0], [0, 0, 0, 0, 1], [0, 1, 0, 1, 0], [z, 0, 1, 0, 0]]
    matrix = encoder.transform(data)
    assert matrix.dtype == np.float32
    assert matrix.flags.c_contiguous
    np.testing.assert_allclose(matrix, wanted, rtol=1e-6)
    codes = encoder.encode_target(data)
    assert codes.dtype == np.int64
    assert codes.tolist() == [0, 1, 0, 1]
    assert encoder.decode_target(codes).tolist() == ["no", "yes", "no", "yes"]


def test_describe(table: Any) -> None:
    assert TableEncoder.fit(table(MIXED), "y").describe() == [
        (
            "age",
            "numeric",
            "mean 40, standard deviation 16.3299; missing becomes the median, 40, and is "
            "marked",
        ),
        ("job", "categorical", "2 categories and missing: clerk, cook"),
        ("height", "left out", "the same in every row: 180"),
        ("y", "target", "2 classes (text): 'no', 'yes'"),
    ]


def test_new_rows(table: Any) -> None:
    encoder = TableEncoder.fit(table("a,job,y\n1,x,0.5\n3,y,1.5\n2,x,3\n"), "y")
    assert encoder.outputs == ("a", "job=x", "job=y")
    new = encoder.transform(table("job,a\nx,1000\nz,?\n?,2\n", True))
    z = 998 / np.sqrt(2 / 3)  # far outside training's 1..3, and left there
    wanted = [[z, 1, 0], [0, 0, 0], [0, 0, 0]]  # unseen and missing: no category
    np.testing.assert_allclose(new, wanted, rtol=1e-6)


def test_a_missing_number_becomes_the_median(table: Any) -> None:
    encoder = TableEncoder.fit(table("a,y\n0,u\n0,v\n9,v\n?,u\n"), "y")
    matrix = encoder.transform(table("a\n0\n?\n", True))
    assert matrix[0, 0] == matrix[1, 0]  # the median of 0, 0, 9, not their mean 3
    assert matrix[:, 1].tolist() == [0, 1]


def test_columns_that_are_left_out(table: Any) -> None:
    data = table(
        "same,alike,gone,word,rare,y\n1,1.0,?,x,7,u\n1,1,?,x,?,v\n1,1.00,?,x,7,v\n"
    )
    encoder = TableEncoder.fit(data, "y")
    told = {name: (kind, detail) for name, kind, detail in encoder.describe()}
    assert told["same"] == ("left out", "the same in every row: 1")
    assert told["alike"] == ("left out", "the same in every row: 1")
    assert told["gone"] == ("left out", "no value in any row")
    assert told["word"] == ("left out", "the same in every row: x")
    assert told["rare"][1] == "always 7 or missing; becomes 1 where missing, else 0"
    assert encoder.outputs == ("rare missing",)
    assert encoder.transform(data).tolist() == [[0], [1], [0]]


def test_a_constant_whose_deviation_is_rounding(table: Any) -> None:
    rows = "".join(f"0.1{'0' * (i % 3)},{i % 7},{'uv'[i % 2]}\n" for i in range(50))
    assert np.std([0.1] * 50) > 0
    assert TableEncoder.fit(table("a,b,y\n" + rows), "y").outputs == ("b",)


def test_frequent_categories_are_kept(table: Any) -> None:
    many = [f"w{i:04d}" for i in range(MAX_CATEGORIES + 40)]
    frequent = many[-10:]
    data = table(
        "".join(f"{word},{i},{i % 2}\n" for i, word in enumerate(many + frequent))
    )
    encoder = TableEncoder.fit(data, -1)
    words = [name[2:] for name in encoder.outputs if name.startswith("1=")]
    assert words == many[: MAX_CATEGORIES - 10] + frequent
    assert "the 256 categories most frequent of 296" in encoder.describe()[0][2]
    encoded = encoder.transform(data)[:, :-1]
    dropped = range(MAX_CATEGORIES - 10, len(many) - 10)
    assert np.flatnonzero(encoded.sum(axis=1) == 0).tolist() == list(dropped)


def test_one_stray_cell_in_a_numeric_column_is_told(table: Any) -> None:
    data = table("price,n,y\n1.5,1,u\n2.5,2,v\n3 euro,3,v\n", True)
    kind, detail = TableEncoder.fit(data, "y").describe()[0][1:]
    assert kind == "categorical"
    assert detail.endswith(
        "2 of 3 values are numbers, but the row on line 4 holds '3 euro'"
    )


def test_numbers_with_commas(table: Any) -> None:
    data = table('a;b;y\n1,5;"1,234";2,5\n2,5;"12";4\n;"2,000";1\n')
    encoder = TableEncoder.fit(data, "y")
    told = {name: detail for name, _, detail in encoder.describe()}
    assert told["a"].startswith("mean 2, ")
    assert told["a"].endswith("; its commas are decimal points: 1,5 is 1.5")
    assert told["b"].endswith("; its commas group thousands: 1,234 is 1234")
    assert told["y"].startswith("a quantity (numbers): mean 2.5,")
    decoded = encoder.decode_target(encoder.encode_target(data))
    np.testing.assert_allclose(decoded, [2.5, 4, 1], rtol=1e-6)
    plain = table("a,b,y\n1.5,1234,2.5\n2.5,12,4\n,2000,1\n")
    wanted = TableEncoder.fit(plain, "y").transform(plain)
    np.testing.assert_array_equal(encoder.transform(data), wanted)
    # The commas mean the same in every table; what they cannot mean is refused.
    wrong = table("a;b\n1,234;12\n1.5;12\n", True)
    with pytest.raises(DataError, match=r"line 3, column 'a': '1\.5' is not a finite"):
        encoder.transform(wrong)
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder


def test_a_key_is_left_out(table: Any) -> None:
    rows = MAX_CATEGORIES + 1
    text = "".join(f"k{i},{i % 5},{i % 2}\n" for i in range(rows))
    name, kind, detail = TableEncoder.fit(table("key,a,y\n" + text), "y").describe()[0]
    told = "another text in every row, such as 'k0'"
    assert (name, kind, detail) == ("key", "left out", told)


@pytest.mark.parametrize("task", [None, "classification"])
def test_a_target_of_keys_is_refused(table: Any, task: str | None) -> None:
    data = table("a,y\n" + "".join(f"{i % 9},k{i % 40}\n" for i in range(60)))
    with pytest.raises(DataError, match="'y' has 40 different values in 60 rows"):
        TableEncoder.fit(data, "y", task)
    numbers = table("a,y\n" + "".join(f"{i % 9},{i}\n" for i in range(60)))
    with pytest.raises(DataError, match="'y' has 60 different values in 60 rows"):
        TableEncoder.fit(numbers, "y", "classification")
    assert TableEncoder.fit(numbers, "y").task == "regression"


def test_one_row(table: Any) -> None:
    with pytest.raises(DataError, match="'y' is 2 in the only row"):
        TableEncoder.fit(table("a,y\n1,2\n"), "y")


def test_a_million_categories(table: Any) -> None:
    count = 1_000_000
    words = np.arange(count) // 2  # each of them twice
    frame = pl.DataFrame({"word": words, "n": words % 3, "y": words % 2}).with_columns(
        pl.col("word").cast(pl.String) + "w"
    )
    data = Table(tuple(frame.columns), frame, np.arange(count), True, "t.csv")
    encoder = TableEncoder.fit(data, "y")
    assert encoder.describe()[0][2].startswith(
        "the 256 categories most frequent of 500000"
    )
    assert encoder.transform(data.take(range(10))).shape == (10, 257)


def test_very_many_columns(table: Any) -> None:
    count = 10_000
    names = ",".join(f"x{i}" for i in range(count))
    rows = [",".join(str((i * j + j) % 7) for i in range(count)) for j in range(3)]
    data = table("\n".join([f"{names},y", *(f"{row},{j}" for j, row in enumerate(rows))]))
    assert len(data.columns) == count + 1
    with pytest.raises(UnknownNameError) as error:
        data.position("z")
    assert len(str(error.value)) < 400
    some = data.columns[:500]
    few = Table((*some, "y"), data.frame.select([*some, "y"]), data.lines, True, "t.csv")
    encoder = TableEncoder.fit(few, "y")
    with pytest.raises(DataError, match=r"column 'x\d+' was not in training's table"):
        encoder.transform(data)


TARGETS = {
    "text": ("no yes no", "classification", ("no", "yes"), "text"),
    "flags": ("true false true", "classification", ("false", "true"), "text"),
    "0 1": ("0 1 1", "classification", (0, 1), "two whole numbers"),
    "-1 1": ("-1 1.0 1", "classification", (-1, 1), "two whole numbers"),
    "0 1 2": ("0 2 1", "classification", (0, 1, 2), "numbers 0 to 2, none left out"),
    "3 4 5": ("3 4 5", "regression", (), "whole numbers, 3 different"),
    "0 1 3": ("0 1 3", "regression", (), "whole numbers, 3 different"),
    "0..19": (
        " ".join(map(str, range(20))),
        "classification",
        tuple(range(20)),
        "0 to 19",
    ),
    "0..20": (" ".join(map(str, range(21))), "regression", (), "21 different"),
    "halves": ("0.5 1 1", "regression", (), "a quantity (numbers)"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_task_is_decided(table: Any, name: str) -> None:
    values, task, labels, reason = TARGETS[name]
    data = table("".join(f"{i},{y}\n" for i, y in enumerate(values.split())), False)
    encoder = TableEncoder.fit(data, -1)
    assert encoder.task == task
    assert encoder.labels == labels
    assert list(map(type, encoder.labels)) == list(map(type, labels))
    assert reason in encoder.describe()[-1][2]


def test_the_task_can_be_given(table: Any) -> None:
    ratings = table("a,y\n1,3\n2,5\n3,4\n4,3\n")
    classes = TableEncoder.fit(ratings, "y", task="classification")
    assert classes.labels == (3, 4, 5)
    decoded = classes.decode_target(classes.encode_target(ratings))
    assert decoded.dtype == np.int64
    assert decoded.tolist() == [3, 5, 4, 3]
    binary = table("a,y\n1,0\n2,1\n3,1\n4,0\n")
    quantity = TableEncoder.fit(binary, "y", task="regression")
    assert quantity.encode_target(binary).tolist() == [-1, 1, 1, -1]
    halves = table("a,y\n1,0.5\n2,1.5\n3,1.5\n")
    labels = TableEncoder.fit(halves, "y", task="classification").labels
    assert labels == (0.5, 1.5)
    with pytest.raises(UnknownNameError, match="Did you mean 'regression'"):
        TableEncoder.fit(binary, "y", task="regresion")


def test_a_quantity_is_standardised_and_back(table: Any) -> None:
    data = table("a,y\n1,10.5\n2,30\n3,70\n")
    encoder = TableEncoder.fit(data, "y")
    z = encoder.encode_target(data)
    assert z.dtype == np.float32
    np.testing.assert_allclose([z.mean(), z.std()], [0, 1], atol=1e-6)
    np.testing.assert_allclose(encoder.decode_target(z), [10.5, 30, 70], rtol=1e-6)
    np.testing.assert_allclose(
        encoder.decode_target(z[:, None]), [10.5, 30, 70], rtol=1e-6
    )
    for wrong in (np.zeros((2, 2)), np.zeros(()), np.zeros((1, 1, 1))):
        with pytest.raises(DataError, match="A quantity is"):
            encoder.decode_target(wrong)


def test_classes_that_are_not_there(table: Any) -> None:
    encoder = TableEncoder.fit(table("a,y\n1,u\n2,v\n"), "y")
    assert encoder.decode_target(np.array([], np.int64)).tolist() == []
    with pytest.raises(DataError, match="Classes -1 to 2: there are 2, from 0"):
        encoder.decode_target([-1, 2])
    with pytest.raises(DataError, match="Classes -1 to 0"):
        encoder.decode_target([-1, 0])
    with pytest.raises(DataError, match="a list of whole numbers; these are float64"):
        encoder.decode_target([0.5, 1])
    with pytest.raises(DataError, match="a list of whole numbers"):
        encoder.decode_target([[0, 1]])


def test_unseen_labels(table: Any) -> None:
    words = TableEncoder.fit(table("a,y\n1,u\n2,v\n"), "y")
    message = (
        "the row on line 3, column 'y': the label is 'w', but training's labels are "
        "'u', 'v'"
    )
    with pytest.raises(DataError, match=message):
        words.encode_target(table("a,y\n1,u\n1,w\n1,x\n"))
    with pytest.raises(DataError, match="line 2, column 'y': the label is missing"):
        words.encode_target(table("a,y\n1,\n1,w\n", True))
    digits = TableEncoder.fit(table("a,y\n1,0\n2,1\n"), "y")
    assert digits.encode_target(table("a,y\n1,1.0\n2,00\n")).tolist() == [1, 0]
    for label in ("2", "one", "inf"):
        with pytest.raises(DataError, match=f"the label is '?{label}'?, but .* are 0, 1"):
            digits.encode_target(table(f"a,y\n1,1\n2,{label}\n", True))


def test_many_labels_are_shortened(table: Any) -> None:
    data = table("a,y\n" + "".join(f"{i},w{i:02d}\n" for i in range(12)))
    with pytest.raises(DataError, match=r"'w09', \.\.\. \(12\)\.$"):
        TableEncoder.fit(data, "y").encode_target(table("a,y\n1,w99\n"))


UNUSABLE = {
    "missing target": ("a,y\n1,u\n2,?\n", "line 3, column 'y': the target is missing"),
    "no target": ("a,y\n1,?\n2,?\n", "line 2, column 'y': the target is missing"),
    "one class": ("a,y\n1,u\n2,u\n", "target 'y' is 'u' in all 2 rows"),
    "one number": ("a,y\n1,2\n2,2.0\n", "target 'y' is 2 in all 2 rows"),
    "infinite target": ("a,y\n1,2\n2,inf\n3,1\n", "column 'y': 'inf' is not a finite"),
    "infinite number": ("a,y\n1,u\n-inf,v\n", "line 3, column 'a': '-inf' is not a fin"),
    "too large": ("a,y\n1,u\n1e39,v\n", "line 3, column 'a': '1e39' is not a finite"),
    "stray target": (
        "a,y\n1,2\n2,5\n3,n.a.\n",
        "Target 'y': 2 of 3 .* line 4 holds 'n.a.'",
    ),
    "no columns": ("y\n1\n2\n", "nothing to predict 'y' from"),
    "constant columns": ("a,b,y\n1,2,u\n1,2,v\n", "nothing to predict 'y' from"),
    "tiny target": ("a,y\n1,1e-300\n2,2e-300\n3,0\n", "too small for float32"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_training_data(table: Any, name: str) -> None:
    text, message = UNUSABLE[name]
    with pytest.raises(DataError, match=message):
        TableEncoder.fit(table(text, True), "y")


def test_other_unusable_fits(table: Any) -> None:
    data = table("a,y\n1,u\n2,v\n")
    with pytest.raises(DataError, match="the table has no rows"):
        TableEncoder.fit(data.take(np.array([], np.int64)), "y")
    with pytest.raises(UnknownNameError, match="Did you mean 'y'"):
        TableEncoder.fit(data, "yy")
    with pytest.raises(DataError, match="line 2, column 'y': 'u' is not a finite number"):
        TableEncoder.fit(data, "y", task="regression")
    stray = table("a,y\n1,2\n2,5\n3,n.a.\n")
    asked = TableEncoder.fit(stray, "y", task="classification")
    assert asked.labels == ("2", "5", "n.a.")


def test_unusable_new_data(table: Any) -> None:
    encoder = TableEncoder.fit(table("a,y\n1,0.5\n1.001,2\n3,1\n"), "y")
    for cell in ("x", "inf", "-1e300"):
        with pytest.raises(
            DataError, match=f"line 3, column 'a': '{cell}' is not a finite"
        ):
            encoder.transform(table(f"a\n1\n{cell}\n", True))
    for cell in ("x", "inf"):
        with pytest.raises(DataError, match=f"column 'y': '{cell}' is not a finite"):
            encoder.encode_target(table(f"a,y\n1,{cell}\n", True))
    with pytest.raises(DataError, match="line 2, column 'y': the target is missing"):
        encoder.encode_target(table("a,y\n1,?\n", True))
    narrow = TableEncoder.fit(table("a,y\n0,0\n1e-9,1e-9\n2e-9,3e-9\n"), "y")
    far = table("a,y\n0,0\n1e38,-1e38\n", True)
    with pytest.raises(DataError, match="line 3, column 'a': too far from training's"):
        narrow.transform(far)
    with pytest.raises(DataError, match="line 3, column 'y': too far from training's"):
        narrow.encode_target(far)


def test_columns_are_found_by_name(table: Any) -> None:
    encoder = TableEncoder.fit(table("age,job,y\n1,x,u\n2,y,v\n"), "y")
    full = table("y,job,age\nv,x,1\nu,y,2\n", True)
    assert encoder.encode_target(full).tolist() == [1, 0]
    wanted = encoder.transform(table("age,job\n1,x\n2,y\n", True))
    np.testing.assert_array_equal(encoder.transform(full), wanted)
    with pytest.raises(DataError, match="no target column 'y'"):
        encoder.encode_target(table("age,job\n1,x\n"))
    with pytest.raises(DataError, match="no column 'age', which training's table had"):
        encoder.transform(table("job\nx\n", True))
    with pytest.raises(DataError, match=r"no column 'age'.* Did you mean 'agee'\?"):
        encoder.transform(table("agee,job\n1,x\n"))
    with pytest.raises(DataError, match="column 'more' was not in training's table"):
        encoder.transform(table("age,job,more\n1,x,1\n"))
    with pytest.raises(DataError, match="no header, and training's table had one"):
        encoder.transform(table("1,x\n", False))


def test_columns_are_found_by_order(table: Any) -> None:
    data = table("1,u,x\n2,v,y\n4,u,y\n")
    encoder = TableEncoder.fit(data, 2)
    without = table("1,x\n2,y\n4,y\n")
    np.testing.assert_array_equal(encoder.transform(without), encoder.transform(data))
    with pytest.raises(DataError, match="no target column '2'"):
        encoder.encode_target(without)
    for text, count in (("1\n", 1), ("1,2,3,4\n", 4)):
        message = f"{count} columns; training's table had 3, the target being number 2"
        with pytest.raises(DataError, match=message):
            encoder.transform(table(text))
    # a message names the column of the table at hand: here the second is job, not 3
    wrong = TableEncoder.fit(table("1,u,3\n2,v,4\n"), 2)
    with pytest.raises(DataError, match="line 1, column '2': 'x' is not a finite"):
        wrong.transform(table("1,x\n", False))


def test_no_rows_are_no_rows(table: Any) -> None:
    data = table(MIXED)
    encoder = TableEncoder.fit(data, "y")
    none = data.take(np.array([], np.int64))
    assert encoder.transform(none).shape == (0, 5)
    assert encoder.encode_target(none).shape == (0,)


# From here on: into a model file and back.

KINDS = """number,gap,word,same,y
1,?,a,0,u
2.5,1,?,0,v
4,3,b,0,u
"""


def state_of(table: Any) -> dict[str, Any]:
    state = TableEncoder.fit(table(KINDS), "y").to_dict()
    assert [column["kind"] for column in state["columns"]] == [
        "numeric",
        "numeric",
        "categorical",
        "left out",
    ]
    return state


def test_the_state_is_plain_json(table: Any) -> None:
    for task in ("classification", "regression"):
        encoder = TableEncoder.fit(table("a,y\n1,0\n2,1\n3,1\n"), "y", task)
        state = encoder.to_dict()
        text = json.dumps(state, allow_nan=False)
        assert json.loads(text) == state
        assert TableEncoder.from_dict(json.loads(text)) == encoder


def drop(name: str) -> Any:
    return lambda state: state.pop(name)


def put(*path: Any) -> Any:
    *way, last, value = path

    def change(state: Any) -> None:
        for step in way:
            state = state[step]
        state[last] = value

    return change


MALFORMED = {
    "no header": (drop("header"), "encoding: the fields are header, columns, target"),
    "more": (put("more", 1), "the fields are header, columns, target; found"),
    "header": (put("header", 1), "encoding: header cannot be 1"),
    "columns": (put("columns", {}), "columns cannot be {}"),
    "no columns": (put("columns", []), "target is column 5 of 1"),
    "column": (put("columns", 0, "text"), "of kind None"),
    "kind": (put("columns", 0, "kind", "number"), "of kind 'number'; known: numeric"),
    "list as kind": (put("columns", 0, "kind", []), r"of kind \[\]"),
    "fields": (put("columns", 0, "more", 1), "A numeric column of the table: the fields"),
    "name": (put("columns", 0, "name", 3), "name cannot be 3"),
    "twice": (put("columns", 0, "name", "word"), "names two columns alike"),
    "as target": (put("columns", 0, "name", "y"), "names two columns alike"),
    "nan": (put("columns", 0, "mean", float("nan")), "mean cannot be nan"),
    "whole": (put("columns", 0, "mean", 1), "mean cannot be 1"),
    "deviation": (put("columns", 0, "deviation", -1.0), "deviation cannot be -1.0"),
    "zero": (put("columns", 0, "deviation", 0.0), "has the deviation 0"),
    "infinite": (put("columns", 0, "deviation", float("inf")), "deviation cannot be inf"),
    "missing": (put("columns", 0, "missing", 0), "missing cannot be 0"),
    "categories": (put("columns", 2, "categories", "ab"), "categories cannot be 'ab'"),
    "none": (put("columns", 2, "categories", []), r"categories cannot be \[\]"),
    "numbers": (put("columns", 2, "categories", [1]), r"categories cannot be \[1\]"),
    "doubled": (put("columns", 2, "categories", ["a", "a"]), "categories cannot be"),
    "others": (put("columns", 2, "others", True), "others cannot be True"),
    "target": (put("target", None), "target cannot be None"),
    "task": (put("target", "task", "guess"), "of the task 'guess'; known: classif"),
    "target field": (put("target", "mean", 1.0), "target: the fields are task, name"),
    "position": (put("target", "position", -1), "position cannot be -1"),
    "far": (put("target", "position", 5), "target is column 6 of 5"),
    "one label": (put("target", "labels", ["u"]), r"labels cannot be \['u'\]"),
    "unsorted": (put("target", "labels", ["v", "u"]), "labels cannot be"),
    "mixed": (put("target", "labels", ["u", 1]), "labels cannot be"),
    "mixed numbers": (put("target", "labels", [0, 1.0]), "labels cannot be"),
    "flags": (put("target", "labels", [False, True]), "labels cannot be"),
    "huge": (put("target", "labels", [0, 2**60]), "labels cannot be"),
    "label nan": (put("target", "labels", [0.0, float("nan")]), "labels cannot be"),
    "long": (put("columns", 0, "name", ["x"] * 99), r"name cannot be \['x', .*\.\.\.\."),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_state(table: Any, name: str) -> None:
    change, message = MALFORMED[name]
    state = state_of(table)
    change(state)
    with pytest.raises(FileFormatError, match=message):
        TableEncoder.from_dict(state)


def test_a_state_that_leaves_every_column_out(table: Any) -> None:
    state = state_of(table)
    left_out = [column for column in state["columns"] if column["kind"] == "left out"]
    state |= {"columns": left_out, "target": state["target"] | {"position": 0}}
    with pytest.raises(FileFormatError, match="leaves every column out"):
        TableEncoder.from_dict(state)


def test_malformed_quantity(table: Any) -> None:
    state = TableEncoder.fit(table("a,y\n1,2\n2,3.5\n"), "y").to_dict()
    for name, value in (("deviation", 0.0), ("deviation", "1"), ("mean", None)):
        changed = copy.deepcopy(state)
        changed["target"][name] = value
        with pytest.raises(FileFormatError, match=f"target: {name} cannot be"):
            TableEncoder.from_dict(changed)


@pytest.mark.parametrize("state", [None, [], "text", 3, {}], ids=repr)
def test_no_state_at_all(state: object) -> None:
    with pytest.raises(FileFormatError, match="The table's encoding"):
        TableEncoder.from_dict(state)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=4,
)


def places(state: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every part of a state."""
    items = state.items() if isinstance(state, dict) else enumerate(state)
    found = []
    for key, value in items:
        found.append((*path, key))
        if isinstance(value, dict | list):
            found += places(value, (*path, key))
    return found


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, dict[str, Any]]:
    path = tmp_path_factory.mktemp("known") / "table.csv"
    path.write_text(KINDS, encoding="utf-8")
    data = read_table(path)
    return data, TableEncoder.fit(data, "y").to_dict()


@given(st.data())
def test_any_change_is_refused_or_makes_sense(
    known: tuple[Table, dict[str, Any]], data: st.DataObject
) -> None:
    rows, good = known
    state = copy.deepcopy(good)
    put(*data.draw(st.sampled_from(places(state))), data.draw(JSON))(state)
    try:
        encoder = TableEncoder.from_dict(state)
    except FileFormatError:
        return
    assert json.loads(json.dumps(encoder.to_dict())) == state
    try:
        matrix = encoder.transform(rows)
    except DataError:
        return
    assert matrix.shape == (3, len(encoder.outputs))
    assert np.isfinite(matrix).all()


CELL = st.one_of(
    st.integers(-3, 3).map(str),
    st.floats(-1e30, 1e30).map(repr),
    st.sampled_from(["", "?", "x", "y", "NA", "long text, quoted"]),
)


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Rows of columns that are numbers, text or both; the last one has no gaps."""
    rows = draw(st.integers(2, 8))
    cells = [CELL, st.integers(0, 9).map(str), st.sampled_from("abc")]
    columns = [
        draw(st.lists(draw(st.sampled_from(cells)), min_size=rows, max_size=rows))
        for _ in range(draw(st.integers(1, 3)))
    ]
    target = draw(st.sampled_from([st.sampled_from("uv"), st.floats(-9, 9).map(repr)]))
    columns.append(draw(st.lists(target, min_size=rows, max_size=rows)))
    return [list(row) for row in zip(*columns, strict=True)]


@given(tables())
def test_encoders_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    quoted = [[f'"{cell}"' for cell in row] for row in rows]
    path.write_text("\n".join(map(",".join, quoted)), encoding="utf-8")
    data = read_table(path, header=False)
    try:
        encoder = TableEncoder.fit(data, -1)
    except DataError:
        return
    matrix, target = encoder.transform(data), encoder.encode_target(data)
    assert matrix.shape == (len(rows), len(encoder.outputs))
    assert np.isfinite(matrix).all()
    again = TableEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert again == encoder
    assert again.describe() == encoder.describe()
    assert again.transform(data).tobytes() == matrix.tobytes()
    assert again.encode_target(data).tobytes() == target.tobytes()
    backwards = np.arange(len(rows))[::-1]  # each row is encoded by itself
    np.testing.assert_array_equal(again.transform(data.take(backwards)), matrix[::-1])


needs_shared = pytest.mark.skipif(
    not SHARED.exists(), reason="../shared/data is not here"
)


@needs_shared
@pytest.mark.parametrize(
    ("name", "task", "labels", "width"),
    [
        ("abalone", "regression", (), 3 + 7),
        ("adult-train", "classification", ("<=50K", ">50K"), 6 + 99 + 3),
        ("adult-test", "classification", ("<=50K.", ">50K."), 6 + 98 + 3),
        ("housing", "regression", (), 13),
        ("phoneme", "classification", (0, 1), 5),
        ("winequality-white", "regression", (), 11),
    ],
)
def test_real_tables(name: str, task: str, labels: tuple[Any, ...], width: int) -> None:
    data = read_table(SHARED / f"{name}.csv")
    encoder = TableEncoder.fit(data, -1)
    assert encoder.task == task
    assert encoder.labels == labels
    matrix, target = encoder.transform(data), encoder.encode_target(data)
    assert matrix.shape == (len(data), width)
    assert np.isfinite(matrix).all()
    decoded = encoder.decode_target(target)
    if task == "regression":
        wanted = data.column(-1).cast(float).to_numpy()
        np.testing.assert_allclose(decoded, wanted, rtol=1e-5)
    else:
        assert decoded.tolist() == data.column(-1).to_list()


@needs_shared
def test_abalone_against_numpy() -> None:
    data = read_table(SHARED / "abalone.csv")
    matrix = TableEncoder.fit(data, -1).transform(data)
    raw = np.loadtxt(SHARED / "abalone.csv", delimiter=",", usecols=range(1, 8))
    z = (raw - raw.mean(axis=0)) / raw.std(axis=0)
    np.testing.assert_allclose(matrix[:, 3:], z, rtol=1e-5, atol=1e-6)
    sex = [line[0] for line in (SHARED / "abalone.csv").read_text().splitlines()]
    np.testing.assert_array_equal(matrix[:, :3], [[s == c for c in "FIM"] for s in sex])


@needs_shared
def test_adult_test_rows_under_training_s_encoding() -> None:
    encoder = TableEncoder.fit(read_table(SHARED / "adult-train.csv"), -1)
    test = read_table(SHARED / "adult-test.csv", header=encoder.header)
    assert encoder.transform(test).shape == (16281, 108)
    message = (
        "line 1, column '15': the label is '<=50K.', but training's labels are '<=50K'"
    )
    with pytest.raises(DataError, match=message):
        encoder.encode_target(test)
