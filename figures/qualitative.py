"""What the detector sees on drawn wells: input, reconstruction, error, memory, of typical and of the hardest wells."""

from dataclasses import dataclass
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from figures.entry import Drawn, Inputs, NotStoredError
from figures.stored_run import GROUPS, drawn_data, group_of, kinds_of_test
from mnad.data.images import Images
from mnad.data.layouts import read_layout
from mnad.data.split_file import relative
from mnad.detector import Detector
from mnad.latent.config import CHECKPOINT
from mnad.report.caption import Caption
from mnad.report.plotting import FORMATS, TWO_COLUMNS, save_figure, style
from mnad.run import UserError

COLUMNS = ("input", "reconstruction", "squared error", "nearest item")


@dataclass
class Panel:
    """One well as the detector sees it; H' = H/8, W' = W/8."""

    image: np.ndarray  # H x W x 3 uint8
    rebuilt: np.ndarray  # H x W x 3 in [0, 1]
    error: np.ndarray  # H x W, squared, mean over channels, on [0, 1] images
    item: np.ndarray  # H' x W', the nearest memory item
    attention: np.ndarray  # H' x W', the weight of that item
    text: str


def typical_and_hardest(scores: np.ndarray, spill: bool) -> tuple[int, int]:
    """Index of the (lower) median score and of the one nearest to the wrong side: the lowest of spills, the highest
    of normals."""
    order = np.argsort(scores, kind="stable")
    return int(order[(len(order) - 1) // 2]), int(order[0 if spill else -1])


def look(detector: Detector, image: np.ndarray, text: str) -> Panel:
    """Run the detector on one H x W x 3 uint8 image."""
    out = detector.outputs(image[None])
    weights = out.attention.view(*out.distance.shape[1:], -1).cpu().numpy()
    rebuilt = ((out.output[0].permute(1, 2, 0).cpu().numpy() + 1) / 2).clip(0, 1)
    return Panel(image, rebuilt, detector.anomaly_map(image[None])[0], weights.argmax(-1), weights.max(-1), text)


def draw_items(axes: Axes, panel: Panel, scale: Normalize) -> None:
    """Attention of the nearest item as brightness, its number in each cell."""
    axes.imshow(panel.attention, cmap="cividis", norm=scale, interpolation="none", aspect="auto")
    for (row, column), item in np.ndenumerate(panel.item):
        ink = "k" if scale(panel.attention[row, column]) > 0.5 else "w"
        axes.text(column, row, str(item), ha="center", va="center", fontsize=5, color=ink)


def draw_panel(row: np.ndarray, panel: Panel, error: Normalize, attention: Normalize) -> None:
    """Four axes of one well."""
    height, width = panel.image.shape[:2]
    row[0].imshow(panel.image, interpolation="none")
    row[1].imshow(panel.rebuilt, interpolation="none")
    row[2].imshow(panel.error, cmap="cividis", norm=error, interpolation="none")
    draw_items(row[3], panel, attention)
    row[3].set_box_aspect(height / width)
    for axes in row:
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    row[0].set_xlabel(panel.text, fontsize=6, loc="left", labelpad=1.5)


def pick(scores: np.ndarray, kinds: list[str], threshold: float) -> list[tuple[str, int]]:
    """(text, index) of the typical and the hardest well of each group."""
    groups = np.array([group_of(kind) for kind in kinds])
    chosen = []
    for group in GROUPS:
        (members,) = np.nonzero(groups == group)
        if len(members) == 0:
            raise UserError(f"drawn wells: no {group} among the test images; expected at least one")
        spill = group in ("overflow", "empty")
        for place in typical_and_hardest(scores[members], spill):
            index = int(members[place])
            verdict = "spill" if scores[index] >= threshold else "normal"
            chosen.append((f"{kinds[index]}: {scores[index]:.2f}, {verdict}", index))
    return chosen


def draw_qualitative(inputs: Inputs, folder: Path) -> Drawn:
    """One line for each group; the typical well left, the hardest right."""
    path = inputs.checkpoint or CHECKPOINT
    if inputs.checkpoint is None and not path.is_file():
        raise NotStoredError(f"{path} is missing; expected the shipped checkpoint of the drawn wells")
    detector = Detector.load(path)
    if detector.model.memory is None or not detector.thresholds:
        raise UserError(f"{path}: has no memory or no threshold; expected a calibrated MNAD")
    root = drawn_data(inputs)
    layout = read_layout(root, "wells", train=False)
    images = Images(layout.test, detector.config.images.size, name="test")
    kinds = kinds_of_test(root)[[relative(file, root) for file in layout.test]].tolist()
    threshold = detector.thresholds[detector.primary].value
    chosen = pick(detector.score(images), kinds, threshold)
    panels = [look(detector, images[index], text) for text, index in chosen]
    error = Normalize(0, float(np.quantile([panel.error for panel in panels], 0.995)))
    weights = np.stack([panel.attention for panel in panels])
    attention = Normalize(weights.min(), max(weights.max(), weights.min() + 1e-9))
    with style():
        figure, axes = plt.subplots(4, 8, figsize=(TWO_COLUMNS, 3.55), layout="constrained")
        figure.get_layout_engine().set(w_pad=0.015, h_pad=0.015, wspace=0.0, hspace=0.02)
        for number, panel in enumerate(panels):
            draw_panel(axes[number // 2, number % 2 * 4 : number % 2 * 4 + 4], panel, error, attention)
        for column in range(8):
            axes[0, column].set_title(COLUMNS[column % 4], fontsize=7)
        for line, group in zip(axes, GROUPS, strict=True):
            line[0].set_ylabel(group.replace(" ", "\n"), fontsize=7)
        for scale, label, columns in ((error, "squared error", slice(0, 4)), (attention, "attention", slice(4, 8))):
            bar = figure.colorbar(
                ScalarMappable(scale, "cividis"), ax=axes[:, columns], location="bottom", aspect=40, shrink=0.8,
                pad=0.02, extend="max" if label == "squared error" else "neither",
            )  # fmt: skip
            bar.set_label(label, fontsize=7)
        save_figure(figure, folder / "synthetic" / "qualitative.png", FORMATS)
    shows = (
        "Four lines: plain normals, nuisance normals, overflows, empty wells of the drawn test set; left the well with "
        "the median score of its group, right the hardest one (highest score of the normals, lowest of the spills), so "
        "nothing is hand-picked. Columns: input, reconstruction, squared error of each pixel, and for each query the "
        "number of its nearest memory item with that item's attention as brightness. Below each: what it is, its "
        f"score '{detector.primary}' and the verdict (threshold {threshold:.2f}). Two columns wide (6.9 in)."
    )
    source = (
        f"`checkpoints/{path.name}`" if inputs.checkpoint is None else f"`{path.name}`"
    ) + f", trained {str(detector.record.get('date', 'on an unknown date'))[:10]}, on the drawn wells (seed 0)."
    name = "synthetic/qualitative"
    return Drawn({name: Caption("What the detector sees", shows, source, inputs.conclusion(name))})
