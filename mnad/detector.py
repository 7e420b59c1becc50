"""A trained detector: model, fitted scores and thresholds, in one safetensors file without any pickle."""

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from mnad.config import DetectorConfig
from mnad.data.clips import as_source, check_frames
from mnad.data.images import content, fitted, read_photo, to_input
from mnad.data.source import Source, batches
from mnad.model.build import MODELS, build_model, choose_device, config_class
from mnad.model.network import Network, Output
from mnad.run import UserError
from mnad.run.checkpoint import find_checkpoint, read_checkpoint, write_checkpoint
from mnad.run.old_keys import modernise
from mnad.run.provenance import provenance
from mnad.scoring.scores import Score
from mnad.scoring.threshold import Threshold, choose_thresholds
from mnad.verdict import Verdict

Images = Source | np.ndarray | Sequence[np.ndarray | Path | str]  # what a detector scores


class Detector:
    """Model, scores and thresholds that belong together.

    Attributes:
        config: what it was built from.
        model: in eval mode.
        scores: fitted scores by name; those with no term left for this model are absent.
        thresholds: one for each score, after :meth:`calibrate`.
        record: provenance of the training, read from or written to the checkpoint.
    """

    def __init__(self, config: DetectorConfig, model: Network | None = None) -> None:
        """Raises ``UserError`` for a bad configuration, or a ``model`` that is not the one it describes."""
        for name in config.scores:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise UserError(f"scores: expected a name of letters, digits, _ and -, got {name!r}")
            if hasattr(nn.ModuleDict(), name):  # such as type, keys or train
                raise UserError(f"scores: {name!r} is a word of PyTorch's modules; expected another name")
        self.config = config
        self.model = (build_model(config.model) if model is None else model).eval()
        if model is not None and config.model.name in MODELS:
            self._check_model()
        scores = {name: Score(score, self.model.gives) for name, score in config.scores.items()}
        self.scores = nn.ModuleDict({name: score for name, score in scores.items() if score.names})
        if config.primary not in self.scores:
            raise UserError(
                f"primary: model {config.model.name} has no term of {config.primary!r}; expected a score of terms "
                f"that need {' or '.join(sorted(self.model.gives))}"
            )
        blank = torch.zeros(1, 3, *config.images.size)
        for score in self.scores.values():  # options that only an image of this size can refuse
            for term in score.terms:
                if term.needs == "image":
                    term(blank, Output(blank, blank, ()))
        self.thresholds: dict[str, Threshold] = {}
        self.record: dict[str, object] = {}

    def _check_model(self) -> None:
        """Raise ``UserError`` unless ``config`` builds a model like the one that was given."""
        with torch.device("meta"):
            expected = build_model(self.config.model)
        shapes, found = expected.configured_shapes(), self.model.configured_shapes()
        different = [name for name in shapes | found if shapes.get(name) != found.get(name)]
        if type(self.model) is not type(expected) or different:
            first = f": {different[0]} is {found.get(different[0])}" if different else ""
            raise UserError(
                f"model: {type(self.model).__name__} does not fit its configuration{first}; expected "
                f"{shapes.get(different[0]) if different else type(expected).__name__}"
            )

    @property
    def primary(self) -> str:
        """Name of the score that gives the verdict."""
        return self.config.primary

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(itertools.chain(self.model.parameters(), self.model.buffers())).device

    @property
    def parameters(self) -> int:
        """Trained weights."""
        return sum(p.numel() for p in self.model.parameters())

    def label(self, score: str) -> str:
        """``score``, and which terms are left of it where the model has not all."""
        return self.scores[score].label(score)

    def to(self, device: str) -> "Detector":
        """Move model and scores; ``auto`` is CUDA where there is one."""
        target = choose_device(device)
        self.model.to(target)
        self.scores.to(target)
        return self

    def source(self, images: Images, name: str = "images") -> Source:
        """``images`` (files, arrays, or a source already) as what the model reads."""
        return as_source(images, self.config.images, self.config.model.variant, name)

    @torch.inference_mode()
    def raw_terms(
        self, images: Images, name: str = "images", batch_size: int = 64, counts: Tensor | None = None
    ) -> dict[str, np.ndarray]:
        """Raw terms of every image: score name -> N x T float64. One batch at a time is in memory.

        Args:
            counts: M numbers to which is added how many queries have each item as their nearest.
        """
        self.model.eval()
        parts: dict[str, list[np.ndarray]] = {key: [] for key in self.scores}
        for x, target in batches(self.source(images, name), batch_size, device=self.device, name=f"score {name}"):
            out = self._forward(x, target)
            for key, score in self.scores.items():
                parts[key].append(score.raw(target, out).cpu().numpy())
            if counts is not None and out.attention is not None:
                counts += torch.bincount(out.attention.argmax(dim=1).cpu(), minlength=len(counts))
        empty = {key: [np.zeros((0, len(score.names)))] for key, score in self.scores.items()}
        return {key: np.concatenate(values or empty[key]) for key, values in parts.items()}

    def _forward(self, x: Tensor, target: Tensor) -> Output:
        """The model's output, which says nothing about the filled part of a letterboxed image."""
        out = self.model(x)
        return out.only(content(target), target) if self.config.images.fit == "letterbox" else out

    def combine(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw terms (N x T) -> scores (N), by score name."""
        with torch.inference_mode():
            return {key: self.scores[key](torch.from_numpy(v).to(self.device)).cpu().numpy() for key, v in raw.items()}

    def calibrate(
        self, validation: Images, known: Images | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Fit the scores on validation normals and choose the thresholds with the known anomalies.

        Args:
            validation: N normals that were not trained on, at least one.
            known: K anomalies; none leave a rule that needs none, see :func:`mnad.scoring.threshold.choose_threshold`.

        Returns:
            score name -> N scores of the validation normals, and -> K scores of the known anomalies; float64.

        Raises:
            UserError: see :func:`mnad.scoring.threshold.choose_threshold`.
        """
        held_out = self.model.held_out
        if held_out is None:
            normal_raw = self.raw_terms(validation, "validation normals")
        else:
            normal_raw = {key: score.raw(None, held_out).cpu().numpy() for key, score in self.scores.items()}
        known_raw = self.raw_terms(known, "known anomalies") if known is not None and len(known) else {}
        for key, score in self.scores.items():
            score.fit(torch.from_numpy(normal_raw[key]).to(self.device))
        normal, anomalous = self.combine(normal_raw), self.combine(known_raw)
        self.thresholds = choose_thresholds(self.config, normal, anomalous)
        return normal, anomalous

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

    def predict(self, images: Iterable[Path | str | np.ndarray], batch_size: int = 64) -> Iterator[Verdict]:
        """The verdict on each of ``images`` (files or H x W x 3 uint8 arrays of any size), in their order.

        One batch at a time is in memory, so there may be any number of them. An image that cannot be read has its
        reason in ``error`` and stops nothing.

        Raises:
            UserError: the detector is not calibrated, or predicts frames of videos, which need those before them.
        """
        self.check_calibrated()
        if self.model.variant != "recon":
            raise UserError("checkpoint: predicts frames of videos; expected one of the variant recon for photographs")
        numbered = enumerate(images)
        while part := list(itertools.islice(numbered, batch_size)):
            yield from self._verdicts(part)

    def _verdicts(self, part: list[tuple[int, Path | str | np.ndarray]]) -> list[Verdict]:
        found, rows, pixels = [], [], []
        for index, image in part:
            name = f"#{index}" if isinstance(image, np.ndarray) else str(image)
            try:
                pixels.append(fitted(read_photo(image).pixels, self.config.images.size, self.config.images.fit))
                rows.append(len(found))
                found.append(Verdict(name))
            except UserError as error:
                found.append(Verdict(name, error=str(error)))
        if not pixels:
            return found
        raw = self.raw_terms(np.stack(pixels))
        scores, names = self.combine(raw)[self.primary], self.scores[self.primary].names
        threshold = self.thresholds[self.primary].value
        for row, score, terms in zip(rows, scores.tolist(), raw[self.primary].tolist(), strict=True):
            found[row] = Verdict(found[row].path, score, threshold, dict(zip(names, terms, strict=True)))
        return found

    @torch.inference_mode()
    def outputs(self, images: np.ndarray) -> Output:
        """Forward pass of N x H x W x 3 uint8 images of the configured size.

        Raises:
            UserError: another size or type.
        """
        check_frames(images, self.config.images.size)
        self.model.eval()
        x = to_input(images).to(self.device)
        return self._forward(x, x)

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """How unusual every pixel is, N x H x W float32; see :meth:`mnad.model.network.Network.anomaly_map`.

        Raises:
            UserError: another size than the configured one, or another type than uint8.
        """
        found = self.model.anomaly_map(to_input(images).to(self.device), self.outputs(images))
        return found.cpu().numpy()

    def save(self, path: Path | str) -> None:
        """Write weights, items, score statistics, thresholds and configuration to one file, atomically.

        Raises:
            UserError: a model that no name of a configuration stands for, or a file that cannot be written.
        """
        if self.config.model.name not in MODELS:
            raise UserError(f"model.name: {self.config.model.name!r} cannot be saved; expected a registered model")
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"scores.{k}": v for k, v in self.scores.state_dict().items()}
        self.record = self.record or provenance()
        texts = {
            "config": self._stored_config(),
            "thresholds": {k: asdict(t) for k, t in self.thresholds.items()},
            "record": self.record,
        }
        write_checkpoint(Path(path), tensors, texts)

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
            for part, module in (("model.", detector.model), ("scores.", detector.scores)):
                module.load_state_dict({k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)})
        except (RuntimeError, KeyError, TypeError, AttributeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(f"{path}: is of another architecture ({reason}); expected a fitting checkpoint") from error
        detector.model.eval()
        return detector


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
