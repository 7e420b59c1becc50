"""The loop: repeatable, resumable, stops on a loss that is not finite."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny_config

from mnad.config import ThresholdConfig, TrainConfig
from mnad.data.images import Images
from mnad.data.reading import list_images
from mnad.detector import Detector
from mnad.experiment import run_experiment
from mnad.model.build import build_model
from mnad.model.health import memory_health
from mnad.model.mnad import MNAD, Output
from mnad.run import UserError
from mnad.run.cli import parse
from mnad.training.loop import STATE, mirror, train
from mnad.training.losses import loss_terms, total_loss


@pytest.fixture
def source(tiny_wells):
    return Images(list_images(tiny_wells / "train"), (32, 48))


def trained(source, folder, config=None, resume=False, seed=0):
    folder.mkdir(exist_ok=True)
    config = config or tiny_config()
    torch.manual_seed(seed)
    model = build_model(config.model)
    train(model, source, source.subset(range(8)), config.optim, seed, folder, resume)
    return model


def test_same_seed_same_weights_other_seed_other(source, tmp_path):
    first, again, other = (
        trained(source, tmp_path / n, seed=s).state_dict() for n, s in (("a", 0), ("b", 0), ("c", 1))
    )
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["memory.items"], other["memory.items"])


@pytest.mark.parametrize("mirrored", [False, True])
def test_resumed_run_equals_one_that_never_stopped(source, tmp_path, mirrored):
    config = tiny_config()
    config.optim.mirror = mirrored
    whole = trained(source, tmp_path / "whole", config)

    folder = tmp_path / "parts"
    folder.mkdir()
    torch.manual_seed(0)
    model = build_model(config.model)
    seen = []

    def interrupt(model, epoch):
        seen.append(epoch)
        if epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(model, source, source.subset(range(8)), config.optim, 0, folder, after_epoch=interrupt)
    assert seen == [1, 2] and len((folder / "log.jsonl").read_text().splitlines()) == 1
    resumed = trained(source, folder, config, resume=True)
    assert all(torch.equal(v, resumed.state_dict()[k]) for k, v in whole.state_dict().items())
    assert [json.loads(line)["epoch"] for line in (folder / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_mirror_turns_input_and_target_together():
    x = torch.arange(24.0).reshape(4, 1, 2, 3).contiguous(memory_format=torch.channels_last)
    turned, target = mirror(x, x + 100, np.random.default_rng(0))  # draws 0.64, 0.27, 0.04, 0.02
    assert turned[0].tolist() == [[[0, 1, 2], [3, 4, 5]]] and turned[1].tolist() == [[[8, 7, 6], [11, 10, 9]]]
    assert torch.equal(turned[2:], x[2:].flip(-1)) and torch.equal(target, turned + 100)
    assert turned.stride() == x.stride() and x[1, 0, 0].tolist() == [6, 7, 8]  # the input stays as it was


def test_mirror_changes_training(source, tmp_path):
    config = tiny_config()
    plain = trained(source, tmp_path / "plain", config).state_dict()
    config.optim.mirror = True
    mirrored = trained(source, tmp_path / "mirrored", config).state_dict()
    assert not torch.equal(plain["encoder.stage1.0.weight"], mirrored["encoder.stage1.0.weight"])


def test_not_finite_loss_stops_and_keeps_the_last_good_epoch(source, tmp_path):
    good = trained(source, tmp_path / "run").state_dict()
    kept = (tmp_path / "run" / STATE).read_bytes()
    broken = replace(tiny_config().optim, epochs=3, loss_weights={"compactness": 1e300})
    message = r"not finite at epoch 3, step 1 \(total inf, pixel [\d.]+, compactness .*learning rate [\d.e-]+\)"
    with pytest.raises(UserError, match=message) as error:
        trained(source, tmp_path / "run", replace(tiny_config(), optim=broken), resume=True)
    assert "the state after epoch 2 is in" in str(error.value)
    assert (tmp_path / "run" / STATE).read_bytes() == kept
    assert all(torch.isfinite(value).all() for value in good.values())


def test_damaged_state_is_one_line(source, tmp_path):
    trained(source, tmp_path / "run")
    state = tmp_path / "run" / STATE
    state.write_bytes(state.read_bytes()[:200])
    with pytest.raises(UserError, match=r"training\.safetensors: is truncated") as error:
        trained(source, tmp_path / "run", resume=True)
    assert "\n" not in str(error.value)


def test_total_loss_by_hand():
    out = Output(
        torch.full((1, 3, 8, 8), 0.5),
        torch.zeros(1, 1, 1, 2),
        (),
        compactness=torch.tensor(2.0),
        extra_losses={"kl": torch.tensor(3.0)},
    )
    terms = loss_terms(out, torch.zeros(1, 3, 8, 8))
    assert {name: term.item() for name, term in terms.items()} == {"pixel": 0.25, "compactness": 2.0, "kl": 3.0}
    assert total_loss(terms, {"compactness": 0.1, "separateness": 9.0}).item() == pytest.approx(0.45)
    assert total_loss(terms, {"kl": 1.0}).item() == pytest.approx(3.25)


def test_items_change_by_the_update_alone(source, tmp_path):
    model = trained(source, tmp_path / "run")
    assert "memory.items" not in dict(model.named_parameters())
    assert model.memory.items.norm(dim=1).tolist() == pytest.approx([1.0] * 10, abs=1e-5)
    torch.manual_seed(0)
    assert not torch.equal(model.memory.items, build_model(tiny_config().model).memory.items)


def test_log_has_losses_and_memory_health(tiny_run):
    records = [json.loads(line) for line in (tiny_run / "log.jsonl").read_text().splitlines()]
    assert [r["epoch"] for r in records] == [1, 2]
    assert records[1]["pixel"] < records[0]["pixel"]
    assert records[0]["learning_rate"] > records[1]["learning_rate"] > 0
    assert 1 <= records[1]["perplexity"] <= 10 and 0 <= records[1]["dead_items"] < 10
    baseline = (tiny_run / "conv_ae" / "log.jsonl").read_text()
    assert "compactness" not in baseline and "perplexity" not in baseline


def test_memory_health_by_hand():
    items = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]])
    health = memory_health(torch.tensor([3, 3, 0]), items)
    assert health["usage_entropy"] == pytest.approx(np.log(2)) and health["perplexity"] == pytest.approx(2)
    assert health["dead_items"] == 1
    assert health["item_similarity_max"] == pytest.approx(0.8)
    assert health["item_similarity_mean"] == pytest.approx((0 + 0.6 + 0.8) / 3)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--optim.epochs=0"], r"optim\.epochs: expected at least 1, got 0"),
        (["--optim.batch_size=0"], r"optim\.batch_size: expected at least 1, got 0"),
        (["--optim.threads=-1"], r"optim\.threads: expected 0 or more, got -1"),
        (["--optim.learning_rate=0"], r"optim\.learning_rate: expected a number above 0, got 0\.0"),
        (
            ["--optim.loss_weights={compactnes: 0.1}"],
            "'compactnes' is no loss term; expected some of compactness, entropy, kl, separateness",
        ),
        (["--optim.device=abacus"], r"device: 'abacus' is not available on this machine; expected auto, cpu or cuda"),
        (["--threshold.spill_quantile=3"], r"threshold\.anomalous_quantile: expected a number from 0 to 1, got 3\.0"),
        (["--seed=-1"], "seed: expected 0 or more, got -1"),
        (["--model.name=gan"], r"model\.name: expected one of mnad, .*, got 'gan'"),
        (["--model.items=0"], r"model\.items: expected at least 1, got 0"),
        (["--images.height=30"], r"images\.height: expected a positive multiple of 8, got 30"),
        (["--primary=luck"], "primary: expected one of wells, mnad, got 'luck'"),
    ],
)
def test_bad_settings_do_not_touch_a_finished_run(words, message, tiny_run, tiny_wells, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        run_experiment(parse(TrainConfig, ["--data", str(tiny_wells), "--out", str(run), "--overwrite", *words]))
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_resume_keeps_the_record_of_the_training(tiny_run, tiny_wells, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    first = json.loads((run / "provenance.json").read_text())
    assert "resumed" not in first and Detector.load(run).record == first
    config = tiny_config(data=tiny_wells, out=run, compare=["conv_ae"], resume=True)
    run_experiment(replace(config, threshold=ThresholdConfig("midpoint")))
    after = json.loads((run / "provenance.json").read_text())
    assert {key: after[key] for key in first} == first and len(after["resumed"]) == 1
    assert Detector.load(run).record == after
    stored = json.loads((run / "config.json").read_text())
    del stored["optim"]["mirror"]  # as an older revision wrote it
    (run / "config.json").write_text(json.dumps(stored))
    run_experiment(config)
    changed = replace(config, optim=replace(config.optim, mirror=True))
    with pytest.raises(UserError, match=r"config\.json: optim\.mirror is False, now True; expected the same value"):
        run_experiment(changed)


def test_overwrite_empties_runs_of_the_same_command_only(tiny_run, tiny_wells, tmp_path):
    run = Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (run / "config.json").write_text('{"methods": []}')  # of compare_baselines
    with pytest.raises(UserError, match="run: holds other files than a run of this command"):
        run_experiment(tiny_config(data=tiny_wells, out=run, overwrite=True))
    assert (run / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("shape", "variant"), [((1, 3, 30, 48), "recon"), ((1, 3, 32, 48), "pred"), ((3, 32, 48), "recon")]
)
def test_wrong_input_shapes(shape, variant):
    model = MNAD(variant, width=2, item_dim=4)
    with pytest.raises(ValueError, match="H and W divisible by 8"):
        model(torch.zeros(shape))
