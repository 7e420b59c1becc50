"""The same on the CPU and on a GPU: parity, training, bfloat16, scores, latent maps, the benchmark."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from devices import on_each_device
from official_names import GOLDEN, small_official
from sharing import SIZE, Noise
from torch.nn import functional as F

from mnad import Detector
from mnad.benchmark.config import BenchmarkConfig, TrainBenchmark
from mnad.benchmark.training import measure_training
from mnad.config import DetectorConfig, ImageConfig, ModelConfig, OptimConfig
from mnad.latent.collect import collect
from mnad.latent.sources import wells
from mnad.model.build import build_model
from mnad.model.memory import Memory
from mnad.model.official import load_official
from mnad.run.files import read_log
from mnad.training.loop import train

TINY = ModelConfig(width=2, items=3, item_dim=4)


@pytest.fixture(autouse=True)
def _whole_float32(monkeypatch):
    """No TF32, so that a GPU rounds like a CPU."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@on_each_device
def test_memory_equals_the_official_one(device):
    with np.load(GOLDEN / "mnad_golden.npz") as golden:
        items, features, read, updated = (
            torch.from_numpy(golden[f"mem_{name}"]) for name in ("items", "query", "read", "updated")
        )
    memory = Memory(4, 16)
    memory.update(items)
    memory.to(device)
    queries = F.normalize(features.to(device), dim=1).permute(0, 2, 3, 1)
    flat = queries.reshape(-1, 16)
    found, _, score = memory.read(flat)
    joined = torch.cat((queries, found.view_as(queries)), dim=-1).permute(0, 3, 1, 2)
    torch.testing.assert_close(joined.cpu(), read, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(memory.updated(flat, score).cpu(), updated, rtol=1e-5, atol=1e-6)


@on_each_device
@pytest.mark.parametrize("variant", ["recon", "pred"])
def test_step_equals_that_of_the_cpu_in_float64(device, variant):
    weights, items = small_official(variant)
    x = torch.rand(2, 12 if variant == "pred" else 3, 32, 48, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = {}
    for where, dtype in (("cpu", torch.float64), (device, torch.float32)):
        model = load_official(weights, items, variant).to(where, dtype).train()
        given = x.to(where, dtype)
        out = model(given)
        loss = F.mse_loss(out.output, given[:, :3]) + 0.1 * out.compactness + 0.1 * out.separateness
        loss.backward()
        last = model.decoder.head[-2].weight.grad
        found[dtype] = [v.detach().cpu().double() for v in (loss, out.output, out.updated_items, last)]
    for value, expected in zip(found[torch.float32], found[torch.float64], strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-5)


class Pictures(Noise):
    """The same in float32."""

    def inputs(self, indices):
        x, target = super().inputs(indices)
        return x.float(), target.float()


@on_each_device
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "auto"])
def test_training(device, precision, tmp_path, capsys):
    last = precision != "float32"
    optim = OptimConfig(epochs=2, batch_size=8, device=device, precision=precision, channels_last=last)
    torch.manual_seed(0)
    model = build_model(ModelConfig(width=8, item_dim=8), SIZE)
    train(model, Pictures(), Pictures(5), optim.resolved("recon"), 0, tmp_path)
    log = read_log(tmp_path / "log.jsonl")
    assert next(model.parameters()).device.type == device
    torch.manual_seed(0)
    exact = build_model(ModelConfig(width=8, item_dim=8), SIZE).double()
    (tmp_path / "exact").mkdir()
    plain = replace(optim, precision="float32", device="cpu").resolved("recon")
    train(exact, Noise(), Noise(5), plain, 0, tmp_path / "exact")
    expected = read_log(tmp_path / "exact" / "log.jsonl")["pixel"]
    assert log["pixel"].to_numpy() == pytest.approx(expected.to_numpy(), rel=5e-3 if precision == "float32" else 0.02)
    assert all(value.dtype == torch.float32 for value in model.state_dict().values() if value.is_floating_point())
    assert ("optim.precision auto: " in capsys.readouterr().out) == (precision == "auto")


@on_each_device
def test_scores(device):
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 48, 3), dtype=np.uint8)
    detector = Detector.load("wells").to("cpu")
    expected = detector.score_all(images)
    found = detector.to(device).score_all(images)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-3, atol=1e-3)


@on_each_device
def test_latent_maps(device, tiny_wells):
    detector = Detector(DetectorConfig(model=TINY, images=ImageConfig(height=16, width=24)))
    data = wells(tiny_wells, detector.config.images)
    latent = collect(detector.to(device), data, np.arange(6), np.arange(36), batch_size=4)
    alone = collect(detector.to("cpu"), data, np.arange(6), np.arange(36), batch_size=4)
    for name, level in alone.levels.items():
        np.testing.assert_allclose(latent.levels[name].queries, level.queries, atol=1e-4)


@on_each_device
def test_benchmark(device, monkeypatch):
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SIZE", 64)
    monkeypatch.setattr("mnad.benchmark.measure.PEAK_SECONDS", 0.0)
    own = TrainBenchmark(model=TINY, height=8, width=8, batch_size=2, rounds=1, steps=1)
    rows = measure_training(BenchmarkConfig(parts=["train"], train=own), torch.device(device))["rows"]
    assert set(rows) == {"straightforward float32", "ours float32", "ours bfloat16"}
    assert all(row["images_per_second"]["median"] > 0 for row in rows.values())
