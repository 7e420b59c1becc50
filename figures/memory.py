"""Tables and figures of ``scripts/study_memory.py``: what the memory is worth."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from mnad.report.plotting import FORMATS, PALETTE, TWO_COLUMNS, save_figure, style
from mnad.run.files import read_json, write_csv, write_json, write_text
from mnad.run.provenance import neutral_record
from mnad.scoring.bootstrap import auroc_resamples, interval, resampled_counts
from mnad.study.config import ROWS, StudyConfig
from mnad.study.interventions import LEARNT, MEAN, RANDOM, SHUFFLED
from mnad.study.run import COLUMNS, FAITHFUL, SCORES, ensemble, read_results, rejudged, stored_seeds

OTHER_RULE = "TPR / TNR by `normal_quantile`"
KEYS = ("auroc", "tpr", "tnr")
LABELS = {FAITHFUL: "official memory, wells_absolute.safetensors"} | {name: row.label for name, row in ROWS.items()}


def seeds_table(results: Mapping[str, Mapping[int, Mapping]]) -> pd.DataFrame:
    """One row for each row, seed and kind of items: ``row, seed, items, auroc, tpr, tnr, missed, false_alarms``."""
    found = []
    for name, seeds in results.items():
        for seed, result in seeds.items():
            for items, metrics in result["scores"].items():
                counts = metrics["confusion"]
                row = {"row": name, "seed": seed, "items": items, **{key: metrics[key] for key in KEYS}}
                found.append(row | {"missed": counts["fn"], "false_alarms": counts["fp"]})
    return pd.DataFrame(found, columns=list(COLUMNS))


def with_stored(seeds: pd.DataFrame, stored: pd.DataFrame) -> pd.DataFrame:
    """``seeds`` and those runs of ``stored`` that are not among them, by row (in the order of the study) and seed."""
    runs = set(zip(seeds["row"], seeds["seed"], strict=True))
    old = [run not in runs for run in zip(stored["row"], stored["seed"], strict=True)]
    both = pd.concat([part for part in (seeds, stored[old]) if len(part)], ignore_index=True)
    order = {name: number for number, name in enumerate(LABELS)}
    return both.sort_values(
        ["row", "seed"], key=lambda column: column.map(order) if column.name == "row" else column, kind="stable"
    ).reset_index(drop=True)


def of_seeds(found: int, seeds: int) -> str:
    """Says of how many seeds a cell is, where not of all."""
    return "" if found == seeds else f" ({found} of {seeds} seeds)"


def spread(values: pd.Series, digits: int = 3) -> str:
    """``0.984 ± 0.006``; one seed: the value alone."""
    deviation = f" ± {values.std():.{digits}f}" if len(values) > 1 else ""
    return f"{values.mean():.{digits}f}{deviation}"


def markdown(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n"


def training_table(seeds: pd.DataFrame, config: StudyConfig, folder: Path) -> str:
    """Rows as trained: mean and deviation over seeds, the worst seed, the mean score of all seeds.

    Args:
        seeds: of all runs, also of an earlier study; the last two columns are of the runs in ``folder``.
    """
    rows = []
    for name, part in seeds[seeds["items"] == LEARNT].groupby("row", sort=False):
        together = ensemble(config, folder, name)
        cells = [LABELS[name], str(len(part)), spread(part["auroc"], 4), spread(part["tpr"]), spread(part["tnr"])]
        cells.append(f"{part['tpr'].min():.3f} / {part['tnr'].min():.3f}")
        other = pd.DataFrame(rejudged(config, folder, name, "normal_quantile"))
        some = of_seeds(len(other), len(part))
        cells.append(f"{spread(other['tpr'])} / {spread(other['tnr'])}{some}" if len(other) else "-")
        cells.append(f"{together['tpr']:.3f} / {together['tnr']:.3f}{some}" if together else "-")
        rows.append(cells)
    return markdown(
        ["trained", "seeds", "AUROC", "TPR", "TNR", "worst TPR / TNR", OTHER_RULE, "mean of the seeds' scores"], rows
    )


def intervention_table(seeds: pd.DataFrame) -> str:
    """Items learnt, random, mean, shuffled; threshold and scale chosen anew for each."""
    rows = []
    for (name, items), part in seeds.groupby(["row", "items"], sort=False):
        if items in (LEARNT, RANDOM, MEAN, SHUFFLED) and (seeds[seeds["row"] == name]["items"] == MEAN).any():
            cells = [LABELS[name], items, str(len(part)), spread(part["auroc"], 4), spread(part["tpr"])]
            rows.append([*cells, spread(part["tnr"])])
    return markdown(["trained", "items", "seeds", "AUROC", "TPR", "TNR"], rows)


def bits_table(results: Mapping[str, Mapping[int, Mapping]]) -> str:
    """Usage in bits, mean over the seeds that were run here."""
    rows = []
    for name, seeds in results.items():
        found = pd.DataFrame([result["bits"] for result in seeds.values() if "bits" in result])
        if len(found):
            mean = found.mean()
            cells = [f"{mean[key]:.2f}" for key in ("item", "position", "used")]
            rows.append([LABELS[name], str(len(found)), *cells, f"{mean['kind']:.3f} ({mean['kind_chance']:.3f})"])
    header = ["trained", "seeds", "item", "item and position", "items used at a position", "item and kind (by chance)"]
    return markdown(header, rows)


def difference(seeds: pd.DataFrame, one: str, other: str, key: str) -> tuple[float, float, float, int] | None:
    """Mean over the common seeds of ``one`` less ``other``, its 95 % t interval, their number; None below two."""
    learnt = seeds[seeds["items"] == LEARNT].pivot_table(index="seed", columns="row", values=key)
    if one not in learnt or other not in learnt:
        return None
    values = (learnt[one] - learnt[other]).dropna().to_numpy()
    if len(values) < 2:
        return None
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0]), float(values[0]), len(values)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return float(values.mean()), float(low), float(high), len(values)


def differences_table(seeds: pd.DataFrame) -> str:
    """The bank at each position less every control, paired by seed."""
    pairs = [("position", other) for other in ("idle", "idle4", "shared", "one")]
    pairs += [(name, f"{name}_idle") for name in ("dirty10", "dirty5", "dirty10_raw")]
    rows = []
    for one, other in pairs:
        for key in KEYS:
            found = difference(seeds, one, other, key)
            if found:
                mean, low, high, count = found
                name = f"{LABELS[one]} less {LABELS[other]}"
                between = f"[{low:+.4f}, {high:+.4f}]" if high > low else "(every seed)"
                rows.append([name, key.upper(), str(count), f"{mean:+.4f} {between}"])
    return markdown(["difference, paired by seed", "of", "seeds", "mean [95 % t interval over seeds]"], rows)


def bootstrap_table(folder: Path, resamples: int = 2000) -> str:
    """AUROC of the bank at each position less that of every other row with clean data, mean over the seeds of each,
    with the 95 % interval over resamples of the test images that both share."""
    runs, labels = {}, None  # type: ignore[var-annotated]
    for name in (FAITHFUL, *(row for row in ROWS if not ROWS[row].dirty)):
        for path in sorted(folder.glob(f"{name}/seed*/{SCORES}")):
            with np.load(path) as stored:
                runs.setdefault(name, []).append(stored["test"])
                labels = stored["labels"]
    if "position" not in runs:
        return ""
    counts = resampled_counts(labels, resamples)
    whole = np.ones((1, len(labels)), dtype=np.float32)
    resampled = {name: auroc_resamples(scores, labels, counts) for name, scores in runs.items()}
    found = {name: float(auroc_resamples(scores, labels, whole)[0]) for name, scores in runs.items()}
    rows = []
    for name in runs:
        if name != "position":
            low, high = interval(resampled["position"] - resampled[name])
            number = f"{found['position'] - found[name]:+.4f} [{low:+.4f}, {high:+.4f}]"
            seeds = f"{len(runs['position'])}, {len(runs[name])}"
            rows.append([f"{LABELS['position']} less {LABELS[name]}", seeds, number])
    return markdown(["AUROC", "seeds", "difference [95 % over test images]"], rows)


def plot_rows(path: Path, seeds: pd.DataFrame) -> list[Path]:
    """Error rates of every seed (dot) of every row as trained, their mean (bar), 5 % (dotted)."""
    learnt = seeds[seeds["items"] == LEARNT]
    names = list(dict.fromkeys(learnt["row"]))
    with style():
        figure, panels = plt.subplots(1, 2, figsize=(TWO_COLUMNS, 0.8 + 0.22 * len(names)), sharey=True)
        titles = (("tpr", "missed spills, 1 - TPR", PALETTE[5]), ("tnr", "false alarms, 1 - TNR", PALETTE[0]))
        for axes, (key, label, colour) in zip(panels, titles, strict=True):
            for place, name in enumerate(names):
                values = 1 - learnt[learnt["row"] == name][key]
                axes.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.6)
                axes.plot(values.mean(), place, "|", color="#000000", markersize=11)
            axes.axvline(0.05, color=PALETTE[-1], linestyle=":")
            axes.set(xlabel=label, yticks=range(len(names)))
            axes.set_yticklabels([LABELS[name] for name in names])
            axes.set_xlim(left=-0.005)
            axes.grid(axis="y", alpha=0.3)
        panels[0].invert_yaxis()
        figure.tight_layout()
        return save_figure(figure, path, FORMATS)


def plot_interventions(path: Path, seeds: pd.DataFrame) -> list[Path]:
    """AUROC with learnt, shuffled, random and mean items, one line for each seed; nothing without any."""
    names = [name for name, part in seeds.groupby("row", sort=False) if (part["items"] == MEAN).any()]
    if not names:
        return []
    kinds = (LEARNT, SHUFFLED, RANDOM, MEAN)
    with style():
        figure, axes = plt.subplots(figsize=(TWO_COLUMNS * 0.6, 2.6))
        for number, name in enumerate(names):
            table = seeds[seeds["row"] == name].pivot_table(index="seed", columns="items", values="auroc")
            for place, (_, values) in enumerate(table.iterrows()):
                label = LABELS[name] if place == 0 else None
                marker = "os^D"[number % 4]
                axes.plot(kinds, values[list(kinds)], f"-{marker}", color=PALETTE[number], markersize=4, label=label)
        axes.set(ylabel="AUROC", xlabel="what the memory answers (weights and addresses as learnt)")
        axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return save_figure(figure, path, FORMATS)


def write_tables(config: StudyConfig, folder: Path) -> None:
    """``study.md``, ``seeds.csv``, ``run.json`` (the commands) and the figures in the study's ``folder``, from its
    finished runs and the stored ones."""
    results = read_results(folder)
    seeds = with_stored(seeds_table(results), stored_seeds(config))
    write_csv(folder / "seeds.csv", seeds)
    write_json(folder / "run.json", neutral_record(read_json(folder / "provenance.json")))
    parts = (
        ("As trained", training_table(seeds, config, folder)),
        ("Interventions", intervention_table(seeds)),
        ("Usage in bits", bits_table(results)),
        ("Differences over seeds", differences_table(seeds)),
        ("Differences over test images", bootstrap_table(folder)),
    )
    text = "\n".join(f"## {title}\n\n{table}" for title, table in parts)
    write_text(folder / "study.md", text)
    plot_rows(folder / "rows.png", seeds)
    plot_interventions(folder / "interventions.png", seeds)
    print(text)
