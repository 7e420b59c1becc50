"""MNAD (memory-guided normality, CVPR 2020): model, scores, thresholds, training, verdicts and maps."""

from typing import TYPE_CHECKING

from mnad.run import UserError

if TYPE_CHECKING:
    from mnad.detector import Detector
    from mnad.model.mnad import MNAD
    from mnad.model.official import load_official

__all__ = ["MNAD", "Detector", "UserError", "load_official"]


def __getattr__(name: str) -> object:
    """Import torch only when a name needs it."""
    if name == "MNAD":
        from mnad.model.mnad import MNAD

        return MNAD
    if name == "Detector":
        from mnad.detector import Detector

        return Detector
    if name == "load_official":
        from mnad.model.official import load_official

        return load_official
    raise AttributeError(f"module 'mnad' has no attribute {name!r}")
