"""The loss of one batch: its terms by name, and their weights (eq. 6 to 10)."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional as F

from mnad.config import MEMORY_LOSSES, OptimConfig
from mnad.model import across
from mnad.model.build import loss_names
from mnad.model.network import Network, Output
from mnad.run import UserError


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


def parts_of_whole(terms: Mapping[str, Tensor], model: Network, part: float) -> dict[str, Tensor]:
    """The terms of this process's rows so weighted that their mean over the processes is the term of the whole batch.

    Args:
        part: its rows, of those that an even share would have; 1 where there is one process.
    """
    if across.count() == 1:
        return dict(terms)
    sums = MEMORY_LOSSES if getattr(model.memory, "reduction", "mean") == "sum" else ()
    return {name: term * (across.count() if name in sums else part) for name, term in terms.items()}


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
