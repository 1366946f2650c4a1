"""The report page, and the scores on it."""

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from kokuban.cli.report import MAX_CLASSES, _confusion
from kokuban.cli.score import ClassScore, QuantityScore

VOID = {"meta", "br"}
LOADING = {"script", "link", "img", "iframe", "object", "embed", "image"}


class Page(HTMLParser):
    """A page's text and elements; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.cells: list[str] = []
        self.outside: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        values = [value or "" for name, value in attrs if not name.startswith("xmlns")]
        self.outside += [value for value in values if re.search(r"//|url\((?!#)", value)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in {"td", "th", "small", "b"} and data.strip():
            self.cells.append(data.strip())


def page_of(run: Any, *words: str) -> tuple[Page, str]:
    done = run("train", *words, "--report", "report.html", "-o", "m.safetensors")
    assert done.code == 0
    text = Path("report.html").read_text(encoding="utf-8")
    return Page(text), text


def test_classes(run: Any, write: Any, tmp_path: Path) -> None:
    write.flowers(tmp_path / "flowers.csv")
    page, text = page_of(run, "flowers.csv", "--target", "kind", "--hidden", "8")
    # the loss by epoch, the calibration, the importances
    assert page.elements.count("svg") == 3
    for heading in ("What to try next", "Calibration", "Importance of the columns"):
        assert f"<h2>{heading}</h2>" in text
    assert not LOADING & set(page.elements)
    assert page.outside == []
    assert "kokuban train flowers.csv --target kind --hidden 8" in text
    for cell in ("rose", "tulip", "5 × 6-8-2", "categorical", "24"):
        assert cell in page.cells
    assert "prefers-color-scheme" in text or "light-dark(" in text
    assert 'name="viewport"' in text


def test_quantities(run: Any, write: Any, tmp_path: Path) -> None:
    write.houses(tmp_path / "houses.csv")
    page, text = page_of(run, "houses.csv", "--target", "price", "--epochs", "3")
    assert page.elements.count("svg") == 6  # the loss, three of errors, and as above
    assert "predicted - actual" in text
    assert any(cell.endswith(" price") for cell in page.cells)


def test_names_from_data_are_text_and_no_markup(run: Any, tmp_path: Path) -> None:
    rows = "".join(f"{k % 2},{('<b>x', '&amp;')[k % 2]}\n" for k in range(40))
    (tmp_path / "odd.csv").write_text("<i>a,<u>y\n" + rows, encoding="utf-8")
    page, _ = page_of(run, "odd.csv", "--target", "<u>y", "--epochs", "1")
    assert not {"i", "u"} & set(page.elements)
    assert {"<i>a", "<u>y", "<b>x", "&amp;"} <= set(page.cells)


def test_the_same_run_gives_the_same_page(run: Any, write: Any, tmp_path: Path) -> None:
    write.houses(tmp_path / "houses.csv")
    words = ("houses.csv", "--target", "price", "--epochs", "2")
    pages = [page_of(run, *words)[1] for _ in range(2)]
    first, second = (re.sub(r"in \d+\.\d s", "", page) for page in pages)
    assert first == second


def test_confusion_counts_and_shares() -> None:
    score = ClassScore(("a", "b"), np.array([[8, 2], [0, 5]]), guess=1)
    assert score.accuracy == pytest.approx(13 / 15)
    assert score.baseline == pytest.approx(5 / 15)
    cells = Page(_confusion(score)).cells
    assert " ".join(cells) == "a b rows a 80.0 8 20.0 2 10 b · 100.0 5 5"


def test_of_many_classes_the_commonest_mistakes_are_listed() -> None:
    size = MAX_CLASSES + 1
    confusion = 3 * np.eye(size, dtype=np.int64)
    labels = tuple(f"c{k}" for k in range(size))
    assert "No row" in _confusion(ClassScore(labels, confusion.copy(), 0))
    confusion[4, 7], confusion[2, 1] = 5, 2
    cells = Page(_confusion(ClassScore(labels, confusion, 0))).cells
    assert cells == ["right", "predicted", "rows", "c4", "c7", "5", "c2", "c1", "2"]


def test_scores_of_a_quantity() -> None:
    rng = np.random.default_rng(0)
    actual = rng.normal(size=50)
    predicted = actual + 0.3 * rng.normal(size=50)
    score = QuantityScore.of(actual, predicted, mean=0.5, unit="kg")
    halves = [slice(20), slice(20, None)]
    parts = [QuantityScore.of(actual[h], predicted[h], 0.5, "kg") for h in halves]
    assert (parts[0] + parts[1]).r2 == pytest.approx(score.r2)
    assert score.r2 == pytest.approx(metrics.r2_score(actual, predicted))
    rmse = metrics.root_mean_squared_error
    assert score.rmse == pytest.approx(rmse(actual, predicted))
    assert score.mae == pytest.approx(metrics.mean_absolute_error(actual, predicted))
    assert score.baseline == pytest.approx(rmse(actual, np.full(50, 0.5)))
    assert str(QuantityScore.of(np.ones(1), np.zeros(1), 1.0, "")).startswith(
        "R² undefined, RMSE 1  (1 row; "
    )
