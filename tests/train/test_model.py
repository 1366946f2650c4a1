"""Model.fit, predict, evaluate: what it learns, and what it says to wrong input."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.errors import (
    DataError,
    ExpressionError,
    NonFiniteError,
    NotFittedError,
    SettingError,
    UnknownNameError,
)
from kokuban.expr import order
from kokuban.run.vm import native
from kokuban.train import EarlyStopping
from kokuban.train.loop import batches, shuffled

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 4))
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 0.5)
Y = X @ RNG.normal(size=(4, 2)) + 0.1 * RNG.normal(size=(120, 2))


def classifier(*extra: kb.nn.Layer) -> kb.Model:
    net = kb.nn.Sequential(kb.nn.Affine(4, 16), *extra, kb.nn.ReLU(), kb.nn.Affine(16, 3))
    return kb.Model(net, loss="softmax_cross_entropy")


def begun() -> kb.Model:
    model = classifier()
    model.initialise()
    return model


def regressor(loss: str = "mse") -> kb.Model:
    net = kb.nn.Sequential(kb.nn.Affine(4, 8), kb.nn.Tanh(), kb.nn.Affine(8, 2))
    return kb.Model(net, loss=loss)


# ---------------------------------------------------------------- learning


def test_classification() -> None:
    model = classifier()
    history = model.fit(X, LABELS, optimizer=kb.optim.Adam(0.02), epochs=40, seed=1)
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    y = model.predict(X)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-5)
    assert model.evaluate(X, LABELS)["accuracy"] > 0.9


def test_one_hot_targets_are_the_same_as_labels() -> None:
    by_label, by_row = classifier(), classifier()
    by_label.fit(X, LABELS, epochs=2)
    by_row.fit(X, np.eye(3)[LABELS], epochs=2)
    assert np.array_equal(by_label.predict(X), by_row.predict(X))


@pytest.mark.parametrize("loss", ["mse", "half_sum_of_squares", "mae", "huber"])
def test_regression(loss: str) -> None:
    model = regressor(loss)
    rate = 0.001 if loss.startswith("half") else 0.05
    history = model.fit(
        X,
        Y,
        optimizer=kb.optim.Adam(rate),
        epochs=60,
        validation=(X, Y),
        metrics=["r2", "rmse"],
    )
    assert history["val_r2"][-1] > 0.3
    assert history["loss"][-1] < history["loss"][0]


def test_binary_with_one_output() -> None:
    net = kb.nn.Sequential(kb.nn.Affine(4, 1))
    model = kb.Model(net, loss="sigmoid_cross_entropy")
    t = (X[:, 0] > 0).astype(int)
    model.fit(X, t, optimizer=kb.optim.SGD(1.0), epochs=30)
    assert model.predict(X).shape == (120, 1)
    assert model.evaluate(X, t)["accuracy"] > 0.95


@pytest.mark.parametrize(
    "layer",
    [
        kb.nn.LayerNorm(16),
        kb.nn.BatchNorm(16),
        kb.nn.Dropout(0.3),
        kb.nn.Residual(kb.nn.Affine(16, 16), kb.nn.Tanh()),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_layers_train(layer: kb.nn.Layer) -> None:
    model = classifier(layer)
    history = model.fit(X, LABELS, optimizer=kb.optim.Adam(0.02), epochs=40, seed=2)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert model.evaluate(X, LABELS)["accuracy"] > 0.85


def test_batch_norm_predicts_with_running_statistics() -> None:
    model = classifier(kb.nn.BatchNorm(16))
    model.fit(X, LABELS, epochs=30, optimizer=kb.optim.Adam(0.01))
    alone = np.vstack([model.predict(X[k : k + 1]) for k in range(10)])
    np.testing.assert_allclose(alone, model.predict(X)[:10], rtol=1e-5, atol=1e-7)
    h = X.astype(np.float32) @ model["W1"] + model["b1"]
    assert np.max(np.abs(model["mean(scale1)"] - h.mean(axis=0))) < 0.3


def test_dropout_is_off_in_prediction_and_on_in_training() -> None:
    model = classifier(kb.nn.Dropout(0.5))
    model.initialise(0)
    assert np.array_equal(model.predict(X), model.predict(X))
    for expression, drops in ((model.network.loss, 1), (model.network.evaluation, 0)):
        names = [n.op.name for n in order([expression]) if n.op is not None]
        assert names.count("dropout_mask") == drops


def test_loss_as_an_expression() -> None:
    x, t = kb.input("X", ("N", 4)), kb.target("T", ("N", 3))
    w, b = kb.parameter("W", (4, 3)), kb.parameter("b", (1, 3))
    model = kb.Model(loss=kb.cross_entropy(kb.softmax(x @ w + b), t))
    model.fit(X, LABELS, optimizer=kb.optim.SGD(0.5), epochs=30)
    assert model.evaluate(X, LABELS)["accuracy"] > 0.8
    assert model.predict(X).shape == (120, 3)


def test_weights_of_samples() -> None:
    """A weight of 2 is the same as the row twice, for one full batch."""
    weights = np.ones(120)
    weights[:60] = 2
    twice = np.concatenate([X, X[:60]]), np.concatenate([Y, Y[:60]])
    a, b = regressor(), regressor()
    a.fit(X, Y, sample_weight=weights, epochs=3, batch_size=120, seed=3)
    b.fit(*twice, epochs=3, batch_size=180, seed=3)
    np.testing.assert_allclose(a["W1"], b["W1"], rtol=1e-4, atol=1e-6)


def test_same_seed_same_bits_other_seed_others() -> None:
    runs = []
    for seed in (5, 5, 6):
        model = classifier(kb.nn.Dropout(0.2))
        model.fit(X, LABELS, epochs=3, seed=seed)
        runs.append(model.predict(X))
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_float64_model() -> None:
    net = kb.nn.Sequential(kb.nn.Affine(4, 2))
    model = kb.Model(net, loss="mse", dtype=np.float64)
    model.fit(X, Y, epochs=2)
    assert model.predict(X).dtype == np.float64


def test_training_is_what_the_gradient_says() -> None:
    """One step over one batch is w - η ∂L/∂w, worked out apart."""
    model = kb.Model(kb.nn.Sequential(kb.nn.Affine(4, 2)), "mse", dtype=np.float64)
    model.initialise(0)
    w, b = model["W1"].copy(), model["b1"].copy()
    model.fit(X, Y, optimizer=kb.optim.SGD(0.1), epochs=1, batch_size=120)
    residual = 2 * (X @ w + b - Y) / Y.size
    np.testing.assert_allclose(model["W1"], w - 0.1 * X.T @ residual, rtol=1e-10)
    np.testing.assert_allclose(model["b1"], b - 0.1 * residual.sum(0)[None], rtol=1e-10)


# ---------------------------------------------------------------- the run


def test_early_stopping_keeps_the_best_epoch() -> None:
    rng = np.random.default_rng(1)
    x, t = rng.normal(size=(40, 10)), rng.integers(0, 2, 40)
    net = kb.nn.Sequential(kb.nn.Affine(10, 64), kb.nn.Tanh(), kb.nn.Affine(64, 2))
    model = kb.Model(net, loss="softmax_cross_entropy")
    held = rng.normal(size=(40, 10)), rng.integers(0, 2, 40)
    history = model.fit(
        x,
        t,
        optimizer=kb.optim.Adam(0.05),
        epochs=200,
        validation=held,
        stopping=EarlyStopping(patience=5),
    )
    assert history.stopped == "early stopping"
    best = int(np.argmin(history["val_loss"]))
    assert history.best_epoch == best + 1
    assert len(history) == best + 6
    assert model.evaluate(*held)["loss"] == pytest.approx(history["val_loss"][best])


def test_early_stopping_by_a_metric_that_should_rise() -> None:
    history = classifier().fit(
        X,
        LABELS,
        validation=0.25,
        metrics=["accuracy"],
        epochs=40,
        optimizer=kb.optim.Adam(0.05),
        stopping=EarlyStopping(patience=4, monitor="val_accuracy"),
    )
    best = history.best_epoch
    assert best is not None
    assert history["val_accuracy"][best - 1] == max(history["val_accuracy"])


def test_callbacks_hear_each_epoch_and_can_stop() -> None:
    heard: list[float] = []

    def callback(model: kb.Model, record: dict[str, float]) -> bool:
        heard.append(record["epoch"])
        assert np.isfinite(model.predict(X[:2])).all()
        return record["epoch"] == 3

    history = classifier().fit(X, LABELS, epochs=10, callbacks=[callback])
    assert heard == [1, 2, 3]
    assert history.stopped == "callback"


def test_schedule_reaches_the_history() -> None:
    history = classifier().fit(
        X, LABELS, epochs=4, optimizer=kb.optim.SGD(kb.optim.Cosine(0.1))
    )
    assert history["rate"] == sorted(history["rate"], reverse=True)
    assert history["rate"][-1] < 0.01


def test_history_plot(tmp_path: Any) -> None:
    history = classifier().fit(X, LABELS, epochs=3, validation=0.2, metrics=["accuracy"])
    upper, lower = history.plot(tmp_path / "curves.svg").axes
    assert [line.get_label() for line in upper.lines] == ["loss", "val_loss"]
    assert list(lower.lines[0].get_ydata()) == history["val_accuracy"]
    assert (tmp_path / "curves.svg").read_text("utf-8").startswith("<?xml")
    with pytest.raises(UnknownNameError, match="Did you mean 'val_loss'"):
        history["val_los"]


def test_progress_bar_is_quiet_without_a_terminal(capfd: Any) -> None:
    classifier().fit(X, LABELS, epochs=2)
    assert capfd.readouterr() == ("", "")
    classifier().fit(X, LABELS, epochs=2, progress=True)
    assert "epoch" in capfd.readouterr().err


def test_ctrl_c_keeps_what_was_learned() -> None:
    model = classifier()
    model.initialise(0)
    before = model["W1"].copy()
    killer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))

    def first(_: kb.Model, record: dict[str, float]) -> None:
        if record["epoch"] == 1:
            killer.start()

    with pytest.warns(UserWarning, match="interrupted"):
        history = model.fit(X, LABELS, epochs=10_000_000, callbacks=[first])
    assert history.stopped == "interrupted"
    assert not np.array_equal(model["W1"], before)
    assert np.isfinite(model["W1"]).all()


@pytest.mark.parametrize(("rows", "size"), [(10, 3), (10, 10), (1, 1), (9, 3)])
def test_batches_cover_the_rows(rows: int, size: int) -> None:
    covered = [k for start, stop in batches(rows, size) for k in range(start, stop)]
    assert covered == list(range(rows))


def test_shuffles_are_permutations_that_differ_by_epoch() -> None:
    first, second = shuffled(50, 0, 0), shuffled(50, 0, 1)
    assert sorted(first) == sorted(second) == list(range(50))
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, shuffled(50, 1, 0))


# ---------------------------------------------------------------- wrong input

HOLE = X.copy()
HOLE[7, 2] = np.nan

WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "columns": (
        lambda: classifier().fit(X[:, :3], LABELS),
        DataError,
        "3 columns.*takes 4",
    ),
    "nan": (lambda: classifier().fit(HOLE, LABELS), DataError, "nan in row 7, column 2"),
    "empty": (lambda: classifier().fit(X[:0], LABELS[:0]), DataError, "empty"),
    "lengths": (lambda: classifier().fit(X, LABELS[:5]), DataError, "120.*5"),
    "text": (lambda: classifier().fit(X.astype(str), LABELS), DataError, "numbers"),
    "one class": (lambda: classifier().fit(X, 0 * LABELS), DataError, "one class only"),
    "unseen": (lambda: classifier().fit(X, LABELS + 1), DataError, "label 3.*0 to 2"),
    "not whole": (
        lambda: classifier().fit(X, X[:, 0]),
        DataError,
        "integer class labels",
    ),
    "sums": (
        lambda: classifier().fit(X, 2 * np.eye(3)[LABELS]),
        DataError,
        "Row 0 of t.*sums to 2",
    ),
    "no target": (lambda: classifier().fit(X), DataError, "give t"),
    "batch": (
        lambda: classifier().fit(X, LABELS, batch_size=121),
        SettingError,
        "120 rows",
    ),
    "epochs": (lambda: classifier().fit(X, LABELS, epochs=0), SettingError, "at least 1"),
    "a seed below 0": (
        lambda: classifier().fit(X, LABELS, validation=0.2, seed=-1),
        SettingError,
        "seed.*at least 0",
    ),
    "a seed that no word holds": (
        lambda: classifier().fit(X, LABELS, seed=1 << 64),
        SettingError,
        "seed is below",
    ),
    "fraction": (
        lambda: classifier().fit(X, LABELS, validation=1.5),
        SettingError,
        "1.5",
    ),
    "no layer": (lambda: kb.Model(kb.nn.ReLU), SettingError, "takes a layer"),
    "type": (
        lambda: kb.Model(kb.nn.Affine(4, 1), dtype="single?"),
        SettingError,
        "float32 or float64, not 'single",
    ),
    "a seed that is none": (
        lambda: classifier().initialise("today"),
        SettingError,
        "seed is a whole number",
    ),
    "a value in words": (
        lambda: classifier().__setitem__("b2", [["a", "b", "c"]]),
        DataError,
        "b2 holds numbers",
    ),
    "a value that is complex": (
        lambda: classifier().__setitem__("b2", 1j * np.ones((1, 3))),
        DataError,
        "b2 holds numbers.*complex",
    ),
    "a value that is ragged": (
        lambda: classifier().__setitem__("b2", [[1, 2], [3]]),
        DataError,
        "b2 is.*no matrix",
    ),
    "a value that is not finite": (
        lambda: classifier().__setitem__("b2", [[1, 2, np.nan]]),
        DataError,
        "b2 holds nan in row 0, column 2",
    ),
    "dropout in words": (
        lambda: kb.nn.Dropout("half"),
        SettingError,
        "Dropout's rate is a finite number",
    ),
    "a fraction of no row": (
        lambda: classifier().fit(X, LABELS, validation=0.001),
        SettingError,
        "0.001 of 120 rows",
    ),
    "a fraction in words": (
        lambda: classifier().fit(X, LABELS, validation="a tenth"),
        SettingError,
        "between 0 and 1, not 'a tenth'",
    ),
    "a pair of three": (
        lambda: classifier().fit(X, LABELS, validation=(X, LABELS, np.ones(120))),
        SettingError,
        "pair.*not 3 parts",
    ),
    "optimizer": (
        lambda: classifier().fit(X, LABELS, optimizer="sgd"),
        SettingError,
        r"kb\.optim\.Adam\(0\.01\); not 'sgd'",
    ),
    "an optimizer's class": (
        lambda: classifier().fit(X, LABELS, optimizer=kb.optim.SGD),
        SettingError,
        "optimizer is one of kokuban.optim",
    ),
    "stopping": (
        lambda: classifier().fit(X, LABELS, stopping=10),
        SettingError,
        "EarlyStopping or None, not 10",
    ),
    "patience": (
        lambda: EarlyStopping(patience=1.5),
        SettingError,
        "patience is a whole number",
    ),
    "a metric alone": (
        lambda: classifier().fit(X, LABELS, metrics="accuracy"),
        SettingError,
        "list of names.*not 'accuracy'",
    ),
    "a metric's number": (
        lambda: classifier().fit(X, LABELS, metrics=[3]),
        UnknownNameError,
        "metric 3",
    ),
    "a callback alone": (
        lambda: classifier().fit(X, LABELS, callbacks=print),
        SettingError,
        "callbacks is a list",
    ),
    "no callback": (
        lambda: classifier().fit(X, LABELS, callbacks=[None]),
        SettingError,
        r"callbacks is a list.*not \[None\]",
    ),
    "a checkpoint's number": (
        lambda: classifier().fit(X, LABELS, checkpoint=3),
        SettingError,
        "checkpoint is a path, not 3",
    ),
    "steps between checkpoints": (
        lambda: classifier().fit(X, LABELS, checkpoint="a", checkpoint_every=0),
        SettingError,
        "checkpoint_every is a whole number",
    ),
    "steps between no checkpoints": (
        lambda: classifier().fit(X, LABELS, checkpoint_every=5),
        SettingError,
        "needs checkpoint=",
    ),
    "masked": (
        lambda: classifier().fit(np.ma.masked_greater(X, 2), LABELS),
        DataError,
        "X has a masked entry in row",
    ),
    "masked labels": (
        lambda: classifier().fit(X, np.ma.masked_equal(LABELS, 2)),
        DataError,
        "t has a masked entry in row",
    ),
    "engine": (lambda: classifier().fit(X, LABELS, engine="gpu"), SettingError, "gpu"),
    "metric": (
        lambda: classifier().fit(X, LABELS, metrics=["acuracy"]),
        UnknownNameError,
        "Did you mean 'accuracy'",
    ),
    "loss": (
        lambda: kb.Model(kb.nn.Sequential(kb.nn.Affine(4, 1)), loss="msee"),
        UnknownNameError,
        "Did you mean 'mse'",
    ),
    "weights": (
        lambda: classifier().fit(X, LABELS, sample_weight=-np.ones(120)),
        DataError,
        "negative",
    ),
    "monitor": (
        lambda: classifier().fit(X, LABELS, stopping=EarlyStopping(monitor="val_loss")),
        UnknownNameError,
        "Did you mean 'loss'",
    ),
    "not fitted": (lambda: classifier().predict(X), NotFittedError, "no values yet"),
    "parameter": (lambda: classifier()["W3"], (UnknownNameError), "Did you mean 'W1'|W2"),
    "no parameter": (
        lambda: kb.Model(loss=kb.sum(kb.input("X", ("N", 2)))),
        ExpressionError,
        "no parameter",
    ),
    "not a loss": (
        lambda: kb.Model(loss=kb.input("X", ("N", 2)) @ kb.parameter("W", (2, 1))),
        ExpressionError,
        "one number",
    ),
    "shuffle in words": (
        lambda: classifier().fit(X, LABELS, shuffle="no"),
        SettingError,
        "shuffle is True or False, not 'no'",
    ),
    "resume in words": (
        lambda: classifier().fit(X, LABELS, resume="a.safetensors"),
        SettingError,
        "resume is True or False, not 'a",
    ),
    "restore in words": (
        lambda: EarlyStopping(restore="best"),
        SettingError,
        "EarlyStopping's restore is True or False, not 'best'",
    ),
    "bias in words": (
        lambda: kb.nn.Affine(4, 1, bias="no"),
        SettingError,
        "Affine's bias is True or False, not 'no'",
    ),
    "columns in words": (
        lambda: kb.nn.NTKAffine("four", 1),
        SettingError,
        "NTKAffine's inputs is a whole number, at least 1; not 'four'",
    ),
    "a rate beyond the largest float": (
        lambda: kb.optim.SGD(10**400),
        SettingError,
        "SGD's rate is a finite number of at least 0, not 1000",
    ),
    "an epsilon in words": (
        lambda: kb.nn.LayerNorm(4, epsilon="small"),
        SettingError,
        "LayerNorm's epsilon is a finite number of at least 0, not 'small'",
    ),
    "a layer without end": (
        lambda: kb.Model(kb.nn.Affine(4, 10**30)).initialise(),
        MemoryError,
        f"no memory for 4×{10**30} numbers",
    ),
    "one name twice": (
        lambda: kb.Model(
            loss=kb.mean(kb.input("W", ("N", 4)) @ kb.parameter("W", (4, 1)))
        ),
        ExpressionError,
        "W is input N×4 and parameter 4×1.*a name of its own",
    ),
    "what JSON has no form for": (
        lambda: begun().save("never.safetensors", extra={"classes": {1, 2}}),
        SettingError,
        "extra is JSON data.*set is not JSON serializable",
    ),
    "layer shapes": (
        lambda: kb.Model(kb.nn.Sequential(kb.nn.Affine(4, 5), kb.nn.Affine(6, 1))),
        kb.errors.ShapeError,
        "layer 2.*5 and 6",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input(case: str) -> None:
    run, error, match = WRONG[case]
    with pytest.raises(error, match=f"(?s){match}"):
        run()


def test_divergence_names_the_layer_and_the_step() -> None:
    model = regressor()
    with pytest.raises(NonFiniteError, match=r"step \d+.*largest activation"):
        model.fit(X * 1e18, Y, optimizer=kb.optim.SGD(1e30), epochs=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(model["W1"]).all()


def test_a_loss_without_a_value_names_the_operation() -> None:
    """Scores where the loss takes probabilities: some are negative."""
    model = kb.Model(kb.nn.Sequential(kb.nn.Affine(3, 2)), loss="cross_entropy")
    model["W1"] = -np.ones((3, 2))
    with pytest.raises(
        NonFiniteError, match=r"log\(-3\) is nan.* See what goes into log"
    ):
        model.fit(np.ones((4, 3)), np.array([0, 1, 0, 1]), epochs=1)


def test_what_grows_beyond_all_bounds_is_advised_on_the_learning_rate() -> None:
    x, w = kb.input("X", ("N", 1)), kb.parameter("W", (1, 1))
    model = kb.Model(loss=kb.mean(kb.exp(x @ w)), output=x @ w)
    model["W"] = np.full((1, 1), 800.0)
    with pytest.raises(
        NonFiniteError, match=r"gave inf, since exp\(800\) is inf.* A smaller learning"
    ):
        model.fit(np.ones((4, 1)), epochs=1)


@pytest.mark.skipif(native() is None, reason="built without a compiler")
def test_ctrl_c_within_a_long_step_leaves_whole_steps() -> None:
    """A step that is broken off has changed nothing."""
    rng = np.random.default_rng(0)
    x, t = rng.normal(size=(1024, 700)), rng.integers(0, 5, 1024)
    net = kb.nn.Sequential(
        kb.nn.Affine(700, 1500), kb.nn.ReLU(), kb.nn.Affine(1500, 1500), kb.nn.ReLU(),
        kb.nn.Affine(1500, 5),
    )  # fmt: skip
    settings: dict[str, Any] = {"batch_size": 1024, "optimizer": kb.optim.SGD(0.01)}
    for delay in (0.0, 0.03, 0.06):
        model = kb.Model(net, loss="softmax_cross_entropy")
        killer = threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT))

        def first(_: kb.Model, record: dict[str, float], killer: Any = killer) -> None:
            if record["epoch"] == 1:
                killer.start()

        with pytest.warns(UserWarning, match="interrupted") as said:
            model.fit(x, t, epochs=10_000, callbacks=[first], **settings)
        killer.join()
        steps = int(str(said[0].message).split()[4])
        again = kb.Model(net, loss="softmax_cross_entropy")
        again.fit(x, t, epochs=steps, **settings)
        assert all(np.array_equal(model.values[s], again.values[s]) for s in again.values)


@pytest.mark.parametrize("error", [kb.errors.StorageError, KeyboardInterrupt])
def test_what_breaks_off_a_run_loses_nothing(
    error: type[BaseException], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(run: Any) -> None:
        if run.epoch == 3:
            raise error("no more room")

    monkeypatch.setattr("kokuban.train.fit.Run.save", save)
    monkeypatch.setattr("kokuban.train.fit.Run._interrupted", lambda run: save(run))
    model, again = classifier(), classifier()
    with pytest.raises(error):
        model.fit(X, LABELS, epochs=5, checkpoint=tmp_path / "run.safetensors")
    again.fit(X, LABELS, epochs=3)
    assert all(np.array_equal(model.values[s], again.values[t]) for s, t in
               zip(model.values, again.values, strict=True))  # fmt: skip


@pytest.mark.parametrize("engine", ["native", "numpy"])
def test_a_first_fit_that_diverges_leaves_a_model_with_finite_values(engine: str) -> None:
    if engine == "native" and native() is None:
        pytest.skip("built without a compiler")
    rng = np.random.default_rng(0)
    model = kb.Model(kb.nn.Sequential(kb.nn.Affine(3, 2)), loss="mse")
    x, t = rng.normal(size=(64, 3)), rng.normal(size=(64, 2))
    with pytest.raises(kb.errors.NonFiniteError, match="step"):
        model.fit(x, t, optimizer=kb.optim.SGD(1e30), epochs=9, seed=3, engine=engine)
    assert model.values
    assert all(np.isfinite(v).all() for v in model.values.values())
