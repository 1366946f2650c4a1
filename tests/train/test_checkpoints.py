"""Model files and checkpoints: same bits after resuming, damage found, nothing lost."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import kokuban as kb
from kokuban.errors import FileFormatError, SettingError, StorageError
from kokuban.run.vm import native
from kokuban.train import EarlyStopping, files, fit

ENGINES = ["numpy"] if native() is None else ["numpy", "native"]
RNG = np.random.default_rng(0)
X = RNG.normal(size=(90, 4))
T = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0)


def model() -> kb.Model:
    net = kb.nn.Sequential(
        kb.nn.Affine(4, 8),
        kb.nn.BatchNorm(8),
        kb.nn.ReLU(),
        kb.nn.Dropout(0.25),
        kb.nn.Affine(8, 3),
    )
    return kb.Model(net, loss="softmax_cross_entropy")


RUN: dict[str, Any] = {
    "optimizer": kb.optim.Adam(kb.optim.Cosine(0.02)),
    "epochs": 6,
    "batch_size": 16,
    "validation": 0.2,
    "seed": 4,
    "stopping": EarlyStopping(patience=3),
}


def timeless(history: kb.train.History) -> list[dict[str, float]]:
    return [{k: v for k, v in r.items() if k != "seconds"} for r in history.epochs]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("every", "saves"), [(None, 1), (None, 4), (1, 7), (3, 2)])
def test_resuming_gives_the_same_bits(
    tmp_path: Path,
    engine: str,
    every: int | None,
    saves: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The process ends after a number of checkpoints, in an epoch or between two."""
    whole = model()
    history = whole.fit(X, T, **RUN, engine=engine)
    file = tmp_path / "run.safetensors"
    done, save = [0], fit.save_arrays

    def failing(*args: Any) -> None:
        save(*args)
        done[0] += 1
        if done[0] == saves:
            raise RuntimeError("the power fails")

    monkeypatch.setattr(fit, "save_arrays", failing)
    with pytest.raises(RuntimeError, match="power"):
        model().fit(X, T, **RUN, checkpoint=file, checkpoint_every=every, engine=engine)
    monkeypatch.setattr(fit, "save_arrays", save)

    resumed = model()
    again = resumed.fit(X, T, **RUN, checkpoint=file, checkpoint_every=every, resume=True)
    assert all(np.array_equal(whole.values[s], resumed.values[s]) for s in whole.values)
    assert timeless(history) == timeless(again)
    assert (history.best_epoch, history.stopped) == (again.best_epoch, again.stopped)


def test_interrupted_run_resumes_to_the_same_bits(tmp_path: Path) -> None:
    whole = model()
    whole.fit(X, T, **RUN)

    def interrupt(_: kb.Model, record: dict[str, float]) -> None:
        if record["epoch"] == 2:
            raise KeyboardInterrupt

    file, partly = tmp_path / "run.safetensors", model()
    with pytest.warns(UserWarning, match="interrupted"):
        partly.fit(X, T, **RUN, checkpoint=file, callbacks=[interrupt])
    resumed = model()
    resumed.fit(X, T, **RUN, checkpoint=file, resume=True)
    assert all(np.array_equal(whole.values[s], resumed.values[s]) for s in whole.values)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_validation_that_is_broken_off_is_made_up_for(
    tmp_path: Path, engine: str
) -> None:
    """Ctrl-C in the second one: its epoch is done, and has its record when resumed."""
    pressed = [False, True]

    def share(t: np.ndarray, y: np.ndarray) -> float:
        if pressed and pressed.pop(0):
            signal.raise_signal(signal.SIGINT)
            pytest.fail("Ctrl-C waits for the end of the validation")
        return float(np.mean(y.argmax(axis=1) == t.argmax(axis=1)))

    file, run = tmp_path / "run.safetensors", {**RUN, "engine": engine}
    with pytest.warns(UserWarning, match="interrupted"):
        broken = model().fit(X, T, **run, metrics=[share], checkpoint=file)
    assert [r["epoch"] for r in broken.epochs] == [1]
    resumed, whole = model(), model()
    again = resumed.fit(X, T, **run, metrics=[share], checkpoint=file, resume=True)
    wanted = whole.fit(X, T, **run, metrics=[share])
    assert timeless(again) == timeless(wanted)
    assert all(np.array_equal(whole.values[s], resumed.values[s]) for s in whole.values)


def test_resume_refuses_another_run(tmp_path: Path) -> None:
    file = tmp_path / "run.safetensors"
    model().fit(X, T, **RUN, checkpoint=file)
    with pytest.raises(SettingError, match="other data"):
        model().fit(X + 1, T, **RUN, checkpoint=file, resume=True)
    with pytest.raises(SettingError, match="other batch size"):
        model().fit(X, T, **{**RUN, "batch_size": 8}, checkpoint=file, resume=True)
    with pytest.raises(SettingError, match="checkpoint="):
        model().fit(X, T, **RUN, resume=True)
    other = kb.Model(kb.nn.Sequential(kb.nn.Affine(4, 3)), "softmax_cross_entropy")
    with pytest.raises(FileFormatError, match="another network"):
        other.fit(X, T, **RUN, checkpoint=file, resume=True)
    with pytest.raises(FileFormatError, match="not a model"):
        kb.load(file)


# ---------------------------------------------------------------- model files


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[kb.Model, Path]:
    fitted = model()
    fitted.fit(X, T, epochs=2)
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    fitted.save(path, extra={"classes": ["a", "b", "c"]})
    return fitted, path


def test_save_and_load(saved: tuple[kb.Model, Path]) -> None:
    fitted, path = saved
    loaded = kb.load(path)
    assert np.array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.evaluate(X, T) == fitted.evaluate(X, T)
    assert loaded.extra == {"classes": ["a", "b", "c"]}
    assert loaded.network.loss is fitted.network.loss
    loaded.fit(X, T, epochs=1)  # it can go on learning


@settings(max_examples=150, deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(0, 7))
def test_one_flipped_bit_is_found(
    saved: tuple[kb.Model, Path], where: float, bit: int
) -> None:
    content = bytearray(saved[1].read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    damaged = saved[1].with_name("damaged.safetensors")
    damaged.write_bytes(content)
    with pytest.raises(FileFormatError):
        kb.load(damaged)


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1, exclude_max=True))
def test_truncation_is_found(saved: tuple[kb.Model, Path], where: float) -> None:
    content = saved[1].read_bytes()
    short = saved[1].with_name("short.safetensors")
    short.write_bytes(content[: int(where * len(content))])
    with pytest.raises(FileFormatError):
        kb.load(short)


def test_files_of_another_kind(tmp_path: Path) -> None:
    for name, content in {
        "text.safetensors": b"not a model at all",
        "picture.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
        "empty": b"",
        "huge-header": (1 << 62).to_bytes(8, "little") + bytes(50),
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FileFormatError, match=name):
            kb.load(tmp_path / name)
    from safetensors.numpy import save_file

    save_file({"a": np.ones(3)}, tmp_path / "others.safetensors")
    with pytest.raises(FileFormatError, match="not a file of Kokuban"):
        kb.load(tmp_path / "others.safetensors")
    with pytest.raises(StorageError, match="no such file"):
        kb.load(tmp_path / "missing")


def test_a_malformed_record_is_a_typed_error(
    saved: tuple[kb.Model, Path], tmp_path: Path
) -> None:
    """A file with a right digest around a wrong description."""
    arrays, about = files.load_arrays(saved[1])
    for change in (
        {"network": {}},
        {"network": {**about["network"], "expressions": {"nodes": [], "outputs": [0]}}},
        {"network": {**about["network"], "parts": ["loss"]}},
        {"network": 3},
        {"kind": "poem"},
    ):
        path = tmp_path / "m.safetensors"
        files.save_arrays(path, arrays, {**about, **change})
        with pytest.raises(FileFormatError):
            kb.load(path)
    files.save_arrays(path, {**arrays, "W1": np.ones((2, 2), np.float32)}, about)
    with pytest.raises(FileFormatError, match="not those of its expressions"):
        kb.load(path)
    assert json.dumps(about)  # plain JSON throughout


# ---------------------------------------------------------------- writing


@pytest.mark.parametrize("failing", ["fsync", "replace", "fdopen"])
def test_a_failed_write_leaves_the_old_file(
    saved: tuple[kb.Model, Path],
    tmp_path: Path,
    failing: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fitted, path = saved[0], tmp_path / "m.safetensors"
    path.write_bytes(b"the old file")

    def fails(*args: Any, **kwargs: Any) -> None:
        if failing == "fdopen":
            os.close(args[0])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, failing, fails)
    with pytest.raises(StorageError, match="No space left"):
        fitted.save(path)
    monkeypatch.undo()
    assert path.read_bytes() == b"the old file"
    assert os.listdir(tmp_path) == ["m.safetensors"]


def test_a_folder_that_is_not_there(saved: tuple[kb.Model, Path], tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        saved[0].save(tmp_path / "none" / "m.safetensors")
