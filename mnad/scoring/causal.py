"""What a score knows of one camera's past, so that the verdict on a frame needs no later one; ours, for video.

The paper scales the terms of a frame by the extremes of its video, which exist only when the video is over. The
extremes of the validation videos exist beforehand, but no two cameras (and no two hours) have the same level: a crowd
is harder to predict than an empty square. Here each term is brought to the validation videos' scale by mean and
deviation of this camera's own past, which begins as if the camera had seen ``prior`` frames of those videos::

    z_t   = (v_t - m_t) / s_t                        frame t, before it is learnt from
    v'_t  = m_0 + s_0 z_t                            what the score sees; m_0, s_0: validation videos
    w     = 1 / n_t;  n_(t+1) = min(n_t + 1, past)   if every z_t is at most ``accept``, else nothing is learnt
    m_(t+1)   = m_t + w d
    s_(t+1)^2 = (1 - w) (s_t^2 + w d^2)              d = s_t (max(z_t, -accept) - mu) / sigma

which are mean and variance of the d while fewer than ``past`` frames are known, and fade from then on. mu and sigma are
mean and deviation of max(z, -accept) over the accepted z of a standard normal distribution: without them, frames that
are cut off would pull mean and deviation down, and with them the threshold, more with every frame.
The score of a frame is the mean over itself and the ``average - 1`` frames before it. Free of torch, for the runtime.
"""

import math
from collections import deque

import numpy as np

from mnad.config import CausalConfig

LEAST = 0.25  # of the deviation on the validation videos: a still picture must not make every change an alarm


def accepted_moments(accept: float) -> tuple[float, float]:
    """Mean and deviation of max(z, -accept) over the z <= accept of a standard normal distribution.

    >>> [round(value, 4) for value in accepted_moments(2.0)]
    [-0.0466, 0.9202]
    """
    below = (1 + math.erf(accept / math.sqrt(2))) / 2
    density = math.exp(-(accept**2) / 2) / math.sqrt(2 * math.pi)
    mean = -accept * (1 - below) / below
    square = (2 * below - 1 - 2 * accept * density + accept**2 * (1 - below)) / below
    return mean, math.sqrt(square - mean**2)


class Past:
    """Running statistics of one score on one camera; a few numbers, however long the film.

    Args:
        config: how they run.
        mean: T numbers, m_0 of each term on the validation videos.
        deviation: T numbers above 0, s_0.
    """

    def __init__(self, config: CausalConfig, mean: np.ndarray, deviation: np.ndarray) -> None:
        self.config = config
        self.first = np.asarray(mean, dtype=np.float64), np.asarray(deviation, dtype=np.float64)
        self.mean, self.variance = self.first[0].copy(), self.first[1] ** 2
        self.frames = float(config.prior)
        self.moments = accepted_moments(config.accept)
        self.recent: deque[float] = deque(maxlen=config.average)

    def adapt(self, raw: np.ndarray) -> np.ndarray:
        """Raw terms of the next frames, N x T in their order -> the same on the scale of the validation videos."""
        mean, deviation = self.first
        found = np.empty(raw.shape, dtype=np.float64)
        for i, value in enumerate(np.asarray(raw, dtype=np.float64)):
            now = np.maximum(np.sqrt(self.variance), LEAST * deviation)
            z = (value - self.mean) / now
            found[i] = mean + deviation * z
            if (z <= self.config.accept).all():
                centre, spread = self.moments
                self._learn((np.maximum(z, -self.config.accept) - centre) / spread * now)
        return found

    def _learn(self, difference: np.ndarray) -> None:
        self.frames = min(self.frames + 1, self.config.past)
        weight = 1 / self.frames
        self.mean = self.mean + weight * difference
        self.variance = (1 - weight) * (self.variance + weight * difference**2)

    def average(self, scores: np.ndarray) -> np.ndarray:
        """Scores of the next frames, N -> the mean of each with those before it, N."""
        found = np.empty(len(scores))
        for i, score in enumerate(scores):
            self.recent.append(float(score))
            found[i] = sum(self.recent) / len(self.recent)
        return found


Pasts = dict[str, Past]  # of one camera, by the name of the score
