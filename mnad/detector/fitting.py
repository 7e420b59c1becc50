"""From images to a detector: train every member, fit what the terms learn, calibrate, save."""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import torch

from mnad.config import TrainConfig
from mnad.data.changes import augmented
from mnad.data.source import Source
from mnad.detector.detector import Detector
from mnad.model.build import build_model, choose_device
from mnad.model.correction import Correction, build_correction
from mnad.model.network import Network
from mnad.training.corrected import corrected, fit_correction
from mnad.training.loop import train
from mnad.training.tensorboard import TensorBoard


def train_models(
    config: TrainConfig, sources: Mapping[str, Source], folder: Path | None
) -> tuple[list[Network], Correction | None, Source]:
    """Train one model, or every member of an ensemble, on ``sources`` (``train`` and ``validation``); further members
    log to ``folder/member2`` and so on. Without a folder nothing is written.

    Returns:
        the models, their first step, and the training images as they saw them.
    """
    device = choose_device(config.optim.device)
    correction = build_correction(config.correction)
    if correction is not None:
        correction.to(device)
    fit_correction(correction, sources["train"])
    normals = corrected(augmented(sources["train"], config.augmentation), correction)
    held = corrected(sources["validation"], correction)
    models = []
    places = [None] * config.members if folder is None else member_folders(folder, config.members)
    for number, place in enumerate(places):
        seed = config.seed + number
        torch.manual_seed(seed)
        models.append(build_model(config.model, config.images.size))
        if place is not None:
            place.mkdir(exist_ok=True)
        with watching(config, place, held) as watch:
            train(models[-1], normals, held, config.optim, seed, place, config.resume, watch=watch)
    return models, correction, normals


def fit_detector(
    config: TrainConfig, sources: Mapping[str, Source], folder: Path, record: dict[str, object]
) -> tuple[Detector, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Train on ``sources`` (``train``, ``validation``, perhaps ``known``), calibrate, save to ``folder`` with the run's
    ``record``.

    Returns:
        the detector and what :meth:`mnad.detector.Detector.calibrate` returns.
    """
    models, correction, normals = train_models(config, sources, folder)
    detector = Detector(config.detector(), models)
    detector.correction = correction
    detector.to(config.optim.device)
    detector.fit(normals)
    calibration = detector.calibrate(sources["validation"], sources.get("known"), sources["train"])
    detector.record = record
    detector.save(folder / "model.safetensors")
    return detector, calibration


@contextlib.contextmanager
def watching(config: TrainConfig, folder: Path | None, validation: Source) -> Iterator[TensorBoard | None]:
    """What is called after each epoch of a training whose log is in ``folder``; None unless it was asked for."""
    if config.log != "tensorboard" or folder is None:
        yield None
        return
    watch = TensorBoard(folder / "tensorboard", validation)
    try:
        yield watch
    finally:
        watch.close()


def member_folders(folder: Path, members: int) -> list[Path]:
    """Where the log of each member is: ``folder``, ``folder/member2`` and so on."""
    return [folder, *(folder / f"member{number}" for number in range(2, members + 1))]


def members_alone(detector: Detector, sources: Mapping[str, Source]) -> Iterator[Detector]:
    """Each member of an ensemble as a detector of its own, calibrated anew with a threshold of its own."""
    for member in range(len(detector.models)):
        alone = detector.alone(member)
        alone.calibrate(sources["validation"], sources.get("known"), sources["train"])
        yield alone
