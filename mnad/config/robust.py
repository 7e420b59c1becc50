"""What makes a verdict hold when light and camera change; all of it ours, and off by default."""

from dataclasses import dataclass, field
from typing import Literal

from mnad.config.ranges import check_range, check_seed
from mnad.run import UserError

FAMILIES = (
    "white_balance",
    "brightness",
    "gamma",
    "contrast",
    "blur",
    "noise",
    "jpeg",
    "shift",
    "mirror",
    "crop",
)  # of random changes, see :mod:`mnad.data.changes`


def check_families(key: str, changes: list[str]) -> None:
    """Raises ``UserError`` for an unknown family, or none; ``key`` is the section of the configuration."""
    unknown = [name for name in changes if name not in FAMILIES]
    if unknown or not changes:
        wrong = repr(unknown[0]) if unknown else "none"
        raise UserError(f"{key}.changes: expected some of {', '.join(FAMILIES)}, got {wrong}")


@dataclass
class CorrectionConfig:
    """White balance and exposure, undone before the network sees an image, in training as in use.

    Each channel is multiplied by a reference (median over the training images) over its own median outside an ellipse.

    Args:
        kind: ``none`` leaves the images as they are; ``surroundings`` corrects them by the pixels outside the ellipse.
        centre: of the ellipse, fractions of height and width (y, x).
        radii: of the ellipse, fractions of height and width (y, x).
        limits: smallest and largest gain; a picture that needs more is corrected in part.
    """

    kind: Literal["none", "surroundings"] = "none"
    centre: tuple[float, float] = (0.52, 0.5)
    radii: tuple[float, float] = (0.45, 0.47)
    limits: tuple[float, float] = (0.7, 1.4)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range."""
        if min(self.radii) <= 0:
            raise UserError(f"correction.radii: expected two numbers above 0, got {self.radii}")
        if not 0 < self.limits[0] <= 1 <= self.limits[1]:
            raise UserError(f"correction.limits: expected one number up to 1 and one from 1 on, got {self.limits}")


@dataclass
class AugmentationConfig:
    """Training images beside changed copies of theirs; ours, photographs only.

    Mild ones, since a network that has seen strong changes rebuilds anomalies as well.

    Args:
        copies: changed copies of each training image, beside the unchanged one.
        changes: families of changes of which each copy gets one (``mnad.data.changes``).
        strength: of the changes, from 0 (none) to 1 (those of ``calibration``).
        seed: of the changes.
    """

    copies: int = 0
    changes: list[str] = field(default_factory=lambda: [name for name in FAMILIES if name != "mirror"])
    strength: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range or an unknown family."""
        check_range("augmentation.copies", self.copies, 0)
        check_seed("augmentation.seed", self.seed)
        if not 0 < self.strength <= 1:
            raise UserError(f"augmentation.strength: expected a number above 0, at most 1, got {self.strength}")
        check_families("augmentation", self.changes)


@dataclass
class CalibrationConfig:
    """Statistics and threshold taken over images as another day may bring them.

    Args:
        normal_copies: randomly changed copies of each validation normal, beside the unchanged one.
        known_copies: randomly changed copies of each known anomaly, beside the unchanged one.
        changes: families of changes of which each copy gets one (``mnad.data.changes``).
        seed: of the changes.
        training_videos: scale and thresholds see the training videos beside the validation videos: few videos of a
            camera differ by more than what a network gains by having seen one.
    """

    normal_copies: int = 0
    known_copies: int = 0
    changes: list[str] = field(default_factory=lambda: list(FAMILIES))
    seed: int = 0
    training_videos: bool = False

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a number out of range or an unknown family."""
        for key in ("normal_copies", "known_copies"):
            check_range(f"calibration.{key}", getattr(self, key), 0)
        check_seed("calibration.seed", self.seed)
        check_families("calibration", self.changes)
