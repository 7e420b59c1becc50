"""Writing a detector as one ONNX file."""

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import onnx
import torch
from onnx import compose, helper
from onnxscript import optimizer

from mnad.detector import Detector
from mnad.export.graph import DetectorGraph
from mnad.export.resize import resize_model
from mnad.run import UserError
from mnad.run.provenance import provenance
from mnad.runtime.model import FORMAT, INPUT, OUTPUTS

OPSET = 18
TYPES = (onnx.TensorProto.DOUBLE, onnx.TensorProto.BOOL, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT)


def network_model(detector: Detector) -> onnx.ModelProto:
    """Everything after resizing: ``resized`` -> ``OUTPUTS``."""
    clip = [detector.past + 1] if detector.past else []
    example = torch.zeros(3, *clip, *detector.size, 3, dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # about packages of vision models, and what will change in torch
        program = torch.onnx.export(
            DetectorGraph(detector),
            (example,),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=["resized"],
            output_names=list(OUTPUTS),
            dynamic_shapes=({0: torch.export.Dim.DYNAMIC},),
        )
    assert program is not None  # dynamo=True always gives one
    return program.model_proto


def metadata(detector: Detector, checkpoint: Path | None) -> dict[str, str]:
    """The texts of the file; all but ``format``, ``name``, ``score`` and ``checkpoint_sha256`` are JSON."""
    height, width = detector.size
    threshold = detector.thresholds[detector.primary]
    found = {
        "config": asdict(detector.config.detector()),
        "images": {"height": height, "width": width, "past": detector.past, "channels": "RGB", "type": "uint8"},
        "terms": detector.scores[detector.primary].names,
        "needs_colour": detector.needs_colour,
        "threshold": asdict(threshold),
        "record": detector.record,
        "export": provenance(),
    }
    texts = {name: json.dumps(value, ensure_ascii=False, allow_nan=False) for name, value in found.items()}
    digest = hashlib.sha256(checkpoint.read_bytes()).hexdigest() if checkpoint else ""
    name = detector.config.model.name
    return {"format": FORMAT, "name": name, "score": detector.primary, "checkpoint_sha256": digest, **texts}


def without_traces(model: onnx.ModelProto) -> None:
    """Drop what the exporter notes at each node (stack traces with paths of this machine)."""
    graphs = [model.graph]
    while graphs:
        graph = graphs.pop()
        del graph.metadata_props[:]
        for part in (*graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
            del part.metadata_props[:]
            part.ClearField("doc_string")
        for node in graph.node:
            graphs += [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def export_model(detector: Detector, checkpoint: Path | None = None) -> onnx.ModelProto:
    """``detector`` as an ONNX model: uint8 images of any size -> ``OUTPUTS``.

    Args:
        detector: a calibrated one; it is not changed.
        checkpoint: the file it comes from, whose digest is stored.

    Raises:
        UserError: the detector is not calibrated, rebuilds features and no image, reads letterboxed images, or its
            verdict is scaled by the past of a camera.
    """
    detector.check_calibrated()
    if "image" not in detector.model.gives:
        raise UserError(
            f"checkpoint: {detector.config.model.name} rebuilds features of a frozen network, which the graph does not "
            "hold; expected a detector that rebuilds images (score.py and serve.py take this one)"
        )
    if detector.config.images.fit != "resize":
        raise UserError(
            f"checkpoint: its images are read with images.fit {detector.config.images.fit}, the graph stretches them; "
            "expected resize"
        )
    if detector.scores[detector.primary].causal is not None:
        raise UserError(
            f"checkpoint: score {detector.primary!r} is scaled by the past of a camera, which a graph of one frame "
            "does not have; expected a primary score without causal"
        )
    before = resize_model(detector.size, detector.past + 1)
    after = network_model(detector)
    before.ir_version = after.ir_version = 10
    given, small = before.graph.input[0].name, before.graph.output[0].name
    names = {given: INPUT} | {f"detector/{name}": name for name in OUTPUTS}
    model = compose.merge_models(before, after, io_map=[(small, "resized")], prefix2="detector/")
    model = optimizer.optimize(model, onnx_shape_inference=False)
    without_traces(model)
    graph = model.graph
    for node in graph.node:
        rename(node, names)
    past = [detector.past + 1] if detector.past else []
    shapes = (["N"], ["N"], ["N", len(detector.scores[detector.primary].names)], ["N", *detector.size])
    for values, described in (
        (graph.input, [helper.make_tensor_value_info(INPUT, onnx.TensorProto.UINT8, ["N", *past, "H", "W", 3])]),
        (graph.output, [helper.make_tensor_value_info(*of) for of in zip(OUTPUTS, TYPES, shapes, strict=True)]),
    ):
        del values[:]
        values.extend(described)
    del graph.value_info[:]
    del model.functions[:]
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", OPSET))
    graph.name, model.producer_name, model.producer_version, model.domain = "detector", "mnad", "", ""
    helper.set_model_props(model, metadata(detector, checkpoint))
    onnx.checker.check_model(model, full_check=True)
    return model


def rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Let ``node``, and the graphs inside it, use the values of old names by new ones."""
    for used in (node.input, node.output):
        used[:] = [names.get(name, name) for name in used]
    for attribute in node.attribute:
        for inner in attribute.g.node:
            rename(inner, names)
