"""Scores of one image, higher is more anomalous, put together from small named terms.

A *score* brings its terms to one scale with statistics of the validation normals, never of the test set, and adds
them or takes the largest.

- ``mnad`` is the paper's score: weighted sum of PSNR and feature distance, each min-max normalised.
- ``wells`` (ours) is an OR of two questions about the inside of the well: does it show the colour of the bare wall
  where the memory expects metal (empty well), does it glitter (overflow)?
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mnad.config import ScoreConfig, TermConfig
from mnad.model.ellipse import Ellipse
from mnad.model.network import Network, Output
from mnad.run import UserError
from mnad.scoring.causal import Past
from mnad.scoring.surroundings import SurroundingsContrast, SurroundingsDistance, SurroundingsError
from mnad.scoring.terms import (
    Contrast,
    FeatureDistance,
    FeatureError,
    FineContrast,
    PeakDistance,
    PeakError,
    PooledDistance,
    Psnr,
    Term,
    WhitenedError,
)
from mnad.scoring.wells import (
    EllipseDistance,
    EllipseError,
    EllipseWhitenedError,
    Glitter,
    RelativeGlitter,
    RelativeWallHue,
    WallHue,
)

TERMS: dict[str, type[Term]] = {
    "psnr": Psnr,
    "feature_distance": FeatureDistance,
    "peak_error": PeakError,
    "pooled_distance": PooledDistance,
    "whitened_error": WhitenedError,
    "peak_distance": PeakDistance,
    "feature_error": FeatureError,
    "contrast": Contrast,
    "fine_contrast": FineContrast,
    "ellipse_error": EllipseError,
    "ellipse_distance": EllipseDistance,
    "ellipse_whitened_error": EllipseWhitenedError,
    "wall_hue": WallHue,
    "glitter": Glitter,
    "relative_wall_hue": RelativeWallHue,
    "relative_glitter": RelativeGlitter,
    "surroundings_error": SurroundingsError,
    "surroundings_distance": SurroundingsDistance,
    "surroundings_contrast": SurroundingsContrast,
}


def build_term(config: TermConfig) -> Term:
    """The callable term.

    Raises:
        UserError: unknown name or option, or an option out of range.
    """
    if config.name not in TERMS:
        raise UserError(f"score term {config.name!r}: unknown; expected one of {', '.join(TERMS)}")
    term_class = TERMS[config.name]
    options: dict[str, Any] = dict(config.options)
    try:
        for name in ("ellipse", "surroundings"):
            if isinstance(options.get(name), dict):
                options[name] = Ellipse(**options[name])
        term = term_class(**options)
    except TypeError as error:
        fields = ", ".join(getattr(term_class, "__dataclass_fields__", {})) or "none"
        raise UserError(f"score term {config.name}: options {config.options}; expected of {fields}") from error
    for option, allowed in term.ranges.items():
        if not allowed.allows(getattr(term, option)):
            raise UserError(f"score term {config.name}: {option} {getattr(term, option)}; expected {allowed.expected}")
    return term


NORMAL_MAD = 1.4826  # deviation of a normal distribution over its median absolute deviation


def title(term: str) -> str:
    """The name of a term for people: ``PSNR``, ``feature distance``."""
    return term.replace("_", " ").replace("psnr", "PSNR")


class Score(nn.Module):
    """A fitted score. Its statistics are buffers, so they travel in the checkpoint.

    Of several members each has columns and statistics of its own, and the score is the mean of theirs.

    With ``given``, the columns of each member are its T terms, then the G that they are judged given. A term t becomes
    ``t - slopes . g``, with the slopes of the least-squares line ``t ~ a + slopes . g`` over the validation normals:
    what is unusual for a picture that is, say, as noisy around the product as this one.

    Args:
        config: what to build.
        gives: what the model gives, see :class:`mnad.model.network.Network`; terms that need another thing are
            dropped (a plain autoencoder's MNAD score is its PSNR).
        members: models whose outputs it rates.
        size: (height, width) of the images, for terms with statistics.
    """

    low: Tensor  # S * T, the value that becomes 0; the T terms of the first of S members, then of the next
    high: Tensor  # S * T, the value that becomes 1
    slopes: Tensor  # S x G x T, of each term on what it is given; only with some
    mean: Tensor  # S * T, median and deviation of a causal score, with which the past of a camera begins
    deviation: Tensor

    def __init__(
        self,
        config: ScoreConfig,
        gives: Collection[str] = ("image", "distance"),
        members: int = 1,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        kept, given = ([(t, build_term(t)) for t in row] for row in (config.terms, config.given))
        gives = {*gives, "input"}
        kept, given = ([(t, term) for t, term in row if term.needs in gives] for row in (kept, given))
        given = given if kept else []
        self.names = [t.name for t, _ in (*kept, *given)]
        self.dropped = len(kept) < len(config.terms)
        self.terms = [term for _, term in (*kept, *given)]
        self.given = len(given)
        self.weights = [t.weight for t, _ in kept]
        self.quantiles = [t.high for t, _ in kept]
        self.normalise, self.combine, self.smooth = config.normalise, config.combine, config.smooth
        self.mirror, self.members = config.mirror, members
        self.register_buffer("low", torch.zeros(members * len(kept), dtype=torch.float64))
        self.register_buffer("high", torch.ones(members * len(kept), dtype=torch.float64))
        if given:
            self.register_buffer("slopes", torch.zeros(members, len(given), len(kept), dtype=torch.float64))
        self.causal = config.causal
        if self.causal is not None:
            self.register_buffer("mean", torch.zeros(members * len(kept), dtype=torch.float64))
            self.register_buffer("deviation", torch.ones(members * len(kept), dtype=torch.float64))
        self.statistics: Any = nn.ModuleList(nn.ModuleDict() for _ in range(members))
        for row in self.statistics:
            found = ((str(i), term.statistics(size)) for i, term in enumerate(self.terms))
            row.update({i: statistics for i, statistics in found if statistics is not None})  # type: ignore[operator]

    def label(self, name: str) -> str:
        """``name``; of a score that the model has not all terms of, what is left instead: ``PSNR only``."""
        return f"{' and '.join(map(title, self.names))} only" if self.dropped else name

    def value(self, index: int, target: Tensor, out: Output, member: int = 0) -> Tensor:
        """The term ``index`` of every image, B values, of the output of the model ``member``."""
        statistics = self.statistics[member]
        extra = (statistics[str(index)],) if str(index) in statistics else ()
        return self.terms[index](target, out, *extra)

    def raw(self, target: Tensor, out: Output, member: int = 0) -> Tensor:
        """Every term of every image, B x (T + G) float64, before normalisation, of the output of model ``member``."""
        values = [self.value(index, target, out, member) for index in range(len(self.terms))]
        return torch.stack([value.double() for value in values], dim=1)

    @property
    def columns(self) -> int:
        """S * (T + G), of the raw terms."""
        return self.members * len(self.terms)

    def conditioned(self, raw: Tensor) -> Tensor:
        """N x S * (T + G) raw terms -> N x S * T, each less what was to be expected; ``raw`` without ``given``."""
        if not self.given:
            return raw
        parts = raw.view(len(raw), self.members, len(self.terms))
        terms, given = parts.split([len(self.weights), self.given], dim=2)
        return (terms - torch.einsum("nsg,sgt->nst", given, self.slopes)).flatten(1)

    def fit(self, raw: Tensor) -> "Score":
        """Take slopes and scale from the raw terms of the validation normals, N x S * (T + G)."""
        if self.given:
            parts = raw.view(len(raw), self.members, len(self.terms)).transpose(0, 1)
            parts = parts - parts.mean(dim=1, keepdim=True)
            terms, given = parts.split([len(self.weights), self.given], dim=2)
            self.slopes.copy_(torch.linalg.pinv(given) @ terms)
        raw = self.conditioned(raw)
        if self.normalise == "minmax":
            low, high = raw.amin(dim=0), raw.amax(dim=0)
        else:
            low = raw.quantile(0.5, dim=0)
            high = torch.stack([raw[:, i].quantile(q) for i, q in enumerate(self.quantiles * self.members)])
        self.low.copy_(low)
        # A term that is the same for every normal says nothing about scale: leave its unit as it is.
        self.high.copy_(torch.where(high > low, high, low + 1))
        if self.causal is not None:
            median = raw.quantile(0.5, dim=0)
            deviation = NORMAL_MAD * (raw - median).abs().quantile(0.5, dim=0)
            self.mean.copy_(median)
            self.deviation.copy_(torch.where(deviation > 0, deviation, torch.ones_like(deviation)))
        return self

    def new_past(self) -> Past | None:
        """What a causal score knows of a camera before its first frame; None for another score."""
        if self.causal is None:
            return None
        return Past(self.causal, self.mean.cpu().numpy(), self.deviation.cpu().numpy())

    def forward(self, raw: Tensor) -> Tensor:
        """N x S * (T + G) raw terms -> N scores."""
        scaled = ((self.conditioned(raw) - self.low) / (self.high - self.low)).view(-1, len(self.weights))
        each = scaled.amax(dim=1) if self.combine == "max" else scaled @ scaled.new_tensor(self.weights)
        return each.view(-1, self.members).mean(dim=1)


def needs_statistics(scores: Iterable[Score]) -> bool:
    """Whether a term of ``scores`` learns from training normals."""
    return any(len(row) for score in scores for row in score.statistics)


@torch.inference_mode()
def fit_statistics(
    scores: Sequence[Score], models: Sequence[Network], training: Iterable[tuple[Tensor, Tensor]]
) -> None:
    """Let the terms of ``scores`` learn what they need of the ``training`` normals, batches of input and target."""
    for x, target in training:
        for member, model in enumerate(models):
            output = model(x).output
            for score in scores:
                for statistics in score.statistics[member].values():
                    statistics.add(target, output)
    for score in scores:
        for row in score.statistics:
            for statistics in row.values():
                statistics.close()


def measure(
    models: Sequence[Callable[[Tensor], Output]], scores: Mapping[str, Score], x: Tensor, target: Tensor
) -> tuple[Output, dict[str, Tensor]]:
    """Output of the first model for ``x``, and the raw terms of every score, B x S * (T + G) float64.

    A score with ``mirror`` has the mean of each term over the image and its left-right mirror image.
    """
    mirrored = any(score.mirror for score in scores.values())
    first = None
    parts: dict[str, list[Tensor]] = {key: [] for key in scores}
    for member, model in enumerate(models):
        out = model(x)
        first = out if first is None else first
        other = model(x.flip(-1)) if mirrored else None
        for key, score in scores.items():
            raw = score.raw(target, out, member)
            parts[key].append((raw + score.raw(target.flip(-1), other, member)) / 2 if score.mirror else raw)
    return first, {key: torch.cat(values, dim=1) for key, values in parts.items()}
