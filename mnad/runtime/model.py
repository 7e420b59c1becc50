"""An exported detector: its metadata, and verdicts by ONNX Runtime or OpenVINO."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from mnad.data.reading import are_grey, no_colour
from mnad.run import UserError, not_installed, one_line
from mnad.run.verdict import Verdict
from mnad.scoring.causal import Pasts

FORMAT = "mnad-onnx-1"
INPUT = "images"  # N x H x W x 3 uint8 RGB of any size, or N x 5 x H x W x 3 for prediction
OUTPUTS = ("score", "anomalous", "terms", "map")  # N float64, N bool, N x T float64, N x height x width float32
Backend = Literal["onnxruntime", "openvino"]
Precision = Literal["float32", "bfloat16"]
Run = Callable[[np.ndarray], Sequence[np.ndarray]]


def unreadable(path: Path, error: Exception) -> UserError:
    """The error of a file that a backend cannot read."""
    return UserError(f"{path}: is no readable model ({one_line(error)[:200]}); expected one of scripts/export.py")


def open_onnxruntime(path: Path, threads: int) -> tuple[Run, Mapping[str, str]]:
    """The model for ONNX Runtime on the CPU, and its metadata.

    Raises:
        UserError: no ONNX Runtime, or no readable model.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise not_installed(str(path), "onnxruntime", "runtime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its own errors have no common base
        raise UserError(
            f"{path}: is no readable model ({one_line(error)[:200]}); expected one of scripts/export.py"
        ) from error
    outputs = [output.name for output in session.get_outputs()]
    metadata = session.get_modelmeta().custom_metadata_map
    return lambda images: session.run([name for name in OUTPUTS if name in outputs], {INPUT: images}), metadata


def open_openvino(path: Path, threads: int, precision: Precision) -> tuple[Run, Mapping[str, str]]:
    """The model for OpenVINO on the CPU, and its metadata.

    Raises:
        UserError: no OpenVINO, no readable model, or a precision that the processor does not have.
    """
    try:
        import openvino
    except ImportError as error:
        raise not_installed(str(path), "openvino", "openvino") from error
    core = openvino.Core()
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    if precision == "bfloat16" and "BF16" not in able:
        raise UserError(f"precision: this processor has no bfloat16 ({', '.join(sorted(able))}); expected float32")
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    try:
        model = core.read_model(path)
        metadata = {name: str(value) for name, value in openvino_metadata(model).items()}
        request = core.compile_model(model, "CPU", settings).create_infer_request()
    except RuntimeError as error:
        raise UserError(
            f"{path}: is no readable model ({one_line(error)[:200]}); expected one of scripts/export.py"
        ) from error

    seen: set[tuple[int, ...]] = set()

    def run(images: np.ndarray) -> list[np.ndarray]:
        if precision == "bfloat16" and images.shape not in seen:
            # OpenVINO 2026.4.1: the first scores of every new shape are far off (4.5 for 0.5), later ones are not
            request.infer({INPUT: images})
            seen.add(images.shape)
        found = request.infer({INPUT: images})
        return [np.array(found[name]) for name in OUTPUTS]

    return run, metadata


def openvino_metadata(model: Any) -> Mapping[str, object]:
    """The ``metadata_props`` of an ONNX file as OpenVINO keeps them; empty if it kept none."""
    if not model.has_rt_info(["framework"]):
        return {}
    kept = model.get_rt_info(["framework"])
    return getattr(kept, "value", kept)


class Model:
    """An exported detector, ready to give verdicts; a :class:`mnad.line.scoring.Judge`.

    Args:
        path: file of ``scripts/export.py``.
        backend: what runs it.
        precision: of the convolutions; ``bfloat16`` for OpenVINO on a processor that has it, its scores differ.
        threads: of one image; the small networks of the wells are fastest with one.

    Attributes:
        metadata: the texts of the file: ``format``, ``name``, ``config``, ``terms``, ``record`` and more.
        size: (height, width) of what the network sees.
        image_fit: the graph stretches every picture.
        past: frames before the one that is judged: 4 for prediction, 0 for photographs.
        terms: names of the terms of the score.
        threshold: an image is anomalous from here on.

    Raises:
        UserError: missing, no readable model, no export of this project or one of another version.
    """

    image_fit: Literal["resize"] = "resize"

    def __init__(
        self, path: Path | str, backend: Backend = "onnxruntime", precision: Precision = "float32", threads: int = 1
    ) -> None:
        path = Path(path)
        if not path.is_file():
            raise UserError(f"{path}: missing; expected a model of scripts/export.py")
        if backend not in get_args(Backend):
            raise UserError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")
        if precision == "bfloat16" and backend != "openvino":
            raise UserError("precision: bfloat16 with onnxruntime; expected --backend openvino with it")
        if backend == "openvino":
            self._run, self.metadata = open_openvino(path, threads, precision)
        else:
            self._run, self.metadata = open_onnxruntime(path, threads)
        found = self.metadata.get("format", "another program")
        if found != FORMAT:
            raise UserError(f"{path}: is an export of {found}; expected {FORMAT} (run scripts/export.py again)")
        try:
            images = json.loads(self.metadata["images"])
            self.size = int(images["height"]), int(images["width"])
            self.past = int(images["past"])
            self.terms = [str(name) for name in json.loads(self.metadata["terms"])]
            self.threshold = float(json.loads(self.metadata["threshold"])["value"])
            self.needs_colour = bool(json.loads(self.metadata.get("needs_colour", "false")))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: has damaged metadata ({one_line(error)[:200]}); expected {FORMAT}") from error
        if not math.isfinite(self.threshold):
            raise UserError(f"{path}: threshold {self.threshold}; expected a number")

    def check_calibrated(self) -> None:
        """An export always has a threshold."""

    def one_thread_each(self) -> AbstractContextManager[int]:
        """One thread may judge at a time: the backends have their own threads."""
        return nullcontext(1)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """``OUTPUTS`` by name.

        Args:
            images: N x H x W x 3 uint8 RGB of any size; N x 5 x H x W x 3 for prediction. N may be 0.
        """
        expected = 5 if self.past else 4
        if images.dtype != np.uint8 or images.ndim != expected or images.shape[-1] != 3:
            wanted = f"N x {self.past + 1} x H x W x 3" if self.past else "N x H x W x 3"
            raise UserError(f"images: {images.dtype} of shape {images.shape}; expected {wanted} uint8")
        return dict(zip(OUTPUTS, self._run(np.ascontiguousarray(images)), strict=True))

    def new_pasts(self) -> Pasts:
        """Empty: an export has no causal score."""
        return {}

    def judge(
        self,
        names: Sequence[str],
        frames: np.ndarray,
        statistics: bool = False,
        pasts: Sequence[Pasts | None] | None = None,
    ) -> list[Verdict]:
        """The verdict on each of ``frames``, under its name; an export has no ``statistics`` for a gauge of drift, and
        no use for ``pasts``.

        Args:
            frames: N x (P + 1) x H x W x 3 uint8 of any size; P = 0 for photographs, 4 for prediction, whose verdict is
                on the last frame.
        """
        found = self.run(frames if self.past else frames[:, 0])
        verdicts = [
            Verdict(name, score, self.threshold, dict(zip(self.terms, terms, strict=True)))
            for name, score, terms in zip(names, found["score"].tolist(), found["terms"].tolist(), strict=True)
        ]
        for i in np.flatnonzero(are_grey(frames[:, -1])).tolist() if self.needs_colour else ():
            verdicts[i] = Verdict(names[i], error=no_colour(names[i]))
        return verdicts
