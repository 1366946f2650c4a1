"""Networks to and from other libraries: ONNX, scikit-learn, PyTorch."""

from kokuban.interchange.export import to_onnx
from kokuban.interchange.scikit import from_sklearn, to_sklearn
from kokuban.interchange.state_dict import from_torch, to_torch

__all__ = ["from_sklearn", "from_torch", "to_onnx", "to_sklearn", "to_torch"]
