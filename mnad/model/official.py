"""Weights of the official code (cvlab-yonsei/MNAD) in this project's MNAD, and the files that it leaves."""

import pickle
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from mnad.config import Variant
from mnad.model.mnad import MNAD
from mnad.run import UserError

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
        UserError: missing or surplus names, wrong shapes, numbers that are not finite.
    """
    given = {name.removeprefix("module."): value for name, value in state_dict.items()}
    first, last = "encoder.moduleConv1.0.weight", "encoder.moduleConv4.3.weight"
    for name in (first, last):
        if name not in given:
            raise UserError(f"official state dict: {name} is missing")
        if given[name].ndim != 4:
            found = tuple(given[name].shape)
            raise UserError(f"official state dict: {name} has shape {found}; expected four dimensions")
    items = torch.as_tensor(items, dtype=torch.float32)
    width, dim = given[first].shape[0], given[last].shape[0]
    if items.ndim != 2 or items.shape[1] != dim or 0 in items.shape:
        raise UserError(f"official items: shape {tuple(items.shape)}; expected M x {dim}")
    for name, value in (("items", items), *((f"state dict: {name}", value) for name, value in given.items())):
        if value.is_complex() or not torch.isfinite(value).all():
            raise UserError(f"official {name}: holds numbers that are not finite and real; expected trained weights")
    if width == 0:
        raise UserError(f"official state dict: {first} is empty; expected trained weights")
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
                f"official state dict ({variant}): {official_name(name)} has shape {tuple(value.shape)}; expected "
                f"{tuple(expected[name].shape)}"
            )
    model.load_state_dict(renamed)
    return model


def read_tensors(path: Path) -> object:
    """What a torch file (tensors only) or a .safetensors file holds, on the CPU.

    Raises:
        UserError: missing, a pickle of other things than tensors, or no such file format.
    """
    if not path.is_file():
        raise UserError(f"{path}: missing; expected a torch file or .safetensors")
    try:
        return load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(f"{path}: holds more than tensors (a pickled module?); expected a state dict") from error
    except Exception as error:  # whatever the two readers make of a damaged file
        raise UserError(f"{path}: cannot be read; expected a torch file or .safetensors") from error


def is_plain(value: object) -> bool:
    """Whether ``value`` is a dense tensor of numbers on the CPU."""
    return (
        isinstance(value, Tensor)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized)
    )


def read_items(path: Path) -> Tensor:
    """The one tensor of an items file.

    Raises:
        UserError: it holds something else, or see :func:`read_tensors`.
    """
    content = read_tensors(path)
    tensors = list(content.values()) if isinstance(content, dict) else [content]
    items = tensors[0] if len(tensors) == 1 else None
    if not isinstance(items, Tensor) or not is_plain(items):
        raise UserError(f"{path}: holds {len(tensors)} entries; expected one tensor of items, M x C")
    return items.detach()


def read_state(path: Path) -> dict[str, Tensor]:
    """The state dict of a weights file.

    Raises:
        UserError: it holds something else, or see :func:`read_tensors`.
    """
    state = read_tensors(path)
    if not isinstance(state, dict) or not all(isinstance(k, str) and is_plain(v) for k, v in state.items()):
        raise UserError(f"{path}: is no state dict; expected parameter names and tensors")
    return state
