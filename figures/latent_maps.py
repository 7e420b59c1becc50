"""Latent maps of the shipped checkpoints on the drawn wells; maps and figures are those of ``mnad.latent``."""

from pathlib import Path

from figures.entry import Caption, Drawn, Inputs, NotStoredError
from mnad.detector import Detector
from mnad.latent.config import CHECKPOINT, COMPARE, LatentConfig
from mnad.run import UserError
from mnad.run.files import read_json, write_json

# figure -> (title, what it shows)
FIGURES: dict[str, tuple[str, str]] = {
    "images": (
        "Latent map of images",
        "Queries pooled per image; lines: PCA, t-SNE, UMAP; columns: nearest item, train/normal/spill, anomaly score, "
        "kind. Stars: memory items (larger: used more); crosses: read vectors.",
    ),
    "positions": (
        "Latent map of single queries",
        "Single queries; lines: PCA, t-SNE, UMAP; columns: nearest item, train/normal/spill, anomaly score, position "
        "in the image. Stars: memory items; crosses: read vectors.",
    ),
    "items": (
        "Where each memory item is read",
        "Attention of each item over the image, mean of normals, of spills, and their difference; above: the share of "
        "queries that an item is nearest to. Lighter is more.",
    ),
    "kinds_items": (
        "Kinds of wells by nearest item",
        "Share of each kind's points by nearest memory item, in percent; images left, single queries right.",
    ),
    "kinds_clusters": (
        "Kinds of wells by cluster",
        "Share of each kind's points by HDBSCAN cluster, in percent; images left, single queries right.",
    ),
}


def captions(record: dict, inputs: Inputs) -> dict[str, Caption]:
    """Figure -> caption, from ``latent.json``."""
    sample = record["config"]
    name = next(iter(record["models"]))
    files = " and ".join(f"`checkpoints/{one['checkpoint']}`" for one in record["models"].values())
    source = (
        f"{files} on the drawn wells; samples of {sample['images']} images and {sample['queries']} queries, seed "
        f"{sample['seed']}. Training command: `README.md`; numbers: `latent.json`, both beside the figure. Same as "
        "`python scripts/visualize_latent.py`."
    )
    width = " Two columns wide (6.9 in)."
    found = {
        f"latent/{stem}": Caption(f"{title} ({name})", shows + width, source, inputs.conclusion(f"latent/{stem}"))
        for stem, (title, shows) in FIGURES.items()
    }
    if len(record["models"]) > 1:
        shows = "The same images seen by MNAD (upper line) and by an autoencoder without a memory (lower line)." + width
        found["latent/compare"] = Caption(
            "With and without a memory", shows, source, inputs.conclusion("latent/compare")
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
    return Drawn(captions(record, inputs), ["latent/latent.json"])
