"""A model as fast as it goes without training: batch normalisation folded, channels-last, ReLU in place, bfloat16."""

import copy
import itertools
import time
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mnad.config import ScorePrecision
from mnad.model.clock import finish, in_turn
from mnad.model.mnad import MNAD
from mnad.model.network import Network, Output
from mnad.run import UserError

FASTER = 1.1  # bfloat16 must be so many times as fast as float32 to be taken where nobody asked for it
TIMED = 3  # batches of each, of PIXELS at most
PIXELS = 64 * 32 * 48


def fold_batch_norms(model: nn.Module) -> Any:
    """A copy of ``model`` whose (transposed) convolutions hold the batch normalisation that follows them in a
    ``Sequential``; the same function in eval mode, with fewer steps."""
    folded = copy.deepcopy(model).eval()
    for block in folded.modules():
        if not isinstance(block, nn.Sequential):
            continue
        names = list(block._modules)
        for first, second in itertools.pairwise(names):
            convolution, norm = block[int(first)], block[int(second)]
            if isinstance(convolution, nn.Conv2d | nn.ConvTranspose2d) and isinstance(norm, nn.BatchNorm2d):
                transposed = isinstance(convolution, nn.ConvTranspose2d)
                block._modules[first] = fuse_conv_bn_eval(convolution, norm, transposed)
                block._modules[second] = nn.Identity()
    return folded


def native_bfloat16(device: torch.device) -> bool:
    """Whether ``device`` multiplies bfloat16 in hardware; elsewhere it is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


class InBfloat16(nn.Module):
    """``part`` in bfloat16; the pictures and maps that it gets are rounded to that."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part.to(torch.bfloat16)

    def forward(self, x: Tensor, *others: Any) -> Any:
        """What ``part`` makes of it."""
        return self.part(x.to(torch.bfloat16), *others)


def prepared(part: nn.Module, precision: ScorePrecision) -> nn.Module:
    """A copy of an encoder or decoder for inference."""
    folded = fold_batch_norms(part).requires_grad_(False).to(memory_format=torch.channels_last)
    for block in folded.modules():
        steps = (
            [step for step in block if not isinstance(step, nn.Identity)] if isinstance(block, nn.Sequential) else ()
        )
        for before, step in itertools.pairwise(steps):
            if isinstance(step, nn.ReLU) and isinstance(before, nn.Conv2d | nn.ConvTranspose2d):
                step.inplace = True
    return InBfloat16(folded) if precision == "bfloat16" else folded


class Inference:
    """``model(x)`` in eval mode, to rounding, several times as fast; the copy is made again when a weight has changed.

    Only parts with batch normalisation are copied. The memory is the model's own, so that its updates count here, too.

    Args:
        precision: of the convolutions; all others stay float32.

    Raises:
        UserError: bfloat16 for a network that is not MNAD.
    """

    def __init__(self, model: Network, precision: ScorePrecision = "float32") -> None:
        if precision == "bfloat16" and not isinstance(model, MNAD):
            raise UserError(f"precision: bfloat16 with {type(model).__name__}; expected float32, or the model mnad")
        self.model, self.precision = model, precision
        self._parts = {
            name: part
            for name, part in model.named_children()
            if any(isinstance(module, nn.BatchNorm2d) for module in part.modules())
        }
        self._made: tuple[list[tuple[object, int]], Network] | None = None

    def _state(self) -> list[tuple[object, int]]:
        """Every part of the model, and every weight of the copied parts with how often it was changed."""
        weights = (t for part in self._parts.values() for t in itertools.chain(part.parameters(), part.buffers()))
        changes = [(weight, 0 if weight.is_inference() else weight._version) for weight in weights]
        return [*((part, 0) for part in self.model._modules.values()), *changes]

    def _copy(self) -> Network:
        now, made = self._state(), self._made
        same = made is not None and len(made[0]) == len(now)
        if not same or any(a is not b or i != j for (a, i), (b, j) in zip(made[0], now, strict=True)):  # type: ignore[index]
            found = copy.copy(self.model)
            new = {name: prepared(part, self.precision) for name, part in self._parts.items()}
            found._modules = {**self.model._modules, **new}
            self._made = made = now, found
        return made[1]  # type: ignore[index]

    def __call__(self, x: Tensor) -> Output:
        """See :class:`mnad.model.network.Network`; leaves ``model`` in eval mode."""
        if self.model.training:
            self.model.eval()
        return self._copy()(x) if self._parts else self.model(x)


@torch.inference_mode()
def pays_in_bfloat16(model: Network, size: tuple[int, int], device: torch.device) -> bool:
    """Whether ``model`` is ``FASTER`` in bfloat16 here: the shortest of a few blank batches of each, in turn. False
    without another look where the device only imitates bfloat16, or for a network that is not MNAD."""
    if not isinstance(model, MNAD) or not native_bfloat16(device):
        return False
    x = torch.zeros(max(1, PIXELS // (size[0] * size[1])), model.in_channels, *size, device=device)

    def seconds(run: Inference) -> float:
        started = time.perf_counter()
        run(x)
        finish(device)
        return time.perf_counter() - started

    runs = {name: partial(seconds, Inference(model, name)) for name in ("float32", "bfloat16")}
    exact, short = (min(times[1:]) for times in in_turn(runs, 1 + TIMED).values())  # the first one sets things up
    return exact > FASTER * short
