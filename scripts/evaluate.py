"""Judge a checkpoint on a test folder: TPR, TNR, AUROC, confusion counts, 95 % Wilson intervals."""

from dataclasses import dataclass, field
from pathlib import Path

from mnad.cli import run
from mnad.data.layout import read_layout
from mnad.data.options import LayoutOptions
from mnad.detector import Detector
from mnad.evaluation import evaluate
from mnad.files import write_json
from mnad.report import results_table


@dataclass
class EvaluateConfig:
    """What to judge.

    Args:
        checkpoint: run folder or .safetensors file.
        data: folder with test/imgs and test/test_annotation.txt.
        layout: how it is laid out; auto looks at its folders.
        layout_options: names and shares of the layouts that need some.
        json: file to write the metrics to.
        csv: file to write the score of each image to.
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
    detector = Detector.load(config.checkpoint).to(config.device)
    layout = read_layout(config.data, config.layout, train=False, options=config.layout_options)
    result = evaluate(detector, layout)
    name = detector.config.model.name
    print(results_table({(name, score): metrics for score, metrics in result.metrics.items()}))
    verdict = detector.thresholds[detector.primary]
    print(f"\nverdict by score '{detector.primary}': threshold {verdict.value:.4g}, {verdict.note}")
    print(f"{result.images_per_second:.0f} images per second, decoding included")
    if config.json:
        primary = {**result.metrics[detector.primary], "images_per_second": result.images_per_second}
        write_json(config.json, primary | {"score": detector.primary, "scores": result.metrics})
    if config.csv:
        result.frame.to_csv(config.csv, index=False)


if __name__ == "__main__":
    run(main, EvaluateConfig, __doc__)
