"""See what the memory knows: maps, clusters and an interactive page of queries, reads and items.

With no arguments: the shipped synthetic checkpoints on the synthetic wells, a folder under runs/.
"""

import baselines
from mnad.latent.config import LatentConfig
from mnad.run.cli import run


def main(config: LatentConfig) -> None:
    """Map."""
    from mnad.latent.run import visualize_latent

    baselines.register()
    visualize_latent(config)


if __name__ == "__main__":
    run(main, LatentConfig, __doc__)
