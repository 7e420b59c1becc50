"""Latent maps of the shipped checkpoints on the drawn wells; maps and figures are those of ``mnad.latent``."""

from dataclasses import replace
from pathlib import Path

from figures.entry import Drawn, Inputs, NotStoredError
from mnad.detector import Detector
from mnad.latent.captions import captions as latent_captions
from mnad.latent.config import CHECKPOINT, COMPARE, LatentConfig
from mnad.report.caption import Caption
from mnad.run import UserError
from mnad.run.files import read_json, write_json


def captions(record: dict, inputs: Inputs) -> dict[str, Caption]:
    """Figure -> caption, from ``latent.json``; the clusters are in the hand-written conclusions."""
    sample = record["config"]
    files = " and ".join(f"`checkpoints/{one['checkpoint']}`" for one in record["models"].values())
    source = (
        f"{files} on the drawn wells; samples of {sample['images']} images and {sample['queries']} queries, seed "
        f"{sample['seed']}. Training command: `README.md`; numbers: `latent.json`, both beside the figure. Same as "
        "`python scripts/visualize_latent.py`."
    )
    return {
        f"latent/{stem}": replace(caption, conclusion=inputs.conclusion(f"latent/{stem}"))
        for stem, caption in latent_captions(record, "spill", source).items()
    }


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
