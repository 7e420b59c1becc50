"""The copy for inference says what the model says, and follows its weights and its memory."""

import pytest
import torch
from torch import nn

import baselines
from mnad.config import ModelConfig
from mnad.model.build import build_model
from mnad.model.inference import Inference
from mnad.model.mnad import MNAD
from mnad.run import UserError

SIZE = (16, 24)


def trained_a_little(name="mnad", variant="recon", **options):
    """A model whose running statistics are not those of the start."""
    baselines.register()
    model = build_model(ModelConfig(name=name, variant=variant, width=4, item_dim=8, **options), SIZE)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2.0)
    return model.eval()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"variant": "pred"},
        {"encoder": "local", "query": "standardised", "update": "ema"},
        {"name": "conv_ae"},
        {"name": "vae"},
        {"name": "memae"},
    ],
)
@torch.inference_mode()
def test_same_output(options):
    model = trained_a_little(**options)
    x = torch.rand(3, model.in_channels, *SIZE) * 2 - 1
    expected, found = model(x), Inference(model)(x)
    torch.testing.assert_close(found.output, expected.output, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.queries, expected.queries, rtol=1e-4, atol=1e-5)
    if expected.distance is not None:
        torch.testing.assert_close(found.distance, expected.distance, rtol=1e-4, atol=1e-5)


def test_the_input_is_left_alone():
    model = trained_a_little()
    x = torch.rand(1, 3, *SIZE) * 2 - 1
    before = x.clone()
    Inference(model)(x)
    assert torch.equal(x, before)


@torch.no_grad()
def test_changed_weights_and_items_are_seen():
    model = trained_a_little()
    x, run = torch.rand(1, 3, *SIZE) * 2 - 1, Inference(model)
    first = run(x)
    again = run(x)
    assert torch.equal(first.output, again.output)
    model.decoder.head[0].weight.mul_(2)  # in place, as an optimiser does
    torch.testing.assert_close(run(x).output, model(x).output, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(run(x).output, first.output)
    model.memory.update(model.memory.items.flip(0) * -1)
    torch.testing.assert_close(run(x).output, model(x).output, rtol=1e-4, atol=1e-5)
    model.load_state_dict(trained_a_little().state_dict())
    torch.testing.assert_close(run(x).output, model(x).output, rtol=1e-4, atol=1e-5)


@torch.inference_mode()
def test_bfloat16_is_close_and_not_equal():
    model = trained_a_little()
    x = torch.rand(2, 3, *SIZE) * 2 - 1
    expected, found = model(x).output, Inference(model, "bfloat16")(x).output
    assert found.dtype == torch.float32
    assert 0 < (found - expected).abs().max() < 0.05
    assert next(model.parameters()).dtype == torch.float32  # the model is as it was


def test_bfloat16_of_another_network_is_refused():
    with pytest.raises(UserError, match=r"precision: bfloat16 with ConvAE.*; expected float32, or the model mnad"):
        Inference(trained_a_little("conv_ae"), "bfloat16")


def test_a_model_in_training_is_put_into_eval_mode():
    model = MNAD(width=2, item_dim=4).train()
    with torch.no_grad():
        Inference(model)(torch.rand(2, 3, 8, 8))
    assert not model.training
