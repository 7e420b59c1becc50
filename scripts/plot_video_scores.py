"""Draw the anomaly-score curve of every video from a score table (scripts/evaluate.py --csv), labels shaded."""

from dataclasses import dataclass, field
from pathlib import Path

from mnad.run.cli import run


@dataclass
class PlotConfig:
    """What to draw.

    Args:
        scores: CSV file of scripts/evaluate.py or of a run folder.
        out: figure; written as .png and .pdf.
        columns: which scores, drawn over each other.
        overwrite: replace an older drawing.
    """

    scores: Path
    out: Path
    columns: list[str] = field(default_factory=lambda: ["score_mnad"])
    overwrite: bool = False


def main(config: PlotConfig) -> None:
    """Read and draw."""
    from mnad.report.plots import plot_curves
    from mnad.report.plotting import FORMATS
    from mnad.run.files import free, read_table

    frame = read_table(config.scores, {"video", "frame", *config.columns}, text=("video",))
    for suffix in FORMATS if not config.overwrite else ():
        free(config.out.with_suffix(f".{suffix}"), "another --out or --overwrite")
    for path in plot_curves(config.out, frame, config.columns, FORMATS):
        print(path)


if __name__ == "__main__":
    run(main, PlotConfig, __doc__)
