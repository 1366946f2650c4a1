"""`kokuban check`: the proof of a model's gradient."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import kokuban as kb
from kokuban.expr import symbols


@pytest.mark.parametrize("name", ["flowers", "houses"])
def test_on_data(run: Any, models: Path, name: str) -> None:
    done = run("check", f"{models}/{name}.safetensors", f"{models}/{name}.csv")
    assert done.code == 0, done.out
    assert f"the first 20 rows of {models}/{name}.csv" in done.out
    loss = kb.load(f"{models}/{name}.safetensors").network.loss
    assert done.out.count("✓") == len(symbols([loss], "parameter")) >= 25
    assert "✗" not in done.out


def test_on_images_and_on_random_rows(run: Any, models: Path) -> None:
    model = f"{models}/images.safetensors"
    done = run("check", model, f"{models}/images.gz", f"{models}/labels.gz")
    assert done.code == 0, done.out
    other = run("check", model, "--seed", "3")
    assert other.code == 0, other.out
    assert "on 20 random rows (seed 3)" in other.out


def test_a_model_made_in_python_is_checked_on_random_rows(run: Any) -> None:
    x, t = kb.input("X", ("N", 3)), kb.target("T", ("N", 2))
    w = kb.parameter("W", (3, 2))
    model = kb.Model(loss=kb.mse(kb.tanh(x @ w), t))
    model.initialise()
    model.save("own.safetensors")
    done = run("check", "own.safetensors")
    assert done.code == 0, done.out
    assert done.out.count("✓") == 1


def test_batch_norm_and_one_output_column(run: Any) -> None:
    nn = kb.nn
    net = nn.Sequential(
        nn.Affine(3, 4, bias=False), nn.BatchNorm(4), nn.Tanh(), nn.Affine(4, 1)
    )
    model = kb.Model(net, loss="sigmoid_cross_entropy")
    model.fit(np.random.default_rng(0).normal(size=(8, 3)), np.arange(8) % 2, epochs=1)
    model.save("norm.safetensors")
    done = run("check", "norm.safetensors")
    assert done.code == 0, done.out


def test_a_wrong_gradient_is_exit_code_1(
    run: Any, models: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loss is made to differ from what its gradient is taken of."""
    from kokuban.gradcheck import verdict

    derived = verdict.grad
    monkeypatch.setattr(
        verdict, "grad", lambda *a, **k: [2 * g for g in derived(*a, **k)]
    )
    done = run("check", f"{models}/houses.safetensors", f"{models}/houses.csv")
    assert done.code == 1
    assert "✗" in done.out


def test_data_need_targets(run: Any, models: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text("area,rooms\n60,3\n90,4\n", encoding="utf-8")
    done = run("check", f"{models}/houses.safetensors", "new.csv")
    assert done.code == 1
    assert "no target column 'price'" in done.err


def test_json(run: Any, models: Path) -> None:
    done = run("check", f"{models}/houses.safetensors", f"{models}/houses.csv", "--json")
    found = json.loads(done.out)
    assert found["ok"] is True
    names = [p["name"] for p in found["parameters"]]
    assert {"gain1", "W1", "b1", "W2", "b2"} <= set(names)
    assert len(names) >= 25  # of five networks
    assert all(p["ok"] and p["failed"] == 0 for p in found["parameters"])
    text = "X: N x 2\nW: 2 x 1\nL = sum(X W)\n"
    Path("net.kb").write_text(text, encoding="utf-8")
    wrong = run("check", "net.kb", "--claim", "W = W", "--json")
    assert wrong.code == 1, wrong.err
    assert json.loads(wrong.out)["parameters"][0]["claimed"] is True
