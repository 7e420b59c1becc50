"""Judge a checkpoint on a test folder: TPR, TNR, AUROC, confusion counts, 95 % Wilson intervals.

On videos (a folder with testing/frames/, or one .mp4 or .avi file): frame AUC, memory health, score curves.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

import baselines
from mnad.config import DataConfig, ScorePrecision
from mnad.run import UserError
from mnad.run.cli import run

RESULT, TABLE, VIDEO_TABLE = '{\n  "score": ', "file,label,score_", "video,frame,"  # how the files begin


@dataclass
class VideoOptions:
    """How videos are scored.

    Args:
        update: change the memory at test time (official); false leaves it as trained.
        gamma: update only with frames whose regular score E_t is below; none is the official 0.01 (prediction) or
            0.015 (reconstruction).
        figure: new file for the anomaly-score curves (.png).
        maps: frames to write anomaly maps of, each ``VIDEO:FRAME``, counted from 0; ``*.npy`` and a picture.
        maps_folder: where they go, files there are not replaced; none makes ``runs/<video>-<date>-<time>``.
    """

    update: bool = True
    gamma: float | None = None
    figure: Path | None = None
    maps: list[str] = field(default_factory=list)
    maps_folder: Path | None = None

    def __post_init__(self) -> None:
        """Raises ``UserError`` for options that contradict each other or are out of range."""
        if self.gamma is not None and not self.gamma > 0:
            raise UserError(f"video.gamma: expected a number above 0, got {self.gamma}")
        if self.gamma is not None and not self.update:
            raise UserError("video.gamma: given with video.update false; expected one of them")
        if self.figure is not None and self.figure.suffix != ".png":
            raise UserError(f"video.figure: expected a file ending in .png, got {self.figure}")


@dataclass(kw_only=True)
class EvaluateConfig(DataConfig):
    """What to judge.

    Args:
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        data: folder with test/imgs and test/test_annotation.txt, folder with testing/frames/, or a video file.
        layout_options: names and shares of the layouts that need some; a layout that makes its own split needs
            ``description``: the ``split.json`` of the run, and images that the run has seen are refused.
        json: file to write the metrics to; only an earlier result is replaced.
        csv: file to write the score of each image to (its path from ``data``); only an earlier result is replaced.
        reconstructions: new file (.png) for typical and for the hardest pictures with what the model rebuilds.
        device: auto, cpu or cuda.
        precision: of the convolutions; bfloat16 is faster on some processors (auto: where a few batches say so), and
            scores differ in the second digit; those close to a threshold are scored again in float32.
        video: how videos are scored.
    """

    checkpoint: Path
    data: Path
    json: Path | None = None
    csv: Path | None = None
    reconstructions: Path | None = None
    device: str = "auto"
    precision: ScorePrecision = "float32"
    video: VideoOptions = field(default_factory=VideoOptions)

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a picture that is no PNG."""
        if self.reconstructions is not None and self.reconstructions.suffix != ".png":
            raise UserError(f"reconstructions: expected a file ending in .png, got {self.reconstructions}")


def main(config: EvaluateConfig) -> None:
    """Load, judge, print, save."""
    from mnad.data.dataset import Videos, open_dataset
    from mnad.data.layouts import is_video
    from mnad.detector import Detector
    from mnad.evaluation.frames import write_maps
    from mnad.evaluation.judge import evaluate, made_for_other, primary_curve, table_rows
    from mnad.evaluation.pictures import draw_reconstructions
    from mnad.report.plots import plot_curves
    from mnad.report.tables import results_table
    from mnad.run.files import check_distinct, check_replaceable, free, write_csv, write_json
    from mnad.run.folders import stamped

    baselines.register()
    check_distinct(json=config.json, csv=config.csv, **{"video.figure": config.video.figure})
    video = is_video(config.data, config.layout, config.layout_options)
    for path, mark in ((config.json, RESULT), (config.csv, VIDEO_TABLE if video else TABLE)):
        if path:
            check_replaceable(path, mark)
    detector = Detector.load(config.checkpoint).to(config.device).use(config.precision)
    variant = detector.config.model.variant
    if not video and variant != "recon":
        raise UserError(f"{config.checkpoint}: predicts frames of videos; expected a detector of photographs")
    images = replace(detector.config.images, memory_gb=0)  # each is looked at once
    data = open_dataset(config, images, variant, train=False, checkpoint=config.checkpoint)
    csv, figure, folder = config.csv, config.video.figure and free(config.video.figure), stamped(config.data.stem)
    rebuilt = config.reconstructions and free(config.reconstructions)
    if isinstance(data, Videos):
        if data.labels is None:  # no metrics, so the scores are what there is to see
            csv, figure = csv or folder / "scores.csv", figure or folder / "curves.png"
        write_maps(detector, data, config.video.maps, config.video.maps_folder or folder)
    data.check_unseen(config.checkpoint)
    foreign = made_for_other(detector, data)
    if foreign:
        print(f"warning: {foreign}: its verdicts mean nothing here")
    ((name, result),) = evaluate(detector, data, config.video.update, config.video.gamma).items()
    if result.scores:
        print(results_table(table_rows(detector, detector.config.model.name, {name: result})))
    for line in result.lines(detector.thresholds, detector.primary, data.words):
        print(line)
    if detector.precision == "bfloat16":
        print(detector.again)
    if config.json:
        write_json(config.json, result.verdict(detector.primary))
    if csv:
        write_csv(csv, result.table)
    if figure:
        plot_curves(figure, result.table, *primary_curve(detector))
    if rebuilt and draw_reconstructions(rebuilt, detector, data, result) is None:
        raise UserError(f"reconstructions: {config.data} is a film; expected photographs or folders of frames")
    for path in filter(None, (csv, figure, rebuilt)):
        print(path)


if __name__ == "__main__":
    run(main, EvaluateConfig, __doc__)
