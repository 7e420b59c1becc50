"""Precision ``auto``: what it takes, what it says, and that nothing else changes."""

import itertools
import json
from contextlib import nullcontext

import pytest
import torch
from helpers import ROOT, tiny_config
from sharing import Noise

from mnad.config import OptimConfig, TrainConfig
from mnad.model.build import build_model
from mnad.run.cli import parse
from mnad.training import loop, precision
from mnad.training.loop import train
from mnad.training.precision import adam, resolved


class Pictures(Noise):
    def inputs(self, indices):
        x, target = super().inputs(indices)
        return x.float(), target.float()


def times(monkeypatch, float32, bfloat16):
    """Let a step take so many seconds."""
    found = {"float32": float32, "bfloat16": bfloat16}
    monkeypatch.setattr(precision, "step_of", lambda model, x, target, config: lambda: found[config.precision])


@pytest.mark.parametrize(
    ("bfloat16", "expected"), [(0.010, "bfloat16, channels last"), (0.0195, "float32"), (0.300, "float32")]
)
def test_auto_takes_what_is_faster_and_says_so(bfloat16, expected, monkeypatch, capsys):
    times(monkeypatch, 0.020, bfloat16)
    config = resolved(OptimConfig(precision="auto"), build_model(tiny_config().model), Pictures())
    numbers = f"4 images take 20 ms in float32, {1e3 * bfloat16:.3g} ms in bfloat16"
    assert capsys.readouterr().out == f"optim.precision auto: {expected} ({numbers})\n"
    assert (config.precision, config.channels_last) == (expected.split(",")[0], "," in expected)


@pytest.mark.parametrize("named", ["float32", "bfloat16"])
def test_what_is_named_is_taken_without_a_word(named, monkeypatch, capsys):
    monkeypatch.setattr(precision, "step_of", lambda *_: pytest.fail("measured"))
    config = OptimConfig(precision=named)
    assert resolved(config, build_model(tiny_config().model), Pictures()) is config and not capsys.readouterr().out


def test_an_interruption_does_not_count(monkeypatch):
    times = {"float32": iter([9.0, 0.02, 0.02, 5.0]), "bfloat16": iter([9.0, 3.0, 3.0, 0.01])}
    monkeypatch.setattr(precision, "step_of", lambda model, x, target, config: lambda: next(times[config.precision]))
    monkeypatch.setattr(precision, "MOST", 4)
    configs = [OptimConfig(precision=name) for name in times]
    assert precision.seconds_of_steps(build_model(tiny_config().model), None, None, configs) == [0.02, 0.01]


def test_measuring_changes_neither_model_nor_chance():
    model = build_model(tiny_config().model)
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    resolved(OptimConfig(precision="auto"), model, Pictures())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state) and all(p.grad is None for p in model.parameters())


def test_auto_that_takes_float32_is_float32_to_the_last_bit(monkeypatch, tmp_path):
    times(monkeypatch, 0.01, 0.02)
    states = []
    for named in ("auto", "float32"):
        torch.manual_seed(0)
        model = build_model(tiny_config().model)
        (tmp_path / named).mkdir()
        optim = OptimConfig(epochs=1, batch_size=8, precision=named).resolved("recon")
        train(model, Pictures(), Pictures(4), optim, 0, tmp_path / named)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_a_resumed_run_keeps_its_precision(monkeypatch, tmp_path, capsys):
    times(monkeypatch, 0.02, 0.01)
    model = build_model(tiny_config().model)
    short = OptimConfig(epochs=1, batch_size=8, precision="auto").resolved("recon")
    train(model, Pictures(), Pictures(4), short, 0, tmp_path)
    capsys.readouterr()
    times(monkeypatch, 0.01, 0.02)
    whole = OptimConfig(epochs=2, batch_size=8, precision="auto").resolved("recon")
    train(model, Pictures(), Pictures(4), whole, 0, tmp_path, resume=True)
    assert capsys.readouterr().out == "optim.precision auto: bfloat16, channels last (as the run began)\n"
    assert [json.loads(line)["epoch"] for line in (tmp_path / "log.jsonl").read_text().splitlines()] == [1, 2]


def test_adam_is_fused_only_where_the_configuration_is_fast():
    weights = [torch.nn.Parameter(torch.zeros(3))]
    for numbers, channels_last in itertools.product(("float32", "bfloat16"), (False, True)):
        config = OptimConfig(precision=numbers, channels_last=channels_last)
        found = adam(weights, config, torch.device("cpu")).defaults["fused"]
        assert found == config.fast == (numbers == "bfloat16" and channels_last)


@pytest.mark.parametrize("channels_last", [False, True])
def test_bfloat16_alone_rounds_as_the_shipped_configurations_did(monkeypatch, channels_last):
    """The fast batch normalisation rounds otherwise, and with it a training may end elsewhere."""
    asked = []
    monkeypatch.setattr(loop, "replaced", lambda model, lanes: asked.append(lanes) or nullcontext())
    config = OptimConfig(epochs=1, batch_size=8, precision="bfloat16", channels_last=channels_last).resolved("recon")
    train(build_model(tiny_config().model), Pictures(), Pictures(4), config, 0, None)
    assert set(asked) == {channels_last}


@pytest.mark.parametrize(
    "name", ["wells", "wells_absolute", "wells_memory", "ped2_pred", "ped2_recon", "ped2_pred_paper"]
)
def test_configurations_of_trained_networks_name_their_precision(name):
    path = ROOT / "configs" / f"{name}.yaml"
    assert "precision: " in path.read_text()
    assert parse(TrainConfig, ["--config", str(path)]).optim.precision in ("float32", "bfloat16")
