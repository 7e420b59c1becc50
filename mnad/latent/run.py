"""The whole of ``scripts/visualize_latent.py``: sample, collect, map, measure, draw, write."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from mnad.data.dataset import with_own_split
from mnad.data.synthetic import SYNTHETIC, draw_wells
from mnad.detector import Detector
from mnad.latent import figures
from mnad.latent.bank import bank_numbers
from mnad.latent.bank_figure import plot_bank
from mnad.latent.captions import write_captions
from mnad.latent.clusters import NEIGHBORS, ROWS, measure
from mnad.latent.collect import Latent, collect
from mnad.latent.config import CHECKPOINT, COMPARE, LatentConfig
from mnad.latent.embed import check_size, embed
from mnad.latent.items_page import write_items_page
from mnad.latent.page import write_page
from mnad.latent.sample import counts, strata_of, stratified
from mnad.latent.sources import ImageSet, name_by_term, open_images
from mnad.model.health import memory_health
from mnad.run import UserError
from mnad.run.files import write_json
from mnad.run.folders import locked, output_folder, stamped, sweep

RECORDED = ("images", "queries", "reads", "perplexity", "neighbors", "seed")  # of the configuration


@dataclass
class Sample:
    """Which images and which of their queries are looked at; the same for every model that is compared."""

    images: np.ndarray  # N, indices into the data
    positions: np.ndarray  # indices into the N * H' * W' queries
    record: dict[str, object]  # for latent.json


def draw_sample(config: LatentConfig, data: ImageSet, grid: tuple[int, int]) -> Sample:
    """Stratified sample by set, label, and kind or video; ``grid`` (H', W') queries of each image.

    Raises:
        UserError: too few images for the perplexity or the neighbourhood, or sizes too small for the strata.
    """
    strata = strata_of(data.table)
    images = stratified(strata, config.images, config.seed)
    check_size(len(images), config.perplexity, config.neighbors, "images")
    cells = grid[0] * grid[1]
    every = np.repeat(strata[images], cells)
    positions = stratified(every, config.queries, config.seed)
    check_size(len(positions), config.perplexity, config.neighbors, "queries")
    record = {
        "seed": config.seed,
        "images": counts(strata, images),
        "queries": {name: n["picked"] for name, n in counts(every, positions).items()},
        "positions_per_image": cells,
    }
    return Sample(images, positions, record)


def map_levels(config: LatentConfig, latent: Latent, names: Sequence[str]) -> None:
    """Fill the maps of the levels ``names``: queries, a seeded choice of reads, and items, in one space."""
    rng = np.random.default_rng(config.seed)
    for name in names:
        level = latent.levels[name]
        parts = {"queries": level.queries}
        if latent.items is not None:
            some = np.sort(rng.permutation(len(level.reads))[: max(config.reads, 1)])
            parts |= {"reads": level.reads[some], "items": latent.items}
        title = f"maps of {name}, {latent.model}"
        level.maps = embed(parts, config.perplexity, config.neighbors, config.seed, title)


def measure_levels(config: LatentConfig, latent: Latent, kind: str) -> dict[str, object]:
    """Numbers of one model for ``latent.json``; adds the column ``cluster`` to the tables."""
    levels = {
        name: measure(
            level.queries, level.table, {m: maps["queries"] for m, maps in level.maps.items()}, kind, config.seed
        )
        for name, level in latent.levels.items()
    }
    memory = None
    if latent.items is not None:
        memory = memory_health(torch.from_numpy(latent.counts), torch.from_numpy(latent.items))
        memory |= {"items": len(latent.items), "counts": latent.counts.tolist()}
    found: dict[str, object] = {"model": latent.model, "memory": memory, "levels": levels}
    if latent.bank is not None and not latent.bank.shared:
        found["bank"] = bank_numbers(latent.bank, latent.levels["images"].table, kind)
    return found


def draw_figures(out: Path, latent: Latent, kind: str, data: ImageSet, seed: int) -> list[Path]:
    """The figures of one model."""
    fourth = {"images": kind, "positions": "position"}
    written = []
    for name, level in latent.levels.items():
        written += figures.plot_level(out / f"{name}.png", latent, level, fourth[name], data.anomaly, seed)
    if latent.items is not None:
        written += figures.plot_items(out / "items.png", latent, data.anomaly)
        written += figures.plot_kinds(out / "kinds_items.png", latent.levels, kind, "item")
    written += figures.plot_kinds(out / "kinds_clusters.png", latent.levels, kind, "cluster")
    if latent.bank is not None and not latent.bank.shared:
        written += plot_bank(out / "bank.png", latent.bank, latent.levels["images"].table, kind, latent.grid)
    return written


def load_detectors(config: LatentConfig) -> dict[Path, Detector]:
    """The checkpoint and the one to compare with, if any; they must take the same inputs and
    have queries at the same places.

    Raises:
        UserError: see :meth:`mnad.detector.Detector.load`; another image size or variant.
    """
    shipped = config.checkpoint is None
    checkpoint = CHECKPOINT if shipped else config.checkpoint
    compare = COMPARE if shipped and config.compare is None else config.compare
    paths = [checkpoint] if compare is None else [checkpoint, compare]
    detectors = {path: Detector.load(path).to(config.device) for path in paths}
    taken = [
        (d.config.images.size, d.config.model.variant, d.model.query_grid(d.config.images.size))
        for d in detectors.values()
    ]
    if taken[0] != taken[-1]:
        raise UserError(f"{compare}: takes {taken[-1]}; expected {taken[0]}, as {checkpoint} does")
    return detectors


def visualize_latent(config: LatentConfig) -> Path:
    """Write figures, page and numbers; returns the folder.

    Raises:
        UserError: anything wrong with checkpoint, data, sizes or folder.
    """
    started = time.perf_counter()
    if config.threads:
        torch.set_num_threads(config.threads)
    detectors = load_detectors(config)
    first = next(iter(detectors.values()))
    root = config.data if config.data is not None else draw_wells(SYNTHETIC)
    split = config if config.checkpoint is None else with_own_split(config, config.checkpoint)
    data = open_images(root, first.config, split.layout, split.layout_options)
    if config.kinds is not None:
        name_by_term(data, Detector.load(config.kinds).to(config.device))
    sample = draw_sample(config, data, first.model.query_grid(first.config.images.size))
    out = output_folder(config.out or stamped("latent"), config.overwrite)
    with locked(out):
        sweep(out)
        record = write_maps(config, out, detectors, data, sample, root.name)
        record["seconds"] = round(time.perf_counter() - started, 1)
        write_json(out / "latent.json", record)
        write_captions(out, record, data.anomaly, list(detectors), root)
    pages = [f"{name}, " for name in ("latent.html", "items.html") if (out / name).is_file()]
    print(f"{out}: figures with captions, {''.join(pages)}latent.json; {record['seconds']:.0f} s")
    return out


def write_maps(
    config: LatentConfig, out: Path, detectors: Mapping[Path, Detector], data: ImageSet, sample: Sample, name: str
) -> dict[str, object]:
    """Figures and page of the data ``name`` into ``out``; returns what ``latent.json`` says."""
    kind = "kind" if "kind" in data.table else "video"
    models: dict[str, tuple[Latent, dict]] = {}
    for path, detector in detectors.items():
        latent = collect(detector, data, sample.images, sample.positions)
        # what is compared is drawn by image only
        map_levels(config, latent, ["images"] if models else list(latent.levels))
        numbers = {"checkpoint": path.name} | measure_levels(config, latent, kind)
        models[latent.model if latent.model not in models else f"{latent.model} ({path.stem})"] = latent, numbers
    latent, numbers = next(iter(models.values()))
    draw_figures(out, latent, kind, data, config.seed)
    if len(models) > 1:
        compared = {name: (one, record["levels"]["images"]) for name, (one, record) in models.items()}
        figures.plot_compare(out / "compare.png", compared, data.anomaly)
    if config.page:
        write_page(out / "latent.html", latent, kind, data.anomaly, f"Latent space of {latent.model}, {name}")
        if latent.bank is not None:
            write_items_page(out / "items.html", latent, kind, f"Items of {latent.model}, {name}")
    return {
        "data": name,
        "config": {key: getattr(config, key) for key in RECORDED},
        "kinds": None if config.kinds is None else str(config.kinds),
        "sample": sample.record,
        "distance": "cosine",
        "embedding": "PCA fitted on the queries, reads and items projected; t-SNE and UMAP fitted jointly on all three",
        "reported_against": kind,
        "anomaly_purity_neighbors": NEIGHBORS,
        "trustworthiness": {"neighbors": NEIGHBORS, "points": ROWS},
        "models": {model: one for model, (_, one) in models.items()},
    }
