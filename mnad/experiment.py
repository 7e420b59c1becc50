"""One run: train each model, calibrate, judge, and leave a folder that tells how."""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path

import numpy as np
import torch

from mnad.config import DetectorConfig, TrainConfig
from mnad.data.checks import check_layout
from mnad.data.images import Images, split
from mnad.data.layout import Layout, is_video, read_layout
from mnad.data.split_file import write_split
from mnad.data.synthetic import draw_wells
from mnad.detector import Detector
from mnad.errors import UserError
from mnad.evaluation import evaluate
from mnad.files import open_run_folder, read_config, read_log, stamped, write_csv, write_json, write_text
from mnad.provenance import run_record
from mnad.report import plot_histogram, plot_losses, results_table
from mnad.training import Source, choose_device, train

SYNTHETIC = Path("data/synthetic_wells")
# Nothing of these touches the trained weights: --resume scores a finished run anew.
FREE_TO_CHANGE = ("out", "resume", "overwrite", "compare", "scores", "primary", "threshold")


def plain(config: object) -> dict[str, object]:
    """A configuration dataclass as JSON-able values."""
    return json.loads(json.dumps(asdict(config), default=str))


def settings(config: object) -> dict[str, object]:
    """Every setting of a configuration dataclass by its dotted name, as on the command line; values JSON-able."""
    flat = {}
    for item in fields(config):
        value = getattr(config, item.name)
        inner = settings(value) if is_dataclass(value) else None
        flat |= {item.name: value} if inner is None else {f"{item.name}.{key}": v for key, v in inner.items()}
    return json.loads(json.dumps(flat, default=lambda value: asdict(value) if is_dataclass(value) else str(value)))


def check_same_run(folder: Path, config: object, free: tuple[str, ...] = FREE_TO_CHANGE) -> None:
    """A resumed run must be the same training; only the keys in ``free`` may change.

    A key that an older revision did not store had its default.

    Raises:
        UserError: the stored configuration differs, with the first key that does.
    """
    stored = read_config(folder)
    if not stored:
        return
    defaults = settings(type(config)())
    for key, value in settings(config).items():
        found: object = stored
        for part in key.split("."):
            found = found.get(part, defaults[key]) if isinstance(found, dict) else defaults[key]
        if key.split(".")[0] not in free and found != value:
            raise UserError(
                f"{folder / 'config.json'}: {key} is {found}, now {value}; the same value was expected to resume"
            )


def fit_detector(
    config: TrainConfig, sets: Mapping[str, Source], folder: Path, record: dict[str, object]
) -> tuple[Detector, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Train one model on ``sets`` (``train``, ``validation``, perhaps ``known``), calibrate it, save it to ``folder``
    with the run's ``record``.

    Returns:
        the detector and what :meth:`mnad.detector.Detector.calibrate` returns.
    """
    detector_config = DetectorConfig(**{key: getattr(config, key) for key in DetectorConfig.__annotations__})
    torch.manual_seed(config.seed)
    detector = Detector(detector_config)
    folder.mkdir(exist_ok=True)
    train(detector.model, sets["train"], sets["validation"], config.optim, config.seed, folder, config.resume)
    detector.to(config.optim.device)
    calibration = detector.calibrate(sets["validation"], sets.get("known"))
    detector.record = record
    detector.save(folder / "model.safetensors")
    return detector, calibration


def train_one(
    config: TrainConfig, layout: Layout, sets: dict[str, Images], folder: Path, test: Images, record: dict[str, object]
) -> dict:
    """Train, calibrate and judge one model into ``folder``; returns its metrics by score."""
    detector, calibration = fit_detector(config, sets, folder, record)
    result = evaluate(detector, layout, test)
    for name, (normal, spill) in calibration.items():
        plot_histogram(folder / f"histogram_{name}.png", normal, spill, detector.thresholds[name], name)
    log = read_log(folder / "log.jsonl")
    plot_losses(folder / "loss.png", log)
    write_csv(folder / "scores.csv", result.frame)
    write_json(
        folder / "metrics.json",
        {
            "primary": detector.primary,
            "test": result.metrics,
            "thresholds": {name: asdict(threshold) for name, threshold in detector.thresholds.items()},
            "parameters": sum(p.numel() for p in detector.model.parameters()),
            "train_seconds": float(log["seconds"].sum()),
            "images_per_second": result.images_per_second,
        },
    )
    return {"metrics": result.metrics, "thresholds": detector.thresholds}


def check_models(config: TrainConfig) -> None:
    """Build every model of the run once, to see what can be wrong before anything is written.

    Raises:
        UserError: see :class:`mnad.detector.Detector` and :func:`mnad.training.choose_device`.
    """
    choose_device(config.optim.device)
    for name in (config.model.name, *config.compare):
        Detector(DetectorConfig(replace(config.model, name=name), config.images, config.scores, config.primary))


def run_experiment(config: TrainConfig) -> Path:
    """Everything that ``scripts/train_mnad.py`` does; returns the run folder.

    Raises:
        UserError: anything wrong with data, configuration or folder.
    """
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    if config.data is not None and is_video(config.data, config.layout, config.layout_options):
        from mnad.video_experiment import run_video_experiment  # it builds on this module

        return run_video_experiment(config)
    if config.model.variant != "recon":
        raise UserError(f"model.variant: {config.model.variant}; recon was expected for photographs")
    check_models(config)
    root = config.data if config.data is not None else draw_wells(SYNTHETIC)
    layout = read_layout(root, config.layout, options=config.layout_options)
    findings = check_layout(layout, config.layout_options.allow_mixed)
    size, memory = config.images.size, config.images.memory_gb
    normals = Images(layout.train, size, memory, "train")
    held_in, held_out = split(len(normals), config.images.validation_fraction, config.seed)
    sets = {"train": normals.subset(held_in), "validation": normals.subset(held_out)}
    if layout.known:
        sets["known"] = Images(layout.known, size, memory, "known spills")
    test = Images(layout.test, size, memory, "test")
    folder = open_run_folder(config.out or stamped("wells"), config.overwrite, config.resume)
    check_same_run(folder, config)
    roles = f"{len(held_in)} training, {len(held_out)} validation, {len(layout.known)} known spills, {len(test)} test"
    print(f"{root}: {roles}")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json", findings)
    write_split(folder / "split.json", layout, root)
    results = {}
    for name in dict.fromkeys((config.model.name, *config.compare)):
        one = replace(config, model=replace(config.model, name=name))
        done = train_one(one, layout, sets, folder if name == config.model.name else folder / name, test, record)
        results |= {(name, score): metrics for score, metrics in done["metrics"].items()}
        if name == config.model.name:
            threshold = done["thresholds"][config.primary]
            print(f"{name}: threshold {threshold.value:.4g} of score '{config.primary}', {threshold.note}")
    table = results_table(results)
    write_text(folder / "table.txt", table + "\n")
    print(f"\n{table}\n\nrun folder: {folder}")
    return folder
