"""Judge a checkpoint on a test folder: TPR, TNR, AUROC, confusion counts, 95 % Wilson intervals.

On videos (a folder with testing/frames/, or one .mp4 or .avi file): frame AUC, memory health, score curves.
"""

from dataclasses import dataclass, field
from pathlib import Path

from mnad.cli import run
from mnad.data.layout import is_video, read_layout
from mnad.data.options import LayoutOptions
from mnad.data.split_file import check_unseen
from mnad.detector import Detector
from mnad.evaluation import evaluate
from mnad.files import check_replaceable, write_csv, write_json
from mnad.report import results_table
from mnad.video_checkpoint import VideoOptions, evaluate_checkpoint

RESULT, TABLE, VIDEO_TABLE = '{\n  "score": ', "file,label,score_", "video,frame,"  # how the files begin


@dataclass
class EvaluateConfig:
    """What to judge.

    Args:
        checkpoint: run folder or .safetensors file.
        data: folder with test/imgs and test/test_annotation.txt, folder with testing/frames/, or a video file.
        layout: how it is laid out; auto looks at its folders.
        layout_options: names and shares of the layouts that need some; a layout that makes its own split needs
            ``description``: the ``split.json`` of the run, and images that the run has seen are refused.
        json: file to write the metrics to; only an earlier result is replaced.
        csv: file to write the score of each image to (its path from ``data``); only an earlier result is replaced.
        device: auto, cpu or cuda.
        video: how videos are scored.
    """

    checkpoint: Path
    data: Path
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    json: Path | None = None
    csv: Path | None = None
    device: str = "auto"
    video: VideoOptions = field(default_factory=VideoOptions)


def main(config: EvaluateConfig) -> None:
    """Load, score, print, save."""
    video = is_video(config.data, config.layout, config.layout_options)
    for path, mark in ((config.json, RESULT), (config.csv, VIDEO_TABLE if video else TABLE)):
        if path:
            check_replaceable(path, mark)
    detector = Detector.load(config.checkpoint).to(config.device)
    if video:
        evaluate_checkpoint(detector, config.data, config.video, config.json, config.csv)
        return
    layout = read_layout(config.data, config.layout, train=False, options=config.layout_options)
    check_unseen(config.checkpoint, layout)
    result = evaluate(detector, layout)
    name = detector.config.model.name
    labels = {score: detector.scores[score].label(score) for score in result.metrics}
    print(results_table({(name, labels[score]): metrics for score, metrics in result.metrics.items()}))
    verdict = detector.thresholds[detector.primary]
    print(f"\nverdict by score '{detector.primary}': threshold {verdict.value:.4g}, {verdict.note}")
    print(f"{result.images_per_second:.0f} images per second, decoding included")
    if config.json:
        verdict_metrics = {"score": detector.primary, **result.metrics[detector.primary]}
        speed = {"images_per_second": result.images_per_second}
        write_json(config.json, verdict_metrics | speed | {"scores": result.metrics})
    if config.csv:
        write_csv(config.csv, result.frame)


if __name__ == "__main__":
    run(main, EvaluateConfig, __doc__)
