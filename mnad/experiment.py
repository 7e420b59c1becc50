"""One run on photographs or on videos: train each model, calibrate, judge, and leave a folder that tells how."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from mnad.config import TrainConfig
from mnad.data.dataset import Photographs, Videos, open_dataset
from mnad.data.source import Source
from mnad.detector import Detector
from mnad.evaluation.judge import TEST, evaluate
from mnad.evaluation.result import Evaluation
from mnad.model.build import build_model, choose_device
from mnad.report.plots import plot_curves, plot_histogram, plot_losses
from mnad.report.tables import health_line, results_table
from mnad.run import UserError
from mnad.run.files import check_run_folder, open_run_folder, read_log, stamped, write_csv, write_json, write_text
from mnad.run.provenance import run_record
from mnad.run.settings import check_same_run, plain
from mnad.scoring.scores import build_term
from mnad.training.loop import loss_weights, train

SCHEMA = 2  # of metrics.json

Rows = dict[tuple[str, str], Mapping]  # (model, score) -> metrics, for the table


def for_model(config: TrainConfig, name: str) -> TrainConfig:
    """``config`` for one of its models; one that has no term of the primary score is judged by the first it has one of.

    Raises:
        UserError: see :func:`mnad.model.build.build_model` and :func:`mnad.scoring.scores.build_term`.
    """
    one = replace(config, model=replace(config.model, name=name))
    gives = build_model(one.model).gives
    fitting = [k for k, s in config.scores.items() if any(build_term(term).needs in gives for term in s.terms)]
    return one if config.primary in fitting or not fitting else replace(one, primary=fitting[0])


def check_models(config: TrainConfig, data: Photographs | Videos) -> None:
    """Build every model of the run once, to see what can be wrong before anything is written.

    Raises:
        UserError: a score that is made for other data; see :class:`mnad.detector.Detector`,
            :func:`mnad.model.build.choose_device` and :func:`mnad.training.loop.loss_weights`.
    """
    choose_device(config.optim.device)
    for name in dict.fromkeys((config.model.name, *config.compare)):
        detector = Detector(for_model(config, name).detector())
        loss_weights(detector.model, config.optim)
        foreign = made_for_other(detector, data)
        if foreign:
            example = "ped2_recon" if data.layout_name == "video" else data.layout_name
            raise UserError(f"{foreign}; expected other terms, such as those of configs/{example}.yaml")


def made_for_other(detector: Detector, data: Photographs | Videos) -> str | None:
    """Why the scores of ``detector`` are not made for ``data``, in one line; None if they are, or if nobody can know
    (a description may be of any images)."""
    layout = data.layout_name
    for name, score in detector.scores.items():
        foreign = [term for term in score.terms if term.made_for not in (None, layout)]
        if foreign and layout != "generic":
            kind = type(foreign[0]).__name__
            return f"score {name!r}: its term {kind} is made for {foreign[0].made_for}, but the data is {layout}"
    return None


def fit_detector(
    config: TrainConfig, sources: Mapping[str, Source], folder: Path, record: dict[str, object]
) -> tuple[Detector, tuple[dict[str, np.ndarray], dict[str, np.ndarray]]]:
    """Train one model on ``sources`` (``train``, ``validation``, perhaps ``known``), calibrate it, save it to
    ``folder`` with the run's ``record``.

    Returns:
        the detector and what :meth:`mnad.detector.Detector.calibrate` returns.
    """
    torch.manual_seed(config.seed)
    detector = Detector(config.detector())
    folder.mkdir(exist_ok=True)
    train(detector.model, sources["train"], sources["validation"], config.optim, config.seed, folder, config.resume)
    detector.to(config.optim.device)
    calibration = detector.calibrate(sources["validation"], sources.get("known"))
    detector.record = record
    detector.save(folder / "model.safetensors")
    return detector, calibration


def table_rows(detector: Detector, model: str, evaluations: Mapping[str, Evaluation]) -> Rows:
    """Rows of :func:`mnad.report.tables.results_table`; of videos the model's name says which evaluation."""
    return {
        (model if name == TEST else f"{model}, {name}", detector.label(score)): {**metrics, "pixels": result.pixels}
        for name, result in evaluations.items()
        for score, metrics in result.scores.items()
    }


def write_results(folder: Path, detector: Detector, evaluations: Mapping[str, Evaluation]) -> None:
    """``metrics.json``, score tables and plots of one trained model in its ``folder``."""
    log = read_log(folder / "log.jsonl")
    if "pixel" in log:  # a model that is fitted in closed form has no losses
        plot_losses(folder / "loss.png", log)
    for name, result in evaluations.items():
        suffix = "" if name == TEST else f"_{name.replace(' ', '_')}"
        write_csv(folder / f"scores{suffix}.csv", result.table)
    if TEST not in evaluations:
        first = next(iter(evaluations.values()))
        plot_curves(folder / "curves.png", first.table, [f"score_{detector.primary}"])
    write_json(
        folder / "metrics.json",
        {
            "schema": SCHEMA,
            "primary": detector.primary,
            "thresholds": {name: asdict(threshold) for name, threshold in detector.thresholds.items()},
            "parameters": detector.parameters,
            "train_seconds": float(log["seconds"].sum()),
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
    print(f"{config.model.name}, score '{detector.primary}': {detector.thresholds[detector.primary]}")
    for result in evaluations.values():
        for doubt in result.scores.get(detector.primary, {}).get("doubts", []):
            print(f"doubt: {doubt}")
    health = next(iter(evaluations.values())).memory
    if health:
        print(health_line(health))
    return table_rows(detector, config.model.name, evaluations)


def run_experiment(config: TrainConfig) -> Path:
    """Everything that ``scripts/train_mnad.py`` does; returns the run folder.

    Raises:
        UserError: anything wrong with data, configuration or folder.
    """
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    data = open_dataset(config, config.images, config.model.variant)
    check_models(config, data)
    kind = "wells" if isinstance(data, Photographs) else "video"
    out = check_run_folder(config.out or stamped(kind), config.overwrite, config.resume)
    findings = data.read()
    sources = data.sources(config.seed)
    folder = open_run_folder(out, config.overwrite, config.resume)
    check_same_run(folder, config)
    print(f"{data.root}: {data}")
    write_json(folder / "config.json", plain(config))
    record = run_record(folder / "provenance.json", findings)
    write_json(folder / "split.json", data.split_record(config.seed))
    rows: Rows = {}
    for name in dict.fromkeys((config.model.name, *config.compare)):
        one = for_model(config, name)
        place = folder if name == config.model.name else folder / name
        rows |= run_model(one, data, sources, place, record)
    table = results_table(rows)
    write_text(folder / "table.txt", table + "\n")
    print(f"\n{table}\n\nrun folder: {folder}")
    return folder
