"""Draw the anomaly-score curve of every video from a score table (scripts/evaluate.py --csv), labels shaded."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from mnad.cli import run
from mnad.errors import UserError
from mnad.plotting import FORMATS
from mnad.video_report import plot_curves


@dataclass
class PlotConfig:
    """What to draw.

    Args:
        scores: CSV file of scripts/evaluate.py or of a run folder.
        out: figure; written as .png and .pdf, replacing an older drawing.
        columns: which scores, drawn over each other.
    """

    scores: Path
    out: Path
    columns: list[str] = field(default_factory=lambda: ["score_mnad"])


def main(config: PlotConfig) -> None:
    """Read and draw."""
    try:
        frame = pd.read_csv(config.scores, dtype={"video": str})
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{config.scores}: cannot be read ({reason}); a score table was expected") from error
    for path in plot_curves(config.out, frame, config.columns, FORMATS):
        print(path)


if __name__ == "__main__":
    run(main, PlotConfig, __doc__)
