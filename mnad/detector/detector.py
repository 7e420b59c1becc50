"""The detector: verdicts, pictures of what it sees, and its file."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mnad.config import DetectorConfig
from mnad.data.clips import Windows
from mnad.data.images import fitted, to_input
from mnad.data.reading import are_grey, no_colour, read_photo
from mnad.detector.calibration import Calibrated
from mnad.model.build import MODELS, config_class
from mnad.run import UserError
from mnad.run.ahead import ahead, batched
from mnad.run.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint
from mnad.run.old_keys import modernise
from mnad.run.provenance import provenance
from mnad.run.verdict import Verdict
from mnad.scoring.drift import Reference
from mnad.scoring.threshold import Threshold


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
                pixels.append(fitted(read_photo(image).pixels, self.config.images.size, self.config.images.fit))
                rows.append(len(found))
                found.append(Verdict(name))
            except UserError as error:
                found.append(Verdict(name, error=str(error)))
        if pixels:
            judged = self.judge([found[row].path for row in rows], np.stack(pixels)[:, None], statistics)
            for row, verdict in zip(rows, judged, strict=True):
                found[row] = verdict
        return found

    def judge(self, names: Sequence[str], frames: np.ndarray, statistics: bool = False) -> list[Verdict]:
        """The verdict on each of ``frames``, under its name; the test changes no memory item. A picture without colour
        has that as its error where the verdict rests on colour.

        Args:
            frames: N x (P + 1) x H x W x 3 uint8 of the configured size; P = 0 for photographs, 4 for prediction,
                whose verdict is on the last frame.
            statistics: also fill :attr:`mnad.run.verdict.Verdict.statistics`, for a gauge of drift.

        Raises:
            UserError: the detector is not calibrated.
        """
        self.check_calibrated()
        score = self.scores[self.primary]
        with torch.inference_mode():
            x, target = (part.to(self.device) for part in Windows(frames).inputs(np.arange(len(frames))))
            factors = None if self.correction is None else self.correction.gains(target)
            raw = self.measure(x, target, self.primary, factors)[2][self.primary]
            scores = score(raw).tolist()
            mean = raw.unflatten(1, (self.config.members, -1)).mean(dim=1)  # over the members
        gains = named_gains(factors, len(names))
        looks: list[dict[str, float]] = [{} for _ in names]
        if statistics:
            values = self.statistics(frames[:, -1], terms=raw.cpu().numpy()).tolist()
            looks = [dict(zip(self.statistics_names, row, strict=True)) for row in values]
        threshold = self.thresholds[self.primary].value
        found = []
        for name, value, own, gain, look in zip(names, scores, mean.tolist(), gains, looks, strict=True):
            terms = dict(zip(score.names, own, strict=True))
            found.append(Verdict(name, value, threshold, terms, gains=gain, statistics=look))
        for i in np.flatnonzero(are_grey(frames[:, -1])) if self.needs_colour else ():
            found[i] = Verdict(names[i], error=no_colour(names[i]))
        return found

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

    @classmethod
    def load(cls, path: Path | str) -> "Detector":
        """Read what :meth:`save` wrote; ``path`` is the file, its run folder, or the name of a shipped one (``wells``).

        Raises:
            UserError: missing, truncated, damaged, of another program or of another architecture.
        """
        path = find_checkpoint(path)
        tensors, texts = read_checkpoint(path)
        try:
            detector = cls(config_from_json(texts["config"]))
            stored = modernise(texts["thresholds"])
            detector.thresholds = {key: Threshold.from_json(value) for key, value in stored.items()}
            detector.record = dict(texts["record"])
            if "gauge.reference" in tensors:
                values = tensors["gauge.reference"].numpy()
                detector.reference = Reference(values, detector.statistics_names)
            for part, module in detector._parts():
                module.load_state_dict({k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)})
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: is of another architecture ({reason}); expected a fitting checkpoint") from error
        return detector


def named_gains(factors: Tensor | None, count: int) -> list[dict[str, float]]:
    """B x 3 factors by the name of the channel; empty for ``count`` pictures without a correction."""
    if factors is None:
        return [{} for _ in range(count)]
    return [{"red": red, "green": green, "blue": blue} for red, green, blue in factors.tolist()]


def config_from_json(stored: dict) -> DetectorConfig:
    """The configuration of a checkpoint, checked like one from the command line.

    Raises:
        ValueError: keys or types that ``DetectorConfig`` does not have.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    stored = modernise(stored)
    model = config_class(stored["model"]["name"])
    if "memae_items" not in model.__dataclass_fields__:  # until 2026-11-25 it stood in every model
        stored["model"].pop("memae_items", None)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DetectorConfig, skip={"model"})
    parser.add_class_arguments(model, "model")
    try:
        parsed = parser.parse_object(stored)
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    return DetectorConfig(**parser.instantiate(parsed).as_dict())
