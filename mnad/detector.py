"""A trained detector: model, fitted scores and thresholds, in one safetensors file without any pickle."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jsonargparse import ArgumentError, ArgumentParser
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn
from tqdm import tqdm

from mnad.build import build_model
from mnad.config import DetectorConfig
from mnad.data.images import to_input
from mnad.data.source import Source
from mnad.errors import UserError
from mnad.files import atomic_path
from mnad.model import STRIDE, Output
from mnad.provenance import provenance
from mnad.scores import Score
from mnad.threshold import Threshold, choose_threshold
from mnad.training import choose_device

FORMAT = "mnad-detector-1"


class Detector:
    """Model, scores and thresholds that belong together.

    Attributes:
        config: what it was built from.
        model: in eval mode.
        scores: fitted scores by name; those with no term left for this model are absent.
        thresholds: one for each score, after :meth:`calibrate`.
        record: provenance of the training, read from or written to the checkpoint.
    """

    def __init__(self, config: DetectorConfig, model: nn.Module | None = None) -> None:
        """Raises ``UserError`` for a bad configuration."""
        for key in ("height", "width"):
            value = getattr(config.images, key)
            if value < STRIDE or value % STRIDE:
                raise UserError(f"images.{key}: {value}; a positive multiple of {STRIDE} was expected")
        for name in config.scores:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise UserError(f"scores: {name!r}; a name of letters, digits, _ and - was expected")
            if hasattr(nn.ModuleDict(), name):  # such as type, keys or train
                raise UserError(f"scores: {name!r} is a word of PyTorch's modules; another name was expected")
        if config.primary not in config.scores:
            raise UserError(f"primary: {config.primary!r}; one of {', '.join(config.scores)} was expected")
        self.config = config
        self.model = (model if model is not None else build_model(config.model)).eval()
        has_memory = hasattr(self.model, "memory")
        scores = {name: Score(score, has_memory) for name, score in config.scores.items()}
        self.scores = nn.ModuleDict({name: score for name, score in scores.items() if score.names})
        if config.primary not in self.scores:
            raise UserError(f"primary: {config.primary!r} needs a memory, which model {config.model.name} has not")
        blank = torch.zeros(1, 3, *config.images.size)
        for score in self.scores.values():  # options that only an image of this size can refuse
            for term in score.terms:
                if not term.needs_memory:
                    term(blank, Output(blank, blank, ()))
        self.thresholds: dict[str, Threshold] = {}
        self.record: dict[str, object] = {}

    @property
    def primary(self) -> str:
        """Name of the score that gives the verdict."""
        return self.config.primary

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(self.model.parameters()).device

    def to(self, device: str) -> "Detector":
        """Move model and scores; ``auto`` is CUDA where there is one."""
        target = choose_device(device)
        self.model.to(target)
        self.scores.to(target)
        return self

    @torch.inference_mode()
    def raw_terms(self, source: Source, name: str = "images", batch_size: int = 64) -> dict[str, np.ndarray]:
        """Raw terms of every image: score name -> N x T float64. One batch at a time is in memory."""
        self.model.eval()
        parts: dict[str, list[np.ndarray]] = {key: [] for key in self.scores}
        starts = range(0, len(source), batch_size)
        for start in tqdm(starts, f"score {name}", disable=len(source) < 1000, leave=False):
            x, target = source.inputs(np.arange(start, min(start + batch_size, len(source))))
            target = target.to(self.device)
            out = self.model(x.to(self.device))
            for key, score in self.scores.items():
                parts[key].append(score.raw(target, out).cpu().numpy())
        return {key: np.concatenate(values) for key, values in parts.items()}

    def combine(self, raw: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Raw terms (N x T) -> scores (N), by score name."""
        with torch.inference_mode():
            return {key: self.scores[key](torch.from_numpy(v).to(self.device)).cpu().numpy() for key, v in raw.items()}

    def calibrate(self, validation: Source, known: Source | None) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Fit the scores on validation normals and choose the thresholds with the known spills.

        Args:
            validation: N normals that were not trained on, at least one.
            known: K spills; none leave a rule that needs no spills, see :func:`mnad.threshold.choose_threshold`.

        Returns:
            score name -> (N scores of the validation normals, K scores of the known spills), float64.

        Raises:
            UserError: see :func:`mnad.threshold.choose_threshold`.
        """
        normal_raw = self.raw_terms(validation, "validation normals")
        known_raw = self.raw_terms(known, "known spills") if known is not None and len(known) else None
        for key, score in self.scores.items():
            score.fit(torch.from_numpy(normal_raw[key]).to(self.device))
        normal = self.combine(normal_raw)
        spill = self.combine(known_raw) if known_raw else {key: np.zeros(0) for key in self.scores}
        rules = {key: self.config.scores[key].threshold or self.config.threshold for key in self.scores}
        self.thresholds = {key: choose_threshold(rules[key], normal[key], spill[key]) for key in self.scores}
        return {key: (normal[key], spill[key]) for key in self.scores}

    def score(self, source: Source, name: str | None = None) -> np.ndarray:
        """Scores of every image, N float64, higher is more anomalous; ``name`` None is the primary score."""
        return self.combine(self.raw_terms(source))[name or self.primary]

    @torch.inference_mode()
    def outputs(self, images: np.ndarray) -> Output:
        """Forward pass of N x H x W x 3 uint8 images of the configured size."""
        self.model.eval()
        return self.model(to_input(images).to(self.device))

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """Squared error of every pixel, mean over channels, on [0, 1] images: N x H x W float32."""
        error = (self.outputs(images).output - to_input(images).to(self.device)) / 2
        return error.square().mean(dim=1).cpu().numpy()

    def save(self, path: Path) -> None:
        """Write weights, items, score statistics, thresholds and configuration to one file, atomically."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"scores.{k}": v for k, v in self.scores.state_dict().items()}
        self.record = self.record or provenance()
        metadata = {
            "format": FORMAT,
            "config": json.dumps({k: v for k, v in asdict(self.config).items() if k in DetectorConfig.__annotations__}),
            "thresholds": json.dumps({k: asdict(t) for k, t in self.thresholds.items()}),
            "record": json.dumps(self.record),
        }
        with atomic_path(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata)

    @classmethod
    def load(cls, path: Path) -> "Detector":
        """Read what :meth:`save` wrote; ``path`` is the file or its run folder.

        Raises:
            UserError: missing, truncated, of another program or of another architecture.
        """
        if path.is_dir():
            path = path / "model.safetensors"
        if not path.is_file():
            raise UserError(f"{path}: missing; a checkpoint (model.safetensors) was expected")
        try:
            with safe_open(path, "pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
        except (SafetensorError, OSError) as error:
            raise UserError(
                f"{path}: is truncated or no safetensors file ({error}); a checkpoint was expected"
            ) from error
        if metadata.get("format") != FORMAT:
            raise UserError(f"{path}: format {metadata.get('format')!r}; {FORMAT!r} was expected")
        try:
            detector = cls(config_from_json(metadata["config"]))
            thresholds = json.loads(metadata["thresholds"])
            detector.thresholds = {key: Threshold(**value) for key, value in thresholds.items()}
            detector.record = json.loads(metadata["record"])
            for part, module in (("model.", detector.model), ("scores.", detector.scores)):
                module.load_state_dict({k.removeprefix(part): v for k, v in tensors.items() if k.startswith(part)})
        except (RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:300]
            raise UserError(
                f"{path}: is of another architecture ({reason}); a fitting checkpoint was expected"
            ) from error
        detector.model.eval()
        return detector


def config_from_json(text: str) -> DetectorConfig:
    """Read a configuration back, checked like one from the command line.

    Raises:
        ValueError: keys or types that ``DetectorConfig`` has not.
    """
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(DetectorConfig)
    try:
        parsed = parser.parse_object(json.loads(text))
    except ArgumentError as error:
        raise ValueError(str(error)) from error
    return DetectorConfig(**parser.instantiate(parsed).as_dict())
