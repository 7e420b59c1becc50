"""The training loop, one for every model: Adam, cosine to 0, memory update before the optimiser step.

The state of the loop is kept after every epoch (:mod:`mnad.training.state`), so an interrupted run resumes from
there and a non-finite loss leaves the last good epoch behind.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from mnad.config import OptimConfig
from mnad.data.source import Source, batches
from mnad.model import across
from mnad.model.build import choose_device
from mnad.model.feature_mnad import FeatureMNAD
from mnad.model.health import memory_health
from mnad.model.network import Network, Output
from mnad.model.norm import replaced
from mnad.model.threads import keep_freed_memory
from mnad.run import UserError
from mnad.training import processes
from mnad.training.closed_form import fit, fit_line
from mnad.training.finish import check_stages, decoder_settings, exact_items, exact_statistics, queries_of
from mnad.training.losses import loss_terms, loss_weights, parts_of_whole, total_loss
from mnad.training.precision import adam, autocast, ordered, resolved
from mnad.training.remedies import reseed_dead, start_at_random_queries, start_from_queries
from mnad.training.state import STATE, Log, load_state, save_state


class NonFiniteLoss(ArithmeticError):
    """Raised before the step that would have spoilt the weights; the message has the loss terms."""


def mirror(x: Tensor, target: Tensor, rng: np.random.Generator, total: int | None = None) -> tuple[Tensor, Tensor]:
    """Mirror each input together with its target left to right, with probability 1/2 (official: no augmentation).

    Args:
        x: B x C x H x W; all frames of a clip turn together.
        target: B x 3 x H x W.
        total: rows of the whole batch, where other processes have the rest of them.

    Returns:
        new tensors of the same shapes and memory formats.
    """
    total = len(x) if total is None else total
    chosen = torch.from_numpy(rng.random(total) < 0.5)[across.share(total)]
    x, target = x.clone(), target.clone()
    x[chosen], target[chosen] = x[chosen].flip(-1), target[chosen].flip(-1)
    return x, target


@torch.inference_mode()
def validation_pixel_loss(model: Network, source: Source, device: torch.device, batch_size: int = 128) -> float:
    """Mean squared error in eval mode over ``source``; each process takes a part of it."""
    model.eval()
    own = np.arange(len(source))[across.share(len(source))]
    total = sum(
        F.mse_loss(model(x).output, target).item() * len(x) for x, target in batches(source, batch_size, own, device)
    )
    return across.summed(torch.tensor(total, dtype=torch.float64, device=device)).item() / len(source)


def train_one_epoch(
    model: Network,
    source: Source,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, float],
    config: OptimConfig,
    epoch: int,
    seed: int,
    bar: tqdm,
    only: nn.Module | None = None,
) -> tuple[dict[str, float], Tensor, Output]:
    """One pass over ``source``; ``config.batch_size`` images a step, the rest is dropped (official).

    Several processes share each batch (:mod:`mnad.training.processes`).

    Args:
        only: of the model, all that is in train mode; None is the whole model.

    Returns:
        mean of each loss term; how many queries had each item as their nearest (M, empty without a memory); the last
        batch's output.

    Raises:
        NonFiniteLoss: before the weights are touched.
    """
    model.train(only is None)
    if only is not None:
        only.train()
    device = next(model.parameters()).device
    rng = np.random.default_rng([seed, epoch])  # its own, so a resumed run sees the order of one that never stopped
    size = config.batch_size
    steps = len(source) // size
    rows = rng.permutation(len(source))[: steps * size].reshape(steps, size)[:, across.share(size)]
    part = rows.shape[1] * across.count() / size
    net = processes.wrapped(model)
    sums: dict[str, float] = defaultdict(float)
    counts = torch.zeros(len(model.memory.items) if model.memory is not None else 0, dtype=torch.long, device=device)
    for step, (x, target) in enumerate(batches(source, rows.shape[1], rows.ravel(), device)):
        progress = (epoch * steps + step) / (config.epochs * steps)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
        if config.channels_last:
            x = x.contiguous(memory_format=torch.channels_last)
        if config.mirror:
            x, target = mirror(x, target, rng, size)

        with autocast(config, device), replaced(model, config.fast):
            out = net(x)
        terms = parts_of_whole(loss_terms(out, target), model, part)
        loss = total_loss(terms, weights)
        named = {"total": loss, **terms}
        means = across.summed(torch.stack([term.detach() for term in named.values()])) / across.count()
        values = dict(zip(named, means.tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            numbers = ", ".join(f"{name} {value:g}" for name, value in values.items())
            raise NonFiniteLoss(f"step {step + 1} ({numbers}, learning rate {optimizer.param_groups[0]['lr']:g})")

        optimizer.zero_grad()
        loss.backward()
        if out.updated_items is not None:  # official and paper: the update comes before the optimiser step
            model.memory.update(out.updated_items, out.updated_support)
        if model.memory is not None:
            counts += torch.bincount(out.nearest, minlength=len(counts))
        optimizer.step()

        for name, value in values.items():
            sums[name] += value
        bar.update()
    return {name: value / steps for name, value in sums.items()}, across.summed(counts).cpu(), out


def one_epoch(
    model: Network,
    source: Source,
    validation: Source,
    optimizer: torch.optim.Optimizer,
    weights: Mapping[str, float],
    config: OptimConfig,
    epoch: int,
    seed: int,
    bar: tqdm,
) -> dict[str, float]:
    """Train for one epoch, look at the validation images and at the memory; returns the line of the log.

    Raises:
        NonFiniteLoss: see :func:`train_one_epoch`.
    """
    started = time.perf_counter()
    losses, counts, out = train_one_epoch(model, source, optimizer, weights, config, epoch, seed, bar)
    seconds = time.perf_counter() - started
    device = next(model.parameters()).device
    record = {"epoch": epoch + 1, **losses}
    record["validation_pixel"] = validation_pixel_loss(model, validation, device)
    record |= {"learning_rate": optimizer.param_groups[0]["lr"], "seconds": seconds}
    record["images_per_second"] = len(source) // config.batch_size * config.batch_size / seconds
    if model.memory is not None:
        record |= memory_health(counts, model.memory.items.cpu())
        if config.reseed_dead and epoch + 1 < config.epochs:  # a new item needs training after it
            reseed_dead(model.memory, counts.to(device), across.gathered(out.queries).flatten(0, 2))
    bar.set_postfix(pixel=f"{losses['pixel']:.5f}", validation=f"{record['validation_pixel']:.5f}")
    return record


def kept(epoch: int, state: Path | None) -> str:
    """What is left of a training that has ended in the epoch after ``epoch``, for the line of the error."""
    where = state if state is not None else "the run folder"
    return f"the state after epoch {epoch} is in {where}" if epoch else "no epoch was finished"


def train(
    model: Network,
    source: Source,
    validation: Source,
    config: OptimConfig,
    seed: int,
    folder: Path | None,
    resume: bool = False,
    after_epoch: Callable[[Network, int], None] | None = None,
    watch: Callable[[Network, Mapping[str, object]], None] | None = None,
) -> None:
    """Train ``model`` in place; one JSON line for each epoch goes to ``folder/log.jsonl``. A model that is fitted in
    closed form (:mod:`mnad.training.closed_form`) has one line, and what was chosen is printed.

    Args:
        folder: of log and state; None, for processes besides the first, writes nothing.
        after_epoch: called with the model and the epoch's number, counted from 1, after each epoch.
        watch: called with the model and each line of the log.

    Raises:
        UserError: no such device, a weight of no term, a state or log that cannot be resumed, a loss that is not finite
            (with the step's numbers), or another process that has died. The state of the last good epoch stays in
            ``folder``.
    """
    device = choose_device(config.device)
    weights = loss_weights(model, config)
    if isinstance(model, FeatureMNAD):
        model.to(device)
        fitted = fit(model, source, validation, seed)
        print(fit_line(fitted))
        Log(folder, done=0).write({"epoch": 1, **fitted})
        return
    check_stages(model, config)
    if device.type == "cpu":
        keep_freed_memory()
    batch_size = min(config.batch_size, len(source))
    if batch_size < across.count():
        raise UserError(f"optim.batch_size: {batch_size} images for {across.count()} processes; expected one for each")
    config = replace(config, batch_size=batch_size)
    state = folder / STATE if folder is not None else None
    begun = resume and state is not None and state.is_file()
    config = resolved(config, model.to(device), source, state if begun else None)
    model.to(memory_format=ordered(config))
    optimizer = adam(model.parameters(), config, device)
    done = load_state(state, model, optimizer) if begun else 0
    at = done
    try:
        done = processes.share_progress(done, optimizer, device)
        log = Log(folder, done)
        name = folder.name if folder is not None else ""
        if model.memory is not None and config.memory_start != "random" and not done:
            start = start_from_queries if config.memory_start == "kmeans" else start_at_random_queries
            with across.apart():
                start(model, source, batch_size, seed)
        steps = len(source) // batch_size
        bar = tqdm(total=config.epochs * steps, initial=done * steps, desc=f"train {name}", mininterval=1.0)
        with bar:
            for at in range(done, config.epochs):
                record = one_epoch(model, source, validation, optimizer, weights, config, at, seed, bar)
                if after_epoch is not None:
                    after_epoch(model, at + 1)
                log.write(record)  # before the state: a line too many is cut off by the next --resume
                if watch is not None:
                    watch(model, record)
                if state is not None:
                    save_state(state, model, optimizer, at + 1, config.precision)
            at = config.epochs
            finish(model, source, validation, config, seed, log)
    except NonFiniteLoss as error:
        raise UserError(
            f"loss is not finite at epoch {at + 1}, {error}; expected a lower learning rate; {kept(at, state)}"
        ) from error
    except RuntimeError as error:
        if across.count() == 1 or not processes.is_lost(error):
            raise
        raise UserError(
            f"one of {across.count()} processes has died, at epoch {at + 1}; {kept(at, state)}; expected --resume, "
            f"with any number of processes"
        ) from error
    model.eval()


def finish(
    model: Network, source: Source, validation: Source, config: OptimConfig, seed: int, log: Log | None = None
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
    device = next(model.parameters()).device
    optimizer = adam(model.decoder.parameters(), own, device)  # type: ignore[union-attr]
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
    if log is not None:
        record: dict[str, object] = {"epoch": config.epochs + 1, "stage": "decoder", "pixel": losses["pixel"]}
        record["validation_pixel"] = validation_pixel_loss(model, validation, device)
        log.write(record | {"seconds": time.perf_counter() - started})
