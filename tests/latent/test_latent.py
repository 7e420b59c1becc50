"""Samples, maps, clusters and the whole command of the latent maps."""

import json
from pathlib import Path
from types import SimpleNamespace

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from layouts_on_disk import two_folders

from mnad.config import DetectorConfig, ImageConfig, LayoutOptions, ModelConfig, ScoreConfig, TermConfig
from mnad.data.synthetic import draw_wells
from mnad.detector import Detector
from mnad.latent import clusters, embed, figures, sample, sources
from mnad.latent.collect import collect
from mnad.latent.run import CHECKPOINT, COMPARE, LatentConfig, visualize_latent
from mnad.run import UserError
from mnad.run.cli import parse


@pytest.fixture(scope="module")
def wells(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "wells"
    return draw_wells(root, seed=1, n_train=40, n_spills=6, n_test_normal=24, n_test_spill=10)


SMALL = {"images": 60, "queries": 120, "reads": 20, "perplexity": 10, "neighbors": 5}


@pytest.fixture(scope="module")
def written(wells: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command with both shipped checkpoints; embedding is the slow part."""
    out = tmp_path_factory.mktemp("out") / "both"
    config = LatentConfig(checkpoint=CHECKPOINT, compare=COMPARE, data=wells, out=out, threads=1, **SMALL)
    return visualize_latent(config)


def unit(n: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# Samples


def test_small_strata_are_whole_and_the_rest_equal() -> None:
    assert sample.allot(np.array([10000, 154, 1833, 64]), 3000).tolist() == [1391, 154, 1391, 64]
    assert sample.allot(np.array([3, 2]), 10).tolist() == [3, 2]


def test_sample_has_its_size_and_seed() -> None:
    strata = np.repeat(["a", "b", "c"], [500, 20, 300])
    picked = sample.stratified(strata, 101, seed=4)
    assert len(picked) == 101 and (np.diff(picked) > 0).all()
    assert np.array_equal(picked, sample.stratified(strata, 101, seed=4))
    assert not np.array_equal(picked, sample.stratified(strata, 101, seed=5))
    assert sample.counts(strata, picked)["b"] == {"total": 20, "picked": 20}
    assert np.array_equal(sample.stratified(strata, 900, 0), np.arange(820))


def test_sample_smaller_than_its_strata_is_refused() -> None:
    with pytest.raises(UserError, match="sample of 2: smaller than its 3 strata"):
        sample.stratified(np.array(["a", "b", "c"]), 2, 0)


# Sources


def test_wells_know_their_kinds_and_groups(wells: Path) -> None:
    table = sources.wells(wells, ImageConfig()).table
    assert table["set"].value_counts().to_dict() == {"train": 40, "known": 6, "test": 34}
    assert set(table[table["label"] == 1]["kind"]) == {"overflow", "empty"}
    assert set(table[table["set"] == "train"]["group"]) == {"train"}


def test_a_detector_names_the_kinds(wells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, detector = sources.wells(wells, ImageConfig()), Detector.load("wells")
    score = detector.scores["wells"]
    scaled = torch.tensor([[2.0, 1.0], [-1.0, -0.5]] * 8).double()  # of 6 known spills and 10 of the test
    raw = (score.low + scaled * (score.high - score.low)).numpy()
    monkeypatch.setattr(detector, "raw_terms", lambda images, name: {"wells": raw[: len(images)]})
    before = data.table["kind"].copy()
    sources.name_by_term(data, detector)
    anomalous = data.table["label"] == 1
    assert data.table["kind"][anomalous].tolist() == ["relative_wall_hue", "relative_glitter"] * 8
    assert data.table["kind"][~anomalous].equals(before[~anomalous])


def test_a_detector_of_one_term_names_no_kinds(wells: Path) -> None:
    data = sources.wells(wells, ImageConfig())
    one = Detector(
        DetectorConfig(
            model=ModelConfig(width=2, item_dim=8), scores={"psnr": ScoreConfig([TermConfig("psnr")])}, primary="psnr"
        )
    )
    with pytest.raises(UserError, match="kinds: a verdict by psnr alone; expected photographs and a detector of two"):
        sources.name_by_term(data, one)
    data.table = data.table.drop(columns="kind")
    with pytest.raises(UserError, match="kinds: clips of videos; expected photographs"):
        sources.name_by_term(data, one)


def test_kinds_are_checked(tmp_path: Path) -> None:
    assert sources.read_kinds(tmp_path, ["a"]) is None
    (tmp_path / "kinds.csv").write_text("file,kind\na,low\n")
    assert sources.read_kinds(tmp_path, ["a", "b"]) == ["low", "unknown"]
    (tmp_path / "kinds.csv").write_text("\ufefffile,kind\na,NA\nb,\n01,7\n", encoding="utf-8")
    assert sources.read_kinds(tmp_path, ["a", "b", "01"]) == ["NA", "unknown", "7"]
    (tmp_path / "kinds.csv").write_bytes(b"file,kind\na,\xff\n")
    with pytest.raises(UserError, match=r"kinds.csv: cannot be read \("):
        sources.read_kinds(tmp_path, ["a"])
    (tmp_path / "kinds.csv").write_text("name,kind\na,low\n")
    with pytest.raises(UserError, match=r"kinds.csv: no column file; expected file, kind"):
        sources.read_kinds(tmp_path, ["a"])


# Collection


def test_collected_queries_are_those_of_the_model(wells: Path) -> None:
    detector = Detector.load(CHECKPOINT)
    data = sources.wells(wells, detector.config.images)
    images, positions = np.array([3, 50, 70]), np.array([0, 7, 25, 71])
    latent = collect(detector, data, images, positions, batch_size=2)
    with torch.inference_mode():
        x, target = data.source.inputs(images)
        out = detector.model(x)
    flat = out.queries.reshape(-1, out.queries.shape[-1])[positions].numpy()
    np.testing.assert_allclose(latent.levels["positions"].queries, flat, atol=1e-5)
    table = latent.levels["positions"].table
    assert table[["image", "row", "column"]].to_numpy().tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 1], [2, 3, 5]]
    assert table["item"].tolist() == out.attention.argmax(1)[positions].tolist()
    assert latent.counts.tolist() == np.bincount(out.attention.argmax(1), minlength=len(latent.items)).tolist()
    scores = detector.combine({"wells": detector.scores["wells"].raw(target, out).numpy()})["wells"]
    np.testing.assert_allclose(latent.levels["images"].table["score"], scores, rtol=1e-4)
    assert latent.attention["train"].sum(axis=0) == pytest.approx(np.ones(latent.grid), abs=1e-5)
    shown = cv2.imdecode(np.frombuffer(latent.strips[1], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (32, 144, 3) and latent.panels == ("image", "reconstruction", "error")
    assert np.abs(shown[:, :48, ::-1].astype(int) - data.source[50]).mean() < 8


def test_rebuilt_features_are_not_shown_as_pictures(wells: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = Detector.load(CHECKPOINT)
    monkeypatch.setattr(type(detector.model), "gives", frozenset({"distance", "features"}))
    latent = collect(detector, sources.wells(wells, detector.config.images), np.array([3, 50]), np.array([0, 7]))
    assert latent.panels == ("image", "error")
    shown = cv2.imdecode(np.frombuffer(latent.strips[1], np.uint8), cv2.IMREAD_COLOR)
    assert shown.shape == (32, 96, 3)


def test_untrained_constant_network_is_refused(wells: Path) -> None:
    torch.manual_seed(0)
    detector = Detector(DetectorConfig(model=ModelConfig(width=2, item_dim=4)))
    torch.nn.init.zeros_(detector.model.encoder.stage4[-1].weight)
    data = sources.wells(wells, detector.config.images)
    detector.model.eval()
    with pytest.raises(UserError, match="all 3 sampled queries are equal"):
        collect(detector, data, np.arange(2), np.arange(3))


# Numbers


def test_numbers_of_two_separate_blobs() -> None:
    rng = np.random.default_rng(0)
    centres = np.repeat([[1.0, 0, 0], [0, 1.0, 0]], 30, axis=0)
    vectors = centres + 0.01 * rng.standard_normal((60, 3))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.repeat([0, 1], 30)
    table = pd.DataFrame({"file": [f"{i}" for i in range(60)], "label": labels, "kind": labels.astype(str), "item": 0})
    numbers = clusters.measure(vectors, table, {"pca": vectors[:, :2]}, "kind", 0)
    assert numbers["silhouette"]["label"] > 0.95 and numbers["silhouette"]["item"] is None
    assert numbers["anomaly_purity"] == 1
    assert numbers["trustworthiness"]["pca"] > 0.7
    assert {c["anomaly_share"] for c in numbers["hdbscan"]["clusters"]} == {0, 1}
    assert numbers["items"][0]["kind"] == {"0": 30, "1": 30}
    assert json.dumps(numbers, allow_nan=False)


def test_purity_counts_other_points_only() -> None:
    vectors = np.repeat(unit(2), [5, 1], axis=0)  # duplicates: a point may not find itself first
    assert clusters.purity(vectors, np.array([1, 0, 0, 0, 0, 0]), k=4) == 0
    assert clusters.purity(vectors, np.zeros(6), k=4) is None


def test_medoid_is_the_middle() -> None:
    angles = np.array([0.0, 0.1, 0.25, 1.0])
    assert clusters.medoid(np.stack([np.cos(angles), np.sin(angles)], axis=1)) == 2


@pytest.mark.parametrize(
    ("count", "perplexity", "neighbors", "message"),
    [
        (3, 1, 2, "images: expected at least 4, got 3"),
        (20, 30, 5, "perplexity: 30 with 20 images; expected from 1 to 19"),
        (20, 10, 20, "neighbors: 20 with 20 images; expected from 2 to 19"),
    ],
)
def test_too_few_points_are_refused(count: int, perplexity: float, neighbors: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        embed.check_size(count, perplexity, neighbors, "images")


@pytest.mark.slow
def test_maps_are_seeded_and_place_every_part() -> None:
    parts = {"queries": unit(40), "reads": unit(6, seed=1), "items": unit(3, seed=2)}
    first, second = (embed.embed(parts, perplexity=5, neighbors=5, seed=3) for _ in range(2))
    for method in embed.METHODS:
        for name, vectors in parts.items():
            assert first[method][name].shape == (len(vectors), 2)
            np.testing.assert_array_equal(first[method][name], second[method][name])


# The whole command


def test_table_of_kinds_shows_percent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pd.DataFrame({"kind": ["low"] * 4 + ["full"] * 300, "cluster": [0, 0, 0, -1] + [-1] * 299 + [0]})
    drawn = []
    monkeypatch.setattr(figures, "save_figure", lambda figure, *_: drawn.append(figure) or [])
    levels = dict.fromkeys(("images", "positions"), SimpleNamespace(table=table))
    figures.plot_kinds(tmp_path / "kinds.png", levels, "kind", "cluster")
    panel = drawn[0].axes[0]
    assert [tick.get_text() for tick in panel.get_xticklabels()] == ["none", "0"]
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["full", "low"]
    # 299 / 300 of the full and a quarter of the low ones are in no cluster; less than half a percent is left out
    assert [text.get_text() for text in panel.texts] == ["100", "", "25", "75"]
    plt.close(drawn[0])


def test_command_writes_everything(written: Path) -> None:
    found = {path.name for path in written.iterdir()}
    drawn = {"images", "positions", "items", "kinds_items", "kinds_clusters", "compare"}
    others = {"latent.html", "items.html", "latent.json"}
    assert found == {f"{n}.{s}" for n in drawn for s in ("png", "pdf", "caption.md")} | others
    record = json.loads((written / "latent.json").read_text())
    assert set(record["models"]) == {"mnad", "conv_ae"} and record["reported_against"] == "kind"
    memory = record["models"]["mnad"]["memory"]
    assert sum(memory["counts"]) == 60 * 24 and memory["dead_items"] == memory["counts"].count(0)
    level = record["models"]["mnad"]["levels"]["positions"]
    assert torch.get_num_threads() == 1  # as before, whatever UMAP's compiler took
    assert level["points"] == 120 and set(level["trustworthiness"]) == {"pca", "tsne", "umap"}


@pytest.mark.slow
def test_baseline_is_drawn_without_a_memory(wells: Path, tmp_path: Path) -> None:
    out = visualize_latent(LatentConfig(checkpoint=COMPARE, data=wells, out=tmp_path / "alone", **SMALL))
    names = {path.name for path in out.iterdir()}
    assert "images.png" in names and "items.png" not in names and "kinds_items.png" not in names
    record = json.loads((out / "latent.json").read_text())["models"]["conv_ae"]
    assert record["memory"] is None and record["levels"]["images"]["silhouette"]["item"] is None


def test_existing_output_is_kept(wells: Path, tmp_path: Path) -> None:
    (tmp_path / "latent.json").write_text("{}")
    with pytest.raises(UserError, match="already there"):
        visualize_latent(LatentConfig(data=wells, out=tmp_path))


def test_unwritable_output_is_refused_before_the_work(wells: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be made"):
        visualize_latent(LatentConfig(data=wells, out=tmp_path / "file" / "out"))


def test_negative_seed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^seed: expected 0 or more, got -1$"):
        visualize_latent(LatentConfig(out=tmp_path / "out", seed=-1))
    assert not (tmp_path / "out").exists()


def test_more_perplexity_than_images_is_refused(wells: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="perplexity: 90 with 80 images"):
        visualize_latent(LatentConfig(data=wells, out=tmp_path / "out", perplexity=90))
    assert not (tmp_path / "out").exists()


def test_single_class_has_no_numbers_by_label(wells: Path, tmp_path: Path) -> None:
    table = sources.wells(wells, ImageConfig()).table.iloc[:40]
    numbers = clusters.measure(unit(40), table.copy(), {}, "kind", 0)
    assert numbers["silhouette"]["label"] is None and numbers["anomaly_purity"] is None
    assert numbers["anomaly_share"] == 0


def test_prediction_checkpoint_wants_videos(wells: Path) -> None:
    config = DetectorConfig(model=ModelConfig(variant="pred"))
    with pytest.raises(UserError, match="photographs; expected videos"):
        sources.open_images(wells, config)


def test_options_are_parsed() -> None:
    config = parse(LatentConfig, ["--images", "50", "--overwrite", "--page", "false"])
    assert (config.images, config.overwrite, config.page) == (50, True, False)
    for value, expected in (("False", False), ("TRUE", True), ("no", False)):
        assert parse(LatentConfig, ["--overwrite", value]).overwrite is expected
    with pytest.raises(UserError, match=r'"overwrite": Expected a .*bool'):
        parse(LatentConfig, ["--overwrite", "maybe"])


def test_layout_options_reach_the_reader(tmp_path: Path) -> None:
    two_folders(tmp_path, "good", "bad")
    options = LayoutOptions(normal="good", abnormal="bad")
    table = sources.open_images(tmp_path, DetectorConfig(), "two_folders", options).table
    assert table.groupby("label")["file"].first().str.partition("/")[0].tolist() == ["good", "bad"]
    assert parse(LatentConfig, ["--layout_options.normal", "good"]).layout_options.normal == "good"


def test_clips_are_told_apart_by_video_and_frame(tmp_path: Path) -> None:
    for part, video in (("training", "01"), ("testing", "01"), ("testing", "02")):
        folder = tmp_path / part / "frames" / video
        folder.mkdir(parents=True)
        for i in range(6):
            cv2.imwrite(str(folder / f"{i:03d}.jpg"), np.full((32, 48, 3), 20 * i, np.uint8))
    np.save(tmp_path / "frame_labels_x.npy", np.array([[0] * 6 + [0] * 5 + [1]]))
    config = DetectorConfig(model=ModelConfig(variant="pred", width=2, item_dim=4))
    data = sources.open_images(tmp_path, config)
    assert data.table["frame"].tolist() == [4, 5] * 3
    assert data.table["video"].tolist() == ["train 01"] * 2 + ["test 01"] * 2 + ["test 02"] * 2
    assert data.table["group"].tolist() == ["train"] * 2 + ["normal"] * 3 + ["anomaly"]
    torch.manual_seed(0)
    latent = collect(Detector(config), data, np.arange(6), np.arange(0, 6 * 24, 5))
    assert {"video", "frame"} <= set(latent.levels["positions"].table)
