"""What a score knows of one camera's past, so that the verdict on a frame needs no later one; ours, for video.

The paper scales the terms of a frame by the extremes of its video, which exist only when the video is over. The
extremes of the validation videos exist beforehand, but no two cameras (and no two hours) have the same level: a crowd
is harder to predict than an empty square. Here each term is brought to the validation videos' scale by mean and
deviation of this camera's own past, which begins as if the camera had seen ``prior`` frames of those videos::

    z_t   = (v_t - m_t) / s_t                        frame t, before it is learnt from
    v'_t  = m_0 + s_0 z_t                            what the score sees; m_0, s_0: validation videos
    w     = 1 / n_t;  n_(t+1) = min(n_t + 1, past)   if every z_t is at most ``accept``, else nothing is learnt
    m_(t+1)   = m_t + w d
    s_(t+1)^2 = (1 - w) (s_t^2 + w d^2)              d = max(v_t - m_t, -accept s_t)

which are mean and variance of the accepted frames while fewer than ``past`` of them are known, and fade from then on.
The score of a frame is the mean over itself and the ``average - 1`` frames before it. Free of torch, for the runtime.
"""

from collections import deque

import numpy as np

from mnad.config import CausalConfig

LEAST = 0.25  # of the deviation on the validation videos: a still picture must not make every change an alarm


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
                self._learn(np.maximum(z, -self.config.accept) * now)
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
