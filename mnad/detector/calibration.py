"""Scales, thresholds and the reference of a gauge: what comes from validation normals and known anomalies."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from mnad.data.changes import calibration_sets
from mnad.data.clips import Clips
from mnad.data.images import Images as Photos
from mnad.data.source import Source, batches
from mnad.detector.core import Core, Images
from mnad.run import UserError
from mnad.scoring.drift import PICTURE, Reference, picture_statistics
from mnad.scoring.scores import fit_statistics, needs_statistics
from mnad.scoring.threshold import choose_thresholds


class Calibrated(Core):
    """A :class:`mnad.detector.core.Core` that can be calibrated, and then scores on one scale."""

    def fit(self, training: Source) -> None:
        """Let the terms that have statistics learn them from the ``training`` normals; before :meth:`calibrate`."""
        if needs_statistics(self.scores.values()):
            parts = batches(training, 256, device=self.device, name="statistics of training normals")
            fit_statistics(list(self.scores.values()), self.models, parts)

    def calibrate(
        self, validation: Images, known: Images | None = None, training: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Fit the scores on validation normals and choose the thresholds with the known anomalies.

        Args:
            validation: normals that were not trained on, at least one; N with the changed copies of
                ``config.calibration``, the unchanged ones first.
            known: K anomalies, likewise; none leave a rule that needs none, see
                :func:`mnad.scoring.threshold.choose_threshold`.
            training: videos that were trained on, for ``config.calibration.training_videos`` alone.

        Returns:
            score name -> N scores of the validation normals, and -> K scores of the known anomalies; float64.

        Raises:
            UserError: a score that is not finite, training videos that are wanted and missing, or see
                :func:`mnad.scoring.threshold.choose_threshold`.
        """
        seen = self._seen(training)
        validation = self.source(validation, "validation normals")
        known = None if known is None else self.source(known, "known anomalies")
        sets = calibration_sets(validation, known, self.config.calibration)
        held_out = self.model.held_out
        if held_out is None:
            normal_raw, known_raw = (self._joined(parts) for parts in sets)
        else:  # the model has seen the validation normals; these outputs are of before
            self._check_held_out()
            normal_raw = {key: score.raw(None, held_out).cpu().numpy() for key, score in self.scores.items()}
            known_raw = self._joined(sets[1])
        seen_raw = self._joined([seen] if seen else [])
        for key, score in self.scores.items():
            every = np.concatenate([normal_raw[key], seen_raw[key]]) if seen else normal_raw[key]
            score.fit(torch.from_numpy(every).to(self.device))
        normal, anomalous = self._scores_of_films(normal_raw, validation), self.combine(known_raw)
        for key in (key for scores in (normal, anomalous) for key, v in scores.items() if not np.isfinite(v).all()):
            raise UserError(f"score {key!r}: not finite; expected a model whose training did not diverge")
        self.thresholds = choose_thresholds(
            self.config, normal, anomalous, self._scores_of_films(seen_raw, seen) if seen else {}
        )
        self.reference = self.gauge_reference(validation) if isinstance(validation, Photos) else None
        return normal, anomalous

    def _check_held_out(self) -> None:
        """Raise ``UserError`` for a term that looks at the pictures: of normals that were left out in turn only the
        outputs are kept."""
        for key, score in self.scores.items():
            names = [n for n, term in zip(score.names, score.terms, strict=True) if term.needs in ("image", "input")]
            if names:
                raise UserError(
                    f"score {key!r}: its term {names[0]} looks at the pictures, of which a memory of few normals keeps "
                    "none; expected at least 200 normals, or the score without it"
                )

    def _seen(self, training: Images | None) -> Clips | None:
        """The training videos, where scale and thresholds are to see them."""
        if not self.config.calibration.training_videos:
            return None
        if not isinstance(training, Clips):
            raise UserError("calibration.training_videos: expected training videos; photographs leave it false")
        return training

    def _scores_of_films(self, raw: dict[str, np.ndarray], source: Source) -> dict[str, np.ndarray]:
        """Scores of ``source`` from its raw terms; of videos each begins without a past."""
        if not isinstance(source, Clips):
            return self.combine(raw)
        ends = np.cumsum(source.lengths)[:-1]
        parts = {key: np.split(values, ends) for key, values in raw.items()}
        films = [
            self.combine({key: split[i] for key, split in parts.items()}, self.new_pasts())
            for i in range(len(source.lengths))
        ]
        return {key: np.concatenate([film[key] for film in films]) for key in raw}

    @property
    def statistics_names(self) -> tuple[str, ...]:
        """What :meth:`statistics` gives of each image."""
        return (*self.scores[self.primary].names, *PICTURE)

    @torch.inference_mode()
    def statistics(self, images: Images, batch_size: int = 64, terms: np.ndarray | None = None) -> np.ndarray:
        """What a gauge of drift looks at (:mod:`mnad.scoring.drift`): raw terms of the verdict, and the picture as it
        came, N x D float64, by :attr:`statistics_names`.

        Args:
            terms: raw terms of the primary score where they are known already, N x T.
        """
        source = self.source(images)
        around = None if self.correction is None else self.correction.surroundings
        terms = self.raw_terms(source, batch_size=batch_size)[self.primary] if terms is None else terms
        names = self.scores[self.primary].names
        terms = terms.reshape(len(terms), -1, len(names)).mean(axis=1)  # over the members
        parts = [
            picture_statistics(target, around).cpu().numpy()
            for _, target in batches(source, batch_size, device=self.device)
        ]
        return np.concatenate([terms, np.concatenate(parts or [np.zeros((0, len(PICTURE)))])], axis=1)

    def gauge_reference(self, images: Images) -> Reference | None:
        """The reference of a gauge, from normals of the line to watch; None for fewer than 20. At most 2,000 images,
        evenly spaced, are looked at.
        """
        source = self.source(images)
        if len(source) < 20:
            return None
        chosen = np.unique(np.linspace(0, len(source) - 1, min(len(source), 2000)).astype(int))
        values = self.statistics(
            source.subset(chosen) if isinstance(source, Photos) and len(chosen) < len(source) else source
        )
        return Reference(values, self.statistics_names)

    def _joined(self, parts: Sequence[Source]) -> dict[str, np.ndarray]:
        """Raw terms of one source after the other; empty without any."""
        raw = [self.raw_terms(part, getattr(part, "name", "images")) for part in parts]
        return {key: np.concatenate([of[key] for of in raw]) for key in self.scores} if raw else {}

    def check_calibrated(self) -> None:
        """Raises ``UserError`` for a detector without thresholds, whose scores have no scale."""
        if not self.thresholds:
            raise UserError("checkpoint: has no threshold; expected one that was calibrated by training")

    def score_all(self, images: Images, name: str = "images", counts: Tensor | None = None) -> dict[str, np.ndarray]:
        """Every score of every image by name, N float64 each; higher is more anomalous. ``counts``: :meth:`raw_terms`.

        Raises:
            UserError: the detector is not calibrated.
        """
        self.check_calibrated()
        return self.combine(self.raw_terms(images, name, counts=counts))

    def score(self, images: Images, name: str | None = None) -> np.ndarray:
        """One score of every image, N float64, higher is more anomalous; ``name`` None is the primary score.

        Raises:
            UserError: the detector is not calibrated, or has no such score.
        """
        if name is not None and name not in self.scores:
            raise UserError(f"score: expected one of {', '.join(self.scores)}, got {name!r}")
        return self.score_all(images)[name or self.primary]
