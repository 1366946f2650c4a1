"""`kokuban train`: what it learns, prints and writes."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge
from sklearn.model_selection import train_test_split

import kokuban as kb
from kokuban.cli.settings import RATES, Settings
from kokuban.cli.show import columns_in_words
from kokuban.cli.source import Source, split
from kokuban.errors import SettingError
from kokuban.estimators import TabularRegressor, load
from kokuban.estimators.tabular.encoder import Encoder
from kokuban.estimators.tabular.frame import read

QUICK = ("--hidden", "16", "--rate", "0.01")


def number(pattern: str, text: str) -> float:
    found = re.search(pattern + r" (-?\d[\d.]*)", text)
    assert found, text
    return float(found[1])


def test_digits(run: Any) -> None:
    done = run("train", "digits", "--report", "digits.html")
    assert done.code == 0
    assert number("held-out accuracy", done.out) >= 0.97
    assert "360 rows; always guessing the commonest class: 0.10" in done.out
    assert "64-256-128-10, 50,826 parameters" in done.out
    assert "softmax(affine(relu(affine(relu(affine(X, W1, b1)), W2, b2)), W3, b3))" in (
        done.out
    )
    assert "next     kokuban predict digits.safetensors digits" in done.out
    page = Path("digits.html").read_text(encoding="utf-8")
    assert f"<b>{number('held-out accuracy', done.out):.4f}</b>" in page
    # The score is that of rows that anyone can draw again.
    x, t = load_digits(return_X_y=True)
    _, x, _, t = train_test_split(x, t, test_size=0.2, random_state=0, stratify=t)
    right = kb.load("digits.safetensors").predict(x / 16).argmax(axis=1) == t
    assert f"{right.mean():.4f}" == f"{number('held-out accuracy', done.out):.4f}"


def test_a_table_of_classes(run: Any, write: Any, tmp_path: Path) -> None:
    write.flowers(tmp_path / "flowers.csv")
    done = run("train", "flowers.csv", "--target", "kind", *QUICK)
    assert done.code == 0
    assert number("held-out accuracy", done.out) >= 0.9
    assert "120 rows, 4 columns (with a header)" in done.out
    assert "kind: 2 classes (text): 'rose', 'tulip'" in done.out
    assert "colour: categorical, 3 categories: blue, red, white" in done.out
    assert "length: numeric, median 1.276; some missing" in done.out
    assert "96 rows to learn from, 24 held out" in done.out
    assert "5 networks of 6-16-2, averaged" in done.out
    assert "96 rows in batches of 64, 64 epochs at most" in done.out
    assert "320 epochs in" in done.out
    assert Path("flowers.safetensors").exists()


def test_a_table_of_quantities(run: Any, write: Any, tmp_path: Path) -> None:
    write.houses(tmp_path / "houses.csv")
    done = run("train", "houses.csv", "--target", "price", *QUICK, "-o", "m.safetensors")
    assert done.code == 0
    assert number("held-out R²", done.out) > 0.9
    assert re.search(r"RMSE [\d.]+ price  \(40 rows; always guessing the mean", done.out)
    assert Path("m.safetensors").exists()


def test_columns_by_number_where_there_is_no_header(
    run: Any, write: Any, tmp_path: Path
) -> None:
    write.flowers(tmp_path / "plain.csv", header=False)
    last = run("train", "plain.csv", "--target", "-1", *QUICK)
    assert "no header: columns by number" in last.out
    assert "target   4: 2 classes" in last.out
    fourth = run("train", "plain.csv", "--target", "4", "--no-header", *QUICK)
    scores = [number("held-out accuracy", done.out) for done in (last, fourth)]
    assert scores[0] == scores[1] >= 0.9


def test_images(run: Any, write: Any, tmp_path: Path) -> None:
    write.images(tmp_path)
    done = run("train", "images.gz", "labels.gz", *QUICK)
    assert done.code == 0
    assert "90 grey images of 16 pixels, 3 classes" in done.out
    assert number("held-out accuracy", done.out) == 1


def test_the_task_and_the_separator_can_be_said(run: Any, tmp_path: Path) -> None:
    rows = "".join(f"{k % 3 + 5};{k % 3};{k}\n" for k in range(60))
    (tmp_path / "marks.csv").write_text("mark;a;b\n" + rows, encoding="utf-8")
    words = ("train", "marks.csv", "--target", "mark", "--separator", ";", *QUICK)
    assert "held-out R²" in run(*words, "--epochs", "2").out
    classes = run(*words, "--task", "classification", "--epochs", "2")
    assert "3 classes (as asked): 5, 6, 7" in classes.out
    assert "held-out accuracy" in classes.out


def test_quiet_prints_the_score_alone(run: Any, write: Any, tmp_path: Path) -> None:
    write.flowers(tmp_path / "flowers.csv")
    done = run("train", "flowers.csv", "--target", "kind", "--epochs", "1", "--quiet")
    assert re.fullmatch(r"held-out accuracy .*\n", done.out)


def test_the_same_seed_gives_the_same_model(run: Any, write: Any, tmp_path: Path) -> None:
    write.flowers(tmp_path / "flowers.csv")
    words = ("train", "flowers.csv", "--target", "kind", "--epochs", "3", *QUICK)
    for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
        assert run(*words, "--seed", seed, "-o", name).code == 0
    a, b, c = (kb.load(name)["W1"].tolist() for name in "abc")
    assert a == b != c


def test_all_rows_can_be_learned_from(run: Any, tmp_path: Path) -> None:
    rows = "a,b,y\n" + "0,0,no\n0,1,yes\n1,0,yes\n1,1,no\n" * 5
    (tmp_path / "xor.csv").write_text(rows, encoding="utf-8")
    words = ("train", "xor.csv", "--target", "y", "--hidden", "32", "--preset", "realmlp")
    whole = ("--test-fraction", "0", "--report", "xor.html")
    done = run(*words, *whole)
    assert done.code == 0
    assert "20 rows to learn from, none held out" in done.out
    assert "held-out" not in done.out.replace("none held out", "")
    assert "so there is no score" in Path("xor.html").read_text(encoding="utf-8")
    judged = run("predict", "xor.safetensors", "xor.csv")
    assert judged.out.split() == ["prediction", *["no", "yes", "yes", "no"] * 5]


def test_every_optimizer_and_activation_learns(
    run: Any, write: Any, tmp_path: Path
) -> None:
    write.images(tmp_path, rows=300)
    words = ("train", "images.gz", "labels.gz", "--hidden", "16", "--quiet")
    for optimizer in RATES:
        done = run(*words, "--optimizer", optimizer)
        assert number("held-out accuracy", done.out) >= 0.9, optimizer
    for activation in ("tanh", "silu", "leaky_relu", "sigmoid", "selu"):
        done = run(*words, "--activation", activation, "--weight-decay", "1e-4")
        assert number("held-out accuracy", done.out) >= 0.9, activation


def test_the_engine_can_be_chosen(run: Any, write: Any, tmp_path: Path) -> None:
    write.images(tmp_path)
    words = ("train", "images.gz", "labels.gz", "--epochs", "2", "--quiet")
    assert run(*words, "--engine", "numpy").code == 0
    native = run(*words, "--engine", "native")
    assert native.code == 0 or "native" in native.err


def test_no_hidden_layer_is_a_linear_model(run: Any, write: Any, tmp_path: Path) -> None:
    write.images(tmp_path)
    done = run("train", "images.gz", "labels.gz", "--hidden", "none")
    assert "16-3, 51 parameters" in done.out
    assert "         softmax(affine(X, W1, b1))\n" in done.out


@pytest.mark.parametrize("preset", ["fast", "realmlp"])
def test_presets_are_the_estimators(
    run: Any, write: Any, tmp_path: Path, preset: str
) -> None:
    write.houses(tmp_path / "houses.csv")
    words = ("--preset", preset, "--epochs", "3", "--activation", "selu")
    done = run("train", "houses.csv", "--target", "price", *words, "--seed", "3")
    assert done.code == 0, done.err
    assert "3 epochs at most" in done.out
    net = load("houses.safetensors")
    assert (net.preset, net.max_iter, net.activation) == (preset, 3, "selu")
    # it is the estimator that these rows and settings give
    frame = pl.read_csv("houses.csv")
    learn, held = split(frame["price"].to_numpy(), 0.2, 3, False, "")
    again = TabularRegressor(preset, max_iter=3, activation="selu", random_state=3)
    again.fit(frame[learn].drop("price"), frame["price"][learn])
    new, t = frame[held].drop("price"), frame["price"][held].to_numpy()
    assert np.array_equal(net.predict(new), again.predict(new))
    # and it is scored by what it predicts
    rmse = np.sqrt(np.mean((t - net.predict(new)) ** 2))
    mean = np.sqrt(np.mean((t - frame["price"][learn].to_numpy().mean()) ** 2))
    assert f"R² {net.score(new, t):.4f}, RMSE {rmse:.4g} price" in done.out
    assert f"always guessing the mean: RMSE {mean:.4g};" in done.out


def test_a_stray_cell_is_told_with_its_line(run: Any, tmp_path: Path) -> None:
    rows = [f"{k % 7}.5,{'ab'[k % 2]}" for k in range(60)]
    rows[40] = "3 euro,a"
    (tmp_path / "t.csv").write_text("price,y\n" + "\n".join(rows) + "\n")
    words = ("--target", "y", "--epochs", "1", "--header", "--test-fraction", "0.1")
    for seed in range(9):  # in some of them it is learned from, in some held out
        done = run("train", "t.csv", *words, "--seed", str(seed))
        assert "price: categorical, " in done.out
        assert "values are numbers, but the row on line 42 holds '3 euro'" in done.out


def test_time_runs_out(run: Any, write: Any, tmp_path: Path) -> None:
    write.houses(tmp_path / "houses.csv", rows=2000)
    words = ("--max-time", "0.5", "--epochs", "100000")
    done = run("train", "houses.csv", "--target", "price", *words)
    assert done.code == 0, done.err
    assert "0.5 s at most" in done.out
    assert ", all the time there was" in done.out


def test_a_linear_model_is_beside_the_score(run: Any, write: Any, tmp_path: Path) -> None:
    write.houses(tmp_path / "houses.csv")
    done = run("train", "houses.csv", "--target", "price", "--epochs", "1", "--json")
    x = pl.read_csv("houses.csv")
    learn, held = split(x["price"].to_numpy(), 0.2, 0, False, "")
    encoder, z = Encoder.fit(read(x[learn].drop("price")))
    ridge = Ridge().fit(z, x["price"][learn])
    y = ridge.predict(encoder.transform(read(x[held].drop("price"))))
    rmse = float(np.sqrt(np.mean((y - x["price"][held].to_numpy()) ** 2)))
    assert json.loads(done.out)["held_out"]["linear_model"] == pytest.approx(rmse)
    assert f"; a linear model: {rmse:.4g})" in done.err


# ------------------------------------------------------------------ parts


def test_rare_classes_are_learned_from_and_others_held_out_in_proportion() -> None:
    t = np.array([0] * 60 + [1] * 40 + [2])
    kept, held = split(t, 0.25, 0, True, "--test-fraction")
    assert sorted([*kept, *held]) == list(range(101))
    assert np.bincount(t[held], minlength=3).tolist() == [15, 10, 0]
    again = split(t, 0.25, 0, True, "--test-fraction")
    other = split(t, 0.25, 1, True, "--test-fraction")
    assert np.array_equal(held, again[1])
    assert not np.array_equal(held, other[1])


def test_a_split_that_leaves_no_row_of_a_class_is_refused() -> None:
    with pytest.raises(SettingError, match=r"holds out 0\.1 of 12 rows, that is 2"):
        split(np.arange(12) % 4, 0.1, 0, True, "--test-fraction")
    with pytest.raises(SettingError, match=r"0 rows \(and none of 2 alone"):
        split(np.arange(2), 0.2, 0, True, "--test-fraction")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("digits", "digits"),
        ("data/houses.csv", "houses"),
        ("wine.2024.csv", "wine.2024"),
        ("train-images-idx3-ubyte.gz", "train"),
        ("mnist-10k-images-idx3-ubyte", "mnist-10k"),
        ("t10k-images.idx3-ubyte", "t10k"),
        ("images.gz", "images"),
    ],
)
def test_a_model_is_named_for_its_data(file: str, name: str) -> None:
    assert Source((file,)).name == name


def test_batches_grow_with_the_rows() -> None:
    sizes = [Settings().batch(rows) for rows in (10, 400, 4000, 8000, 30_000, 10**6)]
    assert sizes == [10, 32, 64, 128, 256, 256]
    assert Settings(batch_size=7).batch(10**6) == 7


def test_many_columns_are_told_by_kind() -> None:
    numbers = [(f"x{k}", "numeric", "mean 0, standard deviation 1") for k in range(30)]
    odd = ("zip", "categorical", "2 categories: a, b; 9 of 10 values are numbers")
    lines = columns_in_words([*numbers, odd, ("y", "target", "a quantity")])
    assert lines[0] == ("target", "y: a quantity")
    assert lines[1][1].startswith("30 numeric: x0, x1, x2")
    assert lines[1][1].endswith("x11, ...")
    assert lines[2:] == [("", "1 categorical: zip"), ("", f"zip: {odd[2]}")]


def test_json(run: Any, write: Any, tmp_path: Path) -> None:
    write.flowers(tmp_path / "flowers.csv")
    words = ("train", "flowers.csv", "--target", "kind", *QUICK, "--epochs", "30")
    done = run(*words, "--json", "--report", "r.html")
    found = json.loads(done.out)
    assert f"held-out accuracy {found['score']['accuracy']:.4f}" in done.err
    assert found["rows"] == {"learned": 77, "validation": 19, "held_out": 24}
    assert (found["model"], found["report"]) == ("flowers.safetensors", "r.html")
    assert [c["kind"] for c in found["columns"]] == [
        "numeric",
        "numeric",
        "categorical",
        "target",
    ]
    assert found["settings"]["hidden"] == [16]
    assert found["settings"]["preset"] == "default"
    assert [len(history["epochs"]) for history in found["histories"]] == [30] * 5
    measured = [i["column"] for i in found["held_out"]["importances"]]
    assert measured[0] == "length"
    assert sorted(measured) == ["colour", "length", "width"]
    quiet = run(*words, "--json", "--quiet")
    assert re.fullmatch(r"held-out accuracy .*\n", quiet.err)
    assert json.loads(quiet.out)["score"] == found["score"]


def test_tables_of_every_kind_give_the_same_model(
    run: Any, write: Any, tmp_path: Path
) -> None:
    write.flowers(tmp_path / "flowers.csv")
    text = (tmp_path / "flowers.csv").read_text(encoding="utf-8")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b.tsv").write_text(text.replace(",", "\t"), encoding="utf-8-sig")
    (tmp_path / "c.csv").write_text(text.replace(",", ";"), encoding="utf-16")
    pl.read_csv(text.encode(), null_values="?").write_parquet("d.parquet")
    (tmp_path / "e.csv").write_text(text.replace("\n", "\r\n"), encoding="cp1252")
    words = ("--target", "kind", *QUICK, "--epochs", "3", "--quiet")
    wanted = run("train", "flowers.csv", *words)
    assert wanted.code == 0
    for name in ("a.csv.gz", "b.tsv", "c.csv", "d.parquet", "e.csv"):
        assert run("train", name, *words).out == wanted.out, name
    model = kb.load("flowers.safetensors")["W1"]
    for name in "abcde":
        assert np.array_equal(kb.load(f"{name}.safetensors")["W1"], model), name
