"""Judge a checkpoint on a test folder: TPR, TNR, AUROC, confusion counts, 95 % Wilson intervals."""

from dataclasses import dataclass, field
from pathlib import Path

from mnad.cli import run
from mnad.data.layout import read_layout
from mnad.data.options import LayoutOptions
from mnad.detector import Detector
from mnad.evaluation import evaluate
from mnad.files import atomic_path, check_replaceable, write_json
from mnad.report import results_table

RESULT, TABLE = '{\n  "score": ', "file,label,score_"  # how the two files begin


@dataclass
class EvaluateConfig:
    """What to judge.

    Args:
        checkpoint: run folder or .safetensors file.
        data: folder with test/imgs and test/test_annotation.txt.
        layout: how it is laid out; auto looks at its folders.
        layout_options: names and shares of the layouts that need some.
        json: file to write the metrics to; only an earlier result is replaced.
        csv: file to write the score of each image to; only an earlier result is replaced.
        device: auto, cpu or cuda.
    """

    checkpoint: Path
    data: Path
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    json: Path | None = None
    csv: Path | None = None
    device: str = "auto"


def main(config: EvaluateConfig) -> None:
    """Load, score, print, save."""
    for path, mark in ((config.json, RESULT), (config.csv, TABLE)):
        if path:
            check_replaceable(path, mark)
    detector = Detector.load(config.checkpoint).to(config.device)
    layout = read_layout(config.data, config.layout, train=False, options=config.layout_options)
    result = evaluate(detector, layout)
    name = detector.config.model.name
    print(results_table({(name, score): metrics for score, metrics in result.metrics.items()}))
    verdict = detector.thresholds[detector.primary]
    print(f"\nverdict by score '{detector.primary}': threshold {verdict.value:.4g}, {verdict.note}")
    print(f"{result.images_per_second:.0f} images per second, decoding included")
    if config.json:
        verdict_metrics = {"score": detector.primary, **result.metrics[detector.primary]}
        speed = {"images_per_second": result.images_per_second}
        write_json(config.json, verdict_metrics | speed | {"scores": result.metrics})
    if config.csv:
        with atomic_path(config.csv) as temporary:
            result.frame.to_csv(temporary, index=False)


if __name__ == "__main__":
    run(main, EvaluateConfig, __doc__)
