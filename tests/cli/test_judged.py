"""What the held-out rows show: calibration, importances, and the advice."""

import re
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression

from kokuban.cli.advice import advice
from kokuban.cli.fit import Fitted
from kokuban.cli.judged import Bin, Importance, Judged, bins, importances
from kokuban.cli.score import ClassScore, QuantityScore
from kokuban.cli.settings import Settings, Tabular
from kokuban.train import History


def test_bins_of_two_classes_are_the_calibration_curve() -> None:
    rng = np.random.default_rng(0)
    p = rng.uniform(size=1000)
    actual = (rng.uniform(size=1000) < p).astype(float)
    found = bins(actual, np.column_stack([1 - p, p]))
    came, predicted = calibration_curve(actual, p, n_bins=10, strategy="quantile")
    assert [b.rows for b in found] == [100] * 10
    np.testing.assert_allclose([b.predicted for b in found], predicted)
    np.testing.assert_allclose([b.actual for b in found], came)


def test_bins_of_more_classes_and_of_quantities() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.3, 0.3, 0.4]])
    found = bins(np.array([0.0, 2.0, 2.0]), p)
    assert found == (Bin(1, 0.4, 1.0), Bin(1, 0.5, 0.0), Bin(1, 0.8, 1.0))
    y = np.arange(40.0)
    assert [b.actual for b in bins(y + 1, y)] == [b.predicted + 1 for b in bins(y, y)]


def test_importances_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 4)).astype(np.float32)
    y = 3 * x[:, 0] + x[:, 1] - x[:, 2]
    model = LinearRegression().fit(x, y)

    def rmse(x: Any, rows: Any) -> float:
        return float(np.sqrt(np.mean((model.predict(x) - y[rows]) ** 2)))

    parts = [("a", slice(0, 1)), ("b", slice(1, 3)), ("idle", slice(3, 4))]
    found = importances(rmse, x, parts, 0)
    assert [i.name for i in found] == ["a", "b", "idle"]
    theirs = permutation_importance(
        model, x, y, scoring="neg_root_mean_squared_error", n_repeats=20, random_state=0
    ).importances_mean
    assert found[0].rise == pytest.approx(theirs[0], rel=0.1)
    assert found[1].rise == pytest.approx(np.hypot(theirs[1], theirs[2]), rel=0.1)
    assert found[2].rise == pytest.approx(0, abs=1e-3)
    assert importances(rmse, x, [("left out", slice(2, 2))], 0) == ()


# ------------------------------------------------------------------ advice


def classes(right: int, wrong: int, never: bool = False) -> ClassScore:
    confusion = np.array([[right, wrong], [wrong, right]])
    if never:
        confusion = np.array([[right, 0], [wrong, 0]])
    return ClassScore(("a", "b"), confusion, 0)


def judged(score: Any, **changed: Any) -> Judged:
    quantity = isinstance(score, QuantityScore)
    actual = np.arange(score.rows) % 2.0
    found: dict[str, Any] = {
        "actual": actual,
        "predicted": actual + 0.1 if quantity else np.eye(2)[actual.astype(int)],
        "loss": 0.1,
        "bins": (Bin(score.rows, 0.5, 0.5),) * 3,
        "importances": (Importance("x", 1.0, 0.1), Importance("z", 0.9, 0.1)),
    }
    return Judged(score=score, **found | changed)


def fitted(
    best: int | None = 30, loss: float = 1.0, val: float = 1.1, **more: Any
) -> Any:
    epochs = [{"epoch": k + 1.0, "loss": loss, "val_loss": val} for k in range(60)]
    history = History(epochs, best, more.pop("stopped", "early stopping"))
    return Fitted(None, (history,), 60, 100, 10, 32, "", "", 1.0)  # type: ignore[arg-type]


TEXT = (
    "2 categories: a, b; 9 of 10 values are numbers, but the row on line 4 holds 'n.a.'"
)
GOOD = classes(480, 20)
QUANTITY = QuantityScore(1000, 1.0, 10.0, 0.0, 500.0, "kg")
LONG = np.exp(np.random.default_rng(0).normal(0, 1.5, 1000))

RULES: dict[str, tuple[Any, Any, Any, str]] = {
    "nothing": (judged(GOOD), fitted(), [], "Nothing stands out"),
    "no better": (judged(classes(250, 250)), fitted(), [], "no better than guessing"),
    "few": (judged(classes(48, 2)), fitted(), [], "Only 100 rows were held out"),
    "never": (judged(classes(900, 40, True)), fitted(), [], "Never predicted: b"),
    "text": (None, fitted(), [("x", "categorical", TEXT)], "line 4 holds 'n.a.'"),
    "key": (
        None,
        fitted(),
        [("id", "identifier", "another text in every row")],
        "every row holds another text: id",
    ),
    "interrupted": (None, fitted(stopped="interrupted"), [], "was interrupted after 60"),
    "early": (None, fitted(2), [], "learn more slowly: --rate 0.001"),
    "late": (None, fitted(59, stopped="epochs"), [], "--epochs 120"),
    "by heart": (None, fitted(val=2.0), [], "knows its rows by heart: --dropout 0.4"),
    "could learn more": (None, fitted(val=0.8), [], "or --dropout 0.1"),
    "too sure": (
        judged(GOOD, bins=(Bin(500, 0.9, 0.7), Bin(500, 0.4, 0.4))),
        fitted(),
        [],
        "off by 0.100 on average, too sure",
    ),
    "leak": (
        judged(
            classes(495, 5),
            importances=(Importance("x", 1, 0.1), Importance("z", 0.02, 0)),
        ),
        fitted(),
        [],
        "make sure that x is known before the target",
    ),
    "idle": (
        judged(GOOD, importances=(Importance("x", 1, 0.1), Importance("z", -0.1, 0.0))),
        fitted(),
        [],
        "Of no use on the held-out rows: z: try without this column",
    ),
    "a poor quantity": (
        judged(QuantityScore(1000, 500.0, 600.0, 0.0, 499.0, "")),
        fitted(),
        [],
        "no better than guessing",
    ),
    "a long tail": (
        judged(QUANTITY, actual=LONG, predicted=LONG),
        fitted(),
        [],
        "predict its logarithm",
    ),
}


def runs(bests: list[int], stopped: str = "epochs") -> Any:
    epochs = [{"epoch": k + 1.0, "loss": 0.5, "val_loss": 0.1} for k in range(60)]
    histories = tuple(History(epochs, best, stopped) for best in bests)
    return Fitted(None, histories, 60, 100, 25, 32, "", "", 1.0)  # type: ignore[arg-type]


RUNS: dict[str, tuple[Any, str]] = {
    "early": (
        runs([1, 3, 2]),
        "each network (1, 3, 2) is one of the first 60: --patience",
    ),
    "late": (runs([58, 60, 59]), "(58, 60, 59) is one of the last: train for longer"),
    "time": (runs([20, 30], "max_time"), "The time was up .*: a longer --max-time"),
    "stopped": (runs([9, 30], "interrupted"), "interrupted after 120 epochs"),
    "well": (runs([20, 30]), "Nothing stands out: other seeds .*--hidden 256,256,256"),
}


@pytest.mark.parametrize("name", RUNS)
def test_advice_on_several_networks(name: str) -> None:
    done, message = RUNS[name]
    (told,) = advice(None, done, Tabular(), [])
    assert re.search(message.replace("(", r"\(").replace(")", r"\)"), ": ".join(told))


def test_a_linear_model_that_is_no_worse_is_told() -> None:
    held = judged(GOOD, linear=0.97)
    told = [a.seen for a in advice(held, fitted(), Settings(), [])]
    assert told == ["A linear model does no worse"]


@pytest.mark.parametrize("name", RULES)
def test_advice(name: str) -> None:
    held, done, columns, message = RULES[name]
    told = [": ".join(found) for found in advice(held, done, Settings(), columns)]
    assert any(message in line for line in told), told
    if name in ("nothing", "few", "too sure", "leak", "idle", "late"):
        assert len(told) == 1, told
