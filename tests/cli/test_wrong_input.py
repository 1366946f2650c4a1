"""What the commands refuse: one clear line on stderr, and nothing written."""

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import kokuban as kb
from kokuban.cli import main
from kokuban.cli.source import Source

HOUSES = "area,rooms,price\n60,3,6000\n90,4,8500\n"


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.fixture
def data(write: Any, tmp_path: Path) -> Path:
    """A folder with sound data and with each kind of damaged file."""
    write.flowers(tmp_path / "flowers.csv")
    write.images(tmp_path)
    write.idx(tmp_path / "ten.gz", np.arange(10) % 3)
    write.idx(tmp_path / "same.gz", np.ones(90))
    (tmp_path / "cut.gz").write_bytes((tmp_path / "images.gz").read_bytes()[:-40])
    for name, text in {
        "empty.csv": "",
        "header.csv": "length,width,kind\n",
        "one.csv": "x,kind\n" + "".join(f"{k},rose\n" for k in range(20)),
        "ragged.csv": "a,b\n1,2\n3\n",
        "few.csv": "a,kind\n1,x\n2,y\n3,x\n4,y\n",
        "gap.csv": "a,kind\n1,x\n2,\n3,y\n4,x\n",
        "semicolons.csv": "a;b\n1;2\n3;4\n",
        "blank.csv": "\n\n",
        "quote.csv": 'a,b\n1,"2\n3,4\n',
        "single.csv": "a,b\n1,2\n",
        "keys.csv": "a,k\n" + "".join(f"{k % 7},k{k}\n" for k in range(60)),
        "infinite.csv": "a,y\n" + "1,0\ninf,1\n" * 20,
        "twice.csv": "a,a,y\n" + "1,2,x\n2,3,z\n" * 9,
        "only.csv": "y\n" + "1\n2\n" * 20,
        "gone.csv": "a,b,y\n" + ",1,\n,2,\n" * 20,
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "mixed.csv").write_bytes("a,b\n1,é\n2,".encode() + b"\xe9\n")
    pl.DataFrame({"a": range(99)}).write_parquet(tmp_path / "damaged.parquet")
    whole = (tmp_path / "damaged.parquet").read_bytes()
    (tmp_path / "damaged.parquet").write_bytes(whole[:-20])
    pl.DataFrame({"a": [1, 2], "b": [[1], [2]]}).write_parquet(tmp_path / "lists.parquet")
    (tmp_path / "folder").mkdir()
    return tmp_path


FLOWERS = ("flowers.csv", "--target", "kind")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("none.csv", "--target", "y"), "none.csv: there is no such file"),
        (("folder", "--target", "y"), "folder"),
        (("empty.csv", "--target", "y"), "empty.csv"),
        (("header.csv", "--target", "kind"), "header"),
        (("header.csv", "--header", "--target", "kind"), "no row below it"),
        (("one.csv", "--target", "kind"), "'rose' in all 20 rows"),
        (("ragged.csv", "--target", "a"), "line 3 has 1 cells, line 1 has 2"),
        (("gap.csv", "--target", "kind"), "the target is missing"),
        (("semicolons.csv", "--target", "c"), "Unknown column 'c'. Known: a, b."),
        (("twice.csv", "--target", "y"), "If its first row names them, say so (--head"),
        (("twice.csv", "--target", "y", "--header"), "the header names two columns 'a'"),
        (("blank.csv", "--target", "a"), "blank.csv: the file is empty"),
        (("mixed.csv", "--target", "a"), "mixed.csv: line 3: byte 0xe9 is not UTF-8"),
        (("quote.csv", "--target", "a"), "row that begins on line 2 is not CSV"),
        (("single.csv", "--target", "b"), "'b' is 2 in the only row"),
        (("keys.csv", "--target", "k"), "'k' has 60 different values in 60 rows"),
        (
            ("infinite.csv", "--target", "y"),
            "line 3, column 'a': inf (infinity). Numbers",
        ),
        (("gone.csv", "--target", "y"), "line 2, column 'y': the target is missing"),
        (("gone.csv", "--target", "b"), "There is nothing to learn from: every column"),
        (("only.csv", "--target", "y"), "nothing to predict 'y' from: it is the only"),
        (("damaged.parquet", "--target", "a"), "damaged.parquet: a damaged Parquet file"),
        (
            ("lists.parquet", "--target", "a"),
            "lists.parquet: column 'b' holds List(Int64)",
        ),
        ((*FLOWERS, "--encoding", "latin-99"), "Unknown encoding 'latin-99'"),
        ((*FLOWERS, "--separator", "ab"), "it is one character"),
        (("images.gz", "--target", "a"), "an IDX file; a table is read from CSV text"),
        (("flowers.csv",), "--target. The columns of flowers.csv: length, width, colour"),
        (("flowers.csv", "--target", "kinds"), "Did you mean 'kind'?"),
        (("flowers.csv", "--target", "9"), "numbered 1 to 4"),
        (("digits", "--optimizer", "adm"), "optimizer 'adm'. Did you mean 'adam'"),
        (("digits", "--activation", "relo"), "activation 'relo'. Did you mean 'relu'"),
        ((*FLOWERS, "--activation", "misch"), "Did you mean 'mish'"),
        ((*FLOWERS, "--optimizer", "adam"), "--optimizer is for the networks of images"),
        ((*FLOWERS, "--dropout", "0.1"), "not for a table's network"),
        (("digits", "--preset", "fast"), "--preset is for a table's network"),
        (("images.gz", "labels.gz", "--max-time", "9"), "--max-time is for a table's"),
        (("images.gz", "labels.gz", "--batch-size", "500"), "batch_size is 500, but"),
        (("digits", "--batch-size", "0"), "batch_size is a whole number, at least 1"),
        (("digits", "--epochs", "0"), "epochs is a whole number, at least 1"),
        (("digits", "--rate", "-1"), "at least 0"),
        (("digits", "--rate", "nan"), "finite"),
        (("digits", "--dropout", "1"), "below 1"),
        (("digits", "--weight-decay", "-1"), "at least 0"),
        (("digits", "--patience", "-1"), "--patience is a number of epochs"),
        ((*FLOWERS, "--batch-size", "0"), "--batch-size is a whole number, at least 1"),
        ((*FLOWERS, "--epochs", "0"), "--epochs is a whole number, at least 1"),
        ((*FLOWERS, "--rate", "0"), "--rate is a finite number above 0"),
        ((*FLOWERS, "--rate", "nan"), "--rate is a finite number above 0"),
        ((*FLOWERS, "--max-time", "-3"), "--max-time is a finite number above 0"),
        ((*FLOWERS, "--patience", "-1"), "--patience is a whole number, at least 0"),
        ((*FLOWERS, "--hidden", "none"), "--hidden names one hidden layer or more"),
        ((*FLOWERS, "--hidden", "0"), "1 unit or more"),
        ((*FLOWERS, "--seed", "-1"), "--seed is a whole number from 0"),
        ((*FLOWERS, "--test-fraction", "1"), "--test-fraction is at least 0"),
        (
            (*FLOWERS, "--test-fraction", "0.001"),
            "0.001 of 120 rows, that is 1",
        ),
        ((*FLOWERS, "--task", "regression"), "is not a finite number"),
        (("few.csv", "--target", "kind"), "--test-fraction holds out 0.2 of 4 rows"),
        (("images.gz", "ten.gz"), "90 images, ten.gz 10 labels"),
        (("images.gz", "same.gz"), "Every label is 1"),
        (("labels.gz", "images.gz"), "give the images first"),
        (("cut.gz", "labels.gz"), "cut.gz: "),
        (("images.gz", "flowers.csv"), "flowers.csv: starts with the bytes"),
        (("images.gz", "labels.gz", "--task", "regression"), "for tables"),
        (("digits", "--task", "regression"), "for tables"),
        (("digits", "--target", "y"), "for tables"),
        ((*FLOWERS, "-o", "none/m.safetensors"), "Cannot write 'none/m.safetensors'"),
        ((*FLOWERS, "-o", "folder"), "it is a folder"),
        ((*FLOWERS, "--report", "none/r.html"), "Cannot write 'none/r.html'"),
        ((*FLOWERS, "-o", "flowers.csv"), "would be written over"),
        ((*FLOWERS, "-o", "x", "--report", "./x"), "would be written over"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_train_refuses(
    run: Any, data: Path, words: tuple[str, ...], message: str
) -> None:
    before = files(data)
    done = run("train", *words)
    assert done.code == 1
    assert message in done.err
    assert done.err.startswith("kokuban: error: ")
    assert done.err.count("\n") == 1
    assert files(data) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("trian",), "invalid choice: 'trian'"),
        (("train",), "DATA"),
        (("train", "a", "b", "c"), "not 3 files"),
        (("train", "digits", "--hidden", "64,x"), "not a list of whole numbers"),
        (("train", "digits", "--epochs", "many"), "invalid int value: 'many'"),
        (("predict", "m.safetensors"), "DATA"),
    ],
)
def test_usage_is_exit_code_2(run: Any, words: tuple[str, ...], message: str) -> None:
    done = run(*words)
    assert done.code == 2
    assert message in done.err
    assert "usage: kokuban" in done.err


def test_no_command_gets_the_list_of_them(run: Any) -> None:
    done = run()
    assert done.code == 0
    assert "worksheet" in done.out


def test_divergence_names_the_layer_and_the_step(run: Any, data: Path) -> None:
    words = ("images.gz", "labels.gz", "--optimizer", "sgd", "--rate", "1e30")
    done = run("train", *words)
    assert done.code == 1
    assert "A smaller learning rate" in done.err
    assert "images.safetensors" not in files(data)


# ------------------------------------------------------------------ model files


@pytest.mark.parametrize("command", ["predict", "check"])
def test_files_that_are_no_models(
    run: Any, data: Path, models: Path, command: str
) -> None:
    def refused(name: str) -> str:
        done = run(command, name, f"{models}/flowers.csv")
        assert (done.code, done.out) == (1, "")
        assert done.err.startswith("kokuban: error: ")
        assert done.err.count("\n") == 1
        return str(done.err)

    good = (models / "flowers.safetensors").read_bytes()
    (data / "half").write_bytes(good[: len(good) // 2])
    for place in (9, len(good) // 3, len(good) - 5):
        flipped = bytearray(good)
        flipped[place] ^= 4
        (data / f"flipped{place}").write_bytes(flipped)
        assert f"'flipped{place}'" in refused(f"flipped{place}")
    assert "there is no such file" in refused("none.safetensors")
    assert "not a file of Kokuban" in refused("empty.csv")
    assert "not a file of Kokuban" in refused("flowers.csv")
    assert "not a file of Kokuban" in refused("images.gz")
    assert "'half'" in refused("half")


def test_checkpoints_and_models_of_another_origin(
    run: Any, data: Path, models: Path
) -> None:
    net = kb.nn.Sequential(kb.nn.Affine(2, 2))
    model = kb.Model(net, loss="softmax_cross_entropy")
    x = np.random.default_rng(0).normal(size=(8, 2))
    model.fit(x, np.arange(8) % 2, epochs=1, checkpoint="run.safetensors")
    model.save("own.safetensors")
    checkpoint = run("predict", "run.safetensors", f"{models}/flowers.csv")
    assert checkpoint.code == 1
    assert "a checkpoint file, not a model" in checkpoint.err
    own = run("predict", "own.safetensors", f"{models}/flowers.csv")
    assert own.code == 1
    assert "`kokuban train` did not write it" in own.err


@pytest.mark.parametrize(
    "about",
    [
        None,
        {},
        {"coding": {"kind": "sounds"}, "guess": 0, "learned": ""},
        {"coding": {"kind": "table", "encoder": 3}, "guess": 0, "learned": ""},
        {
            "coding": {"kind": "images", "labels": [1, 1], "levels": 9},
            "guess": 0,
            "learned": "",
        },
        {
            "coding": {"kind": "images", "labels": [0, 1], "levels": 9},
            "guess": 2,
            "learned": "",
        },
    ],
)
def test_a_coding_is_not_taken_on_trust(run: Any, data: Path, about: Any) -> None:
    model = kb.Model(kb.nn.Affine(16, 2), loss="softmax_cross_entropy")
    model.initialise()
    model.save("odd.safetensors", extra={"kokuban train": about})
    done = run("predict", "odd.safetensors", "images.gz")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("kokuban: error: ")


@pytest.mark.parametrize(
    ("model", "files", "message"),
    [
        ("houses", ("digits",), "trained on a table"),
        ("houses", ("new.csv", "new.csv"), "one table"),
        ("houses", ("few.csv",), "few.csv lacks columns 'area', 'rooms'"),
        ("houses", ("flowers.csv",), "has columns 'length', 'width', 'colour', 'kind'"),
        ("images", ("images.gz", "labels.gz", "labels.gz"), "3 files"),
        ("images", ("labels.gz",), "images are unsigned bytes in two or more"),
        ("images", ("flowers.csv",), "starts with the bytes"),
        ("images", ("digits",), "X has 64 columns; the model takes 16"),
        (
            "houses",
            ("text.csv",),
            "line 2, column 'area': the text 'big', and the column was",
        ),
    ],
)
def test_data_of_another_kind_than_training(
    run: Any, data: Path, models: Path, model: str, files: tuple[str, ...], message: str
) -> None:
    (data / "new.csv").write_text(HOUSES, encoding="utf-8")
    (data / "text.csv").write_text(HOUSES.replace("60", "big"), encoding="utf-8")
    done = run("predict", f"{models}/{model}.safetensors", *files)
    assert (done.code, done.out) == (1, "")
    assert message in done.err


def test_columns_in_another_order_and_of_another_type(
    run: Any, data: Path, models: Path
) -> None:
    frame = pl.read_csv(models / "flowers.csv", null_values="?")
    model = f"{models}/flowers.safetensors"
    plain = run("predict", model, f"{models}/flowers.csv")
    frame.select(reversed(frame.columns)).write_csv("order.csv")
    assert run("predict", model, "order.csv").out == plain.out
    frame.with_columns(length="colour", colour="length").write_csv("type.csv")
    done = run("predict", model, "type.csv")
    assert (done.code, done.out) == (1, "")
    assert "line 2, column 'length': the text " in done.err
    assert "and the column was numeric in training" in done.err


def test_odd_cells_are_handled_and_said(run: Any, tmp_path: Path) -> None:
    """Line ends in cells, a byte order mark, commas in numbers, an empty column."""
    rows = "".join(
        f'"{k % 9},{k % 10}";"x\n{"ab"[k % 2]}";;{k}.0;{["no", "yes"][k % 2]}\n'
        for k in range(80)
    )
    text = "size;note;gone;day;y\n" + rows
    (tmp_path / "odd.csv").write_text(text, encoding="utf-8-sig")
    done = run("train", "odd.csv", "--target", "y", "--epochs", "8")
    assert done.code == 0, done.err
    assert "size: numeric, median 4" in done.out
    assert "; its commas are decimal points: 1,5 is 1.5" in done.out
    assert "note: categorical, 2 categories: x a, x b" in done.out
    assert "gone: constant, no value in any row" in done.out
    assert "held-out accuracy 1.0000" in done.out
    assert run("predict", "odd.safetensors", "odd.csv").out.count("no") == 40


def test_a_quantity_has_no_probabilities(run: Any, data: Path, models: Path) -> None:
    (data / "new.csv").write_text(HOUSES, encoding="utf-8")
    done = run("predict", f"{models}/houses.safetensors", "new.csv", "--probabilities")
    assert done.code == 1
    assert "no probabilities" in done.err


# ------------------------------------------------------------------ disk and signals


@pytest.mark.parametrize(("option", "room"), [("-o", 0), ("--report", 1)])
def test_a_full_disk_leaves_the_old_file(
    run: Any, data: Path, monkeypatch: pytest.MonkeyPatch, option: str, room: int
) -> None:
    """There is room for so many files; the model is written before the report."""
    (data / "out").write_text("old", encoding="utf-8")
    before, real, calls = files(data), os.fsync, []

    def full(file: int) -> None:
        calls.append(file)
        if len(calls) > room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(file)

    monkeypatch.setattr(os, "fsync", full)
    done = run("train", *FLOWERS, "--epochs", "1", option, "out")
    assert done.code == 1
    assert "Cannot write 'out': No space left on device" in done.err
    assert (data / "out").read_text(encoding="utf-8") == "old"
    assert files(data) - before == ({"flowers.safetensors"} if room else set())


@pytest.mark.skipif(os.access("/", os.W_OK), reason="root may write anywhere")
def test_a_folder_that_may_not_be_written(run: Any, data: Path) -> None:
    (data / "folder").chmod(0o500)
    done = run("train", *FLOWERS, "-o", "folder/m.safetensors")
    assert done.code == 1
    assert "Permission denied" in done.err


def test_ctrl_c_before_training(
    run: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: Source) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Source, "open", interrupted)
    before = files(data)
    done = run("train", *FLOWERS)
    assert done.code == 130
    assert done.err == "kokuban: interrupted\n"
    assert files(data) == before


def command(*words: str, **options: Any) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-m", "kokuban", *words],
        env={**os.environ, "PYTHONPATH": path},
        **options,
    )


def test_ctrl_c_while_training_keeps_what_was_learned(data: Path) -> None:
    pty = pytest.importorskip("pty")  # a terminal, so that the bar tells how far it is
    terminal, inner = pty.openpty()
    words = ("--epochs", "1000000", "--patience", "0", "--report", "r.html")
    ran = command(
        "train", *FLOWERS, *words, stdout=subprocess.PIPE, stderr=inner, cwd=data
    )
    os.close(inner)
    shown = b""
    while b"loss" not in shown:  # an epoch is done
        shown += os.read(terminal, 4096)
    ran.send_signal(signal.SIGINT)
    reader = threading.Thread(target=_drain, args=(terminal,))
    reader.start()
    out, _ = ran.communicate(timeout=60)
    reader.join()
    os.close(terminal)
    assert ran.returncode == 130
    assert b"then interrupted: the model keeps what it has learned" in out
    assert b"held-out accuracy" in out
    assert (data / "r.html").exists()
    assert kb.load(data / "flowers.safetensors")["W1"].any()


def _drain(terminal: int) -> None:
    """Reads what the bar still shows, until the terminal's other end is closed."""
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_standard_output(models: Path) -> None:
    with open("/dev/full", "wb") as full:
        ran = command(
            "predict",
            f"{models}/flowers.safetensors",
            f"{models}/flowers.csv",
            stdout=full,
            stderr=subprocess.PIPE,
        )
        _, err = ran.communicate(timeout=60)
    assert ran.returncode == 1
    assert err.startswith(b"kokuban: error: ")
    assert b"No space left on device" in err
    assert b"Traceback" not in err


def test_a_reader_that_goes_away(models: Path) -> None:
    ran = command(
        "predict",
        f"{models}/flowers.safetensors",
        f"{models}/flowers.csv",
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert ran.stdout is not None
    ran.stdout.close()
    _, err = ran.communicate(timeout=60)
    assert (ran.returncode, err) == (141, b"")


def test_help_has_examples_and_defaults(run: Any) -> None:
    assert "kokuban train digits" in run("--help").out
    for name in ("train", "predict", "check"):
        done = run(name, "--help")
        assert done.code == 0
        assert f"kokuban {name} digits" in done.out.replace(".safetensors", "")
    text = run("train", "--help").out
    assert "(default 256,128)" in text
    assert "adam 0.003" in " ".join(text.split())


def test_version(run: Any) -> None:
    done = run("--version")
    assert (done.code, done.out) == (0, f"kokuban {kb.__version__}\n")


def test_warnings_are_notes(
    run: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import warnings

    opened = Source.open

    def warned(source: Source) -> Any:
        warnings.warn("the moon is full", stacklevel=1)
        return opened(source)

    monkeypatch.setattr(Source, "open", warned)
    done = run("train", *FLOWERS, "--epochs", "1")
    assert done.code == 0
    assert "kokuban: note: the moon is full\n" in done.err


def test_main_reads_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["kokuban", "--version"])
    assert main() == 0
    assert capfd.readouterr().out.startswith("kokuban ")
