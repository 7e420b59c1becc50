"""Configurations of the commands around the committed figures."""

from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass
class MakeConfig:
    """What to draw, from what, to where. Running it again replaces the figures it made, and no other file.

    Args:
        only: names of the figures, as NAME or [NAME,NAME]; none draws all of them.
        out: folder of the figures.
        results: folder of the stored results.
        checkpoint: detector whose reconstructions and maps are drawn; none is checkpoints/synthetic.safetensors.
        data: folder of drawn wells; none draws the synthetic default into data/synthetic_wells.
    """

    only: list[str] | str = field(default_factory=list)
    out: Path = ROOT / "figures"
    results: Path = ROOT / "figures"
    checkpoint: Path | None = None
    data: Path | None = None


@dataclass
class CollectConfig:
    """Which runs.

    Args:
        runs: run folders of scripts/train_mnad.py. The score table of a variant is that of its first run.
        out: folder for results.json, run.json and scores_VARIANT.csv.
        overwrite: write into a folder that is not empty.
    """

    runs: list[Path]
    out: Path
    overwrite: bool = False
