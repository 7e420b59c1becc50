"""One run on photographs or on videos: train each model, calibrate, judge, and leave a folder that tells how."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mnad.config import TrainConfig
from mnad.data.dataset import Photographs, Videos, open_dataset
from mnad.data.sizes import follow_data
from mnad.data.source import Source
from mnad.data.split_file import check_same_data
from mnad.detector import Detector
from mnad.detector.fitting import fit_detector, member_folders, members_alone, train_models
from mnad.evaluation.judge import TEST, Rows, evaluate, made_for_other, primary_curve, table_rows
from mnad.evaluation.page import write_run_report
from mnad.evaluation.pictures import draw_reconstructions
from mnad.evaluation.result import Evaluation, read_evaluations
from mnad.model import across
from mnad.model.build import build_model, choose_device
from mnad.model.feature_mnad import FeatureMNAD
from mnad.report.plots import plot_curves, plot_histogram, plot_losses
from mnad.report.seeds import METRICS
from mnad.report.tables import health_line, results_table
from mnad.run import UserError
from mnad.run.files import read_log, write_csv, write_json, write_text
from mnad.run.folders import check_run_folder, check_still_there, locked, open_run_folder, stamped
from mnad.run.provenance import run_record
from mnad.run.settings import check_same_run, plain
from mnad.scoring.scores import build_term
from mnad.training.finish import check_stages
from mnad.training.losses import loss_weights
from mnad.training.processes import check_all_read_the_same, joined
from mnad.training.tensorboard import check_tensorboard

SCHEMA = 2  # of metrics.json


def for_model(config: TrainConfig, name: str) -> TrainConfig:
    """``config`` for one of its models; one that has no term of the primary score is judged by the first it has one of.

    Raises:
        UserError: see :func:`mnad.model.build.build_model` and :func:`mnad.scoring.scores.build_term`.
    """
    one = replace(config, model=replace(config.model, name=name))
    with torch.device("meta"):  # without its weights
        gives = build_model(one.model, one.images.size).gives
    fitting = [k for k, s in config.scores.items() if any(build_term(term).needs in gives for term in s.terms)]
    return one if config.primary in fitting or not fitting else replace(one, primary=fitting[0])


def check_models(config: TrainConfig) -> list[Detector]:
    """Build every model of the run once, to see what can be wrong before anything is read or written.

    Raises:
        UserError: see :class:`mnad.detector.Detector`, :func:`mnad.model.build.choose_device` and
            :func:`mnad.training.losses.loss_weights`.
    """
    choose_device(config.optim.device)
    if config.log == "tensorboard":
        check_tensorboard()
    detectors = [Detector(for_model(config, name).detector()) for name in models_of(config)]
    for detector in detectors:
        loss_weights(detector.model, config.optim)
        check_stages(detector.model, config.optim)
    return detectors


def check_scores(detectors: Sequence[Detector], data: Photographs | Videos) -> None:
    """Raises ``UserError`` for a score that is made for other data."""
    for detector in detectors:
        foreign = made_for_other(detector, data)
        if foreign:
            example = "ped2_recon" if data.layout_name == "video" else data.layout_name
            raise UserError(f"{foreign}; expected other terms, such as those of configs/{example}.yaml")


def write_results(folder: Path, detector: Detector, evaluations: Mapping[str, Evaluation]) -> None:
    """``metrics.json``, score tables and plots of one trained model in its ``folder``."""
    logs = [read_log(place / "log.jsonl") for place in member_folders(folder, detector.config.members)]
    if "pixel" in logs[0]:  # a model that is fitted in closed form has no losses
        plot_losses(folder / "loss.png", logs[0])
    for name, result in evaluations.items():
        suffix = "" if name == TEST else f"_{name.replace(' ', '_')}"
        write_csv(folder / f"scores{suffix}.csv", result.table)
    if TEST not in evaluations:
        first = next(iter(evaluations.values()))
        plot_curves(folder / "curves.png", first.table, *primary_curve(detector))
    write_json(
        folder / "metrics.json",
        {
            "schema": SCHEMA,
            "primary": detector.primary,
            "thresholds": {name: asdict(threshold) for name, threshold in detector.thresholds.items()},
            "parameters": detector.parameters,
            "train_seconds": float(sum(log["seconds"].sum() for log in logs)),
            "evaluations": {name: result.record() for name, result in evaluations.items()},
        },
    )


def run_model(
    config: TrainConfig, data: Photographs | Videos, sources: Mapping[str, Source], folder: Path, record: dict
) -> Rows:
    """Train, calibrate and judge the model of ``config`` into ``folder``; returns its rows of the table."""
    detector, (normal, anomalous) = fit_detector(config, sources, folder, record)
    evaluations = evaluate(detector, data)
    for name, threshold in detector.thresholds.items():
        known = anomalous.get(name, np.zeros(0))
        plot_histogram(folder / f"histogram_{name}.png", normal[name], known, threshold, name)
    write_results(folder, detector, evaluations)
    write_run_report(folder, detector, data, evaluations)
    draw_reconstructions(folder / "reconstructions.png", detector, data, list(evaluations.values())[-1])
    print(f"{config.model.name}, score '{detector.primary}': {detector.thresholds[detector.primary]}")
    for result in evaluations.values():
        for doubt in result.scores.get(detector.primary, {}).get("doubts", []):
            print(f"doubt: {doubt}")
    health = next(iter(evaluations.values())).memory
    if health:
        print(health_line(health))
    rows = table_rows(detector, config.model.name, evaluations)
    for number, alone in enumerate(members_alone(detector, sources) if config.members > 1 else (), start=1):
        own = table_rows(alone, f"{config.model.name}, member {number} alone", evaluate(alone, data))
        rows |= {key: row for key, row in own.items() if key[1] == alone.label(alone.primary)}
    return rows


def run_experiment(config: TrainConfig) -> Path | None:
    """Everything that ``scripts/train_mnad.py`` does, in one process or in those that torchrun started.

    Returns:
        the run folder; None in processes besides the first, which only take part in the training.

    Raises:
        UserError: anything wrong with data, configuration or folder, or a process that has died.
    """
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    with joined(config.optim.device) as rank:
        return run_joined(config, rank)


def models_of(config: TrainConfig) -> list[str]:
    """Names of the models of a run, the one in question first."""
    return list(dict.fromkeys((config.model.name, *config.compare)))


def run_joined(config: TrainConfig, rank: int) -> Path | None:
    """:func:`run_experiment` in the process of this rank."""
    config = follow_data(config)
    detectors = check_models(config)
    if across.count() > 1 and any(isinstance(detector.model, FeatureMNAD) for detector in detectors):
        raise UserError("torchrun: mnad_features is fitted in closed form; expected one process, without torchrun")
    data = open_dataset(config, config.images, config.model.variant)
    check_scores(detectors, data)
    kind = "wells" if isinstance(data, Photographs) else "video"
    if rank:
        data.read()
        sources = data.sources(config.seed)
        check_all_read_the_same(data.split_record(config.seed), choose_device(config.optim.device))
        for name in models_of(config):
            train_models(for_model(config, name), sources, None)
        return None
    out = check_run_folder(config.out or stamped(kind), config.overwrite, config.resume)
    findings = data.read()
    sources = data.sources(config.seed)
    with locked(out):
        return run_in(open_run_folder(out, config.overwrite, config.resume), config, data, sources, findings)


def run_in(
    folder: Path, config: TrainConfig, data: Photographs | Videos, sources: Mapping[str, Source], findings: dict
) -> Path:
    """The part of :func:`run_experiment` that writes, into the open run folder."""
    check_same_run(folder, config)
    print(f"{data.root}: {data}")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json", findings)
    split = data.split_record(config.seed)
    check_same_data(folder / "split.json", split)
    check_all_read_the_same(split, choose_device(config.optim.device))
    write_json(folder / "split.json", split)
    rows: Rows = {}
    for name in models_of(config):
        one = for_model(config, name)
        place = folder if name == config.model.name else folder / name
        rows |= run_model(one, data, sources, place, record)
    table = "\n".join(filter(None, (results_table(rows), data.left_out)))
    write_text(folder / "table.txt", table + "\n")
    check_still_there(folder)
    print(f"\n{table}\n\nrun folder: {folder}\nreport: {folder / 'report.html'}")
    return folder


def run_seeds(configs: Mapping[str, TrainConfig], seeds: Sequence[int], out: Path) -> pd.DataFrame:
    """Run every configuration with every seed below ``out`` and collect the metrics.

    Finished runs are scored again and half-finished ones resumed, so an interrupted table can be repeated.

    Returns:
        One row for each (config, model, score, seed) with ``auroc, tpr, tnr``; of videos the model says which
        evaluation, and ``auroc`` is the paper's frame-level AUC.
    """
    rows = []
    for name, config in configs.items():
        for seed in seeds:
            folder = out / name / f"seed{seed}"
            run_experiment(replace(config, seed=seed, out=folder, resume=True, overwrite=False))
            for model in models_of(config):
                place = folder if model == config.model.name else folder / model
                for test, result in read_evaluations(place).items():
                    row = {"config": name, "model": model if test == TEST else f"{model}, {test}"}
                    rows += [
                        row | {"score": score, "seed": seed, **{m: metrics[m] for m in METRICS}}
                        for score, metrics in result["scores"].items()
                    ]
    return pd.DataFrame(rows)
