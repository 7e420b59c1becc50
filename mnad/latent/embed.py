"""Maps of the latent space in two dimensions: PCA, t-SNE, UMAP; queries, reads and items in one space.

All vectors have unit norm and distances are cosine distances.

- PCA is fitted on the queries; reads and items are projected onto its two axes.
- t-SNE and UMAP are fitted jointly on queries, reads and items (t-SNE can place no new points).
"""

from collections.abc import Mapping

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from mnad.run import UserError

METHODS = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP"}  # the name in files -> the name in print
MIN_POINTS = 4  # what PCA, t-SNE and UMAP together can draw


def check_size(count: int, perplexity: float, neighbors: int, what: str) -> None:
    """Can ``count`` points be mapped?

    Raises:
        UserError: fewer points than the perplexity or the neighbourhood allows.
    """
    if count < MIN_POINTS:
        raise UserError(f"{what}: expected at least {MIN_POINTS}, got {count}")
    if not 1 <= perplexity < count:
        raise UserError(f"perplexity: {perplexity:g} with {count} {what}; expected from 1 to {count - 1}")
    if not 2 <= neighbors < count:
        raise UserError(f"neighbors: {neighbors} with {count} {what}; expected from 2 to {count - 1}")


def embed(
    parts: Mapping[str, np.ndarray], perplexity: float = 30, neighbors: int = 15, seed: int = 0, name: str = "maps"
) -> dict[str, dict[str, np.ndarray]]:
    """Map unit vectors with every method.

    Args:
        parts: name -> n x C; ``queries`` is the one that PCA is fitted on.
        perplexity: of t-SNE.
        neighbors: of UMAP.
        seed: equal seeds give equal maps on one machine.
        name: what the progress bar says.

    Returns:
        method -> part -> n x 2 float64.
    """
    threads = torch.get_num_threads()
    import umap  # compiles for seconds, and its compiler gives every core to OpenMP, for torch as well

    joint = np.concatenate(list(parts.values())).astype(np.float32)
    ends = np.cumsum([len(part) for part in parts.values()])[:-1]
    maps = {}
    for method in tqdm(METHODS, name):
        if method == "pca":
            points = PCA(2, random_state=seed).fit(parts["queries"]).transform(joint)
        elif method == "tsne":
            with threadpool_limits(threads, "openmp"):  # more threads than cores only wait for each other
                mapper = TSNE(2, perplexity=perplexity, metric="cosine", init="pca", random_state=seed)
                points = mapper.fit_transform(joint)
        else:
            # A seed makes UMAP run on one thread; saying so avoids its warning. PCA start: defined for every graph.
            mapper = umap.UMAP(n_neighbors=neighbors, metric="cosine", init="pca", random_state=seed, n_jobs=1)
            points = mapper.fit_transform(joint)
            torch.set_num_threads(threads)
        maps[method] = dict(zip(parts, np.split(points.astype(np.float64), ends), strict=True))
    return maps
