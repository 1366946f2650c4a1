"""Small data, a way to run a command, and a model to use."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from kokuban.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


def write_flowers(path: Path, rows: int = 120, header: bool = True) -> None:
    """Two kinds that a length tells apart; a colour that has its say; a missing value."""
    rng = np.random.default_rng(0)
    lines = ["length,width,colour,kind"] if header else []
    for row in range(rows):
        kind = row % 2
        length = f"{rng.normal(3 * kind, 0.5):.3f}" if row != 7 else "?"
        colour = ("red", "blue", "white")[rng.integers(3)]
        lines.append(f"{length},{rng.normal():.3f},{colour},{('rose', 'tulip')[kind]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_houses(path: Path, rows: int = 200) -> None:
    """price = 50 area + 1000 rooms, and a little noise."""
    rng = np.random.default_rng(1)
    lines = ["area,rooms,price"]
    for _ in range(rows):
        area, rooms = rng.uniform(30, 200), rng.integers(1, 7)
        price = 50 * area + 1000 * rooms + rng.normal(0, 50)
        lines.append(f"{area:.2f},{rooms},{price:.1f}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_idx(path: Path, array: np.ndarray) -> None:
    """Unsigned bytes in the IDX format, gzipped."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))


def write_images(folder: Path, rows: int = 90) -> None:
    """4×4 images whose bright column is their class, 0, 1 or 3."""
    rng = np.random.default_rng(2)
    labels = np.array([0, 1, 3])[np.arange(rows) % 3]
    images = rng.integers(0, 60, (rows, 4, 4))
    images[np.arange(rows), :, labels] += 150
    write_idx(folder / "images.gz", images)
    write_idx(folder / "labels.gz", labels)


@pytest.fixture(scope="session")
def write() -> SimpleNamespace:
    """Writers of small data files."""
    return SimpleNamespace(
        flowers=write_flowers, houses=write_houses, images=write_images, idx=write_idx
    )


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Run:
    """Runs a command in an empty folder; its code and what it printed."""
    monkeypatch.chdir(tmp_path)

    def ran(*words: str) -> Ran:
        code = main(words)
        out, err = capfd.readouterr()
        return Ran(code, out, err)

    return ran


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small data and the models trained on them."""
    folder = tmp_path_factory.mktemp("models")
    before = Path.cwd()
    os.chdir(folder)
    try:
        write_flowers(folder / "flowers.csv")
        write_houses(folder / "houses.csv")
        write_images(folder)
        quick = ("--hidden", "16", "--quiet", "--rate", "0.01")
        assert main(["train", "flowers.csv", "--target", "kind", *quick]) == 0
        assert main(["train", "houses.csv", "--target", "price", *quick]) == 0
        assert main(["train", "images.gz", "labels.gz", *quick]) == 0
    finally:
        os.chdir(before)
        sys.stdout.flush()
    return folder
