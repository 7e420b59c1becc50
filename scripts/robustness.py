"""How the verdict of a checkpoint holds when light and camera change: TPR, TNR, AUROC under named, graded changes.

Changes are made on the original photographs before they are resized, with a seed. A change is a kind and a strength,
such as blur=1.2, or several, such as blur=0.7+jpeg=50; kinds and units: mnad/data/changes.py.
"""

from dataclasses import dataclass
from pathlib import Path

import baselines
from mnad.config import DataConfig
from mnad.config.ranges import check_seed
from mnad.run import UserError
from mnad.run.cli import run

RESULT = '{\n  "robustness": '  # how the file begins


@dataclass(kw_only=True)
class RobustnessConfig(DataConfig):
    """What to judge.

    Args:
        checkpoint: run folder, .safetensors file, or the name of a shipped detector.
        data: folder of photographs with a labelled test.
        changes: kinds (at all their strengths) and single changes; none is the whole table.
        pairs: of the whole table: also pairs of changes.
        seed: of the changes that draw something (noise), and of the gauge's shuffles.
        recent: number of unlabelled test images, such as 200, that move the threshold as calibrate.py --normal does
            before the others are judged once more (mean over 100 draws); 0 for none.
        gauge: also how many images it takes a gauge of drift to tell each change, after 200 unchanged normals.
        json: file to write every row and the summary to; only an earlier result is replaced.
        out: new folder for the table (.csv, .md) and the figure (.png, .pdf); none writes neither.
        device: auto, cpu or cuda.
    """

    checkpoint: Path
    data: Path
    changes: list[str] | None = None
    pairs: bool = True
    seed: int = 0
    recent: int = 0
    gauge: bool = False
    json: Path | None = None
    out: Path | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a seed out of range."""
        check_seed("seed", self.seed)


def main(config: RobustnessConfig) -> None:
    """Load, change, judge, print, save."""
    from tqdm import tqdm

    from mnad.data.dataset import Videos, open_dataset
    from mnad.detector import Detector
    from mnad.evaluation.drift import alarms, check_recent
    from mnad.evaluation.judge import made_for_other
    from mnad.evaluation.robustness import (
        changed_sets,
        plot_robustness,
        records,
        robustness,
        summary,
        table_changes,
        to_markdown,
    )
    from mnad.run.files import check_replaceable, write_csv, write_json, write_text
    from mnad.run.folders import output_folder

    baselines.register()
    changes = table_changes(config.changes, config.pairs)
    detector = Detector.load(config.checkpoint).to(config.device)
    if detector.model.variant != "recon":
        raise UserError(f"{config.checkpoint}: predicts frames of videos; expected a detector of photographs")
    detector.check_calibrated()
    data = open_dataset(config, detector.config.images, "recon", train=False, checkpoint=config.checkpoint)
    if isinstance(data, Videos):
        raise UserError(f"{config.data}: videos; expected a folder of photographs")
    if config.recent:
        check_recent(config.recent, len(data.labels))
    if config.json:
        check_replaceable(config.json, RESULT)
    data.check_unseen(config.checkpoint)
    foreign = made_for_other(detector, data)
    if foreign:
        print(f"warning: {foreign}: its verdicts mean nothing here")
    if config.out:
        output_folder(config.out)
    bar = tqdm(changed_sets(data.test, changes, config.seed), "changes", len(changes))
    frame = robustness(detector, bar, data.labels, config.recent)
    primary = frame[frame["score"] == detector.primary].reset_index(drop=True)
    print(to_markdown(primary))
    told = None
    if config.gauge:
        bar = tqdm(changed_sets(data.test, changes, config.seed), "gauge", len(changes))
        told = alarms(detector, bar, data.labels, seed=config.seed)
        print(told.to_string(index=False))
    if config.json:
        summaries = {score: summary(part) for score, part in frame.groupby("score", sort=False)}
        result = {"robustness": summaries, "primary": detector.primary, "rows": records(frame)}
        write_json(config.json, result | ({} if told is None else {"gauge": records(told)}))
    if config.out:
        write_csv(config.out / "robustness.csv", frame)
        write_text(config.out / "robustness.md", to_markdown(primary))
        if told is not None:
            write_csv(config.out / "gauge.csv", told)
        plot_robustness(config.out / "robustness.png", primary)
        print(config.out)


if __name__ == "__main__":
    run(main, RobustnessConfig, __doc__)
