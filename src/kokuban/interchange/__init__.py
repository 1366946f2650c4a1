"""Networks to and from other libraries: ONNX, scikit-learn, PyTorch."""

from kokuban.interchange.export import to_onnx

__all__ = ["to_onnx"]
