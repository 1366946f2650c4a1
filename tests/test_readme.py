"""What the READMEs and the pages in docs print is what their examples print."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
EXAMPLES = [
    pytest.param(code, shown, id=f"{Path(name).name}-{k}")
    for name in (
        "README.md",
        "README.ja.md",
        "docs/estimators.md",
        "docs/formulas.md",
        "docs/interchange.md",
        "docs/worksheets.md",
        "docs/tabular.md",
    )
    for k, (code, shown) in enumerate(EXAMPLE.findall((ROOT / name).read_text("utf-8")))
]


def without_rounding(text: str) -> str:
    """Figures that rounding errors decide, and accuracies' last digit, as `*`."""
    return re.sub(r"gap \S+|h = \S+|^0\.9\d$|and \S+ for", "*", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("code", "shown"), EXAMPLES)
def test_example_prints_what_is_shown(code: str, shown: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert without_rounding(done.stdout) == without_rounding(shown)


def test_both_readmes_show_the_same_example() -> None:
    first = [
        EXAMPLE.findall((ROOT / n).read_text("utf-8"))[0][1]
        for n in ("README.md", "README.ja.md")
    ]
    assert first[0] == first[1]
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("name", ["README.md", "README.ja.md"])
def test_readme_names_the_two_commands(name: str) -> None:
    text = (ROOT / name).read_text("utf-8")
    assert "pip install . && kokuban train digits" in text
    assert "pip install '.[test]' && pytest" in text
