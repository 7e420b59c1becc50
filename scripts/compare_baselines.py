"""Train every detector several times on one dataset and tabulate them: CSV, Markdown, LaTeX, a figure.

Run the same command again after an interruption and it resumes.
"""

from pathlib import Path

import baselines
from baselines.config import CompareConfig
from mnad.run.cli import run


def configuration(config: CompareConfig) -> Path | None:
    """The configuration of the data's layout, where the command line names none."""
    from mnad.data.layouts import configuration_for

    return configuration_for(config)


def main(config: CompareConfig) -> None:
    """Compare and tabulate."""
    from baselines.tables import compare_and_tabulate

    baselines.register()
    compare_and_tabulate(config)


if __name__ == "__main__":
    run(main, CompareConfig, __doc__, base=configuration)
