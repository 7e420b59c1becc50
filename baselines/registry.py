"""Methods of the comparison by name. They are named, not imported, until one is asked for."""

import importlib
from dataclasses import replace
from pathlib import Path

from baselines.method import Method
from baselines.reconstruction import Trained
from mnad.build import MODELS
from mnad.config import DetectorConfig, OptimConfig
from mnad.errors import UserError

METHODS = {
    "mean_image": "baselines.mean_image:MeanImage",
    "pca": "baselines.pca:PCAReconstruction",
    "pixel_knn": "baselines.pixel_knn:PixelNeighbours",
    "padim": "baselines.padim:PaDiM",
    "patchcore": "baselines.patchcore:PatchCore",
}
ALL = (*MODELS, *METHODS)


class LeftOut(UserError):
    """A method that cannot run here for want of an optional package."""


def build_method(name: str, config: DetectorConfig, optim: OptimConfig, seed: int, folder: Path) -> Method:
    """The unfitted method ``name``: a trained model of ``MODELS`` or one of ``METHODS``.

    Raises:
        UserError: unknown name.
        LeftOut: a package that the method needs is not installed.
    """
    if name in MODELS:
        return Trained(replace(config, model=replace(config.model, name=name)), optim, seed, folder)
    if name not in METHODS:
        raise UserError(f"methods: {name!r}; some of {', '.join(ALL)} were expected")
    module, class_name = METHODS[name].split(":")
    return getattr(importlib.import_module(module), class_name)(config, optim, seed, folder)
