"""What the latent space separates, in numbers. All distances are cosine distances between unit vectors."""

import numpy as np
import pandas as pd
from sklearn.cluster import HDBSCAN
from sklearn.manifold import trustworthiness
from sklearn.metrics import adjusted_mutual_info_score, silhouette_score
from sklearn.neighbors import NearestNeighbors

NEIGHBORS = 10  # of purity and trustworthiness
MIN_CLUSTER = 5  # points, or 1 % of them
ROWS = 2000  # most points for trustworthiness, which is quadratic in memory


def silhouette(vectors: np.ndarray, groups: np.ndarray) -> float | None:
    """Mean silhouette in [-1, 1] of the partition; None unless there are 2 to N - 1 groups."""
    if not 2 <= len(np.unique(groups)) <= len(vectors) - 1:
        return None
    return float(silhouette_score(vectors, groups, metric="cosine"))


def purity(vectors: np.ndarray, labels: np.ndarray, k: int = NEIGHBORS) -> float | None:
    """Share of anomalies among the ``k`` nearest other points of an anomaly, in [0, 1]; None for a single class.

    Chance is about the share of anomalies among all points.
    """
    k = min(k, len(vectors) - 1)
    anomalies = np.flatnonzero(labels == 1)
    if k < 1 or not 0 < len(anomalies) < len(labels):
        return None
    neighbors = NearestNeighbors(n_neighbors=k + 1, metric="cosine").fit(vectors)
    found = neighbors.kneighbors(vectors[anomalies], return_distance=False)
    # A point is its own nearest neighbour except among duplicates, where it may be missing: then drop the last.
    own = found == anomalies[:, None]
    own[~own.any(axis=1), -1] = True
    return float(labels[found[~own]].mean())


def trust(vectors: np.ndarray, points: np.ndarray, seed: int, k: int = NEIGHBORS) -> float:
    """Trustworthiness in [0, 1] of the map ``points`` (N x 2), on at most ``ROWS`` random points."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(vectors))[:ROWS])
    k = min(k, (len(rows) - 1) // 2)
    return float(trustworthiness(vectors[rows], points[rows], n_neighbors=k, metric="cosine"))


def hdbscan(vectors: np.ndarray, min_size: int) -> np.ndarray:
    """Cluster of each unit vector, numbered by falling size from 0; -1 is noise.

    Runs in the latent space itself, not on a map of it. Euclidean distance between unit vectors orders pairs as the
    cosine does. The leaves of the tree are taken: its most stable clusters are one that holds nearly all wells.
    """
    model = HDBSCAN(
        min_cluster_size=min_size,
        min_samples=min(MIN_CLUSTER, len(vectors)),
        cluster_selection_method="leaf",
        copy=True,
    )
    raw = model.fit_predict(vectors.astype(np.float64))
    found, sizes = np.unique(raw[raw >= 0], return_counts=True)
    rank = {int(c): i for i, c in enumerate(found[np.argsort(-sizes, kind="stable")])}
    return np.array([rank.get(int(c), -1) for c in raw])


PLURALS = {"spill": "spills", "anomaly": "anomalies"}  # other words for an anomaly are adjectives


def reading(cluster: int, share: float, anomaly: str) -> str:
    """What a cluster is, in words: ``cluster 3: 91 % spills``; ``share`` of anomalies in [0, 1]."""
    return f"cluster {cluster}: {100 * share:.0f} % {PLURALS.get(anomaly, anomaly)}"


def medoid(vectors: np.ndarray) -> int:
    """Index of the unit vector with the smallest mean cosine distance to all: the one nearest to their sum."""
    return int((vectors @ vectors.sum(axis=0)).argmax())


def composition(vectors: np.ndarray, table: pd.DataFrame, members: np.ndarray, kind: str) -> dict[str, object]:
    """Size, anomaly share, medoid and kinds of the points at ``members`` (at least one)."""
    rows = table.iloc[members]
    middle = rows.iloc[medoid(vectors[members])]
    place = {key: int(middle[key]) for key in ("row", "column", "frame") if key in table}
    return {
        "size": len(members),
        "anomaly_share": float(rows["label"].mean()),
        "medoid": {"file": str(middle["file"])} | place,
        kind: {str(key): int(n) for key, n in rows[kind].value_counts().items()},
    }


def measure(vectors: np.ndarray, table: pd.DataFrame, maps: dict[str, np.ndarray], kind: str, seed: int) -> dict:
    """Every number of one level.

    Args:
        vectors: N x C, unit norm.
        table: N rows with ``file``, ``label``, ``kind``; ``item`` with a memory. Gets the column ``cluster``.
        maps: method -> N x 2.
        kind: column that clusters and items are reported against.
        seed: of the rows for trustworthiness.

    Returns:
        JSON-able; None where a number is not defined (a single class, one item in use, no memory).
    """
    labels = table["label"].to_numpy()
    items = table["item"].to_numpy() if "item" in table else None
    min_size = max(MIN_CLUSTER, len(vectors) // 100)
    table["cluster"] = hdbscan(vectors, min_size)
    clusters = table["cluster"].to_numpy()
    partitions = {"label": labels, "item": items, kind: table[kind].to_numpy()}
    known = {name: values for name, values in partitions.items() if values is not None}
    return {
        "points": len(vectors),
        "anomaly_share": float(labels.mean()),
        "silhouette": {name: None if v is None else silhouette(vectors, v) for name, v in partitions.items()},
        "anomaly_purity": purity(vectors, labels),
        "trustworthiness": {name: trust(vectors, points, seed) for name, points in maps.items()},
        "cluster_agreement": {name: float(adjusted_mutual_info_score(v, clusters)) for name, v in known.items()},
        "item_agreement": None
        if items is None
        else {name: float(adjusted_mutual_info_score(v, items)) for name, v in known.items() if name != "item"},
        "hdbscan": {
            "min_cluster_size": min_size,
            "noise_share": float((clusters < 0).mean()),
            "clusters": [
                {"cluster": c} | composition(vectors, table, np.flatnonzero(clusters == c), kind)
                for c in range(clusters.max() + 1)
            ],
        },
        "items": None
        if items is None
        else [
            {"item": int(m)} | composition(vectors, table, np.flatnonzero(items == m), kind) for m in np.unique(items)
        ],
    }
