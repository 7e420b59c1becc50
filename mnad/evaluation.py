"""Judge a detector on a test folder that no choice has seen."""

import time
from dataclasses import dataclass

import pandas as pd

from mnad.data.images import Images
from mnad.data.layout import Layout
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.metrics import judge
from mnad.report import scores_frame


@dataclass
class Evaluation:
    """Metrics for each score, and the scores of each image."""

    metrics: dict[str, dict[str, object]]
    images_per_second: float  # decoding and every score
    frame: pd.DataFrame


def evaluate(detector: Detector, layout: Layout, images: Images | None = None) -> Evaluation:
    """Score ``layout.test`` and compare with ``layout.labels``.

    Args:
        images: the decoded test images if they are at hand (then the speed is that of scoring alone).

    Raises:
        UserError: an uncalibrated detector or no test images.
    """
    if detector.config.model.variant != "recon":
        raise UserError("checkpoint: predicts frames of videos; one of the variant recon was expected for photographs")
    if not detector.thresholds:
        raise UserError("checkpoint: has no threshold; one that was calibrated by training was expected")
    if not layout.test:
        raise UserError("test folder: holds no image; at least one was expected")
    started = time.perf_counter()
    if images is None:
        images = Images(layout.test, detector.config.images.size, detector.config.images.memory_gb, "test")
    scores = detector.combine(detector.raw_terms(images, "test"))
    seconds = time.perf_counter() - started
    metrics = {name: judge(values, layout.labels, detector.thresholds[name].value) for name, values in scores.items()}
    frame = scores_frame(layout, scores, detector.thresholds)
    return Evaluation(metrics, len(layout.test) / seconds, frame)
