"""Batch normalisation in rows of several pixels equals the plain one."""

import pytest
import torch
from torch import nn

from mnad.model.norm import lanes_of, replaced


def passed(norm, x, weight):
    """Output, gradients and statistics after one pass of ``x``, whose output counts ``weight``."""
    x = x.clone().requires_grad_()
    y = norm(x)
    (y.relu() * weight).sum().backward()
    statistics = norm.running_mean, norm.running_var, norm.num_batches_tracked
    return [v.detach().double() for v in (y, x.grad, norm.weight.grad, norm.bias.grad, *statistics)]


def made(channels, dtype, momentum):
    norm = nn.BatchNorm2d(channels, momentum=momentum).to(dtype)
    with torch.no_grad():
        norm.weight.copy_(torch.arange(channels) * 0.2 + 0.3)
        norm.bias.fill_(0.1)
    return norm


@pytest.mark.parametrize(("channels", "lanes"), [(4, 16), (8, 8), (16, 4)])
@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)]
)
def test_rows_of_several_pixels(channels, lanes, dtype, tolerance, momentum):
    random = torch.Generator().manual_seed(channels)
    x, weight = (torch.randn(16, channels, 32, 64, generator=random) + 1 for _ in range(2))
    x = x.to(dtype).contiguous(memory_format=torch.channels_last)
    assert lanes_of(x) == lanes
    expected = passed(made(channels, torch.float64, momentum), x.double(), weight.double())
    norm = made(channels, torch.float64 if dtype == torch.float64 else torch.float32, momentum)
    with replaced(norm, lanes=True):
        found = passed(norm, x, weight.to(dtype))
    for value, wanted in zip(found, expected, strict=True):
        assert (value - wanted).norm() <= tolerance * wanted.norm()
    assert "forward" not in vars(norm)


@pytest.mark.parametrize("shape", [(16, 8, 32, 48), (16, 24, 32, 48), (2, 8, 8, 8), (16, 64, 32, 48)])
def test_all_others_stay_as_they_are(shape):
    x = torch.randn(shape)
    x = x if shape[1] == 8 and shape[0] == 16 else x.contiguous(memory_format=torch.channels_last)
    assert lanes_of(x) == 1
    one, two = nn.BatchNorm2d(shape[1]), nn.BatchNorm2d(shape[1])
    with replaced(two, lanes=True):
        assert torch.equal(one(x), two(x))
        assert torch.equal(one.eval()(x), two.eval()(x))
