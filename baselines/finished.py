"""Detectors that were trained elsewhere, judged beside the methods: same test images, same rule of the threshold.

A checkpoint has a row of its own. One of an ensemble has a second, its members alone, where seed 0, 1, ... of the
table is the first, second, ... member. Weights and what the terms learnt of the training normals are taken as they are;
scale and threshold are chosen anew, as for every method, from the validation normals and the known anomalies of seed 0,
since a training keeps those back unless it was told another seed.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from baselines.reconstruction import Detecting
from mnad.config import DetectorConfig, OptimConfig
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.run import UserError
from mnad.run.checkpoint import find_checkpoint

SPLIT_SEED = 0
ALONE = "_member"  # end of the name of the row of single members


def row_name(checkpoint: str) -> str:
    """What the table calls a checkpoint: the name of its file, or of its run folder."""
    path = find_checkpoint(checkpoint)
    return path.parent.name if path.name == "model.safetensors" else path.stem


@dataclass(frozen=True)
class Checkpoint:
    """A row of the table.

    Attributes:
        path: of the file.
        alone: whether the row is that of single members.
        seeds: how many there can be.
        digest: SHA-256 of the file.
    """

    path: Path
    alone: bool
    seeds: int
    digest: str


def finished_rows(checkpoints: list[str]) -> dict[str, Checkpoint]:
    """Row -> its checkpoint.

    Raises:
        UserError: a checkpoint that is missing or damaged, or two of one name.
    """
    found: dict[str, Checkpoint] = {}
    for checkpoint in checkpoints:
        path, name = find_checkpoint(checkpoint), row_name(checkpoint)
        if name in found:
            raise UserError(f"checkpoints: two are called {name}; expected files of different names")
        members, digest = Detector.load(path).config.members, sha256(path.read_bytes()).hexdigest()
        found[name] = Checkpoint(path, False, 1, digest)
        if members > 1:
            found[name + ALONE] = Checkpoint(path, True, members, digest)
    return found


class Finished(Detecting):
    """The detector of a checkpoint, or one of its members, whose number is then ``seed``; arguments: see
    :class:`baselines.method.Method`."""

    def __init__(
        self, config: DetectorConfig, optim: OptimConfig, seed: int, folder: Path, checkpoint: Checkpoint
    ) -> None:
        super().__init__(config, optim, seed, folder)
        path, self.digest = checkpoint.path, checkpoint.digest
        self.detector = Detector.load(path)
        if self.detector.size != config.images.size:
            height, width = self.detector.size
            raise UserError(f"{path}: is of {height} x {width} pixels; expected images.height and images.width of it")
        if checkpoint.alone:
            self.detector = self.detector.alone(seed)
        changed = {"threshold": config.threshold, "calibration": config.calibration}
        self.detector.config = self.detector.config.detector(**changed)
        self.detector.to(optim.device)
        self.primary = self.detector.primary

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        """Nothing is left to learn."""

    def calibrate(
        self, validation: Images, known: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Scale and thresholds anew; see :class:`baselines.method.Method`."""
        found = self.detector.calibrate(validation, known)
        self.thresholds = self.detector.thresholds
        return found
