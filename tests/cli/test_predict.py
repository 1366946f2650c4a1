"""`kokuban predict`: answers for raw data."""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kokuban as kb


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
    assert "not scored: The table has no target column 'price'" in done.err
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
        "not scored: the row on line 2, column 'kind': the label is 'rose.'" in done.err
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
