"""Choose the threshold of a detector anew, with the plant's own images; nothing is trained.

With known anomalies (and normals) it is chosen as after a training. With --normal alone, recent images of the line
without labels, spills at their natural rarity among them, it follows what light and camera did to the scores (rule
recent). The old checkpoint stays as it is. Printed: the rule, and which of the images change sides.
"""

from dataclasses import dataclass, field, replace
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
        known: the plant's anomalies: a folder (with all below it), a file or a pattern; without them the rule is
            recent, unless it is normal_quantile.
        normal: the plant's normals, likewise; for the rule recent 200 recent images, unlabelled. Without them the
            statistics stay and only a rule that needs no normals can choose.
        out: new file for the calibrated detector (.safetensors).
        statistics: fit the scale of the score on ``normal``, too; the scores themselves change.
        csv: file for the two verdicts on each image; only an earlier result is replaced.
        threshold: how the threshold is chosen.
        device: auto, cpu or cuda.
    """

    checkpoint: Path
    known: Path | None = None
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
        if self.known is None and self.normal is None:
            raise UserError("known: missing; expected --known DIR, --normal DIR or both")
        if self.known is None and self.threshold.rule == "anomalous_quantile":
            self.threshold = replace(self.threshold, rule="recent")
        if self.known is None and self.threshold.rule in ("midpoint", "balanced", "balanced_capped"):
            raise UserError(f"threshold.rule: {self.threshold.rule} needs anomalies; expected --known DIR with it")
        if self.threshold.rule == "recent" and self.statistics:
            raise UserError("statistics: moves the scale, which the rule recent keeps; expected one of them")
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
