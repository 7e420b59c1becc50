"""One safetensors file of tensors and JSON texts, with digests, written atomically and checked when it is read."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnad.run import UserError, one_line
from mnad.run.files import atomic_path, shipped_folder

if TYPE_CHECKING:
    from torch import Tensor

FORMAT = "mnad-detector-1"
DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")  # of tensors
SHIPPED = shipped_folder("checkpoints")


def find_checkpoint(path: Path | str) -> Path:
    """The file of a run folder, a file itself, or a shipped detector by its name (``wells``).

    Raises:
        UserError: none of these.
    """
    found, shipped = Path(path), SHIPPED / f"{path}.safetensors"
    if (found / "model.safetensors").is_file():
        return found / "model.safetensors"
    if found.is_file():
        return found
    if found.suffix == "" and found.parent == Path() and shipped.is_file():  # a folder of data may have that name
        return shipped
    if found.is_dir():
        found = found / "model.safetensors"
    names = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.safetensors")))
    raise UserError(f"{found}: missing; expected a checkpoint (.safetensors), a run folder or one of {names}")


def tensors_digest(tensors: "Mapping[str, Tensor]") -> str:
    """SHA-256 over names, types, shapes and bytes of CPU tensors, whatever their order."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b"")
    return digest.hexdigest()


def texts_digest(texts: Mapping[str, str]) -> str:
    """SHA-256 over names and texts, whatever their order."""
    return hashlib.sha256(json.dumps(dict(texts), sort_keys=True).encode()).hexdigest()


def write_checkpoint(path: Path, tensors: "Mapping[str, Tensor]", texts: Mapping[str, Any], kind: str = FORMAT) -> None:
    """Write ``tensors`` and ``texts`` (name -> JSON-able value) to ``path``, a file of the format ``kind``.

    Raises:
        UserError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    kept = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    metadata = {name: json.dumps(value, allow_nan=False) for name, value in texts.items()}
    metadata |= {"format": kind, "sha256": tensors_digest(kept), "sha256_texts": texts_digest(metadata)}
    with atomic_path(path) as temporary:
        try:
            save_file(kept, temporary, metadata)
        except SafetensorError as error:  # a full disk, for one
            raise OSError(str(error)) from error


def read_checkpoint(
    path: Path, kind: str = FORMAT, unmarked: bool = False
) -> "tuple[dict[str, Tensor], dict[str, Any]]":
    """Tensors and texts of :func:`write_checkpoint`. Files from before there were digests are read without that
    check: of tensors since 2026-11-25, of texts since 2026-11-28.

    Args:
        kind: the format that it must have.
        unmarked: whether one that names no format will do.

    Raises:
        UserError: truncated, of another program, changed since it was written, or with numbers that are not
            finite.
    """
    import torch
    from safetensors import safe_open

    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:  # whatever the reader makes of a damaged file
        reason = one_line(error)
        raise UserError(f"{path}: is truncated or no safetensors file ({reason}); expected a checkpoint") from error
    if metadata.pop("format", kind if unmarked else None) != kind:
        raise UserError(f"{path}: is no checkpoint of this project; expected one of the format {kind!r}")
    digests = metadata.pop("sha256", None), metadata.pop("sha256_texts", None)
    found = tensors_digest(tensors), texts_digest(metadata)
    if any(stored not in (None, now) for stored, now in zip(digests, found, strict=True)):
        raise UserError(f"{path}: its contents have changed since it was written; expected an undamaged checkpoint")
    for name, tensor in tensors.items():
        if str(tensor.dtype).removeprefix("torch.") not in DTYPES:
            raise UserError(f"{path}: {name} is of the type {tensor.dtype}; expected one of {', '.join(DTYPES)}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise UserError(f"{path}: {name} holds numbers that are not finite; expected a trained checkpoint")
    try:
        texts = {name: json.loads(text) for name, text in metadata.items()}
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: its description is no JSON ({error}); expected an undamaged checkpoint") from error
    return tensors, texts
