"""The shipped ensemble with a memory of each position: its file, its verdicts and, where the data is, its card."""

import numpy as np
import pytest
from helpers import ROOT

from mnad.config import TrainConfig
from mnad.data.dataset import Photographs
from mnad.data.drawing import draw_well
from mnad.data.images import resize
from mnad.detector import Detector
from mnad.evaluation.judge import TEST, evaluate
from mnad.run.cli import parse

CHECKPOINT = ROOT / "checkpoints" / "wells_memory.safetensors"


def shrunk(well: np.ndarray) -> np.ndarray:
    return resize(well, (32, 48))


def test_file_and_configuration() -> None:
    assert CHECKPOINT.stat().st_size < 10e6
    detector = Detector.load("wells_memory")
    config = parse(TrainConfig, ["--config", str(ROOT / "configs" / "wells_memory.yaml")])
    assert detector.config.detector() == config.detector()
    assert len(detector.models) == 5 and detector.model.memory.items.shape == (96 * 32, 32)
    assert detector.thresholds["memory"].note == (
        "the 1.00% quantile of 924 known anomalies; 1 changed copies of each normal, 5 of each anomaly among them"
    )
    names = {term.name for term in config.scores["memory"].terms}
    assert names == {"ellipse_whitened_error", "ellipse_distance"}  # nothing made for spills


def test_the_members_agree_and_differ() -> None:
    detector = Detector.load("wells_memory")
    wells = [draw_well(np.random.default_rng([7, i]), kind) for i in range(3) for kind in ("empty", "full")]
    verdicts = list(detector.predict(wells))
    raw = detector.raw_terms(np.stack([shrunk(well) for well in wells]))["memory"]
    assert raw.shape == (6, 25) and len(np.unique(raw[0, ::5])) == 5
    assert [v.score for v in verdicts] == pytest.approx(detector.score([shrunk(well) for well in wells]).tolist())


def test_numbers_on_the_development_half(photographs_of_wells: Photographs) -> None:
    detector = Detector.load("wells_memory")
    assert detector.config.images == photographs_of_wells.images
    result = evaluate(detector, photographs_of_wells)[TEST].scores["memory"]
    assert result["tpr"] > 0.95 and result["tnr"] > 0.95
    card = (ROOT / "checkpoints" / "README.md").read_text(encoding="utf-8")
    counts = result["confusion"]
    for number in (f"{counts['tp']} of 64", f"{counts['tn']} of 1,833", f"{result['auroc']:.4f}"):
        assert number in card
