"""The shipped detector: its file, its card and, where the dataset is at hand, its numbers."""

import numpy as np
import pytest
from helpers import ROOT
from video_data import walk, write_frames

from mnad.config import CausalConfig
from mnad.data.drawing import draw_well
from mnad.data.reading import resize
from mnad.detector import Detector
from mnad.evaluation.judge import evaluate
from mnad.line.scoring import score
from mnad.line.sources import shots

CHECKPOINT = ROOT / "checkpoints" / "wells.safetensors"
ABSOLUTE = CHECKPOINT.with_stem("wells_absolute")  # as shipped until 2026-11-24
GOLDEN = {
    "full": [-0.05446964502, -7.398627758],
    "overflow": [0.05974718928, -6.471090317],
    "empty": [0.09161174297, -8.894970894],
}


@pytest.mark.parametrize(
    ("file", "note"),
    [
        (CHECKPOINT, "the 1.00% quantile of 924 known anomalies; 1 changed copies of each normal, 5 of each anomaly"),
        (ABSOLUTE, "the 1.00% quantile of 154 known spills"),  # the file says spill_quantile
    ],
)
def test_file_and_configuration(file, note):
    assert file.stat().st_size < 10e6
    detector = Detector.load(file)
    assert detector.config.model.name == "mnad" and detector.primary == "wells"
    assert detector.thresholds["wells"].rule == "anomalous_quantile"
    assert detector.thresholds["wells"].note.startswith(note)
    assert detector.record["git_revision"] and detector.record["packages"]["torch"]


def test_what_holds_when_the_light_changes():
    detector = Detector.load(CHECKPOINT)
    assert detector.scores["wells"].names == ["relative_wall_hue", "relative_glitter"]
    assert detector.correction.reference.tolist() == pytest.approx([0.902, 1.1373, 0.9961], abs=1e-4)
    assert detector.reference.values.shape == (1000, 8)
    assert Detector.load(ABSOLUTE).correction is None and Detector.load(ABSOLUTE).reference is None


def test_the_older_detector_scores_as_ever():
    """Raw terms of three drawn wells, written down before the correction came (2026-11-25)."""
    detector = Detector.load(ABSOLUTE)
    wells = [resize(draw_well(np.random.default_rng([7, i]), kind), (32, 48)) for i, kind in enumerate(GOLDEN)]
    for found, expected in zip(detector.raw_terms(wells)["wells"], GOLDEN.values(), strict=True):
        assert found == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["wells", "wells_absolute", "synthetic", "synthetic_conv_ae"])
def test_every_checkpoint_loads(name):
    detector = Detector.load(CHECKPOINT.with_stem(name))
    assert detector.primary == "wells" and list(detector.scores) == list(detector.thresholds) == ["wells", "mnad"]


def test_the_detector_of_ped2_judges_a_film_without_its_future(tmp_path):
    """Its own domain is not drawn here; that the verdicts of a beginning stay what they are holds for any film."""
    assert CHECKPOINT.with_stem("ped2_pred").stat().st_size < 10e6
    detector = Detector.load("ped2_pred")
    assert detector.past == 4 and detector.primary == "window" and detector.size == (128, 192)
    assert detector.scores["window"].causal == CausalConfig(past=2500, prior=2500, accept=2, average=7)
    threshold = detector.thresholds["window"]
    assert threshold.note.startswith("the 95.00% quantile of 2486 validation normals; 2340 of the normals are")
    assert detector.record["git_revision"] and detector.record["resumed"][0]["git_revision"]  # scored anew
    frames = write_frames(tmp_path / "film", walk(12, 1, 0))
    whole = [one.verdict for one in score(detector, shots([frames]))]
    assert [bool(verdict.error) for verdict in whole] == [True] * 4 + [False] * 8
    for path in sorted(frames.iterdir())[8:]:
        path.unlink()
    part = [one.verdict.score for one in score(detector, shots([frames]))]
    assert part[4:] == pytest.approx([verdict.score for verdict in whole[4:8]])


def test_a_bare_wall_scores_above_metal():
    """Drawn wells are another domain than the photographs, but blue wall instead of metal is the same physics."""
    detector = Detector.load(CHECKPOINT)

    def mean_hue(kind):
        wells = [resize(draw_well(np.random.default_rng([7, i]), kind), (32, 48)) for i in range(12)]
        return detector.raw_terms(wells)["wells"][:, detector.scores["wells"].names.index("relative_wall_hue")].mean()

    assert mean_hue("empty") > mean_hue("full") + 0.02


@pytest.mark.parametrize("file", [CHECKPOINT, ABSOLUTE])
def test_numbers_on_the_development_half(file, photographs_of_wells):
    result = evaluate(Detector.load(file), photographs_of_wells)["test"].scores["wells"]
    assert (result["n_anomalous"], result["n_normal"]) == (64, 1833)
    assert result["tpr"] > 0.95 and result["tnr"] > 0.95
    card = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    counts = result["confusion"]
    for number in (f"{counts['tp']} of 64", f"{counts['tn']} of 1,833", f"{result['auroc']:.4f}"):
        assert number in card, f"the model card should say {number}"
