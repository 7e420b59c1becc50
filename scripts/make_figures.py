"""Regenerate every committed figure, PNG, PDF and caption, from stored results and the synthetic default.

With no arguments: all of them, a few minutes, most of it for the latent maps. `--only NAME` draws one.
"""

import baselines
from figures.config import MakeConfig
from mnad.run.cli import run


def main(config: MakeConfig) -> None:
    """Draw."""
    from figures.make import make_figures

    baselines.register()
    make_figures(config)


if __name__ == "__main__":
    run(main, MakeConfig, __doc__)
