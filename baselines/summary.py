"""From the folders of single runs to one row for each (method, score)."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from baselines.compare import FAILED, RESULT, read_run, rejudge, rows_and_seeds
from baselines.config import CompareConfig
from baselines.finished import finished_rows
from mnad.run.files import read_json
from mnad.scoring.bootstrap import auroc_resamples, interval, resampled_counts

# Columns of the judged scores, and what a run measures once for all its scores.
QUALITY = ("auroc", "average_precision", "tpr", "tnr", "tnr_validation", "oracle_balanced")
PIXELS = ("pixel_auroc", "aupro")
ROBUST = ("clean", "mean", "worst")  # smaller one of TPR and TNR: unchanged, over the changes, under the worst
COSTS = ("fit_seconds", "images_per_second", "parameters", "peak_mb")


@dataclass
class Runs:
    """Finished and failed runs of one method."""

    results: list[dict] = field(default_factory=list)
    arrays: list[dict[str, np.ndarray]] = field(default_factory=list)
    failures: list[dict] = field(default_factory=list)


def collect(out: Path, config: CompareConfig) -> dict[str, Runs]:
    """Row -> its runs, in the order of the configuration, judged by the thresholds of the configuration.

    Raises:
        UserError: a result that is broken, see :func:`baselines.compare.read_run`.
    """
    found = {}
    for name, seeds in rows_and_seeds(config, finished_rows(config.checkpoints)).items():
        found[name] = runs = Runs()
        for seed in range(seeds):
            folder = out / name / f"seed-{seed}"
            if (folder / RESULT).is_file():
                result, arrays = read_run(folder)
                runs.arrays.append(arrays)
                runs.results.append(result | {"scores": rejudge(config, arrays)})
            elif (folder / FAILED).is_file():
                runs.failures.append(read_json(folder / FAILED, "the reason of a failed run"))
    return found


def failure_note(runs: Runs) -> str:
    """What went wrong, in a few words; empty when nothing did."""
    if not runs.failures:
        return ""
    word = "left out" if all(failure["left_out"] for failure in runs.failures) else "failed"
    return f"{word} for {len(runs.failures)} of {len(runs.failures) + len(runs.results)} seeds: " + str(
        runs.failures[0]["reason"]
    )


def mean_and_deviation(name: str, values: list[float | None]) -> dict[str, float]:
    """Columns ``<name>_mean`` and ``<name>_sd`` (NaN for a single value or none)."""
    known = [value for value in values if value is not None]
    return {
        f"{name}_mean": float(np.mean(known)) if known else np.nan,
        f"{name}_sd": float(np.std(known, ddof=1)) if len(known) > 1 else np.nan,
    }


def row(name: str, score: str, runs: Runs) -> dict[str, object]:
    """Means and deviations over seeds of one method with one score."""
    judged = [result["scores"][score] for result in runs.results]
    columns: dict[str, object] = {"method": name, "score": score, "seeds": len(judged)}
    for key in QUALITY:
        columns |= mean_and_deviation(key, [metrics[key] for metrics in judged])
    for key in PIXELS:
        columns |= mean_and_deviation(key, [(result["pixels"] or {}).get(key) for result in runs.results])
    said = list(dict.fromkeys(f"seed {i}: {text}" for i, m in enumerate(judged) for text in m["doubts"]))
    columns["doubts"] = f"{said[0]}" + (f" (and {len(said) - 1} more)" if len(said) > 1 else "") if said else ""
    robust = [metrics["robustness"] or {} for metrics in judged]
    for key in ROBUST:
        columns |= mean_and_deviation(f"robust_{key}", [found.get(key) for found in robust])
    named = [found["worst_change"] for found in robust if found.get("worst_change")]
    columns["robust_worst_change"] = ", ".join(dict.fromkeys(named))
    for key in COSTS:
        columns |= mean_and_deviation(key, [result[key] for result in runs.results])
    rules = sorted({metrics["threshold_note"]["rule"] for metrics in judged})
    return columns | {"threshold_rule": ", ".join(rules), "note": failure_note(runs)}


def add_bootstrap(
    frame: pd.DataFrame, found: dict[str, Runs], primary: str, resamples: int, reference: str
) -> pd.DataFrame:
    """Add 95 % intervals of the AUROC and of its paired difference to the method ``reference`` with score ``primary``.

    Test images are drawn, the same ones for every method; each method's AUROC is the mean over its seeds.
    """
    labels = next((arrays["labels"] for runs in found.values() for arrays in runs.arrays), np.zeros(0))
    if len(np.unique(labels)) < 2:
        return frame
    counts = resampled_counts(labels, resamples)
    drawn = {
        (name, score): auroc_resamples([arrays[f"test/{score}"] for arrays in runs.arrays], labels, counts)
        for name, runs in found.items()
        if runs.results
        for score in runs.results[0]["scores"]
    }
    base = reference, primary
    means = frame.set_index(["method", "score"])["auroc_mean"]
    for index, line in frame.iterrows():
        key = line["method"], line["score"]
        if key not in drawn:
            continue
        frame.loc[index, ["auroc_low", "auroc_high"]] = interval(drawn[key])
        if base in drawn and key != base:
            frame.loc[index, "delta"] = means[key] - means[base]
            frame.loc[index, ["delta_low", "delta_high"]] = interval(drawn[key] - drawn[base])
    return frame


def summarise(found: dict[str, Runs], config: CompareConfig) -> pd.DataFrame:
    """One row for each (method, score); a method without any result has one row with its note."""
    rows = []
    for name, runs in found.items():
        if runs.results:
            rows += [row(name, score, runs) for score in runs.results[0]["scores"]]
        else:
            rows.append({"method": name, "score": "", "seeds": 0, "note": failure_note(runs) or "not run"})
    empty = {key: np.nan for key in ("auroc_low", "auroc_high", "delta", "delta_low", "delta_high")}
    return add_bootstrap(pd.DataFrame(rows).assign(**empty), found, config.primary, config.resamples, config.model.name)
