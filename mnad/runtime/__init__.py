"""Verdicts of an exported detector (``scripts/export.py``) without torch: ``python -m mnad.runtime MODEL.onnx PATH...``.

Needs onnxruntime (or openvino), opencv and numpy.
"""

from mnad.runtime.model import Model

__all__ = ["Model"]
