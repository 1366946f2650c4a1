"""What the package promises, and that it is loaded only when asked for."""

import subprocess
import sys

import kokuban as kb
from kokuban import interchange


def test_public_names() -> None:
    assert interchange.__all__ == [
        "from_sklearn",
        "from_torch",
        "to_onnx",
        "to_sklearn",
        "to_torch",
    ]
    assert kb.interchange is interchange
    for name in interchange.__all__:
        assert getattr(interchange, name).__doc__


def test_loaded_when_asked_for_and_without_onnx() -> None:
    code = (
        "import sys, kokuban as kb\n"
        "before = 'kokuban.interchange' in sys.modules\n"
        "kb.interchange.to_onnx\n"
        "print(before, 'onnx' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]
