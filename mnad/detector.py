"""A trained detector: model, fitted scores and thresholds, in one safetensors file without any pickle."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mnad.config import DetectorConfig, past_frames
from mnad.data.changes import calibration_sets
from mnad.data.checks import is_grey
from mnad.data.clips import Windows, as_source, check_frames
from mnad.data.images import Images as Photos
from mnad.data.images import to_input
from mnad.data.reading import read_photo, resize
from mnad.data.source import Source, batches
from mnad.model.build import MODELS, build_model, choose_device, config_class
from mnad.model.correction import build_correction
from mnad.model.network import Network, Output
from mnad.run import UserError
from mnad.run.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint
from mnad.run.old_keys import modernise
from mnad.run.provenance import provenance
from mnad.run.verdict import Verdict
from mnad.scoring.drift import PICTURE, Reference, picture_statistics
from mnad.scoring.scores import Score, fit_statistics, measure, needs_statistics
from mnad.scoring.threshold import Threshold, choose_thresholds

Images = Source | np.ndarray | Sequence[np.ndarray | Path | str]  # what a detector scores


class Detector:
    """Model, scores and thresholds that belong together.

    Attributes:
        config: what it was built from.
        models: the members of an ensemble, in eval mode; mostly one.
        model: the first of them; the health of the memory is its own.
        correction: of white balance and exposure, the first step before the models; None without.
        scores: fitted scores by name; those with no term left for this model are absent.
        thresholds: one for each score, after :meth:`calibrate`.
        reference: what the validation normals look like, for a gauge of drift; None before :meth:`calibrate`, for
            videos, and in checkpoints of before 2026-11-25.
        record: provenance of the training, read from or written to the checkpoint.
    """

    def __init__(self, config: DetectorConfig, model: Network | Sequence[Network] | None = None) -> None:
        """Raises ``UserError`` for a bad configuration, or a ``model`` (of several members all) that is not the one it
        describes."""
        for name in config.scores:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise UserError(f"scores: expected a name of letters, digits, _ and -, got {name!r}")
            if hasattr(nn.ModuleDict(), name):  # such as type, keys or train
                raise UserError(f"scores: {name!r} is a word of PyTorch's modules; expected another name")
        self.config = config
        size = config.images.size
        self.models = self._members(model)
        self.correction = build_correction(config.correction)
        has_memory = self.model.memory is not None
        scores: dict[str, Any] = {
            n: Score(score, has_memory, config.members, size) for n, score in config.scores.items()
        }
        self.scores: Any = nn.ModuleDict({name: score for name, score in scores.items() if score.names})
        if config.primary not in self.scores:
            raise UserError(
                f"primary: {config.primary!r} needs a memory, but model {config.model.name} has none; expected a "
                f"score of other terms"
            )
        blank = torch.zeros(1, 3, *size)
        if self.correction is not None:
            self.correction(blank)
        for score in self.scores.values():  # options that only an image of this size can refuse
            for index, term in enumerate(score.terms):  # type: ignore[arg-type]
                if not term.needs_memory:
                    score.value(index, blank, Output(blank, blank, ()))  # type: ignore[operator]
        self.thresholds: dict[str, Threshold] = {}
        self.reference: Reference | None = None
        self.record: dict[str, object] = {}

    def _members(self, model: Network | Sequence[Network] | None) -> list[Network]:
        """The given models, or new ones, in eval mode. Raises ``UserError`` unless they fit the configuration."""
        given = [model] if isinstance(model, Network) else model
        models = list(
            given or [build_model(self.config.model, self.config.images.size) for _ in range(self.config.members)]
        )
        if len(models) != self.config.members:
            raise UserError(f"members: expected {self.config.members} models, got {len(models)}")
        for one in models:
            one.eval()
            if given and self.config.model.name in MODELS:
                self._check_model(one)
        return models

    @property
    def model(self) -> Network:
        """The first member."""
        return self.models[0]

    def _check_model(self, model: Network) -> None:
        """Raise ``UserError`` unless ``config`` builds a model like the one that was given."""
        with torch.device("meta"):
            expected = build_model(self.config.model, self.config.images.size)
        shapes, found = ({k: tuple(v.shape) for k, v in m.state_dict().items()} for m in (expected, model))
        different = [name for name in shapes | found if shapes.get(name) != found.get(name)]
        if type(model) is not type(expected) or different:
            first = f": {different[0]} is {found.get(different[0])}" if different else ""
            raise UserError(
                f"model: {type(model).__name__} does not fit its configuration{first}; expected "
                f"{shapes.get(different[0]) if different else type(expected).__name__}"
            )

    @property
    def primary(self) -> str:
        """Name of the score that gives the verdict."""
        return self.config.primary

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the images that the model sees."""
        return self.config.images.size

    @property
    def past(self) -> int:
        """Frames before the one that is judged: 4 for prediction, 0 for photographs."""
        return past_frames(self.config.model.variant)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    @property
    def parameters(self) -> int:
        """Trained weights."""
        return sum(p.numel() for model in self.models for p in model.parameters())

    def label(self, score: str) -> str:
        """``score``, with the terms that are left of it where the model lacks some."""
        return self.scores[score].label(score)

    def to(self, device: str) -> "Detector":
        """Move model and scores; ``auto`` is CUDA where there is one."""
        target = choose_device(device)
        for part in filter(None, (*self.models, self.correction, self.scores)):
            part.to(target)
        return self

    def source(self, images: Images, name: str = "images") -> Source:
        """``images`` (files, arrays, or a source already) as what the model reads."""
        return as_source(images, self.config.images, self.config.model.variant, name)

    @property
    def needs_colour(self) -> bool:
        """Whether the verdict rests on a colour, which a grey picture does not have."""
        return any(term.needs_colour for term in self.scores[self.primary].terms)

    def corrected(self, x: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Model input B x C x H x W and target B x 3 x H x W in [-1, 1] after the correction where there is one (of a
        photograph input and target are the same)."""
        if self.correction is None:
            return x, target
        target = self.correction(target)
        return target, target

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Output]:
        """Model input and target as in :meth:`corrected` -> what the terms compare: the target, corrected, and the
        first model's output."""
        x, target = self.corrected(x, target)
        return target, self.model(x)

    def measure(self, x: Tensor, target: Tensor) -> tuple[Tensor, Output, dict[str, Tensor]]:
        """Corrected target, output of the first model, raw terms by score; see :func:`mnad.scoring.scores.measure`."""
        for model in self.models:
            model.eval()
        x, target = self.corrected(x, target)
        return target, *measure(self.models, self.scores, x, target)

    @torch.inference_mode()
    def raw_terms(
        self, images: Images, name: str = "images", batch_size: int = 64, counts: Tensor | None = None
    ) -> dict[str, np.ndarray]:
        """Raw terms of every image: score name -> N x T float64, of S members N x S * T. One batch at a time is in
        memory.

        Args:
            counts: M numbers to which is added how many queries have each item as their nearest.
        """
        parts: dict[str, list[np.ndarray]] = {key: [] for key in self.scores}
        for x, target in batches(self.source(images, name), batch_size, device=self.device, name=f"score {name}"):
            _, out, raw = self.measure(x, target)
            for key, values in raw.items():
                parts[key].append(values.cpu().numpy())
            if counts is not None:
                counts += torch.bincount(out.nearest.cpu(), minlength=len(counts))
        empty = {key: [np.zeros((0, len(score.low)))] for key, score in self.scores.items()}
        return {key: np.concatenate(values or empty[key]) for key, values in parts.items()}

    def combine(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw terms (N x T) -> scores (N), by score name."""
        with torch.inference_mode():
            return {key: self.scores[key](torch.from_numpy(v).to(self.device)).cpu().numpy() for key, v in raw.items()}

    def fit(self, training: Source) -> None:
        """Let the terms that have statistics learn them from the ``training`` normals; before :meth:`calibrate`."""
        if needs_statistics(self.scores.values()):
            parts = batches(training, 256, device=self.device, name="statistics of training normals")
            fit_statistics(list(self.scores.values()), self.models, parts)

    def calibrate(
        self, validation: Images, known: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Fit the scores on validation normals and choose the thresholds with the known anomalies.

        Args:
            validation: normals that were not trained on, at least one; N with the changed copies of
                ``config.calibration``, the unchanged ones first.
            known: K anomalies, likewise; none leave a rule that needs none, see
                :func:`mnad.scoring.threshold.choose_threshold`.

        Returns:
            score name -> N scores of the validation normals, and -> K scores of the known anomalies; float64.

        Raises:
            UserError: see :func:`mnad.scoring.threshold.choose_threshold`.
        """
        validation = self.source(validation, "validation normals")
        known = None if known is None else self.source(known, "known anomalies")
        sets = calibration_sets(validation, known, self.config.calibration)
        normal_raw, known_raw = (self._joined(parts) for parts in sets)
        for key, score in self.scores.items():
            score.fit(torch.from_numpy(normal_raw[key]).to(self.device))
        normal, anomalous = self.combine(normal_raw), self.combine(known_raw)
        self.thresholds = choose_thresholds(self.config, normal, anomalous)
        self.reference = self.gauge_reference(validation) if isinstance(validation, Photos) else None
        return normal, anomalous

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

    def predict(
        self, images: Iterable[Path | str | np.ndarray], batch_size: int = 64, statistics: bool = False
    ) -> Iterator[Verdict]:
        """The verdict on each of ``images`` (files or H x W x 3 uint8 arrays of any size), in their order.

        One batch at a time is in memory, so there may be any number of them. An image that cannot be read has its
        reason in ``error`` and stops nothing; so does one without colour where the verdict rests on colour.

        Args:
            statistics: also fill :attr:`mnad.run.verdict.Verdict.statistics`, for a gauge of drift.

        Raises:
            UserError: the detector is not calibrated, or predicts frames of videos, which need those before them.
        """
        self.check_calibrated()
        if self.model.variant != "recon":
            raise UserError("checkpoint: predicts frames of videos; expected one of the variant recon for photographs")
        numbered = enumerate(images)
        while part := list(itertools.islice(numbered, batch_size)):
            yield from self._verdicts(part, statistics)

    def _verdicts(self, part: list[tuple[int, Path | str | np.ndarray]], statistics: bool) -> list[Verdict]:
        found: list[Verdict] = []
        rows, pixels = [], []
        for index, image in part:
            name = f"#{index}" if isinstance(image, np.ndarray) else str(image)
            try:
                pixels.append(resize(read_photo(image).pixels, self.config.images.size))
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
        raw = self.raw_terms(Windows(frames))
        gains = self.gains(frames[:, -1])
        looks: list[dict[str, float]] = [{} for _ in names]
        if statistics:
            values = self.statistics(frames[:, -1], terms=raw[self.primary]).tolist()
            looks = [dict(zip(self.statistics_names, row, strict=True)) for row in values]
        scores, terms = self.combine(raw)[self.primary].tolist(), self.scores[self.primary].names
        threshold = self.thresholds[self.primary].value
        mean = raw[self.primary].reshape(len(names), -1, len(terms)).mean(axis=1)  # over the members
        found = [
            Verdict(name, score, threshold, dict(zip(terms, values, strict=True)), gains=gain, statistics=look)
            for name, score, values, gain, look in zip(names, scores, mean.tolist(), gains, looks, strict=True)
        ]
        for i, verdict in enumerate(found):
            if self.needs_colour and is_grey(frames[i, -1]):
                found[i] = Verdict(
                    verdict.path, error=f"{verdict.path}: has no colour; expected a photograph in colour"
                )
        return found

    @torch.inference_mode()
    def reconstruct(self, frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What the model makes of ``frames`` (see :meth:`judge`), and how far that is from the last frame.

        Returns:
            N x H x W x 3 uint8 RGB, and the anomaly map of :meth:`anomaly_map`, N x H x W float32.
        """
        self.model.eval()
        x, target = Windows(frames).inputs(np.arange(len(frames)))
        target, out = self.forward(x.to(self.device), target.to(self.device))
        output, target = out.output.cpu(), target.cpu()
        pictures = ((output + 1) * 127.5).round_().clamp_(0, 255).byte().permute(0, 2, 3, 1).contiguous().numpy()
        return pictures, ((output - target) / 2).square().mean(dim=1).numpy()

    @torch.inference_mode()
    def gains(self, images: np.ndarray) -> list[dict[str, float]]:
        """What the correction multiplies each channel of N x H x W x 3 uint8 images by; empty without a correction."""
        if self.correction is None:
            return [{} for _ in images]
        values = self.correction.gains(to_input(images).to(self.device)).tolist()
        return [dict(zip(("red", "green", "blue"), row, strict=True)) for row in values]

    @torch.inference_mode()
    def outputs(self, images: np.ndarray) -> Output:
        """Forward pass of N x H x W x 3 uint8 images of the configured size, corrected where the detector corrects, by
        the first member.

        Raises:
            UserError: another size or type.
        """
        return self._targets_and_outputs(images)[1]

    def _targets_and_outputs(self, images: np.ndarray) -> tuple[Tensor, Output]:
        check_frames(images, self.config.images.size)
        self.model.eval()
        x = to_input(images).to(self.device)
        return self.forward(x, x)

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """Squared error of every pixel, mean over channels and members, on [0, 1] (corrected) images.

        Returns:
            N x H x W float32.

        Raises:
            UserError: another size than the configured one, or another type than uint8.
        """
        check_frames(images, self.config.images.size)
        x = to_input(images).to(self.device)
        with torch.inference_mode():
            x, _ = self.corrected(x, x)
            errors = [((model.eval()(x).output - x) / 2).square().mean(dim=1) for model in self.models]
        return torch.stack(errors).mean(dim=0).cpu().numpy()

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
            "config": asdict(self.config.detector()),
            "thresholds": {k: asdict(t) for k, t in self.thresholds.items()},
            "record": self.record,
        }
        write_checkpoint(Path(path), tensors, texts)

    def _parts(self) -> list[tuple[str, nn.Module]]:
        """What a checkpoint holds, by the first part of its names."""
        further = [(f"members.{i}.", model) for i, model in enumerate(self.models) if i]
        light = [] if self.correction is None else [("correction.", self.correction)]
        return [("model.", self.model), *further, ("scores.", self.scores), *light]

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


def config_from_json(stored: dict) -> DetectorConfig:
    """The configuration of a checkpoint, checked like one from the command line.

    Raises:
        ValueError: keys or types that ``DetectorConfig`` does not have.
    """
    from jsonargparse import ArgumentError, ArgumentParser

    stored = modernise(stored)
    model = config_class(stored["model"]["name"])
    if "memae_items" not in model.__dataclass_fields__:  # until 2026-11-24 it stood in every model
        stored["model"].pop("memae_items", None)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DetectorConfig, skip={"model"})
    parser.add_class_arguments(model, "model")
    try:
        parsed = parser.parse_object(stored)
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    return DetectorConfig(**parser.instantiate(parsed).as_dict())
