"""Running LaTeX on what is written for it, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


def compiled(text: str, lang: str, folder: Path) -> bytes:
    """What LaTeX says of a document, which must be without an error."""
    engine = "uplatex" if lang == "ja" else "pdflatex"
    if shutil.which(engine) is None:
        pytest.skip(f"no {engine} here")
    (folder / "page.tex").write_text(text, encoding="utf-8")
    ran = subprocess.run(
        [engine, "-interaction=nonstopmode", "-halt-on-error", "page.tex"],
        cwd=folder,
        capture_output=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert b"Missing character" not in ran.stdout
    return ran.stdout
