"""From a batch to the raw terms of its scores, in float32 or bfloat16."""

import threading
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import Tensor

from mnad.config import DetectorConfig, ScorePrecision
from mnad.data.images import content
from mnad.model.correction import Correction
from mnad.model.inference import Inference, pays_in_bfloat16
from mnad.model.network import Network, Output
from mnad.scoring.scores import measure
from mnad.scoring.threshold import Threshold

LOCK = threading.Lock()  # of what several threads count
NEAR = 0.1  # of a threshold, in units of the normals' spread; some times what bfloat16 changes (docs/scale.md)


@dataclass
class Again:
    """Images that were scored again in float32 because bfloat16 brought them close to a threshold.

    Attributes:
        images: so many.
        largest: difference of the two scores.
    """

    images: int = 0
    largest: float = 0.0

    def add(self, images: int, difference: float) -> None:
        """Take in one batch; from any thread."""
        with LOCK:
            self.images += images
            self.largest = max(self.largest, difference)

    def __str__(self) -> str:
        doubt = "; too much for bfloat16, expected --precision float32" if self.largest > NEAR / 2 else ""
        return (
            f"convolutions in bfloat16; {self.images} within {NEAR} of a threshold were scored again in float32, "
            f"largest difference {self.largest:.2g}{doubt}"
        )


class Measuring:
    """The part of a detector that runs its models; attributes: see :class:`mnad.detector.core.Core`."""

    config: DetectorConfig
    models: list[Network]
    correction: Correction | None
    scores: Any
    thresholds: dict[str, Threshold]
    precision: ScorePrecision
    again: Again
    _runs: dict[tuple[int, ScorePrecision], Inference]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        raise NotImplementedError

    def use(self, precision: ScorePrecision) -> Self:
        """Score in ``precision``; ``auto`` is bfloat16 where it is measured to be faster. In bfloat16, whatever comes
        within ``NEAR`` of a threshold is scored again in float32.

        Raises:
            UserError: bfloat16 for a network that is not MNAD.
        """
        if precision == "auto":
            pays = pays_in_bfloat16(self.models[0], self.config.images.size, self.device)  # the members are alike
            precision = "bfloat16" if pays else "float32"
        for model in self.models:
            Inference(model, precision)  # which checks it
        self.precision, self.again = precision, Again()
        self._runs = {}
        return self

    def measure(
        self, x: Tensor, target: Tensor, only: str | None = None, gains: Tensor | None = None
    ) -> tuple[Tensor, Output, dict[str, Tensor]]:
        """Corrected target, output of the first model, raw terms by score; see :func:`mnad.scoring.scores.measure`.

        Args:
            only: the one score whose terms are wanted; None: of all.
            gains: see :meth:`corrected`.
        """
        x, target = self.corrected(x, target, gains)
        scores = self.scores if only is None else {only: self.scores[only]}
        out, raw = measure([partial(self._run, model) for model in self.models], scores, x, target)
        if self.precision == "bfloat16":
            near = self._near(raw)
            if near.any():
                exact = [partial(self._run, model, precision="float32") for model in self.models]
                _, better = measure(exact, scores, x[near], target[near])
                differences = [
                    (self.scores[key](raw[key][near]) - self.scores[key](values)).abs().max().item()
                    for key, values in better.items()
                ]
                for key, values in better.items():
                    raw[key][near] = values
                self.again.add(int(near.sum()), max(differences))
        return target, out, raw

    def _near(self, raw: dict[str, Tensor]) -> Tensor:
        """Which images have a score within ``NEAR`` of its threshold, B bool."""
        distances = [
            (self.scores[key](values) - self.thresholds[key].value).abs()
            for key, values in raw.items()
            if key in self.thresholds
        ]
        first = next(iter(raw.values()))
        return (
            torch.stack([d < NEAR for d in distances]).any(dim=0) if distances else first.new_zeros(len(first)).bool()
        )

    def corrected(self, x: Tensor, target: Tensor, gains: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Model input B x C x H x W and target B x 3 x H x W in [-1, 1] after the correction where there is one (of a
        photograph input and target are the same); ``gains`` are those of the correction, where they are known."""
        if self.correction is None:
            return x, target
        target = self.correction(target, gains)
        return target, target

    def _run(self, model: Network, x: Tensor, precision: ScorePrecision | None = None) -> Output:
        """The output of ``model``, which says nothing about the filled part of a letterboxed image."""
        key = id(model), precision or self.precision
        run = self._runs.get(key)
        if run is None or run.model is not model:
            run = self._runs[key] = Inference(model, key[1])
        out = run(x)
        shown = x[:, -3:]  # of a clip the last frame, which is filled where the others are
        return out.only(content(shown), shown) if self.config.images.fit == "letterbox" else out
