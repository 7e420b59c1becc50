"""The committed figures: the command on tiny data, the numbers in it against hand-computed ones, the files."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from matplotlib.figure import Figure

from figures import bayes_samples, latent_maps
from figures.architecture import shapes
from figures.catalogue import CATALOGUE
from figures.entry import MARK, Inputs, origin
from figures.operating import precision_at
from figures.qualitative import typical_and_hardest
from mnad.evaluation.judge import auroc_by_video
from mnad.model.mnad import MNAD
from mnad.run.files import read_json
from mnad.scoring.bootstrap import interval
from mnad.scoring.metrics import tpr_at

LABELS = np.array([0, 0, 0, 0, 1, 1])
SCORES = np.array([0.1, 0.2, 0.3, 0.8, 0.7, 0.9])  # one normal lies between the two spills
MEGABYTE = 1_000_000
COMPARISON = pd.DataFrame(
    {
        "method": ["mnad", "pca"],
        "score": ["wells", "error"],
        "seeds": [2, 2],
        "auroc_mean": [0.98, 0.90],
        "auroc_low": [0.97, 0.85],
        "auroc_high": [0.99, 0.95],
        "tpr_mean": [0.96, 0.8],
        "tnr_mean": [0.97, 0.99],
    }
)
VIDEOS = pd.DataFrame(
    {"video": ["01"] * 4 + ["02"] * 2, "frame": [4, 5, 6, 7, 4, 5], "label": [0, 0, 1, 1, 1, 1]}
    | {"score_mnad": [0.1, 0.6, 0.5, 0.9, 0.2, 0.3], "score_peak": [0.1, 0.2, 0.5, 0.9, 0.2, 0.3]}
    | {"causal_window": [-1, 0.2, 2, 3, 4, 5.5]}
)


@pytest.fixture(scope="module")
def results(tiny_run: Path, tmp_path_factory) -> Path:
    """A folder of stored results, all tiny."""
    folder = tmp_path_factory.mktemp("results")
    shutil.copytree(tiny_run, folder / "results" / "synthetic")
    shutil.copytree(ROOT / "figures" / "ablation", folder / "ablation", ignore=shutil.ignore_patterns("*.p*", "*.md"))
    for name, frame in {"baselines/comparison.csv": COMPARISON, "ped2/scores_online.csv": VIDEOS}.items():
        (folder / name).parent.mkdir()
        frame.to_csv(folder / name, index=False)
    (folder / "ped2" / "run.json").write_text(
        '{"scores_online": {"command": "python scripts/evaluate.py", "date": "2026-11-22", "primary": "window", '
        '"threshold": 1.5}}'
    )
    row = {"x": [1.0, 2.0], "y": [3.0, 6.0], "exponent": 1.0, "unit": "ms of an image"}
    growth = {name: row for name in ("images", "pixels", "width", "items")}
    (folder / "scale").mkdir()
    stored = {"benchmark": ["growth"], "processor": "any", "threads": 2, "growth": growth}
    (folder / "scale" / "growth.json").write_text(json.dumps(stored))
    return folder


def arguments(results: Path, tiny_run: Path, tiny_wells: Path, out: Path) -> list[object]:
    return ["--results", results, "--checkpoint", tiny_run / "model.safetensors", "--data", tiny_wells, "--out", out]


def check_figure(path: Path) -> None:
    """PNG, PDF with embedded TrueType fonts and no date, caption; none of them large."""
    pdf = path.with_suffix(".pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/CreationDate" not in pdf, path
    assert b"/Subtype /Type3" not in pdf, path
    text = path.with_name(f"{path.stem}.caption.md").read_text(encoding="utf-8")
    assert re.match(r"<!-- drawn by scripts/\w+\.py -->\n# ", text) and all(
        f"**{part}.** " in text for part in ("Shows", "From", "Conclusion")
    )
    assert "nan" not in text.replace("-", " ").split(), text
    assert 1000 < path.stat().st_size < MEGABYTE and len(pdf) < MEGABYTE, path


def test_command_draws_what_is_stored(script, results, tiny_run, tiny_wells, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("figures.operating.RESAMPLES", 20)
    drawn = [name for name in CATALOGUE if name not in ("latent", "bayes")]
    call = ("make_figures", *arguments(results, tiny_run, tiny_wells, tmp_path), "--only", json.dumps(drawn))
    assert script(*call) == 0
    expected = {
        "model/architecture", "synthetic/training", "synthetic/histograms", "synthetic/roc_pr", "synthetic/qualitative",
        "ablation/ablation", "baselines/comparison_auroc", "ped2/curves_online",
        "ped2/causal_online", "scale/growth",
    }  # fmt: skip
    found = {str(path.relative_to(tmp_path).with_suffix("")) for path in tmp_path.rglob("*.png")}
    assert found == expected
    for stem in found:
        check_figure(tmp_path / f"{stem}.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == 3 * len(expected)  # nothing else is left behind
    capsys.readouterr()
    assert script(*call) == 0  # replaces what it made, with the same bytes
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert "2026-11-22" in (tmp_path / "ped2" / "curves_online.caption.md").read_text()


def test_missing_results_are_skipped(script, tmp_path, capsys):
    call = ("make_figures", "--results", tmp_path / "none", "--out", tmp_path / "out", "--only", "[ped2, ablation]")
    assert script(*call) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and all(line.startswith("skipped ") and "; expected " in line for line in lines)
    assert not (tmp_path / "out").exists()


def test_files_from_elsewhere_are_kept(script, results, tmp_path, capsys):
    theirs = tmp_path / "ablation" / "ablation.png"
    theirs.parent.mkdir()
    theirs.write_text("precious")
    assert script("make_figures", "--results", results, "--out", tmp_path, "--only", "ablation") == 2
    assert "ablation.png: exists and was not made by this command" in capsys.readouterr().err
    assert theirs.read_text() == "precious" and len(list(theirs.parent.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_named(script, results, tmp_path, capsys):
    (tmp_path / "out").write_text("a file, no folder")
    assert script("make_figures", "--results", results, "--out", tmp_path / "out", "--only", "ablation") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()[-1:]
    assert line.startswith("error: ") and "ablation.caption.md: cannot be written (" in line


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (["--only", "histogram"], "one of architecture, training"),
        (["--data", "."], "a folder of drawn wells"),
        (["--onyl", "latent"], "onyl"),
    ],
)
def test_bad_input_is_one_line(script, tmp_path, capsys, wrong, message):
    assert script("make_figures", "--out", tmp_path / "out", *wrong) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and error[0].startswith("error: ") and message in error[0]


def test_latent_figures_need_a_memory(script, tiny_run, tmp_path, capsys):
    checkpoint = tiny_run / "conv_ae"
    assert script("make_figures", "--only", "latent", "--checkpoint", checkpoint, "--out", tmp_path / "out") == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error == [f"error: {checkpoint}: has no memory; expected an MNAD"]


def test_scores_of_other_images_are_refused(script, results, tiny_run, tiny_wells, tmp_path, capsys):
    other = shutil.copytree(results, tmp_path / "results")
    table = other / "results" / "synthetic" / "scores.csv"
    frame = pd.read_csv(table, dtype={"file": str})
    frame.assign(label=1 - frame["label"]).to_csv(table, index=False)
    call = arguments(other, tiny_run, tiny_wells, tmp_path / "out")
    assert script("make_figures", *call, "--only", "histograms") == 2
    assert "scores.csv: judges other images" in capsys.readouterr().err


def test_a_table_without_a_column_is_named(script, results, tmp_path, capsys):
    other = shutil.copytree(results, tmp_path / "results")
    COMPARISON.drop(columns="auroc_low").to_csv(other / "baselines" / "comparison.csv", index=False)
    assert script("make_figures", "--results", other, "--out", tmp_path / "out", "--only", "comparison") == 2
    assert "comparison.csv: no column auroc_low" in capsys.readouterr().err


def test_tpr_at_hand_computed():
    # thresholds 0.9, 0.8, 0.7: (FPR, TPR) = (0, 1/2), (1/4, 1/2), (1/4, 1)
    assert tpr_at(LABELS, SCORES, np.array([0, 0.2, 0.25, 1])).tolist() == [0.5, 0.5, 1, 1]
    # the spill at 0.9 counts three times
    weights = np.array([1, 1, 1, 1, 1, 3])
    assert tpr_at(LABELS, SCORES, np.array([0]), weights).tolist() == [0.75]


def test_precision_at_hand_computed():
    # recall 1/2 with one image flagged (precision 1), recall 1 with three (2/3)
    found = precision_at(LABELS, SCORES, np.array([0, 0.5, 0.51, 1]))
    assert found == pytest.approx([1, 1, 2 / 3, 2 / 3])
    weights = np.array([1, 1, 1, 2, 1, 1])  # the normal at 0.8 twice: 2 of 4
    assert precision_at(LABELS, SCORES, np.array([1.0]), weights) == pytest.approx([0.5])


def test_interval_hand_computed():
    values = np.arange(41.0)[:, None] * [1, 10]  # 2.5 % of 40 is 1, 97.5 % is 39
    assert interval(values).tolist() == [[1, 10], [39, 390]]


def test_typical_and_hardest():
    scores = np.array([3.0, 1.0, 2.0, 9.0])
    assert typical_and_hardest(scores, spill=True) == (2, 1)  # lower median 2, lowest 1
    assert typical_and_hardest(scores, spill=False) == (2, 3)


def test_video_auc_hand_computed():
    # video 01: pairs (0.1, 0.5), (0.1, 0.9), (0.6, 0.9) right, (0.6, 0.5) wrong; video 02 has one label
    assert auroc_by_video(VIDEOS, "score_mnad") == {"01": 0.75, "02": None}


def test_shapes_follow_the_model():
    found = shapes(MNAD("recon", 4, 3, 16), 16, 24)
    assert found["input"] == (3, 16, 24) and found["encoder.stage1"] == (4, 16, 24)
    assert found["queries"] == (16, 2, 3) and found["joined"] == (32, 2, 3)
    assert found["decoder.block4"] == (32, 2, 3) and found["decoder.up4"] == (32, 4, 6)
    assert shapes(MNAD("pred", 4, 3, 16), 16, 24)["decoder.up4"] == (16, 4, 6)  # the skip brings the other 16


def test_origin(tmp_path):
    assert origin(tmp_path).endswith("date not stored.")
    (tmp_path / "provenance.json").write_text('{"date": "2026-11-22T21:34:26+00:00", "git_revision": "abc"}')
    (tmp_path / "run.json").write_text('{"command": "python x.py"}')
    assert origin(tmp_path) == "`python x.py`, 2026-11-22, revision abc."


def committed() -> list[Path]:
    return sorted((ROOT / "figures").rglob("*.png"))


@pytest.mark.parametrize("path", committed(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_committed_figures(path):
    check_figure(path)


@pytest.mark.parametrize("name", [*CATALOGUE])
def test_committed_captions_are_what_the_code_writes(name, place_with_wells, tmp_path, monkeypatch):
    monkeypatch.chdir(place_with_wells)
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_bytes(b""))  # captions alone
    stored = ROOT / "figures"
    if name == "latent":  # its maps take minutes
        found = latent_maps.captions(read_json(stored / "latent" / "latent.json"), Inputs(stored))
    elif name == "bayes":  # its pictures need an extra
        found = bayes_samples.captions()
    else:
        found = CATALOGUE[name](Inputs(stored), tmp_path).captions
    assert found
    for stem, caption in found.items():
        assert (stored / f"{stem}.caption.md").read_text(encoding="utf-8") == caption.markdown(MARK), stem
