"""The public surface: what ``import kokuban as kb`` promises."""

import ast
import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import kokuban

HEAVY = {"lark", "scipy", "sklearn", "polars", "rich", "matplotlib", "safetensors"}


@pytest.mark.parametrize("name", kokuban.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(kokuban, name) is not None


def test_dir_lists_the_public_names() -> None:
    assert set(kokuban.__all__) <= set(dir(kokuban))


def test_version_is_the_installed_one() -> None:
    assert kokuban.__version__ == version("kokuban")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'kokuban' has no attribute 'gard'"):
        kokuban.gard  # noqa: B018 - reading it is the test


def test_importing_loads_nothing_heavy() -> None:
    code = "import json, sys, kokuban; print(json.dumps([*sys.modules]))"
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    loaded = {module.split(".")[0] for module in json.loads(out)}
    assert "kokuban" in loaded
    assert loaded & HEAVY == set()


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(kokuban.__file__).read_text(encoding="utf-8"))
    seen = {
        (alias.asname, statement.module)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.ImportFrom)
        for alias in statement.names
        if alias.asname == alias.name
    }
    promised = {(name, f"kokuban.{home}") for name, home in kokuban._HOME.items()}
    assert seen == promised | {(name, "kokuban") for name in kokuban._SUBMODULES}


def test_every_operation_is_public() -> None:
    internal = {"COMPOSITES", "count"}  # what the other floors share
    assert set(kokuban._NAMES["ops"]) == set(kokuban.ops.__all__) - internal


def test_no_submodule_replaces_a_public_function() -> None:
    package = Path(kokuban.__file__).parent
    submodules = {path.stem for path in package.iterdir() if path.suffix in {"", ".py"}}
    assert submodules & set(kokuban._HOME) == set()
