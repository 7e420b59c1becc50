"""scripts/robustness.py end to end on drawn wells, the summary by hand, and the columns of the comparison."""

import json

import numpy as np
import pandas as pd
import pytest
from helpers import tiny_config

from mnad.data.changes import Change
from mnad.evaluation.robustness import changed_sets, plot_robustness, robustness, summary, table_changes, to_markdown
from mnad.run import UserError


class Brightness:
    """Scores the mean grey level; the threshold lies at 100."""

    def __init__(self):
        from mnad.scoring.threshold import Threshold

        self.thresholds = {"level": Threshold(100.0, "normal_quantile", "by hand")}

    def score_all(self, images, name="images", counts=None):
        return {"level": images.batch(np.arange(len(images))).mean(axis=(1, 2, 3)).astype(float)}


def flat_images():
    from mnad.data.images import Images

    return Images([np.full((32, 48, 3), level, np.uint8) for level in (90, 98, 102, 120)], (32, 48))


def test_metrics_by_hand():
    """Normals 90 and 98, anomalies 102 and 120: darker by a fifth only 120 would stay, brighter 98 is flagged."""
    changes = [Change(), Change.parse("brightness=0.9"), Change.parse("brightness=1.05")]
    frame = robustness(Brightness(), changed_sets(flat_images(), changes), np.array([0, 0, 1, 1]))
    assert frame["tpr"].tolist() == [1, 0.5, 1] and frame["tnr"].tolist() == [1, 1, 0.5]
    assert frame["auroc"].tolist() == [1, 1, 1] and frame["strength"].tolist()[1:] == [0.9, 1.05]
    assert frame["tpr_low"][0] == pytest.approx(0.342, abs=1e-3)  # Wilson, 2 of 2
    found = summary(frame)
    assert (found["clean"], found["mean"], found["worst"]) == (1, 0.5, 0.5)
    assert (found["worst_change"], found["lowest_tnr_change"]) == ("brightness=0.9", "brightness=1.05")
    assert "| brightness=0.9 | 0.500 [0.095, 0.905] | 1.000 [0.342, 1.000] |" in to_markdown(frame)


def test_columns_after_recent_images():
    """Scores 100 to 119 of normals and 200 of few anomalies: median 109.5, the threshold comes down from 1,000."""
    from mnad.data.images import Images

    scorer = Brightness()
    scorer.thresholds["level"].value = 1000.0
    levels = [*np.tile(np.arange(100, 120), 20), *[200] * 8]
    images = Images([np.full((8, 8, 3), level, np.uint8) for level in levels], (8, 8))
    labels = np.r_[np.zeros(400, int), np.ones(8, int)]
    frame = robustness(scorer, changed_sets(images, [Change(), Change.parse("brightness=1.1")]), labels, recent=200)
    assert frame["tpr"].tolist() == [0, 0] and frame["recent_tpr"].tolist() == [1, 1]
    assert frame["recent_tnr"].tolist() == [1, 1] and frame["recent_tnr_low"].tolist() == [1, 1]
    assert summary(frame)["recent_lowest_tpr"] == 1
    assert "| none | 0.000 [0.000, 0.324] | 1.000 [0.990, 1.000] | 1.0000 [1.0000, 1.0000] | 1.000 [1.000] |" in (
        to_markdown(frame)
    )


def test_the_whole_table():
    changes = table_changes()
    texts = [str(change) for change in changes]
    assert texts[0] == "none" and len(set(texts)) == len(texts) and not any("grey" in text for text in texts)
    singles = pd.Series([change.steps[0][0] for change in changes if len(change.steps) == 1])
    assert (singles.value_counts().drop("mirror") >= 3).all()
    assert sum("+" in text for text in texts) == 13 and not any("+" in str(c) for c in table_changes(pairs=False))
    assert [str(c) for c in table_changes(["blur=3", "mirror"])] == ["none", "blur=3", "mirror=1"]
    with pytest.raises(UserError, match="changes: none; expected at least one"):
        table_changes([])


def test_figure_needs_several_strengths(tmp_path):
    rows = [{"change": "none", "kind": "", "strength": np.nan, "score": "level"}]
    rows += [{"change": f"blur={s}", "kind": "blur", "strength": s, "score": "level"} for s in (1, 2)]
    frame = pd.DataFrame(
        [row | {f"{r}{e}": 0.9 for r in ("tpr", "tnr") for e in ("", "_low", "_high")} for row in rows]
    )
    assert plot_robustness(tmp_path / "a.png", frame[:2]) == []
    assert [path.name for path in plot_robustness(tmp_path / "a.png", frame)] == ["a.png", "a.pdf"]


def test_script(tiny_run, tiny_wells, tmp_path, script, capsys):
    arguments = ("--checkpoint", tiny_run, "--data", tiny_wells, "--json", tmp_path / "r.json", "--out", tmp_path / "o")
    assert script("robustness", *arguments, "--changes", '["blur","noise=5"]') == 0
    assert "| blur=0.5 |" in capsys.readouterr().out
    found = json.loads((tmp_path / "r.json").read_text())
    assert set(found) == {"robustness", "primary", "rows"} and set(found["robustness"]) == {"wells", "mnad"}
    assert len(found["rows"]) == 2 * 6 and found["rows"][0]["change"] == "none"
    assert sorted(path.name for path in (tmp_path / "o").iterdir()) == [
        "robustness.csv",
        "robustness.md",
        "robustness.pdf",
        "robustness.png",
    ]
    clean = json.loads((tiny_run / "metrics.json").read_text())["evaluations"]["test"]["scores"]["wells"]
    assert found["rows"][0]["tpr"] == clean["tpr"] and found["rows"][0]["auroc"] == clean["auroc"]
    assert script("robustness", *arguments, "--changes", '["noise=5"]') == 2
    assert "already there" in capsys.readouterr().err
    assert script("robustness", *arguments[:4], "--recent=200") == 2
    assert "recent: 200; expected a number from 100 to half of the 28 test images" in capsys.readouterr().err
    assert script("robustness", *arguments[:4], "--changes", '["fog=1"]') == 2
    assert "change 'fog=1': 'fog' is unknown; expected some of" in capsys.readouterr().err


def test_columns_of_the_comparison(tiny_wells, tmp_path, monkeypatch):
    from baselines import compare
    from baselines.config import CompareConfig
    from baselines.tables import compare_and_tabulate

    few = [Change(), Change.parse("blur=2"), Change.parse("brightness=0.5")]
    monkeypatch.setattr(compare, "table_changes", lambda: few)
    one = tiny_config()
    config = CompareConfig(
        data=tiny_wells, out=tmp_path / "c", seeds=1, methods=["mean_image"], robustness=True, resamples=10,
        model=CompareConfig().model, images=one.images, optim=one.optim,
    )  # fmt: skip
    compare_and_tabulate(config)
    table = (tmp_path / "c" / "comparison.md").read_text()
    assert "| clean | mean over changes | worst change |" in table
    rows = pd.read_csv(tmp_path / "c" / "comparison.csv").set_index("score")
    assert (rows["robust_worst_mean"] <= rows["robust_mean_mean"]).all()
    assert set(rows["robust_worst_change"]) <= {"blur=2", "brightness=0.5"}
