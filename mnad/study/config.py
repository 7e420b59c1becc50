"""What ``scripts/study_memory.py`` trains: the rows of its table, and how much of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mnad.config import TrainConfig
from mnad.run import UserError

IDLE = {"sees": "query"}  # the decoder sees the query itself, so the memory changes no picture
NO_PULL = {"compactness": 0.0, "separateness": 0.0}


@dataclass(frozen=True)
class Row:
    """One way to train.

    Attributes:
        label: in the tables.
        model: what differs from the configured model.
        idle: whether the memory is left out of the picture and of the loss; its items are fitted to the queries
            afterwards for the feature distance.
        dirty: share of known anomalies among the training and validation normals.
        clean: share of the training images left out of items and statistics, see :mod:`mnad.study.dirty`.
    """

    label: str
    model: dict[str, Any] = field(default_factory=dict)
    idle: bool = False
    dirty: float = 0.0
    clean: float = 0.0

    def config(self, config: TrainConfig) -> TrainConfig:
        """``config`` changed as this row says, one member."""
        optim = replace(config.optim, loss_weights=NO_PULL) if self.idle else config.optim
        model = replace(config.model, **(self.model | (IDLE if self.idle else {})))
        return replace(config, model=model, optim=optim, members=1)


CLEAN = 0.15
ROWS: dict[str, Row] = {
    "position": Row("bank of 16 at each position"),
    "shared": Row("one shared bank of 200", {"scope": "shared", "items": 200}),
    "idle": Row("no memory, same width", idle=True),
    "idle4": Row("no memory, 4-channel bottleneck", {"item_dim": 4}, idle=True),
    "one": Row("one item at each position", {"items": 1}),
    "dirty10": Row("10 % spills, cleaned, bank", dirty=0.10, clean=CLEAN),
    "dirty10_idle": Row("10 % spills, cleaned, no memory", idle=True, dirty=0.10, clean=CLEAN),
    "dirty5": Row("5 % spills, cleaned, bank", dirty=0.05, clean=CLEAN),
    "dirty5_idle": Row("5 % spills, cleaned, no memory", idle=True, dirty=0.05, clean=CLEAN),
    "dirty10_raw": Row("10 % spills, not cleaned, bank", dirty=0.10),
    "dirty10_raw_idle": Row("10 % spills, not cleaned, no memory", idle=True, dirty=0.10),
}


@dataclass(kw_only=True)
class StudyConfig(TrainConfig):
    """What to study.

    Args:
        out: folder of the runs and of the tables; finished runs in it are kept and read again.
        rows: names in the order of the tables, of ``mnad.study.config.ROWS``.
        seeds: of each row with clean training data, counted from 0.
        dirty_seeds: of each row with dirty training data.
        faithful: checkpoint of the official memory without a correction, judged beside the rows; its network is not
            trained again.
        stored: ``seeds.csv`` of an earlier study, whose runs are not done again. Its numbers join those of the runs in
            ``out``; what needs the scores of every image or the bits has the latter alone, and says how many.
    """

    out: Path = Path("runs/memory_study")
    rows: list[str] = field(default_factory=lambda: list(ROWS))
    seeds: int = 5
    dirty_seeds: int = 3
    faithful: Path | None = Path("wells_absolute")
    stored: Path | None = None

    def __post_init__(self) -> None:
        """Raises ``UserError`` for an unknown row, or no seed."""
        super().__post_init__()
        unknown = [row for row in self.rows if row not in ROWS]
        if unknown or not self.rows:
            raise UserError(f"rows: expected some of {', '.join(ROWS)}, got {unknown[0] if unknown else self.rows!r}")
        if self.correction.kind != "none" or self.augmentation.copies:
            raise UserError("correction, augmentation: the study trains on images as they are; expected neither")
        for key in ("seeds", "dirty_seeds"):
            if getattr(self, key) < 1:
                raise UserError(f"{key}: expected at least 1, got {getattr(self, key)}")
