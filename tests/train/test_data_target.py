"""What the column to be predicted is taken for."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kokuban.errors import DataError, FileFormatError, UnknownNameError
from kokuban.train.data import Table, Target, fit_target, read_table


@pytest.fixture
def table(tmp_path: Path) -> Any:
    def read(text: str, header: bool | None = None) -> Table:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        return read_table(path, header)

    return read


def learned(table: Table, name: str | int, task: str | None = None) -> tuple[Target, Any]:
    position = table.position(name)
    target = fit_target(table, position, task)
    return target, target.read(table, position)


TARGETS = {
    "text": ("no yes no", "classification", ["no", "yes"], "text"),
    "flags": ("true false true", "classification", ["false", "true"], "text"),
    "0 1": ("0 1 1", "classification", [0, 1], "two whole numbers"),
    "-1 1": ("-1 1.0 1", "classification", [-1, 1], "two whole numbers"),
    "0 1 2": ("0 2 1", "classification", [0, 1, 2], "numbers 0 to 2, none left out"),
    "3 4 5": ("3 4 5", "regression", None, "whole numbers, 3 different"),
    "0 1 3": ("0 1 3", "regression", None, "whole numbers, 3 different"),
    "0..19": (" ".join(map(str, range(20))), "classification", [*range(20)], "0 to 19"),
    "0..20": (" ".join(map(str, range(21))), "regression", None, "21 different"),
    "halves": ("0.5 1 1", "regression", None, "a quantity (numbers)"),
}


@pytest.mark.parametrize("name", TARGETS)
def test_the_task_is_decided(table: Any, name: str) -> None:
    values, task, labels, reason = TARGETS[name]
    data = table("".join(f"{i},{y}\n" for i, y in enumerate(values.split())), False)
    target, y = learned(data, -1)
    assert target.task == task
    assert reason in target.told(y)
    if labels is None:
        assert y.dtype == np.float64
    else:
        assert np.unique(y).tolist() == labels
        assert y.dtype.kind == ("U" if isinstance(labels[0], str) else "i")


def test_the_task_can_be_given(table: Any) -> None:
    ratings = table("a,y\n1,3\n2,5\n3,4\n4,3\n")
    target, y = learned(ratings, "y", "classification")
    assert y.tolist() == [3, 5, 4, 3]
    assert target.told(y) == "3 classes (as asked): 3, 4, 5"
    binary = table("a,y\n1,0\n2,1\n3,1\n4,0\n")
    assert learned(binary, "y", "regression")[1].tolist() == [0, 1, 1, 0]
    halves = table("a,y\n1,0.5\n2,1.5\n3,1.5\n")
    assert learned(halves, "y", "classification")[1].tolist() == ["0.5", "1.5", "1.5"]
    whole = fit_target(ratings, 1, "classification")
    with pytest.raises(
        DataError, match=r"line 2, column 'y': 0\.5 is none of training's"
    ):
        whole.read(halves, 1)
    with pytest.raises(UnknownNameError, match="Did you mean 'regression'"):
        learned(binary, "y", "regresion")
    stray = table("a,y\n1,2\n2,5\n3,n.a.\n")
    asked = learned(stray, "y", "classification")[1]
    assert asked.tolist() == ["2", "5", "n.a."]


def test_a_quantity_with_commas(table: Any) -> None:
    target, y = learned(table('a;y\n1;2,5\n2;"1.004"\n3;1\n'), "y")
    assert y.tolist() == [2.5, 1004, 1]
    assert target.told(y).endswith("; its commas are decimal points: 1,5 is 1.5")
    assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target


@pytest.mark.parametrize("task", [None, "classification"])
def test_a_target_of_keys_is_refused(table: Any, task: str | None) -> None:
    data = table("a,y\n" + "".join(f"{i % 9},k{i % 40}\n" for i in range(60)))
    with pytest.raises(DataError, match="'y' has 40 different values in 60 rows"):
        learned(data, "y", task)
    numbers = table("a,y\n" + "".join(f"{i % 9},{i}\n" for i in range(60)))
    with pytest.raises(DataError, match="'y' has 60 different values in 60 rows"):
        learned(numbers, "y", "classification")
    assert learned(numbers, "y")[0].task == "regression"


def test_many_labels_are_shortened(table: Any) -> None:
    data = table("a,y\n" + "".join(f"{i},w{i:02d}\n" for i in range(12)))
    target, y = learned(data, "y")
    assert target.told(y).endswith("'w09', ... (12)")


UNUSABLE = {
    "missing": ("a,y\n1,u\n2,?\n", "line 3, column 'y': the target is missing"),
    "nowhere": ("a,y\n1,?\n2,?\n", "line 2, column 'y': the target is missing"),
    "one class": ("a,y\n1,u\n2,u\n", "target 'y' is 'u' in all 2 rows"),
    "one number": ("a,y\n1,2\n2,2.0\n", "target 'y' is 2 in all 2 rows"),
    "one row": ("a,y\n1,2\n", "'y' is 2 in the only row"),
    "infinite": ("a,y\n1,2\n2,inf\n3,1\n", "column 'y': 'inf' is not a finite"),
    "stray": ("a,y\n1,2\n2,5\n3,n.a.\n", "Target 'y': 2 of 3 .* line 4 holds 'n.a.'"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_unusable_targets(table: Any, name: str) -> None:
    text, message = UNUSABLE[name]
    with pytest.raises(DataError, match=message):
        learned(table(text, True), "y")


def test_no_number_where_one_is_asked_for(table: Any) -> None:
    with pytest.raises(DataError, match="line 2, column 'y': 'u' is not a finite number"):
        learned(table("a,y\n1,u\n2,v\n"), "y", "regression")


@pytest.mark.parametrize(
    "change",
    [
        {"task": "sorting"},
        {"position": -1},
        {"commas": "both"},
        {"text": 1},
        {"name": None},
    ],
    ids=str,
)
def test_a_record_is_not_taken_on_trust(change: dict[str, Any]) -> None:
    record = Target("y", 1, "regression", "numbers").to_dict()
    with pytest.raises(FileFormatError, match="The table's target"):
        Target.from_dict(record | change)
