"""A latent space that no model made, for the tests of the pages."""

import numpy as np
import pandas as pd

from mnad.latent.collect import Latent, Level, strip
from mnad.latent.embed import METHODS

NASTY = "<img src=x onerror=alert(1)>.jpg"


def made_up(images: int = 40, cells: int = 6, items: int = 5) -> Latent:
    """A latent space of random vectors on a grid of map coordinates."""
    rng = np.random.default_rng(0)

    def unit(n: int) -> np.ndarray:
        vectors = rng.standard_normal((n, 8)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    def level(n: int) -> Level:
        image = np.arange(n) % images
        table = pd.DataFrame(
            {
                "image": image,
                "file": [NASTY if i == 0 else f"test/{i}.jpg" for i in image],
                "set": "test",
                "label": image % 2,
                "group": np.where(image % 2, "anomaly", "normal"),
                "kind": np.where(image % 2, "overflow", "low"),
                "score": rng.random(n),
                "item": rng.integers(items, size=n),
                "cluster": rng.integers(-1, 3, size=n),
            }
        )
        maps = {
            m: {p: rng.random((k, 2)) for p, k in (("queries", n), ("reads", 10), ("items", items))} for m in METHODS
        }
        return Level(unit(n), table, unit(n), maps)

    picture = rng.integers(0, 255, (32, 48, 3), dtype=np.uint8)
    strips = [strip([picture, picture], rng.random((32, 48)), 1.0) for _ in range(images)]
    levels = {"images": level(images), "positions": level(images * cells)}
    return Latent("mnad", levels, strips, (2, 3), unit(items), np.arange(items), {})
