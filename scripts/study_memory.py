"""What is the memory worth? Train with and without one, take it away, count bits, dirty the training data.

Finished runs are kept and read again, so an interrupted study goes on where it stopped.
"""

from pathlib import Path

from mnad.run.cli import run
from mnad.study.config import StudyConfig

CONFIG = Path(__file__).resolve().parents[1] / "configs" / "memory_study.yaml"


def configuration(config: StudyConfig) -> Path:
    """The configuration of the memory under study, where the command line names none."""
    return CONFIG


def main(config: StudyConfig) -> None:
    """Run, tabulate, draw."""
    from figures.memory import write_tables
    from mnad.study.run import run_study

    write_tables(config, run_study(config))


if __name__ == "__main__":
    run(main, StudyConfig, __doc__, base=configuration)
