"""Train the rows, intervene, count bits; one folder for each row and seed, tables from what is in them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from mnad.config import DetectorConfig, Rule
from mnad.data.dataset import Photographs, open_dataset
from mnad.data.source import Source
from mnad.detector import Detector
from mnad.evaluation.judge import evaluate_photographs
from mnad.evaluation.result import judge_scores
from mnad.model.build import build_model
from mnad.model.ellipse import Ellipse
from mnad.run import UserError
from mnad.run.files import atomic_path, read_json, read_table, write_json
from mnad.run.folders import open_run_folder
from mnad.run.provenance import run_record
from mnad.run.settings import check_same_run, plain
from mnad.scoring.threshold import choose_threshold
from mnad.study.config import ROWS, Row, StudyConfig
from mnad.study.dirty import cleanest, dirtied
from mnad.study.interventions import LEARNT, MEAN, RANDOM, SHUFFLED, read_items, usage, with_altered_items
from mnad.training.finish import exact_statistics, queries_of
from mnad.training.loop import finish, train

RESULT, SCORES = "result.json", "scores.npz"
FREE = ("out", "overwrite", "resume", "rows", "seeds", "dirty_seeds", "threshold", "faithful", "stored", "members")
FAITHFUL = "faithful"
COLUMNS = ("row", "seed", "items", "auroc", "tpr", "tnr", "missed", "false_alarms")  # of seeds.csv


def train_row(row: Row, config: StudyConfig, seed: int, sources: Mapping[str, Source], folder: Path) -> Detector:
    """Train one network of ``row``, fit the statistics of its terms, calibrate; the state goes to ``folder``."""
    config = row.config(config)  # type: ignore[assignment]
    torch.manual_seed(seed)
    model = build_model(config.model, config.images.size)
    stages = config.optim.finish
    first = replace(config.optim, finish=[] if row.clean else stages)
    train(model, sources["train"], sources["validation"], first, seed, folder, resume=True)
    kept = sources["train"]
    if row.clean:
        exact_statistics(model, kept)  # type: ignore[arg-type]
        kept = kept.subset(cleanest(queries_of(model, kept), row.clean).numpy())  # type: ignore[arg-type, attr-defined]
        rest = [stage for stage in stages if stage != "statistics"]
        finish(model, kept, sources["validation"], replace(config.optim, finish=rest), seed)  # type: ignore[arg-type]
    detector = Detector(config.detector(), model)
    detector.fit(kept)
    detector.calibrate(sources["validation"], sources.get("known"))
    return detector


def study_memory(
    detector: Detector, sources: Mapping[str, Source], data: Photographs
) -> tuple[dict[str, dict], dict[str, float]]:
    """Metrics of the primary score with every kind of altered items, and the usage of the learnt ones in bits."""
    model, primary = detector.model, detector.primary
    grid = tuple(side // model.stride for side in detector.config.images.size)
    normal = read_items(model, sources["validation"])
    count = len(model.memory.items)
    counts = torch.bincount(torch.from_numpy(normal.ravel()), minlength=count)
    found = {}
    for how in (MEAN, RANDOM, SHUFFLED):
        altered = with_altered_items(detector, how, counts, sources)
        found[how] = evaluate_photographs(altered, data).scores[primary]
    inside = Ellipse().mask(*grid).flatten()
    bits = usage(normal, read_items(model, sources["known"]), model.memory.groups, count, inside)
    return found, bits


def judge_row(detector: Detector, sources: Mapping[str, Source], data: Photographs, folder: Path, deep: bool) -> None:
    """Judge a trained ``detector`` on the test into ``folder``; ``deep``: with interventions and bits."""
    primary = detector.primary
    test = evaluate_photographs(detector, data)
    arrays = {"labels": data.labels, "test": test.table[f"score_{primary}"].to_numpy()}
    arrays |= {role: detector.score(sources[role]) for role in ("validation", "known")}
    with atomic_path(folder / SCORES) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    result = {"scores": {LEARNT if name == primary else name: found for name, found in test.scores.items()}}
    if deep:
        altered, result["bits"] = study_memory(detector, sources, data)  # type: ignore[assignment]
        result["scores"] |= altered
    write_json(folder / RESULT, result)  # written last: a folder with this file is finished


def faithful_config(config: StudyConfig, checkpoint: Detector) -> DetectorConfig:
    """The network of ``checkpoint`` with the scores of the study and the paper's own."""
    own = {name: score for name, score in checkpoint.config.scores.items() if name == "mnad"}
    return checkpoint.config.detector(scores=config.scores | own, primary=config.primary, threshold=config.threshold)


def stored_seeds(config: StudyConfig) -> pd.DataFrame:
    """The table ``config.stored``, in the columns of ``seeds.csv``; empty if there is none.

    Raises:
        UserError: it cannot be read, has a row that the study does not know, or a number twice.
    """
    if config.stored is None:
        return pd.DataFrame(columns=list(COLUMNS))
    found = read_table(config.stored, set(COLUMNS), text=("row", "items"))[list(COLUMNS)]
    unknown = sorted(set(found["row"]) - {FAITHFUL, *ROWS})
    if unknown:
        raise UserError(f"{config.stored}: row {unknown[0]!r}; expected some of {FAITHFUL}, {', '.join(ROWS)}")
    twice = found[found.duplicated(["row", "seed", "items"])]
    if len(twice):
        name, seed, items = twice.iloc[0][["row", "seed", "items"]]
        raise UserError(f"{config.stored}: {name}, seed {seed}, {items} twice; expected it once")
    return found


def stored_runs(config: StudyConfig) -> set[tuple[str, int]]:
    """(row, seed) of :func:`stored_seeds`."""
    found = stored_seeds(config)
    return set(zip(found["row"], found["seed"], strict=True))


def pending(config: StudyConfig) -> list[tuple[int, str, Path]]:
    """(seed, row, folder) without a result here or in ``config.stored``: all rows of a seed before the next seed."""
    done, todo = stored_runs(config), []
    for seed in range(max(config.seeds, config.dirty_seeds)):
        for name in config.rows:
            folder = config.out / name / f"seed{seed}"
            limit = config.dirty_seeds if ROWS[name].dirty else config.seeds
            if seed < limit and (name, seed) not in done and not (folder / RESULT).is_file():
                todo.append((seed, name, folder))
    return todo


def run_study(config: StudyConfig) -> Path:
    """Train and judge what is not yet done below ``config.out``; returns that folder.

    Every row has the validation split of ``config.seed``, so that the scores of seeds can be averaged.

    Raises:
        UserError: no photographs, no known anomalies, a folder of another study, or see :func:`stored_seeds`.
    """
    todo, stored = pending(config), stored_runs(config)
    if config.optim.threads:
        torch.set_num_threads(config.optim.threads)
    data = open_dataset(config, config.images, config.model.variant)
    sources = data.sources(config.seed)
    if not isinstance(data, Photographs) or "known" not in sources:
        raise UserError(f"{data.root}: no known anomalies; expected photographs with some, to dirty the training data")
    folder = open_run_folder(config.out, overwrite=False, resume=True, mark="rows")
    check_same_run(folder, config, FREE)
    write_json(folder / "config.json", plain(config))
    run_record(folder / "provenance.json")
    place = folder / FAITHFUL / "seed0"
    if config.faithful is not None and (FAITHFUL, 0) not in stored and not (place / RESULT).is_file():
        place.mkdir(parents=True, exist_ok=True)
        loaded = Detector.load(config.faithful)
        if loaded.correction is not None:
            raise UserError(f"faithful: {config.faithful} corrects its images; expected a checkpoint without that")
        detector = Detector(faithful_config(config, loaded), loaded.model)
        detector.fit(sources["train"])
        detector.calibrate(sources["validation"], sources["known"])
        judge_row(detector, sources, data, place, deep=True)
    for number, (seed, name, place) in enumerate(todo, 1):
        print(f"[{number}/{len(todo)}] {ROWS[name].label}, seed {seed}", flush=True)
        place.mkdir(parents=True, exist_ok=True)
        own = dirtied(sources, ROWS[name].dirty, seed) if ROWS[name].dirty else sources
        detector = train_row(ROWS[name], config, seed, own, place)
        deep = not ROWS[name].dirty and not ROWS[name].idle
        judge_row(detector, own, data, place, deep)
    return folder


def read_results(folder: Path) -> dict[str, dict[int, dict]]:
    """Row -> seed -> what :func:`judge_row` wrote, of every finished run below ``folder``."""
    found: dict[str, dict[int, dict]] = {}
    for name in (FAITHFUL, *ROWS):
        paths = sorted(folder.glob(f"{name}/seed*/{RESULT}"), key=lambda path: int(path.parent.name[4:]))
        if paths:
            found[name] = {int(path.parent.name[4:]): read_json(path) for path in paths}
    return found


def rejudged(config: StudyConfig, folder: Path, name: str, rule: Rule) -> list[dict[str, object]]:
    """Metrics of each seed of a row with the threshold of another ``rule``, from the stored scores."""
    options, found = replace(config.rule(config.primary), rule=rule), []
    for path in sorted(folder.glob(f"{name}/seed*/{SCORES}")):
        with np.load(path) as stored:
            threshold = choose_threshold(options, stored["validation"], stored["known"])
            found.append(judge_scores({name: stored["test"]}, stored["labels"], {name: threshold})[name])
    return found


def ensemble(config: StudyConfig, folder: Path, name: str) -> dict[str, object] | None:
    """Metrics of the mean score of all seeds of a row with clean data; None for fewer than two."""
    paths = sorted(folder.glob(f"{name}/seed*/{SCORES}"))
    if len(paths) < 2 or name not in ROWS or ROWS[name].dirty:
        return None
    arrays = [dict(np.load(path)) for path in paths]
    mean = {role: np.mean([array[role] for array in arrays], axis=0) for role in ("test", "validation", "known")}
    threshold = choose_threshold(config.rule(config.primary), mean["validation"], mean["known"])
    return judge_scores({name: mean["test"]}, arrays[0]["labels"], {name: threshold})[name]
