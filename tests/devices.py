"""Devices that tests run on: the CPU, and a GPU where there is one (marker ``cuda``)."""

import pytest
import torch

CUDA = pytest.param(
    "cuda", marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
)
on_each_device = pytest.mark.parametrize("device", ["cpu", CUDA])
