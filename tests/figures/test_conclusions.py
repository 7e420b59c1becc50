"""Each number of each hand-written conclusion is what the stored results say, and so is each claim in words."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import ROOT
from sklearn.metrics import average_precision_score

from figures.architecture import shapes
from figures.conclusions import CONCLUSIONS
from figures.entry import Inputs
from figures.operating import CURVES, RESAMPLES
from figures.qualitative import look, pick
from figures.stored_run import GROUPS, kinds_of_test, metrics, scored_wells
from mnad.config import TrainConfig
from mnad.data.images import Images
from mnad.data.layouts import read_layout
from mnad.data.split_file import relative
from mnad.data.synthetic import SYNTHETIC
from mnad.detector import Detector
from mnad.evaluation.judge import auroc_by_video
from mnad.latent.config import CHECKPOINT
from mnad.model.build import build_model
from mnad.model.mnad import MNAD
from mnad.run.files import read_json, read_log
from mnad.scoring.bootstrap import interval, resampled_counts, weighted_auroc
from mnad.scoring.metrics import auroc

STORED = ROOT / "figures"


def numbers(figure: str) -> list[str]:
    """The numbers of a conclusion in their order, without the commas of thousands."""
    text = re.sub(r"(?<=\d),(?=\d{3})", "", CONCLUSIONS[figure])
    return re.findall(r"-?\d+(?:\.\d+)?", text)


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


@pytest.fixture(scope="module")
def inputs(place_with_wells: Path) -> Inputs:
    return Inputs(STORED, data=place_with_wells / SYNTHETIC)


def test_architecture() -> None:
    config = TrainConfig()
    recon = build_model(config.model)
    pred = MNAD("pred", config.model.width, config.model.items, config.model.item_dim)
    sizes = [sum(p.numel() for p in model.parameters()) for model in (recon, pred)]
    _, rows, columns = shapes(recon, *config.images.size)["queries"]
    weights = config.optim.loss_weights
    expected = [sizes[0], rows * columns, sizes[1], weights["compactness"], weights["separateness"]]
    assert numbers("model/architecture") == [str(value) for value in expected]


def test_training() -> None:
    log = read_log(STORED / "results" / "synthetic" / "log.jsonl")
    first, last = log.iloc[0], log.iloc[-1]
    lowest = log["validation_pixel"].idxmin()
    expected = [len(log), f"{last['pixel']:.4f}", f"{last['validation_pixel']:.4f}"]
    expected += [f"{last['validation_pixel'] / last['pixel']:.2f}", f"{first['validation_pixel']:.4f}"]
    expected += [f"{log['validation_pixel'][lowest]:.4f}", int(log["epoch"][lowest])]
    expected += [f"{last['perplexity']:.1f}", int(last["dead_items"])]
    assert numbers("synthetic/training") == [str(value) for value in expected]


def test_histograms(inputs: Inputs) -> None:
    frame, judged = scored_wells(inputs), metrics(inputs)
    high = {name: frame[f"score_{name}"] >= judged["thresholds"][name]["value"] for name in ("wells", "mnad")}
    count = {
        (name, group): int(flags[frame["group"] == group].sum()) for name, flags in high.items() for group in GROUPS
    }
    total = frame["group"].value_counts()
    expected = [count["wells", "nuisance"], total["nuisance"], count["mnad", "nuisance"], total["plain normal"]]
    expected += [count["wells", "plain normal"], count["mnad", "plain normal"]]
    expected += [count["wells", "overflow"], total["overflow"], count["wells", "empty"], total["empty"]]
    expected += [count["mnad", "overflow"], count["mnad", "empty"]]
    assert numbers("synthetic/histograms") == [str(value) for value in expected]


def test_roc_and_pr(inputs: Inputs) -> None:
    expected, areas = [], []
    for model, score in CURVES:
        frame = scored_wells(inputs, model)
        labels, scores = frame["label"].to_numpy(), frame[f"score_{score}"].to_numpy()
        judged = metrics(inputs, model)["evaluations"]["test"]["scores"][score]
        low, high = interval(weighted_auroc(scores, labels, resampled_counts(labels, RESAMPLES)))
        areas.append((auroc(labels, scores), average_precision_score(labels, scores)))
        values = (areas[-1][0], low, high, areas[-1][1], judged["tpr"], judged["tnr"])
        expected += [f"{value:.3f}" for value in values]
    assert numbers("synthetic/roc_pr") == expected
    assert areas == sorted(areas, reverse=True)  # "ahead on both curves"


def test_qualitative(inputs: Inputs) -> None:
    detector = Detector.load(CHECKPOINT)
    layout = read_layout(inputs.data, "wells", train=False)
    kinds = kinds_of_test(inputs.data)[[relative(file, inputs.data) for file in layout.test]].tolist()
    images = Images(layout.test, detector.config.images.size, name="test")
    chosen = pick(detector.score(images), kinds, detector.thresholds[detector.primary].value)
    panels = [look(detector, images[index], text) for text, index in chosen]
    texts = [panel.text for panel in panels]
    wrong = [text for place, text in enumerate(texts) if text.endswith("spill") != (place >= 4)]
    assert [text.partition(":")[0] for text in wrong] == ["bright", "bar", "overflow"]
    assert all(texts.index(text) % 2 for text in wrong)  # the hardest of each group
    plain, nuisance, overflow, empty = (float(panel.error.mean()) for panel in panels[::2])
    weights = np.stack([panel.attention for panel in panels])
    items = np.stack([panel.item for panel in panels])
    expected = [len(wrong), len(panels), *(re.search(r"\d+\.\d+", text)[0] for text in wrong)]
    expected += [f"{error / plain:.1f}" for error in (nuisance, overflow, empty)]
    expected += [f"{weights.min():.3f}", f"{weights.max():.3f}", f"{1 / len(detector.model.memory.items):.3f}"]
    expected += [f"{100 * (items == items[:1]).all(axis=0).mean():.0f}", len(panels)]
    assert numbers("synthetic/qualitative") == [str(value) for value in expected]


def test_ablation() -> None:
    table = pd.read_csv(STORED / "ablation" / "ablation.csv").set_index("score")
    missed, flagged = 1 - table["tpr_mean"], 1 - table["tnr_mean"]
    worse = np.maximum(missed, flagged)
    within = worse.index[worse <= 0.05]
    assert worse.idxmin() == "wells" and set(within) == {name for name in table.index if name.startswith("wells")}
    expected = [percent(missed["mnad"]), percent(flagged["mnad"]), len(within), len(table), 5]
    expected += [percent(missed["wells"]), percent(flagged["wells"])]
    assert numbers("ablation/ablation") == [str(value) for value in expected]


def test_comparison() -> None:
    table = pd.read_csv(STORED / "baselines" / "comparison.csv").set_index(["method", "score"])
    wells, others = table.xs("wells", level="score"), table.drop(index="wells", level="score")
    area = {key: f"{row['auroc_mean']:.4f}" for key, row in table.iterrows()}
    assert wells["auroc_mean"].idxmin() == "pca"
    good = others[others[["tpr_mean", "tnr_mean"]].min(axis=1) > 0.95]
    best, members = ("wells_memory", "memory"), ("wells_memory_member", "memory")
    control = ("whitened_mean", "distance")
    assert set(good.index) == {best, members, control} and table["auroc_mean"].idxmax() == best
    expected = [len(wells) - 1, area["pca", "wells"], f"{wells['auroc_mean'].max():.4f}", area["mean_image", "wells"]]
    expected += [area["mnad", "mnad"], len(others), len(good), "0.95", area[best]]
    expected += [*(f"{table.loc[best, column]:.4f}" for column in ("auroc_low", "auroc_high"))]
    expected += [int(table.loc[members, "seeds"]), area[members], area[control]]
    expected += [f"{table.loc[control, key]:.3f}" for key in ("tpr_mean", "tnr_mean")]
    assert numbers("baselines/comparison_auroc") == [str(value) for value in expected]


@pytest.mark.parametrize("variant", ["pred", "recon"])
def test_ped2(variant: str) -> None:
    frame = pd.read_csv(STORED / "ped2" / f"scores_{variant}.csv", dtype={"video": str})
    areas = {name: auroc(frame["label"].to_numpy(), frame[f"score_{name}"].to_numpy()) for name in ("mnad", "peak")}
    judged = {video: area for video, area in auroc_by_video(frame, "score_mnad").items() if area is not None}
    best, worst = max(judged, key=judged.get), min(judged, key=judged.get)
    rest = frame[~frame["video"].isin(list(judged))]
    assert rest["label"].all()
    expected = [len(frame), *(f"{100 * area:.2f}" for area in areas.values()), len(judged)]
    expected += [best, f"{100 * judged[best]:.2f}", worst, f"{100 * judged[worst]:.2f}", rest["video"].nunique()]
    assert numbers(f"ped2/curves_{variant}") == [str(value) for value in expected]


def test_ped2_without_the_future() -> None:
    frame = pd.read_csv(STORED / "ped2" / "scores_pred.csv", dtype={"video": str})
    threshold = read_json(STORED / "ped2" / "run.json")["scores_pred"]["threshold"]
    frame["flagged"] = frame["causal_window"] >= threshold
    abnormal, normal = frame[frame["label"] == 1], frame[frame["label"] == 0]
    found = abnormal.groupby("video")["flagged"].mean()
    alarms = normal.groupby("video")["flagged"].sum()
    area = auroc(frame["label"].to_numpy(), frame["causal_window"].to_numpy())
    expected = [f"{threshold:.3f}", 5, percent(abnormal["flagged"].mean()), percent(normal["flagged"].mean())]
    expected += [f"{100 * area:.2f}", found.idxmin(), percent(found.min())]
    expected += [alarms.max(), alarms.sum(), alarms.idxmax()]
    assert numbers("ped2/causal_pred") == [str(value) for value in expected]


def two_digits(value: float) -> str:
    return f"{round(value, 2) + 0.0:.2f}"  # no sign on nothing


def test_latent() -> None:
    models = read_json(STORED / "latent" / "latent.json")["models"]
    memory, levels = models["mnad"]["memory"], models["mnad"]["levels"]
    images, positions = levels["images"], levels["positions"]
    assert models["conv_ae"]["memory"] is None
    busiest = percent(max(memory["counts"]) / sum(memory["counts"]))
    used = [f"{memory['perplexity']:.1f}", memory["items"], memory["dead_items"], busiest]
    expected = {"images": [percent(images["anomaly_purity"]), percent(images["anomaly_share"])]}
    expected["images"] += [two_digits(images["silhouette"]["label"]), 1, 0, len(images["hdbscan"]["clusters"])]
    expected["images"] += [percent(images["hdbscan"]["noise_share"]), *used]
    expected["positions"] = [two_digits(positions["silhouette"][key]) for key in ("item", "label")]
    expected["positions"] += [percent(positions[f"anomaly_{key}"]) for key in ("purity", "share")]
    expected["items"] = [*used, *(two_digits(memory[f"item_similarity_{key}"]) for key in ("mean", "max"))]
    for name, key in (("kinds_items", "item_agreement"), ("kinds_clusters", "cluster_agreement")):
        agreements = [level[key][of] for level in (images, positions) for of in ("label", "kind")]
        expected[name] = [1, 0, *map(two_digits, agreements)]
    other = models["conv_ae"]["levels"]["images"]
    expected["compare"] = [percent(level["anomaly_purity"]) for level in (other, images)]
    expected["compare"] += [two_digits(level["silhouette"]["label"]) for level in (other, images)]
    assert {name: numbers(f"latent/{name}") for name in expected} == {
        name: [str(value) for value in values] for name, values in expected.items()
    }


def test_every_conclusion_is_checked_and_drawn() -> None:
    checked = {
        f"latent/{name}" for name in ("images", "positions", "items", "kinds_items", "kinds_clusters", "compare")
    }
    checked |= set(re.findall(r'numbers\("([\w/]+)"\)', Path(__file__).read_text()))
    checked |= {"ped2/curves_pred", "ped2/curves_recon"}
    assert checked == set(CONCLUSIONS)
    assert all((STORED / f"{name}.caption.md").is_file() for name in CONCLUSIONS)


def test_other_results_have_no_conclusion(tmp_path: Path) -> None:
    assert Inputs(tmp_path).conclusion("ablation/ablation") == "None is written for these results."
    assert Inputs(STORED).conclusion("ablation/ablation") == CONCLUSIONS["ablation/ablation"]


def test_growth() -> None:
    growth = read_json(STORED / "scale" / "growth.json")["growth"]
    width, items = growth["width"], growth["items"]
    expected = [f"{growth[name]['exponent']:.2f}" for name in ("images", "pixels")]
    expected += [str(int(width["x"][0])), str(int(width["x"][-1])), f"{width['y'][-1] / width['y'][0]:.1f}"]
    expected += [f"{width['exponent']:.2f}", "2", str(int(items["x"][0])), str(int(items["x"][-1]))]
    assert numbers("scale/growth") == [*expected, f"{items['y'][-1] / items['y'][0]:.2f}"]
    for row in growth.values():
        slope = np.polyfit(np.log(row["x"]), np.log(row["y"]), 1)[0]
        assert row["exponent"] == pytest.approx(slope)
