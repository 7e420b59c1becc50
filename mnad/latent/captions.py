"""Captions of the latent maps, from the numbers of ``latent.json``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mnad.latent.bank import MEASURES, TRAIN
from mnad.latent.clusters import reading
from mnad.report.caption import Caption, caption_path
from mnad.run.files import write_text
from mnad.run.provenance import provenance

MARK = "<!-- drawn by scripts/visualize_latent.py -->"
LISTED = 12  # clusters of which a caption tells

# figure -> (title, what it shows)
FIGURES: dict[str, tuple[str, str]] = {
    "images": (
        "Latent map of images",
        "Queries pooled per image; lines: PCA, t-SNE, UMAP; columns: {first}train/normal/{anomaly}, anomaly score, "
        "HDBSCAN cluster with its share of {anomaly} images, {kind}.{memory}",
    ),
    "positions": (
        "Latent map of single queries",
        "Single queries; lines: PCA, t-SNE, UMAP; columns: {first}train/normal/{anomaly}, anomaly score, HDBSCAN "
        "cluster with its share of queries of {anomaly} images, position in the image.{memory}",
    ),
    "items": (
        "Where each memory item is read",
        "Attention of each item over the image, mean of normals, of images labelled {anomaly}, and their difference; "
        "above: the share of queries that an item is nearest to. Lighter is more.",
    ),
    "kinds_items": (
        "Nearest item by {kind}",
        "Share of each {kind}'s points by nearest memory item, in percent; images left, single queries right.",
    ),
    "kinds_clusters": (
        "Cluster by {kind}",
        "Share of each {kind}'s points by HDBSCAN cluster, in percent; images left, single queries right.",
    ),
    "bank": (
        "Where queries leave the bank",
        "For each {kind} and each position the share of the queries that lie farther from their nearest item than 99 % "
        "of the {measure} queries at that position; the mean over positions in the title.",
    ),
}
COMPARE = "The same images seen by each of the models, a line for each, coloured by train/normal/{anomaly}."


def clusters_told(level: Mapping[str, Any], anomaly: str) -> str:
    """The clusters of one level in words: ``cluster 3: 91 % spills (of 44)``, the largest first."""
    found = level["hdbscan"]["clusters"]
    told = [f"{reading(c['cluster'], c['anomaly_share'], anomaly)} (of {c['size']})" for c in found[:LISTED]]
    more = [f"and {len(found) - LISTED} smaller ones"] if len(found) > LISTED else []
    alone = f"in no cluster: {level['hdbscan']['noise_share']:.0%} of the points".replace("%", " %")
    return "; ".join([*told, *more, alone]) + "."


def captions(record: Mapping[str, Any], anomaly: str, source: str, read: bool = True) -> dict[str, Caption]:
    """Figure -> caption.

    Args:
        record: what ``latent.json`` holds.
        anomaly: what an anomaly is called.
        source: where the figures come from.
        read: add what the numbers say about the clusters.
    """
    name, model = next(iter(record["models"].items()))
    has_memory = model["memory"] is not None
    words = {
        "anomaly": anomaly,
        "kind": record["reported_against"],
        "measure": MEASURES[model.get("bank", {}).get("measure", TRAIN)],
        "first": "nearest item, " if has_memory else "",
        "memory": " Stars: memory items (larger: used more); crosses: read vectors." if has_memory else "",
    }
    width = " Two columns wide (6.9 in)."
    found = {}
    for stem, (title, shows) in FIGURES.items():
        if (not has_memory and stem in ("items", "kinds_items")) or (stem == "bank" and "bank" not in model):
            continue
        levels = [stem] if stem in model["levels"] else list(model["levels"]) if stem == "kinds_clusters" else []
        told = [f"Of the {level}: {clusters_told(model['levels'][level], anomaly)}" for level in levels if read]
        title, shows = title.format(**words), shows.format(**words) + width
        found[stem] = Caption(f"{title} ({name})", shows, source, reading=" ".join(told))
    if len(record["models"]) > 1:
        found["compare"] = Caption(
            " and ".join(record["models"]) + ", from the same images", COMPARE.format(**words) + width, source
        )
    return found


def write_captions(
    out: Path, record: Mapping[str, Any], anomaly: str, checkpoints: Sequence[Path], root: Path
) -> list[Path]:
    """``NAME.caption.md`` beside each figure in ``out``; prints what the clusters of images are."""
    made = provenance()
    date = str(made["date"])[:10]
    sample = record["config"]
    source = (
        f"{' and '.join(f'`{path}`' for path in checkpoints)} on `{root}`; samples of at most {sample['images']} "
        f"images and {sample['queries']} queries, seed {sample['seed']}. `{made['command']}`, {date}, "
        f"revision {made['git_revision']}. Numbers: `latent.json`, beside the figure."
    )
    written = []
    for stem, caption in captions(record, anomaly, source).items():
        written.append(caption_path(out, stem))
        write_text(written[-1], caption.markdown(MARK))
    print(f"images: {clusters_told(next(iter(record['models'].values()))['levels']['images'], anomaly)}")
    return written
