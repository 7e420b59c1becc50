"""What a layout needs to be told besides its folder."""

from dataclasses import dataclass
from pathlib import Path


@dataclass
class LayoutOptions:
    """Options of the layouts; each layout reads those it knows.

    Args:
        category: ``mvtec``: which category of a folder of several; ``all`` compares one after the other.
        normal: ``two_folders``: name of the folder of normal images.
        abnormal: ``two_folders``: name of the folder of anomalies.
        test_fraction: ``two_folders``: share of the normals that goes to the test.
        known_fraction: ``two_folders``, ``textile``: share of the (training) anomalies that may choose the threshold;
            ``two_folders`` tests on the others.
        seed: of the splits that a layout makes.
        description: ``generic``: YAML file that says where the images are (or the ``split.json`` of a run).
        allow_mixed: accept that grey or colour alone tells the test anomalies from the normals.
    """

    category: str = ""
    normal: str = "normal"
    abnormal: str = "abnormal"
    test_fraction: float = 0.3
    known_fraction: float = 0.0
    seed: int = 0
    description: Path | None = None
    allow_mixed: bool = False
