"""Weights of the official code (cvlab-yonsei/MNAD) in this project's MNAD."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mnad.errors import UserError
from mnad.model import MNAD, Variant

# official module -> ours; the index inside the sequential block stays the same
MODULES = {
    "encoder.moduleConv1": "encoder.stage1",
    "encoder.moduleConv2": "encoder.stage2",
    "encoder.moduleConv3": "encoder.stage3",
    "encoder.moduleConv4": "encoder.stage4",
    "decoder.moduleConv": "decoder.block4",
    "decoder.moduleUpsample4": "decoder.up4",
    "decoder.moduleDeconv3": "decoder.block3",
    "decoder.moduleUpsample3": "decoder.up3",
    "decoder.moduleDeconv2": "decoder.block2",
    "decoder.moduleUpsample2": "decoder.up2",
    "decoder.moduleDeconv1": "decoder.head",
}
# A batch norm that the official encoder registers and never calls; older checkpoints may lack it.
UNUSED = "encoder.moduleBatchNorm."


def our_name(official: str) -> str | None:
    """``encoder.moduleConv1.0.weight`` -> ``encoder.stage1.0.weight``; None for a name of no known module."""
    for prefix, ours in MODULES.items():
        if official.startswith(prefix + "."):
            return ours + official[len(prefix) :]
    return None


def official_name(ours: str) -> str:
    """The inverse of :func:`our_name`."""
    module = ".".join(ours.split(".")[:2])
    (prefix,) = (prefix for prefix, name in MODULES.items() if name == module)
    return prefix + ours[len(module) :]


def load_official(state_dict: Mapping[str, Tensor], items: Tensor, variant: Variant) -> MNAD:
    """MNAD of the official switches with the official weights and items, on the CPU.

    Args:
        state_dict: official names (a ``module.`` prefix of DataParallel is dropped) to tensors.
        items: M x C, the official ``keys``.
        variant: ``"recon"`` or ``"pred"``.

    Width, M and C are read off the shapes, so narrower retrainings load too.

    Raises:
        UserError: missing or surplus names, wrong shapes.
    """
    given = {name.removeprefix("module."): value for name, value in state_dict.items()}
    first, last = "encoder.moduleConv1.0.weight", "encoder.moduleConv4.3.weight"
    for name in (first, last):
        if name not in given:
            raise UserError(f"official state dict: {name} is missing")
    items = torch.as_tensor(items, dtype=torch.float32)
    width, dim = given[first].shape[0], given[last].shape[0]
    if items.ndim != 2 or items.shape[1] != dim:
        raise UserError(f"official items: shape {tuple(items.shape)}; M x {dim} was expected")
    model = MNAD(variant, width=width, items=items.shape[0], item_dim=dim)
    renamed = {}
    surplus = []
    for name, value in given.items():
        ours = our_name(name)
        if ours is not None:
            renamed[ours] = value
        elif not name.startswith(UNUSED):
            surplus.append(name)
    renamed["memory.items"] = items
    expected = model.state_dict()
    missing = [official_name(name) for name in expected if name not in renamed]
    surplus += [official_name(name) for name in renamed if name not in expected]
    if missing or surplus:
        lists = [f"{kind} {', '.join(names)}" for kind, names in (("missing", missing), ("surplus", surplus)) if names]
        raise UserError(f"official state dict ({variant}): {'; '.join(lists)}")
    for name, value in renamed.items():
        if value.shape != expected[name].shape:
            raise UserError(
                f"official state dict ({variant}): {official_name(name)} has shape {tuple(value.shape)}; "
                f"{tuple(expected[name].shape)} was expected"
            )
    model.load_state_dict(renamed)
    return model
