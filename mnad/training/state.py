"""The state of a training in one file without any pickle, so that it can resume after an interruption; its log."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from mnad.run import UserError
from mnad.run.files import atomic_path, write_text

STATE = "training.safetensors"
LOG = "log.jsonl"


class Log:
    """The log of a training, one JSON line for each epoch in ``folder``; without a folder nothing is written.

    Args:
        done: finished epochs that a resumed training keeps; lines after them are cut off.
    """

    def __init__(self, folder: Path | None, done: int) -> None:
        self.path = folder / LOG if folder is not None else None
        if self.path is not None:
            lines = self.path.read_text().splitlines()[:done] if done and self.path.is_file() else []
            write_text(self.path, "".join(line + "\n" for line in lines))

    def write(self, record: Mapping[str, object]) -> None:
        """Append one line."""
        if self.path is not None:
            with self.path.open("a") as log:
                log.write(json.dumps(record) + "\n")


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, precision: str) -> None:
    """Write weights, memory and optimiser after ``epoch`` finished epochs in ``precision``, atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optim.{index}.{key}": value for key, value in state.items()})
    with atomic_path(path) as temporary:
        # a copy without shared storage, on the CPU
        stored = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(stored, temporary, {"epoch": str(epoch), "precision": precision})


def precision_of(path: Path) -> str | None:
    """The precision of the training whose state this is; None if it cannot be read or is of before 2026-11-28."""
    try:
        with safe_open(path, "pt") as file:
            return file.metadata().get("precision")
    except Exception:  # load_state says what is wrong
        return None


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Undo :func:`save_state` into ``model`` and ``optimizer``; returns the number of finished epochs.

    Raises:
        UserError: a truncated file or one of another architecture.
    """
    try:
        with safe_open(path, "pt") as file:
            epoch = int(file.metadata()["epoch"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        model.load_state_dict({k.removeprefix("model."): v for k, v in tensors.items() if k.startswith("model.")})
    except Exception as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be resumed ({reason}); expected this run's training state") from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optim."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return epoch
