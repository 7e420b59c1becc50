"""Where the images are and how they are read."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from mnad.config.network import STRIDE
from mnad.config.ranges import check_range, check_seed
from mnad.run import UserError

MOST_PIXELS = 4096 * 4096  # of an image as the network sees it
Fit = Literal["resize", "letterbox"]


@dataclass
class LayoutOptions:
    """Options of the layouts; each layout reads those it knows.

    Args:
        category: ``mvtec``: which category of a folder of several; ``all`` compares one after the other.
        normal: ``two_folders``: name of the folder of normal images; none looks for a usual one (normal, good, ok, no,
            healthy and so on, see ``mnad/data/two_folders.py``).
        abnormal: ``two_folders``: name of the folder of anomalies; likewise (abnormal, bad, defect, yes, tumor ...).
        test_fraction: ``two_folders``: share of the normals that goes to the test.
        known_fraction: ``two_folders``, ``textile``: share of the (training) anomalies that may choose the threshold;
            ``two_folders`` tests on the others.
        seed: of the splits that a layout makes.
        description: ``generic``: YAML file that says where the images are (or the ``split.json`` of a run).
        allow_mixed: accept that grey or colour alone tells the test anomalies from the normals.
    """

    category: str = ""
    normal: str = ""
    abnormal: str = ""
    test_fraction: float = 0.3
    known_fraction: float = 0.0
    seed: int = 0
    description: Path | None = None
    allow_mixed: bool = False

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a seed out of range."""
        check_seed("layout_options.seed", self.seed)


@dataclass(kw_only=True)
class DataConfig:
    """Which images; the base of every script's configuration that reads a dataset.

    Args:
        data: folder of photographs or of videos (``mnad.data.layout``, ``mnad.data.videos``); none draws the
            synthetic wells into ``data/synthetic_wells``.
        layout: how ``data`` is laid out; ``auto`` looks at its folders.
        layout_options: names and shares of the layouts that need some.
        skip_bad: leave out photographs that cannot be read, counted and named; without it they end the command.
    """

    data: Path | None = None
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    skip_bad: bool = False


@dataclass
class ImageConfig:
    """How images are read.

    Args:
        height: pixels, divisible by 8; 0 (of both) follows the training photographs, see ``mnad/data/sizes.py``.
        width: likewise.
        fit: ``resize``: stretched to height x width. ``letterbox`` (photographs only): enlarged or shrunk as a whole,
            the rest is filled with the edge, which counts neither in scores nor in maps.
        validation_fraction: share of the training normals (of videos: whole ones) kept back for statistics and
            threshold.
        memory_gb: largest set of decoded images to keep in memory; larger ones are decoded on the fly.
    """

    height: int = 32
    width: int = 48
    fit: Fit = "resize"
    validation_fraction: float = 0.1
    memory_gb: float = 4.0

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a size that the network cannot take, or a number out of range."""
        for key in ("height", "width"):
            value = getattr(self, key)
            if (value < STRIDE or value % STRIDE) and (self.height, self.width) != (0, 0):
                raise UserError(f"images.{key}: expected a positive multiple of {STRIDE}, got {value}")
        if self.height * self.width > MOST_PIXELS:
            raise UserError(
                f"images.height, width: expected at most {MOST_PIXELS:,} pixels, got {self.height} x {self.width}"
            )
        check_range("images.memory_gb", self.memory_gb, 0)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width). Raises ``UserError`` while both are left to the data."""
        if not self.height:
            raise UserError("images.height and images.width: left to the data; expected numbers of pixels")
        return self.height, self.width
