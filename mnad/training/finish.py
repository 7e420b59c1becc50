"""After the epochs: named stages that make exact what training left approximate. All optional, none official.

- ``statistics``: mean and variance of the standardised queries over all training images instead of running ones.
- ``items``: five Lloyd steps (k-means from where training left the items) over all training queries, then the
  variance of each item's queries, channel by channel, shrunken to the pooled one of its position:
  ``V_m = (n_m v_m + 50 pooled) / (n_m + 50)``, at least 0.001, for n_m queries.
- ``decoder``: one epoch of the decoder alone, pixel error only, at 0.3 times the learning rate, since the items it
  was trained with have moved.

The state that ``--resume`` reads is of before them, so an interrupted run does them anew from the last epoch.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mnad.config import OptimConfig
from mnad.data.source import Source, batches
from mnad.model.memory import Memory
from mnad.model.mnad import MNAD
from mnad.model.network import Network
from mnad.run import UserError

LLOYD_STEPS = 5
SHRINK = 50.0  # queries that the pooled variance counts as
SMALLEST = 1e-3  # variance of standardised queries
DECODER_RATE = 0.3  # of the learning rate
CHUNK = 200_000  # queries at a time


def check_stages(model: Network, config: OptimConfig) -> None:
    """Raises ``UserError`` for a stage that ``model`` cannot have."""
    needs = {"statistics": "model.query standardised", "items": "model.update ema", "decoder": "model.name mnad"}
    able = set()
    if isinstance(model, MNAD):
        rules = {"statistics": model.standardise is not None, "items": model.memory.update_rule == "ema"}
        able = {"decoder", *(stage for stage, has in rules.items() if has)}
    for stage in config.finish:
        if stage not in able:
            raise UserError(f"optim.finish: {stage} needs {needs[stage]}; expected that, or a finish without it")


@torch.inference_mode()
def features_of(model: MNAD, source: Source) -> Tensor:
    """Features of all images before they are queries, N x H' x W' x C float32: all in memory."""
    model.eval()
    device = next(model.parameters()).device
    parts = [model.encoder(x)[0].permute(0, 2, 3, 1) for x, _ in batches(source, 256, device=device, name="queries")]
    return torch.cat(parts)


@torch.no_grad()
def exact_statistics(model: MNAD, source: Source) -> None:
    """The stage ``statistics``."""
    features = features_of(model, source)
    model.standardise.set(features.mean(dim=0), features.var(dim=0))


@torch.inference_mode()
def queries_of(model: MNAD, source: Source) -> Tensor:
    """Queries of all images, N x H' x W' x C float32."""
    return torch.cat([model.query(part.permute(0, 3, 1, 2)) for part in features_of(model, source).split(1024)])


@torch.no_grad()
def assigned_sums(memory: Memory, queries: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of the queries (K x C) nearest to each item: their number (G M), sum and sum of squares (G M x C)."""
    count = torch.zeros(len(memory.items), device=queries.device)
    total, squares = torch.zeros_like(memory.items), torch.zeros_like(memory.items)
    for part in queries.split(max(1, CHUNK // memory.groups) * memory.groups):
        rows = memory.nearest(memory.compare(part))
        count += torch.bincount(rows, minlength=len(count))
        total.index_add_(0, rows, part)
        squares.index_add_(0, rows, part.square())
    return count, total, squares


@torch.no_grad()
def exact_items(memory: Memory, queries: Tensor, steps: int = LLOYD_STEPS) -> Tensor:
    """The stage ``items``, from N x H' x W' x C queries; returns how many queries each item has.

    An item that has none stays where it is.
    """
    queries = queries.flatten(0, 2)
    for _ in range(steps):
        count, total, _ = assigned_sums(memory, queries)
        mean = total / count.clamp_min(1)[:, None]
        items = torch.where((count > 0)[:, None], mean, memory.items)
        memory.update(F.normalize(items, dim=1) if memory.unit else items)
    count, total, squares = assigned_sums(memory, queries)
    # mean of (q - p)^2, whether or not p is the mean of its queries
    spread = (squares - 2 * memory.items * total) / count.clamp_min(1)[:, None] + memory.items.square()
    spread = (spread * (count > 0)[:, None]).clamp_min(0).view(memory.groups, -1, spread.shape[1])
    n = count.view(memory.groups, -1, 1)
    pooled = (n * spread).sum(dim=1, keepdim=True) / n.sum(dim=1, keepdim=True)
    shrunken = (n * spread + SHRINK * pooled) / (n + SHRINK)
    memory.variance.copy_(shrunken.clamp_min(SMALLEST).flatten(0, 1))
    return count


def decoder_settings(config: OptimConfig) -> OptimConfig:
    """The settings of the stage ``decoder``."""
    return replace(config, epochs=1, learning_rate=DECODER_RATE * config.learning_rate)
