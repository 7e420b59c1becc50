"""The comparison as a whole, on miniatures: files, resuming, failures, notes, masks, categories."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from layouts_on_disk import SIZE, mvtec, two_folders

from baselines import registry
from baselines.compare import run_comparison
from baselines.config import CompareConfig
from baselines.figures import GRID, mean_roc
from baselines.method import Method
from baselines.summary import Runs
from baselines.tables import compare_and_tabulate, escape, notes, number, tabulate
from mnad.config import ImageConfig, LayoutOptions, ModelConfig, OptimConfig, ThresholdConfig, mnad_score
from mnad.data.dataset import open_dataset
from mnad.data.images import Images
from mnad.detector import Detector
from mnad.run import NotInstalled, UserError
from mnad.scoring.metrics import judge
from mnad.scoring.threshold import choose_threshold


class Brightest(Method):
    """Score: the brightest pixel, plus a little noise of the seed; counts how often it is fitted."""

    primary = "brightest"
    fits = 0

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        type(self).fits += 1

    def score(self, images: Images) -> np.ndarray:
        noise = np.random.default_rng(self.seed).random(len(images))
        return images.batch(np.arange(len(images))).max(axis=(1, 2, 3)) + noise

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        return images.max(axis=3).astype(np.float32)


class Broken(Method):
    """Fails for every seed but 0."""

    primary = "nothing"

    def fit(self, normal: Images, validation: Images | None = None) -> None:
        if self.seed:
            raise RuntimeError("no luck\nwith this seed")

    def score(self, images: Images) -> np.ndarray:
        return np.zeros(len(images))


class Missing(Method):
    """Stands for a method without its package."""

    def __init__(self, *args: object) -> None:
        raise NotInstalled("package: not installed; expected it")

    def fit(self, normal: Images, validation: Images | None = None) -> None: ...

    def score(self, images: Images) -> np.ndarray: ...


@pytest.fixture(scope="module", autouse=True)
def methods() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("Brightest", "Broken", "Missing"):
            patch.setitem(registry.METHODS, name.lower(), globals()[name])
        yield


def config(root: Path, out: Path, **changes: object) -> CompareConfig:
    base = CompareConfig(
        model=ModelConfig(width=2, item_dim=8),
        images=ImageConfig(*SIZE, validation_fraction=0.25),
        scores={"mnad": mnad_score()},
        primary="mnad",
        data=root,
        out=out,
        seeds=2,
        methods=["mnad", "brightest"],
        resamples=50,
        optim=OptimConfig(epochs=1, batch_size=4, device="cpu"),
    )
    return replace(base, **changes)


@pytest.fixture(scope="module")
def finished(methods: None, tmp_path_factory: pytest.TempPathFactory) -> CompareConfig:
    """A finished comparison on the two-folder miniature with a fifth of the anomalies known."""
    root = tmp_path_factory.mktemp("finished")
    made = config(two_folders(root / "data"), root / "out", layout_options=LayoutOptions(known_fraction=0.2))
    compare_and_tabulate(made)
    return made


@pytest.fixture
def done(finished: CompareConfig, tmp_path: Path) -> CompareConfig:
    """A copy of it that a test may spoil."""
    shutil.copytree(finished.out, tmp_path / "out")
    return replace(finished, out=tmp_path / "out")


@pytest.fixture(autouse=True)
def count_from_zero(finished: CompareConfig) -> None:
    Brightest.fits = 0


def test_files_and_numbers(done: CompareConfig) -> None:
    out = done.out
    table = pd.read_csv(out / "comparison.csv")
    assert table["method"].tolist() == ["mnad", "mnad", "brightest"]
    assert table["score"].tolist() == ["psnr", "mnad", "brightest"]
    for index, (method, score) in enumerate(zip(table["method"], table["score"], strict=True)):
        results = [json.loads((out / method / f"seed-{s}/result.json").read_text()) for s in range(2)]
        values = [result["scores"][score]["auroc"] for result in results]
        assert table["auroc_mean"][index] == pytest.approx(np.mean(values))
        assert table["auroc_sd"][index] == pytest.approx(np.std(values, ddof=1))
        assert table["auroc_low"][index] <= table["auroc_mean"][index] <= table["auroc_high"][index]
    assert table["delta"][0] == pytest.approx(table["auroc_mean"][0] - table["auroc_mean"][1])
    assert np.isnan(table["delta"][1]) and table["auroc_mean"][2] == 1.0
    assert (table["fit_seconds_mean"] >= 0).all() and (table["images_per_second_mean"] > 0).all()
    text = (out / "comparison.md").read_text()
    kept = json.loads((out / "mnad/seed-0/result.json").read_text())["scores"]["mnad"]["validation"]
    assert 0 <= kept["fp"] <= kept["n_normal"] == 4 and table["tnr_validation_mean"].between(0, 1).all()
    doubtful = table.assign(doubts=["", "seed 1: AUROC 0.5 may be chance", ""], note="")
    found = [line for line in notes(doubtful, done, json.loads((out / "data.json").read_text())) if "Doubt" in line]
    assert found == ["Doubt: mnad, score 'mnad', seed 1: AUROC 0.5 may be chance."]
    assert (
        "| mnad | psnr | 2 | " in text
        and "oracle: the largest min(TPR, TNR)" in text
        and "Threshold by the rule" in text
    )
    tex = (out / "comparison.tex").read_text()
    assert "\\toprule" in tex and "$\\pm$" in tex and tex.count("\\\\\n") == 4
    assert (out / "comparison.png").stat().st_size > 10_000
    assert len(json.loads((out / "split.json").read_text())["test_anomalous"]) == 8


def test_threshold_is_honest_and_the_same_rule_for_all(done: CompareConfig) -> None:
    """Recomputed from the method itself: validation normals and known anomalies only."""
    data = open_dataset(done, done.images, "recon")
    for seed in range(2):
        sets = data.sources(seed)
        assert not set(sets["train"].sources) & set(sets["validation"].sources)
        method = Brightest(done, done.optim, seed, done.out)
        threshold = choose_threshold(done.threshold, method.score(sets["validation"]), method.score(sets["known"]))
        expected = judge(method.score(data.test), data.labels, threshold.value)
        stored = json.loads((done.out / f"brightest/seed-{seed}/result.json").read_text())["scores"]["brightest"]
        assert {key: stored[key] for key in ("threshold", "tpr", "tnr")} == {
            key: expected[key] for key in ("threshold", "tpr", "tnr")
        }


def test_another_threshold_rule_needs_no_training(done: CompareConfig) -> None:
    before = pd.read_csv(done.out / "comparison.csv")
    compare_and_tabulate(replace(done, threshold=ThresholdConfig("normal_quantile", normal_quantile=0.0)))
    after = pd.read_csv(done.out / "comparison.csv")
    assert Brightest.fits == 0 and set(after["threshold_rule"]) == {"normal_quantile"}
    assert (after["tnr_mean"] < before["tnr_mean"]).all() and (after["tpr_mean"] == 1).all()
    assert (
        "CHOSEN WITHOUT ANY ANOMALY (rule normal_quantile): the 0.00% quantile"
        in (done.out / "comparison.md").read_text()
    )


def test_resumes_where_it_stopped(done: CompareConfig) -> None:
    run_comparison(done)
    assert Brightest.fits == 0  # all is there
    (done.out / "brightest/seed-1/result.json").unlink()  # as if it had been killed there
    kept = (done.out / "mnad/seed-0/result.json").stat().st_mtime_ns
    run_comparison(replace(done, seeds=3))  # and one more seed
    assert Brightest.fits == 2
    assert (done.out / "mnad/seed-0/result.json").stat().st_mtime_ns == kept
    with pytest.raises(UserError, match=r"config.json: optim.epochs is 1, now 9; expected the same value to resume"):
        run_comparison(replace(done, optim=OptimConfig(epochs=9)))
    run_comparison(replace(done, methods=["brightest"], overwrite=True))
    assert Brightest.fits == 4 and not (done.out / "mnad").exists()


@pytest.fixture
def pair(done: CompareConfig) -> Path:
    """The checkpoint of an untrained ensemble of two, calibrated on what the comparison keeps back with seed 0."""
    torch.manual_seed(0)
    detector = Detector(done.detector(members=2))
    sources = open_dataset(done, done.images, "recon").sources(0)
    detector.fit(sources["train"])
    detector.calibrate(sources["validation"], sources["known"])
    detector.save(done.out.parent / "pair.safetensors")
    return done.out.parent / "pair.safetensors"


def test_finished_detectors_beside_the_methods(done: CompareConfig, pair: Path, capsys) -> None:
    one = replace(done, methods=["brightest"], checkpoints=[str(pair)])
    compare_and_tabulate(one)
    assert Brightest.fits == 0  # those are there
    table = pd.read_csv(done.out / "comparison.csv").set_index("method")
    assert table["seeds"].to_dict() == {"brightest": 2, "pair": 1, "pair_member": 2}
    assert np.isnan(table["fit_seconds_mean"]["pair"])
    with np.load(done.out / "pair/seed-0/scores.npz") as stored:
        together = dict(stored)
    detector, data = Detector.load(pair), open_dataset(done, done.images, "recon")
    np.testing.assert_array_equal(together["test/mnad"], detector.score(data.test))
    sources = data.sources(0)
    np.testing.assert_array_equal(together["validation/mnad"], detector.score(sources["validation"]))
    np.testing.assert_array_equal(together["known/mnad"], detector.score(sources["known"]))
    for seed in range(2):
        alone = Detector(done.detector(members=1), detector.models[seed])
        alone.calibrate(sources["validation"], sources["known"])
        with np.load(done.out / f"pair_member/seed-{seed}/scores.npz") as stored:
            np.testing.assert_array_equal(stored["test/mnad"], alone.score(data.test))
    stamp = (done.out / "pair/seed-0/result.json").stat().st_mtime_ns
    run_comparison(one)
    assert (done.out / "pair/seed-0/result.json").stat().st_mtime_ns == stamp
    capsys.readouterr()
    detector.record = {"another": 1}
    detector.save(pair)
    run_comparison(one)
    assert "seed-0: is of another checkpoint; expected the one of now" in capsys.readouterr().out
    assert (done.out / "pair/seed-0/result.json").stat().st_mtime_ns > stamp


def test_checkpoints_that_cannot_stand_in_the_table(done: CompareConfig, pair: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    for name in ("other/pair", "mnad"):
        shutil.copy(pair, tmp_path / f"{name}.safetensors")
    for checkpoints, message in (
        ([pair, tmp_path / "other/pair.safetensors"], "two are called pair; expected files of different names"),
        ([tmp_path / "mnad.safetensors"], "a method is called mnad, too; expected another name"),
        ([tmp_path / "none.safetensors"], "missing; expected a checkpoint"),
    ):
        with pytest.raises(UserError, match=message):
            run_comparison(replace(done, checkpoints=[str(path) for path in checkpoints]))
    compare_and_tabulate(replace(done, checkpoints=["wells"]))  # of 32 x 48 pixels
    table = pd.read_csv(done.out / "comparison.csv").set_index("method")
    assert "is of 32 x 48 pixels; expected images.height and images.width of it" in table["note"]["wells"]


def test_a_failing_method_does_not_lose_the_others(tmp_path: Path, capsys) -> None:
    root = two_folders(tmp_path / "data")
    one = config(root, tmp_path / "out", methods=["broken", "missing", "brightest"])
    compare_and_tabulate(one)
    table = pd.read_csv(one.out / "comparison.csv").set_index("method")
    assert table["seeds"].to_dict() == {"broken": 1, "missing": 0, "brightest": 2}
    text = (one.out / "comparison.md").read_text()
    assert "broken: failed for 1 of 2 seeds: RuntimeError: no luck with this seed" in text
    assert "missing: left out for 2 of 2 seeds: NotInstalled: package: not installed" in text
    assert "| missing | - | 0 | - |" in text and table["delta"].isna().all()  # no MNAD to compare with
    assert "no luck" in (one.out / "broken/seed-1/traceback.txt").read_text()
    assert "FAILED: broken, seed 1" in capsys.readouterr().out
    run_comparison(one)  # failures are tried again, results are not
    assert Brightest.fits == 2
    with pytest.raises(UserError, match="no method gave a result"):
        compare_and_tabulate(config(root, tmp_path / "none", methods=["missing"]))


def test_without_known_anomalies_the_table_says_so(tmp_path: Path) -> None:
    one = config(
        two_folders(tmp_path / "data"), tmp_path / "out", methods=["brightest"], threshold=ThresholdConfig("balanced")
    )
    compare_and_tabulate(one)
    assert "THRESHOLD CHOSEN WITHOUT ANY ANOMALY" in (one.out / "comparison.md").read_text()
    assert pd.read_csv(one.out / "comparison.csv")["threshold_rule"].tolist() == ["normal_quantile"]


def test_masks_give_pixel_metrics_and_categories_an_overview(tmp_path: Path) -> None:
    for name in ("bottle", "cable"):
        mvtec(tmp_path / "data" / name)
    options = LayoutOptions(category="all")
    one = config(tmp_path / "data", tmp_path / "out", layout_options=options, methods=["brightest", "pixel_knn"])
    with pytest.warns(UserWarning, match="also in the train"):  # two categories of one miniature; plant a duplicate
        good = tmp_path / "data/cable/test/good/000.png"
        good.write_bytes((tmp_path / "data/cable/train/good/000.png").read_bytes())
        compare_and_tabulate(one)
    table = pd.read_csv(one.out / "bottle/comparison.csv").set_index("method")
    assert table.loc["brightest", ["pixel_auroc_mean", "aupro_mean"]].tolist() == pytest.approx([1, 1])
    assert np.isnan(table.loc["pixel_knn", "aupro_mean"])
    assert "AUPRO" in (one.out / "comparison.md").read_text()
    assert "are taken at the image size above" in (one.out / "bottle/comparison.md").read_text()
    assert "2 categories (bottle, cable)" in (one.out / "comparison.md").read_text()
    assert "Warning: 1 test images are also training images" in (one.out / "cable/comparison.md").read_text()
    assert "Warning" not in (one.out / "bottle/comparison.md").read_text()
    before, Brightest.fits = (one.out / "comparison.csv").read_bytes(), 0
    with pytest.warns(UserWarning, match="also in the train"):
        compare_and_tabulate(one)  # finished runs are kept and read again
    assert Brightest.fits == 0 and (one.out / "comparison.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": 0}, "seeds: expected at least 1, got 0"),
        ({"model": ModelConfig("mnad", "pred", 2, 10, 8)}, "model.variant: expected recon for photographs, got pred"),
        ({"methods": ["mnad", "mnad"]}, "methods: expected some of .*, each once, got .*'mnad', 'mnad'"),
        ({"data": None, "layout": "mvtec"}, "data: none; expected a folder of the layout mvtec"),
        ({"methods": ["gan"]}, "methods: expected some of mnad, .*conv_ae, .*, each once, got 'gan'"),
        ({"layout_options": LayoutOptions(category="all")}, "category: 'all' of .*; expected a folder of categories"),
    ],
)
def test_refusals_write_nothing(tmp_path: Path, changes: dict, message: str) -> None:
    one = config(two_folders(tmp_path / "data"), tmp_path / "out")
    with pytest.raises(UserError, match=message):
        compare_and_tabulate(replace(one, **changes))
    assert not (tmp_path / "out").exists()


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/notes.txt").write_text("keep")
    root = two_folders(tmp_path / "data")
    (root / "normal" / "000.png").write_bytes(b"")  # nothing is read before the folder is refused
    with pytest.raises(UserError, match="holds other files than a run"):
        run_comparison(config(root, tmp_path / "out", overwrite=True))
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]
    mvtec(tmp_path / "several/bottle")
    every = LayoutOptions(category="all")
    for overwrite in (False, True):
        one = config(tmp_path / "several", tmp_path / "out", overwrite=overwrite, layout_options=every)
        with pytest.raises(UserError, match="holds other files than a run"):
            compare_and_tabulate(one)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["notes.txt"]


def test_tabulating_again_changes_nothing(done: CompareConfig) -> None:
    before = (done.out / "comparison.csv").read_bytes()
    tabulate(done)
    assert (done.out / "comparison.csv").read_bytes() == before


def test_mean_roc_hand_computed() -> None:
    # four ties of a normal and a spill: (FPR, TPR) = (1/4, 1/4), (1/2, 1/2), (3/4, 3/4), all on one straight line
    tied = {"labels": np.tile([0, 1], 4), "test/a": np.repeat([1.0, 2.0, 3.0, 4.0], 2)}
    perfect = {"labels": np.array([0, 1]), "test/a": np.array([0.0, 1.0])}
    some = [0, 125, 250, 375, 500]
    assert GRID[some].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert mean_roc(Runs(arrays=[tied]), "a")[some].tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert mean_roc(Runs(arrays=[tied, perfect]), "a")[some].tolist() == [0.5, 0.625, 0.75, 0.875, 1]


@pytest.mark.parametrize(("train", "said"), [(3300, False), (3400, True)])  # of 3,300 a tenth is for validation
def test_a_random_choice_is_noted_where_there_was_one(train: int, said: bool) -> None:
    config = CompareConfig(methods=["padim", "patchcore_coarse"], images=ImageConfig(validation_fraction=0.1))
    data = {"root": "wells", "images": {"train": train, "known": 1, "test": 2}, "masks": False}
    lines = notes(pd.DataFrame({"method": ["padim"], "note": [""]}), config, data)
    assert ("padim, patchcore_coarse: fitted on a random choice of 3,000 training images." in lines) == said


def test_small_texts() -> None:
    assert number(0.98765, 0.0012, 3) == "0.988 ± 0.001" and number(1234.0, np.nan, 0) == "1,234"
    assert number(np.nan, np.nan, 3) == "-"
    assert escape("conv_ae 5% ± 1*") == r"conv\_ae 5\% $\pm$ 1$^*$"
