"""`kokuban export`: raw data in, the same answers as `kokuban predict` out."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx_runs import run_onnx

from kokuban.estimators import MLPClassifier
from kokuban.interchange import to_onnx
from kokuban.train import load

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.* runs on NumPy:UserWarning",
)


def columns(path: Path) -> dict[str, np.ndarray]:
    """A table's columns as texts, N×1."""
    with path.open(encoding="utf-8") as file:
        head, *rows = csv.reader(file)
    table = np.array(rows, dtype=object)
    return {name: table[:, [k]] for k, name in enumerate(head)}


def numbers(texts: np.ndarray) -> np.ndarray:
    missing = np.isin(texts.astype(str), ["", "?"])
    return np.where(missing, "nan", texts).astype(np.float64)


def exported(run: Any, model: Path) -> bytes:
    done = run("export", str(model), "-o", "net.onnx")
    assert (done.code, done.err) == (0, "")
    return Path("net.onnx").read_bytes()


def test_a_table_with_text_missing_values_and_classes(
    run: Any, models: Path, tmp_path: Path
) -> None:
    lines = (models / "flowers.csv").read_text().splitlines()[:40]
    lines += ["?,,green,rose", "1.5,0.25,?,tulip", ",-1,white,rose"]  # green is new
    (tmp_path / "new.csv").write_text("\n".join(lines) + "\n")
    model = models / "flowers.safetensors"
    cells = columns(tmp_path / "new.csv")
    given = {n: numbers(cells[n]) for n in ("length", "width")}
    found = run_onnx(exported(run, model), {**given, "colour": cells["colour"]})
    answers = run("predict", str(model), "new.csv", "--probabilities").out
    expected = list(csv.DictReader(answers.splitlines()))
    assert found["label"].tolist() == [row["prediction"] for row in expected]
    for k, name in enumerate(("rose", "tulip")):
        wanted = [float(row[f"probability {name}"]) for row in expected]
        np.testing.assert_allclose(found["probabilities"][:, k], wanted, atol=1e-6)


def test_missing_text_is_marked_where_training_had_it(run: Any, tmp_path: Path) -> None:
    kinds = ["a,x,1", "b,x,2", "NA,y,3", "a,y,", ",x,5", "b,y,6"] * 10
    (tmp_path / "t.csv").write_text("text,t,n\n" + "\n".join(kinds) + "\n")
    run("train", "t.csv", "--target", "t", "-q", "-o", "m", "--epochs", "3")
    cells = columns(tmp_path / "t.csv")
    text = np.where(
        cells["text"] == "NA", "", cells["text"]
    )  # as the file's reader has it
    given = {"text": text, "n": numbers(cells["n"])}
    found = run_onnx(exported(run, Path("m")), given)
    expected = run("predict", "m", "t.csv").out.splitlines()[1:]
    assert found["label"].tolist() == expected


@pytest.mark.parametrize("rows", [1, 200])
def test_a_quantity_in_its_own_unit(run: Any, models: Path, rows: int) -> None:
    model, table = models / "houses.safetensors", models / "houses.csv"
    given = {n: numbers(v)[:rows] for n, v in columns(table).items() if n != "price"}
    found = run_onnx(exported(run, model), given)["prediction"]
    answers = run("predict", str(model), str(table)).out.splitlines()[1 : rows + 1]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, np.array(answers, float), rtol=1e-5)


def test_images_by_their_grey_levels(run: Any, models: Path) -> None:
    model = models / "images.safetensors"
    raw = gzip.decompress((models / "images.gz").read_bytes())[16:]
    levels = np.frombuffer(raw, np.uint8).reshape(-1, 16).astype(np.float32)
    found = run_onnx(exported(run, model), {"X": levels})
    answers = run("predict", str(model), str(models / "images.gz")).out.splitlines()[1:]
    assert found["label"].tolist() == [int(a) for a in answers]
    assert set(found["label"].tolist()) == {0, 1, 3}


def test_the_command_says_what_the_file_takes(run: Any, models: Path) -> None:
    done = run("export", str(models / "flowers.safetensors"), "-o", "flowers.onnx")
    *lines, last = done.out.splitlines()
    assert lines == [
        "inputs   length  float64 N×1",
        "         width  float64 N×1",
        "         colour  text N×1",
        "outputs  label  text N",
        "         probabilities  float64 N×2",
    ]
    assert last.startswith("model    flowers.onnx  (")
    assert last.endswith(" kB, opset 19)")
    to_onnx(load(models / "flowers.safetensors"), "again.onnx")
    assert Path("again.onnx").read_bytes() == Path("flowers.onnx").read_bytes()


def test_an_estimators_file_and_the_usual_name(run: Any) -> None:
    x = np.random.default_rng(0).normal(size=(40, 3))
    t = np.where(x[:, 0] > 0, "yes", "no")
    net = MLPClassifier((4,), max_iter=3).fit(x, t)
    net.save("net.safetensors")
    assert run("export", "net.safetensors").code == 0
    found = run_onnx(Path("net.onnx").read_bytes(), {"X": x})
    assert found["label"].tolist() == net.predict(x).tolist()
    assert onnx.load("net.onnx").metadata_props[0].value == '["no", "yes"]'


def test_what_cannot_be_exported(run: Any, models: Path) -> None:
    missing = run("export", "none.safetensors")
    assert (missing.code, missing.out) == (1, "")
    assert "there is no such file" in missing.err
    foreign = run("export", str(models / "flowers.csv"))
    assert foreign.code == 1
    assert "is not a file of Kokuban" in foreign.err
    model = str(models / "flowers.safetensors")
    assert "would be written over" in run("export", model, "-o", model).err
    assert "No such file" in run("export", model, "-o", "none/net.onnx").err
