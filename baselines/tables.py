"""The comparison as CSV, Markdown and LaTeX (booktabs), with the notes that a reader needs to trust it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from baselines.compare import FREE, check_config, run_comparison
from baselines.config import CompareConfig
from baselines.features import MAX_IMAGES
from baselines.figures import plot_comparison
from baselines.finished import SPLIT_SEED, finished_rows
from baselines.summary import COSTS, PIXELS, collect, summarise
from mnad.data.checks import finding_lines
from mnad.data.images import split
from mnad.data.mvtec import categories
from mnad.data.sizes import follow_data
from mnad.run import UserError
from mnad.run.files import read_json, write_csv, write_json, write_text
from mnad.run.folders import open_run_folder
from mnad.run.settings import check_same_run, plain

# (column of the summary, heading, decimals)
QUALITY_COLUMNS = (
    ("auroc", "AUROC", 4),
    ("average_precision", "AP", 3),
    ("tpr", "TPR", 3),
    ("tnr", "TNR", 3),
    ("tnr_validation", "TNR in validation", 3),
    ("oracle_balanced", "oracle*", 3),
    ("pixel_auroc", "pixel AUROC", 3),
    ("aupro", "AUPRO", 3),
)
ROBUST_COLUMNS = (
    ("robust_clean", "clean", 3),
    ("robust_mean", "mean over changes", 3),
    ("robust_worst", "worst change", 3),
)
COST_COLUMNS = (
    ("fit_seconds", "train s", 1),
    ("images_per_second", "images/s", 0),
    ("parameters", "numbers kept", 0),
    ("peak_mb", "peak MB", 0),
)


def number(mean: float, deviation: float, decimals: int) -> str:
    """``0.984 ± 0.002``; without the deviation of a single run; ``-`` for nothing."""
    if np.isnan(mean):
        return "-"
    return f"{mean:,.{decimals}f}" + ("" if np.isnan(deviation) else f" ± {deviation:,.{decimals}f}")


def cells(line: pd.Series, pixels: bool) -> dict[str, str]:
    """Heading -> text of one row."""
    texts = {"method": line["method"], "score": line["score"] or "-", "seeds": f"{line['seeds']:.0f}"}
    if line["seeds"] == 0:
        return texts
    for key, heading, decimals in QUALITY_COLUMNS:
        if pixels or key not in PIXELS:
            texts[heading] = number(line[f"{key}_mean"], line[f"{key}_sd"], decimals)
    if not np.isnan(line.get("robust_worst_mean", np.nan)):
        for key, heading, decimals in ROBUST_COLUMNS:
            texts[heading] = number(line[f"{key}_mean"], line[f"{key}_sd"], decimals)
        if isinstance(line.get("robust_worst_change"), str):
            texts["worst change"] += f" ({line['robust_worst_change']})"
    if not np.isnan(line["delta"]):
        texts["difference"] = f"{line['delta']:+.4f} [{line['delta_low']:+.4f}, {line['delta_high']:+.4f}]"
    for key, heading, decimals in COST_COLUMNS:
        # Deviations of costs would only repeat how busy the machine was.
        texts[heading] = number(line[f"{key}_mean"], np.nan, decimals)
    return texts


def display(frame: pd.DataFrame) -> pd.DataFrame:
    """The summary as text, ``-`` where there is nothing."""
    pixels = any(f"{key}_mean" in frame and frame[f"{key}_mean"].notna().any() for key in PIXELS)
    table = pd.DataFrame([cells(line, pixels) for _, line in frame.iterrows()]).fillna("-")
    last = [heading for _, heading, _ in COST_COLUMNS if heading in table]
    return table[[column for column in table if column not in last] + last]


def notes(frame: pd.DataFrame, config: CompareConfig, data: dict) -> list[str]:
    """Notes below the table."""
    counts = data["images"]
    lines = [
        f"{data['root']}: {counts['train']} training normals ({config.images.validation_fraction:.0%} of them kept "
        f"back for validation, another part for each seed), {counts['known']} known anomalies, {counts['test']} test "
        f"images, all at {config.images.width} x {config.images.height} pixels.",
        f"Mean ± standard deviation over seeds (as many as the column says). Trained models: {config.optim.epochs} "
        f"epochs, width {config.model.width}.",
        "* oracle: the largest min(TPR, TNR) over all thresholds. It has seen the test labels: an upper bound, no "
        "result. TPR and TNR are those of each score's own threshold.",
        f"Difference: AUROC less that of {config.model.name} with score '{config.primary}', mean over seeds; 95 % "
        f"interval of {config.resamples} paired bootstrap resamples of the test images.",
    ]
    rule = config.threshold.rule
    if counts["known"] == 0 or rule == "normal_quantile":
        reason = "there are no known ones" if counts["known"] == 0 else f"rule {rule}"
        lines.append(
            f"THRESHOLD CHOSEN WITHOUT ANY ANOMALY ({reason}): the {config.threshold.normal_quantile:.2%} quantile of "
            "the validation normals."
        )
    else:
        lines.append(f"Threshold by the rule {rule} from validation normals and known anomalies, never from the test.")
    fitted = len(split(counts["train"], config.images.validation_fraction, 0)[0])  # the others are validation normals
    thinned = [name for name in ("padim", "patchcore", "patchcore_coarse") if name in config.methods]
    if fitted > MAX_IMAGES and thinned:
        lines.append(f"{', '.join(thinned)}: fitted on a random choice of {MAX_IMAGES:,} training images.")
    for name, one in finished_rows(config.checkpoints).items():
        what = "members of the ensemble, alone, one for each seed" if one.alone else "trained before"
        lines.append(f"{name}: {one.path.name}, {what}; scale and threshold anew, on the split of seed {SPLIT_SEED}.")
    if frame.get("robust_worst_mean", pd.Series(dtype=float)).notna().any():
        lines.append(
            "Clean, mean over changes, worst change: the smaller one of TPR and TNR on the unchanged test and under "
            "each change of scripts/robustness.py, mean over seeds (each seed's own worst, the changes in brackets)."
        )
    if data["masks"]:
        lines.append("Pixel AUROC and AUPRO (false positive rates up to 0.3) are taken at the image size above.")
    lines += [f"Warning: {line}." for line in finding_lines(data)]
    for _, line in frame.iterrows():
        if isinstance(line.get("doubts"), str) and line["doubts"]:
            lines.append(f"Doubt: {line['method']}, score '{line['score']}', {line['doubts']}.")
    methods = frame.drop_duplicates("method")
    return lines + [f"{line['method']}: {line['note']}" for _, line in methods.iterrows() if line["note"]]


def markdown(table: pd.DataFrame, lines: list[str]) -> str:
    """A Markdown table and its notes as a list."""
    rows = [list(table.columns), ["---"] * table.shape[1], *table.values.tolist()]
    text = "\n".join("| " + " | ".join(str(cell).replace("|", "/") for cell in line) + " |" for line in rows)
    return text.replace("oracle*", "oracle\\*") + "\n\n" + "\n".join(f"- {line.lstrip('* ')}" for line in lines) + "\n"


def escape(text: str) -> str:
    """Plain text for LaTeX."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"±": r"$\pm$", "*": r"$^*$", "<": r"$<$", ">": r"$>$"} | {char: f"\\{char}" for char in "_%&#${}"}
    return "".join(special.get(char, char) for char in text)


def latex(table: pd.DataFrame, lines: list[str]) -> str:
    """A booktabs table (needs ``\\usepackage{booktabs}``); the notes are comments above it."""
    escaped = table.map(escape).rename(columns=escape)
    comments = "\n".join(f"% {line}" for line in lines)
    columns = "ll" + "r" * (table.shape[1] - 2)
    return f"{comments}\n" + escaped.to_latex(index=False, escape=False, column_format=columns)


def write_tables(folder: Path, frame: pd.DataFrame, lines: list[str]) -> None:
    """``comparison.csv``, ``.md`` and ``.tex`` in ``folder``."""
    table = display(frame)
    write_csv(folder / "comparison.csv", frame)
    write_text(folder / "comparison.md", markdown(table, lines))
    write_text(folder / "comparison.tex", latex(table, lines))


def tabulate(config: CompareConfig) -> pd.DataFrame:
    """Write tables and figure of the finished runs in ``config.out``; returns the summary."""
    found = collect(config.out, config)
    frame = summarise(found, config)
    data = read_json(config.out / "data.json", "the counts of a comparison")
    lines = notes(frame, config, data)
    write_tables(config.out, frame, lines)
    if frame["seeds"].max() > 0:
        plot_comparison(config.out / "comparison.png", frame, found)
    print("\n" + display(frame).to_string(index=False) + "\n\n" + "\n".join(lines))
    print(f"\ntables and figure: {config.out}")
    return frame


def overview(folder: Path, frames: dict[str, pd.DataFrame], config: CompareConfig) -> None:
    """Mean and deviation over categories of each (method, score), as the same kinds of files."""
    pooled = pd.concat([frame.assign(category=name) for name, frame in frames.items()])
    rows = []
    for (method, score), group in pooled[pooled["seeds"] > 0].groupby(["method", "score"], sort=False):
        line: dict[str, object] = {"method": method, "score": score, "seeds": group["seeds"].min(), "delta": np.nan}
        robust = [key for key, _, _ in ROBUST_COLUMNS if f"{key}_mean" in group]
        for key in [key for key, _, _ in QUALITY_COLUMNS] + robust + list(COSTS):
            line[f"{key}_mean"], line[f"{key}_sd"] = group[f"{key}_mean"].mean(), group[f"{key}_mean"].std()
        rows.append(line | {"categories": len(group)})
    lines = [f"Mean ± standard deviation over {len(frames)} categories ({', '.join(frames)}) of {config.data}."]
    lines.append(f"Each category is trained by itself with {config.seeds} seeds; its folder has its table and notes.")
    if rows:
        write_tables(folder, pd.DataFrame(rows), lines)
        print("\n" + display(pd.DataFrame(rows)).to_string(index=False))


def compare_and_tabulate(config: CompareConfig) -> None:
    """Everything that ``scripts/compare_baselines.py`` does.

    Raises:
        UserError: see :func:`baselines.compare.run_comparison`; no method gave a result.
    """
    if config.layout_options.category == "all":
        names = categories(config.data) if config.data is not None else []
        if not names:
            raise UserError(f"layout_options.category: 'all' of {config.data}; expected a folder of categories")
        options = config.layout_options
        parts = [
            follow_data(replace(config, layout_options=replace(options, category=n), out=config.out / n)) for n in names
        ]
        check_config(parts[0])
        config.methods = parts[0].methods
        open_run_folder(config.out, overwrite=False, resume=True, mark="methods")  # each category empties its own
        if not config.overwrite:
            check_same_run(config.out, config, free=FREE)
        write_json(config.out / "config.json", plain(config))
        frames = {}
        for name, part in zip(names, parts, strict=True):
            run_comparison(part)
            frames[name] = tabulate(part)
        overview(config.out, frames, config)
        results = pd.concat(frames.values())
    else:
        config = follow_data(config)
        run_comparison(config)
        results = tabulate(config)
    if results["seeds"].max() == 0:
        raise UserError(f"{config.out}: no method gave a result; see failed.json in its folders")
