"""`kokuban predict`: answers for raw data."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import kokuban as kb
from kokuban.train.data import read_batches


def columns(text: str) -> dict[str, list[str]]:
    header, *rows = csv.reader(io.StringIO(text))
    return {name: list(cells) for name, *cells in zip(header, *rows, strict=True)}


def test_classes_and_their_probabilities(run: Any, models: Path) -> None:
    model, table = f"{models}/flowers.safetensors", f"{models}/flowers.csv"
    done = run("predict", model, table, "--probabilities")
    assert done.code == 0
    found = columns(done.out)
    assert list(found) == ["prediction", "probability rose", "probability tulip"]
    assert len(found["prediction"]) == 120
    rose = np.array(found["probability rose"], float)
    tulip = np.array(found["probability tulip"], float)
    assert np.allclose(rose + tulip, 1, atol=2e-6)
    assert [("rose", "tulip")[int(p < 0.5)] for p in rose] == found["prediction"]
    right = np.mean(np.array(found["prediction"]) == np.tile(["rose", "tulip"], 60))
    assert f"accuracy {right:.4f}" in done.err
    assert "trained on" in done.err


def test_quantities_in_their_own_unit(run: Any, models: Path, tmp_path: Path) -> None:
    model = f"{models}/houses.safetensors"
    # The columns in another order, and without the target.
    (tmp_path / "new.csv").write_text("rooms,area\n3,100\n5,60\n", encoding="utf-8")
    done = run("predict", model, "new.csv", "-o", "prices.csv")
    assert done.out == ""
    assert "2 rows predicted, written to prices.csv" in done.err
    assert "not scored: new.csv: no target column 'price'" in done.err
    found = columns(Path("prices.csv").read_text(encoding="utf-8"))
    assert np.array(found["prediction"], float) == pytest.approx([8000, 8000], rel=0.1)
    scored = run("predict", model, f"{models}/houses.csv")
    y = np.array(columns(scored.out)["prediction"], float)
    t = np.array(columns((models / "houses.csv").read_text())["price"], float)
    r2 = 1 - np.sum((t - y) ** 2) / np.sum((t - t.mean()) ** 2)
    assert f"R² {r2:.4f}" in scored.err
    assert f"RMSE {np.sqrt(np.mean((t - y) ** 2)):.4g} price" in scored.err


def test_images_with_and_without_labels(run: Any, models: Path) -> None:
    model = f"{models}/images.safetensors"
    done = run("predict", model, f"{models}/images.gz", f"{models}/labels.gz")
    assert columns(done.out)["prediction"] == ["0", "1", "3"] * 30
    assert "accuracy 1.0000" in done.err
    alone = run("predict", model, f"{models}/images.gz")
    assert alone.out == done.out
    assert "not scored: no labels are given" in alone.err


def test_a_table_is_no_images(run: Any, models: Path) -> None:
    done = run("predict", f"{models}/images.safetensors", f"{models}/flowers.csv")
    assert done.code != 0
    assert done.out == ""
    assert "flowers.csv: starts with the bytes" in done.err
    assert "was trained on images: give an IDX file of images" in done.err


def test_the_scale_of_the_pixels_is_kept(run: Any, models: Path) -> None:
    raw = kb.load(models / "images.safetensors")
    from kokuban.train.data import read_idx_pair

    x, t = read_idx_pair(models / "images.gz", models / "labels.gz")
    assert np.array_equal(np.array([0, 1, 3])[raw.predict(x).argmax(axis=1)], t)


def test_labels_that_training_did_not_have(
    run: Any, write: Any, models: Path, tmp_path: Path
) -> None:
    text = (models / "flowers.csv").read_text(encoding="utf-8")
    (tmp_path / "dots.csv").write_text(
        text.replace("rose\n", "rose.\n"), encoding="utf-8"
    )
    done = run("predict", f"{models}/flowers.safetensors", "dots.csv")
    assert done.code == 0
    assert len(columns(done.out)["prediction"]) == 120
    assert (
        "not scored: dots.csv: the row on line 2, column 'kind': the label is 'rose.'"
        in done.err
    )
    write.idx(tmp_path / "labels.gz", np.full(90, 2))
    model = f"{models}/images.safetensors"
    images = run("predict", model, f"{models}/images.gz", "labels.gz")
    assert images.code == 0
    assert "image 1 has the label 2, which training did not" in images.err


def test_labels_with_commas_quotes_and_accents_are_csv(run: Any, tmp_path: Path) -> None:
    labels = '"é, è"', '"say ""hi"""'
    rows = "".join(f"{k % 2},{labels[k % 2]}\n" for k in range(40))
    (tmp_path / "odd.csv").write_text("x,y\n" + rows, encoding="utf-8")
    words = ("--hidden", "4", "--rate", "0.05", "--quiet")
    assert run("train", "odd.csv", "--target", "y", *words).code == 0
    done = run("predict", "odd.safetensors", "odd.csv")
    assert columns(done.out)["prediction"] == ["é, è", 'say "hi"'] * 20


def test_an_older_file_is_replaced(run: Any, models: Path, tmp_path: Path) -> None:
    (tmp_path / "out.csv").write_text("old", encoding="utf-8")
    model, table = f"{models}/flowers.safetensors", f"{models}/flowers.csv"
    assert run("predict", model, table, "-o", "out.csv").code == 0
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").startswith("prediction\n")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


# ------------------------------------------------------------------ large and other files


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read a few rows at a time."""
    monkeypatch.setattr("kokuban.train.data.text.PIECE", 1 << 9)
    monkeypatch.setattr("kokuban.train.data.delimited._WIDE", 2)
    monkeypatch.setattr("kokuban.train.data.parquet.BATCH", 30)


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("name", ["flowers", "houses"])
def test_parts_are_answered_as_the_whole(
    run: Any, models: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, table = f"{models}/{name}.safetensors", f"{models}/{name}.csv"
    assert len(list(read_batches(table))) > 2
    parts = run("predict", model, table)
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    whole = run("predict", model, table)
    found, wanted = columns(parts.out)["prediction"], columns(whole.out)["prediction"]
    if name == "flowers":
        assert found == wanted
        assert parts.err == whole.err  # the score of all rows
    else:  # a product of few rows may round otherwise
        assert np.array(found, float) == pytest.approx(np.array(wanted, float), rel=1e-5)
        assert "(200 rows; " in parts.err


@pytest.mark.usefixtures("in_parts")
def test_parquet_in_and_out(run: Any, models: Path) -> None:
    model, table = f"{models}/flowers.safetensors", f"{models}/flowers.csv"
    pl.read_csv(table, null_values="?").write_parquet("flowers.parquet")
    pl.scan_csv(table).sink_csv("flowers.csv.gz", compression="gzip")
    text = run("predict", model, table, "--probabilities")
    words = ("--probabilities", "-o", "out.parquet")
    assert run("predict", model, "flowers.parquet", *words).code == 0
    found = pl.read_parquet("out.parquet")
    assert found["prediction"].to_list() == columns(text.out)["prediction"]
    assert found.columns == list(columns(text.out))
    p = np.array(columns(text.out)["probability rose"], float)
    np.testing.assert_allclose(found["probability rose"], p, atol=2e-6)
    assert run("predict", model, "flowers.csv.gz", "--probabilities").out == text.out


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("output", ["out.csv", "out.parquet"])
def test_a_wrong_line_late_in_the_file_leaves_nothing_half_written(
    run: Any, models: Path, tmp_path: Path, output: str
) -> None:
    text = (models / "houses.csv").read_text(encoding="utf-8")
    for end, message in (
        ("wide,3,1\n", "late.csv: the row on line 202, column 'area': the text 'wide'"),
        ("7,3\n", "late.csv: line 202 has 2 cells, line 1 has 3"),
    ):
        (tmp_path / "late.csv").write_text(text + end, encoding="utf-8")
        (tmp_path / output).write_text("old", encoding="utf-8")
        done = run("predict", f"{models}/houses.safetensors", "late.csv", "-o", output)
        assert done.code == 1
        assert f"kokuban: error: {message}" in done.err
        assert done.err.count("\n") == 1
        assert (tmp_path / output).read_text(encoding="utf-8") == "old"
        assert {path.name for path in tmp_path.iterdir()} == {"late.csv", output}


def test_json(run: Any, models: Path) -> None:
    model, table = f"{models}/flowers.safetensors", f"{models}/flowers.csv"
    alone = run("predict", model, table, "--json")
    assert alone.code == 1
    assert "with -o" in alone.err
    done = run("predict", model, table, "--json", "-o", "out.csv")
    found = json.loads(done.out)
    assert found["rows"] == found["score"]["rows"] == 120
    assert f"accuracy {found['score']['accuracy']:.4f}" in done.err
    assert np.sum(found["score"]["confusion"]) == 120
    assert found["output"] == "out.csv"
    assert found["trained_on_these"] is True


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("length", "lenght"), r"lacks column 'length'.* Did you mean 'lenght'\?"),
        (("colour", "colour,more"), "line 2 has 4 cells, line 1 has 5"),
        (("white", "pink"), ""),
        (("0.", "0,0"), "line 3 has 5 cells, line 1 has 4|line 2 has"),
    ],
)
def test_columns_that_changed(
    run: Any, models: Path, tmp_path: Path, change: tuple[str, str], message: str
) -> None:
    text = (models / "flowers.csv").read_text(encoding="utf-8").replace(*change)
    (tmp_path / "new.csv").write_text(text, encoding="utf-8")
    done = run("predict", f"{models}/flowers.safetensors", "new.csv")
    assert done.code == bool(message)
    assert re.search(message, done.err)
