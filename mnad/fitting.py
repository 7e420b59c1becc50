"""From sets of photographs or clips to a saved detector: build, train, calibrate."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from mnad.config import DetectorConfig, TrainConfig
from mnad.data.source import Source
from mnad.detector import Detector
from mnad.training import choose_device, train


def check_models(config: TrainConfig) -> None:
    """Build every model of the run once, to see what can be wrong before anything is written.

    Raises:
        UserError: see :class:`mnad.detector.Detector` and :func:`mnad.training.choose_device`.
    """
    choose_device(config.optim.device)
    for name in (config.model.name, *config.compare):
        Detector(DetectorConfig(replace(config.model, name=name), config.images, config.scores, config.primary))


def fit_detector(
    config: TrainConfig, sets: Mapping[str, Source], folder: Path, record: dict[str, object]
) -> tuple[Detector, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Train one model on ``sets`` (``train``, ``validation``, perhaps ``known``), calibrate it, save it to ``folder``
    with the run's ``record``.

    Returns:
        the detector and what :meth:`mnad.detector.Detector.calibrate` returns.
    """
    detector_config = DetectorConfig(**{key: getattr(config, key) for key in DetectorConfig.__annotations__})
    torch.manual_seed(config.seed)
    detector = Detector(detector_config)
    folder.mkdir(exist_ok=True)
    train(detector.model, sets["train"], sets["validation"], config.optim, config.seed, folder, config.resume)
    detector.to(config.optim.device)
    calibration = detector.calibrate(sets["validation"], sets.get("known"))
    detector.record = record
    detector.save(folder / "model.safetensors")
    return detector, calibration
