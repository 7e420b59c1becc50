"""The training loop, one for every model: Adam, cosine to 0, memory update before the optimiser step.

The state of the loop is kept after every epoch (:mod:`mnad.training.state`), so an interrupted run resumes from
there and a non-finite loss leaves the last good epoch behind.
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
from torch import Tensor, nn
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
from mnad.training.finish import check_stages, decoder_settings, exact_items, exact_statistics, queries_of
from mnad.training.remedies import reseed_dead, start_at_random_queries, start_from_queries
from mnad.training.state import STATE, load_state, save_state


class NonFiniteLoss(ArithmeticError):
    """Raised before the step that would have spoilt the weights; the message has the loss terms."""


def autocast(config: OptimConfig, device: torch.device) -> AbstractContextManager:
    """Context of the forward pass: bfloat16 autocast if the configuration asks for it."""
    if config.precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def mirror(x: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Mirror each input together with its target left to right, with probability 1/2 (official: no augmentation).

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
    part: nn.Module | None = None,
) -> tuple[dict[str, float], Tensor, Output]:
    """One pass over ``source``; ``config.batch_size`` images a step, the rest is dropped (official).

    Args:
        part: of the model, all that is in train mode; None is the whole model.

    Returns:
        mean of each loss term; how many queries had each item as their nearest (M, empty without a memory); the last
        batch's output.

    Raises:
        NonFiniteLoss: before the weights are touched.
    """
    model.train(part is None)
    if part is not None:
        part.train()
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
        if config.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
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
        if out.updated_items is not None:  # official and paper: the update comes before the optimiser step
            model.memory.update(out.updated_items, out.updated_support)
        if model.memory is not None:
            counts += torch.bincount(out.nearest.cpu(), minlength=len(counts))
        optimizer.step()

        for name, value in values.items():
            sums[name] += value
        bar.update()
    return {name: value / steps for name, value in sums.items()}, counts, out


def kept_log(path: Path, done: int) -> list[str]:
    """The lines of the log of ``done`` finished epochs.

    Raises:
        UserError: they are not there, or not all.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()[:done] if done else []
        epochs = [json.loads(line)["epoch"] for line in lines]
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: cannot be read ({reason}); expected the log of {done} epochs to resume") from error
    if epochs != list(range(1, done + 1)):
        raise UserError(f"{path}: has the epochs {epochs}; expected 1 to {done} to resume")
    return lines


def train(
    model: Network,
    source: Source,
    validation: Source,
    config: OptimConfig,
    seed: int,
    folder: Path,
    resume: bool = False,
    after_epoch: Callable[[Network, int], None] | None = None,
    watch: Callable[[Network, Mapping[str, object]], None] | None = None,
) -> None:
    """Train ``model`` in place; one JSON line for each epoch goes to ``folder/log.jsonl``. A model that is fitted in
    closed form (:mod:`mnad.training.closed_form`) has one line, and what was chosen is printed.

    Args:
        after_epoch: called with the model and the epoch's number, counted from 1, after each epoch.
        watch: called with the model and each line of the log.

    Raises:
        UserError: no such device, a weight of no term, a state or log that cannot be resumed, or a loss that is not
            finite (with the step's numbers; the state of the last good epoch stays in ``folder``).
    """
    device = choose_device(config.device)
    weights = loss_weights(model, config)
    if isinstance(model, FeatureMNAD):
        model.to(device)
        record = fit(model, source, validation, seed)
        print(fit_line(record))
        write_text(folder / "log.jsonl", json.dumps({"epoch": 1, **record}) + "\n")
        return
    check_stages(model, config)
    model.to(device, memory_format=torch.channels_last if config.channels_last else torch.preserve_format)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    log_path, state_path = folder / "log.jsonl", folder / STATE
    done = load_state(state_path, model, optimizer) if resume and state_path.is_file() else 0
    kept = kept_log(log_path, done)
    write_text(log_path, "".join(line + "\n" for line in kept))
    batch_size = min(config.batch_size, len(source))
    config = replace(config, batch_size=batch_size)
    steps = len(source) // batch_size
    if model.memory is not None and config.memory_start != "random" and not done:
        start = start_from_queries if config.memory_start == "kmeans" else start_at_random_queries
        start(model, source, batch_size, seed)
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
            if watch is not None:
                watch(model, record)
            save_state(state_path, model, optimizer, epoch + 1)
            bar.set_postfix(pixel=f"{losses['pixel']:.5f}", validation=f"{record['validation_pixel']:.5f}")
    finish(model, source, validation, config, seed, log_path)
    model.eval()


def finish(
    model: Network, source: Source, validation: Source, config: OptimConfig, seed: int, log_path: Path | None = None
) -> None:
    """The stages of ``config.finish`` in the order of :mod:`mnad.training.finish`; ``decoder`` adds a line to the log.

    Raises:
        UserError: a loss that is not finite.
    """
    if "statistics" in config.finish:
        exact_statistics(model, source)  # type: ignore[arg-type]
    if "items" in config.finish:
        exact_items(model.memory, queries_of(model, source))  # type: ignore[arg-type]
    if "decoder" not in config.finish:
        return
    own, started = decoder_settings(config), time.perf_counter()
    others = [p for name, p in model.named_parameters() if not name.startswith("decoder.")]
    optimizer = torch.optim.Adam(model.decoder.parameters(), lr=own.learning_rate)  # type: ignore[union-attr]
    for parameter in others:
        parameter.requires_grad_(False)
    try:
        with tqdm(total=len(source) // config.batch_size, desc="decoder alone", mininterval=1.0) as bar:
            losses, _, _ = train_one_epoch(model, source, optimizer, {}, own, 0, seed, bar, model.decoder)  # type: ignore[arg-type]
    except NonFiniteLoss as error:
        raise UserError(f"loss of the decoder is not finite, {error}; expected a lower learning rate") from error
    finally:
        for parameter in others:
            parameter.requires_grad_(True)
    if log_path is not None:
        device = next(model.parameters()).device
        record = {"epoch": config.epochs + 1, "stage": "decoder", "pixel": losses["pixel"]}
        record["validation_pixel"] = validation_pixel_loss(model, validation, device)
        with log_path.open("a") as log:
            log.write(json.dumps(record | {"seconds": time.perf_counter() - started}) + "\n")
