"""Teaching a detector without training: a new threshold from the plant's own images, and what it changes."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from mnad.config import ThresholdConfig
from mnad.data.paths import PassedOver
from mnad.detector import Detector
from mnad.line.cuts import Wanted
from mnad.line.scoring import score
from mnad.line.sources import shots
from mnad.run import UserError
from mnad.run.files import check_replaceable, free, write_text
from mnad.run.provenance import provenance
from mnad.run.verdict import Verdict
from mnad.scoring.promise import promise
from mnad.scoring.threshold import choose_threshold, moved_threshold

HEADER = ("path", "role", "score_before", "verdict_before", "score_after", "verdict_after", "changed", "error")
SHOWN = 20  # images that change sides and are named on the screen


class Options(Protocol):
    """See ``scripts/calibrate.py``."""

    checkpoint: Path
    known: Path | None
    normal: Path | None
    out: Path
    statistics: bool
    csv: Path | None
    threshold: ThresholdConfig
    device: str


@dataclass
class Judged:
    """One image before and after."""

    role: str  # known or normal
    before: Verdict
    after: Verdict

    @property
    def changed(self) -> bool:
        """Whether it is on another side now."""
        return self.before.verdict != self.after.verdict

    def row(self) -> dict[str, object]:
        """The row of the table."""
        before, after = self.before.row(), self.after.row()
        return {
            "path": before["path"], "role": self.role, "score_before": before["score"],
            "verdict_before": self.before.verdict, "score_after": after["score"], "verdict_after": self.after.verdict,
            "changed": int(self.changed), "error": self.before.error,
        }  # fmt: skip


def read_role(detector: Detector, where: Path, role: str) -> list[Verdict]:
    """The verdicts on all images of one role; those that cannot be read are told and kept as errors.

    Raises:
        UserError: not one of them can be read.
    """
    passed = PassedOver()
    verdicts = [one.verdict for one in score(detector, shots([where], passed), Wanted())]
    for line in [*(verdict.error for verdict in verdicts if verdict.error), *passed.lines()]:
        print(line)
    if all(verdict.error for verdict in verdicts):
        raise UserError(f"{role}: no image in {where} can be scored; expected at least one")
    return verdicts


def raw_terms(verdicts: Sequence[Verdict], names: Sequence[str]) -> np.ndarray:
    """Raw terms of the verdicts without an error, N x T float64."""
    found = [[verdict.terms[name] for name in names] for verdict in verdicts if not verdict.error]
    return np.array(found, dtype=np.float64).reshape(-1, len(names))


def again(detector: Detector, verdicts: Sequence[Verdict]) -> list[Verdict]:
    """``verdicts`` by the threshold that ``detector`` has now; of one model also by its statistics, from the raw terms
    that they hold. (Of several members they hold means, and the statistics stay.)"""
    primary, threshold = detector.scores[detector.primary], detector.thresholds[detector.primary].value
    if primary.members > 1:
        return [v if v.error else replace(v, threshold=threshold) for v in verdicts]
    scores = iter(detector.combine({detector.primary: raw_terms(verdicts, primary.names)})[detector.primary].tolist())
    return [v if v.error else replace(v, score=next(scores), threshold=threshold) for v in verdicts]


def scores_of(verdicts: Sequence[Verdict]) -> np.ndarray:
    """Scores of those without an error, N float64."""
    return np.array([verdict.score for verdict in verdicts if not verdict.error])


def rechosen(detector: Detector, known: Sequence[Verdict], normal: Sequence[Verdict], config: Options) -> None:
    """Give ``detector`` the new threshold of its primary score, and the new statistics if they are asked for.

    The other scores give no verdict and keep what they have.
    """
    primary = detector.scores[detector.primary]
    if config.threshold.rule == "recent":
        moved = moved_threshold(config.threshold, detector.thresholds[detector.primary].value, scores_of(normal))
        detector.thresholds[detector.primary] = moved  # unlabelled images promise nothing
        return
    if config.statistics:
        primary.fit(torch.from_numpy(raw_terms(normal, primary.names)).to(detector.device))
    scores = scores_of(again(detector, known)), scores_of(again(detector, normal))
    # the rule that needs no normals is given its own anomalies instead, which it does not look at
    threshold = choose_threshold(config.threshold, scores[1] if len(scores[1]) else scores[0], scores[0])
    note = threshold.note.replace("validation normals", "normals of the plant")
    note = note.replace("known anomalies", "known anomalies of the plant")
    kept = promise(threshold.value, scores[1], scores[0]) if len(scores[1]) else None
    detector.thresholds[detector.primary] = replace(threshold, note=note, promise=kept)


def told(judged: Sequence[Judged], labelled: bool = True) -> list[str]:
    """What changes, in lines: counts by role, then the images that change sides.

    Args:
        labelled: whether those of the role ``normal`` are known to be normal.
    """
    lines = []
    normal = "normals called anomalous" if labelled else "recent images called anomalous"
    for role, word in (("known", "known anomalies found"), ("normal", normal)):
        part = [one for one in judged if one.role == role and not one.before.error]
        if part:
            before, after = sum(one.before.anomalous for one in part), sum(one.after.anomalous for one in part)
            lines.append(f"{word}: {before} of {len(part)} before, {after} now")
    changed = [one for one in judged if one.changed]
    lines.append(f"{len(changed)} of {len(judged)} images change sides")
    for one in changed[:SHOWN]:
        sides = " -> ".join(f"{verdict.verdict} {verdict.score:.4g}" for verdict in (one.before, one.after))
        lines.append(f"  {one.role:<6} {sides}  {one.before.row()['path']}")
    if len(changed) > SHOWN:
        lines.append(f"  ... and {len(changed) - SHOWN} more")
    return lines


def write_table(path: Path, judged: Sequence[Judged]) -> None:
    """A row for each image, with both verdicts."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(one.row() for one in judged)
    write_text(path, buffer.getvalue())


def recalibrate(config: Options) -> list[Judged]:
    """Everything that ``scripts/calibrate.py`` does; returns what became of each image.

    Raises:
        UserError: anything wrong with the checkpoint, the images or the files to write.
    """
    free(config.out, "a new file, since the old checkpoint is kept")
    if config.csv:
        check_replaceable(config.csv, ",".join(HEADER))
    detector = Detector.load(config.checkpoint).to(config.device)
    detector.check_calibrated()
    if config.statistics and len(detector.models) > 1:
        raise UserError(f"statistics: {config.checkpoint} has several members; expected it without statistics")
    old = detector.thresholds[detector.primary]
    before = {"known": read_role(detector, config.known, "known") if config.known else []}
    before["normal"] = read_role(detector, config.normal, "normal") if config.normal else []
    rechosen(detector, before["known"], before["normal"], config)
    new = detector.thresholds[detector.primary]
    judged = [
        Judged(role, old_verdict, new_verdict)
        for role, verdicts in before.items()
        for old_verdict, new_verdict in zip(verdicts, again(detector, verdicts), strict=True)
    ]
    print(f"score '{detector.primary}': threshold {old.value:.6g} ({old.note})")
    print(f"now {new.value:.6g} ({new.note}){', statistics fitted anew' if config.statistics else ''}")
    if new.promise is not None:
        print(new.promise)
    for line in told(judged, labelled=config.threshold.rule != "recent"):
        print(line)
    now = provenance()
    calibrated = {k: now[k] for k in ("date", "command", "git_revision")}
    normals = [verdict.path for verdict in before["normal"] if not verdict.error]
    if len(normals) >= 20 and not detector.past:  # what the line looks like: the gauge of drift compares with it
        detector.reference = detector.gauge_reference(normals)
        calibrated["normal"] = len(normals)
    detector.record = detector.record | {"calibrated": calibrated}
    detector.save(config.out)
    if config.csv:
        write_table(config.csv, judged)
    for path in filter(None, (config.out, config.csv)):
        print(path)
    return judged
