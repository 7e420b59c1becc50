"""Train MNAD on normal images, choose its threshold, judge it on the test folder.

With no arguments: synthetic wells drawn by the project, configs/demo.yaml, a run folder under runs/.
"""

from pathlib import Path

import baselines
from baselines.config import TrainWithBaselines
from mnad.run.cli import run


def configuration(config: TrainWithBaselines) -> Path | None:
    """The configuration of the data's layout, or of the demo, where the command line names none."""
    from mnad.data.layouts import DEMO, configuration_for

    if config.data is None and config.model.variant == "recon":  # there are no drawn videos
        return DEMO
    return configuration_for(config)


def main(config: TrainWithBaselines) -> None:
    """Train and judge."""
    from mnad.experiment import run_experiment

    baselines.register()
    run_experiment(config)


if __name__ == "__main__":
    run(main, TrainWithBaselines, __doc__, base=configuration)
