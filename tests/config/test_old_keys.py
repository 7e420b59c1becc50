"""Words of earlier revisions are read wherever they may stand: command line, YAML, checkpoint."""

from pathlib import Path

import pytest
from helpers import ROOT

from mnad.config import TrainConfig
from mnad.run.checkpoint import read_checkpoint
from mnad.run.cli import parse
from mnad.run.old_keys import modern_argument, modernise


def test_names_are_changed_at_every_depth_and_nothing_else() -> None:
    old = {
        "threshold": {"rule": "spill_quantile", "spill_quantile": 0.02},
        "other": ["spill_quantile", 3, None, "spill"],
    }
    assert modernise(old) == {
        "threshold": {"rule": "anomalous_quantile", "anomalous_quantile": 0.02},
        "other": ["anomalous_quantile", 3, None, "spill"],
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--threshold.spill_quantile=0.02", "--threshold.anomalous_quantile=0.02"),
        ("--threshold.rule=spill_quantile", "--threshold.rule=anomalous_quantile"),
        ("spill_quantile", "anomalous_quantile"),
        ("--data=runs/spill", "--data=runs/spill"),
    ],
)
def test_words_of_a_command_line(old: str, new: str) -> None:
    assert modern_argument(old) == new


def test_command_line_and_yaml_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("threshold: {rule: spill_quantile, spill_quantile: 0.07}\n")
    for argv in (
        ["--config", str(tmp_path / "old.yaml")],
        ["--threshold.rule=spill_quantile", "--threshold.spill_quantile=0.07"],
        ["--threshold.rule", "spill_quantile", "--threshold.spill_quantile", "0.07"],
    ):
        found = parse(TrainConfig, argv).threshold
        assert (found.rule, found.anomalous_quantile) == ("anomalous_quantile", 0.07)


def test_a_shipped_checkpoint_still_has_the_old_word() -> None:
    """Else tests/test_shipped.py would not show that it is read."""
    _, texts = read_checkpoint(ROOT / "checkpoints" / "wells_absolute.safetensors")
    assert texts["thresholds"]["wells"]["rule"] == "spill_quantile"
