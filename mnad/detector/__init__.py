"""A trained detector: model, fitted scores and thresholds, in one safetensors file without any pickle."""

from mnad.detector.core import Images
from mnad.detector.detector import Detector, config_from_json

__all__ = ["Detector", "Images", "config_from_json"]
