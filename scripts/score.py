"""Score photographs and films: which of them are anomalous.

PATH: files, folders (with all below them), patterns, films, device numbers, addresses of streams, or - for a list on
standard input. Exit status 0: all is normal, 1: something is anomalous, 2: nothing could be scored, 3: some could not.
--watch DIR --journal FILE scores what appears in a folder instead, --ray local --out DIR an archive, on many machines.
"""

from dataclasses import dataclass, field
from pathlib import Path

import baselines
from mnad.config import ScorePrecision
from mnad.run import UserError
from mnad.run.cli import POSITIONAL, run

FILMS = (".mp4", ".avi")  # what an overlay may be written as


@dataclass
class WatchOptions:
    """How a folder is watched.

    Args:
        watch: folder whose images are scored as they appear, and those that the journal lacks, until Ctrl-C.
        journal: file for a row of each watched image, once (.csv or .sqlite).
        settle: seconds that a file must stay as it is before it is read.
        command: program to run for each anomaly, with path and score as last arguments and in MNAD_PATH, MNAD_SCORE.
        webhook: address to post each anomaly to, as JSON.
        mqtt: HOST[:PORT]/TOPIC to publish each anomaly to.
        metrics: port of 127.0.0.1 for Prometheus.
    """

    watch: Path | None = None
    journal: Path | None = None
    settle: float = 0.5
    command: str | None = None
    webhook: str | None = None
    mqtt: str | None = None
    metrics: int | None = None


@dataclass
class ArchiveOptions:
    """How an archive is scored, on one machine or on many.

    Args:
        ray: cluster of Ray that scores PATH into partitions of out: local starts one on this machine, auto finds one
            that runs, HOST:PORT is its address.
        out: folder for the partitions, Parquet; the same command goes on where it has stopped.
        partition: files of each partition.
    """

    ray: str | None = None
    out: Path | None = None
    partition: int = 10_000


@dataclass
class ScoreConfig(WatchOptions, ArchiveOptions):
    """What to score, and what to write.

    Args:
        paths: what to score.
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        csv: file for a row of each picture; only an earlier result is replaced.
        json: the same as JSON.
        maps: folder for the anomaly map of each picture, as numbers (``.npy``, float32) and as a picture.
        report: file for the report, one page (.html); only an earlier report is replaced.
        boxes: CSV file (id, x, y, width, height) of the wells in each picture, which are scored one by one.
        overlay: new film (.mp4, .avi) of the one film of PATH with anomaly map, running score and threshold. With
            boxes: folder for each picture with its boxes and verdicts; of films only where a well is anomalous.
        figure: new picture (.png) of the one film of PATH: score, threshold and anomalous spans.
        top: rows shown on the screen, the worst.
        pictures: flagged pictures in the report, the worst.
        workers: threads that decode, and that score; 0 does one after the other, none takes as many as PyTorch has.
            With ray: workers of one core each, none takes as many as the cluster has.
        device: auto, cpu or cuda.
        precision: of the convolutions; bfloat16 is faster on some processors (auto: where a few batches say so), and
            scores differ in the second digit; those close to the threshold are scored again in float32.
    """

    paths: list[str] = field(default_factory=list, metadata=POSITIONAL)
    checkpoint: Path = Path("wells")
    csv: Path | None = None
    json: Path | None = None
    maps: Path | None = None
    report: Path | None = None
    boxes: Path | None = None
    overlay: Path | None = None
    figure: Path | None = None
    top: int = 20
    pictures: int = 60
    workers: int | None = None
    device: str = "auto"
    precision: ScorePrecision = "float32"

    def __post_init__(self) -> None:
        """Raises ``UserError`` for options that are out of range or contradict each other."""
        self.check_watch()
        self.check_archive()
        if not self.paths and self.watch is None:
            raise UserError("PATH: none given; expected files, folders, patterns or -")
        if self.overlay and not self.boxes and self.overlay.suffix.lower() not in FILMS:
            films = ", ".join(FILMS)
            raise UserError(f"overlay: {self.overlay} without boxes; expected a film ({films}) or --boxes with it")
        if self.figure and (self.boxes or self.figure.suffix != ".png"):
            with_boxes = " with boxes" if self.boxes else ""
            raise UserError(f"figure: expected a file ending in .png, without --boxes, got {self.figure}{with_boxes}")
        for key in ("top", "pictures", "workers"):
            if (getattr(self, key) or 0) < 0:
                raise UserError(f"{key}: expected 0 or more, got {getattr(self, key)}")
        if self.report and self.report.suffix != ".html":
            raise UserError(f"report: expected a file ending in .html, got {self.report}")

    def check_watch(self) -> None:
        """Raises ``UserError`` for options that do not go with watching, or only with it."""
        if (self.watch is None) != (self.journal is None):
            raise UserError("watch, journal: one without the other; expected both")
        for key in ("paths", "csv", "json", "maps", "report", "overlay", "figure"):
            if self.watch and getattr(self, key):
                raise UserError(f"{key}: given with watch; expected --journal alone")
        for key in ("command", "webhook", "mqtt", "metrics"):
            if not self.watch and getattr(self, key) is not None:
                raise UserError(f"{key}: given without watch; expected --watch DIR with it")
        if not self.settle >= 0:
            raise UserError(f"settle: expected 0 or more seconds, got {self.settle}")

    def check_archive(self) -> None:
        """Raises ``UserError`` for options that do not go with an archive, or only with it."""
        if (self.ray is None) != (self.out is None):
            raise UserError("ray, out: one without the other; expected both")
        for key in ("watch", "csv", "json", "maps", "report", "overlay", "figure"):
            if self.ray and getattr(self, key):
                raise UserError(f"{key}: given with ray; expected --out alone")
        if self.ray and self.workers == 0:
            raise UserError("workers: expected 1 or more with ray, got 0")
        if self.partition < 1:
            raise UserError(f"partition: expected 1 file or more, got {self.partition}")


def main(config: ScoreConfig) -> int:
    """Load, score, print, save; returns the exit status."""
    baselines.register()
    if config.watch:
        from mnad.line.watch_command import watch_folder

        return watch_folder(config)
    if config.ray:
        from mnad.line.cluster import score_archive

        return score_archive(config, baselines.register)
    from mnad.line.command import score_and_save

    return score_and_save(config)


def command() -> None:
    """Entry point of the installed command."""
    run(main, ScoreConfig, __doc__)


if __name__ == "__main__":
    command()
