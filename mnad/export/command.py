"""What ``scripts/export.py`` does: write the model beside its place, compare it there, and only then put it there."""

import itertools
from pathlib import Path
from typing import Protocol

from mnad.detector import Detector
from mnad.export.proof import Proof, drawn_clips, prove, read_clips
from mnad.run import UserError, not_installed
from mnad.run.checkpoint import find_checkpoint
from mnad.run.files import atomic_path, free
from mnad.runtime.model import Backend, Model, Precision


class Options(Protocol):
    """See ``scripts/export.py``."""

    out: Path
    checkpoint: Path
    data: Path | None
    drawn: int
    seed: int
    openvino: bool
    overwrite: bool


def export(config: Options) -> list[Proof]:
    """Write ``config.out``; returns the proofs: ONNX Runtime, then OpenVINO in float32 and in bfloat16 if asked for.

    ONNX Runtime resizes inside the graph, which is OpenCV's result to the last bit. OpenVINO may add in another order,
    and be one grey level off where a mean lies halfway, so that it is given resized images, as the runtime does.
    bfloat16 changes scores; its verdicts are told, and are no reason to write nothing.

    Raises:
        UserError: onnx, onnxscript or onnxruntime is not installed, the checkpoint is not calibrated, or a score or a
            verdict differs; then no file is left.
    """
    if not config.overwrite:
        free(config.out, "a new file or --overwrite")
    try:
        import onnx
        import onnxruntime  # noqa: F401 - the proof needs it, and comes late

        from mnad.export.onnx import export_model
    except ImportError as error:
        raise not_installed("export", error.name, "export") from error
    checkpoint = find_checkpoint(config.checkpoint)
    detector = Detector.load(checkpoint)
    detector.check_calibrated()
    ways: list[tuple[Backend, Precision]] = [("onnxruntime", "float32")]
    if config.openvino:
        ways += [("openvino", "float32"), ("openvino", "bfloat16")]
    words = [config.data] if config.data else []
    with atomic_path(config.out) as temporary:
        onnx.save(export_model(detector, checkpoint), temporary)
        proofs = []
        for backend, precision in ways:
            try:
                model = Model(temporary, backend, precision)
            except UserError as error:
                if precision == "float32":
                    raise
                print(error)  # a processor without bfloat16
                continue
            unread: list[str] = []
            drawn = drawn_clips(detector.size, detector.past, config.drawn, config.seed)
            clips = itertools.chain(drawn, read_clips(words, detector.past, unread))
            proof = prove(detector, model, clips, inside=backend == "onnxruntime")
            print(proof.line(f"{backend} {precision}"))
            if precision == "float32":
                proof.check(config.out)
            elif proof.differing:
                print(f"bfloat16 changes verdicts ({', '.join(proof.differing[:3])}); use float32 with this detector")
            proofs.append(proof)
        for line in unread:
            print(f"not compared: {line}")
    print(
        f"{config.out}: {config.out.stat().st_size:,} bytes, threshold {model.threshold:.4g}, {', '.join(model.terms)}"
    )
    return proofs
