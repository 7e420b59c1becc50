"""One run on photographs (or, by :mod:`mnad.video_experiment`, on videos): train each model, calibrate, judge, and
leave a folder that tells how."""

from dataclasses import asdict, replace
from pathlib import Path

import torch

from mnad.config import TrainConfig
from mnad.data.checks import check_layout
from mnad.data.images import Images, split
from mnad.data.layout import Layout, check_data_given, check_photographs, is_video, read_layout
from mnad.data.split_file import write_split
from mnad.data.synthetic import SYNTHETIC, draw_wells
from mnad.evaluation import evaluate
from mnad.files import check_run_folder, open_run_folder, read_log, stamped, write_csv, write_json, write_text
from mnad.fitting import check_models, fit_detector
from mnad.provenance import run_record
from mnad.report import plot_histogram, plot_losses, results_table
from mnad.settings import check_same_run, plain
from mnad.video_experiment import run_video_experiment


def train_one(
    config: TrainConfig, layout: Layout, sets: dict[str, Images], folder: Path, test: Images, record: dict[str, object]
) -> dict:
    """Train, calibrate and judge one model into ``folder``; returns its metrics by score, for the table."""
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
    return {
        "metrics": {detector.scores[name].label(name): metrics for name, metrics in result.metrics.items()},
        "thresholds": detector.thresholds,
    }


def run_experiment(config: TrainConfig) -> Path:
    """Everything that ``scripts/train_mnad.py`` does; returns the run folder.

    Raises:
        UserError: anything wrong with data, configuration or folder.
    """
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    check_models(config)
    check_data_given(config.data, config.layout, config.layout_options, config.model.variant)
    if config.data is not None and is_video(config.data, config.layout, config.layout_options):
        return run_video_experiment(config)
    check_photographs(config.model.variant)
    out = check_run_folder(config.out or stamped("wells"), config.overwrite, config.resume)
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
    folder = open_run_folder(out, config.overwrite, config.resume)
    check_same_run(folder, config)
    roles = f"{len(held_in)} training, {len(held_out)} validation, {len(layout.known)} known spills, {len(test)} test"
    print(f"{root}: {roles}")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json", findings)
    write_split(folder / "split.json", layout, held_out)
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
