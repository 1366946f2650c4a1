"""Networks to and from other libraries: ONNX, scikit-learn, PyTorch."""

from kokuban.interchange.export import to_onnx
from kokuban.interchange.scikit import from_sklearn, to_sklearn

__all__ = ["from_sklearn", "to_onnx", "to_sklearn"]
