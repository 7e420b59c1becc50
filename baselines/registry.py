"""Methods of the comparison by name."""

from dataclasses import replace
from pathlib import Path

from baselines.features import FeatureMethod
from baselines.finished import Finished, finished_rows
from baselines.mean_image import MeanImage
from baselines.method import Method
from baselines.padim import PaDiM
from baselines.patchcore import CoarsePatchCore, PatchCore
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
    "patchcore_coarse": CoarsePatchCore,
}


def all_methods() -> list[str]:
    """Names of the trained models and of the other methods, in the order of the table."""
    return [*MODELS, *METHODS]


def default_methods(model: str) -> list[str]:
    """What is compared unless the configuration says it, by the name of its model: of ``mnad_features`` that one and
    those on the same frozen network; of others everything but those two that learn no wells at 32 x 48."""
    if model == "mnad_features":
        return [model, "padim", "patchcore", "patchcore_coarse"]
    return [name for name in all_methods() if name not in ("mnad_features", "patchcore_coarse")]


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
    frozen = issubclass(method, FeatureMethod)
    settings = {"pretrained": config.pretrained} if frozen and hasattr(config, "pretrained") else {}
    return method(config.detector(model=replace(config.model, name=name)), optim, seed, folder, **settings)
