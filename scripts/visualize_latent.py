"""See what the memory knows: maps, clusters and an interactive page of queries, reads and items.

With no arguments: the shipped synthetic checkpoints on the synthetic wells, a folder under runs/.
"""

from mnad.cli import run
from mnad.latent.run import LatentConfig, visualize_latent

if __name__ == "__main__":
    run(visualize_latent, LatentConfig, __doc__)
