"""Regenerate every committed figure, PNG, PDF and caption, from stored results and the synthetic default.

With no arguments: all of them, a few minutes, most of it for the latent maps. `--only NAME` draws one.
"""

from mnad.cli import run
from mnad.figures.make import MakeConfig, make_figures

if __name__ == "__main__":
    run(make_figures, MakeConfig, __doc__)
