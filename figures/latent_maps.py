"""Latent maps of the shipped checkpoints on the drawn wells; maps and figures are those of ``mnad.latent``."""

from collections.abc import Callable
from pathlib import Path

from figures.entry import Caption, Drawn, Inputs, NotStoredError, percent
from mnad.detector import Detector
from mnad.latent.config import CHECKPOINT, COMPARE, LatentConfig
from mnad.run import UserError
from mnad.run.files import read_json, write_json


def usage(record: dict) -> str:
    """How the memory of one model is used."""
    memory = record["memory"]
    counts = memory["counts"]
    share = max(counts) / max(sum(counts), 1)
    return (
        f"{memory['perplexity']:.1f} effective items of {memory['items']}, {memory['dead_items']} never nearest; the "
        f"busiest takes {percent(share)} of the queries"
    )


def two_digits(value: float) -> str:
    """``-0.001`` -> ``0.00``, without a sign on nothing."""
    return f"{round(value, 2) + 0.0:.2f}"


def images_conclusion(record: dict) -> str:
    """Of the pooled queries."""
    numbers = record["levels"]["images"]
    return (
        f"Among the ten nearest images of a spill, {percent(numbers['anomaly_purity'])} are spills, against "
        f"{percent(numbers['anomaly_share'])} of all points; the silhouette of normal against spill is "
        f"{numbers['silhouette']['label']:.2f} (1 apart, 0 mixed). HDBSCAN finds {len(numbers['hdbscan']['clusters'])} "
        f"clusters and leaves {percent(numbers['hdbscan']['noise_share'])} out. Memory: {usage(record)}."
    )


def positions_conclusion(record: dict) -> str:
    """Of the single queries."""
    numbers = record["levels"]["positions"]
    by_item, by_label = numbers["silhouette"]["item"], numbers["silhouette"]["label"]
    text = (
        f"Silhouette of single queries by nearest item: {by_item:.2f}; by normal against spill: "
        f"{two_digits(by_label)}. Of a spill query's ten neighbours {percent(numbers['anomaly_purity'])} are from "
        f"spills, {percent(numbers['anomaly_share'])} of all points."
    )
    if by_item > by_label:
        text += " Queries group by item, not by what is anomalous."
    if numbers["anomaly_purity"] > 2 * numbers["anomaly_share"]:
        text += " Close by, spills lie beside spills."
    return text


def items_conclusion(record: dict) -> str:
    """Of the attention maps."""
    return (
        f"{usage(record)[0].upper()}{usage(record)[1:]}. Cosine between items: "
        f"{record['memory']['item_similarity_mean']:.2f} on average, {record['memory']['item_similarity_max']:.2f} at "
        "most. The bottom line shows where spills are read otherwise than normals."
    )


def agreement(key: str, name: str) -> Callable[[dict], str]:
    """Conclusion of a table of kinds: adjusted mutual information with kind and label."""

    def conclude(record: dict) -> str:
        parts = [
            f"{level}: {two_digits(numbers[key]['label'])} with normal against spill, "
            f"{two_digits(numbers[key]['kind'])} with the kind"
            for level, numbers in record["levels"].items()
        ]
        scale = "adjusted mutual information; 1 the same, 0 chance"
        return f"Agreement of {name} with what the images show ({scale}): {'; '.join(parts)}."

    return conclude


# figure -> (title, what it shows, conclusion from the numbers of MNAD)
FIGURES: dict[str, tuple[str, str, Callable[[dict], str]]] = {
    "images": (
        "Latent map of images",
        "Queries pooled per image; lines: PCA, t-SNE, UMAP; columns: nearest item, train/normal/spill, anomaly score, "
        "kind. Stars: memory items (larger: used more); crosses: read vectors.",
        images_conclusion,
    ),
    "positions": (
        "Latent map of single queries",
        "Single queries; lines: PCA, t-SNE, UMAP; columns: nearest item, train/normal/spill, anomaly score, position "
        "in the image. Stars: memory items; crosses: read vectors.",
        positions_conclusion,
    ),
    "items": (
        "Where each memory item is read",
        "Attention of each item over the image, mean of normals, of spills, and their difference; above: the share of "
        "queries that an item is nearest to. Lighter is more.",
        items_conclusion,
    ),
    "kinds_items": (
        "Kinds of wells by nearest item",
        "Share of each kind's points by nearest memory item, in percent; images left, single queries right.",
        agreement("item_agreement", "items"),
    ),
    "kinds_clusters": (
        "Kinds of wells by cluster",
        "Share of each kind's points by HDBSCAN cluster, in percent; images left, single queries right.",
        agreement("cluster_agreement", "clusters"),
    ),
}


def compare_conclusion(models: dict[str, dict]) -> str:
    """MNAD and the plain autoencoder in numbers."""
    parts = []
    for name, record in models.items():
        numbers = record["levels"]["images"]
        parts.append(
            f"{name}: silhouette {numbers['silhouette']['label']:.2f}, {percent(numbers['anomaly_purity'])} spills "
            f"among a spill's ten neighbours"
        )
    purest = max(models, key=lambda name: models[name]["levels"]["images"]["anomaly_purity"])
    return "; ".join(parts) + f". Spills lie closest to other spills in {purest}."


def captions(record: dict) -> dict[str, Caption]:
    """Figure -> caption, from ``latent.json``."""
    sample = record["config"]
    name, first = next(iter(record["models"].items()))
    files = " and ".join(f"`checkpoints/{one['checkpoint']}`" for one in record["models"].values())
    source = (
        f"{files} on the drawn wells; samples of {sample['images']} images and {sample['queries']} queries, seed "
        f"{sample['seed']}. Training command: `README.md`; numbers: `latent.json`, both beside the figure. Same as "
        "`python scripts/visualize_latent.py`."
    )
    width = " Two columns wide (6.9 in)."
    found = {
        f"latent/{stem}": Caption(f"{title} ({name})", shows + width, source, conclude(first))
        for stem, (title, shows, conclude) in FIGURES.items()
    }
    if len(record["models"]) > 1:
        shows = "The same images seen by MNAD (upper line) and by an autoencoder without a memory (lower line)." + width
        found["latent/compare"] = Caption(
            "With and without a memory", shows, source, compare_conclusion(record["models"])
        )
    return found


def draw_latent(inputs: Inputs, folder: Path) -> Drawn:
    """All figures of ``scripts/visualize_latent.py`` and their numbers, without the interactive page."""
    for path in (CHECKPOINT, COMPARE) if inputs.checkpoint is None else ():
        if not path.is_file():
            raise NotStoredError(f"{path} is missing; expected the shipped checkpoint of the drawn wells")
    from mnad.latent.run import visualize_latent  # UMAP takes seconds to import

    if inputs.checkpoint is not None and Detector.load(inputs.checkpoint).model.memory is None:
        raise UserError(f"{inputs.checkpoint}: has no memory; expected an MNAD")
    out = folder / "latent"
    visualize_latent(LatentConfig(checkpoint=inputs.checkpoint, data=inputs.data, out=out, overwrite=True, page=False))
    record = read_json(out / "latent.json")
    del record["seconds"]  # the same figures give the same bytes
    write_json(out / "latent.json", record)
    return Drawn(captions(record), ["latent/latent.json"])
