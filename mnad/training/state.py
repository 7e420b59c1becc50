"""The state of a training in one file without any pickle, so that it can resume after an interruption."""

from pathlib import Path

import torch
from torch import Tensor, nn

from mnad.run import UserError
from mnad.run.checkpoint import read_checkpoint, write_checkpoint

STATE = "training.safetensors"
FORMAT = "mnad-training-1"
ADAM = {"step", "exp_avg", "exp_avg_sq"}  # of each parameter


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Write weights, memory and optimiser after ``epoch`` finished epochs, atomically.

    Raises:
        UserError: it cannot be written.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optim.{index}.{key}": value for key, value in state.items()})
    write_checkpoint(path, tensors, {"epoch": epoch}, FORMAT)


def load_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> int:
    """Undo :func:`save_state` into ``model`` and ``optimizer``; returns the number of finished epochs.

    Raises:
        UserError: a truncated or damaged file, or one of another architecture.
    """
    tensors, texts = read_checkpoint(path, FORMAT, unmarked=True)  # until 2026-11-28 there were no format and digest
    try:
        epoch = int(texts["epoch"])
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
        incomplete = [index for index in range(len(parameters)) if set(state.get(index, ())) != ADAM]
        if incomplete:
            raise ValueError(f"the optimiser's state of parameter {incomplete[0]} is incomplete")
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except (RuntimeError, KeyError, ValueError, TypeError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{path}: cannot be resumed ({reason}); expected this run's training state") from error
    return epoch
