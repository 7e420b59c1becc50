"""The straightforward loop computes what ours does: same weights, same batch, two steps."""

import pytest
import torch

from mnad.benchmark.straightforward import LEARNING_RATE, Straightforward, step
from mnad.config import ModelConfig, OptimConfig
from mnad.model.mnad import MNAD
from mnad.training.losses import loss_terms, loss_weights, total_loss


@pytest.mark.parametrize("variant", ["recon", "pred"])
def test_two_steps_equal_ours(variant):
    torch.manual_seed(0)
    config = ModelConfig(variant=variant, width=4, items=5, item_dim=16)
    plain = Straightforward(config).train()
    ours = MNAD(variant, width=4, items=5, item_dim=16).train()
    assert [p.shape for p in ours.parameters()] == [p.shape for p in plain.parameters()]
    for mine, other in zip(ours.parameters(), plain.parameters(), strict=True):
        mine.data.copy_(other.data)
    ours.memory.items.copy_(plain.items)
    optimizers = [torch.optim.Adam(model.parameters(), lr=LEARNING_RATE) for model in (ours, plain)]
    weights = loss_weights(ours, OptimConfig())
    for _ in range(2):
        x, target = torch.rand(2, ours.in_channels, 16, 24) * 2 - 1, torch.rand(2, 3, 16, 24) * 2 - 1
        out = ours(x)
        loss = total_loss(loss_terms(out, target), weights)
        optimizers[0].zero_grad()
        loss.backward()
        ours.memory.update(out.updated_items)
        optimizers[0].step()
        assert step(plain, optimizers[1], x, target).item() == pytest.approx(loss.item(), rel=1e-5)
        torch.testing.assert_close(plain.items, ours.memory.items, rtol=1e-4, atol=1e-5)
