"""What tests of ONNX share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from onnx_runs import run_onnx

from kokuban.interchange.export import onnx_bytes

Run = Callable[..., dict[str, np.ndarray]]


@pytest.fixture
def through_onnx() -> Run:
    """Runs a model, an estimator or a formula in onnxruntime."""

    def run(model: Any, given: Mapping[str, Any], values: Any = None) -> Any:
        return run_onnx(onnx_bytes(model, values), given)

    return run
