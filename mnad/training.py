"""The training loop, one for every model: Adam, cosine to 0, memory update before the optimiser step.

The state of the loop is kept after every epoch in ``training.safetensors`` (weights, memory, Adam's moments), so an
interrupted run goes on where it stood and a non-finite loss leaves the last good epoch behind.
"""

import json
import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mnad.config import OptimConfig
from mnad.data.augment import mirror
from mnad.data.source import Source
from mnad.errors import UserError
from mnad.files import atomic_path, write_text
from mnad.health import memory_health
from mnad.model import Output
from mnad.remedies import reseed_dead, start_from_queries

STATE = "training.safetensors"


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA where there is one, else the CPU.

    Raises:
        UserError: a name torch does not know, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"optim.device: {name!r} is not to be had here; auto, cpu or cuda was expected") from error
    return device


def autocast(config: OptimConfig, device: torch.device) -> AbstractContextManager:
    """Context of the forward pass: bfloat16 autocast if the configuration asks for it."""
    if config.precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def loss_terms(out: Output, target: Tensor) -> dict[str, Tensor]:
    """Named loss terms of one batch; those of the memory only where the model has one (eq. 6, 8, 10)."""
    terms = {
        "pixel": F.mse_loss(out.output, target),  # official: mean; paper: L2
        "compactness": out.compactness,
        "separateness": out.separateness,
    }
    terms.update(out.extra_losses)
    return {name: term for name, term in terms.items() if term is not None}


def total_loss(terms: dict[str, Tensor], weights: dict[str, float]) -> Tensor:
    """``pixel + sum of weight * term`` (eq. 7); a term without a weight counts zero."""
    return terms["pixel"] + sum(weights.get(name, 0.0) * term for name, term in terms.items() if name != "pixel")


@torch.inference_mode()
def validation_pixel_loss(model: nn.Module, source: Source, device: torch.device, batch_size: int = 128) -> float:
    """Mean squared error in eval mode over ``source``."""
    model.eval()
    total = 0.0
    for start in range(0, len(source), batch_size):
        x, target = source.inputs(np.arange(start, min(start + batch_size, len(source))))
        total += F.mse_loss(model(x.to(device)).output, target.to(device)).item() * len(x)
    return total / len(source)


def save_state(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer, epoch: int) -> None:
    """Write weights, memory and optimiser after ``epoch`` finished epochs, atomically."""
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors.update({f"optim.{index}.{key}": value for key, value in state.items()})
    with atomic_path(path) as temporary:
        # a copy without shared storage, on the CPU
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, {"epoch": str(epoch)})


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
        raise UserError(f"{path}: cannot be resumed ({reason}); this run's training state was expected") from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optim."):
            _, index, key = name.split(".")
            state.setdefault(int(index), {})[key] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    return epoch


def train(
    model: nn.Module,
    source: Source,
    validation: Source,
    config: OptimConfig,
    seed: int,
    folder: Path,
    resume: bool = False,
    after_epoch: Callable[[nn.Module, int], None] | None = None,
) -> None:
    """Train ``model`` in place; one JSON line for each epoch goes to ``folder/log.jsonl``.

    Args:
        after_epoch: called with the model and the epoch's number, counted from 1, after each epoch.

    Raises:
        UserError: no such device, or a loss that is not finite (with the step's numbers; the state of the last good
            epoch stays in ``folder``).
    """
    config = config.resolved(getattr(model, "variant", "recon"))
    device = choose_device(config.device)
    model.to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    log_path, state_path = folder / "log.jsonl", folder / STATE
    done = load_state(state_path, model, optimizer) if resume and state_path.is_file() else 0
    kept = log_path.read_text().splitlines()[:done] if done and log_path.is_file() else []
    write_text(log_path, "".join(line + "\n" for line in kept))
    batch_size = min(config.batch_size, len(source))
    steps = len(source) // batch_size  # official: drop_last
    has_memory = hasattr(model, "memory")
    if has_memory and config.memory_start == "kmeans" and not done:
        start_from_queries(model, source, batch_size, seed, device)
    bar = tqdm(total=config.epochs * steps, initial=done * steps, desc=f"train {folder.name}", mininterval=1.0)
    for epoch in range(done, config.epochs):
        model.train()
        started = time.perf_counter()
        # Each epoch has its own generator, so a resumed run sees the same order as one that never stopped.
        rng = np.random.default_rng([seed, epoch])
        order = rng.permutation(len(source))
        sums: dict[str, float] = {}
        counts = torch.zeros(len(model.memory.items) if has_memory else 0, dtype=torch.long)
        for step in range(steps):
            for group in optimizer.param_groups:
                progress = (epoch * steps + step) / (config.epochs * steps)
                group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
            x, target = source.inputs(order[step * batch_size : (step + 1) * batch_size])
            if config.mirror:
                x, target = mirror(x, target, rng)
            x, target = x.to(device), target.to(device)
            with autocast(config, device):
                out = model(x)
            terms = loss_terms(out, target)
            total = total_loss(terms, config.loss_weights)
            values = {name: term.item() for name, term in {"total": total, **terms}.items()}
            if not all(math.isfinite(value) for value in values.values()):
                bar.close()
                numbers = ", ".join(f"{name} {value:g}" for name, value in values.items())
                state = f"the state after epoch {epoch} is in {state_path}" if epoch else "no epoch was finished"
                raise UserError(
                    f"loss is not finite at epoch {epoch + 1}, step {step + 1} ({numbers}, learning rate "
                    f"{optimizer.param_groups[0]['lr']:g}); a lower learning rate was expected; {state}"
                )
            optimizer.zero_grad()
            total.backward()
            if out.updated_items is not None:  # official and paper: the update comes before the optimiser step
                model.memory.update(out.updated_items)
                counts += torch.bincount(out.attention.argmax(dim=1).cpu(), minlength=len(counts))
            optimizer.step()
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value
            bar.update()
        seconds = time.perf_counter() - started
        record = {"epoch": epoch + 1, **{name: value / steps for name, value in sums.items()}}
        record["validation_pixel"] = validation_pixel_loss(model, validation, device)
        record |= {"learning_rate": optimizer.param_groups[0]["lr"], "seconds": seconds}
        record["images_per_second"] = steps * batch_size / seconds
        if len(counts):
            record |= memory_health(counts, model.memory.items.cpu())
            if config.reseed_dead and epoch + 1 < config.epochs:  # a new item needs training after it
                reseed_dead(model.memory, counts.to(device), out.queries.detach().flatten(0, 2))
        if after_epoch is not None:
            after_epoch(model, epoch + 1)
        with log_path.open("a") as log:  # before the state: a line too many is cut off by the next --resume
            log.write(json.dumps(record) + "\n")
        save_state(state_path, model, optimizer, epoch + 1)
        bar.set_postfix(pixel=f"{record['pixel']:.5f}", validation=f"{record['validation_pixel']:.5f}")
    bar.close()
    model.eval()
