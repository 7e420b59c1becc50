"""Choose the threshold of a detector anew, with the plant's own anomalies and normals; nothing is trained.

The old checkpoint stays as it is. Printed: the rule, and which of the images change sides.
"""

from dataclasses import dataclass, field
from pathlib import Path

import baselines
from mnad.config import ThresholdConfig
from mnad.run import UserError
from mnad.run.cli import run


@dataclass(kw_only=True)
class CalibrateConfig:
    """What to calibrate, and with which images.

    Args:
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        known: the plant's anomalies: a folder (with all below it), a file or a pattern.
        normal: the plant's normals, likewise; without them the statistics stay and only a rule that needs no normals
            can choose.
        out: new file for the calibrated detector (.safetensors).
        statistics: fit the scale of the score on ``normal``, too; the scores themselves change.
        csv: file for the two verdicts on each image; only an earlier result is replaced.
        threshold: how the threshold is chosen.
        device: auto, cpu or cuda.
    """

    checkpoint: Path
    known: Path
    normal: Path | None = None
    out: Path
    statistics: bool = False
    csv: Path | None = None
    threshold: ThresholdConfig = field(default_factory=ThresholdConfig)
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises ``UserError`` for options that contradict each other."""
        if self.out.suffix != ".safetensors":
            raise UserError(f"out: expected a file ending in .safetensors, got {self.out}")
        if self.normal is None and self.statistics:
            raise UserError("statistics: given without normal; expected --normal DIR with it")
        if self.normal is None and self.threshold.rule != "anomalous_quantile":
            raise UserError(f"threshold.rule: {self.threshold.rule} needs normals; expected --normal DIR with it")


def main(config: CalibrateConfig) -> None:
    """Choose, tell what changes, save."""
    from mnad.line.calibration import recalibrate

    baselines.register()
    recalibrate(config)


def command() -> None:
    """Entry point of the installed command."""
    run(main, CalibrateConfig, __doc__)


if __name__ == "__main__":
    command()
