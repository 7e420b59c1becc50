"""Methods of the comparison by name."""

from dataclasses import replace
from pathlib import Path

from baselines.finished import Finished, finished_rows
from baselines.mean_image import MeanImage
from baselines.method import Method
from baselines.padim import PaDiM
from baselines.patchcore import PatchCore
from baselines.pca import PCAReconstruction
from baselines.pixel_knn import PixelNeighbours
from baselines.reconstruction import Trained
from baselines.whitened_mean import WhitenedMean
from mnad.config import DetectorConfig, OptimConfig
from mnad.model.build import MODELS
from mnad.run import UserError

METHODS: dict[str, type[Method]] = {
    "mean_image": MeanImage,
    "pca": PCAReconstruction,
    "pixel_knn": PixelNeighbours,
    "whitened_mean": WhitenedMean,
    "padim": PaDiM,
    "patchcore": PatchCore,
}


def all_methods() -> list[str]:
    """Names of the trained models and of the other methods, in the order of the table."""
    return [*MODELS, *METHODS]


def default_methods(model: str) -> list[str]:
    """What is compared unless the configuration says it, by the name of its model: everything but ``mnad_features``,
    which learns no wells at 32 x 48; or that one and those on the same frozen network."""
    if model == "mnad_features":
        return [model, "padim", "patchcore"]
    return [name for name in all_methods() if name != "mnad_features"]


def build_method(name: str, config: DetectorConfig, optim: OptimConfig, seed: int, folder: Path) -> Method:
    """The unfitted method ``name``: a trained model of ``MODELS``, one of ``METHODS``, or a row of a checkpoint.

    Raises:
        UserError: unknown name.
        NotInstalled: a package that the method needs is not installed.
    """
    method = METHODS.get(name, Trained if name in MODELS else None)
    checkpoints = finished_rows(getattr(config, "checkpoints", [])) if method is None else {}
    if name in checkpoints:
        return Finished(config, optim, seed, folder, checkpoints[name])
    if method is None:
        raise UserError(f"methods: expected some of {', '.join(all_methods())}, got {name!r}")
    settings = (
        {"pretrained": config.pretrained} if method in (PaDiM, PatchCore) and hasattr(config, "pretrained") else {}
    )
    return method(config.detector(model=replace(config.model, name=name)), optim, seed, folder, **settings)
