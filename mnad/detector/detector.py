"""The detector: verdicts, pictures of what it sees, and its file."""

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mnad.data.clips import Windows
from mnad.data.images import fitted, to_input
from mnad.data.reading import are_grey, no_colour, read_photo
from mnad.detector.calibration import Calibrated
from mnad.detector.schema import check_model, config_from_json, load_part, record_from_json, thresholds_from_json
from mnad.model.build import MODELS, config_class
from mnad.run import UserError, one_line
from mnad.run.ahead import ahead, batched
from mnad.run.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint
from mnad.run.provenance import provenance
from mnad.run.verdict import Verdict
from mnad.scoring.causal import Pasts
from mnad.scoring.drift import Reference


class Detector(Calibrated):
    """Model, scores and thresholds that belong together; attributes: see :class:`mnad.detector.core.Core`."""

    def predict(
        self, images: Iterable[Path | str | np.ndarray], batch_size: int = 64, statistics: bool = False
    ) -> Iterator[Verdict]:
        """The verdict on each of ``images`` (files or H x W x 3 uint8 arrays of any size), in their order.

        A few batches at a time are in memory, so there may be any number of them. An image that cannot be read has its
        reason in ``error`` and stops nothing; so does one without colour where the verdict rests on colour.

        Args:
            statistics: also fill :attr:`mnad.run.verdict.Verdict.statistics`, for a gauge of drift.

        Raises:
            UserError: the detector is not calibrated, or predicts frames of videos, which need those before them.
        """
        self.check_calibrated()
        self.check_photographs()
        parts = batched(enumerate(images), batch_size)
        first = list(itertools.islice(parts, 2))
        if len(first) < 2:
            for part in first:
                yield from self._verdicts(part, statistics)
            return
        with self.one_thread_each() as threads:
            every = itertools.chain(first, parts)
            for found in ahead(lambda part: self._verdicts(part, statistics), every, threads, "judge"):
                yield from found

    def _verdicts(self, part: list[tuple[int, Path | str | np.ndarray]], statistics: bool) -> list[Verdict]:
        found: list[Verdict] = []
        rows, pixels = [], []
        for index, image in part:
            name = f"#{index}" if isinstance(image, np.ndarray) else str(image)
            try:
                pixels.append(fitted(read_photo(image).pixels, self.size, self.image_fit))
                rows.append(len(found))
                found.append(Verdict(name))
            except UserError as error:
                found.append(Verdict(name, error=str(error)))
        if pixels:
            judged = self.judge([found[row].path for row in rows], np.stack(pixels)[:, None], statistics)
            for row, verdict in zip(rows, judged, strict=True):
                found[row] = verdict
        return found

    def judge(
        self,
        names: Sequence[str],
        frames: np.ndarray,
        statistics: bool = False,
        pasts: Sequence[Pasts | None] | None = None,
    ) -> list[Verdict]:
        """The verdict on each of ``frames``, under its name; the test changes no memory item. A picture without colour
        has that as its error where the verdict rests on colour.

        Args:
            frames: N x (P + 1) x H x W x 3 uint8 of the configured size; P = 0 for photographs, 4 for prediction,
                whose verdict is on the last frame.
            statistics: also fill :attr:`mnad.run.verdict.Verdict.statistics`, for a gauge of drift.
            pasts: of the camera that each frame comes from (:meth:`new_pasts`), its frames in their order; None for
                photographs, which have no past.

        Raises:
            UserError: the detector is not calibrated.
        """
        self.check_calibrated()
        if len(frames) > self.together:
            parts = [slice(first, first + self.together) for first in range(0, len(frames), self.together)]
            each = (self.judge(names[p], frames[p], statistics, pasts and pasts[p]) for p in parts)
            return list(itertools.chain.from_iterable(each))
        with torch.inference_mode():
            x, target = (part.to(self.device) for part in Windows(frames).inputs(np.arange(len(frames))))
            factors = None if self.correction is None else self.correction.gains(target)
            raw = self.measure(x, target, self.primary, factors)[2][self.primary].cpu().numpy()
        gains = named_gains(factors, len(names))
        looks: list[dict[str, float]] = [{} for _ in names]
        if statistics:
            values = self.statistics(frames[:, -1], terms=raw).tolist()
            looks = [dict(zip(self.statistics_names, row, strict=True)) for row in values]
        scores, terms = self._followed(raw, pasts).tolist(), self.scores[self.primary].names
        threshold = self.thresholds[self.primary].value
        mean = raw.reshape(len(names), -1, len(terms)).mean(axis=1)  # over the members
        found = [
            Verdict(name, score, threshold, dict(zip(terms, values, strict=True)), gains=gain, statistics=look)
            for name, score, values, gain, look in zip(names, scores, mean.tolist(), gains, looks, strict=True)
        ]
        grey = are_grey(frames[:, -1]) if self.needs_colour else np.zeros(len(names), dtype=bool)
        for i, verdict in enumerate(found):
            if not math.isfinite(verdict.score):
                reason = f"{verdict.path}: its score is not finite ({verdict.score}); expected an undamaged detector"
                found[i] = Verdict(verdict.path, error=reason)
            if grey[i]:
                found[i] = Verdict(verdict.path, error=no_colour(verdict.path))
        return found

    def _followed(self, raw: np.ndarray, pasts: Sequence[Pasts | None] | None) -> np.ndarray:
        """Primary scores of frames of one or many cameras, N x T -> N."""
        primary = self.primary
        if not pasts or self.scores[primary].causal is None:
            return self.combine({primary: raw})[primary]
        return np.concatenate([self.combine({primary: raw[i : i + 1]}, past)[primary] for i, past in enumerate(pasts)])

    @torch.inference_mode()
    def reconstruct(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the model makes of ``frames`` (see :meth:`judge`), and how far that is from the last frame.

        Returns:
            N x H x W x 3 uint8 RGB, and the anomaly map of :meth:`anomaly_map`, N x H x W float32.
        """
        x, target = Windows(frames).inputs(np.arange(len(frames)))
        target, out = self.forward(x.to(self.device), target.to(self.device))
        maps = self.model.anomaly_map(target, out).cpu().numpy()
        output = (out.output if "image" in self.model.gives else target).cpu()  # features cannot be shown
        pictures = ((output + 1) * 127.5).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        return pictures, maps

    @torch.inference_mode()
    def gains(self, images: np.ndarray) -> list[dict[str, float]]:
        """What the correction multiplies each channel of N x H x W x 3 uint8 images by; empty without a correction."""
        factors = None if self.correction is None else self.correction.gains(to_input(images).to(self.device))
        return named_gains(factors, len(images))

    def save(self, path: Path | str) -> None:
        """Write weights, items, score statistics, thresholds and configuration to one file, atomically.

        Raises:
            UserError: a model that is not registered under a name, or a file that cannot be written.
        """
        if self.config.model.name not in MODELS:
            raise UserError(f"model.name: {self.config.model.name!r} cannot be saved; expected a registered model")
        tensors = {f"{part}{k}": v for part, module in self._parts() for k, v in module.state_dict().items()}
        if self.reference is not None:
            tensors["gauge.reference"] = torch.from_numpy(self.reference.values)
        self.record = self.record or provenance()
        texts = {
            "config": self._stored_config(),
            "thresholds": {k: asdict(t) for k, t in self.thresholds.items()},
            "record": self.record,
        }
        write_checkpoint(Path(path), tensors, texts)

    def _parts(self) -> list[tuple[str, nn.Module]]:
        """What a checkpoint holds, by the first part of its names."""
        further = [(f"members.{i}.", model) for i, model in enumerate(self.models) if i]
        light = [] if self.correction is None else [("correction.", self.correction)]
        return [("model.", self.model), *further, ("scores.", self.scores), *light]

    def _stored_config(self) -> dict[str, object]:
        """The configuration without the options of other models."""
        stored = asdict(self.config.detector())
        own = config_class(self.config.model.name).__dataclass_fields__
        return stored | {"model": {key: value for key, value in stored["model"].items() if key in own}}

    def alone(self, member: int) -> "Detector":
        """One member of an ensemble, counted from 0, as a detector of its own that is still to be calibrated."""
        found = Detector(self.config.detector(members=1), self.models[member]).to(self.device.type)
        found.correction = self.correction
        for name, score in found.scores.items():  # what the terms learnt of the training normals
            score.statistics[0].load_state_dict(self.scores[name].statistics[member].state_dict())
        return found

    @classmethod
    def load(cls, path: Path | str) -> "Detector":
        """Read what :meth:`save` wrote; ``path`` is the file, its run folder, or the name of a shipped one (``wells``).

        Raises:
            UserError: missing, truncated, damaged, of another program or of another architecture.
        """
        path = find_checkpoint(path)
        tensors, texts = read_checkpoint(path)
        try:
            config = config_from_json(texts["config"])
            check_model(config, tensors)
            detector = cls(config)
            if "gauge.reference" in tensors:
                values = tensors.pop("gauge.reference").numpy()
                detector.reference = Reference(values, detector.statistics_names)
            for part, module in detector._parts():
                load_part(module, part, tensors)
            parts = tuple(part for part, _ in detector._parts())
            surplus = [name for name in tensors if not name.startswith(parts)]
            if surplus:
                raise ValueError(f"{surplus[0]} belongs to no part of it")
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = one_line(error)[:300]
            raise UserError(f"{path}: is of another architecture ({reason}); expected a fitting checkpoint") from error
        try:
            detector.thresholds = thresholds_from_json(texts["thresholds"], detector.scores)
            detector.record = record_from_json(texts["record"])
        except (KeyError, TypeError, ValueError) as error:
            reason = one_line(error)[:300]
            raise UserError(f"{path}: is damaged ({reason}); expected thresholds and record of a training") from error
        return detector


def named_gains(factors: Tensor | None, count: int) -> list[dict[str, float]]:
    """B x 3 factors by the name of the channel; empty for ``count`` pictures without a correction."""
    if factors is None:
        return [{} for _ in range(count)]
    return [{"red": red, "green": green, "blue": blue} for red, green, blue in factors.tolist()]
