"""The tabular benchmark measures, keeps, goes on, and says what it measured."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.tabular import report, worker
from benchmarks.tabular.__main__ import main, missing, planned
from benchmarks.tabular.kept import Fit, Kept
from benchmarks.tabular.measures import calibration_error, of_classes, of_numbers
from benchmarks.tabular.methods import METHODS, REFERENCE, SIX
from benchmarks.tabular.ranks import (
    Results,
    geometric,
    main_measure,
    measure,
    p_of_all,
    p_of_pairs,
    ranks,
)
from benchmarks.tabular.sets import Table, from_file

METHOD = "linear"


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Options for two small tables, one of classes and one of numbers."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    words = np.where(x[:, 0] > 0, "up", "down").astype(object)
    words[3] = None
    kinds = pd.DataFrame({"a": x[:, 1], "word": words, "kind": x[:, 0] > 0.1})
    sizes = pd.DataFrame({"a": x[:, 0], "b": x[:, 1], "size": 2 * x[:, 0] - x[:, 1]})
    kinds.to_csv(tmp_path / "kinds.csv", index=False)
    sizes.to_csv(tmp_path / "sizes.csv", index=False)
    named = [str(tmp_path / f"{name}.csv") for name in ("kinds", "sizes")]
    return ["--data", *named, "--target", "kind", "size", "--sets", "kinds", "sizes"]


def run(files: list[str], folder: Path, splits: int) -> None:
    where = ["--kept", str(folder / "kept.jsonl"), "--out", str(folder)]
    wish = ["--methods", METHOD, "--splits", str(splits), "--threads", "1"]
    main([*files, *wish, *where])


def test_a_run_goes_on_where_it_stopped(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "kept.jsonl"
    run(files, tmp_path, 1)
    first = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(r["table"], r["split"]) for r in first] == [("kinds", 0), ("sizes", 0)]
    capsys.readouterr()
    run(files, tmp_path, 2)
    told = capsys.readouterr().err
    assert "kinds 1 linear" in told
    assert "kinds 0 linear" not in told
    both = [json.loads(line) for line in kept.read_text().splitlines()]
    assert len(both) == 4
    assert all(record in both for record in first)
    document = (tmp_path / "tabular-benchmarks.md").read_text("utf-8")
    assert "| sizes | 80 | 2 |" in document
    assert f"Not measured: {', '.join(m for m in METHODS if m != METHOD)}." in document
    assert (tmp_path / "tabular-benchmarks.svg").read_text().startswith("<?xml")


def test_what_is_measured_again(files: list[str], tmp_path: Path) -> None:
    """What is asked for by name, and with --quiet what others disturbed."""
    kept = Kept(tmp_path / "kept.jsonl")
    for table, others in (("kinds", 0.5), ("sizes", 0.0)):
        disturbed = fit(table, METHOD, 0, {"nrmse": 0.5}, others=others)
        kept.add(asdict(disturbed))

    def wanted(*options: str) -> list[tuple[str, int]]:
        plan = planned([*files, "--splits", "1", *options])
        return list(missing(plan, METHODS[METHOD], kept))

    assert wanted() == []
    assert wanted("--again", "HistGB") == []
    assert wanted("--again", METHOD) == [("kinds", 0), ("sizes", 0)]
    assert wanted("--quiet") == [("kinds", 0)]


def test_what_a_fit_records(files: list[str]) -> None:
    """A line through the target is found; the error is that of a fit by hand."""
    table = from_file(Path(files[2]), "size").read()
    record = worker.fitted(METHODS[METHOD], table, 0, 1)
    assert record["measures"]["nrmse"] < 0.05
    assert (record["rows"], record["columns"]) == (80, 2)
    assert min(*record["seconds"], *record["cpu"]) > 0
    assert json.loads(json.dumps(record)) == record


def test_what_fails_is_told_and_the_rest_goes_on(files: list[str]) -> None:
    kinds, sizes = Path(files[1]), Path(files[2])
    order = worker.Order(
        METHOD,
        [("kinds", 0), ("sizes", 0)],
        1,
        "nowhere",
        [(str(kinds), "no such column"), (str(sizes), "size")],
    )
    failed, done = worker.records(order, METHODS[METHOD])
    assert failed["table"] == "kinds"
    assert "no such column" in failed["failed"]
    assert done["measures"]["nrmse"] < 0.05


def test_splits_are_the_same_for_all_and_keep_the_proportions() -> None:
    t = np.repeat([0, 1], [90, 10])
    table = Table("t", "classes", pd.DataFrame({"a": np.arange(100.0)}), t)
    learn, judge = table.split(3)
    assert sorted([*learn, *judge]) == list(range(100))
    assert (len(judge), t[judge].sum()) == (25, 2) or t[judge].sum() == 3
    np.testing.assert_array_equal(judge, table.split(3)[1])
    assert set(judge) != set(table.split(4)[1])


def test_columns_of_words_are_categories_and_rows_without_target_go() -> None:
    x = pd.DataFrame({0: [1, 2, 3], 1: ["a", None, "b"], 2: [True, False, True]})
    table = Table.of("t", "numbers", x, pd.Series([1.0, np.nan, 2.0]))
    assert list(table.t) == [1, 2]
    assert table.x["0"].dtype == np.float64
    assert list(table.x["1"].cat.categories) == ["a", "b"]


def test_measures_of_classes_by_hand() -> None:
    t = np.array([0, 1, 1, 0])
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.8, 0.2]])
    found = of_classes(t, p)
    assert found["error"] == 0.25
    logs = [math.log(q) for q in (0.9, 0.6, 0.3, 0.8)]
    assert found["log_loss"] == pytest.approx(-sum(logs) / 4)
    assert found["auc"] == 1.0  # each of class 1 above each of class 0
    # each row alone in its bin: |1 - 0.9|, |1 - 0.6|, |0 - 0.7|, |1 - 0.8|
    assert found["ece"] == pytest.approx((0.1 + 0.4 + 0.7 + 0.2) / 4)


def test_a_calibrated_prediction_has_no_calibration_error() -> None:
    right = np.array([True] * 3 + [False])
    assert calibration_error(right, np.full(4, 0.75)) == pytest.approx(0)


def test_auc_of_more_classes_leaves_out_those_that_are_not_there() -> None:
    t = np.array([0, 1, 0, 1])
    p = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.65, 0.25, 0.1]])
    # class 0: (0.7, 0.6) against (0.1, 0.65), 3 of 4 pairs; class 1: (0.8, 0.25)
    # against (0.2, 0.3), 3 of 4
    assert of_classes(t, p)["auc"] == pytest.approx(0.75)


def test_nrmse_of_the_mean_is_one() -> None:
    t = np.array([1.0, 2.0, 6.0])
    assert of_numbers(t, np.full(3, 3.0))["nrmse"] == pytest.approx(1)


def fit(
    table: str,
    method: str,
    split: int,
    measures: dict[str, float],
    cpu: float = 1.0,
    others: float = 0.5,
) -> Fit:
    task = "classes" if "error" in measures else "numbers"
    times = (1.0, 1.0), (cpu, 0.1)
    return Fit(table, method, split, task, 4000, 3, measures, *times, 1, others)


def test_ranks_and_ratios_over_the_splits_that_all_have() -> None:
    """The second split, which one has alone, changes nothing."""
    fits = [
        fit("one", REFERENCE, 0, {"nrmse": 0.4}),
        fit("one", "linear", 0, {"nrmse": 0.8}),
        fit("one", "linear", 1, {"nrmse": 9.0}),
        fit("two", REFERENCE, 0, {"nrmse": 0.6}, cpu=4.0),
        fit("two", "linear", 0, {"nrmse": 0.3}),
        fit("three", "linear", 0, {"nrmse": 0.3}),
    ]
    results = Results(fits)
    scores = results.scores([REFERENCE, "linear"], main_measure)
    assert scores == {
        "one": {REFERENCE: 0.4, "linear": 0.8},
        "two": {REFERENCE: 0.6, "linear": 0.3},
    }
    assert ranks(scores) == {REFERENCE: 1.5, "linear": 1.5}
    assert report.ratio(results, "linear", lambda f: True) == pytest.approx(1)
    line = next(x for x in report.summary(fits).splitlines() if x.startswith("| linear"))
    assert line.split(" | ")[-1] == "0.5 |"  # the geometric mean of 1 and 1/4


def test_the_best_is_bold_and_fewer_splits_are_said() -> None:
    fits = [
        fit("one", REFERENCE, 0, {"error": 0.125, "auc": 0.75}),
        fit("one", "linear", 0, {"error": 0.25, "auc": 0.875}),
        fit("one", "linear", 1, {"error": 0.25, "auc": 0.875}),
        fit("two", REFERENCE, 0, {"error": 0.125, "auc": 0.75}),
        fit("two", "linear", 0, {"error": 0.25, "auc": 0.875}),
    ]
    document = report.document(fits, {"one": "file", "two": "file"}, "a command")
    assert "| one | 4,000 | 2 | **25.0** | 12.5 (1) |" in document
    assert "| two | 4,000 | 1 | 25.0 | **12.5** |" in document
    assert "| two | 4,000 | 1 | **0.875** | 0.750 |" in document
    assert "(1.00 s)" in document  # others had half of the processors


def test_one_method_alone_makes_a_document() -> None:
    """Also one that is neither ours to rank nor among those ranked with."""
    for name in ("kokuban fast", "something"):
        alone = [fit("one", name, 0, {"nrmse": 0.1})]
        document = report.document(alone, {"one": "file"}, "it")
        assert f"| {name} | 1 |" in document
        assert Results(alone).scores([], main_measure) == {}


def test_equal_figures_share_their_rank() -> None:
    scores = {
        "one": {"a": 0.1, "b": 0.1, "c": 0.3},
        "two": {"a": 0.2, "b": 0.1, "c": 0.3},
    }
    assert ranks(scores) == {"a": 1.75, "b": 1.25, "c": 3.0}


def test_tests_of_significance() -> None:
    def scores(ratio: Callable[[int], float]) -> dict[str, dict[str, float]]:
        return {
            f"{k}": {"ours": 0.5, "other": 0.5 * ratio(k), "third": 0.5 / ratio(k)}
            for k in range(12)
        }

    always, never = scores(lambda k: 1.01 + k / 100), scores(lambda k: 2.0 ** (-1) ** k)
    assert (p_of_all(always) or 1) < 1e-4 < 0.5 < (p_of_all(never) or 0)
    # all 12 signs the same way: 2 / 2^12, times two comparisons
    assert p_of_pairs(always, "ours") == pytest.approx(
        {"other": 4 / 2**12, "third": 4 / 2**12}
    )
    assert p_of_pairs(never, "ours") == pytest.approx({"other": 1, "third": 1})
    assert geometric([]) is None


def test_the_same_for_classes_is_not_fitted_twice() -> None:
    one = fit("one", "sklearn MLP", 0, {"error": 0.1})
    other = "sklearn MLP, target as it is"
    numbers = [fit("two", m, 0, {"nrmse": 0.5}) for m in ("sklearn MLP", other)]
    results = Results([one, *numbers])
    assert results.mean("one", other, measure("error")) == 0.1


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kept.jsonl"
    good = json.dumps(asdict(fit("one", "linear", 0, {"error": 0.1})))
    path.write_text(f"{good}\n{good[:20]}\n")
    with pytest.raises(SystemExit, match="line 2 is no record"):
        Kept(path)


def test_those_ranked_with_are_methods() -> None:
    assert set(SIX) <= set(METHODS)
