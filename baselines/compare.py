"""The comparison: every method on the same images, threshold rule and metrics; one folder for each (method, seed)."""

import shutil
import time
import traceback
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch

from baselines.method import Method
from baselines.peak_memory import peak_above_mb, reset_peak
from baselines.registry import ALL, LeftOut, build_method
from mnad.config import DetectorConfig, ModelConfig, OptimConfig
from mnad.data.checks import check_layout
from mnad.data.images import Images, split
from mnad.data.layout import check_data_given, check_photographs, read_layout
from mnad.data.masks import read_masks
from mnad.data.options import LayoutOptions
from mnad.data.split_file import write_split
from mnad.data.synthetic import SYNTHETIC, draw_wells
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.files import atomic_path, check_run_folder, open_run_folder, write_json, write_text
from mnad.metrics import judge
from mnad.pixel_metrics import aupro, pixel_auroc
from mnad.provenance import run_record
from mnad.settings import check_same_run, plain
from mnad.threshold import choose_threshold
from mnad.training import choose_device

RESULT, SCORES, FAILED = "result.json", "scores.npz", "failed.json"
# What may change between two calls: thresholds are chosen anew from the stored scores whenever the tables are made.
FREE = ("out", "overwrite", "seeds", "methods", "resamples", "threshold")


@dataclass
class CompareConfig(DetectorConfig):
    """What to compare, on which images. A run that was interrupted goes on where it stopped.

    Args:
        data: folder of images; none draws the synthetic wells into ``data/synthetic_wells``.
        layout: how ``data`` is laid out; ``auto`` looks at its folders.
        layout_options: names and shares of the layouts that need some.
        out: folder of the comparison.
        overwrite: empty an existing comparison first.
        seeds: how often each method is trained, with seeds 0, 1, ...
        methods: names, in the order of the table.
        resamples: of the bootstrap over test images.
        model: the network.
        images: how images are read.
        scores: scores by name, for the methods that rebuild images.
        primary: the score that MNAD is compared by.
        threshold: how each score's threshold is chosen.
        optim: the training loop.
    """

    data: Path | None = None
    layout: str = "auto"
    layout_options: LayoutOptions = field(default_factory=LayoutOptions)
    out: Path = Path("runs/compare")
    overwrite: bool = False
    seeds: int = 3
    methods: list[str] = field(default_factory=lambda: list(ALL))
    resamples: int = 2000
    model: ModelConfig = field(default_factory=lambda: ModelConfig(width=8, item_dim=64))
    optim: OptimConfig = field(default_factory=OptimConfig)

    def __post_init__(self) -> None:
        """Replace None by what the variant has."""
        super().__post_init__()
        self.optim = self.optim.resolved(self.model.variant)


def check_config(config: CompareConfig) -> None:
    """Everything that can be wrong before anything is written.

    Raises:
        UserError: a number out of range, an unknown device, score or method, a method twice, another variant, no data.
    """
    choose_device(config.optim.device)
    check_data_given(config.data, config.layout, config.layout_options, config.model.variant)
    check_photographs(config.model.variant)
    Detector(DetectorConfig(config.model, config.images, config.scores, config.primary))
    for key in ("seeds", "resamples"):
        if getattr(config, key) < 1:
            raise UserError(f"{key}: {getattr(config, key)}; at least 1 was expected")
    unknown = [name for name in config.methods if name not in ALL]
    if unknown or not config.methods or len(set(config.methods)) < len(config.methods):
        wrong = unknown[0] if unknown else config.methods
        raise UserError(f"methods: {wrong!r}; some of {', '.join(ALL)}, each once, were expected")


def pixel_metrics(method: Method, images: Images, masks: np.ndarray) -> dict[str, float] | None:
    """Pixel AUROC and AUPRO of the method's anomaly maps; None for a method without maps."""
    maps = []
    for start in range(0, len(images), 32):
        part = method.anomaly_map(images.batch(np.arange(start, min(start + 32, len(images)))))
        if part is None:
            return None
        maps.append(part)
    stacked = np.concatenate(maps)
    return {"pixel_auroc": pixel_auroc(stacked, masks), "aupro": aupro(stacked, masks)}


def judge_scores(config: DetectorConfig, arrays: dict[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Choose the threshold of every score in ``arrays`` and judge it: score -> :func:`mnad.metrics.judge`, and under
    ``threshold_note`` how the threshold came about.

    Args:
        arrays: ``labels`` of the test images, and for each score ``test/<score>``, ``validation/<score>`` and, where
            there are known anomalies, ``known/<score>``.
    """
    judged = {}
    for key in [key for key in arrays if key.startswith("test/")]:
        score = key.removeprefix("test/")
        rule = (config.scores[score].threshold if score in config.scores else None) or config.threshold
        known = arrays.get(f"known/{score}", np.zeros(0))
        threshold = choose_threshold(rule, arrays[f"validation/{score}"], known)
        judged[score] = judge(arrays[key], arrays["labels"], threshold.value) | {"threshold_note": asdict(threshold)}
    return judged


def run_one(
    name: str,
    config: CompareConfig,
    seed: int,
    folder: Path,
    sets: dict[str, Images],
    labels: np.ndarray,
    masks: np.ndarray | None,
) -> None:
    """Fit, score, choose the thresholds, judge; the result goes to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not finish
    folder.mkdir(parents=True)
    held = reset_peak()
    started = time.perf_counter()
    method = build_method(name, config, config.optim, seed, folder)
    method.fit(sets["train"], sets["validation"])
    fit_seconds = time.perf_counter() - started
    started = time.perf_counter()
    test = method.scores(sets["test"])
    images_per_second = len(sets["test"]) / (time.perf_counter() - started)
    arrays = {"labels": labels}
    for role, found in (
        ("test", test),
        ("validation", method.scores(sets["validation"])),
        ("known", method.scores(sets["known"]) if "known" in sets else {}),
    ):
        for score, values in found.items():
            if not np.isfinite(values).all():
                raise UserError(f"score {score!r}: not finite for {(~np.isfinite(values)).sum()} {role} images")
            arrays[f"{role}/{score}"] = values
    peak = peak_above_mb(held)
    pixels = pixel_metrics(method, sets["test"], masks) if masks is not None else None
    with atomic_path(folder / SCORES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    write_json(
        folder / RESULT,  # written last: a folder with this file is finished
        {
            "method": name,
            "seed": seed,
            "primary": method.primary,
            "scores": judge_scores(config, arrays),
            "pixels": pixels,
            "fit_seconds": fit_seconds,
            "images_per_second": images_per_second,
            "parameters": method.parameters,
            "peak_mb": peak,
        },
    )


def read_sets(config: CompareConfig, seed: int, stores: dict[str, Images]) -> dict[str, Images]:
    """The images of each role for one seed; only the validation split depends on it."""
    normals = stores["normals"]
    held_in, held_out = split(len(normals), config.images.validation_fraction, seed)
    rest = {key: value for key, value in stores.items() if key != "normals"}
    return {"train": normals.subset(held_in), "validation": normals.subset(held_out), **rest}


def pending(config: CompareConfig) -> Iterator[tuple[int, str, Path]]:
    """(seed, method, folder) that are to do, all methods of a seed before the next seed: those without a result, or
    all to start anew."""
    for seed in range(config.seeds):
        for name in config.methods:
            folder = config.out / name / f"seed-{seed}"
            if config.overwrite or not (folder / RESULT).is_file():
                yield seed, name, folder


def run_comparison(config: CompareConfig) -> Path:
    """Everything but the tables; returns the folder.

    Raises:
        UserError: anything wrong with data, configuration or folder. What goes wrong inside one method is recorded
            in its folder (``failed.json``), tried again by the next call, and does not stop the others.
    """
    check_config(config)
    check_run_folder(config.out, config.overwrite, not config.overwrite, "methods")
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    root = config.data if config.data is not None else draw_wells(SYNTHETIC)
    layout = read_layout(root, config.layout, options=config.layout_options)
    findings = check_layout(layout, config.layout_options.allow_mixed)
    if not layout.test:
        raise UserError(f"{root}: no test images; at least one was expected")
    todo = list(pending(config))
    # Read everything before an existing folder is emptied.
    size, memory = config.images.size, config.images.memory_gb
    stores, masks = {}, None
    if todo:
        stores["normals"] = Images(layout.train, size, memory, "train")
        stores["test"] = Images(layout.test, size, memory, "test")
        masks = read_masks(layout, size) if layout.masks else None
        if layout.known:
            stores["known"] = Images(layout.known, size, memory, "known anomalies")
    out = open_run_folder(config.out, config.overwrite, not config.overwrite, "methods")
    check_same_run(out, config, free=FREE)
    write_json(out / "config.json", plain(config))
    run_record(out / "provenance.json")
    write_split(out / "split.json", layout)
    roles = {"train": len(layout.train), "known": len(layout.known), "test": len(layout.test)}
    write_json(out / "data.json", {"root": str(root), "images": roles, "masks": bool(layout.masks), **findings})
    print(f"{root}: {roles}; {len(todo)} runs to do in {out}")
    for number, (seed, name, folder) in enumerate(todo, 1):
        sets = read_sets(config, seed, stores)
        print(f"[{number}/{len(todo)}] {name}, seed {seed}", flush=True)
        try:
            run_one(name, config, seed, folder, sets, layout.labels, masks)
        except Exception as error:  # one failing method does not lose the others
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            left_out = isinstance(error, LeftOut)
            folder.mkdir(parents=True, exist_ok=True)
            trace = traceback.format_exc()
            write_json(folder / FAILED, {"method": name, "seed": seed, "left_out": left_out, "reason": reason})
            write_text(folder / "traceback.txt", trace)
            print(f"{'left out' if left_out else 'FAILED'}: {name}, seed {seed}: {reason}", flush=True)
    return out
