"""ONNX files checked and run: what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime


def run_onnx(content: bytes, given: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The outputs by name; the file must pass the checker, types and shapes too."""
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    found = dict(zip(names, session.run(None, dict(given)), strict=True))
    for output in session.get_outputs():
        declared, shape = output.shape, found[output.name].shape
        assert len(declared) == len(shape)
        for dim, size in zip(declared, shape, strict=True):
            assert isinstance(dim, str) or dim == size
    return found
