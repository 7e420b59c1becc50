"""The state of a training in one file without any pickle, so that it can resume after an interruption; its log."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from mnad.run import UserError, one_line
from mnad.run.checkpoint import read_checkpoint, write_checkpoint
from mnad.run.files import write_text

STATE = "training.safetensors"
LOG = "log.jsonl"
FORMAT = "mnad-training-1"
ADAM = {"step", "exp_avg", "exp_avg_sq"}  # of each parameter


def kept_log(path: Path, done: int) -> list[str]:
    """The lines of the log of ``done`` finished epochs.

    Raises:
        UserError: they are not there, or not all.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:done] if done else []
        epochs = [json.loads(line)["epoch"] for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); expected the log of {done} epochs to resume") from error
    if epochs != list(range(1, done + 1)):
        raise UserError(f"{path}: has the epochs {epochs}; expected 1 to {done} to resume")
    return lines


class Log:
    """The log of a training, one JSON line for each epoch in ``folder``; without a folder nothing is written.

    Args:
        done: finished epochs that a resumed training keeps; lines after them are cut off.

    Raises:
        UserError: see :func:`kept_log`.
    """

    def __init__(self, folder: Path | None, done: int) -> None:
        self.path = folder / LOG if folder is not None else None
        if self.path is not None:
            write_text(self.path, "".join(line + "\n" for line in kept_log(self.path, done)))

    def write(self, record: Mapping[str, object]) -> None:
        """Append one line."""
        if self.path is not None:
            with self.path.open("a") as log:
                log.write(json.dumps(record) + "\n")


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int, precision: str) -> None:
    """Write weights, memory and optimiser after ``epoch`` finished epochs in ``precision``, atomically.

    Raises:
        UserError: it cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optim.{index}.{key}": value for key, value in state.items()})
    write_checkpoint(path, tensors, {"epoch": epoch, "precision": precision}, FORMAT)


def precision_of(path: Path) -> str | None:
    """The precision of the training whose state this is; None for a state of before 2026-11-28.

    Raises:
        UserError: a truncated or damaged file.
    """
    return read_checkpoint(path, FORMAT, unmarked=True)[1].get("precision")


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Undo :func:`save_state` into ``model`` and ``optimizer``; returns the number of finished epochs.

    Raises:
        UserError: a truncated or damaged file, or one of another architecture.
    """
    tensors, texts = read_checkpoint(path, FORMAT, unmarked=True)  # until 2026-11-28 there were no format and digest
    try:
        epoch = texts["epoch"]
        if not isinstance(epoch, int) or epoch < 1:
            raise ValueError(f"epoch {epoch!r}")
        parts: dict[str, dict[str, Tensor]] = {"model": {}, "optim": {}}
        for name, value in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        model.load_state_dict(parts["model"])
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in parts["optim"].items():
            index, _, key = name.partition(".")
            if key != "step" and value.shape != parameters[int(index)].shape:
                raise ValueError(f"optim.{name} has shape {tuple(value.shape)}")
            state.setdefault(int(index), {})[key] = value
        wrong = [i for i in {*state, *range(len(parameters))} if i >= len(parameters) or set(state.get(i, ())) != ADAM]
        if wrong:
            raise ValueError(f"the optimiser's state of parameter {wrong[0]} is incomplete or surplus")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        reason = one_line(error)[:300]
        raise UserError(f"{path}: cannot be resumed ({reason}); expected this run's training state") from error
    return epoch
