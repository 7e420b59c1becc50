"""Train every detector several times on one dataset and tabulate them: CSV, Markdown, LaTeX, a figure.

Interrupted, the same command goes on from where it stopped.
"""

import baselines
from baselines.config import CompareConfig
from mnad.run.cli import run


def main(config: CompareConfig) -> None:
    """Compare and tabulate."""
    from baselines.tables import compare_and_tabulate

    baselines.register()
    compare_and_tabulate(config)


if __name__ == "__main__":
    run(main, CompareConfig, __doc__)
