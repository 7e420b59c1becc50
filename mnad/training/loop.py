"""The training loop, one for every model: Adam, cosine to 0, memory update before the optimiser step.

The state of the loop is kept after every epoch (:mod:`mnad.training.state`), so an interrupted run goes on where it
stood and a non-finite loss leaves the last good epoch behind.
"""

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from mnad.config import OptimConfig
from mnad.data.source import Source, batches
from mnad.model.build import choose_device, loss_names
from mnad.model.feature_mnad import FeatureMNAD
from mnad.model.health import memory_health
from mnad.model.network import Network, Output
from mnad.run import UserError
from mnad.run.files import write_text
from mnad.training.closed_form import fit, fit_line
from mnad.training.remedies import reseed_dead, start_from_queries
from mnad.training.state import STATE, load_state, save_state


class NonFiniteLoss(ArithmeticError):
    """Raised before the step that would have spoilt the weights; the message has the loss terms."""


def autocast(config: OptimConfig, device: torch.device) -> AbstractContextManager:
    """Context of the forward pass: bfloat16 autocast if the configuration asks for it."""
    if config.precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def mirror(x: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each input together with its target left to right, with probability 1/2 (ours; official: nothing).

    Args:
        x: B x C x H x W; all frames of a clip turn together.
        target: B x 3 x H x W.

    Returns:
        new tensors of the same shapes and memory formats.
    """
    chosen = torch.from_numpy(rng.random(len(x)) < 0.5)
    x, target = x.clone(), target.clone()
    x[chosen], target[chosen] = x[chosen].flip(-1), target[chosen].flip(-1)
    return x, target


def loss_terms(out: Output, target: Tensor) -> dict[str, Tensor]:
    """Named loss terms of one batch; those of the memory only where the model has one (eq. 6, 8, 10)."""
    terms = {
        "pixel": F.mse_loss(out.output, target),  # official: mean; paper: L2
        "compactness": out.compactness,
        "separateness": out.separateness,
    }
    terms.update(out.extra_losses)
    return {name: term for name, term in terms.items() if term is not None}


def total_loss(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """``pixel + sum of weight * term`` (eq. 7); a term without a weight counts zero."""
    return terms["pixel"] + sum(weights.get(name, 0.0) * term for name, term in terms.items() if name != "pixel")


def loss_weights(model: Network, config: OptimConfig) -> dict[str, float]:
    """Weight of each term of ``model``: that of the configuration, else the published one.

    Raises:
        UserError: the configuration weighs a term that no model has.
    """
    for name in config.loss_weights:
        if name not in loss_names():
            expected = ", ".join(sorted(loss_names()))
            raise UserError(f"optim.loss_weights: {name!r} is no loss term; expected some of {expected}")
    own = {name: weight for name, weight in model.loss_weights.items() if weight is not None}
    return own | config.resolved(model.variant).loss_weights


@torch.inference_mode()
def validation_pixel_loss(model: Network, source: Source, device: torch.device, batch_size: int = 128) -> float:
    """Mean squared error in eval mode over ``source``."""
    model.eval()
    total = sum(
        F.mse_loss(model(x).output, target).item() * len(x) for x, target in batches(source, batch_size, device=device)
    )
    return total / len(source)


def train_one_epoch(
    model: Network,
    source: Source,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, float],
    config: OptimConfig,
    epoch: int,
    seed: int,
    bar: tqdm,
) -> tuple[dict[str, float], Tensor, Output]:
    """One pass over ``source``; ``config.batch_size`` images a step, the rest is dropped (official).

    Returns:
        mean of each loss term; how many queries had each item as their nearest (M, empty without a memory); the last
        batch's output.

    Raises:
        NonFiniteLoss: before the weights are touched.
    """
    model.train()
    device = next(model.parameters()).device
    rng = np.random.default_rng([seed, epoch])  # its own, so a resumed run sees the order of one that never stopped
    steps = len(source) // config.batch_size
    order = rng.permutation(len(source))[: steps * config.batch_size]
    sums: dict[str, float] = defaultdict(float)
    counts = torch.zeros(len(model.memory.items) if model.memory is not None else 0, dtype=torch.long)
    for step, (x, target) in enumerate(batches(source, config.batch_size, order, device)):
        progress = (epoch * steps + step) / (config.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        if config.mirror:
            x, target = mirror(x, target, rng)

        with autocast(config, device):
            out = model(x)
        terms = loss_terms(out, target)
        loss = total_loss(terms, weights)
        values = {name: term.item() for name, term in {"total": loss, **terms}.items()}
        if not all(map(math.isfinite, values.values())):
            numbers = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise NonFiniteLoss(f"step {step + 1} ({numbers}, learning rate {optimizer.param_groups[0]['lr']:g})")

        optimizer.zero_grad()
        loss.backward()
        if model.memory is not None:  # official and paper: the update comes before the optimiser step
            model.memory.update(out.updated_items)
            counts += torch.bincount(out.attention.argmax(dim=1).cpu(), minlength=len(counts))
        optimizer.step()

        for name, value in values.items():
            sums[name] += value
        bar.update()
    return {name: value / steps for name, value in sums.items()}, counts, out


def train(
    model: Network,
    source: Source,
    validation: Source,
    config: OptimConfig,
    seed: int,
    folder: Path,
    resume: bool = False,
    after_epoch: Callable[[Network, int], None] | None = None,
) -> None:
    """Train ``model`` in place; one JSON line for each epoch goes to ``folder/log.jsonl``. A model that is fitted in
    closed form (:mod:`mnad.training.closed_form`) has one line, and what was chosen is printed.

    Args:
        after_epoch: called with the model and the epoch's number, counted from 1, after each epoch.

    Raises:
        UserError: no such device, a weight of no term, or a loss that is not finite (with the step's numbers; the
            state of the last good epoch stays in ``folder``).
    """
    device = choose_device(config.device)
    weights = loss_weights(model, config)
    model.to(device)
    if isinstance(model, FeatureMNAD):
        record = fit(model, source, validation, seed)
        print(fit_line(record))
        write_text(folder / "log.jsonl", json.dumps({"epoch": 1, **record}) + "\n")
        return
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    log_path, state_path = folder / "log.jsonl", folder / STATE
    done = load_state(state_path, model, optimizer) if resume and state_path.is_file() else 0
    kept = log_path.read_text().splitlines()[:done] if done and log_path.is_file() else []
    write_text(log_path, "".join(line + "\n" for line in kept))
    batch_size = min(config.batch_size, len(source))
    config = replace(config, batch_size=batch_size)
    steps = len(source) // batch_size
    if model.memory is not None and config.memory_start == "kmeans" and not done:
        start_from_queries(model, source, batch_size, seed)
    with tqdm(total=config.epochs * steps, initial=done * steps, desc=f"train {folder.name}", mininterval=1.0) as bar:
        for epoch in range(done, config.epochs):
            started = time.perf_counter()
            try:
                losses, counts, out = train_one_epoch(model, source, optimizer, weights, config, epoch, seed, bar)
            except NonFiniteLoss as error:
                state = f"the state after epoch {epoch} is in {state_path}" if epoch else "no epoch was finished"
                raise UserError(
                    f"loss is not finite at epoch {epoch + 1}, {error}; expected a lower learning rate; {state}"
                ) from error
            seconds = time.perf_counter() - started
            record = {"epoch": epoch + 1, **losses}
            record["validation_pixel"] = validation_pixel_loss(model, validation, device)
            record |= {"learning_rate": optimizer.param_groups[0]["lr"], "seconds": seconds}
            record["images_per_second"] = steps * batch_size / seconds
            if model.memory is not None:
                record |= memory_health(counts, model.memory.items.cpu())
                if config.reseed_dead and epoch + 1 < config.epochs:  # a new item needs training after it
                    reseed_dead(model.memory, counts.to(device), out.queries.detach().flatten(0, 2))
            if after_epoch is not None:
                after_epoch(model, epoch + 1)
            with log_path.open("a") as log:  # before the state: a line too many is cut off by the next --resume
                log.write(json.dumps(record) + "\n")
            save_state(state_path, model, optimizer, epoch + 1)
            bar.set_postfix(pixel=f"{losses['pixel']:.5f}", validation=f"{record['validation_pixel']:.5f}")
    model.eval()
