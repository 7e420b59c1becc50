"""The architecture of MNAD as this code builds it: boxes sized and labelled from a real forward pass."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from figures.entry import Drawn, Inputs
from mnad.config import PAST_FRAMES, TrainConfig
from mnad.model.build import build_model
from mnad.model.mnad import MNAD
from mnad.model.network import Network
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, save_figure, style

# The parts whose outputs are labelled, in the order of the data.
PARTS = (
    "encoder.stage1", "encoder.stage2", "encoder.stage3", "encoder.stage4", "decoder.block4", "decoder.up4",
    "decoder.block3", "decoder.up3", "decoder.block2", "decoder.up2", "decoder.head",
)  # fmt: skip
LIGHT, MIDDLE, DARK = "#E3F1FA", "#F9E3B4", "#CFE8DF"  # tints of the palette: encoder, memory, decoder
EDGE = {LIGHT: PALETTE[0], MIDDLE: PALETTE[1], DARK: PALETTE[2]}


Shapes = dict[str, tuple[int, int, int]]  # part -> channels, height, width


@torch.inference_mode()
def shapes(model: Network, height: int, width: int) -> Shapes:
    """Part -> (channels, height, width) of its output, and ``input``, ``queries``, ``joined``, from a forward pass."""
    found: Shapes = {"input": (model.in_channels, height, width)}
    modules = dict(model.named_modules())

    def keep(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: found.update({name: tuple(output.shape[1:])})

    handles = [modules[name].register_forward_hook(keep(name)) for name in PARTS]
    handles.append(
        modules["decoder.block4"].register_forward_pre_hook(
            lambda _module, inputs: found.update(joined=tuple(inputs[0].shape[1:]))
        )
    )
    was_training = model.training
    out = model.eval()(torch.zeros(1, *found["input"]))
    model.train(was_training)
    for handle in handles:
        handle.remove()
    _, rows, columns, channels = out.queries.shape
    found["queries"] = (channels, rows, columns)
    return found


@dataclass
class Box:
    """A box in inches."""

    x: float
    y: float
    width: float
    height: float

    def side(self, name: str) -> tuple[float, float]:
        """Middle of a side."""
        middle = self.x + self.width / 2, self.y + self.height / 2
        return {
            "left": (self.x, middle[1]),
            "right": (self.x + self.width, middle[1]),
            "top": (middle[0], self.y + self.height),
            "bottom": (middle[0], self.y),
        }[name]


def size(shape: tuple[int, int, int]) -> str:
    """``(8, 32, 48)`` -> ``8×32×48``."""
    return "×".join(map(str, shape))


def draw_box(axes: Axes, box: Box, text: str, face: str = "white", fontsize: float = 6) -> Box:
    """A labelled box."""
    axes.add_patch(
        FancyBboxPatch(
            (box.x, box.y), box.width, box.height, boxstyle="round,pad=0,rounding_size=0.05", facecolor=face,
            edgecolor=EDGE.get(face, "black"), linewidth=0.8,
        )
    )  # fmt: skip
    axes.text(box.x + box.width / 2, box.y + box.height / 2, text, ha="center", va="center", fontsize=fontsize)
    return box


def arrow(
    axes: Axes, start: tuple[float, float], end: tuple[float, float], line: str | tuple = "-", bend: float = 0
) -> None:
    """An arrow from point to point, in inches."""
    axes.add_patch(
        FancyArrowPatch(
            start, end, arrowstyle="-|>", mutation_scale=6, linewidth=0.8, linestyle=line, color="black", shrinkA=0,
            shrinkB=0, connectionstyle=f"arc3,rad={bend}",
        )
    )  # fmt: skip


def column(axes: Axes, x: float, texts: list[tuple[str, str]], face: str, tops: list[float]) -> list[Box]:
    """Boxes below each other at heights ``tops``: (text, shape)."""
    return [
        draw_box(axes, Box(x, top, 1.46, 0.4), f"{text}\n{shape}", face)
        for (text, shape), top in zip(texts, tops, strict=True)
    ]


def draw_diagram(axes: Axes, s: Shapes, pred: Shapes, items: int, weights: dict[str, float]) -> None:
    """Encoder down on the left, memory below the middle, decoder up on the right; skips across, dashed.

    Args:
        s, pred: :func:`shapes` of the reconstruction and of the prediction variant.
        items: of the memory.
        weights: of the losses.
    """
    tops = [2.55, 1.9, 1.25, 0.6]
    encoder = column(
        axes, 0.83,
        [(f"stage {i}: 2 × (conv-BN-ReLU)", size(s[f"encoder.stage{i}"])) for i in (1, 2, 3)]
        + [("stage 4: conv-BN-ReLU, conv", size(s["encoder.stage4"]))],
        LIGHT, tops,
    )  # fmt: skip
    decoder = column(
        axes, 4.61,
        [
            ("head: 2 × (conv-BN-ReLU),\nconv, tanh", size(s["decoder.head"])),
            ("block 2, up 2", f"{size(s['decoder.block2'])} → {size(s['decoder.up2'])}"),
            ("block 3, up 3", f"{size(s['decoder.block3'])} → {size(s['decoder.up3'])}"),
            ("block 4, up 4", f"{size(s['decoder.block4'])} → {size(s['decoder.up4'])}"),
        ],
        DARK, tops,
    )  # fmt: skip
    for upper, lower in pairwise(encoder):
        arrow(axes, upper.side("bottom"), lower.side("top"))
        axes.text(upper.side("bottom")[0] + 0.06, upper.y - 0.125, "max-pool 2", fontsize=6, va="center")
    for upper, lower in pairwise(decoder):
        arrow(axes, lower.side("top"), upper.side("bottom"))
    source = draw_box(axes, Box(0.0, 2.55, 0.66, 0.4), f"image x\n{size(s['input'])}")
    target = draw_box(axes, Box(6.24, 2.55, 0.66, 0.4), f"output x̂\n{size(s['decoder.head'])}")
    arrow(axes, source.side("right"), encoder[0].side("left"))
    arrow(axes, decoder[0].side("right"), target.side("left"))
    for left, right, level in zip(encoder[:3], decoder[:3], (1, 2, 3), strict=True):
        arrow(axes, left.side("right"), right.side("left"), (0, (3, 2)))
        text = f"skip {level}, only in the U-Net of the prediction variant"
        axes.text(3.45, left.side("right")[1] + 0.04, text, fontsize=6, ha="center", va="bottom")
    channels, rows, columns = s["queries"]
    queries = draw_box(
        axes, Box(2.45, 0.6, 0.94, 0.4), f"queries q, unit\n{rows}·{columns} of dim. {channels}", MIDDLE, 6
    )
    join = draw_box(axes, Box(3.57, 0.6, 0.78, 0.4), f"join (q, q̂)\n{size(s['joined'])}", MIDDLE, 6)
    memory = draw_box(
        axes, Box(2.33, -0.32, 2.2, 0.56),
        f"memory: {items} items p of dim. {channels}, unit norm\nread: w = softmax(q·p), q̂ = Σ w p\n"
        "update (training): p ← unit(p + Σ v q)",
        MIDDLE, 6,
    )  # fmt: skip
    arrow(axes, encoder[3].side("right"), queries.side("left"))
    arrow(axes, queries.side("right"), join.side("left"))
    arrow(axes, (queries.side("bottom")[0], queries.y), (queries.side("bottom")[0], memory.y + memory.height))
    arrow(axes, (join.side("bottom")[0], memory.y + memory.height), (join.side("bottom")[0], join.y))
    arrow(axes, join.side("right"), decoder[3].side("left"))
    axes.text(queries.side("bottom")[0] - 0.06, 0.42, "q", fontsize=6, ha="right", va="center")
    axes.text(join.side("bottom")[0] + 0.06, 0.42, "q̂", fontsize=6, ha="left", va="center")
    axes.text(
        0.0, -0.04,
        f"losses, means over elements:\n(x − x̂)²\n+ {weights['compactness']} compactness (q − p₁)²\n"
        f"+ {weights['separateness']} separateness, triplet (q, p₁, p₂)\np₁, p₂: nearest and second item",
        fontsize=6, ha="left", va="center",
    )  # fmt: skip
    axes.text(
        6.9, -0.04,
        f"prediction variant: {PAST_FRAMES} frames in ({size(pred['input'])}),\nthe next one out; up steps halve the\n"
        f"channels ({size(pred['decoder.up4'])}, {size(pred['decoder.up3'])},\n"
        f"{size(pred['decoder.up2'])}), skips bring them back",
        fontsize=6, ha="right", va="center",
    )  # fmt: skip
    axes.set(xlim=(-0.03, 6.93), ylim=(-0.36, 2.99), aspect="equal")
    axes.axis("off")


def draw_architecture(inputs: Inputs, folder: Path) -> Drawn:
    """The default model of photographs, and what the prediction variant adds."""
    config = TrainConfig()
    weights = config.optim.loss_weights
    height, width = config.images.size
    model = build_model(config.model, config.images.size)
    recon = shapes(model, height, width)
    other = MNAD("pred", config.model.width, config.model.items, config.model.item_dim)
    pred = shapes(other, height, width)
    with style():
        figure, axes = plt.subplots(figsize=(TWO_COLUMNS, TWO_COLUMNS * 3.35 / 6.96))
        figure.subplots_adjust(0, 0, 1, 1)
        draw_diagram(axes, recon, pred, config.model.items, weights)
        save_figure(figure, folder / "model" / "architecture.png", FORMATS)
    shows = (
        "MNAD as drawn by the code: encoder (left), memory (below), decoder (right). Every shape is channels × height "
        f"× width of a real forward pass of the default model (width {config.model.width}, {height} × {width} pixels). "
        "Solid arrows: both variants; dashed: the skips of the prediction variant. Boxes 'block, up' are 2 × "
        "(conv-BN-ReLU) and a transposed convolution with BN-ReLU. Two columns wide (6.9 in)."
    )
    source = "Drawn from `mnad.config.TrainConfig`, `mnad/model/mnad.py` and `mnad/model/blocks.py`; no run."
    return Drawn(
        {"model/architecture": Caption("Architecture of MNAD", shows, source, inputs.conclusion("model/architecture"))}
    )
