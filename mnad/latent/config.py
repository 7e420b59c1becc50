"""What ``scripts/visualize_latent.py`` maps."""

from dataclasses import dataclass
from pathlib import Path

from mnad.config import DataConfig
from mnad.config.ranges import check_seed, check_threads
from mnad.run.checkpoint import SHIPPED

# What is mapped unless another checkpoint is given: the shipped detectors of the drawn wells.
CHECKPOINT = SHIPPED / "synthetic.safetensors"  # MNAD
COMPARE = SHIPPED / "synthetic_conv_ae.safetensors"  # the plain autoencoder beside it


@dataclass(kw_only=True)
class LatentConfig(DataConfig):
    """What to map.

    Args:
        checkpoint: run folder or .safetensors file; none takes the shipped MNAD of the synthetic wells, and the
            shipped autoencoder to compare with.
        compare: a second checkpoint, mapped from the same images and drawn beside the first.
        kinds: detector that tells kinds of anomalies apart, by the name of a shipped one, run folder or file: each has
            the name of the term of its verdict that is largest. None takes the kinds of ``kinds.csv`` in the data.
        out: folder to write to; none makes ``runs/latent-<date>-<time>``.
        overwrite: write into an existing folder; files of the same name are replaced.
        images: size of the stratified sample of images (small strata whole, the rest in equal parts).
        queries: size of the stratified sample of single queries of these images. From about 4,000 UMAP searches
            neighbours approximately, which takes half a minute more to compile.
        reads: read vectors drawn among the queries; all of them would hide the rest.
        perplexity: of t-SNE.
        neighbors: of UMAP.
        seed: of samples and maps.
        page: write the interactive pages: ``latent.html``, and with a memory ``items.html``.
        threads: CPU threads of torch and t-SNE; 0 leaves torch's choice.
        device: auto, cpu or cuda.
    """

    checkpoint: Path | None = None
    compare: Path | None = None
    kinds: Path | None = None
    out: Path | None = None
    overwrite: bool = False
    images: int = 2500
    queries: int = 3000
    reads: int = 300
    perplexity: float = 30.0
    neighbors: int = 15
    seed: int = 0
    page: bool = True
    threads: int = 0
    device: str = "auto"

    def __post_init__(self) -> None:
        """Raises ``UserError`` for a seed or a number of threads out of range."""
        check_seed("seed", self.seed)
        check_threads("threads", self.threads)
