"""The study of the memory: dirty data, interventions, bits, tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import ttest_rel

from figures.memory import difference, seeds_table, spread
from mnad.config import ModelConfig
from mnad.data.images import Images
from mnad.model.build import build_model
from mnad.model.memory import Memory
from mnad.run import UserError
from mnad.run.files import read_json
from mnad.study.config import ROWS, StudyConfig
from mnad.study.dirty import cleanest, dirtied
from mnad.study.interventions import Altered, altered_items, entropy, mutual_information, usage
from mnad.study.run import read_results, stored_seeds

SIZE = (8, 16)


def pictures(count: int, seed: int) -> Images:
    return Images(list(np.random.default_rng(seed).integers(0, 200, (count, *SIZE, 3), dtype=np.uint8)), SIZE)


def test_bits_against_hand_computed_numbers() -> None:
    assert entropy(np.array([1, 1, 2])) == pytest.approx(1.5)
    assert mutual_information(np.array([[3, 0], [0, 3]])) == pytest.approx(1)
    assert mutual_information(np.array([[1, 2], [2, 4]])) == pytest.approx(0)
    # two positions with banks of two: normals read the first item of each, anomalies the second of the first bank
    normal, anomalous = np.array([[0, 2]] * 8), np.array([[1, 2]] * 4)
    found = usage(normal, anomalous, groups=2, count=4, inside=np.array([True, True]))
    assert found["item"] == found["position"] == 1 and found["used"] == 1
    assert found["kind"] == pytest.approx(0.5)  # 1 bit at the first position, none at the second
    assert found["kind_chance"] < 0.3


def test_altered_items() -> None:
    memory = Memory(2, 3, groups=2, unit=False)
    memory.items.copy_(torch.arange(12.0).view(4, 3))
    counts = torch.tensor([3, 1, 0, 5])
    mean = altered_items(memory, "mean", counts)
    assert mean[0].tolist() == mean[1].tolist() == [0.75, 1.75, 2.75] and mean[2].tolist() == [9, 10, 11]
    shuffled = altered_items(memory, "shuffled", counts)
    assert shuffled.view(2, 6).tolist() in (memory.items.view(2, 6).tolist(), memory.items.view(2, 6).flip(0).tolist())
    assert not torch.equal(altered_items(memory, "random", counts), memory.items)


@pytest.mark.parametrize("ours", [True, False])
def test_an_altered_model_with_the_learnt_items_is_the_model(ours: bool) -> None:
    torch.manual_seed(0)
    bank = {"encoder": "local", "query": "standardised", "scope": "position", "addressing": "hard", "sees": "read"}
    options = bank | {"update": "ema"} if ours else {}
    model = build_model(ModelConfig(width=2, items=3, item_dim=4, **options), SIZE).eval()
    x = pictures(2, 0).inputs(np.arange(2))[0]
    with torch.inference_mode():
        one, other = model(x), Altered(model, model.memory.items).eval()(x)
        moved = Altered(model, model.memory.items.flip(0)).eval()(x)
    torch.testing.assert_close(one.output, other.output)
    torch.testing.assert_close(one.distance, other.distance)
    assert torch.equal(moved.nearest, one.nearest) and not torch.equal(moved.output, one.output)


def test_dirty_data_keeps_its_size_and_the_known_anomalies_apart() -> None:
    sources = {"train": pictures(40, 0), "validation": pictures(20, 1)}
    sources["known"] = Images(list(np.full((8, *SIZE, 3), 255, np.uint8)), SIZE)
    found = dirtied(sources, 0.1, seed=0)
    assert {role: len(images) for role, images in found.items()} == {"train": 40, "validation": 20, "known": 4}
    np.testing.assert_array_equal(found["train"].cache[:36], sources["train"].cache[:36])
    assert (found["train"].cache[36:] >= 229).all() and (found["validation"].cache[18:] >= 229).all()  # 0.9 to 1.1
    again = dirtied(sources, 0.1, seed=0)
    np.testing.assert_array_equal(found["train"].cache, again["train"].cache)


def test_the_farthest_images_are_left_out() -> None:
    queries = torch.randn(100, 8, 12, 3, generator=torch.Generator().manual_seed(0))
    queries[90:] += 4
    kept = cleanest(queries, 0.12)
    assert kept.max() < 90 and len(kept) >= 85


def test_rows_and_what_they_change() -> None:
    config = StudyConfig(model=ModelConfig(width=2, items=3, item_dim=8, update="ema"), members=5)
    idle = ROWS["idle4"].config(config)
    assert (idle.model.sees, idle.model.item_dim, idle.members) == ("query", 4, 1)
    assert idle.optim.loss_weights["compactness"] == 0 and config.optim.loss_weights["compactness"] == 0.01
    with pytest.raises(UserError, match=r"rows: expected some of position, .*, got 'none'"):
        StudyConfig(rows=["none"])


def test_difference_is_the_paired_t_interval() -> None:
    one, other = np.array([0.98, 0.97, 0.99]), np.array([0.9, 0.95, 0.92])
    rows = [
        {"row": r, "seed": s, "items": "learnt", "tpr": v}
        for r, a in (("a", one), ("b", other))
        for s, v in enumerate(a)
    ]
    mean, low, high, count = difference(pd.DataFrame(rows), "a", "b", "tpr")
    expected = ttest_rel(one, other).confidence_interval(0.95)
    assert (mean, low, high, count) == pytest.approx(((one - other).mean(), expected.low, expected.high, 3))


def test_command_trains_intervenes_and_goes_on(tiny_wells: Path, tmp_path: Path, script) -> None:
    out = tmp_path / "study"
    arguments = ["--data", tiny_wells, "--out", out, "--optim.epochs=1", "--optim.batch_size=8", "--optim.threads=1"]
    arguments += ["--optim.precision=float32", "--rows=[position,idle4,dirty10]", "--seeds=1", "--dirty_seeds=1"]
    assert script("study_memory", *arguments) == 0
    results = read_results(out)
    assert list(results) == ["faithful", "position", "idle4", "dirty10"]
    assert set(results["position"][0]["scores"]) == {"learnt", "mean", "random", "shuffled"}
    assert set(results["idle4"][0]["scores"]) == {"learnt"} and "mnad" in results["faithful"][0]["scores"]
    assert len(seeds_table(results)) == 4 + 1 + 1 + 5
    stamp = (out / "position/seed0/result.json").stat().st_mtime_ns
    assert script("study_memory", *arguments) == 0 and (out / "position/seed0/result.json").stat().st_mtime_ns == stamp
    assert read_json(out / "config.json")["rows"] == ["position", "idle4", "dirty10"]
    record = read_json(out / "run.json")
    assert " --data DIR --out runs/study --optim.epochs=1 " in record["command"] and len(record["resumed"]) == 1
    text = (out / "study.md").read_text()
    assert "bank of 16 at each position" in text and "## Usage in bits" in text


def stored_table(path: Path, runs: list[tuple[str, int, float]]) -> Path:
    numbers = {"items": "learnt", "tnr": 1.0, "missed": 0, "false_alarms": 0}
    pd.DataFrame([{"row": r, "seed": s, "auroc": v, "tpr": v, **numbers} for r, s, v in runs]).to_csv(path, index=False)
    return path


def test_a_study_goes_on_from_a_stored_table(tiny_wells: Path, tmp_path: Path, script) -> None:
    runs = [("faithful", 0, 0.5), ("idle4", 0, 0.25), ("idle4", 2, 0.75), ("dirty10", 0, 1.0)]
    table = stored_table(tmp_path / "seeds.csv", runs)
    arguments = ["--data", tiny_wells, "--out", tmp_path / "study", "--optim.epochs=1", "--optim.batch_size=8"]
    arguments += ["--optim.threads=1", "--optim.precision=float32", "--seeds=3", "--rows=[idle4]", "--stored", table]
    assert script("study_memory", *arguments) == 0
    assert set(read_results(tmp_path / "study")) == {"idle4"} and set(read_results(tmp_path / "study")["idle4"]) == {1}
    new = read_json(tmp_path / "study/idle4/seed1/result.json")["scores"]["learnt"]["tpr"]
    found = pd.read_csv(tmp_path / "study" / "seeds.csv")
    expected = [("faithful", 0, 0.5), ("idle4", 0, 0.25), ("idle4", 1, new), ("idle4", 2, 0.75), ("dirty10", 0, 1.0)]
    assert list(found[["row", "seed", "tpr"]].itertuples(index=False, name=None)) == expected
    text = (tmp_path / "study" / "study.md").read_text()
    assert f"| no memory, 4-channel bottleneck | 3 | {spread(found['auroc'][1:4], 4)} |" in text
    assert "(1 of 3 seeds)" in text


def test_what_is_no_stored_table(tmp_path: Path) -> None:
    for runs, message in (
        ([("none", 0, 0.5)], "row 'none'; expected some of faithful, position"),
        ([("idle", 1, 0.5), ("idle", 1, 0.6)], "idle, seed 1, learnt twice; expected it once"),
    ):
        config = StudyConfig(stored=stored_table(tmp_path / "seeds.csv", runs))
        with pytest.raises(UserError, match=message):
            stored_seeds(config)
