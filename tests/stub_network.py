"""A frozen network in miniature, so that tests of MNAD on features need no weights: seeded filters at two strides."""

from collections.abc import Sequence
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from mnad.model import feature_mnad


class StubNetwork(nn.Module):
    channels: ClassVar[dict[int, int]] = {8: 6, 16: 5}
    package: ClassVar[str] = "stub"

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        for stride, count in self.channels.items():
            filters = torch.randn(count, 3, stride, stride, generator=generator, device="cpu") / stride
            self.register_buffer(f"filters{stride}", filters)

    def features(self, x: Tensor, strides: Sequence[int]) -> list[Tensor]:
        return [nn.functional.conv2d(x, getattr(self, f"filters{s}"), stride=s) for s in strides]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_mnad, "load_pretrained", StubNetwork)
