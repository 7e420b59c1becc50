"""Verdicts of an exported detector without torch: ``python -m mnad.runtime MODEL.onnx PATH...``.

The file is one of ``scripts/export.py``. Needs onnxruntime (or openvino), opencv and numpy.
"""

from mnad.runtime.model import Model

__all__ = ["Model"]
