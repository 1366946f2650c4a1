"""Tables in parts: the same model as in memory, whatever of it is held at a time."""

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from kokuban.cli import streamed
from kokuban.cli.streamed import Sample, is_large, mapped
from kokuban.errors import StorageError
from kokuban.estimators import load
from kokuban.train.data import read_batches

QUICK = ("--epochs", "4", "--preset", "fast", "--quiet")


@pytest.fixture
def in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are read a few rows at a time."""
    monkeypatch.setattr("kokuban.train.data.text.PIECE", 1 << 9)
    monkeypatch.setattr("kokuban.train.data.delimited._WIDE", 2)
    monkeypatch.setattr("kokuban.train.data.parquet.BATCH", 30)


def values(path: str) -> dict[str, list[Any]]:
    return {s.name: v.tolist() for s, v in load(path).model_.values.items()}


@pytest.mark.usefixtures("in_parts")
@pytest.mark.parametrize("name", ["flowers.csv", "houses.csv", "flowers.parquet"])
def test_a_table_in_parts_gives_the_model_of_the_whole(
    run: Any, write: Any, tmp_path: Path, name: str
) -> None:
    write.flowers(tmp_path / "flowers.csv")
    write.houses(tmp_path / "houses.csv")
    pl.read_csv("flowers.csv", null_values="?").write_parquet("flowers.parquet")
    target = "price" if name == "houses.csv" else "kind"
    assert len(list(read_batches(name))) > 2
    whole = run("train", name, "--target", target, *QUICK, "-o", "whole")
    parts = run("train", name, "--target", target, *QUICK, "-o", "parts", "--in-parts")
    assert parts.code == 0, parts.err
    assert parts.out == whole.out
    assert values("parts") == values("whole")
    assert load("parts").encoder_.to_dict() == load("whole").encoder_.to_dict()


@pytest.mark.usefixtures("in_parts")
def test_columns_are_learned_from_a_sample_of_very_many_rows(
    run: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "MOST_ROWS", 400)
    write.houses(tmp_path / "houses.csv", rows=2000)
    words = ("--target", "price", "--epochs", "4", "--preset", "fast", "--in-parts")
    done = run("train", "houses.csv", *words)
    assert done.code == 0, done.err
    assert "2,000 rows, 3 columns (with a header), read in parts: the columns by" in (
        done.out
    )
    scaling = load("houses.safetensors").encoder_.scaling
    area = pl.read_csv("houses.csv")["area"].to_numpy()
    assert scaling.medians[0] == pytest.approx(np.median(area), abs=10)
    assert float(done.out.split("R² ")[1].split(",")[0]) > 0.9


def test_a_sample_is_fair_and_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streamed, "MOST_ROWS", 500)
    monkeypatch.setattr("kokuban.train.data.text.PIECE", 1 << 10)
    monkeypatch.setattr("kokuban.train.data.delimited._WIDE", 2)
    path = tmp_path / "n.csv"
    path.write_text("n,m\n" + "".join(f"{k},{k % 7}\n" for k in range(20_000)))
    sample = Sample(seed=0)
    for batch in read_batches(path):
        sample.add(batch)
    every = np.ones(20_000, bool)
    found = sample.table(every).frame["n"].to_numpy()
    assert sample.rows == 20_000
    assert 200 < len(found) <= 500
    assert (np.diff(found) > 0).all()
    # by chance every part of the file has its share: 5 standard deviations
    expected = len(found) / 4
    quarters = np.histogram(found, bins=4, range=(0, 20_000))[0]
    assert (np.abs(quarters - expected) < 5 * np.sqrt(expected)).all()
    none = every.copy()
    none[found[1:].astype(int)] = False
    assert sample.table(none).frame["n"].to_list() == [found[0]]


@pytest.mark.usefixtures("in_parts")
def test_what_the_sample_did_not_show_is_told_with_its_line(
    run: Any, write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "MOST_ROWS", 16)
    write.houses(tmp_path / "houses.csv", rows=1000)
    lines = (tmp_path / "houses.csv").read_text().splitlines()
    lines[500] = "wide,3,9000"
    (tmp_path / "houses.csv").write_text("\n".join(lines) + "\n")
    done = run("train", "houses.csv", "--target", "price", *QUICK, "--in-parts")
    assert (done.code, done.out) == (1, "")
    assert "line 501, column 'area': the text 'wide', and the column was numeric" in (
        done.err
    )
    assert not Path("houses.safetensors").exists()


def test_which_tables_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streamed, "LARGE", 1000)
    (tmp_path / "small.csv").write_bytes(b"a,b\n" + b"1,2\n" * 100)
    (tmp_path / "large.csv").write_bytes(b"a,b\n" + b"1,2\n" * 300)
    assert not is_large(tmp_path / "small.csv")
    assert is_large(tmp_path / "large.csv")
    pl.DataFrame({"a": range(200)}).write_parquet(tmp_path / "a.parquet")
    assert is_large(tmp_path / "a.parquet")


def test_a_full_disk_is_found_before_anything_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"need 8 MB in .*No space left.*TMPDIR"):
        mapped(100_000, 20)
