"""Drift: does the line still show what the detector was calibrated on? A sequential test, its false-alarm rate stated.

Of every image a few numbers are kept (:data:`PICTURE` and the terms of the verdict). If new images are exchangeable
with those of the reference, the rank of each new value among all values so far is uniform and independent of the
ranks before it (a conformal p-value). A gambler who starts with 1 and bets against that has a test martingale; by
Ville's inequality it ever reaches ``1 / alarm_rate`` with a probability of at most ``alarm_rate``, whatever the
distribution (Vovk et al., *Algorithmic Learning in a Random World*, 2005, chapter 7).

Ours: with ``z`` the normal quantile of the p-value the bets are ``exp(d z - d^2 / 2)`` for the shifts ``d`` of
:data:`SHIFTS`; capital is divided evenly among the values, the shifts and the starting times, one every
:data:`RESTART` images. After ``horizon`` images the game starts anew, so the promise is for each such stretch.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import logsumexp, ndtri
from torch import Tensor

from mnad.model.ellipse import Ellipse
from mnad.model.order import median, quantile
from mnad.run import UserError
from mnad.scoring.terms import LOG_FLOOR, blur

PICTURE = ("level_red", "level_green", "level_blue", "sharpness", "noise", "saturation")
SHIFTS = np.array([-2.0, -1.0, -0.5, -0.25, 0.25, 0.5, 1.0, 2.0])  # in standard deviations
RESTART = 100  # images


def picture_statistics(x: Tensor, surroundings: Ellipse | None = None) -> Tensor:
    """B x 3 x H x W in [-1, 1], not corrected -> B x 6, the numbers of :data:`PICTURE`.

    Levels: logarithm of each channel's median on [0, 2]. Sharpness: logarithm of the 0.9 quantile of the squared grey
    picture minus its blur (1.5 pixels). Noise: the same of the median, of what the channels do not have in common.
    Saturation: mean difference of the largest and the smallest channel.

    Args:
        surroundings: levels, sharpness and noise only outside it, where the product does not matter; None: everywhere.
    """

    def pixels(values: Tensor) -> Tensor:
        return values.flatten(-2) if surroundings is None else surroundings.outside(values)

    grey = x.mean(dim=1)
    high, high_grey = x - blur(x, 1.5), grey - blur(grey, 1.5)
    noise = (high - high_grey[:, None]).square().mean(dim=1)
    sharp = quantile(pixels(high_grey.square()), 0.9)
    levels = torch.log(median(pixels(x + 1)).clamp_min(0.02))
    rest = [torch.log(sharp + LOG_FLOOR), torch.log(median(pixels(noise)) + LOG_FLOOR)]
    saturation = (x.amax(dim=1) - x.amin(dim=1)).flatten(1).mean(dim=1)
    return torch.cat([levels, torch.stack([*rest, saturation], dim=1)], dim=1).double()


@dataclass(frozen=True)
class Drift:
    """What a gauge says.

    Attributes:
        fired: whether the evidence ever reached ``1 / alarm_rate`` since the gauge was made or reset.
        evidence: capital of the gambler now, 1 at the start.
        seen: images since the start.
        leading: the value with the most evidence, in words of the reference; empty at the start.
    """

    fired: bool
    evidence: float
    seen: int
    leading: str = ""

    def __str__(self) -> str:
        word = "DRIFT" if self.fired else "no drift"
        by = f", most by {self.leading}" if self.leading and self.evidence > 1 else ""
        return f"{word}: evidence {self.evidence:.3g} after {self.seen} images{by}"


@dataclass(frozen=True)
class Reference:
    """Values that images had when all was well: N x D float64, and the D names."""

    values: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises ``UserError`` for another shape, fewer than 20 images or numbers that are not finite."""
        if self.values.ndim != 2 or self.values.shape[1] != len(self.names):
            raise UserError(f"gauge: reference of shape {self.values.shape}; expected N x {len(self.names)}")
        if len(self.values) < 20:
            raise UserError(f"gauge: {len(self.values)} reference images; expected at least 20, better 200")
        if not np.isfinite(self.values).all():
            raise UserError("gauge: reference values that are not finite; expected finite ones")


class Gauge:
    """Watches a stream of images for drift away from ``reference``.

    The reference has to be of the same stream: its first 200 images, or those that the detector was last calibrated
    with. Images of another day, such as the validation normals of a training, differ anyway, and the gauge says so.

    Args:
        reference: see :class:`Reference`.
        alarm_rate: highest probability of a false alarm in ``horizon`` exchangeable images.
        horizon: images after which the game starts anew.
        seed: of the ranks of equal values.
    """

    def __init__(self, reference: Reference, alarm_rate: float = 0.01, horizon: int = 2000, seed: int = 0) -> None:
        if not 0 < alarm_rate < 1:
            raise UserError(f"gauge: alarm rate {alarm_rate}; expected a number between 0 and 1")
        if horizon < RESTART:
            raise UserError(f"gauge: horizon {horizon}; expected at least {RESTART} images")
        self.reference, self.alarm_rate, self.horizon = reference, alarm_rate, horizon
        self.starts = -(-horizon // RESTART)
        self.rng = np.random.default_rng(seed)
        self.reset()

    def reset(self) -> None:
        """Forget the stream and the alarm."""
        self.fired, self.seen = False, 0
        self._start()

    def _start(self) -> None:
        self.bag = [np.sort(column).tolist() for column in self.reference.values.T]
        # logarithm of each capital in its unit: starting times x values x shifts
        self.log_capital = np.zeros((self.starts, len(self.reference.names), len(SHIFTS)))
        self.played = 0

    def ranks(self, values: Sequence[float]) -> np.ndarray:
        """D values -> D conformal p-values in (0, 1); the values join those that later ones are compared with."""
        p = np.empty(len(values))
        for i, (bag, value) in enumerate(zip(self.bag, values, strict=True)):
            below, up_to = bisect_left(bag, value), bisect_right(bag, value)
            p[i] = (below + self.rng.uniform(1e-9, 1) * (up_to - below + 1)) / (len(bag) + 1)
            insort(bag, float(value))
        return p.clip(1e-12, 1 - 1e-12)

    def update(self, values: Mapping[str, float] | Sequence[float]) -> Drift:
        """Take the values of the next image, by name or in the order of the reference.

        Raises:
            UserError: a value is missing or not finite.
        """
        names = self.reference.names
        if isinstance(values, Mapping):
            missing = [name for name in names if name not in values]
            if missing:
                raise UserError(f"gauge: no value {missing[0]!r}; expected {', '.join(names)}")
            values = [values[name] for name in names]
        if len(values) != len(names) or not np.isfinite(values).all():
            raise UserError(f"gauge: values {list(values)}; expected {len(names)} finite numbers")
        if self.played == self.horizon:
            self._start()
        z = ndtri(self.ranks(values))
        begun = self.played // RESTART + 1  # games that have started; the others still hold what they were given
        self.log_capital[:begun] += z[:, None] * SHIFTS - SHIFTS**2 / 2
        self.played += 1
        self.seen += 1
        evidence = float(np.exp(min(logsumexp(self.log_capital) - np.log(self.log_capital.size), 700)))
        self.fired |= evidence >= 1 / self.alarm_rate
        leading = names[int(logsumexp(self.log_capital, axis=(0, 2)).argmax())]
        return Drift(self.fired, evidence, self.seen, leading)


def watch(reference: Reference, values: np.ndarray, alarm_rate: float = 0.01, seed: int = 0) -> tuple[Drift, int]:
    """Run a fresh gauge over N x D values: its last state, and how many images it took to fire (0: it did not).

    Raises:
        UserError: no values; see :meth:`Gauge.update`.
    """
    if len(values) == 0:
        raise UserError("gauge: no values; expected at least one image")
    gauge, first = Gauge(reference, alarm_rate, seed=seed), 0
    for row in values:
        state = gauge.update(row)
        first = first or (state.seen if state.fired else 0)
    return state, first
