"""The comparison: every method on the same images, threshold rule and metrics; one folder for each (method, seed)."""

import shutil
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from baselines.config import CompareConfig
from baselines.finished import SPLIT_SEED, Checkpoint, finished_rows
from baselines.registry import all_methods, build_method, default_methods
from mnad.config import DetectorConfig
from mnad.data.changes import Change
from mnad.data.dataset import Photographs, open_dataset
from mnad.data.split_file import check_same_data
from mnad.detector import Detector
from mnad.evaluation.judge import evaluate_photographs
from mnad.evaluation.result import judge_scores
from mnad.evaluation.robustness import changed_sets, judge_change, summary, table_changes
from mnad.model.build import choose_device
from mnad.run import NotInstalled, UserError, one_line
from mnad.run.files import atomic_path, read_json, write_json, write_text
from mnad.run.folders import check_run_folder, check_still_there, locked, open_run_folder
from mnad.run.peak_memory import peak_above_mb, reset_peak
from mnad.run.provenance import run_record
from mnad.run.settings import check_same_run, plain
from mnad.scoring.threshold import choose_thresholds
from mnad.training.losses import loss_weights

RESULT, SCORES, FAILED = "result.json", "scores.npz", "failed.json"
KEYS = {"method", "seed", "primary", "pixels", "images_per_second", "fit_seconds", "parameters", "peak_mb"}  # of RESULT
ROLES = ("test", "validation", "known")  # of scores
# What may change between two calls: thresholds are chosen again from the stored scores whenever the tables are made.
FREE = ("out", "overwrite", "seeds", "methods", "checkpoints", "resamples", "threshold")


def check_config(config: CompareConfig) -> Photographs:
    """Everything that can be wrong before anything is read or written; returns the dataset.

    Raises:
        UserError: an unknown device, score or method, a method twice, another variant, no data, a checkpoint that
            cannot be read, has the name of a method, or has seen the test images.
    """
    names = all_methods()
    config.methods = default_methods(config.model.name) if config.methods is None else config.methods
    unknown = [name for name in config.methods if name not in names]
    if unknown or not config.methods or len(set(config.methods)) < len(config.methods):
        wrong = unknown[0] if unknown else config.methods
        raise UserError(f"methods: expected some of {', '.join(names)}, each once, got {wrong!r}")
    choose_device(config.optim.device)
    data = open_dataset(config, config.images, config.model.variant)
    if not isinstance(data, Photographs):
        raise UserError(f"{config.data}: videos; expected a folder of photographs")
    loss_weights(Detector(config.detector()).model, config.optim)
    for name, one in finished_rows(config.checkpoints).items():
        if name in names:
            raise UserError(f"checkpoints: {one.path}: a method is called {name}, too; expected another name")
        data.check_unseen(one.path)
    return data


def rows_and_seeds(config: CompareConfig, checkpoints: Mapping[str, Checkpoint]) -> dict[str, int]:
    """Row -> how many seeds it has: the methods, then the checkpoints, which have as many as there are members."""
    rows = dict.fromkeys(config.methods or [], config.seeds)
    return rows | {name: min(config.seeds, one.seeds) for name, one in checkpoints.items()}


def share_below(counts: Any) -> float:
    """Share of the validation normals that are no false alarms, from a mapping with ``fp`` and ``n_normal``."""
    return 1 - counts["fp"] / counts["n_normal"]


def rejudge(config: DetectorConfig, arrays: Mapping[str, np.ndarray]) -> dict[str, dict[str, object]]:
    """Choose the threshold of every stored score by the rules of ``config`` and judge it: score -> metrics of
    :func:`mnad.evaluation.result.judge_scores`, and under ``threshold_note`` how the threshold came about.

    Args:
        arrays: ``labels`` of the test images, and for each score ``test/<score>``, ``validation/<score>`` and, where
            there are known anomalies, ``known/<score>``; where the robustness was asked for, ``<change>/<score>`` of
            the test images under each change. Its summary goes under ``robustness``.
    """
    roles: dict[str, dict] = {role: {} for role in ROLES}
    for key, values in arrays.items():
        role, _, score = key.partition("/")
        if score:
            roles.setdefault(role, {})[score] = values
    thresholds = choose_thresholds(config, roles["validation"], roles["known"])
    judged = judge_scores(roles["test"], arrays["labels"], thresholds)
    changes = [Change.parse(role) for role in roles if role not in ROLES]
    rows = pd.DataFrame(
        row for change in changes for row in judge_change(change, roles[str(change)], arrays["labels"], thresholds)
    )
    return {
        score: metrics
        | {"threshold_note": asdict(thresholds[score]), "tnr_validation": share_below(metrics["validation"])}
        | {"robustness": summary(rows[rows["score"] == score]) if changes else None}
        for score, metrics in judged.items()
    }


def run_one(
    name: str, config: CompareConfig, seed: int, folder: Path, sources: Mapping[str, Any], data: Photographs
) -> None:
    """Fit, choose the thresholds, judge; the result goes to ``folder``."""
    shutil.rmtree(folder, ignore_errors=True)  # of an attempt that did not finish
    folder.mkdir(parents=True)
    held = reset_peak()
    started = time.perf_counter()
    method = build_method(name, config, config.optim, seed, folder)
    method.fit(sources["train"], sources["validation"])
    fit_seconds = time.perf_counter() - started
    normal, anomalous = method.calibrate(sources["validation"], sources.get("known"))
    result = evaluate_photographs(method, data)
    peak = peak_above_mb(held)
    arrays = {"labels": data.labels}
    arrays |= {f"test/{score}": result.table[f"score_{score}"].to_numpy() for score in normal}
    arrays |= {f"validation/{score}": values for score, values in normal.items()}
    arrays |= {f"known/{score}": values for score, values in anomalous.items()}
    if config.robustness:
        changes = table_changes()
        for change, images in tqdm(changed_sets(data.test, changes), f"{name}, changes", len(changes)):
            arrays |= {f"{change}/{score}": values for score, values in method.score_all(images).items()}
    with atomic_path(folder / SCORES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # no array is called allow_pickle
    write_json(
        folder / RESULT,  # written last: a folder with this file is finished
        {
            "method": name,
            "seed": seed,
            "primary": method.primary,
            **result.record(),
            "fit_seconds": fit_seconds if method.digest is None else None,
            "parameters": method.parameters,
            "peak_mb": peak,
            "digest": method.digest,
        },
    )


def fitting(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether ``arrays`` are what :func:`rejudge` takes: finite numbers, one for each image of a role."""
    if not all(values.ndim == 1 and values.dtype.kind in "iuf" for values in arrays.values()):
        return False
    scores = {role: {key.partition("/")[2] for key in arrays if key.startswith(f"{role}/")} for role in ROLES}
    of_test = [len(values) for key, values in arrays.items() if key.partition("/")[0] not in ROLES[1:]]
    complete = "labels" in arrays and scores["test"] == scores["validation"] != set()
    return complete and len(set(of_test)) == 1 and all(np.isfinite(values).all() for values in arrays.values())


def read_run(folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Result and arrays of a finished run, as :func:`run_one` wrote them.

    Raises:
        UserError: one of the two files is missing or broken.
    """
    result = read_json(folder / RESULT, "the result of a finished run")
    missing = sorted(KEYS - set(result))
    if missing:
        raise UserError(f"{folder / RESULT}: no {missing[0]}; expected the result of a finished run")
    path = folder / SCORES
    try:
        with np.load(path) as stored:
            arrays = dict(stored)
    except Exception as error:  # whatever zip and numpy make of a damaged file
        reason = one_line(error)
        raise UserError(f"{path}: cannot be read ({reason}); expected the scores of a finished run") from error
    if not fitting(arrays):
        raise UserError(f"{path}: holds other arrays; expected labels and the scores of test and validation images")
    return result, arrays


def finished(folder: Path, digest: str | None = None) -> bool:
    """Whether ``folder`` holds a finished run (of the checkpoint of that ``digest``); says so where one is broken or of
    another checkpoint and has to be done again."""
    if not (folder / RESULT).is_file():
        return False
    try:
        if read_run(folder)[0].get("digest") != digest:
            raise UserError(f"{folder}: is of another checkpoint; expected the one of now")
    except UserError as error:
        print(f"done again: {error}", flush=True)
        return False
    return True


def pending(config: CompareConfig) -> Iterator[tuple[int, str, Path]]:
    """(seed, row, folder) that are to do, all rows of a seed before the next seed: those without a result or with a
    broken one, or all of them to start afresh."""
    checkpoints = finished_rows(config.checkpoints)
    rows = rows_and_seeds(config, checkpoints)
    for seed in range(config.seeds):
        for name, seeds in rows.items():
            folder, digest = config.out / name / f"seed-{seed}", getattr(checkpoints.get(name), "digest", None)
            if seed < seeds and (config.overwrite or not finished(folder, digest)):
                yield seed, name, folder


def run_comparison(config: CompareConfig) -> Path:
    """Everything but the tables; returns the folder.

    Raises:
        UserError: anything wrong with data, configuration or folder. What goes wrong inside one method is recorded
            in its folder (``failed.json``), tried again by the next call, and does not stop the others.
    """
    data = check_config(config)
    check_run_folder(config.out, config.overwrite, not config.overwrite, "methods")
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    # Read everything before an existing folder is emptied.
    findings = data.read()
    masks = data.masks is not None
    with locked(config.out):
        return run_in(config, data, {"masks": masks, **findings})


def run_in(config: CompareConfig, data: Photographs, findings: Mapping[str, object]) -> Path:
    """The part of :func:`run_comparison` that writes, under its lock."""
    out = open_run_folder(config.out, config.overwrite, not config.overwrite, "methods")
    check_same_run(out, config, free=FREE)
    split = data.split_record(0) | {"validation": []}
    check_same_data(out / "split.json", split, ("train", "known", "test"))
    todo = list(pending(config))
    write_json(out / "config.json", plain(config))
    run_record(out / "provenance.json")
    write_json(out / "split.json", split)
    layout = data.layout
    roles = {"train": len(layout.train), "known": len(layout.known), "test": len(layout.test)}
    write_json(out / "data.json", {"root": str(data.root), "images": roles, **findings})
    print(f"{data.root}: {roles}; {len(todo)} runs to do in {out}")
    for number, (seed, name, folder) in enumerate(todo, 1):
        print(f"[{number}/{len(todo)}] {name}, seed {seed}", flush=True)
        try:
            sources = data.sources(seed if name in config.methods else SPLIT_SEED)
            run_one(name, config, seed, folder, sources, data)
        except Exception as error:  # one failing method does not lose the others
            reason = one_line(f"{type(error).__name__}: {error}")[:300]
            left_out = isinstance(error, NotInstalled)
            folder.mkdir(parents=True, exist_ok=True)
            trace = traceback.format_exc()
            write_json(folder / FAILED, {"method": name, "seed": seed, "left_out": left_out, "reason": reason})
            write_text(folder / "traceback.txt", trace)
            print(f"{'left out' if left_out else 'FAILED'}: {name}, seed {seed}: {reason}", flush=True)
    check_still_there(out)
    return out
