"""Models, their first step and their scores: raw terms of any images, outputs and maps."""

import itertools
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from mnad.config import DetectorConfig, past_frames
from mnad.data.clips import Windows, as_source, check_frames
from mnad.data.images import Images as Photos
from mnad.data.images import to_input
from mnad.data.source import Source, index_batches
from mnad.detector.measuring import Measuring
from mnad.model.build import MODELS, build_model, choose_device
from mnad.model.correction import build_correction
from mnad.model.network import Network, Output
from mnad.model.threads import one_thread_each
from mnad.run import UserError
from mnad.run.ahead import ahead
from mnad.scoring.causal import Pasts
from mnad.scoring.drift import Reference
from mnad.scoring.scores import Score
from mnad.scoring.threshold import Threshold

Images = Source | np.ndarray | Sequence[np.ndarray | Path | str]  # what a detector scores


class Core(Measuring):
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
        precision: of the convolutions when images are scored, see :meth:`use`.
        again: what became of images that bfloat16 brought close to a threshold.
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
        gives = self.model.gives
        scores: dict[str, Any] = {n: Score(score, gives, config.members, size) for n, score in config.scores.items()}
        self.scores: Any = nn.ModuleDict({name: score for name, score in scores.items() if score.names})
        if config.primary not in self.scores:
            raise UserError(
                f"primary: model {config.model.name} has no term of {config.primary!r}; expected a score of terms "
                f"that need {' or '.join(sorted(self.model.gives))}"
            )
        blank = torch.zeros(1, 3, *size)
        if self.correction is not None:
            self.correction(blank)
        for score in self.scores.values():  # options that only an image of this size can refuse
            for index, term in enumerate(score.terms):  # type: ignore[arg-type]
                if term.needs in ("image", "input"):
                    score.value(index, blank, Output(blank, blank, ()))  # type: ignore[operator]
        self.thresholds: dict[str, Threshold] = {}
        self.reference: Reference | None = None
        self.record: dict[str, object] = {}
        self.use("float32")

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
        shapes, found = expected.configured_shapes(), model.configured_shapes()
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

    def check_photographs(self) -> None:
        """Raises ``UserError`` for a detector that predicts frames of videos, which need those before them."""
        if self.model.variant != "recon":
            raise UserError("checkpoint: predicts frames of videos; expected one of the variant recon for photographs")

    @property
    def past(self) -> int:
        """Frames before the one that is judged: 4 for prediction, 0 for photographs."""
        return past_frames(self.config.model.variant)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next(itertools.chain(self.model.parameters(), self.model.buffers())).device

    @property
    def parameters(self) -> int:
        """Trained weights."""
        return sum(p.numel() for model in self.models for p in model.parameters())

    def label(self, score: str) -> str:
        """What tables call ``score``: see :meth:`mnad.scoring.scores.Score.label`; its name in brackets where another
        score has the same label."""
        labels = {name: one.label(name) for name, one in self.scores.items()}
        same = list(labels.values()).count(labels[score]) > 1
        return f"{labels[score]} ({score})" if same else labels[score]

    def to(self, device: str) -> Self:
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

    def forward(self, x: Tensor, target: Tensor) -> tuple[Tensor, Output]:
        """Model input and target as in :meth:`corrected` -> what the terms compare: the target, corrected, and the
        first model's output."""
        x, target = self.corrected(x, target)
        return target, self._run(self.model, x)

    def raw_terms(
        self, images: Images, name: str = "images", batch_size: int = 64, counts: Tensor | None = None
    ) -> dict[str, np.ndarray]:
        """Raw terms of every image: score name -> N x T float64, of S members N x S * T. One batch for each thread is
        in memory.

        Args:
            counts: M numbers to which is added how many queries have each item as their nearest.
        """
        source = self.source(images, name)

        @torch.inference_mode()
        def work(indices: np.ndarray) -> tuple[dict[str, np.ndarray], Tensor | None]:
            x, target = source.inputs(indices)
            _, out, raw = self.measure(x.to(self.device), target.to(self.device))
            return {key: values.cpu().numpy() for key, values in raw.items()}, out.nearest

        # one array from the start: small ones that stay among large ones that go would tear holes into the memory
        found = {key: np.empty((len(source), score.columns)) for key, score in self.scores.items()}
        done = 0
        # a single batch has all threads of PyTorch; frames of films are decoded one after the other
        alone = len(source) <= batch_size or not isinstance(source, Photos | Windows)
        with nullcontext(1) if alone else self.one_thread_each() as threads:
            workers = threads if threads > 1 else 0
            for raw, nearest in ahead(work, index_batches(len(source), batch_size, f"score {name}"), workers, "score"):
                for key, values in raw.items():
                    found[key][done : done + len(values)] = values
                done += len(next(iter(raw.values())))
                if counts is not None and nearest is not None:
                    counts += torch.bincount(nearest.cpu(), minlength=len(counts))
        return found

    def one_thread_each(self) -> AbstractContextManager[int]:
        """See :func:`mnad.model.threads.one_thread_each`."""
        return one_thread_each(self.device)

    def combine(self, raw: Mapping[str, np.ndarray], pasts: Pasts | None = None) -> dict[str, np.ndarray]:
        """Raw terms (N x T) -> scores (N), by score name.

        Args:
            pasts: of the camera (:meth:`new_pasts`) whose next frames these are, in their order; a causal score is
                scaled by them and learns the frames. None for photographs, and for scores of one scale.
        """
        found = {}
        with torch.inference_mode():
            for key, values in raw.items():
                past = pasts.get(key) if pasts else None
                moved = torch.from_numpy(values if past is None else past.adapt(values)).to(self.device)
                scores = self.scores[key](moved).cpu().numpy()
                found[key] = scores if past is None else past.average(scores)
        return found

    def new_pasts(self) -> Pasts:
        """What the causal scores know of a camera before its first frame, by name; empty without such scores."""
        found = {key: score.new_past() for key, score in self.scores.items()}
        return {key: past for key, past in found.items() if past is not None}

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
        x = to_input(images).to(self.device)
        return self.forward(x, x)

    def anomaly_map(self, images: np.ndarray) -> np.ndarray:
        """How unusual every pixel is, mean over members; see :meth:`mnad.model.network.Network.anomaly_map`.

        Returns:
            N x H x W float32.

        Raises:
            UserError: another size than the configured one, or another type than uint8.
        """
        check_frames(images, self.config.images.size)
        x = to_input(images).to(self.device)
        with torch.inference_mode():
            x, target = self.corrected(x, x)
            maps = [model.anomaly_map(target, self._run(model, x)) for model in self.models]
        return torch.stack(maps).mean(dim=0).cpu().numpy()
